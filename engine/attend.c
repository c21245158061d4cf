/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention over a run of positions, in plain C, and what surrounds it in every version: start,
 * end, and storing rows of the cache.
 *
 * Softmax without the row of scores (Milakov and Gimelshein, arXiv 1805.02867; FlashAttention,
 * arXiv 2205.14135): for each query keep the largest score so far, the sum of exp(score - max) and
 * the values summed with those weights; when the largest grows, what was summed shrinks by
 * exp(old - new).
 *
 * Threads: pure functions on the caller's memory.
 */
#include "kernels_matmul.h"

#include <math.h>

size_t sl_kv_bytes(enum sl_kv_format format, uint32_t dims)
{
    switch (format) {
    case SL_KV_FORMAT_F32: return dims * sizeof(float);
    case SL_KV_FORMAT_F16: return dims * sizeof(sl_f16);
    case SL_KV_FORMAT_Q8_0: return dims / SL_BLOCK * sizeof(struct sl_block_q8_0);
    }
    return 0;
}

void sl_kv_store(enum sl_kv_format format, void *out, const float *x, uint32_t dims)
{
    switch (format) {
    case SL_KV_FORMAT_F32: memcpy(out, x, dims * sizeof *x); break;
    case SL_KV_FORMAT_F16: sl_kernels()->f32_to_f16(out, x, dims); break;
    case SL_KV_FORMAT_Q8_0: sl_kernels()->f32_to_q8_0(out, x, dims); break;
    }
}

void sl_attend_begin(const struct sl_attend *attend)
{
    for (uint32_t query = 0; query < attend->queries; query++) {
        attend->max[query] = -INFINITY;
        attend->sum[query] = 0;
        memset(attend->acc + query * attend->acc_stride, 0, attend->head_dim * sizeof(float));
    }
    if (sl_kernels()->attend_begin != NULL)
        sl_kernels()->attend_begin(attend);
}

void sl_attend_merge(const struct sl_attend *into, const struct sl_attend *from)
{
    for (uint32_t query = 0; query < into->queries; query++) {
        const float a = into->max[query], b = from->max[query], max = a > b ? a : b;
        if (b == -INFINITY) /* saw nothing */
            continue;
        const float shrink = expf(a - max), share = expf(b - max); /* from -inf: 0 */
        float *acc = into->acc + query * into->acc_stride;
        const float *other = from->acc + query * from->acc_stride;
        for (uint32_t j = 0; j < into->head_dim; j++)
            acc[j] = acc[j] * shrink + other[j] * share;
        into->sum[query] = into->sum[query] * shrink + from->sum[query] * share;
        into->max[query] = max;
    }
}

void sl_attend_end(const struct sl_attend *attend)
{
    const struct sl_kernels *kernels = sl_kernels();
    for (uint32_t query = 0; query < attend->queries; query++) {
        float *acc = attend->acc + query * attend->acc_stride;
        const float sum = attend->sum[query];
        kernels->scale(acc, acc, sum > 0 ? 1.0f / sum : 0.0f, attend->head_dim);
    }
}

/* One row of the cache as floats. */
static void load_row(enum sl_kv_format format, const void *row, float *out, uint32_t dims)
{
    switch (format) {
    case SL_KV_FORMAT_F32: memcpy(out, row, dims * sizeof *out); break;
    case SL_KV_FORMAT_F16: sl_type_traits(SL_TYPE_F16)->dequantize(row, out, dims); break;
    case SL_KV_FORMAT_Q8_0: sl_type_traits(SL_TYPE_Q8_0)->dequantize(row, out, dims); break;
    }
}

/* Scores of one query with the keys of a tile; returns the largest. k (position, head_dim). */
static float tile_scores(const struct sl_attend *attend, uint32_t query, const float *k,
                         uint32_t count, float *scores)
{
    const float *q = attend->q + query * attend->q_stride;
    float largest = -INFINITY;
    for (uint32_t i = 0; i < count; i++) {
        float sum = 0;
        for (uint32_t j = 0; j < attend->head_dim; j++)
            sum += q[j] * k[i * attend->head_dim + j];
        sum *= attend->scale;
        if (attend->softcap != 0)
            sum = attend->softcap * tanhf(sum / attend->softcap);
        scores[i] = sum;
        largest = sum > largest ? sum : largest;
    }
    return largest;
}

/* Folds `count` scored positions into the state of one query. v (position, head_dim). */
static void fold_tile(const struct sl_attend *attend, uint32_t query, const float *v,
                      uint32_t count, const float *scores, float largest)
{
    float *acc = attend->acc + query * attend->acc_stride;
    if (largest > attend->max[query]) {
        const float shrink = expf(attend->max[query] - largest); /* from -inf: 0 */
        attend->max[query] = largest;
        attend->sum[query] *= shrink;
        for (uint32_t j = 0; j < attend->head_dim; j++)
            acc[j] *= shrink;
    }
    for (uint32_t i = 0; i < count; i++) {
        const float weight = expf(scores[i] - attend->max[query]);
        attend->sum[query] += weight;
        for (uint32_t j = 0; j < attend->head_dim; j++)
            acc[j] += weight * v[i * attend->head_dim + j];
    }
}

void sl_ref_attend(const struct sl_attend *attend)
{
    float *k = attend->scratch;
    float *v = k + SL_ATTEND_TILE * attend->head_dim;
    for (uint32_t start = 0; start < attend->positions; start += SL_ATTEND_TILE) {
        const uint32_t left = attend->positions - start;
        const uint32_t count = left < SL_ATTEND_TILE ? left : SL_ATTEND_TILE;
        for (uint32_t i = 0; i < count; i++) {
            load_row(attend->format, (const uint8_t *)attend->k + (start + i) * attend->k_stride,
                     k + i * attend->head_dim, attend->head_dim);
            load_row(attend->format, (const uint8_t *)attend->v + (start + i) * attend->v_stride,
                     v + i * attend->head_dim, attend->head_dim);
        }
        for (uint32_t query = 0; query < attend->queries; query++) {
            const uint32_t first = attend->first[query] > start ? attend->first[query] - start : 0;
            const uint32_t end =
                attend->end[query] < start + count
                    ? (attend->end[query] > start ? attend->end[query] - start : 0)
                    : count;
            float scores[SL_ATTEND_TILE];
            if (first >= end)
                continue;
            const float largest = tile_scores(attend, query, k + first * attend->head_dim,
                                              end - first, scores);
            fold_tile(attend, query, v + first * attend->head_dim, end - first, scores, largest);
        }
    }
}
