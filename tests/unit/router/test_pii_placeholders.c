/* SPDX-License-Identifier: Apache-2.0
 *
 * What models, clients and attackers do with placeholders: marks around them, brackets of other
 * scripts, pieces over events and calls, texts that hold what looks like one, values that do. Each
 * is tried with the text in one piece, cut in two at every byte, and byte by byte.
 */
#include "pii/vault.h"
#include "test_support.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 1024u
#define ANNA "Anna \"Bo\" Berg"

static struct sl_vault *vault;

static void put(enum sl_pii_type type, const char *value)
{
    ck_assert_ptr_nonnull(pii_vault_put(vault, type, sl_pii_type_word(type), sl_slice_of(value),
                                        true, (struct sl_slice){0}));
}

static void open_vault(void)
{
    vault = sl_vault_create();
    put(SL_PII_EMAIL, "anna@example.org");
    put(SL_PII_PERSON, ANNA);
    put(SL_PII_PERSON, "<EMAIL_1> and <PERSON_"); /* a value may look like anything */
    put(SL_PII_SECRET, "back\\slash\n\ttab \x01 \xF0\x9F\x98\x80");
    ck_assert(pii_vault_seal(vault));
}

static void close_vault(void)
{
    sl_vault_free(vault);
}

/* Fed as [0, cut), [cut, len); the result is NUL-terminated in `out`. */
static void restore_cut(enum sl_restore_mode mode, const char *from, size_t cut, struct sl_buf *out)
{
    size_t len = strlen(from);
    struct sl_restorer *restorer = sl_restorer_create(vault, mode, SL_TOLERATE_ALL);
    sl_buf_reset(out);
    ck_assert_int_eq(sl_restorer_feed(restorer, (struct sl_slice){from, cut}, out, NULL), SL_OK);
    ck_assert_int_eq(
        sl_restorer_feed(restorer, (struct sl_slice){from + cut, len - cut}, out, NULL), SL_OK);
    ck_assert_int_eq(sl_restorer_flush(restorer, out, NULL), SL_OK);
    sl_restorer_free(restorer);
}

static void restores(enum sl_restore_mode mode, const char *from, const char *to)
{
    struct sl_buf out;
    size_t len = strlen(from);
    sl_buf_init(&out, 1u << 16);
    for (size_t cut = 0; cut <= len; cut++) {
        restore_cut(mode, from, cut, &out);
        ck_assert_msg(sl_slice_equal_text(sl_buf_slice(&out), to),
                      "%s cut at %zu: %s instead of %s", from, cut, out.data, to);
    }
    struct sl_restorer *restorer = sl_restorer_create(vault, mode, SL_TOLERATE_ALL);
    sl_buf_reset(&out);
    for (size_t i = 0; i < len; i++)
        ck_assert_int_eq(sl_restorer_feed(restorer, (struct sl_slice){from + i, 1}, &out, NULL),
                         SL_OK);
    ck_assert_int_eq(sl_restorer_flush(restorer, &out, NULL), SL_OK);
    ck_assert_msg(sl_slice_equal_text(sl_buf_slice(&out), to), "%s by bytes: %s", from, out.data);
    sl_restorer_free(restorer);
    sl_buf_clear(&out);
}

/* `pattern` with every % replaced. */
static void fill(char *out, const char *pattern, const char *value)
{
    size_t len = 0;
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '%')
            len += (size_t)snprintf(out + len, TEXT_MAX - len, "%s", value);
        else if (len + 1 < TEXT_MAX)
            out[len++] = *pattern;
    }
    out[len] = '\0';
}

/* ---- what models do ------------------------------------------------------------------------- */

/* As many ways to write <EMAIL_1> as models were seen to use. The last ones stand without brackets.
 */
static const char *const forms[] = {
    "<EMAIL_1>",
    "<email_1>",
    "<Email_1>",
    "<EMAIL 1>",
    "<EMAIL-1>",
    "<EMAIL1>",
    "< EMAIL_1 >",
    "<EMAIL\\_1>",
    "\\<EMAIL_1\\>",
    "\\<EMAIL\\_1\\>",
    "[EMAIL_1]",
    "{EMAIL_1}",
    "&lt;EMAIL_1&gt;",
    "&LT;EMAIL_1&GT;",
    "&#60;EMAIL_1&#62;",
    "&#x3C;EMAIL_1&#x3E;",
    "%3CEMAIL_1%3E",
    "\xEF\xBC\x9C"
    "EMAIL_1\xEF\xBC\x9E", /* ＜ ＞ */
    "\xE3\x80\x88"
    "EMAIL_1\xE3\x80\x89", /* 〈 〉 */
    "\xE3\x80\x8A"
    "EMAIL_1\xE3\x80\x8B", /* 《 》 */
    "\xE3\x80\x8C"
    "EMAIL_1\xE3\x80\x8D", /* 「 」 */
    "\xE3\x80\x90"
    "EMAIL_1\xE3\x80\x91", /* 【 】 */
    "\xE2\x9F\xA8"
    "EMAIL_1\xE2\x9F\xA9", /* ⟨ ⟩ */
    "\xE2\x9D\xAE"
    "EMAIL_1\xE2\x9D\xAF", /* ❮ ❯ */
    "\xE2\x80\xB9"
    "EMAIL_1\xE2\x80\xBA", /* ‹ › */
    "EMAIL_1",
};

START_TEST(marks_around_a_placeholder_stay_and_hide_nothing)
{
    static const char *const marks[] = {
        "%",
        "**%**",
        "*%*",
        "`%`",
        "(%)",
        "\"%\"",
        "'%'",
        "%'s mail",
        "%\xE2\x80\x99s mail",
        "\xE2\x80\x9C%\xE2\x80\x9D",
        "\xC2\xAB%\xC2\xBB",
        "> %\n",
        "| % |",
        "- %;",
        "mailto:%?x=1",
        "%, %.",
        "\xE8\xAF\xB7\xE8\x81\x94\xE7\xB3\xBB%\xE3\x80\x82", /* Chinese, no blank */
        "\xF0\x9F\x93\xA7%",
        "to\t%\n",
        "<p>%</p>",
        "x=%&y=%",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        for (size_t j = 0; j < sizeof marks / sizeof *marks; j++) {
            char from[TEXT_MAX];
            char to[TEXT_MAX];
            fill(from, marks[j], forms[i]);
            fill(to, marks[j], "anna@example.org");
            restores(SL_RESTORE_TEXT, from, to);
        }
    }
}
END_TEST

START_TEST(a_translated_or_broken_name_stays_as_it_is)
{
    static const char *const texts[] = {
        "<CORREO_1>",
        "<E-MAIL_1>",
        "<EMAIL_ONE>",
        "<EMAIL_>",
        "<_1>",
        "<EMAIL_1_2>",
        "email_1",
        "Email_1",
        "XEMAIL_1",
        "EMAIL_1s",
        "\xC3\xA9"
        "EMAIL_1",
        "<EMAIL_\xD9\xA1>",
        "<PHONE_1>",
        "EMAIL 1 of 3",
        "<\xD0\x95MAIL_1>", /* a Cyrillic letter */
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        restores(SL_RESTORE_TEXT, texts[i], texts[i]);
}
END_TEST

START_TEST(a_restored_value_is_never_read_again)
{
    restores(SL_RESTORE_TEXT, "<PERSON_2>1>", "<EMAIL_1> and <PERSON_1>");
    restores(SL_RESTORE_TEXT, "<PERSON_2><PERSON_2>",
             "<EMAIL_1> and <PERSON_<EMAIL_1> and <PERSON_");
    restores(SL_RESTORE_TEXT, "<PERSON_2>EMAIL_1", "<EMAIL_1> and <PERSON_anna@example.org");
}
END_TEST

START_TEST(what_reads_like_the_start_of_one_goes_out_unchanged)
{
    static const char *const texts[] = {
        "<",        "<<<",       "<E",     "<EMAIL", "<EMAIL_",  "a < b > c", "if (a<EMAIL) x",
        "&",        "&lt",       "&lt;",   "&lt;E",  "%",        "%3",        "%3C",
        "%3CE",     "[",         "[EMAIL", "{}",     "\xEF\xBC", "\xE3\x80",  "\xE2\x9F\xA8",
        "\\",       "\\<",       "\\\\<",  "E",      "EM",       "EMAIL",     "EMAIL_",
        "<EMAIL\\", "<EMAIL\\_",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        restores(SL_RESTORE_TEXT, texts[i], texts[i]);
}
END_TEST

/* ---- tool calls ------------------------------------------------------------------------------ */

static void arguments_decode_to(const char *from, const char *key, const char *value)
{
    struct sl_buf out;
    sl_buf_init(&out, 1u << 16);
    for (size_t cut = 0; cut <= strlen(from); cut++) {
        restore_cut(SL_RESTORE_JSON_STRING, from, cut, &out);
        json_t *arguments = json_loadb(out.data, out.len, 0, NULL);
        ck_assert_msg(arguments != NULL, "%s cut at %zu is no JSON: %s", from, cut, out.data);
        ck_assert_str_eq(json_string_value(json_object_get(arguments, key)), value);
        json_decref(arguments);
    }
    sl_buf_clear(&out);
}

START_TEST(arguments_in_deltas_stay_json_with_any_value_and_any_escape)
{
    static const char secret[] = "back\\slash\n\ttab \x01 \xF0\x9F\x98\x80";
    arguments_decode_to("{\"to\":\"<EMAIL_1>\"}", "to", "anna@example.org");
    arguments_decode_to("{\"to\":\"\\u003cEMAIL_1\\u003e\"}", "to", "anna@example.org");
    arguments_decode_to("{\"to\":\"\\u003C\\u0045MAIL\\u005f1\\u003E\"}", "to", "anna@example.org");
    arguments_decode_to("{\"to\":\"dear <PERSON_1>,\\n\"}", "to", "dear " ANNA ",\n");
    arguments_decode_to("{\"to\":\"\\\"<PERSON_1>\\\"\"}", "to", "\"" ANNA "\"");
    arguments_decode_to("{\"to\":\"\\\\<EMAIL_1>\"}", "to", "\\anna@example.org");
    arguments_decode_to("{\"to\":\"<SECRET_1>\"}", "to", secret);
    arguments_decode_to("{\"<EMAIL_1>\":\"x\"}", "anna@example.org", "x");
    arguments_decode_to("{\"to\":\"\\u00e9 \\ud83d\\ude00 <EMAIL_1>\"}", "to",
                        "\xC3\xA9 \xF0\x9F\x98\x80 anna@example.org");
}
END_TEST

/* The deltas of two choices and two calls, a few bytes of each in turn: what one channel holds is
 * nothing to the other. */
START_TEST(channels_that_take_turns_do_not_mix)
{
    static const char *const from[] = {"Mail <EMAIL_1> or <PERSON_1>.",
                                       "**<EMAIL_1>**, &lt;EMAIL_1&gt;", "{\"a\":\"<PERSON_1>\"}",
                                       "{\"b\":\"\\u003cEMAIL_1\\u003e\"}"};
    static const char *const to[] = {
        "Mail anna@example.org or " ANNA ".", "**anna@example.org**, anna@example.org",
        "{\"a\":\"Anna \\\"Bo\\\" Berg\"}", "{\"b\":\"anna@example.org\"}"};
    srand(5);
    for (int round = 0; round < 300; round++) {
        struct sl_restorer *restorers[4];
        struct sl_buf out[4];
        size_t at[4] = {0};
        for (size_t i = 0; i < 4; i++) {
            restorers[i] = sl_restorer_create(
                vault, i < 2 ? SL_RESTORE_TEXT : SL_RESTORE_JSON_STRING, SL_TOLERATE_ALL);
            sl_buf_init(&out[i], 4096);
        }
        for (unsigned left = 4; left > 0;) {
            size_t i = (size_t)rand() % 4;
            size_t rest = strlen(from[i]) - at[i];
            size_t len = 1 + (size_t)rand() % 6;
            if (rest == 0)
                continue;
            len = len < rest ? len : rest;
            ck_assert_int_eq(sl_restorer_feed(restorers[i], (struct sl_slice){from[i] + at[i], len},
                                              &out[i], NULL),
                             SL_OK);
            at[i] += len;
            left -= len == rest;
        }
        for (size_t i = 0; i < 4; i++) {
            ck_assert_int_eq(sl_restorer_flush(restorers[i], &out[i], NULL), SL_OK);
            ck_assert_str_eq(out[i].data, to[i]);
            sl_restorer_free(restorers[i]);
            sl_buf_clear(&out[i]);
        }
    }
}
END_TEST

/* ---- texts that hold what looks like one ------------------------------------------------------
 */

static void comes_back(const struct sl_pii_detector *detector, const char *text)
{
    struct sl_vault *own = sl_vault_create();
    struct sl_pii_report report;
    struct sl_buf scrubbed, back;
    sl_buf_init(&scrubbed, 1u << 16);
    sl_buf_init(&back, 1u << 16);
    ck_assert_int_eq(sl_pii_scrub_text(detector, sl_slice_of(text), own, &scrubbed, &report, NULL),
                     SL_OK);
    ck_assert_int_eq(sl_pii_restore_text(own, SL_RESTORE_TEXT, SL_TOLERATE_ALL,
                                         sl_buf_slice(&scrubbed), &back, NULL, NULL),
                     SL_OK);
    ck_assert_msg(sl_slice_equal_text(sl_buf_slice(&back), text), "%s\n-> %s\n-> %s", text,
                  scrubbed.data, back.data);
    ck_assert_msg(strstr(scrubbed.data, "a.b@x.org") == NULL, "sent: %s", scrubbed.data);
    sl_buf_clear(&scrubbed);
    sl_buf_clear(&back);
    sl_vault_free(own);
}

START_TEST(what_the_user_wrote_like_a_placeholder_is_never_taken_for_ours)
{
    static const char *const texts[] = {
        "% a.b@x.org",
        "a.b@x.org %",
        "a.b@x.org and %, %",
        "say %, not a.b@x.org",
        "%a.b@x.org",
        "a.b@x.org,% c@x.org",
        "**%** a.b@x.org",
        "\xE8\xAF\xB7% a.b@x.org",
        "`%` c@x.org a.b@x.org d@x.org",
        "'%'\na.b@x.org",
    };
    struct sl_pii_rules rules;
    struct sl_pii_detector *detector;
    sl_pii_rules_init(&rules);
    ck_assert_int_eq(sl_pii_detector_create(&rules, &detector, NULL), SL_OK);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        for (size_t j = 0; j < sizeof texts / sizeof *texts; j++) {
            char text[TEXT_MAX];
            fill(text, texts[j], forms[i]);
            comes_back(detector, text);
        }
    }
    comes_back(detector, "\"EMAIL_1\" <email_1@x.org>, a.b@x.org");
    comes_back(detector, "EMAIL_1@x.org EMAIL_2 a.b@x.org");
    comes_back(detector, "<EMAIL_<EMAIL_1>1> a.b@x.org");
    comes_back(detector, "<EMAIL_000000000000000000001> <EMAIL_4294967297> a.b@x.org");
    /* A zero-width blank ends a number and begins a name, for a restorer that sees it. */
    comes_back(detector, "EMAIL_1\xE2\x80\x8B"
                         "1 a.b@x.org");
    comes_back(detector, "1\xE2\x80\x8B"
                         "EMAIL_1 a.b@x.org");
    comes_back(detector, "C:\\a.b@x.org\\>");
    sl_pii_detector_free(detector);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pii placeholders");
    TCase *tcase = tcase_create("placeholders");
    tcase_add_checked_fixture(tcase, open_vault, close_vault);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, marks_around_a_placeholder_stay_and_hide_nothing);
    tcase_add_test(tcase, a_translated_or_broken_name_stays_as_it_is);
    tcase_add_test(tcase, a_restored_value_is_never_read_again);
    tcase_add_test(tcase, what_reads_like_the_start_of_one_goes_out_unchanged);
    tcase_add_test(tcase, arguments_in_deltas_stay_json_with_any_value_and_any_escape);
    tcase_add_test(tcase, channels_that_take_turns_do_not_mix);
    tcase_add_test(tcase, what_the_user_wrote_like_a_placeholder_is_never_taken_for_ours);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
