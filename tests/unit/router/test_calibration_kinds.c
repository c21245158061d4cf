/* SPDX-License-Identifier: Apache-2.0
 *
 * Which kind a request is of, and that its map rises.
 */
#include "calibration_kinds.h"

#include "test_support.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

static struct sl_kinds kinds;
static uint32_t moods, lights, cars, texts;

static void make_kinds(void)
{
    static const char *const mood_words[] = {"negative", "positive"};
    static const char *const light_words[] = {"dim", "off", "on", "stop", "up"};
    static const char *const car_words[] = {"go", "left", "right", "stop"};
    memset(&kinds, 0, sizeof kinds);
    ck_assert_int_eq(sl_kinds_add(&kinds, "moods", false, mood_words, 2, &moods), SL_OK);
    ck_assert_int_eq(sl_kinds_add(&kinds, "lights", false, light_words, 5, &lights), SL_OK);
    ck_assert_int_eq(sl_kinds_add(&kinds, "cars", false, car_words, 4, &cars), SL_OK);
    ck_assert_int_eq(sl_kinds_add(&kinds, "texts", true, NULL, 0, &texts), SL_OK);
    ck_assert_int_eq(sl_kinds_index(&kinds), SL_OK);
}

static void drop_kinds(void) { sl_kinds_clear(&kinds); }

static uint32_t kind_of(const char *schema)
{
    json_t *parsed = json_loads(schema, 0, NULL);
    ck_assert_ptr_nonnull(parsed);
    uint32_t kind = sl_kinds_of(&kinds, parsed);
    json_decref(parsed);
    return kind;
}

#define ENUM(words) "{\"properties\": {\"x\": {\"enum\": [" words "]}}}"

START_TEST(a_request_is_of_the_kind_whose_labels_it_allows)
{
    ck_assert_uint_eq(kind_of(ENUM("\"positive\", \"negative\"")), moods);
    ck_assert_uint_eq(kind_of(ENUM("\"up\", \"on\", \"off\", \"dim\", \"stop\"")), lights);
    ck_assert_uint_eq(
        kind_of("{\"anyOf\": [{\"const\": \"left\"}, {\"const\": \"right\"}, {\"const\": 3}]}"), cars);
}
END_TEST

START_TEST(a_part_of_the_labels_is_enough_and_strangers_among_them_are_not_most)
{
    ck_assert_uint_eq(kind_of(ENUM("\"on\", \"off\"")), lights);
    ck_assert_uint_eq(kind_of(ENUM("\"positive\", \"negative\", \"neutral\"")), moods);
    ck_assert_uint_eq(kind_of(ENUM("\"positive\", \"negative\", \"a\", \"b\"")), SL_KIND_SHARED);
    ck_assert_uint_eq(kind_of(ENUM("\"stop\", \"go\", \"on\"")), cars); /* both have two; cars are fewer */
}
END_TEST

START_TEST(other_labels_one_label_and_free_strings_are_of_no_kind)
{
    ck_assert_uint_eq(kind_of(ENUM("\"red\", \"green\"")), SL_KIND_SHARED);
    ck_assert_uint_eq(kind_of(ENUM("\"stop\"")), SL_KIND_SHARED);
    ck_assert_uint_eq(kind_of("{\"type\": \"object\"}"), SL_KIND_SHARED);
    ck_assert_uint_eq(kind_of("{\"enum\": 3, \"const\": [\"on\", \"off\"]}"), SL_KIND_SHARED);
}
END_TEST

START_TEST(a_request_without_a_form_is_of_the_kind_of_texts_where_there_is_one)
{
    struct sl_kinds none = {.count = 0};
    ck_assert_uint_eq(sl_kinds_of(&kinds, NULL), texts);
    ck_assert_uint_eq(sl_kinds_of(&none, NULL), SL_KIND_SHARED);
}
END_TEST

START_TEST(the_smaller_of_two_kinds_that_fit_alike_is_taken)
{
    static const char *const more[] = {"negative", "neutral", "positive"};
    uint32_t wide;
    ck_assert_int_eq(sl_kinds_add(&kinds, "wide", false, more, 3, &wide), SL_OK);
    ck_assert_int_eq(sl_kinds_index(&kinds), SL_OK);
    ck_assert_uint_eq(kind_of(ENUM("\"positive\", \"negative\"")), moods);
    ck_assert_uint_eq(kind_of(ENUM("\"positive\", \"neutral\", \"negative\"")), wide);
}
END_TEST

START_TEST(an_equal_kind_is_not_added_twice_and_sixty_four_are_enough)
{
    static const char *const words[] = {"negative", "positive"};
    uint32_t again, kind;
    ck_assert_int_eq(sl_kinds_add(&kinds, "other name", false, words, 2, &again), SL_OK);
    ck_assert_uint_eq(again, moods);
    for (size_t i = kinds.count; i < SL_KINDS_MAX; i++) {
        char a[16], b[16];
        snprintf(a, sizeof a, "a%zu", i);
        snprintf(b, sizeof b, "b%zu", i);
        ck_assert_int_eq(sl_kinds_add(&kinds, a, false, (const char *[]){a, b}, 2, &kind), SL_OK);
    }
    ck_assert_int_eq(sl_kinds_add(&kinds, "one more", false, (const char *[]){"y", "z"}, 2, &kind),
                     SL_ERR_LIMIT);
}
END_TEST

START_TEST(a_map_rises_and_the_shared_one_changes_nothing)
{
    double before = -1;
    kinds.items[moods - 1].answer = (struct sl_kind_map){0.5, 0.4};
    for (double p = 0; p <= 1; p += 0.001) {
        double now = sl_kinds_answer(&kinds, moods, p);
        ck_assert_double_ge(now, before);
        ck_assert(now > 0 && now < 1);
        ck_assert_double_eq(sl_kinds_answer(&kinds, lights, p), p);
        ck_assert_double_eq(sl_kinds_answer(&kinds, SL_KIND_SHARED, p), p);
        ck_assert_double_eq(sl_kinds_prompt(&kinds, moods, p), p);
        before = now;
    }
    /* logit 0.9 = 2.197; half of that and 0.4 is 1.4986 */
    ck_assert_double_eq_tol(sl_kinds_answer(&kinds, moods, 0.9), 1 / (1 + exp(-1.498612)), 1e-6);
    ck_assert(isnan(sl_kinds_answer(&kinds, moods, (double)NAN)));
    ck_assert_double_eq(sl_kinds_answer(&kinds, 999, 0.3), 0.3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kinds");
    TCase *tcase = tcase_create("kinds");
    tcase_add_checked_fixture(tcase, make_kinds, drop_kinds);
    tcase_add_test(tcase, a_request_is_of_the_kind_whose_labels_it_allows);
    tcase_add_test(tcase, a_part_of_the_labels_is_enough_and_strangers_among_them_are_not_most);
    tcase_add_test(tcase, other_labels_one_label_and_free_strings_are_of_no_kind);
    tcase_add_test(tcase, a_request_without_a_form_is_of_the_kind_of_texts_where_there_is_one);
    tcase_add_test(tcase, the_smaller_of_two_kinds_that_fit_alike_is_taken);
    tcase_add_test(tcase, an_equal_kind_is_not_added_twice_and_sixty_four_are_enough);
    tcase_add_test(tcase, a_map_rises_and_the_shared_one_changes_nothing);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
