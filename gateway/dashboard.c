/* SPDX-License-Identifier: Apache-2.0
 *
 * The dashboard: one page without anything from elsewhere, and the data it asks for. From this
 * machine, or with the admin token. The page is dashboard/index.html, compiled in.
 */
#include "handlers.h"

#include "dashboard_page.h"
#include "status.h"

/* The page holds no data, and a browser cannot send a token with its first request: it is served to
 * anyone who may reach it; the data is not. */
void sl_handle_dashboard(struct sl_http_call *call)
{
    struct sl_edge *edge = call->ctx;
    struct sl_error error = {0};
    if (!edge->has_dashboard) {
        sl_error_set(&error, SL_ERR_NOT_FOUND, NULL);
        sl_http_call_fail(call, &error);
        return;
    }
    call->content_type = "text/html; charset=utf-8";
    sl_http_call_add_header(call, "Content-Security-Policy",
                            "default-src 'none'; style-src 'unsafe-inline'; script-src "
                            "'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'");
    sl_http_call_add_header(call, "X-Content-Type-Options", "nosniff");
    if (sl_buf_append(&call->body, sl_dashboard_page, sizeof sl_dashboard_page) != SL_OK)
        call->status = 503;
}

void sl_handle_dashboard_data(struct sl_http_call *call)
{
    struct sl_edge *edge = call->ctx;
    struct sl_error error = {0};
    struct sl_key_terms terms;
    enum sl_err err = edge->has_dashboard ? SL_OK : sl_error_set(&error, SL_ERR_NOT_FOUND, NULL);
    bool is_open = err == SL_OK && call->is_loopback && !edge->demands_keys &&
                   sl_edge_identify_call(edge, call, &terms, &error) == SL_OK;
    if (err == SL_OK && !is_open)
        err = sl_edge_authorize_admin(edge, call, &error);
    if (err == SL_OK)
        sl_http_call_json(call, sl_status_json(edge));
    else
        sl_http_call_fail(call, &error);
}
