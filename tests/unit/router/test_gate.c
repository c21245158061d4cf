/* SPDX-License-Identifier: Apache-2.0
 *
 * The gate: training, its file, and scores.
 */
#include "gate.h"
#include "gate_text.h"

#include "test_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const labels[] = {"alarm_set", "light.on", "weather"};
static const char *const verbs[] = {"set an alarm for", "turn on the light in", "what is the weather in"};
static const char *const objects[] = {"seven", "the kitchen", "paris", "noon", "my room",
                                      "the garden", "london", "eight thirty"};

/* 24 texts, three labels. */
static size_t make_rows(char texts[24][64], struct sl_gate_row rows[24])
{
    size_t count = 0;
    for (uint32_t label = 0; label < 3; label++)
        for (size_t i = 0; i < 8; i++, count++) {
            snprintf(texts[count], 64, "%s %s", verbs[label], objects[i]);
            rows[count] = (struct sl_gate_row){sl_slice_of(texts[count]), label, 0};
        }
    return count;
}

static const char *train(const char *name, uint64_t seed)
{
    static char path[600];
    char texts[24][64];
    struct sl_gate_row rows[24];
    struct sl_error error = {0};
    struct sl_gate_training training = {
        .rows = rows, .labels = labels, .label_count = 3, .buckets = 1024, .seed = seed};
    training.row_count = make_rows(texts, rows);
    snprintf(path, sizeof path, "%s/%s", sl_test_scratch(), name);
    ck_assert_msg(sl_gate_train(&training, path, &error) == SL_OK, "%s", error.message);
    return path;
}

START_TEST(a_trained_gate_knows_its_labels_and_doubts_the_rest)
{
    struct sl_gate *gate;
    struct sl_error error = {0};
    struct sl_gate_result known, foreign;
    ck_assert_int_eq(sl_gate_open(train("a.gate", 1), NULL, &gate, &error), SL_OK);
    sl_gate_score(gate, SL_SLICE("Please turn ON the light in the cellar!"), &known);
    ck_assert_str_eq(sl_gate_label(gate, known.label), "light.on");
    sl_gate_score(gate, SL_SLICE("wether in rome"), &known); /* a typo and a new word */
    ck_assert_str_eq(sl_gate_label(gate, known.label), "weather");
    sl_gate_score(gate, SL_SLICE("prove that x^2 + 1 > 0"), &foreign);
    ck_assert_float_lt(known.entropy, foreign.entropy);
    ck_assert_float_lt(foreign.probability, known.probability);
    float probabilities[3], sum = 0;
    sl_gate_probabilities(gate, SL_SLICE("weather"), probabilities);
    for (int i = 0; i < 3; i++)
        sum += probabilities[i];
    ck_assert_float_eq_tol(sum, 1, 1e-5F);
    sl_gate_free(gate);
}
END_TEST

START_TEST(training_gives_the_same_bytes_again)
{
    size_t first_len, second_len;
    char *first = sl_test_read_file(train("a.gate", 1), &first_len);
    char *second = sl_test_read_file(train("b.gate", 1), &second_len);
    ck_assert_uint_eq(first_len, second_len);
    ck_assert_mem_eq(first, second, first_len);
    free(first);
    free(second);
}
END_TEST

START_TEST(texts_of_any_kind_are_scored)
{
    struct sl_gate *gate;
    struct sl_error error = {0};
    struct sl_gate_result result;
    static char huge[100000];
    memset(huge, 'a', sizeof huge);
    ck_assert_int_eq(sl_gate_open(train("a.gate", 1), NULL, &gate, &error), SL_OK);
    sl_gate_score(gate, (struct sl_slice){NULL, 0}, &result);
    ck_assert(isfinite(result.probability) && isfinite(result.margin));
    sl_gate_score(gate, (struct sl_slice){huge, sizeof huge}, &result);
    ck_assert(isfinite(result.entropy));
    sl_gate_score(gate, SL_SLICE("\xff\xfe\x00\x01 \xe4\xbd\xa0\xe5\xa5\xbd"), &result);
    ck_assert_float_ge(result.entropy, 0);
    ck_assert_float_le(result.entropy, 1.0001F);
    sl_gate_free(gate);
}
END_TEST

START_TEST(ngrams_ignore_case_and_punctuation_and_never_overflow)
{
    struct sl_gate_ngram a[SL_GATE_NGRAMS_MAX], b[SL_GATE_NGRAMS_MAX];
    size_t a_count = sl_gate_ngrams(SL_SLICE("Turn on, the Light!!"), 4096, a);
    size_t b_count = sl_gate_ngrams(SL_SLICE("  turn on the light "), 4096, b);
    ck_assert_uint_eq(a_count, b_count);
    ck_assert_mem_eq(a, b, a_count * sizeof *a);
    for (size_t i = 1; i < a_count; i++)
        ck_assert_uint_lt(a[i - 1].bucket, a[i].bucket);
    ck_assert_uint_eq(sl_gate_ngrams(SL_SLICE("?!"), 4096, a), 0);
    char words[3000]; /* one-letter words have the most n-grams a byte */
    for (size_t i = 0; i < sizeof words; i++)
        words[i] = i % 2 ? ' ' : 'x';
    ck_assert_uint_le(sl_gate_ngrams((struct sl_slice){words, sizeof words}, 4096, a),
                      SL_GATE_NGRAMS_MAX);
}
END_TEST

START_TEST(broken_files_are_refused)
{
    size_t len;
    struct sl_gate *gate;
    struct sl_error error = {0};
    char *bytes = sl_test_read_file(train("a.gate", 1), &len);
    ck_assert_int_eq(sl_gate_read(bytes, len, &gate, &error), SL_OK);
    sl_gate_free(gate);
    for (size_t cut = 0; cut < len; cut += cut < 200 ? 1 : 97)
        ck_assert_int_eq(sl_gate_read(bytes, cut, &gate, &error), SL_ERR_FORMAT);
    static const size_t places[] = {0, 8, 9, 11, 12, 15, 19, 20, 23}; /* magic and sizes */
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char kept = bytes[places[i]];
        bytes[places[i]] = (char)0xff;
        ck_assert_int_eq(sl_gate_read(bytes, len, &gate, &error), SL_ERR_FORMAT);
        bytes[places[i]] = kept;
    }
    uint8_t other[32] = {1};
    ck_assert_int_eq(sl_gate_open(train("a.gate", 1), other, &gate, &error), SL_ERR_INTEGRITY);
    ck_assert_int_eq(sl_gate_open("/nonexistent.gate", NULL, &gate, &error), SL_ERR_IO);
    free(bytes);
}
END_TEST

START_TEST(bad_training_is_refused)
{
    struct sl_gate_row row = {SL_SLICE("x"), 7, 0};
    struct sl_error error = {0};
    struct sl_gate_training training = {.labels = labels, .label_count = 3};
    ck_assert_int_eq(sl_gate_train(&training, "/dev/null", &error), SL_ERR_INVALID);
    training.rows = &row;
    training.row_count = 1;
    ck_assert_int_eq(sl_gate_train(&training, "/dev/null", &error), SL_ERR_INVALID);
    row.label = 0;
    training.buckets = 1000;
    ck_assert_int_eq(sl_gate_train(&training, "/dev/null", &error), SL_ERR_INVALID);
    training.buckets = 1024;
    training.label_count = 1;
    ck_assert_int_eq(sl_gate_train(&training, "/dev/null", &error), SL_ERR_INVALID);
}
END_TEST

START_TEST(a_label_is_found_in_an_answer_as_a_whole_word)
{
    struct sl_gate *gate;
    struct sl_error error = {0};
    ck_assert_int_eq(sl_gate_open(train("a.gate", 1), NULL, &gate, &error), SL_OK);
    ck_assert(sl_gate_names_label(gate, 0, SL_SLICE("{\"intent\":\"alarm_set\",\"slots\":{}}")));
    ck_assert(sl_gate_names_label(gate, 0, SL_SLICE("Alarm set for you")));
    ck_assert(sl_gate_names_label(gate, 1, SL_SLICE("light-on")));
    ck_assert(!sl_gate_names_label(gate, 0, SL_SLICE("{\"intent\":\"alarm_setting\"}")));
    ck_assert(!sl_gate_names_label(gate, 0, SL_SLICE("my_alarm_set")));
    ck_assert(!sl_gate_names_label(gate, 2, SL_SLICE("weathe")));
    ck_assert(!sl_gate_names_label(gate, 2, (struct sl_slice){NULL, 0}));
    sl_gate_free(gate);
}
END_TEST

START_TEST(a_schema_narrows_the_labels_to_those_that_it_names)
{
    struct sl_gate *gate;
    struct sl_error error = {0};
    struct sl_gate_scope scope;
    struct sl_gate_result all, narrow;
    float probabilities[3];
    ck_assert_int_eq(sl_gate_open(train("a.gate", 1), NULL, &gate, &error), SL_OK);
    json_t *schema = json_loads("{\"type\":\"object\",\"properties\":{\"intent\":{\"anyOf\":["
                                "{\"enum\":[\"weather\",\"unheard\",3]},"
                                "{\"const\":\"alarm_set\"}]}}}", 0, NULL);
    sl_gate_scope_schema(gate, schema, &scope);
    ck_assert_uint_eq(scope.count, 2);
    ck_assert(!sl_gate_scope_has(&scope, sl_gate_find_label(gate, SL_SLICE("light.on"))));
    struct sl_slice text = SL_SLICE("turn on the light in paris");
    sl_gate_score(gate, text, &all);
    sl_gate_score_in(gate, text, &scope, probabilities, &narrow);
    ck_assert_str_eq(sl_gate_label(gate, all.label), "light.on");
    ck_assert_str_ne(sl_gate_label(gate, narrow.label), "light.on");
    ck_assert_uint_eq(narrow.labels, 2);
    ck_assert_float_eq_tol(probabilities[0] + probabilities[1] + probabilities[2], 1, 1e-5F);
    ck_assert_float_eq(probabilities[sl_gate_find_label(gate, SL_SLICE("light.on"))], 0);
    json_decref(schema);
    schema = json_loads("{\"properties\":{\"a\":{\"enum\":[\"weather\",\"sun\"]}}}", 0, NULL);
    sl_gate_scope_schema(gate, schema, &scope); /* one label is no choice: some other enum */
    ck_assert_uint_eq(scope.count, 3);
    sl_gate_scope_schema(gate, NULL, &scope);
    ck_assert_uint_eq(scope.count, 3);
    ck_assert_uint_eq(sl_gate_find_label(gate, SL_SLICE("weathe")), UINT32_MAX);
    ck_assert_uint_eq(sl_gate_find_label(gate, SL_SLICE("weathers")), UINT32_MAX);
    json_decref(schema);
    sl_gate_free(gate);
}
END_TEST

START_TEST(foreign_rows_teach_doubt)
{
    char texts[24][64], path[600];
    struct sl_gate_row rows[48];
    struct sl_error error = {0};
    struct sl_gate *gate;
    struct sl_gate_result without, with;
    struct sl_slice foreign = SL_SLICE("prove the theorem of pythagoras");
    struct sl_gate_training training = {
        .rows = rows, .labels = labels, .label_count = 3, .buckets = 1024, .seed = 1};
    training.row_count = make_rows(texts, rows);
    snprintf(path, sizeof path, "%s/doubt.gate", sl_test_scratch());
    ck_assert_int_eq(sl_gate_train(&training, path, &error), SL_OK);
    ck_assert_int_eq(sl_gate_open(path, NULL, &gate, &error), SL_OK);
    sl_gate_score(gate, foreign, &without);
    sl_gate_free(gate);
    for (int i = 0; i < 24; i++)
        rows[training.row_count++] = (struct sl_gate_row){
            i % 2 ? SL_SLICE("prove the lemma of gauss") : SL_SLICE("explain the theorem of noether"),
            SL_GATE_FOREIGN, 0};
    ck_assert_int_eq(sl_gate_train(&training, path, &error), SL_OK);
    ck_assert_int_eq(sl_gate_open(path, NULL, &gate, &error), SL_OK);
    sl_gate_score(gate, foreign, &with);
    ck_assert_float_gt(with.entropy, without.entropy);
    sl_gate_free(gate);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gate");
    TCase *tcase = tcase_create("gate");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_trained_gate_knows_its_labels_and_doubts_the_rest);
    tcase_add_test(tcase, training_gives_the_same_bytes_again);
    tcase_add_test(tcase, texts_of_any_kind_are_scored);
    tcase_add_test(tcase, ngrams_ignore_case_and_punctuation_and_never_overflow);
    tcase_add_test(tcase, broken_files_are_refused);
    tcase_add_test(tcase, bad_training_is_refused);
    tcase_add_test(tcase, a_schema_narrows_the_labels_to_those_that_it_names);
    tcase_add_test(tcase, foreign_rows_teach_doubt);
    tcase_add_test(tcase, a_label_is_found_in_an_answer_as_a_whole_word);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
