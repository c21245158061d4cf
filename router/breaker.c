/* SPDX-License-Identifier: Apache-2.0
 *
 * The breaker of breaker.h. A share and a count together: the count alone opens under load at a
 * harmless error rate, the share alone opens on the first failure of a quiet hour.
 *
 * Invariants: 1. is_probing only in HALF_OPEN. 2. outcomes are forgotten on every change of state,
 * so that a recovered provider starts clean. 3. What comes back late from before the opening
 * changes nothing.
 */
#include "breaker.h"

static const char *const state_words[] = {[SL_BREAKER_CLOSED] = "closed",
                                          [SL_BREAKER_HALF_OPEN] = "half_open",
                                          [SL_BREAKER_OPEN] = "open"};

const char *sl_breaker_state_word(enum sl_breaker_state state)
{
    return state_words[state];
}

static void change_state(struct sl_breaker *breaker, enum sl_breaker_state state)
{
    breaker->state = state;
    breaker->is_probing = false;
    breaker->outcome_count = 0;
}

static void open_at(struct sl_breaker *breaker, uint32_t open_for_ms, uint64_t now_ms)
{
    change_state(breaker, SL_BREAKER_OPEN);
    breaker->opened_at_ms = now_ms;
    breaker->open_for_ms = open_for_ms;
}

uint64_t sl_breaker_probe_at_ms(const struct sl_breaker *breaker)
{
    return breaker->state == SL_BREAKER_OPEN ? breaker->opened_at_ms + breaker->open_for_ms : 0;
}

bool sl_breaker_would_refuse(const struct sl_breaker *breaker, uint64_t now_ms)
{
    return (breaker->state == SL_BREAKER_OPEN && now_ms < sl_breaker_probe_at_ms(breaker)) ||
           (breaker->state == SL_BREAKER_HALF_OPEN && breaker->is_probing);
}

enum sl_breaker_verdict sl_breaker_ask(struct sl_breaker *breaker,
                                       const struct sl_breaker_settings *settings, uint64_t now_ms)
{
    (void)settings;
    if (breaker->state == SL_BREAKER_CLOSED)
        return SL_BREAKER_ALLOW;
    if (sl_breaker_would_refuse(breaker, now_ms))
        return SL_BREAKER_REFUSE;
    change_state(breaker, SL_BREAKER_HALF_OPEN);
    breaker->is_probing = true;
    return SL_BREAKER_PROBE;
}

void sl_breaker_abandon_probe(struct sl_breaker *breaker)
{
    breaker->is_probing = false;
}

static void remember(struct sl_breaker *breaker, bool failed, uint64_t now_ms)
{
    size_t idx = (breaker->outcome_head + breaker->outcome_count) % SL_BREAKER_OUTCOMES_MAX;
    if (breaker->outcome_count == SL_BREAKER_OUTCOMES_MAX)
        breaker->outcome_head = (breaker->outcome_head + 1) % SL_BREAKER_OUTCOMES_MAX;
    else
        breaker->outcome_count++;
    breaker->outcomes[idx].at_ms = now_ms;
    breaker->outcomes[idx].failed = failed;
}

static bool is_past_limit(const struct sl_breaker *breaker,
                          const struct sl_breaker_settings *settings, uint64_t now_ms)
{
    uint32_t seen = 0;
    uint32_t failures = 0;
    for (size_t i = 0; i < breaker->outcome_count; i++) {
        size_t idx = (breaker->outcome_head + i) % SL_BREAKER_OUTCOMES_MAX;
        if (breaker->outcomes[idx].at_ms + settings->window_ms < now_ms)
            continue;
        seen++;
        failures += breaker->outcomes[idx].failed;
    }
    return failures >= settings->failures && failures > 0 &&
           failures >= settings->failure_ratio * seen;
}

static uint32_t doubled(uint32_t open_ms, uint32_t open_max_ms)
{
    return open_ms > open_max_ms / 2 ? open_max_ms : open_ms * 2;
}

void sl_breaker_note(struct sl_breaker *breaker, const struct sl_breaker_settings *settings,
                     bool failed, bool was_probe, uint64_t now_ms)
{
    if (was_probe && breaker->state == SL_BREAKER_HALF_OPEN) {
        if (failed)
            open_at(breaker, doubled(breaker->open_for_ms, settings->open_max_ms), now_ms);
        else
            change_state(breaker, SL_BREAKER_CLOSED);
        return;
    }
    if (breaker->state != SL_BREAKER_CLOSED)
        return;
    remember(breaker, failed, now_ms);
    if (failed && is_past_limit(breaker, settings, now_ms))
        open_at(breaker, settings->open_ms, now_ms);
}
