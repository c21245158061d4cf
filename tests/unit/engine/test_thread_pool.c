/* SPDX-License-Identifier: Apache-2.0 */
#include "test_support.h"
#include "thread_pool.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct meeting {
    atomic_uint arrived;
    atomic_uint workers; /* bit per worker */
    uint32_t expected;
};

/* Nobody leaves before all are there: returns only if every worker takes part. */
static void meet(void *ctx, uint32_t begin, uint32_t end, uint32_t worker)
{
    struct meeting *meeting = ctx;
    atomic_fetch_add(&meeting->arrived, end - begin);
    atomic_fetch_or(&meeting->workers, 1u << worker);
    while (atomic_load(&meeting->arrived) < meeting->expected)
        sched_yield();
}

static void expect_all_workers(struct sl_pool *pool)
{
    struct meeting meeting = {.expected = sl_pool_threads(pool)};
    sl_pool_for(pool, meeting.expected, 1, meet, &meeting);
    ck_assert_uint_eq(atomic_load(&meeting.arrived), meeting.expected);
    ck_assert_uint_eq(atomic_load(&meeting.workers), (1u << meeting.expected) - 1);
}

START_TEST(all_workers_take_part)
{
    for (uint32_t threads = 1; threads <= 5; threads++) {
        struct sl_pool *pool = sl_pool_create(threads);
        ck_assert_uint_eq(sl_pool_threads(pool), threads);
        for (int i = 0; i < 200; i++)
            expect_all_workers(pool);
        sl_pool_free(pool);
    }
}
END_TEST

START_TEST(the_count_changes_between_operations)
{
    static const uint32_t counts[] = {3, 1, 2, 6, 2, 4, 1, 6};
    struct sl_pool *pool = sl_pool_create(1);
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            ck_assert_uint_eq(sl_pool_set_threads(pool, counts[i]), counts[i]);
            expect_all_workers(pool);
        }
    ck_assert_uint_eq(sl_pool_set_threads(pool, 1000), SL_POOL_THREADS_MAX);
    ck_assert_uint_ge(sl_pool_set_threads(pool, 0), 1);
    sl_pool_free(pool);
}
END_TEST

struct marks {
    uint8_t seen[1000];
    uint32_t grain;
    atomic_uint bad;
};

static void mark(void *ctx, uint32_t begin, uint32_t end, uint32_t worker)
{
    struct marks *marks = ctx;
    if (begin >= end || begin % marks->grain != 0 || worker >= 3)
        atomic_fetch_add(&marks->bad, 1);
    for (uint32_t i = begin; i < end; i++)
        marks->seen[i]++;
}

START_TEST(ranges_cover_every_index_once_in_whole_grains)
{
    static const uint32_t counts[] = {0, 1, 2, 7, 16, 63, 64, 65, 999, 1000};
    struct sl_pool *pool = sl_pool_create(3);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (uint32_t grain = 1; grain <= 64; grain *= 4) {
            struct marks marks = {.grain = grain};
            sl_pool_for(pool, counts[i], grain, mark, &marks);
            ck_assert_uint_eq(atomic_load(&marks.bad), 0);
            for (uint32_t j = 0; j < 1000; j++)
                ck_assert_uint_eq(marks.seen[j], j < counts[i]);
        }
    sl_pool_free(pool);
}
END_TEST

static void fill(void *ctx, uint32_t begin, uint32_t end, uint32_t worker)
{
    uint32_t *values = ctx;
    (void)worker;
    for (uint32_t i = begin; i < end; i++)
        values[i]++;
}

START_TEST(what_workers_wrote_is_seen_after_the_operation)
{
    /* Plain memory, no atomics: a missing barrier shows here and under ThreadSanitizer. */
    static uint32_t values[256];
    struct sl_pool *pool = sl_pool_create(4);
    memset(values, 0, sizeof values);
    for (uint32_t round = 1; round <= 2000; round++) {
        sl_pool_for(pool, 256, 1, fill, values);
        for (int i = 0; i < 256; i++)
            ck_assert_uint_eq(values[i], round);
    }
    sl_pool_free(pool);
}
END_TEST

/* One worker is held up in its first chunk until all others are done. */
#define DELAYED_COUNT 96
struct delay {
    atomic_uint done; /* indices */
};

static void hold_up_one(void *ctx, uint32_t begin, uint32_t end, uint32_t worker)
{
    struct delay *delay = ctx;
    (void)worker;
    if (begin == 0)
        while (atomic_load(&delay->done) + end < DELAYED_COUNT)
            sched_yield();
    atomic_fetch_add(&delay->done, end - begin);
}

START_TEST(the_share_of_a_worker_that_is_held_up_is_done_by_others)
{
    struct sl_pool *pool = sl_pool_create(3);
    for (int round = 0; round < 200; round++) {
        struct delay delay = {0};
        sl_pool_for(pool, DELAYED_COUNT, 1, hold_up_one, &delay);
        ck_assert_uint_eq(atomic_load(&delay.done), DELAYED_COUNT);
    }
    sl_pool_free(pool);
}
END_TEST

/* Operations after pauses of about as long as workers spin before they sleep: no wake-up is
 * lost. */
START_TEST(workers_that_just_fall_asleep_are_woken)
{
    struct sl_pool *pool = sl_pool_create(2);
    for (long pause_ns = 0; pause_ns < 100000; pause_ns += 50) {
        const struct timespec pause = {0, pause_ns};
        nanosleep(&pause, NULL);
        expect_all_workers(pool);
    }
    sl_pool_free(pool);
}
END_TEST

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

START_TEST(an_idle_pool_uses_no_cpu)
{
    struct sl_pool *pool = sl_pool_create(4);
    expect_all_workers(pool);
    const double before = cpu_seconds();
    usleep(200000); /* the one thing measured here is that time passes and nothing happens */
    ck_assert_double_lt(cpu_seconds() - before, 0.1); /* spinning would be 0.6 and more */
    expect_all_workers(pool);
    sl_pool_free(pool);
}
END_TEST

START_TEST(freeing_nothing_is_fine)
{
    sl_pool_free(NULL);
    struct sl_pool *pool = sl_pool_create(8);
    sl_pool_free(pool); /* never used */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("thread_pool");
    TCase *tcase = tcase_create("thread_pool");
    tcase_set_timeout(tcase, 60); /* five threads on two busy cores under sanitizers */
    tcase_add_test(tcase, all_workers_take_part);
    tcase_add_test(tcase, the_count_changes_between_operations);
    tcase_add_test(tcase, the_share_of_a_worker_that_is_held_up_is_done_by_others);
    tcase_add_test(tcase, workers_that_just_fall_asleep_are_woken);
    tcase_add_test(tcase, ranges_cover_every_index_once_in_whole_grains);
    tcase_add_test(tcase, what_workers_wrote_is_seen_after_the_operation);
    tcase_add_test(tcase, an_idle_pool_uses_no_cpu);
    tcase_add_test(tcase, freeing_nothing_is_fine);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
