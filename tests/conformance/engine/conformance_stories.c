/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole engine on a real trained model: greedy text of stories260K must be that of llama2.c's
 * run.c and of llama.cpp, byte for byte, in F32 and F16, alone and beside other streams.
 */
#include "sluice/clock.h"
#include "sluice/engine.h"
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS 200 /* run.c counts the prompt's but for BOS among them, llama.cpp does not */
#define BOS 1      /* ends a story in this model */
#define STREAMS 4

struct story {
    const char *prompt;
    const char *file;
    bool counts_prompt;
};

static const struct story stories[] = {
    {"", "engine/stories/run_c_greedy_200_empty.txt", true},
    {"Once upon a time", "engine/stories/run_c_greedy_200_once.txt", true},
    {"", "engine/stories/llamacpp_greedy_200_empty.txt", false},
    {"Once upon a time", "engine/stories/llamacpp_greedy_200_once.txt", false},
};
#define STORY_COUNT (sizeof stories / sizeof *stories)

static struct sl_engine *open_engine(const char *type, enum sl_kv_type kv_type)
{
    char name[128];
    snprintf(name, sizeof name, "engine/models/stories260K/stories260K-%s.gguf", type);
    const struct sl_engine_config config = {
        .model_path = sl_test_reference(name), .threads = 2, .kv_type = kv_type};
    struct sl_engine *engine;
    struct sl_error error = {0};
    enum sl_err err = sl_engine_open(&config, &engine, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    return engine;
}

static struct sl_generation *start(struct sl_engine *engine, const struct story *story,
                                   struct sl_prompt **prompt)
{
    struct sl_error error = {0};
    enum sl_err err =
        sl_engine_prepare_text(engine, sl_slice_of(story->prompt), true, false, prompt, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    const struct sl_generate_params params = {
        .tokens_max = story->counts_prompt ? TOKENS + 1 - sl_prompt_tokens(*prompt) : TOKENS,
        .ignore_end = true};
    struct sl_generation *generation;
    err = sl_engine_generate(engine, *prompt, &params, &generation, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    return generation;
}

/* Prompt and answer up to the BOS that ends the story; free() it. */
static char *finish(struct sl_generation *generation, const char *prompt)
{
    struct sl_buf text;
    sl_buf_init(&text, 1 << 16);
    ck_assert_int_eq(sl_buf_append_text(&text, prompt), SL_OK);
    bool is_over = false;
    for (struct sl_event event = {0}; !event.is_last;) {
        ck_assert_int_eq(sl_generation_next(generation, SL_DEADLINE_NEVER, &event), SL_OK);
        is_over |= event.kind == SL_EVENT_TOKEN && event.token == BOS;
        if (!is_over)
            ck_assert_int_eq(sl_buf_append_slice(&text, event.text), SL_OK);
    }
    sl_generation_free(generation);
    ck_assert_int_eq(sl_buf_append_char(&text, '\0'), SL_OK);
    return sl_buf_take(&text, NULL);
}

/* Byte for byte; only white space at the ends does not count. */
static bool is_same_story(const char *ours, const char *wanted)
{
    ours += strspn(ours, " \n");
    wanted += strspn(wanted, " \n");
    size_t ours_len = strlen(ours);
    size_t wanted_len = strlen(wanted);
    while (ours_len > 0 && strchr(" \n", ours[ours_len - 1]) != NULL)
        ours_len--;
    while (wanted_len > 0 && strchr(" \n", wanted[wanted_len - 1]) != NULL)
        wanted_len--;
    return ours_len == wanted_len && memcmp(ours, wanted, ours_len) == 0;
}

static size_t run_stories(const char *type, enum sl_kv_type kv_type)
{
    struct sl_engine *engine = open_engine(type, kv_type);
    size_t passed = 0;
    for (size_t idx = 0; idx < STORY_COUNT; idx++) {
        char *wanted = sl_test_read_file(sl_test_reference(stories[idx].file), NULL);
        struct sl_prompt *prompt;
        char *ours = finish(start(engine, &stories[idx], &prompt), stories[idx].prompt);
        const bool same = is_same_story(ours, wanted);
        printf("# %-4s %-48s %s\n", type, stories[idx].file, same ? "same" : "differs");
        passed += same;
        free(ours);
        free(wanted);
        sl_prompt_free(prompt);
    }
    sl_engine_close(engine);
    return passed;
}

START_TEST(greedy_text_is_that_of_the_reference)
{
    size_t passed = run_stories("F32", SL_KV_F32);
    passed += run_stories("F32", SL_KV_F16);
    passed += run_stories("F16", SL_KV_F16);
    printf("# stories: %zu of %zu cases passed\n", passed, 3 * STORY_COUNT);
    ck_assert_uint_eq(passed, 3 * STORY_COUNT);
}
END_TEST

START_TEST(streams_that_run_together_tell_the_same_stories)
{
    struct sl_engine *engine = open_engine("F32", SL_KV_F32);
    struct sl_prompt *prompts[STREAMS];
    struct sl_generation *generations[STREAMS];
    for (size_t idx = 0; idx < STREAMS; idx++)
        generations[idx] = start(engine, &stories[idx], &prompts[idx]);
    for (size_t idx = 0; idx < STREAMS; idx++) {
        char *wanted = sl_test_read_file(sl_test_reference(stories[idx].file), NULL);
        char *ours = finish(generations[idx], stories[idx].prompt);
        ck_assert_msg(is_same_story(ours, wanted), "stream %zu: %s", idx, ours);
        free(ours);
        free(wanted);
        sl_prompt_free(prompts[idx]);
    }
    sl_engine_close(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stories");
    TCase *tcase = tcase_create("stories");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, greedy_text_is_that_of_the_reference);
    tcase_add_test(tcase, streams_that_run_together_tell_the_same_stories);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
