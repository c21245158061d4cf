/* SPDX-License-Identifier: Apache-2.0 */
#include "pii/vault.h"
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sl_vault *vault;

static void put(enum sl_pii_type type, const char *value, bool is_restorable)
{
    ck_assert_ptr_nonnull(pii_vault_put(vault, type, sl_pii_type_word(type), sl_slice_of(value),
                                        is_restorable, (struct sl_slice){0}));
}

static void open_vault(void)
{
    vault = sl_vault_create();
    put(SL_PII_EMAIL, "anna@example.org", true);
    put(SL_PII_PERSON, "Anna \"Bo\" Berg", true);
    put(SL_PII_EMAIL, "bo@example.org", true);
    put(SL_PII_SECRET, "hunter2", false);
    ck_assert(pii_vault_seal(vault));
}

static void close_vault(void)
{
    sl_vault_free(vault);
}

static void restores(enum sl_restore_mode mode, unsigned tolerance, const char *from,
                     const char *to)
{
    struct sl_buf out;
    struct sl_buf pieces;
    struct sl_error error = {0};
    struct sl_restorer *restorer = sl_restorer_create(vault, mode, tolerance);

    sl_buf_init(&out, 4096);
    sl_buf_init(&pieces, 4096);
    ck_assert_int_eq(
        sl_pii_restore_text(vault, mode, tolerance, sl_slice_of(from), &out, NULL, &error), SL_OK);
    ck_assert_msg(sl_slice_equal_text(sl_buf_slice(&out), to), "%s -> %s, not %s", from,
                  out.len > 0 ? out.data : "", to);
    for (size_t i = 0; from[i] != '\0'; i++)
        ck_assert_int_eq(
            sl_restorer_feed(restorer, (struct sl_slice){from + i, 1}, &pieces, &error), SL_OK);
    ck_assert_int_eq(sl_restorer_flush(restorer, &pieces, &error), SL_OK);
    ck_assert_msg(sl_slice_equal(sl_buf_slice(&out), sl_buf_slice(&pieces)),
                  "%s cut at every byte -> %s", from, pieces.data);
    sl_restorer_free(restorer);
    sl_buf_clear(&out);
    sl_buf_clear(&pieces);
}

static void text(const char *from, const char *to)
{
    restores(SL_RESTORE_TEXT, SL_TOLERATE_ALL, from, to);
}

START_TEST(an_exact_placeholder_is_restored)
{
    restores(SL_RESTORE_TEXT, SL_TOLERATE_NONE, "Mail <EMAIL_1>, <EMAIL_2>!",
             "Mail anna@example.org, bo@example.org!");
}
END_TEST

START_TEST(what_was_not_given_out_stays)
{
    text("<EMAIL_3> <EMAIL_12> <PHONE_1> <email> < b > <EMAIL_", "<EMAIL_3> <EMAIL_12> <PHONE_1> "
                                                                 "<email> < b > <EMAIL_");
}
END_TEST

START_TEST(never_restored_values_stay_placeholders)
{
    text("Use <SECRET_1>.", "Use <SECRET_1>.");
}
END_TEST

START_TEST(altered_forms_are_restored)
{
    static const char *const forms[] = {
        "[EMAIL_1]",
        "{EMAIL_1}",
        "<email_1>",
        "<EMAIL 1>",
        "<EMAIL-1>",
        "<EMAIL1>",
        "< EMAIL_1 >",
        "<EMAIL\\_1>",
        "&lt;EMAIL_1&gt;",
        "&#60;EMAIL_1&#62;",
        "%3CEMAIL_1%3E",
        "%3cEMAIL_1%3e",
        "EMAIL_1",
        "\xEF\xBC\x9C"
        "EMAIL_1\xEF\xBC\x9E",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char from[96];
        snprintf(from, sizeof from, "to %s now", forms[i]);
        text(from, "to anna@example.org now");
        snprintf(from, sizeof from, "%s", forms[i]);
        text(from, "anna@example.org");
    }
}
END_TEST

START_TEST(altered_forms_stay_where_they_are_not_tolerated)
{
    static const char *const forms[] = {"[EMAIL_1]", "<email_1>",       "<EMAIL 1>",
                                        "EMAIL_1",   "&lt;EMAIL_1&gt;", "%3CEMAIL_1%3E"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        restores(SL_RESTORE_TEXT, SL_TOLERATE_NONE, forms[i], forms[i]);
}
END_TEST

START_TEST(a_bare_form_needs_word_boundaries)
{
    text("XEMAIL_1 EMAIL_1s EMAIL_11 email_1", "XEMAIL_1 EMAIL_1s EMAIL_11 email_1");
}
END_TEST

START_TEST(a_broken_start_does_not_hide_a_whole_placeholder)
{
    text("<EMAIL_<EMAIL_1>", "<EMAIL_anna@example.org");
    text("<<EMAIL_1>>", "<anna@example.org>");
    text("[<EMAIL_1>](mailto:<EMAIL_1>)", "[anna@example.org](mailto:anna@example.org)");
}
END_TEST

START_TEST(tool_arguments_get_escaped_values_and_escaped_placeholders_are_seen)
{
    restores(SL_RESTORE_JSON_STRING, SL_TOLERATE_ALL,
             "{\"to\":\"\\u003cEMAIL_1\\u003E\",\"n\":\"<PERSON_1>\"}",
             "{\"to\":\"anna@example.org\",\"n\":\"Anna \\\"Bo\\\" Berg\"}");
}
END_TEST

START_TEST(only_what_can_become_a_placeholder_is_held)
{
    struct sl_restorer *restorer = sl_restorer_create(vault, SL_RESTORE_TEXT, SL_TOLERATE_ALL);
    struct sl_buf out;
    sl_buf_init(&out, 4096);
    ck_assert_int_eq(sl_restorer_feed(restorer, SL_SLICE("a < b"), &out, NULL), SL_OK);
    ck_assert_uint_eq(sl_restorer_held_bytes(restorer), 0);
    ck_assert_int_eq(sl_restorer_feed(restorer, SL_SLICE(" <EMA"), &out, NULL), SL_OK);
    ck_assert_uint_eq(sl_restorer_held_bytes(restorer), 4);
    ck_assert_int_eq(sl_restorer_feed(restorer, SL_SLICE("x"), &out, NULL), SL_OK);
    ck_assert_uint_eq(sl_restorer_held_bytes(restorer), 0);
    ck_assert(sl_slice_equal_text(sl_buf_slice(&out), "a < b <EMAx"));
    sl_restorer_free(restorer);
    sl_buf_clear(&out);
}
END_TEST

START_TEST(an_empty_vault_holds_nothing)
{
    struct sl_vault *empty = sl_vault_create();
    struct sl_restorer *restorer = sl_restorer_create(empty, SL_RESTORE_TEXT, SL_TOLERATE_ALL);
    struct sl_buf out;
    sl_buf_init(&out, 4096);
    ck_assert_int_eq(sl_restorer_feed(restorer, SL_SLICE("<EMAIL_1"), &out, NULL), SL_OK);
    ck_assert_uint_eq(sl_restorer_held_bytes(restorer), 0);
    sl_restorer_free(restorer);
    sl_vault_free(empty);
    sl_buf_clear(&out);
}
END_TEST

START_TEST(restored_and_unresolved_are_counted)
{
    struct sl_restore_stats stats = {0};
    struct sl_buf out;
    sl_buf_init(&out, 4096);
    ck_assert_int_eq(sl_pii_restore_text(vault, SL_RESTORE_TEXT, SL_TOLERATE_ALL,
                                         SL_SLICE("<EMAIL_1> <EMAIL_2> <EMAIL_7> <SECRET_1>"), &out,
                                         &stats, NULL),
                     SL_OK);
    ck_assert_uint_eq(stats.restored, 2);
    ck_assert_uint_eq(stats.unresolved, 2);
    sl_buf_clear(&out);
}
END_TEST

START_TEST(looking_up_needs_the_exact_form)
{
    struct sl_slice value;
    ck_assert(sl_vault_find(vault, SL_SLICE("<EMAIL_2>"), &value));
    ck_assert(sl_slice_equal_text(value, "bo@example.org"));
    ck_assert(!sl_vault_find(vault, SL_SLICE("<EMAIL_3>"), &value));
    ck_assert(!sl_vault_find(vault, SL_SLICE("EMAIL_1"), &value));
    ck_assert(!sl_vault_find(vault, SL_SLICE("<SECRET_1>"), &value));
    ck_assert_uint_eq(sl_vault_count(vault), 4);
    ck_assert_uint_eq(sl_vault_restorable_count(vault), 3);
}
END_TEST

START_TEST(stable_numbers_are_the_same_in_every_request)
{
    static const char key[] = "0123456789abcdef";
    char first[64];
    for (int round = 0; round < 2; round++) {
        struct sl_vault *other = sl_vault_create();
        if (round == 1)
            pii_vault_put(other, SL_PII_EMAIL, "EMAIL", SL_SLICE("x@y.org"), true, SL_SLICE(key));
        const struct vault_entry *entry = pii_vault_put(
            other, SL_PII_EMAIL, "EMAIL", SL_SLICE("anna@example.org"), true, SL_SLICE(key));
        ck_assert_uint_eq(entry->name.len, strlen("EMAIL_") + 5);
        if (round == 0)
            snprintf(first, sizeof first, "%.*s", SL_SLICE_ARG(entry->name));
        else
            ck_assert(sl_slice_equal_text(entry->name, first));
        sl_vault_free(other);
    }
}
END_TEST

/* Text made of pieces of placeholders and brackets, cut at random places: the same as in one piece,
 * and never more held than the longest form. */
START_TEST(random_text_is_restored_the_same_however_it_is_cut)
{
    static const char *const parts[] = {
        "<",         "EMAIL",      "_",       "1",  "2>",       ">",   "&lt;",         "[",
        "]",         "PERSON_1",   " ",       "\\", "\\u003c",  "%3C", "\xEF\xBC\x9C", "x",
        "<EMAIL_1>", "<SECRET_1>", "EMAIL_2", "\n", "\xC3\xA9", "\xE2"};
    srand(7);
    for (int round = 0; round < 3000; round++) {
        enum sl_restore_mode mode = round % 2 == 0 ? SL_RESTORE_TEXT : SL_RESTORE_JSON_STRING;
        struct sl_restorer *restorer = sl_restorer_create(vault, mode, SL_TOLERATE_ALL);
        struct sl_buf in, whole, cut;
        sl_buf_init(&in, 4096);
        sl_buf_init(&whole, 65536);
        sl_buf_init(&cut, 65536);
        for (int i = rand() % 20; i >= 0; i--)
            ck_assert_int_eq(
                sl_buf_append_text(&in, parts[(size_t)rand() % (sizeof parts / sizeof *parts)]),
                SL_OK);
        ck_assert_int_eq(sl_pii_restore_text(vault, mode, SL_TOLERATE_ALL, sl_buf_slice(&in),
                                             &whole, NULL, NULL),
                         SL_OK);
        for (size_t at = 0; at < in.len;) {
            size_t len = 1 + (size_t)rand() % 5;
            len = len < in.len - at ? len : in.len - at;
            ck_assert_int_eq(
                sl_restorer_feed(restorer, (struct sl_slice){in.data + at, len}, &cut, NULL),
                SL_OK);
            ck_assert_uint_le(sl_restorer_held_bytes(restorer), 64);
            at += len;
        }
        ck_assert_int_eq(sl_restorer_flush(restorer, &cut, NULL), SL_OK);
        ck_assert_msg(sl_slice_equal(sl_buf_slice(&whole), sl_buf_slice(&cut)), "%s -> %s, %s",
                      in.data, whole.data, cut.data);
        sl_restorer_free(restorer);
        sl_buf_clear(&in);
        sl_buf_clear(&whole);
        sl_buf_clear(&cut);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pii restore");
    TCase *tcase = tcase_create("restore");
    tcase_add_checked_fixture(tcase, open_vault, close_vault);
    tcase_add_test(tcase, an_exact_placeholder_is_restored);
    tcase_add_test(tcase, what_was_not_given_out_stays);
    tcase_add_test(tcase, never_restored_values_stay_placeholders);
    tcase_add_test(tcase, altered_forms_are_restored);
    tcase_add_test(tcase, altered_forms_stay_where_they_are_not_tolerated);
    tcase_add_test(tcase, a_bare_form_needs_word_boundaries);
    tcase_add_test(tcase, a_broken_start_does_not_hide_a_whole_placeholder);
    tcase_add_test(tcase, tool_arguments_get_escaped_values_and_escaped_placeholders_are_seen);
    tcase_add_test(tcase, only_what_can_become_a_placeholder_is_held);
    tcase_add_test(tcase, an_empty_vault_holds_nothing);
    tcase_add_test(tcase, restored_and_unresolved_are_counted);
    tcase_add_test(tcase, looking_up_needs_the_exact_form);
    tcase_add_test(tcase, stable_numbers_are_the_same_in_every_request);
    tcase_add_test(tcase, random_text_is_restored_the_same_however_it_is_cut);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
