/* SPDX-License-Identifier: Apache-2.0
 *
 * The local model's turn: template and tokens, generation with its confidence measured token by
 * token, and the streaming commit rule: tokens wait behind the gate of `out` until the running
 * score is good enough, and a start that can no longer reach the threshold is given up at once.
 *
 * Runs on the worker that owns the request. The engine does the computing on its own threads.
 */
#include "infer.h"

#include "label_prior.h"
#include "measure.h"
#include "pipeline.h"
#include "sluice/clock.h"
#include "sluice/crypto.h"
#include "sluice/log.h"

#include <stdio.h>
#include <stdlib.h>

#define POLL_MS 50 /* how soon a client that left is noticed while no token comes */

/* One generation under way. */
struct infer_run {
    struct sl_request *req;
    struct sl_generation *generation;
    struct sl_features features;
    struct sl_decision before; /* what sl_decide_before said: the threshold in force */
    const struct sl_calibration *calibration;
    struct sl_label_choice labels;
    uint64_t first_token_ms;
    uint32_t tokens_max;
    bool is_client_cap; /* tokens_max is what the client asked for, not the box's own cap */
    bool may_escalate;
    bool was_stopped; /* given up early: the decision is made */
};

enum sl_err sl_infer_prepare(struct sl_request *req, struct sl_error *error)
{
    struct sl_measurements *m = &req->decide.measured;
    if (req->infer.prompt != NULL || !m->local_is_ready)
        return SL_OK;
    struct sl_chat chat = {.messages = json_object_get(req->parse.chat, "messages"),
                           .tools = json_object_get(req->parse.chat, "tools"),
                           .template_extra =
                               json_object_get(req->parse.chat, "chat_template_kwargs")};
    struct sl_error why = {0};
    enum sl_err err =
        sl_engine_prepare(req->router->config.engine, &chat, &req->infer.prompt, &why);
    if (err == SL_OK) {
        m->prompt_tokens = sl_prompt_tokens(req->infer.prompt);
        return SL_OK;
    }
    if (err == SL_ERR_MEMORY) {
        *error = why;
        return err;
    }
    SL_LOG_DEBUG("infer", "the model's template cannot express request %s: %s", req->id,
                 sl_err_code(err));
    m->features |= SL_FEATURE_TEMPLATE;
    return SL_OK;
}

/* ---- one token ---- */

static json_t *token_bytes(const char *text, size_t len)
{
    json_t *bytes = json_array();
    for (size_t i = 0; bytes != NULL && i < len; i++)
        json_array_append_new(bytes, json_integer((unsigned char)text[i]));
    return bytes;
}

/* One entry of OpenAI's logprobs.content. NULL: out of memory. */
static json_t *logprob_entry(const struct sl_engine *engine, int32_t token, float logprob)
{
    struct sl_buf text;
    sl_buf_init(&text, 4096);
    if (sl_engine_token_text(engine, token, &text) != SL_OK)
        return NULL;
    const char *data = text.data != NULL ? text.data : "";
    json_t *entry = json_object();
    json_t *shown = json_stringn(data, text.len); /* NULL for half a character */
    json_object_set_new(entry, "token", shown != NULL ? shown : json_string("\xEF\xBF\xBD"));
    json_object_set_new(entry, "logprob", json_real((double)logprob));
    json_object_set_new(entry, "bytes", token_bytes(data, text.len));
    sl_buf_clear(&text);
    return entry;
}

static enum sl_err add_logprobs(struct infer_run *run, const struct sl_event *event)
{
    const struct sl_request *req = run->req;
    struct sl_engine *engine = req->router->config.engine;
    if ((req->parse.features & SL_FEATURE_LOGPROBS) == 0)
        return SL_OK;
    json_t *entry = logprob_entry(engine, event->token, event->stats.logprob);
    json_t *top = json_array();
    for (uint32_t i = 0; i < req->parse.sampling.top_logprobs && event->alternatives != NULL; i++)
        json_array_append_new(top, logprob_entry(engine, event->alternatives[i].token,
                                                 event->alternatives[i].logprob));
    json_object_set_new(entry, "top_logprobs", top);
    json_t *list = json_array();
    json_array_append_new(list, entry);
    struct sl_delta delta = {.kind = SL_DELTA_LOGPROBS, .logprobs = list};
    enum sl_err err = sl_answer_add(&run->req->infer.answer, &delta, NULL);
    if (err == SL_OK && req->out != NULL)
        err = sl_request_stream_delta(run->req, &delta);
    json_decref(list);
    return err;
}

static enum sl_err emit(struct infer_run *run, const struct sl_delta *delta)
{
    enum sl_err err = sl_answer_add(&run->req->infer.answer, delta, NULL);
    /* A tool call is known only when it is whole: it goes out at the end. */
    bool is_streamed = run->req->out != NULL && run->req->parse.sampling.format != SL_FORMAT_TOOL_CALL;
    if (err == SL_OK && is_streamed)
        err = sl_request_stream_delta(run->req, delta);
    return err;
}

static enum sl_err emit_text(struct infer_run *run, struct sl_slice text)
{
    if (text.len == 0)
        return SL_OK;
    return emit(run, &(struct sl_delta){.kind = SL_DELTA_TEXT, .text = text});
}

/* ---- the commit rule ---- */

/* Makes the decision from what is known now; true where it is the local side. */
static bool decide_now(struct infer_run *run, struct sl_score score)
{
    struct sl_request *req = run->req;
    req->decide.measured.local =
        (struct sl_local_outcome){.status = SL_LOCAL_COMPLETE, .score = score};
    struct sl_decision decision = sl_decide_after(&req->decide.measured, &req->auth.route);
    if (decision.side == SL_SIDE_NONE)
        return false;
    req->decide.decision = decision;
    return decision.side == SL_SIDE_LOCAL;
}

static void commit(struct infer_run *run, struct sl_score score, uint64_t held_ms)
{
    struct sl_request *req = run->req;
    if (!decide_now(run, score))
        return;
    req->infer.held_ms = held_ms;
    sl_speculation_drop(req);
    if (req->out != NULL)
        sl_request_open_stream(req);
    else
        req->decide.is_final = true; /* explained: a real one would stream from here */
}

static void give_up(struct infer_run *run, struct sl_score score)
{
    if (decide_now(run, score) || run->req->decide.decision.side != SL_SIDE_CLOUD)
        return;
    run->was_stopped = true;
    sl_generation_cancel(run->generation);
}

/* An explained request has no stream and follows the rules of one. */
static bool is_stream(const struct sl_request *req)
{
    return req->out != NULL || (req->is_explained && req->parse.is_streaming);
}

/* After a token: commit, go on holding, or give up. */
static void judge_progress(struct infer_run *run)
{
    struct sl_request *req = run->req;
    bool may_commit = is_stream(req) && req->parse.sampling.format != SL_FORMAT_TOOL_CALL;
    if (run->was_stopped || req->decide.is_final || (!may_commit && !run->may_escalate))
        return;
    const struct sl_route *route = &req->auth.route;
    uint32_t left = run->tokens_max - run->features.tokens;
    if (may_commit && left > route->stream.hold_tokens)
        left = route->stream.hold_tokens;
    const struct sl_choice *choice = &req->infer.answer.choices[0];
    struct sl_slice text = req->infer.answer.choice_count > 0 ? sl_buf_slice(&choice->content)
                                                              : (struct sl_slice){"", 0};
    struct sl_stream_progress progress = {
        .tokens = run->features.tokens,
        .held_ms = sl_monotonic_ms() - run->first_token_ms,
        .score = sl_confidence_score(&run->features, run->calibration),
        .score_best = sl_confidence_best(&run->features, run->calibration, left),
        .is_loop = sl_text_is_loop(text, route->local.repetition_max)};
    if (!may_commit) { /* nobody waits for a first word: go on while the score can still recover */
        if (progress.score_best < run->before.threshold)
            give_up(run, progress.score);
        return;
    }
    switch (sl_decide_stream(&progress, &run->before, route)) {
    case SL_STREAM_COMMIT:
        commit(run, progress.score, progress.held_ms);
        break;
    case SL_STREAM_ESCALATE:
        if (run->may_escalate)
            give_up(run, progress.score);
        break;
    case SL_STREAM_SPECULATE:
        sl_speculation_start(req);
        break;
    case SL_STREAM_HOLD:
        break;
    }
}

/* After prefill: a prompt of a foreign kind goes to the cloud before a token is made. */
static void judge_prompt(struct infer_run *run, const struct sl_event *event)
{
    struct sl_request *req = run->req;
    struct sl_measurements *m = &req->decide.measured;
    sl_features_prompt(&run->features, &event->prompt, m->prompt_tokens, m->local_window);
    m->prompt_score = sl_confidence_prompt_score(&run->features, run->calibration);
    if (!run->may_escalate)
        return;
    struct sl_decision decision = sl_decide_before(m, &req->auth.route);
    if (decision.side != SL_SIDE_CLOUD)
        return;
    req->decide.decision = decision;
    run->was_stopped = true;
    sl_generation_cancel(run->generation);
}

static enum sl_err take_token(struct infer_run *run, const struct sl_event *event)
{
    struct sl_request *req = run->req;
    if (run->first_token_ms == 0) {
        req->infer.first_token_ns = sl_monotonic_ns();
        run->first_token_ms = req->infer.first_token_ns / 1000000;
    }
    sl_features_token(&run->features, &event->stats);
    sl_features_choice(&run->features, &event->choice,
                       sl_label_choice_has(&run->labels, event->token));
    enum sl_err err = emit_text(run, event->text);
    if (err == SL_OK)
        err = add_logprobs(run, event);
    if (err == SL_OK)
        judge_progress(run);
    return err;
}

/* ---- the end ---- */

static bool is_blank(struct sl_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] != ' ' && text.data[i] != '\n' && text.data[i] != '\t' &&
            text.data[i] != '\r')
            return false;
    return true;
}

/* Turns the constrained text `{"name":…,"arguments":{…}}` into a tool call. */
static bool text_to_tool_call(struct sl_request *req)
{
    struct sl_choice *choice = &req->infer.answer.choices[0];
    json_t *call = json_loadb(choice->content.data, choice->content.len, 0, NULL);
    const json_t *name = json_object_get(call, "name");
    char *arguments = json_dumps(json_object_get(call, "arguments"), JSON_COMPACT | JSON_ENCODE_ANY);
    bool is_call = json_is_string(name) && arguments != NULL;
    if (is_call) {
        char id[40];
        uint64_t random;
        sl_random_bytes(&random, sizeof random);
        snprintf(id, sizeof id, "call_%016llx", (unsigned long long)random);
        struct sl_delta delta = {.kind = SL_DELTA_TOOL_CALL,
                                 .tool_call_id = sl_slice_of(id),
                                 .tool_call_name = sl_slice_of(json_string_value(name)),
                                 .text = sl_slice_of(arguments)};
        is_call = sl_answer_add(&req->infer.answer, &delta, NULL) == SL_OK;
        sl_buf_reset(&choice->content);
        choice->has_content = false;
    }
    free(arguments);
    json_decref(call);
    return is_call;
}

/* Does the text have the form that was asked for? The constraint made it so, unless it was cut. */
static bool has_wanted_form(struct sl_request *req, struct sl_slice text)
{
    switch (req->parse.sampling.format) {
    case SL_FORMAT_TEXT:
        return true;
    case SL_FORMAT_TOOL_CALL:
        return text_to_tool_call(req);
    case SL_FORMAT_JSON_OBJECT:
    case SL_FORMAT_JSON_SCHEMA:
        break;
    }
    json_t *value = json_loadb(text.data, text.len, JSON_DECODE_ANY, NULL);
    bool is_fine = value != NULL && (req->parse.sampling.format != SL_FORMAT_JSON_OBJECT ||
                                     json_is_object(value));
    json_decref(value);
    return is_fine;
}

static enum sl_local_status status_of(const struct infer_run *run, enum sl_finish finish)
{
    switch (finish) {
    case SL_FINISH_STOP:
        return SL_LOCAL_COMPLETE;
    case SL_FINISH_LENGTH:
        return run->is_client_cap ? SL_LOCAL_COMPLETE : SL_LOCAL_LENGTH;
    case SL_FINISH_TIMEOUT:
        return SL_LOCAL_TIMEOUT;
    case SL_FINISH_CANCELLED:
    case SL_FINISH_ERROR:
    case SL_FINISH_NONE:
        break;
    }
    return SL_LOCAL_ERROR;
}

static enum sl_err finish_answer(struct infer_run *run, enum sl_finish finish)
{
    struct sl_request *req = run->req;
    enum sl_finish_reason reason =
        finish == SL_FINISH_LENGTH ? SL_FINISH_REASON_LENGTH : SL_FINISH_REASON_STOP;
    enum sl_err err = SL_OK;
    if (req->infer.answer.choice_count == 0)
        err = emit(run, &(struct sl_delta){.kind = SL_DELTA_TEXT, .text = SL_SLICE("")});
    struct sl_choice *choice = &req->infer.answer.choices[0];
    bool is_truncated = finish == SL_FINISH_LENGTH;
    bool is_fine = err == SL_OK && has_wanted_form(req, sl_buf_slice(&choice->content));
    if (choice->tool_call_count > 0)
        reason = SL_FINISH_REASON_TOOL_CALLS;
    if (err == SL_OK)
        err = emit(run, &(struct sl_delta){.kind = SL_DELTA_FINISH, .finish_reason = reason});
    struct sl_usage usage = {.prompt_tokens = req->decide.measured.prompt_tokens,
                             .completion_tokens = run->features.tokens,
                             .is_known = true};
    if (err == SL_OK)
        err = emit(run, &(struct sl_delta){.kind = SL_DELTA_USAGE, .usage = usage});
    sl_features_answer(&run->features, run->calibration, sl_buf_slice(&choice->content),
                       is_truncated, is_fine);
    req->decide.measured.local = (struct sl_local_outcome){
        .status = status_of(run, finish),
        .is_empty = choice->tool_call_count == 0 && is_blank(sl_buf_slice(&choice->content)),
        .is_loop = sl_text_is_loop(sl_buf_slice(&choice->content),
                                   req->auth.route.local.repetition_max),
        .is_broken = !is_fine,
        .score = sl_confidence_score(&run->features, run->calibration)};
    return err;
}

/* ---- the loop ---- */

static enum sl_err run_events(struct infer_run *run)
{
    struct sl_request *req = run->req;
    for (;;) {
        struct sl_event event;
        enum sl_err err =
            sl_generation_next(run->generation, sl_monotonic_ms() + POLL_MS, &event);
        if (atomic_load_explicit(&req->is_cancelled, memory_order_relaxed))
            return SL_ERR_CANCELLED;
        if (err == SL_ERR_TIMEOUT)
            continue;
        if (err != SL_OK)
            return err;
        if (event.kind == SL_EVENT_PREFILL)
            judge_prompt(run, &event);
        else if (event.kind == SL_EVENT_TOKEN)
            err = run->was_stopped ? SL_OK : take_token(run, &event);
        else if (run->was_stopped)
            return SL_OK;
        else if ((err = emit_text(run, event.text)) == SL_OK)
            return finish_answer(run, event.finish);
        if (err != SL_OK)
            return err;
    }
}

static struct sl_generate_params params_of(struct infer_run *run)
{
    const struct sl_request *req = run->req;
    const struct sl_route_local *local = &req->auth.route.local;
    struct sl_generate_params params = req->parse.sampling;
    uint32_t cap = local->output_tokens_max;
    uint32_t asked = req->parse.tokens_max;
    run->is_client_cap = asked > 0 && (cap == 0 || asked <= cap);
    run->tokens_max = run->is_client_cap ? asked : cap;
    params.tokens_max = run->tokens_max;
    if (!req->parse.has_temperature)
        params.temperature = local->temperature;
    uint64_t until = sl_monotonic_ms() + local->timeout_ms;
    params.deadline_ms = local->timeout_ms > 0 && until < req->deadline_ms ? until : req->deadline_ms;
    params.fair_share_id = req->auth.fair_share_id;
    return params;
}

static enum sl_local_status status_of_refusal(enum sl_err err)
{
    switch (err) {
    case SL_ERR_OVERLOAD:
        return SL_LOCAL_OVERLOAD;
    case SL_ERR_CONTEXT_LENGTH:
        return SL_LOCAL_CONTEXT;
    case SL_ERR_UNSUPPORTED:
    case SL_ERR_INVALID:
        return SL_LOCAL_UNSUPPORTED;
    default:
        return SL_LOCAL_ERROR;
    }
}

/* Is this failure the request's, or the model's (then it is an outcome to decide on)? */
static bool is_request_failure(const struct sl_request *req, enum sl_err err)
{
    return err == SL_ERR_CANCELLED || (err != SL_OK && req->respond.is_stream);
}

enum sl_err sl_infer_run(struct sl_request *req, bool may_escalate, struct sl_error *error)
{
    struct sl_measurements *m = &req->decide.measured;
    struct infer_run run = {.req = req,
                            .may_escalate = may_escalate,
                            .calibration = req->router->config.calibration};
    sl_answer_clear(&req->infer.answer);
    sl_request_discard_stream(req);
    if (may_escalate)
        sl_speculation_earn(req);
    req->answer = &req->infer.answer;
    run.before = sl_decide_before(m, &req->auth.route);
    sl_features_init(&run.features);
    struct sl_generate_params params = params_of(&run);
    sl_label_choice_make(req->router->label_prior, sl_last_user_text(req->parse.chat),
                         params.schema, &run.features, &run.labels);
    params.prior = run.labels.prior;
    params.prior_count = run.labels.is_weighted ? run.labels.count : 0;
    struct sl_error why = {0};
    req->infer.was_run = true;
    const char *name = sl_engine_info(req->router->config.engine)->name;
    struct sl_delta model = {.kind = SL_DELTA_MODEL, .text = sl_slice_of(name)};
    enum sl_err err = emit(&run, &model);
    if (err != SL_OK)
        return sl_error_set(error, err, NULL);
    err = sl_engine_generate(req->router->config.engine, req->infer.prompt, &params,
                             &run.generation, &why);
    if (err != SL_OK) {
        m->local = (struct sl_local_outcome){.status = status_of_refusal(err)};
        return SL_OK;
    }
    err = run_events(&run);
    req->infer.answer_tokens = run.features.tokens;
    sl_generation_free(run.generation);
    if (is_request_failure(req, err))
        return sl_error_set(error, err, NULL);
    if (err != SL_OK)
        m->local = (struct sl_local_outcome){.status = SL_LOCAL_ERROR};
    if (run.was_stopped) { /* half an answer is none: a fallback has to make it anew */
        m->local = (struct sl_local_outcome){.status = SL_LOCAL_NOT_RUN};
        sl_answer_clear(&req->infer.answer);
    }
    return SL_OK;
}
