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

/* handlers.c */
void sl_handle_health(struct sl_http_call *call);
void sl_handle_ready(struct sl_http_call *call);
void sl_handle_metrics(struct sl_http_call *call);
void sl_handle_models(struct sl_http_call *call);
void sl_handle_model(struct sl_http_call *call);
/* embeddings.c */
void sl_handle_embeddings(struct sl_http_call *call);
/* ollama_info.c */
void sl_handle_ollama_version(struct sl_http_call *call);
void sl_handle_ollama_tags(struct sl_http_call *call);
void sl_handle_ollama_show(struct sl_http_call *call);
/* admin.c */
void sl_handle_admin_status(struct sl_http_call *call);
void sl_handle_admin_policy(struct sl_http_call *call);
void sl_handle_admin_reload(struct sl_http_call *call);
void sl_handle_admin_explain(struct sl_http_call *call);
void sl_handle_admin_purge(struct sl_http_call *call);
void sl_handle_admin_keys(struct sl_http_call *call);
/* dashboard.c */
void sl_handle_dashboard(struct sl_http_call *call);
void sl_handle_dashboard_data(struct sl_http_call *call);

#endif
