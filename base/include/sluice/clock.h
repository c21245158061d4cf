/* SPDX-License-Identifier: Apache-2.0
 *
 * Time. Deadlines and durations are monotonic milliseconds or nanoseconds; wall time is only for
 * what people and other machines read (logs, `created`, cache ages across restarts). Code under
 * test takes the time as a parameter; these are what the outermost caller passes.
 */
#ifndef SLUICE_CLOCK_H
#define SLUICE_CLOCK_H

#include <stdint.h>
#include <time.h>

uint64_t sl_monotonic_ns(void);
uint64_t sl_monotonic_ms(void);
int64_t sl_wall_ms(void);      /* milliseconds since 1970-01-01 UTC */
int64_t sl_wall_seconds(void); /* seconds since 1970-01-01 UTC */

#define SL_DEADLINE_NEVER UINT64_MAX

/* A monotonic deadline in milliseconds as the CLOCK_MONOTONIC timespec that waits take. */
struct timespec sl_deadline_timespec(uint64_t deadline_ms);
/* Milliseconds left, 0 when passed. */
uint64_t sl_deadline_left_ms(uint64_t deadline_ms, uint64_t now_ms);

#endif
