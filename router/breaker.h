/* SPDX-License-Identifier: Apache-2.0
 *
 * A circuit breaker: stops asking who keeps failing, and finds out cheaply when he is back. Time is
 * a parameter; nothing here waits.
 *
 *              failures >= N and share >= R within the window
 *     +--------+ -------------------------------------------> +------+
 *     | CLOSED |                                              | OPEN | <---------+
 *     +--------+ <---------------+                            +------+           |
 *                 probe succeeds |          open_ms passed       |               | probe fails:
 *                                |                               v               | open_ms doubles
 *                                |  one probe at a time   +-----------+          |
 *                                +------------------------| HALF_OPEN |----------+
 *                                                         +-----------+
 *
 *     switch (sl_breaker_ask(&breaker, &settings, now_ms)) { ... }
 *     sl_breaker_note(&breaker, &settings, failed, was_probe, now_ms);
 *
 * Threads: guarded by its owner.
 */
#ifndef SLUICE_BREAKER_H
#define SLUICE_BREAKER_H

#include "sluice/cloud.h"

#define SL_BREAKER_OUTCOMES_MAX 64 /* the newest that are looked at */

struct sl_breaker_settings {
    uint32_t failures;
    double failure_ratio;
    uint32_t window_ms;
    uint32_t open_ms;
    uint32_t open_max_ms;
};

struct sl_breaker {
    enum sl_breaker_state state;
    struct {
        uint64_t at_ms;
        bool failed;
    } outcomes[SL_BREAKER_OUTCOMES_MAX]; /* a ring */
    size_t outcome_head;
    size_t outcome_count;
    uint64_t opened_at_ms;
    uint32_t open_for_ms;
    bool is_probing; /* HALF_OPEN: the one probe is on its way */
};

enum sl_breaker_verdict {
    SL_BREAKER_ALLOW,
    SL_BREAKER_PROBE, /* go, as the one probe: exactly one note or abandon must follow */
    SL_BREAKER_REFUSE
};

/* A zeroed breaker is closed. */
enum sl_breaker_verdict sl_breaker_ask(struct sl_breaker *breaker,
                                       const struct sl_breaker_settings *settings, uint64_t now_ms);
void sl_breaker_note(struct sl_breaker *breaker, const struct sl_breaker_settings *settings,
                     bool failed, bool was_probe, uint64_t now_ms);
/* The probe ended without telling anything (it was cancelled). */
void sl_breaker_abandon_probe(struct sl_breaker *breaker);
/* As ask, without changing anything. */
bool sl_breaker_would_refuse(const struct sl_breaker *breaker, uint64_t now_ms);
/* When the next probe may go; 0 where the breaker is not open. */
uint64_t sl_breaker_probe_at_ms(const struct sl_breaker *breaker);

#endif
