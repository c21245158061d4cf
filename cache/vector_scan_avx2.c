/* SPDX-License-Identifier: Apache-2.0
 *
 * AVX2. Products of signed bytes as products of an unsigned by a signed one: |q| times r with q's
 * sign. Two such products are at most 2 * 127 * 127 = 32,258 and fit 16 bits.
 *
 * Compiled with -mavx2; called only where the machine has it. Pure; any thread.
 */
#include "vector_scan.h"

#include <immintrin.h>

static inline __m256i add_products(__m256i sum, const int8_t *row, const int8_t *query)
{
    __m256i q = _mm256_loadu_si256((const __m256i *)(const void *)query);
    __m256i r = _mm256_loadu_si256((const __m256i *)(const void *)row);
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(r, q));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

static inline int32_t sum_of(__m256i lanes)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}

/* Two rows at a time: the sums of one wait while the other multiplies. */
void vector_scan_avx2(const int8_t *rows, size_t len, size_t count, const int8_t *query,
                      int32_t *dots)
{
    size_t row = 0;
    for (; row + 2 <= count; row += 2, rows += 2 * len) {
        __m256i first = _mm256_setzero_si256();
        __m256i second = _mm256_setzero_si256();
        for (size_t i = 0; i < len; i += VECTOR_STEP) {
            first = add_products(first, rows + i, query + i);
            second = add_products(second, rows + len + i, query + i);
        }
        dots[row] = sum_of(first);
        dots[row + 1] = sum_of(second);
    }
    if (row < count) {
        __m256i last = _mm256_setzero_si256();
        for (size_t i = 0; i < len; i += VECTOR_STEP)
            last = add_products(last, rows + i, query + i);
        dots[row] = sum_of(last);
    }
}
