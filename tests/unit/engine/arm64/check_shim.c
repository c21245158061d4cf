/* SPDX-License-Identifier: Apache-2.0
 *
 * The other half of check.h beside this file, and of tests/support/test_support.h, for one
 * cross-compiled test program.
 */
#include "check.h"
#include "test_support.h"

#include <stdarg.h>

Suite *suite_create(const char *name)
{
    static Suite suite;
    suite.name = name;
    return &suite;
}

TCase *tcase_create(const char *name)
{
    static TCase tcase;
    (void)name;
    return &tcase;
}

void tcase_add(TCase *tcase, TFun *test, const char *name)
{
    ck_assert(tcase->count < 64);
    tcase->tests[tcase->count] = test;
    tcase->names[tcase->count++] = name;
}

int sl_test_main(Suite *suite)
{
    for (int i = 0; i < suite->tcase->count; i++)
        suite->tcase->tests[i]();
    printf("# %s on the cross-compiled target\n", suite->name);
    printf("%d passed, 0 failed, 0 skipped\n", suite->tcase->count);
    return 0;
}

void sl_test_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n0 passed, 0 failed, 1 skipped\n");
    exit(0);
}
