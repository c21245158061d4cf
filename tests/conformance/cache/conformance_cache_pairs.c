/* SPDX-License-Identifier: Apache-2.0
 *
 * The similar index against data/cache_pairs.jsonl: `a` is stored, `b` is asked, each pair in a
 * scope of its own, through the public calls and a real store. Targets of the issue: surface 100 %,
 * typo at least 95 %, false hits at most 0.3 % over all pairs that must not hit, none for
 * antonym_swap.
 *
 * A third test changes every `a` in ways that change what is asked (a word lost, added, doubled,
 * moved; a digit changed) and demands that the verifier refuses each.
 *
 * The second table asks again with the same meaning claimed for both texts of every pair, as if the
 * caller's model had been sure of it each time: what the verifier alone would still let through. It
 * gates only paraphrase_noarg: the claim is wrong for the kinds that must miss.
 * SLUICE_SHOW_MISSES=1 lists misses.
 */
#include "similar_words.h"
#include "test_support.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS_MAX 16
#define NOW_S 1000

struct kind {
    char name[32];
    bool must_hit;
    unsigned pairs;
    unsigned hits[4]; /* by match */
};

struct pair {
    char *a;
    char *b;
    size_t kind;
};

static struct kind kinds[KINDS_MAX];
static size_t kind_count;
static struct pair *pairs;
static size_t pair_count;

static size_t kind_of(const char *name, bool must_hit)
{
    for (size_t i = 0; i < kind_count; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return i;
    ck_assert_uint_lt(kind_count, KINDS_MAX);
    snprintf(kinds[kind_count].name, sizeof kinds[0].name, "%s", name);
    kinds[kind_count].must_hit = must_hit;
    return kind_count++;
}

static void load_pairs(const char *path)
{
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (getline(&line, &size, file) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        ck_assert_ptr_nonnull(row);
        pairs = realloc(pairs, (pair_count + 1) * sizeof *pairs);
        pairs[pair_count++] =
            (struct pair){.a = strdup(json_string_value(json_object_get(row, "a"))),
                          .b = strdup(json_string_value(json_object_get(row, "b"))),
                          .kind = kind_of(json_string_value(json_object_get(row, "kind")),
                                          json_is_true(json_object_get(row, "same")))};
        json_decref(row);
    }
    free(line);
    fclose(file);
}

static void free_pairs(void)
{
    for (size_t i = 0; i < pair_count; i++) {
        free(pairs[i].a);
        free(pairs[i].b);
    }
    free(pairs);
    pairs = NULL;
    pair_count = kind_count = 0;
    memset(kinds, 0, sizeof kinds);
}

static struct sl_cache *open_cache(void)
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

static struct sl_cache_similar_text text_of(struct sl_cache *cache, size_t row, const char *text,
                                            bool has_meaning)
{
    struct sl_cache_similar_text similar = {.text = sl_slice_of(text)};
    struct sl_cache_key_builder builder;
    sl_cache_key_start(&builder, cache);
    sl_cache_key_add_u64(&builder, 1, row);
    sl_cache_key_finish(&builder, SL_CACHE_CLOUD, &similar.scope);
    if (has_meaning)
        similar.meaning = SL_SLICE("the same");
    return similar;
}

static void store_all(struct sl_cache *cache, bool has_meaning)
{
    struct sl_cache_meta meta = {.kind = SL_CACHE_CLOUD, .app = SL_SLICE("app")};
    struct sl_error error = {0};
    for (size_t i = 0; i < pair_count; i++) {
        struct sl_cache_key_builder builder;
        struct sl_cache_key key;
        struct sl_cache_similar_text text = text_of(cache, i, pairs[i].a, has_meaning);
        sl_cache_key_start(&builder, cache);
        sl_cache_key_add_u64(&builder, 1, i);
        sl_cache_key_add(&builder, 2, text.text);
        sl_cache_key_finish(&builder, SL_CACHE_CLOUD, &key);
        ck_assert(sl_cache_put(cache, &key, &meta, sl_slice_of(pairs[i].a), NOW_S, 3600, &text));
    }
    ck_assert_int_eq(sl_cache_flush(cache, &error), SL_OK);
}

static void ask_all(struct sl_cache *cache, bool has_meaning)
{
    struct sl_cache_want want = {.now_s = NOW_S, .max_age_s = SL_CACHE_ANY_AGE};
    for (size_t i = 0; i < pair_count; i++) {
        struct sl_cache_similar_text text = text_of(cache, i, pairs[i].b, has_meaning);
        struct sl_cache_entry entry;
        enum sl_cache_match match;
        kinds[pairs[i].kind].pairs++;
        if (sl_cache_similar(cache, &text, &want, &entry, &match) == SL_CACHE_HIT) {
            ck_assert(sl_slice_equal_text(entry.body, pairs[i].a));
            kinds[pairs[i].kind].hits[match]++;
            if (!has_meaning && !kinds[pairs[i].kind].must_hit)
                printf("  false hit (%s): %s | %s\n", sl_cache_match_name(match), pairs[i].a,
                       pairs[i].b);
        } else if (!has_meaning && getenv("SLUICE_SHOW_MISSES") != NULL)
            printf("  miss (%s): %s | %s\n", kinds[pairs[i].kind].name, pairs[i].a, pairs[i].b);
        sl_cache_entry_clear(&entry);
    }
}

static unsigned hits_of(const struct kind *kind)
{
    return kind->hits[1] + kind->hits[2] + kind->hits[3];
}

static const struct kind *find_kind(const char *name)
{
    static const struct kind none;
    for (size_t i = 0; i < kind_count; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return &none;
}

static void print_table(const char *title, unsigned *false_hits, unsigned *must_miss)
{
    *false_hits = *must_miss = 0;
    printf("%s\n%-24s %6s %6s %8s %8s %6s %8s\n", title, "kind", "must", "pairs", "surface", "typo",
           "meaning", "hits");
    for (size_t i = 0; i < kind_count; i++) {
        const struct kind *kind = &kinds[i];
        printf("%-24s %6s %6u %8u %8u %6u %7.2f%%\n", kind->name, kind->must_hit ? "hit" : "miss",
               kind->pairs, kind->hits[SL_CACHE_MATCH_SURFACE], kind->hits[SL_CACHE_MATCH_TYPO],
               kind->hits[SL_CACHE_MATCH_MEANING], 100.0 * hits_of(kind) / kind->pairs);
        if (!kind->must_hit) {
            *false_hits += hits_of(kind);
            *must_miss += kind->pairs;
        }
    }
    printf("false hits: %u of %u (%.3f%%)\n", *false_hits, *must_miss,
           100.0 * *false_hits / (*must_miss > 0 ? *must_miss : 1));
}

static void run_pairs(bool has_meaning, const char *title, unsigned *false_hits,
                      unsigned *must_miss)
{
    load_pairs(sl_test_reference("data/cache_pairs.jsonl"));
    struct sl_cache *cache = open_cache();
    store_all(cache, has_meaning);
    ask_all(cache, has_meaning);
    sl_cache_close(cache);
    print_table(title, false_hits, must_miss);
}

START_TEST(surface_and_typo_hit_and_different_requests_do_not)
{
    unsigned false_hits;
    unsigned must_miss;
    run_pairs(false, "similar prompts", &false_hits, &must_miss);
    const struct kind *surface = find_kind("surface");
    const struct kind *typo = find_kind("typo");
    ck_assert_uint_eq(hits_of(surface), surface->pairs);
    ck_assert_uint_ge(100 * hits_of(typo), 95 * typo->pairs);
    ck_assert_uint_eq(hits_of(find_kind("antonym_swap")), 0);
    ck_assert_uint_le(1000 * false_hits, 3 * must_miss);
    free_pairs();
}
END_TEST

START_TEST(a_claimed_meaning_is_still_checked_by_the_verifier)
{
    unsigned false_hits;
    unsigned must_miss;
    run_pairs(true, "similar prompts, the same meaning claimed for every pair", &false_hits,
              &must_miss);
    const struct kind *paraphrase = find_kind("paraphrase_noarg");
    ck_assert_uint_ge(100 * hits_of(paraphrase), 60 * paraphrase->pairs);
    free_pairs();
}
END_TEST

/* ---- mutations ------------------------------------------------------------------------------ */

static enum sl_cache_match judge(const char *a, const char *b)
{
    static const uint64_t key[2] = {3, 4};
    static struct similar_text text[2];
    static struct words_view view[2];
    static uint8_t bytes[2][WORDS_BYTES_MAX];
    const char *const from[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        if (!similar_text_parse(&text[i], sl_slice_of(from[i])))
            return SL_CACHE_MATCH_NONE;
        size_t len = similar_words_write(key, &text[i], bytes[i]);
        ck_assert(similar_words_read((struct sl_slice){(const char *)bytes[i], len}, &view[i]));
    }
    return similar_verify(&view[0], &view[1], false);
}

static void join(char *const *words, size_t count, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i > 0 ? " " : "", words[i]);
}

enum mutation { WORD_LOST, WORD_ADDED, WORD_DOUBLED, WORDS_MOVED, DIGIT_CHANGED, MUTATIONS };
static const char *const mutation_names[MUTATIONS] = {"word lost", "word added", "word doubled",
                                                      "words moved", "digit changed"};

/* Changes the text at word `at`; false where that changes nothing that counts: politeness, marks,
 * neighbours that are equal. */
static bool mutate(char **words, size_t count, size_t at, enum mutation mutation, char *out,
                   size_t size)
{
    char *changed[TEXT_WORDS_MAX + 2];
    static char digit_word[256];
    size_t to = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == at && mutation == WORD_LOST)
            continue;
        if (i == at && mutation == WORD_ADDED)
            changed[to++] = (char *)(uintptr_t) "not";
        if (i == at && mutation == WORD_DOUBLED)
            changed[to++] = words[i];
        changed[to++] = words[i];
    }
    if (mutation == WORDS_MOVED) {
        if (at + 1 >= count || strcasecmp(words[at], words[at + 1]) == 0)
            return false;
        changed[at] = words[at + 1];
        changed[at + 1] = words[at];
    }
    if (mutation == DIGIT_CHANGED) {
        size_t digit = strcspn(words[at], "0123456789");
        if (words[at][digit] == '\0')
            return false;
        snprintf(digit_word, sizeof digit_word, "%s", words[at]);
        digit_word[digit] = (char)('0' + (digit_word[digit] - '0' + 1) % 10);
        changed[at] = digit_word;
    }
    join(changed, to, out, size);
    return true;
}

/* Words that the normal form leaves out, or whose loss it can't see. */
static bool is_content(const char *word)
{
    static const char *const polite[] = {"please", "thanks", "hey", "hi", "hello", NULL};
    bool has_letter = false;
    char bare[256];
    size_t len = 0;
    for (const char *at = word; *at != '\0' && len + 1 < sizeof bare; at++)
        if ((*at & 0x80) != 0 || strchr(".,;:!?\"'", *at) == NULL) {
            bare[len++] = *at;
            has_letter = true;
        }
    bare[len] = '\0';
    for (size_t i = 0; polite[i] != NULL; i++)
        if (strcasecmp(bare, polite[i]) == 0)
            return false;
    return has_letter;
}

START_TEST(every_change_of_what_is_asked_is_refused)
{
    unsigned tried[MUTATIONS] = {0};
    unsigned accepted[MUTATIONS] = {0};
    load_pairs(sl_test_reference("data/cache_pairs.jsonl"));
    for (size_t row = 0; row < pair_count; row += 3) {
        char *words[TEXT_WORDS_MAX];
        char copy[TEXT_BYTES_MAX];
        char changed[TEXT_BYTES_MAX * 2];
        size_t count = 0;
        snprintf(copy, sizeof copy, "%s", pairs[row].a);
        for (char *word = strtok(copy, " "); word != NULL && count < TEXT_WORDS_MAX;
             word = strtok(NULL, " "))
            words[count++] = word;
        for (size_t at = 0; at < count; at++)
            for (int mutation = 0; mutation < MUTATIONS; mutation++) {
                if (!is_content(words[at]) ||
                    (mutation == WORDS_MOVED && at + 1 < count && !is_content(words[at + 1])) ||
                    !mutate(words, count, at, (enum mutation)mutation, changed, sizeof changed))
                    continue;
                tried[mutation]++;
                if (judge(pairs[row].a, changed) == SL_CACHE_MATCH_NONE)
                    continue;
                accepted[mutation]++;
                printf("  accepted (%s): %s | %s\n", mutation_names[mutation], pairs[row].a,
                       changed);
            }
    }
    printf("%-16s %8s %8s\n", "mutation", "tried", "accepted");
    for (int mutation = 0; mutation < MUTATIONS; mutation++)
        printf("%-16s %8u %8u\n", mutation_names[mutation], tried[mutation], accepted[mutation]);
    for (int mutation = 0; mutation < MUTATIONS; mutation++) {
        ck_assert_uint_gt(tried[mutation], 0);
        ck_assert_uint_eq(accepted[mutation], 0);
    }
    free_pairs();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache_pairs");
    TCase *tcase = tcase_create("cache_pairs");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, surface_and_typo_hit_and_different_requests_do_not);
    tcase_add_test(tcase, every_change_of_what_is_asked_is_refused);
    tcase_add_test(tcase, a_claimed_meaning_is_still_checked_by_the_verifier);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
