/* SPDX-License-Identifier: Apache-2.0
 *
 * Event framing: the examples of WHATWG HTML section 9.2, and every way to cut a stream in two.
 */
#include "sse_parser.h"
#include "test_support.h"

#include <stdlib.h>

/* Events written as "name|data;" one after the other. */
static enum sl_err note_event(void *ctx, const struct sl_sse_event *event)
{
    return sl_buf_printf(ctx, "%.*s|%.*s;", SL_SLICE_ARG(event->name), SL_SLICE_ARG(event->data));
}

/* Feeds `text` in pieces of `piece` bytes. */
static char *parse(struct sl_slice text, size_t piece, bool finishes)
{
    struct sl_sse_parser parser;
    struct sl_buf seen;
    sl_buf_init(&seen, 1 << 16);
    ck_assert_int_eq(sl_buf_append_text(&seen, ""), SL_OK);
    sl_sse_parser_init(&parser, 1 << 12, note_event, &seen);
    for (size_t at = 0; at < text.len; at += piece) {
        size_t len = text.len - at < piece ? text.len - at : piece;
        /* A copy of the exact size, so that a read past a piece is seen. */
        char *copy = malloc(len);
        memcpy(copy, text.data + at, len);
        ck_assert_int_eq(sl_sse_parser_feed(&parser, (struct sl_slice){copy, len}), SL_OK);
        free(copy);
    }
    if (finishes)
        ck_assert_int_eq(sl_sse_parser_finish(&parser), SL_OK);
    sl_sse_parser_clear(&parser);
    return sl_buf_take(&seen, NULL);
}

static const struct {
    const char *text;
    const char *events;
} samples[] = {
    {"data: a\n\n", "|a;"},
    {"data: YHOO\ndata: +2\ndata: 10\n\n", "|YHOO\n+2\n10;"},
    {": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
     "|first event;|second event;| third event;"},
    {"data\n\ndata\ndata\n\ndata:", "|;|\n;"}, /* the last is not closed */
    {"data:test\n\ndata: test\n\n", "|test;|test;"},
    {"event: add\r\ndata: 1\r\n\r\nevent: del\rdata: 2\r\rdata: 3\n\r\n", "add|1;del|2;|3;"},
    {"\xEF\xBB\xBF"
     "data: bom\n\n",
     "|bom;"},
    {"data: x\n\xEF\xBB\xBF"
     "data: y\n\n",
     "|x;"}, /* a mark inside is part of a name */
    {"retry: 10\nunknown: z\nevent: lost\n\ndata: kept\n\n", "|kept;"},
    {"data: {\"a\":\"b:c\"}\n\n", "|{\"a\":\"b:c\"};"},
    {"\n\n\n", ""},
};

START_TEST(events_are_framed_as_the_standard_says)
{
    char *events = parse(sl_slice_of(samples[_i].text), 1 << 20, false);
    ck_assert_str_eq(events, samples[_i].events);
    free(events);
}
END_TEST

START_TEST(cuts_anywhere_change_nothing)
{
    struct sl_slice text = sl_slice_of(samples[_i].text);
    for (size_t piece = 1; piece <= text.len; piece++) {
        char *events = parse(text, piece, false);
        ck_assert_str_eq(events, samples[_i].events);
        free(events);
    }
}
END_TEST

START_TEST(a_clean_end_gives_out_an_event_that_was_not_closed)
{
    char *events = parse(SL_SLICE("data: a\n\ndata: b"), 3, true);
    ck_assert_str_eq(events, "|a;|b;");
    free(events);
}
END_TEST

START_TEST(a_line_and_an_event_have_a_cap)
{
    struct sl_sse_parser parser;
    struct sl_buf seen;
    char *long_line = malloc(9000);
    memset(long_line, 'x', 9000);
    sl_buf_init(&seen, 1 << 16);
    sl_sse_parser_init(&parser, 4096, note_event, &seen);
    ck_assert_int_eq(sl_sse_parser_feed(&parser, (struct sl_slice){long_line, 9000}), SL_ERR_LIMIT);
    sl_sse_parser_clear(&parser);

    enum sl_err err = SL_OK;
    sl_sse_parser_init(&parser, 4096, note_event, &seen);
    for (int i = 0; i < 2000 && err == SL_OK; i++)
        err = sl_sse_parser_feed(&parser, SL_SLICE("data: 0123456789\n"));
    ck_assert_int_eq(err, SL_ERR_LIMIT);
    sl_sse_parser_clear(&parser);
    sl_buf_clear(&seen);
    free(long_line);
}
END_TEST

static enum sl_err refuse(void *ctx, const struct sl_sse_event *event)
{
    (void)event;
    ++*(int *)ctx;
    return SL_ERR_CANCELLED;
}

START_TEST(a_reader_that_refuses_ends_the_feed)
{
    int count = 0;
    struct sl_sse_parser parser;
    sl_sse_parser_init(&parser, 4096, refuse, &count);
    ck_assert_int_eq(sl_sse_parser_feed(&parser, SL_SLICE("data: a\n\ndata: b\n\n")),
                     SL_ERR_CANCELLED);
    ck_assert_int_eq(count, 1);
    sl_sse_parser_clear(&parser);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sse_parser");
    TCase *tcase = tcase_create("sse_parser");
    int count = (int)(sizeof samples / sizeof samples[0]);
    tcase_add_loop_test(tcase, events_are_framed_as_the_standard_says, 0, count);
    tcase_add_loop_test(tcase, cuts_anywhere_change_nothing, 0, count);
    tcase_add_test(tcase, a_clean_end_gives_out_an_event_that_was_not_closed);
    tcase_add_test(tcase, a_line_and_an_event_have_a_cap);
    tcase_add_test(tcase, a_reader_that_refuses_ends_the_feed);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
