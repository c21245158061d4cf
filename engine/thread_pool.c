/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel pool of thread_pool.h. A generated token is some hundred operations of a few
 * microseconds, so what counts is how often a cache line has to cross from one core to another (50
 * to 200 ns each), and that nobody waits for another's last chunk:
 *
 *   - Each worker has three lines: a bell that it watches, the call behind it, and its answer,
 *     which only the caller watches. Nothing else is written to a line that somebody watches.
 *   - An operation is dealt out in equal shares. A worker takes the front half of what is left of
 *     its own, in a line that is its own until somebody has nothing left to do; who is done takes
 *     the back half of what is left of another's. (Sixteen chunks from one counter for all were up
 *     to a tenth out of balance: a matrix of 576 rows is 18 panels.)
 *
 *   caller: deal shares, bump counters (wake the sleeping) -> own share -> the others' rests
 *           -> wait until all have answered
 *   worker: watch counter, first spinning, then asleep in a futex on it -> own share -> the others'
 *           rests -> answer
 *
 * Counters are per worker so that an operation touches only the workers that take part: with the
 * thread count lowered, the others sleep on.
 *
 * Invariants: 1. A call is written only while its worker has answered the last, and all shares are
 * dealt before the first counter is bumped (release, acquire). 2. Shares only shrink while an
 * operation runs, so one look at each is enough. 3. No wake-up is lost: a worker says that it
 * sleeps before its last look at the counter (sequentially consistent); the caller, who does not
 * pay for a barrier where everybody spins, looks for sleepers at once, after its first chunk, and
 * behind a barrier while it waits.
 */
#include "thread_pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* About 20 µs of pauses: longer than the gap between two operations of a step, shorter than what
 * anyone would notice as load. A pool wider than the cores it has must not spin at all. */
#define SPINS_MAX 2000
/* Chunks in a worker's share: enough to even out a worker that was held up. */
#define CHUNKS_PER_SHARE 16
/* Spins between two looks for sleepers. */
#define SPINS_PER_LOOK 64
#define LINE 64

struct worker {
    /* Its bell. Nothing else is written where it looks: each write would cost two ways. */
    _Alignas(LINE) atomic_uint generation; /* operations it was called to, modulo 2^32 */
    /* Its call, written by the caller. */
    _Alignas(LINE) _Atomic(uint64_t) share; /* indices that nobody has taken: first << 32 | end */
    uint32_t chunk;
    uint32_t workers;
    sl_pool_range_fn *fn; /* NULL: the pool is closing */
    void *ctx;
    /* Its answer. */
    _Alignas(LINE) atomic_uint finished; /* the last generation that it is done with */
    atomic_bool is_asleep;
    struct sl_pool *pool;
    uint32_t idx; /* 1 and up; 0 is the caller */
    pthread_t thread;
};

_Static_assert(offsetof(struct worker, finished) == 2 * LINE, "a call fits a cache line");

struct sl_pool {
    struct worker workers[SL_POOL_THREADS_MAX];
    uint32_t created; /* workers that exist, the caller included */
    uint32_t threads; /* that take part */
    uint32_t cores;
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

/* ---- shares ---- */

static uint64_t share_of(uint32_t first, uint32_t end)
{
    return (uint64_t)first << 32 | end;
}

/* Takes half of what is left, in whole chunks, from the front of one's own share or from the back
 * of another's; false: empty. Half and not a chunk: taking is an atomic operation, before which all
 * loads of the last chunk must have arrived. Chunks are counted from the front, so that all but the
 * last of an operation are whole grains. */
static bool take_half(struct worker *worker, uint32_t chunk, bool is_own, uint32_t *begin,
                      uint32_t *end)
{
    uint64_t share = atomic_load_explicit(&worker->share, memory_order_relaxed), rest;
    do {
        const uint32_t first = (uint32_t)(share >> 32), last = (uint32_t)share;
        if (first >= last)
            return false;
        const uint32_t chunks = (last - first - 1) / chunk + 1;
        *begin = is_own ? first : first + chunks / 2 * chunk;
        *end = is_own && chunks > 1 ? first + (chunks + 1) / 2 * chunk : last;
        rest = is_own ? share_of(*end, last) : share_of(first, *begin);
    } while (!atomic_compare_exchange_weak_explicit(&worker->share, &share, rest,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* What is left of the own share, then of the others'. */
static void work_off(struct sl_pool *pool, const struct worker *self)
{
    uint32_t begin, end;
    for (uint32_t i = 0; i < self->workers; i++) {
        struct worker *owner = &pool->workers[(self->idx + i) % self->workers];
        while (take_half(owner, self->chunk, owner == self, &begin, &end))
            self->fn(self->ctx, begin, end, self->idx);
    }
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    uint32_t seen = 0;
    for (;;) {
        seen = await_generation(worker, seen);
        if (worker->fn == NULL)
            return NULL;
        work_off(worker->pool, worker);
        atomic_store_explicit(&worker->finished, seen, memory_order_release);
    }
}

/* ---- the caller ---- */

static bool has_answered(const struct worker *worker)
{
    return atomic_load_explicit(&worker->finished, memory_order_acquire) ==
           atomic_load_explicit(&worker->generation, memory_order_relaxed);
}

static void wake_if_asleep(struct worker *worker)
{
    if (atomic_load_explicit(&worker->is_asleep, memory_order_relaxed))
        syscall(SYS_futex, &worker->generation, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void call_worker(struct worker *worker)
{
    const uint32_t last = atomic_load_explicit(&worker->generation, memory_order_relaxed);
    atomic_store_explicit(&worker->generation, last + 1, memory_order_release);
    wake_if_asleep(worker);
}

/* Waits for a worker. Nothing is left to take, so it is at the last that it took, which is short
 * unless the system gave its core to someone else: then giving up ours helps it. */
static void await_answer(const struct sl_pool *pool, struct worker *worker)
{
    for (uint32_t spin = 1; !has_answered(worker); spin++) {
        if (spin % SPINS_PER_LOOK == 0) {
            /* A barrier: the worker saw the bell, or we see that it sleeps. */
            atomic_fetch_add(&worker->generation, 0);
            wake_if_asleep(worker);
        }
        if (spin < SPINS_MAX && pool->threads <= pool->cores)
            pause_cpu();
        else
            sched_yield();
    }
}

static void deal_shares(struct sl_pool *pool, uint32_t count, uint32_t grain, sl_pool_range_fn *fn,
                        void *ctx)
{
    const uint64_t grains = (count + (uint64_t)grain - 1) / grain;
    const uint64_t chunks = (uint64_t)pool->threads * CHUNKS_PER_SHARE;
    const uint32_t chunk = (uint32_t)((grains + chunks - 1) / chunks) * grain;
    uint32_t first = 0;
    for (uint32_t i = 0; i < pool->threads; i++) {
        struct worker *worker = &pool->workers[i];
        const uint64_t upto = (i + 1) * grains / pool->threads * grain;
        const uint32_t end = upto < count ? (uint32_t)upto : count;
        worker->fn = fn;
        worker->ctx = ctx;
        worker->chunk = chunk;
        worker->workers = pool->threads;
        atomic_store_explicit(&worker->share, share_of(first, end), memory_order_relaxed);
        first = end;
    }
}

void sl_pool_for(struct sl_pool *pool, uint32_t count, uint32_t grain, sl_pool_range_fn *fn,
                 void *ctx)
{
    struct worker *self = &pool->workers[0];
    const uint32_t step = grain > 0 ? grain : 1;
    uint32_t begin, end;
    if (count == 0)
        return;
    if (pool->threads == 1 || count <= step) {
        fn(ctx, 0, count, 0);
        return;
    }
    deal_shares(pool, count, step, fn, ctx);
    for (uint32_t i = 1; i < pool->threads; i++)
        call_worker(&pool->workers[i]);
    if (take_half(self, self->chunk, true, &begin, &end))
        fn(ctx, begin, end, 0);
    for (uint32_t i = 1; i < pool->threads; i++)
        wake_if_asleep(&pool->workers[i]);
    work_off(pool, self);
    for (uint32_t i = 1; i < pool->threads; i++)
        await_answer(pool, &pool->workers[i]);
}

/* ---- life ---- */

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
    for (uint32_t i = 1; i < pool->created; i++) {
        pool->workers[i].fn = NULL;
        atomic_fetch_add(&pool->workers[i].generation, 1);
        syscall(SYS_futex, &pool->workers[i].generation, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    for (uint32_t i = 1; i < pool->created; i++)
        pthread_join(pool->workers[i].thread, NULL);
    free(pool);
}
