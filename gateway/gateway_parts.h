/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to gateway/: the parts of a gateway without its listener, for commands that ask what it
 * would do (`sluice policy explain`).
 */
#ifndef SLUICE_GATEWAY_GATEWAY_PARTS_H
#define SLUICE_GATEWAY_GATEWAY_PARTS_H

#include "edge.h"
#include "options.h"
#include "sluice/gateway.h"

/* As sl_gateway_start, without listening and without an access log. End it with sl_gateway_stop. */
enum sl_err sl_gateway_open_parts(const struct sl_options *options, struct sl_gateway **out,
                                  struct sl_error *error) SL_MUST_CHECK;
struct sl_edge *sl_gateway_edge(struct sl_gateway *gateway);

/* Explains a chat body: the object of sl_router_explain. Blocks. `headers` may be NULL. */
enum sl_err sl_edge_explain(struct sl_edge *edge, const struct sl_request_input *input,
                            json_t **out, struct sl_error *error) SL_MUST_CHECK;

#endif
