/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns the question "what does this text ask for?" as the look-up by meaning puts it to the local
 * model, and the list of intents for which an answer to one wording is an answer to every wording.
 * Leaves to others: when it pays to ask (stage_lookup.c), and whether the wordings contradict each
 * other (the cache's verifier).
 *
 * Why a closed list: the model says `"slots":{}` also where its training data had no slots marked
 * ("translate hello into french"), so that an empty list proves nothing. An intent stands here when
 * no value can be part of asking for it. A model with other intents has no meanings until its own
 * stand here; a missing one only costs a miss.
 *
 * Threads: any that may block. Nothing is kept.
 */
#include "lookup_meaning.h"

#include "calibration.h"
#include "label_prior.h"

#include <stdio.h>
#include <string.h>

/* `{"intent":`, the label, `,"slots":{}}` and the end: four tokens of the default model. One that
 * spells its labels may need more; an answer with slots is cut off and means nothing. */
#define MEANING_TOKENS_MAX 24
#define MEANING_TEXT_BYTES_MAX 1024 /* as the cache: longer texts are similar to nothing */
#define ANSWER_BYTES_MAX 4096

/* clang-format off */
static const char *const plain_intents[] = {
    /* the assistant itself */
    "are_you_a_bot", "do_you_have_pets", "goodbye", "greeting", "how_old_are_you",
    "meaning_of_life", "thank_you", "what_are_your_hobbies", "what_can_i_ask_you",
    "what_is_your_name", "where_are_you_from", "who_do_you_work_for", "who_made_you",
    "reset_settings", "sync_device", "user_name", "whisper_mode", "flip_coin",
    /* where and what now */
    "current_location", "find_phone", "next_song", "what_song",
    /* the car */
    "gas_type", "jump_start", "last_maintenance", "mpg", "oil_change_how", "oil_change_when",
    "tire_change", "tire_pressure",
    /* money and work */
    "credit_score", "improve_credit_score", "next_holiday", "payday", "pto_balance", "pto_used",
    NULL};
/* clang-format on */

bool sl_meaning_is_plain(const char *intent)
{
    for (size_t i = 0; plain_intents[i] != NULL; i++)
        if (strcmp(plain_intents[i], intent) == 0)
            return true;
    return false;
}

bool sl_meaning_is_ready(const struct sl_meaning_model *model)
{
    return model->engine != NULL && sl_engine_info(model->engine)->can_generate &&
           sl_calibration_gate(model->calibration) != NULL;
}

/* {"intent":"x","slots":{}} and nothing else. */
static bool read_intent(struct sl_slice answer, struct sl_meaning *out)
{
    json_t *object = json_loadb(answer.data, answer.len, 0, NULL);
    const char *intent = json_string_value(json_object_get(object, "intent"));
    bool is_bare =
        json_object_size(object) <= 2 && json_object_size(json_object_get(object, "slots")) == 0;
    bool is_one = intent != NULL && is_bare && strlen(intent) < sizeof out->intent &&
                  sl_meaning_is_plain(intent);
    if (is_one)
        snprintf(out->intent, sizeof out->intent, "%s", intent);
    json_decref(object);
    return is_one;
}

static struct sl_prompt *prepare(struct sl_engine *engine, struct sl_slice text)
{
    struct sl_prompt *prompt = NULL;
    json_t *messages = json_pack("[{s:s, s:s%}]", "role", "user", "content", text.data, text.len);
    struct sl_chat chat = {.messages = messages};
    enum sl_err err =
        messages != NULL ? sl_engine_prepare(engine, &chat, &prompt, NULL) : SL_ERR_MEMORY;
    json_decref(messages);
    return err == SL_OK ? prompt : NULL;
}

/* One question under way. */
struct question {
    const struct sl_meaning_model *model;
    struct sl_label_choice labels;
    struct sl_features features;
    struct sl_buf answer;
};

static enum sl_err take_event(struct question *question, const struct sl_prompt *prompt,
                              const struct sl_event *event)
{
    switch (event->kind) {
    case SL_EVENT_PREFILL:
        sl_features_prompt(&question->features, &event->prompt, sl_prompt_tokens(prompt),
                           sl_engine_info(question->model->engine)->context_tokens);
        return SL_OK;
    case SL_EVENT_TOKEN:
        sl_features_token(&question->features, &event->stats);
        sl_features_choice(&question->features, &event->choice,
                           sl_label_choice_has(&question->labels, event->token));
        break;
    case SL_EVENT_END:
        break;
    }
    return sl_buf_append_slice(&question->answer, event->text);
}

/* True where the answer ended by itself, in time. */
static bool generate(struct question *question, const struct sl_prompt *prompt,
                     uint64_t deadline_ms)
{
    struct sl_generation *generation = NULL;
    struct sl_event event = {0};
    struct sl_generate_params params = {
        .tokens_max = MEANING_TOKENS_MAX,
        .deadline_ms = deadline_ms,
        .prior = question->labels.prior,
        .prior_count = question->labels.is_weighted ? question->labels.count : 0};
    enum sl_err err =
        sl_engine_generate(question->model->engine, prompt, &params, &generation, NULL);
    while (err == SL_OK && !event.is_last) {
        err = sl_generation_next(generation, deadline_ms, &event);
        if (err == SL_OK)
            err = take_event(question, prompt, &event);
    }
    sl_generation_free(generation);
    return err == SL_OK && event.finish == SL_FINISH_STOP;
}

static bool ask(struct question *question, struct sl_slice text, uint64_t deadline_ms,
                struct sl_meaning *out)
{
    struct sl_prompt *prompt = prepare(question->model->engine, text);
    bool is_read = prompt != NULL && generate(question, prompt, deadline_ms) &&
                   read_intent(sl_buf_slice(&question->answer), out);
    sl_prompt_free(prompt);
    if (!is_read)
        return false;
    sl_features_answer(&question->features, question->model->calibration,
                       sl_buf_slice(&question->answer), false, true);
    struct sl_score score = sl_confidence_score(&question->features, question->model->calibration);
    out->confidence = score.method == SL_SCORE_CALIBRATED ? score.value : 0;
    return out->confidence > 0;
}

bool sl_meaning_read(const struct sl_meaning_model *model, struct sl_slice text,
                     uint64_t deadline_ms, struct sl_meaning *out)
{
    *out = (struct sl_meaning){.confidence = 0};
    if (text.len == 0 || text.len > MEANING_TEXT_BYTES_MAX)
        return false;
    struct question *question = malloc(sizeof *question); /* some 10 KiB of labels */
    if (question == NULL)
        return false;
    question->model = model;
    sl_buf_init(&question->answer, ANSWER_BYTES_MAX);
    sl_features_init(&question->features);
    sl_label_choice_make(model->prior, text, NULL, &question->features, &question->labels);
    bool is_read = ask(question, text, deadline_ms, out);
    sl_buf_wipe(&question->answer);
    free(question);
    return is_read;
}
