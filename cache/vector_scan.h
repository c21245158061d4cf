/* SPDX-License-Identifier: Apache-2.0
 *
 * Dot products of one int8 vector with many, on the instructions that this machine has.
 */
#ifndef SLUICE_CACHE_VECTOR_SCAN_H
#define SLUICE_CACHE_VECTOR_SCAN_H

#include <stddef.h>
#include <stdint.h>

#define VECTOR_STEP 32 /* rows are padded with zeros to a multiple of this */

/* dots[i] = rows[i] . query for `count` rows of `len` elements (a multiple of VECTOR_STEP), one
 * behind the other. Elements lie in [-127, 127]: -128 would overflow a pair of products. Exact. */
typedef void vector_scan_fn(const int8_t *rows, size_t len, size_t count, const int8_t *query,
                            int32_t *dots);

/* The fastest one that works here. */
vector_scan_fn *vector_scan(void);

vector_scan_fn vector_scan_ref;
#if defined(__x86_64__)
vector_scan_fn vector_scan_avx2;
#endif
#if defined(__aarch64__)
vector_scan_fn vector_scan_neon;
#endif

#endif
