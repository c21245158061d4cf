/* SPDX-License-Identifier: Apache-2.0
 *
 * The request: one object that walks through ten named stages, forward only.
 *
 *   parse -> authenticate -> scrub -> look up -> infer -> decide -> escalate -> restore -> store
 *   -> respond
 *
 * It has one section per stage, in stage order. A stage reads the sections before its own and
 * writes its own; what the client sent is never edited. Two fields are shared on purpose: `answer`
 * (points into the section of the stage that got one) and `out` (the stream to the client, behind a
 * gate).
 *
 * Birth: `sl_request_create`. Death: the last `sl_request_release`; the access line and the
 * metrics are written there, so that no path can skip them.
 *
 * Threads: owned by one thread at a time, the listener's or a worker's; only `is_cancelled` and
 * `out` are touched by both. The two owners each hold a reference.
 */
#ifndef SLUICE_REQUEST_H
#define SLUICE_REQUEST_H

#include "sluice/answer.h"
#include "sluice/arena.h"
#include "sluice/cache.h"
#include "sluice/cloud.h"
#include "sluice/decision.h"
#include "sluice/engine.h"
#include "sluice/out_stream.h"
#include "sluice/pii.h"
#include "sluice/policy.h"
#include "sluice/scrubbed.h"

#include <stdatomic.h>

struct sl_router;
struct sl_request;
struct sl_speculation;

/* The stages, in order. Names for metrics, log and debug object: sl_stage_name(). */
enum sl_stage {
    SL_STAGE_PARSE,
    SL_STAGE_AUTHENTICATE,
    SL_STAGE_SCRUB,
    SL_STAGE_LOOKUP,
    SL_STAGE_INFER,
    SL_STAGE_DECIDE,
    SL_STAGE_ESCALATE,
    SL_STAGE_RESTORE,
    SL_STAGE_STORE,
    SL_STAGE_RESPOND,
    SL_STAGE_COUNT
};
const char *sl_stage_name(enum sl_stage stage);

/* What a stage says: go on, jump forward, or fail with req->error set (which jumps to respond). */
enum sl_step {
    SL_STEP_NEXT,
    SL_STEP_TO_ESCALATE, /* no use asking the local model */
    SL_STEP_TO_RESTORE,  /* a cached answer */
    SL_STEP_TO_STORE,    /* a local answer: nothing to restore */
    SL_STEP_TO_RESPOND,
    SL_STEP_FAIL
};

/* A wire API: how one family of clients is answered. Implemented in gateway/, one table a family.
 * Encoders append to *out and may keep state for the stream in req->respond.wire_state. */
struct sl_wire_api {
    const char *name;         /* metric label: "openai", "anthropic", "ollama" */
    const char *content_type; /* of a stream */
    bool takes_held_answers;  /* encode_answer only calls sl_answer_encode */
    /* client's body -> canonical chat; sets the parse section. Runs in stage parse. */
    enum sl_err (*parse)(struct sl_request *req);
    enum sl_err (*encode_answer)(struct sl_request *req, struct sl_buf *out);
    enum sl_err (*encode_error)(struct sl_request *req, const struct sl_error *error,
                                struct sl_buf *out);
    enum sl_err (*stream_delta)(struct sl_request *req, const struct sl_delta *delta,
                                struct sl_buf *out);
    /* Clean end: usage where asked for, the debug object, the closing mark. */
    enum sl_err (*stream_end)(struct sl_request *req, struct sl_buf *out);
    /* A failure after the first byte: an error event and no closing mark. */
    enum sl_err (*stream_error)(struct sl_request *req, const struct sl_error *error,
                                struct sl_buf *out);
    /* What was encoded is thrown away: start again. */
    void (*stream_reset)(struct sl_request *req);
};

struct sl_header {
    struct sl_slice name; /* as sent; compare without case */
    struct sl_slice value;
};

#define SL_RESPONSE_HEADERS_MAX 40

/* ---- sections ---- */

/* What the listener hands over. Slices live in the request's arena or as long as the request. */
struct sl_request_input {
    const char *method;
    const char *path;
    struct sl_slice body;
    const struct sl_header *headers;
    size_t header_count;
    const char *remote_address;
    bool is_loopback; /* the peer is this machine, and no proxy spoke for another */
};

struct sl_cache_control {
    bool no_cache, no_store, only_if_cached;
    int64_t max_age_s; /* -1: not given */
    int64_t ttl_s;     /* x-sluice-cache-ttl; -1: not given */
};

struct sl_parse_section {
    json_t *chat;          /* canonical: OpenAI chat-completions body; owned */
    struct sl_slice model; /* as asked for; "auto" where absent */
    enum sl_mode mode;     /* from x-sluice-mode; UNSET where absent */
    uint32_t features;     /* bits of enum sl_feature that the answer needs */
    bool is_streaming, wants_usage, wants_debug;
    uint32_t tokens_max;   /* 0: not given */
    uint32_t n;
    struct sl_cache_control cache;
    struct sl_slice session_id, idempotency_key, traceparent;
    bool has_temperature;  /* else the route's default applies to the local model */
    struct sl_generate_params sampling; /* filled from the body; stop and bias live in the arena */
};

struct sl_auth_section {
    const char *app;               /* name of the key's app; "" where keys are off */
    const struct sl_policy *policy; /* reference held until death */
    struct sl_route route;         /* the terms in force: `when` blocks applied; borrows from policy */
    struct sl_model_choice choice; /* what the model name means under this policy */
    uint32_t fair_share_id;        /* same for all requests of one app */
};

struct sl_scrub_section {
    struct sl_scrubbed *scrubbed; /* what may leave; NULL until made */
    struct sl_vault *vault;
    struct sl_pii_report report;
    bool is_done;
};

enum sl_cache_status {
    SL_CACHE_STATUS_NONE, /* not a cacheable kind of request: no header */
    SL_CACHE_STATUS_HIT,
    SL_CACHE_STATUS_SIMILAR,
    SL_CACHE_STATUS_MISS,
    SL_CACHE_STATUS_BYPASS,
    SL_CACHE_STATUS_REFRESH,
    SL_CACHE_STATUS_STALE
};

const char *sl_cache_status_word(enum sl_cache_status status); /* header and metric; "" for NONE */

#define SL_MEANING_BYTES 64

struct sl_lookup_section {
    struct sl_cache_key local_key, cloud_key;
    bool has_local_key, has_cloud_key;
    enum sl_cache_status status;
    int64_t age_s;
    bool has_answer;
    bool is_cloud_entry;         /* the hit is in scrubbed form: `restore` has work to do */
    struct sl_answer answer;     /* as stored */
    uint64_t saved_microusd;     /* what the stored answer cost when it was paid for */
    const char *match;           /* how a similar hit matched; NULL else */
    char meaning[SL_MEANING_BYTES]; /* of a text on its way to the cloud: its intent; "" unsure */
    float *vector;               /* of the same text, by an embedding model, in the arena; or NULL */
    struct sl_cache_flight *flight; /* others may wait for this answer, or this for theirs */
    enum sl_cache_role role;
};

struct sl_infer_section {
    struct sl_prompt *prompt; /* the templated prompt; NULL until counted */
    bool was_run;
    struct sl_answer answer; /* of the local model; kept for the case that the cloud fails */
    uint32_t answer_tokens;
    uint64_t first_token_ns;
    uint64_t held_ms; /* how long a stream waited behind the gate */
    struct sl_speculation *speculation; /* the cloud, asked meanwhile; NULL: it is not */
    bool has_tried_speculation;         /* whatever came of it */
    bool was_speculated;                /* something may have left for it */
};

struct sl_decide_section {
    struct sl_measurements measured; /* what every decision of this request looked at */
    struct sl_decision decision;
    bool is_final; /* headers may be sent */
};

struct sl_escalate_section {
    struct sl_cloud_result *result; /* NULL: no cloud was asked; its answer is in scrubbed form */
    bool was_called;
    bool has_answer;
};

struct sl_restore_section {
    struct sl_restore_filter *filter; /* between the cloud's deltas and `answer` + `out` */
    struct sl_answer answer;          /* with the values put back */
    struct sl_restore_stats stats;
};

struct sl_store_section {
    bool is_stored;
};

struct sl_respond_section {
    int status;
    struct sl_header headers[SL_RESPONSE_HEADERS_MAX];
    size_t header_count;
    struct sl_buf body; /* whole answers and errors; streams use `out` */
    bool is_stream;     /* the gate was opened: status and headers are final */
    void *wire_state;
    char response_id[48];
    int64_t created_s;
};

struct sl_request {
    /* life */
    struct sl_router *router;
    struct sl_arena *arena;
    atomic_uint references;
    atomic_bool is_cancelled; /* the client went away */
    bool is_explained;        /* only asked what would happen: nothing is sent, stored or waited for */
    struct sl_request *next, *previous; /* in the router's list of live requests */
    uint64_t started_ns;
    uint64_t queued_ns; /* when it was handed to the workers; 0: never */
    uint64_t deadline_ms;
    uint64_t stage_start_ns[SL_STAGE_COUNT]; /* 0: not entered */
    uint64_t stage_end_ns[SL_STAGE_COUNT];
    enum sl_stage stage; /* the one that runs, or ran last */
    char id[129];        /* x-request-id */
    const struct sl_wire_api *api;
    /* Called once when a request that moved to a worker has a response to send: the whole one, or
     * the head of a stream; later again whenever `out` has bytes. Any thread. */
    sl_wake_fn wake;
    void *wake_ctx;
    void *edge; /* the gateway's own, in the arena; NULL unless its stages set it */

    struct sl_request_input input;
    struct sl_parse_section parse;
    struct sl_auth_section auth;
    struct sl_scrub_section scrub;
    struct sl_lookup_section lookup;
    struct sl_infer_section infer;
    struct sl_decide_section decide;
    struct sl_escalate_section escalate;
    struct sl_restore_section restore;
    struct sl_store_section store;
    struct sl_respond_section respond;

    /* shared on purpose */
    struct sl_answer *answer; /* what the client gets; NULL until look up, infer or restore set it */
    struct sl_out *out;       /* NULL unless the client asked for a stream */
    struct sl_error error;   /* set where a stage failed */
};

/* Makes a request of `input` (whose strings must live in the request: give it its arena first).
 * One reference, the caller's. NULL when out of memory. */
struct sl_request *sl_request_create(struct sl_router *router, const struct sl_wire_api *api,
                                     sl_wake_fn wake, void *wake_ctx);
void sl_request_acquire(struct sl_request *req);
void sl_request_release(struct sl_request *req);

/* The value of a header of the client's, without case; data NULL where absent. */
struct sl_slice sl_request_header(const struct sl_request *req, const char *name);
/* Adds a response header; name and value are copied into the arena. Full or out of memory: dropped
 * and logged, since an answer without a header beats none. */
void sl_request_add_header(struct sl_request *req, const char *name, const char *format, ...)
    SL_PRINTF(3, 4);
/* The same for a text that needs no format: what a cache hit is told with. */
void sl_request_add_header_text(struct sl_request *req, const char *name, const char *text);
/* Marks the client as gone: cancels local and cloud work. Any thread. */
void sl_request_cancel(struct sl_request *req);
/* Sets req->error and returns SL_STEP_FAIL. */
enum sl_step sl_request_fail(struct sl_request *req, enum sl_err code, const char *format, ...)
    SL_PRINTF(3, 4);

/* ---- the stream ---- */

/* Makes `out`, for a client that asked for a stream; called by stage parse. */
enum sl_err sl_request_make_stream(struct sl_request *req) SL_MUST_CHECK;
/* Encodes a delta in the client's wire form into `out`, behind or before the gate. An sl_delta_fn. */
enum sl_err sl_request_stream_delta(void *req, const struct sl_delta *delta);
/* Makes the decision final: sends the head (edge.respond_head) and opens the gate. Once. */
void sl_request_open_stream(struct sl_request *req);
/* Throws away what is held behind the gate. */
void sl_request_discard_stream(struct sl_request *req);
/* For stage respond: brings the stream to its end. Opens it and replays `answer` where nothing was
 * sent yet; a failure after the head is an error event without a closing mark. */
void sl_request_finish_stream(struct sl_request *req);

/* ---- describing ---- */

/* Adds the x-sluice-* headers of CONVENTIONS section 2 from the sections as they stand. */
void sl_request_describe(struct sl_request *req);
/* The `sluice` debug object; a new reference. */
json_t *sl_request_debug(const struct sl_request *req);
/* Time that was not spent waiting for a model, in milliseconds. */
double sl_request_overhead_ms(const struct sl_request *req);
/* For the access line and headers: "local", "cloud", "cache" or "none". */
const char *sl_request_route_word(const struct sl_request *req);

#endif
