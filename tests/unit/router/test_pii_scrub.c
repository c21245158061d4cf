/* SPDX-License-Identifier: Apache-2.0 */
#include "pii/vault.h"
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sl_pii_rules rules;
static struct sl_pii_report report;
static struct sl_error error;

static void set_up(void)
{
    sl_pii_rules_init(&rules);
    rules.note = "";
    memset(&error, 0, sizeof error);
}

static struct sl_pii_detector *make_detector(void)
{
    struct sl_pii_detector *detector;
    ck_assert_msg(sl_pii_detector_create(&rules, &detector, &error) == SL_OK, "%s", error.message);
    return detector;
}

/* The scrubbed form of a request as compact JSON; free() it. NULL where the verdict keeps it. */
static char *scrub(const char *request, struct sl_vault *vault)
{
    struct sl_pii_detector *detector = make_detector();
    json_t *json = json_loads(request, 0, NULL);
    json_t *before = json_deep_copy(json);
    json_t *scrubbed = NULL;
    ck_assert_ptr_nonnull(json);
    ck_assert_msg(sl_pii_scrub(detector, json, vault, &scrubbed, &report, &error) == SL_OK, "%s",
                  error.message);
    ck_assert(json_equal(json, before));
    char *text = scrubbed != NULL ? json_dumps(scrubbed, JSON_COMPACT) : NULL;
    json_decref(scrubbed);
    json_decref(before);
    json_decref(json);
    sl_pii_detector_free(detector);
    return text;
}

static void scrubs(const char *request, const char *expected)
{
    struct sl_vault *vault = sl_vault_create();
    char *text = scrub(request, vault);
    ck_assert_str_eq(text, expected);
    free(text);
    sl_vault_free(vault);
}

START_TEST(a_request_without_finds_is_passed_as_it_is)
{
    struct sl_pii_detector *detector = make_detector();
    struct sl_vault *vault = sl_vault_create();
    json_t *request = json_pack("{s:s,s:[{s:s,s:s}]}", "model", "auto", "messages", "role", "user",
                                "content", "what is a monad?");
    json_t *scrubbed;
    ck_assert_int_eq(sl_pii_scrub(detector, request, vault, &scrubbed, &report, &error), SL_OK);
    ck_assert_ptr_eq(scrubbed, request);
    ck_assert_uint_eq(sl_vault_count(vault), 0);
    json_decref(scrubbed);
    json_decref(request);
    sl_vault_free(vault);
    sl_pii_detector_free(detector);
}
END_TEST

START_TEST(every_string_that_leaves_is_scrubbed_and_keys_stay)
{
    scrubs("{\"model\":\"a@b.org\",\"user\":\"u@x.org\",\"metadata\":{\"k@x.org\":\"m@x.org\"},"
           "\"messages\":[{\"role\":\"system\",\"content\":\"s@x.org\"},"
           "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"p@x.org\"},"
           "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,iVBORw0KGgo=\"}}]},"
           "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"t@x.org\"}],"
           "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":"
           "\"d@x.org\",\"parameters\":{\"type\":\"object\",\"properties\":{\"q\":{\"type\":"
           "\"string\",\"enum\":[\"e@x.org\"],\"default\":\"f@x.org\"}},\"required\":[\"q\"]}}}]}",
           "{\"model\":\"a@b.org\",\"user\":\"<EMAIL_1>\",\"metadata\":{\"k@x.org\":\"<EMAIL_2>\"},"
           "\"messages\":[{\"role\":\"system\",\"content\":\"<EMAIL_6>\"},"
           "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"<EMAIL_7>\"},"
           "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,iVBORw0KGgo=\"}}]},"
           "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"<EMAIL_8>\"}],"
           "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":"
           "\"<EMAIL_3>\",\"parameters\":{\"type\":\"object\",\"properties\":{\"q\":{\"type\":"
           "\"string\",\"enum\":[\"<EMAIL_4>\"],\"default\":\"<EMAIL_5>\"}},\"required\":[\"q\"]}}}"
           "]}");
}
END_TEST

/* What only looks like something that steers the provider, or like a file, is text all the same. */
START_TEST(nothing_is_skipped_for_how_it_begins_or_what_it_is_called)
{
    scrubs("{\"messages\":[{\"role\":\"user\",\"content\":\"data: a@x.org\"},"
           "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
           "\"data:text/plain,b@x.org\"}},{\"type\":\"file\",\"file\":{\"file_data\":"
           "\"c@x.org\"}}]},{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"1\",\"function\":"
           "{\"name\":\"f\",\"arguments\":{\"id\":\"d@x.org\",\"mode\":[\"e@x.org\"]}}}]}]}",
           "{\"messages\":[{\"role\":\"user\",\"content\":\"data: <EMAIL_1>\"},"
           "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
           "\"data:text/plain,<EMAIL_2>\"}},{\"type\":\"file\",\"file\":{\"file_data\":"
           "\"<EMAIL_3>\"}}]},{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"1\",\"function\":"
           "{\"name\":\"f\",\"arguments\":{\"id\":\"<EMAIL_4>\",\"mode\":[\"<EMAIL_5>\"]}}}]}]}");
}
END_TEST

START_TEST(tool_call_arguments_are_decoded_scrubbed_and_encoded)
{
    scrubs("{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"1\",\"type\":"
           "\"function\",\"function\":{\"name\":\"send\",\"arguments\":"
           "\"{ \\\"to\\\": \\\"anna\\\\u0040x.org\\\", \\\"a@x.org\\\": 1, \\\"card\\\": "
           "4111111111111111}\"}}]},{\"role\":\"user\",\"content\":\"anna@x.org\"}]}",
           "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"1\",\"type\":"
           "\"function\",\"function\":{\"name\":\"send\",\"arguments\":"
           "\"{ \\\"to\\\": \\\"<EMAIL_1>\\\", \\\"a@x.org\\\": 1, \\\"card\\\": "
           "\\\"<CARD_1>\\\"}\"}}]},{\"role\":\"user\",\"content\":\"<EMAIL_1>\"}]}");
}
END_TEST

START_TEST(the_name_of_a_message_gets_a_placeholder_without_brackets)
{
    rules.types[SL_PII_PERSON].is_on = true;
    scrubs("{\"messages\":[{\"role\":\"user\",\"name\":\"u@x.org\",\"content\":\"u@x.org\"}]}",
           "{\"messages\":[{\"role\":\"user\",\"name\":\"EMAIL_1\",\"content\":\"<EMAIL_1>\"}]}");
}
END_TEST

START_TEST(numbers_that_the_payload_has_literally_are_left_out)
{
    scrubs(
        "{\"messages\":[{\"role\":\"user\",\"content\":\"<email_1> EMAIL_2 [EMAIL 3] a@x.org\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"<email_1> EMAIL_2 [EMAIL 3] "
        "<EMAIL_4>\"}]}");
}
END_TEST

START_TEST(numbers_stay_when_the_history_grows)
{
    struct sl_vault *first = sl_vault_create();
    struct sl_vault *second = sl_vault_create();
    char *one = scrub("{\"messages\":[{\"role\":\"user\",\"content\":\"a@x.org b@x.org\"}],"
                      "\"user\":\"c@x.org\"}",
                      first);
    char *two = scrub("{\"messages\":[{\"role\":\"user\",\"content\":\"a@x.org b@x.org\"},"
                      "{\"role\":\"user\",\"content\":\"d@x.org b@x.org\"}],\"user\":\"c@x.org\"}",
                      second);
    ck_assert_ptr_nonnull(strstr(one, "<EMAIL_2> <EMAIL_3>"));
    ck_assert_ptr_nonnull(strstr(two, "<EMAIL_2> <EMAIL_3>"));
    ck_assert_ptr_nonnull(strstr(two, "<EMAIL_4> <EMAIL_3>"));
    free(one);
    free(two);
    sl_vault_free(first);
    sl_vault_free(second);
}
END_TEST

START_TEST(block_wins_over_keep_local_and_nothing_is_given_out)
{
    struct sl_vault *vault = sl_vault_create();
    rules.types[SL_PII_EMAIL].action = SL_PII_KEEP_LOCAL;
    ck_assert_ptr_null(scrub("{\"messages\":[{\"content\":\"a@x.org\"}]}", vault));
    ck_assert_int_eq(report.verdict, SL_PII_VERDICT_KEEP_LOCAL);
    rules.types[SL_PII_CARD].action = SL_PII_BLOCK;
    ck_assert_ptr_null(scrub("{\"messages\":[{\"content\":\"a@x.org 4111111111111111\"}]}", vault));
    ck_assert_int_eq(report.verdict, SL_PII_VERDICT_BLOCK);
    ck_assert_int_eq(report.verdict_kind, SL_PII_CARD);
    ck_assert_uint_eq(sl_vault_count(vault), 0);
    sl_vault_free(vault);
}
END_TEST

START_TEST(actions_decide_what_stands_in_the_place)
{
    struct sl_vault *vault = sl_vault_create();
    struct sl_slice value;
    rules.types[SL_PII_EMAIL].action = SL_PII_REDACT;
    rules.types[SL_PII_CARD].action = SL_PII_KEEP_LAST;
    rules.types[SL_PII_IP].action = SL_PII_ALLOW;
    rules.types[SL_PII_MAC].action = SL_PII_NEVER_RESTORE;
    char *text = scrub("{\"messages\":[{\"content\":\"a@x.org, 4111-1111-1111-1111, 192.0.2.7, "
                       "00:1A:2B:3C:4D:5E\"}]}",
                       vault);
    ck_assert_str_eq(text, "{\"messages\":[{\"content\":\"[EMAIL], ****-****-****-1111, 192.0.2.7, "
                           "<MAC_1>\"}]}");
    ck_assert(!sl_vault_find(vault, SL_SLICE("<MAC_1>"), &value));
    ck_assert_uint_eq(report.found_count, 4);
    ck_assert_uint_eq(report.masked_count, 3);
    free(text);
    sl_vault_free(vault);
}
END_TEST

START_TEST(a_name_found_once_is_masked_wherever_it_comes_again)
{
    struct sl_vault *vault = sl_vault_create();
    char *text = scrub("{\"messages\":[{\"content\":\"My name is Zyxandra Quorlbeth.\"},"
                       "{\"content\":\"ok, Quorlbeth then\"}]}",
                       vault);
    ck_assert_ptr_null(strstr(text, "Quorlbeth"));
    free(text);
    sl_vault_free(vault);
}
END_TEST

START_TEST(the_note_stands_behind_the_clients_system_messages)
{
    struct sl_vault *vault = sl_vault_create();
    rules.note = "Copy placeholders.";
    char *text = scrub("{\"messages\":[{\"role\":\"system\",\"content\":\"Be kind.\"},"
                       "{\"role\":\"user\",\"content\":\"a@x.org\"}]}",
                       vault);
    ck_assert_str_eq(text, "{\"messages\":[{\"role\":\"system\",\"content\":\"Be kind.\"},"
                           "{\"role\":\"system\",\"content\":\"Copy placeholders.\"},"
                           "{\"role\":\"user\",\"content\":\"<EMAIL_1>\"}]}");
    free(text);
    sl_vault_free(vault);
}
END_TEST

START_TEST(disguised_digits_are_found_and_the_bytes_come_back)
{
    /* Full-width digits, no-break blanks, a zero-width blank. */
    struct sl_vault *vault = sl_vault_create();
    struct sl_slice value;
    char *text = scrub("{\"messages\":[{\"content\":\"\xEF\xBC\x94"
                       "111\xC2\xA0"
                       "1111 1111 1111"
                       " a\xE2\x80\x8B"
                       "nna@x.org\"}]}",
                       vault);
    ck_assert_str_eq(text, "{\"messages\":[{\"content\":\"<CARD_1> <EMAIL_1>\"}]}");
    ck_assert(sl_vault_find(vault, SL_SLICE("<EMAIL_1>"), &value));
    ck_assert(sl_slice_equal_text(value, "a\xE2\x80\x8B"
                                         "nna@x.org"));
    free(text);
    sl_vault_free(vault);
}
END_TEST

START_TEST(allowed_values_pass)
{
    static const char *const allowed[] = {"info@acme.com"};
    rules.allowed_values = allowed;
    rules.allowed_value_count = 1;
    scrubs("{\"messages\":[{\"content\":\"info@acme.com x@acme.com\"}]}",
           "{\"messages\":[{\"content\":\"info@acme.com <EMAIL_1>\"}]}");
}
END_TEST

START_TEST(own_patterns_and_words_are_masked)
{
    static const struct sl_pii_pattern patterns[] = {
        {"EMPLOYEE", "emp-(?<value>\\d{4})", SL_PII_MASK, true}};
    static const char *const words[] = {"Project Falcon"};
    static const struct sl_pii_word_list lists[] = {{"PROJECT", words, 1, SL_PII_MASK}};
    rules.patterns = patterns;
    rules.pattern_count = 1;
    rules.word_lists = lists;
    rules.word_list_count = 1;
    scrubs("{\"messages\":[{\"content\":\"EMP-4711 on project   falcon, projects falconry\"}]}",
           "{\"messages\":[{\"content\":\"EMP-<EMPLOYEE_1> on <PROJECT_1>, projects falconry\"}]}");
}
END_TEST

START_TEST(a_bad_pattern_is_refused_with_its_name_and_offset)
{
    static const struct sl_pii_pattern patterns[] = {{"STAFF", "a(b", SL_PII_MASK, false}};
    struct sl_pii_detector *detector;
    rules.patterns = patterns;
    rules.pattern_count = 1;
    ck_assert_int_eq(sl_pii_detector_create(&rules, &detector, &error), SL_ERR_INVALID);
    ck_assert_ptr_null(detector);
    ck_assert_str_eq(error.param, "pii.patterns[0].regex");
    ck_assert_ptr_nonnull(strstr(error.message, "STAFF"));
    ck_assert_ptr_nonnull(strstr(error.message, "offset 3"));
}
END_TEST

START_TEST(a_pattern_that_runs_into_its_limits_closes_the_way_out)
{
    static const struct sl_pii_pattern patterns[] = {{"BAD", "(a+)+[0-9]", SL_PII_MASK, false}};
    struct sl_vault *vault = sl_vault_create();
    json_t *scrubbed;
    json_t *request = json_pack("{s:[{s:s}]}", "messages", "content",
                                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac");
    rules.patterns = patterns;
    rules.pattern_count = 1;
    struct sl_pii_detector *detector = make_detector();
    ck_assert_int_eq(sl_pii_scrub(detector, request, vault, &scrubbed, &report, &error),
                     SL_ERR_PII_DETECTOR);
    ck_assert_ptr_null(scrubbed);
    ck_assert_ptr_nonnull(strstr(error.message, "BAD"));
    ck_assert_ptr_null(strstr(error.message, "aaa"));
    json_decref(request);
    sl_pii_detector_free(detector);
    sl_vault_free(vault);
}
END_TEST

START_TEST(limits_fail_closed)
{
    struct sl_vault *vault = sl_vault_create();
    json_t *scrubbed;
    json_t *request = json_pack("{s:[{s:s}]}", "messages", "content", "a@x.org b@x.org c@x.org");
    rules.spans_max = 2;
    struct sl_pii_detector *detector = make_detector();
    ck_assert_int_eq(sl_pii_scrub(detector, request, vault, &scrubbed, &report, &error),
                     SL_ERR_PII_DETECTOR);
    ck_assert_ptr_null(scrubbed);
    sl_pii_detector_free(detector);
    rules.spans_max = 100;
    rules.text_bytes_max = 10;
    detector = make_detector();
    ck_assert_int_eq(sl_pii_scrub(detector, request, vault, &scrubbed, &report, &error),
                     SL_ERR_PII_DETECTOR);
    json_decref(request);
    sl_pii_detector_free(detector);
    sl_vault_free(vault);
}
END_TEST

START_TEST(header_and_debug_counts_name_what_was_replaced)
{
    struct sl_vault *vault = sl_vault_create();
    struct sl_buf header;
    free(scrub("{\"messages\":[{\"content\":\"a@x.org b@x.org 192.0.2.7\"}]}", vault));
    struct sl_pii_detector *detector = make_detector();
    sl_buf_init(&header, 256);
    ck_assert_int_eq(sl_pii_report_header(detector, &report, &header), SL_OK);
    ck_assert_str_eq(header.data, "EMAIL=2,IP=1");
    json_t *counts = sl_pii_report_json(detector, &report);
    ck_assert_int_eq(json_integer_value(json_object_get(counts, "EMAIL")), 2);
    json_decref(counts);
    sl_buf_clear(&header);
    sl_pii_detector_free(detector);
    sl_vault_free(vault);
}
END_TEST

/* restore(scrub(x)) == x for text made of values, placeholders in all their spellings and noise. */
START_TEST(scrubbing_and_restoring_gives_the_text_back)
{
    static const char *const parts[] = {
        "anna@example.org",
        "4111 1111 1111 1111",
        "<EMAIL_1>",
        "[email 2]",
        "EMAIL_3",
        "&lt;CARD_1&gt;",
        "%3CEMAIL_2%3E",
        "<",
        ">",
        "[",
        "]",
        " ",
        " ",
        "\n",
        "Anna Berg",
        "My name is ",
        "192.0.2.1",
        "+1 415 555 0132",
        "\xEF\xBC\x9C",
        "\xE2\x80\x8B",
        "\xC3\xBC",
        "\\",
        "\"",
        "EMAIL_",
        "1",
        "_",
        "password = \"hunter2x!\"",
        "DE89 3704 0044 0532 0130 00",
        "PERSON_1",
        "{CARD 1}",
        "-",
        "\xFF",
    };
    struct sl_pii_detector *detector;
    srand(11);
    rules.types[SL_PII_SECRET].action = SL_PII_MASK;
    detector = make_detector();
    for (int round = 0; round < 2000; round++) {
        struct sl_vault *vault = sl_vault_create();
        struct sl_buf in, scrubbed, back;
        sl_buf_init(&in, 65536);
        sl_buf_init(&scrubbed, 65536);
        sl_buf_init(&back, 65536);
        for (int i = rand() % 24; i >= 0; i--)
            ck_assert_int_eq(
                sl_buf_append_text(&in, parts[(size_t)rand() % (sizeof parts / sizeof *parts)]),
                SL_OK);
        ck_assert_int_eq(
            sl_pii_scrub_text(detector, sl_buf_slice(&in), vault, &scrubbed, &report, &error),
            SL_OK);
        ck_assert_int_eq(sl_pii_restore_text(vault, SL_RESTORE_TEXT, SL_TOLERATE_ALL,
                                             sl_buf_slice(&scrubbed), &back, NULL, &error),
                         SL_OK);
        ck_assert_msg(sl_slice_equal(sl_buf_slice(&in), sl_buf_slice(&back)), "%s\n-> %s\n-> %s",
                      in.data, scrubbed.data, back.data);
        sl_buf_clear(&in);
        sl_buf_clear(&scrubbed);
        sl_buf_clear(&back);
        sl_vault_free(vault);
    }
    sl_pii_detector_free(detector);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pii scrub");
    TCase *tcase = tcase_create("scrub");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_test(tcase, a_request_without_finds_is_passed_as_it_is);
    tcase_add_test(tcase, every_string_that_leaves_is_scrubbed_and_keys_stay);
    tcase_add_test(tcase, nothing_is_skipped_for_how_it_begins_or_what_it_is_called);
    tcase_add_test(tcase, tool_call_arguments_are_decoded_scrubbed_and_encoded);
    tcase_add_test(tcase, the_name_of_a_message_gets_a_placeholder_without_brackets);
    tcase_add_test(tcase, numbers_that_the_payload_has_literally_are_left_out);
    tcase_add_test(tcase, numbers_stay_when_the_history_grows);
    tcase_add_test(tcase, block_wins_over_keep_local_and_nothing_is_given_out);
    tcase_add_test(tcase, actions_decide_what_stands_in_the_place);
    tcase_add_test(tcase, a_name_found_once_is_masked_wherever_it_comes_again);
    tcase_add_test(tcase, the_note_stands_behind_the_clients_system_messages);
    tcase_add_test(tcase, disguised_digits_are_found_and_the_bytes_come_back);
    tcase_add_test(tcase, allowed_values_pass);
    tcase_add_test(tcase, own_patterns_and_words_are_masked);
    tcase_add_test(tcase, a_bad_pattern_is_refused_with_its_name_and_offset);
    tcase_add_test(tcase, a_pattern_that_runs_into_its_limits_closes_the_way_out);
    tcase_add_test(tcase, limits_fail_closed);
    tcase_add_test(tcase, header_and_debug_counts_name_what_was_replaced);
    tcase_add_test(tcase, scrubbing_and_restoring_gives_the_text_back);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
