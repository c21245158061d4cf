/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: asking the local model.
 */
#ifndef SLUICE_ROUTER_INFER_H
#define SLUICE_ROUTER_INFER_H

#include "sluice/request.h"

/* Applies the chat template and counts tokens, once; sets measured.prompt_tokens, or the TEMPLATE
 * feature where the template cannot express the messages. */
enum sl_err sl_infer_prepare(struct sl_request *req, struct sl_error *error) SL_MUST_CHECK;
/* Generates, on a worker, and fills measured.local. `may_escalate`: a hopeless start ends early.
 * An answer of an earlier run is thrown away. Only SL_ERR_CANCELLED and SL_ERR_MEMORY are errors;
 * what went wrong with the model is an outcome for the decision. */
enum sl_err sl_infer_run(struct sl_request *req, bool may_escalate,
                         struct sl_error *error) SL_MUST_CHECK;

#endif
