/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights rearranged at load (kernels_avx2_packed.h) for AVX2 without VNNI: codes of eight bits
 * stay signed, and panels have the codes that these have.
 *
 * Threads: pure functions.
 */
#include "kernels_avx2_dot.h"
#include "kernels_avx2_repack.h"

#define SAME(offset) (offset)
PACKED_TYPES(sl_avx2_packings, 0, SAME);
