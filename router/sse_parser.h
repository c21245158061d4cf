/* SPDX-License-Identifier: Apache-2.0
 *
 * Event framing of text/event-stream (WHATWG HTML section 9.2.6), fed with pieces cut anywhere.
 *
 *     struct sl_sse_parser parser;
 *     sl_sse_parser_init(&parser, 1 << 20, on_event, ctx);
 *     sl_sse_parser_feed(&parser, bytes);      // calls on_event for each whole event
 *     sl_sse_parser_finish(&parser);           // the stream ended cleanly
 *     sl_sse_parser_clear(&parser);
 *
 * Where it is kinder than the standard: at a clean end an event without its closing empty line is
 * still given out, because providers forget it. `id` and `retry` are read over: a provider's answer
 * cannot be asked for again.
 */
#ifndef SLUICE_SSE_PARSER_H
#define SLUICE_SSE_PARSER_H

#include "sluice/buf.h"

struct sl_sse_event {
    struct sl_slice name; /* "" where the event has none (the standard's "message") */
    struct sl_slice data; /* lines joined by '\n' */
};
/* Slices are borrowed for the call. Anything but SL_OK ends the feed with that value. */
typedef enum sl_err (*sl_sse_event_fn)(void *ctx, const struct sl_sse_event *event);

struct sl_sse_parser {
    sl_sse_event_fn on_event;
    void *ctx;
    struct sl_buf line; /* an unfinished line */
    struct sl_buf data;
    struct sl_buf name;
    bool has_data;      /* a data field was seen, if only an empty one */
    bool skips_newline; /* the last line ended with CR: a following LF belongs to it */
    bool is_past_start; /* a byte order mark may come only first */
};

/* `event_bytes_max` caps a line and the data of an event. */
void sl_sse_parser_init(struct sl_sse_parser *parser, size_t event_bytes_max,
                        sl_sse_event_fn on_event, void *ctx);
void sl_sse_parser_clear(struct sl_sse_parser *parser); /* wipes */
/* SL_ERR_LIMIT past the cap, SL_ERR_MEMORY, or what `on_event` returned. The parser is of no
 * further use after an error. */
enum sl_err sl_sse_parser_feed(struct sl_sse_parser *parser, struct sl_slice bytes) SL_MUST_CHECK;
enum sl_err sl_sse_parser_finish(struct sl_sse_parser *parser) SL_MUST_CHECK;

#endif
