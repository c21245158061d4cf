/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/log.h"
#include "sluice/utf8.h"
#include "test_support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static FILE *sink;

static void log_to_file(enum sl_log_level level_min, bool is_json)
{
    sink = tmpfile();
    ck_assert_ptr_nonnull(sink);
    sl_log_configure(fileno(sink), level_min, is_json);
}

static char *logged(void)
{
    char *text = calloc(1, 1 << 20);
    rewind(sink);
    size_t len = fread(text, 1, (1 << 20) - 1, sink);
    text[len] = '\0';
    return text;
}

START_TEST(a_text_line_has_time_level_component_and_message)
{
    log_to_file(SL_LOG_LEVEL_INFO, false);
    SL_LOG_DEBUG("part", "hidden");
    SL_LOG_WARN("part", "value %d", 7);
    char *text = logged();
    ck_assert_uint_eq(strspn(text, "0123456789-"), 10);
    ck_assert_int_eq(text[23], 'Z');
    ck_assert_str_eq(text + 24, " warn  part: value 7\n");
    ck_assert(sl_log_enabled(SL_LOG_LEVEL_INFO) && !sl_log_enabled(SL_LOG_LEVEL_DEBUG));
    free(text);
}
END_TEST

START_TEST(a_json_line_is_one_escaped_object)
{
    log_to_file(SL_LOG_LEVEL_DEBUG, true);
    SL_LOG_ERROR("part", "a \"quoted\"\nname");
    char *text = logged();
    ck_assert_ptr_nonnull(strstr(text, "\"level\":\"error\",\"component\":\"part\","
                                       "\"message\":\"a \\\"quoted\\\"\\nname\"}\n"));
    free(text);
}
END_TEST

START_TEST(no_message_can_forge_a_second_line)
{
    log_to_file(SL_LOG_LEVEL_DEBUG, false);
    SL_LOG_INFO("part", "file %s", "x\n2026-01-01T00:00:00.000Z error part: forged\r\x1b[2J");
    char *text = logged();
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
    ck_assert_ptr_null(strchr(text, '\x1b'));
    free(text);
}
END_TEST

START_TEST(a_message_of_any_length_is_one_line)
{
    char *huge = malloc(100000);
    memset(huge, '"', 99999);
    huge[99999] = '\0';
    log_to_file(SL_LOG_LEVEL_DEBUG, true);
    SL_LOG_INFO("part", "%s", huge);
    char *text = logged();
    ck_assert_uint_gt(strlen(text), 1000);
    ck_assert_ptr_nonnull(strstr(text, "\"}\n"));
    free(text);
    free(huge);
}
END_TEST

static void *chatter(void *context)
{
    for (int i = 0; i < 500; i++)
        SL_LOG_INFO("part", "%s", (const char *)context);
    return NULL;
}

START_TEST(lines_of_several_threads_do_not_mix)
{
    static char words[2][200];
    pthread_t threads[2];
    log_to_file(SL_LOG_LEVEL_DEBUG, false);
    for (int i = 0; i < 2; i++) {
        memset(words[i], 'a' + i, sizeof words[i] - 1);
        pthread_create(&threads[i], NULL, chatter, words[i]);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    char *text = logged();
    size_t lines = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"), lines++)
        ck_assert(strcmp(strrchr(line, ' ') + 1, words[0]) == 0 ||
                  strcmp(strrchr(line, ' ') + 1, words[1]) == 0);
    ck_assert_uint_eq(lines, 1000);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("log");
    tcase_add_test(tcase, a_text_line_has_time_level_component_and_message);
    tcase_add_test(tcase, a_json_line_is_one_escaped_object);
    tcase_add_test(tcase, no_message_can_forge_a_second_line);
    tcase_add_test(tcase, a_message_of_any_length_is_one_line);
    tcase_add_test(tcase, lines_of_several_threads_do_not_mix);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
