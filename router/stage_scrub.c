/* SPDX-License-Identifier: Apache-2.0
 *
 * Stage 3, scrub: makes the outbound form of the request, with placeholders where personal data
 * stood, and the vault that maps them back. The only file that may make a `struct sl_scrubbed`.
 *
 * A request that no cloud may see is not scrubbed at all. A detector that fails closes the way out;
 * it never opens it: the request may still be answered on the box.
 */
#include "measure.h"
#include "pipeline.h"
#include "router_metrics.h"
#include "scrubbed_make.h"
#include "sluice/log.h"

#include <stdlib.h>

static bool may_leave(const struct sl_request *req)
{
    const struct sl_measurements *m = &req->decide.measured;
    return m->cloud_is_possible && req->auth.route.cloud.is_enabled &&
           m->mode != SL_MODE_LOCAL_ONLY && req->auth.route.mode != SL_MODE_LOCAL_ONLY;
}

/* A shallow copy of `message` whose text has the note at its end. NULL: not a text message. */
static json_t *message_with_note(const json_t *message, const char *note)
{
    const json_t *content = json_object_get(message, "content");
    if (!json_is_string(content))
        return NULL;
    json_t *copy = json_copy((json_t *)(size_t)(const void *)message);
    json_t *text = json_sprintf("%s\n\n%s", json_string_value(content), note);
    if (copy == NULL || text == NULL || json_object_set_new(copy, "content", text) != 0) {
        json_decref(copy);
        return NULL;
    }
    return copy;
}

/* Puts the note into the system message that is there, or before all messages. Takes `body`, gives
 * the changed copy; NULL when out of memory. */
static json_t *body_with_note(json_t *body, const char *note)
{
    json_t *messages = json_object_get(body, "messages");
    json_t *first = json_array_get(messages, 0);
    const char *role = json_string_value(json_object_get(first, "role"));
    bool has_system = role != NULL && (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0);
    json_t *changed = json_copy(body);
    json_t *list = json_copy(messages);
    json_t *merged = has_system ? message_with_note(first, note) : NULL;
    int rc = changed != NULL && list != NULL ? 0 : -1;
    if (rc == 0 && merged != NULL)
        rc = json_array_set_new(list, 0, merged);
    else if (rc == 0)
        rc = json_array_insert_new(list, 0,
                                   json_pack("{s:s, s:s}", "role", "system", "content", note));
    if (rc == 0)
        rc = json_object_set(changed, "messages", list);
    json_decref(list);
    json_decref(body);
    if (rc == 0)
        return changed;
    json_decref(changed);
    return NULL;
}

/* Takes `body`. The sentence about placeholders is in it already; this adds the operator's own. */
static enum sl_err make_scrubbed(struct sl_request *req, json_t *body)
{
    const char *note = req->auth.route.cloud.system_note;
    if (note != NULL && note[0] != '\0')
        body = body_with_note(body, note);
    req->scrub.scrubbed = body != NULL ? sl_scrubbed_create(body) : NULL;
    return req->scrub.scrubbed != NULL ? SL_OK : SL_ERR_MEMORY;
}

static void count_entities(const struct sl_request *req)
{
    const struct sl_pii_detector *detector = req->auth.route.pii_detector;
    const struct sl_pii_report *report = &req->scrub.report;
    if (report->found_count == 0)
        return;
    for (unsigned kind = 0; kind < sl_pii_detector_kind_count(detector); kind++) {
        if (report->counts[kind] == 0)
            continue;
        enum sl_pii_action action = sl_pii_detector_action(detector, kind);
        sl_metric_add(sl_router_metrics.entities, report->counts[kind],
                      (const char *const[]){sl_pii_detector_word(detector, kind),
                                            sl_pii_action_word(action)});
    }
}

static enum sl_egress egress_of(const struct sl_pii_report *report)
{
    switch (report->verdict) {
    case SL_PII_VERDICT_SEND:
        return SL_EGRESS_CLEAR;
    case SL_PII_VERDICT_KEEP_LOCAL:
        return SL_EGRESS_KEEP_LOCAL;
    case SL_PII_VERDICT_BLOCK:
        break;
    }
    return SL_EGRESS_BLOCK;
}

enum sl_step sl_stage_scrub(struct sl_request *req)
{
    struct sl_error error = {0};
    json_t *body = NULL;
    enum sl_err err = sl_measure_request(req, &error);
    if (err != SL_OK) {
        req->error = error;
        return SL_STEP_FAIL;
    }
    if (!may_leave(req))
        return SL_STEP_NEXT;
    req->scrub.vault = sl_vault_create();
    if (req->scrub.vault == NULL)
        return sl_request_fail(req, SL_ERR_MEMORY, NULL);
    err = sl_pii_scrub(req->auth.route.pii_detector, req->parse.chat, req->scrub.vault, &body,
                       &req->scrub.report, &error);
    if (err != SL_OK) {
        SL_LOG_WARN("scrub", "request %s stays on the box: %s", req->id, error.message);
        req->decide.measured.egress = SL_EGRESS_FAILED;
        return SL_STEP_NEXT;
    }
    req->scrub.is_done = true;
    count_entities(req);
    req->decide.measured.egress = egress_of(&req->scrub.report);
    if (req->decide.measured.egress == SL_EGRESS_BLOCK) {
        const char *word =
            sl_pii_detector_word(req->auth.route.pii_detector, req->scrub.report.verdict_kind);
        return sl_request_fail(req, SL_ERR_PII_BLOCKED,
                               "the policy of route %s refuses requests that hold %s",
                               req->auth.route.name, word);
    }
    if (body == NULL)
        return SL_STEP_NEXT;
    err = make_scrubbed(req, body);
    return err == SL_OK ? SL_STEP_NEXT : sl_request_fail(req, err, NULL);
}
