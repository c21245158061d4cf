/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: the scheduler's thread, the queue of waiting requests, admission, calls between steps.
 * Leaves to others: what a step does (step.c), turns between apps (fair_share.c), pages
 * (kv_cache.c).
 *
 * The thread sleeps on one condition while there is nothing to do, and looks at queue, cancels and
 * deadlines between any two steps otherwise; so a cancel costs at most the step that runs.
 *
 * Admission: the waiting request of the app that had the least service, in order of arrival within
 * an app, as soon as there is a place and the KV budget has room for all that the request may need.
 * A request that has to wait for room is not overtaken, so that a large one is not starved.
 *
 * Invariants:
 *  1. A generation is in `waiting` (state WAITING) or `running` (PREFILL, DECODE), or is none of
 *     the scheduler's business; the scheduler's reference is dropped when it leaves both.
 *  2. Every submitted generation gets exactly one SL_EVENT_END.
 *
 * Threads: see scheduler_internal.h.
 */
#include "scheduler_internal.h"

#include "sluice/clock.h"

#include <stdlib.h>
#include <string.h>

/* How long the rate of generated tokens is averaged over. */
#define RATE_WINDOW_NS 1000000000u
/* Weights rearranged at once while nobody waits, and behind a step of so many tokens: some
 * milliseconds, and less than the step took. */
#define PACK_BYTES ((size_t)8 << 20)
#define PACK_STEP_BYTES ((size_t)2 << 20)
#define PACK_STEP_TOKENS 8

void sl_scheduler_charge(struct sl_scheduler *scheduler, const struct sl_generation *generation,
                         uint64_t service)
{
    pthread_mutex_lock(&scheduler->mutex);
    sl_fair_share_charge(&scheduler->fair, generation->fair_share_id, service);
    pthread_mutex_unlock(&scheduler->mutex);
}

/* The last record, and the end of the scheduler's interest. */
static void end_generation(struct sl_generation *generation, enum sl_finish finish)
{
    const struct sl_record record = {
        .kind = SL_EVENT_END,
        .token = generation->end_token,
        .stats = generation->end_stats,
        .choice = generation->end_choice,
        .finish = finish,
        .released =
            generation->stop_matched ? sl_stop_match_released(generation->stops) : SL_RELEASE_ALL,
    };
    generation->state = SL_DONE;
    sl_generation_emit(generation, &record);
    sl_generation_release(generation);
}

void sl_scheduler_finish(struct sl_scheduler *scheduler, struct sl_generation *generation,
                         enum sl_finish finish)
{
    sl_kv_end(scheduler->config.cache, &generation->sequence, generation->ids, generation->scores,
              generation->computed);
    sl_kv_release(scheduler->config.cache, generation->pages_reserved);
    uint32_t idx = 0;
    while (scheduler->running[idx] != generation)
        idx++;
    scheduler->running[idx] = scheduler->running[--scheduler->running_count];
    pthread_mutex_lock(&scheduler->mutex);
    sl_fair_share_leave(&scheduler->fair, generation->fair_share_id);
    scheduler->running_shown = scheduler->running_count;
    pthread_mutex_unlock(&scheduler->mutex);
    end_generation(generation, finish);
}

/* ---- the queue; the mutex is held ---- */

static struct sl_generation *take_waiting(struct sl_scheduler *scheduler, uint32_t idx)
{
    struct sl_generation *generation = scheduler->waiting[idx];
    scheduler->waiting_count--;
    memmove(scheduler->waiting + idx, scheduler->waiting + idx + 1,
            (scheduler->waiting_count - idx) * sizeof(struct sl_generation *));
    return generation;
}

/* Ends waiting requests that were cancelled or whose time is over. */
static void drop_dead(struct sl_scheduler *scheduler, uint64_t now_ms)
{
    for (uint32_t idx = scheduler->waiting_count; idx-- > 0;) {
        struct sl_generation *generation = scheduler->waiting[idx];
        const bool cancelled = atomic_load(&generation->cancelled);
        const bool late = generation->deadline_ms != 0 && now_ms >= generation->deadline_ms;
        if (!cancelled && !late)
            continue;
        take_waiting(scheduler, idx);
        sl_fair_share_leave(&scheduler->fair, generation->fair_share_id);
        end_generation(generation, cancelled ? SL_FINISH_CANCELLED : SL_FINISH_TIMEOUT);
    }
}

/* The waiting request whose turn it is; waiting_count > 0. */
static uint32_t next_waiting(const struct sl_scheduler *scheduler)
{
    uint32_t best = 0;
    uint64_t least = UINT64_MAX;
    for (uint32_t idx = 0; idx < scheduler->waiting_count; idx++) {
        uint64_t service =
            sl_fair_share_service(&scheduler->fair, scheduler->waiting[idx]->fair_share_id);
        if (service < least) {
            least = service;
            best = idx;
        }
    }
    return best;
}

/* Gives a request its place and what the cache knows of its prompt already. */
static void start_generation(struct sl_scheduler *scheduler, struct sl_generation *generation)
{
    generation->state = SL_PREFILL;
    generation->computed = sl_kv_match(
        scheduler->config.cache, &generation->sequence, generation->ids, generation->scores,
        generation->prompt_count - 1, generation->scored_begin, generation->scored_end);
    generation->reused = generation->computed;
    scheduler->running[scheduler->running_count++] = generation;
}

static void admit(struct sl_scheduler *scheduler)
{
    while (scheduler->waiting_count > 0 &&
           scheduler->running_count < scheduler->config.sequences_max) {
        const uint32_t idx = next_waiting(scheduler);
        if (!sl_kv_reserve(scheduler->config.cache, scheduler->waiting[idx]->pages_reserved))
            break;
        start_generation(scheduler, take_waiting(scheduler, idx));
    }
    scheduler->running_shown = scheduler->running_count;
}

/* ---- the thread ---- */

/* Waits for work and hands out places; returns a call to run, if any. False: stop. */
static bool wait_for_work(struct sl_scheduler *scheduler, struct sl_scheduler_call **call)
{
    pthread_mutex_lock(&scheduler->mutex);
    while (!scheduler->is_stopping && scheduler->waiting_count == 0 &&
           scheduler->running_count == 0 && scheduler->calls == NULL && !scheduler->is_packing)
        pthread_cond_wait(&scheduler->work, &scheduler->mutex);
    const bool go_on = !scheduler->is_stopping;
    *call = NULL;
    if (go_on) {
        drop_dead(scheduler, sl_monotonic_ms());
        admit(scheduler);
        *call = scheduler->calls;
        if (*call != NULL)
            scheduler->calls = (*call)->next;
    }
    pthread_mutex_unlock(&scheduler->mutex);
    return go_on;
}

static void run_call(struct sl_scheduler *scheduler, struct sl_scheduler_call *call)
{
    call->fn(&scheduler->config, call->context);
    pthread_mutex_lock(&scheduler->mutex);
    call->is_done = true;
    call->was_run = true;
    pthread_cond_broadcast(&scheduler->call_done);
    pthread_mutex_unlock(&scheduler->mutex);
}

static void apply_threads(struct sl_scheduler *scheduler)
{
    const uint32_t threads = atomic_exchange(&scheduler->threads_wanted, 0);
    if (threads > 0)
        sl_pool_set_threads(scheduler->config.pool, threads);
}

/* Numbers for sl_scheduler_load. */
static void show_load(struct sl_scheduler *scheduler)
{
    const uint64_t now = sl_monotonic_ns();
    const uint64_t used =
        scheduler->config.cache != NULL ? sl_kv_used_bytes(scheduler->config.cache) : 0;
    pthread_mutex_lock(&scheduler->mutex);
    scheduler->kv_bytes_shown = used;
    const uint64_t elapsed = now - scheduler->window_begin_ns;
    if (elapsed >= RATE_WINDOW_NS || scheduler->running_count == 0) {
        if (elapsed > 0 && scheduler->window_tokens > 0)
            scheduler->tokens_per_second = (double)scheduler->window_tokens * 1e9 / (double)elapsed;
        scheduler->window_begin_ns = now;
        scheduler->window_tokens = 0;
    }
    pthread_mutex_unlock(&scheduler->mutex);
}

/* Cancels all that is left, once is_stopping is set. */
static void end_all(struct sl_scheduler *scheduler)
{
    while (scheduler->running_count > 0)
        sl_scheduler_finish(scheduler, scheduler->running[0], SL_FINISH_CANCELLED);
    pthread_mutex_lock(&scheduler->mutex);
    while (scheduler->waiting_count > 0)
        end_generation(take_waiting(scheduler, 0), SL_FINISH_CANCELLED);
    for (; scheduler->calls != NULL; scheduler->calls = scheduler->calls->next)
        scheduler->calls->is_done = true;
    pthread_cond_broadcast(&scheduler->call_done);
    pthread_mutex_unlock(&scheduler->mutex);
}

/* Brings more of the weights into the form that the kernels prefer. */
static void pack_weights(struct sl_scheduler *scheduler)
{
    size_t bytes = PACK_BYTES;
    if (scheduler->running_count > 0) {
        uint32_t tokens = 0;
        for (uint32_t idx = 0; idx < scheduler->span_count; idx++)
            tokens += scheduler->spans[idx].count;
        bytes = PACK_STEP_BYTES * (1 + tokens / PACK_STEP_TOKENS);
    }
    scheduler->is_packing =
        sl_model_pack_some(scheduler->config.model, scheduler->config.pool, bytes);
}

static void *scheduler_main(void *context)
{
    struct sl_scheduler *scheduler = context;
    struct sl_scheduler_call *call;
    while (wait_for_work(scheduler, &call)) {
        apply_threads(scheduler);
        if (scheduler->window_tokens == 0)
            scheduler->window_begin_ns = sl_monotonic_ns();
        if (call != NULL)
            run_call(scheduler, call);
        if (scheduler->running_count > 0)
            sl_scheduler_step(scheduler);
        if (scheduler->is_packing)
            pack_weights(scheduler);
        show_load(scheduler);
    }
    end_all(scheduler);
    return NULL;
}

/* ---- life ---- */

static void free_scheduler(struct sl_scheduler *scheduler)
{
    pthread_mutex_destroy(&scheduler->mutex);
    pthread_cond_destroy(&scheduler->work);
    pthread_cond_destroy(&scheduler->call_done);
    free(scheduler->waiting);
    free(scheduler->running);
    free(scheduler->spans);
    free(scheduler->span_owner);
    free(scheduler);
}

enum sl_err sl_scheduler_start(const struct sl_scheduler_config *config, struct sl_scheduler **out,
                               struct sl_error *error)
{
    struct sl_scheduler *scheduler = calloc(1, sizeof *scheduler);
    if (scheduler == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    scheduler->config = *config;
    scheduler->is_packing = true;
    pthread_mutex_init(&scheduler->mutex, NULL);
    pthread_cond_init(&scheduler->work, NULL);
    pthread_cond_init(&scheduler->call_done, NULL);
    atomic_init(&scheduler->threads_wanted, 0);
    scheduler->waiting = calloc(config->queue_max, sizeof(struct sl_generation *));
    scheduler->running = calloc(config->sequences_max, sizeof(struct sl_generation *));
    scheduler->spans = calloc(config->sequences_max, sizeof *scheduler->spans);
    scheduler->span_owner = calloc(config->sequences_max, sizeof(struct sl_generation *));
    if (scheduler->waiting == NULL || scheduler->running == NULL || scheduler->spans == NULL ||
        scheduler->span_owner == NULL ||
        pthread_create(&scheduler->thread, NULL, scheduler_main, scheduler) != 0) {
        free_scheduler(scheduler);
        return sl_error_set(error, SL_ERR_MEMORY, "no memory or thread for the scheduler");
    }
    *out = scheduler;
    return SL_OK;
}

void sl_scheduler_stop(struct sl_scheduler *scheduler)
{
    if (scheduler == NULL)
        return;
    pthread_mutex_lock(&scheduler->mutex);
    scheduler->is_stopping = true;
    pthread_cond_signal(&scheduler->work);
    pthread_mutex_unlock(&scheduler->mutex);
    pthread_join(scheduler->thread, NULL);
    free_scheduler(scheduler);
}

/* ---- from other threads ---- */

enum sl_err sl_scheduler_submit(struct sl_scheduler *scheduler, struct sl_generation *generation,
                                struct sl_error *error)
{
    enum sl_err err = SL_OK;
    pthread_mutex_lock(&scheduler->mutex);
    if (scheduler->is_stopping) {
        err = sl_error_set(error, SL_ERR_SHUTDOWN, NULL);
    } else if (scheduler->waiting_count == scheduler->config.queue_max) {
        err = sl_error_set(error, SL_ERR_OVERLOAD, "%u requests are waiting for the local model",
                           scheduler->waiting_count);
    } else {
        generation->arrival = scheduler->arrivals++;
        scheduler->waiting[scheduler->waiting_count++] = generation;
        sl_fair_share_enter(&scheduler->fair, generation->fair_share_id);
        pthread_cond_signal(&scheduler->work);
    }
    pthread_mutex_unlock(&scheduler->mutex);
    return err;
}

enum sl_err sl_scheduler_call(struct sl_scheduler *scheduler, sl_scheduler_fn *fn, void *context,
                              struct sl_error *error)
{
    struct sl_scheduler_call call = {.fn = fn, .context = context};
    pthread_mutex_lock(&scheduler->mutex);
    if (!scheduler->is_stopping) {
        struct sl_scheduler_call **link = &scheduler->calls;
        while (*link != NULL)
            link = &(*link)->next;
        *link = &call;
        pthread_cond_signal(&scheduler->work);
        while (!call.is_done)
            pthread_cond_wait(&scheduler->call_done, &scheduler->mutex);
    }
    pthread_mutex_unlock(&scheduler->mutex);
    return call.was_run ? SL_OK : sl_error_set(error, SL_ERR_SHUTDOWN, NULL);
}

void sl_scheduler_set_threads(struct sl_scheduler *scheduler, uint32_t threads)
{
    atomic_store(&scheduler->threads_wanted, threads);
}

void sl_scheduler_load(struct sl_scheduler *scheduler, struct sl_engine_load *out)
{
    pthread_mutex_lock(&scheduler->mutex);
    *out = (struct sl_engine_load){
        .running = scheduler->running_shown,
        .waiting = scheduler->waiting_count,
        .kv_bytes = scheduler->kv_bytes_shown,
        .tokens_per_second = scheduler->tokens_per_second,
    };
    pthread_mutex_unlock(&scheduler->mutex);
}
