/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast a model runs: bench_generate MODEL.gguf [PROMPT_TOKENS [ANSWER_TOKENS [RUNS]]]
 *
 * Prompt processing and generation in tokens a second at 1 and 2 threads, as llama-bench counts
 * them (prompt: all its tokens over the time to the first token; generation: tokens after the first
 * over the time between first and last), the best of RUNS; then four streams at once; then a prompt
 * that shares its first 1,000 tokens with an earlier one. Compare with llama-bench -m MODEL.gguf -p
 * 512 -n 64 -t 1,2
 */
#include "sluice/clock.h"
#include "sluice/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define STREAMS 4
#define SHARED_TOKENS 1000
#define OWN_TOKENS 24

struct timing {
    double prompt_s;
    double answer_s;
};

static uint64_t salt = 1; /* each prompt is another, so that nothing is shared by chance */

static struct sl_prompt *random_prompt(struct sl_engine *engine, uint32_t shared, uint32_t own)
{
    const uint32_t vocab = sl_engine_info(engine)->vocab_size;
    int32_t *ids = malloc((shared + own) * sizeof *ids);
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
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

static struct sl_generation *begin(struct sl_engine *engine, const struct sl_prompt *prompt,
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
static uint64_t drain(struct sl_generation *generation)
{
    uint64_t first = 0;
    for (struct sl_event event = {0}; !event.is_last;) {
        if (sl_generation_next(generation, SL_DEADLINE_NEVER, &event) != SL_OK)
            exit(1);
        if (first == 0 && event.kind == SL_EVENT_TOKEN)
            first = sl_monotonic_ns();
    }
    sl_generation_free(generation);
    return first;
}

static struct timing run_once(struct sl_engine *engine, uint32_t shared, uint32_t own,
                              uint32_t answer)
{
    struct sl_prompt *prompt = random_prompt(engine, shared, own);
    const uint64_t start = sl_monotonic_ns();
    const uint64_t first = drain(begin(engine, prompt, answer));
    const uint64_t end = sl_monotonic_ns();
    sl_prompt_free(prompt);
    return (struct timing){(double)(first - start) * 1e-9, (double)(end - first) * 1e-9};
}

static struct sl_engine *open_engine(const char *path, uint32_t threads)
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

static void measure_streams(struct sl_engine *engine, uint32_t answer, double alone)
{
    struct sl_prompt *prompts[STREAMS];
    struct sl_generation *generations[STREAMS];
    for (size_t idx = 0; idx < STREAMS; idx++)
        prompts[idx] = random_prompt(engine, 0, OWN_TOKENS);
    const uint64_t start = sl_monotonic_ns();
    for (size_t idx = 0; idx < STREAMS; idx++)
        generations[idx] = begin(engine, prompts[idx], answer);
    for (size_t idx = 0; idx < STREAMS; idx++)
        (void)drain(generations[idx]);
    const double seconds = (double)(sl_monotonic_ns() - start) * 1e-9;
    for (size_t idx = 0; idx < STREAMS; idx++)
        sl_prompt_free(prompts[idx]);
    const double rate = STREAMS * answer / seconds;
    printf("%d streams: %.1f tokens/s in all, %.2f times one\n", STREAMS, rate, rate / alone);
}

static void measure_shared(struct sl_engine *engine)
{
    if (sl_engine_info(engine)->context_tokens < SHARED_TOKENS + 2 * OWN_TOKENS)
        return;
    const struct timing first = run_once(engine, SHARED_TOKENS, OWN_TOKENS, 2);
    const struct timing second = run_once(engine, SHARED_TOKENS, OWN_TOKENS, 2);
    printf("prefix of %d tokens: first token after %.1f ms, the second time %.1f ms (%.1f times "
           "sooner)\n",
           SHARED_TOKENS, first.prompt_s * 1e3, second.prompt_s * 1e3,
           first.prompt_s / second.prompt_s);
}

static void measure(const char *path, uint32_t threads, uint32_t prompt, uint32_t answer,
                    uint32_t runs)
{
    const uint64_t start = sl_monotonic_ns();
    struct sl_engine *engine = open_engine(path, threads);
    const double open_ms = (double)(sl_monotonic_ns() - start) * 1e-6;
    const uint32_t context = sl_engine_info(engine)->context_tokens;
    if (prompt + answer > context)
        prompt = context - answer;
    struct timing best = {1e9, 1e9};
    for (uint32_t run = 0; run <= runs; run++) { /* the first reads the file and does not count */
        const struct timing timing = run_once(engine, 0, prompt, answer);
        if (run > 0 && timing.prompt_s < best.prompt_s)
            best.prompt_s = timing.prompt_s;
        if (run > 0 && timing.answer_s < best.answer_s)
            best.answer_s = timing.answer_s;
    }
    const double rate = (answer - 1) / best.answer_s;
    printf("%u threads: prompt %u: %.1f tokens/s, generation %u: %.1f tokens/s (open %.0f ms)\n",
           threads, prompt, prompt / best.prompt_s, answer, rate, open_ms);
    if (threads == 2) {
        measure_streams(engine, answer, rate);
        measure_shared(engine);
    }
    sl_engine_close(engine);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_generate MODEL.gguf [PROMPT [ANSWER [RUNS]]]\n");
        return 2;
    }
    const uint32_t prompt = argc > 2 ? (uint32_t)atoi(argv[2]) : 512;
    const uint32_t answer = argc > 3 ? (uint32_t)atoi(argv[3]) : 64;
    const uint32_t runs = argc > 4 ? (uint32_t)atoi(argv[4]) : 3;
    printf("%s\n", argv[1]);
    measure(argv[1], 1, prompt, answer, runs);
    measure(argv[1], 2, prompt, answer, runs);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("peak resident %.1f MB\n", (double)usage.ru_maxrss / 1024);
    return 0;
}
