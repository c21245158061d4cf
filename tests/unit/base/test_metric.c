/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/metric.h"
#include "test_support.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const char *rendered(void)
{
    static struct sl_buf out;
    sl_buf_clear(&out);
    sl_buf_init(&out, 1 << 20);
    ck_assert_int_eq(sl_metric_render(&out), SL_OK);
    return out.data;
}

static void assert_rendered(const char *line)
{
    ck_assert_msg(strstr(rendered(), line) != NULL, "not rendered: %s", line);
}

START_TEST(counters_and_gauges_render_with_their_labels)
{
    struct sl_metric *counter = sl_metric_counter("t_requests_total", "Requests.",
                                                  (const char *const[]){"api", "route", NULL});
    struct sl_metric *gauge = sl_metric_gauge("t_inflight", "In flight.", NULL);
    sl_metric_add(counter, 1, (const char *const[]){"openai", "local"});
    sl_metric_add(counter, 2, (const char *const[]){"openai", "local"});
    sl_metric_add(counter, 1, (const char *const[]){"openai", "cloud"});
    sl_metric_set(gauge, 5, NULL);
    sl_metric_add(gauge, -1.5, NULL);
    assert_rendered("# HELP t_requests_total Requests.\n# TYPE t_requests_total counter\n");
    assert_rendered("\nt_requests_total{api=\"openai\",route=\"local\"} 3\n");
    assert_rendered("\nt_requests_total{api=\"openai\",route=\"cloud\"} 1\n");
    assert_rendered("\nt_inflight 3.5\n");
}
END_TEST

START_TEST(a_histogram_counts_each_value_in_every_bucket_that_holds_it)
{
    static const double bounds[] = {0.1, 1};
    struct sl_metric *histogram = sl_metric_histogram("t_seconds", "Time.", NULL, bounds, 2);
    sl_metric_observe(histogram, 0.1, NULL); /* a bound belongs to its bucket */
    sl_metric_observe(histogram, 0.5, NULL);
    sl_metric_observe(histogram, 7, NULL);
    assert_rendered("\nt_seconds_bucket{le=\"0.1\"} 1\n");
    assert_rendered("\nt_seconds_bucket{le=\"1\"} 2\n");
    assert_rendered("\nt_seconds_bucket{le=\"+Inf\"} 3\n");
    assert_rendered("\nt_seconds_count 3\n");
    ck_assert_double_eq(sl_series_value(sl_metric_series(histogram, NULL)), 3);
}
END_TEST

START_TEST(registering_a_name_again_gives_the_same_metric)
{
    static const double bounds[] = {1};
    struct sl_metric *first = sl_metric_histogram("t_again", "Once.", NULL, bounds, 1);
    sl_metric_observe(first, 2, NULL);
    ck_assert_ptr_eq(first, sl_metric_histogram("t_again", "Once.", NULL, bounds, 1));
    assert_rendered("\nt_again_count 1\n");
}
END_TEST

START_TEST(label_values_are_escaped)
{
    struct sl_metric *gauge =
        sl_metric_gauge("t_escaped", "Escapes.", (const char *const[]){"v", NULL});
    sl_metric_set(gauge, 1, (const char *const[]){"a\"b\\c\nd"});
    assert_rendered("t_escaped{v=\"a\\\"b\\\\c\\nd\"} 1\n");
}
END_TEST

START_TEST(a_metric_with_too_many_series_drops_and_counts_the_rest)
{
    struct sl_metric *counter =
        sl_metric_counter("t_many", "Many.", (const char *const[]){"n", NULL});
    for (int i = 0; i < 300; i++) {
        char value[8];
        snprintf(value, sizeof value, "%d", i);
        sl_metric_add(counter, 1, (const char *const[]){value});
    }
    assert_rendered("t_many{n=\"255\"} 1\n");
    ck_assert_ptr_null(strstr(rendered(), "t_many{n=\"256\"}"));
    assert_rendered("sluice_metric_series_dropped_total 44\n");
    sl_series_add(NULL, 1); /* what a dropped series is */
    sl_series_observe(NULL, 1);
    sl_series_set(NULL, 1);
}
END_TEST

static void *count_up(void *context)
{
    for (int i = 0; i < 10000; i++)
        sl_metric_add(context, 1, (const char *const[]){i % 2 ? "odd" : "even"});
    return NULL;
}

static void *scrape(void *context)
{
    (void)context;
    for (int i = 0; i < 50; i++) {
        struct sl_buf out;
        sl_buf_init(&out, 1 << 20);
        if (sl_metric_render(&out) != SL_OK)
            return "failed";
        sl_buf_clear(&out);
        sl_metric_gauge("t_late", "Registered while others render.", NULL);
    }
    return NULL;
}

START_TEST(threads_add_and_render_at_once_and_nothing_is_lost)
{
    struct sl_metric *counter =
        sl_metric_counter("t_threads", "Threads.", (const char *const[]){"n", NULL});
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, i < 3 ? count_up : scrape, counter);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_rendered("t_threads{n=\"odd\"} 15000\n");
    assert_rendered("t_threads{n=\"even\"} 15000\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metric");
    TCase *tcase = tcase_create("metric");
    tcase_add_test(tcase, counters_and_gauges_render_with_their_labels);
    tcase_add_test(tcase, a_histogram_counts_each_value_in_every_bucket_that_holds_it);
    tcase_add_test(tcase, registering_a_name_again_gives_the_same_metric);
    tcase_add_test(tcase, label_values_are_escaped);
    tcase_add_test(tcase, a_metric_with_too_many_series_drops_and_counts_the_rest);
    tcase_add_test(tcase, threads_add_and_render_at_once_and_nothing_is_lost);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
