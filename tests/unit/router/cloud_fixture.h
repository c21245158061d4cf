/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the cloud leg share: a simulator over TLS, a primary and a backup provider with
 * short timeouts, and a call whose sink keeps what it was given. Header only, one test program
 * each.
 */
#ifndef CLOUD_FIXTURE_H
#define CLOUD_FIXTURE_H

#include "mock_cloud_support.h"
#include "scrubbed_make.h"
#include "sluice/clock.h"
#include "sluice/cloud.h"
#include "sluice/log.h"
#include "test_support.h"

#include <stdlib.h>
#include <unistd.h>

/* How the client asks, and how the provider is asked: every row of the fault table runs as each. */
enum asking { ASK_STREAMED, ASK_WHOLE_OVER_STREAM, ASK_WHOLE, ASKING_COUNT };

/* The defaults divided by ten: short enough for a test, long enough for a busy machine. */
#define FIRST_TOKEN_MS 1000
#define WHOLE_MS 1200
#define IDLE_MS 1000
#define ONE_TIMEOUT_MS 3000 /* more than one of them, less than what a second try would take */

struct fixture {
    struct mock_cloud mock;
    struct sl_cloud *cloud;
    struct sl_cloud_provider_config primary;
    struct sl_cloud_provider_config backup;
    struct sl_cloud_target targets[2];
    size_t target_count;
    enum asking asking;
    size_t stream_hold_tokens;
    bool resumes;
    uint64_t patience_ms;
    atomic_bool cancelled;
    const atomic_bool *is_held;
    const char *app;
    struct sl_cloud_budget budget;
    json_t *extra; /* members added to the body; borrowed */

    /* of the last call */
    struct sl_cloud_result result;
    struct sl_error error;
    struct sl_answer given; /* what the sink added up to */
    size_t deltas;
    size_t cancel_after_deltas; /* 0: never */
    uint64_t took_ms;
};

static struct fixture fixture;

__attribute__((unused)) static void fixture_provider(struct sl_cloud_provider_config *config,
                                                     const char *name)
{
    sl_cloud_provider_defaults(config);
    config->name = name;
    config->base_url = fixture.mock.base_url;
    config->ca_file = fixture.mock.ca_file;
    config->key_env = "MOCK_KEY";
    config->connect_timeout_ms = 2000;
    config->first_token_timeout_ms = FIRST_TOKEN_MS;
    config->reasoning_first_token_timeout_ms = FIRST_TOKEN_MS;
    config->whole_timeout_ms = WHOLE_MS;
    config->idle_timeout_ms = IDLE_MS;
    config->total_timeout_ms = 8000;
    config->backoff_ms = 30;
    config->backoff_max_ms = 200;
    config->breaker_open_ms = 200;
    config->breaker_open_max_ms = 800;
}

__attribute__((unused)) static void fixture_start_with(const char *const *arguments)
{
    setenv("MOCK_KEY", "sk-mock-0123456789", 1);
    struct sl_error error = {0};
    sl_log_configure(STDERR_FILENO, SL_LOG_LEVEL_ERROR, false);
    memset(&fixture, 0, sizeof fixture);
    mock_cloud_start(&fixture.mock, arguments);
    ck_assert_msg(sl_cloud_create(&(struct sl_cloud_options){0}, &fixture.cloud, &error) == SL_OK,
                  "%s", error.message);
    fixture_provider(&fixture.primary, "primary");
    fixture_provider(&fixture.backup, "backup");
    fixture.targets[0] = (struct sl_cloud_target){.provider = &fixture.primary, .tier = 0};
    fixture.targets[1] =
        (struct sl_cloud_target){.provider = &fixture.backup, .model = "mock-words-60", .tier = 1};
    fixture.target_count = 2;
    fixture.patience_ms = 30000;
}

__attribute__((unused)) static void fixture_start(void)
{
    fixture_start_with(NULL);
}

static void fixture_forget_call(void)
{
    sl_cloud_result_clear(&fixture.result);
    sl_answer_clear(&fixture.given);
    memset(&fixture.result, 0, sizeof fixture.result);
    memset(&fixture.error, 0, sizeof fixture.error);
    fixture.deltas = 0;
}

__attribute__((unused)) static void fixture_stop(void)
{
    fixture_forget_call();
    sl_cloud_free(fixture.cloud);
    mock_cloud_stop(&fixture.mock);
}

static enum sl_err fixture_sink(void *ctx, const struct sl_delta *delta)
{
    struct fixture *self = ctx;
    self->deltas++;
    ck_assert_int_eq(sl_answer_add(&self->given, delta, NULL), SL_OK);
    return self->cancel_after_deltas > 0 && self->deltas >= self->cancel_after_deltas
               ? SL_ERR_CANCELLED
               : SL_OK;
}

/* Asks the primary for `model`, with the backup behind it. */
__attribute__((unused)) static enum sl_err ask_text(const char *model, const char *text)
{
    fixture_forget_call();
    sl_answer_init(&fixture.given, 1 << 20);
    fixture.targets[0].model = model;
    fixture.primary.prefers_stream = fixture.backup.prefers_stream = fixture.asking != ASK_WHOLE;
    json_t *body = json_pack("{s:[{s:s,s:s}]}", "messages", "role", "user", "content", text);
    if (fixture.extra != NULL)
        json_object_update(body, fixture.extra);
    struct sl_scrubbed *scrubbed = sl_scrubbed_create(body);
    uint64_t start_ms = sl_monotonic_ms();
    struct sl_cloud_call call = {.body = scrubbed,
                                 .targets = fixture.targets,
                                 .target_count = fixture.target_count,
                                 .is_streaming = fixture.asking == ASK_STREAMED,
                                 .sink = fixture_sink,
                                 .sink_ctx = &fixture,
                                 .deadline_ms = start_ms + fixture.patience_ms,
                                 .cancelled = &fixture.cancelled,
                                 .stream_hold_tokens = fixture.stream_hold_tokens,
                                 .is_held = fixture.is_held,
                                 .resumes = fixture.resumes,
                                 .app = fixture.app,
                                 .budget = fixture.budget};
    enum sl_err err = sl_cloud_call(fixture.cloud, &call, &fixture.result, &fixture.error);
    fixture.took_ms = sl_monotonic_ms() - start_ms;
    sl_scrubbed_release(scrubbed);
    return err;
}

__attribute__((unused)) static enum sl_err ask(const char *model)
{
    return ask_text(model, "the quick brown fox");
}

__attribute__((unused)) static const char *answer_text(const struct sl_answer *answer)
{
    return answer->choice_count > 0 && answer->choices[0].content.data != NULL
               ? answer->choices[0].content.data
               : "";
}

/* "word1 ... wordN", as the simulator counts. */
__attribute__((unused)) static const char *words(int count)
{
    static char text[8192];
    size_t len = 0;
    for (int i = 1; i <= count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, i > 1 ? " word%d" : "word%d", i);
    return text;
}

/* The call served `text` whole, and a streamed one gave the sink just that. */
__attribute__((unused)) static void check_served(enum sl_err err, const char *provider,
                                                 const char *text)
{
    ck_assert_msg(err == SL_OK, "%s: %s", sl_err_code(err), fixture.error.message);
    ck_assert_str_eq(fixture.result.provider, provider);
    ck_assert_str_eq(answer_text(&fixture.result.answer), text);
    ck_assert(sl_answer_is_complete(&fixture.result.answer));
    ck_assert(fixture.result.answer.usage.is_known);
    ck_assert_uint_gt(fixture.result.answer.usage.prompt_tokens, 0);
    if (fixture.asking != ASK_STREAMED)
        return;
    ck_assert_str_eq(answer_text(&fixture.given), text);
    ck_assert(sl_answer_is_complete(&fixture.given));
    ck_assert(fixture.given.usage.is_known);
}

__attribute__((unused)) static enum sl_cloud_outcome outcome(size_t idx)
{
    ck_assert_uint_lt(idx, fixture.result.attempt_count);
    return fixture.result.attempts[idx].outcome;
}

#endif
