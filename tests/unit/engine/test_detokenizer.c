/* SPDX-License-Identifier: Apache-2.0
 *
 * From ids back to text: streams that never give half a character, control tokens, the leading
 * space of SentencePiece, and the clean-up of whole texts.
 */
#include "text_fixture.h"

enum { NORMAL = 1, CONTROL = 3, USER = 4, BYTE = 6 };

/* Ids 0 to 255 are the bytes; then some longer pieces. */
static struct sl_tokenizer *bytes_open(struct text_fixture *fixture)
{
    text_fixture_begin(fixture, "gpt2", "gpt-2");
    text_fixture_bytes(fixture);
    text_fixture_token(fixture, "\xC4\xA0hi", NORMAL, 0);   /* 256: " hi" */
    text_fixture_token(fixture, "<|im_end|>", CONTROL, 0);  /* 257 */
    text_fixture_token(fixture, "<think>", USER, 0);        /* 258 */
    text_fixture_merge(fixture, "a b");
    return text_fixture_open(fixture);
}

static void feed_text(struct sl_detokenizer *detokenizer, int32_t id, const char *expected)
{
    struct sl_slice text = sl_detokenizer_feed(detokenizer, id);
    ck_assert_msg(sl_slice_equal_text(text, expected), "id %d gave \"%.*s\", expected \"%s\"", id,
                  SL_SLICE_ARG(text), expected);
}

START_TEST(a_character_waits_until_its_last_byte)
{
    struct text_fixture fixture;
    struct sl_detokenizer detokenizer;
    sl_detokenizer_init(&detokenizer, bytes_open(&fixture));
    feed_text(&detokenizer, 'a', "a");
    feed_text(&detokenizer, 0xF0, "");
    feed_text(&detokenizer, 0x9F, "");
    feed_text(&detokenizer, 0x98, "");
    feed_text(&detokenizer, 0x80, "\xF0\x9F\x98\x80");
    feed_text(&detokenizer, 256, " hi");
    ck_assert_uint_eq(sl_detokenizer_flush(&detokenizer).len, 0);
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(bytes_that_cannot_become_a_character_are_replaced_at_once)
{
    struct text_fixture fixture;
    struct sl_detokenizer detokenizer;
    sl_detokenizer_init(&detokenizer, bytes_open(&fixture));
    feed_text(&detokenizer, 0xFF, "\xEF\xBF\xBD");
    feed_text(&detokenizer, 0xC3, "");
    feed_text(&detokenizer, 'x', "\xEF\xBF\xBDx");
    feed_text(&detokenizer, 0xE2, "");
    ck_assert(sl_slice_equal_text(sl_detokenizer_flush(&detokenizer), "\xEF\xBF\xBD"));
    ck_assert_uint_eq(sl_detokenizer_flush(&detokenizer).len, 0);
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(control_tokens_give_nothing_unless_shown_and_user_tokens_are_text)
{
    struct text_fixture fixture;
    struct sl_detokenizer detokenizer;
    sl_detokenizer_init(&detokenizer, bytes_open(&fixture));
    feed_text(&detokenizer, 257, "");
    feed_text(&detokenizer, 258, "<think>");
    feed_text(&detokenizer, -1, "");
    feed_text(&detokenizer, 1000000, "");
    detokenizer.show_control = true;
    feed_text(&detokenizer, 257, "<|im_end|>");
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(a_stream_joined_is_the_text_whatever_the_cut)
{
    static const char text[] = "na\xC3\xAFve \xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x8F\xB3\xEF\xB8\x8F, ok ! ";
    struct text_fixture fixture;
    struct sl_detokenizer detokenizer;
    struct sl_buf joined;
    sl_buf_init(&joined, 1000);
    sl_detokenizer_init(&detokenizer, bytes_open(&fixture));
    for (const char *at = text; *at != '\0'; at++) {
        struct sl_slice piece = sl_detokenizer_feed(&detokenizer, (uint8_t)*at);
        ck_assert(sl_utf8_is_valid(piece.data, piece.len));
        ck_assert_int_eq(sl_buf_append_slice(&joined, piece), SL_OK);
    }
    ck_assert_str_eq(joined.data, text);
    sl_buf_clear(&joined);
    text_fixture_close(&fixture);
}
END_TEST

static struct sl_tokenizer *spm_open(struct text_fixture *fixture)
{
    text_fixture_begin(fixture, "llama", "default");
    text_fixture_token(fixture, "<unk>", 2, 0);
    text_fixture_token(fixture, "<s>", CONTROL, 0);
    text_fixture_token(fixture, "</s>", CONTROL, 0);
    text_fixture_token(fixture, "\xE2\x96\x81hi", NORMAL, 0); /* 3 */
    text_fixture_token(fixture, "<0xC3>", BYTE, 0);           /* 4 */
    text_fixture_token(fixture, "<0xA9>", BYTE, 0);           /* 5 */
    return text_fixture_open(fixture);
}

START_TEST(sentencepiece_loses_the_space_before_a_text_but_not_in_an_answer)
{
    static const int32_t ids[] = {3, 3, 4, 5};
    struct text_fixture fixture;
    struct sl_detokenizer detokenizer;
    struct sl_buf text;
    sl_buf_init(&text, 100);
    struct sl_tokenizer *tokenizer = spm_open(&fixture);
    ck_assert_int_eq(sl_tokenizer_decode(tokenizer, ids, 4, false, &text), SL_OK);
    ck_assert_str_eq(text.data, "hi hi\xC3\xA9");
    sl_detokenizer_init(&detokenizer, tokenizer);
    feed_text(&detokenizer, 3, " hi");
    sl_detokenizer_init(&detokenizer, tokenizer);
    detokenizer.strip_space = sl_tokenizer_adds_space_prefix(tokenizer);
    feed_text(&detokenizer, 1, "");
    feed_text(&detokenizer, 3, "hi");
    feed_text(&detokenizer, 3, " hi");
    feed_text(&detokenizer, 4, "");
    feed_text(&detokenizer, 5, "\xC3\xA9");
    sl_buf_clear(&text);
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(a_piece_is_the_bytes_of_its_token)
{
    struct text_fixture fixture;
    struct sl_tokenizer *tokenizer = bytes_open(&fixture);
    for (int32_t byte = 0; byte < 256; byte++) {
        struct sl_slice piece = sl_tokenizer_piece(tokenizer, byte);
        ck_assert_uint_eq(piece.len, 1);
        ck_assert_int_eq((uint8_t)piece.data[0], byte);
    }
    ck_assert(sl_slice_equal_text(sl_tokenizer_piece(tokenizer, 256), " hi"));
    ck_assert(sl_slice_equal_text(sl_tokenizer_piece(tokenizer, 257), "<|im_end|>"));
    ck_assert_uint_eq(sl_tokenizer_piece(tokenizer, -5).len, 0);
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(whole_texts_of_some_families_lose_the_space_before_punctuation)
{
    static const char given[] = "ok , it 's a ' b do n't !";
    struct text_fixture fixture;
    struct sl_buf text;
    int32_t ids[sizeof given];
    sl_buf_init(&text, 100);
    struct sl_tokenizer *tokenizer = bytes_open(&fixture);
    for (size_t i = 0; i < sizeof given - 1; i++)
        ids[i] = given[i];
    ck_assert_int_eq(sl_tokenizer_decode(tokenizer, ids, sizeof given - 1, false, &text), SL_OK);
    ck_assert_str_eq(text.data, "ok, it's a'b do n't!");
    sl_buf_clear(&text);
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(a_full_buffer_is_an_error_and_not_a_cut_text)
{
    static const int32_t ids[] = {'a', 'b', 'c'};
    struct text_fixture fixture;
    struct sl_buf text;
    sl_buf_init(&text, 2);
    ck_assert_int_eq(sl_tokenizer_decode(bytes_open(&fixture), ids, 3, false, &text),
                     SL_ERR_LIMIT);
    sl_buf_clear(&text);
    text_fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("detokenizer");
    TCase *tcase = tcase_create("detokenizer");
    tcase_add_test(tcase, a_character_waits_until_its_last_byte);
    tcase_add_test(tcase, bytes_that_cannot_become_a_character_are_replaced_at_once);
    tcase_add_test(tcase, control_tokens_give_nothing_unless_shown_and_user_tokens_are_text);
    tcase_add_test(tcase, a_stream_joined_is_the_text_whatever_the_cut);
    tcase_add_test(tcase, sentencepiece_loses_the_space_before_a_text_but_not_in_an_answer);
    tcase_add_test(tcase, a_piece_is_the_bytes_of_its_token);
    tcase_add_test(tcase, whole_texts_of_some_families_lose_the_space_before_punctuation);
    tcase_add_test(tcase, a_full_buffer_is_an_error_and_not_a_cut_text);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
