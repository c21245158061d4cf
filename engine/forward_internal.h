/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the forward pass share: its work memory. Shapes: T tokens of the batch, E
 * embedding, H query heads, K key/value heads, G = H / K heads a group, D head_dim, F feed-forward.
 */
#ifndef SLUICE_ENGINE_FORWARD_INTERNAL_H
#define SLUICE_ENGINE_FORWARD_INTERNAL_H

#include "forward.h"

/* Queries that meet a page of the cache at once: enough to pay for unpacking the page, and with
 * heads of 64 they, their sums and the page fit the L1 cache. Fewer where that is a multiple of
 * what the widest kernel takes side by side. */
#define SL_ATTEND_QUERIES 56
#define SL_ATTEND_SIDE 8

struct sl_forward {
    const struct sl_model *model;
    const struct sl_kv_cache *cache;
    struct sl_pool *pool;
    const struct sl_kernels *kernels;
    uint32_t tokens_max;
    uint32_t logit_rows_max;
    uint32_t output_count;

    float *x;              /* (T, E): the residual stream; after a run (outputs, E) */
    float *h;              /* (T, E): what a block reads or gives */
    float *q;              /* (T, H, D) */
    float *k, *v;          /* (T, K, D) */
    float *packed;         /* (K, T, G, D): queries as the attention kernel wants them */
    float *acc;            /* (K, T, G, D) */
    float *max;            /* (K, T, G) */
    float *sum;            /* (K, T, G) */
    float *mixed;          /* (T, H, D): what attention gives; shares memory with q */
    float *gate;           /* (T, F) */
    float *up;             /* (T, F) */
    float *angles[2];      /* (T, rope_dims / 2, 2) */
    float *logits;         /* (logit_rows_max, vocab) */
    void *scratch;         /* of matrix products */
    float *attend_scratch; /* (SL_POOL_THREADS_MAX, SL_ATTEND_SCRATCH_FLOATS) */
    void *memory;          /* all of the above in one piece */

    /* The batch that runs. */
    const struct sl_span *spans;
    uint32_t span_count;
    uint32_t token_count;
    uint32_t *positions; /* (T) */
    uint32_t *span_of;   /* (T) */
    uint32_t parts;      /* that attention's pieces are cut into: acc, max, sum (parts, K, ...) */
    const struct sl_layer *layer;
    uint32_t layer_idx;
};

/* Calls `fn` for [begin, end) of `rows` rows, in parallel where it is worth a wake of the pool. */
void sl_forward_rows(struct sl_forward *forward, uint32_t rows, sl_pool_range_fn *fn);
/* x = norm of row `x` with the model's kind of norm. `out` may be `x`. */
void sl_forward_norm(const struct sl_forward *forward, float *out, const float *x,
                     const float *weight, const float *bias, uint32_t n);
/* Q, K and V of all tokens from `input` (T, E) with biases, norms and rotary embedding; queries go
 * to `packed`. */
void sl_forward_qkv(struct sl_forward *forward, const float *input);
/* Attention through the cache: packed -> mixed. */
void sl_forward_attend_pages(struct sl_forward *forward);
/* Attention of all tokens to all tokens of the batch: packed, k, v -> mixed. */
void sl_forward_attend_both_ways(struct sl_forward *forward);
/* gate/up/down of `input` (rows, E) into h (rows, E), without norms. */
void sl_forward_feed(struct sl_forward *forward, const float *input, uint32_t rows);
/* out = W x + bias, (rows, W's rows); bias may be NULL. */
void sl_forward_matmul(struct sl_forward *forward, const struct sl_matrix *matrix,
                       const float *bias, const float *x, uint32_t rows, float *out);

#endif
