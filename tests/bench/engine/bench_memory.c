/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model costs in memory, and whether requests leave any of it behind:
 *
 *     bench_memory MODEL.gguf [REQUESTS [THREADS]]
 *
 * Resident memory after opening (and rearranging), after 100 requests and after REQUESTS (6,000), each a
 * prompt of 24 random tokens and an answer of 8 with log-probabilities and 5 alternatives a token; and
 * the peak. Beside it the file's size and the bytes of the KV cache in use then. Ends with 1 where the
 * peak is above file + KV cache + 64 MB, or where the later requests added more than 1 MB.
 */
#include "bench_engine.h"

#define PROMPT_TOKENS 24
#define ANSWER_TOKENS 8
#define WARM_REQUESTS 100
#define PEAK_SLACK_MB 64.0
#define GROWTH_MAX_MB 1.0

/* A line of /proc/self/status, in MB (2^20 bytes). */
static double status_mb(const char *name)
{
    char line[256];
    double kb = 0;
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL)
        return 0;
    while (fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kb = strtod(line + strlen(name) + 1, NULL);
    fclose(status);
    return kb / 1024;
}

static double kv_mb(struct sl_engine *engine)
{
    struct sl_engine_load load;
    sl_engine_load(engine, &load);
    return (double)load.kv_bytes / (1 << 20);
}

static void ask(struct sl_engine *engine, uint64_t seed)
{
    struct sl_prompt *prompt = random_prompt(engine, 0, PROMPT_TOKENS);
    const struct sl_generate_params params = {.tokens_max = ANSWER_TOKENS, .ignore_end = true,
                                              .temperature = 0.8f, .top_p = 0.9f, .top_k = 40,
                                              .top_logprobs = 5, .seed = seed};
    struct sl_generation *generation;
    struct sl_error error = {0};
    if (sl_engine_generate(engine, prompt, &params, &generation, &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    drain(generation);
    sl_prompt_free(prompt);
}

/* Resident memory without what the KV cache holds. */
static double report(struct sl_engine *engine, const char *when)
{
    const double resident = status_mb("VmRSS"), kv = kv_mb(engine);
    printf("  %-22s %8.1f MB resident, %6.1f MB of it KV cache\n", when, resident, kv);
    return resident - kv;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_memory MODEL.gguf [REQUESTS [THREADS]]\n");
        return 2;
    }
    const uint64_t requests = argc > 2 ? strtoull(argv[2], NULL, 10) : 6000;
    const uint32_t threads = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 1;
    struct sl_engine *engine = open_engine(argv[1], threads);
    const double file = (double)sl_engine_info(engine)->file_bytes / (1 << 20);
    double warm = 0, kv_most = 0;
    settle();
    printf("%s: %.1f MB\n", argv[1], file);
    report(engine, "opened");
    for (uint64_t i = 1; i <= requests; i++) {
        ask(engine, i);
        kv_most = kv_mb(engine) > kv_most ? kv_mb(engine) : kv_most;
        if (i == WARM_REQUESTS)
            warm = report(engine, "after 100 requests");
    }
    const double growth = report(engine, "after all requests") - warm;
    const double peak = status_mb("VmHWM");
    printf("  peak %.1f MB: the file, the KV cache (%.1f) and %.1f MB; %lu requests added %.2f MB\n",
           peak, kv_most, peak - file - kv_most, (unsigned long)(requests - WARM_REQUESTS), growth);
    sl_engine_close(engine);
    return peak > file + kv_most + PEAK_SLACK_MB || growth > GROWTH_MAX_MB;
}
