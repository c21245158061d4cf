/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of faults: what a provider may do on a bad day, and what the client gets. Each row runs
 * against the simulator over TLS three times: streamed, whole over a streamed exchange, and whole
 * over an unstreamed one (the loop index). Timeouts are a tenth of the real ones.
 */
#include "cloud_fixture.h"

static const char backup_text[] = "word1 word2"; /* beginning of what the backup says */

static void check_backup_served(enum sl_err err)
{
    ck_assert_int_eq(strncmp(words(60), backup_text, sizeof backup_text - 1), 0);
    check_served(err, "backup", words(60));
    ck_assert_str_eq(fixture.result.model, "mock-words-60");
}

START_TEST(a_healthy_provider_answers)
{
    fixture.asking = (enum asking)_i;
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
    ck_assert_uint_eq(fixture.result.attempt_count, 1);
    ck_assert_int_eq(outcome(0), SL_CLOUD_SERVED);
    ck_assert_int_eq(fixture.result.attempts[0].http_status, 200);
    ck_assert_uint_gt(fixture.result.bytes_out, 100);
}
END_TEST

START_TEST(a_429_with_retry_after_is_waited_for)
{
    fixture.asking = (enum asking)_i;
    check_served(ask("mock-429-once+retry-after-2"), "primary", "the quick brown fox");
    ck_assert_uint_ge(fixture.took_ms, 1950);
    ck_assert_uint_le(fixture.took_ms, 4000);
    ck_assert_uint_eq(fixture.result.attempt_count, 2);
}
END_TEST

START_TEST(a_429_with_a_long_retry_after_falls_back_at_once)
{
    fixture.asking = (enum asking)_i;
    check_backup_served(ask("mock-429+retry-after-60"));
    ck_assert_uint_le(fixture.took_ms, ONE_TIMEOUT_MS);
    ck_assert_uint_eq(fixture.result.attempt_count, 2);
}
END_TEST

START_TEST(a_provider_that_asked_for_time_is_left_alone_by_the_next_call)
{
    fixture.asking = (enum asking)_i;
    check_backup_served(ask("mock-429+retry-after-60"));
    check_backup_served(ask("mock-429+retry-after-60"));
    ck_assert_uint_eq(mock_cloud_count(&fixture.mock, "mock-429+retry-after-60"), 1);
}
END_TEST

START_TEST(a_429_for_ever_is_not_hammered)
{
    fixture.asking = (enum asking)_i;
    check_backup_served(ask("mock-429"));
    ck_assert_uint_le(mock_cloud_count(&fixture.mock, "mock-429"), 4);
    ck_assert_uint_le(mock_cloud_count(&fixture.mock, NULL), 6);
}
END_TEST

START_TEST(a_500_once_is_retried_on_the_same_provider)
{
    fixture.asking = (enum asking)_i;
    check_served(ask("mock-500-once"), "primary", "the quick brown fox");
    ck_assert_uint_eq(fixture.result.attempt_count, 2);
    ck_assert_int_eq(outcome(0), SL_CLOUD_SERVER_ERROR);
}
END_TEST

START_TEST(a_503_for_ever_falls_back_within_the_retry_budget)
{
    fixture.asking = (enum asking)_i;
    check_backup_served(ask("mock-503"));
    ck_assert_uint_le(mock_cloud_count(&fixture.mock, "mock-503"), 3);
}
END_TEST

START_TEST(an_empty_retry_budget_means_fallback_without_a_retry)
{
    fixture.asking = (enum asking)_i;
    fixture.primary.retry_budget_burst = 0;
    check_backup_served(ask("mock-503"));
    ck_assert_uint_eq(mock_cloud_count(&fixture.mock, "mock-503"), 1);
}
END_TEST

START_TEST(a_reset_before_the_head_is_retried)
{
    fixture.asking = (enum asking)_i;
    check_served(ask("mock-reset-once"), "primary", "the quick brown fox");
    ck_assert_int_eq(outcome(0), SL_CLOUD_RESET);
}
END_TEST

START_TEST(resets_for_ever_fall_back)
{
    fixture.asking = (enum asking)_i;
    check_backup_served(ask("mock-reset"));
}
END_TEST

START_TEST(a_silent_provider_is_not_asked_twice)
{
    fixture.asking = (enum asking)_i;
    check_backup_served(ask("mock-silent"));
    ck_assert_uint_eq(mock_cloud_count(&fixture.mock, "mock-silent"), 1);
    ck_assert_int_eq(outcome(0), SL_CLOUD_TIMEOUT_FIRST_TOKEN);
    ck_assert_uint_le(fixture.took_ms, ONE_TIMEOUT_MS);
}
END_TEST

START_TEST(a_late_first_token_falls_back)
{
    fixture.asking = (enum asking)_i;
    check_backup_served(ask("mock-slow-first-20s"));
    ck_assert_int_eq(outcome(0), SL_CLOUD_TIMEOUT_FIRST_TOKEN);
    ck_assert_uint_le(fixture.took_ms, ONE_TIMEOUT_MS);
}
END_TEST

/* Unstreamed towards the client, nothing was sent: the whole answer comes from the fallback. */
START_TEST(a_cut_stream_is_never_a_truncated_success)
{
    fixture.asking = (enum asking)_i;
    enum sl_err err = ask("mock-cut-40+token-2ms");
    ck_assert_int_eq(outcome(0), SL_CLOUD_TRUNCATED);
    if (fixture.asking != ASK_STREAMED) {
        check_backup_served(err);
        return;
    }
    ck_assert_int_eq(err, SL_ERR_UPSTREAM);
    ck_assert(fixture.result.is_committed);
    ck_assert(!sl_answer_is_complete(&fixture.given));
    ck_assert_str_eq(answer_text(&fixture.given), words(40));
    ck_assert_str_eq(answer_text(&fixture.result.answer), words(40));
}
END_TEST

START_TEST(a_stream_that_ends_without_a_reason_is_truncated)
{
    fixture.asking = (enum asking)_i;
    enum sl_err err = ask("mock-end-40+token-2ms");
    ck_assert_int_eq(outcome(0), SL_CLOUD_TRUNCATED);
    if (fixture.asking == ASK_STREAMED)
        ck_assert_int_eq(err, SL_ERR_UPSTREAM);
    else
        check_backup_served(err);
}
END_TEST

START_TEST(a_held_stream_that_is_cut_is_answered_whole_by_the_fallback)
{
    fixture.asking = (enum asking)_i;
    fixture.stream_hold_tokens = 50;
    check_backup_served(ask("mock-cut-40+token-2ms"));
}
END_TEST

START_TEST(a_fully_held_stream_is_verified_before_any_of_it_is_sent)
{
    fixture.asking = (enum asking)_i;
    fixture.stream_hold_tokens = SIZE_MAX;
    check_backup_served(ask("mock-cut-59+token-1ms"));
}
END_TEST

START_TEST(a_stream_that_goes_silent_is_noticed)
{
    fixture.asking = (enum asking)_i;
    enum sl_err err = ask("mock-stall-20+token-2ms");
    ck_assert_int_eq(outcome(0), SL_CLOUD_TIMEOUT_IDLE);
    if (fixture.asking == ASK_STREAMED)
        ck_assert_int_eq(err, SL_ERR_UPSTREAM_TIMEOUT);
    else
        check_backup_served(err);
    ck_assert_uint_le(fixture.took_ms, ONE_TIMEOUT_MS);
    check_served(ask("mock-echo"), "primary", "the quick brown fox"); /* healthy afterwards */
}
END_TEST

START_TEST(one_malformed_event_is_skipped)
{
    fixture.asking = (enum asking)_i;
    enum sl_err err = ask("mock-words-20+malformed-7");
    if (fixture.asking == ASK_WHOLE)
        check_backup_served(err); /* a broken body is no answer at all */
    else
        check_served(err, "primary", words(20));
}
END_TEST

START_TEST(a_stream_that_is_mostly_broken_is_no_answer)
{
    fixture.asking = (enum asking)_i;
    enum sl_err err = ask("mock-words-20+broken-3");
    if (fixture.asking == ASK_WHOLE)
        check_served(err, "primary", words(20));
    else
        check_backup_served(err);
}
END_TEST

START_TEST(a_model_that_does_not_stream_is_asked_in_one_piece)
{
    fixture.asking = (enum asking)_i;
    check_served(ask("mock-no-stream"), "primary", "the quick brown fox");
    ck_assert_uint_eq(fixture.result.attempt_count, fixture.asking == ASK_WHOLE ? 1 : 2);
}
END_TEST

START_TEST(a_stream_without_done_is_finished_at_once)
{
    fixture.asking = (enum asking)_i;
    check_served(ask("mock-no-done"), "primary", "the quick brown fox");
    ck_assert_uint_le(fixture.took_ms, IDLE_MS - 100);
    check_served(ask("mock-no-done+open"), "primary", "the quick brown fox");
    ck_assert_uint_le(fixture.took_ms, IDLE_MS - 100);
}
END_TEST

START_TEST(a_context_that_is_too_short_is_not_retried)
{
    fixture.asking = (enum asking)_i;
    ck_assert_int_eq(ask("mock-context-length"), SL_ERR_CONTEXT_LENGTH);
    ck_assert_uint_eq(mock_cloud_count(&fixture.mock, NULL), 1);
    ck_assert_ptr_nonnull(strstr(fixture.error.message, "maximum context length"));
}
END_TEST

START_TEST(a_larger_context_is_asked_where_there_is_one)
{
    static const struct sl_cloud_model_config small = {.name = "mock-context-length",
                                                       .context_tokens = 8192};
    static const struct sl_cloud_model_config large = {.name = "mock-words-60",
                                                       .context_tokens = 128000};
    fixture.asking = (enum asking)_i;
    fixture.primary.models = &small;
    fixture.backup.models = &large;
    fixture.primary.model_count = fixture.backup.model_count = 1;
    check_backup_served(ask("mock-context-length"));
    ck_assert_uint_eq(fixture.result.attempt_count, 2);
}
END_TEST

START_TEST(a_content_policy_is_final_and_says_why)
{
    fixture.asking = (enum asking)_i;
    ck_assert_int_eq(ask("mock-content-policy"), SL_ERR_UPSTREAM_REJECTED);
    ck_assert_uint_eq(mock_cloud_count(&fixture.mock, NULL), 1);
    ck_assert_str_eq(fixture.error.message, "Rejected by the simulated safety system.");
    ck_assert_int_eq(outcome(0), SL_CLOUD_CONTENT_POLICY);
}
END_TEST

START_TEST(a_rejected_key_is_ours_and_falls_back)
{
    fixture.asking = (enum asking)_i;
    check_backup_served(ask("mock-bad-key"));
    fixture.target_count = 1;
    ck_assert_int_eq(ask("mock-bad-key"), SL_ERR_UPSTREAM_CREDENTIALS);
}
END_TEST

START_TEST(a_used_up_quota_is_not_retried)
{
    fixture.asking = (enum asking)_i;
    check_backup_served(ask("mock-quota"));
    ck_assert_uint_eq(mock_cloud_count(&fixture.mock, "mock-quota"), 1);
}
END_TEST

START_TEST(an_answer_that_is_none_falls_back)
{
    fixture.asking = (enum asking)_i;
    check_backup_served(ask("mock-garbage"));
    check_backup_served(ask("mock-html"));
}
END_TEST

START_TEST(an_error_event_before_any_content_is_a_failed_attempt)
{
    fixture.asking = (enum asking)_i;
    check_backup_served(ask("mock-error-0"));
}
END_TEST

START_TEST(only_the_served_answer_is_named_and_billed)
{
    static const struct sl_cloud_model_config dear = {
        .name = "mock-503", .usd_per_1k_prompt_tokens = 1000, .usd_per_1k_completion_tokens = 1000};
    static const struct sl_cloud_model_config cheap = {.name = "mock-words-60",
                                                       .usd_per_1k_completion_tokens = 1};
    fixture.asking = (enum asking)_i;
    fixture.primary.models = &dear;
    fixture.backup.models = &cheap;
    fixture.primary.model_count = fixture.backup.model_count = 1;
    check_backup_served(ask("mock-503"));
    ck_assert_double_eq_tol(fixture.result.cost_usd, 0.06, 1e-9);
    ck_assert_double_eq_tol(sl_cloud_spending(fixture.cloud, NULL).day_usd, 0.06, 1e-9);
    ck_assert_str_eq(fixture.result.answer.model, "mock-words-60");
    ck_assert_uint_eq(fixture.result.answer.usage.completion_tokens, 60);
    size_t last = fixture.result.attempt_count - 1;
    ck_assert_str_eq(fixture.result.attempts[last].provider, "backup");
    ck_assert_uint_eq(fixture.result.attempts[last].completion_tokens, 60);
    ck_assert_uint_eq(fixture.result.attempts[0].completion_tokens, 0);
}
END_TEST

/* A provider that is down while 20 requests come, then healthy. */
START_TEST(a_breaker_opens_probes_little_and_closes_again)
{
    fixture.asking = (enum asking)_i;
    fixture.primary.breaker_open_ms = 150;
    fixture.primary.breaker_open_max_ms = 300;
    mock_cloud_fault(&fixture.mock, "mock-echo", "mock-503", -1);
    for (int i = 0; i < 20; i++)
        check_backup_served(ask("mock-echo"));
    ck_assert_int_ne(sl_cloud_breaker_state(fixture.cloud, "primary"), SL_BREAKER_CLOSED);
    /* Six of the first two requests; then at most a probe each 150, 300, 300 ... ms. */
    size_t asked = mock_cloud_count(&fixture.mock, "mock-echo");
    ck_assert_uint_ge(asked, 5);
    ck_assert_uint_le(asked, 12);
    mock_cloud_reset(&fixture.mock);
    uint64_t healthy_at_ms = sl_monotonic_ms();
    while (strcmp(fixture.result.provider, "primary") != 0) {
        ck_assert_int_eq(ask("mock-echo"), SL_OK);
        ck_assert_uint_le(sl_monotonic_ms() - healthy_at_ms, 3000);
    }
    ck_assert_int_eq(sl_cloud_breaker_state(fixture.cloud, "primary"), SL_BREAKER_CLOSED);
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
}
END_TEST

/* ---- Resuming a broken stream; streamed only ---- */

START_TEST(a_broken_stream_is_continued_by_an_answer_that_begins_alike)
{
    fixture.resumes = true;
    ck_assert_int_eq(ask("mock-cut-40+token-2ms"), SL_OK);
    ck_assert_str_eq(answer_text(&fixture.given), words(60));
    ck_assert_str_eq(answer_text(&fixture.result.answer), words(60));
    ck_assert(fixture.result.is_resumed);
    ck_assert(sl_answer_is_complete(&fixture.given));
}
END_TEST

START_TEST(a_broken_stream_is_continued_by_prefill)
{
    fixture.resumes = true;
    fixture.backup.takes_prefill = true;
    ck_assert_int_eq(ask("mock-cut-40+token-2ms"), SL_OK);
    ck_assert_str_eq(answer_text(&fixture.given), words(60));
    json_t *log = mock_cloud_requests(&fixture.mock);
    const char *body = json_string_value(
        json_object_get(json_array_get(json_object_get(log, "requests"), 1), "body"));
    ck_assert_ptr_nonnull(strstr(body, "\"role\":\"assistant\",\"content\":\"word1 word2"));
    json_decref(log);
}
END_TEST

START_TEST(a_refused_prefill_is_restarted_cleanly)
{
    fixture.resumes = true;
    fixture.backup.takes_prefill = true;
    fixture.targets[1].model = "mock-words-60+no-prefill";
    ck_assert_int_eq(ask("mock-cut-40+token-2ms"), SL_OK);
    ck_assert_str_eq(answer_text(&fixture.given), words(60));
    ck_assert_int_eq(outcome(1), SL_CLOUD_PREFILL_REJECTED);
}
END_TEST

START_TEST(a_different_beginning_is_never_spliced)
{
    fixture.resumes = true;
    fixture.targets[1].model = "mock-echo";
    ck_assert_int_eq(ask("mock-cut-40+token-2ms"), SL_ERR_UPSTREAM);
    ck_assert_str_eq(answer_text(&fixture.given), words(40));
    ck_assert(!sl_answer_is_complete(&fixture.given));
}
END_TEST

START_TEST(a_stream_with_one_provider_is_continued_by_itself)
{
    fixture.resumes = true;
    fixture.target_count = 1;
    mock_cloud_fault(&fixture.mock, "mock-words-60", "mock-cut-40+token-2ms", 1);
    ck_assert_int_eq(ask("mock-words-60"), SL_OK);
    ck_assert_str_eq(answer_text(&fixture.given), words(60));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cloud faults");
    TCase *rows = tcase_create("rows");
    tcase_set_timeout(rows, 60);
    tcase_add_checked_fixture(rows, fixture_start, fixture_stop);
#define ROW(test) tcase_add_loop_test(rows, test, 0, ASKING_COUNT)
    ROW(a_healthy_provider_answers);
    ROW(a_429_with_retry_after_is_waited_for);
    ROW(a_429_with_a_long_retry_after_falls_back_at_once);
    ROW(a_provider_that_asked_for_time_is_left_alone_by_the_next_call);
    ROW(a_429_for_ever_is_not_hammered);
    ROW(a_500_once_is_retried_on_the_same_provider);
    ROW(a_503_for_ever_falls_back_within_the_retry_budget);
    ROW(an_empty_retry_budget_means_fallback_without_a_retry);
    ROW(a_reset_before_the_head_is_retried);
    ROW(resets_for_ever_fall_back);
    ROW(a_silent_provider_is_not_asked_twice);
    ROW(a_late_first_token_falls_back);
    ROW(a_cut_stream_is_never_a_truncated_success);
    ROW(a_stream_that_ends_without_a_reason_is_truncated);
    ROW(a_held_stream_that_is_cut_is_answered_whole_by_the_fallback);
    ROW(a_fully_held_stream_is_verified_before_any_of_it_is_sent);
    ROW(a_stream_that_goes_silent_is_noticed);
    ROW(one_malformed_event_is_skipped);
    ROW(a_stream_that_is_mostly_broken_is_no_answer);
    ROW(a_model_that_does_not_stream_is_asked_in_one_piece);
    ROW(a_stream_without_done_is_finished_at_once);
    ROW(a_context_that_is_too_short_is_not_retried);
    ROW(a_larger_context_is_asked_where_there_is_one);
    ROW(a_content_policy_is_final_and_says_why);
    ROW(a_rejected_key_is_ours_and_falls_back);
    ROW(a_used_up_quota_is_not_retried);
    ROW(an_answer_that_is_none_falls_back);
    ROW(an_error_event_before_any_content_is_a_failed_attempt);
    ROW(only_the_served_answer_is_named_and_billed);
    ROW(a_breaker_opens_probes_little_and_closes_again);
    suite_add_tcase(suite, rows);

    TCase *resume = tcase_create("resume");
    tcase_set_timeout(resume, 60);
    tcase_add_checked_fixture(resume, fixture_start, fixture_stop);
    tcase_add_test(resume, a_broken_stream_is_continued_by_an_answer_that_begins_alike);
    tcase_add_test(resume, a_broken_stream_is_continued_by_prefill);
    tcase_add_test(resume, a_refused_prefill_is_restarted_cleanly);
    tcase_add_test(resume, a_different_beginning_is_never_spliced);
    tcase_add_test(resume, a_stream_with_one_provider_is_continued_by_itself);
    suite_add_tcase(suite, resume);
    return sl_test_main(suite);
}
