/* SPDX-License-Identifier: Apache-2.0
 *
 * Panels of kernels_avx2_panel.h for CPUs that have VNNI but not AVX-512 (AVX-VNNI: Alder Lake and
 * its small cores, Meteor Lake, Zen 5). vpdpbusd adds four products of unsigned codes and signed
 * activations to 32 bits in one instruction and cannot overflow here, so every type takes the same
 * path, 8-bit codes offset by 128.
 *
 * Only batches differ from AVX2: one token meets rows as stored, where maddubs with integer scales
 * takes as few instructions.
 *
 * Threads: pure functions on the worker's own panel.
 */
#include "kernels_avx2_panel.h"

INLINE256 void multiply_codes(const uint8_t *codes, const int8_t *q, const int32_t *offsets,
                              struct form form, int tokens, __m256i sum[2][TOKENS])
{
    UNROLLED for (int t = 0; t < tokens; t++)
        sum[0][t] = sum[1][t] = _mm256_set1_epi32(offsets[t]);
    UNROLLED for (int group = 0; group < groups_of(form); group++) {
        const __m256i *w = (const __m256i *)(codes + group * GROUP_BYTES);
        const __m256i first = _mm256_load_si256(w), second = _mm256_load_si256(w + 1);
        UNROLLED for (int t = 0; t < tokens; t++) {
            const __m256i x = broadcast_four(q + t * SL_BLOCK + 4 * group);
            sum[0][t] = _mm256_dpbusd_avx_epi32(sum[0][t], first, x);
            sum[1][t] = _mm256_dpbusd_avx_epi32(sum[1][t], second, x);
        }
    }
}

PANELS_OF_ONE_OFFSET(sl_avxvnni_panels, 128, sl_avx2_pack_f32, sl_avx2_pack_f16, sl_avx2_pack_bf16,
                     sl_avx2_multiply_float);
