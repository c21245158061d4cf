/* SPDX-License-Identifier: Apache-2.0
 *
 * What the benchmarks of the engine share: opening a model, prompts of random tokens, and how long a
 * prompt and its answer took.
 */
#ifndef SLUICE_BENCH_ENGINE_H
#define SLUICE_BENCH_ENGINE_H

#include "sluice/clock.h"
#include "sluice/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct timing {
    double prompt_s;
    double answer_s;
};

static uint32_t cpu_threads; /* times are CPU time over so many threads; 0: wall time */
static uint64_t salt = 1;        /* each prompt is another, so that nothing is shared by chance */
static uint64_t shared_salt = 1; /* likewise the beginning that prompts share on purpose */

static inline double now(void)
{
    struct timespec time;
    if (cpu_threads == 0)
        return (double)sl_monotonic_ns() * 1e-9;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return ((double)time.tv_sec + (double)time.tv_nsec * 1e-9) / cpu_threads;
}

static inline struct sl_prompt *random_prompt(struct sl_engine *engine, uint32_t shared, uint32_t own)
{
    const uint32_t vocab = sl_engine_info(engine)->vocab_size;
    int32_t *ids = malloc((shared + own) * sizeof *ids);
    uint64_t state = shared_salt * UINT64_C(0x9e3779b97f4a7c15);
    for (uint32_t idx = 0; idx < shared + own; idx++) {
        if (idx == shared)
            state = ++salt * UINT64_C(0xbf58476d1ce4e5b9);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ids[idx] = (int32_t)(300 + state % (vocab > 400 ? vocab - 400 : 1));
        if ((uint32_t)ids[idx] >= vocab)
            ids[idx] = 3;
    }
    struct sl_prompt *prompt;
    struct sl_error error = {0};
    if (sl_engine_prepare_ids(engine, ids, shared + own, &prompt, &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    free(ids);
    return prompt;
}

static inline struct sl_generation *begin(struct sl_engine *engine, const struct sl_prompt *prompt,
                                   uint32_t tokens)
{
    const struct sl_generate_params params = {
        .tokens_max = tokens, .ignore_end = true, .temperature = 1, .seed = 1};
    struct sl_generation *generation;
    struct sl_error error = {0};
    if (sl_engine_generate(engine, prompt, &params, &generation, &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    return generation;
}

/* Reads to the end; returns when the first token came. */
static inline double drain(struct sl_generation *generation)
{
    double first = 0;
    for (struct sl_event event = {0}; !event.is_last;) {
        if (sl_generation_next(generation, SL_DEADLINE_NEVER, &event) != SL_OK)
            exit(1);
        if (first == 0 && event.kind == SL_EVENT_TOKEN)
            first = now();
    }
    sl_generation_free(generation);
    return first;
}

static inline struct timing run_once(struct sl_engine *engine, uint32_t shared, uint32_t own,
                              uint32_t answer)
{
    struct sl_prompt *prompt = random_prompt(engine, shared, own);
    const double start = now();
    const double first = drain(begin(engine, prompt, answer));
    const double end = now();
    sl_prompt_free(prompt);
    return (struct timing){first - start, end - first};
}

/* Waits until an engine has nothing left to do after its start: weights rearranged, digest made. */
static inline void settle(void)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    for (clock_t before = clock(), after; nanosleep(&pause, NULL) == 0; before = after) {
        after = clock(); /* of the process's CPU */
        if (after - before < CLOCKS_PER_SEC / 1000)
            return;
    }
}

static inline struct sl_engine *open_engine(const char *path, uint32_t threads)
{
    const struct sl_engine_config config = {.model_path = path, .threads = threads};
    struct sl_engine *engine;
    struct sl_error error = {0};
    if (sl_engine_open(&config, &engine, &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    return engine;
}

#endif
