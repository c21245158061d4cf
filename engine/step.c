/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: one step: which tokens of which requests go through the model together, and what becomes of
 * the logits.
 * Leaves to others: who runs (scheduler.c), the arithmetic (forward.c), the choice (sampler.c).
 *
 * A batch holds first the next token of every request that generates (and, where only few do, a
 * guess of what follows it: speculate.c), then pieces of prompts. While somebody generates, prompts
 * go in small pieces, so that a long one delays the others' next token by a bounded time; else as
 * large ones as the work memory holds, since a large matrix product is the cheapest.
 *
 * Logits are computed for blocks of output rows, in batch order: weights of the output matrix are
 * read once for all requests, and no more than a block of logits exists at a time.
 *
 * Nothing here allocates.
 */
#include "scheduler_internal.h"
#include "speculate.h"

#include "sluice/clock.h"

#include <math.h>

/* Prompt tokens a step while others generate: about the time of four single tokens on a CPU. */
#define PREFILL_CHUNK 64
/* Guesses are made while at most this many requests generate: more fill the batch themselves. */
#define SPECULATING_MAX 2
/* A guess that fails is not repeated for 2, 4, ... up to this many steps. */
#define SPECULATION_PAUSE_MAX 64

/* ---- the batch ---- */

static void end_dead(struct sl_scheduler *scheduler)
{
    const uint64_t now = sl_monotonic_ms();
    for (uint32_t idx = scheduler->running_count; idx-- > 0;) {
        struct sl_generation *generation = scheduler->running[idx];
        if (atomic_load(&generation->cancelled))
            sl_scheduler_finish(scheduler, generation, SL_FINISH_CANCELLED);
        else if (generation->deadline_ms != 0 && now >= generation->deadline_ms)
            sl_scheduler_finish(scheduler, generation, SL_FINISH_TIMEOUT);
    }
}

static void add_span(struct sl_scheduler *scheduler, struct sl_generation *generation,
                     uint32_t count, uint32_t outputs)
{
    sl_kv_extend(scheduler->config.cache, &generation->sequence, generation->computed + count);
    scheduler->spans[scheduler->span_count] =
        (struct sl_span){&generation->sequence, generation->ids + generation->computed, count,
                         generation->computed, outputs};
    scheduler->span_owner[scheduler->span_count++] = generation;
}

/* Puts a guess behind the known ids; leaves room for the token that follows it. */
static void draft(struct sl_generation *generation)
{
    generation->drafted = 0;
    if (generation->speculation.pause > 0) {
        generation->speculation.pause--;
        return;
    }
    const uint32_t room = generation->prompt_count + generation->tokens_max - generation->count - 1;
    const uint32_t most = generation->speculation.length;
    generation->drafted =
        sl_speculate_draft(generation->ids, generation->count, room < most ? room : most,
                           generation->ids + generation->count);
}

static uint32_t count_in_state(const struct sl_scheduler *scheduler, enum sl_generation_state state)
{
    uint32_t count = 0;
    for (uint32_t idx = 0; idx < scheduler->running_count; idx++)
        count += scheduler->running[idx]->state == state;
    return count;
}

/* Returns how many tokens were added. */
static uint32_t add_generating(struct sl_scheduler *scheduler, uint32_t generating)
{
    const bool may_speculate =
        generating <= SPECULATING_MAX && generating == scheduler->running_count;
    uint32_t tokens = 0;
    for (uint32_t idx = 0; idx < scheduler->running_count; idx++) {
        struct sl_generation *generation = scheduler->running[idx];
        if (generation->state != SL_DECODE)
            continue;
        generation->drafted = 0;
        if (may_speculate)
            draft(generation);
        add_span(scheduler, generation, 1 + generation->drafted, 1 + generation->drafted);
        tokens += 1 + generation->drafted;
    }
    return tokens;
}

/* How many rows at the end of a piece of prompt have to give logits: from the first that scores a
 * token, and the very last of the prompt. */
static uint32_t prompt_outputs(const struct sl_generation *generation, uint32_t count)
{
    const uint32_t begin = generation->computed;
    const uint32_t end = begin + count;
    if (generation->scored_begin < generation->scored_end && end >= generation->scored_begin &&
        begin < generation->scored_end - 1) {
        const uint32_t first = generation->scored_begin - 1;
        return end - (first > begin ? first : begin);
    }
    return end == generation->prompt_count ? 1 : 0;
}

static bool has_span(const struct sl_scheduler *scheduler, const struct sl_generation *generation)
{
    for (uint32_t idx = 0; idx < scheduler->span_count; idx++)
        if (scheduler->span_owner[idx] == generation)
            return true;
    return false;
}

/* The request in prefill whose turn it is: least service of its app, then first come. */
static struct sl_generation *next_prefill(struct sl_scheduler *scheduler)
{
    struct sl_generation *best = NULL;
    uint64_t least = 0;
    pthread_mutex_lock(&scheduler->mutex);
    for (uint32_t idx = 0; idx < scheduler->running_count; idx++) {
        struct sl_generation *generation = scheduler->running[idx];
        if (generation->state != SL_PREFILL || has_span(scheduler, generation))
            continue;
        uint64_t service = sl_fair_share_service(&scheduler->fair, generation->fair_share_id);
        if (best == NULL || service < least ||
            (service == least && generation->arrival < best->arrival)) {
            best = generation;
            least = service;
        }
    }
    pthread_mutex_unlock(&scheduler->mutex);
    return best;
}

static void add_prompts(struct sl_scheduler *scheduler, uint32_t budget)
{
    while (budget > 0) {
        struct sl_generation *generation = next_prefill(scheduler);
        if (generation == NULL)
            return;
        const uint32_t left = generation->prompt_count - generation->computed;
        const uint32_t count = left < budget ? left : budget;
        add_span(scheduler, generation, count, prompt_outputs(generation, count));
        sl_scheduler_charge(scheduler, generation, count);
        budget -= count;
    }
}

static void build_batch(struct sl_scheduler *scheduler)
{
    scheduler->span_count = 0;
    const uint32_t generating = count_in_state(scheduler, SL_DECODE);
    const uint32_t used = add_generating(scheduler, generating);
    uint32_t budget = sl_forward_tokens_max(scheduler->config.forward) - used;
    if (generating > 0 && budget > PREFILL_CHUNK)
        budget = PREFILL_CHUNK;
    add_prompts(scheduler, budget);
}

/* ---- the outputs ---- */

/* Shows what a token means for stop strings; true where one is complete. */
static bool match_stops(struct sl_generation *generation, int32_t token, uint64_t *released)
{
    *released = SL_RELEASE_ALL;
    if (generation->stops == NULL)
        return false;
    generation->stop_matched =
        sl_stop_match_feed(generation->stops, sl_detokenizer_feed(generation->stop_decoder, token));
    *released = sl_stop_match_released(generation->stops);
    return generation->stop_matched;
}

/* How a request goes on after a token. */
static enum sl_finish finish_after(const struct sl_generation *generation, bool stopped)
{
    if (stopped)
        return SL_FINISH_STOP;
    if (generation->constraint != NULL && sl_constraint_is_finished(generation->constraint))
        return SL_FINISH_STOP;
    if (generation->count == generation->prompt_count + generation->tokens_max)
        return SL_FINISH_LENGTH;
    return SL_FINISH_NONE;
}

/* The token, with the statistics of what the prior and the format made of the logits. */
static int32_t choose(struct sl_scheduler *scheduler, struct sl_generation *generation,
                      float *logits, const struct sl_logit_summary *raw,
                      struct sl_token_stats *choice)
{
    struct sl_sampler *sampler = scheduler->config.sampler;
    const struct sl_sampler_params *sampling = &generation->sampling;
    struct sl_logit_summary summary = *raw;
    float *work = sl_sampler_begin(sampler, sampling, logits, generation->constraint != NULL);
    if (generation->constraint != NULL)
        sl_constraint_mask(generation->constraint, work);
    if (work != logits)
        sl_logit_summarize(work, scheduler->config.model->hparams.vocab_size, &summary);
    work = sl_sampler_edit(sampler, sampling, work, generation->ids, generation->prompt_count,
                           generation->count);
    const int32_t token = sl_sampler_choose(sampler, sampling, work, generation->count);
    *choice = sl_logit_stats(&summary,
                             logits[token] + sl_sampler_prior(sampler, sampling, token));
    return token;
}

/* Chooses the next token and tells the consumer. SL_FINISH_NONE: the request goes on. */
static enum sl_finish generate_token(struct sl_scheduler *scheduler,
                                     struct sl_generation *generation, float *logits)
{
    const uint32_t vocab = scheduler->config.model->hparams.vocab_size;
    struct sl_logit_summary summary;
    sl_logit_summarize(logits, vocab, &summary);
    if (!isfinite(summary.log_sum))
        return SL_FINISH_ERROR; /* the weights are broken */
    if (generation->top_logprobs > 0)
        sl_logit_alternatives(logits, vocab, summary.log_sum,
                              sl_generation_alternatives(generation), generation->top_logprobs);
    struct sl_token_stats choice;
    const int32_t token = choose(scheduler, generation, logits, &summary, &choice);
    const struct sl_record record = {.kind = SL_EVENT_TOKEN,
                                     .token = token,
                                     .stats = sl_logit_stats(&summary, logits[token]),
                                     .choice = choice};
    if (!generation->ignore_end && sl_tokenizer_is_end(scheduler->config.tokenizer, token)) {
        generation->end_token = record.token;
        generation->end_stats = record.stats;
        generation->end_choice = choice;
        return SL_FINISH_STOP;
    }
    if (generation->constraint != NULL && !sl_constraint_accept(generation->constraint, token))
        return SL_FINISH_ERROR; /* the vocabulary cannot spell what the schema wants */
    generation->ids[generation->count] = token;
    generation->scores[generation->count++] = record.stats.logprob;
    struct sl_record told = record;
    const bool stopped = match_stops(generation, token, &told.released);
    sl_generation_emit(generation, &told);
    scheduler->window_tokens++;
    return finish_after(generation, stopped);
}

/* Mean over all scored tokens, and over the worst SL_SCORE_WINDOW neighbours. */
static struct sl_prompt_stats prompt_stats(const struct sl_generation *generation)
{
    struct sl_prompt_stats stats = {.reused_tokens = generation->reused};
    const uint32_t count = generation->scored_end - generation->scored_begin;
    if (generation->scored_end <= generation->scored_begin)
        return stats;
    const float *scores = generation->scores + generation->scored_begin;
    const uint32_t window = count < SL_SCORE_WINDOW ? count : SL_SCORE_WINDOW;
    double sum = 0;
    double window_sum = 0;
    double worst = INFINITY;
    for (uint32_t idx = 0; idx < count; idx++) {
        sum += (double)scores[idx];
        window_sum += (double)scores[idx];
        if (idx >= window)
            window_sum -= (double)scores[idx - window];
        if (idx + 1 >= window)
            worst = fmin(worst, window_sum / window);
    }
    stats.logprob_mean = (float)(sum / count);
    stats.logprob_worst_window = (float)worst;
    stats.scored_tokens = count;
    return stats;
}

/* A row of a prompt: scores the token that follows, or begins the answer. */
static enum sl_finish read_prompt_row(struct sl_scheduler *scheduler,
                                      struct sl_generation *generation, uint32_t position,
                                      float *logits)
{
    const uint32_t next = position + 1;
    if (next >= generation->scored_begin && next < generation->scored_end) {
        struct sl_logit_summary summary;
        sl_logit_summarize(logits, scheduler->config.model->hparams.vocab_size, &summary);
        generation->scores[next] = sl_logit_stats(&summary, logits[generation->ids[next]]).logprob;
    }
    if (next < generation->prompt_count)
        return SL_FINISH_NONE;
    generation->state = SL_DECODE;
    const struct sl_prompt_stats stats = prompt_stats(generation);
    sl_generation_emit_prefill(generation, &stats);
    return generate_token(scheduler, generation, logits);
}

/* Learns from a guess of which `right` tokens were right: longer guesses after right ones, shorter
 * ones and a pause that doubles after wrong ones. */
static void judge_draft(struct sl_generation *generation, uint32_t right)
{
    struct sl_speculation *speculation = &generation->speculation;
    if (right == generation->drafted) {
        speculation->length += speculation->length < SL_DRAFT_MAX;
        speculation->penalty = 0;
        return;
    }
    if (2 * right < generation->drafted && speculation->length > 1)
        speculation->length--;
    if (right > 0)
        return;
    speculation->penalty = speculation->penalty == 0 ? 2 : 2 * speculation->penalty;
    if (speculation->penalty > SPECULATION_PAUSE_MAX)
        speculation->penalty = SPECULATION_PAUSE_MAX;
    speculation->pause = speculation->penalty;
}

/* A row behind a generated or guessed token. *more is cleared where later rows of the span are
 * moot: the guess that they stand on was wrong. */
static enum sl_finish read_answer_row(struct sl_scheduler *scheduler,
                                      struct sl_generation *generation, uint32_t row, float *logits,
                                      bool *more)
{
    const bool is_guessed = row < generation->drafted;
    const int32_t guess = is_guessed ? generation->ids[generation->count] : SL_TOKEN_NONE;
    generation->computed++;
    const enum sl_finish finish = generate_token(scheduler, generation, logits);
    if (is_guessed && finish == SL_FINISH_NONE)
        *more = generation->ids[generation->count - 1] == guess;
    return finish;
}

static void end_span(struct sl_scheduler *scheduler, struct sl_generation *generation,
                     uint64_t service)
{
    sl_kv_commit(scheduler->config.cache, &generation->sequence, generation->ids,
                 generation->scores, generation->computed);
    if (service > 0)
        sl_scheduler_charge(scheduler, generation, service);
}

/* All rows of one span; `next_logits` hands out logits row by row. */
struct row_source {
    struct sl_forward *forward;
    uint32_t total;
    uint32_t begin; /* of the block in memory */
    uint32_t end;
    uint32_t vocab;
    float *logits;
};

static float *logits_of(struct row_source *source, uint32_t row)
{
    if (row >= source->end) {
        const uint32_t most = sl_forward_logit_rows_max(source->forward);
        const uint32_t left = source->total - row;
        source->begin = row;
        source->end = row + (left < most ? left : most);
        source->logits = sl_forward_logits(source->forward, row, source->end - row);
    }
    return source->logits + (size_t)(row - source->begin) * source->vocab;
}

static void read_span(struct sl_scheduler *scheduler, uint32_t idx, struct row_source *source,
                      uint32_t first_row)
{
    struct sl_generation *generation = scheduler->span_owner[idx];
    const struct sl_span *span = &scheduler->spans[idx];
    const bool is_prompt = generation->state == SL_PREFILL;
    const uint32_t count_before = generation->count;
    enum sl_finish finish = SL_FINISH_NONE;
    bool more = true;
    if (is_prompt)
        generation->computed += span->count;
    for (uint32_t row = 0; row < span->outputs && more && finish == SL_FINISH_NONE; row++) {
        float *logits = logits_of(source, first_row + row);
        const uint32_t position = span->position + span->count - span->outputs + row;
        finish = is_prompt ? read_prompt_row(scheduler, generation, position, logits)
                           : read_answer_row(scheduler, generation, row, logits, &more);
    }
    const uint32_t generated = generation->count - count_before;
    if (!is_prompt && generation->drafted > 0 && finish == SL_FINISH_NONE)
        judge_draft(generation, generated - 1);
    end_span(scheduler, generation, (uint64_t)generated * SL_SERVICE_GENERATED);
    if (finish != SL_FINISH_NONE)
        sl_scheduler_finish(scheduler, generation, finish);
}

void sl_scheduler_step(struct sl_scheduler *scheduler)
{
    end_dead(scheduler);
    if (scheduler->running_count == 0)
        return;
    build_batch(scheduler);
    sl_forward_run(scheduler->config.forward, scheduler->spans, scheduler->span_count);
    struct row_source source = {.forward = scheduler->config.forward,
                                .vocab = scheduler->config.model->hparams.vocab_size};
    for (uint32_t idx = 0; idx < scheduler->span_count; idx++)
        source.total += scheduler->spans[idx].outputs;
    uint32_t row = 0;
    for (uint32_t idx = 0; idx < scheduler->span_count; idx++) {
        read_span(scheduler, idx, &source, row);
        row += scheduler->spans[idx].outputs;
    }
}
