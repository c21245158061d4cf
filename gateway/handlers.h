/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls that are no chat, and the table of every path that the gateway answers.
 */
#ifndef SLUICE_GATEWAY_HANDLERS_H
#define SLUICE_GATEWAY_HANDLERS_H

#include "edge.h"

/* The routes, in the order of trial; for sl_http_config. */
extern const struct sl_http_route sl_routes[];
extern const size_t sl_route_count;

void sl_handle_health(struct sl_http_call *call);
void sl_handle_ready(struct sl_http_call *call);
void sl_handle_metrics(struct sl_http_call *call);
void sl_handle_models(struct sl_http_call *call);
void sl_handle_model(struct sl_http_call *call);

#endif
