/* SPDX-License-Identifier: Apache-2.0
 *
 * The stored calibration: what is written is read back, and what does not fit is refused.
 */
#include "calibration.h"

#include "sluice/crypto.h"
#include "test_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct sl_calibration made(void)
{
    struct sl_calibration calibration = {
        .answer = {.count = 2,
                   .ids = {SL_F_LOGPROB_MEAN, SL_F_TOKENS_LOG},
                   .weights = {1.25, -0.3},
                   .means = {-0.7, 2},
                   .deviations = {0.4, 0.9},
                   .bias = 0.1,
                   .knot_count = 3,
                   .knots_x = {0, 0.5, 1},
                   .knots_y = {0, 0.8, 1}},
        .prompt = {.count = 1,
                   .ids = {SL_F_PROMPT_LOGPROB},
                   .weights = {2},
                   .means = {-4},
                   .deviations = {1}},
        .risks = {{.risk = 0.05, .delta = 0.1, .threshold = 0.7, .coverage = 0.8, .answered = 900,
                   .wrong = 30},
                  {.risk = 0.01, .delta = 0.1, .threshold = 0.95, .coverage = 0.5, .answered = 500,
                   .wrong = 2}},
        .risk_count = 2,
        .rows = 2000,
    };
    memset(calibration.model_digest, 0xab, 32);
    return calibration;
}

static const char *in_scratch(const char *name)
{
    static const char *root; /* one folder a test: each runs in a process of its own */
    static char path[600];
    if (root == NULL)
        root = sl_test_scratch();
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

START_TEST(what_is_saved_is_read_back)
{
    struct sl_calibration saved = made(), *loaded;
    struct sl_error error = {0};
    double vector[SL_FEATURE_IDS] = {0};
    ck_assert_int_eq(sl_calibration_save(&saved, in_scratch("m.calibration.json"), &error), SL_OK);
    char model[600];
    snprintf(model, sizeof model, "%s", in_scratch("m.gguf"));
    ck_assert_msg(sl_calibration_open_beside(model, saved.model_digest, &loaded, &error) == SL_OK,
                  "%s", error.message);
    vector[SL_F_LOGPROB_MEAN] = -0.3;
    vector[SL_F_TOKENS_LOG] = 1.7;
    vector[SL_F_PROMPT_LOGPROB] = -4.5;
    ck_assert_double_eq(sl_calibration_score(loaded, SL_KIND_SHARED, vector),
                        sl_calibration_score(&saved, SL_KIND_SHARED, vector));
    ck_assert_double_eq(sl_calibration_prompt_score(loaded, SL_KIND_SHARED, vector),
                        sl_calibration_prompt_score(&saved, SL_KIND_SHARED, vector));
    ck_assert_mem_eq(loaded->risks, saved.risks, 2 * sizeof *saved.risks);
    ck_assert_uint_eq(loaded->rows, 2000);
    sl_calibration_free(loaded);
}
END_TEST

START_TEST(kinds_are_saved_and_read_back)
{
    struct sl_calibration saved = made(), *loaded;
    struct sl_error error = {0};
    double vector[SL_FEATURE_IDS] = {0};
    const char *const words[] = {"a \"quoted\" one", "negative", "positive"};
    const char *path = in_scratch("kinds.json");
    uint32_t moods, texts;
    ck_assert_int_eq(sl_kinds_add(&saved.kinds, "moods", false, words, 3, &moods), SL_OK);
    ck_assert_int_eq(sl_kinds_add(&saved.kinds, "texts", true, NULL, 0, &texts), SL_OK);
    saved.kinds.items[0].answer = (struct sl_kind_map){0.5, 0.4};
    saved.kinds.items[0].prompt = (struct sl_kind_map){1.5, -0.25};
    saved.kinds.items[0].rows = 151;
    saved.kinds.items[0].right = 128;
    ck_assert_int_eq(sl_calibration_save(&saved, path, &error), SL_OK);
    ck_assert_msg(sl_calibration_open(path, saved.model_digest, &loaded, &error) == SL_OK, "%s",
                  error.message);
    ck_assert_uint_eq(loaded->kinds.count, 2);
    const struct sl_kind *kind = &loaded->kinds.items[moods - 1];
    ck_assert_str_eq(kind->name, "moods");
    ck_assert_uint_eq(kind->label_count, 3);
    ck_assert_str_eq(kind->labels[0], words[0]);
    ck_assert_uint_eq(kind->rows, 151);
    ck_assert_uint_eq(kind->right, 128);
    ck_assert(loaded->kinds.items[texts - 1].is_text);
    vector[SL_F_LOGPROB_MEAN] = -0.3;
    vector[SL_F_PROMPT_LOGPROB] = -4.5;
    ck_assert_double_eq(sl_calibration_score(loaded, moods, vector),
                        sl_calibration_score(&saved, moods, vector));
    ck_assert_double_eq(sl_calibration_prompt_score(loaded, moods, vector),
                        sl_calibration_prompt_score(&saved, moods, vector));
    ck_assert_double_ne(sl_calibration_score(loaded, moods, vector),
                        sl_calibration_score(loaded, texts, vector));
    ck_assert_uint_eq(sl_kinds_of(&loaded->kinds, NULL), texts);
    sl_kinds_clear(&saved.kinds);
    sl_calibration_free(loaded);
}
END_TEST

START_TEST(the_best_score_of_a_kind_bounds_its_scores)
{
    struct sl_calibration calibration = made();
    const char *const words[] = {"no", "yes"};
    double low[SL_FEATURE_IDS] = {0}, high[SL_FEATURE_IDS] = {0}, vector[SL_FEATURE_IDS] = {0};
    uint32_t kind;
    ck_assert_int_eq(sl_kinds_add(&calibration.kinds, "k", false, words, 2, &kind), SL_OK);
    for (double slope = 0; slope <= 3; slope += 0.5) {
        calibration.kinds.items[0].answer = (struct sl_kind_map){slope, slope - 1};
        for (double at = -3; at <= 0; at += 0.05) {
            low[SL_F_LOGPROB_MEAN] = -3;
            high[SL_F_LOGPROB_MEAN] = 0;
            vector[SL_F_LOGPROB_MEAN] = at;
            ck_assert_double_le(sl_calibration_score(&calibration, kind, vector),
                                sl_calibration_score_max(&calibration, kind, low, high) + 1e-12);
        }
    }
    sl_kinds_clear(&calibration.kinds);
}
END_TEST

START_TEST(another_models_calibration_is_refused)
{
    struct sl_calibration saved = made(), *loaded;
    struct sl_error error = {0};
    uint8_t other[32] = {1};
    const char *path = in_scratch("c.json");
    ck_assert_int_eq(sl_calibration_save(&saved, path, &error), SL_OK);
    ck_assert_int_eq(sl_calibration_open(path, other, &loaded, &error), SL_ERR_INTEGRITY);
    ck_assert_ptr_null(loaded);
    ck_assert_ptr_nonnull(strstr(error.message, "another model"));
    ck_assert_int_eq(sl_calibration_open_beside("/nonexistent/m.gguf", other, &loaded, &error),
                     SL_ERR_NOT_FOUND);
}
END_TEST

START_TEST(the_gate_must_be_the_one_of_the_fit)
{
    struct sl_calibration saved = made(), *loaded;
    struct sl_error error = {0};
    char path[600];
    snprintf(path, sizeof path, "%s", in_scratch("c.json"));
    strcpy(saved.gate_file, "m.gate");
    ck_assert_int_eq(sl_calibration_save(&saved, path, &error), SL_OK);
    ck_assert_int_eq(sl_calibration_open(path, saved.model_digest, &loaded, &error), SL_ERR_IO);
    FILE *file = fopen(in_scratch("m.gate"), "w");
    fputs("SLGATE1\n", file);
    fclose(file);
    ck_assert_int_eq(sl_calibration_open(path, saved.model_digest, &loaded, &error),
                     SL_ERR_INTEGRITY);
    sl_sha256("SLGATE1\n", 8, saved.gate_digest);
    ck_assert_int_eq(sl_calibration_save(&saved, path, &error), SL_OK);
    ck_assert_int_eq(sl_calibration_open(path, saved.model_digest, &loaded, &error), SL_ERR_FORMAT);
}
END_TEST

START_TEST(a_risk_takes_the_lowest_threshold_that_holds_it)
{
    struct sl_calibration calibration = made();
    double threshold = -1;
    ck_assert(sl_calibration_threshold(&calibration, 0.05, &threshold));
    ck_assert_double_eq(threshold, 0.7);
    ck_assert(sl_calibration_threshold(&calibration, 0.02, &threshold)); /* by that of 1 % */
    ck_assert_double_eq(threshold, 0.95);
    ck_assert(!sl_calibration_threshold(&calibration, 0.005, &threshold));
    ck_assert(!sl_calibration_threshold(NULL, 0.5, &threshold));
}
END_TEST

START_TEST(the_map_rises_between_its_knots)
{
    struct sl_calibration calibration = made();
    double before = -1;
    for (double raw = -9; raw <= 9; raw += 0.1) {
        double now = sl_linear_map(&calibration.answer, raw);
        ck_assert_double_gt(now, before);
        before = now;
    }
    ck_assert_double_eq_tol(sl_linear_map(&calibration.answer, 0), 0.8, 1e-12);
    ck_assert(isnan(sl_linear_map(&calibration.answer, (double)NAN)));
}
END_TEST

static void refuses(const char *text, const char *message)
{
    struct sl_calibration *calibration;
    struct sl_error error = {0};
    ck_assert_int_eq(
        sl_calibration_parse("c.json", sl_slice_of(text), &calibration, &error), SL_ERR_FORMAT);
    ck_assert_msg(strstr(error.message, message) != NULL, "\"%s\" lacks \"%s\"", error.message,
                  message);
}

#define ABAB                                                                                       \
    "\"abababababababababababababababababababababababababababababababab\", \"rows\": 9"
#define HEAD "{\"sluice_calibration\":3, \"model_sha256\": " ABAB
#define HEAD_2 "{\"sluice_calibration\":2, \"model_sha256\": " ABAB
#define ANSWER                                                                                     \
    ", \"answer\": {\"bias\": 1, \"features\": [{\"name\": \"logprob_mean\", \"weight\": 1, "           \
    "\"mean\": 0, \"deviation\": 1}]}"
#define KIND(name, rest) ", \"kinds\": [{\"name\": \"" name "\", " rest "}]}"
#define MAPS ", \"rows\": 9, \"right\": 7, \"answer\": {\"slope\": 1, \"shift\": 0}, \"prompt\": "        \
             "{\"slope\": 1, \"shift\": 0}"

START_TEST(broken_files_are_refused_with_their_place)
{
    refuses("{", "c.json:1:2: expected a member name");
    refuses("[]", "expected an object, found an array");
    refuses("{\"sluice_calibration\": 1}", "format 2 or 3 (make a new file with `sluice calibrate`)");
    refuses("{\"sluice_calibration\": 4}", "format 2 or 3");
    refuses("{\"sluice_calibration\": 2.5}", "format 2 or 3");
    refuses(HEAD "}", "\"answer\" with at least one feature");
    refuses(HEAD ", \"answer\": {\"bias\": 0, \"features\": [{\"name\": \"nope\"}]}}",
            "answer.features[0].name: expected the name of a feature, found \"nope\"");
    refuses(HEAD ", \"answer\": {\"bias\": 0, \"features\": [{\"name\": \"logprob_mean\","
                 " \"weight\": 1, \"mean\": 0, \"deviation\": 0}]}}",
            "answer.features[0].deviation: expected a number between");
    refuses(HEAD ", \"answer\": {\"bias\": 0, \"features\": [], \"map\": [[0.5, 0.2], [0.4, 0.3]]}}",
            "answer.map[1]: expected [x, y], both rising");
    refuses(HEAD ", \"gate\": {\"file\": \"../x\", \"sha256\": \"00\"}}",
            "gate.file: expected the name of a file beside this one");
    refuses(HEAD ", \"risks\": [{\"risk\": 2}]}", "risks[0].risk: expected a number between 0 and 1");
}
END_TEST

START_TEST(a_file_of_the_format_before_kinds_has_shared_scores)
{
    struct sl_calibration *calibration;
    struct sl_error error = {0};
    double vector[SL_FEATURE_IDS] = {0};
    ck_assert_msg(sl_calibration_parse("c.json", SL_SLICE(HEAD_2 ANSWER "}"), &calibration,
                                       &error) == SL_OK, "%s", error.message);
    ck_assert_uint_eq(sl_kinds_of(&calibration->kinds, NULL), SL_KIND_SHARED);
    ck_assert_double_eq_tol(sl_calibration_score(calibration, SL_KIND_SHARED, vector),
                            1 / (1 + exp(-1.0)), 1e-12);
    sl_calibration_free(calibration);
}
END_TEST

START_TEST(kinds_that_lie_are_refused_with_their_place)
{
    refuses(HEAD_2 ANSWER KIND("k", "\"text\": true" MAPS), "no kinds in a file of this format");
    refuses(HEAD ANSWER KIND("k", "\"rows\": 1"), "either \"labels\" or \"text\": true");
    refuses(HEAD ANSWER KIND("k", "\"text\": true, \"labels\": [\"a\", \"b\"]" MAPS),
            "either \"labels\" or \"text\": true");
    refuses(HEAD ANSWER KIND("k", "\"labels\": [\"a\"]" MAPS), "a list of 2 to 1024 labels");
    refuses(HEAD ANSWER KIND("k", "\"labels\": [\"b\", \"a\"]" MAPS),
            "kinds[0].labels[1]: expected labels in order, each once");
    refuses(HEAD ANSWER KIND("k", "\"labels\": [\"a\", \"a\"]" MAPS), "each once");
    refuses(HEAD ANSWER KIND("k", "\"labels\": [\"a\", 1]" MAPS), "kinds[0].labels[1]");
    refuses(HEAD ANSWER KIND("", "\"text\": true" MAPS), "a name of up to 63 bytes");
    refuses(HEAD ANSWER KIND("k", "\"text\": true, \"rows\": 3, \"right\": 4"),
            "kinds[0].right: expected a number between 0 and 3");
    refuses(HEAD ANSWER KIND("k", "\"text\": true, \"rows\": 3, \"right\": 3, \"answer\": "
                                  "{\"slope\": -1, \"shift\": 0}"),
            "kinds[0].answer.slope: expected a number between 0 and 20");
    refuses(HEAD ANSWER KIND("k", "\"text\": true, \"rows\": 3, \"right\": 3, \"answer\": "
                                  "{\"slope\": 1, \"shift\": 99}"), "kinds[0].answer.shift");
    refuses(HEAD ANSWER ", \"kinds\": [{\"name\": \"a\", \"text\": true" MAPS
                        "}, {\"name\": \"b\", \"text\": true" MAPS "}]}",
            "kinds[1]: expected a kind that is not in the list already");
    refuses(HEAD ANSWER ", \"kinds\": 1}", "kinds: expected a list of up to 64 kinds");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calibration");
    TCase *tcase = tcase_create("calibration");
    tcase_add_test(tcase, what_is_saved_is_read_back);
    tcase_add_test(tcase, kinds_are_saved_and_read_back);
    tcase_add_test(tcase, the_best_score_of_a_kind_bounds_its_scores);
    tcase_add_test(tcase, a_file_of_the_format_before_kinds_has_shared_scores);
    tcase_add_test(tcase, kinds_that_lie_are_refused_with_their_place);
    tcase_add_test(tcase, another_models_calibration_is_refused);
    tcase_add_test(tcase, the_gate_must_be_the_one_of_the_fit);
    tcase_add_test(tcase, a_risk_takes_the_lowest_threshold_that_holds_it);
    tcase_add_test(tcase, the_map_rises_between_its_knots);
    tcase_add_test(tcase, broken_files_are_refused_with_their_place);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
