/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches on NEON with the dot product extension: a panel of 32 rows of weights, interleaved, times
 * tiles of activations. The layout is that of kernels_avx2_panel.h with signed codes:
 *
 *   a panel     two halves of sixteen rows, one behind the other; a half is a run of steps, one for
 *               each 32 columns (or single columns for float weights)
 *   quantized   codes (8 groups of 4 columns, 16 rows, 4 columns)   512 bytes
 *               scales (run, 16 rows)   one run, or two where a type scales each 16 columns
 *               mins (run, 16 rows)     where the type has them
 *   float       weights (column, 16 rows)
 *   a tile      q (block, token, 32) | d (block, token) | sums (block, token) |
 *               run sums (block, run, token)
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

#define TILE_TOKENS SL_PANEL_TILE_TOKENS
#define TOKENS 3                    /* of a tile that meet a half together */
#define HALF_ROWS 16
#define QUADS (HALF_ROWS / 4)       /* registers of four rows */
#define CODES_BYTES (HALF_ROWS * SL_BLOCK)
#define GROUP_BYTES (HALF_ROWS * 4) /* four columns of a half */
#define LANES_BYTES (HALF_ROWS * sizeof(float))
#define UNROLLED _Pragma("GCC unroll 16")

_Static_assert(TILE_TOKENS % TOKENS == 0, "tiles are cut in whole parts");

struct form {
    bool by_runs; /* a scale for each 16 columns */
    bool has_min;
};

INLINE_NEON size_t runs_of(struct form form)
{
    return form.by_runs ? 2 : 1;
}

INLINE_NEON size_t step_bytes_of(struct form form)
{
    return CODES_BYTES + runs_of(form) * (form.has_min ? 2 : 1) * LANES_BYTES;
}

/* ---- packing ---- */

/* Four registers as a 4 x 4 matrix of words, turned. */
INLINE_NEON void turn(int32x4_t r[4])
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
INLINE_NEON void pack_block(plain_fn *unpack, struct form form, const uint8_t *weights,
                            size_t row_bytes, uint32_t rows, uint8_t *codes, float *lanes)
{
    int8x16_t low[4], high[4];
    UNROLLED for (uint32_t row = 0; row < 4; row++) {
        struct plain w = {vdupq_n_s8(0), vdupq_n_s8(0), 0, 0};
        if (row < rows)
            w = unpack(weights + row * row_bytes);
        low[row] = w.low;
        high[row] = w.high;
        lanes[row] = w.d;
        if (form.has_min)
            lanes[HALF_ROWS + row] = w.m;
    }
    store_codes(low, codes);
    store_codes(high, codes + 4 * GROUP_BYTES);
}

INLINE_NEON void pack_plain(plain_fn *unpack, size_t block_bytes, struct form form,
                            const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,
                            uint8_t *panel)
{
    const size_t blocks = cols / SL_BLOCK, step_bytes = step_bytes_of(form);
    for (uint32_t first = 0; first < SL_PANEL_ROWS; first += 4) {
        const uint32_t left = rows > first ? rows - first : 0, in_half = first % HALF_ROWS;
        uint8_t *step = panel + first / HALF_ROWS * blocks * step_bytes;
        for (size_t block = 0; block < blocks; block++, step += step_bytes)
            pack_block(unpack, form, weights + first * row_bytes + block * block_bytes, row_bytes,
                       left, step + in_half * 4, (float *)(step + CODES_BYTES) + in_half);
    }
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
INLINE_NEON void pack_super_block(sl_codes_fn *unpack, struct form form, const uint8_t *weights,
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

INLINE_NEON void pack_super(sl_codes_fn *unpack, size_t block_bytes, struct form form,
                            const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,
                            uint8_t *panel)
{
    const size_t blocks = cols / SL_SUPER_BLOCK, step_bytes = step_bytes_of(form);
    for (uint32_t first = 0; first < SL_PANEL_ROWS; first += 4) {
        const uint32_t left = rows > first ? rows - first : 0, in_half = first % HALF_ROWS;
        uint8_t *step = panel + first / HALF_ROWS * blocks * 8 * step_bytes;
        for (size_t block = 0; block < blocks; block++, step += 8 * step_bytes)
            pack_super_block(unpack, form, weights + first * row_bytes + block * block_bytes,
                             row_bytes, left, step + in_half * 4,
                             step + CODES_BYTES + in_half * sizeof(float));
    }
}

/* ---- tiles of activations ---- */

struct tile {
    int8_t *q;
    float *d;
    float *sums;
    float *run_sums;
};

INLINE_NEON struct tile tile_at(const struct sl_activations *x, size_t idx)
{
    const size_t params = x->cols / SL_BLOCK * TILE_TOKENS;
    struct tile tile = {.q = (int8_t *)x->tiles + idx * x->tile_bytes};
    tile.d = (float *)(tile.q + params * SL_BLOCK);
    tile.sums = tile.d + params;
    tile.run_sums = tile.sums + params;
    return tile;
}

void sl_neon_fill_tile(struct sl_activations *x, uint32_t idx)
{
    const struct tile tile = tile_at(x, idx);
    for (size_t t = 0; t < TILE_TOKENS && idx * TILE_TOKENS + t < x->tokens; t++) {
        const size_t token = idx * TILE_TOKENS + t;
        const int8_t *q = x->q + token * x->q_stride;
        const float *d = x->d + token * x->d_stride;
        const float *sums = x->sums + token * 2 * x->d_stride;
        for (size_t block = 0; block < x->cols / SL_BLOCK; block++) {
            const size_t at = block * TILE_TOKENS + t, run = 2 * block;
            memcpy(tile.q + at * SL_BLOCK, q + block * SL_BLOCK, SL_BLOCK);
            tile.d[at] = d[block];
            tile.sums[at] = sums[run] + sums[run + 1];
            for (size_t i = 0; i < 2; i++)
                tile.run_sums[(run + i) * TILE_TOKENS + t] = sums[run + i];
        }
    }
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

INLINE_NEON void multiply_part(const uint8_t *half, uint32_t rows, const struct sl_activations *x,
                               size_t token, struct form form, int tokens, float *y,
                               size_t y_stride)
{
    const struct tile tile = tile_at(x, token / TILE_TOKENS);
    float32x4_t acc[QUADS][TOKENS];
    multiply_tile(half, &tile, token % TILE_TOKENS, x->cols / SL_BLOCK, form, tokens, acc);
    store_sums(acc, tokens, rows, y + token * y_stride, y_stride);
}

INLINE_NEON void multiply_all(const uint8_t *panel, uint32_t rows, const struct sl_activations *x,
                              struct form form, float *y, size_t y_stride)
{
    const size_t half_bytes = x->cols / SL_BLOCK * step_bytes_of(form);
    for (uint32_t first = 0; first < rows; first += HALF_ROWS, panel += half_bytes) {
        size_t token = 0;
        for (; token + TOKENS <= x->tokens; token += TOKENS)
            multiply_part(panel, rows - first, x, token, form, TOKENS, y + first, y_stride);
        if (x->tokens - token == 2)
            multiply_part(panel, rows - first, x, token, form, 2, y + first, y_stride);
        else if (x->tokens - token == 1)
            multiply_part(panel, rows - first, x, token, form, 1, y + first, y_stride);
    }
}

/* ---- float weights ---- */

INLINE_NEON float32x4_t widen_four(enum sl_tensor_type type, const uint8_t *data)
{
    if (type == SL_TYPE_F32)
        return vld1q_f32((const float *)data);
    const uint16x4_t halves = vld1_u16((const uint16_t *)data);
    if (type == SL_TYPE_F16)
        return vcvt_f32_f16(vreinterpret_f16_u16(halves));
    return vreinterpretq_f32_u32(vshll_n_u16(halves, 16));
}

INLINE_NEON void pack_float(enum sl_tensor_type type, const uint8_t *weights, size_t row_bytes,
                            uint32_t rows, uint32_t cols, float *panel)
{
    const size_t width = type == SL_TYPE_F32 ? 4 : 2;
    for (uint32_t first = 0; first < SL_PANEL_ROWS; first += 4) {
        float *half = panel + first / HALF_ROWS * HALF_ROWS * (size_t)cols + first % HALF_ROWS;
        for (uint32_t col = 0; col < cols; col += 4) {
            const uint32_t count = cols - col < 4 ? cols - col : 4;
            int32x4_t w[4];
            for (uint32_t i = 0; i < 4; i++) {
                uint8_t four[16] = {0}; /* past the last row or column: zero */
                if (first + i < rows)
                    memcpy(four, weights + (first + i) * row_bytes + col * width, count * width);
                w[i] = vreinterpretq_s32_f32(widen_four(type, four));
            }
            turn(w);
            for (uint32_t i = 0; i < count; i++)
                vst1q_s32((int32_t *)(half + (size_t)(col + i) * HALF_ROWS), w[i]);
        }
    }
}

/* A half times `tokens` neighbours, a constant after inlining, straight from the rows of x. */
INLINE_NEON void multiply_float_part(const float *half, uint32_t rows, const float *x,
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

void sl_neon_multiply_float(const void *panel, uint32_t rows, const struct sl_activations *x,
                            float *y, size_t y_stride)
{
    const float *half = panel;
    for (uint32_t first = 0; first < rows; first += HALF_ROWS, half += HALF_ROWS * (size_t)x->cols) {
        size_t token = 0;
        for (; token + TOKENS <= x->tokens; token += TOKENS)
            multiply_float_part(half, rows - first, x->x + token * x->x_stride, x->x_stride,
                                x->cols, TOKENS, y + token * y_stride + first, y_stride);
        for (; token < x->tokens; token++)
            multiply_float_part(half, rows - first, x->x + token * x->x_stride, x->x_stride,
                                x->cols, 1, y + token * y_stride + first, y_stride);
    }
}

/* ---- the table ---- */

#define PACK_FLOAT(name, type)                                                                     \
    void name(const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols, void *panel) \
    {                                                                                              \
        pack_float(type, weights, row_bytes, rows, cols, panel);                                   \
    }
#define PACK(name, generic, unpack, block, form)                                                   \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,       \
                     void *panel)                                                                  \
    {                                                                                              \
        generic(unpack, sizeof(struct block), form, weights, row_bytes, rows, cols, panel);        \
    }
#define MULTIPLY(name, form)                                                                       \
    static void name(const void *panel, uint32_t rows, const struct sl_activations *x, float *y,   \
                     size_t y_stride)                                                              \
    {                                                                                              \
        multiply_all(panel, rows, x, form, y, y_stride);                                           \
    }

static const struct form form_blocks = {false, false};
static const struct form form_blocks_min = {false, true};
static const struct form form_runs = {true, false};
static const struct form form_runs_min = {true, true};

PACK_FLOAT(sl_neon_pack_f32, SL_TYPE_F32)
PACK_FLOAT(sl_neon_pack_f16, SL_TYPE_F16)
PACK_FLOAT(sl_neon_pack_bf16, SL_TYPE_BF16)
PACK(pack_q4_0, pack_plain, plain_q4_0, sl_block_q4_0, form_blocks)
PACK(pack_q4_1, pack_plain, plain_q4_1, sl_block_q4_1, form_blocks_min)
PACK(pack_q5_0, pack_plain, plain_q5_0, sl_block_q5_0, form_blocks)
PACK(pack_q5_1, pack_plain, plain_q5_1, sl_block_q5_1, form_blocks_min)
PACK(pack_q8_0, pack_plain, plain_q8_0, sl_block_q8_0, form_blocks)
PACK(pack_iq4_nl, pack_plain, plain_iq4_nl, sl_block_iq4_nl, form_blocks)
PACK(pack_q2_k, pack_super, super_q2_k, sl_block_q2_k, form_runs_min)
PACK(pack_q3_k, pack_super, super_q3_k, sl_block_q3_k, form_runs)
PACK(pack_q4_k, pack_super, super_q4_k, sl_block_q4_k, form_blocks_min)
PACK(pack_q5_k, pack_super, super_q5_k, sl_block_q5_k, form_blocks_min)
PACK(pack_q6_k, pack_super, super_q6_k, sl_block_q6_k, form_runs)
PACK(pack_iq4_xs, pack_super, super_iq4_xs, sl_block_iq4_xs, form_blocks)
MULTIPLY(multiply_blocks, form_blocks)
MULTIPLY(multiply_blocks_min, form_blocks_min)
MULTIPLY(multiply_runs, form_runs)
MULTIPLY(multiply_runs_min, form_runs_min)

const struct sl_panel sl_neon_panels[SL_TYPE_COUNT] = {
    [SL_TYPE_F32] = {sl_neon_pack_f32, sl_neon_multiply_float},
    [SL_TYPE_F16] = {sl_neon_pack_f16, sl_neon_multiply_float},
    [SL_TYPE_BF16] = {sl_neon_pack_bf16, sl_neon_multiply_float},
    [SL_TYPE_Q4_0] = {pack_q4_0, multiply_blocks},
    [SL_TYPE_Q4_1] = {pack_q4_1, multiply_blocks_min},
    [SL_TYPE_Q5_0] = {pack_q5_0, multiply_blocks},
    [SL_TYPE_Q5_1] = {pack_q5_1, multiply_blocks_min},
    [SL_TYPE_Q8_0] = {pack_q8_0, multiply_blocks},
    [SL_TYPE_IQ4_NL] = {pack_iq4_nl, multiply_blocks},
    [SL_TYPE_Q2_K] = {pack_q2_k, multiply_runs_min},
    [SL_TYPE_Q3_K] = {pack_q3_k, multiply_runs},
    [SL_TYPE_Q4_K] = {pack_q4_k, multiply_blocks_min},
    [SL_TYPE_Q5_K] = {pack_q5_k, multiply_blocks_min},
    [SL_TYPE_Q6_K] = {pack_q6_k, multiply_runs},
    [SL_TYPE_IQ4_XS] = {pack_iq4_xs, multiply_blocks},
};
