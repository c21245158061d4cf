/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches on AVX-512: a panel of 32 rows of weights, interleaved, times tiles of six tokens.
 *
 * A panel is a run of steps, one for each 32 columns (or single columns for float weights). A half
 * is sixteen rows, a register of floats:
 *
 *   quantized   codes (half, 8 groups of 4 columns, 16 rows, 4 columns)   1024 bytes, unsigned
 *               scales (half, run, 16 rows)   one run, or two where a type scales each 16 columns
 *               mins (half, run, 16 rows)     where the type has them
 *   float       weights (column, half, 16 rows)
 *
 * so that one register holds the same four columns of sixteen rows, a broadcast of four activations
 * meets it, and sums of rows stay in their lanes to the end. Codes are offset by 128 for all types:
 * an accumulator starts at -128 * sum of activations, which the activations bring along.
 *
 * Why 2 x 6: the CPU starts two vpdpbusd a cycle and two loads. Twelve sums hide the latency of
 * four cycles, and each broadcast serves two products, so loads are not the limit; 12 integer and
 * 12 float sums leave registers for codes and temporaries. Sixteen rows by eight tokens reached
 * 40 % of the peak: one load for each product, and sums one after the other.
 *
 * Activations are laid out by tiles, so that all addresses of a step are one pointer and constants:
 *   q (block, token, 32) | d (block, token) | offsets (block, token) | sums (block, token) |
 *   run offsets (block, run, token) | run sums (block, run, token)
 *
 * Packing costs a register transpose of 16 x 16 words for each 64 columns, once for all tokens.
 *
 * Threads: pure functions on the worker's own panel.
 */
#include "kernels_avx512.h"
#include "kernels_panel_table.h"

/* ---- packing ---- */

/* Codes of 64 columns of 16 rows (row, column) into one or two steps. */
INLINE512 void store_codes(const __m512i rows[16], uint8_t *step, size_t step_bytes,
                           bool has_second)
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

/* Where one half of a panel is: codes and scales of its first step, and from step to step. */
struct half {
    uint8_t *codes;
    uint8_t *scales;
    size_t step_bytes;
};

static struct half half_of(uint8_t *panel, size_t idx, bool by_runs, bool has_min)
{
    return (struct half){panel + idx * HALF_CODES,
                         panel + CODES_BYTES + idx * lanes_of(by_runs, has_min) * LANE_BYTES,
                         step_bytes_of(by_runs, has_min)};
}

/* Two blocks of sixteen rows. `offset` becomes 128, and rows that are missing weigh zero. */
INLINE512 void pack_pair(sl_pair_fn *unpack, size_t block_bytes, char offset, bool has_min,
                         const uint8_t *weights, size_t row_bytes, uint32_t rows, size_t block,
                         bool has_second, const struct half *half)
{
    __m512i codes[HALF_ROWS];
    uint8_t *at = half->scales + block * half->step_bytes;
    const __m512i shift = _mm512_set1_epi8((char)(128 - (uint8_t)offset));
    for (uint32_t row = 0; row < HALF_ROWS; row++) {
        codes[row] = _mm512_set1_epi8((char)128);
        for (int i = 0; i < (has_second ? 2 : 1); i++) {
            const uint8_t *data = weights + row * row_bytes + (block + (size_t)i) * block_bytes;
            float *scales = (float *)(at + (size_t)i * half->step_bytes);
            scales[row] = row < rows ? widen_half(data) : 0;
            if (has_min)
                scales[HALF_ROWS + row] = row < rows ? widen_half(data + 2) : 0;
        }
        if (row < rows)
            codes[row] = _mm512_add_epi8(
                unpack(weights + row * row_bytes + block * block_bytes, has_second), shift);
    }
    store_codes(codes, half->codes + block * half->step_bytes, half->step_bytes, has_second);
}

INLINE512 void pack_plain(sl_pair_fn *unpack, size_t block_bytes, char offset, bool has_min,
                          const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,
                          uint8_t *panel)
{
    const size_t blocks = cols / SL_BLOCK;
    for (size_t i = 0; i < 2; i++) {
        const struct half half = half_of(panel, i, false, has_min);
        const uint32_t first = (uint32_t)i * HALF_ROWS, left = rows > first ? rows - first : 0;
        const uint8_t *data = weights + first * row_bytes;
        size_t block = 0;
        for (; block + 2 <= blocks; block += 2)
            pack_pair(unpack, block_bytes, offset, has_min, data, row_bytes, left, block, true,
                      &half);
        if (block < blocks)
            pack_pair(unpack, block_bytes, offset, has_min, data, row_bytes, left, block, false,
                      &half);
    }
}

/* Scales of a super-block of sixteen rows, (row, run), into its eight steps: every run, or every
 * second where 32 columns share one. */
INLINE512 void store_scales(const __m512i rows[16], bool by_runs, uint8_t *at, size_t step_bytes)
{
    __m512i turned[16];
    for (int i = 0; i < 16; i++)
        turned[i] = rows[i];
    transpose(turned);
    for (int i = 0; i < 8; i++) {
        _mm512_store_si512(at + (size_t)i * step_bytes, turned[2 * i]);
        if (by_runs)
            _mm512_store_si512(at + (size_t)i * step_bytes + LANE_BYTES, turned[2 * i + 1]);
    }
}

/* A super-block of sixteen rows. */
INLINE512 void pack_sixteen(sl_super_fn *unpack, size_t block_bytes, char offset, bool by_runs,
                            bool has_min, const uint8_t *weights, size_t row_bytes, uint32_t rows,
                            size_t block, const struct half *half)
{
    const __m512i shift = _mm512_set1_epi8((char)(128 - (uint8_t)offset));
    __m512i codes[4][HALF_ROWS], scales[HALF_ROWS], mins[HALF_ROWS];
    for (uint32_t row = 0; row < HALF_ROWS; row++) {
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
    const size_t first = 8 * block * half->step_bytes;
    for (size_t i = 0; i < 4; i++)
        store_codes(codes[i], half->codes + first + 2 * i * half->step_bytes, half->step_bytes,
                    true);
    store_scales(scales, by_runs, half->scales + first, half->step_bytes);
    if (has_min)
        store_scales(mins, by_runs, half->scales + first + (by_runs ? 2 : 1) * LANE_BYTES,
                     half->step_bytes);
}

INLINE512 void pack_super(sl_super_fn *unpack, size_t block_bytes, char offset, bool by_runs,
                          bool has_min, const uint8_t *weights, size_t row_bytes, uint32_t rows,
                          uint32_t cols, uint8_t *panel)
{
    for (size_t i = 0; i < 2; i++) {
        const struct half half = half_of(panel, i, by_runs, has_min);
        const uint32_t first = (uint32_t)i * HALF_ROWS, left = rows > first ? rows - first : 0;
        for (size_t block = 0; block < cols / SL_SUPER_BLOCK; block++)
            pack_sixteen(unpack, block_bytes, offset, by_runs, has_min, weights + first * row_bytes,
                         row_bytes, left, block, &half);
    }
}

/* ---- tiles of activations ---- */

void sl_avx512_fill_tile(struct sl_activations *x, uint32_t idx)
{
    const struct tile tile = tile_at(x, idx);
    const size_t blocks = x->cols / SL_BLOCK;
    /* Tokens that are missing count as zero; fewer than panels take are read as many as they are. */
    if (x->tokens >= SL_AVX512_PANEL_TOKENS_MIN && (size_t)(idx + 1) * TILE_TOKENS > x->tokens)
        memset(tile.q, 0, x->tile_bytes);
    for (size_t t = 0; t < TILE_TOKENS && idx * TILE_TOKENS + t < x->tokens; t++) {
        const size_t token = idx * TILE_TOKENS + t;
        const int8_t *q = x->q + token * x->q_stride;
        const float *d = x->d + token * x->d_stride;
        const float *sums = x->sums + token * 2 * x->d_stride;
        const int32_t *offsets = x->offsets + token * 2 * x->d_stride;
        for (size_t block = 0; block < blocks; block++) {
            const size_t at = block * TILE_TOKENS + t, run = 2 * block;
            _mm256_storeu_si256((__m256i *)(tile.q + at * SL_BLOCK),
                                _mm256_loadu_si256((const __m256i *)(q + block * SL_BLOCK)));
            tile.d[at] = d[block];
            tile.offsets[at] = offsets[run] + offsets[run + 1];
            tile.sums[at] = sums[run] + sums[run + 1];
            for (size_t i = 0; x->by_runs && i < 2; i++) {
                tile.run_offsets[(run + i) * TILE_TOKENS + t] = offsets[run + i];
                tile.run_sums[(run + i) * TILE_TOKENS + t] = sums[run + i];
            }
        }
    }
}

/* ---- multiplying ---- */

/* The columns of one scale: 32, or the half of them that is run `run`, times a tile. q (token, 32),
 * d, offsets and sums (token); scales and mins of the two halves. */
INLINE512 void multiply_run(const uint8_t *codes, const float *scales[2], const float *mins[2],
                            const int8_t *q, const float *d, const int32_t *offsets,
                            const float *sums, int groups, bool has_min,
                            __m512 acc[2][TILE_TOKENS])
{
    __m512i sum[2][TILE_TOKENS];
    UNROLLED for (int t = 0; t < TILE_TOKENS; t++)
        sum[0][t] = sum[1][t] = _mm512_set1_epi32(offsets[t]);
    UNROLLED for (int group = 0; group < groups; group++) {
        const __m512i first = _mm512_load_si512(codes + 64 * group);
        const __m512i second = _mm512_load_si512(codes + HALF_CODES + 64 * group);
        UNROLLED for (int t = 0; t < TILE_TOKENS; t++) {
            const __m512i four = broadcast_four(q + t * SL_BLOCK + 4 * group);
            sum[0][t] = _mm512_dpbusd_epi32(sum[0][t], first, four);
            sum[1][t] = _mm512_dpbusd_epi32(sum[1][t], second, four);
        }
    }
    UNROLLED for (int half = 0; half < 2; half++) {
        const __m512 scale = _mm512_load_ps(scales[half]);
        UNROLLED for (int t = 0; t < TILE_TOKENS; t++)
            acc[half][t] =
                _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[half][t]),
                                _mm512_mul_ps(scale, _mm512_set1_ps(d[t])), acc[half][t]);
        if (!has_min)
            continue;
        const __m512 min = _mm512_load_ps(mins[half]);
        UNROLLED for (int t = 0; t < TILE_TOKENS; t++)
            acc[half][t] = _mm512_fmadd_ps(min, _mm512_set1_ps(sums[t]), acc[half][t]);
    }
}

INLINE512 void multiply_tile(const uint8_t *panel, const struct tile *tile, size_t blocks,
                             bool by_runs, bool has_min, __m512 acc[2][TILE_TOKENS])
{
    const int runs = by_runs ? 2 : 1, groups = 8 / runs;
    const size_t lanes = lanes_of(by_runs, has_min), step_bytes = step_bytes_of(by_runs, has_min);
    const int32_t *offsets = by_runs ? tile->run_offsets : tile->offsets;
    const float *sums = by_runs ? tile->run_sums : tile->sums;
    for (size_t block = 0; block < blocks; block++) {
        const uint8_t *step = panel + block * step_bytes;
        const float *lane = (const float *)(step + CODES_BYTES);
        for (int run = 0; run < runs; run++) {
            const size_t at = (block * (size_t)runs + (size_t)run) * TILE_TOKENS;
            const float *first = lane + run * HALF_ROWS, *second = first + lanes * HALF_ROWS;
            const float *scales[2] = {first, second};
            const float *mins[2] = {first + runs * HALF_ROWS, second + runs * HALF_ROWS};
            multiply_run(step + run * groups * 64, scales, mins,
                         tile->q + block * TILE_TOKENS * SL_BLOCK + run * SL_SUB_BLOCK,
                         tile->d + block * TILE_TOKENS, offsets + at, sums + at, groups, has_min,
                         acc);
        }
    }
}

INLINE512 void multiply_all(const uint8_t *panel, uint32_t rows, const struct sl_activations *x,
                            bool by_runs, bool has_min, float *y, size_t y_stride)
{
    for (size_t token = 0; token < x->tokens; token += TILE_TOKENS) {
        const struct tile tile = tile_at(x, token / TILE_TOKENS);
        __m512 acc[2][TILE_TOKENS];
        UNROLLED for (int t = 0; t < TILE_TOKENS; t++)
            acc[0][t] = acc[1][t] = _mm512_setzero_ps();
        multiply_tile(panel, &tile, x->cols / SL_BLOCK, by_runs, has_min, acc);
        store_tile(acc, TILE_TOKENS, rows, token, x->tokens, y, y_stride);
    }
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

/* Sixteen floats of a row, fewer where the mask says so. */
INLINE512 __m512i widen_row(enum sl_tensor_type type, const uint8_t *data, __mmask16 mask)
{
    if (type == SL_TYPE_F32)
        return _mm512_maskz_loadu_epi32(mask, data);
    const __m256i halves = _mm256_maskz_loadu_epi16(mask, data);
    if (type == SL_TYPE_F16)
        return _mm512_castps_si512(_mm512_cvtph_ps(halves));
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
}

INLINE512 void pack_float(enum sl_tensor_type type, size_t width, const uint8_t *weights,
                          size_t row_bytes, uint32_t rows, uint32_t cols, float *panel)
{
    for (uint32_t half = 0; half < 2; half++)
        for (uint32_t col = 0; col < cols; col += 16) {
            const uint32_t count = cols - col < 16 ? cols - col : 16;
            const __mmask16 mask = (__mmask16)((1u << count) - 1);
            __m512i w[HALF_ROWS];
            for (uint32_t i = 0; i < HALF_ROWS; i++) {
                const uint32_t row = half * HALF_ROWS + i;
                w[i] = row < rows ? widen_row(type, weights + row * row_bytes + col * width, mask)
                                  : _mm512_setzero_si512();
            }
            transpose(w);
            for (uint32_t i = 0; i < count; i++)
                _mm512_store_si512(panel + (size_t)(col + i) * SL_PANEL_ROWS + half * HALF_ROWS,
                                   w[i]);
        }
}

/* `tokens` neighbours, a constant after inlining, straight from the rows of x. */
INLINE512 void multiply_float_tile(const float *panel, const float *x, size_t x_stride, size_t cols,
                                   int tokens, __m512 acc[2][TILE_TOKENS])
{
    UNROLLED for (int t = 0; t < tokens; t++)
        acc[0][t] = acc[1][t] = _mm512_setzero_ps();
    for (size_t col = 0; col < cols; col++) {
        const __m512 first = _mm512_load_ps(panel + col * SL_PANEL_ROWS);
        const __m512 second = _mm512_load_ps(panel + col * SL_PANEL_ROWS + HALF_ROWS);
        UNROLLED for (int t = 0; t < tokens; t++) {
            const __m512 one = _mm512_set1_ps(x[(size_t)t * x_stride + col]);
            acc[0][t] = _mm512_fmadd_ps(first, one, acc[0][t]);
            acc[1][t] = _mm512_fmadd_ps(second, one, acc[1][t]);
        }
    }
}

static void multiply_float(const void *panel, uint32_t rows, const struct sl_activations *x,
                           float *y, size_t y_stride)
{
    size_t token = 0;
    __m512 acc[2][TILE_TOKENS];
    for (; token + TILE_TOKENS <= x->tokens; token += TILE_TOKENS) {
        multiply_float_tile(panel, x->x + token * x->x_stride, x->x_stride, x->cols, TILE_TOKENS,
                            acc);
        store_tile(acc, TILE_TOKENS, rows, token, x->tokens, y, y_stride);
    }
    for (; token < x->tokens; token++) {
        multiply_float_tile(panel, x->x + token * x->x_stride, x->x_stride, x->cols, 1, acc);
        store_tile(acc, 1, rows, token, token + 1, y, y_stride);
    }
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
#define PACK_FLOAT(name, type, width)                                                              \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,       \
                     void *panel)                                                                  \
    {                                                                                              \
        pack_float(type, width, weights, row_bytes, rows, cols, panel);                            \
    }

PACK_FLOAT(pack_f32, SL_TYPE_F32, sizeof(float))
PACK_FLOAT(pack_f16, SL_TYPE_F16, sizeof(sl_f16))
PACK_FLOAT(pack_bf16, SL_TYPE_BF16, sizeof(sl_bf16))
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

PANEL_TABLE(sl_avx512_panels, pack_f32, pack_f16, pack_bf16, multiply_float);
