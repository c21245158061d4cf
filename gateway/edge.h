/* SPDX-License-Identifier: Apache-2.0
 *
 * What the gateway's stages and handlers share: the parts that gateway.c opened, and the settings
 * that stages read. One per process of `sluice serve`; set up before the listener starts, read-only
 * afterwards but for what locks itself.
 */
#ifndef SLUICE_GATEWAY_EDGE_H
#define SLUICE_GATEWAY_EDGE_H

#include "access_log.h"
#include "http_server.h"
#include "keys.h"
#include "rate_limit.h"
#include "sluice/router.h"
#include "sluice/secret.h"

#include <pthread.h>

struct sl_edge {
    struct sl_engine *engine; /* NULL: no local model */
    struct sl_cache *cache;   /* NULL: off */
    struct sl_cloud *cloud;   /* NULL: off */
    struct sl_policy_store *policies;
    struct sl_router *router;
    struct sl_http_server *server;
    struct sl_keys *keys;
    struct sl_rate_limits *limits;
    struct sl_access_log *access_log; /* NULL: off */
    bool demands_keys; /* a public address, or asked for */
    bool has_metrics;
    bool has_dashboard;
    bool admin_is_remote;
    char admin_token_path[512]; /* "": the admin calls are off */
    pthread_rwlock_t admin_lock; /* guards admin_token */
    struct sl_secret *admin_token;
    char cloud_label[64];
    uint64_t started_ms;
    atomic_bool is_ready;
};

/* What a request's caller may do. In the request's arena, at req->edge. */
struct sl_edge_request {
    char key_id[20]; /* "": no key */
    struct sl_rate_state rate;
    bool has_limits;
};

/* Who asks: fills `terms` where a key was given and found. SL_OK also for loopback without a key
 * where that is allowed (terms->id ""). Errors: SL_ERR_AUTH, SL_ERR_FORBIDDEN (a web page of another
 * origin). `header` looks a request header up. */
typedef struct sl_slice (*sl_edge_header_fn)(const void *ctx, const char *name);
enum sl_err sl_edge_identify(struct sl_edge *edge, bool is_loopback, sl_edge_header_fn header,
                             const void *ctx, struct sl_key_terms *terms,
                             struct sl_error *error) SL_MUST_CHECK;
/* The same for a call that is no chat. */
enum sl_err sl_edge_identify_call(struct sl_edge *edge, const struct sl_http_call *call,
                                  struct sl_key_terms *terms, struct sl_error *error) SL_MUST_CHECK;
/* Whether the call may administer: a token is configured and given, from loopback unless remote is
 * allowed. */
enum sl_err sl_edge_authorize_admin(struct sl_edge *edge, const struct sl_http_call *call,
                                    struct sl_error *error) SL_MUST_CHECK;

static inline struct sl_edge *sl_edge_of(const struct sl_request *req)
{
    return sl_router_get_config(req->router)->edge.ctx;
}

/* The three stages and the two calls of struct sl_edge_stages. */
enum sl_step sl_edge_parse(struct sl_request *req);
enum sl_step sl_edge_authenticate(struct sl_request *req);
enum sl_step sl_edge_respond(struct sl_request *req);
void sl_edge_respond_head(struct sl_request *req);
void sl_edge_at_death(const struct sl_request *req);

#endif
