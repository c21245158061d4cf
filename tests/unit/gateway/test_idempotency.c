/* SPDX-License-Identifier: Apache-2.0 */
#include "idempotency.h"

#include "test_support.h"

static struct sl_idempotency *store;
static int wakes;

static void count_wake(void *ctx)
{
    (void)ctx;
    wakes++;
}

static void setup(void)
{
    wakes = 0;
    store = sl_idempotency_create(4, 64);
}

static void teardown(void) { sl_idempotency_free(store); }

static enum sl_idempotency_outcome claim(const char *scope, const char *key, const char *body,
                                         uint64_t now_ms, struct sl_idempotency_ticket **ticket)
{
    struct sl_idempotency_claim given = {.scope = sl_slice_of(scope),
                                         .path = SL_SLICE("/v1/x"),
                                         .key = sl_slice_of(key),
                                         .body = sl_slice_of(body),
                                         .now_ms = now_ms,
                                         .wake = count_wake};
    return sl_idempotency_claim(store, &given, ticket);
}

static struct sl_idempotency_answer answer_of(const char *body)
{
    static const struct sl_header header = {{"x-a", 3}, {"b", 1}};
    return (struct sl_idempotency_answer){
        .status = 200, .headers = &header, .header_count = 1, .body = sl_slice_of(body)};
}

START_TEST(a_retry_of_a_running_request_joins_it_and_is_woken_with_its_answer)
{
    struct sl_idempotency_ticket *first, *second;
    struct sl_idempotency_answer answer = answer_of("done"), got;
    ck_assert_int_eq(claim("a", "k", "b", 1, &first), SL_IDEMPOTENCY_FIRST);
    ck_assert_int_eq(claim("a", "k", "b", 2, &second), SL_IDEMPOTENCY_JOINED);
    ck_assert(sl_idempotency_is_pending(second));
    sl_idempotency_settle(first, &answer);
    ck_assert_int_eq(wakes, 1);
    ck_assert(sl_idempotency_result(second, &got));
    ck_assert(sl_slice_equal_text(got.body, "done"));
    ck_assert_int_eq(got.status, 200);
    ck_assert(sl_slice_equal_text(got.headers[0].name, "x-a"));
    sl_idempotency_release(first);
    ck_assert(sl_slice_equal_text(got.body, "done"));
    sl_idempotency_release(second);
}
END_TEST

START_TEST(a_retry_afterwards_gets_the_same_answer_and_another_body_is_a_conflict)
{
    struct sl_idempotency_ticket *first, *again, *other;
    struct sl_idempotency_answer answer = answer_of(""), got;
    ck_assert_int_eq(claim("a", "k", "b", 1, &first), SL_IDEMPOTENCY_FIRST);
    sl_idempotency_record(first, SL_SLICE("one "));
    sl_idempotency_record(first, SL_SLICE("two"));
    sl_idempotency_settle(first, &answer);
    sl_idempotency_release(first);
    ck_assert_int_eq(claim("a", "k", "b", 2, &again), SL_IDEMPOTENCY_DONE);
    ck_assert(sl_idempotency_result(again, &got));
    ck_assert(sl_slice_equal_text(got.body, "one two"));
    sl_idempotency_release(again);
    ck_assert_int_eq(claim("a", "k", "B", 2, &other), SL_IDEMPOTENCY_CONFLICT);
    ck_assert_ptr_null(other);
}
END_TEST

START_TEST(a_first_one_that_failed_leaves_the_key_free)
{
    struct sl_idempotency_ticket *first, *second, *third;
    struct sl_idempotency_answer got;
    ck_assert_int_eq(claim("a", "k", "b", 1, &first), SL_IDEMPOTENCY_FIRST);
    ck_assert_int_eq(claim("a", "k", "b", 1, &second), SL_IDEMPOTENCY_JOINED);
    sl_idempotency_release(first); /* not settled: its client left, or it was cut */
    ck_assert_int_eq(wakes, 1);
    ck_assert(!sl_idempotency_is_pending(second));
    ck_assert(!sl_idempotency_result(second, &got));
    sl_idempotency_release(second);
    ck_assert_int_eq(claim("a", "k", "b", 1, &third), SL_IDEMPOTENCY_FIRST);
    sl_idempotency_release(third);
}
END_TEST

START_TEST(keys_of_different_credentials_never_meet)
{
    struct sl_idempotency_ticket *one, *two;
    ck_assert_int_eq(claim("alice", "k", "b", 1, &one), SL_IDEMPOTENCY_FIRST);
    ck_assert_int_eq(claim("bob", "k", "b", 1, &two), SL_IDEMPOTENCY_FIRST);
    sl_idempotency_release(one);
    sl_idempotency_release(two);
    /* Lengths are hashed too: moving a byte between two fields is another key. */
    ck_assert_int_eq(claim("al", "icek", "b", 1, &one), SL_IDEMPOTENCY_FIRST);
    ck_assert_int_eq(claim("alice", "k", "b", 1, &two), SL_IDEMPOTENCY_FIRST);
    sl_idempotency_release(one);
    sl_idempotency_release(two);
}
END_TEST

START_TEST(a_full_store_forgets_the_oldest_answer_but_never_a_running_request)
{
    struct sl_idempotency_ticket *running[4], *more;
    static const char *const names[] = {"1", "2", "3", "4"};
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(claim("a", names[i], "b", 1, &running[i]), SL_IDEMPOTENCY_FIRST);
    ck_assert_int_eq(claim("a", "5", "b", 1, &more), SL_IDEMPOTENCY_OFF);
    ck_assert_ptr_null(more);
    struct sl_idempotency_answer answer = answer_of("x");
    sl_idempotency_settle(running[0], &answer);
    ck_assert_int_eq(claim("a", "5", "b", 1, &more), SL_IDEMPOTENCY_FIRST);
    sl_idempotency_release(more);
    for (size_t i = 0; i < 4; i++)
        sl_idempotency_release(running[i]);
}
END_TEST

START_TEST(a_follower_that_leaves_is_not_woken)
{
    struct sl_idempotency_ticket *first, *second;
    ck_assert_int_eq(claim("a", "k", "b", 1, &first), SL_IDEMPOTENCY_FIRST);
    ck_assert_int_eq(claim("a", "k", "b", 1, &second), SL_IDEMPOTENCY_JOINED);
    sl_idempotency_release(second);
    sl_idempotency_release(first);
    ck_assert_int_eq(wakes, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("idempotency");
    TCase *tcase = tcase_create("idempotency");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_retry_of_a_running_request_joins_it_and_is_woken_with_its_answer);
    tcase_add_test(tcase, a_retry_afterwards_gets_the_same_answer_and_another_body_is_a_conflict);
    tcase_add_test(tcase, a_first_one_that_failed_leaves_the_key_free);
    tcase_add_test(tcase, keys_of_different_credentials_never_meet);
    tcase_add_test(tcase, a_full_store_forgets_the_oldest_answer_but_never_a_running_request);
    tcase_add_test(tcase, a_follower_that_leaves_is_not_woken);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
