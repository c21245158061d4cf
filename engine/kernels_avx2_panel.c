/* SPDX-License-Identifier: Apache-2.0
 *
 * Panels of kernels_avx2_panel.h for AVX2 without VNNI, float panels, and the tiles of activations
 * for both.
 *
 * Threads: pure functions on the worker's own panel.
 */
#include "kernels_avx2_dot.h"

#define FLOAT_TOKENS (2 * TOKENS) /* there are no sums in integers beside those in floats */
#include "kernels_panel_floats.h"

void sl_avx2_fill_tile(struct sl_activations *x, uint32_t idx)
{
    fill_tile(x, idx, place_in_order, true);
}

/* ---- float weights ---- */

/* Eight floats of a row; past the last column zero. */
PANEL_INLINE __m256i widen_row(enum sl_tensor_type type, const uint8_t *data, uint32_t count)
{
    uint8_t part[32] = {0};
    const uint32_t width = type == SL_TYPE_F32 ? 4 : 2;
    if (count < 8)
        data = memcpy(part, data, (size_t)count * width);
    if (type == SL_TYPE_F32)
        return _mm256_loadu_si256((const __m256i *)data);
    const __m128i halves = _mm_loadu_si128((const __m128i *)data);
    if (type == SL_TYPE_F16)
        return _mm256_castps_si256(_mm256_cvtph_ps(halves));
    return _mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
}

PANEL_INLINE void multiply_float_part(const float *half, uint32_t rows, const float *x,
                                      size_t x_stride, size_t cols, int tokens, float *y,
                                      size_t y_stride)
{
    __m256 acc[2][TOKENS_MAX];
    UNROLLED for (int t = 0; t < tokens; t++)
        acc[0][t] = acc[1][t] = _mm256_setzero_ps();
    for (size_t col = 0; col < cols; col++) {
        const __m256 first = _mm256_load_ps(half + col * HALF_ROWS);
        const __m256 second = _mm256_load_ps(half + col * HALF_ROWS + 8);
        UNROLLED for (int t = 0; t < tokens; t++) {
            const __m256 one = _mm256_set1_ps(x[(size_t)t * x_stride + col]);
            acc[0][t] = _mm256_fmadd_ps(first, one, acc[0][t]);
            acc[1][t] = _mm256_fmadd_ps(second, one, acc[1][t]);
        }
    }
    store_sums(acc, tokens, rows, y, y_stride);
}

/* ---- the table ---- */

PANEL_FLOATS(sl_avx2_pack_f32, sl_avx2_pack_f16, sl_avx2_pack_bf16, sl_avx2_multiply_float)

static const struct form form_q4_0 = {.offset = 8, .depth = 8};
static const struct form form_q5_0 = {.offset = 16, .depth = 4};
static const struct form form_4_bits_min = {.has_min = true, .depth = 8};
static const struct form form_5_bits_min = {.has_min = true, .depth = 4};
static const struct form form_8_bits = {0};
static const struct form form_q2_k = {.by_runs = true, .has_min = true, .depth = 4};
static const struct form form_q3_k = {.by_runs = true, .offset = 4, .depth = 4};
static const struct form form_q6_k = {.by_runs = true, .offset = 32, .depth = 2};

PANEL_PACK(pack_q4_0, pack_plain, plain_q4_0, sl_block_q4_0, form_q4_0)
PANEL_PACK(pack_q4_1, pack_plain, plain_q4_1, sl_block_q4_1, form_4_bits_min)
PANEL_PACK(pack_q5_0, pack_plain, plain_q5_0, sl_block_q5_0, form_q5_0)
PANEL_PACK(pack_q5_1, pack_plain, plain_q5_1, sl_block_q5_1, form_5_bits_min)
PANEL_PACK(pack_q8_0, pack_plain, plain_q8_0, sl_block_q8_0, form_8_bits)
PANEL_PACK(pack_iq4_nl, pack_plain, plain_iq4_nl, sl_block_iq4_nl, form_8_bits)
PANEL_PACK(pack_q2_k, pack_super, super_q2_k, sl_block_q2_k, form_q2_k)
PANEL_PACK(pack_q3_k, pack_super, super_q3_k, sl_block_q3_k, form_q3_k)
PANEL_PACK(pack_q4_k, pack_super, super_q4_k, sl_block_q4_k, form_4_bits_min)
PANEL_PACK(pack_q5_k, pack_super, super_q5_k, sl_block_q5_k, form_5_bits_min)
PANEL_PACK(pack_q6_k, pack_super, super_q6_k, sl_block_q6_k, form_q6_k)
PANEL_PACK(pack_iq4_xs, pack_super, super_iq4_xs, sl_block_iq4_xs, form_8_bits)
PANEL_MULTIPLY(multiply_q4_0, form_q4_0)
PANEL_MULTIPLY(multiply_q5_0, form_q5_0)
PANEL_MULTIPLY(multiply_4_bits_min, form_4_bits_min)
PANEL_MULTIPLY(multiply_5_bits_min, form_5_bits_min)
PANEL_MULTIPLY(multiply_8_bits, form_8_bits)
PANEL_MULTIPLY(multiply_q2_k, form_q2_k)
PANEL_MULTIPLY(multiply_q3_k, form_q3_k)
PANEL_MULTIPLY(multiply_q6_k, form_q6_k)

const struct sl_panel sl_avx2_panels[SL_TYPE_COUNT] = {
    [SL_TYPE_F32] = {sl_avx2_pack_f32, sl_avx2_multiply_float},
    [SL_TYPE_F16] = {sl_avx2_pack_f16, sl_avx2_multiply_float},
    [SL_TYPE_BF16] = {sl_avx2_pack_bf16, sl_avx2_multiply_float},
    [SL_TYPE_Q4_0] = {pack_q4_0, multiply_q4_0},
    [SL_TYPE_Q4_1] = {pack_q4_1, multiply_4_bits_min},
    [SL_TYPE_Q5_0] = {pack_q5_0, multiply_q5_0},
    [SL_TYPE_Q5_1] = {pack_q5_1, multiply_5_bits_min},
    [SL_TYPE_Q8_0] = {pack_q8_0, multiply_8_bits},
    [SL_TYPE_IQ4_NL] = {pack_iq4_nl, multiply_8_bits},
    [SL_TYPE_Q2_K] = {pack_q2_k, multiply_q2_k},
    [SL_TYPE_Q3_K] = {pack_q3_k, multiply_q3_k},
    [SL_TYPE_Q4_K] = {pack_q4_k, multiply_4_bits_min},
    [SL_TYPE_Q5_K] = {pack_q5_k, multiply_5_bits_min},
    [SL_TYPE_Q6_K] = {pack_q6_k, multiply_q6_k},
    [SL_TYPE_IQ4_XS] = {pack_iq4_xs, multiply_8_bits},
};
