/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway's metrics, with the names of CONVENTIONS section 7. Any thread.
 */
#ifndef SLUICE_GATEWAY_METRICS_H
#define SLUICE_GATEWAY_METRICS_H

#include "edge.h"

/* Registers and sets what does not change: build and model. */
void sl_metrics_start(const struct sl_edge *edge);
/* Counts a request at its death. */
void sl_metrics_request(const struct sl_request *req);
/* Reads the process's own numbers and those of the parts, then renders everything. */
enum sl_err sl_metrics_render(struct sl_edge *edge, struct sl_buf *out) SL_MUST_CHECK;

#endif
