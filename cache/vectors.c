/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns the vectors in memory and the search. Leaves to others: what is embedded (the caller's
 * model), what lies at rest (similar_words.h, sealed), whether a near text may be served (the
 * verifier).
 *
 * A flat scan instead of a graph: exact, nothing to build or tune, and fast enough since most rows
 * are read only in part. The elements lie in planes of PLANE: the first of all rows, then the next
 * of all rows, and so on. By Cauchy and Schwarz
 *
 *     row . query <= what the planes read so far give + |row's rest| |query's rest|
 *
 * so a row whose bound is below the wanted cosine is done with. Unrelated texts at a cosine around
 * 0.5 are done after the first plane: of 100,000 vectors of 384 elements 12.8 MB are read instead
 * of 38. The result is that of the full scan.
 *
 * A ring: the newest rows_max vectors are kept. Rows of removed entries are not looked for; they
 * lead to an id that the store no longer has, or to a text that the verifier judges anew.
 *
 * Threads: any. `lock` guards everything: searches share it, adding takes it alone for a copy.
 *
 * Invariants: 1. count <= room <= rows_max. 2. Elements beyond `len` are zero, in rows and queries.
 * 3. rests[i * planes + p]^2 is the sum of the squares of row i from plane p on.
 */
#include "vectors.h"

#include "vector_scan.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PLANE 128 /* elements; a third of a small embedding decides most rows */
#define PLANES_MAX (VECTOR_LEN_MAX / PLANE)
#define BLOCK 256 /* rows a call of the kernel: their dots fit a page */
#define ROOM_FIRST 1024
#define FOUND_MAX 16
#define ALIGN 64
#define BOUND_SLACK 1e-5f /* of float rounding: a bound must not fall below what it bounds */

struct vectors {
    pthread_rwlock_t lock;
    vector_scan_fn *scan;
    size_t rows_max;
    size_t len; /* expected; 0: not known yet */
    size_t planes;
    size_t plane_len; /* padded */
    size_t room;
    size_t count;
    size_t next;               /* where the next one goes once count == rows_max */
    int8_t *plane[PLANES_MAX]; /* (row, plane_len) each */
    uint64_t *scopes;
    int64_t *ids;
    float *rests; /* (row, plane) */
};

bool vector_quantize(const float *from, size_t len, struct vector *out)
{
    float largest = 0;
    if (len == 0 || len > VECTOR_LEN_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isfinite(from[i]))
            return false;
        largest = fmaxf(largest, fabsf(from[i]));
    }
    if (!(largest > 0) || !isfinite(127 / largest))
        return false;
    out->len = (uint32_t)len;
    for (size_t i = 0; i < len; i++)
        out->elements[i] = (int8_t)lrintf(from[i] / largest * 127);
    return true;
}

struct vectors *vectors_create(size_t rows_max)
{
    struct vectors *vectors = calloc(1, sizeof *vectors);
    if (vectors == NULL)
        return NULL;
    pthread_rwlock_init(&vectors->lock, NULL);
    vectors->rows_max = rows_max;
    vectors->scan = vector_scan();
    return vectors;
}

/* Under the lock. What a vector tells of its text is wiped. */
static void drop_rows(struct vectors *vectors)
{
    for (size_t p = 0; p < vectors->planes; p++) {
        if (vectors->plane[p] != NULL)
            explicit_bzero(vectors->plane[p], vectors->room * vectors->plane_len);
        free(vectors->plane[p]);
        vectors->plane[p] = NULL;
    }
    free(vectors->scopes);
    free(vectors->ids);
    free(vectors->rests);
    vectors->scopes = NULL;
    vectors->ids = NULL;
    vectors->rests = NULL;
    vectors->room = vectors->count = vectors->next = 0;
}

void vectors_free(struct vectors *vectors)
{
    if (vectors == NULL)
        return;
    drop_rows(vectors);
    pthread_rwlock_destroy(&vectors->lock);
    free(vectors);
}

static size_t padded(size_t len)
{
    return (len + VECTOR_STEP - 1) / VECTOR_STEP * VECTOR_STEP;
}

bool vectors_expect(struct vectors *vectors, size_t len)
{
    pthread_rwlock_rdlock(&vectors->lock);
    bool is_known = vectors->len == len;
    pthread_rwlock_unlock(&vectors->lock);
    if (is_known || len == 0 || len > VECTOR_LEN_MAX)
        return false;
    pthread_rwlock_wrlock(&vectors->lock);
    bool is_new = vectors->len != len;
    if (is_new) {
        drop_rows(vectors);
        vectors->len = len;
        vectors->planes = (len + PLANE - 1) / PLANE;
        vectors->plane_len = padded(len < PLANE ? len : PLANE);
    }
    pthread_rwlock_unlock(&vectors->lock);
    return is_new;
}

bool vectors_clear(struct vectors *vectors)
{
    pthread_rwlock_wrlock(&vectors->lock);
    drop_rows(vectors);
    bool is_used = vectors->len > 0;
    pthread_rwlock_unlock(&vectors->lock);
    return is_used;
}

/* ---- adding --------------------------------------------------------------------------------- */

/* `count` items in a larger, aligned place; the old one is wiped and gone. NULL: no memory, and the
 * old one stays. */
static void *moved(void *items, size_t size, size_t count, size_t room)
{
    size_t bytes = (room * size + ALIGN - 1) / ALIGN * ALIGN;
    void *larger = aligned_alloc(ALIGN, bytes);
    if (larger != NULL && items != NULL) {
        memcpy(larger, items, count * size);
        explicit_bzero(items, count * size);
        free(items);
    }
    return larger;
}

/* Under the lock. A failure half way leaves larger arrays and the old `room`: harmless. */
static bool grow(struct vectors *vectors)
{
    size_t count = vectors->count;
    size_t room = vectors->room == 0 ? ROOM_FIRST : 2 * vectors->room;
    if (room > vectors->rows_max)
        room = vectors->rows_max;
    uint64_t *scopes = moved(vectors->scopes, sizeof *scopes, count, room);
    if (scopes == NULL)
        return false;
    vectors->scopes = scopes;
    int64_t *ids = moved(vectors->ids, sizeof *ids, count, room);
    if (ids == NULL)
        return false;
    vectors->ids = ids;
    float *rests = moved(vectors->rests, vectors->planes * sizeof *rests, count, room);
    if (rests == NULL)
        return false;
    vectors->rests = rests;
    for (size_t p = 0; p < vectors->planes; p++) {
        int8_t *plane = moved(vectors->plane[p], vectors->plane_len, count, room);
        if (plane == NULL)
            return false;
        vectors->plane[p] = plane;
    }
    vectors->room = room;
    return true;
}

/* The elements of one plane, padded with zeros. */
static void cut_plane(const struct vectors *vectors, const struct vector *vector, size_t p,
                      int8_t *out)
{
    size_t first = p * PLANE;
    size_t len = vectors->len - first < PLANE ? vectors->len - first : PLANE;
    memset(out, 0, vectors->plane_len);
    memcpy(out, vector->elements + first, len);
}

/* The lengths of what is left of a vector from each plane on. */
static void set_rests(const struct vectors *vectors, const struct vector *vector, float *rests)
{
    int32_t sum = 0;
    for (size_t p = vectors->planes, i = vectors->len; p-- > 0;) {
        for (; i > p * PLANE; i--)
            sum += (int32_t)vector->elements[i - 1] * vector->elements[i - 1];
        rests[p] = sqrtf((float)sum);
    }
}

static void set_row(struct vectors *vectors, size_t row, int64_t id, const struct vector *vector)
{
    for (size_t p = 0; p < vectors->planes; p++)
        cut_plane(vectors, vector, p, vectors->plane[p] + row * vectors->plane_len);
    set_rests(vectors, vector, vectors->rests + row * vectors->planes);
    vectors->scopes[row] = vector->scope;
    vectors->ids[row] = id;
}

void vectors_add(struct vectors *vectors, int64_t id, const struct vector *vector)
{
    pthread_rwlock_wrlock(&vectors->lock);
    bool is_full = vectors->count == vectors->rows_max;
    if (vectors->len == vector->len && vectors->rows_max > 0 &&
        (is_full || vectors->count < vectors->room || grow(vectors))) {
        size_t row = is_full ? vectors->next : vectors->count;
        set_row(vectors, row, id, vector);
        vectors->count += !is_full;
        vectors->next = (row + 1) % vectors->rows_max;
    }
    pthread_rwlock_unlock(&vectors->lock);
}

/* ---- searching ------------------------------------------------------------------------------ */

struct search {
    const struct vectors *vectors;
    uint64_t scope;
    int8_t planes[PLANES_MAX][PLANE];
    float rests[PLANES_MAX];
    size_t found_max;
    size_t found;
    float floor; /* the cosine that a row must reach: rises once found_max are found */
    float cosines[FOUND_MAX];
    int64_t ids[FOUND_MAX];
};

/* Keeps the list sorted, the nearest first; the newer row first among equals. */
static void keep(struct search *search, int64_t id, float cosine)
{
    size_t at = search->found < search->found_max ? search->found++ : search->found_max - 1;
    for (; at > 0 && search->cosines[at - 1] <= cosine; at--) {
        search->cosines[at] = search->cosines[at - 1];
        search->ids[at] = search->ids[at - 1];
    }
    search->cosines[at] = cosine;
    search->ids[at] = id;
    if (search->found == search->found_max)
        search->floor = search->cosines[search->found_max - 1];
}

/* `dot` is that of the first plane. */
static void judge_row(struct search *search, size_t row, int32_t dot)
{
    const struct vectors *vectors = search->vectors;
    if (vectors->scopes[row] != search->scope)
        return;
    const float *rests = vectors->rests + row * vectors->planes;
    float both = rests[0] * search->rests[0];
    float wanted = (search->floor - BOUND_SLACK) * both;
    for (size_t p = 1; p < vectors->planes; p++) {
        int32_t more;
        if ((float)dot + rests[p] * search->rests[p] < wanted)
            return;
        vectors->scan(vectors->plane[p] + row * vectors->plane_len, vectors->plane_len, 1,
                      search->planes[p], &more);
        dot += more;
    }
    float cosine = (float)dot / both;
    if (cosine >= search->floor)
        keep(search, vectors->ids[row], cosine);
}

static bool has_scope(const struct search *search, size_t first, size_t count)
{
    for (size_t row = first; row < first + count; row++)
        if (search->vectors->scopes[row] == search->scope)
            return true;
    return false;
}

static void scan_all(struct search *search)
{
    const struct vectors *vectors = search->vectors;
    int32_t dots[BLOCK];
    for (size_t first = 0; first < vectors->count; first += BLOCK) {
        size_t count = vectors->count - first < BLOCK ? vectors->count - first : BLOCK;
        if (!has_scope(search, first, count))
            continue;
        vectors->scan(vectors->plane[0] + first * vectors->plane_len, vectors->plane_len, count,
                      search->planes[0], dots);
        for (size_t i = 0; i < count; i++)
            judge_row(search, first + i, dots[i]);
    }
}

size_t vectors_find(struct vectors *vectors, const struct vector *query, float cosine_min,
                    int64_t *ids, size_t ids_max)
{
    struct search search = {.vectors = vectors,
                            .scope = query->scope,
                            .floor = cosine_min,
                            .found_max = ids_max < FOUND_MAX ? ids_max : FOUND_MAX};
    pthread_rwlock_rdlock(&vectors->lock);
    if (vectors->len == query->len && search.found_max > 0) {
        for (size_t p = 0; p < vectors->planes; p++)
            cut_plane(vectors, query, p, search.planes[p]);
        set_rests(vectors, query, search.rests);
        scan_all(&search);
    }
    pthread_rwlock_unlock(&vectors->lock);
    memcpy(ids, search.ids, search.found * sizeof *ids);
    explicit_bzero(search.planes, sizeof search.planes);
    return search.found;
}

size_t vectors_count(struct vectors *vectors)
{
    pthread_rwlock_rdlock(&vectors->lock);
    size_t count = vectors->count;
    pthread_rwlock_unlock(&vectors->lock);
    return count;
}
