/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference, NEON (part of every aarch64), and the choice. AVX2 has a file of its own, since a
 * file is compiled for one set of instructions.
 *
 * Pure; any thread.
 */
#include "vector_scan.h"

void vector_scan_ref(const int8_t *rows, size_t len, size_t count, const int8_t *query,
                     int32_t *dots)
{
    for (size_t row = 0; row < count; row++, rows += len) {
        int32_t sum = 0;
        for (size_t i = 0; i < len; i++)
            sum += (int32_t)rows[i] * query[i];
        dots[row] = sum;
    }
}

#if defined(__aarch64__)
#include <arm_neon.h>

void vector_scan_neon(const int8_t *rows, size_t len, size_t count, const int8_t *query,
                      int32_t *dots)
{
    for (size_t row = 0; row < count; row++, rows += len) {
        int32x4_t sum = vdupq_n_s32(0);
        for (size_t i = 0; i < len; i += 16) {
            int8x16_t a = vld1q_s8(rows + i);
            int8x16_t b = vld1q_s8(query + i);
            sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
            sum = vpadalq_s16(sum, vmull_s8(vget_high_s8(a), vget_high_s8(b)));
        }
        dots[row] = vaddvq_s32(sum);
    }
}
#endif

vector_scan_fn *vector_scan(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return vector_scan_avx2;
#elif defined(__aarch64__)
    return vector_scan_neon;
#endif
    return vector_scan_ref;
}
