/* SPDX-License-Identifier: Apache-2.0
 *
 * What would happen to a request, and why. Runs the same stages as the walk, up to the decision, so
 * that the explanation cannot differ from the real path; nothing is sent, stored or waited for.
 */
#include "pipeline.h"

static enum sl_err add_personal_data(const struct sl_request *req, json_t *object)
{
    if (!req->scrub.is_done)
        return SL_OK;
    json_t *found = sl_pii_report_json(req->auth.route.pii_detector, &req->scrub.report);
    return json_object_set_new(object, "pii", json_pack("{s:o}", "found", found)) == 0
               ? SL_OK
               : SL_ERR_MEMORY;
}

static enum sl_err describe(const struct sl_request *req, json_t **out)
{
    enum sl_err err = sl_decision_explain(&req->decide.decision, &req->decide.measured,
                                          &req->auth.route, out);
    if (err != SL_OK)
        return err;
    const char *cache = sl_cache_status_word(req->lookup.status);
    int rc = json_object_set_new(*out, "cache", json_string(cache));
    rc |= json_object_set_new(*out, "policy",
                              json_sprintf("sha256:%s", sl_policy_digest(req->auth.policy)));
    err = add_personal_data(req, *out);
    return rc == 0 ? err : SL_ERR_MEMORY;
}

enum sl_err sl_router_explain(struct sl_router *router, struct sl_request *req, json_t **out,
                              struct sl_error *error)
{
    static enum sl_step (*const stages[])(struct sl_request *) = {
        sl_stage_scrub, sl_stage_lookup, sl_stage_infer, sl_stage_decide};
    req->is_explained = true;
    enum sl_step step = router->config.edge.parse(req);
    sl_out_free(req->out); /* an explanation never streams */
    req->out = NULL;
    if (step == SL_STEP_NEXT)
        step = router->config.edge.authenticate(req);
    for (size_t i = 0; i < sizeof stages / sizeof stages[0] && step == SL_STEP_NEXT; i++)
        step = stages[i](req);
    bool has_verdict = req->decide.decision.side != SL_SIDE_NONE ||
                       req->decide.decision.reason != SL_REASON_NONE;
    if (step == SL_STEP_FAIL && !has_verdict)
        return sl_error_set_param(error, req->error.code, req->error.param, "%s",
                                  req->error.message);
    enum sl_err err = describe(req, out);
    return err == SL_OK ? SL_OK : sl_error_set(error, err, NULL);
}
