/* SPDX-License-Identifier: Apache-2.0
 *
 * Panels of kernels_avx2_panel.h for AVX2 without VNNI, float panels, and the tiles of activations
 * for both.
 *
 * vpmaddubsw takes unsigned codes by signed activations and adds pairs in 16 bits, saturating.
 * Widening every pair to 32 bits would cost two more instructions for each; instead as many
 * products as surely fit are added up in 16 bits. A pair is at most 2 * code * 127:
 *
 *   codes to 15 (Q4)   3,810 a pair: eight fit, all of 32 columns; two instructions for 32 products
 *   codes to 31 (Q5)   7,874 a pair: four
 *   codes to 63 (Q6)   16,002 a pair: two
 *   signed 8 bits      up to 2 * 128 * 127: one, with |w| and x with w's sign (depth 0)
 *
 * Two nibbles of an 8-bit code in two sums of eight would cost as many instructions as depth 0, but
 * more registers than there are.
 *
 * Threads: pure functions on the worker's own panel.
 */
#include "kernels_avx2_panel.h"

/* ---- tiles of activations ---- */

void sl_avx2_fill_tile(struct sl_activations *x, uint32_t idx)
{
    const struct tile tile = tile_at(x, idx);
    const size_t blocks = x->cols / SL_BLOCK;
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
            for (size_t i = 0; i < 2; i++) {
                tile.run_offsets[(run + i) * TILE_TOKENS + t] = offsets[run + i];
                tile.run_sums[(run + i) * TILE_TOKENS + t] = sums[run + i];
            }
        }
    }
}

/* ---- multiplying ---- */

/* Tells the compiler that a sum is wanted here: left alone it adds up in trees, which takes more
 * registers than there are, and half of the time. */
#define KEEP(sum) __asm__("" : "+x"(sum))

/* Signed codes of 8 bits: |w| by x with w's sign. */
INLINE256 void multiply_signed(const uint8_t *codes, const int8_t *q, int groups, int tokens,
                               __m256i sum[2][TOKENS])
{
    const __m256i ones = _mm256_set1_epi16(1);
    UNROLLED for (int group = 0; group < groups; group++)
        UNROLLED for (int octet = 0; octet < 2; octet++) {
            const __m256i w = _mm256_load_si256(
                (const __m256i *)(codes + group * GROUP_BYTES + octet * OCTET_BYTES));
            const __m256i size = _mm256_abs_epi8(w);
            UNROLLED for (int t = 0; t < tokens; t++) {
                const __m256i x = broadcast_four(q + t * SL_BLOCK + 4 * group);
                const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(x, w));
                const __m256i four = _mm256_madd_epi16(pairs, ones);
                sum[octet][t] = group == 0 ? four : _mm256_add_epi32(sum[octet][t], four);
                KEEP(sum[octet][t]);
            }
        }
}

/* `depth` groups from `first` on, in 16 bits. */
INLINE256 void multiply_deep(const uint8_t *codes, const int8_t *q, int first, int depth,
                             int tokens, __m256i pairs[2][TOKENS])
{
    UNROLLED for (int group = first; group < first + depth; group++)
        UNROLLED for (int t = 0; t < tokens; t++) {
            const __m256i x = broadcast_four(q + t * SL_BLOCK + 4 * group);
            UNROLLED for (int octet = 0; octet < 2; octet++) {
                const __m256i w = _mm256_load_si256(
                    (const __m256i *)(codes + group * GROUP_BYTES + octet * OCTET_BYTES));
                const __m256i two = _mm256_maddubs_epi16(w, x);
                pairs[octet][t] =
                    group == first ? two : _mm256_add_epi16(pairs[octet][t], two);
                KEEP(pairs[octet][t]);
            }
        }
}

/* Takes off what the offset of the codes added: offsets are for 128. */
INLINE256 void add_offsets(const int32_t *offsets, int offset, int tokens, __m256i sum[2][TOKENS])
{
    const int shift = __builtin_ctz(128u / (unsigned)offset);
    UNROLLED for (int t = 0; t < tokens; t++) {
        const __m256i excess = _mm256_srai_epi32(_mm256_set1_epi32(offsets[t]), shift);
        sum[0][t] = _mm256_add_epi32(sum[0][t], excess);
        sum[1][t] = _mm256_add_epi32(sum[1][t], excess);
    }
}

INLINE256 void multiply_codes(const uint8_t *codes, const int8_t *q, const int32_t *offsets,
                              struct form form, int tokens, __m256i sum[2][TOKENS])
{
    if (form.depth == 0) {
        multiply_signed(codes, q, groups_of(form), tokens, sum);
        return;
    }
    const __m256i ones = _mm256_set1_epi16(1);
    UNROLLED for (int first = 0; first < groups_of(form); first += form.depth) {
        __m256i pairs[2][TOKENS];
        multiply_deep(codes, q, first, form.depth, tokens, pairs);
        UNROLLED for (int octet = 0; octet < 2; octet++)
            UNROLLED for (int t = 0; t < tokens; t++) {
                const __m256i four = _mm256_madd_epi16(pairs[octet][t], ones);
                sum[octet][t] = first == 0 ? four : _mm256_add_epi32(sum[octet][t], four);
            }
    }
    if (form.offset != 0)
        add_offsets(offsets, form.offset, tokens, sum);
}

/* ---- float weights ---- */

/* Eight floats of a row; past the last column zero. */
INLINE256 __m256i widen_row(enum sl_tensor_type type, const uint8_t *data, uint32_t count)
{
    uint8_t part[32] = {0};
    const uint32_t width = type == SL_TYPE_F32 ? 4 : 2;
    if (count < 8)
        data = memcpy(part, data, (size_t)count * width);
    if (type == SL_TYPE_F32)
        return _mm256_loadu_si256((const __m256i *)data);
    const __m128i halves = _mm_loadu_si128((const __m128i *)data);
    if (type == SL_TYPE_F16)
        return _mm256_castps_si256(_mm256_cvtph_ps(halves));
    return _mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
}

INLINE256 void pack_float(enum sl_tensor_type type, const uint8_t *weights, size_t row_bytes,
                          uint32_t rows, uint32_t cols, float *panel)
{
    const size_t width = type == SL_TYPE_F32 ? 4 : 2;
    for (uint32_t first = 0; first < SL_PANEL_ROWS; first += 8) {
        float *half = panel + first / HALF_ROWS * HALF_ROWS * (size_t)cols + first % HALF_ROWS;
        for (uint32_t col = 0; col < cols; col += 8) {
            const uint32_t count = cols - col < 8 ? cols - col : 8;
            __m256i w[8];
            for (uint32_t i = 0; i < 8; i++)
                w[i] = first + i < rows
                           ? widen_row(type, weights + (first + i) * row_bytes + col * width, count)
                           : _mm256_setzero_si256();
            turn(w);
            for (uint32_t i = 0; i < count; i++)
                _mm256_store_si256((__m256i *)(half + (size_t)(col + i) * HALF_ROWS), w[i]);
        }
    }
}

/* A half times `tokens` neighbours, a constant after inlining, straight from the rows of x. Twice
 * as many tokens as above: there are no sums in integers beside those in floats. */
INLINE256 void multiply_float_part(const float *half, uint32_t rows, const float *x,
                                   size_t x_stride, size_t cols, int tokens, float *y,
                                   size_t y_stride)
{
    __m256 acc[2][2][TOKENS]; /* (part of the tokens, octet, token) */
    UNROLLED for (int t = 0; t < 2 * TOKENS; t++)
        acc[t / TOKENS][0][t % TOKENS] = acc[t / TOKENS][1][t % TOKENS] = _mm256_setzero_ps();
    for (size_t col = 0; col < cols; col++) {
        const __m256 first = _mm256_load_ps(half + col * HALF_ROWS);
        const __m256 second = _mm256_load_ps(half + col * HALF_ROWS + 8);
        UNROLLED for (int t = 0; t < tokens; t++) {
            const __m256 one = _mm256_set1_ps(x[(size_t)t * x_stride + col]);
            __m256(*sums)[TOKENS] = acc[t / TOKENS];
            sums[0][t % TOKENS] = _mm256_fmadd_ps(first, one, sums[0][t % TOKENS]);
            sums[1][t % TOKENS] = _mm256_fmadd_ps(second, one, sums[1][t % TOKENS]);
        }
    }
    store_sums(acc[0], tokens < TOKENS ? tokens : TOKENS, rows, y, y_stride);
    if (tokens > TOKENS)
        store_sums(acc[1], tokens - TOKENS, rows, y + TOKENS * y_stride, y_stride);
}

void sl_avx2_multiply_float(const void *panel, uint32_t rows, const struct sl_activations *x,
                            float *y, size_t y_stride)
{
    const float *half = panel;
    for (uint32_t first = 0; first < rows; first += HALF_ROWS, half += HALF_ROWS * (size_t)x->cols) {
        size_t token = 0;
        for (; token + 2 * TOKENS <= x->tokens; token += 2 * TOKENS)
            multiply_float_part(half, rows - first, x->x + token * x->x_stride, x->x_stride,
                                x->cols, 2 * TOKENS, y + token * y_stride + first, y_stride);
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

/* offset, depth, by_runs, has_min */
static const struct form form_q4_0 = {8, 8, false, false};
static const struct form form_q5_0 = {16, 4, false, false};
static const struct form form_4_bits_min = {0, 8, false, true};
static const struct form form_5_bits_min = {0, 4, false, true};
static const struct form form_8_bits = {0, 0, false, false};
static const struct form form_q2_k = {0, 4, true, true};
static const struct form form_q3_k = {4, 4, true, false};
static const struct form form_q6_k = {32, 2, true, false};

PACK_FLOAT(sl_avx2_pack_f32, SL_TYPE_F32)
PACK_FLOAT(sl_avx2_pack_f16, SL_TYPE_F16)
PACK_FLOAT(sl_avx2_pack_bf16, SL_TYPE_BF16)
PACK_PLAIN(pack_q4_0, plain_q4_0, sl_block_q4_0, form_q4_0)
PACK_PLAIN(pack_q4_1, plain_q4_1, sl_block_q4_1, form_4_bits_min)
PACK_PLAIN(pack_q5_0, plain_q5_0, sl_block_q5_0, form_q5_0)
PACK_PLAIN(pack_q5_1, plain_q5_1, sl_block_q5_1, form_5_bits_min)
PACK_PLAIN(pack_q8_0, plain_q8_0, sl_block_q8_0, form_8_bits)
PACK_PLAIN(pack_iq4_nl, plain_iq4_nl, sl_block_iq4_nl, form_8_bits)
PACK_SUPER(pack_q2_k, super_q2_k, sl_block_q2_k, form_q2_k)
PACK_SUPER(pack_q3_k, super_q3_k, sl_block_q3_k, form_q3_k)
PACK_SUPER(pack_q4_k, super_q4_k, sl_block_q4_k, form_4_bits_min)
PACK_SUPER(pack_q5_k, super_q5_k, sl_block_q5_k, form_5_bits_min)
PACK_SUPER(pack_q6_k, super_q6_k, sl_block_q6_k, form_q6_k)
PACK_SUPER(pack_iq4_xs, super_iq4_xs, sl_block_iq4_xs, form_8_bits)
MULTIPLY(multiply_q4_0, form_q4_0)
MULTIPLY(multiply_q5_0, form_q5_0)
MULTIPLY(multiply_4_bits_min, form_4_bits_min)
MULTIPLY(multiply_5_bits_min, form_5_bits_min)
MULTIPLY(multiply_8_bits, form_8_bits)
MULTIPLY(multiply_q2_k, form_q2_k)
MULTIPLY(multiply_q3_k, form_q3_k)
MULTIPLY(multiply_q6_k, form_q6_k)

const struct sl_panel sl_avx2_panels[SL_TYPE_COUNT] = {
    [SL_TYPE_F32] = {sl_avx2_pack_f32, sl_avx2_multiply_float},
    [SL_TYPE_F16] = {sl_avx2_pack_f16, sl_avx2_multiply_float},
    [SL_TYPE_BF16] = {sl_avx2_pack_bf16, sl_avx2_multiply_float},
    [SL_TYPE_Q4_0] = {pack_q4_0, multiply_q4_0},
    [SL_TYPE_Q4_1] = {pack_q4_1, multiply_4_bits_min},
    [SL_TYPE_Q5_0] = {pack_q5_0, multiply_q5_0},
    [SL_TYPE_Q5_1] = {pack_q5_1, multiply_5_bits_min},
    [SL_TYPE_Q8_0] = {pack_q8_0, multiply_8_bits},
    [SL_TYPE_IQ4_NL] = {pack_iq4_nl, multiply_8_bits},
    [SL_TYPE_Q2_K] = {pack_q2_k, multiply_q2_k},
    [SL_TYPE_Q3_K] = {pack_q3_k, multiply_q3_k},
    [SL_TYPE_Q4_K] = {pack_q4_k, multiply_4_bits_min},
    [SL_TYPE_Q5_K] = {pack_q5_k, multiply_5_bits_min},
    [SL_TYPE_Q6_K] = {pack_q6_k, multiply_q6_k},
    [SL_TYPE_IQ4_XS] = {pack_iq4_xs, multiply_8_bits},
};
