/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of data/cache_pairs.jsonl (`a` is stored, `b` is asked) and a count of hits by kind.
 */
#ifndef SLUICE_CONFORMANCE_CACHE_PAIRS_H
#define SLUICE_CONFORMANCE_CACHE_PAIRS_H

#include "sluice/cache.h"

#include "test_support.h"

#define PAIRS_KINDS_MAX 16
#define PAIRS_NOW_S 1000

struct pair {
    char *a;
    char *b;
    size_t kind;
};

struct pair_kind {
    char name[32];
    bool must_hit;
    unsigned pairs;
    unsigned hits[5]; /* by match */
};

struct pairs {
    struct pair *rows;
    size_t count;
    struct pair_kind kinds[PAIRS_KINDS_MAX];
    size_t kind_count;
};

/* Every `step`-th row of each kind, so that kinds keep their shares; skips the test where the file
 * is absent. */
void pairs_load(struct pairs *pairs, size_t step);
void pairs_free(struct pairs *pairs);

unsigned pairs_hits(const struct pair_kind *kind);
/* A kind without rows fails the test. */
const struct pair_kind *pairs_kind(const struct pairs *pairs, const char *name);
void pairs_print(const struct pairs *pairs, const char *title, unsigned *false_hits,
                 unsigned *must_miss);

/* A cache with a store in the test's scratch folder. */
struct sl_cache *pairs_open_cache(void);
/* The text of a pair in a scope of its own. */
struct sl_cache_similar_text pairs_text(struct sl_cache *cache, size_t row, const char *text);
/* Stores the text under a key of its own; the body is the text. */
void pairs_store(struct sl_cache *cache, size_t row, const struct sl_cache_similar_text *text);

#endif
