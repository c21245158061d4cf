/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: opening a model with all its parts in the right order, and the calls of engine.h that only
 * hand on to one of them.
 * Leaves to others: prompts (prompt.c), embeddings and evaluation (embed.c), running (scheduler.c),
 * the consumer's side of an answer (generation.c).
 *
 * Opening maps the file, checks it, and reads vocabulary and template; weights are read from disk
 * as they are first used. The file's digest is computed beside that (digest.c); sl_engine_info
 * waits for it, and nothing else does.
 *
 * Threads: open and close on one thread; the rest on any.
 */
#include "engine_internal.h"

#include "sluice/crypto.h"

#include <stdlib.h>
#include <string.h>

#define SEQUENCES_DEFAULT 8
#define SEQUENCES_MAX 64
#define QUEUE_DEFAULT 64
#define QUEUE_MAX 65536
/* Tokens of a batch: large enough that unpacking weights is paid by many tokens, small enough that
 * a step of prefill stays short and its work memory below some 20 MB for a 0.5B model. */
#define BATCH_TOKENS 256
#define LOGIT_ROWS 8

/* ---- opening ---- */

static bool has_token(const char *name, void *user)
{
    const struct sl_tokenizer *tokenizer = user;
    const int32_t id = sl_tokenizer_find(tokenizer, sl_slice_of(name));
    return id != SL_TOKEN_NONE && sl_tokenizer_is_control(tokenizer, id);
}

static enum sl_err open_text(struct sl_engine *engine, struct sl_error *error)
{
    const struct sl_gguf *gguf = engine->model->gguf;
    enum sl_err err = sl_tokenizer_create(gguf, &engine->tokenizer, error);
    if (err != SL_OK)
        return err;
    const uint32_t tokens = sl_tokenizer_vocab_size(engine->tokenizer);
    if (tokens > engine->model->hparams.vocab_size)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "tokenizer.ggml.tokens has %u entries, token_embd.weight %u rows",
                            tokens, engine->model->hparams.vocab_size);
    if (engine->model->hparams.is_encoder)
        return SL_OK;
    struct sl_slice text = sl_gguf_string_or(gguf, "tokenizer.chat_template", (struct sl_slice){0});
    if (text.len == 0)
        text = sl_chat_template_fallback(has_token, engine->tokenizer);
    sl_sha256(text.data, text.len, engine->info.template_digest);
    engine->constraints = sl_constraint_cache_create(engine->tokenizer);
    if (engine->constraints == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    return sl_chat_template_compile(text, &engine->chat_template, error);
}

/* Q8 stores blocks of 32 values; heads of other sizes are kept in F16. */
static enum sl_kv_format kv_format(enum sl_kv_type type, uint32_t head_dim)
{
    if (type == SL_KV_F32)
        return SL_KV_FORMAT_F32;
    return type == SL_KV_Q8 && head_dim % SL_BLOCK == 0 ? SL_KV_FORMAT_Q8_0 : SL_KV_FORMAT_F16;
}

static enum sl_err open_cache(struct sl_engine *engine, const struct sl_engine_config *config,
                              uint32_t sequences, struct sl_error *error)
{
    const struct sl_hparams *hparams = &engine->model->hparams;
    struct sl_kv_config kv = {
        .layers = hparams->layer_count,
        .heads = hparams->head_count_kv,
        .head_dim = hparams->head_dim,
        .format = kv_format(config->kv_type, hparams->head_dim),
        .context_tokens = engine->context_tokens,
        .bytes_max = config->kv_bytes_max,
    };
    if (kv.bytes_max == 0) {
        const uint64_t per_token =
            2 * (uint64_t)kv.layers * kv.heads * sl_kv_bytes(kv.format, kv.head_dim);
        const uint64_t tokens =
            (uint64_t)sl_kv_pages_for(engine->context_tokens) * SL_KV_PAGE_TOKENS;
        /* Some room more than the sums: pages are rounded up to those of the system. */
        kv.bytes_max = (per_token * SL_KV_PAGE_TOKENS + 4095) / 4096 * 4096 *
                       (tokens / SL_KV_PAGE_TOKENS) * sequences;
    }
    return sl_kv_create(&kv, &engine->cache, error);
}

static enum sl_err open_decoder(struct sl_engine *engine, const struct sl_engine_config *config,
                                uint32_t sequences, struct sl_error *error)
{
    enum sl_err err = open_cache(engine, config, sequences, error);
    if (err != SL_OK)
        return err;
    engine->sampler = sl_sampler_create(engine->model->hparams.vocab_size);
    if (engine->sampler == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    const uint32_t batch =
        engine->context_tokens < BATCH_TOKENS ? engine->context_tokens : BATCH_TOKENS;
    const uint32_t least =
        2 * sequences + 16; /* every sequence, guesses, and a piece of a prompt */
    return sl_forward_create(
        engine->model, engine->cache, engine->pool, batch > least ? batch : least,
        sequences > LOGIT_ROWS ? sequences : LOGIT_ROWS, &engine->forward, error);
}

static enum sl_err open_compute(struct sl_engine *engine, const struct sl_engine_config *config,
                                struct sl_error *error)
{
    uint32_t sequences = config->sequences_max > 0 ? config->sequences_max : SEQUENCES_DEFAULT;
    sequences = sequences < SEQUENCES_MAX ? sequences : SEQUENCES_MAX;
    uint32_t queue = config->queue_max > 0 ? config->queue_max : QUEUE_DEFAULT;
    queue = queue < QUEUE_MAX ? queue : QUEUE_MAX;
    engine->pool = sl_pool_create(config->threads);
    if (engine->pool == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, "no memory or threads for the kernel pool");
    enum sl_err err = engine->model->hparams.is_encoder
                          ? sl_forward_create(engine->model, NULL, engine->pool,
                                              engine->context_tokens, 1, &engine->forward, error)
                          : open_decoder(engine, config, sequences, error);
    if (err != SL_OK)
        return err;
    const struct sl_scheduler_config scheduler = {
        .model = engine->model,
        .tokenizer = engine->tokenizer,
        .cache = engine->cache,
        .forward = engine->forward,
        .pool = engine->pool,
        .sampler = engine->sampler,
        .sequences_max = sequences,
        .queue_max = queue,
    };
    return sl_scheduler_start(&scheduler, &engine->scheduler, error);
}

/* general.name, else the file's name without folder and ".gguf". */
static char *name_model(const struct sl_gguf *gguf, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct sl_slice base = sl_slice_of(slash != NULL ? slash + 1 : path);
    if (base.len > 5 && strcmp(base.data + base.len - 5, ".gguf") == 0)
        base.len -= 5;
    const struct sl_slice name = sl_gguf_string_or(gguf, "general.name", base);
    return name.len > 0 ? strndup(name.data, name.len) : strndup(base.data, base.len);
}

static enum sl_err fill_info(struct sl_engine *engine, const char *path, struct sl_error *error)
{
    const struct sl_model *model = engine->model;
    engine->name = name_model(model->gguf, path);
    if (engine->name == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    struct sl_model_info *info = &engine->info;
    info->name = engine->name;
    info->architecture = model->hparams.architecture;
    info->quantization = sl_type_name(model->main_type);
    info->parameters = model->parameters;
    info->file_bytes = sl_gguf_file_bytes(model->gguf);
    info->vocab_size = model->hparams.vocab_size;
    info->context_tokens = engine->context_tokens;
    info->context_tokens_trained = model->hparams.context_trained;
    info->embedding_size = model->hparams.embedding_size;
    info->can_generate = !model->hparams.is_encoder;
    info->can_embed = true;
    info->has_tools = engine->chat_template != NULL &&
                      sl_chat_template_tool_form(engine->chat_template) != SL_TOOL_FORM_NONE;
    return SL_OK;
}

enum sl_err sl_engine_open(const struct sl_engine_config *config, struct sl_engine **out,
                           struct sl_error *error)
{
    if (config->kernels != NULL) {
        enum sl_err selected = sl_kernels_select(config->kernels, error);
        if (selected != SL_OK)
            return selected;
    }
    struct sl_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    enum sl_err err =
        sl_model_open(config->model_path, config->context_tokens_max, &engine->model, error);
    if (err == SL_OK) {
        engine->context_tokens = engine->model->context_tokens;
        err = open_text(engine, error);
    }
    if (err == SL_OK)
        err = open_compute(engine, config, error);
    if (err == SL_OK)
        err = fill_info(engine, config->model_path, error);
    if (err == SL_OK)
        err = sl_digest_start(config->model_path, sl_gguf_file_data(engine->model->gguf),
                              engine->info.file_bytes, engine->info.digest, &engine->digest, error);
    if (err != SL_OK) {
        sl_engine_close(engine);
        return err;
    }
    *out = engine;
    return SL_OK;
}

void sl_engine_close(struct sl_engine *engine)
{
    if (engine == NULL)
        return;
    sl_scheduler_stop(engine->scheduler);
    sl_digest_free(engine->digest);
    sl_forward_free(engine->forward);
    sl_sampler_free(engine->sampler);
    sl_kv_free(engine->cache);
    sl_pool_free(engine->pool);
    sl_constraint_cache_free(engine->constraints);
    sl_chat_template_free(engine->chat_template);
    sl_tokenizer_free(engine->tokenizer);
    sl_model_close(engine->model);
    free(engine->name);
    free(engine);
}

const struct sl_model_info *sl_engine_info(const struct sl_engine *engine)
{
    sl_digest_wait(engine->digest);
    return &engine->info;
}

void sl_engine_set_threads(struct sl_engine *engine, uint32_t threads)
{
    sl_scheduler_set_threads(engine->scheduler, threads);
}

void sl_engine_load(struct sl_engine *engine, struct sl_engine_load *out)
{
    sl_scheduler_load(engine->scheduler, out);
}

/* ---- generating ---- */

static enum sl_err get_constraint(struct sl_engine *engine, const struct sl_generate_params *params,
                                  struct sl_generation_context *context, struct sl_error *error)
{
    if (params->format == SL_FORMAT_TEXT)
        return SL_OK;
    return sl_constraint_cache_get(engine->constraints, params->format, params->schema,
                                   sl_chat_template_tool_form(engine->chat_template),
                                   &context->constraint, &context->vocab, error);
}

enum sl_err sl_engine_generate(struct sl_engine *engine, const struct sl_prompt *prompt,
                               const struct sl_generate_params *params, struct sl_generation **out,
                               struct sl_error *error)
{
    if (!engine->info.can_generate)
        return sl_error_set(error, SL_ERR_UNSUPPORTED, "%s is an encoder: it generates no text",
                            engine->info.name);
    struct sl_generation_context context = {.tokenizer = engine->tokenizer,
                                            .context_tokens = engine->context_tokens};
    enum sl_err err = get_constraint(engine, params, &context, error);
    struct sl_generation *generation = NULL;
    if (err == SL_OK)
        err = sl_generation_create(&context, prompt, params, &generation, error);
    sl_constraint_release(context.constraint);
    if (err != SL_OK)
        return err;
    err = sl_scheduler_submit(engine->scheduler, generation, error);
    if (err != SL_OK) {
        sl_generation_release(generation);
        sl_generation_release(generation);
        return err;
    }
    *out = generation;
    return SL_OK;
}

/* ---- text and tokens ---- */

enum sl_err sl_engine_tokenize(const struct sl_engine *engine, struct sl_slice text,
                               bool add_special, bool parse_special, int32_t **ids, size_t *count,
                               struct sl_error *error)
{
    struct sl_tokens tokens = {0};
    enum sl_err err =
        sl_tokenizer_encode(engine->tokenizer, text, add_special, parse_special, &tokens, error);
    if (err != SL_OK) {
        sl_tokens_clear(&tokens);
        return err;
    }
    *ids = tokens.ids;
    *count = tokens.count;
    return SL_OK;
}

enum sl_err sl_engine_token_text(const struct sl_engine *engine, int32_t token, struct sl_buf *out)
{
    return sl_buf_append_slice(out, sl_tokenizer_piece(engine->tokenizer, token));
}
