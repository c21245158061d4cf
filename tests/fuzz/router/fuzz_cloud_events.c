/* SPDX-License-Identifier: Apache-2.0
 *
 * What a provider streams, from bytes to answer: event framing, both wire forms, the adding up. The
 * first byte picks the wire form, the second the size of the pieces. Whatever the pieces, the
 * answer must be the same as from one piece.
 */
#include "provider.h"
#include "sse_parser.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum sl_err keep(void *ctx, const struct sl_delta *delta)
{
    return sl_answer_add(ctx, delta, NULL);
}

static enum sl_err read_event(void *ctx, const struct sl_sse_event *event)
{
    return sl_provider_read_event(ctx, event);
}

/* The answer as JSON; *err is what reading ended with. */
static void read_stream(enum sl_cloud_kind kind, struct sl_slice bytes, size_t piece,
                        enum sl_err *err, struct sl_buf *json)
{
    struct sl_answer *answer = malloc(sizeof *answer);
    struct sl_provider_reader *reader = malloc(sizeof *reader);
    struct sl_sse_parser parser;
    if (answer == NULL || reader == NULL)
        abort();
    sl_answer_init(answer, 1 << 16);
    sl_provider_reader_init(reader, kind, 1, keep, answer);
    sl_sse_parser_init(&parser, 1 << 14, read_event, reader);
    *err = SL_OK;
    for (size_t at = 0; at < bytes.len && *err == SL_OK; at += piece) {
        size_t len = bytes.len - at < piece ? bytes.len - at : piece;
        *err = sl_sse_parser_feed(&parser, (struct sl_slice){bytes.data + at, len});
    }
    if (*err == SL_OK)
        *err = sl_sse_parser_finish(&parser);
    if (*err == SL_OK)
        *err = sl_provider_reader_finish(reader);
    sl_buf_init(json, 16u << 20);
    if (sl_answer_encode(answer, false, json) != SL_OK)
        abort();
    sl_sse_parser_clear(&parser);
    sl_answer_clear(answer);
    free(answer);
    free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    enum sl_cloud_kind kind = data[0] % 2 == 0 ? SL_CLOUD_KIND_OPENAI : SL_CLOUD_KIND_ANTHROPIC;
    struct sl_slice bytes = {(const char *)data + 2, size - 2};
    struct sl_buf whole, pieces;
    enum sl_err whole_err, pieces_err;
    read_stream(kind, bytes, bytes.len + 1, &whole_err, &whole);
    read_stream(kind, bytes, (size_t)data[1] + 1, &pieces_err, &pieces);
    if (whole_err != pieces_err || !sl_slice_equal(sl_buf_slice(&whole), sl_buf_slice(&pieces)))
        abort();
    sl_buf_clear(&whole);
    sl_buf_clear(&pieces);
    return 0;
}
