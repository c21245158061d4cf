/* SPDX-License-Identifier: Apache-2.0 */
#include "access_log.h"
#include "api.h"
#include "edge.h"

#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct sl_router *router;
static struct sl_request *req;

static void ignore_wake(void *ctx) { (void)ctx; }

static void setup(void)
{
    struct sl_error error = {0};
    struct sl_router_config config = {.edge = {.parse = sl_edge_parse}, .workers = 1};
    ck_assert_int_eq(sl_router_create(&config, &router, &error), SL_OK);
    req = sl_request_create(router, &sl_wire_openai, ignore_wake, NULL);
    req->input.remote_address = "192.0.2.7";
    req->input.body =
        SL_SLICE("{\"messages\":[{\"role\":\"user\",\"content\":\"planted-secret\"}]}");
    req->auth.app = "pho\"ne";
    req->auth.route.name = "default";
    snprintf(req->id, sizeof req->id, "req_1");
    req->respond.status = 200;
    req->started_ns = 1000000;
    req->stage_start_ns[SL_STAGE_PARSE] = 1000000;
    req->stage_end_ns[SL_STAGE_PARSE] = 3007000;
}

static void teardown(void)
{
    sl_request_release(req);
    sl_router_close(router, 0);
}

static void line(bool is_json, struct sl_buf *out)
{
    sl_buf_init(out, 4096);
    ck_assert_int_eq(sl_access_line(req, is_json, 1700000000042, 13500000, out), SL_OK);
}

START_TEST(a_json_line_is_one_object_with_numbers_and_words)
{
    struct sl_buf out;
    ck_assert_int_eq(sl_edge_parse(req), SL_STEP_NEXT);
    line(true, &out);
    json_t *root = json_loads(out.data, 0, NULL);
    ck_assert_msg(root != NULL, "%s", out.data);
    ck_assert_str_eq(json_string_value(json_object_get(root, "time")), "2023-11-14T22:13:20.042Z");
    ck_assert_str_eq(json_string_value(json_object_get(root, "app")), "pho\"ne");
    ck_assert_int_eq(json_integer_value(json_object_get(root, "status")), 200);
    ck_assert_double_eq_tol(json_real_value(json_object_get(root, "ms")), 12.5, 1e-9);
    ck_assert_double_eq_tol(
        json_real_value(json_object_get(json_object_get(root, "stages_ms"), "parse")), 2.007, 1e-9);
    ck_assert_ptr_null(json_object_get(root, "error"));
    json_decref(root);
    sl_buf_clear(&out);
}
END_TEST

START_TEST(a_text_line_shows_the_error_word_and_the_stages)
{
    struct sl_buf out;
    sl_error_set(&req->error, SL_ERR_RATE_LIMIT, NULL);
    req->respond.status = 429;
    line(false, &out);
    ck_assert_ptr_nonnull(strstr(out.data, " openai 429 none 12.500ms "));
    ck_assert_ptr_nonnull(strstr(out.data, "error=rate_limit_exceeded"));
    ck_assert_ptr_nonnull(strstr(out.data, "[parse=2.007]"));
    ck_assert_ptr_nonnull(strstr(out.data, "remote=192.0.2.7"));
    sl_buf_clear(&out);
}
END_TEST

START_TEST(no_line_holds_a_word_of_the_request)
{
    struct sl_buf out;
    ck_assert_int_eq(sl_edge_parse(req), SL_STEP_NEXT);
    for (int is_json = 0; is_json < 2; is_json++) {
        line(is_json == 1, &out);
        ck_assert_ptr_null(strstr(out.data, "planted"));
        sl_buf_clear(&out);
    }
}
END_TEST

START_TEST(lines_reach_the_file_by_the_time_the_log_is_closed)
{
    struct sl_access_log *log;
    struct sl_error error = {0};
    char path[512];
    snprintf(path, sizeof path, "%s/access.log", sl_test_scratch());
    ck_assert_int_eq(sl_access_log_open(path, true, &log, &error), SL_OK);
    for (int i = 0; i < 100; i++)
        sl_access_log_write(log, req);
    sl_access_log_close(log);
    char *text = sl_test_read_file(path, NULL);
    size_t count = 0;
    for (char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        count++;
    ck_assert_uint_eq(count, 100);
    free(text);
    ck_assert_int_eq(sl_access_log_open("/nonexistent/folder/x", true, &log, &error), SL_ERR_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "access_log: /nonexistent"));
}
END_TEST

START_TEST(a_rotated_file_is_opened_anew)
{
    struct sl_access_log *log;
    struct sl_error error = {0};
    struct stat stamp;
    char path[512], old[520];
    snprintf(path, sizeof path, "%s/access.log", sl_test_scratch());
    snprintf(old, sizeof old, "%s.1", path);
    ck_assert_int_eq(sl_access_log_open(path, false, &log, &error), SL_OK);
    ck_assert_int_eq(rename(path, old), 0);
    sl_access_log_reopen(log);
    sl_access_log_write(log, req);
    sl_access_log_close(log);
    ck_assert_int_eq(stat(path, &stamp), 0);
    ck_assert_int_eq(stat(old, &stamp), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("access_log");
    TCase *tcase = tcase_create("access_log");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_json_line_is_one_object_with_numbers_and_words);
    tcase_add_test(tcase, a_text_line_shows_the_error_word_and_the_stages);
    tcase_add_test(tcase, no_line_holds_a_word_of_the_request);
    tcase_add_test(tcase, lines_reach_the_file_by_the_time_the_log_is_closed);
    tcase_add_test(tcase, a_rotated_file_is_opened_anew);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
