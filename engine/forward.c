/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: the order of operations of a decoder and its work memory.
 * Leaves to others: arithmetic on rows and matrices (kernels.h), attention (forward_attention.c),
 * encoders (forward_encoder.c), who is in the batch (scheduler.c).
 *
 * One path serves all decoders; what an architecture has or lacks are pointers that are NULL and
 * switches in the hyper-parameters, tested once a row or matrix, never once a number. In the last
 * layer rows that nobody wants are dropped after attention: a prompt needs the logits of its end
 * only, and small models have few layers.
 *
 * Work memory is one allocation made at create, in which buffers whose lives do not overlap share
 * room. It is touched as batches grow, so a process that never sees a long prompt never pays for
 * it.
 *
 * Threads: the owner's; row-wise work is spread over the pool where there are enough rows.
 */
#include "forward_internal.h"

#include "sluice/checked.h"

#include <stdlib.h>
#include <string.h>

/* Rows a worker takes at once, and how many make a wake of the pool worth it: a row is some
 * microseconds of work, a wake about two. */
#define ROWS_GRAIN 4
#define ROWS_INLINE_MAX 4

/* ---- life ---- */

struct layout {
    size_t bytes;
    bool overflowed;
};

static size_t layout_take(struct layout *layout, size_t count, size_t size)
{
    size_t bytes = 0;
    size_t begin = layout->bytes;
    if (!sl_size_mul(count, size, &bytes) || !sl_size_add(bytes, SL_SCRATCH_ALIGN - 1, &bytes) ||
        !sl_size_add(begin, bytes & ~(size_t)(SL_SCRATCH_ALIGN - 1), &layout->bytes))
        layout->overflowed = true;
    return begin;
}

static uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* The widest input of any matrix. */
static uint32_t widest_input(const struct sl_hparams *hparams)
{
    uint32_t widest = max_u32(hparams->embedding_size, hparams->feed_forward_size);
    return max_u32(widest, hparams->head_count * hparams->head_dim);
}

/* Places every buffer; with memory NULL it only counts. */
static bool place_buffers(struct sl_forward *forward, size_t *bytes)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    const size_t tokens = forward->tokens_max;
    const size_t width = hparams->embedding_size;
    const size_t heads = hparams->head_count;
    const size_t dim = hparams->head_dim;
    const size_t vocab = hparams->is_encoder ? 0 : hparams->vocab_size;
    struct layout layout = {0};
    struct {
        void **out;
        size_t count;
        size_t size;
    } buffers[] = {
        {(void **)&forward->x, tokens * width, sizeof(float)},
        {(void **)&forward->h, tokens * width, sizeof(float)},
        {(void **)&forward->q, tokens * heads * dim, sizeof(float)},
        {(void **)&forward->k, tokens * hparams->head_count_kv * dim, sizeof(float)},
        {(void **)&forward->v, tokens * hparams->head_count_kv * dim, sizeof(float)},
        {(void **)&forward->packed, tokens * heads * dim, sizeof(float)},
        {(void **)&forward->acc, tokens * heads * dim, sizeof(float)},
        {(void **)&forward->max, tokens * heads, sizeof(float)},
        {(void **)&forward->sum, tokens * heads, sizeof(float)},
        {(void **)&forward->gate, tokens * hparams->feed_forward_size, sizeof(float)},
        {(void **)&forward->up, tokens * hparams->feed_forward_size, sizeof(float)},
        {(void **)&forward->angles[0], tokens * hparams->rope_dims, sizeof(float)},
        {(void **)&forward->angles[1], tokens * hparams->rope_dims, sizeof(float)},
        {(void **)&forward->positions, tokens, sizeof(uint32_t)},
        {(void **)&forward->span_of, tokens, sizeof(uint32_t)},
        {(void **)&forward->logits, forward->logit_rows_max * vocab, sizeof(float)},
        {(void **)&forward->attend_scratch, (size_t)SL_POOL_THREADS_MAX * SL_ATTEND_SCRATCH_FLOATS,
         sizeof(float)},
        {&forward->scratch,
         sl_matmul_scratch_bytes(widest_input(hparams),
                                 max_u32(forward->tokens_max, forward->logit_rows_max),
                                 SL_POOL_THREADS_MAX),
         1},
    };
    for (size_t idx = 0; idx < sizeof buffers / sizeof *buffers; idx++) {
        size_t offset = layout_take(&layout, buffers[idx].count, buffers[idx].size);
        if (forward->memory != NULL)
            *buffers[idx].out = (uint8_t *)forward->memory + offset;
    }
    forward->mixed = forward->q; /* q is packed before attention writes */
    *bytes = layout.bytes;
    return !layout.overflowed;
}

enum sl_err sl_forward_create(const struct sl_model *model, const struct sl_kv_cache *cache,
                              struct sl_pool *pool, uint32_t tokens_max, uint32_t logit_rows_max,
                              struct sl_forward **out, struct sl_error *error)
{
    struct sl_forward *forward = calloc(1, sizeof *forward);
    if (forward == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    forward->model = model;
    forward->cache = cache;
    forward->pool = pool;
    forward->kernels = sl_kernels();
    forward->tokens_max = tokens_max;
    forward->logit_rows_max = logit_rows_max;
    size_t bytes;
    if (place_buffers(forward, &bytes))
        forward->memory = aligned_alloc(SL_SCRATCH_ALIGN, bytes);
    if (forward->memory == NULL) {
        free(forward);
        return sl_error_set(error, SL_ERR_MEMORY, "no memory for batches of %u tokens", tokens_max);
    }
    (void)place_buffers(forward, &bytes);
    *out = forward;
    return SL_OK;
}

void sl_forward_free(struct sl_forward *forward)
{
    if (forward == NULL)
        return;
    free(forward->memory);
    free(forward);
}

uint32_t sl_forward_tokens_max(const struct sl_forward *forward)
{
    return forward->tokens_max;
}

uint32_t sl_forward_logit_rows_max(const struct sl_forward *forward)
{
    return forward->logit_rows_max;
}

/* ---- shared steps ---- */

void sl_forward_rows(struct sl_forward *forward, uint32_t rows, sl_pool_range_fn *fn)
{
    if (rows <= ROWS_INLINE_MAX)
        fn(forward, 0, rows, 0);
    else
        sl_pool_for(forward->pool, rows, ROWS_GRAIN, fn, forward);
}

void sl_forward_norm(const struct sl_forward *forward, float *out, const float *x,
                     const float *weight, const float *bias, uint32_t n)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    if (hparams->norm == SL_NORM_RMS)
        forward->kernels->rms_norm(out, x, weight, n, hparams->norm_epsilon);
    else
        forward->kernels->layer_norm(out, x, weight, bias, n, hparams->norm_epsilon);
}

static void add_bias(const struct sl_forward *forward, float *rows, const float *bias,
                     uint32_t count, uint32_t width)
{
    for (uint32_t row = 0; bias != NULL && row < count; row++)
        forward->kernels->add(rows + (size_t)row * width, rows + (size_t)row * width, bias, width);
}

void sl_forward_matmul(struct sl_forward *forward, const struct sl_matrix *matrix,
                       const float *bias, const float *x, uint32_t rows, float *out)
{
    sl_matmul(forward->pool, matrix, x, rows, out, forward->scratch);
    add_bias(forward, out, bias, rows, matrix->rows);
}

static void activate_rows(void *context, uint32_t begin, uint32_t end, uint32_t worker)
{
    (void)worker;
    struct sl_forward *forward = context;
    const struct sl_hparams *hparams = &forward->model->hparams;
    const struct sl_layer *layer = forward->layer;
    const uint32_t width = hparams->feed_forward_size;
    for (uint32_t row = begin; row < end; row++) {
        float *gate = forward->gate + (size_t)row * width;
        float *up = forward->up + (size_t)row * width;
        if (layer->up_bias != NULL)
            forward->kernels->add(up, up, layer->up_bias, width);
        if (layer->gate_bias != NULL && hparams->has_gate)
            forward->kernels->add(gate, gate, layer->gate_bias, width);
        if (!hparams->has_gate)
            forward->kernels->gelu_mul(gate, up, NULL, width);
        else if (hparams->activation == SL_ACTIVATION_GELU)
            forward->kernels->gelu_mul(gate, gate, up, width);
        else
            forward->kernels->silu_mul(gate, gate, up, width);
    }
}

void sl_forward_feed(struct sl_forward *forward, const float *input, uint32_t rows)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    const struct sl_layer *layer = forward->layer;
    const size_t width = hparams->feed_forward_size;
    const struct sl_matmul_job jobs[] = {{&layer->up, forward->up, width},
                                         {&layer->gate, forward->gate, width}};
    sl_matmul_jobs(forward->pool, jobs, hparams->has_gate ? 2 : 1, input, hparams->embedding_size,
                   rows, forward->scratch);
    sl_forward_rows(forward, rows, activate_rows);
    sl_forward_matmul(forward, &layer->down, layer->down_bias, forward->gate, rows, forward->h);
}

/* ---- a decoder's batch ---- */

static void start_batch(struct sl_forward *forward, const struct sl_span *spans,
                        uint32_t span_count)
{
    forward->spans = spans;
    forward->span_count = span_count;
    forward->token_count = 0;
    for (uint32_t span = 0; span < span_count; span++) {
        for (uint32_t idx = 0; idx < spans[span].count; idx++) {
            forward->span_of[forward->token_count] = span;
            forward->positions[forward->token_count++] = spans[span].position + idx;
        }
    }
}

static void embed_rows(void *context, uint32_t begin, uint32_t end, uint32_t worker)
{
    (void)worker;
    struct sl_forward *forward = context;
    const struct sl_model *model = forward->model;
    const struct sl_hparams *hparams = &model->hparams;
    for (uint32_t row = begin; row < end; row++) {
        const struct sl_span *span = &forward->spans[forward->span_of[row]];
        uint32_t position = forward->positions[row];
        float *x = forward->x + (size_t)row * hparams->embedding_size;
        sl_matrix_row(&model->token_embedding, (uint32_t)span->ids[position - span->position], x);
        if (hparams->embedding_scale != 1)
            forward->kernels->scale(x, x, hparams->embedding_scale, hparams->embedding_size);
        for (uint32_t rope = 0; hparams->rope_dims > 0 && rope < 2; rope++)
            if (rope == SL_ROPE_GLOBAL || hparams->window > 0)
                sl_rope_angles(&model->ropes[rope], position,
                               forward->angles[rope] + (size_t)row * hparams->rope_dims);
    }
}

static void attention_norm_rows(void *context, uint32_t begin, uint32_t end, uint32_t worker)
{
    (void)worker;
    struct sl_forward *forward = context;
    const uint32_t width = forward->model->hparams.embedding_size;
    for (uint32_t row = begin; row < end; row++)
        sl_forward_norm(forward, forward->h + (size_t)row * width, forward->x + (size_t)row * width,
                        forward->layer->attention_norm, forward->layer->attention_norm_bias, width);
}

/* x += h (through the post norm), h = norm(x): between attention and feed-forward. */
static void feed_norm_rows(void *context, uint32_t begin, uint32_t end, uint32_t worker)
{
    (void)worker;
    struct sl_forward *forward = context;
    const struct sl_layer *layer = forward->layer;
    const uint32_t width = forward->model->hparams.embedding_size;
    for (uint32_t row = begin; row < end; row++) {
        float *x = forward->x + (size_t)row * width;
        float *h = forward->h + (size_t)row * width;
        if (layer->attention_post_norm != NULL)
            sl_forward_norm(forward, h, h, layer->attention_post_norm, NULL, width);
        forward->kernels->add(x, x, h, width);
        sl_forward_norm(forward, h, x, layer->feed_norm, layer->feed_norm_bias, width);
    }
}

static void feed_add_rows(void *context, uint32_t begin, uint32_t end, uint32_t worker)
{
    (void)worker;
    struct sl_forward *forward = context;
    const uint32_t width = forward->model->hparams.embedding_size;
    for (uint32_t row = begin; row < end; row++) {
        float *x = forward->x + (size_t)row * width;
        float *h = forward->h + (size_t)row * width;
        if (forward->layer->feed_post_norm != NULL)
            sl_forward_norm(forward, h, h, forward->layer->feed_post_norm, NULL, width);
        forward->kernels->add(x, x, h, width);
    }
}

/* Moves the rows whose outputs are wanted to the front of x and mixed; returns their number. */
static uint32_t keep_outputs(struct sl_forward *forward)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    const size_t width = hparams->embedding_size;
    const size_t mixed_width = (size_t)hparams->head_count * hparams->head_dim;
    uint32_t kept = 0;
    uint32_t row = 0;
    for (uint32_t span = 0; span < forward->span_count; span++) {
        uint32_t end = row + forward->spans[span].count;
        for (row = end - forward->spans[span].outputs; row < end; row++, kept++) {
            if (kept == row)
                continue;
            memcpy(forward->x + kept * width, forward->x + row * width, width * sizeof(float));
            memcpy(forward->mixed + kept * mixed_width, forward->mixed + row * mixed_width,
                   mixed_width * sizeof(float));
        }
    }
    return kept;
}

static void run_layer(struct sl_forward *forward, uint32_t layer_idx)
{
    const struct sl_layer *layer = &forward->model->layers[layer_idx];
    forward->layer = layer;
    forward->layer_idx = layer_idx;
    sl_forward_rows(forward, forward->token_count, attention_norm_rows);
    sl_forward_qkv(forward, forward->h);
    sl_forward_attend_pages(forward);
    uint32_t rows = forward->token_count;
    if (layer_idx + 1 == forward->model->hparams.layer_count) {
        rows = keep_outputs(forward);
        forward->output_count = rows;
        if (rows == 0)
            return;
    }
    sl_forward_matmul(forward, &layer->attention_out, layer->attention_out_bias, forward->mixed,
                      rows, forward->h);
    sl_forward_rows(forward, rows, feed_norm_rows);
    sl_forward_feed(forward, forward->h, rows);
    sl_forward_rows(forward, rows, feed_add_rows);
}

void sl_forward_run(struct sl_forward *forward, const struct sl_span *spans, uint32_t span_count)
{
    start_batch(forward, spans, span_count);
    sl_forward_rows(forward, forward->token_count, embed_rows);
    for (uint32_t layer = 0; layer < forward->model->hparams.layer_count; layer++)
        run_layer(forward, layer);
}

void sl_forward_hidden(struct sl_forward *forward, uint32_t row, float *out)
{
    const struct sl_model *model = forward->model;
    const uint32_t width = model->hparams.embedding_size;
    const float *x = forward->x + (size_t)row * width;
    if (model->hparams.is_encoder)
        memcpy(out, x, width * sizeof *out);
    else
        sl_forward_norm(forward, out, x, model->output_norm, model->output_norm_bias, width);
}

float *sl_forward_logits(struct sl_forward *forward, uint32_t first, uint32_t count)
{
    const struct sl_model *model = forward->model;
    const struct sl_hparams *hparams = &model->hparams;
    for (uint32_t row = 0; row < count; row++)
        sl_forward_hidden(forward, first + row, forward->h + (size_t)row * hparams->embedding_size);
    sl_forward_matmul(forward, &model->output, model->output_bias, forward->h, count,
                      forward->logits);
    if (hparams->final_softcap > 0)
        forward->kernels->softcap(forward->logits, forward->logits, hparams->final_softcap,
                                  (size_t)count * hparams->vocab_size);
    return forward->logits;
}
