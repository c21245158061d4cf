/* SPDX-License-Identifier: Apache-2.0
 *
 * How the engine serves several at once: bench_serving MODEL.gguf [THREADS [ANSWER [RUNS [cpu]]]]
 *
 * Tokens a second of four concurrent streams in all beside one stream alone, by turns, the best of
 * RUNS, their short prompts included; then how much sooner a request gets its first token whose first
 * 1,000 tokens an earlier one had as well, the median of RUNS pairs. With "cpu", times are the
 * process's CPU time over the threads, for machines that others use.
 */
#include "bench_engine.h"

#define STREAMS 4
#define SHARED_TOKENS 1000
#define OWN_TOKENS 24
#define RUNS_MAX 64

/* Tokens a second of `count` streams in all, their short prompts included. */
static double stream_rate(struct sl_engine *engine, size_t count, uint32_t answer)
{
    struct sl_prompt *prompts[STREAMS];
    struct sl_generation *generations[STREAMS];
    for (size_t idx = 0; idx < count; idx++)
        prompts[idx] = random_prompt(engine, 0, OWN_TOKENS);
    const double start = now();
    for (size_t idx = 0; idx < count; idx++)
        generations[idx] = begin(engine, prompts[idx], answer);
    for (size_t idx = 0; idx < count; idx++)
        (void)drain(generations[idx]);
    const double seconds = now() - start;
    for (size_t idx = 0; idx < count; idx++)
        sl_prompt_free(prompts[idx]);
    return (double)count * answer / seconds;
}

static void measure_streams(struct sl_engine *engine, uint32_t answer, uint32_t runs)
{
    double one = 0, all = 0;
    for (uint32_t run = 0; run < runs; run++) { /* by turns, so that both meet the same machine */
        const double alone = stream_rate(engine, 1, answer);
        const double together = stream_rate(engine, STREAMS, answer);
        one = alone > one ? alone : one;
        all = together > all ? together : all;
    }
    printf("  %d streams: %.1f tokens/s in all, one alone %.1f: %.2f times\n", STREAMS, all, one,
           all / one);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure_shared(struct sl_engine *engine, uint32_t runs)
{
    double first[RUNS_MAX], second[RUNS_MAX];
    if (sl_engine_info(engine)->context_tokens < SHARED_TOKENS + 2 * OWN_TOKENS)
        return;
    for (uint32_t run = 0; run < runs; run++) {
        shared_salt++; /* another prefix, that nobody had */
        first[run] = run_once(engine, SHARED_TOKENS, OWN_TOKENS, 2).prompt_s;
        second[run] = run_once(engine, SHARED_TOKENS, OWN_TOKENS, 2).prompt_s;
    }
    qsort(first, runs, sizeof *first, by_size);
    qsort(second, runs, sizeof *second, by_size);
    printf("  prefix of %d tokens: first token after %.1f ms, the second time %.1f ms: %.1f times "
           "sooner\n",
           SHARED_TOKENS, first[runs / 2] * 1e3, second[runs / 2] * 1e3,
           first[runs / 2] / second[runs / 2]);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_serving MODEL.gguf [THREADS [ANSWER [RUNS [cpu]]]]\n");
        return 2;
    }
    const uint32_t threads = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
    const uint32_t answer = argc > 3 ? (uint32_t)atoi(argv[3]) : 128;
    uint32_t runs = argc > 4 ? (uint32_t)atoi(argv[4]) : 3;
    runs = runs < 1 ? 1 : runs < RUNS_MAX ? runs : RUNS_MAX;
    struct sl_engine *engine = open_engine(argv[1], threads);
    cpu_threads = argc > 5 ? (threads > 0 ? threads : 1) : 0;
    printf("%s%s\n", argv[1], cpu_threads > 0 ? " (CPU time)" : "");
    settle();
    (void)run_once(engine, 0, OWN_TOKENS, 2); /* touches the weights */
    measure_streams(engine, answer, runs);
    measure_shared(engine, runs);
    sl_engine_close(engine);
    return 0;
}
