/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels for AVX2, FMA and F16C: any x86-64 since 2013. The widest multiplication of bytes there,
 * vpmaddubsw, takes unsigned by signed and adds pairs in 16 bits: it gets |w| and x with w's sign,
 * so that a pair is at most 2 * 128 * 127 and cannot saturate.
 *
 * Here one row as stored at a time, its codes expanded once for up to four tokens: float weights,
 * and others until they were rearranged at load (kernels_avx2_packed.h). Batches take the panels of
 * kernels_avx2_panel.h. The table for AVX-VNNI is this one with other panels and rearranged
 * weights.
 *
 * Threads: pure functions.
 */
#include <immintrin.h>

#define VF_LANES 8
#define VF_QUERY_TILE 2
#include "kernels_attend.h"

#include "kernels_avx2.h"
#include "kernels_rows.h"

static inline vf vf_load_f16(const sl_f16 *x)
{
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x));
}

static inline void vf_store_f16(sl_f16 *out, vf x)
{
    _mm_storeu_si128((__m128i *)out, _mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT));
}

static inline float vf_sum(vf x)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128((__m256)x),
                                   _mm256_extractf128_ps((__m256)x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float vf_largest(vf x)
{
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128((__m256)x),
                                   _mm256_extractf128_ps((__m256)x, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* ---- products of blocks ---- */

/* Sums of four neighbouring products, each pair of bytes weighted by `scales` (16 words). */
INLINE __m256i multiply(__m256i codes, __m256i x, __m256i scales)
{
    const __m256i pairs =
        _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes));
    return _mm256_madd_epi16(pairs, scales);
}

/* `tokens` is a constant after inlining. */
INLINE void plain_rows(plain_fn *unpack, size_t block_bytes, bool has_min, const uint8_t *weights,
                       size_t row_bytes, uint32_t rows, const struct sl_activations *x,
                       uint32_t first_token, uint32_t tokens, float *y, size_t y_stride)
{
    const int8_t *q = x->q + first_token * x->q_stride;
    const float *d = x->d + first_token * x->d_stride;
    const float *sums = x->sums + first_token * 2 * x->d_stride;
    for (uint32_t row = 0; row < rows; row++, weights += row_bytes) {
        __m256 acc[SL_TOKEN_TILE];
        float mins[SL_TOKEN_TILE] = {0};
        for (uint32_t t = 0; t < tokens; t++)
            acc[t] = _mm256_setzero_ps();
        for (size_t block = 0; block < x->cols / SL_BLOCK; block++) {
            const struct plain w = unpack(weights + block * block_bytes);
            for (uint32_t t = 0; t < tokens; t++) {
                const __m256i codes =
                    _mm256_loadu_si256((const __m256i *)(q + t * x->q_stride + block * SL_BLOCK));
                const __m256i sum = multiply(w.codes, codes, _mm256_set1_epi16(1));
                const float scale = w.d * d[t * x->d_stride + block];
                acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(scale), acc[t]);
                if (has_min) {
                    const float *run = sums + t * 2 * x->d_stride + 2 * block;
                    mins[t] += w.m * (run[0] + run[1]);
                }
            }
        }
        for (uint32_t t = 0; t < tokens; t++)
            y[t * y_stride + row] = vf_sum((vf)acc[t]) + mins[t];
    }
}

/* Scales of 16 runs (signed bytes) as eight registers of words, a run's on its eight pairs. */
INLINE void run_scales(__m128i scales, __m256i out[8])
{
    const __m256i words = _mm256_cvtepi8_epi16(scales);
    const __m256i low = _mm256_permute2x128_si256(words, words, 0x00);
    const __m256i high = _mm256_permute2x128_si256(words, words, 0x11);
    for (int i = 0; i < 8; i++) {
        const int pair = 2 * (i % 4); /* word of the first run, as byte index / 2 */
        const __m256i which = _mm256_set_m128i(
            _mm_set1_epi16((short)((2 * (pair + 1) + 1) << 8 | 2 * (pair + 1))),
            _mm_set1_epi16((short)((2 * pair + 1) << 8 | 2 * pair)));
        out[i] = _mm256_shuffle_epi8(i < 4 ? low : high, which);
    }
}

INLINE void super_rows(super_fn *unpack, size_t block_bytes, bool has_min, const uint8_t *weights,
                       size_t row_bytes, uint32_t rows, const struct sl_activations *x,
                       uint32_t first_token, uint32_t tokens, float *y, size_t y_stride)
{
    for (uint32_t row = 0; row < rows; row++, weights += row_bytes) {
        __m256 acc[SL_TOKEN_TILE];
        for (uint32_t t = 0; t < tokens; t++)
            acc[t] = _mm256_setzero_ps();
        for (size_t block = 0; block < x->cols / SL_SUPER_BLOCK; block++) {
            struct super w;
            __m256i scales[8];
            unpack(weights + block * block_bytes, &w);
            run_scales(w.scales, scales);
            for (uint32_t t = 0; t < tokens; t++) {
                const size_t token = first_token + t;
                const int8_t *q = x->q + token * x->q_stride + block * SL_SUPER_BLOCK;
                const float *d = x->d + token * x->d_stride + block * 8;
                const float *sums = x->sums + token * 2 * x->d_stride + block * 16;
                for (int i = 0; i < 8; i++) {
                    const __m256i codes = _mm256_loadu_si256((const __m256i *)(q + 32 * i));
                    const __m256i sum = multiply(w.codes[i], codes, scales[i]);
                    acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(w.d * d[i]),
                                             acc[t]);
                }
                for (int i = 0; i < 2 && has_min; i++)
                    acc[t] = _mm256_fmadd_ps(w.mins[i], _mm256_loadu_ps(sums + 8 * i), acc[t]);
            }
        }
        for (uint32_t t = 0; t < tokens; t++)
            y[t * y_stride + row] = vf_sum((vf)acc[t]);
    }
}

/* ---- float weights ---- */

INLINE vf load_f32(const void *row, size_t i)
{
    return vf_load((const float *)row + i);
}

INLINE vf load_f16(const void *row, size_t i)
{
    return vf_load_f16((const sl_f16 *)row + i);
}

INLINE vf load_bf16(const void *row, size_t i)
{
    const __m128i halves = _mm_loadu_si128((const __m128i *)((const sl_bf16 *)row + i));
    return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
}

INLINE void float_rows(vf (*load)(const void *, size_t), sl_dequantize_fn *tail, size_t width,
                       const uint8_t *weights, size_t row_bytes, uint32_t rows,
                       const struct sl_activations *x, uint32_t first_token, uint32_t tokens,
                       float *y, size_t y_stride)
{
    const float *values = x->x + first_token * x->x_stride;
    const size_t whole = x->cols / VF_LANES * VF_LANES, left = x->cols - whole;
    for (uint32_t row = 0; row < rows; row++, weights += row_bytes) {
        vf acc[2][SL_TOKEN_TILE];
        for (uint32_t t = 0; t < tokens; t++)
            acc[0][t] = acc[1][t] = vf_set(0);
        size_t i = 0;
        for (; i + 2 * VF_LANES <= whole; i += 2 * VF_LANES)
            for (size_t half = 0; half < 2; half++) {
                const vf w = load(weights, i + half * VF_LANES);
                for (uint32_t t = 0; t < tokens; t++)
                    acc[half][t] += w * vf_load(values + t * x->x_stride + i + half * VF_LANES);
            }
        if (i < whole) {
            const vf w = load(weights, i);
            for (uint32_t t = 0; t < tokens; t++)
                acc[0][t] += w * vf_load(values + t * x->x_stride + i);
        }
        if (left != 0) {
            float rest[VF_LANES] = {0};
            tail(weights + whole * width, rest, left);
            for (uint32_t t = 0; t < tokens; t++)
                acc[1][t] += vf_load(rest) *
                             vf_load_some(values + t * x->x_stride + whole, left, 0);
        }
        for (uint32_t t = 0; t < tokens; t++)
            y[t * y_stride + row] = vf_sum((acc[0][t] + acc[1][t]));
    }
}

static void tail_f32(const void *row, float *out, size_t n)
{
    memcpy(out, row, n * sizeof *out);
}

static void tail_f16(const void *row, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = sl_f16_to_f32(((const sl_f16 *)row)[i]);
}

static void tail_bf16(const void *row, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = sl_bf16_to_f32(((const sl_bf16 *)row)[i]);
}

/* ---- the tables ---- */

/* From how many tokens on a panel pays: rows in tiles of four read the weights again for each tile.
 * Four tokens of Q8_0 take 1.5 times as long by panels without VNNI, and the same time with it. */
#define PANEL_TOKENS_MIN 5
#define PANEL_TOKENS_MIN_VNNI 4
/* Float rows need no unpacking, and 8 tokens by panels take 1.8 times as long; the same from 16 on
 * for F32 and from 24 on for F16. */
#define FLOAT_PANEL_TOKENS_MIN 20
/* Up to how many tokens meet rearranged weights as they lie. Expanding them first pays from 16 to
 * 24 on for Q4_0 and Q8_0, from 10 to 14 on for Q4_K and Q5_K. */
#define PACKED_TOKENS_MAX 12

ROWS(rows_f32, float_rows, load_f32, tail_f32, sizeof(float))
ROWS(rows_f16, float_rows, load_f16, tail_f16, sizeof(sl_f16))
ROWS(rows_bf16, float_rows, load_bf16, tail_bf16, sizeof(sl_bf16))
ROWS_QUANTIZED

/* Two tables that differ in what batches and rearranged weights are multiplied by. */
#define MATMUL(its_panels, tokens_min, its_packings)                                               \
    {                                                                                              \
        .quantize = vector_quantize, .rows = ROWS_TABLE, .panels = its_panels,                     \
        .panel_tokens_min = tokens_min, .float_panel_tokens_min = FLOAT_PANEL_TOKENS_MIN,          \
        .packings = its_packings,                                                                  \
        .packed_tokens_max = PACKED_TOKENS_MAX, .fill_tile = sl_avx2_fill_tile,                    \
    }

static const struct sl_matmul_kernels matmul_avx2 =
    MATMUL(sl_avx2_panels, PANEL_TOKENS_MIN, sl_avx2_packings);
static const struct sl_matmul_kernels matmul_avxvnni =
    MATMUL(sl_avxvnni_panels, PANEL_TOKENS_MIN_VNNI, sl_avxvnni_packings);

const struct sl_kernels sl_kernels_avx2 = VECTOR_KERNELS("avx2", &matmul_avx2);
const struct sl_kernels sl_kernels_avxvnni = VECTOR_KERNELS("avxvnni", &matmul_avxvnni);
