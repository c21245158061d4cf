/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's body in each wire API: the first byte chooses the API and the header, the rest is the
 * body. Whatever it is, it is parsed, or refused with an error that can be encoded as JSON.
 */
#include "api.h"
#include "edge.h"

#include <stdlib.h>

static struct sl_edge edge;

static void ignore_wake(void *ctx) { (void)ctx; }

static struct sl_router *the_router(void)
{
    static struct sl_router *router;
    struct sl_error error = {0};
    struct sl_router_config config = {.edge = {.ctx = &edge, .parse = sl_edge_parse},
                                      .workers = 1};
    if (router != NULL)
        return router;
    if (sl_policy_store_open(NULL, &edge.policies, &error) != SL_OK)
        abort();
    config.policies = edge.policies;
    if (sl_router_create(&config, &router, &error) != SL_OK)
        abort();
    return router;
}

static void check_error(struct sl_request *req)
{
    struct sl_buf out;
    sl_buf_init(&out, 1 << 20);
    if (req->error.code == SL_OK || req->api->encode_error(req, &req->error, &out) != SL_OK)
        abort();
    json_t *body = json_loadb(out.data, out.len, 0, NULL);
    if (!json_is_object(body))
        abort();
    json_decref(body);
    sl_buf_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct sl_wire_api *const apis[] = {&sl_wire_openai, &sl_wire_anthropic,
                                                     &sl_wire_ollama_chat,
                                                     &sl_wire_ollama_generate};
    if (size == 0)
        return 0;
    struct sl_request *req =
        sl_request_create(the_router(), apis[data[0] % 4], ignore_wake, NULL);
    if (req == NULL)
        return 0;
    struct sl_header header = {SL_SLICE("cache-control"), SL_SLICE("max-age=5, no-store")};
    req->input.method = "POST";
    req->input.path = "/";
    req->input.body = (struct sl_slice){(const char *)data + 1, size - 1};
    req->input.headers = &header;
    req->input.header_count = data[0] & 0x80 ? 1 : 0;
    if (sl_edge_parse(req) == SL_STEP_FAIL)
        check_error(req);
    sl_request_release(req);
    return 0;
}
