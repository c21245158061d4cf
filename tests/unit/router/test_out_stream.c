/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/out_stream.h"

#include "sluice/clock.h"
#include "test_support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static atomic_int wakes;

static void count_wake(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&wakes, 1);
}

static enum sl_out_outcome read_text(struct sl_out *out, char *text, size_t size)
{
    size_t len;
    enum sl_out_outcome outcome = sl_out_read(out, text, size - 1, &len);
    text[len] = '\0';
    return outcome;
}

START_TEST(nothing_is_read_before_the_gate_opens)
{
    char text[64];
    struct sl_out *out = sl_out_create(1024, count_wake, NULL);
    ck_assert(sl_out_write(out, SL_SLICE("held"), 0) == SL_OK);
    ck_assert_int_eq(read_text(out, text, sizeof text), SL_OUT_WOULD_BLOCK);
    sl_out_open(out);
    ck_assert_int_eq(read_text(out, text, sizeof text), SL_OUT_BYTES);
    ck_assert_str_eq(text, "held");
    sl_out_free(out);
}
END_TEST

START_TEST(what_is_held_can_be_thrown_away)
{
    char text[64];
    struct sl_out *out = sl_out_create(1024, NULL, NULL);
    ck_assert(sl_out_write(out, SL_SLICE("local words"), 0) == SL_OK);
    sl_out_discard(out);
    ck_assert(sl_out_write(out, SL_SLICE("cloud words"), 0) == SL_OK);
    sl_out_open(out);
    ck_assert_int_eq(read_text(out, text, sizeof text), SL_OUT_BYTES);
    ck_assert_str_eq(text, "cloud words");
    sl_out_free(out);
}
END_TEST

START_TEST(an_end_is_clean_and_an_abort_is_a_cut)
{
    char text[64];
    struct sl_out *clean = sl_out_create(1024, NULL, NULL);
    sl_out_open(clean);
    ck_assert(sl_out_write(clean, SL_SLICE("x"), 0) == SL_OK);
    sl_out_end(clean);
    ck_assert_int_eq(read_text(clean, text, sizeof text), SL_OUT_BYTES);
    ck_assert_int_eq(read_text(clean, text, sizeof text), SL_OUT_ENDED);
    sl_out_free(clean);
    struct sl_out *cut = sl_out_create(1024, NULL, NULL);
    sl_out_open(cut);
    sl_out_abort(cut);
    ck_assert_int_eq(read_text(cut, text, sizeof text), SL_OUT_CUT);
    sl_out_free(cut);
}
END_TEST

START_TEST(the_reader_is_woken_once_for_bytes_it_has_not_seen)
{
    char text[64];
    struct sl_out *out = sl_out_create(1024, count_wake, NULL);
    sl_out_open(out);
    atomic_store(&wakes, 0);
    ck_assert(sl_out_write(out, SL_SLICE("a"), 0) == SL_OK);
    ck_assert(sl_out_write(out, SL_SLICE("b"), 0) == SL_OK);
    ck_assert_int_eq(atomic_load(&wakes), 1);
    read_text(out, text, sizeof text);
    ck_assert(sl_out_write(out, SL_SLICE("c"), 0) == SL_OK);
    ck_assert_int_eq(atomic_load(&wakes), 2);
    sl_out_free(out);
}
END_TEST

START_TEST(more_than_the_cap_is_refused_and_what_was_there_stays)
{
    char text[64];
    struct sl_out *out = sl_out_create(4, NULL, NULL);
    ck_assert(sl_out_write(out, SL_SLICE("1234"), 0) == SL_OK);
    ck_assert_int_eq(sl_out_write(out, SL_SLICE("5"), 0), SL_ERR_LIMIT);
    sl_out_open(out);
    read_text(out, text, sizeof text);
    ck_assert_str_eq(text, "1234");
    sl_out_free(out);
}
END_TEST

/* Writes until it is told to stop; a slow client must make it wait, not grow without bound. */
static void *write_much(void *arg)
{
    static char block[16384];
    memset(block, 'x', sizeof block);
    enum sl_err err = SL_OK;
    for (int i = 0; i < 64 && err == SL_OK; i++)
        err = sl_out_write(arg, (struct sl_slice){block, sizeof block}, SL_DEADLINE_NEVER);
    sl_out_end(arg);
    return err == SL_OK ? NULL : arg;
}

START_TEST(a_slow_reader_gets_every_byte_while_the_writer_waits)
{
    static char text[10000];
    pthread_t writer;
    size_t total = 0;
    void *failed;
    struct sl_out *out = sl_out_create(1 << 20, NULL, NULL);
    sl_out_open(out);
    ck_assert_int_eq(pthread_create(&writer, NULL, write_much, out), 0);
    enum sl_out_outcome outcome;
    do {
        size_t len;
        outcome = sl_out_read(out, text, sizeof text, &len);
        total += len;
    } while (outcome == SL_OUT_BYTES || outcome == SL_OUT_WOULD_BLOCK);
    pthread_join(writer, &failed);
    ck_assert_ptr_null(failed);
    ck_assert_int_eq(outcome, SL_OUT_ENDED);
    ck_assert_uint_eq(total, 64u * 16384u);
    sl_out_free(out);
}
END_TEST

START_TEST(a_client_that_leaves_frees_the_waiting_writer)
{
    pthread_t writer;
    void *failed;
    struct sl_out *out = sl_out_create(1 << 20, NULL, NULL);
    sl_out_open(out);
    ck_assert_int_eq(pthread_create(&writer, NULL, write_much, out), 0);
    sl_out_cancel(out);
    pthread_join(writer, &failed);
    ck_assert_ptr_nonnull(failed);
    sl_out_free(out);
}
END_TEST

START_TEST(a_writer_gives_up_at_its_deadline)
{
    static char block[200000];
    struct sl_out *out = sl_out_create(1 << 20, NULL, NULL);
    sl_out_open(out);
    struct sl_slice bytes = {block, sizeof block};
    ck_assert(sl_out_write(out, bytes, sl_monotonic_ms() + 20) == SL_OK);
    ck_assert_int_eq(sl_out_write(out, bytes, sl_monotonic_ms() + 20), SL_ERR_TIMEOUT);
    ck_assert_msg(sl_out_write(out, bytes, 0) == SL_OK, "a writer that may not wait goes on");
    sl_out_free(out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("out_stream");
    TCase *tcase = tcase_create("out_stream");
    tcase_add_test(tcase, nothing_is_read_before_the_gate_opens);
    tcase_add_test(tcase, what_is_held_can_be_thrown_away);
    tcase_add_test(tcase, an_end_is_clean_and_an_abort_is_a_cut);
    tcase_add_test(tcase, the_reader_is_woken_once_for_bytes_it_has_not_seen);
    tcase_add_test(tcase, more_than_the_cap_is_refused_and_what_was_there_stays);
    tcase_add_test(tcase, a_slow_reader_gets_every_byte_while_the_writer_waits);
    tcase_add_test(tcase, a_client_that_leaves_frees_the_waiting_writer);
    tcase_add_test(tcase, a_writer_gives_up_at_its_deadline);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
