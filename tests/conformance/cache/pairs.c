/* SPDX-License-Identifier: Apache-2.0
 *
 * See pairs.h.
 */
#include "pairs.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t kind_of(struct pairs *pairs, const char *name, bool must_hit)
{
    for (size_t i = 0; i < pairs->kind_count; i++)
        if (strcmp(pairs->kinds[i].name, name) == 0)
            return i;
    ck_assert_uint_lt(pairs->kind_count, PAIRS_KINDS_MAX);
    struct pair_kind *kind = &pairs->kinds[pairs->kind_count];
    snprintf(kind->name, sizeof kind->name, "%s", name);
    kind->must_hit = must_hit;
    return pairs->kind_count++;
}

static char *text_of(const json_t *row, const char *name)
{
    char *text = strdup(json_string_value(json_object_get(row, name)));
    ck_assert_ptr_nonnull(text);
    return text;
}

void pairs_load(struct pairs *pairs, size_t step)
{
    size_t seen[PAIRS_KINDS_MAX] = {0};
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen(sl_test_reference("data/cache_pairs.jsonl"), "r");
    ck_assert_ptr_nonnull(file);
    *pairs = (struct pairs){.count = 0};
    while (getline(&line, &size, file) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        ck_assert_ptr_nonnull(row);
        size_t kind = kind_of(pairs, json_string_value(json_object_get(row, "kind")),
                              json_is_true(json_object_get(row, "same")));
        if (seen[kind]++ % step == 0) {
            pairs->rows = realloc(pairs->rows, (pairs->count + 1) * sizeof *pairs->rows);
            pairs->rows[pairs->count++] =
                (struct pair){.a = text_of(row, "a"), .b = text_of(row, "b"), .kind = kind};
        }
        json_decref(row);
    }
    free(line);
    fclose(file);
    ck_assert_uint_gt(pairs->count, 0);
}

void pairs_free(struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        free(pairs->rows[i].a);
        free(pairs->rows[i].b);
    }
    free(pairs->rows);
    *pairs = (struct pairs){.count = 0};
}

unsigned pairs_hits(const struct pair_kind *kind)
{
    return kind->hits[1] + kind->hits[2] + kind->hits[3];
}

const struct pair_kind *pairs_kind(const struct pairs *pairs, const char *name)
{
    for (size_t i = 0; i < pairs->kind_count; i++)
        if (strcmp(pairs->kinds[i].name, name) == 0)
            return &pairs->kinds[i];
    ck_abort_msg("no rows of kind %s", name);
}

void pairs_print(const struct pairs *pairs, const char *title, unsigned *false_hits,
                 unsigned *must_miss)
{
    *false_hits = *must_miss = 0;
    printf("%s\n%-24s %6s %6s %8s %8s %8s %8s\n", title, "kind", "must", "pairs", "surface", "typo",
           "meaning", "hits");
    for (size_t i = 0; i < pairs->kind_count; i++) {
        const struct pair_kind *kind = &pairs->kinds[i];
        printf("%-24s %6s %6u %8u %8u %8u %7.2f%%\n", kind->name, kind->must_hit ? "hit" : "miss",
               kind->pairs, kind->hits[SL_CACHE_MATCH_SURFACE], kind->hits[SL_CACHE_MATCH_TYPO],
               kind->hits[SL_CACHE_MATCH_MEANING],
               100.0 * pairs_hits(kind) / (kind->pairs > 0 ? kind->pairs : 1));
        if (!kind->must_hit) {
            *false_hits += pairs_hits(kind);
            *must_miss += kind->pairs;
        }
    }
    printf("false hits: %u of %u (%.3f%%)\n", *false_hits, *must_miss,
           100.0 * *false_hits / (*must_miss > 0 ? *must_miss : 1));
}

struct sl_cache *pairs_open_cache(void)
{
    static char path[256];
    static char key_path[256];
    struct sl_cache *cache;
    struct sl_error error = {0};
    struct sl_cache_config config;
    const char *folder = sl_test_scratch();
    snprintf(path, sizeof path, "%s/cache.db", folder);
    snprintf(key_path, sizeof key_path, "%s/cache.key", folder);
    sl_cache_config_init(&config);
    config.path = path;
    config.key_path = key_path;
    config.queue_max = 20000;
    ck_assert_int_eq(sl_cache_open(&config, &cache, &error), SL_OK);
    ck_assert_str_eq(sl_cache_state_name(sl_cache_state(cache)), "on");
    return cache;
}

struct sl_cache_similar_text pairs_text(struct sl_cache *cache, size_t row, const char *text)
{
    struct sl_cache_similar_text similar = {.text = sl_slice_of(text)};
    struct sl_cache_key_builder builder;
    sl_cache_key_start(&builder, cache);
    sl_cache_key_add_u64(&builder, 1, row);
    sl_cache_key_finish(&builder, SL_CACHE_CLOUD, &similar.scope);
    return similar;
}

void pairs_store(struct sl_cache *cache, size_t row, const struct sl_cache_similar_text *text)
{
    struct sl_cache_meta meta = {.kind = SL_CACHE_CLOUD, .app = SL_SLICE("app")};
    struct sl_cache_key_builder builder;
    struct sl_cache_key key;
    sl_cache_key_start(&builder, cache);
    sl_cache_key_add_u64(&builder, 1, row);
    sl_cache_key_add(&builder, 2, text->text);
    sl_cache_key_finish(&builder, SL_CACHE_CLOUD, &key);
    ck_assert(sl_cache_put(cache, &key, &meta, text->text, PAIRS_NOW_S, 3600, text));
}
