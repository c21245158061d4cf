/* SPDX-License-Identifier: Apache-2.0
 *
 * Many concurrent streams through one transfer thread. The simulator writes the time into every
 * token, so what is measured is what the cloud leg adds: from the provider's write to the delta in
 * the caller's hands, TLS and the kernel included. Rounds: the first opens the connections, the
 * others find them open.
 *
 *     bench_cloud [streams=200] [tokens=100] [ms between tokens=50] [rounds=3]
 */
#include "mock_cloud_support.h"
#include "scrubbed_make.h"

#include "sluice/clock.h"
#include "sluice/cloud.h"
#include "sluice/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define DIGITS 20
#define STACK_BYTES (256 * 1024)

struct stream {
    pthread_t thread;
    uint64_t *delays_ns; /* of every token; [0]: the first */
    size_t token_count;
    size_t tokens_max;
    enum sl_err err;
};

static struct sl_cloud *cloud;
static struct sl_cloud_target target;
static pthread_barrier_t barrier;

/* A delta may carry several tokens; each has the time of its own. */
static enum sl_err note_token(void *ctx, const struct sl_delta *delta)
{
    struct stream *stream = ctx;
    uint64_t now_ns = sl_monotonic_ns();
    if (delta->kind != SL_DELTA_TEXT)
        return SL_OK;
    for (size_t at = 0; at + DIGITS <= delta->text.len; at++) {
        if (delta->text.data[at] == ' ')
            continue;
        uint64_t sent_ns = strtoull(delta->text.data + at, NULL, 10);
        if (stream->token_count < stream->tokens_max)
            stream->delays_ns[stream->token_count++] = now_ns - sent_ns;
        at += DIGITS - 1;
    }
    return SL_OK;
}

static void *run_stream(void *ctx)
{
    struct stream *stream = ctx;
    struct sl_cloud_result result;
    struct sl_error error = {0};
    json_t *body =
        json_pack("{s:[{s:s,s:s}]}", "messages", "role", "user", "content", "what time is it?");
    struct sl_scrubbed *scrubbed = sl_scrubbed_create(body);
    struct sl_cloud_call call = {.body = scrubbed,
                                 .targets = &target,
                                 .target_count = 1,
                                 .is_streaming = true,
                                 .sink = note_token,
                                 .sink_ctx = stream,
                                 .deadline_ms = sl_monotonic_ms() + 120000};
    pthread_barrier_wait(&barrier);
    stream->err = sl_cloud_call(cloud, &call, &result, &error);
    sl_cloud_result_clear(&result);
    sl_scrubbed_release(scrubbed);
    return NULL;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void print_quantiles(const char *what, uint64_t *values, size_t count)
{
    if (count == 0)
        return;
    qsort(values, count, sizeof *values, compare_u64);
    printf("  %-24s p50 %6.2f ms  p90 %6.2f ms  p99 %6.2f ms  max %6.2f ms  (%zu)\n", what,
           (double)values[count / 2] / 1e6, (double)values[count * 9 / 10] / 1e6,
           (double)values[count * 99 / 100] / 1e6, (double)values[count - 1] / 1e6, count);
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*s %ld", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void run_round(struct stream *streams, size_t count, size_t round, uint64_t *scratch)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    double cpu_before = cpu_seconds();
    uint64_t start_ms = sl_monotonic_ms();
    for (size_t i = 0; i < count; i++) {
        streams[i].token_count = 0;
        if (pthread_create(&streams[i].thread, &attr, run_stream, &streams[i]) != 0)
            abort();
    }
    pthread_attr_destroy(&attr);
    size_t failed = 0, firsts = 0, tokens = 0;
    for (size_t i = 0; i < count; i++) {
        pthread_join(streams[i].thread, NULL);
        failed += streams[i].err != SL_OK || streams[i].token_count != streams[i].tokens_max;
        if (streams[i].token_count > 0)
            scratch[firsts++] = streams[i].delays_ns[0];
    }
    printf("round %zu: %zu streams, %zu failed, %.1f s, cpu %.2f s, resident %ld KiB\n", round,
           count, failed, (double)(sl_monotonic_ms() - start_ms) / 1000, cpu_seconds() - cpu_before,
           resident_kib());
    print_quantiles("first token, added", scratch, firsts);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < streams[i].token_count; j++)
            scratch[tokens++] = streams[i].delays_ns[j];
    print_quantiles("every token, added", scratch, tokens);
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 200;
    size_t tokens = argc > 2 ? strtoul(argv[2], NULL, 10) : 100;
    unsigned token_ms = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 50;
    size_t rounds = argc > 4 ? strtoul(argv[4], NULL, 10) : 3;
    struct sl_error error = {0};
    struct mock_cloud mock;
    char model[96];
    sl_log_configure(STDERR_FILENO, SL_LOG_LEVEL_WARN, false);
    mock_cloud_start(&mock, NULL);
    if (sl_cloud_create(&(struct sl_cloud_options){.connections_max = (uint32_t)count + 8}, &cloud,
                        &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.message);
        return EXIT_FAILURE;
    }
    struct sl_cloud_provider_config provider;
    sl_cloud_provider_defaults(&provider);
    provider.name = "simulator";
    provider.base_url = mock.base_url;
    provider.ca_file = mock.ca_file;
    snprintf(model, sizeof model, "mock-clock-%zu+slow-first-1s+token-%ums", tokens, token_ms);
    target = (struct sl_cloud_target){.provider = &provider, .model = model};

    struct stream *streams = calloc(count, sizeof *streams);
    uint64_t *delays = calloc(count * tokens, sizeof *delays);
    uint64_t *scratch = calloc(count * tokens, sizeof *scratch);
    if (streams == NULL || delays == NULL || scratch == NULL)
        return EXIT_FAILURE;
    for (size_t i = 0; i < count; i++) {
        streams[i].delays_ns = delays + i * tokens;
        streams[i].tokens_max = tokens;
    }
    printf("%zu tokens a stream, one each %u ms; resident %ld KiB before\n", tokens, token_ms,
           resident_kib());
    pthread_barrier_init(&barrier, NULL, (unsigned)count);
    for (size_t round = 1; round <= rounds; round++)
        run_round(streams, count, round, scratch);
    pthread_barrier_destroy(&barrier);
    free(streams);
    free(delays);
    free(scratch);
    sl_cloud_free(cloud);
    mock_cloud_stop(&mock);
    return EXIT_SUCCESS;
}
