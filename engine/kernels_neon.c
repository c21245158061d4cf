/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels for AArch64 with the dot product extension (Armv8.2: Cortex-A55 and A76 on, Raspberry
 * Pi 5, Apple, Graviton). sdot adds four products of signed bytes to each word, so codes are signed
 * here and need no correction.
 *
 * Here one row at a time for up to four tokens, as on AVX2; batches take the panels of
 * kernels_neon_panel.c. The table for i8mm is this one with other panels.
 *
 * Threads: pure functions.
 */
#include <arm_neon.h>

#define VF_LANES 4
#define VF_QUERY_TILE 2
#include "kernels_attend.h"

#include "kernels_neon.h"
#include "kernels_rows.h"

static inline vf vf_load_f16(const sl_f16 *x)
{
    return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x)));
}

static inline void vf_store_f16(sl_f16 *out, vf x)
{
    vst1_u16(out, vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)x)));
}

static inline float vf_sum(vf x)
{
    return vaddvq_f32((float32x4_t)x);
}

static inline float vf_largest(vf x)
{
    return vmaxvq_f32((float32x4_t)x);
}

/* ---- plain blocks ---- */

/* `tokens` is a constant after inlining. */
INLINE void plain_rows(plain_fn *unpack, size_t block_bytes, bool has_min, const uint8_t *weights,
                       size_t row_bytes, uint32_t rows, const struct sl_activations *x,
                       uint32_t first_token, uint32_t tokens, float *y, size_t y_stride)
{
    const int8_t *q = x->q + first_token * x->q_stride;
    const float *d = x->d + first_token * x->d_stride;
    const float *sums = x->sums + first_token * 2 * x->d_stride;
    for (uint32_t row = 0; row < rows; row++, weights += row_bytes) {
        float32x4_t acc[SL_TOKEN_TILE];
        float mins[SL_TOKEN_TILE] = {0};
        for (uint32_t t = 0; t < tokens; t++)
            acc[t] = vdupq_n_f32(0);
        for (size_t block = 0; block < x->cols / SL_BLOCK; block++) {
            const struct plain w = unpack(weights + block * block_bytes);
            for (uint32_t t = 0; t < tokens; t++) {
                const int8_t *codes = q + t * x->q_stride + block * SL_BLOCK;
                const int32x4_t low = vdotq_s32(vdupq_n_s32(0), w.low, vld1q_s8(codes));
                const int32x4_t sum = vdotq_s32(low, w.high, vld1q_s8(codes + 16));
                acc[t] = vfmaq_n_f32(acc[t], vcvtq_f32_s32(sum),
                                     w.d * d[t * x->d_stride + block]);
                if (has_min) {
                    const float *run = sums + t * 2 * x->d_stride + 2 * block;
                    mins[t] += w.m * (run[0] + run[1]);
                }
            }
        }
        for (uint32_t t = 0; t < tokens; t++)
            y[t * y_stride + row] = vaddvq_f32(acc[t]) + mins[t];
    }
}

/* ---- super-blocks ---- */

/* One super-block times one token. */
INLINE float32x4_t super_step(const struct sl_codes *w, bool has_min, const int8_t *q,
                              const float *d, const float *sums, float32x4_t acc)
{
    for (size_t run = 0; run < 16; run++) {
        const int32x4_t sum = vdotq_s32(vdupq_n_s32(0), vld1q_s8(w->code + 16 * run),
                                        vld1q_s8(q + 16 * run));
        acc = vfmaq_n_f32(acc, vcvtq_f32_s32(sum), w->scale[run] * d[run / 2]);
    }
    for (size_t i = 0; i < 16 && has_min; i += 4)
        acc = vfmaq_f32(acc, vld1q_f32(w->min + i), vld1q_f32(sums + i));
    return acc;
}

INLINE void super_rows(sl_codes_fn *unpack, size_t block_bytes, bool has_min, const uint8_t *weights,
                       size_t row_bytes, uint32_t rows, const struct sl_activations *x,
                       uint32_t first_token, uint32_t tokens, float *y, size_t y_stride)
{
    for (uint32_t row = 0; row < rows; row++, weights += row_bytes) {
        float32x4_t acc[SL_TOKEN_TILE];
        for (uint32_t t = 0; t < tokens; t++)
            acc[t] = vdupq_n_f32(0);
        for (size_t block = 0; block < x->cols / SL_SUPER_BLOCK; block++) {
            struct sl_codes w;
            unpack(weights + block * block_bytes, &w);
            for (uint32_t t = 0; t < tokens; t++) {
                const size_t token = first_token + t;
                acc[t] = super_step(&w, has_min,
                                    x->q + token * x->q_stride + block * SL_SUPER_BLOCK,
                                    x->d + token * x->d_stride + block * 8,
                                    x->sums + token * 2 * x->d_stride + block * 16, acc[t]);
            }
        }
        for (uint32_t t = 0; t < tokens; t++)
            y[t * y_stride + row] = vaddvq_f32(acc[t]);
    }
}

/* ---- float weights ---- */

INLINE float32x4_t load_f32(const void *row, size_t i)
{
    return vld1q_f32((const float *)row + i);
}

INLINE float32x4_t load_f16(const void *row, size_t i)
{
    return (float32x4_t)vf_load_f16((const sl_f16 *)row + i);
}

INLINE float32x4_t load_bf16(const void *row, size_t i)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16((const sl_bf16 *)row + i), 16));
}

INLINE float one_f32(const void *row, size_t i)
{
    return ((const float *)row)[i];
}

INLINE float one_f16(const void *row, size_t i)
{
    return sl_f16_to_f32(((const sl_f16 *)row)[i]);
}

INLINE float one_bf16(const void *row, size_t i)
{
    return sl_bf16_to_f32(((const sl_bf16 *)row)[i]);
}

INLINE void float_rows(float32x4_t (*load)(const void *, size_t), size_t unused,
                       float (*one)(const void *, size_t), const uint8_t *weights,
                       size_t row_bytes, uint32_t rows, const struct sl_activations *x,
                       uint32_t first_token, uint32_t tokens, float *y, size_t y_stride)
{
    const float *values = x->x + first_token * x->x_stride;
    const size_t whole = x->cols / 8 * 8;
    (void)unused;
    for (uint32_t row = 0; row < rows; row++, weights += row_bytes) {
        float32x4_t acc[2][SL_TOKEN_TILE];
        float rest[SL_TOKEN_TILE] = {0};
        for (uint32_t t = 0; t < tokens; t++)
            acc[0][t] = acc[1][t] = vdupq_n_f32(0);
        for (size_t i = 0; i < whole; i += 8)
            for (size_t half = 0; half < 2; half++) {
                const float32x4_t w = load(weights, i + 4 * half);
                for (uint32_t t = 0; t < tokens; t++)
                    acc[half][t] = vfmaq_f32(acc[half][t], w,
                                             vld1q_f32(values + t * x->x_stride + i + 4 * half));
            }
        for (size_t i = whole; i < x->cols; i++)
            for (uint32_t t = 0; t < tokens; t++)
                rest[t] += one(weights, i) * values[t * x->x_stride + i];
        for (uint32_t t = 0; t < tokens; t++)
            y[t * y_stride + row] = vaddvq_f32(vaddq_f32(acc[0][t], acc[1][t])) + rest[t];
    }
}

/* ---- the tables ---- */

/* From how many tokens on a panel pays: rows in tiles of four unpack the weights for each tile. */
#define PANEL_TOKENS_MIN 5

ROWS(rows_f32, float_rows, load_f32, 0, one_f32)
ROWS(rows_f16, float_rows, load_f16, 0, one_f16)
ROWS(rows_bf16, float_rows, load_bf16, 0, one_bf16)
ROWS_QUANTIZED

/* Two tables that differ in the panels of quantized weights and the tiles that meet them. */
#define MATMUL(its_panels, its_fill_tile)                                                          \
    {                                                                                              \
        .quantize = vector_quantize, .rows = ROWS_TABLE, .panels = its_panels,                     \
        .panel_tokens_min = PANEL_TOKENS_MIN, .fill_tile = its_fill_tile,                          \
    }

static const struct sl_matmul_kernels matmul_neon = MATMUL(sl_neon_panels, sl_neon_fill_tile);
static const struct sl_matmul_kernels matmul_i8mm = MATMUL(sl_i8mm_panels, sl_i8mm_fill_tile);

const struct sl_kernels sl_kernels_neon = VECTOR_KERNELS("neon", &matmul_neon);
const struct sl_kernels sl_kernels_i8mm = VECTOR_KERNELS("i8mm", &matmul_i8mm);
