/* SPDX-License-Identifier: Apache-2.0
 *
 * One run of a target: an attempt and, where its first token is late and the policy says so, a
 * hedge, a second attempt elsewhere. The first of them that has content wins, and the other is
 * ended, which closes its stream at its provider. On the caller's thread.
 *
 * Invariant: at most one attempt of a race is ever served or committed.
 */
#include "cloud_call.h"

#include "sluice/clock.h"

static void start_attempt(struct sl_call *call, struct sl_race *race,
                          const struct sl_cloud_target *target, bool is_probe, bool is_hedge)
{
    struct sl_attempt_plan plan = {.cloud = call->cloud,
                                   .call = call->ask,
                                   .target = target,
                                   .inbox = call->inbox,
                                   .result = call->result,
                                   .resume = call->resume,
                                   .avoids_stream = call->avoids_stream,
                                   .is_probe = is_probe,
                                   .is_hedge = is_hedge};
    call->attempts++;
    sl_attempt_start(&race->attempts[race->count++], &plan, sl_monotonic_ms());
}

/* Starts the second attempt on the next target that may be asked, else on the same one. */
static void start_hedge(struct sl_call *call, struct sl_race *race, uint64_t now_ms)
{
    const struct sl_cloud_target *target = call->order[call->position];
    race->hedge_at_ms = UINT64_MAX;
    const struct sl_cloud_target *other = sl_call_other_target(call, now_ms);
    if (other != NULL)
        target = other;
    struct sl_provider_admission admission = sl_provider_states_admit(
        call->cloud->states, target->provider, target->model, false, now_ms);
    if (admission.verdict == SL_BREAKER_REFUSE)
        return;
    if (!sl_provider_states_spend_retry(call->cloud->states, target->provider)) {
        if (admission.verdict == SL_BREAKER_PROBE)
            sl_provider_states_note(
                call->cloud->states, target->provider, target->model,
                &(struct sl_provider_note){.says_nothing = true, .was_probe = true}, now_ms);
        return;
    }
    start_attempt(call, race, target, admission.verdict == SL_BREAKER_PROBE, true);
}

/* The first to have content wins; the other is ended. */
static void judge_race(struct sl_race *race, uint64_t now_ms)
{
    if (race->count < 2)
        return;
    for (size_t i = 0; i < 2; i++) {
        struct sl_attempt *other = &race->attempts[1 - i];
        if (race->attempts[i].first_content_at_ms == 0 || other->is_over ||
            (race->attempts[i].is_over && race->attempts[i].outcome != SL_CLOUD_SERVED))
            continue;
        sl_attempt_end(other, SL_CLOUD_LOST_HEDGE, now_ms);
        race->winner = i;
        return;
    }
    /* One failed without content: the other is the one that counts. */
    if (race->attempts[race->winner].is_over && !race->attempts[1 - race->winner].is_over)
        race->winner = 1 - race->winner;
}

static bool is_race_over(const struct sl_race *race)
{
    for (size_t i = 0; i < race->count; i++)
        if (!race->attempts[i].is_over)
            return false;
    return true;
}

static uint64_t race_wake_at_ms(const struct sl_race *race, uint64_t now_ms)
{
    uint64_t at_ms = now_ms + SL_CALL_WAIT_STEP_MS;
    if (race->hedge_at_ms < at_ms)
        at_ms = race->hedge_at_ms;
    for (size_t i = 0; i < race->count; i++)
        if (!race->attempts[i].is_over && sl_attempt_wake_at_ms(&race->attempts[i]) < at_ms)
            at_ms = sl_attempt_wake_at_ms(&race->attempts[i]);
    return at_ms;
}

static void pump_race(struct sl_call *call, struct sl_race *race, uint64_t now_ms)
{
    /* Two attempts must not both be served: the second is looked at after the first was judged. */
    for (size_t i = 0; i < race->count; i++) {
        sl_attempt_pump(&race->attempts[i], now_ms);
        judge_race(race, now_ms);
    }
    for (size_t i = 0; i < race->count; i++)
        if (sl_attempt_may_commit(&race->attempts[i]))
            sl_attempt_commit(&race->attempts[i]);
    bool has_content = false;
    for (size_t i = 0; i < race->count; i++)
        has_content |= race->attempts[i].first_content_at_ms > 0;
    if (has_content || race->count == 2 || call->attempts >= SL_CALL_ATTEMPTS_MAX)
        race->hedge_at_ms = UINT64_MAX; /* else it would be a wake-up time that never passes */
    else if (now_ms >= race->hedge_at_ms && !race->attempts[0].is_over)
        start_hedge(call, race, now_ms);
}

void sl_race_run(struct sl_call *call, struct sl_race *race, bool is_probe)
{
    const struct sl_cloud_target *target = call->order[call->position];
    start_attempt(call, race, target, is_probe, false);
    uint32_t hedge_after_ms = call->resume == SL_RESUME_NONE
                                  ? sl_provider_states_hedge_after_ms(
                                        call->cloud->states, target->provider, target->model)
                                  : UINT32_MAX;
    race->hedge_at_ms =
        hedge_after_ms == UINT32_MAX ? UINT64_MAX : sl_monotonic_ms() + hedge_after_ms;
    while (!is_race_over(race)) {
        uint64_t now_ms = sl_monotonic_ms();
        if (sl_call_is_ended(call)) {
            for (size_t i = 0; i < race->count; i++)
                sl_attempt_end(&race->attempts[i], SL_CLOUD_CANCELLED, now_ms);
            break;
        }
        pump_race(call, race, now_ms);
        if (!is_race_over(race))
            sl_transfer_inbox_wait(call->inbox, race_wake_at_ms(race, now_ms));
    }
    for (size_t i = 0; i < race->count; i++)
        if (race->attempts[i].outcome == SL_CLOUD_SERVED && race->attempts[i].is_over)
            race->winner = i;
    uint64_t now_ms = sl_monotonic_ms();
    for (size_t i = 0; i < race->count; i++)
        sl_call_note_attempt(call, &race->attempts[i], now_ms);
}
