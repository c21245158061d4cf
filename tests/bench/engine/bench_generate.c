/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast a model runs:
 *
 *     bench_generate MODEL.gguf [PROMPT_TOKENS [ANSWER_TOKENS [RUNS [THREADS [cpu]]]]]
 *
 * Prompt processing and generation in tokens a second, as llama-bench counts them (prompt: all its
 * tokens over the time to the first token; generation: from an empty context, tokens after the first
 * over the time between first and last), and generation behind the prompt; the best of RUNS. At 1 and
 * 2 threads unless THREADS says otherwise. With "cpu", times are the process's CPU time over the
 * threads: on a machine that others use, where wall time says little.
 */
#include "bench_engine.h"

#include <sys/resource.h>

static double best_of(double best, double now_s)
{
    return now_s < best ? now_s : best;
}

static void measure(const char *path, uint32_t threads, uint32_t prompt, uint32_t answer,
                    uint32_t runs)
{
    const double start = now();
    struct sl_engine *engine = open_engine(path, threads);
    const double open_ms = (now() - start) * 1e3;
    settle();
    const uint32_t context = sl_engine_info(engine)->context_tokens;
    if (prompt + answer > context)
        prompt = context - answer;
    double prompt_s = 1e9, behind_s = 1e9, answer_s = 1e9;
    for (uint32_t run = 0; run <= runs; run++) { /* the first reads the file and does not count */
        const struct timing whole = run_once(engine, 0, prompt, answer);
        const struct timing alone = run_once(engine, 0, 1, answer);
        if (run == 0)
            continue;
        prompt_s = best_of(prompt_s, whole.prompt_s);
        behind_s = best_of(behind_s, whole.answer_s);
        answer_s = best_of(answer_s, alone.answer_s);
    }
    printf("%u threads: prompt %u: %.1f tokens/s, generation %u: %.1f tokens/s, behind the prompt "
           "%.1f tokens/s (open %.0f ms)\n",
           threads, prompt, prompt / prompt_s, answer, (answer - 1) / answer_s,
           (answer - 1) / behind_s, open_ms);
    sl_engine_close(engine);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_generate MODEL.gguf [PROMPT [ANSWER [RUNS [THREADS [cpu]]]]]\n");
        return 2;
    }
    const uint32_t prompt = argc > 2 ? (uint32_t)atoi(argv[2]) : 512;
    const uint32_t answer = argc > 3 ? (uint32_t)atoi(argv[3]) : 64;
    const uint32_t runs = argc > 4 ? (uint32_t)atoi(argv[4]) : 3;
    const uint32_t only = argc > 5 ? (uint32_t)atoi(argv[5]) : 0;
    printf("%s%s\n", argv[1], argc > 6 ? " (CPU time)" : "");
    for (uint32_t threads = only > 0 ? only : 1; threads <= (only > 0 ? only : 2); threads++) {
        cpu_threads = argc > 6 ? threads : 0;
        measure(argv[1], threads, prompt, answer, runs);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("peak resident %.1f MB\n", (double)usage.ru_maxrss / 1024);
    return 0;
}
