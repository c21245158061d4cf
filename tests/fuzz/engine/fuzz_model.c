/* SPDX-License-Identifier: Apache-2.0
 *
 * Hyper-parameters and tensors of any file: the loader refuses with a message, or the model can be
 * run. Models that claim to be large are loaded but not run.
 */
#include "forward.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TOKENS 5
#define CONTEXT 64

static bool is_small(const struct sl_hparams *hparams)
{
    return hparams->layer_count <= 8 && hparams->embedding_size <= 512 &&
           hparams->feed_forward_size <= 2048 && hparams->head_count <= 64 &&
           hparams->head_dim <= 256 && hparams->vocab_size <= 4096;
}

static void run_decoder(const struct sl_model *model, struct sl_pool *pool, const int32_t *ids)
{
    const struct sl_hparams *hparams = &model->hparams;
    const struct sl_kv_config config = {.layers = hparams->layer_count,
                                        .heads = hparams->head_count_kv,
                                        .head_dim = hparams->head_dim,
                                        .format = SL_KV_FORMAT_F16,
                                        .context_tokens = CONTEXT};
    struct sl_kv_cache *cache;
    struct sl_forward *forward;
    if (sl_kv_create(&config, &cache, NULL) != SL_OK)
        abort();
    if (sl_forward_create(model, cache, pool, TOKENS, 1, &forward, NULL) != SL_OK)
        abort();
    struct sl_kv_sequence sequence;
    uint32_t pages[CONTEXT / SL_KV_PAGE_TOKENS];
    sl_kv_begin(&sequence, pages, CONTEXT / SL_KV_PAGE_TOKENS);
    sl_kv_extend(cache, &sequence, TOKENS);
    const struct sl_span span = {&sequence, ids, TOKENS, 0, 1};
    sl_forward_run(forward, &span, 1);
    (void)sl_forward_logits(forward, 0, 1);
    sl_kv_end(cache, &sequence, ids, NULL, 0);
    sl_forward_free(forward);
    sl_kv_free(cache);
}

static void run_encoder(const struct sl_model *model, struct sl_pool *pool, const int32_t *ids)
{
    struct sl_forward *forward;
    float *out = malloc(model->hparams.embedding_size * sizeof *out);
    if (out == NULL || sl_forward_create(model, NULL, pool, TOKENS, 1, &forward, NULL) != SL_OK)
        abort();
    if (model->context_tokens >= TOKENS)
        sl_forward_encode(forward, ids, TOKENS, out);
    sl_forward_free(forward);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_gguf *gguf;
    struct sl_model *model;
    struct sl_error error = {0};
    if (sl_gguf_open_memory(data, size, &gguf, &error) != SL_OK)
        return 0;
    if (sl_model_load(gguf, CONTEXT, &model, &error) != SL_OK) {
        if (error.message[0] == '\0') /* every refusal says why */
            abort();
        return 0;
    }
    struct sl_pool *pool = sl_pool_create(1);
    if (pool == NULL)
        abort();
    int32_t ids[TOKENS];
    for (uint32_t idx = 0; idx < TOKENS; idx++)
        ids[idx] = (int32_t)(idx % model->hparams.vocab_size);
    if (is_small(&model->hparams) && model->hparams.is_encoder)
        run_encoder(model, pool, ids);
    else if (is_small(&model->hparams))
        run_decoder(model, pool, ids);
    sl_pool_free(pool);
    sl_model_close(model);
    return 0;
}
