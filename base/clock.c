/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads of the system clocks. Any thread.
 */
#include "sluice/clock.h"

static uint64_t read_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t sl_monotonic_ns(void) { return read_ns(CLOCK_MONOTONIC); }
uint64_t sl_monotonic_ms(void) { return sl_monotonic_ns() / 1000000u; }
int64_t sl_wall_ms(void) { return (int64_t)(read_ns(CLOCK_REALTIME) / 1000000u); }
int64_t sl_wall_seconds(void) { return (int64_t)(read_ns(CLOCK_REALTIME) / 1000000000u); }

struct timespec sl_deadline_timespec(uint64_t deadline_ms)
{
    /* A hundred years is "never" for pthread_cond_timedwait and does not overflow time_t. */
    const uint64_t far_ms = 100ull * 365 * 24 * 3600 * 1000;
    uint64_t ms = deadline_ms < far_ms ? deadline_ms : far_ms;
    return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

uint64_t sl_deadline_left_ms(uint64_t deadline_ms, uint64_t now_ms)
{
    return deadline_ms > now_ms ? deadline_ms - now_ms : 0;
}
