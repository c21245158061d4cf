/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of kernels.h for every SIMD width; included after kernels_vector.h by the files that
 * define VF_QUERY_TILE, the queries that a tile meets side by side, and VF_DIM_VECTORS, the vectors
 * of a value row whose sums for all of them stay in registers (8 and 2 of 32 registers, 2 and 4 of
 * 16).
 *
 * Positions go in tiles of SL_ATTEND_TILE. For a batch of queries a tile's keys are widened and
 * turned once, to (dimension, position), so that one register holds one dimension of several
 * positions and a score needs no sum across lanes; values are widened once. For the few queries of
 * one generated token, turning would cost more than it saves: each row of keys or values is widened
 * in registers, where it meets all of them, and sums across lanes are made for a register of
 * positions at once.
 *
 * What lies between scores and values (the largest, exp, sums) is done for VF_QUERY_TILE queries
 * side by side: one after the other, the latency of sums across lanes and of exp was a third of the
 * time.
 *
 * Scratch: keys (head_dim, 32) | values (32, head_dim) | weights (tile, 32).
 */
#ifndef SLUICE_ENGINE_KERNELS_ATTEND_H
#define SLUICE_ENGINE_KERNELS_ATTEND_H

#include "kernels_attend_span.h"
#include "kernels_vector.h"

#define TILE SL_ATTEND_TILE
#define TILE_VECTORS (TILE / VF_LANES)
#ifndef VF_DIM_VECTORS
#define VF_DIM_VECTORS 4
#endif
#define TURN_QUERIES_MIN 6  /* from here on turning the keys pays */
#define FEW_VECTORS (VF_QUERY_TILE < 4 ? 2 : 4) /* likewise for TURN_QUERIES_MIN - 1 queries */

#define SIDE_MAX (VF_QUERY_TILE > TURN_QUERIES_MIN ? VF_QUERY_TILE : TURN_QUERIES_MIN)

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
    for (uint32_t i = 0; i < count; i++)
        ask_for(attend->next_k, start + i, attend->k_stride);
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
    for (uint32_t i = 0; i < count; i++, row += attend->k_stride) {
        ask_for(attend->next_k, start + i, attend->k_stride);
        for (uint32_t dim = 0; dim < attend->head_dim; dim += VF_LANES) {
            const vf k = load_row(attend->format, row, dim);
            for (uint32_t j = 0; j < VF_LANES; j++)
                turned[(dim + j) * TILE + i] = k[j];
        }
    }
    if (count < TILE) /* unseen positions are masked later, but must be numbers */
        for (uint32_t j = 0; j < attend->head_dim; j++)
            memset(turned + j * TILE + count, 0, (TILE - count) * sizeof *turned);
}
#endif

/* `count` values of the run from `start` on, as floats (position, head_dim). */
static void widen_values(const struct sl_attend *attend, uint32_t start, uint32_t count, float *out)
{
    const uint8_t *values = (const uint8_t *)attend->v + start * attend->v_stride;
    for (uint32_t i = 0; i < count; i++, out += attend->head_dim) {
        ask_for(attend->next_v, start + i, attend->v_stride);
        for (uint32_t dim = 0; dim < attend->head_dim; dim += VF_LANES)
            vf_store(out + dim, load_row(attend->format, values + i * attend->v_stride, dim));
    }
}

/* scores (queries, TILE) = q . turned keys, for `queries` neighbours, a constant after inlining. */
INLINE void turned_scores(const struct sl_attend *attend, uint32_t query, int queries,
                          const float *turned, float *scores)
{
    const float *q = attend->q + query * attend->q_stride;
    vf sums[VF_QUERY_TILE][TILE_VECTORS] = {{{0}}};
    _Pragma("GCC unroll 2") for (uint32_t j = 0; j < attend->head_dim; j++)
        for (int i = 0; i < queries; i++)
            for (int v = 0; v < TILE_VECTORS; v++)
                sums[i][v] += q[i * attend->q_stride + j] *
                              vf_load(turned + (size_t)j * TILE + v * VF_LANES);
    for (int i = 0; i < queries; i++)
        for (int v = 0; v < TILE_VECTORS; v++)
            vf_store(scores + i * TILE + v * VF_LANES, sums[i][v]);
}

#ifdef VF_REDUCE
/* Sums, or largest lanes, of VF_QUERY_TILE vectors at once; the sums of VF_LANES vectors. */
static inline void vf_sum_each(const vf x[VF_QUERY_TILE], float out[VF_QUERY_TILE]);
static inline void vf_largest_each(const vf x[VF_QUERY_TILE], float out[VF_QUERY_TILE]);
static inline vf vf_sums(const vf x[VF_LANES]);
#else
INLINE void vf_sum_each(const vf x[VF_QUERY_TILE], float out[VF_QUERY_TILE])
{
    for (int i = 0; i < VF_QUERY_TILE; i++)
        out[i] = vf_sum(x[i]);
}

INLINE void vf_largest_each(const vf x[VF_QUERY_TILE], float out[VF_QUERY_TILE])
{
    for (int i = 0; i < VF_QUERY_TILE; i++)
        out[i] = vf_largest(x[i]);
}

INLINE vf vf_sums(const vf x[VF_LANES])
{
    vf sums = {0};
    for (int i = 0; i < VF_LANES; i++)
        sums[i] = vf_sum(x[i]);
    return sums;
}
#endif

/* Scaled and capped scores of one query, -infinity outside its span. */
INLINE void see_scores(const struct sl_attend *attend, struct span span, const float *scores,
                       vf values[TILE_VECTORS])
{
    for (int v = 0; v < TILE_VECTORS; v++) {
        values[v] = vf_load(scores + v * VF_LANES) * attend->scale;
        if (attend->softcap != 0)
            values[v] = attend->softcap * vf_tanh(values[v] / attend->softcap);
    }
    if (span.first == 0 && span.end == TILE)
        return;
    vi lane;
    for (int i = 0; i < VF_LANES; i++)
        lane[i] = i;
    for (int v = 0; v < TILE_VECTORS; v++) {
        const vi position = lane + v * VF_LANES;
        values[v] = vf_select((position >= (int32_t)span.first) & (position < (int32_t)span.end),
                              values[v], vf_set(-INFINITY));
    }
}

/* Scores (query, TILE) to weights exp(score - max), zero outside the spans, for up to VF_QUERY_TILE
 * neighbours; updates max and sum. `shrink` is by how much what was summed before shrinks. */
INLINE void weigh(const struct sl_attend *attend, uint32_t query, int queries,
                  const struct span *spans, float *scores, float *shrink)
{
    vf values[VF_QUERY_TILE][TILE_VECTORS], largest[VF_QUERY_TILE], sums[VF_QUERY_TILE];
    float here[VF_QUERY_TILE], reference[VF_QUERY_TILE], total[VF_QUERY_TILE];
    float change[VF_LANES] = {0};
    for (int i = 0; i < VF_QUERY_TILE; i++)
        largest[i] = sums[i] = vf_set(0);
    for (int i = 0; i < queries; i++) {
        see_scores(attend, spans[i], scores + i * TILE, values[i]);
        largest[i] = values[i][0];
        for (int v = 1; v < TILE_VECTORS; v++)
            largest[i] = vf_max(values[i][v], largest[i]);
    }
    if (queries > 1)
        vf_largest_each(largest, here);
    else
        here[0] = vf_largest(largest[0]);
    for (int i = 0; i < queries; i++) {
        const float before = attend->max[query + (uint32_t)i];
        const float max = here[i] > before ? here[i] : before;
        attend->max[query + (uint32_t)i] = max;
        reference[i] = max > -INFINITY ? max : 0; /* all -inf: every weight is 0, not NaN */
        change[i] = before - reference[i];
    }
    const vf shrinks = vf_exp(vf_load(change));
    for (int i = 0; i < queries; i++)
        for (int v = 0; v < TILE_VECTORS; v++) {
            values[i][v] = vf_exp(values[i][v] - reference[i]);
            sums[i] += values[i][v];
            vf_store(scores + i * TILE + v * VF_LANES, values[i][v]);
        }
    if (queries > 1)
        vf_sum_each(sums, total);
    else
        total[0] = vf_sum(sums[0]);
    for (int i = 0; i < queries; i++) {
        shrink[i] = shrinks[i];
        attend->sum[query + (uint32_t)i] =
            attend->sum[query + (uint32_t)i] * shrink[i] + total[i];
    }
}

/* acc = acc * shrink + weights . values for `queries` neighbours and `vectors` vectors of the
 * head from `dim` on; both counts constants after inlining. */
INLINE void fold_values(const struct sl_attend *attend, uint32_t query, int queries,
                        const float *shrink, const float *weights, const float *values,
                        size_t stride, struct span span, uint32_t dim, int vectors)
{
    float *acc = attend->acc + query * attend->acc_stride + dim;
    vf sums[VF_QUERY_TILE][VF_DIM_VECTORS];
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
    const uint32_t step = VF_DIM_VECTORS * VF_LANES;
    uint32_t dim = 0;
    for (; dim + step <= attend->head_dim; dim += step)
        fold_values(attend, query, queries, shrink, weights, values, stride, span, dim,
                    VF_DIM_VECTORS);
    for (; dim < attend->head_dim; dim += VF_LANES)
        fold_values(attend, query, queries, shrink, weights, values, stride, span, dim, 1);
}

/* `queries` neighbours against a turned tile. */
INLINE void attend_turned(const struct sl_attend *attend, uint32_t query, int queries,
                          uint32_t start, uint32_t count, const float *turned,
                          const float *values, float *scores)
{
    struct span spans[VF_QUERY_TILE];
    float shrink[VF_QUERY_TILE];
    const struct span all = visible_to_all(attend, query, queries, start, count, spans);
    if (all.end == 0)
        return;
    turned_scores(attend, query, queries, turned, scores);
    weigh(attend, query, queries, spans, scores, shrink);
    fold_all(attend, query, queries, shrink, scores, values, attend->head_dim, all);
}

/* ---- few queries; their number is a constant after inlining ---- */

/* scores (query, TILE) of `count` rows of the cache. */
INLINE void few_scores(const struct sl_attend *attend, int queries, uint32_t start, uint32_t count,
                       float *scores)
{
    const uint8_t *keys = (const uint8_t *)attend->k + start * attend->k_stride;
    for (uint32_t base = 0; base < count; base += VF_LANES) {
        vf parts[TURN_QUERIES_MIN][VF_LANES];
        for (uint32_t i = 0; i < VF_LANES; i++) {
            const uint32_t seen = base + i < count ? base + i : count - 1; /* masked later */
            ask_for(attend->next_k, start + seen, attend->k_stride);
            vf sums[TURN_QUERIES_MIN] = {{0}};
            for (uint32_t dim = 0; dim < attend->head_dim; dim += VF_LANES) {
                const vf k = load_row(attend->format, keys + seen * attend->k_stride, dim);
                for (int j = 0; j < queries; j++)
                    sums[j] += vf_load(attend->q + (size_t)j * attend->q_stride + dim) * k;
            }
            for (int j = 0; j < queries; j++)
                parts[j][i] = sums[j];
        }
        for (int j = 0; j < queries; j++)
            vf_store(scores + j * TILE + base, vf_sums(parts[j]));
    }
}

/* acc = acc * shrink + weights . rows of the cache, `vectors` vectors from `dim` on. */
INLINE void few_values(const struct sl_attend *attend, int queries, uint32_t start,
                       struct span span, const float *shrink, const float *weights, uint32_t dim,
                       int vectors)
{
    const uint8_t *values = (const uint8_t *)attend->v + start * attend->v_stride;
    vf sums[TURN_QUERIES_MIN][FEW_VECTORS];
    for (int j = 0; j < queries; j++)
        for (int v = 0; v < vectors; v++)
            sums[j][v] = vf_load(attend->acc + (size_t)j * attend->acc_stride + dim +
                                 v * VF_LANES) * shrink[j];
    for (uint32_t position = span.first; position < span.end; position++) {
        if (dim == 0)
            ask_for(attend->next_v, start + position, attend->v_stride);
        for (int v = 0; v < vectors; v++) {
            const vf value = load_row(attend->format, values + position * attend->v_stride,
                                      dim + (uint32_t)v * VF_LANES);
            for (int j = 0; j < queries; j++)
                sums[j][v] += weights[j * TILE + position] * value;
        }
    }
    for (int j = 0; j < queries; j++)
        for (int v = 0; v < vectors; v++)
            vf_store(attend->acc + (size_t)j * attend->acc_stride + dim + v * VF_LANES,
                     sums[j][v]);
}

INLINE void attend_few(const struct sl_attend *attend, int queries, uint32_t start, uint32_t count,
                       float *scores)
{
    struct span spans[TURN_QUERIES_MIN];
    float shrink[TURN_QUERIES_MIN];
    const struct span all = visible_to_all(attend, 0, queries, start, count, spans);
    few_scores(attend, queries, start, count, scores);
    for (int j = 0; j < queries; j += VF_QUERY_TILE) {
        const int left = queries - j;
        weigh(attend, (uint32_t)j, left < VF_QUERY_TILE ? left : VF_QUERY_TILE, spans + j,
              scores + j * TILE, shrink + j);
    }
    uint32_t dim = 0;
    for (; dim + FEW_VECTORS * VF_LANES <= attend->head_dim; dim += FEW_VECTORS * VF_LANES)
        few_values(attend, queries, start, all, shrink, scores, dim, FEW_VECTORS);
    for (; dim < attend->head_dim; dim += VF_LANES)
        few_values(attend, queries, start, all, shrink, scores, dim, 1);
}

/* Fewer than TURN_QUERIES_MIN queries. */
static void attend_rows(const struct sl_attend *attend, uint32_t start, uint32_t count,
                        float *scores)
{
    switch (attend->queries) {
    case 1: attend_few(attend, 1, start, count, scores); break;
    case 2: attend_few(attend, 2, start, count, scores); break;
    case 3: attend_few(attend, 3, start, count, scores); break;
    case 4: attend_few(attend, 4, start, count, scores); break;
    default: attend_few(attend, TURN_QUERIES_MIN - 1, start, count, scores); break;
    }
}

static void vector_attend(const struct sl_attend *attend)
{
    if (attend->head_dim % VF_LANES != 0) { /* heads of 8: only tiny models have them */
        sl_ref_attend(attend);
        return;
    }
    float *keys = attend->scratch, *values = keys + TILE * attend->head_dim;
    float *scores = values + TILE * attend->head_dim;
    memset(scores, 0, SIDE_MAX * TILE * sizeof *scores); /* behind a short tile: numbers */
    for (uint32_t start = 0; start < attend->positions; start += TILE) {
        const uint32_t left = attend->positions - start, count = left < TILE ? left : TILE;
        if (!anyone_sees(attend, start, count))
            continue;
        if (attend->queries < TURN_QUERIES_MIN) {
            attend_rows(attend, start, count, scores);
            continue;
        }
        widen_values(attend, start, count, values);
        turn_keys(attend, start, count, keys);
        uint32_t query = 0;
        for (; query + VF_QUERY_TILE <= attend->queries; query += VF_QUERY_TILE)
            attend_turned(attend, query, VF_QUERY_TILE, start, count, keys, values, scores);
        for (; query + VF_QUERY_TILE / 2 <= attend->queries; query += VF_QUERY_TILE / 2)
            attend_turned(attend, query, VF_QUERY_TILE / 2, start, count, keys, values, scores);
        for (; query < attend->queries; query++)
            attend_turned(attend, query, 1, start, count, keys, values, scores);
    }
}

#endif
