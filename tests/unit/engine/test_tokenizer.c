/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoding: the three kinds of vocabulary on small ones made here, special tokens, the splits of
 * pre-tokenizers, roles, refusals, and that time stays near linear. Ids against the reference
 * implementation are in tests/conformance.
 */
#include "text_fixture.h"
#include "tokenizer_pattern.h"
#include "tokenizer_pre.h"

#include <stdio.h>
#include <time.h>

/* Types of tokens, with the numbers of the format. */
enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER = 4, BYTE = 6 };

static void expect_ids(const struct sl_tokenizer *tokenizer, const char *text, bool add_special,
                       bool parse_special, const int32_t *expected, size_t count)
{
    struct sl_tokens tokens = {0};
    struct sl_error error = {0};
    ck_assert_int_eq(sl_tokenizer_encode(tokenizer, sl_slice_of(text), add_special, parse_special,
                                         &tokens, &error), SL_OK);
    ck_assert_msg(tokens.count == count, "\"%s\": %zu ids, expected %zu", text, tokens.count,
                  count);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(tokens.ids[i] == expected[i], "\"%s\": id %zu is %d, expected %d", text, i,
                      tokens.ids[i], expected[i]);
    sl_tokens_clear(&tokens);
}

#define EXPECT(tokenizer, text, add, parse, ...)                                                   \
    do {                                                                                           \
        const int32_t expected_[] = {__VA_ARGS__};                                                 \
        expect_ids(tokenizer, text, add, parse, expected_,                                         \
                   sizeof expected_ / sizeof expected_[0]);                                        \
    } while (0)

/* ---- SentencePiece ---- */

static struct sl_tokenizer *spm_open(struct text_fixture *fixture)
{
    text_fixture_begin(fixture, "llama", "default");
    text_fixture_token(fixture, "<unk>", UNKNOWN, 0);
    text_fixture_token(fixture, "<s>", CONTROL, 0);
    text_fixture_token(fixture, "</s>", CONTROL, 0);
    text_fixture_token(fixture, "\xE2\x96\x81", NORMAL, -10);     /* 3 */
    text_fixture_token(fixture, "a", NORMAL, -11);                /* 4 */
    text_fixture_token(fixture, "b", NORMAL, -12);                /* 5 */
    text_fixture_token(fixture, "ab", NORMAL, -2);                /* 6 */
    text_fixture_token(fixture, "ba", NORMAL, -1);                /* 7 */
    text_fixture_token(fixture, "\xE2\x96\x81""a", NORMAL, -3);   /* 8 */
    text_fixture_token(fixture, "<0xC3>", BYTE, 0);               /* 9 */
    text_fixture_token(fixture, "<0xA9>", BYTE, 0);               /* 10 */
    text_fixture_token(fixture, "[X]", USER, 0);                  /* 11 */
    return text_fixture_open(fixture);
}

START_TEST(the_best_score_is_merged_first_and_the_leftmost_of_equals)
{
    struct text_fixture fixture;
    struct sl_tokenizer *tokenizer = spm_open(&fixture);
    EXPECT(tokenizer, "ab", false, false, 3, 6);
    EXPECT(tokenizer, "bab", false, false, 3, 7, 5);
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(a_space_goes_before_the_text_and_after_special_tokens_only)
{
    struct text_fixture fixture;
    struct sl_tokenizer *tokenizer = spm_open(&fixture);
    EXPECT(tokenizer, "a", true, true, 1, 8);
    EXPECT(tokenizer, "a</s>a", false, true, 8, 2, 8);
    EXPECT(tokenizer, "[X]a", false, false, 11, 8);
    ck_assert(sl_tokenizer_adds_space_prefix(tokenizer));
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(characters_that_are_no_token_become_byte_tokens_or_unknown)
{
    struct text_fixture fixture;
    struct sl_tokenizer *tokenizer = spm_open(&fixture);
    EXPECT(tokenizer, "a\xC3\xA9", false, false, 8, 9, 10);
    EXPECT(tokenizer, "az", false, false, 8, 0);
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(control_tokens_are_text_unless_parsed_and_user_tokens_always_match)
{
    struct text_fixture fixture;
    struct sl_tokenizer *tokenizer = spm_open(&fixture);
    EXPECT(tokenizer, "</s>", false, true, 2);
    EXPECT(tokenizer, "a[X]", false, false, 8, 11);
    struct sl_tokens tokens = {0};
    struct sl_error error = {0};
    ck_assert_int_eq(sl_tokenizer_encode(tokenizer, SL_SLICE("</s>"), false, false, &tokens,
                                         &error), SL_OK);
    for (size_t i = 0; i < tokens.count; i++)
        ck_assert_int_ne(tokens.ids[i], 2);
    sl_tokens_clear(&tokens);
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(an_empty_text_has_no_ids_but_those_that_are_added)
{
    struct text_fixture fixture;
    struct sl_tokenizer *tokenizer = spm_open(&fixture);
    expect_ids(tokenizer, "", false, false, NULL, 0);
    EXPECT(tokenizer, "", true, false, 1);
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(the_longest_special_token_wins_wherever_it_begins)
{
    struct text_fixture fixture;
    text_fixture_begin(&fixture, "llama", "default");
    text_fixture_token(&fixture, "<unk>", UNKNOWN, 0);
    text_fixture_token(&fixture, "ab", USER, 0);
    text_fixture_token(&fixture, "bcd", USER, 0);
    text_fixture_token(&fixture, "bc", USER, 0);
    text_fixture_token(&fixture, "a", NORMAL, 0);
    text_fixture_bool(&fixture, "tokenizer.ggml.add_space_prefix", false);
    struct sl_tokenizer *tokenizer = text_fixture_open(&fixture);
    EXPECT(tokenizer, "abcd", false, false, 4, 2);
    EXPECT(tokenizer, "abbcbcd", false, false, 1, 3, 2);
    text_fixture_close(&fixture);
}
END_TEST

/* ---- byte pairs ---- */

static struct sl_tokenizer *bpe_open(struct text_fixture *fixture, const char *pre)
{
    text_fixture_begin(fixture, "gpt2", pre);
    text_fixture_bytes(fixture);
    text_fixture_token(fixture, "he", NORMAL, 0);   /* 256 */
    text_fixture_token(fixture, "ll", NORMAL, 0);   /* 257 */
    text_fixture_token(fixture, "hell", NORMAL, 0); /* 258 */
    text_fixture_token(fixture, "xyz", NORMAL, 0);  /* 259: no merge leads here */
    text_fixture_token(fixture, "<|im_end|>", CONTROL, 0); /* 260 */
    text_fixture_merge(fixture, "h e");
    text_fixture_merge(fixture, "l l");
    text_fixture_merge(fixture, "he ll");
    text_fixture_merge(fixture, "hell o"); /* makes a string that is no token */
    return text_fixture_open(fixture);
}

START_TEST(merges_apply_in_the_order_they_were_learned)
{
    struct text_fixture fixture;
    struct sl_tokenizer *tokenizer = bpe_open(&fixture, "gpt-2");
    EXPECT(tokenizer, "hell", false, false, 258);
    EXPECT(tokenizer, "lle", false, false, 257, 'e');
    EXPECT(tokenizer, "hl l", false, false, 'h', 'l', ' ', 'l');
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(a_merge_whose_result_is_no_token_falls_back_to_its_bytes)
{
    struct text_fixture fixture;
    struct sl_tokenizer *tokenizer = bpe_open(&fixture, "gpt-2");
    EXPECT(tokenizer, "hello", false, false, 'h', 'e', 'l', 'l', 'o');
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(a_word_that_is_a_token_needs_no_merges_where_the_family_says_so)
{
    struct text_fixture fixture;
    struct sl_tokenizer *tokenizer = bpe_open(&fixture, "gpt-2");
    EXPECT(tokenizer, "xyz", false, false, 'x', 'y', 'z');
    text_fixture_close(&fixture);
    tokenizer = bpe_open(&fixture, "llama-bpe");
    EXPECT(tokenizer, "xyz", false, false, 259);
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(invalid_utf8_is_read_as_the_replacement_character)
{
    struct text_fixture fixture;
    struct sl_tokenizer *tokenizer = bpe_open(&fixture, "gpt-2");
    EXPECT(tokenizer, "a\xFF", false, false, 'a', 0xEF, 0xBF, 0xBD);
    EXPECT(tokenizer, "\xC3", false, false, 0xEF, 0xBF, 0xBD);
    text_fixture_close(&fixture);
}
END_TEST

START_TEST(end_tokens_are_found_by_key_and_by_name)
{
    struct text_fixture fixture;
    text_fixture_begin(&fixture, "gpt2", "gpt-2");
    text_fixture_bytes(&fixture);
    int32_t by_name = text_fixture_token(&fixture, "<|im_end|>", NORMAL, 0);
    int32_t by_key = text_fixture_token(&fixture, "[stop]", CONTROL, 0);
    text_fixture_merge(&fixture, "a b");
    text_fixture_u32(&fixture, "tokenizer.ggml.eos_token_id", (uint32_t)by_key);
    struct sl_tokenizer *tokenizer = text_fixture_open(&fixture);
    ck_assert(sl_tokenizer_is_end(tokenizer, by_name));
    ck_assert(sl_tokenizer_is_control(tokenizer, by_name));
    ck_assert(sl_tokenizer_is_end(tokenizer, by_key));
    ck_assert(!sl_tokenizer_is_end(tokenizer, 'a'));
    ck_assert(!sl_tokenizer_is_end(tokenizer, -1));
    ck_assert(!sl_tokenizer_is_end(tokenizer, 100000));
    ck_assert_int_eq(sl_tokenizer_eos(tokenizer), by_key);
    ck_assert_int_eq(sl_tokenizer_find(tokenizer, SL_SLICE("<|im_end|>")), by_name);
    ck_assert_int_eq(sl_tokenizer_find(tokenizer, SL_SLICE("nothing")), SL_TOKEN_NONE);
    text_fixture_close(&fixture);
}
END_TEST

/* ---- WordPiece ---- */

START_TEST(words_are_spelled_with_the_longest_pieces_or_are_unknown)
{
    struct text_fixture fixture;
    text_fixture_begin(&fixture, "bert", "default");
    text_fixture_token(&fixture, "[CLS]", CONTROL, 0);
    text_fixture_token(&fixture, "[SEP]", CONTROL, 0);
    text_fixture_token(&fixture, "[UNK]", UNKNOWN, 0);
    text_fixture_token(&fixture, "\xE2\x96\x81""caf", NORMAL, 0);  /* 3 */
    text_fixture_token(&fixture, "e", NORMAL, 0);                  /* 4 */
    text_fixture_token(&fixture, "es", NORMAL, 0);                 /* 5 */
    text_fixture_token(&fixture, "\xE2\x96\x81!", NORMAL, 0);      /* 6 */
    text_fixture_u32(&fixture, "tokenizer.ggml.bos_token_id", 0);
    text_fixture_u32(&fixture, "tokenizer.ggml.seperator_token_id", 1);
    text_fixture_u32(&fixture, "tokenizer.ggml.unknown_token_id", 2);
    struct sl_tokenizer *tokenizer = text_fixture_open(&fixture);
    EXPECT(tokenizer, "Caf\xC3\xA9s CAFE!", true, false, 0, 3, 5, 3, 4, 6, 1);
    EXPECT(tokenizer, "cafex e", false, false, 2, 2);
    EXPECT(tokenizer, "  \t\n", true, false, 0, 1);
    text_fixture_close(&fixture);
}
END_TEST

/* ---- pre-tokenizers ---- */

static const struct {
    const char *pre;
    const char *text;
    const char *pieces; /* separated by "|" */
} splits[] = {
    {"gpt-2", "I'm 12 years,  ok?!\n\nGo", "I|'m| 12| years|,| | ok|?!|\n|\n|Go"},
    {"llama-bpe", "I'M 12345 x  \n y", "I|'M| |123|45| x|  \n| y"},
    {"qwen2", "a123 'Ll\r\n\r\n", "a|1|2|3| '|Ll|\r\n\r\n"},
    {"smollm", "x12 y3", "x|1|2| y|3"},
    {"deepseek-v3", "a12345\xE4\xBD\xA0\xE5\xA5\xBD b.", "a|123|45|\xE4\xBD\xA0\xE5\xA5\xBD| b|."},
    {"deepseek-coder", "if x==10:\n", "if| x|==|1|0|:|\n"},
    {"gpt-4o", "HelloWorld it's ABCdef/", "Hello|World| it's| ABCdef|/"},
    {"tekken", "camelCase 99", "camel|Case| |9|9"},
    {"falcon", "a$b 1234", "a|$|b| |123|4"},
    {"kimi-k2", "\xE4\xBD\xA0" "abc 1", "\xE4\xBD\xA0|abc| |1"},
    {"superbpe", "12345", "12|345"},
    {"tiny_aya", "1234567 x", "1|234|567| x"},
    {"bloom", "Hello, you", "Hello|,| you"},
    {"chameleon", "IMGIMGABZ 1", "IMGIMGABZ| |1"},
    {"exaone-moe", "two words 1", "two words| |1"},
    {"laguna", "a\n\nb", "a|\n\n|b"},
    {"jais-2", "a   b", "a|  | b"},
};

static struct sl_positions split_text(const struct sl_pre *pre, const uint32_t *chars,
                                      uint32_t count)
{
    struct sl_error error = {0};
    struct sl_positions pieces = {.at = malloc(sizeof(uint32_t)), .count = 1, .capacity = 1};
    pieces.at[0] = count;
    for (size_t i = 0; i < SL_PRE_PATTERNS_MAX && pre->patterns[i] != NULL; i++) {
        struct sl_pattern *pattern;
        struct sl_positions next = {0};
        uint32_t begin = 0;
        ck_assert_msg(sl_pattern_compile(pre->patterns[i], &pattern, &error) == SL_OK, "%s",
                      error.message);
        for (size_t j = 0; j < pieces.count; j++) {
            ck_assert_int_eq(sl_pattern_split(pattern, chars, begin, pieces.at[j], &next), SL_OK);
            begin = pieces.at[j];
        }
        sl_pattern_free(pattern);
        free(pieces.at);
        pieces = next;
    }
    return pieces;
}

START_TEST(each_family_cuts_words_as_published)
{
    const struct sl_pre *pre = sl_pre_find(sl_slice_of(splits[_i].pre));
    const char *text = splits[_i].text;
    uint32_t chars[200];
    uint32_t begins[201];
    uint32_t count = 0;
    size_t len = strlen(text);
    char got[400] = "";
    ck_assert_ptr_nonnull(pre);
    for (size_t at = 0; at < len; count++) {
        uint32_t codepoint;
        begins[count] = (uint32_t)at;
        at += sl_utf8_decode(text + at, len - at, &codepoint);
        chars[count] = sl_pattern_char(codepoint);
    }
    begins[count] = (uint32_t)len;
    struct sl_positions pieces = split_text(pre, chars, count);
    uint32_t begin = 0;
    for (size_t i = 0; i < pieces.count; i++) {
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "%s%.*s", i > 0 ? "|" : "",
                 (int)(begins[pieces.at[i]] - begins[begin]), text + begins[begin]);
        begin = pieces.at[i];
    }
    free(pieces.at);
    ck_assert_str_eq(got, splits[_i].pieces);
}
END_TEST

START_TEST(every_name_in_the_table_compiles)
{
    static const char *const names[] = {
        "default", "llama3", "llama-bpe", "dbrx", "glm4", "jais-2", "gpt-2", "mpt", "olmo",
        "trillion", "roberta-bpe", "starcoder", "refact", "command-r", "falcon", "qwen2",
        "stablelm2", "qwen35", "ufakzeka", "laguna", "minicpm5", "bailingmoe", "seed-coder",
        "exaone-moe", "tekken", "gpt-4o", "llama4", "granite-embed-multi-97m", "tiny_aya",
        "youtu", "kimi-k2", "superbpe", "deepseek-llm", "deepseek-coder", "deepseek-v3",
        "spark2_5", "afmoe", "poro-chat", "bloom", "viking", "chameleon", "gemma4", "sarvam-moe",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct sl_pre *pre = sl_pre_find(sl_slice_of(names[i]));
        uint32_t chars[] = {sl_pattern_char('a'), sl_pattern_char(' '), sl_pattern_char('1')};
        ck_assert_msg(pre != NULL, "%s", names[i]);
        struct sl_positions pieces = split_text(pre, chars, 3);
        ck_assert_uint_eq(pieces.at[pieces.count - 1], 3);
        free(pieces.at);
    }
    ck_assert_ptr_null(sl_pre_find(SL_SLICE("no-such-family")));
    ck_assert_ptr_null(sl_pre_find(SL_SLICE("gpt-2 phi-2")));
    ck_assert_ptr_null(sl_pre_find(SL_SLICE("gpt")));
}
END_TEST

/* ---- refusals and time ---- */

START_TEST(an_unknown_model_or_family_is_refused_by_name)
{
    static const char *const cases[][3] = {
        {"rwkv", "default", "tokenizer.ggml.model"},
        {"gpt2", "from-the-future", "tokenizer.ggml.pre"},
    };
    for (size_t i = 0; i < 2; i++) {
        struct text_fixture fixture;
        struct sl_error error = {0};
        text_fixture_begin(&fixture, cases[i][0], cases[i][1]);
        text_fixture_token(&fixture, "a", NORMAL, 0);
        text_fixture_encode(&fixture);
        ck_assert_int_eq(sl_gguf_open_memory(fixture.file.data, fixture.file.len, &fixture.gguf,
                                             &error), SL_OK);
        ck_assert_int_eq(sl_tokenizer_create(fixture.gguf, &fixture.tokenizer, &error),
                         SL_ERR_UNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(error.message, cases[i][2]));
        text_fixture_close(&fixture);
    }
}
END_TEST

/* Of this process alone: the machine may be busy. */
static uint64_t cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Four times the text may take some four times as long; a quadratic way would take sixteen. The
 * factor and the constant leave room for page faults and the sanitizers. */
static uint64_t encode_time(const struct sl_tokenizer *tokenizer, const char *text, size_t len)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 3; i++) {
        struct sl_tokens tokens = {0};
        struct sl_error error = {0};
        uint64_t begin = cpu_us();
        ck_assert_int_eq(sl_tokenizer_encode(tokenizer, (struct sl_slice){text, len}, false, true,
                                             &tokens, &error), SL_OK);
        uint64_t took = cpu_us() - begin;
        best = took < best ? took : best;
        sl_tokens_clear(&tokens);
    }
    return best;
}

START_TEST(time_grows_with_the_text_and_not_with_its_square)
{
    static const char *const pres[] = {"gpt-2", "llama-bpe", "deepseek-llm",
                                       "afmoe", "superbpe",  "tiny_aya"};
    static const char fills[] = "h 7\n<";
    size_t small = 20000;
    char *text = malloc(4 * small);
    for (size_t i = 0; i < sizeof pres / sizeof pres[0]; i++) {
        struct text_fixture fixture;
        struct sl_tokenizer *tokenizer = bpe_open(&fixture, pres[i]);
        for (size_t j = 0; j < sizeof fills - 1; j++) {
            memset(text, fills[j], 4 * small);
            uint64_t one = encode_time(tokenizer, text, small);
            uint64_t four = encode_time(tokenizer, text, 4 * small);
            ck_assert_msg(four < 10 * one + 30000, "%s, '%c': %llu us, then %llu us", pres[i],
                          fills[j], (unsigned long long)one, (unsigned long long)four);
        }
        text_fixture_close(&fixture);
    }
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer");
    TCase *tcase = tcase_create("tokenizer");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, the_best_score_is_merged_first_and_the_leftmost_of_equals);
    tcase_add_test(tcase, a_space_goes_before_the_text_and_after_special_tokens_only);
    tcase_add_test(tcase, characters_that_are_no_token_become_byte_tokens_or_unknown);
    tcase_add_test(tcase, control_tokens_are_text_unless_parsed_and_user_tokens_always_match);
    tcase_add_test(tcase, an_empty_text_has_no_ids_but_those_that_are_added);
    tcase_add_test(tcase, the_longest_special_token_wins_wherever_it_begins);
    tcase_add_test(tcase, merges_apply_in_the_order_they_were_learned);
    tcase_add_test(tcase, a_merge_whose_result_is_no_token_falls_back_to_its_bytes);
    tcase_add_test(tcase, a_word_that_is_a_token_needs_no_merges_where_the_family_says_so);
    tcase_add_test(tcase, invalid_utf8_is_read_as_the_replacement_character);
    tcase_add_test(tcase, end_tokens_are_found_by_key_and_by_name);
    tcase_add_test(tcase, words_are_spelled_with_the_longest_pieces_or_are_unknown);
    tcase_add_loop_test(tcase, each_family_cuts_words_as_published, 0,
                        (int)(sizeof splits / sizeof splits[0]));
    tcase_add_test(tcase, every_name_in_the_table_compiles);
    tcase_add_test(tcase, an_unknown_model_or_family_is_refused_by_name);
    tcase_add_test(tcase, time_grows_with_the_text_and_not_with_its_square);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
