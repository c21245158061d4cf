/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches in 256-bit registers: a panel of 32 rows of weights, interleaved, times tiles of
 * activations. Included by the files of AVX2 (maddubs, kernels_avx2_dot.h) and of AVX-VNNI (dpbusd,
 * kernels_avxvnni_dot.h), which differ in how four products become one sum and share everything
 * else.
 *
 * The layout is that of kernels_panel_halves.h, a register being eight rows. Why two registers of
 * rows by three tokens: six sums in integers, six in floats, and four registers for codes, a
 * broadcast and a product are the sixteen that there are; a broadcast serves two products and codes
 * serve three.
 *
 * Codes are unsigned, offset by a constant; what that adds is taken off again from the sums in
 * integers, with the sums of the activations that a tile brings along.
 */
#ifndef SLUICE_ENGINE_KERNELS_AVX2_PANEL_H
#define SLUICE_ENGINE_KERNELS_AVX2_PANEL_H

#include "kernels_avx2.h"

typedef __m256i panel_words;
typedef super_fn panel_super_fn;
#define PANEL_LANES 8
#define TOKENS 3
#include "kernels_panel_halves.h"

#define OCTET_BYTES 32 /* four columns of eight rows: a register */
#define TOKENS_MAX TILE_TOKENS /* that any loop takes at once: kernels_avx2_packed.h */

INLINE256 int groups_of(struct form form)
{
    return form.by_runs ? SL_SUB_BLOCK / 4 : SL_BLOCK / 4;
}

/* ---- packing ---- */

/* Eight registers as an 8 x 8 matrix of words, turned. */
PANEL_INLINE void turn(__m256i r[8])
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

/* 32 columns of eight rows to eight groups of four columns; `offset` is added to the codes. */
INLINE256 void turn_codes(const __m256i rows[8], int offset, __m256i groups[8])
{
    const __m256i shift = _mm256_set1_epi8((char)offset);
    UNROLLED for (int i = 0; i < 8; i++)
        groups[i] = _mm256_add_epi8(rows[i], shift);
    turn(groups);
}

/* Codes of 32 columns of eight rows into a step. */
INLINE256 void store_codes(const __m256i rows[8], int offset, uint8_t *step)
{
    __m256i groups[8];
    turn_codes(rows, offset, groups);
    UNROLLED for (int i = 0; i < 8; i++)
        _mm256_store_si256((__m256i *)(step + i * GROUP_BYTES), groups[i]);
}

/* One block of eight rows, of which the first `rows` are there; the others weigh zero. */
PANEL_INLINE void pack_block(plain_fn *unpack, struct form form, const uint8_t *weights,
                             size_t row_bytes, uint32_t rows, uint8_t *step, uint8_t *lanes)
{
    float *numbers = (float *)(void *)lanes;
    __m256i codes[8];
    UNROLLED for (uint32_t row = 0; row < 8; row++) {
        struct plain w = {_mm256_setzero_si256(), 0, 0};
        if (row < rows)
            w = unpack(weights + row * row_bytes);
        codes[row] = w.codes;
        numbers[row] = w.d;
        if (form.has_min)
            numbers[HALF_ROWS + row] = w.m;
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
PANEL_INLINE void pack_super_block(super_fn *unpack, struct form form, const uint8_t *weights,
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

/* ---- multiplying ---- */

/* Four activations of one token on all rows. */
INLINE256 __m256i broadcast_four(const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, sizeof four);
    return _mm256_set1_epi32(four);
}

/* What a run of columns is scaled by: two octets of rows each. */
struct factors {
    __m256 scale[2], min[2];
};

/* Codes of a group of an octet, in a step of a panel or of weights rearranged at load. */
INLINE256 __m256i group_codes(struct form form, const uint8_t *codes, int octet, int group);

/* sum (octet, token) = codes of run `run` times q (token, 32), without what their offset adds;
 * offsets (token) are -128 times the sums of q. kernels_avx2_dot.h or kernels_avxvnni_dot.h has it. */
INLINE256 void multiply_codes(const uint8_t *codes, size_t run, const int8_t *q,
                              const int32_t *offsets, struct form form, int tokens,
                              __m256i sum[2][TOKENS_MAX]);

/* The columns of one scale, 32 or the half of them that is a run, times the tokens of `tile` from
 * `first` on. */
INLINE256 void multiply_run(const uint8_t *codes, const struct factors *factors,
                            const struct tile *tile, size_t block, size_t run, size_t first,
                            struct form form, int tokens, __m256 acc[2][TOKENS_MAX])
{
    const size_t at = (block * runs_of(form) + run) * TILE_TOKENS + first;
    const float *d = tile->d + block * TILE_TOKENS + first;
    const float *sums = (form.by_runs ? tile->run_sums : tile->sums) + at;
    __m256i sum[2][TOKENS_MAX];
    multiply_codes(codes, run, tile->q + (block * TILE_TOKENS + first) * SL_BLOCK,
                   (form.by_runs ? tile->run_offsets : tile->offsets) + at, form, tokens, sum);
    UNROLLED for (int octet = 0; octet < 2; octet++)
        UNROLLED for (int t = 0; t < tokens; t++) {
            acc[octet][t] =
                _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[octet][t]),
                                _mm256_mul_ps(factors->scale[octet], _mm256_set1_ps(d[t])),
                                acc[octet][t]);
            if (form.has_min)
                acc[octet][t] = _mm256_fmadd_ps(factors->min[octet], _mm256_set1_ps(sums[t]),
                                                acc[octet][t]);
        }
}

/* All columns of a half times `tokens` tokens of a tile from `first` on. */
INLINE256 void multiply_tile(const uint8_t *half, const struct tile *tile, size_t first,
                             size_t blocks, struct form form, int tokens,
                             __m256 acc[2][TOKENS_MAX])
{
    UNROLLED for (int t = 0; t < tokens; t++)
        acc[0][t] = acc[1][t] = _mm256_setzero_ps();
    for (size_t block = 0; block < blocks; block++) {
        const uint8_t *step = half + block * step_bytes_of(form);
        UNROLLED for (size_t run = 0; run < runs_of(form); run++) {
            const float *scales = (const float *)(step + CODES_BYTES) + run * HALF_ROWS;
            const float *mins = scales + runs_of(form) * HALF_ROWS;
            struct factors factors = {
                .scale = {_mm256_load_ps(scales), _mm256_load_ps(scales + 8)}};
            if (form.has_min) {
                factors.min[0] = _mm256_load_ps(mins);
                factors.min[1] = _mm256_load_ps(mins + 8);
            }
            multiply_run(step, &factors, tile, block, run, first, form, tokens, acc);
        }
    }
}

/* The sums of `tokens` tokens to their places in y, as many rows as there are. */
INLINE256 void store_sums(__m256 acc[2][TOKENS_MAX], int tokens, uint32_t rows, float *y,
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
PANEL_INLINE void multiply_part(const uint8_t *half, uint32_t rows, const struct sl_activations *x,
                                size_t token, struct form form, int tokens, float *y,
                                size_t y_stride)
{
    const struct tile tile = tile_at(x, token / TILE_TOKENS);
    __m256 acc[2][TOKENS_MAX];
    multiply_tile(half, &tile, token % TILE_TOKENS, x->cols / SL_BLOCK, form, tokens, acc);
    store_sums(acc, tokens, rows, y + token * y_stride, y_stride);
}

#endif
