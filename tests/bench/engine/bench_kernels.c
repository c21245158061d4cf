/* SPDX-License-Identifier: Apache-2.0
 *
 * How near the products come to what the machine can do.
 *
 *     bench_kernels [THREADS] [TYPE...]
 *
 * First the machine: bytes a second that THREADS threads read from memory, and int8 operations a
 * second that one core's widest dot product instruction sustains from registers (AVX-512 VNNI only).
 * Then for each type, as stored and (where these kernels have such a form) rearranged as at load:
 * generation (one token through weights larger than the caches) as GB/s and share of the memory
 * figure; what steps of 2, 4, 5 and 8 tokens cost in steps of one, the case of several streams and of
 * guesses; prefill (512 tokens) as operations a second and share of the int8 figure times THREADS.
 * Best of some rounds: the machine may be shared.
 */
#include "kernels.h"

#include "sluice/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define MATRIX_COLS 576u            /* SmolLM2-135M's width: not a multiple of 256 */
#define SUPER_COLS 1024u            /* for types that need a multiple of 256 */
#define WEIGHT_BYTES (192u << 20)   /* well past any cache of this class of machine */
#define PREFILL_TOKENS 512u
#define PREFILL_ROWS 1536u
#define ROUNDS 5
#define HUGE_PAGE ((size_t)2 << 20)

static bool counts_cpu; /* one thread: its CPU time, which other programs disturb less */

static double now(void)
{
    struct timespec time;
    if (!counts_cpu)
        return (double)sl_monotonic_ns() * 1e-9;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* In huge pages where it is large, as the weights of a model are after they were rearranged. */
static void *allocate(size_t bytes)
{
    void *memory = aligned_alloc(HUGE_PAGE, (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (memory == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

/* ---- the machine ---- */

struct reading {
    const uint64_t *data;
    uint64_t sums[SL_POOL_THREADS_MAX];
};

static void read_part(void *ctx, uint32_t begin, uint32_t end, uint32_t worker)
{
    struct reading *reading = ctx;
    typedef uint64_t wide __attribute__((vector_size(64), aligned(8), may_alias));
    wide sum[4] = {{0}};
    const uint64_t *from = reading->data + (size_t)begin * 512, *to = reading->data + (size_t)end * 512;
    for (; from < to; from += 32)
        for (int i = 0; i < 4; i++) {
            __builtin_prefetch(from + 8 * i + 512); /* a page ahead: the best that we found */
            sum[i] += *(const wide *)(from + 8 * i);
        }
    reading->sums[worker] += sum[0][0] + sum[1][1] + sum[2][2] + sum[3][3];
}

static double measure_memory(struct sl_pool *pool, const void *data)
{
    static struct reading reading;
    double best = 0;
    reading.data = data;
    for (int i = 0; i < ROUNDS; i++) {
        const double start = now();
        sl_pool_for(pool, WEIGHT_BYTES / 4096, 1, read_part, &reading);
        const double rate = WEIGHT_BYTES / (now() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vnni"))) static double measure_int8(void)
{
    if (!__builtin_cpu_supports("avx512vnni"))
        return 0;
    const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
    double best = 0;
    for (int round = 0; round < 4 * ROUNDS; round++) {
        /* Named, not an array: sums must be in registers at any level of optimisation. */
        __m512i s0 = a, s1 = a, s2 = a, s3 = a, s4 = a, s5 = a, s6 = a, s7 = a, s8 = a, s9 = a;
        const double start = now();
        for (int i = 0; i < 100000; i++) {
#define STEP(sum)                                                                                  \
    sum = _mm512_dpbusd_epi32(sum, a, b);                                                          \
    __asm__ volatile("" : "+v"(sum))
            STEP(s0); STEP(s1); STEP(s2); STEP(s3); STEP(s4);
            STEP(s5); STEP(s6); STEP(s7); STEP(s8); STEP(s9);
#undef STEP
        }
        const double rate = 1e6 * 128 / (now() - start); /* 64 products, 64 sums */
        best = rate > best ? rate : best;
    }
    return best;
}
#else
static double measure_int8(void)
{
    return 0;
}
#endif

/* ---- products ---- */

struct measured {
    double seconds; /* the best round */
    double bytes;   /* of weights read */
    double operations;
};

/* `matrices` of one shape, one behind the other. */
static struct measured measure(struct sl_pool *pool, struct sl_matrix matrix, uint32_t matrices,
                               uint32_t tokens, int rounds)
{
    struct measured result = {.seconds = 1e9};
    float *x = allocate(sizeof(float) * tokens * matrix.cols);
    float *y = allocate(sizeof(float) * tokens * matrix.rows);
    void *scratch =
        allocate(sl_matmul_scratch_bytes(matrix.cols, tokens, sl_pool_threads(pool)));
    for (size_t i = 0; i < (size_t)tokens * matrix.cols; i++)
        x[i] = (float)((i * 7919) % 127) / 63.0f - 1;
    const size_t bytes = matrix.rows * matrix.row_bytes;
    for (int round = 0; round < rounds; round++) {
        const double start = now();
        for (uint32_t i = 0; i < matrices; i++) {
            struct sl_matrix one = matrix;
            one.data += i * bytes;
            if (one.packed != NULL)
                one.packed += i * bytes;
            sl_matmul(pool, &one, x, tokens, y, scratch);
        }
        const double seconds = now() - start;
        result.seconds = seconds < result.seconds ? seconds : result.seconds;
    }
    result.bytes = (double)matrices * (double)bytes;
    result.operations = 2.0 * matrices * matrix.rows * matrix.cols * tokens;
    free(x);
    free(y);
    free(scratch);
    return result;
}

static void bench_form(struct sl_pool *pool, const char *form, struct sl_matrix matrix,
                       double memory, double int8)
{
    static const uint32_t few[] = {2, 4, 5, 8};
    const uint32_t matrices = (uint32_t)(WEIGHT_BYTES / (matrix.rows * matrix.row_bytes));
    const struct measured one = measure(pool, matrix, matrices, 1, ROUNDS);
    printf("%-7s %-8s %7.1f %5.0f%%", sl_type_name(matrix.type), form,
           one.bytes / one.seconds * 1e-9, 100 * one.bytes / one.seconds / memory);
    for (size_t i = 0; i < sizeof few / sizeof few[0]; i++)
        printf(" %5.2f", measure(pool, matrix, matrices, few[i], 3).seconds / one.seconds);
    const struct measured batch = measure(pool, matrix, 8, PREFILL_TOKENS, ROUNDS);
    printf(" %8.1f", batch.operations / batch.seconds * 1e-9);
    if (int8 > 0)
        printf(" %5.0f%%",
               100 * batch.operations / batch.seconds / (int8 * sl_pool_threads(pool)));
    printf("\n");
}

static void bench_type(struct sl_pool *pool, enum sl_tensor_type type, const uint8_t *weights,
                       uint8_t *rearranged, double memory, double int8)
{
    const struct sl_type_traits *traits = sl_type_traits(type);
    const uint32_t cols = traits->block_size == 256 ? SUPER_COLS : MATRIX_COLS;
    struct sl_matrix matrix = {.type = type, .rows = PREFILL_ROWS, .cols = cols,
                               .row_bytes = sl_type_row_bytes(type, cols), .data = weights};
    const size_t bytes = matrix.rows * matrix.row_bytes;
    bench_form(pool, "stored", matrix, memory, int8);
    if (sl_matrix_packed_bytes(&matrix) == 0)
        return;
    struct sl_matrix packed = matrix;
    for (size_t i = 0; i < WEIGHT_BYTES / bytes; i++) {
        packed = matrix;
        packed.data += i * bytes;
        sl_matrix_pack(&packed, pool, rearranged + i * bytes); /* as many bytes */
    }
    packed.data = matrix.data;
    packed.packed = rearranged;
    bench_form(pool, "packed", packed, memory, int8);
}

static bool wanted(const char *name, char **names)
{
    if (*names == NULL)
        return true;
    for (; *names != NULL; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    char *none[] = {NULL};
    const uint32_t threads = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1;
    struct sl_pool *pool = sl_pool_create(threads);
    uint8_t *weights = allocate(WEIGHT_BYTES), *rearranged = allocate(WEIGHT_BYTES);
    counts_cpu = threads == 1;
    if (pool == NULL)
        return 1;
    for (size_t i = 0; i < WEIGHT_BYTES; i++) /* scales stay small: no infinities, no subnormals */
        weights[i] = (uint8_t)(i * 2654435761u >> 24) & 0x3f;
    const double memory = measure_memory(pool, weights), int8 = measure_int8();
    printf("kernels %s, %u threads; memory %.1f GB/s; int8 %.0f Gop/s a core\n",
           sl_kernels()->name, sl_pool_threads(pool), memory * 1e-9, int8 * 1e-9);
    printf("%-7s %-8s %7s %6s %5s %5s %5s %5s %8s %6s\n", "type", "form", "GB/s", "of mem", "2", "4",
           "5", "8", "Gop/s", "of max");
    for (uint32_t type = 0; type < SL_TYPE_COUNT; type++)
        if (sl_type_traits(type) != NULL &&
            wanted(sl_type_name(type), argc > 2 ? argv + 2 : none))
            bench_type(pool, type, weights, rearranged, memory, int8);
    free(weights);
    free(rearranged);
    sl_pool_free(pool);
    return 0;
}
