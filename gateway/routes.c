/* SPDX-License-Identifier: Apache-2.0
 *
 * Every path that the gateway answers. The first that fits is taken, so the busiest come first.
 */
#include "handlers.h"

#include "api.h"

const struct sl_http_route sl_routes[] = {
    {.method = "POST", .path = "/v1/chat/completions", .api = &sl_wire_openai},
    {.method = "GET", .path = "/health", .handler = sl_handle_health},
    {.method = "GET", .path = "/ready", .handler = sl_handle_ready},
    {.method = "GET", .path = "/metrics", .handler = sl_handle_metrics},
    {.method = "GET", .path = "/v1/models", .handler = sl_handle_models},
    {.method = "GET", .path = "/v1/models/", .is_prefix = true, .handler = sl_handle_model},
};
const size_t sl_route_count = sizeof sl_routes / sizeof *sl_routes;
