/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/pii.h"
#include "test_support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[512];
static struct sl_pii_detector *detector;
static struct sl_pii_ledger *ledger;

static void set_up(void)
{
    struct sl_pii_rules rules;
    struct sl_error error = {0};
    snprintf(path, sizeof path, "%s/egress.jsonl", sl_test_scratch());
    remove(path);
    sl_pii_rules_init(&rules);
    ck_assert_int_eq(sl_pii_detector_create(&rules, &detector, &error), SL_OK);
    ck_assert_int_eq(sl_pii_ledger_open(path, &ledger, &error), SL_OK);
}

static void tear_down(void)
{
    sl_pii_ledger_close(ledger);
    sl_pii_detector_free(detector);
}

static void append(const char *app, int64_t time_ms, unsigned emails)
{
    struct sl_pii_report report = {0};
    struct sl_error error = {0};
    report.counts[SL_PII_EMAIL] = emails;
    struct sl_pii_ledger_entry entry = {
        .time_ms = time_ms,
        .request_id = SL_SLICE("r1"),
        .app = sl_slice_of(app),
        .provider = SL_SLICE("openai"),
        .model = SL_SLICE("gpt"),
        .policy_hash = SL_SLICE("sha256:ab"),
        .bytes = 100,
        .report = &report,
    };
    ck_assert_msg(sl_pii_ledger_append(ledger, detector, &entry, &error) == SL_OK, "%s",
                  error.message);
}

/* What sl_pii_ledger_print says; free() it. */
static char *print(struct sl_pii_ledger_query query)
{
    char *text = NULL;
    size_t len = 0;
    struct sl_error error = {0};
    FILE *out = open_memstream(&text, &len);
    ck_assert_msg(sl_pii_ledger_print(path, &query, out, &error) == SL_OK, "%s", error.message);
    fclose(out);
    return text;
}

START_TEST(a_line_has_counts_and_no_text)
{
    append("crm \"x\"", 1700000000123, 2);
    char *text = print((struct sl_pii_ledger_query){.as_json = true});
    ck_assert_str_eq(text,
                     "{\"time\":\"2023-11-14T22:13:20.123Z\",\"time_ms\":1700000000123,"
                     "\"request_id\":\"r1\",\"app\":\"crm \\\"x\\\"\",\"provider\":\"openai\","
                     "\"model\":\"gpt\",\"policy\":\"sha256:ab\",\"bytes\":100,"
                     "\"pii\":{\"EMAIL\":2}}\n");
    free(text);
}
END_TEST

START_TEST(a_query_chooses_by_time_and_app)
{
    append("a", 1000, 1);
    append("b", 2000, 1);
    append("a", 3000, 4);
    char *text = print((struct sl_pii_ledger_query){.app = "a", .since_ms = 2500});
    ck_assert_ptr_nonnull(strstr(text, "1 requests, 100 bytes sent; EMAIL=4"));
    free(text);
}
END_TEST

START_TEST(a_cut_line_is_skipped_and_said)
{
    append("a", 1000, 1);
    FILE *file = fopen(path, "a");
    fputs("{\"time\":\"20", file);
    fclose(file);
    char *text = print((struct sl_pii_ledger_query){0});
    ck_assert_ptr_nonnull(strstr(text, "1 requests"));
    ck_assert_ptr_nonnull(strstr(text, "1 lines could not be read"));
    free(text);
}
END_TEST

static enum sl_err try_append(const char *app)
{
    struct sl_error error = {0};
    struct sl_pii_ledger_entry entry = {.app = sl_slice_of(app), .bytes = 100};
    return sl_pii_ledger_append(ledger, detector, &entry, &error);
}

static void check_all_but_a_cut_one(const char *totals)
{
    char *text = print((struct sl_pii_ledger_query){0});
    ck_assert_ptr_nonnull(strstr(text, totals));
    ck_assert_ptr_nonnull(strstr(text, "1 lines could not be read"));
    free(text);
}

START_TEST(a_line_that_a_crash_cut_costs_no_other)
{
    struct sl_error error = {0};
    append("a", 1000, 1);
    append("a", 2000, 1);
    size_t len;
    free(sl_test_read_file(path, &len));
    sl_pii_ledger_close(ledger);
    ck_assert_int_eq(truncate(path, (off_t)len - 5), 0);
    ck_assert_int_eq(sl_pii_ledger_open(path, &ledger, &error), SL_OK);
    append("a", 3000, 1);
    append("a", 4000, 1);
    check_all_but_a_cut_one("3 requests");
}
END_TEST

START_TEST(a_line_that_a_full_disk_cut_is_an_error_and_costs_no_other)
{
    append("a", 1000, 1);
    size_t len;
    free(sl_test_read_file(path, &len));
    sl_test_limit_files(len + 20);
    enum sl_err cut = try_append("a"), lost = try_append("a");
    sl_test_limit_files(SIZE_MAX);
    ck_assert_int_eq(cut, SL_ERR_IO);
    ck_assert_int_eq(lost, SL_ERR_IO);
    append("a", 2000, 1);
    append("a", 3000, 1);
    check_all_but_a_cut_one("3 requests");
}
END_TEST

START_TEST(a_missing_ledger_is_not_found)
{
    struct sl_error error = {0};
    struct sl_pii_ledger_query query = {0};
    ck_assert_int_eq(sl_pii_ledger_print("/nonexistent/ledger", &query, stdout, &error),
                     SL_ERR_NOT_FOUND);
}
END_TEST

static void *append_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++)
        append("thread", 5000 + i, 1);
    return NULL;
}

START_TEST(lines_of_threads_do_not_mix)
{
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, append_many, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    char *text = print((struct sl_pii_ledger_query){0});
    ck_assert_ptr_nonnull(strstr(text, "800 requests, 80000 bytes sent; EMAIL=800"));
    ck_assert_ptr_null(strstr(text, "could not be read"));
    free(text);
}
END_TEST

/* ---- the scan command ---------------------------------------------------------------------- */

static int command(const char *input, enum sl_pii_scan_format format, char **out, char **err)
{
    size_t out_len = 0;
    size_t err_len = 0;
    FILE *in = fmemopen((void *)(uintptr_t)input, strlen(input), "r");
    FILE *out_file = open_memstream(out, &out_len);
    FILE *err_file = open_memstream(err, &err_len);
    int status = sl_pii_scan_command(detector, format, in, out_file, err_file);
    fclose(in);
    fclose(out_file);
    fclose(err_file);
    return status;
}

START_TEST(rows_in_are_rows_out)
{
    char *out;
    char *err;
    ck_assert_int_eq(
        command("{\"id\":\"1\",\"text\":\"\xC3\xBC a@x.org\"}\n{\"id\":\"2\",\"text\":\"\"}\n",
                SL_PII_SCAN_JSONL, &out, &err),
        0);
    ck_assert_str_eq(out, "{\"id\":\"1\",\"spans\":[{\"start\":3,\"end\":10,\"type\":\"EMAIL\","
                          "\"score\":1.00}]}\n{\"id\":\"2\",\"spans\":[]}\n");
    free(out);
    free(err);
}
END_TEST

START_TEST(a_bad_row_fails_with_its_line_number)
{
    char *out;
    char *err;
    ck_assert_int_eq(
        command("{\"id\":\"1\",\"text\":\"x\"}\n{\"id\":2}\n", SL_PII_SCAN_JSONL, &out, &err), 1);
    ck_assert_ptr_nonnull(strstr(err, "line 2"));
    free(out);
    free(err);
}
END_TEST

START_TEST(text_comes_out_scrubbed_with_a_table)
{
    char *out;
    char *err;
    ck_assert_int_eq(command("mail a@x.org", SL_PII_SCAN_TEXT, &out, &err), 0);
    ck_assert_ptr_nonnull(strstr(out, "mail <EMAIL_1>"));
    ck_assert_ptr_nonnull(strstr(out, "EMAIL                    mask"));
    ck_assert_ptr_nonnull(strstr(out, "1 found"));
    free(out);
    free(err);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pii ledger and scan command");
    TCase *tcase = tcase_create("ledger");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_line_has_counts_and_no_text);
    tcase_add_test(tcase, a_query_chooses_by_time_and_app);
    tcase_add_test(tcase, a_cut_line_is_skipped_and_said);
    tcase_add_test(tcase, a_line_that_a_crash_cut_costs_no_other);
    tcase_add_test(tcase, a_line_that_a_full_disk_cut_is_an_error_and_costs_no_other);
    tcase_add_test(tcase, a_missing_ledger_is_not_found);
    tcase_add_test(tcase, lines_of_threads_do_not_mix);
    tcase_add_test(tcase, rows_in_are_rows_out);
    tcase_add_test(tcase, a_bad_row_fails_with_its_line_number);
    tcase_add_test(tcase, text_comes_out_scrubbed_with_a_table);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
