/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic on sizes that came from outside. Each returns false, and leaves *out alone, where the
 * result does not fit. Header only.
 */
#ifndef SLUICE_CHECKED_H
#define SLUICE_CHECKED_H

#include "sluice/err.h"

#include <stddef.h>
#include <stdint.h>

static inline SL_MUST_CHECK bool sl_size_add(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

static inline SL_MUST_CHECK bool sl_size_mul(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

static inline SL_MUST_CHECK bool sl_u64_add(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

static inline SL_MUST_CHECK bool sl_u64_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

#endif
