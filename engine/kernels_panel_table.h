/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of panels of a CPU whose multiplying depends only on what a type scales: blocks of 32
 * or runs of 16, with minimums or without. The file that includes this has pack_TYPE for each
 * quantized type and multiply_blocks, multiply_blocks_min, multiply_runs and multiply_runs_min; the
 * functions of float weights are the arguments.
 */
#ifndef SLUICE_ENGINE_KERNELS_PANEL_TABLE_H
#define SLUICE_ENGINE_KERNELS_PANEL_TABLE_H

#include "kernels_matmul.h"

#define PANEL_TABLE(table, pack_f32, pack_f16, pack_bf16, multiply_float)                          \
    const struct sl_panel table[SL_TYPE_COUNT] = {                                                 \
        [SL_TYPE_F32] = {pack_f32, multiply_float},                                                \
        [SL_TYPE_F16] = {pack_f16, multiply_float},                                                \
        [SL_TYPE_BF16] = {pack_bf16, multiply_float},                                              \
        [SL_TYPE_Q4_0] = {pack_q4_0, multiply_blocks},                                             \
        [SL_TYPE_Q4_1] = {pack_q4_1, multiply_blocks_min},                                         \
        [SL_TYPE_Q5_0] = {pack_q5_0, multiply_blocks},                                             \
        [SL_TYPE_Q5_1] = {pack_q5_1, multiply_blocks_min},                                         \
        [SL_TYPE_Q8_0] = {pack_q8_0, multiply_blocks},                                             \
        [SL_TYPE_IQ4_NL] = {pack_iq4_nl, multiply_blocks},                                         \
        [SL_TYPE_Q2_K] = {pack_q2_k, multiply_runs_min},                                           \
        [SL_TYPE_Q3_K] = {pack_q3_k, multiply_runs},                                               \
        [SL_TYPE_Q4_K] = {pack_q4_k, multiply_blocks_min},                                         \
        [SL_TYPE_Q5_K] = {pack_q5_k, multiply_blocks_min},                                         \
        [SL_TYPE_Q6_K] = {pack_q6_k, multiply_runs},                                               \
        [SL_TYPE_IQ4_XS] = {pack_iq4_xs, multiply_blocks},                                         \
    }

#endif
