/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/utf8.h"
#include "test_support.h"

#include <string.h>

START_TEST(every_scalar_value_survives_a_round_trip)
{
    for (uint32_t codepoint = 0; codepoint <= 0x10FFFF; codepoint++) {
        char bytes[4];
        uint32_t back;
        if (codepoint >= 0xD800 && codepoint <= 0xDFFF)
            continue;
        size_t len = sl_utf8_encode(codepoint, bytes);
        if (sl_utf8_sequence_len(bytes, len) != len || sl_utf8_decode(bytes, len, &back) != len ||
            back != codepoint)
            ck_abort_msg("U+%04X", (unsigned)codepoint);
    }
}
END_TEST

START_TEST(overlong_surrogate_stray_and_cut_bytes_are_invalid)
{
    static const char *const invalid[] = {"\xC0\x80",
                                          "\xC1\xBF",
                                          "\xE0\x9F\xBF",
                                          "\xED\xA0\x80",
                                          "\xF0\x8F\xBF\xBF",
                                          "\xF4\x90\x80\x80",
                                          "\xF5\x80\x80\x80",
                                          "\x80",
                                          "\xBF",
                                          "\xFE",
                                          "\xFF",
                                          "\xC3",
                                          "\xE2\x82",
                                          "\xF0\x9F\x98",
                                          "\xC3(",
                                          "\xE2\x28\xA1"};
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++) {
        uint32_t codepoint;
        size_t len = strlen(invalid[i]);
        ck_assert_uint_eq(sl_utf8_sequence_len(invalid[i], len), 0);
        ck_assert(!sl_utf8_is_valid(invalid[i], len));
        ck_assert_uint_eq(sl_utf8_decode(invalid[i], len, &codepoint), 1);
        ck_assert_uint_eq(codepoint, 0xFFFD);
    }
}
END_TEST

START_TEST(validity_is_seen_at_every_position_of_a_long_text)
{
    for (size_t at = 0; at < 40; at++) {
        char text[40];
        memset(text, 'a', sizeof text);
        ck_assert(sl_utf8_is_valid(text, sizeof text));
        text[at] = (char)0x80;
        ck_assert(!sl_utf8_is_valid(text, sizeof text));
    }
    ck_assert(sl_utf8_is_valid("", 0));
    ck_assert(sl_utf8_is_valid("aaaaaaa\xF0\x9F\x98\x80z", 12));
}
END_TEST

START_TEST(a_stream_holds_back_only_what_can_still_become_a_character)
{
    static const char text[] = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"; /* 1 + 2 + 3 + 4 bytes */
    static const size_t complete[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
    for (size_t len = 0; len <= 10; len++)
        ck_assert_uint_eq(sl_utf8_complete_prefix(text, len), complete[len]);
    ck_assert_uint_eq(sl_utf8_complete_prefix("a\x80\x80", 3), 3); /* stray: nothing to wait for */
    ck_assert_uint_eq(sl_utf8_complete_prefix("a\xED\xA0", 3), 3); /* a surrogate never completes */
    ck_assert_uint_eq(sl_utf8_complete_prefix("\xF0\x9F", 2), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("utf8");
    TCase *tcase = tcase_create("utf8");
    tcase_add_test(tcase, every_scalar_value_survives_a_round_trip);
    tcase_add_test(tcase, overlong_surrogate_stray_and_cut_bytes_are_invalid);
    tcase_add_test(tcase, validity_is_seen_at_every_position_of_a_long_text);
    tcase_add_test(tcase, a_stream_holds_back_only_what_can_still_become_a_character);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
