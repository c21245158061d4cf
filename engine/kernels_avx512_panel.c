/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches on AVX-512: sixteen rows of weights, interleaved, times all tokens.
 *
 * A panel is a run of steps, one for each 32 columns (or sixteen single columns for float weights):
 *
 *   quantized   codes (8 groups of 4 columns, 16 rows, 4 columns)  512 bytes, unsigned
 *               scales (run, 16 rows)   one run, or two where a type scales each 16 columns
 *               mins (run, 16 rows)     where the type has them
 *   float       weights (column, 16 rows)
 *
 * so that one register holds the same four columns of sixteen rows, a broadcast of four activations
 * meets them, and sums of rows stay in their lanes to the end. Codes are offset by 128 for all
 * types: the accumulator starts at -128 * sum of activations, which the activations bring along.
 *
 * Packing costs a register transpose of 16 x 16 words for each 64 columns, once for all tokens.
 *
 * Threads: pure functions on the worker's own panel.
 */
#include "kernels_avx512.h"

#define TILE_TOKENS 8   /* 8 integer and 8 float sums, 8 registers of codes: 24 of 32 */
#define CODES_BYTES 512 /* of a step */
#define LANE_BYTES 64   /* sixteen floats */

/* ---- packing ---- */

/* Sixteen registers as a 16 x 16 matrix of words, turned. */
INLINE512 void transpose(__m512i r[16])
{
    __m512i a[16], b[16];
    for (int i = 0; i < 8; i++) {
        a[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++) {
        b[4 * i] = _mm512_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 1] = _mm512_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 2] = _mm512_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
        b[4 * i + 3] = _mm512_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
    }
    /* b[4 * i + j]: lane k holds word 4 * k + j of rows 4 * i to 4 * i + 3. */
    for (int j = 0; j < 4; j++) {
        const __m512i p = _mm512_shuffle_i32x4(b[j], b[4 + j], 0x88);
        const __m512i q = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0x88);
        const __m512i s = _mm512_shuffle_i32x4(b[j], b[4 + j], 0xdd);
        const __m512i t = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0xdd);
        r[j] = _mm512_shuffle_i32x4(p, q, 0x88);
        r[8 + j] = _mm512_shuffle_i32x4(p, q, 0xdd);
        r[4 + j] = _mm512_shuffle_i32x4(s, t, 0x88);
        r[12 + j] = _mm512_shuffle_i32x4(s, t, 0xdd);
    }
}

/* Codes of 64 columns of 16 rows (row, column) into one or two steps. */
INLINE512 void store_codes(const __m512i rows[16], uint8_t *step, size_t step_bytes, bool has_second)
{
    __m512i turned[16];
    for (int i = 0; i < 16; i++)
        turned[i] = rows[i];
    transpose(turned);
    for (int i = 0; i < 8; i++)
        _mm512_store_si512(step + 64 * i, turned[i]);
    for (int i = 0; i < 8 && has_second; i++)
        _mm512_store_si512(step + step_bytes + 64 * i, turned[8 + i]);
}

/* `offset` to 128, and rows that are missing to weight zero. */
INLINE512 void pack_pair(sl_pair_fn *unpack, size_t block_bytes, char offset, bool has_min,
                         const uint8_t *weights, size_t row_bytes, uint32_t rows, size_t block,
                         bool has_second, uint8_t *step, size_t step_bytes)
{
    __m512i codes[SL_PANEL_ROWS];
    const __m512i shift = _mm512_set1_epi8((char)(128 - (uint8_t)offset));
    for (uint32_t row = 0; row < SL_PANEL_ROWS; row++) {
        if (row >= rows) {
            codes[row] = _mm512_set1_epi8((char)128);
            continue;
        }
        const uint8_t *data = weights + row * row_bytes + block * block_bytes;
        codes[row] = _mm512_add_epi8(unpack(data, has_second), shift);
        for (int i = 0; i < (has_second ? 2 : 1); i++) {
            float *scales = (float *)(step + (size_t)i * step_bytes + CODES_BYTES);
            scales[row] = widen_half(data + (size_t)i * block_bytes);
            if (has_min)
                scales[SL_PANEL_ROWS + row] = widen_half(data + (size_t)i * block_bytes + 2);
        }
    }
    store_codes(codes, step, step_bytes, has_second);
}

/* Scales (and minimums) of missing rows. Packing leaves them alone. */
static void clear_missing(uint8_t *panel, size_t steps, size_t step_bytes, uint32_t rows)
{
    const size_t lanes = (step_bytes - CODES_BYTES) / LANE_BYTES;
    if (rows == SL_PANEL_ROWS)
        return;
    for (size_t i = 0; i < steps; i++)
        for (size_t lane = 0; lane < lanes; lane++) {
            float *scales = (float *)(panel + i * step_bytes + CODES_BYTES) + lane * SL_PANEL_ROWS;
            memset(scales + rows, 0, (SL_PANEL_ROWS - rows) * sizeof *scales);
        }
}

INLINE512 void pack_plain(sl_pair_fn *unpack, size_t block_bytes, char offset, bool has_min,
                          const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,
                          uint8_t *panel)
{
    const size_t step_bytes = CODES_BYTES + (has_min ? 2 : 1) * LANE_BYTES;
    const size_t blocks = cols / SL_BLOCK;
    size_t block = 0;
    for (; block + 2 <= blocks; block += 2)
        pack_pair(unpack, block_bytes, offset, has_min, weights, row_bytes, rows, block, true,
                  panel + block * step_bytes, step_bytes);
    if (block < blocks)
        pack_pair(unpack, block_bytes, offset, has_min, weights, row_bytes, rows, block, false,
                  panel + block * step_bytes, step_bytes);
    clear_missing(panel, blocks, step_bytes, rows);
}

/* Scales of a super-block of 16 rows, (row, run), into its eight steps: every run, or every second
 * where 32 columns share one. */
INLINE512 void store_scales(const __m512i rows[16], bool by_runs, uint8_t *step, size_t step_bytes)
{
    __m512i turned[16];
    for (int i = 0; i < 16; i++)
        turned[i] = rows[i];
    transpose(turned);
    for (int i = 0; i < 8; i++) {
        _mm512_store_si512(step + (size_t)i * step_bytes, turned[2 * i]);
        if (by_runs)
            _mm512_store_si512(step + (size_t)i * step_bytes + LANE_BYTES, turned[2 * i + 1]);
    }
}

INLINE512 void pack_super(sl_super_fn *unpack, size_t block_bytes, char offset, bool by_runs,
                          bool has_min, const uint8_t *weights, size_t row_bytes, uint32_t rows,
                          uint32_t cols, uint8_t *panel)
{
    const size_t lanes = (by_runs ? 2 : 1) * (has_min ? 2 : 1);
    const size_t step_bytes = CODES_BYTES + lanes * LANE_BYTES;
    const __m512i shift = _mm512_set1_epi8((char)(128 - (uint8_t)offset));
    for (size_t block = 0; block < cols / SL_SUPER_BLOCK; block++) {
        uint8_t *step = panel + 8 * block * step_bytes;
        __m512i codes[4][SL_PANEL_ROWS], scales[SL_PANEL_ROWS], mins[SL_PANEL_ROWS];
        for (uint32_t row = 0; row < SL_PANEL_ROWS; row++) {
            struct sl_super w = {.scales = _mm512_setzero_ps(), .mins = _mm512_setzero_ps()};
            for (int i = 0; i < 4; i++)
                w.codes[i] = _mm512_setzero_si512();
            if (row < rows)
                unpack(weights + row * row_bytes + block * block_bytes, &w);
            for (int i = 0; i < 4; i++)
                codes[i][row] = _mm512_add_epi8(w.codes[i], shift);
            scales[row] = _mm512_castps_si512(w.scales);
            mins[row] = _mm512_castps_si512(w.mins);
        }
        for (int i = 0; i < 4; i++)
            store_codes(codes[i], step + 2 * (size_t)i * step_bytes, step_bytes, true);
        store_scales(scales, by_runs, step + CODES_BYTES, step_bytes);
        if (has_min)
            store_scales(mins, by_runs, step + CODES_BYTES + lanes / 2 * LANE_BYTES, step_bytes);
    }
}

/* ---- multiplying ---- */

/* Four activations of one token on all rows. */
INLINE512 __m512i broadcast_four(const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, sizeof four);
    return _mm512_set1_epi32(four);
}

/* One step times `tokens` tokens. */
INLINE512 void multiply_step(const uint8_t *step, const struct sl_activations *x, size_t token,
                             int tokens, size_t block, bool by_runs, bool has_min, __m512 *acc)
{
    __m512i codes[8];
    const float *scales = (const float *)(step + CODES_BYTES);
    const float *mins = scales + (by_runs ? 2 : 1) * SL_PANEL_ROWS;
    const int runs = by_runs ? 2 : 1, groups = 8 / runs;
    for (int i = 0; i < 8; i++)
        codes[i] = _mm512_load_si512(step + 64 * i);
    for (int t = 0; t < tokens; t++) {
        const size_t idx = token + (size_t)t;
        const int8_t *q = x->q + idx * x->q_stride + block * SL_BLOCK;
        const int32_t *offsets = x->offsets + idx * 2 * x->d_stride + 2 * block;
        const float *sums = x->sums + idx * 2 * x->d_stride + 2 * block;
        const __m512 d = _mm512_set1_ps(x->d[idx * x->d_stride + block]);
        for (int run = 0; run < runs; run++) {
            __m512i sum = _mm512_set1_epi32(by_runs ? offsets[run] : offsets[0] + offsets[1]);
            for (int i = 0; i < groups; i++)
                sum = _mm512_dpbusd_epi32(sum, codes[run * groups + i],
                                          broadcast_four(q + 4 * (run * groups + i)));
            const __m512 scale = _mm512_load_ps(scales + run * SL_PANEL_ROWS);
            acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scale, d), acc[t]);
            if (has_min)
                acc[t] = _mm512_fmadd_ps(
                    _mm512_load_ps(mins + run * SL_PANEL_ROWS),
                    _mm512_set1_ps(by_runs ? sums[run] : sums[0] + sums[1]), acc[t]);
        }
    }
}

INLINE512 void multiply_tokens(const uint8_t *panel, __mmask16 mask,
                               const struct sl_activations *x, size_t token, int tokens,
                               bool by_runs, bool has_min, float *y, size_t y_stride)
{
    const size_t lanes = (by_runs ? 2 : 1) * (has_min ? 2 : 1);
    const size_t step_bytes = CODES_BYTES + lanes * LANE_BYTES;
    __m512 acc[TILE_TOKENS];
    for (int t = 0; t < tokens; t++)
        acc[t] = _mm512_setzero_ps();
    for (size_t block = 0; block < x->cols / SL_BLOCK; block++)
        multiply_step(panel + block * step_bytes, x, token, tokens, block, by_runs, has_min, acc);
    for (int t = 0; t < tokens; t++)
        _mm512_mask_storeu_ps(y + (token + (size_t)t) * y_stride, mask, acc[t]);
}

INLINE512 void multiply_all(const uint8_t *panel, uint32_t rows, const struct sl_activations *x,
                            bool by_runs, bool has_min, float *y, size_t y_stride)
{
    const __mmask16 mask = (__mmask16)((1u << rows) - 1);
    size_t token = 0;
    for (; token + TILE_TOKENS <= x->tokens; token += TILE_TOKENS)
        multiply_tokens(panel, mask, x, token, TILE_TOKENS, by_runs, has_min, y, y_stride);
    for (; token + 4 <= x->tokens; token += 4)
        multiply_tokens(panel, mask, x, token, 4, by_runs, has_min, y, y_stride);
    for (; token < x->tokens; token++)
        multiply_tokens(panel, mask, x, token, 1, by_runs, has_min, y, y_stride);
}

static void multiply_blocks(const void *panel, uint32_t rows, const struct sl_activations *x,
                            float *y, size_t y_stride)
{
    multiply_all(panel, rows, x, false, false, y, y_stride);
}

static void multiply_blocks_min(const void *panel, uint32_t rows, const struct sl_activations *x,
                                float *y, size_t y_stride)
{
    multiply_all(panel, rows, x, false, true, y, y_stride);
}

static void multiply_runs(const void *panel, uint32_t rows, const struct sl_activations *x,
                          float *y, size_t y_stride)
{
    multiply_all(panel, rows, x, true, false, y, y_stride);
}

static void multiply_runs_min(const void *panel, uint32_t rows, const struct sl_activations *x,
                              float *y, size_t y_stride)
{
    multiply_all(panel, rows, x, true, true, y, y_stride);
}

/* ---- float weights ---- */

/* Rows widened by the type's own function, a buffer at a time, then turned. */
static void pack_float(enum sl_tensor_type type, const uint8_t *weights, size_t row_bytes,
                       uint32_t rows, uint32_t cols, float *panel)
{
    const struct sl_type_traits *traits = sl_type_traits(type);
    for (uint32_t col = 0; col < cols; col += 16) {
        const uint32_t count = cols - col < 16 ? cols - col : 16;
        const __mmask16 mask = (__mmask16)((1u << count) - 1);
        __m512i w[SL_PANEL_ROWS];
        for (uint32_t row = 0; row < SL_PANEL_ROWS; row++) {
            const uint8_t *data = weights + row * row_bytes + (size_t)col * traits->block_bytes;
            if (row >= rows)
                w[row] = _mm512_setzero_si512();
            else if (type == SL_TYPE_F32)
                w[row] = _mm512_maskz_loadu_epi32(mask, data);
            else if (type == SL_TYPE_F16)
                w[row] = _mm512_castps_si512(
                    _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, data)));
            else
                w[row] = _mm512_slli_epi32(
                    _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, data)), 16);
        }
        transpose(w);
        for (uint32_t i = 0; i < count; i++)
            _mm512_store_si512(panel + (size_t)(col + i) * SL_PANEL_ROWS, w[i]);
    }
}

/* Two sums a token where there are registers, since an addition takes four cycles. */
INLINE512 void multiply_float_tokens(const float *panel, __mmask16 mask,
                                     const struct sl_activations *x, size_t token, int tokens,
                                     float *y, size_t y_stride)
{
    __m512 acc[TILE_TOKENS];
    const float *values = x->x + token * x->x_stride;
    for (int t = 0; t < tokens; t++)
        acc[t] = _mm512_setzero_ps();
    for (size_t col = 0; col < x->cols; col++) {
        const __m512 w = _mm512_load_ps(panel + col * SL_PANEL_ROWS);
        for (int t = 0; t < tokens; t++)
            acc[t] = _mm512_fmadd_ps(w, _mm512_set1_ps(values[(size_t)t * x->x_stride + col]),
                                     acc[t]);
    }
    for (int t = 0; t < tokens; t++)
        _mm512_mask_storeu_ps(y + (token + (size_t)t) * y_stride, mask, acc[t]);
}

static void multiply_float(const void *panel, uint32_t rows, const struct sl_activations *x,
                           float *y, size_t y_stride)
{
    const __mmask16 mask = (__mmask16)((1u << rows) - 1);
    size_t token = 0;
    for (; token + TILE_TOKENS <= x->tokens; token += TILE_TOKENS)
        multiply_float_tokens(panel, mask, x, token, TILE_TOKENS, y, y_stride);
    for (; token < x->tokens; token++)
        multiply_float_tokens(panel, mask, x, token, 1, y, y_stride);
}

/* ---- the table ---- */

#define PACK_PLAIN(name, unpack, block, offset, has_min)                                           \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,       \
                     void *panel)                                                                  \
    {                                                                                              \
        pack_plain(unpack, sizeof(struct block), offset, has_min, weights, row_bytes, rows, cols,  \
                   panel);                                                                         \
    }
#define PACK_SUPER(name, unpack, block, offset, by_runs, has_min)                                  \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,       \
                     void *panel)                                                                  \
    {                                                                                              \
        pack_super(unpack, sizeof(struct block), offset, by_runs, has_min, weights, row_bytes,     \
                   rows, cols, panel);                                                             \
    }
#define PACK_FLOAT(name, type)                                                                     \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,       \
                     void *panel)                                                                  \
    {                                                                                              \
        pack_float(type, weights, row_bytes, rows, cols, panel);                                   \
    }

PACK_FLOAT(pack_f32, SL_TYPE_F32)
PACK_FLOAT(pack_f16, SL_TYPE_F16)
PACK_FLOAT(pack_bf16, SL_TYPE_BF16)
PACK_PLAIN(pack_q4_0, pair_q4_0, sl_block_q4_0, 8, false)
PACK_PLAIN(pack_q4_1, pair_q4_1, sl_block_q4_1, 0, true)
PACK_PLAIN(pack_q5_0, pair_q5_0, sl_block_q5_0, 16, false)
PACK_PLAIN(pack_q5_1, pair_q5_1, sl_block_q5_1, 0, true)
PACK_PLAIN(pack_q8_0, pair_q8_0, sl_block_q8_0, (char)128, false)
PACK_PLAIN(pack_iq4_nl, pair_iq4_nl, sl_block_iq4_nl, (char)128, false)
PACK_SUPER(pack_q2_k, super_q2_k, sl_block_q2_k, 0, true, true)
PACK_SUPER(pack_q3_k, super_q3_k, sl_block_q3_k, 4, true, false)
PACK_SUPER(pack_q4_k, super_q4_k, sl_block_q4_k, 0, false, true)
PACK_SUPER(pack_q5_k, super_q5_k, sl_block_q5_k, 0, false, true)
PACK_SUPER(pack_q6_k, super_q6_k, sl_block_q6_k, 32, true, false)
PACK_SUPER(pack_iq4_xs, super_iq4_xs, sl_block_iq4_xs, (char)128, false, false)

const struct sl_panel sl_avx512_panels[SL_TYPE_COUNT] = {
    [SL_TYPE_F32] = {pack_f32, multiply_float},
    [SL_TYPE_F16] = {pack_f16, multiply_float},
    [SL_TYPE_BF16] = {pack_bf16, multiply_float},
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
