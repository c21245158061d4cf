/* SPDX-License-Identifier: Apache-2.0
 *
 * The logits that follow some texts:
 *
 *     bench_logits MODEL.gguf OUT.f32 < TEXTS
 *
 * Reads a text a line, tokens spelled in it taken as such; prints its ids, a line each; writes the
 * logits behind its last token to OUT.f32 as (text, vocab) floats. peer_logits.c does the same
 * with the reference implementation, and engine/default/check_export.py compares the two.
 */
#include "forward.h"
#include "tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT 512
#define LINE_MAX_BYTES 65536

struct parts {
    struct sl_tokenizer *tokenizer;
    struct sl_model *model;
    struct sl_pool *pool;
    struct sl_kv_cache *cache;
    struct sl_forward *forward;
    uint32_t *pages;
};

static void require(enum sl_err err, const struct sl_error *error)
{
    if (err == SL_OK)
        return;
    fprintf(stderr, "%s\n", error->message);
    exit(1);
}

/* A float KV cache, as the reference has it. */
static void open_parts(struct parts *parts, const char *path)
{
    struct sl_error error = {0};
    require(sl_model_open(path, CONTEXT, &parts->model, &error), &error);
    require(sl_tokenizer_create(parts->model->gguf, &parts->tokenizer, &error), &error);
    const struct sl_hparams *hparams = &parts->model->hparams;
    parts->pool = sl_pool_create(1);
    if (parts->pool == NULL)
        exit(1);
    sl_model_pack(parts->model, parts->pool); /* as the engine does */
    parts->pages = calloc(sl_kv_pages_for(CONTEXT), sizeof *parts->pages);
    if (parts->pages == NULL)
        exit(1);
    struct sl_kv_config config = {.layers = hparams->layer_count,
                                  .heads = hparams->head_count_kv,
                                  .head_dim = hparams->head_dim,
                                  .format = SL_KV_FORMAT_F32,
                                  .context_tokens = CONTEXT};
    require(sl_kv_create(&config, &parts->cache, &error), &error);
    require(sl_forward_create(parts->model, parts->cache, parts->pool, CONTEXT, 1, &parts->forward,
                              &error),
            &error);
}

static void close_parts(struct parts *parts)
{
    sl_forward_free(parts->forward);
    sl_kv_free(parts->cache);
    sl_pool_free(parts->pool);
    sl_tokenizer_free(parts->tokenizer);
    sl_model_close(parts->model);
    free(parts->pages);
}

static void run(struct parts *parts, struct sl_slice text, FILE *out)
{
    struct sl_tokens tokens = {0};
    struct sl_error error = {0};
    struct sl_kv_sequence sequence = {0};
    require(sl_tokenizer_encode(parts->tokenizer, text, false, true, &tokens, &error), &error);
    if (tokens.count == 0 || tokens.count > CONTEXT) {
        fprintf(stderr, "expected 1 to %d tokens, found %zu\n", CONTEXT, tokens.count);
        exit(1);
    }
    for (size_t i = 0; i < tokens.count; i++)
        printf("%d%c", (int)tokens.ids[i], i + 1 < tokens.count ? ' ' : '\n');
    const uint32_t count = (uint32_t)tokens.count;
    sl_kv_begin(&sequence, parts->pages, sl_kv_pages_for(CONTEXT));
    sl_kv_extend(parts->cache, &sequence, count);
    struct sl_span span = {&sequence, tokens.ids, count, 0, 1};
    sl_forward_run(parts->forward, &span, 1);
    fwrite(sl_forward_logits(parts->forward, 0, 1), sizeof(float),
           parts->model->hparams.vocab_size, out);
    sl_kv_end(parts->cache, &sequence, tokens.ids, NULL, 0);
    sl_tokens_clear(&tokens);
}

int main(int argc, char **argv)
{
    static char line[LINE_MAX_BYTES];
    struct parts parts = {0};
    FILE *out = argc == 3 ? fopen(argv[2], "wb") : NULL;
    if (out == NULL) {
        fprintf(stderr, "usage: bench_logits MODEL.gguf OUT.f32 < TEXTS\n");
        return 2;
    }
    open_parts(&parts, argv[1]);
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        run(&parts, sl_slice_of(line), out);
    }
    close_parts(&parts);
    return fclose(out) == 0 ? 0 : 1;
}
