/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: embeddings of texts, and log-probabilities of given tokens (evaluation). Both run on the
 * scheduler's thread between two steps, since that thread owns the work memory.
 *
 * An encoder reads a text in one batch. A decoder reads it in pieces through pages of the cache
 * that are kept for nobody else afterwards, and its last hidden states are pooled as the file says
 * (mean where it does not).
 *
 * Threads: callers on any thread block; the work is the scheduler's.
 */
#include "engine_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct embed_work {
    const int32_t *ids;
    uint32_t count;
    float *out;      /* (embedding): pooled; or NULL */
    float *logprobs; /* (count - 1): of ids[i + 1] after ids[0..i]; or NULL */
    uint32_t *pages;
    float *row; /* (embedding) */
    bool has_room;
};

static void add_hidden(const struct sl_scheduler_config *config, struct embed_work *work,
                       uint32_t position, uint32_t row)
{
    const uint32_t width = config->model->hparams.embedding_size;
    const enum sl_pooling pooling = config->model->hparams.pooling;
    if ((pooling == SL_POOLING_CLS && position > 0) ||
        (pooling == SL_POOLING_LAST && position + 1 < work->count))
        return;
    sl_forward_hidden(config->forward, row, work->row);
    for (uint32_t idx = 0; idx < width; idx++)
        work->out[idx] += work->row[idx];
}

static void read_logprobs(const struct sl_scheduler_config *config, struct embed_work *work,
                          uint32_t position, uint32_t count)
{
    const uint32_t vocab = config->model->hparams.vocab_size;
    const uint32_t most = sl_forward_logit_rows_max(config->forward);
    for (uint32_t row = 0; row < count; row += most) {
        const uint32_t rows = count - row < most ? count - row : most;
        const float *logits = sl_forward_logits(config->forward, row, rows);
        for (uint32_t idx = 0; idx < rows; idx++, logits += vocab) {
            const uint32_t next = position + row + idx + 1;
            if (next >= work->count)
                return;
            struct sl_logit_summary summary;
            sl_logit_summarize(logits, vocab, &summary);
            work->logprobs[next - 1] = logits[work->ids[next]] - summary.log_sum;
        }
    }
}

static void run_pieces(const struct sl_scheduler_config *config, struct embed_work *work,
                       struct sl_kv_sequence *sequence)
{
    const uint32_t most = sl_forward_tokens_max(config->forward);
    for (uint32_t position = 0; position < work->count; position += most) {
        const uint32_t count = work->count - position < most ? work->count - position : most;
        sl_kv_extend(config->cache, sequence, position + count);
        const struct sl_span span = {sequence, work->ids + position, count, position, count};
        sl_forward_run(config->forward, &span, 1);
        for (uint32_t row = 0; work->out != NULL && row < count; row++)
            add_hidden(config, work, position + row, row);
        if (work->logprobs != NULL)
            read_logprobs(config, work, position, count);
    }
}

static void run_decoder(const struct sl_scheduler_config *config, void *context)
{
    struct embed_work *work = context;
    const uint32_t pages = sl_kv_pages_for(work->count);
    work->has_room = sl_kv_reserve(config->cache, pages);
    if (!work->has_room)
        return;
    struct sl_kv_sequence sequence;
    sl_kv_begin(&sequence, work->pages, pages);
    run_pieces(config, work, &sequence);
    sl_kv_end(config->cache, &sequence, work->ids, NULL, 0);
    sl_kv_release(config->cache, pages);
    const uint32_t width = config->model->hparams.embedding_size;
    if (work->out != NULL && config->model->hparams.pooling == SL_POOLING_MEAN)
        for (uint32_t idx = 0; idx < width; idx++)
            work->out[idx] /= (float)work->count;
}

static void run_encoder(const struct sl_scheduler_config *config, void *context)
{
    struct embed_work *work = context;
    sl_forward_encode(config->forward, work->ids, work->count, work->out);
    work->has_room = true;
}

static enum sl_err run_work(struct sl_engine *engine, struct embed_work *work,
                            struct sl_error *error)
{
    if (work->count == 0)
        return sl_error_set(error, SL_ERR_INVALID, "the text has no tokens");
    if (work->count > engine->context_tokens)
        return sl_error_set(error, SL_ERR_CONTEXT_LENGTH,
                            "the text has %u tokens, the context holds %u", work->count,
                            engine->context_tokens);
    work->pages = malloc(sl_kv_pages_for(work->count) * sizeof *work->pages);
    work->row = malloc(engine->info.embedding_size * sizeof *work->row);
    enum sl_err err =
        work->pages == NULL || work->row == NULL ? sl_error_set(error, SL_ERR_MEMORY, NULL) : SL_OK;
    if (err == SL_OK)
        err = sl_scheduler_call(engine->scheduler,
                                engine->info.can_generate ? run_decoder : run_encoder, work, error);
    if (err == SL_OK && !work->has_room)
        err = sl_error_set(error, SL_ERR_OVERLOAD, "the KV cache has no room now");
    free(work->pages);
    free(work->row);
    return err;
}

enum sl_err sl_engine_embed(struct sl_engine *engine, struct sl_slice text, float *out,
                            uint32_t *tokens, struct sl_error *error)
{
    struct sl_tokens ids = {0};
    enum sl_err err = sl_tokenizer_encode(engine->tokenizer, text, true, false, &ids, error);
    if (err == SL_OK && ids.count > UINT32_MAX / 2)
        err = sl_error_set(error, SL_ERR_CONTEXT_LENGTH, NULL);
    if (err == SL_OK) {
        struct embed_work work = {.ids = ids.ids, .count = (uint32_t)ids.count, .out = out};
        memset(out, 0, engine->info.embedding_size * sizeof *out);
        err = run_work(engine, &work, error);
        *tokens = work.count;
    }
    sl_tokens_clear(&ids);
    return err;
}

enum sl_err sl_engine_score(struct sl_engine *engine, const struct sl_prompt *prompt,
                            float *logprobs, struct sl_error *error)
{
    if (!engine->info.can_generate)
        return sl_error_set(error, SL_ERR_UNSUPPORTED, "%s is an encoder: it has no logits",
                            engine->info.name);
    struct embed_work work = {.ids = prompt->ids, .count = prompt->count, .logprobs = logprobs};
    return run_work(engine, &work, error);
}
