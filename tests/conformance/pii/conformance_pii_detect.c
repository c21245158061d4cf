/* SPDX-License-Identifier: Apache-2.0
 *
 * Detection against every reference set, one table a file, with the targets of the project as
 * assertions. The detector has its defaults unless a test says otherwise.
 */
#include "pii_score.h"

#include "pii/id_checks.h"
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sl_pii_detector *make_detector(const struct sl_pii_rules *rules)
{
    struct sl_pii_detector *detector;
    struct sl_error error = {0};
    ck_assert_msg(sl_pii_detector_create(rules, &detector, &error) == SL_OK, "%s", error.message);
    return detector;
}

static void scan(const struct sl_pii_detector *detector, const struct pii_row *row,
                 struct sl_pii_spans *spans)
{
    struct sl_error error = {0};
    struct sl_slice text = {row->text, row->len};
    ck_assert_msg(sl_pii_scan(detector, text, spans, &error) == SL_OK, "%s: %s", row->id,
                  error.message);
}

static void score_file(const struct sl_pii_detector *detector, const char *name,
                       struct pii_scores *scores)
{
    struct pii_rows rows;
    struct sl_pii_spans spans = {0};
    pii_rows_read(name, &rows);
    for (size_t i = 0; i < rows.count; i++) {
        scan(detector, &rows.items[i], &spans);
        pii_score_row(scores, &rows.items[i], &spans, -1);
    }
    sl_pii_spans_clear(&spans);
    pii_rows_clear(&rows);
}

static void print_scores(const char *name, const struct pii_scores *scores)
{
    pii_print_heading(name);
    for (unsigned kind = 0; kind < SL_PII_TYPE_COUNT; kind++) {
        if (scores->kinds[kind].gold > 0 || scores->kinds[kind].predicted > 0)
            pii_print_kind(sl_pii_type_word((enum sl_pii_type)kind), &scores->kinds[kind]);
    }
    if (scores->clean > 0)
        printf("#   without personal data: %u rows, %u untouched\n", scores->clean,
               scores->untouched);
}

static void expect(const struct pii_scores *scores, enum sl_pii_type kind, double recall,
                   double precision)
{
    const struct pii_tally *tally = &scores->kinds[kind];
    ck_assert_msg(pii_recall(tally) >= recall, "%s: recall %.3f, wanted %.3f",
                  sl_pii_type_word(kind), pii_recall(tally), recall);
    ck_assert_msg(pii_precision(tally) >= precision, "%s: precision %.3f, wanted %.3f",
                  sl_pii_type_word(kind), pii_precision(tally), precision);
}

static void expect_structured(const struct pii_scores *scores)
{
    expect(scores, SL_PII_EMAIL, 0.99, 0.98);
    expect(scores, SL_PII_IP, 0.99, 0.98);
    expect(scores, SL_PII_MAC, 0.99, 0.98);
    expect(scores, SL_PII_CARD, 0.99, 0.98);
    expect(scores, SL_PII_IBAN, 0.99, 0.98);
    expect(scores, SL_PII_SSN, 0.99, 0.98);
    expect(scores, SL_PII_PHONE, 0.90, 0.90);
}

START_TEST(generated_sentences_are_found_in)
{
    static const char *const files[] = {"synth_v2.jsonl", "synth_large.jsonl"};
    struct sl_pii_rules rules;
    sl_pii_rules_init(&rules);
    struct sl_pii_detector *detector = make_detector(&rules);
    struct pii_scores scores = {0};
    score_file(detector, files[_i], &scores);
    print_scores(files[_i], &scores);
    expect_structured(&scores);
    expect(&scores, SL_PII_PERSON, 0.80, 0.80);
    expect(&scores, SL_PII_LOCATION, 0.60, 0.60);
    expect(&scores, SL_PII_ORG, 0.60, 0.60);
    sl_pii_detector_free(detector);
}
END_TEST

/* Real tweets and forum posts: no target is set for them, the table says where we stand. */
START_TEST(names_in_real_posts_are_counted)
{
    struct sl_pii_rules rules;
    sl_pii_rules_init(&rules);
    struct sl_pii_detector *detector = make_detector(&rules);
    struct pii_scores scores = {0};
    score_file(detector, "wnut17_dev.jsonl", &scores);
    print_scores("wnut17_dev.jsonl", &scores);
    ck_assert_uint_gt(scores.kinds[SL_PII_PERSON].overlap, 0);
    sl_pii_detector_free(detector);
}
END_TEST

START_TEST(hard_negatives_are_left_alone)
{
    struct sl_pii_rules rules;
    struct pii_rows rows;
    struct sl_pii_spans spans = {0};
    struct pii_scores must = {0};
    struct pii_scores stretch = {0};

    sl_pii_rules_init(&rules);
    struct sl_pii_detector *detector = make_detector(&rules);
    pii_rows_read("hard_cases.jsonl", &rows);
    for (size_t i = 0; i < rows.count; i++) {
        const struct pii_row *row = &rows.items[i];
        bool is_must = row->level != NULL && strcmp(row->level, "must") == 0;
        scan(detector, row, &spans);
        pii_score_row(is_must ? &must : &stretch, row, &spans, -1);
    }
    print_scores("hard_cases.jsonl, must", &must);
    print_scores("hard_cases.jsonl, stretch", &stretch);
    ck_assert_msg(must.untouched * 100 >= must.clean * 95, "%u of %u untouched", must.untouched,
                  must.clean);
    expect_structured(&must);
    sl_pii_spans_clear(&spans);
    pii_rows_clear(&rows);
    sl_pii_detector_free(detector);
}
END_TEST

START_TEST(telephones_are_told_from_look_alikes)
{
    struct pii_rows rows;
    struct sl_pii_spans spans = {0};
    struct pii_scores scores = {0};
    struct pii_scores plain = {0};
    struct sl_pii_rules rules;

    sl_pii_rules_init(&rules);
    struct sl_pii_detector *usual = make_detector(&rules);
    pii_rows_read("phone_cases.jsonl", &rows);
    for (size_t i = 0; i < rows.count; i++) {
        const struct pii_row *row = &rows.items[i];
        scan(usual, row, &spans);
        pii_score_row(&plain, row, &spans, SL_PII_PHONE);
        if (row->needs_region) { /* a national form is read where its region is configured */
            const char *region[] = {row->region};
            rules.phone_regions = region;
            rules.phone_region_count = 1;
            struct sl_pii_detector *there = make_detector(&rules);
            scan(there, row, &spans);
            sl_pii_detector_free(there);
        }
        pii_score_row(&scores, row, &spans, SL_PII_PHONE);
    }
    print_scores("phone_cases.jsonl", &scores);
    print_scores("phone_cases, no region", &plain);
    expect(&scores, SL_PII_PHONE, 0.97, 0.90);
    expect(&plain, SL_PII_PHONE, 0.90, 0.90);
    ck_assert_msg(plain.untouched * 100 >= plain.clean * 90, "%u of %u look-alikes untouched",
                  plain.untouched, plain.clean);
    sl_pii_spans_clear(&spans);
    pii_rows_clear(&rows);
    sl_pii_detector_free(usual);
}
END_TEST

/* Each row speaks of one kind; the detector runs for that kind alone, then with all kinds on, where
 * a number that has several readings is given as one of them. */
START_TEST(recognizer_cases_are_read_as_by_their_recognizers)
{
    static const char *const files[] = {"presidio_cases.jsonl", "context_cases.jsonl"};
    struct pii_rows rows;
    struct sl_pii_spans spans = {0};
    struct sl_pii_detector *detectors[SL_PII_TYPE_COUNT] = {NULL};
    struct pii_scores scores = {0};
    unsigned required = 0;
    unsigned exact = 0;

    pii_rows_read(files[_i], &rows);
    for (size_t i = 0; i < rows.count; i++) {
        const struct pii_row *row = &rows.items[i];
        enum sl_pii_type type;
        if (!row->is_canonical)
            continue;
        ck_assert_msg(sl_pii_type_parse(sl_slice_of(row->entity), &type), "%s: no kind %s", row->id,
                      row->entity);
        if (detectors[type] == NULL) {
            struct sl_pii_rules rules;
            sl_pii_rules_init(&rules);
            sl_pii_rules_disable_all(&rules);
            rules.types[type].is_on = true;
            detectors[type] = make_detector(&rules);
        }
        scan(detectors[type], row, &spans);
        pii_score_row(&scores, row, &spans, (int)type);
    }
    for (unsigned kind = 0; kind < SL_PII_TYPE_COUNT; kind++) {
        required += scores.kinds[kind].gold;
        exact += scores.kinds[kind].exact;
        sl_pii_detector_free(detectors[kind]);
    }
    print_scores(files[_i], &scores);
    printf("#   required spans found, exact bounds: %u of %u\n", exact, required);
    ck_assert_msg(exact * 100 >= required * 98, "%u of %u required spans", exact, required);
    ck_assert_msg(scores.untouched * 100 >= scores.clean * 98, "%u of %u negatives untouched",
                  scores.untouched, scores.clean);
    sl_pii_spans_clear(&spans);
    pii_rows_clear(&rows);
}
END_TEST

static bool is_covered(const struct pii_gold *gold, const struct sl_pii_spans *spans)
{
    for (size_t i = 0; i < spans->count; i++) {
        if (spans->items[i].kind == SL_PII_SECRET && spans->items[i].start <= gold->start &&
            spans->items[i].end >= gold->end)
            return true;
    }
    return false;
}

static bool has_secret(const struct sl_pii_spans *spans)
{
    for (size_t i = 0; i < spans->count; i++) {
        if (spans->items[i].kind == SL_PII_SECRET)
            return true;
    }
    return false;
}

START_TEST(secrets_are_covered_and_look_alikes_are_not)
{
    struct sl_pii_rules rules;
    struct pii_rows rows;
    struct sl_pii_spans spans = {0};
    unsigned specific[2] = {0};
    unsigned keyword[2] = {0};
    unsigned negative[2] = {0};

    sl_pii_rules_init(&rules);
    struct sl_pii_detector *detector = make_detector(&rules);
    pii_rows_read("secrets.jsonl", &rows);
    for (size_t i = 0; i < rows.count; i++) {
        const struct pii_row *row = &rows.items[i];
        unsigned *count = strcmp(row->level, "specific") == 0  ? specific
                          : strcmp(row->level, "keyword") == 0 ? keyword
                                                               : negative;
        if (count == negative && !row->is_canonical)
            continue;
        scan(detector, row, &spans);
        bool is_hit = count == negative ? has_secret(&spans) : row->gold_count > 0;
        for (size_t j = 0; j < row->gold_count; j++)
            is_hit = is_hit && is_covered(&row->gold[j], &spans);
        count[0] += is_hit;
        count[1]++;
    }
    printf("# secrets.jsonl: specific %u of %u, keyword %u of %u, negatives flagged %u of %u\n",
           specific[0], specific[1], keyword[0], keyword[1], negative[0], negative[1]);
    ck_assert_uint_ge(specific[0] * 100, specific[1] * 98);
    ck_assert_uint_ge(keyword[0] * 100, keyword[1] * 85);
    ck_assert_uint_le(negative[0] * 100, negative[1] * 3);
    sl_pii_spans_clear(&spans);
    pii_rows_clear(&rows);
    sl_pii_detector_free(detector);
}
END_TEST

/* A value as a validator gets it: upper case, no separators. */
static size_t plain_value(const char *value, char *out, size_t out_max)
{
    size_t len = 0;
    for (; *value != '\0' && len + 1 < out_max; value++) {
        char c = *value >= 'a' && *value <= 'z' ? (char)(*value - 32) : *value;
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'))
            out[len++] = c;
    }
    out[len] = '\0';
    return len;
}

START_TEST(check_digits_agree_with_the_tables)
{
    struct pii_rows rows;
    unsigned agreed = 0;
    unsigned total = 0;

    pii_rows_read("validators.jsonl", &rows);
    for (size_t i = 0; i < rows.count; i++) {
        const json_t *json = rows.items[i].json;
        const char *value = json_string_value(json_object_get(json, "value"));
        const json_t *valid = json_object_get(json, "valid");
        struct sl_pii_rules rules;
        struct sl_pii_spans spans = {0};
        enum sl_pii_type type;
        char plain[64];
        if (!sl_pii_type_parse(sl_slice_of(rows.items[i].entity), &type) || json_is_null(valid))
            continue;
        /* Through the detector: lengths and letters are its part of the check. */
        sl_pii_rules_init(&rules);
        sl_pii_rules_disable_all(&rules);
        rules.types[type].is_on = true;
        struct sl_pii_detector *detector = make_detector(&rules);
        struct sl_error error = {0};
        ck_assert_int_eq(sl_pii_scan(detector, sl_slice_of(value), &spans, &error), SL_OK);
        bool is_valid = spans.count == 1 && spans.items[0].is_validated &&
                        plain_value(value, plain, sizeof plain) > 0;
        total++;
        agreed += is_valid == json_is_true(valid);
        if (is_valid != json_is_true(valid))
            printf("#   %s differs on row %zu\n", rows.items[i].entity, i + 1);
        sl_pii_spans_clear(&spans);
        sl_pii_detector_free(detector);
    }
    printf("# validators.jsonl: %u of %u agree\n", agreed, total);
    ck_assert_msg(agreed * 100 >= total * 98, "%u of %u", agreed, total);
    pii_rows_clear(&rows);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pii detection");
    TCase *tcase = tcase_create("reference sets");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, generated_sentences_are_found_in, 0, 2);
    tcase_add_test(tcase, names_in_real_posts_are_counted);
    tcase_add_test(tcase, hard_negatives_are_left_alone);
    tcase_add_test(tcase, telephones_are_told_from_look_alikes);
    tcase_add_loop_test(tcase, recognizer_cases_are_read_as_by_their_recognizers, 0, 2);
    tcase_add_test(tcase, secrets_are_covered_and_look_alikes_are_not);
    tcase_add_test(tcase, check_digits_agree_with_the_tables);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
