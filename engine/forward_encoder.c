/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: the order of operations of an encoder (BERT and its kin) and pooling.
 * Differs from a decoder in that norms come after the residual add, every token sees every token,
 * and nothing is cached: keys and values stay in the batch's work memory.
 *
 * Threads: the owner's, as forward.c.
 */
#include "forward_internal.h"

#include <string.h>

static void embed_rows(void *context, uint32_t begin, uint32_t end, uint32_t worker)
{
    (void)worker;
    struct sl_forward *forward = context;
    const struct sl_model *model = forward->model;
    const uint32_t width = model->hparams.embedding_size;
    for (uint32_t row = begin; row < end; row++) {
        float *x = forward->x + (size_t)row * width;
        float *extra = forward->h + (size_t)row * width;
        sl_matrix_row(&model->token_embedding, (uint32_t)forward->spans->ids[row], x);
        if (model->token_type != NULL)
            forward->kernels->add(x, x, model->token_type, width);
        if (model->position_embedding.rows > 0) {
            sl_matrix_row(&model->position_embedding, row, extra);
            forward->kernels->add(x, x, extra, width);
        }
        sl_forward_norm(forward, x, x, model->embedding_norm, model->embedding_norm_bias, width);
        if (model->hparams.rope_dims > 0)
            sl_rope_angles(&model->ropes[SL_ROPE_GLOBAL], row,
                           forward->angles[SL_ROPE_GLOBAL] +
                               (size_t)row * model->hparams.rope_dims);
    }
}

static void add_and_norm(struct sl_forward *forward, uint32_t begin, uint32_t end,
                         const float *weight, const float *bias)
{
    const uint32_t width = forward->model->hparams.embedding_size;
    for (uint32_t row = begin; row < end; row++) {
        float *x = forward->x + (size_t)row * width;
        forward->kernels->add(x, x, forward->h + (size_t)row * width, width);
        sl_forward_norm(forward, x, x, weight, bias, width);
    }
}

static void after_attention_rows(void *context, uint32_t begin, uint32_t end, uint32_t worker)
{
    (void)worker;
    struct sl_forward *forward = context;
    add_and_norm(forward, begin, end, forward->layer->attention_norm,
                 forward->layer->attention_norm_bias);
}

static void after_feed_rows(void *context, uint32_t begin, uint32_t end, uint32_t worker)
{
    (void)worker;
    struct sl_forward *forward = context;
    add_and_norm(forward, begin, end, forward->layer->feed_norm, forward->layer->feed_norm_bias);
}

static void pool_rows(const struct sl_forward *forward, uint32_t count, float *out)
{
    const uint32_t width = forward->model->hparams.embedding_size;
    const enum sl_pooling pooling = forward->model->hparams.pooling;
    if (pooling == SL_POOLING_CLS || pooling == SL_POOLING_LAST) {
        const size_t row = pooling == SL_POOLING_CLS ? 0 : count - 1;
        memcpy(out, forward->x + row * width, width * sizeof *out);
        return;
    }
    memset(out, 0, width * sizeof *out);
    for (uint32_t row = 0; row < count; row++)
        forward->kernels->add(out, out, forward->x + (size_t)row * width, width);
    forward->kernels->scale(out, out, 1.0f / (float)count, width);
}

void sl_forward_encode(struct sl_forward *forward, const int32_t *ids, uint32_t count, float *out)
{
    const struct sl_model *model = forward->model;
    const struct sl_span span = {.ids = ids, .count = count, .outputs = count};
    forward->spans = &span;
    forward->span_count = 1;
    forward->token_count = count;
    forward->output_count = count;
    sl_forward_rows(forward, count, embed_rows);
    for (uint32_t idx = 0; idx < model->hparams.layer_count; idx++) {
        const struct sl_layer *layer = &model->layers[idx];
        forward->layer = layer;
        forward->layer_idx = idx;
        sl_forward_qkv(forward, forward->x);
        sl_forward_attend_both_ways(forward);
        sl_forward_matmul(forward, &layer->attention_out, layer->attention_out_bias, forward->mixed,
                          count, forward->h);
        sl_forward_rows(forward, count, after_attention_rows);
        sl_forward_feed(forward, forward->x, count);
        sl_forward_rows(forward, count, after_feed_rows);
    }
    pool_rows(forward, count, out);
    forward->spans = NULL;
}
