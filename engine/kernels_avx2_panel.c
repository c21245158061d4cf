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

#define FLOAT_TOKENS (2 * TOKENS) /* there are no sums in integers beside those in floats */
#include "kernels_panel_floats.h"

void sl_avx2_fill_tile(struct sl_activations *x, uint32_t idx)
{
    fill_tile(x, idx, place_in_order, true);
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
PANEL_INLINE __m256i widen_row(enum sl_tensor_type type, const uint8_t *data, uint32_t count)
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

PANEL_INLINE void multiply_float_part(const float *half, uint32_t rows, const float *x,
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

/* ---- the table ---- */

PANEL_FLOATS(sl_avx2_pack_f32, sl_avx2_pack_f16, sl_avx2_pack_bf16, sl_avx2_multiply_float)

/* by_runs, has_min, offset, depth */
static const struct form form_q4_0 = {false, false, 8, 8};
static const struct form form_q5_0 = {false, false, 16, 4};
static const struct form form_4_bits_min = {false, true, 0, 8};
static const struct form form_5_bits_min = {false, true, 0, 4};
static const struct form form_8_bits = {false, false, 0, 0};
static const struct form form_q2_k = {true, true, 0, 4};
static const struct form form_q3_k = {true, false, 4, 4};
static const struct form form_q6_k = {true, false, 32, 2};

PANEL_PACK(pack_q4_0, pack_plain, plain_q4_0, sl_block_q4_0, form_q4_0)
PANEL_PACK(pack_q4_1, pack_plain, plain_q4_1, sl_block_q4_1, form_4_bits_min)
PANEL_PACK(pack_q5_0, pack_plain, plain_q5_0, sl_block_q5_0, form_q5_0)
PANEL_PACK(pack_q5_1, pack_plain, plain_q5_1, sl_block_q5_1, form_5_bits_min)
PANEL_PACK(pack_q8_0, pack_plain, plain_q8_0, sl_block_q8_0, form_8_bits)
PANEL_PACK(pack_iq4_nl, pack_plain, plain_iq4_nl, sl_block_iq4_nl, form_8_bits)
PANEL_PACK(pack_q2_k, pack_super, super_q2_k, sl_block_q2_k, form_q2_k)
PANEL_PACK(pack_q3_k, pack_super, super_q3_k, sl_block_q3_k, form_q3_k)
PANEL_PACK(pack_q4_k, pack_super, super_q4_k, sl_block_q4_k, form_4_bits_min)
PANEL_PACK(pack_q5_k, pack_super, super_q5_k, sl_block_q5_k, form_5_bits_min)
PANEL_PACK(pack_q6_k, pack_super, super_q6_k, sl_block_q6_k, form_q6_k)
PANEL_PACK(pack_iq4_xs, pack_super, super_iq4_xs, sl_block_iq4_xs, form_8_bits)
PANEL_MULTIPLY(multiply_q4_0, form_q4_0)
PANEL_MULTIPLY(multiply_q5_0, form_q5_0)
PANEL_MULTIPLY(multiply_4_bits_min, form_4_bits_min)
PANEL_MULTIPLY(multiply_5_bits_min, form_5_bits_min)
PANEL_MULTIPLY(multiply_8_bits, form_8_bits)
PANEL_MULTIPLY(multiply_q2_k, form_q2_k)
PANEL_MULTIPLY(multiply_q3_k, form_q3_k)
PANEL_MULTIPLY(multiply_q6_k, form_q6_k)

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
