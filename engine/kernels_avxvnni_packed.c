/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights rearranged at load (kernels_avx2_packed.h) for AVX-VNNI: codes are unsigned, those of
 * eight bits offset by 128; in panels all are offset by 128.
 *
 * Threads: pure functions.
 */
#include "kernels_avxvnni_dot.h"
#include "kernels_avx2_repack.h"

#define ALL_128(offset) 128
PACKED_TYPES(sl_avxvnni_packings, 128, ALL_128);
