/* SPDX-License-Identifier: Apache-2.0 */
#include "cache_test.h"

#include "similar_text.h"
#include "similar_words.h"
#include "siphash.h"

static const uint64_t word_key[2] = {0x0123456789ABCDEF, 0xFEDCBA9876543210};

/* What the verifier says of two texts; NONE also where one of them is refused as a whole. */
static enum sl_cache_match compare(const char *a, const char *b, bool has_same_meaning)
{
    static struct similar_text text[2];
    static uint8_t bytes[2][WORDS_BYTES_MAX];
    static struct words_view view[2];
    const char *const from[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        if (!similar_text_parse(&text[i], sl_slice_of(from[i])))
            return SL_CACHE_MATCH_NONE;
        size_t len = similar_words_write(word_key, &text[i], bytes[i]);
        ck_assert(similar_words_read((struct sl_slice){(const char *)bytes[i], len}, &view[i]));
    }
    enum sl_cache_match match = similar_verify(&view[0], &view[1], has_same_meaning);
    ck_assert_int_eq(match, similar_verify(&view[1], &view[0], has_same_meaning));
    return match;
}

static void assert_match(enum sl_cache_match expected, const char *a, const char *b)
{
    enum sl_cache_match match = compare(a, b, false);
    ck_assert_msg(match == expected, "%s: %s | %s", sl_cache_match_name(match), a, b);
}

START_TEST(case_marks_white_space_and_politeness_do_not_count)
{
    static const char *const pairs[][2] = {
        {"Who wrote Dracula?", "who wrote dracula"},
        {"  who   wrote\tDracula !", "Who wrote Dracula"},
        {"please tell me the time", "tell me the time, please."},
        {"hey, tell me the time", "tell me the time"},
        {"could you please tell me the time", "could you tell me the time"},
        {"it\xE2\x80\x99s late", "it's late"},
        {"say \xE2\x80\x9Chello\xE2\x80\x9D to Tom", "say \"hello\" to tom"},
        {"\xC3\x9C"
         "BER UNS",
         "\xC3\xBC"
         "ber uns"},
        {"what\xC2\xA0is this", "what is this"},
        {"ship to <PERSON_1> at <LOCATION_1>", "Ship to <PERSON_1> at <LOCATION_1>!"},
        {"remind me, please", "REMIND ME"},
        {"what does opaque mean please", "what does opaque mean"},
        {"what did you say please", "What did you say?"},
        {"hey, please what is this ? please", "what is this"},
        {"done, thanks", "done"},
        {"what's the weather", "what is the weather"},
        {"whats the weather", "What's the weather?"},
        {"i don't know", "i do not know"},
        {"we can not go", "we cannot go"},
        {"we cant go", "we can\xE2\x80\x99t go"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        assert_match(SL_CACHE_MATCH_SURFACE, pairs[i][0], pairs[i][1]);
}
END_TEST

START_TEST(one_misspelt_word_is_a_typo)
{
    static const char *const pairs[][2] = {
        {"what would you recommend", "what wuld you recommend"},   /* lost */
        {"set a reminder for lunch", "set a remminder for lunch"}, /* doubled */
        {"set a reminder for lunch", "set a remindre for lunch"},  /* swapped */
        {"set a reminder for lunch", "set a remonder for lunch"},  /* changed */
        {"show barclay's address", "show barlcay's address"},
        {"please call a taxi", "plesae call a taxi"},
        {"wake me at twelve", "wake me at tweve"},
        {"play something by zamfiro", "play something by zamfrio"}, /* unknown, letters swapped */
        {"play something by zamfor", "play something by zamfoor"},  /* unknown, doubled */
        {"play something by zamfirova", "play something by zamfrova"},
        {"set a remindre for lunch with grandma tomorow", "set a reminder for lunch with grandma "
                                                          "tomorrow"}, /* two in eight words */
        {"plesae set a remonder for lunch with grandma", "please set a reminder for lunch with "
                                                         "grandma"},
        {"set the alarm clock", "set the alarmclock"}, /* run together */
        {"turnon the light", "turn on the light"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        assert_match(SL_CACHE_MATCH_TYPO, pairs[i][0], pairs[i][1]);
}
END_TEST

START_TEST(whatever_may_change_the_meaning_is_refused)
{
    static const char *const pairs[][2] = {
        {"turn the light on", "turn the light off"},
        {"enable 2fa for me", "disable 2fa for me"},
        {"a letter from home", "a letter form home"}, /* two words */
        {"write to my email", "write to my gmail"},
        {"show me the movie", "show me the movies"},
        {"call rosa at noon", "call rose at noon"},
        {"call zorka at noon", "call zorta at noon"}, /* two names */
        {"call erik at noon", "call erika at noon"},
        {"call zamfiro at noon", "call zamfiroa at noon"},
        {"call zamfo at noon", "call zmfo at noon"},
        {"wake me at 7 am", "wake me at 7 pm"},
        {"wake me at 7", "wake me at 8"},
        {"wake me at ninety", "wake me at nineth"}, /* ninth or ninety */
        {"order 15 of them", "order 51 of them"},
        {"how tall is it in feet", "how tall is it in meters"},
        {"is it allowed", "isn't it allowed"},
        {"i can eat nuts", "i can't eat nuts"},
        {"is -5 more", "is 5 more"},
        {"what is .5 of it", "what is 5 of it"},
        {"what is 5!", "what is 5"},
        {"learn c++ fast", "learn c fast"},
        {"2 * ( 3 + 4 )", "2 * 3 + 4"},
        {"x is 10\xC2\xB2", "x is 102"},
        {"dog bites man", "man bites dog"},
        {"mail <EMAIL_1> and <EMAIL_2>", "mail <EMAIL_2> and <EMAIL_1>"},
        {"mail <EMAIL_1> now", "mail <PHONE_1> now"},
        {"how do you say please", "how do you say"},
        {"translate thanks", "translate"},
        {"translate please", "translate"},
        {"spell the word please", "spell the word"},
        {"hello kitty lunchbox", "kitty lunchbox"},
        {"one misspeling and antoher", "one misspelling and another"}, /* two typos, four words */
        {"set a remindre for lnuch with grandma tomorow", "set a reminder for lunch with grandma "
                                                          "tomorrow"}, /* three */
        {"i work every day", "i work everyday"},                       /* a word of its own */
        {"it may be so", "it maybe so"},
        {"he can notice it", "he can not ice it"},
        {"call 55 5 now", "call 5 55 now"},
        {"its late", "it's late"},
        {"we're late", "were late"},
        {"plesae set a remonder", "please set a reminder"},
        {"keine katze", "meine katze"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        assert_match(SL_CACHE_MATCH_NONE, pairs[i][0], pairs[i][1]);
}
END_TEST

START_TEST(code_lists_and_long_texts_are_never_similar)
{
    static const char *const texts[] = {
        "if (x) { y(); }", "first\nsecond", "a = b",       "",        "   ",
        "\x01 control",    "\xFF\xFE",      "<b>bold</b>", "`ls -la`"};
    char long_text[TEXT_BYTES_MAX + 2];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_match(SL_CACHE_MATCH_NONE, texts[i], texts[i]);
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_match(SL_CACHE_MATCH_NONE, long_text, long_text);
    for (size_t i = 0; i < sizeof long_text - 1; i += 2)
        long_text[i] = ' ';
    assert_match(SL_CACHE_MATCH_NONE, long_text, long_text); /* 512 words */
}
END_TEST

START_TEST(politeness_alone_is_a_text_like_any_other)
{
    assert_match(SL_CACHE_MATCH_SURFACE, "please", "Please!");
    assert_match(SL_CACHE_MATCH_SURFACE, "thanks", "thanks.");
    assert_match(SL_CACHE_MATCH_NONE, "thanks", "hello");
}
END_TEST

START_TEST(a_claimed_meaning_needs_equal_numbers_negations_and_sides)
{
    ck_assert_int_eq(compare("how old are you", "tell me your age", true), SL_CACHE_MATCH_MEANING);
    ck_assert_int_eq(compare("how old are you", "tell me your age", false), SL_CACHE_MATCH_NONE);
    ck_assert_int_eq(compare("turn it on", "switch that off", true), SL_CACHE_MATCH_NONE);
    ck_assert_int_eq(compare("wait 5 minutes", "hold on 6 minutes", true), SL_CACHE_MATCH_NONE);
    ck_assert_int_eq(compare("i do like it", "i don't like that", true), SL_CACHE_MATCH_NONE);
    ck_assert_int_eq(compare("ring <PHONE_1>", "call <PHONE_2>", true), SL_CACHE_MATCH_NONE);
    ck_assert_int_eq(compare("5 miles away", "5 feet apart", true), SL_CACHE_MATCH_NONE);
}
END_TEST

START_TEST(hashed_words_cut_anywhere_are_refused)
{
    static struct similar_text text;
    static struct words_view view;
    uint8_t bytes[WORDS_BYTES_MAX];
    ck_assert(similar_text_parse(&text, SL_SLICE("the weather in london tomorrow")));
    size_t len = similar_words_write(word_key, &text, bytes);
    ck_assert(similar_words_read((struct sl_slice){(const char *)bytes, len}, &view));
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, bytes, cut);
        ck_assert(!similar_words_read((struct sl_slice){(const char *)copy, cut}, &view));
        free(copy);
    }
    bytes[0]++;
    ck_assert(!similar_words_read((struct sl_slice){(const char *)bytes, len}, &view));
}
END_TEST

START_TEST(the_word_hash_is_siphash_as_published)
{
    uint64_t key[2] = {0x0706050403020100, 0x0F0E0D0C0B0A0908}; /* appendix A of the paper */
    uint8_t input[15];
    for (uint8_t i = 0; i < sizeof input; i++)
        input[i] = i;
    ck_assert_uint_eq(siphash(key, input, sizeof input), 0xA129CA6149BE45E5);
}
END_TEST

/* ---- through the store --------------------------------------------------------------------- */

static struct sl_cache_similar_text in_scope(struct sl_cache *cache, uint64_t scope,
                                             const char *text)
{
    return (struct sl_cache_similar_text){.scope = key_of(cache, scope), .text = sl_slice_of(text)};
}

static void put_similar(struct sl_cache *cache, uint64_t number, uint64_t scope, const char *text,
                        const char *body)
{
    struct sl_cache_key key = key_of(cache, number);
    struct sl_cache_meta meta = {.kind = SL_CACHE_CLOUD, .app = SL_SLICE("app")};
    struct sl_cache_similar_text similar = in_scope(cache, scope, text);
    ck_assert(sl_cache_put(cache, &key, &meta, sl_slice_of(body), NOW, 3600, &similar));
}

static void assert_similar(struct sl_cache *cache, uint64_t scope, const char *text,
                           const char *body)
{
    struct sl_cache_similar_text similar = in_scope(cache, scope, text);
    struct sl_cache_want want = {.now_s = NOW, .max_age_s = SL_CACHE_ANY_AGE};
    struct sl_cache_entry entry;
    enum sl_cache_match match;
    enum sl_cache_outcome outcome = sl_cache_similar(cache, &similar, &want, &entry, &match);
    ck_assert_int_eq(outcome, body != NULL ? SL_CACHE_HIT : SL_CACHE_MISS);
    ck_assert_int_eq(match != SL_CACHE_MATCH_NONE, body != NULL);
    if (body != NULL)
        ck_assert(sl_slice_equal_text(entry.body, body));
    sl_cache_entry_clear(&entry);
}

START_TEST(a_similar_text_hits_in_its_own_scope_only)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    put_similar(cache, 1, 100, "what is the capital of france", "Paris");
    put_similar(cache, 2, 100, "what is the capital of spain", "Madrid");
    flush(cache);
    assert_similar(cache, 100, "What is the capitol of Spain?", NULL); /* a word of its own */
    assert_similar(cache, 100, "What is the captial of Spain?", "Madrid");
    assert_similar(cache, 100, "please, what is the capital of FRANCE", "Paris");
    assert_similar(cache, 100, "what is the capital of italy", NULL);
    assert_similar(cache, 101, "what is the capital of france", NULL);
    sl_cache_close(cache);
    cache = open_at(&place);
    assert_similar(cache, 100, "what is the captial of spain", "Madrid");
    sl_cache_close(cache);
}
END_TEST

START_TEST(a_replaced_or_purged_answer_is_not_found_by_its_old_text)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    put_similar(cache, 1, 100, "who runs the town", "old");
    flush(cache);
    put_similar(cache, 1, 100, "who rules the country", "new");
    flush(cache);
    assert_similar(cache, 100, "Who runs the town?", NULL);
    assert_similar(cache, 100, "Who rules the country?", "new");
    uint64_t purged;
    struct sl_cache_filter filter = {.app = SL_SLICE("app")};
    ck_assert_int_eq(sl_cache_purge(cache, &filter, &purged, NULL), SL_OK);
    assert_similar(cache, 100, "Who rules the country?", NULL);
    sl_cache_close(cache);
}
END_TEST

START_TEST(the_index_can_be_off)
{
    struct cache_place place = new_place();
    struct sl_cache_config config = config_at(&place);
    config.has_similar = false;
    struct sl_cache *cache = open_with(&config);
    put_similar(cache, 1, 100, "who runs the town", "x");
    flush(cache);
    assert_similar(cache, 100, "Who runs the town?", NULL);
    assert_get(cache, 1, "x");
    sl_cache_close(cache);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("similar");
    TCase *tcase = tcase_create("similar");
    tcase_add_test(tcase, case_marks_white_space_and_politeness_do_not_count);
    tcase_add_test(tcase, one_misspelt_word_is_a_typo);
    tcase_add_test(tcase, whatever_may_change_the_meaning_is_refused);
    tcase_add_test(tcase, code_lists_and_long_texts_are_never_similar);
    tcase_add_test(tcase, politeness_alone_is_a_text_like_any_other);
    tcase_add_test(tcase, a_claimed_meaning_needs_equal_numbers_negations_and_sides);
    tcase_add_test(tcase, hashed_words_cut_anywhere_are_refused);
    tcase_add_test(tcase, the_word_hash_is_siphash_as_published);
    tcase_add_test(tcase, a_similar_text_hits_in_its_own_scope_only);
    tcase_add_test(tcase, a_replaced_or_purged_answer_is_not_found_by_its_old_text);
    tcase_add_test(tcase, the_index_can_be_off);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
