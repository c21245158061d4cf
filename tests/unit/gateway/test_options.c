/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include "test_support.h"

#include <stdio.h>
#include <string.h>

static struct sl_options options;
static struct sl_error error;

static void setup(void)
{
    memset(&error, 0, sizeof error);
    sl_options_init(&options);
}

static void teardown(void) { sl_options_clear(&options); }

static const char *write_file(const char *text)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/config.json", sl_test_scratch());
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    return path;
}

START_TEST(defaults_are_safe)
{
    ck_assert_str_eq(options.listen, "127.0.0.1:8080");
    ck_assert(!options.admin_remote);
    ck_assert_uint_eq(options.body_bytes_max, 4u << 20);
    ck_assert_int_eq(options.sources[SL_OPTION_listen], SL_SOURCE_DEFAULT);
}
END_TEST

START_TEST(a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default)
{
    struct sl_arguments arguments;
    char config[600];
    snprintf(config, sizeof config, "--config=%s",
             write_file("{\"workers\": 3, \"threads\": 5, \"queue\": 7}"));
    char *argv[] = {"serve", config, "--workers", "9"};
    char *environment[] = {"SLUICE_WORKERS=8", "SLUICE_THREADS=6", NULL};
    ck_assert_int_eq(sl_options_load(&options, 4, argv, environment, NULL, &arguments, &error),
                     SL_OK);
    ck_assert_uint_eq(options.workers, 9);
    ck_assert_uint_eq(options.threads, 6);
    ck_assert_uint_eq(options.queue, 7);
    ck_assert_int_eq(options.sources[SL_OPTION_workers], SL_SOURCE_FLAG);
    ck_assert_int_eq(options.sources[SL_OPTION_threads], SL_SOURCE_ENVIRONMENT);
    ck_assert_int_eq(options.sources[SL_OPTION_queue], SL_SOURCE_FILE);
    ck_assert_uint_eq(arguments.word_count, 1);
}
END_TEST

START_TEST(sizes_take_suffixes_and_refuse_what_overflows)
{
    ck_assert_int_eq(sl_options_set(&options, "body-bytes-max", "2M", &error), SL_OK);
    ck_assert_uint_eq(options.body_bytes_max, 2u << 20);
    ck_assert_int_eq(sl_options_set(&options, "body-bytes-max", "64KiB", &error), SL_OK);
    ck_assert_uint_eq(options.body_bytes_max, 64u << 10);
    const char *const bad[] = {"", "x", "-1", "1T", "99999999999999999999G", "3MM", "1 M", "0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(sl_options_set(&options, "body_bytes_max", bad[i], &error) == SL_ERR_INVALID,
                      "accepted \"%s\"", bad[i]);
    ck_assert_uint_eq(options.body_bytes_max, 64u << 10);
}
END_TEST

START_TEST(an_error_names_the_source_and_what_was_expected)
{
    struct sl_arguments arguments;
    char *environment[] = {"SLUICE_LOG_LEVEL=loud", NULL};
    ck_assert_int_eq(sl_options_load_environment(&options, environment, &error), SL_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "SLUICE_LOG_LEVEL"));
    ck_assert_ptr_nonnull(strstr(error.message, "debug|info|warn|error"));
    ck_assert_str_eq(error.param, "log_level");
    char *argv[] = {"serve", "--listener-threads", "0"};
    ck_assert_int_eq(sl_options_load(&options, 3, argv, NULL, NULL, &arguments, &error),
                     SL_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "--listener-threads"));
    ck_assert_ptr_nonnull(strstr(error.message, "from 1 to 64"));
}
END_TEST

START_TEST(a_file_with_a_mistake_is_refused_with_its_place)
{
    ck_assert_int_eq(sl_options_load_file(&options, write_file("{\n \"listen\": }"), &error),
                     SL_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "config.json:2:"));
    ck_assert_int_eq(sl_options_load_file(&options, write_file("{\"lisen\": \"x\"}"), &error),
                     SL_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "lisen: no such option"));
    ck_assert_int_eq(sl_options_load_file(&options, write_file("{\"workers\": [1]}"), &error),
                     SL_ERR_INVALID);
    ck_assert_int_eq(sl_options_load_file(&options, write_file("[]"), &error), SL_ERR_INVALID);
    ck_assert_int_eq(sl_options_load_file(&options, "/nonexistent/x.json", &error), SL_ERR_IO);
}
END_TEST

START_TEST(switches_are_turned_off_with_no_and_on_without_a_value)
{
    struct sl_arguments arguments;
    char *argv[] = {"serve", "--no-cache", "--require-keys", "--metrics=false"};
    ck_assert_int_eq(sl_options_load(&options, 4, argv, NULL, NULL, &arguments, &error), SL_OK);
    ck_assert(!options.cache);
    ck_assert(options.require_keys);
    ck_assert(!options.metrics);
    char *bad[] = {"serve", "--no-listen"};
    ck_assert_int_eq(sl_options_load(&options, 2, bad, NULL, NULL, &arguments, &error),
                     SL_ERR_INVALID);
}
END_TEST

START_TEST(a_command_finds_its_own_flags_and_words)
{
    struct sl_arguments arguments;
    struct sl_command_flag flags[] = {
        {"data", "FILE", "", NULL}, {"all", NULL, "", NULL}, {0}};
    char *argv[] = {"calibrate", "--data", "rows.jsonl", "--all", "--json"};
    ck_assert_int_eq(sl_options_load(&options, 5, argv, NULL, flags, &arguments, &error), SL_OK);
    ck_assert_str_eq(flags[0].set_to, "rows.jsonl");
    ck_assert_ptr_nonnull(flags[1].set_to);
    ck_assert(arguments.wants_json);
    char *cut[] = {"calibrate", "--data"};
    ck_assert_int_eq(sl_options_load(&options, 2, cut, NULL, flags, &arguments, &error),
                     SL_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "--data"));
}
END_TEST

START_TEST(printing_the_configuration_hides_secrets_and_names_sources)
{
    struct sl_buf out;
    sl_buf_init(&out, 1 << 20);
    ck_assert_int_eq(
        sl_options_set(&options, "redis-url", "redis://user:hunter2@host/0", &error), SL_OK);
    ck_assert_int_eq(sl_options_print(&options, &out), SL_OK);
    ck_assert_ptr_null(strstr(out.data, "hunter2"));
    ck_assert_ptr_nonnull(strstr(out.data, "(set)"));
    ck_assert_ptr_nonnull(strstr(out.data, "\"from\": \"flag\""));
    sl_buf_reset(&out);
    ck_assert_int_eq(sl_options_help(&out), SL_OK);
    ck_assert_ptr_nonnull(strstr(out.data, "--body-bytes-max BYTES"));
    ck_assert_ptr_nonnull(strstr(out.data, "--[no-]cache"));
    sl_buf_clear(&out);
}
END_TEST

START_TEST(an_empty_variable_counts_as_absent)
{
    char *environment[] = {"SLUICE_LISTEN=", NULL};
    ck_assert_int_eq(sl_options_load_environment(&options, environment, &error), SL_OK);
    ck_assert_str_eq(options.listen, "127.0.0.1:8080");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tcase = tcase_create("options");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, defaults_are_safe);
    tcase_add_test(tcase,
                   a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default);
    tcase_add_test(tcase, sizes_take_suffixes_and_refuse_what_overflows);
    tcase_add_test(tcase, an_error_names_the_source_and_what_was_expected);
    tcase_add_test(tcase, a_file_with_a_mistake_is_refused_with_its_place);
    tcase_add_test(tcase, switches_are_turned_off_with_no_and_on_without_a_value);
    tcase_add_test(tcase, a_command_finds_its_own_flags_and_words);
    tcase_add_test(tcase, printing_the_configuration_hides_secrets_and_names_sources);
    tcase_add_test(tcase, an_empty_variable_counts_as_absent);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
