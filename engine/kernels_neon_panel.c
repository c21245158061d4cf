/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches on NEON with the dot product extension: a panel of 32 rows of weights, interleaved, times
 * tiles of activations. The layout is that of kernels_panel_halves.h with signed codes, a
 * register being four rows.
 *
 * sdot takes its four activations from a lane, so that one load of sixteen activations serves four
 * groups, and sums of rows stay in their lanes to the end. Four registers of rows by three tokens:
 * twelve sums in integers and twelve in floats of the 32 registers. For 16 rows, 32 columns and 3
 * tokens GCC 12 makes 196 instructions, 96 of them sdot: 0.13 a product, where a row at a time with
 * four tokens takes 0.36. Compiled without scheduling before registers are given out, which else
 * moves loads up until the sums no longer fit: 225 instructions.
 *
 * Threads: pure functions on the worker's own panel.
 */
#include "kernels_neon.h"

typedef int32x4_t panel_words;
typedef sl_codes_fn panel_super_fn;
#define PANEL_LANES 4
#define TOKENS 3
#include "kernels_panel_halves.h"

#define FLOAT_TOKENS TOKENS
#include "kernels_panel_floats.h"

#define QUADS (HALF_ROWS / PANEL_LANES) /* registers of four rows */

/* ---- packing ---- */

/* Four registers as a 4 x 4 matrix of words, turned. */
PANEL_INLINE void turn(int32x4_t r[4])
{
    const int32x4_t a = vtrn1q_s32(r[0], r[1]), b = vtrn2q_s32(r[0], r[1]);
    const int32x4_t c = vtrn1q_s32(r[2], r[3]), d = vtrn2q_s32(r[2], r[3]);
    const int64x2_t a2 = vreinterpretq_s64_s32(a), b2 = vreinterpretq_s64_s32(b);
    const int64x2_t c2 = vreinterpretq_s64_s32(c), d2 = vreinterpretq_s64_s32(d);
    r[0] = vreinterpretq_s32_s64(vtrn1q_s64(a2, c2));
    r[1] = vreinterpretq_s32_s64(vtrn1q_s64(b2, d2));
    r[2] = vreinterpretq_s32_s64(vtrn2q_s64(a2, c2));
    r[3] = vreinterpretq_s32_s64(vtrn2q_s64(b2, d2));
}

/* Sixteen columns of four rows into four groups. */
INLINE_NEON void store_codes(const int8x16_t rows[4], uint8_t *codes)
{
    int32x4_t turned[4];
    UNROLLED for (int i = 0; i < 4; i++)
        turned[i] = vreinterpretq_s32_s8(rows[i]);
    turn(turned);
    UNROLLED for (int i = 0; i < 4; i++)
        vst1q_s32((int32_t *)(codes + i * GROUP_BYTES), turned[i]);
}

/* One block of four rows, of which the first `rows` are there; the others weigh zero. */
PANEL_INLINE void pack_block(plain_fn *unpack, struct form form, const uint8_t *weights,
                            size_t row_bytes, uint32_t rows, uint8_t *codes, uint8_t *lanes)
{
    float *numbers = (float *)(void *)lanes;
    int8x16_t low[4], high[4];
    UNROLLED for (uint32_t row = 0; row < 4; row++) {
        struct plain w = {vdupq_n_s8(0), vdupq_n_s8(0), 0, 0};
        if (row < rows)
            w = unpack(weights + row * row_bytes);
        low[row] = w.low;
        high[row] = w.high;
        numbers[row] = w.d;
        if (form.has_min)
            numbers[HALF_ROWS + row] = w.m;
    }
    store_codes(low, codes);
    store_codes(high, codes + 4 * GROUP_BYTES);
}

/* Numbers of a super-block (row, run) to the lanes of its eight steps. */
INLINE_NEON void store_runs(const float *const rows[4], struct form form, uint8_t *lanes)
{
    for (size_t run = 0; run < SL_SUPER_BLOCK / SL_SUB_BLOCK; run += form.by_runs ? 1 : 2) {
        float *to = (float *)(lanes + run / 2 * step_bytes_of(form) + run % 2 * LANES_BYTES);
        for (size_t row = 0; row < 4; row++)
            to[row] = rows[row][run];
    }
}

/* One super-block of four rows: eight steps. */
PANEL_INLINE void pack_super_block(sl_codes_fn *unpack, struct form form, const uint8_t *weights,
                                  size_t row_bytes, uint32_t rows, uint8_t *codes, uint8_t *lanes)
{
    struct sl_codes w[4];
    const float *scales[4], *mins[4];
    for (uint32_t row = 0; row < 4; row++) {
        if (row < rows)
            unpack(weights + row * row_bytes, &w[row]);
        else
            memset(&w[row], 0, sizeof w[row]);
        scales[row] = w[row].scale;
        mins[row] = w[row].min;
    }
    for (size_t run = 0; run < SL_SUPER_BLOCK / SL_SUB_BLOCK; run++) {
        int8x16_t sixteen[4];
        UNROLLED for (size_t row = 0; row < 4; row++)
            sixteen[row] = vld1q_s8(w[row].code + run * SL_SUB_BLOCK);
        store_codes(sixteen, codes + run / 2 * step_bytes_of(form) + run % 2 * 4 * GROUP_BYTES);
    }
    store_runs(scales, form, lanes);
    if (form.has_min)
        store_runs(mins, form, lanes + runs_of(form) * LANES_BYTES);
}

void sl_neon_fill_tile(struct sl_activations *x, uint32_t idx)
{
    fill_tile(x, idx, place_in_order, false);
}

/* ---- multiplying ---- */

/* Group `lane` of sixteen columns: four columns of all rows. `lane` is an immediate. */
#define MULTIPLY_GROUP(lane)                                                                       \
    UNROLLED for (int quad = 0; quad < QUADS; quad++) {                                            \
        const int8x16_t w = vld1q_s8(codes + (lane) * GROUP_BYTES + quad * 16);                    \
        UNROLLED for (int t = 0; t < tokens; t++)                                                  \
            sum[quad][t] = vdotq_laneq_s32(sum[quad][t], w, four[t], lane);                        \
    }

/* Adds sixteen columns of a half times q (token, 32) to sum (quad, token). */
INLINE_NEON void multiply_sixteen(const int8_t *codes, const int8_t *q, int tokens,
                                  int32x4_t sum[QUADS][TOKENS])
{
    int8x16_t four[TOKENS];
    UNROLLED for (int t = 0; t < tokens; t++)
        four[t] = vld1q_s8(q + t * SL_BLOCK);
    MULTIPLY_GROUP(0)
    MULTIPLY_GROUP(1)
    MULTIPLY_GROUP(2)
    MULTIPLY_GROUP(3)
}

/* The columns of one scale: 32, or the half of them that is a run. */
INLINE_NEON void multiply_run(const int8_t *codes, const float *lanes, const int8_t *q,
                              const float *d, const float *sums, struct form form, int tokens,
                              float32x4_t acc[QUADS][TOKENS])
{
    int32x4_t sum[QUADS][TOKENS];
    UNROLLED for (int i = 0; i < QUADS * tokens; i++)
        sum[i / tokens][i % tokens] = vdupq_n_s32(0);
    multiply_sixteen(codes, q, tokens, sum);
    if (!form.by_runs)
        multiply_sixteen(codes + 4 * GROUP_BYTES, q + SL_SUB_BLOCK, tokens, sum);
    UNROLLED for (int quad = 0; quad < QUADS; quad++) {
        const float32x4_t scale = vld1q_f32(lanes + 4 * quad);
        UNROLLED for (int t = 0; t < tokens; t++)
            acc[quad][t] = vfmaq_f32(acc[quad][t], vcvtq_f32_s32(sum[quad][t]),
                                     vmulq_n_f32(scale, d[t]));
        if (!form.has_min)
            continue;
        const float32x4_t min = vld1q_f32(lanes + runs_of(form) * HALF_ROWS + 4 * quad);
        UNROLLED for (int t = 0; t < tokens; t++)
            acc[quad][t] = vfmaq_n_f32(acc[quad][t], min, sums[t]);
    }
}

/* All columns of a half times `tokens` tokens of a tile from `first` on. */
INLINE_NEON void multiply_tile(const uint8_t *half, const struct tile *tile, size_t first,
                               size_t blocks, struct form form, int tokens,
                               float32x4_t acc[QUADS][TOKENS])
{
    const size_t runs = runs_of(form), step_bytes = step_bytes_of(form);
    const float *sums = form.by_runs ? tile->run_sums : tile->sums;
    UNROLLED for (int i = 0; i < QUADS * tokens; i++)
        acc[i / tokens][i % tokens] = vdupq_n_f32(0);
    for (size_t block = 0; block < blocks; block++) {
        const uint8_t *step = half + block * step_bytes;
        const float *lanes = (const float *)(step + CODES_BYTES);
        UNROLLED for (size_t run = 0; run < runs; run++)
            multiply_run((const int8_t *)step + run * 4 * GROUP_BYTES, lanes + run * HALF_ROWS,
                         tile->q + (block * TILE_TOKENS + first) * SL_BLOCK + run * SL_SUB_BLOCK,
                         tile->d + block * TILE_TOKENS + first,
                         sums + (block * runs + run) * TILE_TOKENS + first, form, tokens, acc);
    }
}

/* The sums of `tokens` tokens to their places in y, as many rows as there are. */
INLINE_NEON void store_sums(float32x4_t acc[QUADS][TOKENS], int tokens, uint32_t rows, float *y,
                            size_t y_stride)
{
    UNROLLED for (int t = 0; t < tokens; t++) {
        float column[HALF_ROWS];
        UNROLLED for (int quad = 0; quad < QUADS; quad++)
            vst1q_f32(column + 4 * quad, acc[quad][t]);
        memcpy(y + (size_t)t * y_stride, column,
               (rows < HALF_ROWS ? rows : HALF_ROWS) * sizeof *column);
    }
}

PANEL_INLINE void multiply_part(const uint8_t *half, uint32_t rows, const struct sl_activations *x,
                               size_t token, struct form form, int tokens, float *y,
                               size_t y_stride)
{
    const struct tile tile = tile_at(x, token / TILE_TOKENS);
    float32x4_t acc[QUADS][TOKENS];
    multiply_tile(half, &tile, token % TILE_TOKENS, x->cols / SL_BLOCK, form, tokens, acc);
    store_sums(acc, tokens, rows, y + token * y_stride, y_stride);
}

/* ---- float weights ---- */

/* Four floats of a row; past the last column zero. */
PANEL_INLINE int32x4_t widen_row(enum sl_tensor_type type, const uint8_t *data, uint32_t count)
{
    uint8_t four[16] = {0};
    memcpy(four, data, (size_t)count * (type == SL_TYPE_F32 ? 4 : 2));
    if (type == SL_TYPE_F32)
        return vld1q_s32((const int32_t *)(const void *)four);
    const uint16x4_t halves = vld1_u16((const uint16_t *)(const void *)four);
    if (type == SL_TYPE_F16)
        return vreinterpretq_s32_f32(vcvt_f32_f16(vreinterpret_f16_u16(halves)));
    return vreinterpretq_s32_u32(vshll_n_u16(halves, 16));
}

PANEL_INLINE void multiply_float_part(const float *half, uint32_t rows, const float *x,
                                     size_t x_stride, size_t cols, int tokens, float *y,
                                     size_t y_stride)
{
    float32x4_t acc[QUADS][TOKENS];
    UNROLLED for (int i = 0; i < QUADS * tokens; i++)
        acc[i / tokens][i % tokens] = vdupq_n_f32(0);
    for (size_t col = 0; col < cols; col++)
        UNROLLED for (int quad = 0; quad < QUADS; quad++) {
            const float32x4_t w = vld1q_f32(half + col * HALF_ROWS + 4 * quad);
            UNROLLED for (int t = 0; t < tokens; t++)
                acc[quad][t] = vfmaq_n_f32(acc[quad][t], w, x[(size_t)t * x_stride + col]);
        }
    store_sums(acc, tokens, rows, y, y_stride);
}

/* ---- the tables ---- */

PANEL_FLOATS(sl_neon_pack_f32, sl_neon_pack_f16, sl_neon_pack_bf16, sl_neon_multiply_float)
PANELS_OF_ONE_OFFSET(sl_neon_panels, 0, sl_neon_pack_f32, sl_neon_pack_f16, sl_neon_pack_bf16,
                     sl_neon_multiply_float);
