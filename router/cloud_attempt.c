/* SPDX-License-Identifier: Apache-2.0
 *
 * One exchange with one target. Owns its transfer, its parsers and the answer until the commit;
 * leaves retries, fallbacks, breakers and money to cloud_call.c. All of it runs on the caller's
 * thread.
 *
 * Invariants: 1. Once is_over, nothing more reaches the sink and the outcome does not change.
 * 2. While not forwarding, the sink and the result's answer were given nothing by this attempt.
 * 3. `own` is empty while forwarding: the answer is the result's then.
 */
#include "cloud_attempt.h"

#include "sluice/clock.h"

#include <stdio.h>
#include <string.h>

#define ANSWER_BYTES_DEFAULT (4u << 20)
#define EVENT_BYTES_MAX (4u << 20)    /* one event may carry a whole tool call or an image's text */
#define WHOLE_BYTES_MAX (32u << 20)   /* an unstreamed answer with log-probabilities */
#define FAILURE_BODY_MAX (64u * 1024) /* an error's sentence is in its first lines */
#define SETTLE_MS 500                 /* usage comes within one event of the end, or not at all */
#define CONNECT_GRACE_MS 500          /* libcurl keeps the connect timeout; this is the belt */

#define MALFORMED_EVENTS_MAX 2          /* more, and text is missing that nobody would notice */
#define UPLOAD_BYTES_PER_S (256u << 10) /* 2 Mbit/s: a poor uplink */

/* ---- Ending ---- */

static void over(struct sl_attempt *attempt, enum sl_cloud_outcome outcome, uint64_t now_ms)
{
    if (attempt->is_over)
        return;
    attempt->is_over = true;
    attempt->outcome = outcome;
    struct sl_cloud_attempt *record = attempt->record;
    if (record != NULL) {
        record->outcome = outcome;
        record->ms = (uint32_t)(now_ms - attempt->started_at_ms);
        record->http_status = attempt->status.http_status;
        record->bytes_sent = attempt->status.bytes_sent;
        record->prompt_tokens = attempt->reader.usage.prompt_tokens;
        record->completion_tokens = attempt->reader.usage.completion_tokens;
        if (attempt->first_content_at_ms > 0)
            record->first_token_ms =
                (uint32_t)(attempt->first_content_at_ms - attempt->started_at_ms);
    }
    /* Closes the stream at the provider where it still runs. */
    sl_transfer_release(attempt->transfer);
    attempt->transfer = NULL;
}

void sl_attempt_end(struct sl_attempt *attempt, enum sl_cloud_outcome outcome, uint64_t now_ms)
{
    if (attempt->transfer != NULL)
        sl_transfer_status(attempt->transfer, &attempt->status);
    over(attempt, outcome, now_ms);
}

void sl_attempt_clear(struct sl_attempt *attempt)
{
    sl_transfer_release(attempt->transfer);
    attempt->transfer = NULL;
    sl_sse_parser_clear(&attempt->sse);
    sl_buf_wipe(&attempt->bytes);
    sl_buf_wipe(&attempt->whole);
    sl_buf_wipe(&attempt->sent);
    sl_answer_clear(&attempt->own);
}

/* ---- Deltas ---- */

/* Takes from *text what repeats the text already sent: all of it with VERIFY, with PREFILL only
 * white space that was trimmed off, which the model may or may not repeat. False where a VERIFY
 * differs. */
static bool swallow_repeated(struct sl_attempt *attempt, struct sl_slice *text)
{
    size_t left = attempt->sent.len - attempt->sent_matched;
    size_t len = text->len < left ? text->len : left;
    if (len > 0 && memcmp(text->data, attempt->sent.data + attempt->sent_matched, len) != 0) {
        attempt->sent_matched = attempt->sent.len;
        return attempt->plan.resume == SL_RESUME_PREFILL;
    }
    attempt->sent_matched += len;
    *text = (struct sl_slice){text->data + len, text->len - len};
    return true;
}

/* What a continuing attempt may say: text, and the end. Returns false where it does not continue
 * what was sent; *is_passed tells whether the delta goes on to the client. */
static bool filter_resumed(struct sl_attempt *attempt, struct sl_delta *delta, bool *is_passed)
{
    *is_passed = true;
    switch (delta->kind) {
    case SL_DELTA_TEXT:
        if (!swallow_repeated(attempt, &delta->text))
            return false;
        *is_passed = delta->text.len > 0;
        return true;
    case SL_DELTA_FINISH:
        return attempt->plan.resume == SL_RESUME_PREFILL ||
               attempt->sent_matched == attempt->sent.len;
    case SL_DELTA_USAGE:
        return true;
    case SL_DELTA_MODEL:     /* the client was told a model already; the record has this one */
    case SL_DELTA_REASONING: /* thinking again is no part of the answer that was begun */
    case SL_DELTA_LOGPROBS:
        *is_passed = false;
        return true;
    case SL_DELTA_TOOL_CALL:
    case SL_DELTA_REFUSAL:
        break;
    }
    return false;
}

static enum sl_err forward(struct sl_attempt *attempt, const struct sl_delta *delta)
{
    enum sl_err err = sl_answer_add(&attempt->plan.result->answer, delta, &attempt->error);
    if (err != SL_OK)
        return err;
    attempt->plan.result->is_committed = true;
    attempt->sink_err = attempt->plan.call->sink(attempt->plan.call->sink_ctx, delta);
    return attempt->sink_err;
}

static enum sl_err on_delta(void *ctx, const struct sl_delta *given)
{
    struct sl_attempt *attempt = ctx;
    if (!attempt->is_forwarding)
        return sl_answer_add(&attempt->own, given, &attempt->error);
    struct sl_delta delta = *given;
    if (attempt->plan.resume != SL_RESUME_NONE) {
        bool is_passed;
        if (!filter_resumed(attempt, &delta, &is_passed))
            return SL_ERR_CONFLICT;
        if (!is_passed)
            return SL_OK;
    }
    return forward(attempt, &delta);
}

static bool is_held(const struct sl_attempt *attempt)
{
    const struct sl_cloud_call *call = attempt->plan.call;
    return call->is_held != NULL && atomic_load(call->is_held);
}

bool sl_attempt_may_commit(const struct sl_attempt *attempt)
{
    const struct sl_cloud_call *call = attempt->plan.call;
    return call->is_streaming && !attempt->is_forwarding && !attempt->is_over &&
           !is_held(attempt) && attempt->reader.content_count > call->stream_hold_tokens;
}

static enum sl_err give_held(void *ctx, const struct sl_delta *delta)
{
    struct sl_attempt *attempt = ctx;
    if (delta->kind == SL_DELTA_MODEL && delta->text.len == 0)
        return SL_OK;
    attempt->plan.result->is_committed = true;
    attempt->sink_err = attempt->plan.call->sink(attempt->plan.call->sink_ctx, delta);
    return attempt->sink_err;
}

/* The answer becomes the result's. */
static void hand_over_answer(struct sl_attempt *attempt)
{
    struct sl_answer *answer = &attempt->plan.result->answer;
    size_t text_bytes_max = attempt->own.text_bytes_max;
    sl_answer_clear(answer);
    *answer = attempt->own;
    sl_answer_init(&attempt->own, text_bytes_max);
    attempt->is_forwarding = true;
}

void sl_attempt_commit(struct sl_attempt *attempt)
{
    hand_over_answer(attempt);
    if (!attempt->plan.call->is_streaming)
        return;
    if (sl_answer_replay(&attempt->plan.result->answer, give_held, attempt) != SL_OK)
        over(attempt, SL_CLOUD_CANCELLED, sl_monotonic_ms());
}

/* ---- Starting ---- */

const struct sl_cloud_model_config *sl_target_model(const struct sl_cloud_target *target)
{
    for (size_t i = 0; i < target->provider->model_count; i++)
        if (strcmp(target->provider->models[i].name, target->model) == 0)
            return &target->provider->models[i];
    return NULL;
}

static size_t wanted_choices(const json_t *body)
{
    json_int_t n = json_integer_value(json_object_get(body, "n"));
    return n >= 1 && n <= SL_CHOICES_MAX ? (size_t)n : 1;
}

/* Anthropic refuses a prefill that ends in white space, and the model then writes that space again;
 * what is trimmed here is swallowed from the continuation. */
static struct sl_slice prefill_text(const struct sl_buf *sent)
{
    struct sl_slice text = sl_buf_slice(sent);
    while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]) != NULL)
        text.len--;
    return text;
}

static enum sl_err take_sent_text(struct sl_attempt *attempt)
{
    const struct sl_answer *answer = &attempt->plan.result->answer;
    sl_buf_init(&attempt->sent, answer->text_bytes_max);
    if (attempt->plan.resume == SL_RESUME_NONE || answer->choice_count == 0)
        return SL_OK;
    return sl_buf_append_slice(&attempt->sent, sl_buf_slice(&answer->choices[0].content));
}

static enum sl_err start_transfer(struct sl_attempt *attempt, struct sl_buf *key,
                                  struct sl_buf *url, struct sl_transfer_request *request)
{
    const struct sl_attempt_plan *plan = &attempt->plan;
    const struct sl_cloud_provider_config *config = plan->target->provider;
    const struct sl_cloud_model_config *model = sl_target_model(plan->target);
    enum sl_err err = take_sent_text(attempt);
    if (err == SL_OK)
        err = sl_provider_states_key(plan->cloud->states, config, key, &attempt->error);
    if (err != SL_OK)
        return err;
    struct sl_provider_ask ask = {.config = config,
                                  .model = model,
                                  .wire_model = model != NULL && model->wire_name != NULL
                                                    ? model->wire_name
                                                    : plan->target->model,
                                  .body = sl_scrubbed_body(plan->call->body),
                                  .is_streaming = attempt->is_wire_streaming,
                                  .key = sl_buf_slice(key),
                                  .traceparent = plan->call->traceparent};
    if (plan->resume == SL_RESUME_PREFILL) {
        ask.prefill = prefill_text(&attempt->sent);
        attempt->sent_matched = ask.prefill.len;
    }
    err = sl_provider_build(&ask, url, request, &attempt->error);
    if (err != SL_OK)
        return err;
    request->user_agent = plan->cloud->user_agent;
    return sl_transfer_start(plan->cloud->hub, request, plan->inbox, &attempt->transfer,
                             &attempt->error);
}

static enum sl_cloud_outcome outcome_of_start(enum sl_err err)
{
    switch (err) {
    case SL_ERR_UPSTREAM_CREDENTIALS:
        return SL_CLOUD_CREDENTIALS;
    case SL_ERR_UNSUPPORTED:
    case SL_ERR_INVALID:
        return SL_CLOUD_UNSUPPORTED;
    case SL_ERR_SHUTDOWN:
        return SL_CLOUD_CANCELLED;
    default:
        return SL_CLOUD_LOCAL_FAILURE;
    }
}

static enum sl_err on_event(void *ctx, const struct sl_sse_event *event)
{
    struct sl_attempt *attempt = ctx;
    enum sl_err err = sl_provider_read_event(&attempt->reader, event);
    return err == SL_OK && attempt->reader.malformed_count > MALFORMED_EVENTS_MAX ? SL_ERR_FORMAT
                                                                                  : err;
}

static void open_record(struct sl_attempt *attempt)
{
    struct sl_cloud_result *result = attempt->plan.result;
    if (result->attempt_count == SL_CLOUD_ATTEMPTS_MAX)
        return;
    struct sl_cloud_attempt *record = &result->attempts[result->attempt_count++];
    *record = (struct sl_cloud_attempt){.is_hedge = attempt->plan.is_hedge,
                                        .is_resume = attempt->plan.resume != SL_RESUME_NONE};
    snprintf(record->provider, sizeof record->provider, "%s", attempt->plan.target->provider->name);
    snprintf(record->model, sizeof record->model, "%s", attempt->plan.target->model);
    attempt->record = record;
}

void sl_attempt_start(struct sl_attempt *attempt, const struct sl_attempt_plan *plan,
                      uint64_t now_ms)
{
    const struct sl_cloud_provider_config *config = plan->target->provider;
    memset(attempt, 0, sizeof *attempt);
    attempt->plan = *plan;
    attempt->started_at_ms = now_ms;
    attempt->progress_at_ms = now_ms;
    attempt->is_wire_streaming =
        (plan->call->is_streaming || config->prefers_stream) && !plan->avoids_stream;
    attempt->asks_reasoning = sl_provider_asks_reasoning(sl_scrubbed_body(plan->call->body));
    attempt->is_forwarding = plan->resume != SL_RESUME_NONE;
    size_t text_max =
        plan->call->answer_bytes_max > 0 ? plan->call->answer_bytes_max : ANSWER_BYTES_DEFAULT;
    sl_answer_init(&attempt->own, text_max);
    sl_buf_init(&attempt->whole, WHOLE_BYTES_MAX);
    sl_sse_parser_init(&attempt->sse, EVENT_BYTES_MAX, on_event, attempt);
    sl_provider_reader_init(&attempt->reader, config->kind,
                            wanted_choices(sl_scrubbed_body(plan->call->body)), on_delta, attempt);
    open_record(attempt);

    struct sl_buf key, url = {0};
    struct sl_transfer_request request = {0};
    sl_buf_init(&key, 16u * 1024);
    enum sl_err err = start_transfer(attempt, &key, &url, &request);
    sl_transfer_request_clear(&request);
    sl_buf_wipe(&key);
    sl_buf_clear(&url);
    if (err != SL_OK)
        over(attempt, outcome_of_start(err), now_ms);
}

/* ---- Reading ---- */

/* What an error of the parsers or the sink makes of the attempt. */
static enum sl_cloud_outcome outcome_of_reading(struct sl_attempt *attempt, enum sl_err err)
{
    if (attempt->sink_err != SL_OK)
        return SL_CLOUD_CANCELLED;
    switch (err) {
    case SL_ERR_UPSTREAM:
        attempt->failure = attempt->reader.failure;
        return attempt->failure.outcome;
    case SL_ERR_LIMIT:
        return SL_CLOUD_TOO_LARGE;
    case SL_ERR_CONFLICT:
        return SL_CLOUD_RESUME_MISMATCH;
    case SL_ERR_MEMORY:
        return SL_CLOUD_LOCAL_FAILURE;
    default:
        return SL_CLOUD_MALFORMED;
    }
}

static bool is_success(const struct sl_attempt *attempt)
{
    return attempt->status.http_status >= 200 && attempt->status.http_status < 300;
}

/* Providers mislabel: what says neither is judged by its first byte. */
static void find_body_form(struct sl_attempt *attempt)
{
    if (attempt->body_form != SL_BODY_UNKNOWN)
        return;
    if (!is_success(attempt) || attempt->status.is_json)
        attempt->body_form = SL_BODY_WHOLE;
    else if (attempt->status.is_event_stream)
        attempt->body_form = SL_BODY_EVENTS;
    else
        attempt->body_form = attempt->bytes.len > 0 && attempt->bytes.data[0] == '{'
                                 ? SL_BODY_WHOLE
                                 : SL_BODY_EVENTS;
}

static enum sl_err read_bytes(struct sl_attempt *attempt)
{
    find_body_form(attempt);
    if (attempt->body_form == SL_BODY_EVENTS)
        return sl_sse_parser_feed(&attempt->sse, sl_buf_slice(&attempt->bytes));
    if (!is_success(attempt) && attempt->whole.len + attempt->bytes.len > FAILURE_BODY_MAX)
        return SL_OK; /* the rest of a long error page is read over */
    return sl_buf_append_slice(&attempt->whole, sl_buf_slice(&attempt->bytes));
}

static void note_progress(struct sl_attempt *attempt, uint64_t now_ms)
{
    if (attempt->bytes.len > 0)
        attempt->progress_at_ms = now_ms;
    bool has_content =
        attempt->reader.content_count > 0 || (attempt->whole.len > 0 && is_success(attempt));
    if (has_content && attempt->first_content_at_ms == 0)
        attempt->first_content_at_ms = now_ms;
    if (attempt->finished_at_ms == 0 && sl_provider_is_finished(&attempt->reader))
        attempt->finished_at_ms = now_ms;
}

/* A held call keeps a whole answer to itself until it may give it out. */
static void serve(struct sl_attempt *attempt, uint64_t now_ms)
{
    attempt->waits_for_release = is_held(attempt);
    if (attempt->waits_for_release)
        return;
    enum sl_err err = sl_provider_reader_finish(&attempt->reader);
    if (err == SL_OK && !attempt->is_forwarding)
        sl_attempt_commit(attempt);
    over(attempt, err == SL_OK ? SL_CLOUD_SERVED : outcome_of_reading(attempt, err), now_ms);
}

/* A stream may end without [DONE], and a connection may stay open after it. */
static bool is_settled(const struct sl_attempt *attempt, uint64_t now_ms)
{
    return attempt->finished_at_ms > 0 &&
           (attempt->reader.is_done || attempt->reader.usage.is_known || attempt->status.is_done ||
            now_ms >= attempt->finished_at_ms + SETTLE_MS);
}

/* ---- The end of the exchange ---- */

static enum sl_cloud_outcome outcome_of_transfer(const struct sl_attempt *attempt)
{
    switch (attempt->status.failure) {
    case SL_TRANSFER_CONNECT:
        return SL_CLOUD_CONNECT_FAILED;
    case SL_TRANSFER_CONNECT_TIMEOUT:
        return SL_CLOUD_TIMEOUT_CONNECT;
    case SL_TRANSFER_TLS:
        return SL_CLOUD_TLS_FAILED;
    case SL_TRANSFER_SHUTDOWN:
        return SL_CLOUD_CANCELLED;
    case SL_TRANSFER_LOCAL:
        return SL_CLOUD_LOCAL_FAILURE;
    case SL_TRANSFER_OK:
    case SL_TRANSFER_RESET:
        break;
    }
    return attempt->first_content_at_ms > 0 ? SL_CLOUD_TRUNCATED : SL_CLOUD_RESET;
}

static void conclude_failure(struct sl_attempt *attempt, uint64_t now_ms)
{
    sl_provider_failure_read(attempt->status.http_status, sl_buf_slice(&attempt->whole),
                             &attempt->failure);
    bool is_refused_prefill =
        attempt->plan.resume == SL_RESUME_PREFILL && attempt->failure.outcome == SL_CLOUD_REJECTED;
    over(attempt, is_refused_prefill ? SL_CLOUD_PREFILL_REJECTED : attempt->failure.outcome,
         now_ms);
}

static void conclude_whole(struct sl_attempt *attempt, uint64_t now_ms)
{
    enum sl_err err = sl_provider_read_whole(&attempt->reader, sl_buf_slice(&attempt->whole));
    note_progress(attempt, now_ms);
    if (err == SL_OK && sl_provider_is_finished(&attempt->reader))
        serve(attempt, now_ms);
    else
        over(attempt, err == SL_OK ? SL_CLOUD_MALFORMED : outcome_of_reading(attempt, err), now_ms);
}

static void conclude_events(struct sl_attempt *attempt, uint64_t now_ms)
{
    enum sl_err err = sl_sse_parser_finish(&attempt->sse);
    note_progress(attempt, now_ms);
    if (err != SL_OK)
        over(attempt, outcome_of_reading(attempt, err), now_ms);
    else if (is_settled(attempt, now_ms))
        serve(attempt, now_ms);
    else
        over(attempt, attempt->reader.content_count > 0 ? SL_CLOUD_TRUNCATED : SL_CLOUD_MALFORMED,
             now_ms);
}

static void conclude(struct sl_attempt *attempt, uint64_t now_ms)
{
    if (is_settled(attempt, now_ms))
        serve(attempt, now_ms);
    else if (attempt->status.has_head && !is_success(attempt))
        conclude_failure(attempt, now_ms);
    else if (attempt->status.failure != SL_TRANSFER_OK)
        over(attempt, outcome_of_transfer(attempt), now_ms);
    else if (attempt->body_form == SL_BODY_WHOLE)
        conclude_whole(attempt, now_ms);
    else
        conclude_events(attempt, now_ms);
    if (attempt->error.message[0] == '\0' && attempt->status.failure_text[0] != '\0')
        sl_error_set(&attempt->error, SL_ERR_UPSTREAM, "%s", attempt->status.failure_text);
}

/* ---- Deadlines ---- */

struct deadline {
    uint64_t at_ms;
    enum sl_cloud_outcome outcome;
};

static struct deadline earlier(struct deadline a, uint64_t at_ms, enum sl_cloud_outcome outcome)
{
    return at_ms < a.at_ms ? (struct deadline){at_ms, outcome} : a;
}

/* The wait for the first content begins when the request has been sent, which takes its time where
 * a picture goes up a slow line. */
static uint64_t first_content_deadline(const struct sl_attempt *attempt)
{
    const struct sl_cloud_provider_config *config = attempt->plan.target->provider;
    uint64_t upload_ms = attempt->status.bytes_sent * 1000 / UPLOAD_BYTES_PER_S;
    uint32_t stream_ms = attempt->asks_reasoning ? config->reasoning_first_token_timeout_ms
                                                 : config->first_token_timeout_ms;
    return attempt->status.connected_at_ms + upload_ms +
           (attempt->is_wire_streaming ? stream_ms : config->whole_timeout_ms);
}

static struct deadline next_deadline(const struct sl_attempt *attempt)
{
    const struct sl_cloud_provider_config *config = attempt->plan.target->provider;
    struct deadline next = {attempt->plan.call->deadline_ms, SL_CLOUD_TIMEOUT_TOTAL};
    next = earlier(next, attempt->started_at_ms + config->total_timeout_ms, SL_CLOUD_TIMEOUT_TOTAL);
    if (!attempt->status.is_connected)
        return earlier(next, attempt->started_at_ms + config->connect_timeout_ms + CONNECT_GRACE_MS,
                       SL_CLOUD_TIMEOUT_CONNECT);
    if (attempt->first_content_at_ms == 0)
        return earlier(next, first_content_deadline(attempt), SL_CLOUD_TIMEOUT_FIRST_TOKEN);
    return earlier(next, attempt->progress_at_ms + config->idle_timeout_ms, SL_CLOUD_TIMEOUT_IDLE);
}

uint64_t sl_attempt_wake_at_ms(const struct sl_attempt *attempt)
{
    if (attempt->waits_for_release)
        return UINT64_MAX; /* nothing more comes; the caller looks at the hold in its own step */
    if (attempt->finished_at_ms > 0)
        return attempt->finished_at_ms + SETTLE_MS;
    return next_deadline(attempt).at_ms;
}

static void check_deadlines(struct sl_attempt *attempt, uint64_t now_ms)
{
    struct deadline next = next_deadline(attempt);
    if (now_ms >= next.at_ms)
        over(attempt, next.outcome, now_ms);
}

void sl_attempt_pump(struct sl_attempt *attempt, uint64_t now_ms)
{
    if (attempt->is_over)
        return;
    if (attempt->waits_for_release) {
        serve(attempt, now_ms);
        return;
    }
    /* Status before bytes: when it says done, all bytes are there. */
    sl_transfer_status(attempt->transfer, &attempt->status);
    sl_buf_reset(&attempt->bytes);
    sl_transfer_take(attempt->transfer, &attempt->bytes);
    enum sl_err err = SL_OK;
    if (attempt->bytes.len > 0) {
        err = read_bytes(attempt);
        note_progress(attempt, now_ms);
    }
    if (err != SL_OK)
        over(attempt, outcome_of_reading(attempt, err), now_ms);
    else if (attempt->status.is_done)
        conclude(attempt, now_ms);
    else if (is_settled(attempt, now_ms))
        serve(attempt, now_ms);
    else
        check_deadlines(attempt, now_ms);
}
