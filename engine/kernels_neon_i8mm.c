/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches on NEON with the matrix extension (i8mm, Armv8.6: Graviton 3, Apple M2, Cortex-A510 and
 * A710 on; not the Raspberry Pi 5). smmla multiplies two rows by two tokens over eight columns,
 * twice the products of sdot. As kernels_neon_panel.c but for the order within a step:
 *
 *   a panel   four octets of rows, one behind the other; an octet is a run of steps of 32 columns:
 *             codes (4 groups of 8 columns, 8 rows, 8 columns) | scales (run, 8 rows) | mins (run,
 *             8 rows)
 *   a tile    q (block, 3 pairs of tokens, 4 groups of 8 columns, 2 tokens, 8 columns) |
 *             d (block, token) | sums (block, token) | run sums (block, run, token)
 *
 * Four pairs of rows by three pairs of tokens: twelve sums in integers, each (row 0, row 0, row 1,
 * row 1) by (token 0, token 1, token 0, token 1), and twelve in floats. 48 smmla for 1,536
 * products.
 *
 * Threads: pure functions on the worker's own panel.
 */
#include "kernels_neon.h"
#include "kernels_panel.h"

#define PAIRS (TILE_TOKENS / 2)
#define OCTET 8
#define CODES_BYTES (OCTET * SL_BLOCK)
#define GROUP_BYTES (OCTET * 8) /* eight columns of an octet */

_Static_assert(TILE_TOKENS % 2 == 0, "tokens go in pairs");

INLINE_NEON size_t step_bytes_of(struct form form)
{
    return CODES_BYTES + runs_of(form) * (form.has_min ? 2 : 1) * OCTET * sizeof(float);
}

/* ---- packing ---- */

/* 32 columns of two rows into the four groups of a step, from the first row's place on. */
INLINE_NEON void store_pair(const int8x16_t low[2], const int8x16_t high[2], uint8_t *codes)
{
    const int64x2_t a = vreinterpretq_s64_s8(low[0]), b = vreinterpretq_s64_s8(low[1]);
    const int64x2_t c = vreinterpretq_s64_s8(high[0]), d = vreinterpretq_s64_s8(high[1]);
    const int64x2_t groups[4] = {vzip1q_s64(a, b), vzip2q_s64(a, b), vzip1q_s64(c, d),
                                 vzip2q_s64(c, d)};
    UNROLLED for (int i = 0; i < 4; i++)
        vst1q_u8(codes + i * GROUP_BYTES, vreinterpretq_u8_s64(groups[i]));
}

INLINE_NEON void pack_plain(plain_fn *unpack, size_t block_bytes, struct form form,
                            const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,
                            uint8_t *panel)
{
    const size_t blocks = cols / SL_BLOCK, step_bytes = step_bytes_of(form);
    for (uint32_t first = 0; first < SL_PANEL_ROWS; first += 2) {
        uint8_t *step = panel + first / OCTET * blocks * step_bytes;
        for (size_t block = 0; block < blocks; block++, step += step_bytes) {
            float *lanes = (float *)(step + CODES_BYTES) + first % OCTET;
            int8x16_t low[2], high[2];
            UNROLLED for (uint32_t i = 0; i < 2; i++) {
                struct plain w = {vdupq_n_s8(0), vdupq_n_s8(0), 0, 0};
                if (first + i < rows) /* rows that are missing weigh zero */
                    w = unpack(weights + (first + i) * row_bytes + block * block_bytes);
                low[i] = w.low;
                high[i] = w.high;
                lanes[i] = w.d;
                if (form.has_min)
                    lanes[OCTET + i] = w.m;
            }
            store_pair(low, high, step + first % OCTET * 8);
        }
    }
}

/* Numbers of a super-block (run) of one row to the lanes of its eight steps. */
INLINE_NEON void store_runs(const float *numbers, struct form form, float *lane)
{
    const size_t step_floats = step_bytes_of(form) / sizeof(float);
    for (size_t run = 0; run < SL_SUPER_BLOCK / SL_SUB_BLOCK; run += form.by_runs ? 1 : 2)
        lane[run / 2 * step_floats + run % 2 * OCTET] = numbers[run];
}

INLINE_NEON void pack_super(sl_codes_fn *unpack, size_t block_bytes, struct form form,
                            const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,
                            uint8_t *panel)
{
    const size_t blocks = cols / SL_SUPER_BLOCK, step_bytes = step_bytes_of(form);
    for (uint32_t first = 0; first < SL_PANEL_ROWS; first += 2) {
        uint8_t *step = panel + first / OCTET * blocks * 8 * step_bytes;
        for (size_t block = 0; block < blocks; block++, step += 8 * step_bytes) {
            float *lanes = (float *)(step + CODES_BYTES) + first % OCTET;
            struct sl_codes w[2];
            for (uint32_t i = 0; i < 2; i++) {
                if (first + i < rows)
                    unpack(weights + (first + i) * row_bytes + block * block_bytes, &w[i]);
                else
                    memset(&w[i], 0, sizeof w[i]);
                store_runs(w[i].scale, form, lanes + i);
                if (form.has_min)
                    store_runs(w[i].min, form, lanes + runs_of(form) * OCTET + i);
            }
            for (size_t i = 0; i < 8; i++) {
                const int8_t *a = w[0].code + i * SL_BLOCK, *b = w[1].code + i * SL_BLOCK;
                const int8x16_t low[2] = {vld1q_s8(a), vld1q_s8(b)};
                const int8x16_t high[2] = {vld1q_s8(a + 16), vld1q_s8(b + 16)};
                store_pair(low, high, step + i * step_bytes + first % OCTET * 8);
            }
        }
    }
}

/* ---- tiles of activations ---- */

/* Two tokens next to each other, in four groups of eight columns. */
INLINE_NEON void place_in_pairs(int8_t *block, size_t t, const int8_t *q)
{
    int8_t *pair = block + t / 2 * 2 * SL_BLOCK + t % 2 * 8;
    for (size_t group = 0; group < 4; group++)
        memcpy(pair + group * 16, q + group * 8, 8);
}

void sl_i8mm_fill_tile(struct sl_activations *x, uint32_t idx)
{
    if ((size_t)(idx + 1) * TILE_TOKENS > x->tokens) /* tokens that are missing count as zero */
        memset(tile_at(x, idx).q, 0, x->tile_bytes);
    fill_tile(x, idx, place_in_pairs, false);
}

/* ---- multiplying ---- */

/* (a, b, a, b) of two neighbours. */
INLINE_NEON float32x4_t twice(const float *two)
{
    const float32x2_t pair = vld1_f32(two);
    return vcombine_f32(pair, pair);
}

/* acc (row pair, token pair) += lanes (row) * numbers (token) * sum; NULL: without a sum. */
INLINE_NEON void fold(const float *lanes, const float *numbers, int pairs,
                      int32x4_t sum[4][PAIRS], float32x4_t acc[4][PAIRS])
{
    UNROLLED for (int quad = 0; quad < 2; quad++) {
        const float32x4_t four = vld1q_f32(lanes + 4 * quad);
        const float32x4_t both[2] = {vzip1q_f32(four, four), vzip2q_f32(four, four)};
        UNROLLED for (int half = 0; half < 2; half++)
            UNROLLED for (int pair = 0; pair < pairs; pair++) {
                const int row = 2 * quad + half;
                const float32x4_t number = twice(numbers + 2 * pair);
                acc[row][pair] =
                    sum == NULL
                        ? vfmaq_f32(acc[row][pair], both[half], number)
                        : vfmaq_f32(acc[row][pair], vcvtq_f32_s32(sum[row][pair]),
                                    vmulq_f32(both[half], number));
            }
    }
}

/* The columns of one scale: 32, or the half of them that is a run. */
INLINE_NEON void multiply_run(const int8_t *codes, const float *lanes, const int8_t *q,
                              const float *d, const float *sums, struct form form, int pairs,
                              float32x4_t acc[4][PAIRS])
{
    const int groups = form.by_runs ? 2 : 4;
    int32x4_t sum[4][PAIRS];
    UNROLLED for (int i = 0; i < 4 * pairs; i++)
        sum[i / pairs][i % pairs] = vdupq_n_s32(0);
    UNROLLED for (int group = 0; group < groups; group++)
        UNROLLED for (int row = 0; row < 4; row++) {
            const int8x16_t w = vld1q_s8(codes + group * GROUP_BYTES + row * 16);
            UNROLLED for (int pair = 0; pair < pairs; pair++)
                sum[row][pair] = vmmlaq_s32(sum[row][pair], w,
                                            vld1q_s8(q + pair * 2 * SL_BLOCK + group * 16));
        }
    fold(lanes, d, pairs, sum, acc);
    if (form.has_min)
        fold(lanes + runs_of(form) * OCTET, sums, pairs, NULL, acc);
}

/* The sums to their places in y, as many rows and tokens as there are. */
INLINE_NEON void store_sums(float32x4_t acc[4][PAIRS], int pairs, uint32_t rows, size_t tokens,
                            float *y, size_t y_stride)
{
    for (size_t t = 0; t < 2 * (size_t)pairs && t < tokens; t++) {
        float column[OCTET];
        for (size_t quad = 0; quad < 2; quad++) {
            const float32x4_t a = acc[2 * quad][t / 2], b = acc[2 * quad + 1][t / 2];
            vst1q_f32(column + 4 * quad, t % 2 == 0 ? vuzp1q_f32(a, b) : vuzp2q_f32(a, b));
        }
        memcpy(y + t * y_stride, column, (rows < OCTET ? rows : OCTET) * sizeof *column);
    }
}

/* An octet times a tile, of which `pairs` pairs are there. */
INLINE_NEON void multiply_tile(const uint8_t *octet, uint32_t rows, const struct sl_activations *x,
                               size_t token, struct form form, int pairs, float *y,
                               size_t y_stride)
{
    const struct tile tile = tile_at(x, token / TILE_TOKENS);
    const size_t runs = runs_of(form), step_bytes = step_bytes_of(form);
    const float *sums = form.by_runs ? tile.run_sums : tile.sums;
    float32x4_t acc[4][PAIRS];
    UNROLLED for (int i = 0; i < 4 * pairs; i++)
        acc[i / pairs][i % pairs] = vdupq_n_f32(0);
    for (size_t block = 0; block < x->cols / SL_BLOCK; block++) {
        const uint8_t *step = octet + block * step_bytes;
        const float *lanes = (const float *)(step + CODES_BYTES);
        UNROLLED for (size_t run = 0; run < runs; run++)
            multiply_run((const int8_t *)step + run * 2 * GROUP_BYTES, lanes + run * OCTET,
                         tile.q + block * TILE_TOKENS * SL_BLOCK + run * 32,
                         tile.d + block * TILE_TOKENS,
                         sums + (block * runs + run) * TILE_TOKENS, form, pairs, acc);
    }
    store_sums(acc, pairs, rows, x->tokens - token, y + token * y_stride, y_stride);
}

INLINE_NEON void multiply_all(const uint8_t *panel, uint32_t rows, const struct sl_activations *x,
                              struct form form, float *y, size_t y_stride)
{
    const size_t octet_bytes = x->cols / SL_BLOCK * step_bytes_of(form);
    for (uint32_t first = 0; first < rows; first += OCTET, panel += octet_bytes)
        for (size_t token = 0; token < x->tokens; token += TILE_TOKENS) {
            const size_t left = x->tokens - token;
            if (left > 4)
                multiply_tile(panel, rows - first, x, token, form, 3, y + first, y_stride);
            else if (left > 2)
                multiply_tile(panel, rows - first, x, token, form, 2, y + first, y_stride);
            else
                multiply_tile(panel, rows - first, x, token, form, 1, y + first, y_stride);
        }
}

/* ---- the table ---- */

PANELS_OF_ONE_OFFSET(sl_i8mm_panels, 0, sl_neon_pack_f32, sl_neon_pack_f16, sl_neon_pack_bf16,
                     sl_neon_multiply_float);
