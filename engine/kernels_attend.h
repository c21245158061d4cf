/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of kernels.h for every SIMD width; included after kernels_vector.h by the files that
 * define VF_QUERY_TILE, the queries whose accumulators fit the registers (4 of 32, 2 of 16).
 *
 * Positions go in tiles of SL_ATTEND_TILE. For a batch of queries a tile's keys are widened and
 * turned once, to (dimension, position), so that one register holds one dimension of several
 * positions and a score needs no sum across lanes; values are widened once. For the few queries of
 * one generated token, turning would cost more than it saves: keys are widened but stay rows.
 *
 * Scratch: keys (head_dim, 32) or (32, head_dim) | values (32, head_dim) | weights (tile, 32).
 */
#ifndef SLUICE_ENGINE_KERNELS_ATTEND_H
#define SLUICE_ENGINE_KERNELS_ATTEND_H

#include "kernels_vector.h"

#define TILE SL_ATTEND_TILE
#define TILE_VECTORS (TILE / VF_LANES)
#define DIM_VECTORS 4       /* vectors of a value row whose sums stay in registers */
#define TURN_QUERIES_MIN 6  /* from here on turning the keys pays */

/* The positions [first, end) of a tile that a query sees. */
struct span {
    uint32_t first, end;
};

static inline struct span visible(const struct sl_attend *attend, uint32_t query, uint32_t start,
                                  uint32_t count)
{
    const uint32_t first = attend->first[query], end = attend->end[query];
    const struct span span = {first > start ? first - start : 0,
                              end > start ? (end - start < count ? end - start : count) : 0};
    return span.first < span.end ? span : (struct span){0, 0};
}

/* VF_LANES values of a row of the cache, from `dim` on. */
INLINE vf load_row(enum sl_kv_format format, const void *row, uint32_t dim)
{
    typedef int8_t codes __attribute__((vector_size(VF_LANES), aligned(1), may_alias));
    if (format == SL_KV_FORMAT_F32)
        return vf_load((const float *)row + dim);
    if (format == SL_KV_FORMAT_F16)
        return vf_load_f16((const sl_f16 *)row + dim);
    const struct sl_block_q8_0 *block = (const struct sl_block_q8_0 *)row + dim / SL_BLOCK;
    const codes q = *(const codes *)(block->q + dim % SL_BLOCK);
    return __builtin_convertvector(q, vf) * sl_f16_to_f32(block->d);
}

#ifdef VF_TRANSPOSE
static inline void vf_transpose(vf rows[VF_LANES]);

static void turn_keys(const struct sl_attend *attend, uint32_t start, uint32_t count, float *turned)
{
    const uint8_t *keys = (const uint8_t *)attend->k + start * attend->k_stride;
    for (uint32_t i = 0; i < TILE; i += VF_LANES)
        for (uint32_t dim = 0; dim < attend->head_dim; dim += VF_LANES) {
            vf rows[VF_LANES]; /* unseen positions are masked later, but must be numbers */
            for (uint32_t row = 0; row < VF_LANES; row++)
                rows[row] = i + row < count ? load_row(attend->format,
                                                       keys + (i + row) * attend->k_stride, dim)
                                            : vf_set(0);
            vf_transpose(rows);
            for (uint32_t j = 0; j < VF_LANES; j++)
                vf_store(turned + (dim + j) * TILE + i, rows[j]);
        }
}
#else
static void turn_keys(const struct sl_attend *attend, uint32_t start, uint32_t count, float *turned)
{
    const uint8_t *row = (const uint8_t *)attend->k + start * attend->k_stride;
    for (uint32_t i = 0; i < count; i++, row += attend->k_stride)
        for (uint32_t dim = 0; dim < attend->head_dim; dim += VF_LANES) {
            const vf k = load_row(attend->format, row, dim);
            for (uint32_t j = 0; j < VF_LANES; j++)
                turned[(dim + j) * TILE + i] = k[j];
        }
    if (count < TILE) /* unseen positions are masked later, but must be numbers */
        for (uint32_t j = 0; j < attend->head_dim; j++)
            memset(turned + j * TILE + count, 0, (TILE - count) * sizeof *turned);
}
#endif

/* `count` rows of the cache from `rows` on, as floats (position, head_dim). */
static void widen_rows(const struct sl_attend *attend, const uint8_t *rows, size_t stride,
                       uint32_t count, float *out)
{
    for (uint32_t i = 0; i < count; i++, out += attend->head_dim)
        for (uint32_t dim = 0; dim < attend->head_dim; dim += VF_LANES)
            vf_store(out + dim, load_row(attend->format, rows + i * stride, dim));
}

/* scores (queries, TILE) = q . turned keys, for `queries` neighbours, a constant after inlining. */
INLINE void turned_scores(const struct sl_attend *attend, uint32_t query, int queries,
                          const float *turned, float *scores)
{
    const float *q = attend->q + query * attend->q_stride;
    vf sums[VF_QUERY_TILE][TILE_VECTORS] = {{{0}}};
    for (uint32_t j = 0; j < attend->head_dim; j++)
        for (int i = 0; i < queries; i++)
            for (int v = 0; v < TILE_VECTORS; v++)
                sums[i][v] += q[i * attend->q_stride + j] *
                              vf_load(turned + (size_t)j * TILE + v * VF_LANES);
    for (int i = 0; i < queries; i++)
        for (int v = 0; v < TILE_VECTORS; v++)
            vf_store(scores + i * TILE + v * VF_LANES, sums[i][v]);
}

/* Scores to weights exp(score - max) for one query, zero outside its span; updates max and sum.
 * Returns by how much what was summed before shrinks. */
static inline float weigh(const struct sl_attend *attend, uint32_t query, struct span span,
                          float *scores)
{
    vf values[TILE_VECTORS], largest = vf_set(-INFINITY), sum = {0};
    vi lane;
    for (int i = 0; i < VF_LANES; i++)
        lane[i] = i;
    for (int v = 0; v < TILE_VECTORS; v++) {
        values[v] = vf_load(scores + v * VF_LANES) * attend->scale;
        if (attend->softcap != 0)
            values[v] = attend->softcap * vf_tanh(values[v] / attend->softcap);
        const vi position = lane + v * VF_LANES;
        values[v] = vf_select((position >= (int32_t)span.first) & (position < (int32_t)span.end),
                              values[v], vf_set(-INFINITY));
        largest = vf_max(values[v], largest);
    }
    const float before = attend->max[query], here = vf_largest(largest);
    const float max = here > before ? here : before;
    const float reference = max > -INFINITY ? max : 0; /* all -inf: every weight is 0, not NaN */
    for (int v = 0; v < TILE_VECTORS; v++) {
        values[v] = vf_exp(values[v] - reference);
        sum += values[v];
        vf_store(scores + v * VF_LANES, values[v]);
    }
    const float shrink = max > before ? vf_exp(vf_set(before - reference))[0] : 1.0f;
    attend->max[query] = max;
    attend->sum[query] = attend->sum[query] * shrink + vf_sum(sum);
    return shrink;
}

/* acc = acc * shrink + weights . values for `queries` neighbours and `vectors` vectors of the
 * head from `dim` on; both counts constants after inlining. */
INLINE void fold_values(const struct sl_attend *attend, uint32_t query, int queries,
                        const float *shrink, const float *weights, const float *values,
                        size_t stride, struct span span, uint32_t dim, int vectors)
{
    float *acc = attend->acc + query * attend->acc_stride + dim;
    vf sums[VF_QUERY_TILE][DIM_VECTORS];
    for (int i = 0; i < queries; i++)
        for (int v = 0; v < vectors; v++)
            sums[i][v] = vf_load(acc + i * attend->acc_stride + v * VF_LANES) * shrink[i];
    for (uint32_t position = span.first; position < span.end; position++)
        for (int v = 0; v < vectors; v++) {
            const vf value = vf_load(values + position * stride + dim + v * VF_LANES);
            for (int i = 0; i < queries; i++)
                sums[i][v] += weights[i * TILE + position] * value;
        }
    for (int i = 0; i < queries; i++)
        for (int v = 0; v < vectors; v++)
            vf_store(acc + i * attend->acc_stride + v * VF_LANES, sums[i][v]);
}

INLINE void fold_all(const struct sl_attend *attend, uint32_t query, int queries,
                     const float *shrink, const float *weights, const float *values, size_t stride,
                     struct span span)
{
    const uint32_t step = DIM_VECTORS * VF_LANES;
    uint32_t dim = 0;
    for (; dim + step <= attend->head_dim; dim += step)
        fold_values(attend, query, queries, shrink, weights, values, stride, span, dim,
                    DIM_VECTORS);
    for (; dim < attend->head_dim; dim += VF_LANES)
        fold_values(attend, query, queries, shrink, weights, values, stride, span, dim, 1);
}

/* `queries` neighbours against a turned tile. */
INLINE void attend_turned(const struct sl_attend *attend, uint32_t query, int queries,
                          uint32_t start, uint32_t count, const float *turned,
                          const float *values, float *scores)
{
    struct span spans[VF_QUERY_TILE], all = {TILE, 0};
    float shrink[VF_QUERY_TILE];
    for (int i = 0; i < queries; i++) {
        spans[i] = visible(attend, query + (uint32_t)i, start, count);
        if (spans[i].end == 0)
            continue;
        all.first = spans[i].first < all.first ? spans[i].first : all.first;
        all.end = spans[i].end > all.end ? spans[i].end : all.end;
    }
    if (all.end == 0)
        return;
    turned_scores(attend, query, queries, turned, scores);
    for (int i = 0; i < queries; i++)
        shrink[i] = weigh(attend, query + (uint32_t)i, spans[i], scores + i * TILE);
    fold_all(attend, query, queries, shrink, scores, values, attend->head_dim, all);
}

/* Few queries: keys as rows (position, head_dim), one score at a time. */
static void attend_rows(const struct sl_attend *attend, uint32_t start, uint32_t count,
                        const float *keys, const float *values, float *scores)
{
    for (uint32_t query = 0; query < attend->queries; query++) {
        const struct span span = visible(attend, query, start, count);
        if (span.end == 0)
            continue;
        for (uint32_t i = span.first; i < span.end; i++)
            scores[i] = vector_dot(attend->q + query * attend->q_stride,
                                   keys + i * attend->head_dim, attend->head_dim);
        const float shrink = weigh(attend, query, span, scores);
        fold_all(attend, query, 1, &shrink, scores, values, attend->head_dim, span);
    }
}

static bool anyone_sees(const struct sl_attend *attend, uint32_t start, uint32_t count)
{
    for (uint32_t query = 0; query < attend->queries; query++)
        if (visible(attend, query, start, count).end != 0)
            return true;
    return false;
}

static void vector_attend(const struct sl_attend *attend)
{
    if (attend->head_dim % VF_LANES != 0) { /* heads of 8: only tiny models have them */
        sl_ref_attend(attend);
        return;
    }
    float *keys = attend->scratch, *values = keys + TILE * attend->head_dim;
    float *scores = values + TILE * attend->head_dim;
    memset(scores, 0, VF_QUERY_TILE * TILE * sizeof *scores);
    for (uint32_t start = 0; start < attend->positions; start += TILE) {
        const uint32_t left = attend->positions - start, count = left < TILE ? left : TILE;
        if (!anyone_sees(attend, start, count))
            continue;
        widen_rows(attend, (const uint8_t *)attend->v + start * attend->v_stride, attend->v_stride,
                   count, values);
        if (attend->queries < TURN_QUERIES_MIN) {
            widen_rows(attend, (const uint8_t *)attend->k + start * attend->k_stride,
                       attend->k_stride, count, keys);
            attend_rows(attend, start, count, keys, values, scores);
            continue;
        }
        turn_keys(attend, start, count, keys);
        uint32_t query = 0;
        for (; query + VF_QUERY_TILE <= attend->queries; query += VF_QUERY_TILE)
            attend_turned(attend, query, VF_QUERY_TILE, start, count, keys, values, scores);
        for (; query < attend->queries; query++)
            attend_turned(attend, query, 1, start, count, keys, values, scores);
    }
}

#endif
