/* SPDX-License-Identifier: Apache-2.0
 *
 * Panels of kernels_avx2_panel.h for CPUs that have VNNI but not AVX-512: all codes offset by 128.
 *
 * Threads: pure functions on the worker's own panel.
 */
#include "kernels_avxvnni_dot.h"

PANELS_OF_ONE_OFFSET(sl_avxvnni_panels, 128, sl_avx2_pack_f32, sl_avx2_pack_f16, sl_avx2_pack_bf16,
                     sl_avx2_multiply_float);
