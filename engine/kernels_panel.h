/* SPDX-License-Identifier: Apache-2.0
 *
 * What the panels of AVX2, AVX-VNNI, NEON and i8mm have in common, whatever their registers: how a
 * type's codes lie in a panel, the tiles of activations that meet it, and the functions of a type
 * made of generic ones. AVX-512 has forms and tiles of its own (kernels_avx512.h).
 *
 * The file that includes this has pack_plain and pack_super (generic, inlined: the unpacking
 * function and the form are constants) and multiply_all.
 */
#ifndef SLUICE_ENGINE_KERNELS_PANEL_H
#define SLUICE_ENGINE_KERNELS_PANEL_H

#include "kernels_panel_table.h"

#define PANEL_INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 16")
#define TILE_TOKENS SL_PANEL_TILE_TOKENS

/* How a type's codes lie in a panel. */
struct form {
    bool by_runs; /* a scale for each 16 columns */
    bool has_min;
    int offset;   /* added to the signed codes of the file: a power of two, or 0 */
    int depth;    /* products of neighbouring groups that fit 16 bits: kernels_avx2_dot.h */
    uint8_t bits; /* of a code; 0: a byte each, as panels have them */
    bool is_iq4;  /* codes are indices into sl_iq4_values */
};

PANEL_INLINE size_t runs_of(struct form form)
{
    return form.by_runs ? 2 : 1;
}

/* ---- tiles of activations ---- */

/* All addresses of a step are one pointer and constants:
 *   q (block, token, 32) | d (block, token) | sums (block, token) | run sums (block, run, token) |
 *   offsets (block, token) | run offsets (block, run, token)   where codes have an offset */
struct tile {
    int8_t *q;
    float *d;
    float *sums;
    float *run_sums;
    int32_t *offsets;
    int32_t *run_offsets;
};

PANEL_INLINE struct tile tile_at(const struct sl_activations *x, size_t idx)
{
    const size_t params = x->cols / SL_BLOCK * TILE_TOKENS;
    struct tile tile = {.q = (int8_t *)x->tiles + idx * x->tile_bytes};
    tile.d = (float *)(tile.q + params * SL_BLOCK);
    tile.sums = tile.d + params;
    tile.run_sums = tile.sums + params;
    tile.offsets = (int32_t *)(tile.run_sums + 2 * params);
    tile.run_offsets = tile.offsets + params;
    return tile;
}

/* Puts 32 activations of token `t` of a tile, whose q of this block begins at `block`, to their
 * places. */
typedef void place_fn(int8_t *block, size_t t, const int8_t *q);

/* Token by token. */
PANEL_INLINE void place_in_order(int8_t *block, size_t t, const int8_t *q)
{
    memcpy(block + t * SL_BLOCK, q, SL_BLOCK);
}

PANEL_INLINE void fill_tile(const struct sl_activations *x, size_t idx, place_fn *place,
                            bool has_offsets)
{
    const struct tile tile = tile_at(x, idx);
    for (size_t t = 0; t < TILE_TOKENS && idx * TILE_TOKENS + t < x->tokens; t++) {
        const size_t token = idx * TILE_TOKENS + t;
        const float *sums = x->sums + token * 2 * x->d_stride;
        const int32_t *offsets = x->offsets + token * 2 * x->d_stride;
        for (size_t block = 0; block < x->cols / SL_BLOCK; block++) {
            const size_t at = block * TILE_TOKENS + t, run = 2 * block;
            place(tile.q + block * TILE_TOKENS * SL_BLOCK, t,
                  x->q + token * x->q_stride + block * SL_BLOCK);
            tile.d[at] = x->d[token * x->d_stride + block];
            tile.sums[at] = sums[run] + sums[run + 1];
            if (has_offsets)
                tile.offsets[at] = offsets[run] + offsets[run + 1];
            for (size_t i = 0; i < 2; i++) {
                tile.run_sums[(run + i) * TILE_TOKENS + t] = sums[run + i];
                if (has_offsets)
                    tile.run_offsets[(run + i) * TILE_TOKENS + t] = offsets[run + i];
            }
        }
    }
}

/* ---- functions of a type ---- */

#define PANEL_PACK(name, generic, unpack, block, form)                                             \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,       \
                     void *panel)                                                                  \
    {                                                                                              \
        generic(unpack, sizeof(struct block), form, weights, row_bytes, rows, cols, panel);        \
    }
#define PANEL_MULTIPLY(name, form)                                                                 \
    static void name(const void *panel, uint32_t rows, const struct sl_activations *x, float *y,   \
                     size_t y_stride)                                                              \
    {                                                                                              \
        multiply_all(panel, rows, x, form, y, y_stride);                                           \
    }

/* All of them, and their table, where codes of all types have the same offset and four products
 * become one sum of 32 bits at once. */
#define PANELS_OF_ONE_OFFSET(table, its_offset, pack_f32, pack_f16, pack_bf16, multiply_float)     \
    static const struct form form_blocks = {.offset = its_offset};                                 \
    static const struct form form_blocks_min = {.has_min = true, .offset = its_offset};            \
    static const struct form form_runs = {.by_runs = true, .offset = its_offset};                  \
    static const struct form form_runs_min = {                                                     \
        .by_runs = true, .has_min = true, .offset = its_offset};                                   \
    PANEL_PACK(pack_q4_0, pack_plain, plain_q4_0, sl_block_q4_0, form_blocks)                      \
    PANEL_PACK(pack_q4_1, pack_plain, plain_q4_1, sl_block_q4_1, form_blocks_min)                  \
    PANEL_PACK(pack_q5_0, pack_plain, plain_q5_0, sl_block_q5_0, form_blocks)                      \
    PANEL_PACK(pack_q5_1, pack_plain, plain_q5_1, sl_block_q5_1, form_blocks_min)                  \
    PANEL_PACK(pack_q8_0, pack_plain, plain_q8_0, sl_block_q8_0, form_blocks)                      \
    PANEL_PACK(pack_iq4_nl, pack_plain, plain_iq4_nl, sl_block_iq4_nl, form_blocks)                \
    PANEL_PACK(pack_q2_k, pack_super, super_q2_k, sl_block_q2_k, form_runs_min)                    \
    PANEL_PACK(pack_q3_k, pack_super, super_q3_k, sl_block_q3_k, form_runs)                        \
    PANEL_PACK(pack_q4_k, pack_super, super_q4_k, sl_block_q4_k, form_blocks_min)                  \
    PANEL_PACK(pack_q5_k, pack_super, super_q5_k, sl_block_q5_k, form_blocks_min)                  \
    PANEL_PACK(pack_q6_k, pack_super, super_q6_k, sl_block_q6_k, form_runs)                        \
    PANEL_PACK(pack_iq4_xs, pack_super, super_iq4_xs, sl_block_iq4_xs, form_blocks)                \
    PANEL_MULTIPLY(multiply_blocks, form_blocks)                                                   \
    PANEL_MULTIPLY(multiply_blocks_min, form_blocks_min)                                           \
    PANEL_MULTIPLY(multiply_runs, form_runs)                                                       \
    PANEL_MULTIPLY(multiply_runs_min, form_runs_min)                                               \
    PANEL_TABLE(table, pack_f32, pack_f16, pack_bf16, multiply_float)

#endif
