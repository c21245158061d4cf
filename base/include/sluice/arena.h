/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that lives and dies together: one request's strings. Allocation is a bump of a pointer;
 * freeing is one call. The cap makes a request that would eat the box fail alone.
 *
 *     struct sl_arena *arena = sl_arena_create(1 << 20);
 *     char *copy = sl_arena_dup(arena, slice);   // NULL: past the cap or out of memory
 *     sl_arena_free(arena);
 *
 * Threads: one owner at a time. Memory is aligned for any type and not zeroed, except by `_zalloc`.
 */
#ifndef SLUICE_ARENA_H
#define SLUICE_ARENA_H

#include "sluice/slice.h"

struct sl_arena;

/* `bytes_max` caps the sum of all allocations. NULL when out of memory. */
struct sl_arena *sl_arena_create(size_t bytes_max);
/* As create; every byte is overwritten when the arena is freed (secrets, personal data). */
struct sl_arena *sl_arena_create_wiped(size_t bytes_max);
void sl_arena_free(struct sl_arena *arena);

void *sl_arena_alloc(struct sl_arena *arena, size_t size);
void *sl_arena_zalloc(struct sl_arena *arena, size_t count, size_t size);
/* Copies the slice and adds a NUL. */
char *sl_arena_dup(struct sl_arena *arena, struct sl_slice slice);
size_t sl_arena_used_bytes(const struct sl_arena *arena);

#endif
