/* SPDX-License-Identifier: Apache-2.0
 *
 * Every path that the gateway answers. The first that fits is taken, so the busiest come first.
 */
#include "handlers.h"

#include "api.h"

const struct sl_http_route sl_routes[] = {
    {.method = "POST", .path = "/v1/chat/completions", .api = &sl_wire_openai},
    {.method = "POST", .path = "/v1/messages", .api = &sl_wire_anthropic},
    {.method = "POST", .path = "/api/chat", .api = &sl_wire_ollama_chat, .takes_any_type = true},
    {.method = "POST",
     .path = "/api/generate",
     .api = &sl_wire_ollama_generate,
     .takes_any_type = true},
    {.method = "POST",
     .path = "/v1/embeddings",
     .handler = sl_handle_embeddings,
     .is_blocking = true},
    {.method = "GET", .path = "/health", .handler = sl_handle_health},
    {.method = "GET", .path = "/ready", .handler = sl_handle_ready},
    {.method = "GET", .path = "/metrics", .handler = sl_handle_metrics},
    {.method = "GET", .path = "/v1/models", .handler = sl_handle_models},
    {.method = "GET", .path = "/v1/models/", .is_prefix = true, .handler = sl_handle_model},
    {.method = "GET", .path = "/api/version", .handler = sl_handle_ollama_version},
    {.method = "GET", .path = "/api/tags", .handler = sl_handle_ollama_tags},
    {.method = "POST",
     .path = "/api/show",
     .handler = sl_handle_ollama_show,
     .takes_any_type = true},
    {.method = "GET", .path = "/dashboard", .handler = sl_handle_dashboard},
    {.method = "GET",
     .path = "/dashboard/data",
     .handler = sl_handle_dashboard_data,
     .is_blocking = true},
    {.method = "GET",
     .path = "/admin/v1/status",
     .handler = sl_handle_admin_status,
     .is_blocking = true},
    {.method = "GET", .path = "/admin/v1/policy", .handler = sl_handle_admin_policy},
    {.method = "POST",
     .path = "/admin/v1/policy:reload",
     .handler = sl_handle_admin_reload,
     .is_blocking = true},
    {.method = "POST",
     .path = "/admin/v1/route:explain",
     .handler = sl_handle_admin_explain,
     .is_blocking = true},
    {.method = "POST",
     .path = "/admin/v1/cache:purge",
     .handler = sl_handle_admin_purge,
     .is_blocking = true},
    {.method = "GET", .path = "/admin/v1/keys", .handler = sl_handle_admin_keys},
};
const size_t sl_route_count = sizeof sl_routes / sizeof *sl_routes;
