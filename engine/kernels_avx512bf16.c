/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention in bfloat16, for CPUs with AVX512_BF16 (Zen 4, Sapphire Rapids and later): vdpbf16ps
 * multiplies 32 pairs where an FMA multiplies 16, at the same rate on Zen 5. Sums are floats.
 *
 * Only where the caller says that it may be (sl_attend.may_round): queries, keys, weights and
 * values lose all but 8 bits of their mantissas, which is less than what int8 activations cost
 * before (0.2 % of a value against 0.4 % of the largest in 32), but nothing that a model with float
 * weights should pay. Keys are centred first: the mean key of the sequence's first page is taken
 * from each. That moves all scores of a query alike, which softmax does not see, and keys that
 * share a large part (models with a bias on K) keep their differences (as SageAttention does for
 * int8, arXiv 2410.02367).
 *
 * What a query gets does not depend on its neighbours, nor on how its positions are cut into runs
 * and parts, but for the order of float additions: one query is rounded as many are, and weights
 * are powers of two relative to a whole number, the largest score in base 2 rounded up, so that
 * another largest score before it shifts exponents and never a mantissa. Sums are of rounded
 * weights, so that these add up to one.
 *
 * Scratch (words of two bfloat16, from sl_attend_begin to the last run):
 *   queries (query, head_dim / 2) | keys (head_dim / 2, 32 positions) |
 *   values (16 pairs of positions, head_dim) | weights (8 queries, 16 pairs) |
 *   centre (head_dim), floats
 *
 * Threads: pure functions on the caller's memory.
 */
#include "kernels_attend_span.h"
#include "kernels_avx512.h"

#include <math.h>

#define TILE SL_ATTEND_TILE
#define PAIRS (TILE / 2)
#define SIDE 8        /* queries that meet a tile side by side: with two registers of positions, */
#define DIM_VECTORS 2 /* or of values, each, their sums are 16 of 32 registers */
#define LOG2_E 1.44269504f
#define LN_2 0.693147181f
#define UNROLLED _Pragma("GCC unroll 16")

struct scratch {
    __m512i *queries, *keys, *values;
    uint32_t *weights;
    float *centre;
};

static struct scratch scratch_of(const struct sl_attend *attend)
{
    struct scratch scratch = {.queries = (__m512i *)(void *)attend->scratch};
    const size_t row = attend->head_dim / 32; /* registers */
    scratch.keys = scratch.queries + row * attend->queries;
    scratch.values = scratch.keys + row * TILE;
    scratch.weights = (uint32_t *)(scratch.values + row * TILE);
    scratch.centre = (float *)scratch.weights + SIDE * PAIRS;
    return scratch;
}

static bool rounds(const struct sl_attend *attend)
{
    const size_t rows = attend->queries + 2 * TILE; /* of queries, keys and values */
    const size_t words = attend->head_dim / 2 * rows + SIDE * PAIRS + attend->head_dim;
    return attend->may_round && attend->softcap == 0 && attend->head_dim % 32 == 0 &&
           words <= SL_ATTEND_SCRATCH_FLOATS;
}

/* ---- rows of the cache ---- */

INLINE512 __m512 load_sixteen(enum sl_kv_format format, const uint8_t *row, uint32_t dim)
{
    if (format == SL_KV_FORMAT_F32)
        return _mm512_loadu_ps((const float *)(const void *)row + dim);
    if (format == SL_KV_FORMAT_F16)
        return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(row + 2 * dim)));
    const struct sl_block_q8_0 *block =
        (const struct sl_block_q8_0 *)(const void *)row + dim / SL_BLOCK;
    const void *q = block->q + dim % SL_BLOCK;
    const __m128i codes = _mm_loadu_si128((const __m128i *)q);
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)),
                         _mm512_set1_ps(_cvtsh_ss(block->d)));
}

INLINE512 __m512i round_two(__m512 low, __m512 high)
{
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* The mean of the run's keys. */
static void find_centre(const struct sl_attend *attend, float *centre)
{
    const uint8_t *keys = attend->k;
    const __m512 share = _mm512_set1_ps(1.0f / (float)attend->positions);
    for (uint32_t dim = 0; dim < attend->head_dim; dim += 16) {
        __m512 sum = _mm512_setzero_ps();
        for (uint32_t i = 0; i < attend->positions; i++)
            sum = _mm512_add_ps(
                sum, load_sixteen(attend->format, keys + i * attend->k_stride, dim));
        _mm512_storeu_ps(centre + dim, _mm512_mul_ps(sum, share));
    }
}

void sl_avx512bf16_attend_begin(const struct sl_attend *attend)
{
    if (!rounds(attend))
        return;
    const struct scratch scratch = scratch_of(attend);
    __m512i *out = scratch.queries;
    for (uint32_t query = 0; query < attend->queries; query++) {
        const float *q = attend->q + query * attend->q_stride;
        for (uint32_t dim = 0; dim < attend->head_dim; dim += 32)
            *out++ = round_two(_mm512_loadu_ps(q + dim), _mm512_loadu_ps(q + dim + 16));
    }
    find_centre(attend, scratch.centre);
}

/* Keys of a tile as (pair of dimensions, position). Unseen positions are masked later, but must be
 * numbers. */
static void turn_keys(const struct sl_attend *attend, uint32_t start, uint32_t count,
                      const struct scratch *scratch)
{
    const uint8_t *keys = (const uint8_t *)attend->k + start * attend->k_stride;
    for (uint32_t dim = 0; dim < attend->head_dim; dim += 32) {
        const __m512 low = _mm512_loadu_ps(scratch->centre + dim);
        const __m512 high = _mm512_loadu_ps(scratch->centre + dim + 16);
        for (uint32_t i = 0; i < TILE; i += 16) {
            __m512i rows[16];
            for (uint32_t j = 0; j < 16; j++) {
                const uint8_t *row = keys + (i + j) * attend->k_stride;
                if (dim == 0 && i + j < count)
                    ask_for(attend->next_k, start + i + j, attend->k_stride);
                rows[j] = _mm512_setzero_si512();
                if (i + j < count)
                    rows[j] = round_two(
                        _mm512_sub_ps(load_sixteen(attend->format, row, dim), low),
                        _mm512_sub_ps(load_sixteen(attend->format, row, dim + 16), high));
            }
            transpose(rows);
            for (uint32_t j = 0; j < 16; j++)
                scratch->keys[(dim / 2 + j) * (TILE / 16) + i / 16] = rows[j];
        }
    }
}

/* Values of a tile as (pair of positions, dimension). */
static void pair_values(const struct sl_attend *attend, uint32_t start, uint32_t count,
                        const struct scratch *scratch)
{
    const __m512i interleaved = _mm512_add_epi16( /* 0, 16, 1, 17 ... */
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32(0x00010001)),
        _mm512_set1_epi32(16 << 16));
    const uint8_t *values = (const uint8_t *)attend->v + start * attend->v_stride;
    for (uint32_t pair = 0; pair < PAIRS; pair++) {
        const uint8_t *row = values + 2 * pair * attend->v_stride;
        if (2 * pair < count) {
            ask_for(attend->next_v, start + 2 * pair, attend->v_stride);
            ask_for(attend->next_v, start + 2 * pair + 1, attend->v_stride);
        }
        for (uint32_t dim = 0; dim < attend->head_dim; dim += 16) {
            const __m512 even = 2 * pair < count ? load_sixteen(attend->format, row, dim)
                                                 : _mm512_setzero_ps();
            const __m512 odd = 2 * pair + 1 < count
                                   ? load_sixteen(attend->format, row + attend->v_stride, dim)
                                   : _mm512_setzero_ps();
            scratch->values[(pair * attend->head_dim + dim) / 16] =
                _mm512_permutexvar_epi16(interleaved, round_two(even, odd));
        }
    }
}

/* ---- a tile; `queries`, at most SIDE, is a constant after inlining ---- */

INLINE512 __m512 multiply_pairs(__m512 sum, __m512i a, uint32_t b)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)_mm512_set1_epi32((int)b));
}

INLINE512 void scores_of(const struct sl_attend *attend, const struct scratch *scratch,
                         uint32_t query, int queries, __m512 scores[SIDE][2])
{
    const uint32_t pairs = attend->head_dim / 2;
    const uint32_t *q = (const uint32_t *)scratch->queries + (size_t)query * pairs;
    UNROLLED for (int i = 0; i < queries; i++)
        scores[i][0] = scores[i][1] = _mm512_setzero_ps();
    for (uint32_t j = 0; j < pairs; j++) {
        const __m512i first = scratch->keys[2 * j], second = scratch->keys[2 * j + 1];
        UNROLLED for (int i = 0; i < queries; i++) {
            const uint32_t pair = q[(size_t)i * pairs + j];
            scores[i][0] = multiply_pairs(scores[i][0], first, pair);
            scores[i][1] = multiply_pairs(scores[i][1], second, pair);
        }
    }
}

INLINE512 void mask_scores(struct span span, __m512 scores[2])
{
    const uint32_t upto = span.end == TILE ? UINT32_MAX : (1u << span.end) - 1;
    const uint32_t seen = span.end == 0 ? 0 : upto & ~((1u << span.first) - 1);
    const __m512 none = _mm512_set1_ps(-INFINITY);
    scores[0] = _mm512_mask_mov_ps(none, (__mmask16)seen, scores[0]);
    scores[1] = _mm512_mask_mov_ps(none, (__mmask16)(seen >> 16), scores[1]);
}

/* 2^x for x <= 0 within 2^-13 of the result, exact at 0; 0 from -200 down. The polynomial is the
 * minimax one for 2^r, |r| <= 1/2, that is 1 at 0: what was summed must not shrink for nothing. */
INLINE512 __m512 power_of_two(__m512 x)
{
    const __m512 above = _mm512_max_ps(x, _mm512_set1_ps(-200.0f));
    const __m512 n = _mm512_roundscale_ps(above, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 r = _mm512_sub_ps(above, n);
    __m512 p = _mm512_set1_ps(0.05500893f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.24221096f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.69328293f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* Scores, times `scale` in base 2, to rounded weights (query, pair); updates max and sum. */
INLINE512 void weigh(const struct sl_attend *attend, const struct scratch *scratch, uint32_t query,
                     int queries, float scale, __m512 scores[SIDE][2], __m512 *shrink)
{
    __m512 largest[SIDE], sums[SIDE];
    float most[SIDE], change[16] = {0}, total[SIDE];
    UNROLLED for (int i = 0; i < SIDE; i++) {
        sums[i] = _mm512_setzero_ps();
        largest[i] = i < queries ? _mm512_max_ps(scores[i][0], scores[i][1]) : sums[i];
    }
    UNROLLED for (int i = 0; i < queries; i += 4)
        _mm_storeu_ps(most + i, largest_of_four(largest + i));
    UNROLLED for (int i = 0; i < queries; i++) {
        const float before = attend->max[query + (uint32_t)i] * LOG2_E;
        const float known = before > -INFINITY ? rintf(before) : before; /* whole in base 2 */
        const float here = ceilf(most[i] * scale);
        const float max = here > known ? here : known;
        const float reference = max > -INFINITY ? max : 0; /* all -inf: weights of 0, not NaN */
        const __m512 down = _mm512_set1_ps(-reference);
        attend->max[query + (uint32_t)i] = max * LN_2;
        change[i] = known - reference;
        const __m512i weights = round_two(
            power_of_two(_mm512_fmadd_ps(scores[i][0], _mm512_set1_ps(scale), down)),
            power_of_two(_mm512_fmadd_ps(scores[i][1], _mm512_set1_ps(scale), down)));
        _mm512_store_si512(scratch->weights + i * PAIRS, weights);
        sums[i] = multiply_pairs(sums[i], weights, 0x3f803f80); /* times one */
    }
    UNROLLED for (int i = 0; i < queries; i += 4)
        _mm_storeu_ps(total + i, quarters_sum(fold_four(sums + i)));
    *shrink = power_of_two(_mm512_loadu_ps(change));
    float by[16];
    _mm512_storeu_ps(by, *shrink);
    UNROLLED for (int i = 0; i < queries; i++)
        attend->sum[query + (uint32_t)i] = attend->sum[query + (uint32_t)i] * by[i] + total[i];
}

/* acc = acc * shrink + weights . values, `vectors` registers of dimensions from `dim` on. */
INLINE512 void fold_values(const struct sl_attend *attend, const struct scratch *scratch,
                           uint32_t query, int queries, const float *shrink, struct span span,
                           uint32_t dim, int vectors)
{
    float *acc = attend->acc + query * attend->acc_stride + dim;
    const __m512i *values = scratch->values + dim / 16;
    __m512 sums[SIDE][DIM_VECTORS];
    UNROLLED for (int i = 0; i < queries; i++)
        UNROLLED for (int v = 0; v < vectors; v++)
            sums[i][v] =
                _mm512_mul_ps(_mm512_loadu_ps(acc + (size_t)i * attend->acc_stride + 16 * v),
                              _mm512_set1_ps(shrink[i]));
    for (uint32_t pair = span.first / 2; pair < (span.end + 1) / 2; pair++)
        UNROLLED for (int v = 0; v < vectors; v++) {
            const __m512i value = values[pair * (attend->head_dim / 16) + (uint32_t)v];
            UNROLLED for (int i = 0; i < queries; i++)
                sums[i][v] = multiply_pairs(sums[i][v], value,
                                            scratch->weights[(uint32_t)i * PAIRS + pair]);
        }
    UNROLLED for (int i = 0; i < queries; i++)
        UNROLLED for (int v = 0; v < vectors; v++)
            _mm512_storeu_ps(acc + (size_t)i * attend->acc_stride + 16 * v, sums[i][v]);
}

INLINE512 void attend_side(const struct sl_attend *attend, const struct scratch *scratch,
                           uint32_t query, int queries, uint32_t start, uint32_t count)
{
    struct span spans[SIDE];
    const struct span all = visible_to_all(attend, query, queries, start, count, spans);
    if (all.end == 0)
        return;
    __m512 scores[SIDE][2], shrink;
    scores_of(attend, scratch, query, queries, scores);
    for (int i = 0; i < queries; i++)
        if (spans[i].first != 0 || spans[i].end != TILE)
            mask_scores(spans[i], scores[i]);
    weigh(attend, scratch, query, queries, attend->scale * LOG2_E, scores, &shrink);
    float by[16];
    _mm512_storeu_ps(by, shrink);
    uint32_t dim = 0;
    for (; dim < attend->head_dim; dim += 16 * DIM_VECTORS)
        fold_values(attend, scratch, query, queries, by, all, dim, DIM_VECTORS);
}

void sl_avx512bf16_attend(const struct sl_attend *attend)
{
    if (!rounds(attend)) {
        sl_kernels_avx512.attend(attend);
        return;
    }
    const struct scratch scratch = scratch_of(attend);
    for (uint32_t start = 0; start < attend->positions; start += TILE) {
        const uint32_t left = attend->positions - start, count = left < TILE ? left : TILE;
        if (!anyone_sees(attend, start, count))
            continue;
        turn_keys(attend, start, count, &scratch);
        pair_values(attend, start, count, &scratch);
        uint32_t query = 0;
        for (; query + SIDE <= attend->queries; query += SIDE)
            attend_side(attend, &scratch, query, SIDE, start, count);
        if (query + SIDE / 2 <= attend->queries) {
            attend_side(attend, &scratch, query, SIDE / 2, start, count);
            query += SIDE / 2;
        }
        switch (attend->queries - query) {
        case 3: attend_side(attend, &scratch, query, 3, start, count); break;
        case 2: attend_side(attend, &scratch, query, 2, start, count); break;
        case 1: attend_side(attend, &scratch, query, 1, start, count); break;
        default: break;
        }
    }
}
