/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/clock.h"
#include "sluice/queue.h"
#include "test_support.h"

#include <pthread.h>
#include <stdatomic.h>

#define ITEMS 20000
#define THREADS 4

START_TEST(items_come_out_in_the_order_they_went_in)
{
    struct sl_queue *queue = sl_queue_create(3);
    int values[7];
    void *item;
    for (int round = 0; round < 7; round++) {
        ck_assert_int_eq(sl_queue_push(queue, &values[round]), SL_QUEUE_DONE);
        ck_assert_int_eq(sl_queue_push(queue, &values[(round + 1) % 7]), SL_QUEUE_DONE);
        ck_assert_int_eq(sl_queue_pop(queue, 0, &item), SL_QUEUE_DONE);
        ck_assert_ptr_eq(item, &values[round]);
        ck_assert_int_eq(sl_queue_pop(queue, 0, &item), SL_QUEUE_DONE);
        ck_assert_ptr_eq(item, &values[(round + 1) % 7]);
    }
    sl_queue_free(queue);
}
END_TEST

START_TEST(a_full_queue_refuses_at_once)
{
    struct sl_queue *queue = sl_queue_create(2);
    int value;
    void *item;
    ck_assert_int_eq(sl_queue_push(queue, &value), SL_QUEUE_DONE);
    ck_assert_int_eq(sl_queue_push(queue, &value), SL_QUEUE_DONE);
    ck_assert_int_eq(sl_queue_push(queue, &value), SL_QUEUE_FULL);
    ck_assert_uint_eq(sl_queue_len(queue), 2);
    ck_assert_int_eq(sl_queue_pop(queue, 0, &item), SL_QUEUE_DONE);
    ck_assert_int_eq(sl_queue_push(queue, &value), SL_QUEUE_DONE);
    sl_queue_free(queue);
}
END_TEST

START_TEST(a_pop_ends_at_its_deadline_and_one_in_the_past_does_not_wait)
{
    struct sl_queue *queue = sl_queue_create(2);
    void *item;
    uint64_t start_ms = sl_monotonic_ms();
    ck_assert_int_eq(sl_queue_pop(queue, 0, &item), SL_QUEUE_TIMEOUT);
    ck_assert_int_eq(sl_queue_pop(queue, start_ms + 5, &item), SL_QUEUE_TIMEOUT);
    ck_assert_uint_ge(sl_monotonic_ms(), start_ms + 5);
    sl_queue_free(queue);
}
END_TEST

START_TEST(a_closed_queue_takes_nothing_and_gives_what_is_left)
{
    struct sl_queue *queue = sl_queue_create(2);
    int value;
    void *item;
    ck_assert_int_eq(sl_queue_push(queue, &value), SL_QUEUE_DONE);
    sl_queue_close(queue);
    ck_assert_int_eq(sl_queue_push(queue, &value), SL_QUEUE_CLOSED);
    ck_assert_int_eq(sl_queue_pop(queue, SL_DEADLINE_NEVER, &item), SL_QUEUE_DONE);
    ck_assert_int_eq(sl_queue_pop(queue, SL_DEADLINE_NEVER, &item), SL_QUEUE_CLOSED);
    sl_queue_free(queue);
    sl_queue_free(NULL);
}
END_TEST

static atomic_ulong popped_sum;

static void *produce(void *context)
{
    for (uintptr_t i = 1; i <= ITEMS; i++)
        while (sl_queue_push(context, (void *)i) == SL_QUEUE_FULL)
            sched_yield();
    return NULL;
}

static void *consume(void *context)
{
    void *item;
    while (sl_queue_pop(context, SL_DEADLINE_NEVER, &item) == SL_QUEUE_DONE)
        atomic_fetch_add(&popped_sum, (uintptr_t)item);
    return NULL;
}

START_TEST(many_threads_lose_and_double_nothing)
{
    struct sl_queue *queue = sl_queue_create(16);
    pthread_t producers[THREADS];
    pthread_t consumers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&producers[i], NULL, produce, queue);
        pthread_create(&consumers[i], NULL, consume, queue);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(producers[i], NULL);
    sl_queue_close(queue);
    for (int i = 0; i < THREADS; i++)
        pthread_join(consumers[i], NULL);
    ck_assert_uint_eq(popped_sum, (unsigned long)THREADS * ITEMS * (ITEMS + 1) / 2);
    sl_queue_free(queue);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queue");
    TCase *tcase = tcase_create("queue");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, items_come_out_in_the_order_they_went_in);
    tcase_add_test(tcase, a_full_queue_refuses_at_once);
    tcase_add_test(tcase, a_pop_ends_at_its_deadline_and_one_in_the_past_does_not_wait);
    tcase_add_test(tcase, a_closed_queue_takes_nothing_and_gives_what_is_left);
    tcase_add_test(tcase, many_threads_lose_and_double_nothing);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
