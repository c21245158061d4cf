/* SPDX-License-Identifier: Apache-2.0
 *
 * What every Check program of Sluice shares: a main that prints TAP and counts skips, the path of
 * the reference data, and a scratch folder.
 *
 *     START_TEST(a_queue_that_is_full_refuses) { ... } END_TEST
 *
 *     int main(void)
 *     {
 *         Suite *suite = suite_create("queue");
 *         TCase *tcase = tcase_create("queue");
 *         tcase_add_test(tcase, a_queue_that_is_full_refuses);
 *         suite_add_tcase(suite, tcase);
 *         return sl_test_main(suite);
 *     }
 */
#ifndef SLUICE_TEST_SUPPORT_H
#define SLUICE_TEST_SUPPORT_H

#include <check.h>
#include <stddef.h>

/* Runs the suite, prints one line a failure and the closing line
 * `N passed, N failed, N skipped`, and returns the exit status. */
int sl_test_main(Suite *suite);

/* Ends the running test as skipped, with the reason. Does not return. */
void sl_test_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* `SLUICE_REFERENCE` (default: ../shared/reference beside the source tree) + "/" + name, or skips
 * the running test where it is absent. The string lives until the program ends. */
const char *sl_test_reference(const char *name);

/* A fresh empty folder for the running test, removed with all it holds when the program ends. */
const char *sl_test_scratch(void);

/* The whole file, NUL added; fails the running test where it cannot be read. free() it. */
char *sl_test_read_file(const char *path, size_t *len_out);

/* From now on no write of the running test takes a file past `bytes`: what is longer is cut there,
 * and what starts behind fails, as on a full disk. SIZE_MAX ends it; until then assert nothing,
 * since Check writes down each assertion in a file of its own. */
void sl_test_limit_files(size_t bytes);

#endif
