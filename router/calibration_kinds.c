/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding a request's kind, and its map, as calibration_kinds.h has it. The fit is in
 * calibrate_kinds.c, the file in calibration.c and calibration_read.c.
 *
 * A look-up hashes each word of the schema and finds the kinds that have it among all words, sorted
 * by hash: some 5 µs for 150 labels. Two words with one hash would count for each other, which can
 * choose between calibrations and do no more.
 *
 * Invariants: 1. Labels of a kind are sorted, each once. 2. Slopes are not negative. 3. At most one
 * kind is of requests without a schema, and no two have the same labels.
 * Threads: immutable once indexed.
 */
#include "calibration_kinds.h"

#include "schema_words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIT_MAX 9.21       /* log(9999): scores above say more than a thousand rows can */
#define SCHEMA_WORDS_MAX 4096 /* four times the labels of the largest gate */

/* ---- making ---- */

static uint64_t hash_word(const char *word, size_t len)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)word[i]) * 1099511628211u;
    return hash;
}

static bool is_same(const struct sl_kind *kind, bool is_text, const char *const *labels,
                    size_t count)
{
    if (kind->is_text != is_text || kind->label_count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(kind->labels[i], labels[i]) != 0)
            return false;
    return true;
}

static void free_labels(struct sl_kind *kind)
{
    for (size_t i = 0; i < kind->label_count; i++)
        free(kind->labels[i]);
    free(kind->labels);
    kind->labels = NULL;
    kind->label_count = 0;
}

enum sl_err sl_kinds_add(struct sl_kinds *kinds, const char *name, bool is_text,
                         const char *const *labels, size_t label_count, uint32_t *kind)
{
    for (size_t i = 0; i < kinds->count; i++) {
        if (is_same(&kinds->items[i], is_text, labels, label_count)) {
            *kind = (uint32_t)i + 1;
            return SL_OK;
        }
    }
    if (kinds->count == SL_KINDS_MAX || label_count > SL_KIND_LABELS_MAX)
        return SL_ERR_LIMIT;
    struct sl_kind *item = &kinds->items[kinds->count];
    *item = (struct sl_kind){.is_text = is_text, .answer = {1, 0}, .prompt = {1, 0}};
    snprintf(item->name, sizeof item->name, "%s", name);
    item->labels = calloc(label_count + 1, sizeof *item->labels);
    if (item->labels == NULL)
        return SL_ERR_MEMORY;
    for (; item->label_count < label_count; item->label_count++) {
        char *copy = strdup(labels[item->label_count]);
        if (copy == NULL) {
            free_labels(item);
            return SL_ERR_MEMORY;
        }
        item->labels[item->label_count] = copy;
    }
    *kind = (uint32_t)++kinds->count;
    return SL_OK;
}

static int compare_words(const void *a, const void *b)
{
    const struct sl_kind_word *x = a, *y = b;
    return x->hash != y->hash ? (x->hash > y->hash) - (x->hash < y->hash)
                              : (x->kind > y->kind) - (x->kind < y->kind);
}

enum sl_err sl_kinds_index(struct sl_kinds *kinds)
{
    size_t count = 0;
    for (size_t i = 0; i < kinds->count; i++)
        count += kinds->items[i].label_count;
    struct sl_kind_word *words = malloc((count + 1) * sizeof *words);
    if (words == NULL)
        return SL_ERR_MEMORY;
    free(kinds->words);
    kinds->words = words;
    kinds->word_count = 0;
    for (size_t i = 0; i < kinds->count; i++)
        for (size_t j = 0; j < kinds->items[i].label_count; j++) {
            const char *label = kinds->items[i].labels[j];
            words[kinds->word_count++] =
                (struct sl_kind_word){hash_word(label, strlen(label)), (uint32_t)i};
        }
    qsort(words, kinds->word_count, sizeof *words, compare_words);
    return SL_OK;
}

void sl_kinds_clear(struct sl_kinds *kinds)
{
    for (size_t i = 0; i < kinds->count; i++)
        free_labels(&kinds->items[i]);
    free(kinds->words);
    kinds->words = NULL;
    kinds->count = kinds->word_count = 0;
}

/* ---- finding ---- */

struct tally {
    const struct sl_kinds *kinds;
    size_t words;
    size_t hits[SL_KINDS_MAX];
};

static void count_word(void *ctx, struct sl_slice word)
{
    struct tally *tally = ctx;
    const struct sl_kinds *kinds = tally->kinds;
    if (tally->words == SCHEMA_WORDS_MAX)
        return;
    uint64_t hash = hash_word(word.data, word.len);
    size_t low = 0, high = kinds->word_count;
    tally->words++;
    while (low < high) { /* the first that is not below */
        size_t middle = low + (high - low) / 2;
        if (kinds->words[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < kinds->word_count && kinds->words[low].hash == hash; low++)
        tally->hits[kinds->words[low].kind]++;
}

static uint32_t text_kind(const struct sl_kinds *kinds)
{
    for (size_t i = 0; i < kinds->count; i++)
        if (kinds->items[i].is_text)
            return (uint32_t)i + 1;
    return SL_KIND_SHARED;
}

uint32_t sl_kinds_of(const struct sl_kinds *kinds, const json_t *schema)
{
    struct tally tally = {.kinds = kinds};
    size_t best = SL_KINDS_MAX;
    if (kinds->count == 0 || schema == NULL)
        return text_kind(kinds);
    sl_schema_words(schema, count_word, &tally);
    for (size_t i = 0; i < kinds->count; i++) {
        size_t hits = tally.hits[i];
        if (hits < 2 || 2 * hits <= tally.words)
            continue;
        bool is_closer = best == SL_KINDS_MAX || hits > tally.hits[best] ||
                         (hits == tally.hits[best] &&
                          kinds->items[i].label_count < kinds->items[best].label_count);
        if (is_closer)
            best = i;
    }
    return best == SL_KINDS_MAX ? SL_KIND_SHARED : (uint32_t)best + 1;
}

const char *sl_kinds_name(const struct sl_kinds *kinds, uint32_t kind)
{
    return kind == SL_KIND_SHARED || kind > kinds->count ? "shared" : kinds->items[kind - 1].name;
}

/* ---- the map ---- */

bool sl_kind_map_is_shared(const struct sl_kind_map *map)
{
    return map->slope == 1 && map->shift == 0;
}

double sl_kind_logit(double p)
{
    double logit = log(p) - log1p(-p);
    return logit > LOGIT_MAX ? LOGIT_MAX : logit < -LOGIT_MAX ? -LOGIT_MAX : logit;
}

static double apply(const struct sl_kind_map *map, double p)
{
    if (isnan(p) || sl_kind_map_is_shared(map))
        return p;
    return 1 / (1 + exp(-(map->slope * sl_kind_logit(p) + map->shift)));
}

double sl_kinds_answer(const struct sl_kinds *kinds, uint32_t kind, double shared)
{
    return kind == SL_KIND_SHARED || kind > kinds->count
               ? shared
               : apply(&kinds->items[kind - 1].answer, shared);
}

double sl_kinds_prompt(const struct sl_kinds *kinds, uint32_t kind, double shared)
{
    return kind == SL_KIND_SHARED || kind > kinds->count
               ? shared
               : apply(&kinds->items[kind - 1].prompt, shared);
}
