/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches in 256-bit registers: a panel of 32 rows of weights, interleaved, times tiles of
 * activations. Included by kernels_avx2_panel.c (maddubs) and kernels_avxvnni_panel.c (dpbusd),
 * which differ in how four products become one sum and share everything else.
 *
 * A panel is two halves of sixteen rows, one behind the other, so that a half stays in the L1 cache
 * while all tokens meet it. A half is a run of steps, one for each 32 columns (or single columns
 * for float weights). Its register is eight rows:
 *
 *   quantized   codes (8 groups of 4 columns, 16 rows, 4 columns)   512 bytes
 *               scales (run, 16 rows)   one run, or two where a type scales each 16 columns
 *               mins (run, 16 rows)     where the form has them
 *   float       weights (column, 16 rows)
 *
 * One register holds the same four columns of eight rows and a broadcast of four activations meets
 * it, so that sums of rows stay in their lanes to the end. Why two registers of rows by three
 * tokens: six sums in integers, six in floats, and four registers for codes, a broadcast and a
 * product are the sixteen that there are; a broadcast serves two products and codes serve three.
 *
 * Codes are unsigned, offset by a constant; what that adds is taken off again from the sums in
 * integers, with the sums of the activations that a tile brings along.
 *
 * A tile of activations, all addresses of a step one pointer and constants:
 *   q (block, token, 32) | d (block, token) | offsets (block, token) | sums (block, token) |
 *   run offsets (block, run, token) | run sums (block, run, token)
 */
#ifndef SLUICE_ENGINE_KERNELS_AVX2_PANEL_H
#define SLUICE_ENGINE_KERNELS_AVX2_PANEL_H

#include "kernels_avx2.h"

#define TILE_TOKENS SL_PANEL_TILE_TOKENS
#define TOKENS 3                      /* of a tile that meet a half together */
#define HALF_ROWS 16
#define HALVES (SL_PANEL_ROWS / HALF_ROWS)
#define CODES_BYTES (HALF_ROWS * SL_BLOCK)
#define GROUP_BYTES (HALF_ROWS * 4)   /* four columns of a half */
#define OCTET_BYTES 32                /* eight rows of them: a register */
#define LANES_BYTES (HALF_ROWS * sizeof(float))
#define UNROLLED _Pragma("GCC unroll 16")

_Static_assert(TILE_TOKENS % TOKENS == 0, "tiles are cut in whole parts");

/* How a type's codes lie in a panel. */
struct form {
    int offset;   /* added to the signed codes of the file: a power of two, or 0 */
    int depth;    /* products of neighbouring groups that fit a sum of 16 bits; kernels_avx2_panel.c */
    bool by_runs; /* a scale for each 16 columns */
    bool has_min;
};

INLINE256 size_t runs_of(struct form form)
{
    return form.by_runs ? 2 : 1;
}

INLINE256 int groups_of(struct form form)
{
    return form.by_runs ? SL_SUB_BLOCK / 4 : SL_BLOCK / 4;
}

INLINE256 size_t step_bytes_of(struct form form)
{
    return CODES_BYTES + runs_of(form) * (form.has_min ? 2 : 1) * LANES_BYTES;
}

/* ---- packing ---- */

/* Eight registers as an 8 x 8 matrix of words, turned. */
INLINE256 void turn(__m256i r[8])
{
    __m256i a[8], b[8];
    UNROLLED for (int i = 0; i < 4; i++) {
        a[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        a[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    UNROLLED for (int i = 0; i < 2; i++) {
        b[4 * i] = _mm256_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 1] = _mm256_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 2] = _mm256_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
        b[4 * i + 3] = _mm256_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
    }
    UNROLLED for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2x128_si256(b[i], b[4 + i], 0x20);
        r[4 + i] = _mm256_permute2x128_si256(b[i], b[4 + i], 0x31);
    }
}

/* Codes of 32 columns of eight rows into a step. */
INLINE256 void store_codes(const __m256i rows[8], int offset, uint8_t *step)
{
    const __m256i shift = _mm256_set1_epi8((char)offset);
    __m256i turned[8];
    UNROLLED for (int i = 0; i < 8; i++)
        turned[i] = _mm256_add_epi8(rows[i], shift);
    turn(turned);
    UNROLLED for (int i = 0; i < 8; i++)
        _mm256_store_si256((__m256i *)(step + i * GROUP_BYTES), turned[i]);
}

/* One block of eight rows, of which the first `rows` are there; the others weigh zero. */
INLINE256 void pack_block(plain_fn *unpack, struct form form, const uint8_t *weights,
                          size_t row_bytes, uint32_t rows, uint8_t *step, float *lanes)
{
    __m256i codes[8];
    UNROLLED for (uint32_t row = 0; row < 8; row++) {
        struct plain w = {_mm256_setzero_si256(), 0, 0};
        if (row < rows)
            w = unpack(weights + row * row_bytes);
        codes[row] = w.codes;
        lanes[row] = w.d;
        if (form.has_min)
            lanes[HALF_ROWS + row] = w.m;
    }
    store_codes(codes, form.offset, step);
}

/* Numbers of a super-block of eight rows, (row, run), to the lanes of its eight steps. */
INLINE256 void store_runs(__m256 first[8], __m256 second[8], struct form form, uint8_t *lanes)
{
    const size_t step_bytes = step_bytes_of(form);
    __m256i turned[16];
    UNROLLED for (int i = 0; i < 8; i++) {
        turned[i] = _mm256_castps_si256(first[i]);
        turned[8 + i] = _mm256_castps_si256(second[i]);
    }
    turn(turned);
    turn(turned + 8);
    UNROLLED for (size_t i = 0; i < 8; i++) {
        uint8_t *at = lanes + i * step_bytes;
        _mm256_store_si256((__m256i *)at, turned[2 * i]);
        if (form.by_runs)
            _mm256_store_si256((__m256i *)(at + LANES_BYTES), turned[2 * i + 1]);
    }
}

/* One super-block of eight rows: eight steps. */
INLINE256 void pack_super_block(super_fn *unpack, struct form form, const uint8_t *weights,
                                size_t row_bytes, uint32_t rows, uint8_t *step, uint8_t *lanes)
{
    __m256i codes[8][8];
    __m256 scales[2][8], mins[2][8];
    for (uint32_t row = 0; row < 8; row++) {
        struct super w = {.scales = _mm_setzero_si128()};
        if (row < rows) {
            unpack(weights + row * row_bytes, &w);
        } else {
            no_mins(&w);
            for (int i = 0; i < 8; i++)
                w.codes[i] = _mm256_setzero_si256();
        }
        UNROLLED for (int i = 0; i < 8; i++)
            codes[i][row] = w.codes[i];
        const __m256 d = _mm256_set1_ps(w.d);
        UNROLLED for (int i = 0; i < 2; i++) {
            const __m128i eight = i == 0 ? w.scales : _mm_srli_si128(w.scales, 8);
            const __m256 scale = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight));
            scales[i][row] = _mm256_mul_ps(scale, d);
            mins[i][row] = w.mins[i];
        }
    }
    for (size_t i = 0; i < 8; i++)
        store_codes(codes[i], form.offset, step + i * step_bytes_of(form));
    store_runs(scales[0], scales[1], form, lanes);
    if (form.has_min)
        store_runs(mins[0], mins[1], form, lanes + runs_of(form) * LANES_BYTES);
}

/* Calls pack_block or pack_super_block for all blocks of all octets of rows. */
INLINE256 void pack_plain(plain_fn *unpack, size_t block_bytes, struct form form,
                          const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,
                          uint8_t *panel)
{
    const size_t blocks = cols / SL_BLOCK, step_bytes = step_bytes_of(form);
    for (uint32_t first = 0; first < SL_PANEL_ROWS; first += 8) {
        const uint32_t left = rows > first ? rows - first : 0, octet = first % HALF_ROWS / 8;
        uint8_t *step = panel + first / HALF_ROWS * blocks * step_bytes;
        for (size_t block = 0; block < blocks; block++, step += step_bytes)
            pack_block(unpack, form, weights + first * row_bytes + block * block_bytes, row_bytes,
                       left, step + octet * OCTET_BYTES,
                       (float *)(step + CODES_BYTES + octet * OCTET_BYTES));
    }
}

INLINE256 void pack_super(super_fn *unpack, size_t block_bytes, struct form form,
                          const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,
                          uint8_t *panel)
{
    const size_t blocks = cols / SL_SUPER_BLOCK, step_bytes = step_bytes_of(form);
    for (uint32_t first = 0; first < SL_PANEL_ROWS; first += 8) {
        const uint32_t left = rows > first ? rows - first : 0, octet = first % HALF_ROWS / 8;
        uint8_t *step = panel + first / HALF_ROWS * blocks * 8 * step_bytes;
        for (size_t block = 0; block < blocks; block++, step += 8 * step_bytes)
            pack_super_block(unpack, form, weights + first * row_bytes + block * block_bytes,
                             row_bytes, left, step + octet * OCTET_BYTES,
                             step + CODES_BYTES + octet * OCTET_BYTES);
    }
}

/* ---- tiles of activations ---- */

struct tile {
    int8_t *q;
    float *d;
    int32_t *offsets;
    float *sums;
    int32_t *run_offsets;
    float *run_sums;
};

INLINE256 struct tile tile_at(const struct sl_activations *x, size_t idx)
{
    const size_t params = x->cols / SL_BLOCK * TILE_TOKENS;
    struct tile tile = {.q = (int8_t *)x->tiles + idx * x->tile_bytes};
    tile.d = (float *)(tile.q + params * SL_BLOCK);
    tile.offsets = (int32_t *)(tile.d + params);
    tile.sums = (float *)(tile.offsets + params);
    tile.run_offsets = (int32_t *)(tile.sums + params);
    tile.run_sums = (float *)(tile.run_offsets + 2 * params);
    return tile;
}

/* ---- multiplying ---- */

/* Four activations of one token on all rows. */
INLINE256 __m256i broadcast_four(const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, sizeof four);
    return _mm256_set1_epi32(four);
}

/* sum (octet, token) = codes of a run times q (token, 32), without what their offset adds; offsets
 * (token) are -128 times the sums of q. The file that includes this one has it. */
INLINE256 void multiply_codes(const uint8_t *codes, const int8_t *q, const int32_t *offsets,
                              struct form form, int tokens, __m256i sum[2][TOKENS]);

/* The columns of one scale: 32, or the half of them that is a run. */
INLINE256 void multiply_run(const uint8_t *codes, const float *lanes, const int8_t *q,
                            const float *d, const int32_t *offsets, const float *sums,
                            struct form form, int tokens, __m256 acc[2][TOKENS])
{
    __m256i sum[2][TOKENS];
    multiply_codes(codes, q, offsets, form, tokens, sum);
    UNROLLED for (int octet = 0; octet < 2; octet++) {
        const __m256 scale = _mm256_load_ps(lanes + 8 * octet);
        UNROLLED for (int t = 0; t < tokens; t++)
            acc[octet][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[octet][t]),
                                            _mm256_mul_ps(scale, _mm256_set1_ps(d[t])),
                                            acc[octet][t]);
        if (!form.has_min)
            continue;
        const __m256 min = _mm256_load_ps(lanes + runs_of(form) * HALF_ROWS + 8 * octet);
        UNROLLED for (int t = 0; t < tokens; t++)
            acc[octet][t] = _mm256_fmadd_ps(min, _mm256_set1_ps(sums[t]), acc[octet][t]);
    }
}

/* All columns of a half times `tokens` tokens of a tile from `first` on. */
INLINE256 void multiply_tile(const uint8_t *half, const struct tile *tile, size_t first,
                             size_t blocks, struct form form, int tokens, __m256 acc[2][TOKENS])
{
    const size_t runs = runs_of(form), step_bytes = step_bytes_of(form);
    const int32_t *offsets = form.by_runs ? tile->run_offsets : tile->offsets;
    const float *sums = form.by_runs ? tile->run_sums : tile->sums;
    UNROLLED for (int t = 0; t < tokens; t++)
        acc[0][t] = acc[1][t] = _mm256_setzero_ps();
    for (size_t block = 0; block < blocks; block++) {
        const uint8_t *step = half + block * step_bytes;
        const float *lanes = (const float *)(step + CODES_BYTES);
        UNROLLED for (size_t run = 0; run < runs; run++) {
            const size_t at = (block * runs + run) * TILE_TOKENS + first;
            multiply_run(step + run * 4 * GROUP_BYTES, lanes + run * HALF_ROWS,
                         tile->q + (block * TILE_TOKENS + first) * SL_BLOCK + run * SL_SUB_BLOCK,
                         tile->d + block * TILE_TOKENS + first, offsets + at, sums + at, form,
                         tokens, acc);
        }
    }
}

/* The sums of `tokens` tokens to their places in y, as many rows as there are. */
INLINE256 void store_sums(__m256 acc[2][TOKENS], int tokens, uint32_t rows, float *y,
                          size_t y_stride)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    UNROLLED for (int octet = 0; octet < 2; octet++) {
        const __m256i mask =
            _mm256_cmpgt_epi32(_mm256_set1_epi32((int)rows - 8 * octet), lane);
        UNROLLED for (int t = 0; t < tokens; t++)
            _mm256_maskstore_ps(y + (size_t)t * y_stride + 8 * octet, mask, acc[octet][t]);
    }
}

/* One half and up to TOKENS tokens from `token` on. */
INLINE256 void multiply_part(const uint8_t *half, uint32_t rows, const struct sl_activations *x,
                             size_t token, struct form form, int tokens, float *y,
                             size_t y_stride)
{
    const struct tile tile = tile_at(x, token / TILE_TOKENS);
    __m256 acc[2][TOKENS];
    multiply_tile(half, &tile, token % TILE_TOKENS, x->cols / SL_BLOCK, form, tokens, acc);
    store_sums(acc, tokens, rows, y + token * y_stride, y_stride);
}

INLINE256 void multiply_all(const uint8_t *panel, uint32_t rows, const struct sl_activations *x,
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

/* ---- functions of a type ---- */

#define PACK_PLAIN(name, unpack, block, form)                                                      \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,       \
                     void *panel)                                                                  \
    {                                                                                              \
        pack_plain(unpack, sizeof(struct block), form, weights, row_bytes, rows, cols, panel);     \
    }
#define PACK_SUPER(name, unpack, block, form)                                                      \
    static void name(const uint8_t *weights, size_t row_bytes, uint32_t rows, uint32_t cols,       \
                     void *panel)                                                                  \
    {                                                                                              \
        pack_super(unpack, sizeof(struct block), form, weights, row_bytes, rows, cols, panel);     \
    }
#define MULTIPLY(name, form)                                                                       \
    static void name(const void *panel, uint32_t rows, const struct sl_activations *x, float *y,   \
                     size_t y_stride)                                                              \
    {                                                                                              \
        multiply_all(panel, rows, x, form, y, y_stride);                                           \
    }

#endif
