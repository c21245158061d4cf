/* SPDX-License-Identifier: Apache-2.0
 *
 * Who runs, for how long and beside whom: the scheduler through the engine's face, over tiny
 * models.
 */
#include "sluice/clock.h"
#include "sluice/engine.h"
#include "tiny_model.h"

#include <pthread.h>

#define LONG_ANSWER 1500

static struct sl_engine *open_with(struct sl_engine_config config)
{
    struct sl_engine *engine;
    struct sl_error error = {0};
    config.model_path = tiny_model_write((struct tiny_model){.context = 2048}, "tiny.gguf");
    config.threads = config.threads > 0 ? config.threads : 2;
    enum sl_err err = sl_engine_open(&config, &engine, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    return engine;
}

/* `count` different tokens, other ones for each `salt`. */
static struct sl_prompt *prompt_of(struct sl_engine *engine, uint32_t count, uint32_t salt)
{
    int32_t ids[2048];
    struct sl_prompt *prompt;
    struct sl_error error = {0};
    for (uint32_t idx = 0; idx < count; idx++)
        ids[idx] = (int32_t)((idx * 13 + salt * 29 + idx * idx * salt) % (TINY_VOCAB - 3)) + 3;
    ck_assert_int_eq(sl_engine_prepare_ids(engine, ids, count, &prompt, &error), SL_OK);
    return prompt;
}

static struct sl_generation *start(struct sl_engine *engine, const struct sl_prompt *prompt,
                                   struct sl_generate_params params)
{
    struct sl_generation *generation;
    struct sl_error error = {0};
    params.ignore_end = true;
    enum sl_err err = sl_engine_generate(engine, prompt, &params, &generation, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    return generation;
}

static enum sl_finish read_to_end(struct sl_generation *generation)
{
    struct sl_event event = {0};
    while (!event.is_last)
        ck_assert_int_eq(sl_generation_next(generation, SL_DEADLINE_NEVER, &event), SL_OK);
    return event.finish;
}

static void wait_for_first_token(struct sl_generation *generation)
{
    struct sl_event event = {0};
    while (event.kind != SL_EVENT_TOKEN)
        ck_assert_int_eq(sl_generation_next(generation, SL_DEADLINE_NEVER, &event), SL_OK);
}

START_TEST(a_cancel_ends_a_stream_at_once)
{
    struct sl_engine *engine = open_with((struct sl_engine_config){0});
    struct sl_prompt *prompt = prompt_of(engine, 10, 1);
    struct sl_generation *generation =
        start(engine, prompt, (struct sl_generate_params){.tokens_max = LONG_ANSWER});
    wait_for_first_token(generation);
    sl_generation_cancel(generation);
    ck_assert_int_eq(read_to_end(generation), SL_FINISH_CANCELLED);
    ck_assert_uint_lt(sl_generation_tokens(generation), LONG_ANSWER);
    sl_generation_free(generation);
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

START_TEST(a_stream_that_nobody_reads_to_the_end_frees_its_place)
{
    struct sl_engine *engine = open_with((struct sl_engine_config){.sequences_max = 1});
    struct sl_prompt *prompt = prompt_of(engine, 10, 1);
    for (uint32_t round = 0; round < 20; round++) {
        struct sl_generation *generation =
            start(engine, prompt, (struct sl_generate_params){.tokens_max = LONG_ANSWER});
        if (round % 2 == 0)
            wait_for_first_token(generation);
        sl_generation_free(generation);
    }
    struct sl_generation *last =
        start(engine, prompt, (struct sl_generate_params){.tokens_max = 5});
    ck_assert_int_eq(read_to_end(last), SL_FINISH_LENGTH);
    sl_generation_free(last);
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

START_TEST(a_deadline_ends_running_and_waiting_requests)
{
    struct sl_engine *engine = open_with((struct sl_engine_config){.sequences_max = 1});
    struct sl_prompt *prompt = prompt_of(engine, 10, 1);
    struct sl_generation *running =
        start(engine, prompt, (struct sl_generate_params){.deadline_ms = sl_monotonic_ms() + 30});
    struct sl_generation *waiting =
        start(engine, prompt,
              (struct sl_generate_params){.tokens_max = 3, .deadline_ms = sl_monotonic_ms()});
    ck_assert_int_eq(read_to_end(waiting), SL_FINISH_TIMEOUT);
    ck_assert_uint_eq(sl_generation_tokens(waiting), 0);
    const enum sl_finish finish = read_to_end(running);
    ck_assert(finish == SL_FINISH_TIMEOUT || finish == SL_FINISH_LENGTH);
    sl_generation_free(running);
    sl_generation_free(waiting);
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

START_TEST(a_full_queue_refuses)
{
    struct sl_engine *engine =
        open_with((struct sl_engine_config){.sequences_max = 1, .queue_max = 2});
    struct sl_prompt *prompt = prompt_of(engine, 10, 1);
    struct sl_generation *running =
        start(engine, prompt, (struct sl_generate_params){.tokens_max = LONG_ANSWER});
    wait_for_first_token(running);
    wait_for_first_token(running); /* the load of the step before the second token is known */
    struct sl_generation *waiting[2];
    for (size_t idx = 0; idx < 2; idx++)
        waiting[idx] = start(engine, prompt, (struct sl_generate_params){.tokens_max = 1});
    struct sl_engine_load load;
    sl_engine_load(engine, &load);
    struct sl_generation *refused;
    struct sl_error error = {0};
    const struct sl_generate_params params = {.tokens_max = 1};
    const enum sl_err err = sl_engine_generate(engine, prompt, &params, &refused, &error);
    if (sl_generation_tokens(running) < LONG_ANSWER) { /* the place was taken all the while */
        ck_assert_int_eq(err, SL_ERR_OVERLOAD);
        ck_assert_uint_eq(load.running, 1);
        ck_assert_uint_eq(load.waiting, 2);
        ck_assert_uint_gt(load.kv_bytes, 0);
    }
    sl_generation_cancel(running);
    for (size_t idx = 0; idx < 2; idx++) {
        ck_assert_int_eq(read_to_end(waiting[idx]), SL_FINISH_LENGTH);
        sl_generation_free(waiting[idx]);
    }
    sl_generation_free(running);
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

START_TEST(waiting_apps_take_turns)
{
    struct sl_engine *engine = open_with((struct sl_engine_config){.sequences_max = 1});
    struct sl_prompt *prompt = prompt_of(engine, 10, 1);
    struct sl_generation *first =
        start(engine, prompt, (struct sl_generate_params){.tokens_max = 400, .fair_share_id = 1});
    wait_for_first_token(first);
    struct sl_generation *greedy[5];
    for (size_t idx = 0; idx < 5; idx++)
        greedy[idx] = start(engine, prompt,
                            (struct sl_generate_params){.tokens_max = 400, .fair_share_id = 1});
    struct sl_generation *modest =
        start(engine, prompt, (struct sl_generate_params){.tokens_max = 2, .fair_share_id = 2});
    ck_assert_int_eq(read_to_end(modest), SL_FINISH_LENGTH);
    ck_assert_uint_eq(sl_generation_tokens(greedy[4]), 0); /* it came before, but had its share */
    for (size_t idx = 0; idx < 5; idx++)
        sl_generation_free(greedy[idx]);
    sl_generation_free(modest);
    sl_generation_free(first);
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

START_TEST(a_long_prompt_does_not_stop_a_running_stream)
{
    struct sl_engine *engine = open_with((struct sl_engine_config){0});
    struct sl_prompt *small = prompt_of(engine, 10, 1);
    struct sl_prompt *large = prompt_of(engine, 1800, 2);
    struct sl_generation *stream =
        start(engine, small, (struct sl_generate_params){.tokens_max = LONG_ANSWER});
    wait_for_first_token(stream);
    struct sl_generation *late = start(engine, large, (struct sl_generate_params){.tokens_max = 1});
    struct sl_event event = {0};
    const uint32_t before = sl_generation_tokens(stream);
    ck_assert_int_eq(sl_generation_next(late, SL_DEADLINE_NEVER, &event), SL_OK);
    const uint32_t after = sl_generation_tokens(stream);
    if (after < LONG_ANSWER) /* 1800 tokens in pieces of 64 */
        ck_assert_uint_ge(after - before, 20);
    sl_generation_free(late);
    sl_generation_free(stream);
    sl_prompt_free(small);
    sl_prompt_free(large);
    sl_engine_close(engine);
}
END_TEST

START_TEST(requests_run_one_after_the_other_where_the_cache_is_small)
{
    struct sl_engine *engine = open_with((struct sl_engine_config){.kv_bytes_max = 1});
    struct sl_prompt *prompts[4];
    struct sl_generation *generations[4];
    for (uint32_t idx = 0; idx < 4; idx++) {
        prompts[idx] = prompt_of(engine, 1000, idx);
        generations[idx] =
            start(engine, prompts[idx], (struct sl_generate_params){.tokens_max = 100});
    }
    for (uint32_t idx = 0; idx < 4; idx++) {
        ck_assert_int_eq(read_to_end(generations[idx]), SL_FINISH_LENGTH);
        ck_assert_uint_eq(sl_generation_tokens(generations[idx]), 100);
        sl_generation_free(generations[idx]);
        sl_prompt_free(prompts[idx]);
    }
    sl_engine_close(engine);
}
END_TEST

START_TEST(closing_cancels_what_runs_and_waits)
{
    struct sl_engine *engine = open_with((struct sl_engine_config){.sequences_max = 1});
    struct sl_prompt *prompt = prompt_of(engine, 10, 1);
    struct sl_generation *running =
        start(engine, prompt, (struct sl_generate_params){.tokens_max = LONG_ANSWER});
    struct sl_generation *waiting =
        start(engine, prompt, (struct sl_generate_params){.tokens_max = LONG_ANSWER});
    sl_generation_free(running);
    sl_generation_free(waiting);
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

START_TEST(the_number_of_threads_changes_while_streams_run)
{
    struct sl_engine *engine = open_with((struct sl_engine_config){.kv_type = SL_KV_F32});
    struct sl_prompt *prompt = prompt_of(engine, 100, 3);
    const struct sl_generate_params params = {.tokens_max = 300};
    int32_t wanted[300];
    for (uint32_t round = 0; round < 2; round++) {
        struct sl_generation *generation = start(engine, prompt, params);
        struct sl_event event = {0};
        for (uint32_t at = 0; !event.is_last;) {
            ck_assert_int_eq(sl_generation_next(generation, SL_DEADLINE_NEVER, &event), SL_OK);
            if (event.kind != SL_EVENT_TOKEN)
                continue;
            if (round == 0)
                wanted[at] = event.token;
            ck_assert_int_eq(event.token, wanted[at++]);
            if (round == 1 && at % 20 == 0)
                sl_engine_set_threads(engine, 1 + at / 20 % 3);
        }
        sl_generation_free(generation);
    }
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

START_TEST(waiting_for_an_event_ends_at_the_deadline)
{
    struct sl_engine *engine = open_with((struct sl_engine_config){.sequences_max = 1});
    struct sl_prompt *prompt = prompt_of(engine, 10, 1);
    struct sl_generation *running =
        start(engine, prompt, (struct sl_generate_params){.tokens_max = LONG_ANSWER});
    struct sl_generation *waiting =
        start(engine, prompt, (struct sl_generate_params){.tokens_max = 1});
    struct sl_event event;
    const enum sl_err err = sl_generation_next(waiting, sl_monotonic_ms(), &event);
    ck_assert(err == SL_ERR_TIMEOUT || sl_generation_tokens(running) == LONG_ANSWER);
    sl_generation_cancel(running);
    ck_assert_int_eq(read_to_end(waiting), SL_FINISH_LENGTH);
    sl_generation_free(waiting);
    sl_generation_free(running);
    sl_prompt_free(prompt);
    sl_engine_close(engine);
}
END_TEST

/* ---- many threads at once ---- */

#define CLIENTS 6
#define ROUNDS 8

struct client {
    struct sl_engine *engine;
    uint32_t idx;
    uint32_t finished;
};

static void *client_main(void *context)
{
    struct client *client = context;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct sl_prompt *prompt = prompt_of(client->engine, 40 + client->idx * 30, round % 3);
        struct sl_generation *generation =
            start(client->engine, prompt,
                  (struct sl_generate_params){.tokens_max = 20,
                                              .temperature = 1,
                                              .top_logprobs = 3,
                                              .stop = {SL_SLICE("zzzz")},
                                              .stop_count = 1,
                                              .fair_share_id = client->idx});
        if (round % 3 == 2) {
            sl_generation_cancel(generation);
        } else {
            client->finished += read_to_end(generation) == SL_FINISH_LENGTH;
        }
        sl_generation_free(generation);
        sl_prompt_free(prompt);
    }
    return NULL;
}

START_TEST(clients_on_many_threads_all_get_their_answers)
{
    struct sl_engine *engine = open_with((struct sl_engine_config){.sequences_max = 3});
    struct client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    for (uint32_t idx = 0; idx < CLIENTS; idx++) {
        clients[idx] = (struct client){engine, idx, 0};
        ck_assert_int_eq(pthread_create(&threads[idx], NULL, client_main, &clients[idx]), 0);
    }
    for (uint32_t round = 0; round < 50; round++) {
        struct sl_engine_load load;
        sl_engine_load(engine, &load);
        ck_assert_uint_le(load.running, 3);
        (void)sl_engine_info(engine);
    }
    for (uint32_t idx = 0; idx < CLIENTS; idx++) {
        pthread_join(threads[idx], NULL);
        ck_assert_uint_eq(clients[idx].finished, ROUNDS - ROUNDS / 3);
    }
    sl_engine_close(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scheduler");
    TCase *tcase = tcase_create("scheduler");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_cancel_ends_a_stream_at_once);
    tcase_add_test(tcase, a_stream_that_nobody_reads_to_the_end_frees_its_place);
    tcase_add_test(tcase, a_deadline_ends_running_and_waiting_requests);
    tcase_add_test(tcase, a_full_queue_refuses);
    tcase_add_test(tcase, waiting_apps_take_turns);
    tcase_add_test(tcase, a_long_prompt_does_not_stop_a_running_stream);
    tcase_add_test(tcase, requests_run_one_after_the_other_where_the_cache_is_small);
    tcase_add_test(tcase, closing_cancels_what_runs_and_waits);
    tcase_add_test(tcase, the_number_of_threads_changes_while_streams_run);
    tcase_add_test(tcase, waiting_for_an_event_ends_at_the_deadline);
    tcase_add_test(tcase, clients_on_many_threads_all_get_their_answers);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
