/* SPDX-License-Identifier: Apache-2.0
 *
 * Panels of float weights in halves (kernels_panel_halves.h), and what every CPU that has them
 * gives away: pack functions of the three types and the product. The CPU's file has widen_row and
 * multiply_float_part.
 */
#ifndef SLUICE_ENGINE_KERNELS_PANEL_FLOATS_H
#define SLUICE_ENGINE_KERNELS_PANEL_FLOATS_H

#include "kernels_panel_halves.h"

/* `count` weights of a row, at most PANEL_LANES, as floats; past them zero. */
PANEL_INLINE panel_words widen_row(enum sl_tensor_type type, const uint8_t *data, uint32_t count);

PANEL_INLINE void pack_float(enum sl_tensor_type type, const uint8_t *weights, size_t row_bytes,
                             uint32_t rows, uint32_t cols, float *panel)
{
    const size_t width = type == SL_TYPE_F32 ? 4 : 2;
    for (uint32_t first = 0; first < SL_PANEL_ROWS; first += PANEL_LANES) {
        float *half = panel + first / HALF_ROWS * HALF_ROWS * (size_t)cols + first % HALF_ROWS;
        for (uint32_t col = 0; col < cols; col += PANEL_LANES) {
            const uint32_t count = cols - col < PANEL_LANES ? cols - col : PANEL_LANES;
            panel_words w[PANEL_LANES];
            for (uint32_t i = 0; i < PANEL_LANES; i++) /* rows that are missing weigh zero */
                w[i] = first + i < rows
                           ? widen_row(type, weights + (first + i) * row_bytes + col * width, count)
                           : (panel_words){0};
            turn(w);
            for (uint32_t i = 0; i < count; i++)
                memcpy(half + (size_t)(col + i) * HALF_ROWS, &w[i], sizeof w[i]);
        }
    }
}

/* A half times `tokens` neighbours, a constant after inlining, straight from the rows of x. */
PANEL_INLINE void multiply_float_part(const float *half, uint32_t rows, const float *x,
                                      size_t x_stride, size_t cols, int tokens, float *y,
                                      size_t y_stride);

PANEL_INLINE void multiply_floats(const float *half, uint32_t rows, const struct sl_activations *x,
                                  float *y, size_t y_stride)
{
    for (uint32_t first = 0; first < rows; first += HALF_ROWS, half += HALF_ROWS * (size_t)x->cols)
        for (size_t token = 0; token < x->tokens; token += FLOAT_TOKENS) {
#define PART(count)                                                                                \
    multiply_float_part(half, rows - first, x->x + token * x->x_stride, x->x_stride, x->cols,      \
                        count, y + token * y_stride + first, y_stride)
            WITH_TOKENS(x->tokens - token, FLOAT_TOKENS, PART);
#undef PART
        }
}

#define PANEL_PACK_FLOAT(name, type)                                                               \
    void name(const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols, void *panel) \
    {                                                                                              \
        pack_float(type, weights, row_bytes, rows, cols, panel);                                   \
    }

/* The four functions; all CPUs with the same registers share them. */
#define PANEL_FLOATS(pack_f32, pack_f16, pack_bf16, multiply)                                      \
    PANEL_PACK_FLOAT(pack_f32, SL_TYPE_F32)                                                        \
    PANEL_PACK_FLOAT(pack_f16, SL_TYPE_F16)                                                        \
    PANEL_PACK_FLOAT(pack_bf16, SL_TYPE_BF16)                                                      \
    void multiply(const void *panel, uint32_t rows, const struct sl_activations *x, float *y,      \
                  size_t y_stride)                                                                 \
    {                                                                                              \
        multiply_floats(panel, rows, x, y, y_stride);                                              \
    }

#endif
