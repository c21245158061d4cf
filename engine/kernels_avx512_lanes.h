/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the lanes of 512-bit registers: turning sixteen of them, sums and largest lanes of four
 * at once. Needs F and DQ.
 */
#ifndef SLUICE_ENGINE_KERNELS_AVX512_LANES_H
#define SLUICE_ENGINE_KERNELS_AVX512_LANES_H

#include <immintrin.h>

#define INLINE512 static inline __attribute__((always_inline))

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

/* Four vectors to one: in each quarter, the quarter's sum of vector 0, 1, 2, 3. */
INLINE512 __m512 fold_four(const __m512 x[4])
{
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(x[0], x[1]), _mm512_unpackhi_ps(x[0], x[1]));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(x[2], x[3]), _mm512_unpackhi_ps(x[2], x[3]));
    return _mm512_add_ps(
        _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))),
        _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))));
}

/* The sums of four quarters. */
INLINE512 __m128 quarters_sum(__m512 x)
{
    const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
}

/* The largest lanes of four vectors. */
INLINE512 __m128 largest_of_four(const __m512 x[4])
{
    const __m512 ab = _mm512_max_ps(_mm512_unpacklo_ps(x[0], x[1]), _mm512_unpackhi_ps(x[0], x[1]));
    const __m512 cd = _mm512_max_ps(_mm512_unpacklo_ps(x[2], x[3]), _mm512_unpackhi_ps(x[2], x[3]));
    const __m512 quarters = _mm512_max_ps(
        _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))),
        _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))));
    const __m256 halves =
        _mm256_max_ps(_mm512_castps512_ps256(quarters), _mm512_extractf32x8_ps(quarters, 1));
    return _mm_max_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
}

#endif
