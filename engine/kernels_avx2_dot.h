/* SPDX-License-Identifier: Apache-2.0
 *
 * How four products become one sum on AVX2 without VNNI, for panels and for weights rearranged at
 * load.
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
 */
#ifndef SLUICE_ENGINE_KERNELS_AVX2_DOT_H
#define SLUICE_ENGINE_KERNELS_AVX2_DOT_H

#include "kernels_avx2_packed.h"

/* Tells the compiler that a sum is wanted here: left alone it adds up in trees, which takes more
 * registers than there are, and half of the time. */
#define KEEP(sum) __asm__("" : "+x"(sum))

/* Signed codes of 8 bits: |w| by x with w's sign. */
INLINE256 void multiply_signed(struct form form, const uint8_t *codes, int first, const int8_t *q,
                               int tokens, __m256i sum[2][TOKENS_MAX])
{
    const __m256i ones = _mm256_set1_epi16(1);
    UNROLLED for (int group = first; group < first + groups_of(form); group++)
        UNROLLED for (int octet = 0; octet < 2; octet++) {
            const __m256i w = group_codes(form, codes, octet, group);
            const __m256i size = _mm256_abs_epi8(w);
            UNROLLED for (int t = 0; t < tokens; t++) {
                const __m256i x = broadcast_four(q + t * SL_BLOCK + 4 * group);
                const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(x, w));
                const __m256i four = _mm256_madd_epi16(pairs, ones);
                sum[octet][t] = group == first ? four : _mm256_add_epi32(sum[octet][t], four);
                KEEP(sum[octet][t]);
            }
        }
}

/* As many groups as fit from `first` on, in 16 bits. */
INLINE256 void multiply_deep(struct form form, const uint8_t *codes, int first, const int8_t *q,
                             int tokens, __m256i pairs[2][TOKENS_MAX])
{
    UNROLLED for (int group = first; group < first + form.depth; group++) {
        const __m256i w[2] = {group_codes(form, codes, 0, group),
                              group_codes(form, codes, 1, group)};
        UNROLLED for (int t = 0; t < tokens; t++) {
            const __m256i x = broadcast_four(q + t * SL_BLOCK + 4 * group);
            UNROLLED for (int octet = 0; octet < 2; octet++) {
                const __m256i two = _mm256_maddubs_epi16(w[octet], x);
                pairs[octet][t] =
                    group == first ? two : _mm256_add_epi16(pairs[octet][t], two);
                KEEP(pairs[octet][t]);
            }
        }
    }
}

/* Takes off what the offset of the codes added: offsets are for 128. */
INLINE256 void add_offsets(const int32_t *offsets, int offset, int tokens,
                           __m256i sum[2][TOKENS_MAX])
{
    const int shift = __builtin_ctz(128u / (unsigned)offset);
    UNROLLED for (int t = 0; t < tokens; t++) {
        const __m256i excess = _mm256_srai_epi32(_mm256_set1_epi32(offsets[t]), shift);
        sum[0][t] = _mm256_add_epi32(sum[0][t], excess);
        sum[1][t] = _mm256_add_epi32(sum[1][t], excess);
    }
}

INLINE256 void multiply_codes(const uint8_t *codes, size_t run, const int8_t *q,
                              const int32_t *offsets, struct form form, int tokens,
                              __m256i sum[2][TOKENS_MAX])
{
    const int begin = (int)run * groups_of(form), end = begin + groups_of(form);
    if (form.depth == 0) {
        multiply_signed(form, codes, begin, q, tokens, sum);
        return;
    }
    const __m256i ones = _mm256_set1_epi16(1);
    UNROLLED for (int first = begin; first < end; first += form.depth) {
        __m256i pairs[2][TOKENS_MAX];
        multiply_deep(form, codes, first, q, tokens, pairs);
        UNROLLED for (int octet = 0; octet < 2; octet++)
            UNROLLED for (int t = 0; t < tokens; t++) {
                const __m256i four = _mm256_madd_epi16(pairs[octet][t], ones);
                sum[octet][t] = first == begin ? four : _mm256_add_epi32(sum[octet][t], four);
            }
    }
    if (form.offset != 0)
        add_offsets(offsets, form.offset, tokens, sum);
}

#endif
