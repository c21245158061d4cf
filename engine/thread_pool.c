/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel pool of thread_pool.h: each worker watches a counter of its own, first spinning, then
 * asleep in a futex on that counter.
 *
 *   caller: set task -> bump the counters of those who take part (wake the sleeping) -> own share
 *           -> wait until running == 0
 *   worker: watch counter -> share -> running -= 1 -> watch
 *
 * Counters are per worker so that an operation touches only the workers that take part: with the
 * thread count lowered, the others sleep on.
 *
 * Invariants: 1. `task` is written only while running == 0, and read only by workers whose counter
 * was bumped after it was written (release, acquire). 2. A worker announces `is_asleep` before its
 * last look at the counter, the caller bumps before its look at `is_asleep`, both sequentially
 * consistent: one of them sees the other, so no wake-up is lost.
 */
#include "thread_pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* About 20 µs of pauses: longer than the gap between two operations of a step, shorter than what
 * anyone would notice as load. A pool wider than the cores it has must not spin at all. */
#define SPINS_MAX 2000
/* Chunks a worker can expect in sl_pool_for: enough to even out a worker that was held up. */
#define CHUNKS_PER_WORKER 8

struct worker {
    _Alignas(64) atomic_uint generation; /* operations it was called to, modulo 2^32 */
    atomic_bool is_asleep;
    struct sl_pool *pool;
    uint32_t idx; /* 1 and up; 0 is the caller */
    pthread_t thread;
};

struct task {
    sl_pool_fn *fn; /* NULL: the pool is closing */
    void *ctx;
    uint32_t workers;
};

struct sl_pool {
    struct worker workers[SL_POOL_THREADS_MAX];
    uint32_t created; /* workers that exist, the caller included */
    uint32_t threads; /* that take part */
    uint32_t cores;
    struct task task;
    _Alignas(64) atomic_uint running; /* workers that still hold the task */
};

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint32_t usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    const int count = CPU_COUNT(&set);
    return count > 0 ? (uint32_t)count : 1;
}

/* Waits until the worker's counter differs from `seen`; returns the new one. */
static uint32_t await_generation(struct worker *worker, uint32_t seen)
{
    uint32_t generation;
    const int spins = worker->idx < worker->pool->cores ? SPINS_MAX : 0;
    for (int spin = 0; spin < spins; spin++) {
        generation = atomic_load_explicit(&worker->generation, memory_order_acquire);
        if (generation != seen)
            return generation;
        pause_cpu();
    }
    atomic_store(&worker->is_asleep, true);
    while ((generation = atomic_load(&worker->generation)) == seen)
        syscall(SYS_futex, &worker->generation, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_store(&worker->is_asleep, false);
    return generation;
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct sl_pool *pool = worker->pool;
    uint32_t seen = 0;
    for (;;) {
        seen = await_generation(worker, seen);
        if (pool->task.fn == NULL)
            return NULL;
        pool->task.fn(pool->task.ctx, worker->idx, pool->task.workers);
        atomic_fetch_sub_explicit(&pool->running, 1, memory_order_release);
    }
}

static void call_worker(struct worker *worker)
{
    atomic_fetch_add(&worker->generation, 1);
    if (atomic_load(&worker->is_asleep))
        syscall(SYS_futex, &worker->generation, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Waits for the workers. They are in the middle of equal shares, so this is short unless the system
 * gave their core to someone else: then giving up ours helps them. */
static void await_workers(struct sl_pool *pool)
{
    for (uint32_t spin = 0;
         atomic_load_explicit(&pool->running, memory_order_acquire) != 0; spin++) {
        if (spin < SPINS_MAX && pool->threads <= pool->cores)
            pause_cpu();
        else
            sched_yield();
    }
}

void sl_pool_run(struct sl_pool *pool, sl_pool_fn *fn, void *ctx)
{
    if (pool->threads == 1) {
        fn(ctx, 0, 1);
        return;
    }
    pool->task = (struct task){fn, ctx, pool->threads};
    atomic_store_explicit(&pool->running, pool->threads - 1, memory_order_relaxed);
    for (uint32_t i = 1; i < pool->threads; i++)
        call_worker(&pool->workers[i]);
    fn(ctx, 0, pool->threads);
    await_workers(pool);
}

struct range_task {
    sl_pool_range_fn *fn;
    void *ctx;
    uint32_t count;
    uint32_t chunk;
    _Alignas(64) atomic_uint next; /* first index that nobody has taken */
};

static void run_chunks(void *ctx, uint32_t worker, uint32_t workers)
{
    struct range_task *task = ctx;
    (void)workers;
    for (;;) {
        const uint32_t begin =
            atomic_fetch_add_explicit(&task->next, task->chunk, memory_order_relaxed);
        if (begin >= task->count)
            return;
        const uint32_t left = task->count - begin;
        task->fn(task->ctx, begin, begin + (left < task->chunk ? left : task->chunk), worker);
    }
}

void sl_pool_for(struct sl_pool *pool, uint32_t count, uint32_t grain, sl_pool_range_fn *fn,
                 void *ctx)
{
    const uint32_t step = grain > 0 ? grain : 1;
    if (count == 0)
        return;
    if (pool->threads == 1 || count <= step) {
        fn(ctx, 0, count, 0);
        return;
    }
    const uint32_t grains = (count + step - 1) / step;
    const uint32_t wanted = pool->threads * CHUNKS_PER_WORKER;
    struct range_task task = {
        .fn = fn, .ctx = ctx, .count = count,
        .chunk = (grains + wanted - 1) / wanted * step,
    };
    sl_pool_run(pool, run_chunks, &task);
}

static bool start_worker(struct sl_pool *pool)
{
    struct worker *worker = &pool->workers[pool->created];
    worker->pool = pool;
    worker->idx = pool->created;
    if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
        return false;
    pool->created++;
    return true;
}

uint32_t sl_pool_threads(const struct sl_pool *pool)
{
    return pool->threads;
}

uint32_t sl_pool_set_threads(struct sl_pool *pool, uint32_t threads)
{
    uint32_t wanted = threads != 0 ? threads : pool->cores;
    if (wanted > SL_POOL_THREADS_MAX)
        wanted = SL_POOL_THREADS_MAX;
    while (pool->created < wanted && start_worker(pool))
        ;
    pool->threads = wanted < pool->created ? wanted : pool->created;
    return pool->threads;
}

struct sl_pool *sl_pool_create(uint32_t threads)
{
    struct sl_pool *pool = aligned_alloc(64, (sizeof *pool + 63) / 64 * 64);
    if (pool == NULL)
        return NULL;
    *pool = (struct sl_pool){.created = 1, .threads = 1, .cores = usable_cores()};
    sl_pool_set_threads(pool, threads);
    return pool;
}

void sl_pool_free(struct sl_pool *pool)
{
    if (pool == NULL)
        return;
    pool->task = (struct task){0};
    for (uint32_t i = 1; i < pool->created; i++)
        call_worker(&pool->workers[i]);
    for (uint32_t i = 1; i < pool->created; i++)
        pthread_join(pool->workers[i].thread, NULL);
    free(pool);
}
