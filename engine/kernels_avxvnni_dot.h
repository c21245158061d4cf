/* SPDX-License-Identifier: Apache-2.0
 *
 * How four products become one sum with VNNI in 256-bit registers (AVX-VNNI: Alder Lake and its
 * small cores, Meteor Lake, Zen 5), for panels and for weights rearranged at load. vpdpbusd adds
 * four products of unsigned codes and signed activations to 32 bits in one instruction and cannot
 * overflow here, so every type takes the same path; a sum starts with what the offset of the codes
 * adds too much.
 */
#ifndef SLUICE_ENGINE_KERNELS_AVXVNNI_DOT_H
#define SLUICE_ENGINE_KERNELS_AVXVNNI_DOT_H

#include "kernels_avx2_packed.h"

INLINE256 void multiply_codes(const uint8_t *codes, size_t run, const int8_t *q,
                              const int32_t *offsets, struct form form, int tokens,
                              __m256i sum[2][TOKENS_MAX])
{
    const int begin = (int)run * groups_of(form);
    const int shift = form.offset == 0 ? 0 : __builtin_ctz(128u / (unsigned)form.offset);
    UNROLLED for (int t = 0; t < tokens; t++)
        sum[0][t] = sum[1][t] =
            form.offset == 0 ? _mm256_setzero_si256()
                             : _mm256_srai_epi32(_mm256_set1_epi32(offsets[t]), shift);
    UNROLLED for (int group = begin; group < begin + groups_of(form); group++) {
        const __m256i first = group_codes(form, codes, 0, group);
        const __m256i second = group_codes(form, codes, 1, group);
        UNROLLED for (int t = 0; t < tokens; t++) {
            const __m256i x = broadcast_four(q + t * SL_BLOCK + 4 * group);
            sum[0][t] = _mm256_dpbusd_avx_epi32(sum[0][t], first, x);
            sum[1][t] = _mm256_dpbusd_avx_epi32(sum[1][t], second, x);
        }
    }
}

#endif
