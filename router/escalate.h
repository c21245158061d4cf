/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: the way of a scrubbed answer to the client, shared by stages 7 and 8.
 */
#ifndef SLUICE_ROUTER_ESCALATE_H
#define SLUICE_ROUTER_ESCALATE_H

#include "sluice/request.h"

/* Makes restore.filter, which adds to restore.answer and feeds the client's stream. */
enum sl_err sl_escalate_make_filter(struct sl_request *req) SL_MUST_CHECK;

#endif
