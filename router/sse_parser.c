/* SPDX-License-Identifier: Apache-2.0
 *
 * The event-stream framing of sse_parser.h. Owns the bytes of an unfinished line and event; leaves
 * what an event means to the providers. A line that lies whole in one piece is read where it is,
 * without a copy: the usual case.
 *
 * Invariants: 1. `line` holds no CR or LF. 2. `data` has no trailing newline.
 */
#include "sse_parser.h"

#include <string.h>

#define EVENT_NAME_MAX 256 /* providers' longest is content_block_start */

void sl_sse_parser_init(struct sl_sse_parser *parser, size_t event_bytes_max,
                        sl_sse_event_fn on_event, void *ctx)
{
    *parser = (struct sl_sse_parser){.on_event = on_event, .ctx = ctx};
    sl_buf_init(&parser->line, event_bytes_max);
    sl_buf_init(&parser->data, event_bytes_max);
    sl_buf_init(&parser->name, EVENT_NAME_MAX);
}

void sl_sse_parser_clear(struct sl_sse_parser *parser)
{
    sl_buf_wipe(&parser->line);
    sl_buf_wipe(&parser->data);
    sl_buf_wipe(&parser->name);
}

static enum sl_err dispatch(struct sl_sse_parser *parser)
{
    enum sl_err err = SL_OK;
    if (parser->has_data) {
        struct sl_sse_event event = {.name = sl_buf_slice(&parser->name),
                                     .data = sl_buf_slice(&parser->data)};
        err = parser->on_event(parser->ctx, &event);
    }
    parser->has_data = false;
    sl_buf_reset(&parser->data);
    sl_buf_reset(&parser->name);
    return err;
}

static enum sl_err take_field(struct sl_sse_parser *parser, struct sl_slice field,
                              struct sl_slice value)
{
    enum sl_err err = SL_OK;
    if (sl_slice_equal(field, SL_SLICE("data"))) {
        if (parser->has_data)
            err = sl_buf_append_char(&parser->data, '\n');
        parser->has_data = true;
        return err == SL_OK ? sl_buf_append_slice(&parser->data, value) : err;
    }
    if (sl_slice_equal(field, SL_SLICE("event"))) {
        sl_buf_reset(&parser->name);
        return sl_buf_append_slice(&parser->name, value);
    }
    return SL_OK; /* id, retry and what the standard does not name */
}

static enum sl_err take_line(struct sl_sse_parser *parser, struct sl_slice line)
{
    if (!parser->is_past_start) {
        parser->is_past_start = true;
        if (sl_slice_starts_with(line, SL_SLICE("\xEF\xBB\xBF")))
            line = (struct sl_slice){line.data + 3, line.len - 3};
    }
    if (line.len == 0)
        return dispatch(parser);
    if (line.data[0] == ':')
        return SL_OK; /* a comment: keeps the connection alive */
    const char *colon = memchr(line.data, ':', line.len);
    if (colon == NULL)
        return take_field(parser, line, SL_SLICE(""));
    struct sl_slice field = {line.data, (size_t)(colon - line.data)};
    struct sl_slice value = {colon + 1, line.len - field.len - 1};
    if (value.len > 0 && value.data[0] == ' ')
        value = (struct sl_slice){value.data + 1, value.len - 1};
    return take_field(parser, field, value);
}

/* Bytes up to the first CR or LF; `len` where there is none. */
static size_t line_len(const char *data, size_t len)
{
    const char *newline = memchr(data, '\n', len);
    size_t end = newline != NULL ? (size_t)(newline - data) : len;
    const char *carriage = memchr(data, '\r', end);
    return carriage != NULL ? (size_t)(carriage - data) : end;
}

enum sl_err sl_sse_parser_feed(struct sl_sse_parser *parser, struct sl_slice bytes)
{
    enum sl_err err = SL_OK;
    while (bytes.len > 0 && err == SL_OK) {
        if (parser->skips_newline && bytes.data[0] == '\n') {
            bytes = (struct sl_slice){bytes.data + 1, bytes.len - 1};
            parser->skips_newline = false;
            continue;
        }
        parser->skips_newline = false;
        size_t len = line_len(bytes.data, bytes.len);
        bool is_whole = len < bytes.len;
        struct sl_slice line = {bytes.data, len};
        if (parser->line.len > 0 || !is_whole) {
            err = sl_buf_append_slice(&parser->line, line);
            line = sl_buf_slice(&parser->line);
        }
        if (is_whole && err == SL_OK) {
            parser->skips_newline = bytes.data[len] == '\r';
            err = take_line(parser, line);
            sl_buf_reset(&parser->line);
        }
        size_t used = is_whole ? len + 1 : len;
        bytes = (struct sl_slice){bytes.data + used, bytes.len - used};
    }
    return err;
}

enum sl_err sl_sse_parser_finish(struct sl_sse_parser *parser)
{
    enum sl_err err = SL_OK;
    if (parser->line.len > 0) {
        err = take_line(parser, sl_buf_slice(&parser->line));
        sl_buf_reset(&parser->line);
    }
    return err == SL_OK ? dispatch(parser) : err;
}
