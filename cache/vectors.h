/* SPDX-License-Identifier: Apache-2.0
 *
 * The index of embeddings: int8 vectors in memory, searched by scanning all of a scope.
 */
#ifndef SLUICE_CACHE_VECTORS_H
#define SLUICE_CACHE_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VECTOR_LEN_MAX 1024 /* elements; longer embeddings are not indexed */

struct vectors;

/* A vector as it is kept. Rounded to a length of its own, so that only its direction counts. */
struct vector {
    uint64_t scope; /* keyed hash of the scope and the model that made it; 0: there is no vector */
    uint32_t len;
    int8_t elements[VECTOR_LEN_MAX];
};
/* False where it has no direction (zero, not a number) or is too long. */
bool vector_quantize(const float *from, size_t len, struct vector *out);

/* At most `rows_max` vectors; the oldest make room. Memory is taken as it fills. NULL: no memory.
 */
struct vectors *vectors_create(size_t rows_max);
void vectors_free(struct vectors *vectors); /* NULL is fine */

/* The length that vectors have from now on: another one empties the index. True where it is empty
 * and nobody has asked yet: the caller fills it from the store. */
bool vectors_expect(struct vectors *vectors, size_t len);
/* Empties the index (a purge); true where it should be filled again. */
bool vectors_clear(struct vectors *vectors);
/* One of another length than expected is passed over. An id may be added again: the newer one is
 * found first, and what an old one leads to is checked by whoever asked. */
void vectors_add(struct vectors *vectors, int64_t id, const struct vector *vector);
/* The ids of the `ids_max` (at most 16) nearest of the scope with at least this cosine, nearest
 * first; returns how many. Exact. */
size_t vectors_find(struct vectors *vectors, const struct vector *query, float cosine_min,
                    int64_t *ids, size_t ids_max);
size_t vectors_count(struct vectors *vectors);

#endif
