/* SPDX-License-Identifier: Apache-2.0
 *
 * The public face of the engine over tiny random models: events, text, statistics, errors.
 */
#include "sluice/clock.h"
#include "sluice/engine.h"
#include "tiny_model.h"

#include <malloc.h>
#include <math.h>

#define PROMPT "the quick brown fox jumps over the lazy dog"
#define ANSWER 40

static struct sl_engine *open_tiny(struct tiny_model tiny, struct sl_engine_config config)
{
    struct sl_engine *engine;
    struct sl_error error = {0};
    config.model_path = tiny_model_write(tiny, "tiny.gguf");
    if (config.threads == 0)
        config.threads = 2;
    enum sl_err err = sl_engine_open(&config, &engine, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    return engine;
}

static struct sl_engine *open_default(void)
{
    return open_tiny((struct tiny_model){0}, (struct sl_engine_config){.kv_type = SL_KV_F32});
}

static struct sl_prompt *prepare(struct sl_engine *engine, const char *text)
{
    struct sl_prompt *prompt;
    struct sl_error error = {0};
    enum sl_err err =
        sl_engine_prepare_text(engine, sl_slice_of(text), true, false, &prompt, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    return prompt;
}

static struct sl_generation *generate(struct sl_engine *engine, const struct sl_prompt *prompt,
                                      struct sl_generate_params params)
{
    struct sl_generation *generation;
    struct sl_error error = {0};
    enum sl_err err = sl_engine_generate(engine, prompt, &params, &generation, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    return generation;
}

/* What came of a generation. */
struct answer {
    char text[4096];
    size_t len;
    int32_t tokens[512];
    uint32_t token_count;
    struct sl_token_stats last_stats;
    struct sl_prompt_stats prompt;
    enum sl_finish finish;
};

/* Reads to the end and checks the order of events. */
static struct answer read_all(struct sl_generation *generation)
{
    struct answer answer = {0};
    struct sl_event event = {0};
    bool had_prefill = false;
    while (!event.is_last) {
        ck_assert_int_eq(sl_generation_next(generation, SL_DEADLINE_NEVER, &event), SL_OK);
        ck_assert_uint_lt(answer.len + event.text.len, sizeof answer.text);
        if (event.text.len > 0)
            memcpy(answer.text + answer.len, event.text.data, event.text.len);
        answer.len += event.text.len;
        if (event.kind == SL_EVENT_PREFILL) {
            ck_assert(!had_prefill);
            had_prefill = true;
            answer.prompt = event.prompt;
        } else if (event.kind == SL_EVENT_TOKEN) {
            ck_assert(had_prefill);
            answer.tokens[answer.token_count++] = event.token;
            answer.last_stats = event.stats;
            ck_assert(event.stats.logprob <= 0 && event.stats.entropy >= 0 &&
                      event.stats.margin >= 0);
        }
        ck_assert_int_eq(event.is_last, event.kind == SL_EVENT_END);
    }
    answer.finish = event.finish;
    ck_assert_uint_eq(sl_generation_tokens(generation), answer.token_count);
    ck_assert_int_eq(sl_generation_next(generation, SL_DEADLINE_NEVER, &event), SL_ERR_INVALID);
    sl_generation_free(generation);
    return answer;
}

static struct answer run(struct sl_engine *engine, const char *text,
                         struct sl_generate_params params)
{
    struct sl_prompt *prompt = prepare(engine, text);
    struct answer answer = read_all(generate(engine, prompt, params));
    sl_prompt_free(prompt);
    return answer;
}

static const struct sl_generate_params greedy = {.tokens_max = ANSWER, .ignore_end = true};

static bool is_same_answer(const struct answer *a, const struct answer *b)
{
    return a->token_count == b->token_count && a->len == b->len &&
           memcmp(a->tokens, b->tokens, a->token_count * sizeof a->tokens[0]) == 0 &&
           memcmp(a->text, b->text, a->len) == 0;
}

START_TEST(info_describes_the_file)
{
    struct sl_engine *engine = open_default();
    const struct sl_model_info *info = sl_engine_info(engine);
    ck_assert_str_eq(info->name, "tiny");
    ck_assert_str_eq(info->architecture, "llama");
    ck_assert_str_eq(info->quantization, "F32");
    ck_assert_uint_eq(info->vocab_size, TINY_VOCAB);
    ck_assert_uint_eq(info->context_tokens, 256);
    ck_assert_uint_eq(info->embedding_size, 64);
    ck_assert(info->can_generate && info->can_embed);
    uint8_t zeros[32] = {0};
    ck_assert_mem_ne(info->digest, zeros, 32);
    ck_assert_mem_ne(info->template_digest, zeros, 32);
    sl_engine_close(engine);
}
END_TEST

START_TEST(an_answer_ends_at_its_length)
{
    struct sl_engine *engine = open_default();
    const struct answer answer = run(engine, PROMPT, greedy);
    ck_assert_int_eq(answer.finish, SL_FINISH_LENGTH);
    ck_assert_uint_eq(answer.token_count, ANSWER);
    sl_engine_close(engine);
}
END_TEST

START_TEST(without_a_length_an_answer_fills_the_context)
{
    struct sl_engine *engine = open_default();
    struct sl_prompt *prompt = prepare(engine, PROMPT);
    const struct answer answer =
        read_all(generate(engine, prompt, (struct sl_generate_params){.ignore_end = true}));
    ck_assert_int_eq(answer.finish, SL_FINISH_LENGTH);
    ck_assert_uint_eq(answer.token_count + sl_prompt_tokens(prompt), 256);
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

START_TEST(the_same_seed_gives_the_same_answer_and_another_seed_another)
{
    struct sl_engine *engine = open_default();
    struct sl_generate_params params = greedy;
    params.temperature = 1;
    params.seed = 42;
    const struct answer first = run(engine, PROMPT, params);
    const struct answer again = run(engine, PROMPT, params);
    params.seed = 43;
    const struct answer other = run(engine, PROMPT, params);
    ck_assert(is_same_answer(&first, &again));
    ck_assert(!is_same_answer(&first, &other));
    sl_engine_close(engine);
}
END_TEST

#define STREAMS 6

START_TEST(streams_that_run_together_answer_as_they_do_alone)
{
    struct sl_engine *engine = open_default();
    static const char *const texts[STREAMS] = {
        "a", PROMPT, PROMPT PROMPT, PROMPT " and so on", "b b b b b b b b b b b", "cd"};
    struct answer alone[STREAMS];
    struct sl_prompt *prompts[STREAMS];
    struct sl_generation *generations[STREAMS];
    for (size_t idx = 0; idx < STREAMS; idx++)
        alone[idx] = run(engine, texts[idx], greedy);
    for (size_t idx = 0; idx < STREAMS; idx++) {
        prompts[idx] = prepare(engine, texts[idx]);
        generations[idx] = generate(engine, prompts[idx], greedy);
    }
    for (size_t idx = 0; idx < STREAMS; idx++) {
        const struct answer together = read_all(generations[idx]);
        ck_assert_msg(is_same_answer(&alone[idx], &together), "stream %zu", idx);
        sl_prompt_free(prompts[idx]);
    }
    sl_engine_close(engine);
}
END_TEST

START_TEST(text_before_a_stop_string_is_shown_and_nothing_after)
{
    struct sl_engine *engine = open_default();
    const struct answer whole = run(engine, PROMPT, greedy);
    ck_assert_uint_gt(whole.len, 30);
    struct sl_generate_params params = greedy;
    params.stop_count = 2;
    params.stop[0] = SL_SLICE("never to be seen");
    params.stop[1] = (struct sl_slice){whole.text + 15, 6};
    const struct answer cut = run(engine, PROMPT, params);
    ck_assert_int_eq(cut.finish, SL_FINISH_STOP);
    size_t first = 0; /* the six bytes may occur sooner */
    while (memcmp(whole.text + first, whole.text + 15, 6) != 0)
        first++;
    ck_assert_uint_eq(cut.len, first);
    ck_assert_mem_eq(cut.text, whole.text, first);
    params.stop_count = 1;
    const struct answer uncut = run(engine, PROMPT, params);
    ck_assert(is_same_answer(&whole, &uncut));
    sl_engine_close(engine);
}
END_TEST

START_TEST(a_bias_forces_a_token_and_does_not_change_the_statistics)
{
    struct sl_engine *engine = open_default();
    const struct sl_logit_bias bias[] = {{70, 100}};
    struct sl_generate_params params = greedy;
    params.logit_bias = bias;
    params.logit_bias_count = 1;
    params.tokens_max = 3;
    const struct answer answer = run(engine, PROMPT, params);
    for (uint32_t idx = 0; idx < 3; idx++)
        ck_assert_int_eq(answer.tokens[idx], 70);
    ck_assert_float_lt(answer.last_stats.logprob, -0.1f);
    sl_engine_close(engine);
}
END_TEST

START_TEST(alternatives_begin_with_the_greedy_token)
{
    struct sl_engine *engine = open_default();
    struct sl_prompt *prompt = prepare(engine, PROMPT);
    struct sl_generate_params params = greedy;
    params.top_logprobs = 5;
    struct sl_generation *generation = generate(engine, prompt, params);
    struct sl_event event = {0};
    while (!event.is_last) {
        ck_assert_int_eq(sl_generation_next(generation, SL_DEADLINE_NEVER, &event), SL_OK);
        if (event.kind != SL_EVENT_TOKEN)
            continue;
        ck_assert_int_eq(event.alternatives[0].token, event.token);
        ck_assert_float_eq_tol(event.alternatives[0].logprob, event.stats.logprob, 1e-4f);
        ck_assert_float_eq_tol(event.alternatives[0].logprob - event.alternatives[1].logprob,
                               event.stats.margin, 1e-4f);
        for (size_t idx = 1; idx < 5; idx++)
            ck_assert(event.alternatives[idx].logprob <= event.alternatives[idx - 1].logprob);
    }
    sl_generation_free(generation);
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

START_TEST(a_prompt_seen_before_is_reused_and_scored_the_same)
{
    struct sl_engine *engine = open_default();
    const struct answer first = run(engine, PROMPT, greedy);
    const struct answer second = run(engine, PROMPT, greedy);
    ck_assert_uint_eq(first.prompt.reused_tokens, 0);
    ck_assert_uint_gt(second.prompt.reused_tokens, 30);
    ck_assert(is_same_answer(&first, &second));
    ck_assert_uint_eq(first.prompt.scored_tokens, second.prompt.scored_tokens);
    ck_assert_float_eq_tol(first.prompt.logprob_mean, second.prompt.logprob_mean, 1e-4f);
    ck_assert_float_eq_tol(first.prompt.logprob_worst_window, second.prompt.logprob_worst_window,
                           1e-4f);
    sl_engine_close(engine);
}
END_TEST

START_TEST(prompt_statistics_are_those_of_its_scored_tokens)
{
    struct sl_engine *engine = open_default();
    struct sl_prompt *prompt = prepare(engine, PROMPT);
    const uint32_t count = sl_prompt_tokens(prompt);
    float *logprobs = calloc(count, sizeof *logprobs);
    struct sl_error error = {0};
    ck_assert_int_eq(sl_engine_score(engine, prompt, logprobs, &error), SL_OK);
    double sum = 0;
    double worst = INFINITY;
    for (uint32_t idx = 0; idx + 1 < count; idx++)
        sum += (double)logprobs[idx];
    for (uint32_t idx = 0; idx + 8 < count; idx++) {
        double window = 0;
        for (uint32_t at = idx; at < idx + 8; at++)
            window += (double)logprobs[at] / 8;
        worst = fmin(worst, window);
    }
    const struct answer answer = read_all(generate(engine, prompt, greedy));
    ck_assert_uint_eq(answer.prompt.scored_tokens, count - 1);
    ck_assert_float_eq_tol(answer.prompt.logprob_mean, (float)(sum / (count - 1)), 1e-3f);
    ck_assert_float_eq_tol(answer.prompt.logprob_worst_window, (float)worst, 1e-3f);
    free(logprobs);
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

START_TEST(what_does_not_fit_or_make_sense_is_refused)
{
    struct sl_engine *engine = open_default();
    struct sl_prompt *prompt;
    struct sl_generation *generation;
    struct sl_error error = {0};
    int32_t ids[300] = {0};
    ck_assert_int_eq(sl_engine_prepare_ids(engine, ids, 256, &prompt, &error), SL_OK);
    ck_assert_int_eq(sl_engine_generate(engine, prompt, &greedy, &generation, &error),
                     SL_ERR_CONTEXT_LENGTH);
    sl_prompt_free(prompt);
    ck_assert_int_eq(sl_engine_prepare_ids(engine, ids, 0, &prompt, &error), SL_OK);
    ck_assert_int_eq(sl_engine_generate(engine, prompt, &greedy, &generation, &error),
                     SL_ERR_INVALID);
    sl_prompt_free(prompt);
    ids[3] = TINY_VOCAB;
    ck_assert_int_eq(sl_engine_prepare_ids(engine, ids, 10, &prompt, &error), SL_ERR_INVALID);
    ids[3] = -1;
    ck_assert_int_eq(sl_engine_prepare_ids(engine, ids, 10, &prompt, &error), SL_ERR_INVALID);
    prompt = prepare(engine, PROMPT);
    const struct sl_generate_params bad[] = {{.temperature = -1},
                                             {.temperature = NAN},
                                             {.top_p = 1.5f},
                                             {.min_p = -0.1f},
                                             {.top_logprobs = SL_TOP_LOGPROBS_MAX + 1},
                                             {.presence_penalty = INFINITY}};
    for (size_t idx = 0; idx < sizeof bad / sizeof *bad; idx++)
        ck_assert_int_eq(sl_engine_generate(engine, prompt, &bad[idx], &generation, &error),
                         SL_ERR_INVALID);
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

START_TEST(an_encoder_embeds_and_does_not_generate)
{
    struct sl_engine *engine = open_tiny((struct tiny_model){.arch = "nomic-bert", .kv_heads = 4},
                                         (struct sl_engine_config){0});
    struct sl_error error = {0};
    float one[64];
    float two[64];
    uint32_t tokens = 0;
    ck_assert(!sl_engine_info(engine)->can_generate);
    ck_assert_int_eq(sl_engine_embed(engine, SL_SLICE("the cab"), one, &tokens, &error), SL_OK);
    ck_assert_uint_gt(tokens, 3);
    ck_assert_int_eq(sl_engine_embed(engine, SL_SLICE("the cab"), two, &tokens, &error), SL_OK);
    ck_assert_mem_eq(one, two, sizeof one);
    ck_assert_int_eq(sl_engine_embed(engine, SL_SLICE("a bad dab"), two, &tokens, &error), SL_OK);
    ck_assert_mem_ne(one, two, sizeof one);
    struct sl_prompt *prompt = prepare(engine, "x");
    struct sl_generation *generation;
    ck_assert_int_eq(sl_engine_generate(engine, prompt, &greedy, &generation, &error),
                     SL_ERR_UNSUPPORTED);
    sl_prompt_free(prompt);
    char *large = malloc(3000);
    memset(large, 'x', 3000);
    ck_assert_int_eq(sl_engine_embed(engine, (struct sl_slice){large, 3000}, one, &tokens, &error),
                     SL_ERR_CONTEXT_LENGTH);
    free(large);
    sl_engine_close(engine);
}
END_TEST

START_TEST(a_decoder_embeds_beside_running_streams)
{
    struct sl_engine *engine = open_default();
    struct sl_error error = {0};
    float before[64];
    float during[64];
    uint32_t tokens;
    ck_assert_int_eq(sl_engine_embed(engine, SL_SLICE(PROMPT), before, &tokens, &error), SL_OK);
    struct sl_prompt *prompt = prepare(engine, "another one");
    struct sl_generation *generation = generate(engine, prompt, greedy);
    ck_assert_int_eq(sl_engine_embed(engine, SL_SLICE(PROMPT), during, &tokens, &error), SL_OK);
    ck_assert_mem_eq(before, during, sizeof before);
    (void)read_all(generation);
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

START_TEST(tokens_and_text_convert_both_ways)
{
    struct sl_engine *engine = open_default();
    struct sl_error error = {0};
    int32_t *ids;
    size_t count;
    ck_assert_int_eq(sl_engine_tokenize(engine, SL_SLICE("abc"), true, false, &ids, &count, &error),
                     SL_OK);
    ck_assert_int_eq(ids[0], TINY_BOS);
    struct sl_buf text;
    sl_buf_init(&text, 100);
    for (size_t idx = 1; idx < count; idx++)
        ck_assert_int_eq(sl_engine_token_text(engine, ids[idx], &text), SL_OK);
    ck_assert(strstr(text.data, "abc") != NULL);
    sl_buf_clear(&text);
    free(ids);
    sl_engine_close(engine);
}
END_TEST

/* ---- chats and formats ---- */

#define TEMPLATE                                                                                   \
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"

static enum sl_err prepare_chat(struct sl_engine *engine, const char *messages, const char *tools,
                                struct sl_prompt **prompt, struct sl_error *error)
{
    json_t *list = json_loads(messages, 0, NULL);
    json_t *tool_list = tools != NULL ? json_loads(tools, 0, NULL) : NULL;
    ck_assert_ptr_nonnull(list);
    const struct sl_chat chat = {.messages = list, .tools = tool_list};
    const enum sl_err err = sl_engine_prepare(engine, &chat, prompt, error);
    json_decref(list);
    json_decref(tool_list);
    return err;
}

START_TEST(a_chat_becomes_the_tokens_of_its_rendering)
{
    struct sl_engine *engine = open_tiny((struct tiny_model){.chat_template = TEMPLATE},
                                         (struct sl_engine_config){.kv_type = SL_KV_F32});
    struct sl_error error = {0};
    struct sl_prompt *chat;
    struct sl_prompt *parts;
    enum sl_err err = prepare_chat(
        engine,
        "[{\"role\":\"system\",\"content\":\"x\"},{\"role\":\"user\",\"content\":\"zyzzyva\"}]",
        NULL, &chat, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    struct sl_prompt *text = prepare(engine, "[system]x[user]zyzzyva[assistant]");
    ck_assert_int_eq(sl_prompt_ids(chat)[0], TINY_BOS);
    ck_assert_int_ne(sl_prompt_ids(chat)[1], TINY_BOS);
    ck_assert_uint_eq(sl_prompt_tokens(chat), sl_prompt_tokens(text));
    const struct answer answer = read_all(generate(engine, chat, greedy));
    ck_assert_uint_ge(answer.prompt.scored_tokens, strlen("zyzzyva") - 1);
    ck_assert_uint_le(answer.prompt.scored_tokens, strlen("zyzzyva") + 1);
    err = prepare_chat(
        engine,
        "[{\"role\":\"system\",\"content\":\"x\"},{\"role\":\"user\",\"content\":["
        "{\"type\":\"text\",\"text\":\"zyz\"},{\"type\":\"text\",\"text\":\"zyva\"}]}]",
        NULL, &parts, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    ck_assert_uint_eq(sl_prompt_tokens(parts), sl_prompt_tokens(chat));
    ck_assert_mem_eq(sl_prompt_ids(parts), sl_prompt_ids(chat),
                     sl_prompt_tokens(chat) * sizeof(int32_t));
    sl_prompt_free(chat);
    sl_prompt_free(parts);
    sl_prompt_free(text);
    sl_engine_close(engine);
}
END_TEST

START_TEST(what_a_template_cannot_express_is_refused)
{
    struct sl_engine *engine =
        open_tiny((struct tiny_model){.chat_template = TEMPLATE}, (struct sl_engine_config){0});
    struct sl_error error = {0};
    struct sl_prompt *prompt;
    ck_assert_int_eq(
        prepare_chat(
            engine, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]",
            NULL, &prompt, &error),
        SL_ERR_UNSUPPORTED);
    ck_assert_int_eq(prepare_chat(engine, "[{\"role\":\"user\",\"content\":\"x\"}]",
                                  "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]",
                                  &prompt, &error),
                     SL_ERR_UNSUPPORTED);
    ck_assert_int_eq(prepare_chat(engine, "[]", NULL, &prompt, &error), SL_ERR_INVALID);
    sl_engine_close(engine);
}
END_TEST

START_TEST(a_schema_makes_even_a_random_model_write_what_it_asks_for)
{
    struct sl_engine *engine = open_default();
    json_t *schema =
        json_loads("{\"type\":\"object\",\"properties\":{\"is_spam\":{\"type\":\"boolean\"},"
                   "\"label\":{\"enum\":"
                   "[\"red\",\"green\",\"blue\"]}},\"required\":[\"is_spam\",\"label\"],"
                   "\"additionalProperties\":false}",
                   0, NULL);
    struct sl_generate_params params = {
        .tokens_max = 150, .temperature = 1, .format = SL_FORMAT_JSON_SCHEMA, .schema = schema};
    for (params.seed = 0; params.seed < 8; params.seed++) {
        const struct answer answer = run(engine, PROMPT, params);
        ck_assert_int_eq(answer.finish, SL_FINISH_STOP);
        json_t *value = json_loadb(answer.text, answer.len, 0, NULL);
        ck_assert_msg(value != NULL, "no JSON: %.*s", (int)answer.len, answer.text);
        ck_assert(json_is_boolean(json_object_get(value, "is_spam")));
        const char *label = json_string_value(json_object_get(value, "label"));
        ck_assert(label != NULL && (strcmp(label, "red") == 0 || strcmp(label, "green") == 0 ||
                                    strcmp(label, "blue") == 0));
        ck_assert_uint_eq(json_object_size(value), 2);
        json_decref(value);
    }
    json_decref(schema);
    sl_engine_close(engine);
}
END_TEST

START_TEST(a_schema_that_cannot_be_enforced_is_refused)
{
    struct sl_engine *engine = open_default();
    struct sl_prompt *prompt = prepare(engine, PROMPT);
    json_t *schema = json_loads("{\"type\":\"object\",\"patternProperties\":{\"a\":{}}}", 0, NULL);
    const struct sl_generate_params params = {.format = SL_FORMAT_JSON_SCHEMA, .schema = schema};
    struct sl_generation *generation;
    struct sl_error error = {0};
    ck_assert_int_eq(sl_engine_generate(engine, prompt, &params, &generation, &error),
                     SL_ERR_UNSUPPORTED);
    json_decref(schema);
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

START_TEST(requests_leave_no_memory_behind)
{
    struct sl_engine *engine = open_default();
    struct sl_generate_params params = {
        .tokens_max = 16, .temperature = 1, .top_logprobs = 20, .ignore_end = true};
    size_t before = 0;
    for (uint32_t round = 0; round < 160; round++) {
        params.seed = round;
        (void)run(engine, PROMPT, params);
        if (round == 60)
            before = mallinfo2().uordblks;
    }
    /* Sanitizers count on their own (0 here), and find leaks themselves. */
    ck_assert_uint_le(mallinfo2().uordblks, before + (16 << 10));
    sl_engine_close(engine);
}
END_TEST

START_TEST(a_file_that_is_no_model_is_refused)
{
    struct sl_engine *engine;
    struct sl_error error = {0};
    struct sl_engine_config config = {.model_path = "/nonexistent/m.gguf"};
    ck_assert_int_eq(sl_engine_open(&config, &engine, &error), SL_ERR_IO);
    config.model_path = __FILE__;
    ck_assert_int_eq(sl_engine_open(&config, &engine, &error), SL_ERR_FORMAT);
    config.kernels = "abacus";
    ck_assert_int_eq(sl_engine_open(&config, &engine, &error), SL_ERR_INVALID);
    sl_engine_close(NULL);
    sl_generation_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine");
    TCase *tcase = tcase_create("engine");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, info_describes_the_file);
    tcase_add_test(tcase, an_answer_ends_at_its_length);
    tcase_add_test(tcase, without_a_length_an_answer_fills_the_context);
    tcase_add_test(tcase, the_same_seed_gives_the_same_answer_and_another_seed_another);
    tcase_add_test(tcase, streams_that_run_together_answer_as_they_do_alone);
    tcase_add_test(tcase, text_before_a_stop_string_is_shown_and_nothing_after);
    tcase_add_test(tcase, a_bias_forces_a_token_and_does_not_change_the_statistics);
    tcase_add_test(tcase, alternatives_begin_with_the_greedy_token);
    tcase_add_test(tcase, a_prompt_seen_before_is_reused_and_scored_the_same);
    tcase_add_test(tcase, prompt_statistics_are_those_of_its_scored_tokens);
    tcase_add_test(tcase, what_does_not_fit_or_make_sense_is_refused);
    tcase_add_test(tcase, an_encoder_embeds_and_does_not_generate);
    tcase_add_test(tcase, a_decoder_embeds_beside_running_streams);
    tcase_add_test(tcase, tokens_and_text_convert_both_ways);
    tcase_add_test(tcase, a_chat_becomes_the_tokens_of_its_rendering);
    tcase_add_test(tcase, what_a_template_cannot_express_is_refused);
    tcase_add_test(tcase, a_schema_makes_even_a_random_model_write_what_it_asks_for);
    tcase_add_test(tcase, a_schema_that_cannot_be_enforced_is_refused);
    tcase_add_test(tcase, requests_leave_no_memory_behind);
    tcase_add_test(tcase, a_file_that_is_no_model_is_refused);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
