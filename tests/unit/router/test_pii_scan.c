/* SPDX-License-Identifier: Apache-2.0 */
#include "pii/aho.h"
#include "pii/checks.h"
#include "pii/view.h"
#include "sluice/pii.h"
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct sl_pii_detector *detector;

static void set_up(void)
{
    struct sl_pii_rules rules;
    struct sl_error error = {0};
    sl_pii_rules_init(&rules);
    ck_assert_int_eq(sl_pii_detector_create(&rules, &detector, &error), SL_OK);
}

static void tear_down(void)
{
    sl_pii_detector_free(detector);
}

/* `text` with its find between braces: "mail {a@x.org}". No braces: nothing is to be found. */
static void finds(enum sl_pii_type type, const char *marked)
{
    struct sl_pii_spans spans = {0};
    struct sl_error error = {0};
    char text[512];
    size_t len = 0;
    size_t start = 0;
    size_t end = 0;
    for (; *marked != '\0'; marked++) {
        if (*marked == '{')
            start = len;
        else if (*marked == '}')
            end = len;
        else
            text[len++] = *marked;
    }
    text[len] = '\0';
    ck_assert_int_eq(sl_pii_scan(detector, (struct sl_slice){text, len}, &spans, &error), SL_OK);
    size_t found = 0;
    for (size_t i = 0; i < spans.count; i++) {
        if (spans.items[i].kind != type)
            continue;
        found++;
        ck_assert_msg(spans.items[i].start == start && spans.items[i].end == end,
                      "%s in \"%s\": %zu-%zu", sl_pii_type_word(type), text, spans.items[i].start,
                      spans.items[i].end);
    }
    ck_assert_msg(found == (end > 0 ? 1u : 0u), "%s in \"%s\": %zu finds", sl_pii_type_word(type),
                  text, found);
    sl_pii_spans_clear(&spans);
}

START_TEST(emails_have_a_name_a_host_and_a_top_level_domain)
{
    finds(SL_PII_EMAIL, "Ask {anna.berg+news@mail.example.co.uk}.");
    finds(SL_PII_EMAIL, "mail={anna@example.org}&x=1");
    finds(SL_PII_EMAIL, "line\\n{anna@example.org}");
    finds(SL_PII_EMAIL, "<{info@b\xC3\xBC"
                        "cher.example}>");
    finds(SL_PII_EMAIL, "user@host, a @ b, @property, x@1.2.3");
    finds(SL_PII_EMAIL, "git clone git@github.com:org/repo.git");
    finds(SL_PII_EMAIL, "logo@2x.png");
}
END_TEST

START_TEST(cards_have_an_issuer_and_a_check_digit)
{
    finds(SL_PII_CARD, "pay {4111 1111 1111 1111} now");
    finds(SL_PII_CARD, "{2223003122003222}");
    finds(SL_PII_CARD, "{3782-822463-10005}.");
    finds(SL_PII_CARD, "4111 1111 1111 1112");
    finds(SL_PII_CARD, "0000 0000 0000 0000");
    finds(SL_PII_CARD, "order 1234567890123456");
}
END_TEST

START_TEST(ibans_have_their_countrys_length_and_check)
{
    finds(SL_PII_IBAN, "IBAN {DE89 3704 0044 0532 0130 00}, thanks");
    finds(SL_PII_IBAN, "{GB29NWBK60161331926819}");
    finds(SL_PII_IBAN, "DE89 3704 0044 0532 0130 01");
    finds(SL_PII_IBAN, "US1234567890123456789");
}
END_TEST

START_TEST(addresses_of_the_net_are_told_from_versions_and_code)
{
    finds(SL_PII_IP, "from {203.0.113.9} on");
    finds(SL_PII_IP, "http://{198.51.100.7}:8080/x");
    finds(SL_PII_IP, "({::ffff:192.0.2.128})");
    finds(SL_PII_IP, "{2001:db8::8a2e:370:7334}/x");
    finds(SL_PII_IP, "release 2.14.0.1 of it; 1.2.3; 300.1.1.1; Foo::Bar; 12:34:56");
    finds(SL_PII_MAC, "eth0 {00:1A:2B:3C:4D:5E} up");
    finds(SL_PII_MAC, "{0012.3456.789a}");
    finds(SL_PII_MAC, "aa:bb:cc:dd:ee:ff:00:11");
}
END_TEST

START_TEST(numbers_that_only_look_like_telephones_stay)
{
    finds(SL_PII_PHONE, "Call {(415) 555-0132} today");
    finds(SL_PII_PHONE, "{+44 20 7946 0958}.");
    finds(SL_PII_PHONE, "Tel.: {030/901820}");
    finds(SL_PII_PHONE, "from 03.06.2015 to 04.06.2015, 2147483647, 1,234,567,890 rows");
    finds(SL_PII_PHONE, "order 4029385716, lat 52.5200066 lon 13.4049540, ISBN 978-3-16-148410-0");
}
END_TEST

START_TEST(weak_identifiers_need_a_word_beside_them)
{
    finds(SL_PII_US_PASSPORT, "my passport number is {912803456}");
    finds(SL_PII_US_PASSPORT, "there are 912803456 of them");
    finds(SL_PII_UK_NHS, "NHS number {943 476 5919}");
    finds(SL_PII_DE_KFZ, "Kennzeichen {B-AB 1234}");
    finds(SL_PII_US_DRIVER_LICENSE, "chapter K92, cells A1, H1 and B43, model X1234567");
}
END_TEST

START_TEST(secrets_are_found_by_form_and_by_word)
{
    finds(SL_PII_SECRET, "I pasted {ghp_FAKEB6xLowImszg1eQrHRfDLyNYRQ793JrDR} by accident");
    finds(SL_PII_SECRET, "password = \"{hunter2x!}\"");
    finds(SL_PII_SECRET, "my password is {hunter2x!}.");
    finds(SL_PII_SECRET, "postgres://app:{s3cr3t}@db/x");
    finds(SL_PII_SECRET, "password: $DB_PASSWORD");
    finds(SL_PII_SECRET, "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    finds(SL_PII_SECRET, "the secret ingredient is salt, my password manager is good");
    finds(SL_PII_SECRET, "max_tokens=4096 api_version=2024-06-01");
}
END_TEST

START_TEST(a_secret_wins_over_what_it_holds)
{
    struct sl_pii_spans spans = {0};
    struct sl_error error = {0};
    ck_assert_int_eq(
        sl_pii_scan(detector, SL_SLICE("password=anna@example.org/4711"), &spans, &error), SL_OK);
    ck_assert_uint_eq(spans.count, 1);
    ck_assert_int_eq(spans.items[0].kind, SL_PII_SECRET);
    sl_pii_spans_clear(&spans);
}
END_TEST

START_TEST(names_are_found_by_what_stands_around_them)
{
    finds(SL_PII_PERSON, "My name is {Zorica Fennimore}.");
    finds(SL_PII_LOCATION, "We moved here from {Rotterdam}.");
    finds(SL_PII_PERSON, "On Monday the Board will meet in Room 12.");
}
END_TEST

START_TEST(a_name_beside_another_find_ends_where_its_letters_end)
{
    finds(SL_PII_PERSON, "Write to {Anna Berg} (anna.berg@example.org) about it.");
    finds(SL_PII_PERSON, "Write to {Peter Olsen} (peter@example.com) about it.");
    finds(SL_PII_PERSON, "anna.berg@example.org ({Anna Berg}) wrote");
}
END_TEST

START_TEST(invalid_utf8_is_read_over)
{
    finds(SL_PII_EMAIL, "\xFF\xC3 \xE2\x80 {a@x.org} \xF0\x9F");
}
END_TEST

/* Ten times the text may not take a hundred times as long. Half a second is what a quadratic scan
 * of a megabyte passes by far. */
START_TEST(one_sign_repeated_a_million_times_stays_linear)
{
    static const char signs[] = "1@<:=aA\".-/+( \\x";
    size_t len = 1 << 20;
    char *text = malloc(len);
    struct sl_pii_spans spans = {0};
    struct sl_error error = {0};
    for (const char *sign = signs; *sign != '\0'; sign++) {
        struct timespec before, after;
        memset(text, *sign, len);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
        ck_assert_int_eq(sl_pii_scan(detector, (struct sl_slice){text, len}, &spans, &error),
                         SL_OK);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
        double took = (double)(after.tv_sec - before.tv_sec) +
                      (double)(after.tv_nsec - before.tv_nsec) * 1e-9;
        ck_assert_msg(took < 5.0, "'%c': %.2f s", *sign, took); /* sanitizers: ten times slower */
    }
    sl_pii_spans_clear(&spans);
    free(text);
}
END_TEST

/* ---- views, word tables, checks ------------------------------------------------------------ */

START_TEST(a_view_folds_and_finds_the_way_back)
{
    struct pii_view view = {0};
    size_t start;
    size_t end;
    /* a, zero-width, full-width b, no-break blank, c */
    struct sl_slice text = SL_SLICE("a\xE2\x80\x8B\xEF\xBD\x82\xC2\xA0"
                                    "c");
    ck_assert_int_eq(pii_view_fold(&view, text), SL_OK);
    ck_assert(sl_slice_equal_text(view.text, "ab c"));
    pii_view_origin(&view, 1, 3, &start, &end);
    ck_assert_uint_eq(start, 4);
    ck_assert_uint_eq(end, 9);
    pii_view_origin(&view, 0, 4, &start, &end);
    ck_assert_uint_eq(start, 0);
    ck_assert_uint_eq(end, text.len);
    pii_view_clear(&view);
    ck_assert_int_eq(pii_view_fold(&view, SL_SLICE("plain \xC3\xBC")), SL_OK);
    ck_assert_ptr_null(view.runs);
    pii_view_clear(&view);
}
END_TEST

START_TEST(a_json_view_decodes_and_lists_the_values)
{
    struct pii_view view = {0};
    size_t start;
    size_t end;
    struct sl_slice text = SL_SLICE("{\"k\\u0041\": \"a\\u0040\\n\", \"n\": -12.5}");
    ck_assert_int_eq(pii_view_json(&view, text), SL_OK);
    ck_assert(sl_slice_equal_text(view.text, "{\"kA\": \"a@\n\", \"n\": -12.5}"));
    ck_assert_uint_eq(view.leaf_count, 2);
    ck_assert(!view.leaves[0].is_number);
    ck_assert(view.leaves[1].is_number);
    pii_view_origin(&view, view.leaves[0].start, view.leaves[0].end, &start, &end);
    ck_assert_msg(end - start == strlen("a\\u0040\\n"), "%zu", end - start);
    pii_view_clear(&view);
}
END_TEST

static bool count_match(void *context, size_t word, size_t start, size_t end)
{
    (void)word;
    (void)start;
    (void)end;
    ++*(unsigned *)context;
    return true;
}

START_TEST(overlapping_words_are_all_found)
{
    static const struct sl_slice words[] = {{"she", 3}, {"he", 2}, {"hers", 4}, {"Us Her", 6}};
    struct pii_aho *aho;
    unsigned count = 0;
    ck_assert_int_eq(pii_aho_create(words, 4, &aho), SL_OK);
    pii_aho_search(aho, SL_SLICE("uSHERS us  her"), count_match, &count);
    ck_assert_uint_eq(count, 5); /* she, he, hers; he, us her */
    pii_aho_free(aho);
}
END_TEST

START_TEST(check_digits_hold_and_one_wrong_digit_breaks_them)
{
    char card[] = "4111111111111111";
    char aadhaar[] = "234123412346";
    ck_assert(pii_is_card(card, 16));
    ck_assert(pii_verhoeff(aadhaar, 12));
    ck_assert(pii_is_iban("DE89370400440532013000", 22));
    ck_assert(pii_is_base58check("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", 34));
    ck_assert(!pii_is_base58check("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", 34));
    ck_assert(pii_is_bech32("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", 42));
    ck_assert(!pii_is_bech32("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp", 42));
    for (size_t i = 0; i < 16; i++) {
        char kept = card[i];
        card[i] = (char)('0' + (kept - '0' + 1) % 10);
        ck_assert(!pii_luhn(card, 16));
        card[i] = kept;
    }
    for (size_t i = 0; i < 12; i++) {
        char kept = aadhaar[i];
        aadhaar[i] = (char)('0' + (kept - '0' + 1) % 10);
        ck_assert(!pii_verhoeff(aadhaar, 12));
        aadhaar[i] = kept;
    }
}
END_TEST

START_TEST(words_of_policies_are_read_both_ways)
{
    enum sl_pii_type type;
    enum sl_pii_action action;
    for (unsigned i = 0; i < SL_PII_TYPE_COUNT; i++) {
        ck_assert(sl_pii_type_parse(sl_slice_of(sl_pii_type_word((enum sl_pii_type)i)), &type));
        ck_assert_uint_eq(type, i);
    }
    for (unsigned i = 0; i < SL_PII_ACTION_COUNT; i++) {
        ck_assert(
            sl_pii_action_parse(sl_slice_of(sl_pii_action_word((enum sl_pii_action)i)), &action));
        ck_assert_uint_eq(action, i);
    }
    ck_assert(sl_pii_type_parse(SL_SLICE("EMAIL_ADDRESS"), &type));
    ck_assert_int_eq(type, SL_PII_EMAIL);
    ck_assert(!sl_pii_type_parse(SL_SLICE("email"), &type));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pii scan");
    TCase *tcase = tcase_create("scan");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, emails_have_a_name_a_host_and_a_top_level_domain);
    tcase_add_test(tcase, cards_have_an_issuer_and_a_check_digit);
    tcase_add_test(tcase, ibans_have_their_countrys_length_and_check);
    tcase_add_test(tcase, addresses_of_the_net_are_told_from_versions_and_code);
    tcase_add_test(tcase, numbers_that_only_look_like_telephones_stay);
    tcase_add_test(tcase, weak_identifiers_need_a_word_beside_them);
    tcase_add_test(tcase, secrets_are_found_by_form_and_by_word);
    tcase_add_test(tcase, a_secret_wins_over_what_it_holds);
    tcase_add_test(tcase, names_are_found_by_what_stands_around_them);
    tcase_add_test(tcase, a_name_beside_another_find_ends_where_its_letters_end);
    tcase_add_test(tcase, invalid_utf8_is_read_over);
    tcase_add_test(tcase, one_sign_repeated_a_million_times_stays_linear);
    tcase_add_test(tcase, a_view_folds_and_finds_the_way_back);
    tcase_add_test(tcase, a_json_view_decodes_and_lists_the_values);
    tcase_add_test(tcase, overlapping_words_are_all_found);
    tcase_add_test(tcase, check_digits_hold_and_one_wrong_digit_breaks_them);
    tcase_add_test(tcase, words_of_policies_are_read_both_ways);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
