/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: fills in what a decision looks at, from the request and the parts around it.
 */
#ifndef SLUICE_ROUTER_MEASURE_H
#define SLUICE_ROUTER_MEASURE_H

#include "sluice/request.h"

/* Everything that is known before the prompt is read. Errors: SL_ERR_MODEL_NOT_FOUND,
 * SL_ERR_INVALID (model name and mode header contradict each other). */
enum sl_err sl_measure_request(struct sl_request *req, struct sl_error *error) SL_MUST_CHECK;
/* The state of cloud, device and queue can have changed while the request waited: again. */
void sl_measure_again(struct sl_request *req);
/* Text of the last user message: its content, or the first text part of it. Empty where none. */
struct sl_slice sl_last_user_text(const json_t *chat);
/* How many of the route's targets may be called now; the cloud's own check comes on top. */
size_t sl_measure_targets(const struct sl_request *req, struct sl_cloud_target *targets);

#endif
