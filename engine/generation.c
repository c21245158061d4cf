/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: the life of a generation, its event list, and the consumer's side of it.
 * Leaves to others: filling it (scheduler.c).
 *
 * All memory that a request can need is taken when it is queued, on the caller's thread: the token
 * loop only writes into it. The event list is as long as the answer may be, so the scheduler never
 * waits for a slow reader and nothing is lost.
 *
 * Text does not cross threads. The scheduler decodes only where there are stop strings to look for,
 * and passes on a number: how many bytes of the answer may be shown. The consumer decodes the same
 * tokens into the same bytes and shows that many.
 *
 * The mutex is taken once a token by the scheduler and costs some 20 ns when free; the condition is
 * only signalled to a consumer that sleeps.
 *
 * Invariants: records[i] is immutable once record_count > i; the last record has kind SL_EVENT_END.
 */
#include "generation.h"
#include "speculate.h"

#include "sluice/checked.h"
#include "sluice/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Text held back for a stop string, or between two calls: an answer's worth at most. */
#define HELD_BYTES_MAX (64u << 20)

/* ---- life ---- */

static bool is_finite_or_zero(float value, float least, float most)
{
    return value >= least && value <= most; /* false for NaN */
}

static enum sl_err check_params(const struct sl_generate_params *params, struct sl_error *error)
{
    if (!is_finite_or_zero(params->temperature, 0, 100))
        return sl_error_set_param(error, SL_ERR_INVALID, "temperature", "expected 0 to 100");
    if (!is_finite_or_zero(params->top_p, 0, 1))
        return sl_error_set_param(error, SL_ERR_INVALID, "top_p", "expected 0 to 1");
    if (!is_finite_or_zero(params->min_p, 0, 1))
        return sl_error_set_param(error, SL_ERR_INVALID, "min_p", "expected 0 to 1");
    if (!is_finite_or_zero(params->repetition_penalty, 0, 100))
        return sl_error_set_param(error, SL_ERR_INVALID, "repetition_penalty", "expected 0 to 100");
    if (!is_finite_or_zero(params->presence_penalty, -100, 100))
        return sl_error_set_param(error, SL_ERR_INVALID, "presence_penalty", "not in range");
    if (!is_finite_or_zero(params->frequency_penalty, -100, 100))
        return sl_error_set_param(error, SL_ERR_INVALID, "frequency_penalty", "not in range");
    if (params->top_logprobs > SL_TOP_LOGPROBS_MAX)
        return sl_error_set_param(error, SL_ERR_INVALID, "top_logprobs", "expected 0 to %d",
                                  SL_TOP_LOGPROBS_MAX);
    if (params->stop_count > SL_STOP_MAX)
        return sl_error_set_param(error, SL_ERR_INVALID, "stop", "at most %d strings", SL_STOP_MAX);
    for (size_t idx = 0; idx < params->logit_bias_count; idx++)
        if (isnan(params->logit_bias[idx].bias))
            return sl_error_set_param(error, SL_ERR_INVALID, "logit_bias", "not a number");
    for (size_t idx = 0; idx < params->prior_count; idx++)
        if (!isfinite(params->prior[idx].bias))
            return sl_error_set_param(error, SL_ERR_INVALID, "prior", "not a finite number");
    return SL_OK;
}

static void copy_params(struct sl_generation *generation, const struct sl_generate_params *params)
{
    generation->sampling = (struct sl_sampler_params){
        .temperature = params->temperature,
        .top_k = params->top_k,
        .top_p = params->top_p,
        .min_p = params->min_p,
        .repetition_penalty = params->repetition_penalty,
        .presence_penalty = params->presence_penalty,
        .frequency_penalty = params->frequency_penalty,
        .seed = params->seed,
        .bias_count = params->logit_bias_count,
        .prior_count = params->prior_count,
    };
    generation->top_logprobs = params->top_logprobs;
    generation->fair_share_id = params->fair_share_id;
    generation->ignore_end = params->ignore_end;
    generation->deadline_ms = params->deadline_ms;
}

static void *take_array(size_t count, size_t size)
{
    size_t bytes;
    if (!sl_size_mul(count > 0 ? count : 1, size, &bytes))
        return NULL;
    return malloc(bytes);
}

/* The arrays whose length depends on the request. */
static bool take_memory(struct sl_generation *generation, const struct sl_generate_params *params)
{
    const size_t capacity = (size_t)generation->prompt_count + generation->tokens_max;
    const size_t bias_count = params->logit_bias_count;
    struct sl_logit_bias *bias = take_array(bias_count + params->prior_count, sizeof *bias);
    generation->sampling.bias = bias;
    generation->sampling.prior = bias == NULL ? NULL : bias + bias_count;
    generation->ids = take_array(capacity, sizeof *generation->ids);
    generation->scores = take_array(capacity, sizeof *generation->scores);
    generation->pages = take_array(generation->pages_reserved, sizeof *generation->pages);
    generation->records =
        take_array((size_t)generation->tokens_max + 2, sizeof *generation->records);
    generation->alternatives = take_array((size_t)generation->tokens_max * params->top_logprobs,
                                          sizeof *generation->alternatives);
    if (bias == NULL || generation->ids == NULL || generation->scores == NULL ||
        generation->pages == NULL || generation->records == NULL ||
        generation->alternatives == NULL)
        return false;
    if (bias_count > 0)
        memcpy(bias, params->logit_bias, bias_count * sizeof *bias);
    if (params->prior_count > 0)
        memcpy(bias + bias_count, params->prior, params->prior_count * sizeof *bias);
    return true;
}

static bool take_stops(struct sl_generation *generation, const struct sl_tokenizer *tokenizer,
                       const struct sl_generate_params *params)
{
    if (params->stop_count == 0)
        return true;
    generation->stops = sl_stop_match_create(params->stop, params->stop_count);
    generation->stop_decoder = malloc(sizeof *generation->stop_decoder);
    if (generation->stops == NULL || generation->stop_decoder == NULL)
        return false;
    sl_detokenizer_init(generation->stop_decoder, tokenizer);
    return true;
}

static void init_shared(struct sl_generation *generation)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&generation->mutex, NULL);
    pthread_cond_init(&generation->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    atomic_init(&generation->cancelled, false);
    atomic_init(&generation->references, 2);
    atomic_init(&generation->generated, 0);
}

static void free_generation(struct sl_generation *generation)
{
    pthread_mutex_destroy(&generation->mutex);
    pthread_cond_destroy(&generation->cond);
    sl_stop_match_free(generation->stops);
    free(generation->stop_decoder);
    sl_constraint_state_free(generation->constraint);
    sl_buf_wipe(&generation->held);
    sl_buf_wipe(&generation->given);
    free((void *)(uintptr_t)generation->sampling.bias);
    free(generation->ids);
    free(generation->scores);
    free(generation->pages);
    free(generation->records);
    free(generation->alternatives);
    free(generation);
}

enum sl_err sl_generation_create(const struct sl_generation_context *context,
                                 const struct sl_prompt *prompt,
                                 const struct sl_generate_params *params,
                                 struct sl_generation **out, struct sl_error *error)
{
    enum sl_err err = check_params(params, error);
    if (err != SL_OK)
        return err;
    if (prompt->count == 0)
        return sl_error_set(error, SL_ERR_INVALID, "the prompt has no tokens");
    if (prompt->count >= context->context_tokens)
        return sl_error_set(error, SL_ERR_CONTEXT_LENGTH,
                            "the prompt has %u tokens, the context holds %u with an answer",
                            prompt->count, context->context_tokens);
    struct sl_generation *generation = calloc(1, sizeof *generation);
    if (generation == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    init_shared(generation);
    copy_params(generation, params);
    const uint32_t room = context->context_tokens - prompt->count;
    generation->tokens_max =
        params->tokens_max == 0 || params->tokens_max > room ? room : params->tokens_max;
    generation->prompt_count = prompt->count;
    generation->scored_begin = prompt->scored_begin;
    generation->scored_end = prompt->scored_end;
    generation->pages_reserved = sl_kv_pages_for(prompt->count + generation->tokens_max);
    sl_detokenizer_init(&generation->decoder, context->tokenizer);
    sl_buf_init(&generation->held, HELD_BYTES_MAX);
    sl_buf_init(&generation->given, HELD_BYTES_MAX);
    if (!take_memory(generation, params) || !take_stops(generation, context->tokenizer, params))
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (err == SL_OK && context->constraint != NULL)
        err = sl_constraint_state_create(context->constraint, context->vocab,
                                         &generation->constraint, error);
    if (err != SL_OK) {
        free_generation(generation);
        return err;
    }
    memcpy(generation->ids, prompt->ids, prompt->count * sizeof *prompt->ids);
    for (uint32_t idx = 0; idx < prompt->count + generation->tokens_max; idx++)
        generation->scores[idx] = NAN;
    generation->count = prompt->count;
    generation->end_token = SL_TOKEN_NONE;
    generation->speculation.length = SL_DRAFT_FIRST;
    sl_kv_begin(&generation->sequence, generation->pages, generation->pages_reserved);
    *out = generation;
    return SL_OK;
}

void sl_generation_release(struct sl_generation *generation)
{
    if (atomic_fetch_sub(&generation->references, 1) == 1)
        free_generation(generation);
}

/* ---- the scheduler's side ---- */

void sl_generation_emit(struct sl_generation *generation, const struct sl_record *record)
{
    if (record->kind == SL_EVENT_TOKEN)
        atomic_fetch_add(&generation->generated, 1);
    pthread_mutex_lock(&generation->mutex);
    generation->records[generation->record_count++] = *record;
    bool wake = generation->consumer_waits;
    generation->consumer_waits = false;
    pthread_mutex_unlock(&generation->mutex);
    if (wake)
        pthread_cond_signal(&generation->cond);
}

void sl_generation_emit_prefill(struct sl_generation *generation,
                                const struct sl_prompt_stats *stats)
{
    generation->prompt_stats = *stats; /* published by the mutex in emit */
    const struct sl_record record = {.kind = SL_EVENT_PREFILL, .token = SL_TOKEN_NONE};
    sl_generation_emit(generation, &record);
}

struct sl_token_alternative *sl_generation_alternatives(struct sl_generation *generation)
{
    const size_t token = atomic_load(&generation->generated);
    return generation->alternatives + token * generation->top_logprobs;
}

/* ---- the consumer's side ---- */

static bool wait_for_record(struct sl_generation *generation, uint64_t deadline_ms,
                            struct sl_record *out)
{
    pthread_mutex_lock(&generation->mutex);
    while (generation->record_count == generation->read_count) {
        if (deadline_ms != SL_DEADLINE_NEVER && sl_monotonic_ms() >= deadline_ms)
            break;
        generation->consumer_waits = true;
        if (deadline_ms == SL_DEADLINE_NEVER) {
            pthread_cond_wait(&generation->cond, &generation->mutex);
        } else {
            struct timespec until = sl_deadline_timespec(deadline_ms);
            pthread_cond_timedwait(&generation->cond, &generation->mutex, &until);
        }
    }
    generation->consumer_waits = false;
    bool found = generation->record_count > generation->read_count;
    if (found)
        *out = generation->records[generation->read_count++];
    pthread_mutex_unlock(&generation->mutex);
    return found;
}

/* Moves what may be shown from `held` to `given`. */
static enum sl_err give_text(struct sl_generation *generation, uint64_t released,
                             struct sl_slice *out)
{
    uint64_t may = released - generation->shown;
    if (released < generation->shown)
        may = 0;
    const size_t len = may < generation->held.len ? (size_t)may : generation->held.len;
    sl_buf_reset(&generation->given);
    enum sl_err err = sl_buf_append(&generation->given, generation->held.data, len);
    if (err != SL_OK)
        return err;
    sl_buf_consume(&generation->held, len);
    generation->shown += len;
    *out = sl_buf_slice(&generation->given);
    return SL_OK;
}

static enum sl_err read_token(struct sl_generation *generation, const struct sl_record *record,
                              struct sl_event *event)
{
    event->token = record->token;
    event->stats = record->stats;
    event->choice = record->choice;
    if (generation->top_logprobs > 0)
        event->alternatives =
            generation->alternatives + (size_t)generation->tokens_read * generation->top_logprobs;
    generation->tokens_read++;
    struct sl_slice text = sl_detokenizer_feed(&generation->decoder, record->token);
    if (record->released == SL_RELEASE_ALL && generation->held.len == 0) {
        generation->shown += text.len;
        event->text = text;
        return SL_OK;
    }
    enum sl_err err = sl_buf_append_slice(&generation->held, text);
    return err != SL_OK ? err : give_text(generation, record->released, &event->text);
}

static enum sl_err read_end(struct sl_generation *generation, const struct sl_record *record,
                            struct sl_event *event)
{
    event->is_last = true;
    event->finish = record->finish;
    event->token = record->token;
    event->stats = record->stats;
    event->choice = record->choice;
    generation->is_over = true;
    if (record->released == SL_RELEASE_ALL) {
        enum sl_err err =
            sl_buf_append_slice(&generation->held, sl_detokenizer_flush(&generation->decoder));
        if (err != SL_OK)
            return err;
    }
    return give_text(generation, record->released, &event->text);
}

enum sl_err sl_generation_next(struct sl_generation *generation, uint64_t deadline_ms,
                               struct sl_event *event)
{
    *event = (struct sl_event){.token = SL_TOKEN_NONE};
    if (generation->is_over)
        return SL_ERR_INVALID;
    struct sl_record record;
    if (!wait_for_record(generation, deadline_ms, &record))
        return SL_ERR_TIMEOUT;
    event->kind = record.kind;
    event->prompt = generation->prompt_stats; /* written before the first record */
    if (record.kind == SL_EVENT_TOKEN)
        return read_token(generation, &record, event);
    if (record.kind == SL_EVENT_END)
        return read_end(generation, &record, event);
    return SL_OK;
}

void sl_generation_cancel(struct sl_generation *generation)
{
    /* No wake: the scheduler only sleeps while it has no request at all. */
    atomic_store(&generation->cancelled, true);
}

void sl_generation_free(struct sl_generation *generation)
{
    if (generation == NULL)
        return;
    if (!generation->is_over)
        sl_generation_cancel(generation);
    sl_generation_release(generation);
}

uint32_t sl_generation_tokens(const struct sl_generation *generation)
{
    return atomic_load(&((struct sl_generation *)(uintptr_t)generation)->generated);
}
