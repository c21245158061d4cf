/* SPDX-License-Identifier: Apache-2.0
 *
 * Panels of two halves of sixteen rows, for CPUs of 128 and 256-bit registers: AVX2, AVX-VNNI and
 * NEON.
 *
 *   a panel     two halves, one behind the other, so that a half stays in the L1 cache while all
 *               tokens meet it; a half is a run of steps, one for each 32 columns (or single
 *               columns for float weights)
 *   quantized   codes (8 groups of 4 columns, 16 rows, 4 columns)   512 bytes
 *               scales (run, 16 rows)   one run, or two where a type scales each 16 columns
 *               mins (run, 16 rows)     where the type has them
 *   float       weights (column, 16 rows)
 *
 * One register holds the same four columns of four or eight rows and four activations meet it, so
 * that sums of rows stay in their lanes to the end.
 *
 * A CPU's file includes this after it has named its registers:
 *   TOKENS               of a tile that meet a half together
 *   panel_words          a register of words, of which PANEL_LANES make a square to turn
 *   panel_super_fn       unpacks a super-block
 *   turn                 turns that square
 *   pack_block, pack_super_block   blocks of PANEL_LANES rows, those that are missing weighing zero
 *   widen_row            PANEL_LANES weights of a row as floats, zero past the last column
 *   multiply_part, multiply_float_part   a half and up to TOKENS or FLOAT_TOKENS tokens
 * The first three are types and numbers, the rest is declared here and defined there.
 */
#ifndef SLUICE_ENGINE_KERNELS_PANEL_HALVES_H
#define SLUICE_ENGINE_KERNELS_PANEL_HALVES_H

#include "kernels_panel.h"

#define HALF_ROWS 16
#define CODES_BYTES (HALF_ROWS * SL_BLOCK)
#define GROUP_BYTES (HALF_ROWS * 4) /* four columns of a half */
#define LANES_BYTES (HALF_ROWS * sizeof(float))

_Static_assert(TILE_TOKENS % TOKENS == 0, "tiles are cut in whole parts");

/* multiply(..., count) with `count` as a constant, for the up to `most` tokens that are left. */
#define WITH_TOKENS(left, most, multiply)                                                          \
    do {                                                                                           \
        if ((left) >= (most))                                                                      \
            multiply(most);                                                                        \
        else if ((most) > 5 && (left) == 5)                                                        \
            multiply(5);                                                                           \
        else if ((most) > 4 && (left) == 4)                                                        \
            multiply(4);                                                                           \
        else if ((most) > 3 && (left) == 3)                                                        \
            multiply(3);                                                                           \
        else if ((left) == 2)                                                                      \
            multiply(2);                                                                           \
        else                                                                                       \
            multiply(1);                                                                           \
    } while (0)

PANEL_INLINE size_t step_bytes_of(struct form form)
{
    return CODES_BYTES + runs_of(form) * (form.has_min ? 2 : 1) * LANES_BYTES;
}

/* ---- packing ---- */

PANEL_INLINE void turn(panel_words r[PANEL_LANES]);

/* `codes` and `lanes` are the places of the first row in a step. */
PANEL_INLINE void pack_block(plain_fn *unpack, struct form form, const uint8_t *weights,
                             size_t row_bytes, uint32_t rows, uint8_t *codes, uint8_t *lanes);
PANEL_INLINE void pack_super_block(panel_super_fn *unpack, struct form form, const uint8_t *weights,
                                   size_t row_bytes, uint32_t rows, uint8_t *codes,
                                   uint8_t *lanes);

PANEL_INLINE void pack_plain(plain_fn *unpack, size_t block_bytes, struct form form,
                             const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,
                             uint8_t *panel)
{
    const size_t blocks = cols / SL_BLOCK, step_bytes = step_bytes_of(form);
    for (uint32_t first = 0; first < SL_PANEL_ROWS; first += PANEL_LANES) {
        const uint32_t left = rows > first ? rows - first : 0, at = first % HALF_ROWS * 4;
        uint8_t *step = panel + first / HALF_ROWS * blocks * step_bytes;
        for (size_t block = 0; block < blocks; block++, step += step_bytes)
            pack_block(unpack, form, weights + first * row_bytes + block * block_bytes, row_bytes,
                       left, step + at, step + CODES_BYTES + at);
    }
}

PANEL_INLINE void pack_super(panel_super_fn *unpack, size_t block_bytes, struct form form,
                             const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,
                             uint8_t *panel)
{
    const size_t blocks = cols / SL_SUPER_BLOCK, super_bytes = 8 * step_bytes_of(form);
    for (uint32_t first = 0; first < SL_PANEL_ROWS; first += PANEL_LANES) {
        const uint32_t left = rows > first ? rows - first : 0, at = first % HALF_ROWS * 4;
        uint8_t *steps = panel + first / HALF_ROWS * blocks * super_bytes;
        for (size_t block = 0; block < blocks; block++, steps += super_bytes)
            pack_super_block(unpack, form, weights + first * row_bytes + block * block_bytes,
                             row_bytes, left, steps + at, steps + CODES_BYTES + at);
    }
}

/* ---- multiplying ---- */

/* One half and up to TOKENS tokens from `token` on. */
PANEL_INLINE void multiply_part(const uint8_t *half, uint32_t rows, const struct sl_activations *x,
                                size_t token, struct form form, int tokens, float *y,
                                size_t y_stride);

PANEL_INLINE void multiply_all(const uint8_t *panel, uint32_t rows, const struct sl_activations *x,
                               struct form form, float *y, size_t y_stride)
{
    const size_t half_bytes = x->cols / SL_BLOCK * step_bytes_of(form);
    for (uint32_t first = 0; first < rows; first += HALF_ROWS, panel += half_bytes)
        for (size_t token = 0; token < x->tokens; token += TOKENS) {
#define PART(count) multiply_part(panel, rows - first, x, token, form, count, y + first, y_stride)
            WITH_TOKENS(x->tokens - token, TOKENS, PART);
#undef PART
        }
}

#endif
