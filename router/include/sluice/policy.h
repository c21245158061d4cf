/* SPDX-License-Identifier: Apache-2.0
 *
 * The policy: which requests may be answered where, and on what terms. One JSON file (comments and
 * trailing commas allowed) of providers and routes; the first route whose `match` fits rules the
 * request. A policy is immutable once loaded and shared by reference count; the store swaps the
 * current one when the file changes.
 *
 *     const struct sl_policy *policy = sl_policy_store_acquire(store);
 *     struct sl_route_query query = {.app = app, .model = model, .path = path};
 *     const struct sl_route *route = sl_policy_match(policy, &query);
 *     struct sl_route terms;                        // with the `when` blocks of now applied
 *     sl_route_resolve(route, &device_state, &terms);
 *     ...                                           // `terms` borrows from `policy`
 *     sl_policy_release(policy);
 *
 * The fields are described for operators in policies/README.md and policies/policy.schema.json.
 * Every default is in `policies/default.json` or beside the field below.
 *
 * Threads: loading belongs to one thread; everything else may be called from any.
 */
#ifndef SLUICE_POLICY_H
#define SLUICE_POLICY_H

#include "sluice/cloud.h"
#include "sluice/device.h"
#include "sluice/err.h"
#include "sluice/pii.h"
#include "sluice/slice.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct sl_policy;

/* Which sides may answer and which comes first. `auto`: the box answers and the score decides.
 * `prefer-local`: the box answers unless it cannot or the answer fails a hard check.
 * `prefer-cloud`: the cloud answers; the box only where the cloud is not available. */
enum sl_mode {
    SL_MODE_UNSET, /* the request did not say */
    SL_MODE_AUTO,
    SL_MODE_PREFER_LOCAL,
    SL_MODE_PREFER_CLOUD,
    SL_MODE_LOCAL_ONLY,
    SL_MODE_CLOUD_ONLY
};
const char *sl_mode_word(enum sl_mode mode);               /* "auto", …; "" for UNSET */
bool sl_mode_parse(struct sl_slice word, enum sl_mode *out); /* case-insensitive */
/* The mode in force: what the request asked, inside what the route allows. false where nothing is
 * left (the route is local-only and the request says cloud-only, or the other way). */
bool sl_mode_narrow(enum sl_mode route, enum sl_mode request, enum sl_mode *out);

/* What the client gets when the cloud cannot answer. */
enum sl_unavailable { SL_UNAVAILABLE_LOCAL, SL_UNAVAILABLE_ERROR };
/* How alike a stored request must be: byte for byte, the same but for case, blanks, politeness and
 * one typo, or of the same meaning. */
enum sl_cache_similar { SL_CACHE_SIMILAR_OFF, SL_CACHE_SIMILAR_LEXICAL, SL_CACHE_SIMILAR_SEMANTIC };

#define SL_HOLD_ALL UINT32_MAX /* stream_hold_tokens: "all" */

struct sl_route_local {
    bool is_enabled;               /* true */
    const char *model;             /* name the route expects to be loaded, "" for any */
    uint32_t output_tokens_max;    /* 256: cap and default of max_tokens on the box */
    float temperature;             /* 0: used where the request gives none */
    uint32_t timeout_ms;           /* 10000: prefill and generation together, queue included */
    uint32_t threads;              /* 0: as configured; a `when` block may set fewer */
    double memory_available_min;   /* 0.02: less free memory than this share is device pressure */
    double temperature_max_c;      /* 100; 0: off */
    double load_max;               /* 0: off; load of a minute per core */
    bool tools_allowed;            /* false: tools go to the cloud with unsupported_feature */
    bool structured_allowed;       /* true: response_format is answered by constrained decoding */
    double prompt_score_min;       /* 0.25: below this P(right) after prefill (or below the
                                    * threshold in force, where that is less) no token is made;
                                    * needs a calibration; 0: off */
    uint32_t repetition_max;       /* 4: a phrase this often in a row is a loop */
};

struct sl_route_cloud {
    bool is_enabled; /* true; false makes a connection for this route impossible */
    /* Handed to sl_cloud_call as it is. In the order of the file; `model` is "" where the name that
     * the client used is to be asked for. */
    struct sl_cloud_target targets[SL_CLOUD_TARGETS_MAX];
    size_t target_count;
    enum sl_unavailable unavailable; /* local */
    uint32_t stream_hold_tokens;     /* 0; SL_HOLD_ALL: verify before sending */
    bool resumes;                    /* false: continue a stream that broke after its commit */
    uint32_t deadline_ms;            /* 60000: all attempts together */
    bool speculative;                /* false: start the cloud while a close score is still open */
    double speculative_margin;       /* 0.1: "close" is within this of the threshold */
    double speculative_share_max;    /* 0.05: at most this share of requests may start so */
    const char *system_note;         /* added to the system prompt of what leaves; "" none */
    double shadow_share;             /* 0: share of accepted local answers asked in the cloud too */
};

struct sl_route_stream {
    uint32_t hold_tokens; /* 24 */
    uint32_t hold_ms;     /* 800 */
};

struct sl_route_cache {
    bool is_enabled;              /* true */
    bool local_answers;           /* true: answers of the box are stored */
    bool cloud_answers;           /* true */
    enum sl_cache_similar similar; /* off */
    double similar_threshold;     /* 0.95 */
    bool is_shared;               /* false: entries belong to one app; true: to all on this route */
    uint64_t ttl_s;               /* 86400 */
    uint64_t ttl_max_s;           /* 604800: clamps x-sluice-cache-ttl */
    uint64_t stale_if_error_s;    /* 0: how long past its end an entry may serve when nobody can */
    double temperature_max;       /* 0.3: requests that ask for more variety are not cached */
};

struct sl_route {
    const char *name; /* given, else "route-1", …; the made catch-all is "default" */
    uint32_t index;   /* position in the file */
    enum sl_mode mode;          /* auto */
    double threshold;           /* 0.6 */
    double risk;                /* 0: threshold rules; else the calibration gives the threshold */
    uint32_t context_tokens_max; /* 512: prompt and wanted output; 0: only the model's own window */
    bool context_counts_output; /* true; false: the limit is on the prompt alone */
    uint32_t deadline_ms;       /* 120000: the whole request */
    bool sticky;                /* true: tool loops and sessions stay on their side */
    struct sl_route_local local;
    struct sl_route_cloud cloud;
    struct sl_route_stream stream;
    struct sl_route_cache cache;
    struct sl_cloud_budget budget; /* app_…: of this route; global_…: of the file */
    const struct sl_pii_rules *pii_rules;
    const struct sl_pii_detector *pii_detector; /* compiled from the rules at load */
    const struct sl_route_match *match;         /* private */
    const struct sl_route_when *whens;          /* private */
    size_t when_count;
};

/* Looks a request header up; lower-case name. An empty slice with NULL data where absent. */
typedef struct sl_slice (*sl_header_fn)(void *ctx, const char *name);

struct sl_route_query {
    struct sl_slice app;   /* name of the API key's app; empty where keys are not used */
    struct sl_slice model; /* as the client named it */
    struct sl_slice path;  /* /v1/chat/completions */
    sl_header_fn header;   /* NULL: no headers */
    void *header_ctx;
};

/* ---- loading ---- */

/* Reads, checks and compiles a policy file. Nothing is connected; keys are not read.
 * Errors: SL_ERR_IO, SL_ERR_INVALID with `FILE:LINE:COLUMN: FIELD: expected …, found …` in the
 * message and the field in `param`, SL_ERR_LIMIT (over 1 MiB), SL_ERR_MEMORY. */
enum sl_err sl_policy_load(const char *path, const struct sl_policy **out,
                           struct sl_error *error) SL_MUST_CHECK;
/* The same from memory; `name` takes the file's place in messages. */
enum sl_err sl_policy_load_text(const char *name, struct sl_slice text,
                                const struct sl_policy **out, struct sl_error *error) SL_MUST_CHECK;
/* The policy that ships: policies/default.json, compiled in. */
enum sl_err sl_policy_default(const struct sl_policy **out, struct sl_error *error) SL_MUST_CHECK;
/* The text of it, for `--print-policy`. */
struct sl_slice sl_policy_default_text(void);

/* The count is the only thing that changes in a policy; holders see it as constant. */
const struct sl_policy *sl_policy_acquire(const struct sl_policy *policy);
void sl_policy_release(const struct sl_policy *policy); /* NULL is fine */

/* ---- reading ---- */

const char *sl_policy_digest(const struct sl_policy *policy); /* SHA-256 of the file, 64 hex digits */
const char *sl_policy_path(const struct sl_policy *policy);   /* as given to load */
size_t sl_policy_route_count(const struct sl_policy *policy); /* at least 1: the catch-all */
const struct sl_route *sl_policy_route(const struct sl_policy *policy, size_t idx);
size_t sl_policy_provider_count(const struct sl_policy *policy);
/* Borrowed from the policy. The array is what sl_cloud_create takes. */
const struct sl_cloud_provider_config *sl_policy_providers(const struct sl_policy *policy);
/* False: `cloud.enabled: false` at the top of the file; no route may leave the box. */
bool sl_policy_cloud_is_enabled(const struct sl_policy *policy);

/* The first route that fits; never NULL. */
const struct sl_route *sl_policy_match(const struct sl_policy *policy,
                                       const struct sl_route_query *query);
/* Copies the route and applies the `when` blocks that hold, in file order. `device` NULL: none.
 * The copy borrows from the policy. Returns how many blocks applied. */
size_t sl_route_resolve(const struct sl_route *route, const struct sl_device_state *device,
                        struct sl_route *out);

/* What a model name of a client means. */
enum sl_model_kind {
    SL_MODEL_UNKNOWN, /* neither an alias nor a provider's model */
    SL_MODEL_AUTO,
    SL_MODEL_LOCAL,   /* "local", or the name of the loaded model as given to the look-up */
    SL_MODEL_CLOUD,   /* "cloud": the route's targets */
    SL_MODEL_TARGET   /* one provider's model: "provider/model", or a listed model name */
};
struct sl_model_choice {
    enum sl_model_kind kind;
    struct sl_cloud_target target; /* SL_MODEL_TARGET only; `model` may borrow from the look-up */
    const char *alias;             /* what `name` was mapped to, or NULL */
};
/* Looks `name` up: aliases of the policy first, then auto, local, cloud, the local model's name
 * (`local_model`, may be NULL), `provider/model` and the models that providers list. */
void sl_policy_model(const struct sl_policy *policy, const char *name, const char *local_model,
                     struct sl_model_choice *out);
/* The names a client may use, for GET /v1/models: calls `each` once a name. */
typedef void (*sl_model_name_fn)(void *ctx, const char *name, const char *owned_by);
void sl_policy_model_names(const struct sl_policy *policy, sl_model_name_fn each, void *ctx);

/* The terms of a route as JSON, for explain, the dashboard and `sluice check`. NULL: memory. */
json_t *sl_route_json(const struct sl_route *route);

/* ---- hot reload ---- */

/* The current policy, and a thread that watches its file: inotify on the folder (a file replaced by
 * rename is seen), and a look every second where inotify is not to be had. A file that does not
 * load is logged with file, line and column, counted in sluice_policy_reload_total{result="failed"},
 * and the old policy stays. */
struct sl_policy_store;

/* Called on the watcher's thread after a swap. `policy` is borrowed. */
typedef void (*sl_policy_changed_fn)(void *ctx, const struct sl_policy *policy);

/* Loads `path` (NULL: the built-in default, nothing is watched). Errors as sl_policy_load. */
enum sl_err sl_policy_store_open(const char *path, struct sl_policy_store **out,
                                 struct sl_error *error) SL_MUST_CHECK;
/* Set before start; NULL for none. */
void sl_policy_store_on_change(struct sl_policy_store *store, sl_policy_changed_fn changed,
                               void *ctx);
/* Starts watching. Errors: SL_ERR_MEMORY, SL_ERR_IO. */
enum sl_err sl_policy_store_start(struct sl_policy_store *store,
                                  struct sl_error *error) SL_MUST_CHECK;
/* Stops the thread, drops the store's reference. NULL is fine. */
void sl_policy_store_close(struct sl_policy_store *store);
/* The policy of now, with a reference for the caller. */
const struct sl_policy *sl_policy_store_acquire(struct sl_policy_store *store);
/* Reads the file again now (SIGHUP, an admin call). On failure the old policy stays. */
enum sl_err sl_policy_store_reload(struct sl_policy_store *store,
                                   struct sl_error *error) SL_MUST_CHECK;

#endif
