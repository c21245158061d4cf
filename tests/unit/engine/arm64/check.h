/* SPDX-License-Identifier: Apache-2.0
 *
 * The few words of Check that the kernel tests use, for cross-compiled programs: there is no Check
 * for the other architecture on a build machine. A failure ends the program with the same line.
 */
#ifndef SLUICE_ARM64_CHECK_H
#define SLUICE_ARM64_CHECK_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void TFun(void);
typedef struct {
    TFun *tests[64];
    const char *names[64];
    int count;
} TCase;
typedef struct {
    const char *name;
    TCase *tcase;
} Suite;

#define START_TEST(name) static void name(void)
#define END_TEST

#define ck_assert_msg(condition, ...)                                                              \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("not ok %s:%d: ", __FILE__, __LINE__);                                          \
            printf(__VA_ARGS__);                                                                   \
            printf("\n0 passed, 1 failed, 0 skipped\n");                                           \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define ck_assert(condition) ck_assert_msg(condition, "%s", #condition)
#define ck_assert_int_eq(a, b) ck_assert((intmax_t)(a) == (intmax_t)(b))
#define ck_assert_uint_eq(a, b) ck_assert((uintmax_t)(a) == (uintmax_t)(b))
#define ck_assert_uint_ge(a, b) ck_assert((uintmax_t)(a) >= (uintmax_t)(b))
#define ck_assert_float_eq(a, b) ck_assert((float)(a) == (float)(b))
#define ck_assert_double_eq(a, b) ck_assert((double)(a) == (double)(b))
#define ck_assert_double_lt(a, b) ck_assert((double)(a) < (double)(b))
#define ck_assert_double_le(a, b) ck_assert((double)(a) <= (double)(b))
#define ck_assert_double_eq_tol(a, b, t) ck_assert(fabs((double)(a) - (double)(b)) < (double)(t))
#define ck_assert_ptr_nonnull(p) ck_assert((p) != NULL)
#define ck_assert_ptr_null(p) ck_assert((p) == NULL)
#define ck_assert_str_eq(a, b) ck_assert(strcmp(a, b) == 0)
#define ck_assert_mem_eq(a, b, n) ck_assert(memcmp(a, b, n) == 0)

Suite *suite_create(const char *name);
TCase *tcase_create(const char *name);
void tcase_add(TCase *tcase, TFun *test, const char *name);
#define tcase_add_test(tcase, test) tcase_add(tcase, test, #test)
#define tcase_set_timeout(tcase, seconds) ((void)(tcase))
#define suite_add_tcase(suite, added) ((suite)->tcase = (added))

#endif
