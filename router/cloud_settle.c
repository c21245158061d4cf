/* SPDX-License-Identifier: Apache-2.0
 *
 * What is written down about attempts and answers: for the breaker, the network state, the metrics,
 * the budgets, and for the client in case nothing better follows. On the caller's thread.
 */
#include "cloud_call.h"

#include "sluice/clock.h"
#include "sluice/log.h"

#include <stdio.h>
#include <string.h>

#define BYTES_PER_TOKEN 4 /* for the cost of answers without usage; a rule of thumb for English */

/* A client's own short deadline says nothing about the provider: else it would open the breaker
 * for everybody. */
static bool was_client_impatient(const struct sl_attempt *attempt, uint64_t now_ms)
{
    return attempt->outcome == SL_CLOUD_TIMEOUT_TOTAL &&
           now_ms - attempt->started_at_ms < attempt->plan.target->provider->total_timeout_ms;
}

/* What an answer costs as far as it came. A price must not be zero because a provider is silent. */
static double cost_of(const struct sl_attempt *attempt, const struct sl_answer *answer)
{
    const struct sl_cloud_model_config *model = sl_target_model(attempt->plan.target);
    struct sl_usage usage = attempt->reader.usage;
    if (model == NULL)
        return 0;
    if (!usage.is_known) {
        usage.prompt_tokens = attempt->status.bytes_sent / BYTES_PER_TOKEN;
        for (size_t i = 0; i < answer->choice_count; i++)
            usage.completion_tokens += answer->choices[i].content.len / BYTES_PER_TOKEN;
    }
    return (double)usage.prompt_tokens / 1000 * model->usd_per_1k_prompt_tokens +
           (double)usage.completion_tokens / 1000 * model->usd_per_1k_completion_tokens;
}

static void charge(struct sl_call *call, const struct sl_cloud_target *target, double usd)
{
    sl_cost_charge(call->cloud->cost, call->ask->app, usd, sl_wall_seconds());
    sl_metric_add(call->cloud->cost_usd, usd, (const char *const[]){target->model});
}

/* What failed at the provider is not billed. What this side gave up after the answer had begun (a
 * client that left, a hedge that lost, a speculative start that was not needed) is. */
static bool was_given_up(const struct sl_attempt *attempt)
{
    return (attempt->outcome == SL_CLOUD_CANCELLED || attempt->outcome == SL_CLOUD_LOST_HEDGE) &&
           attempt->status.has_head && attempt->status.http_status == 200;
}

void sl_call_note_attempt(struct sl_call *call, const struct sl_attempt *attempt, uint64_t now_ms)
{
    const struct sl_outcome_rule *rule = sl_outcome_rule(attempt->outcome);
    const struct sl_cloud_provider_config *provider = attempt->plan.target->provider;
    struct sl_provider_note note = {.says_nothing =
                                        rule->says_nothing || was_client_impatient(attempt, now_ms),
                                    .failed = rule->is_provider_fault,
                                    .was_probe = attempt->plan.is_probe,
                                    .is_network_outcome = rule->reach != SL_REACH_UNKNOWN,
                                    .reached = rule->reach == SL_REACH_YES};
    if (attempt->outcome == SL_CLOUD_SERVED && attempt->first_content_at_ms > 0)
        note.first_token_ms = (uint32_t)(attempt->first_content_at_ms - attempt->started_at_ms) + 1;
    if (attempt->outcome == SL_CLOUD_RATE_LIMITED || attempt->outcome == SL_CLOUD_SERVER_ERROR)
        note.cool_ms = attempt->status.has_retry_after ? attempt->status.retry_after_ms : 0;
    sl_provider_states_note(call->cloud->states, provider, attempt->plan.target->model, &note,
                            now_ms);
    if (was_given_up(attempt))
        charge(call, attempt->plan.target,
               cost_of(attempt, attempt->is_forwarding ? &call->result->answer : &attempt->own));
    call->result->bytes_out += attempt->status.bytes_sent;
    sl_metric_add(call->cloud->attempts, 1, (const char *const[]){provider->name, rule->word});
    sl_metric_add(call->cloud->egress, (double)attempt->status.bytes_sent,
                  (const char *const[]){provider->name});
    if (attempt->outcome != SL_CLOUD_SERVED)
        SL_LOG_INFO("cloud", "attempt at provider %s: %s, http %d, %u ms", provider->name,
                    rule->word, attempt->status.http_status,
                    attempt->record != NULL ? attempt->record->ms : 0);
}

void sl_call_settle_served(struct sl_call *call, const struct sl_attempt *attempt)
{
    struct sl_cloud_result *result = call->result;
    const struct sl_cloud_target *target = attempt->plan.target;
    struct sl_usage usage = attempt->reader.usage;
    snprintf(result->provider, sizeof result->provider, "%s", target->provider->name);
    snprintf(result->model, sizeof result->model, "%s",
             result->answer.model[0] != '\0' ? result->answer.model : target->model);
    if (result->answer.model[0] == '\0')
        snprintf(result->answer.model, sizeof result->answer.model, "%s", target->model);
    result->cost_usd = cost_of(attempt, &result->answer);
    charge(call, target, result->cost_usd);
    const char *input[] = {"chat", sl_cloud_kind_word(target->provider->kind), target->model,
                           result->model, "input"};
    const char *output[] = {"chat", sl_cloud_kind_word(target->provider->kind), target->model,
                            result->model, "output"};
    if (usage.is_known) {
        sl_metric_observe(call->cloud->tokens, (double)usage.prompt_tokens, input);
        sl_metric_observe(call->cloud->tokens, (double)usage.completion_tokens, output);
    }
    if (attempt->first_content_at_ms > 0)
        sl_metric_observe(call->cloud->first_token,
                          (double)(attempt->first_content_at_ms - attempt->started_at_ms) / 1000,
                          (const char *const[]){target->provider->name});
}

void sl_call_remember_failure(struct sl_call *call, const struct sl_attempt *attempt)
{
    call->is_all_rate_limited =
        (!call->has_last || call->is_all_rate_limited) && attempt->outcome == SL_CLOUD_RATE_LIMITED;
    call->has_last = true;
    call->last_outcome = attempt->outcome;
    call->last_error = attempt->error;
    memcpy(call->reason, attempt->failure.reason, sizeof call->reason);
    call->retry_after_ms = attempt->status.has_retry_after ? attempt->status.retry_after_ms : 0;
    if (attempt->sink_err != SL_OK)
        call->last_error.code = attempt->sink_err;
}
