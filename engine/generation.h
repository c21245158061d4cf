/* SPDX-License-Identifier: Apache-2.0
 *
 * One request inside the engine, seen from both its ends: the scheduler, which fills it, and the
 * consumer, which reads its events (sl_generation_* of engine.h).
 *
 *     WAITING --admitted--> PREFILL --prompt read--> DECODE --end, stop, length, cancel--> DONE
 *        +------------------- cancel, deadline -----------+---------------------------------^
 *
 * Threads: fields are grouped by who may touch them.
 */
#ifndef SLUICE_ENGINE_GENERATION_H
#define SLUICE_ENGINE_GENERATION_H

#include "constrain.h"
#include "kv_cache.h"
#include "sampler.h"
#include "sluice/engine.h"
#include "stop_match.h"
#include "tokenizer.h"

#include <pthread.h>
#include <stdatomic.h>

/* A prompt's tokens, and which of them the router wants scored. */
struct sl_prompt {
    uint32_t count;
    uint32_t scored_begin; /* [begin, end): at least 1; begin == end: none */
    uint32_t scored_end;
    int32_t ids[];
};

enum sl_generation_state { SL_WAITING, SL_PREFILL, SL_DECODE, SL_DONE };

/* An event as the scheduler leaves it; text is made by the consumer from the tokens. */
struct sl_record {
    enum sl_event_kind kind;
    int32_t token;
    struct sl_token_stats stats, choice;
    enum sl_finish finish;
    uint64_t released; /* bytes of the answer that may be shown once this token is decoded */
};

/* Neighbouring tokens whose worst mean is reported of a prompt. */
#define SL_SCORE_WINDOW 8

/* All text may be shown. */
#define SL_RELEASE_ALL UINT64_MAX

/* Prompt look-up: where it stands with this sequence (speculate.c). */
struct sl_speculation {
    uint32_t length;  /* tokens of the next guess */
    uint32_t pause;   /* steps before the next try */
    uint32_t penalty; /* the pause after the next failure */
};

struct sl_generation {
    /* Set at generate, then constant. */
    struct sl_sampler_params sampling; /* its bias and prior point behind this struct's own allocation */
    uint32_t prompt_count;
    uint32_t scored_begin, scored_end;
    uint32_t tokens_max;
    uint32_t top_logprobs;
    uint32_t fair_share_id;
    uint32_t pages_reserved;
    bool ignore_end;
    uint64_t deadline_ms; /* 0: none */
    uint64_t arrival;     /* order of requests */

    /* The scheduler's. */
    enum sl_generation_state state;
    int32_t *ids;      /* (prompt_count + tokens_max) */
    float *scores;     /* the same: log-probabilities, NAN where unknown */
    uint32_t count;    /* ids that are known */
    uint32_t computed; /* positions whose keys and values are in the cache */
    uint32_t reused;
    uint32_t drafted; /* ids behind `count` that are a guess */
    struct sl_speculation speculation;
    struct sl_kv_sequence sequence;
    uint32_t *pages;
    struct sl_stop_match *stops;         /* NULL: none asked for */
    bool stop_matched;                   /* a stop string ended the answer */
    struct sl_detokenizer *stop_decoder; /* with stops */
    struct sl_constraint_state *constraint;
    int32_t end_token; /* the token that ended the answer, or SL_TOKEN_NONE */
    struct sl_token_stats end_stats, end_choice;

    /* Any thread. */
    atomic_bool cancelled;
    atomic_uint references; /* consumer and scheduler */
    atomic_uint generated;

    /* Guarded by the mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool consumer_waits;
    uint32_t record_count;
    struct sl_prompt_stats prompt_stats;
    struct sl_record *records;                 /* (tokens_max + 2), written once each */
    struct sl_token_alternative *alternatives; /* (tokens_max, top_logprobs) */

    /* The consumer's. */
    uint32_t read_count;
    uint32_t tokens_read;
    uint64_t shown; /* bytes given so far */
    bool is_over;   /* the last event was given */
    struct sl_detokenizer decoder;
    struct sl_buf held;  /* decoded, not given */
    struct sl_buf given; /* what the last event's text points into */
};

/* What generate() needs to know of the engine. */
struct sl_generation_context {
    const struct sl_tokenizer *tokenizer;
    uint32_t context_tokens;
    struct sl_constraint *constraint; /* taken over by the state; may be NULL */
    const struct sl_constraint_vocab *vocab;
};

/* A generation in state WAITING with one reference for each end. Errors: SL_ERR_CONTEXT_LENGTH,
 * SL_ERR_INVALID, SL_ERR_MEMORY. */
enum sl_err sl_generation_create(const struct sl_generation_context *context,
                                 const struct sl_prompt *prompt,
                                 const struct sl_generate_params *params,
                                 struct sl_generation **out, struct sl_error *error) SL_MUST_CHECK;
void sl_generation_release(struct sl_generation *generation);

/* For the scheduler: appends an event and wakes the consumer where it sleeps. */
void sl_generation_emit(struct sl_generation *generation, const struct sl_record *record);
void sl_generation_emit_prefill(struct sl_generation *generation,
                                const struct sl_prompt_stats *stats);
/* The slot of the next token's alternatives, (top_logprobs). */
struct sl_token_alternative *sl_generation_alternatives(struct sl_generation *generation);

#endif
