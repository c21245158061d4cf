/* SPDX-License-Identifier: Apache-2.0
 *
 * A decision as JSON, for `sluice policy explain`, POST /admin/v1/route:explain and the dashboard.
 * Whatever it says is read from the decision and its inputs; it decides nothing.
 *
 * Privacy: numbers and words of closed lists; the route's and providers' names are the operator's.
 */
#include "sluice/decision.h"

#include <math.h>

const char *sl_score_method_word(enum sl_score_method method)
{
    static const char *const words[] = {"none", "mean_probability", "calibrated", "prompt"};
    return words[method];
}

static json_t *score_json(const struct sl_score *score)
{
    if (score->method == SL_SCORE_NONE)
        return json_null();
    return json_pack("{s:f, s:s, s:i}", "score", score->value, "method",
                     sl_score_method_word(score->method), "tokens", (int)score->tokens);
}

static json_t *features_json(uint32_t features)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < SL_FEATURE_COUNT; i++)
        if ((features & 1u << i) != 0)
            json_array_append_new(list, json_string(sl_feature_word((enum sl_feature)(1u << i))));
    return list;
}

static const char *egress_word(enum sl_egress egress)
{
    static const char *const words[] = {"clear", "keep_local", "block", "failed"};
    return words[egress];
}

static json_t *inputs_json(const struct sl_measurements *m)
{
    return json_pack("{s:s, s:i, s:i, s:o, s:s, s:s, s:{s:b, s:b, s:i, s:o},"
                     " s:{s:b, s:b, s:b, s:b}, s:o, s:o}",
                     "mode", sl_mode_word(m->mode), "prompt_tokens", (int)m->prompt_tokens,
                     "output_tokens", (int)m->output_tokens, "features",
                     features_json(m->features), "session_side", sl_side_word(m->session_side),
                     "egress", egress_word(m->egress), "local", "ready", m->local_is_ready, "room",
                     m->local_has_room, "window", (int)m->local_window, "features",
                     features_json(m->local_features), "cloud", "possible", m->cloud_is_possible,
                     "available", m->cloud_is_available, "budget_spent", m->cloud_budget_is_spent,
                     "failed", m->cloud_failed, "prompt_score", score_json(&m->prompt_score),
                     "device", sl_device_state_json(&m->device));
}

enum sl_err sl_decision_explain(const struct sl_decision *decision, const struct sl_measurements *m,
                                const struct sl_route *route, json_t **out)
{
    const struct sl_decision *d = decision;
    *out = json_pack("{s:s, s:s, s:s, s:b, s:b, s:s, s:o, s:o, s:s, s:o, s:o}", "side",
                     sl_side_word(d->side), "reason", sl_reason_word(d->reason), "meaning",
                     sl_reason_meaning(d->reason), "final", d->is_final, "may_escalate",
                     d->may_escalate, "mode", sl_mode_word(d->mode), "confidence",
                     score_json(&d->score), "threshold",
                     d->threshold > 1 ? json_null() : json_real(d->threshold), "would_change",
                     d->change, "route", sl_route_json(route), "measured", inputs_json(m));
    if (*out == NULL)
        return SL_ERR_MEMORY;
    if (d->side == SL_SIDE_NONE)
        json_object_set_new(*out, "error", json_string(sl_err_code(d->error)));
    if (d->missing != 0)
        json_object_set_new(*out, "missing", features_json(d->missing));
    return SL_OK;
}
