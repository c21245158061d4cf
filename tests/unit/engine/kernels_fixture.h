/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of kernels share: rows of random numbers, the same in every run, and comparing
 * rows.
 */
#ifndef SLUICE_TESTS_KERNELS_FIXTURE_H
#define SLUICE_TESTS_KERNELS_FIXTURE_H

#include "kernels.h"
#include "test_support.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

static uint64_t random_state;

static inline void random_seed(uint64_t seed)
{
    random_state = seed * 0x9e3779b97f4a7c15u + 1;
}

static inline uint32_t random_u32(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

/* Roughly normal, scaled. */
static inline float random_float(float scale)
{
    float sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (float)(random_u32() >> 8) * 0x1p-24f - 0.5f;
    return sum * scale;
}

static inline float *random_row(size_t n, float scale)
{
    float *row = malloc((n + 1) * sizeof *row);
    ck_assert_ptr_nonnull(row);
    for (size_t i = 0; i < n; i++)
        row[i] = random_float(scale);
    return row;
}

static inline void expect_close(const char *what, const char *table, size_t n,
                                const float *expected, const float *actual, size_t count,
                                double budget)
{
    for (size_t i = 0; i < count; i++) {
        const double difference = fabs((double)expected[i] - (double)actual[i]);
        ck_assert_msg(difference <= budget, "%s of %s, n %zu: [%zu] is %g, expected %g (+-%g)",
                      what, table, n, i, (double)actual[i], (double)expected[i], budget);
    }
}

#endif
