/* SPDX-License-Identifier: Apache-2.0
 *
 * The decision: a pure function of what was measured and what the policy says. It reads no clock,
 * no file and no global, so `sluice policy explain` and the real path cannot differ, and a test can
 * try every case.
 *
 *     struct sl_measurements m = {.mode = SL_MODE_UNSET, .prompt_tokens = 40, …};
 *     struct sl_decision d = sl_decide_before(&m, &route);        // before any token is made
 *     if (d.side == SL_SIDE_LOCAL && !d.is_final) {
 *         …generate…; fill m.local;
 *         d = sl_decide_after(&m, &route);                        // hard checks, then the score
 *     }
 *     if (d.side == SL_SIDE_CLOUD && cloud_failed) {
 *         m.cloud_failed = true;
 *         d = sl_decide_fallback(&m, &route, &d);                 // what the policy says then
 *     }
 *     if (d.side == SL_SIDE_NONE) fail with d.error
 *
 * Threads: any.
 */
#ifndef SLUICE_DECISION_H
#define SLUICE_DECISION_H

#include "sluice/confidence.h"
#include "sluice/err.h"
#include "sluice/policy.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The closed list of reasons: symbol, the word in header, log and metric, what it means. */
#define SL_REASONS(X)                                                                              \
    X(CONFIDENT, "confident", "the local answer passed its checks and reached the threshold")      \
    X(CACHED, "cached", "an answer to the same request was stored")                                \
    X(LOW_CONFIDENCE, "low_confidence", "the score is below the threshold, or there is none")      \
    X(CONTEXT_LENGTH, "context_length", "prompt and wanted output are longer than the limit")      \
    X(UNSUPPORTED_FEATURE, "unsupported_feature", "the local model cannot do what is asked")       \
    X(SCHEMA_INVALID, "schema_invalid", "the local answer breaks the wanted form")                 \
    X(EMPTY_OUTPUT, "empty_output", "the local answer is empty, cut short or a loop")              \
    X(LOCAL_ERROR, "local_error", "the local model failed or is not loaded")                       \
    X(LOCAL_TIMEOUT, "local_timeout", "the local model took too long")                             \
    X(LOCAL_OVERLOAD, "local_overload", "too many requests wait for the local model")              \
    X(DEVICE_PRESSURE, "device_pressure", "the box is short of memory, hot or overloaded")         \
    X(FORCED, "forced", "the request asked for this side")                                         \
    X(POLICY, "policy", "the policy leaves or prefers this side")                                  \
    X(PII_KEEP_LOCAL, "pii_keep_local", "personal data may not leave the box")                     \
    X(CLOUD_UNAVAILABLE, "cloud_unavailable", "the cloud could not answer")                        \
    X(OFFLINE, "offline", "there is no network")                                                   \
    X(STALE, "stale", "nobody could answer; an old stored answer was allowed")

enum sl_reason {
    SL_REASON_NONE,
#define X(symbol, word, meaning) SL_REASON_##symbol,
    SL_REASONS(X)
#undef X
    SL_REASON_COUNT
};
const char *sl_reason_word(enum sl_reason reason);    /* "" for NONE */
const char *sl_reason_meaning(enum sl_reason reason); /* a sentence for a person */

enum sl_side { SL_SIDE_NONE, SL_SIDE_LOCAL, SL_SIDE_CLOUD, SL_SIDE_CACHE };
const char *sl_side_word(enum sl_side side); /* "none", "local", "cloud", "cache" */

/* What a request may need that a small local model may lack: a set of bits. */
enum sl_feature {
    SL_FEATURE_IMAGES = 1 << 0,
    SL_FEATURE_AUDIO = 1 << 1,
    SL_FEATURE_FILES = 1 << 2,
    SL_FEATURE_TOOLS = 1 << 3,
    SL_FEATURE_CHOICES = 1 << 4,    /* n > 1 */
    SL_FEATURE_JSON = 1 << 5,       /* response_format json_object */
    SL_FEATURE_SCHEMA = 1 << 6,     /* response_format json_schema */
    SL_FEATURE_LOGPROBS = 1 << 7,
    SL_FEATURE_REASONING = 1 << 8,  /* reasoning_effort, thinking */
    SL_FEATURE_PREDICTION = 1 << 9, /* predicted outputs, modalities and other rare fields */
    SL_FEATURE_TEMPLATE = 1 << 10   /* the model's chat template cannot express the messages */
};
#define SL_FEATURE_COUNT 11
const char *sl_feature_word(enum sl_feature feature); /* "images", …; "" for none */

/* What the scrub stage found out about letting the request leave. */
enum sl_egress { SL_EGRESS_CLEAR, SL_EGRESS_KEEP_LOCAL, SL_EGRESS_BLOCK, SL_EGRESS_FAILED };

/* How local generation went. Zeroed: not run. */
enum sl_local_status {
    SL_LOCAL_NOT_RUN,
    SL_LOCAL_COMPLETE, /* ended by itself */
    SL_LOCAL_LENGTH,   /* stopped at the box's own cap, not at the client's max_tokens */
    SL_LOCAL_TIMEOUT,
    SL_LOCAL_OVERLOAD, /* the queue was full */
    SL_LOCAL_ERROR,
    SL_LOCAL_CONTEXT,  /* the engine says that it does not fit */
    SL_LOCAL_UNSUPPORTED
};

struct sl_local_outcome {
    enum sl_local_status status;
    bool is_empty;      /* no visible character and no tool call */
    bool is_loop;       /* sl_text_is_loop */
    bool is_broken;     /* not the JSON or schema that was asked for, or an invalid tool call */
    struct sl_score score;
};

/* Everything a decision may look at. Zeroed means: nothing asked, nothing there. */
struct sl_measurements {
    /* what the request asks */
    enum sl_mode mode;          /* from header or model name; UNSET: the route's */
    uint32_t features;          /* bits of sl_feature that the answer needs */
    uint32_t prompt_tokens;     /* templated prompt, the model's own tokenizer; 0: not counted */
    uint32_t output_tokens;     /* wanted (max_tokens); 0: not said */
    enum sl_side session_side;  /* where this tool loop or session began; NONE: new */
    enum sl_egress egress;
    /* what the box can do */
    bool local_is_ready;        /* a model is loaded */
    bool local_has_room;        /* the engine's queue takes one more */
    uint32_t local_features;    /* bits of sl_feature that the local model has */
    uint32_t local_window;      /* its context in tokens; 0: unknown */
    /* what the cloud can do */
    bool cloud_is_possible;     /* a provider with a key, and not SLUICE_NO_CLOUD */
    bool cloud_is_available;    /* some breaker is not open */
    bool cloud_budget_is_spent;
    bool cloud_failed;          /* this request tried, and did not get an answer */
    /* the machine */
    struct sl_device_state device;
    /* before generation, once the prompt was read */
    struct sl_score prompt_score;
    /* the calibration: threshold that holds the route's risk, when the route names a risk */
    bool has_risk_threshold;
    double risk_threshold;
    /* after generation */
    struct sl_local_outcome local;
};

struct sl_decision {
    enum sl_side side;
    enum sl_reason reason;
    bool is_final; /* false: LOCAL, generate and ask again */
    bool may_escalate; /* the cloud could take over if the local answer is not good enough */
    enum sl_mode mode; /* in force */
    bool is_scored;
    struct sl_score score;
    double threshold;
    enum sl_err error; /* side NONE: what the client gets; SL_OK else */
    uint32_t missing;  /* features that the local model lacks */
    /* One sentence: what would have changed it. Built from numbers and words of lists only. */
    char change[192];
};

/* What stands against an answer from the box. Hard: there is none to be had (no model, a feature
 * that it lacks, longer than its window, queue full). Soft: the cloud would do better, but where
 * there is none the box still answers (longer than the route's limit, device pressure, a prompt that
 * is foreign to the model). */

/* Before anything is generated, and again after prefill when `prompt_score` is set. */
struct sl_decision sl_decide_before(const struct sl_measurements *m, const struct sl_route *route);
/* With `m->local`: hard checks first, then the score against the threshold. */
struct sl_decision sl_decide_after(const struct sl_measurements *m, const struct sl_route *route);
/* After `first` chose the cloud and it failed: the local answer where there is one that passed its
 * hard checks (or one may still be made: is_final false), else an error. */
struct sl_decision sl_decide_fallback(const struct sl_measurements *m, const struct sl_route *route,
                                      const struct sl_decision *first);

/* A stream that is being held. */
enum sl_stream_verdict {
    SL_STREAM_HOLD,
    SL_STREAM_COMMIT,     /* release what is held; local is final */
    SL_STREAM_ESCALATE,   /* the cloud; throw what is held away */
    SL_STREAM_SPECULATE   /* hold, and start the cloud meanwhile: the score is close */
};
struct sl_stream_progress {
    uint32_t tokens;            /* generated so far */
    uint64_t held_ms;           /* since the first token was held */
    struct sl_score score;      /* of the tokens so far */
    double score_best;          /* the highest it can still reach by the commit point */
    bool is_loop;
};
/* `threshold` as in the decision of sl_decide_before. */
enum sl_stream_verdict sl_decide_stream(const struct sl_stream_progress *progress,
                                        const struct sl_decision *before,
                                        const struct sl_route *route);

/* The threshold in force: the route's, or the one that holds its risk. Above 1 where the route
 * names a risk that the calibration cannot certify: then nothing is confident. */
double sl_decide_threshold(const struct sl_measurements *m, const struct sl_route *route);

/* {"side","reason","meaning","final","mode","threshold","score":{…},"route","would_change",…}: what
 * `sluice policy explain` and POST /admin/v1/route:explain print. */
enum sl_err sl_decision_explain(const struct sl_decision *decision, const struct sl_measurements *m,
                                const struct sl_route *route, json_t **out) SL_MUST_CHECK;

#endif
