/* SPDX-License-Identifier: Apache-2.0
 *
 * Running a labelled row, as local_run.h has it. Features are gathered in the same calls and the
 * same order as in the walk of a request, so that what is fitted here is what is scored there.
 *
 * Runs on the command's own thread; the engine has its own.
 */
#include "local_run.h"

#include "sluice/clock.h"

#include <stdlib.h>

#define ANSWER_BYTES_MAX (1u << 16)
#define ROW_TIMEOUT_MS 60000 /* a row that takes longer is a broken engine */
#define OUTPUT_TOKENS 128    /* labelled answers are short */

enum sl_err sl_local_runner_init(struct sl_local_runner *runner, struct sl_engine *engine,
                                 const struct sl_calibration *calibration,
                                 const struct sl_labelled *rows, bool restrict_labels)
{
    *runner = (struct sl_local_runner){
        .engine = engine, .calibration = calibration, .output_tokens_max = OUTPUT_TOKENS};
    runner->schemas = calloc(rows->set_count + 1, sizeof *runner->schemas);
    if (runner->schemas == NULL)
        return SL_ERR_MEMORY;
    runner->set_count = rows->set_count;
    for (uint32_t set = 0; restrict_labels && set < rows->set_count; set++)
        runner->schemas[set] = sl_labelled_schema(rows, set);
    return sl_label_prior_create(engine, calibration, &runner->prior);
}

void sl_local_runner_clear(struct sl_local_runner *runner)
{
    for (uint32_t set = 0; set < runner->set_count; set++)
        json_decref(runner->schemas[set]);
    free(runner->schemas);
    sl_label_prior_free(runner->prior);
    *runner = (struct sl_local_runner){0};
}

void sl_local_row_clear(struct sl_local_row *row) { sl_buf_wipe(&row->answer); }

static enum sl_err prepare(struct sl_local_runner *runner, const struct sl_labelled_row *row,
                           struct sl_prompt **prompt, struct sl_error *error)
{
    json_t *messages = sl_labelled_messages(row);
    if (messages == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    struct sl_chat chat = {.messages = messages};
    enum sl_err err = sl_engine_prepare(runner->engine, &chat, prompt, error);
    json_decref(messages);
    return err;
}

static enum sl_err take_event(struct sl_local_runner *runner, const struct sl_prompt *prompt,
                              const struct sl_label_choice *labels, const struct sl_event *event,
                              struct sl_local_row *out)
{
    switch (event->kind) {
    case SL_EVENT_PREFILL:
        sl_features_prompt(&out->features, &event->prompt, sl_prompt_tokens(prompt),
                           sl_engine_info(runner->engine)->context_tokens);
        out->prompt_score = sl_confidence_prompt_score(&out->features, runner->calibration);
        return SL_OK;
    case SL_EVENT_TOKEN:
        sl_features_token(&out->features, &event->stats);
        sl_features_choice(&out->features, &event->choice, sl_label_choice_has(labels, event->token));
        return sl_buf_append_slice(&out->answer, event->text);
    case SL_EVENT_END:
        return sl_buf_append_slice(&out->answer, event->text);
    }
    return SL_OK;
}

static enum sl_err generate(struct sl_local_runner *runner, const struct sl_labelled_row *row,
                            const struct sl_prompt *prompt, struct sl_local_row *out,
                            struct sl_error *error)
{
    struct sl_generation *generation = NULL;
    struct sl_event event = {0};
    const json_t *schema = runner->schemas[row->set];
    struct sl_label_choice labels;
    sl_label_choice_make(runner->prior, row->text, schema, &out->features, &labels);
    struct sl_generate_params params = {
        .tokens_max = runner->output_tokens_max,
        .format = schema != NULL ? SL_FORMAT_JSON_SCHEMA : SL_FORMAT_TEXT,
        .schema = schema,
        .prior = labels.prior,
        .prior_count = labels.is_weighted ? labels.count : 0,
    };
    enum sl_err err = sl_engine_generate(runner->engine, prompt, &params, &generation, error);
    uint64_t deadline_ms = sl_monotonic_ms() + ROW_TIMEOUT_MS;
    while (err == SL_OK && !event.is_last) {
        err = sl_generation_next(generation, deadline_ms, &event);
        if (err == SL_OK)
            err = take_event(runner, prompt, &labels, &event, out);
    }
    sl_generation_free(generation);
    if (err != SL_OK)
        return err == SL_ERR_CONTEXT_LENGTH ? err : sl_error_set(error, err, "%s", sl_err_sentence(err));
    out->has_answer = event.finish == SL_FINISH_STOP || event.finish == SL_FINISH_LENGTH;
    sl_features_answer(&out->features, runner->calibration, sl_buf_slice(&out->answer),
                       event.finish != SL_FINISH_STOP, true);
    return SL_OK;
}

/* The model cannot take this row, which is an answer too: it escalates. */
static bool is_refusal(enum sl_err err)
{
    return err == SL_ERR_CONTEXT_LENGTH || err == SL_ERR_UNSUPPORTED || err == SL_ERR_INVALID ||
           err == SL_ERR_LIMIT;
}

enum sl_err sl_local_run(struct sl_local_runner *runner, const struct sl_labelled_row *row,
                         struct sl_local_row *out, struct sl_error *error)
{
    struct sl_prompt *prompt = NULL;
    uint64_t started_ns = sl_monotonic_ns();
    *out = (struct sl_local_row){0};
    sl_buf_init(&out->answer, ANSWER_BYTES_MAX);
    sl_features_init(&out->features);
    enum sl_err err = prepare(runner, row, &prompt, error);
    if (err == SL_OK)
        err = generate(runner, row, prompt, out, error);
    sl_prompt_free(prompt);
    out->nanoseconds = sl_monotonic_ns() - started_ns;
    if (is_refusal(err))
        return SL_OK;
    out->is_right = out->has_answer && sl_labelled_is_right(row, sl_buf_slice(&out->answer));
    return err;
}
