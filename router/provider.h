/* SPDX-License-Identifier: Apache-2.0
 *
 * A provider's wire form: how the canonical body (an OpenAI chat completion request) becomes its
 * request, and how its events, whole answers and errors become deltas and outcomes. No network, no
 * state between calls, no clock: everything here is text in, text out.
 *
 *     sl_provider_build(&ask, &request, &error);             // -> sl_transfer_start
 *     sl_provider_reader_init(&reader, kind, 1, sink, ctx);
 *     sl_provider_read_event(&reader, &event);               // from the sl_sse_parser, or
 *     sl_provider_read_whole(&reader, json);                 // an unstreamed answer, or
 *     sl_provider_failure_read(status, body, &failure);      // what an error response means
 */
#ifndef SLUICE_PROVIDER_H
#define SLUICE_PROVIDER_H

#include "sluice/cloud.h"
#include "sse_parser.h"
#include "transfer.h"

#define SL_PROVIDER_REASON_MAX 320       /* a provider's sentence for a person; longer is cut */
#define SL_PROVIDER_BODY_MAX (64u << 20) /* what leaves: images in base64 are the largest */

/* ---- Asking ---- */

struct sl_provider_ask {
    const struct sl_cloud_provider_config *config;
    const struct sl_cloud_model_config *model; /* NULL: not listed */
    const char *wire_model;
    const json_t *body;      /* canonical; only read */
    bool is_streaming;       /* of this exchange, whatever the client wanted */
    struct sl_slice prefill; /* text of the assistant that the answer goes on from; len 0: none */
    struct sl_slice key;     /* len 0: none */
    const char *traceparent;
};

/* Fills *out (zeroed; the caller clears it, whatever is returned). `url` is written to *url, which
 * *out borrows. Errors: SL_ERR_UNSUPPORTED where this wire form cannot say what the body asks;
 * SL_ERR_LIMIT, SL_ERR_MEMORY. */
enum sl_err sl_provider_build(const struct sl_provider_ask *ask, struct sl_buf *url,
                              struct sl_transfer_request *out,
                              struct sl_error *error) SL_MUST_CHECK;

/* The adapters behind it; each writes the body's JSON. */
enum sl_err sl_provider_openai_body(const struct sl_provider_ask *ask, struct sl_buf *out,
                                    struct sl_error *error) SL_MUST_CHECK;
enum sl_err sl_provider_anthropic_body(const struct sl_provider_ask *ask, struct sl_buf *out,
                                       struct sl_error *error) SL_MUST_CHECK;

/* Appends the compact JSON of `value`. */
enum sl_err sl_provider_append_json(struct sl_buf *out, const json_t *value) SL_MUST_CHECK;

/* ---- Failures ---- */

struct sl_provider_failure {
    enum sl_cloud_outcome outcome;
    bool forbids_retry;                  /* on the same target: used-up quota and the like */
    char reason[SL_PROVIDER_REASON_MAX]; /* the provider's, for the client; may quote the request,
                                          * so it is never logged; "" where it gave none */
};

/* What an error response means. */
void sl_provider_failure_read(int http_status, struct sl_slice body,
                              struct sl_provider_failure *out);
/* The same for an error object inside a 200 or a stream (`{"type","code","message"}`). */
void sl_provider_failure_from_json(int http_status, const json_t *error_object,
                                   struct sl_provider_failure *out);

/* ---- Reading ---- */

#define SL_PROVIDER_BLOCKS_MAX 256 /* content blocks of one Anthropic message */

struct sl_provider_reader {
    enum sl_cloud_kind kind;
    sl_delta_fn sink;
    void *ctx;
    size_t choice_count;       /* expected: n of the request */
    uint32_t finished_choices; /* bit per choice */
    bool has_model;
    bool is_done;         /* [DONE], message_stop, or a whole answer was read */
    size_t content_count; /* events that carried content */
    size_t malformed_count;
    struct sl_usage usage;              /* given to the sink by sl_provider_reader_finish */
    struct sl_provider_failure failure; /* where SL_ERR_UPSTREAM was returned */

    /* Anthropic: which tool call a content block is, and whether it had arguments */
    struct {
        bool is_tool;
        bool has_arguments;
        uint32_t tool_call;
    } blocks[SL_PROVIDER_BLOCKS_MAX];
    uint32_t tool_call_count;
};

void sl_provider_reader_init(struct sl_provider_reader *reader, enum sl_cloud_kind kind,
                             size_t choice_count, sl_delta_fn sink, void *ctx);
/* SL_OK also for an event that is no JSON or of another shape: it is counted and skipped.
 * SL_ERR_UPSTREAM: the provider reported an error, see `failure`. Else what the sink returned. */
enum sl_err sl_provider_read_event(struct sl_provider_reader *reader,
                                   const struct sl_sse_event *event) SL_MUST_CHECK;
/* SL_ERR_FORMAT where it is no answer; else as above. */
enum sl_err sl_provider_read_whole(struct sl_provider_reader *reader,
                                   struct sl_slice json) SL_MUST_CHECK;
/* Every choice ended: the answer is whole, though the usage may still come. */
bool sl_provider_is_finished(const struct sl_provider_reader *reader);
/* Gives the usage to the sink, where it is known: the last delta of an answer. */
enum sl_err sl_provider_reader_finish(struct sl_provider_reader *reader) SL_MUST_CHECK;

enum sl_err sl_provider_openai_event(struct sl_provider_reader *reader,
                                     const json_t *event) SL_MUST_CHECK;
enum sl_err sl_provider_openai_whole(struct sl_provider_reader *reader,
                                     const json_t *answer) SL_MUST_CHECK;
enum sl_err sl_provider_anthropic_event(struct sl_provider_reader *reader,
                                        const json_t *event) SL_MUST_CHECK;
enum sl_err sl_provider_anthropic_whole(struct sl_provider_reader *reader,
                                        const json_t *answer) SL_MUST_CHECK;

/* For the adapters: one delta to the sink, keeping the reader's counts. */
enum sl_err sl_provider_emit(struct sl_provider_reader *reader,
                             const struct sl_delta *delta) SL_MUST_CHECK;
/* Does this body ask the model to reason before it answers (reasoning_effort, thinking)? A model
 * that reasons without being asked cannot be told from here. */
bool sl_provider_asks_reasoning(const json_t *body);
/* The model's name, once. */
enum sl_err sl_provider_emit_model(struct sl_provider_reader *reader,
                                   const json_t *model) SL_MUST_CHECK;
/* A JSON string as a slice; empty where it is none. */
struct sl_slice sl_provider_text(const json_t *value);
/* A count member; 0 where absent or negative. */
uint64_t sl_provider_count(const json_t *object, const char *name);

#endif
