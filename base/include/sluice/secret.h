/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes that must not leak: provider keys, cache keys. Opaque, wiped when freed, compared in
 * constant time; there is no way to print one. Immutable after creation, so any thread may read.
 */
#ifndef SLUICE_SECRET_H
#define SLUICE_SECRET_H

#include "sluice/err.h"
#include "sluice/slice.h"

struct sl_secret;

/* Copies `bytes`. NULL when out of memory. */
struct sl_secret *sl_secret_create(struct sl_slice bytes);
void sl_secret_free(struct sl_secret *secret);
/* Lends the bytes to a call that needs them (an Authorization header, a cipher key). */
struct sl_slice sl_secret_reveal(const struct sl_secret *secret);
/* Reads a file, without one trailing newline. Errors: SL_ERR_IO, SL_ERR_LIMIT (over 64 KiB),
 * SL_ERR_FORBIDDEN where group or others may read it and `demand_private`. */
enum sl_err sl_secret_from_file(const char *path, bool demand_private, struct sl_secret **out,
                                struct sl_error *error) SL_MUST_CHECK;

/* Overwrites memory in a way the compiler keeps. */
void sl_wipe(void *memory, size_t size);
/* Compares in time that depends on the lengths only. */
bool sl_equal_constant_time(const void *a, size_t a_len, const void *b, size_t b_len);

#endif
