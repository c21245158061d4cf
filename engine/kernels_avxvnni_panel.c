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

/* offset, depth (not used here), by_runs, has_min */
static const struct form form_blocks = {128, 0, false, false};
static const struct form form_blocks_min = {128, 0, false, true};
static const struct form form_runs = {128, 0, true, false};
static const struct form form_runs_min = {128, 0, true, true};

PACK_PLAIN(pack_q4_0, plain_q4_0, sl_block_q4_0, form_blocks)
PACK_PLAIN(pack_q4_1, plain_q4_1, sl_block_q4_1, form_blocks_min)
PACK_PLAIN(pack_q5_0, plain_q5_0, sl_block_q5_0, form_blocks)
PACK_PLAIN(pack_q5_1, plain_q5_1, sl_block_q5_1, form_blocks_min)
PACK_PLAIN(pack_q8_0, plain_q8_0, sl_block_q8_0, form_blocks)
PACK_PLAIN(pack_iq4_nl, plain_iq4_nl, sl_block_iq4_nl, form_blocks)
PACK_SUPER(pack_q2_k, super_q2_k, sl_block_q2_k, form_runs_min)
PACK_SUPER(pack_q3_k, super_q3_k, sl_block_q3_k, form_runs)
PACK_SUPER(pack_q4_k, super_q4_k, sl_block_q4_k, form_blocks_min)
PACK_SUPER(pack_q5_k, super_q5_k, sl_block_q5_k, form_blocks_min)
PACK_SUPER(pack_q6_k, super_q6_k, sl_block_q6_k, form_runs)
PACK_SUPER(pack_iq4_xs, super_iq4_xs, sl_block_iq4_xs, form_blocks)
MULTIPLY(multiply_blocks, form_blocks)
MULTIPLY(multiply_blocks_min, form_blocks_min)
MULTIPLY(multiply_runs, form_runs)
MULTIPLY(multiply_runs_min, form_runs_min)

const struct sl_panel sl_avxvnni_panels[SL_TYPE_COUNT] = {
    [SL_TYPE_F32] = {sl_avx2_pack_f32, sl_avx2_multiply_float},
    [SL_TYPE_F16] = {sl_avx2_pack_f16, sl_avx2_multiply_float},
    [SL_TYPE_BF16] = {sl_avx2_pack_bf16, sl_avx2_multiply_float},
    [SL_TYPE_Q4_0] = {pack_q4_0, multiply_blocks},
    [SL_TYPE_Q4_1] = {pack_q4_1, multiply_blocks_min},
    [SL_TYPE_Q5_0] = {pack_q5_0, multiply_blocks},
    [SL_TYPE_Q5_1] = {pack_q5_1, multiply_blocks_min},
    [SL_TYPE_Q8_0] = {pack_q8_0, multiply_blocks},
    [SL_TYPE_IQ4_NL] = {pack_iq4_nl, multiply_blocks},
    [SL_TYPE_Q2_K] = {pack_q2_k, multiply_runs_min},
    [SL_TYPE_Q3_K] = {pack_q3_k, multiply_runs},
    [SL_TYPE_Q4_K] = {pack_q4_k, multiply_blocks_min},
    [SL_TYPE_Q5_K] = {pack_q5_k, multiply_blocks_min},
    [SL_TYPE_Q6_K] = {pack_q6_k, multiply_runs},
    [SL_TYPE_IQ4_XS] = {pack_iq4_xs, multiply_blocks},
};
