/* SPDX-License-Identifier: Apache-2.0
 *
 * An answer of a model, wherever it came from: what the engine, the cloud providers and the cache
 * produce and what the wire APIs encode. A streamed answer arrives as deltas; adding them up gives
 * the same `struct sl_answer` that a whole answer is.
 *
 *     struct sl_answer answer;
 *     sl_answer_init(&answer, 1 << 20);
 *     sl_answer_add(&answer, &delta, &error);      // for each delta
 *     sl_answer_encode(&answer, &buf);             // compact JSON, for the cache
 *     sl_answer_clear(&answer);                    // wipes: answers may hold personal data
 *
 * Threads: one owner at a time. Slices in a delta are borrowed for the duration of the call.
 */
#ifndef SLUICE_ANSWER_H
#define SLUICE_ANSWER_H

#include "sluice/buf.h"
#include "sluice/err.h"

#include <jansson.h>
#include <stdint.h>

#define SL_CHOICES_MAX 16     /* n of a request; more is refused at parse */
#define SL_TOOL_CALLS_MAX 128 /* in one choice; more is a broken provider */
#define SL_MODEL_NAME_MAX 128

/* Why a choice ended; the words are OpenAI's. */
enum sl_finish_reason {
    SL_FINISH_REASON_NONE, /* not ended yet: a stream that was cut */
    SL_FINISH_REASON_STOP,
    SL_FINISH_REASON_LENGTH,
    SL_FINISH_REASON_TOOL_CALLS,
    SL_FINISH_REASON_CONTENT_FILTER
};
const char *sl_finish_reason_word(enum sl_finish_reason reason); /* "stop", …; "" for NONE */
enum sl_finish_reason sl_finish_reason_parse(struct sl_slice word); /* unknown words read as STOP */

struct sl_tool_call {
    struct sl_buf id;
    struct sl_buf name;
    struct sl_buf arguments; /* JSON text, as the model wrote it */
};

struct sl_choice {
    bool has_content; /* content was given, if only "" (else JSON null) */
    struct sl_buf content;
    struct sl_buf reasoning; /* reasoning_content of models that show it */
    struct sl_buf refusal;
    struct sl_tool_call *tool_calls;
    size_t tool_call_count;
    json_t *logprobs; /* array of OpenAI's logprob entries (`content`), or NULL */
    enum sl_finish_reason finish_reason;
};

struct sl_usage {
    uint64_t prompt_tokens;
    uint64_t completion_tokens;
    bool is_known;
};

struct sl_answer {
    struct sl_choice choices[SL_CHOICES_MAX];
    size_t choice_count;
    struct sl_usage usage;
    char model[SL_MODEL_NAME_MAX]; /* what really answered */
    size_t text_bytes_max;         /* cap of each text */
    struct sl_buf encoded;         /* the JSON form of an answer that was not taken apart
                                    * (choice_count is 0 then): what the cache gives, see
                                    * sl_answer_hold */
};

enum sl_delta_kind {
    SL_DELTA_TEXT,
    SL_DELTA_REASONING,
    SL_DELTA_REFUSAL,
    SL_DELTA_TOOL_CALL, /* id and name at its start (may be empty later), text: arguments piece */
    SL_DELTA_LOGPROBS,  /* logprobs: array of entries to append */
    SL_DELTA_FINISH,    /* finish_reason */
    SL_DELTA_USAGE,     /* usage; choice is meaningless */
    SL_DELTA_MODEL      /* text: the model's name; first */
};

struct sl_delta {
    enum sl_delta_kind kind;
    uint32_t choice;
    struct sl_slice text;
    uint32_t tool_call; /* index within the choice */
    struct sl_slice tool_call_id;
    struct sl_slice tool_call_name;
    const json_t *logprobs;
    enum sl_finish_reason finish_reason;
    struct sl_usage usage;
};

/* Takes a stream of deltas. Returns SL_OK to go on; SL_ERR_CANCELLED stops the source. */
typedef enum sl_err (*sl_delta_fn)(void *ctx, const struct sl_delta *delta);

void sl_answer_init(struct sl_answer *answer, size_t text_bytes_max);
void sl_answer_clear(struct sl_answer *answer);
/* Adds a delta. SL_ERR_LIMIT past a cap, SL_ERR_FORMAT for an index out of range, SL_ERR_MEMORY. */
enum sl_err sl_answer_add(struct sl_answer *answer, const struct sl_delta *delta,
                          struct sl_error *error) SL_MUST_CHECK;
/* Makes *answer, initialised and empty, hold its JSON form without taking it apart: encoding it
 * again is a copy. What is asked of every answer is given beside it. SL_ERR_LIMIT, SL_ERR_MEMORY. */
enum sl_err sl_answer_hold(struct sl_answer *answer, struct sl_slice json, struct sl_slice model,
                           struct sl_usage usage) SL_MUST_CHECK;
/* Takes a held answer apart, for whoever needs its parts; nothing to do for another. Errors as
 * sl_answer_decode. */
enum sl_err sl_answer_expand(struct sl_answer *answer, struct sl_error *error) SL_MUST_CHECK;
/* Gives the whole answer as deltas, in the order a provider would stream it: model, per choice its
 * texts, tool calls, logprobs and finish, then usage. Not for a held answer: expand it first. */
enum sl_err sl_answer_replay(const struct sl_answer *answer, sl_delta_fn sink,
                             void *ctx) SL_MUST_CHECK;
/* True where every choice ended with a finish reason: an answer that may be stored. */
bool sl_answer_is_complete(const struct sl_answer *answer);

/* JSON `{"model","choices":[{"index","message":{...},"logprobs","finish_reason"}],"usage"}`: the
 * members of OpenAI's chat.completion that do not depend on the request. `members_only` leaves out
 * the outer braces, for writing them into a larger object. */
enum sl_err sl_answer_encode(const struct sl_answer *answer, bool members_only,
                             struct sl_buf *out) SL_MUST_CHECK;
/* Reads that form, and a provider's whole chat.completion. *answer must be initialised and empty. */
enum sl_err sl_answer_decode(struct sl_slice json, struct sl_answer *answer,
                             struct sl_error *error) SL_MUST_CHECK;
enum sl_err sl_answer_from_json(const json_t *object, struct sl_answer *answer,
                                struct sl_error *error) SL_MUST_CHECK;

#endif
