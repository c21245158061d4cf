/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels for AVX-512 with VNNI: Ice Lake, Zen 4 and later. Rows of weights as stored, for
 * generation; batches are in kernels_avx512_panel.c.
 *
 * Generation is bound by memory, so what counts is bytes of weights a cycle: four rows go together
 * (two for several tokens), so that loads of activations and their corrections are shared and
 * enough independent sums are under way. Codes are unsigned with a constant offset:
 *     sum (code - offset) x = sum code x - offset sum x,
 * where the second sum starts the accumulator for plain blocks, and for super-blocks joins the
 * minimums: both are scale times a known sum of activations.
 *
 * Threads: pure functions.
 */
#include "kernels_avx512.h"

#define VF_LANES 16
#define VF_QUERY_TILE 4
#include "kernels_attend.h"

#define ROWS_TOGETHER 4
#define ROWS_TOGETHER_BATCH 2 /* with up to four tokens each: eight sums */

static inline vf vf_load_f16(const sl_f16 *x)
{
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)x));
}

static inline void vf_store_f16(sl_f16 *out, vf x)
{
    _mm256_storeu_si256((__m256i *)out, _mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT));
}

/* ---- plain blocks ---- */

/* The halves at two addresses, widened, on the lanes of their blocks. */
INLINE512 __m512 two_halves(const uint8_t *block, size_t apart, bool has_second)
{
    uint16_t first, second = 0;
    memcpy(&first, block, sizeof first);
    if (has_second)
        memcpy(&second, block + apart, sizeof second);
    const __m256i both = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_set1_epi16((short)first)), _mm_set1_epi16((short)second), 1);
    return _mm512_cvtph_ps(both);
}

/* One pair of blocks of `rows` rows times `tokens` tokens. All of unpack, block_bytes, offset,
 * has_min, rows, tokens and has_second are constants after inlining. */
INLINE512 void plain_step(sl_pair_fn *unpack, size_t block_bytes, char offset, bool has_min,
                          const uint8_t *weights, size_t row_bytes, int rows,
                          const struct sl_activations *x, size_t first_token, int tokens,
                          size_t block, bool has_second,
                          __m512 acc[ROWS_TOGETHER][SL_TOKEN_TILE])
{
    __m512i codes[SL_TOKEN_TILE], start[SL_TOKEN_TILE];
    __m512 d[SL_TOKEN_TILE], sums[SL_TOKEN_TILE];
    for (int t = 0; t < tokens; t++) {
        const size_t token = first_token + (size_t)t;
        const float *scale = x->d + token * x->d_stride + block;
        codes[t] = _mm512_loadu_si512(x->q + token * x->q_stride + block * SL_BLOCK);
        start[t] = _mm512_setzero_si512();
        if (offset != 0)
            start[t] = _mm512_sub_epi32(
                start[t], _mm512_dpbusd_epi32(start[t], _mm512_set1_epi8(offset), codes[t]));
        d[t] = _mm512_insertf32x8(_mm512_set1_ps(scale[0]), _mm256_set1_ps(scale[1]), 1);
        if (has_min) { /* on one lane of each block */
            const float *sum = x->sums + token * 2 * x->d_stride + 2 * block;
            sums[t] = _mm512_maskz_mov_ps(
                0x0101, _mm512_insertf32x8(_mm512_set1_ps(sum[0] + sum[1]),
                                           _mm256_set1_ps(sum[2] + sum[3]), 1));
        }
    }
    for (int row = 0; row < rows; row++) {
        const uint8_t *data = weights + (size_t)row * row_bytes + block * block_bytes;
        const __m512i w = unpack(data, has_second);
        const __m512 scale = two_halves(data, block_bytes, has_second);
        const __m512 min = has_min ? two_halves(data + 2, block_bytes, has_second) : scale;
        for (int t = 0; t < tokens; t++) {
            const __m512i sum = _mm512_dpbusd_epi32(start[t], w, codes[t]);
            acc[row][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scale, d[t]),
                                          acc[row][t]);
            if (has_min)
                acc[row][t] = _mm512_fmadd_ps(min, sums[t], acc[row][t]);
        }
    }
}

INLINE512 void plain_some(sl_pair_fn *unpack, size_t block_bytes, char offset, bool has_min,
                          const uint8_t *weights, size_t row_bytes, int rows,
                          const struct sl_activations *x, size_t first_token, int tokens, float *y,
                          size_t y_stride)
{
    __m512 acc[ROWS_TOGETHER][SL_TOKEN_TILE];
    const size_t blocks = x->cols / SL_BLOCK;
    size_t block = 0;
    for (int row = 0; row < rows; row++)
        for (int t = 0; t < tokens; t++)
            acc[row][t] = _mm512_setzero_ps();
    for (; block + 2 <= blocks; block += 2)
        plain_step(unpack, block_bytes, offset, has_min, weights, row_bytes, rows, x, first_token,
                   tokens, block, true, acc);
    if (block < blocks)
        plain_step(unpack, block_bytes, offset, has_min, weights, row_bytes, rows, x, first_token,
                   tokens, block, false, acc);
    for (int row = 0; row < rows; row++)
        for (int t = 0; t < tokens; t++)
            y[(size_t)t * y_stride + (size_t)row] = _mm512_reduce_add_ps(acc[row][t]);
}

/* ---- super-blocks ---- */

/* Scales of runs 4 * i to 4 * i + 3 on the four lanes that each run's products have. */
INLINE512 __m512 spread_runs(__m512 scales, int i)
{
    const __m512i base = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_ps(_mm512_add_epi32(base, _mm512_set1_epi32(4 * i)), scales);
}

/* As plain_some; `offset` is folded into the minimums. */
INLINE512 void super_some(sl_super_fn *unpack, size_t block_bytes, char offset, bool has_min,
                          const uint8_t *weights, size_t row_bytes, int rows,
                          const struct sl_activations *x, size_t first_token, int tokens, float *y,
                          size_t y_stride)
{
    __m512 acc[ROWS_TOGETHER][SL_TOKEN_TILE];
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    const __m512 shift = _mm512_set1_ps(-(float)(uint8_t)offset);
    for (int row = 0; row < rows; row++)
        for (int t = 0; t < tokens; t++)
            acc[row][t] = _mm512_setzero_ps();
    for (size_t block = 0; block < x->cols / SL_SUPER_BLOCK; block++)
        for (int row = 0; row < rows; row++) {
            struct sl_super w;
            unpack(weights + (size_t)row * row_bytes + block * block_bytes, &w);
            if (offset != 0)
                w.mins = has_min ? _mm512_fmadd_ps(w.scales, shift, w.mins)
                                 : _mm512_mul_ps(w.scales, shift);
            for (int t = 0; t < tokens; t++) {
                const size_t token = first_token + (size_t)t;
                const int8_t *q = x->q + token * x->q_stride + block * SL_SUPER_BLOCK;
                const __m256 d = _mm256_loadu_ps(x->d + token * x->d_stride + block * 8);
                const __m512 scales = _mm512_mul_ps(
                    w.scales, _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(d)));
                for (int i = 0; i < 4; i++) {
                    const __m512i sum = _mm512_dpbusd_epi32(
                        _mm512_setzero_si512(), w.codes[i], _mm512_loadu_si512(q + 64 * i));
                    acc[row][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), spread_runs(scales, i),
                                                  acc[row][t]);
                }
                if (has_min || offset != 0)
                    acc[row][t] = _mm512_fmadd_ps(
                        w.mins,
                        _mm512_loadu_ps(x->sums + token * 2 * x->d_stride + block * 16),
                        acc[row][t]);
            }
        }
    for (int row = 0; row < rows; row++)
        for (int t = 0; t < tokens; t++)
            y[(size_t)t * y_stride + (size_t)row] = _mm512_reduce_add_ps(acc[row][t]);
}

/* ---- float weights ---- */

typedef __m512 load_fn(const void *row, size_t i, __mmask16 mask);

INLINE512 __m512 load_f32(const void *row, size_t i, __mmask16 mask)
{
    return _mm512_maskz_loadu_ps(mask, (const float *)row + i);
}

INLINE512 __m512 load_f16(const void *row, size_t i, __mmask16 mask)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, (const sl_f16 *)row + i));
}

INLINE512 __m512 load_bf16(const void *row, size_t i, __mmask16 mask)
{
    const __m256i halves = _mm256_maskz_loadu_epi16(mask, (const sl_bf16 *)row + i);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

INLINE512 void float_some(load_fn *load, size_t unused, char offset, bool has_min,
                          const uint8_t *weights, size_t row_bytes, int rows,
                          const struct sl_activations *x, size_t first_token, int tokens, float *y,
                          size_t y_stride)
{
    __m512 acc[ROWS_TOGETHER][SL_TOKEN_TILE];
    (void)unused;
    (void)offset;
    (void)has_min;
    for (int row = 0; row < rows; row++)
        for (int t = 0; t < tokens; t++)
            acc[row][t] = _mm512_setzero_ps();
    for (size_t i = 0; i < x->cols; i += 16) {
        const size_t left = x->cols - i;
        const __mmask16 mask = (__mmask16)(left >= 16 ? 0xffffu : (1u << left) - 1);
        for (int row = 0; row < rows; row++) {
            const __m512 w = load(weights + (size_t)row * row_bytes, i, mask);
            for (int t = 0; t < tokens; t++)
                acc[row][t] = _mm512_fmadd_ps(
                    w,
                    _mm512_maskz_loadu_ps(mask, x->x + (first_token + (size_t)t) * x->x_stride + i),
                    acc[row][t]);
        }
    }
    for (int row = 0; row < rows; row++)
        for (int t = 0; t < tokens; t++)
            y[(size_t)t * y_stride + (size_t)row] = _mm512_reduce_add_ps(acc[row][t]);
}

/* ---- the table ---- */

/* All rows, `together` at a time, for a constant count of tokens. */
#define ALL_ROWS(generic, unpack, bytes, offset, has_min, together, count)                         \
    do {                                                                                           \
        uint32_t row = 0;                                                                          \
        for (; row + (together) <= rows; row += (together))                                        \
            generic(unpack, bytes, offset, has_min, weights + row * row_bytes, row_bytes,          \
                    together, x, first, count, y + row, y_stride);                                 \
        for (; row < rows; row++)                                                                  \
            generic(unpack, bytes, offset, has_min, weights + row * row_bytes, row_bytes, 1, x,    \
                    first, count, y + row, y_stride);                                              \
    } while (0)

#define ROWS(name, generic, unpack, bytes, offset, has_min)                                        \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows,                      \
                     const struct sl_activations *x, uint32_t first, uint32_t tokens, float *y,    \
                     size_t y_stride)                                                              \
    {                                                                                              \
        switch (tokens) {                                                                          \
        case 1:                                                                                    \
            ALL_ROWS(generic, unpack, bytes, offset, has_min, ROWS_TOGETHER, 1);                   \
            break;                                                                                 \
        case 2:                                                                                    \
            ALL_ROWS(generic, unpack, bytes, offset, has_min, ROWS_TOGETHER_BATCH, 2);             \
            break;                                                                                 \
        case 3:                                                                                    \
            ALL_ROWS(generic, unpack, bytes, offset, has_min, ROWS_TOGETHER_BATCH, 3);             \
            break;                                                                                 \
        default:                                                                                   \
            ALL_ROWS(generic, unpack, bytes, offset, has_min, ROWS_TOGETHER_BATCH, 4);             \
            break;                                                                                 \
        }                                                                                          \
    }

ROWS(rows_f32, float_some, load_f32, 0, 0, false)
ROWS(rows_f16, float_some, load_f16, 0, 0, false)
ROWS(rows_bf16, float_some, load_bf16, 0, 0, false)
ROWS(rows_q4_0, plain_some, pair_q4_0, sizeof(struct sl_block_q4_0), 8, false)
ROWS(rows_q4_1, plain_some, pair_q4_1, sizeof(struct sl_block_q4_1), 0, true)
ROWS(rows_q5_0, plain_some, pair_q5_0, sizeof(struct sl_block_q5_0), 16, false)
ROWS(rows_q5_1, plain_some, pair_q5_1, sizeof(struct sl_block_q5_1), 0, true)
ROWS(rows_q8_0, plain_some, pair_q8_0, sizeof(struct sl_block_q8_0), (char)128, false)
ROWS(rows_iq4_nl, plain_some, pair_iq4_nl, sizeof(struct sl_block_iq4_nl), (char)128, false)
ROWS(rows_q2_k, super_some, super_q2_k, sizeof(struct sl_block_q2_k), 0, true)
ROWS(rows_q3_k, super_some, super_q3_k, sizeof(struct sl_block_q3_k), 4, false)
ROWS(rows_q4_k, super_some, super_q4_k, sizeof(struct sl_block_q4_k), 0, true)
ROWS(rows_q5_k, super_some, super_q5_k, sizeof(struct sl_block_q5_k), 0, true)
ROWS(rows_q6_k, super_some, super_q6_k, sizeof(struct sl_block_q6_k), 32, false)
ROWS(rows_iq4_xs, super_some, super_iq4_xs, sizeof(struct sl_block_iq4_xs), (char)128, false)

#define TYPES_ROWS                                                                                 \
    {                                                                                              \
        [SL_TYPE_F32] = rows_f32, [SL_TYPE_F16] = rows_f16, [SL_TYPE_BF16] = rows_bf16,            \
        [SL_TYPE_Q4_0] = rows_q4_0, [SL_TYPE_Q4_1] = rows_q4_1, [SL_TYPE_Q5_0] = rows_q5_0,        \
        [SL_TYPE_Q5_1] = rows_q5_1, [SL_TYPE_Q8_0] = rows_q8_0, [SL_TYPE_Q2_K] = rows_q2_k,        \
        [SL_TYPE_Q3_K] = rows_q3_k, [SL_TYPE_Q4_K] = rows_q4_k, [SL_TYPE_Q5_K] = rows_q5_k,        \
        [SL_TYPE_Q6_K] = rows_q6_k, [SL_TYPE_IQ4_NL] = rows_iq4_nl,                                \
        [SL_TYPE_IQ4_XS] = rows_iq4_xs,                                                            \
    }

static const struct sl_matmul_kernels matmul = {
    .quantize = vector_quantize,
    .rows = TYPES_ROWS,
    .panels = sl_avx512_panels,
    .panel_tokens_min = 5, /* rows in tiles of four read the weights again for each tile */
};

const struct sl_kernels sl_kernels_avx512 = {
    .name = "avx512",
    .dot = vector_dot,
    .add = vector_add,
    .mul = vector_mul,
    .scale = vector_scale,
    .rms_norm = vector_rms_norm,
    .layer_norm = vector_layer_norm,
    .silu_mul = vector_silu_mul,
    .gelu_mul = vector_gelu_mul,
    .softcap = vector_softcap,
    .softmax = vector_softmax,
    .softmax_moments = vector_softmax_moments,
    .rope = sl_ref_rope,
    .f32_to_f16 = vector_f32_to_f16,
    .f16_to_f32 = vector_f16_to_f32,
    .f32_to_q8_0 = vector_f32_to_q8_0,
    .attend = vector_attend,
    .matmul = &matmul,
};
