/* SPDX-License-Identifier: Apache-2.0
 *
 * The look-up by meaning with the shipped model, against data/cache_pairs.jsonl: every text goes
 * through the engine for its intent and calibrated confidence, as in the walk; then each `a` is
 * stored with its meaning and each `b` asked with its own. A text below the confidence has none.
 *
 * Targets of the issue: no false hit on antonym_swap, at most 0.3 % over all pairs that must not
 * hit, and paraphrase_noarg at least 60 %, "else it stays off". So the first two are demanded of
 * every model, since an operator may turn the tier on; where the third is missed, the test demands
 * that the built-in policy leaves it off, and says so.
 *
 * SLUICE_PAIRS_ALL=1 takes every pair instead of every PAIRS_STEP-th of each kind;
 * SLUICE_SHOW_MISSES=1 lists the paraphrases that missed.
 */
#include "label_prior.h"
#include "lookup_meaning.h"
#include "pairs.h"

#include "sluice/clock.h"
#include "sluice/policy.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIDENCE_MIN 0.95  /* of the issue, and the policy's default similar_threshold */
#define PAIRS_STEP 12        /* 650 of 7,770 pairs: half a minute with sanitizers */
#define HELD_OUT_OF_LABEL 10 /* of 20 rows */
#define TEXT_TIMEOUT_MS 20000

static struct sl_engine *engine;
static struct sl_calibration *calibration;
static struct sl_label_prior *prior;
static json_t *meanings; /* text: intent, or "" where the model is not sure; texts occur often */

static void open_model(void)
{
    struct sl_engine_config config = {.model_path = DEFAULT_MODEL, .threads = 1};
    struct sl_error error = {0};
    if (sl_engine_open(&config, &engine, &error) != SL_OK)
        sl_test_skip("no default model: %s", error.message);
    enum sl_err err = sl_calibration_open_beside(DEFAULT_MODEL, sl_engine_info(engine)->digest,
                                                 &calibration, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    ck_assert_int_eq(sl_label_prior_create(engine, calibration, &prior), SL_OK);
    meanings = json_object();
}

static void close_model(void)
{
    json_decref(meanings);
    sl_label_prior_free(prior);
    sl_calibration_free(calibration);
    sl_engine_close(engine);
}

/* The intent that the model is sure of, or "". Valid until the model is closed. */
static const char *meaning_of(const char *text)
{
    const json_t *known = json_object_get(meanings, text);
    if (known == NULL) {
        const struct sl_meaning_model model = {engine, calibration, prior};
        struct sl_meaning meaning;
        ck_assert(sl_meaning_is_ready(&model));
        bool is_sure = sl_meaning_read(&model, sl_slice_of(text),
                                       sl_monotonic_ms() + TEXT_TIMEOUT_MS, &meaning) &&
                       meaning.confidence >= CONFIDENCE_MIN;
        json_object_set_new(meanings, text, json_string(is_sure ? meaning.intent : ""));
        known = json_object_get(meanings, text);
    }
    return json_string_value(known);
}

static struct sl_cache_similar_text text_of(struct sl_cache *cache, size_t row, const char *text)
{
    struct sl_cache_similar_text similar = pairs_text(cache, row, text);
    similar.meaning = sl_slice_of(meaning_of(text));
    return similar;
}

static void store_all(struct sl_cache *cache, const struct pairs *pairs)
{
    struct sl_error error = {0};
    for (size_t i = 0; i < pairs->count; i++) {
        struct sl_cache_similar_text text = text_of(cache, i, pairs->rows[i].a);
        pairs_store(cache, i, &text);
    }
    ck_assert_int_eq(sl_cache_flush(cache, &error), SL_OK);
}

static void ask_all(struct sl_cache *cache, struct pairs *pairs)
{
    struct sl_cache_want want = {.now_s = PAIRS_NOW_S, .max_age_s = SL_CACHE_ANY_AGE};
    for (size_t i = 0; i < pairs->count; i++) {
        const struct pair *pair = &pairs->rows[i];
        struct pair_kind *kind = &pairs->kinds[pair->kind];
        struct sl_cache_similar_text text = text_of(cache, i, pair->b);
        struct sl_cache_entry entry;
        enum sl_cache_match match;
        kind->pairs++;
        if (sl_cache_similar(cache, &text, &want, &entry, &match) == SL_CACHE_HIT) {
            kind->hits[match]++;
            if (!kind->must_hit)
                printf("  false hit (%s): %s | %s\n", sl_cache_match_name(match), pair->a, pair->b);
        } else if (kind->must_hit && getenv("SLUICE_SHOW_MISSES") != NULL) {
            printf("  miss (%s, %s, %s): %s | %s\n", kind->name, meaning_of(pair->a),
                   meaning_of(pair->b), pair->a, pair->b);
        }
        sl_cache_entry_clear(&entry);
    }
}

static bool default_policy_is_semantic(void)
{
    const struct sl_policy *policy;
    struct sl_error error = {0};
    bool is_semantic = false;
    ck_assert_int_eq(sl_policy_default(&policy, &error), SL_OK);
    for (size_t i = 0; i < sl_policy_route_count(policy); i++)
        is_semantic |= sl_policy_route(policy, i)->cache.similar == SL_CACHE_SIMILAR_SEMANTIC;
    sl_policy_release(policy);
    return is_semantic;
}

static void run_pairs(struct pairs *pairs)
{
    struct sl_cache *cache = pairs_open_cache();
    store_all(cache, pairs);
    ask_all(cache, pairs);
    sl_cache_close(cache);
}

START_TEST(the_shipped_model_finds_paraphrases_and_nothing_that_differs)
{
    struct pairs pairs;
    unsigned false_hits;
    unsigned must_miss;
    pairs_load(&pairs, getenv("SLUICE_PAIRS_ALL") != NULL ? 1 : PAIRS_STEP);
    open_model();
    run_pairs(&pairs);
    close_model();
    pairs_print(&pairs, "similar prompts with the default model's meaning", &false_hits,
                &must_miss);
    const struct pair_kind *paraphrase = pairs_kind(&pairs, "paraphrase_noarg");
    bool is_worth_it = 100 * pairs_hits(paraphrase) >= 60 * paraphrase->pairs;
    printf("paraphrases without arguments: %u of %u, target 60 %%: %s\n", pairs_hits(paraphrase),
           paraphrase->pairs,
           is_worth_it ? "reached, the tier may be on" : "missed, the tier stays off");
    ck_assert_uint_eq(pairs_hits(pairs_kind(&pairs, "antonym_swap")), 0);
    ck_assert_uint_le(1000 * false_hits, 3 * must_miss);
    ck_assert(is_worth_it || !default_policy_is_semantic());
    pairs_free(&pairs);
}
END_TEST

/* ---- texts that it was not trained on -------------------------------------------------------- */

struct held_out {
    struct pairs pairs; /* neighbouring rows of one intent */
    unsigned rows;
    unsigned named; /* with a meaning */
    unsigned wrong; /* with one that is not theirs */
    char text[512];
    char label[SL_MEANING_BYTES]; /* of the row before */
};

static void add_neighbours(struct held_out *held, const char *text, const char *label)
{
    struct pairs *pairs = &held->pairs;
    if (strcmp(label, held->label) == 0) {
        pairs->rows = realloc(pairs->rows, (pairs->count + 1) * sizeof *pairs->rows);
        pairs->rows[pairs->count++] = (struct pair){.a = strdup(held->text), .b = strdup(text)};
    }
    snprintf(held->text, sizeof held->text, "%s", text);
    snprintf(held->label, sizeof held->label, "%s", label);
}

static void take_row(struct held_out *held, const char *text, const char *label)
{
    const char *meaning = meaning_of(text);
    held->rows++;
    held->named += meaning[0] != '\0';
    if (meaning[0] != '\0' && strcmp(meaning, label) != 0) {
        held->wrong++;
        printf("  wrong meaning (%s for %s): %s\n", meaning, label, text);
    }
    if (sl_meaning_is_plain(label))
        add_neighbours(held, text, label);
}

/* The validation rows of CLINC150, those out of scope too: the first HELD_OUT_OF_LABEL of each
 * intent that has a meaning, and every PAIRS_STEP-th of the others. They stand intent by intent. */
static void read_held_out(struct held_out *held)
{
    char *line = NULL;
    size_t size = 0;
    size_t seen = 0;
    size_t of_label = 0;
    char last[SL_MEANING_BYTES] = "";
    FILE *file = fopen(sl_test_reference("data/intent_clinc150.jsonl"), "r");
    ck_assert_ptr_nonnull(file);
    *held = (struct held_out){
        .pairs = {.kind_count = 1, .kinds = {{.name = "same intent", .must_hit = true}}}};
    while (getline(&line, &size, file) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        const char *label = json_string_value(json_object_get(row, "label"));
        if (strcmp(json_string_value(json_object_get(row, "split")), "val") == 0) {
            of_label = strcmp(label, last) == 0 ? of_label + 1 : 0;
            snprintf(last, sizeof last, "%s", label);
            if (sl_meaning_is_plain(label) ? of_label < HELD_OUT_OF_LABEL
                                           : seen++ % PAIRS_STEP == 0)
                take_row(held, json_string_value(json_object_get(row, "text")), label);
        }
        json_decref(row);
    }
    free(line);
    fclose(file);
    ck_assert_uint_gt(held->pairs.count, 0);
}

START_TEST(texts_that_it_was_not_trained_on_get_no_meaning_that_is_not_theirs)
{
    static struct held_out held;
    unsigned false_hits;
    unsigned must_miss;
    open_model();
    read_held_out(&held);
    run_pairs(&held.pairs);
    close_model();
    pairs_print(&held.pairs, "validation part of CLINC150, neighbours of one intent", &false_hits,
                &must_miss);
    printf("meanings: %u of %u rows, %u wrong (%.2f%%)\n", held.named, held.rows, held.wrong,
           100.0 * held.wrong / held.rows);
    ck_assert_uint_gt(pairs_hits(&held.pairs.kinds[0]), 0);
    ck_assert_uint_le(100 * held.wrong, held.rows);
    pairs_free(&held.pairs);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache_meaning");
    TCase *tcase = tcase_create("cache_meaning");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, the_shipped_model_finds_paraphrases_and_nothing_that_differs);
    tcase_add_test(tcase, texts_that_it_was_not_trained_on_get_no_meaning_that_is_not_theirs);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
