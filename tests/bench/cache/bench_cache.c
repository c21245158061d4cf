/* SPDX-License-Identifier: Apache-2.0
 *
 * The cache inside the process: key building, exact hits from memory and from the store, misses,
 * puts, similar look-ups by words and by an embedding of 384 elements; each with ENTRIES entries
 * (default 100,000) of a 600-byte answer, all in one scope. Times are of the wall; for similar
 * look-ups, long enough to be interrupted on a busy machine, also of the processor. For scale, GET
 * and SET of the same bytes at a redis-server over its socket, where one is installed.
 *
 *     [TMPDIR=/dev/shm] bench_cache [ENTRIES]
 *
 * On a slow disk the writer decides how long the filling takes: it writes some 50 KB an entry,
 * since signatures fall on pages all over the index. No request waits for it.
 */
#include "sluice/cache.h"
#include "sluice/clock.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOW 1000000
#define SAMPLES 20000
#define BODY_BYTES 600

static char folder[64]; /* in TMPDIR, /tmp by default */
static uint64_t samples[SAMPLES];
static char body[BODY_BYTES];

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void report(const char *what, size_t count)
{
    qsort(samples, count, sizeof samples[0], by_value);
    printf("%-44s p50 %8.2f us   p99 %8.2f us\n", what, (double)samples[count / 2] / 1000,
           (double)samples[count * 99 / 100] / 1000);
    fflush(stdout);
}

#define VECTOR_LEN 384 /* all-MiniLM, bge-small */

/* Unrelated texts at a cosine around 0.5, as embedding models have them. */
static void embed(uint64_t number, float out[VECTOR_LEN])
{
    uint64_t state = number * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = 0; i < VECTOR_LEN; i++) {
        float sum = (i * 37 % 11 > 5 ? 0.7f : -0.7f);
        for (int k = 0; k < 6; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            sum += (float)(state >> 40) / (float)(1u << 24) - 0.5f;
        }
        out[i] = sum;
    }
}

static uint64_t processor_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t processor_samples[SAMPLES];

static void report_processor(size_t count)
{
    memcpy(samples, processor_samples, count * sizeof samples[0]);
    report("    of which on the processor", count);
}

static struct sl_cache *open_cache(uint64_t memory_bytes_max, unsigned entries)
{
    static char path[128];
    static char key_path[128];
    struct sl_cache_config config;
    struct sl_cache *cache;
    struct sl_error error = {0};
    snprintf(path, sizeof path, "%s/cache.db", folder);
    snprintf(key_path, sizeof key_path, "%s/cache.key", folder);
    sl_cache_config_init(&config);
    config.path = path;
    config.key_path = key_path;
    config.memory_bytes_max = memory_bytes_max;
    config.queue_max = entries + 1000;
    config.bytes_max = 1ull << 32;
    config.entries_max = 10u * entries;
    if (sl_cache_open(&config, &cache, &error) != SL_OK || sl_cache_state(cache) != SL_CACHE_ON) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    return cache;
}

static struct sl_cache_key key_of(struct sl_cache *cache, uint64_t number)
{
    struct sl_cache_key_builder builder;
    struct sl_cache_key key;
    sl_cache_key_start(&builder, cache);
    sl_cache_key_add_u64(&builder, 1, number);
    sl_cache_key_finish(&builder, SL_CACHE_CLOUD, &key);
    return key;
}

static const char *const verbs[] = {"show",    "tell",    "find",      "book",
                                    "explain", "compare", "translate", "summarise"};
static const char *const things[] = {"weather",  "restaurant", "recipe",  "train",  "contract",
                                     "painting", "mountain",   "invoice", "garden", "engine"};

static void text_of(uint64_t number, char *out, size_t size, bool is_typo)
{
    snprintf(out, size, "%s me the best %s near place%llu for a family of people%s",
             verbs[number % 8], things[number / 8 % 10], (unsigned long long)number,
             is_typo ? " tomorow" : " tomorrow");
}

static struct sl_cache_similar_text similar_of(struct sl_cache *cache, const char *text)
{
    return (struct sl_cache_similar_text){.scope = key_of(cache, UINT64_MAX),
                                          .text = sl_slice_of(text)};
}

static void fill(struct sl_cache *cache, unsigned entries)
{
    struct sl_cache_meta meta = {.kind = SL_CACHE_CLOUD, .app = SL_SLICE("app")};
    size_t count = 0;
    uint64_t start_ns = sl_monotonic_ns();
    for (uint64_t i = 0; i < entries; i++) {
        char text[128];
        text_of(i, text, sizeof text, false);
        float vector[VECTOR_LEN];
        struct sl_cache_similar_text similar = similar_of(cache, text);
        struct sl_cache_key key = key_of(cache, i);
        embed(i, vector);
        similar.vector = vector;
        similar.vector_len = VECTOR_LEN;
        uint64_t before_ns = sl_monotonic_ns();
        if (!sl_cache_put(cache, &key, &meta, (struct sl_slice){body, sizeof body}, NOW, 100000,
                          &similar))
            exit(2);
        if (count < SAMPLES)
            samples[count++] = sl_monotonic_ns() - before_ns;
        if (i % 10000 == 9999 && sl_cache_flush(cache, NULL) != SL_OK)
            exit(3); /* the queue is bounded: give the writer time */
    }
    report("put (returns before the disk)", count);
    if (sl_cache_flush(cache, NULL) != SL_OK)
        exit(3);
    printf("%-44s %8.0f entries/s, similar index included\n", "writer, group commits with fsync",
           entries * 1e9 / (double)(sl_monotonic_ns() - start_ns));
}

static void bench_keys(struct sl_cache *cache)
{
    json_t *messages = json_loads("[{\"role\":\"system\",\"content\":\"You are a helpful assistant "
                                  "for the shop. Answer briefly and in the language of the user."
                                  "\"},{\"role\":\"user\",\"content\":\"What is the return policy "
                                  "for shoes that were bought on sale last month, and do I need "
                                  "the receipt to send them back from another country?\"}]",
                                  0, NULL);
    for (size_t i = 0; i < SAMPLES; i++) {
        struct sl_cache_key_builder builder;
        struct sl_cache_key keys[2];
        uint64_t before_ns = sl_monotonic_ns();
        sl_cache_key_start(&builder, cache);
        sl_cache_key_add(&builder, 1, SL_SLICE("tenant"));
        sl_cache_key_add(&builder, 2, SL_SLICE("gpt-4o-mini"));
        sl_cache_key_add_double(&builder, 3, 0.7);
        sl_cache_key_add_u64(&builder, 4, 512);
        if (sl_cache_key_add_json(&builder, 5, messages) != SL_OK)
            exit(4);
        sl_cache_key_finish(&builder, SL_CACHE_LOCAL, &keys[0]);
        sl_cache_key_finish(&builder, SL_CACHE_CLOUD, &keys[1]);
        samples[i] = sl_monotonic_ns() - before_ns;
    }
    report("both keys of a 300-byte chat", SAMPLES);
    json_decref(messages);
}

static void bench_get(struct sl_cache *cache, uint64_t first, uint64_t range, const char *what)
{
    struct sl_cache_want want = {.now_s = NOW, .max_age_s = SL_CACHE_ANY_AGE};
    uint64_t number = 12345;
    for (size_t i = 0; i < SAMPLES; i++) {
        struct sl_cache_entry entry;
        number = (number * 6364136223846793005ull + 1442695040888963407ull);
        struct sl_cache_key key = key_of(cache, first + (number >> 33) % range);
        uint64_t before_ns = sl_monotonic_ns();
        sl_cache_get(cache, &key, &want, &entry);
        sl_cache_entry_clear(&entry);
        samples[i] = sl_monotonic_ns() - before_ns;
    }
    report(what, SAMPLES);
}

static void bench_similar(struct sl_cache *cache, unsigned entries, int mode, const char *what)
{
    struct sl_cache_want want = {.now_s = NOW, .max_age_s = SL_CACHE_ANY_AGE};
    uint64_t number = 999;
    size_t hits = 0;
    size_t count = SAMPLES / 4;
    for (size_t i = 0; i < count; i++) {
        char text[128];
        struct sl_cache_entry entry;
        number = (number * 6364136223846793005ull + 1442695040888963407ull);
        text_of((number >> 33) % entries + (mode == 2 ? entries : 0), text, sizeof text, mode == 1);
        struct sl_cache_similar_text similar = similar_of(cache, text);
        uint64_t before_ns = sl_monotonic_ns();
        uint64_t before_processor_ns = processor_ns();
        hits += sl_cache_similar(cache, &similar, &want, &entry, NULL) == SL_CACHE_HIT;
        processor_samples[i] = processor_ns() - before_processor_ns;
        samples[i] = sl_monotonic_ns() - before_ns;
        sl_cache_entry_clear(&entry);
    }
    report(what, count);
    report_processor(count);
    if (hits != (mode == 2 ? 0 : count))
        printf("    (%zu of %zu hit)\n", hits, count);
}

/* The words differ in an article, so that only the embedding finds them; or nothing does. */
static void bench_vectors(struct sl_cache *cache, unsigned entries, bool is_hit)
{
    struct sl_cache_want want = {.now_s = NOW, .max_age_s = SL_CACHE_ANY_AGE};
    uint64_t number = 4711;
    size_t hits = 0;
    size_t count = SAMPLES / 20;
    for (size_t i = 0; i < count; i++) {
        char text[128];
        float vector[VECTOR_LEN];
        struct sl_cache_entry entry;
        number = (number * 6364136223846793005ull + 1442695040888963407ull);
        uint64_t row = (number >> 33) % entries;
        snprintf(text, sizeof text, "%s me best %s near place%llu for a family of people tomorrow",
                 verbs[row % 8], things[row / 8 % 10], (unsigned long long)row);
        embed(is_hit ? row : row + entries, vector);
        struct sl_cache_similar_text similar = similar_of(cache, text);
        similar.vector = vector;
        similar.vector_len = VECTOR_LEN;
        uint64_t before_ns = sl_monotonic_ns();
        uint64_t before_processor_ns = processor_ns();
        hits += sl_cache_similar(cache, &similar, &want, &entry, NULL) == SL_CACHE_HIT;
        processor_samples[i] = processor_ns() - before_processor_ns;
        samples[i] = sl_monotonic_ns() - before_ns;
        sl_cache_entry_clear(&entry);
    }
    report(is_hit ? "similar hit, by embedding" : "similar miss, by embedding", count);
    report_processor(count);
    if (hits != (is_hit ? count : 0))
        printf("    (%zu of %zu hit)\n", hits, count);
}

/* ---- redis, for scale ------------------------------------------------------------------------ */

static int connect_redis(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    for (int i = 0; i < 300; i++) {
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
            return fd;
        usleep(10000);
    }
    close(fd);
    return -1;
}

static bool exchange(int fd, const char *request, size_t len, size_t answer_len)
{
    char answer[4096];
    size_t have = 0;
    if (write(fd, request, len) != (ssize_t)len)
        return false;
    while (have < answer_len) {
        ssize_t got = read(fd, answer + have, sizeof answer - have);
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    return true;
}

static void bench_redis(void)
{
    char path[128];
    char request[2048];
    snprintf(path, sizeof path, "%s/redis.sock", folder);
    pid_t server = fork();
    if (server == 0) {
        if (freopen("/dev/null", "w", stdout) != NULL)
            execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path, "--save",
                   "", "--dir", folder, (char *)NULL);
        _exit(127);
    }
    int fd = connect_redis(path);
    for (int is_get = 0; fd >= 0 && is_get < 2; is_get++) {
        for (size_t i = 0; i < SAMPLES; i++) {
            int len =
                is_get ? snprintf(request, sizeof request, "*2\r\n$3\r\nGET\r\n$8\r\n%08zu\r\n", i)
                       : snprintf(request, sizeof request,
                                  "*3\r\n$3\r\nSET\r\n$8\r\n%08zu\r\n$%d\r\n%.*s\r\n", i,
                                  BODY_BYTES, BODY_BYTES, body);
            uint64_t before_ns = sl_monotonic_ns();
            if (!exchange(fd, request, (size_t)len, is_get ? BODY_BYTES + 8 : 5))
                exit(5);
            samples[i] = sl_monotonic_ns() - before_ns;
        }
        report(is_get ? "redis GET over its socket" : "redis SET over its socket", SAMPLES);
    }
    if (fd < 0)
        printf("redis-server is not installed: nothing to compare with\n");
    else
        close(fd);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

int main(int argc, char **argv)
{
    unsigned entries = argc > 1 ? (unsigned)atoi(argv[1]) : 100000;
    char command[128];
    const char *parent = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    snprintf(folder, sizeof folder, "%s/sluice-bench-XXXXXX", parent);
    if (entries == 0 || mkdtemp(folder) == NULL)
        return 2;
    memset(body, 'x', sizeof body);
    printf("%u entries of %d bytes\n", entries, BODY_BYTES);
    struct sl_cache *cache = open_cache(1ull << 30, entries);
    bench_keys(cache);
    fill(cache, entries);
    bench_get(cache, 0, entries, "exact hit, from memory");
    bench_get(cache, 1ull << 40, entries, "exact miss");
    bench_similar(cache, entries, 0, "similar hit, same words");
    bench_similar(cache, entries, 1, "similar hit, one typo");
    bench_similar(cache, entries, 2, "similar miss");
    bench_vectors(cache, entries, true);
    bench_vectors(cache, entries, false);
    sl_cache_close(cache);
    uint64_t start_ns = sl_monotonic_ns();
    cache = open_cache(0, entries);
    printf("%-44s %8.1f ms\n", "open", (double)(sl_monotonic_ns() - start_ns) / 1e6);
    bench_get(cache, 0, entries, "exact hit, from the store");
    sl_cache_close(cache);
    bench_redis();
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 ? 0 : 1;
}
