/* SPDX-License-Identifier: Apache-2.0
 *
 * The cloud leg: sends a scrubbed body to a provider over TLS and gives back its answer, with
 * deadlines, retries, fallbacks, a breaker and budgets, so that a provider's bad day is not the
 * apps' bad day.
 *
 *     struct sl_cloud *cloud;
 *     sl_cloud_create(&(struct sl_cloud_options){.data_folder = "/var/lib/sluice"}, &cloud, &error);
 *
 *     struct sl_cloud_provider_config openai;
 *     sl_cloud_provider_defaults(&openai);
 *     openai.name = "openai"; openai.base_url = "https://api.openai.com/v1";
 *     openai.key_env = "OPENAI_API_KEY";
 *
 *     struct sl_cloud_target targets[] = {{.provider = &openai, .model = "gpt-4o-mini"}};
 *     struct sl_cloud_call call = {.body = scrubbed, .targets = targets, .target_count = 1,
 *                                  .deadline_ms = sl_monotonic_ms() + 30000};
 *     struct sl_cloud_result result;
 *     enum sl_err err = sl_cloud_call(cloud, &call, &result, &error);   // on a worker thread
 *     ... result.answer ...
 *     sl_cloud_result_clear(&result);
 *
 * Threads: one transfer thread inside moves bytes; `sl_cloud_call` blocks its caller, which also
 * parses and runs the sink. All functions may be called from any thread at the same time.
 *
 * Sources of the wire forms: OpenAI API reference (chat completions), Anthropic API reference
 * (messages, version 2023-06-01), WHATWG HTML section 9.2 (event streams), RFC 9110 (Retry-After).
 */
#ifndef SLUICE_CLOUD_H
#define SLUICE_CLOUD_H

#include "sluice/answer.h"
#include "sluice/device.h" /* enum sl_network */
#include "sluice/err.h"
#include "sluice/scrubbed.h"

#include <stdatomic.h>
#include <stdint.h>

#define SL_CLOUD_NAME_MAX 64
#define SL_CLOUD_TARGETS_MAX 16
#define SL_CLOUD_ATTEMPTS_MAX 32 /* attempts of one call that are remembered; no call makes more */

struct sl_cloud;

/* ---- What the policy says about a provider ---- */

enum sl_cloud_kind {
    SL_CLOUD_KIND_OPENAI,   /* POST base_url + /chat/completions, Authorization: Bearer */
    SL_CLOUD_KIND_ANTHROPIC /* POST base_url + /v1/messages (or /messages after a base ending in
                             * /v1), x-api-key */
};
/* "openai", "anthropic"; false for another word. */
bool sl_cloud_kind_parse(struct sl_slice word, enum sl_cloud_kind *out);
const char *sl_cloud_kind_word(enum sl_cloud_kind kind);

enum sl_cloud_tls_min { SL_CLOUD_TLS_1_2, SL_CLOUD_TLS_1_3 };

/* One model of a provider. A model that is not listed is sent under its own name, at no price. */
struct sl_cloud_model_config {
    const char *name;                   /* as targets and clients call it */
    const char *wire_name;              /* as the provider calls it; NULL: the same */
    uint64_t context_tokens;            /* 0: unknown */
    uint64_t completion_tokens_default; /* sent where the API demands a maximum and the request has
                                         * none (Anthropic); 0: 4096 */
    double usd_per_1k_prompt_tokens;
    double usd_per_1k_completion_tokens;
};

/* Plain data; strings and arrays are borrowed and must stay until the calls that use them end.
 * State that outlives a policy (breaker, budgets, latencies) is kept by `name`. Fill it with
 * sl_cloud_provider_defaults() first. */
struct sl_cloud_provider_config {
    const char *name; /* shorter than SL_CLOUD_NAME_MAX; also the metric label */
    enum sl_cloud_kind kind;
    const char *base_url; /* https://...; http:// only to loopback or with allows_plaintext */
    bool allows_plaintext;

    /* The key: from the environment or a file, never in a policy. The file is read again when it
     * changes. Neither: no key is sent. */
    const char *key_env;
    const char *key_file;

    const char *ca_file;           /* PEM; replaces the system store; NULL: the system store */
    const char *pinned_public_key; /* curl's "sha256//base64[;sha256//...]"; NULL: none */
    const char *proxy;             /* as curl's CURLOPT_PROXY; NULL: none (the environment's
                                    * proxy variables are not used) */
    enum sl_cloud_tls_min tls_min;
    bool http2; /* offered by ALPN; HTTP/1.1 where the server does not take it */

    uint32_t connect_timeout_ms;     /* DNS, TCP, TLS */
    uint32_t first_token_timeout_ms; /* from connected to the first content of a stream */
    uint32_t reasoning_first_token_timeout_ms; /* the same where the request asks for reasoning,
                                                * which many models do in silence */
    uint32_t idle_timeout_ms;        /* between two events of a stream */
    uint32_t total_timeout_ms;       /* of one attempt */
    /* Asks the provider for a stream even where the client wants a whole answer: the only way to
     * tell a slow answer from a dead one. Off: whole answers get `whole_timeout_ms`. */
    bool prefers_stream;
    uint32_t whole_timeout_ms; /* from connected to the first byte of an unstreamed answer */

    uint32_t retries_max; /* on the same target, after its first attempt */
    uint32_t backoff_ms;  /* full jitter: random in [0, min(backoff_max_ms, backoff_ms * 2^n)] */
    uint32_t backoff_max_ms;
    uint32_t retry_after_max_ms; /* a longer Retry-After means fallback at once, if there is one */
    double retry_budget_ratio;   /* retries that one call earns for its provider */
    double retry_budget_burst;   /* retries that may be saved up */

    uint32_t breaker_failures;    /* failures that open it, ... */
    double breaker_failure_ratio; /* ... where they are this share or more ... */
    uint32_t breaker_window_ms;   /* ... of the attempts within this time */
    uint32_t breaker_open_ms;     /* before the first probe; doubles with each failed probe */
    uint32_t breaker_open_max_ms;

    double hedge_quantile; /* 0: no hedging; 0.95: a second attempt is started where the first token
                            * takes longer than 95 % of the recent ones */
    uint32_t hedge_min_ms;

    bool takes_prefill; /* continues a trailing assistant message (for resumed streams) */

    const struct sl_cloud_model_config *models;
    size_t model_count;
};

/* Fills every field with the value that suits a public provider: 3 s connect, 10 s first token
 * (45 s where reasoning is asked for), 15 s idle, 120 s total, 2 retries, breaker 5 failures and
 * half of 30 s, HTTP/2, TLS 1.2. */
void sl_cloud_provider_defaults(struct sl_cloud_provider_config *config);
/* Checks what one provider alone can get wrong (name, URL, plaintext, both key sources, times of
 * 0, ratios out of range): SL_ERR_INVALID with `param` naming the member. Opens nothing. */
enum sl_err sl_cloud_provider_check(const struct sl_cloud_provider_config *config,
                                    struct sl_error *error) SL_MUST_CHECK;

/* ---- Life ---- */

struct sl_cloud_options {
    const char *data_folder;  /* spending is kept in DATA/cloud_spend.json; NULL: not kept */
    const char *ca_file;      /* PEM; trusted for providers without one of their own; NULL: the
                               * system store */
    uint32_t connections_max; /* idle connections kept for reuse, all providers; 0: 64 */
    uint32_t streams_max;     /* calls at the same time, above it SL_ERR_OVERLOAD; 0: 512 */
    const char *user_agent;   /* NULL: "sluice" */
};

/* Starts the transfer thread. With SLUICE_NO_CLOUD set to anything but "" and "0" in the
 * environment no curl handle is ever made and no thread started: every call gives
 * SL_ERR_ROUTE_UNAVAILABLE. */
enum sl_err sl_cloud_create(const struct sl_cloud_options *options, struct sl_cloud **out,
                            struct sl_error *error) SL_MUST_CHECK;
/* No call may be running. Stops the thread. NULL is fine. */
void sl_cloud_free(struct sl_cloud *cloud);
/* Ends the running calls with SL_ERR_SHUTDOWN and refuses new ones. */
void sl_cloud_stop(struct sl_cloud *cloud);
bool sl_cloud_is_disabled(const struct sl_cloud *cloud); /* by SLUICE_NO_CLOUD */

/* ---- One call ---- */

struct sl_cloud_target {
    const struct sl_cloud_provider_config *provider;
    const char *model; /* a name of provider->models, or any name */
    uint32_t tier;     /* targets of a lower tier are tried first, all of a tier before the next */
    uint32_t weight;   /* share of the calls that start at this target within its tier; where all
                        * weights of a tier are 0, the order given is the order tried */
};

/* Cost limits in US dollars; 0: none. Days and months are UTC. */
struct sl_cloud_budget {
    double app_daily_usd;
    double app_monthly_usd;
    double global_daily_usd;
    double global_monthly_usd;
};

struct sl_cloud_call {
    const struct sl_scrubbed *body;
    const struct sl_cloud_target *targets;
    size_t target_count;
    bool is_streaming;             /* deltas go to `sink` as they come */
    sl_delta_fn sink;              /* runs on the caller's thread; needed for streaming only */
    void *sink_ctx;
    uint64_t deadline_ms;          /* monotonic; of the whole call */
    const atomic_bool *cancelled;  /* seen within 50 ms; NULL: never */
    size_t stream_hold_tokens;     /* content events held back before the first delta is given out;
                                    * SIZE_MAX: verify the whole answer before sending any of it */
    const atomic_bool *is_held;    /* while true, the sink is given nothing, as with SIZE_MAX; looked
                                    * at with all that comes and every 50 ms; NULL: never held */
    bool resumes;                  /* a stream that breaks after its commit may be continued */
    size_t answer_bytes_max;       /* cap of each text of the answer; 0: 4 MiB */
    const char *app;               /* for cost budgets; NULL: none */
    struct sl_cloud_budget budget;
    const char *traceparent;       /* W3C trace context to pass on; NULL: none */
};

/* What became of one attempt; the words go to `attempts` of the debug object and to metrics. */
enum sl_cloud_outcome {
    SL_CLOUD_SERVED,              /* "served": this is the answer */
    SL_CLOUD_RATE_LIMITED,        /* "rate_limited": 429 */
    SL_CLOUD_SERVER_ERROR,        /* "server_error": 5xx, 408, 409 */
    SL_CLOUD_CONNECT_FAILED,      /* "connect_failed": DNS, TCP, proxy */
    SL_CLOUD_TLS_FAILED,          /* "tls_failed": certificate, pin, handshake */
    SL_CLOUD_RESET,               /* "reset": the connection ended before the answer began */
    SL_CLOUD_TIMEOUT_CONNECT,     /* "timeout_connect" */
    SL_CLOUD_TIMEOUT_FIRST_TOKEN, /* "timeout_first_token" */
    SL_CLOUD_TIMEOUT_IDLE,        /* "timeout_idle" */
    SL_CLOUD_TIMEOUT_TOTAL,       /* "timeout_total": of the attempt or the call's deadline */
    SL_CLOUD_MALFORMED,           /* "malformed": not an answer */
    SL_CLOUD_TRUNCATED,           /* "truncated": began and did not end */
    SL_CLOUD_STREAM_ERROR,        /* "stream_error": the provider reported an error in the stream */
    SL_CLOUD_TOO_LARGE,           /* "too_large": past answer_bytes_max */
    SL_CLOUD_REJECTED,            /* "rejected": another 4xx */
    SL_CLOUD_NOT_FOUND,           /* "not_found": 404, no such model there */
    SL_CLOUD_UNSUPPORTED,         /* "unsupported": this wire form cannot say what was asked */
    SL_CLOUD_CONTEXT_LENGTH,      /* "context_length" */
    SL_CLOUD_CONTENT_POLICY,      /* "content_policy" */
    SL_CLOUD_CREDENTIALS,         /* "credentials": 401, 403, or no key could be read */
    SL_CLOUD_PREFILL_REJECTED,    /* "prefill_rejected": a resume by prefill was refused */
    SL_CLOUD_RESUME_MISMATCH,     /* "resume_mismatch": its beginning differed from what was sent */
    SL_CLOUD_LOST_HEDGE,          /* "lost_hedge": the other attempt was faster */
    SL_CLOUD_CANCELLED,           /* "cancelled" */
    SL_CLOUD_LOCAL_FAILURE        /* "local_failure": out of memory and the like, on this box */
};
const char *sl_cloud_outcome_word(enum sl_cloud_outcome outcome);

struct sl_cloud_attempt {
    char provider[SL_CLOUD_NAME_MAX];
    char model[SL_MODEL_NAME_MAX]; /* as asked for */
    enum sl_cloud_outcome outcome;
    int http_status;         /* 0: none was received */
    uint32_t ms;             /* from its start to its end */
    uint32_t first_token_ms; /* 0: none came */
    uint64_t prompt_tokens;
    uint64_t completion_tokens;
    uint64_t bytes_sent; /* request head and body that left the box */
    bool is_hedge;
    bool is_resume;
};

struct sl_cloud_result {
    struct sl_answer answer; /* complete where the call gave SL_OK, also when it was streamed; after
                              * a failure past the commit: what the sink was given */
    struct sl_cloud_attempt attempts[SL_CLOUD_ATTEMPTS_MAX];
    size_t attempt_count;
    char provider[SL_CLOUD_NAME_MAX]; /* that answered; "" where none did */
    char model[SL_MODEL_NAME_MAX];    /* that answered, in the provider's words */
    uint64_t bytes_out;               /* sum of bytes_sent */
    double cost_usd; /* of the answer served; failed attempts are not billed, and one that was given
                      * up after its answer began counts in the budget only */
    bool is_committed;                /* the sink was given something */
    bool is_resumed;
    bool is_budget_spent;       /* refused because a cost budget is used up; nothing was sent */
    uint32_t retry_after_ms;    /* when asking again may help, 0: unknown; for Retry-After */
    uint32_t first_token_ms;    /* from the call's start; 0: none came */
};

/* Blocks until the answer is whole or the call failed. *result need not be initialised and must be
 * cleared afterwards, whatever is returned.
 *
 * Sink: given nothing before the attempt has its first content (and `stream_hold_tokens` of it);
 * from then on only that attempt's deltas, in order. A return of anything but SL_OK ends the call
 * with that value. Deltas of kind USAGE come last; MODEL first.
 *
 * Errors: SL_ERR_CANCELLED; SL_ERR_SHUTDOWN; SL_ERR_OVERLOAD (too many calls);
 * SL_ERR_ROUTE_UNAVAILABLE (disabled, every breaker open, budget spent);
 * SL_ERR_UPSTREAM_TIMEOUT; SL_ERR_UPSTREAM; SL_ERR_UPSTREAM_CREDENTIALS; SL_ERR_RATE_LIMIT (every
 * target said 429); SL_ERR_CONTEXT_LENGTH; SL_ERR_UPSTREAM_REJECTED, whose message is the
 * provider's reason and is for the client, not for the log; SL_ERR_MEMORY. */
enum sl_err sl_cloud_call(struct sl_cloud *cloud, const struct sl_cloud_call *call,
                          struct sl_cloud_result *result, struct sl_error *error) SL_MUST_CHECK;
void sl_cloud_result_clear(struct sl_cloud_result *result); /* wipes the answer */

/* ---- State for the decision, for /ready and for people ---- */

/* From the outcomes of recent attempts and probes, all providers. OFFLINE where disabled. */
enum sl_network sl_cloud_network_state(struct sl_cloud *cloud);

/* Connects to the provider (TCP and TLS, nothing is sent) and counts the outcome; what the control
 * thread calls every few seconds while the state is not ONLINE. Blocks. */
enum sl_err sl_cloud_probe(struct sl_cloud *cloud, const struct sl_cloud_provider_config *provider,
                           uint64_t deadline_ms, struct sl_error *error) SL_MUST_CHECK;

enum sl_breaker_state { SL_BREAKER_CLOSED, SL_BREAKER_HALF_OPEN, SL_BREAKER_OPEN };
const char *sl_breaker_state_word(enum sl_breaker_state state);
/* The worst of the provider's models: each has a breaker of its own, so that one overloaded model
 * does not take the others with it. CLOSED for an unknown name. */
enum sl_breaker_state sl_cloud_breaker_state(struct sl_cloud *cloud, const char *provider_name);

/* Would a call to this target be tried now: its breaker is closed or due for a probe, and it did
 * not ask to be left alone? What the decision looks at; asks nothing of the breaker. */
bool sl_cloud_would_try(struct sl_cloud *cloud, const struct sl_cloud_target *target);

/* False where one of the budget's limits is used up: then nothing may be sent. `app` may be NULL. */
bool sl_cloud_budget_allows(struct sl_cloud *cloud, const char *app,
                            const struct sl_cloud_budget *budget);
struct sl_cloud_spending {
    double day_usd;
    double month_usd;
};
/* What was spent this UTC day and month; `app` NULL: all apps. */
struct sl_cloud_spending sl_cloud_spending(struct sl_cloud *cloud, const char *app);

#endif
