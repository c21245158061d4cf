/* SPDX-License-Identifier: Apache-2.0
 *
 * The cloud leg beyond the table of faults: TLS, keys, cancellation, budgets, weights, hedging, the
 * way a stream is cut, Anthropic, and the switch that makes a connection impossible.
 */
#include "cloud_fixture.h"

#include "sluice/metric.h"

#include <pthread.h>
#include <sys/resource.h>

/* ---- TLS ---- */

static void start_expired(void)
{
    fixture_start_with((const char *const[]){"--cert-fault", "expired", NULL});
}
static void start_wrong_host(void)
{
    fixture_start_with((const char *const[]){"--cert-fault", "wrong-host", NULL});
}
static void start_untrusted(void)
{
    fixture_start_with((const char *const[]){"--cert-fault", "untrusted", NULL});
}

/* Nothing of the request may have left: the record is empty. */
static void check_nothing_was_sent(void)
{
    size_t len;
    ck_assert_uint_eq(fixture.result.bytes_out, 0);
    free(sl_test_read_file(fixture.mock.record_file, &len));
    ck_assert_uint_eq(len, 0);
}

START_TEST(a_bad_certificate_is_refused_before_anything_is_sent)
{
    ck_assert_int_eq(ask("mock-echo"), SL_ERR_UPSTREAM);
    ck_assert_int_eq(outcome(0), SL_CLOUD_TLS_FAILED);
    check_nothing_was_sent();
}
END_TEST

START_TEST(the_system_store_does_not_know_the_simulator)
{
    fixture.primary.ca_file = fixture.backup.ca_file = NULL;
    ck_assert_int_eq(ask("mock-echo"), SL_ERR_UPSTREAM);
    ck_assert_int_eq(outcome(0), SL_CLOUD_TLS_FAILED);
    check_nothing_was_sent();
}
END_TEST

START_TEST(a_pinned_key_must_fit)
{
    fixture.target_count = 1;
    fixture.primary.pinned_public_key = fixture.mock.pin;
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
    fixture.primary.pinned_public_key = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    size_t before = mock_cloud_count(&fixture.mock, NULL);
    ck_assert_int_eq(ask("mock-echo"), SL_ERR_UPSTREAM);
    ck_assert_int_eq(outcome(0), SL_CLOUD_TLS_FAILED);
    ck_assert_uint_eq(mock_cloud_count(&fixture.mock, NULL), before);
}
END_TEST

START_TEST(tls_1_3_can_be_demanded)
{
    fixture.primary.tls_min = SL_CLOUD_TLS_1_3;
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
}
END_TEST

START_TEST(http_to_another_host_is_no_provider)
{
    struct sl_error error = {0};
    struct sl_cloud_provider_config config = fixture.primary;
    static const struct {
        const char *url;
        enum sl_err err;
    } urls[] = {{"https://api.example/v1", SL_OK},
                {"http://api.example/v1", SL_ERR_INVALID},
                {"http://127.0.0.1:8080/v1", SL_OK},
                {"http://localhost/v1", SL_OK},
                {"http://localhost.example/v1", SL_ERR_INVALID},
                {"http://[::1]:1/v1", SL_OK},
                {"https://user:pass@api.example/", SL_ERR_INVALID},
                {"http://127.0.0.1@evil.example/", SL_ERR_INVALID},
                {"http://127.evil.example/", SL_ERR_INVALID},
                {"https://", SL_ERR_INVALID},
                {"https://h/v1?key=1", SL_ERR_INVALID},
                {"ftp://h", SL_ERR_INVALID}};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        config.base_url = urls[i].url;
        ck_assert_msg(sl_cloud_provider_check(&config, &error) == urls[i].err, "%s", urls[i].url);
    }
    config.base_url = "https://api.example/v1";
    config.pinned_public_key = "/etc/key.pem";
    ck_assert_int_eq(sl_cloud_provider_check(&config, &error), SL_ERR_INVALID);
    config.pinned_public_key = NULL;
    config.base_url = "http://api.example/v1";
    config.allows_plaintext = true;
    ck_assert_int_eq(sl_cloud_provider_check(&config, &error), SL_OK);
}
END_TEST

/* ---- Keys ---- */

static bool was_sent(const char *text)
{
    char *record = sl_test_read_file(fixture.mock.record_file, NULL);
    bool is_there = strstr(record, text) != NULL;
    free(record);
    return is_there;
}

START_TEST(the_key_comes_from_the_environment)
{
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
    ck_assert(was_sent("Authorization: Bearer sk-mock-0123456789\n"));
}
END_TEST

START_TEST(a_missing_key_is_said_and_nothing_is_sent)
{
    fixture.target_count = 1;
    fixture.primary.key_env = "NO_SUCH_VARIABLE";
    ck_assert_int_eq(ask("mock-echo"), SL_ERR_UPSTREAM_CREDENTIALS);
    check_nothing_was_sent();
}
END_TEST

static void write_key(const char *path, const char *key)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "%s\n", key);
    fclose(file);
}

START_TEST(a_rotated_key_file_is_read_again)
{
    char path[128];
    snprintf(path, sizeof path, "%s/key", sl_test_scratch());
    fixture.primary.key_env = NULL;
    fixture.primary.key_file = path;
    write_key(path, "first-key");
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
    ck_assert(was_sent("Bearer first-key\n"));
    write_key(path, "second-longer-key");
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
    ck_assert(was_sent("Bearer second-longer-key\n"));
}
END_TEST

/* ---- Streams ---- */

static const char *const cuttings[] = {"mock-wire-1",  "mock-wire-7", "mock-split-1",
                                       "mock-cutat-5", "mock-crlf",   "mock-crlf+wire-3"};

START_TEST(the_way_a_stream_is_cut_does_not_matter)
{
    const char *text = "Grüße an <PERSON_1>, \xF0\x9F\x98\x80 \"quoted\"";
    fixture.asking = ASK_STREAMED;
    ck_assert_int_eq(ask_text(cuttings[_i], text), SL_OK);
    check_served(SL_OK, "primary", text);
}
END_TEST

START_TEST(nothing_is_given_before_the_first_content)
{
    fixture.asking = ASK_STREAMED;
    fixture.target_count = 1;
    fixture.primary.retries_max = 0;
    ck_assert_int_eq(ask("mock-slow-first-20s"), SL_ERR_UPSTREAM_TIMEOUT);
    ck_assert_uint_eq(fixture.deltas, 0);
    ck_assert(!fixture.result.is_committed);
}
END_TEST

START_TEST(a_sink_that_stops_stops_the_provider)
{
    fixture.asking = ASK_STREAMED;
    fixture.cancel_after_deltas = 5;
    ck_assert_int_eq(ask("mock-words-60+token-30ms"), SL_ERR_CANCELLED);
    ck_assert_uint_eq(fixture.deltas, 5);
    uint64_t until_ms = sl_monotonic_ms() + 3000;
    json_int_t left = 0;
    while (left == 0 && sl_monotonic_ms() < until_ms) {
        json_t *log = mock_cloud_requests(&fixture.mock);
        left = json_integer_value(json_object_get(log, "left_early"));
        json_decref(log);
    }
    ck_assert_int_eq(left, 1);
}
END_TEST

static void *release_hold(void *ctx)
{
    struct timespec pause = {.tv_nsec = 400 * 1000 * 1000};
    nanosleep(&pause, NULL);
    ck_assert_uint_eq(fixture.deltas, 0);
    atomic_store((atomic_bool *)ctx, false);
    return NULL;
}

/* The stream breaks after 3 tokens, long before the hold ends: the backup's answer is the one, and
 * is whole before it may be seen. */
START_TEST(a_held_call_gives_nothing_and_breaks_unseen)
{
    static atomic_bool is_held = true;
    pthread_t thread;
    fixture.asking = ASK_STREAMED;
    fixture.is_held = &is_held;
    ck_assert_int_eq(pthread_create(&thread, NULL, release_hold, &is_held), 0);
    check_served(ask("mock-cut-3"), "backup", words(60));
    ck_assert_uint_ge(fixture.took_ms, 400);
    pthread_join(thread, NULL);
}
END_TEST

static void *cancel_soon(void *ctx)
{
    struct timespec pause = {.tv_nsec = 150 * 1000 * 1000};
    nanosleep(&pause, NULL);
    atomic_store(&((struct fixture *)ctx)->cancelled, true);
    return NULL;
}

START_TEST(a_client_that_leaves_ends_the_call_at_once)
{
    static const char *const models[] = {"mock-silent", "mock-429+retry-after-2",
                                         "mock-words-60+token-30ms"};
    pthread_t thread;
    fixture.asking = _i == 2 ? ASK_STREAMED : ASK_WHOLE_OVER_STREAM;
    fixture.target_count = 1;
    fixture.primary.first_token_timeout_ms = 5000;
    pthread_create(&thread, NULL, cancel_soon, &fixture);
    ck_assert_int_eq(ask(models[_i]), SL_ERR_CANCELLED);
    ck_assert_uint_le(fixture.took_ms, 1000);
    pthread_join(thread, NULL);
    ck_assert_int_eq(sl_cloud_breaker_state(fixture.cloud, "primary"), SL_BREAKER_CLOSED);
}
END_TEST

START_TEST(the_deadline_of_the_call_is_kept)
{
    fixture.patience_ms = 300;
    ck_assert_int_eq(ask("mock-silent"), SL_ERR_UPSTREAM_TIMEOUT);
    ck_assert_uint_le(fixture.took_ms, 800);
}
END_TEST

START_TEST(impatient_clients_do_not_open_the_breaker)
{
    fixture.target_count = 1;
    fixture.patience_ms = 60;
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(ask("mock-silent"), SL_ERR_UPSTREAM_TIMEOUT);
    ck_assert_int_eq(sl_cloud_breaker_state(fixture.cloud, "primary"), SL_BREAKER_CLOSED);
}
END_TEST

START_TEST(a_large_answer_is_refused_and_not_truncated)
{
    /* 16 KiB of text against a cap of 1 KiB. */
    fixture.target_count = 1;
    struct sl_error error = {0};
    struct sl_cloud_result result;
    fixture.targets[0].model = "mock-words-2000";
    json_t *body = json_pack("{s:[{s:s,s:s}]}", "messages", "role", "user", "content", "x");
    struct sl_scrubbed *scrubbed = sl_scrubbed_create(body);
    struct sl_cloud_call call = {.body = scrubbed,
                                 .targets = fixture.targets,
                                 .target_count = 1,
                                 .deadline_ms = sl_monotonic_ms() + 5000,
                                 .answer_bytes_max = 1024};
    ck_assert_int_eq(sl_cloud_call(fixture.cloud, &call, &result, &error), SL_ERR_UPSTREAM);
    ck_assert_int_eq(result.attempts[0].outcome, SL_CLOUD_TOO_LARGE);
    sl_cloud_result_clear(&result);
    sl_scrubbed_release(scrubbed);
}
END_TEST

/* A sink that is slow: the provider is held back, memory stays bounded, nothing is lost. */
static enum sl_err slow_sink(void *ctx, const struct sl_delta *delta)
{
    struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
    if (delta->kind == SL_DELTA_TEXT)
        nanosleep(&pause, NULL);
    return sl_answer_add(ctx, delta, NULL);
}

START_TEST(a_slow_client_holds_the_provider_back)
{
    struct sl_error error = {0};
    struct sl_cloud_result result;
    struct sl_answer given;
    sl_answer_init(&given, 8 << 20);
    fixture.targets[0].model = "mock-split-4000+echo";
    fixture.primary.first_token_timeout_ms = fixture.primary.idle_timeout_ms = 10000;
    size_t len = 2u << 20;
    char *text = malloc(len + 1);
    memset(text, 'x', len);
    text[len] = '\0';
    json_t *body = json_pack("{s:[{s:s,s:s}]}", "messages", "role", "user", "content", text);
    struct sl_scrubbed *scrubbed = sl_scrubbed_create(body);
    struct sl_cloud_call call = {.body = scrubbed,
                                 .targets = fixture.targets,
                                 .target_count = 1,
                                 .is_streaming = true,
                                 .sink = slow_sink,
                                 .sink_ctx = &given,
                                 .deadline_ms = sl_monotonic_ms() + 20000};
    enum sl_err err = sl_cloud_call(fixture.cloud, &call, &result, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    ck_assert_uint_eq(given.choices[0].content.len, len);
    sl_cloud_result_clear(&result);
    sl_answer_clear(&given);
    sl_scrubbed_release(scrubbed);
    free(text);
}
END_TEST

START_TEST(tool_calls_come_back_in_pieces)
{
    fixture.asking = (enum asking)_i;
    fixture.extra =
        json_pack("{s:[{s:s,s:{s:s}}]}", "tools", "type", "function", "function", "name", "lookup");
    ck_assert_int_eq(ask_text("mock-tool+split-1", "who is <PERSON_1>?"), SL_OK);
    const struct sl_choice *choice = &fixture.result.answer.choices[0];
    ck_assert_uint_eq(choice->tool_call_count, 1);
    ck_assert_str_eq(choice->tool_calls[0].name.data, "lookup");
    ck_assert_str_eq(choice->tool_calls[0].arguments.data, "{\"query\":\"who is <PERSON_1>?\"}");
    ck_assert_int_eq(choice->finish_reason, SL_FINISH_REASON_TOOL_CALLS);
    json_decref(fixture.extra);
}
END_TEST

/* ---- Anthropic ---- */

START_TEST(anthropic_answers_too)
{
    fixture.asking = (enum asking)_i;
    fixture.primary.kind = SL_CLOUD_KIND_ANTHROPIC;
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
    ck_assert(was_sent("x-api-key: sk-mock-0123456789\n"));
    ck_assert(was_sent("POST /v1/messages\n"));
}
END_TEST

START_TEST(anthropic_faults_fall_back_to_openai)
{
    static const char *const models[] = {"mock-529", "mock-error-0", "mock-silent", "mock-429"};
    fixture.asking = (enum asking)(_i % ASKING_COUNT);
    fixture.primary.kind = SL_CLOUD_KIND_ANTHROPIC;
    check_served(ask(models[_i / ASKING_COUNT]), "backup", words(60));
}
END_TEST

START_TEST(anthropic_tools_are_translated_both_ways)
{
    fixture.asking = (enum asking)_i;
    fixture.primary.kind = SL_CLOUD_KIND_ANTHROPIC;
    fixture.extra =
        json_pack("{s:[{s:s,s:{s:s}}]}", "tools", "type", "function", "function", "name", "lookup");
    ck_assert_int_eq(ask_text("mock-tool", "who?"), SL_OK);
    const struct sl_choice *choice = &fixture.result.answer.choices[0];
    ck_assert_uint_eq(choice->tool_call_count, 1);
    ck_assert_str_eq(choice->tool_calls[0].arguments.data, "{\"query\":\"who?\"}");
    ck_assert_int_eq(choice->finish_reason, SL_FINISH_REASON_TOOL_CALLS);
    json_decref(fixture.extra);
}
END_TEST

START_TEST(what_one_provider_cannot_say_the_next_is_asked)
{
    fixture.primary.kind = SL_CLOUD_KIND_ANTHROPIC;
    fixture.extra = json_pack("{s:b}", "logprobs", 1);
    check_served(ask("mock-echo"), "backup", words(60));
    ck_assert_int_eq(outcome(0), SL_CLOUD_UNSUPPORTED);
    json_decref(fixture.extra);
}
END_TEST

/* ---- Patience ---- */

static const struct {
    const char *member;
    bool is_waited_for;
} thinkers[] = {{"{\"reasoning_effort\":\"high\"}", true},
                {"{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}}", true},
                {"{\"reasoning_effort\":\"minimal\"}", false},
                {"{\"thinking\":{\"type\":\"disabled\"}}", false},
                {"{\"top_p\":1}", false}};

START_TEST(who_is_asked_to_reason_may_be_silent_for_longer)
{
    fixture.asking = ASK_STREAMED;
    fixture.primary.reasoning_first_token_timeout_ms = 6000;
    fixture.extra = json_loads(thinkers[_i].member, 0, NULL);
    enum sl_err err = ask("mock-words-60+slow-first-1800ms");
    check_served(err, thinkers[_i].is_waited_for ? "primary" : "backup", words(60));
    json_decref(fixture.extra);
}
END_TEST

/* ---- Money ---- */

static const struct sl_cloud_model_config priced = {.name = "mock-words-60",
                                                    .usd_per_1k_completion_tokens = 1};

START_TEST(a_spent_budget_keeps_everything_here)
{
    fixture.target_count = 1;
    fixture.primary.models = &priced;
    fixture.primary.model_count = 1;
    fixture.app = "notes";
    fixture.budget.app_daily_usd = 0.1;
    check_served(ask("mock-words-60"), "primary", words(60));
    check_served(ask("mock-words-60"), "primary", words(60)); /* 0.12 now */
    ck_assert_int_eq(ask("mock-words-60"), SL_ERR_ROUTE_UNAVAILABLE);
    ck_assert(fixture.result.is_budget_spent);
    ck_assert_uint_eq(mock_cloud_count(&fixture.mock, NULL), 2);
    ck_assert(!sl_cloud_budget_allows(fixture.cloud, "notes", &fixture.budget));
    ck_assert(sl_cloud_budget_allows(fixture.cloud, "other", &fixture.budget));
    fixture.app = "other";
    check_served(ask("mock-words-60"), "primary", words(60));
}
END_TEST

START_TEST(what_this_side_gives_up_is_paid_for_and_what_fails_is_not)
{
    static const struct sl_cloud_model_config models[] = {
        {.name = "mock-words-60+token-30ms", .usd_per_1k_completion_tokens = 1},
        {.name = "mock-cut-40", .usd_per_1k_completion_tokens = 1}};
    fixture.target_count = 1;
    fixture.primary.models = models;
    fixture.primary.model_count = 2;
    fixture.asking = ASK_STREAMED;
    fixture.cancel_after_deltas = 20;
    ck_assert_int_eq(ask("mock-words-60+token-30ms"), SL_ERR_CANCELLED);
    double paid = sl_cloud_spending(fixture.cloud, NULL).day_usd;
    ck_assert_double_gt(paid, 0.01); /* some 18 words of 60 */
    ck_assert_double_lt(paid, 0.06);
    fixture.cancel_after_deltas = 0;
    ck_assert_int_ne(ask("mock-cut-40"), SL_OK);
    ck_assert_double_eq_tol(sl_cloud_spending(fixture.cloud, NULL).day_usd, paid, 1e-9);
}
END_TEST

START_TEST(spending_survives_a_restart)
{
    struct sl_error error = {0};
    struct sl_cloud_options options = {.data_folder = sl_test_scratch()};
    sl_cloud_free(fixture.cloud);
    ck_assert_int_eq(sl_cloud_create(&options, &fixture.cloud, &error), SL_OK);
    fixture.primary.models = &priced;
    fixture.primary.model_count = 1;
    fixture.app = "notes";
    check_served(ask("mock-words-60"), "primary", words(60));
    sl_cloud_free(fixture.cloud);
    ck_assert_int_eq(sl_cloud_create(&options, &fixture.cloud, &error), SL_OK);
    ck_assert_double_eq_tol(sl_cloud_spending(fixture.cloud, "notes").month_usd, 0.06, 1e-9);
    ck_assert_double_eq_tol(sl_cloud_spending(fixture.cloud, NULL).day_usd, 0.06, 1e-9);
}
END_TEST

/* ---- Choice of target ---- */

START_TEST(weights_share_the_calls)
{
    size_t primary = 0;
    fixture.targets[1].tier = 0;
    fixture.targets[1].model = "mock-echo";
    fixture.targets[0].weight = 3;
    fixture.targets[1].weight = 1;
    for (int i = 0; i < 80; i++) {
        ck_assert_int_eq(ask("mock-echo"), SL_OK);
        primary += strcmp(fixture.result.provider, "primary") == 0;
    }
    /* 60 expected; five standard deviations on either side. */
    ck_assert_uint_ge(primary, 41);
    ck_assert_uint_le(primary, 78);
}
END_TEST

START_TEST(a_slow_first_token_is_hedged)
{
    fixture.primary.hedge_quantile = 0.9;
    fixture.primary.hedge_min_ms = 100;
    fixture.primary.first_token_timeout_ms = 3000;
    fixture.targets[1].model = "mock-echo";
    for (int i = 0; i < 20; i++)
        check_served(ask("mock-echo"), "primary", "the quick brown fox");
    mock_cloud_fault(&fixture.mock, "mock-echo", "mock-slow-first-2s", 1);
    fixture.asking = (enum asking)_i;
    check_served(ask("mock-echo"), "backup", "the quick brown fox");
    ck_assert_uint_le(fixture.took_ms, 1000);
    ck_assert_int_eq(outcome(0), SL_CLOUD_LOST_HEDGE);
    ck_assert(fixture.result.attempts[1].is_hedge);
}
END_TEST

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

START_TEST(a_stream_past_its_hedge_time_is_waited_for_and_not_polled)
{
    fixture.target_count = 1;
    fixture.primary.hedge_quantile = 0.9;
    fixture.primary.hedge_min_ms = 100;
    fixture.asking = ASK_STREAMED;
    for (int i = 0; i < 20; i++)
        check_served(ask("mock-words-20+token-5ms"), "primary", words(20));
    mock_cloud_fault(&fixture.mock, "mock-words-20+token-5ms", "mock-words-20+token-100ms", 1);
    double before = cpu_seconds();
    check_served(ask("mock-words-20+token-5ms"), "primary", words(20));
    ck_assert_uint_ge(fixture.took_ms, 1800);
    ck_assert_double_lt(cpu_seconds() - before, 0.2); /* polled: all that the machine gives */
}
END_TEST

START_TEST(every_breaker_open_means_unavailable_with_a_time)
{
    fixture.target_count = 1;
    fixture.primary.breaker_open_ms = 5000;
    while (sl_cloud_breaker_state(fixture.cloud, "primary") == SL_BREAKER_CLOSED)
        ck_assert_int_eq(ask("mock-503"), SL_ERR_UPSTREAM);
    ck_assert_int_eq(ask("mock-503"), SL_ERR_ROUTE_UNAVAILABLE);
    ck_assert_uint_gt(fixture.result.retry_after_ms, 1000);
    ck_assert_uint_le(fixture.result.retry_after_ms, 5000);
    ck_assert_uint_eq(fixture.result.attempt_count, 0);
}
END_TEST

START_TEST(only_rate_limits_are_told_as_one)
{
    fixture.target_count = 1;
    ck_assert_int_eq(ask("mock-429+retry-after-60"), SL_ERR_RATE_LIMIT);
    ck_assert_uint_eq(fixture.result.retry_after_ms, 60000);
    fixture.target_count = 2;
    fixture.targets[1].model = "mock-429";
    ck_assert_int_eq(ask("mock-500"), SL_ERR_UPSTREAM);
}
END_TEST

/* The real waits: at most 4 requests in any 3 s, at most 6 in all, though the fallback is throttled
 * too. */
START_TEST(throttled_providers_are_not_hammered)
{
    uint64_t at_ms[8];
    struct sl_cloud_provider_config defaults;
    sl_cloud_provider_defaults(&defaults);
    fixture.primary.backoff_ms = fixture.backup.backoff_ms = defaults.backoff_ms;
    fixture.primary.backoff_max_ms = fixture.backup.backoff_max_ms = defaults.backoff_max_ms;
    fixture.targets[1].model = "mock-429+echo";
    ck_assert_int_eq(ask("mock-429"), SL_ERR_RATE_LIMIT);
    json_t *log = mock_cloud_requests(&fixture.mock);
    json_t *requests = json_object_get(log, "requests");
    size_t count = json_array_size(requests);
    ck_assert_uint_ge(count, 3);
    ck_assert_uint_le(count, 6);
    for (size_t i = 0; i < count; i++)
        at_ms[i] =
            (uint64_t)json_integer_value(json_object_get(json_array_get(requests, i), "at_ms"));
    for (size_t i = 0; i + 4 < count; i++)
        ck_assert_uint_gt(at_ms[i + 4] - at_ms[i], 3000);
    json_decref(log);
}
END_TEST

/* ---- Network ---- */

START_TEST(a_dead_provider_makes_the_network_offline_and_a_probe_ends_it)
{
    struct sl_error error = {0};
    fixture.target_count = 1;
    mock_cloud_kill(&fixture.mock);
    ck_assert_int_eq(ask("mock-echo"), SL_ERR_UPSTREAM);
    ck_assert_int_eq(outcome(0), SL_CLOUD_CONNECT_FAILED);
    ck_assert_int_eq(sl_cloud_network_state(fixture.cloud), SL_NETWORK_OFFLINE);
    ck_assert_int_eq(
        sl_cloud_probe(fixture.cloud, &fixture.primary, sl_monotonic_ms() + 1000, &error),
        SL_ERR_UPSTREAM);
    mock_cloud_restart(&fixture.mock);
    ck_assert_msg(
        sl_cloud_probe(fixture.cloud, &fixture.primary, sl_monotonic_ms() + 2000, &error) == SL_OK,
        "%s", error.message);
    ck_assert_int_eq(sl_cloud_network_state(fixture.cloud), SL_NETWORK_DEGRADED);
    ck_assert_uint_eq(mock_cloud_count(&fixture.mock, NULL), 0); /* a probe says nothing */
}
END_TEST

START_TEST(no_cloud_means_no_connection)
{
    struct sl_error error = {0};
    sl_cloud_free(fixture.cloud);
    setenv("SLUICE_NO_CLOUD", "1", 1);
    ck_assert_int_eq(sl_cloud_create(&(struct sl_cloud_options){0}, &fixture.cloud, &error), SL_OK);
    ck_assert(sl_cloud_is_disabled(fixture.cloud));
    ck_assert_int_eq(ask("mock-echo"), SL_ERR_ROUTE_UNAVAILABLE);
    ck_assert_int_eq(
        sl_cloud_probe(fixture.cloud, &fixture.primary, sl_monotonic_ms() + 1000, &error),
        SL_ERR_ROUTE_UNAVAILABLE);
    ck_assert_int_eq(sl_cloud_network_state(fixture.cloud), SL_NETWORK_OFFLINE);
    check_nothing_was_sent();
}
END_TEST

START_TEST(stopping_ends_calls_with_a_word_of_their_own)
{
    sl_cloud_stop(fixture.cloud);
    ck_assert_int_eq(ask("mock-echo"), SL_ERR_SHUTDOWN);
}
END_TEST

START_TEST(egress_and_tokens_are_counted)
{
    struct sl_buf text;
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
    sl_buf_init(&text, 1 << 20);
    ck_assert_int_eq(sl_metric_render(&text), SL_OK);
    ck_assert_ptr_nonnull(strstr(text.data, "sluice_egress_bytes_total{provider=\"primary\"}"));
    ck_assert_ptr_nonnull(strstr(
        text.data, "sluice_cloud_attempts_total{provider=\"primary\",outcome=\"served\"} 1"));
    ck_assert_ptr_nonnull(strstr(text.data, "gen_ai_client_token_usage_sum{"));
    ck_assert_ptr_nonnull(strstr(text.data, "sluice_breaker_state{provider=\"primary\"} 0"));
    sl_buf_clear(&text);
}
END_TEST

static void add_tls_case(Suite *suite, const char *name, SFun start)
{
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, start, fixture_stop);
    tcase_add_test(tcase, a_bad_certificate_is_refused_before_anything_is_sent);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("cloud");
    add_tls_case(suite, "expired", start_expired);
    add_tls_case(suite, "wrong host", start_wrong_host);
    add_tls_case(suite, "untrusted", start_untrusted);
    TCase *tcase = tcase_create("cloud");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, fixture_start, fixture_stop);
    tcase_add_test(tcase, the_system_store_does_not_know_the_simulator);
    tcase_add_test(tcase, a_pinned_key_must_fit);
    tcase_add_test(tcase, tls_1_3_can_be_demanded);
    tcase_add_test(tcase, http_to_another_host_is_no_provider);
    tcase_add_test(tcase, the_key_comes_from_the_environment);
    tcase_add_test(tcase, a_missing_key_is_said_and_nothing_is_sent);
    tcase_add_test(tcase, a_rotated_key_file_is_read_again);
    tcase_add_loop_test(tcase, the_way_a_stream_is_cut_does_not_matter, 0,
                        (int)(sizeof cuttings / sizeof cuttings[0]));
    tcase_add_test(tcase, nothing_is_given_before_the_first_content);
    tcase_add_test(tcase, a_sink_that_stops_stops_the_provider);
    tcase_add_loop_test(tcase, a_client_that_leaves_ends_the_call_at_once, 0, 3);
    tcase_add_test(tcase, the_deadline_of_the_call_is_kept);
    tcase_add_test(tcase, impatient_clients_do_not_open_the_breaker);
    tcase_add_test(tcase, a_large_answer_is_refused_and_not_truncated);
    tcase_add_test(tcase, a_slow_client_holds_the_provider_back);
    tcase_add_loop_test(tcase, tool_calls_come_back_in_pieces, 0, ASKING_COUNT);
    tcase_add_loop_test(tcase, anthropic_answers_too, 0, ASKING_COUNT);
    tcase_add_loop_test(tcase, anthropic_faults_fall_back_to_openai, 0, 4 * ASKING_COUNT);
    tcase_add_loop_test(tcase, anthropic_tools_are_translated_both_ways, 0, ASKING_COUNT);
    tcase_add_test(tcase, what_one_provider_cannot_say_the_next_is_asked);
    tcase_add_loop_test(tcase, who_is_asked_to_reason_may_be_silent_for_longer, 0,
                        sizeof thinkers / sizeof thinkers[0]);
    tcase_add_test(tcase, a_spent_budget_keeps_everything_here);
    tcase_add_test(tcase, what_this_side_gives_up_is_paid_for_and_what_fails_is_not);
    tcase_add_test(tcase, spending_survives_a_restart);
    tcase_add_test(tcase, a_held_call_gives_nothing_and_breaks_unseen);
    tcase_add_test(tcase, weights_share_the_calls);
    tcase_add_loop_test(tcase, a_slow_first_token_is_hedged, 0, ASKING_COUNT - 1);
    tcase_add_test(tcase, a_stream_past_its_hedge_time_is_waited_for_and_not_polled);
    tcase_add_test(tcase, every_breaker_open_means_unavailable_with_a_time);
    tcase_add_test(tcase, only_rate_limits_are_told_as_one);
    tcase_add_test(tcase, throttled_providers_are_not_hammered);
    tcase_add_test(tcase, a_dead_provider_makes_the_network_offline_and_a_probe_ends_it);
    tcase_add_test(tcase, no_cloud_means_no_connection);
    tcase_add_test(tcase, stopping_ends_calls_with_a_word_of_their_own);
    tcase_add_test(tcase, egress_and_tokens_are_counted);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
