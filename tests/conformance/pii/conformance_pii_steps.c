/* SPDX-License-Identifier: Apache-2.0
 *
 * Scanning and restoring are linear in any text: the work of 256 KB is at most four times that of
 * 64 KB, and a little (a key block of 32 KB is the farthest that anything looks). Work is counted,
 * not timed: the sources of router/pii are compiled into this program with
 * -fsanitize-coverage=trace-pc, which calls the function below at each basic block. The counts are
 * the same on a busy machine and an idle one.
 */
#include "pii/vault.h"
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL (64u << 10)
#define LARGE (256u << 10)

void __sanitizer_cov_trace_pc(void);
static uint64_t steps;

void __sanitizer_cov_trace_pc(void)
{
    steps++;
}

/* Each is repeated to the length wanted; NULL: random bytes of `alphabet`. */
static const char *const patterns[] = {"1",           "@",
                                       "<",           ":",
                                       "=",           "a",
                                       "A",           "\"",
                                       ".",           "-",
                                       "(",           "\\",
                                       "\xC3",        "\xE2",
                                       "a@a@a@",      "a.b",
                                       "1.",          "1-",
                                       "+1",          "1(0)",
                                       "::",          "0:",
                                       "aa:",         "[at] ",
                                       "a at a dot ", "eyJa.",
                                       "key=",        "password is ",
                                       "http://",     "-----BEGIN PRIVATE KEY-----",
                                       "a://a:a@",    "www.",
                                       "xoxb-",       "DE89 ",
                                       "Anna Berg, ", "name anna ",
                                       "12 May ",     "born 1.1.",
                                       "ABC 12 ",     "A1",
                                       "a='",         "\xE2\x80\x8B",
                                       NULL};

static const char alphabet[] = "19@<>:=aAt.-+/([ \"'\\x&%_\nENeyJ";

static void fill(char *text, size_t len, const char *pattern)
{
    size_t width = pattern != NULL ? strlen(pattern) : 0;
    srand(3);
    for (size_t i = 0; i < len; i++)
        text[i] = width > 0 ? pattern[i % width] : alphabet[(size_t)rand() % (sizeof alphabet - 1)];
}

static void is_linear(const char *what, const char *pattern, uint64_t small, uint64_t large)
{
    printf("# %-8s %-16.16s %6.1f blocks a byte\n", what,
           pattern == NULL                        ? "(mixed)"
           : pattern[0] < 0 || pattern[0] == '\n' ? "(bytes)"
                                                  : pattern,
           (double)large / LARGE);
    /* Four, but for what the end of a text adds; what grows with the square grows by sixteen. */
    ck_assert_msg(large <= small * 6 + 50000, "%s of \"%s\": %llu blocks, %llu for a quarter", what,
                  pattern == NULL ? "(mixed)" : pattern, (unsigned long long)large,
                  (unsigned long long)small);
}

static uint64_t scan_steps(const struct sl_pii_detector *detector, const char *text, size_t len)
{
    struct sl_pii_spans spans = {0};
    uint64_t before = steps;
    ck_assert_int_eq(sl_pii_scan(detector, (struct sl_slice){text, len}, &spans, NULL), SL_OK);
    sl_pii_spans_clear(&spans);
    return steps - before;
}

START_TEST(scanning_is_linear_in_any_text)
{
    struct sl_pii_rules rules;
    struct sl_pii_detector *detector;
    char *text = malloc(LARGE);
    sl_pii_rules_init(&rules);
    rules.spans_max = 10000000;
    for (size_t i = 0; i < SL_PII_TYPE_COUNT; i++)
        rules.types[i].is_on = true;
    ck_assert_int_eq(sl_pii_detector_create(&rules, &detector, NULL), SL_OK);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        fill(text, LARGE, patterns[i]);
        uint64_t small = scan_steps(detector, text, SMALL);
        is_linear("scan", patterns[i], small, scan_steps(detector, text, LARGE));
    }
    ck_assert_msg(steps > LARGE, "the blocks are not counted");
    sl_pii_detector_free(detector);
    free(text);
}
END_TEST

static uint64_t restore_steps(const struct sl_vault *vault, enum sl_restore_mode mode,
                              struct sl_slice text, struct sl_buf *out)
{
    struct sl_restorer *restorer = sl_restorer_create(vault, mode, SL_TOLERATE_ALL);
    uint64_t before = steps;
    sl_buf_reset(out);
    for (size_t at = 0; at < text.len; at += 7) {
        size_t len = text.len - at < 7 ? text.len - at : 7;
        ck_assert_int_eq(
            sl_restorer_feed(restorer, (struct sl_slice){text.data + at, len}, out, NULL), SL_OK);
    }
    ck_assert_int_eq(sl_restorer_flush(restorer, out, NULL), SL_OK);
    sl_restorer_free(restorer);
    return steps - before;
}

START_TEST(restoring_is_linear_in_any_text)
{
    static const char *const texts[] = {
        "<",    "<EMAIL_", "<EMAIL_1", "<EMAIL_1>",  "EMAIL_",   "E", "&lt;",
        "&",    "%3C",     "\\",       "\\u003c",    "\\u00",    "[", "\xEF\xBC\x9C",
        "\xE2", "< ",      "\\<",      "<EMAIL_1\\", "EMAIL_1 ", NULL};
    struct sl_vault *vault = sl_vault_create();
    struct sl_buf out;
    char *text = malloc(LARGE);
    sl_buf_init(&out, 64u << 20);
    for (char c = 'a'; c <= 'z'; c++)
        ck_assert_ptr_nonnull(pii_vault_put(vault, SL_PII_EMAIL, "EMAIL", (struct sl_slice){&c, 1},
                                            true, (struct sl_slice){0}));
    ck_assert(pii_vault_seal(vault));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        enum sl_restore_mode mode = _i == 0 ? SL_RESTORE_TEXT : SL_RESTORE_JSON_STRING;
        fill(text, LARGE, texts[i]);
        uint64_t small = restore_steps(vault, mode, (struct sl_slice){text, SMALL}, &out);
        is_linear("restore", texts[i], small,
                  restore_steps(vault, mode, (struct sl_slice){text, LARGE}, &out));
    }
    sl_buf_clear(&out);
    sl_vault_free(vault);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pii steps");
    TCase *tcase = tcase_create("steps");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, scanning_is_linear_in_any_text);
    tcase_add_loop_test(tcase, restoring_is_linear_in_any_text, 0, 2);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
