/* SPDX-License-Identifier: Apache-2.0
 *
 * Every vocabulary under engine/tokenizers: ids of each text with and without special tokens, the
 * text of those ids, and the special ids of the file, all identical to the reference
 * implementation's. Prints one line a vocabulary; any difference fails.
 */
#include "sluice/buf.h"
#include "sluice/utf8.h"
#include "test_support.h"
#include "tokenizer.h"

#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SEPARATOR "\n__ggml_vocab_test__\n"

struct score {
    unsigned passed;
    unsigned total;
};

/* One vocabulary; the paths differ in what follows `.gguf`. */
struct subject {
    char path[1024];
    const char *name;
    struct sl_gguf *gguf;
    struct sl_tokenizer *tokenizer;
    struct score plain; /* .inp against .out */
    struct score ids;
    struct score special;
    struct score text;
    struct score roles;
};

static void count(struct score *score, bool is_same)
{
    score->total++;
    score->passed += is_same;
}

static void show_ids(const char *label, const int32_t *ids, size_t len)
{
    printf("#   %s:", label);
    for (size_t i = 0; i < len && i < 40; i++)
        printf(" %d", ids[i]);
    printf("\n");
}

static bool same_ids(const struct subject *subject, struct sl_slice text, bool special,
                     const int32_t *expected, size_t expected_count)
{
    struct sl_tokens tokens = {0};
    struct sl_error error = {0};
    ck_assert_int_eq(
        sl_tokenizer_encode(subject->tokenizer, text, special, special, &tokens, &error), SL_OK);
    bool is_same = tokens.count == expected_count &&
                   (expected_count == 0 ||
                    memcmp(tokens.ids, expected, expected_count * sizeof *expected) == 0);
    if (!is_same) {
        printf("# %s: text \"%.*s\"\n", subject->name, SL_SLICE_ARG(text));
        show_ids("expected", expected, expected_count);
        show_ids("got     ", tokens.ids, tokens.count);
    }
    sl_tokens_clear(&tokens);
    return is_same;
}

/* ---- .inp and .out ---- */

static int32_t *parse_ids(char *line, size_t *len)
{
    int32_t *ids = malloc((strlen(line) / 2 + 2) * sizeof *ids);
    char *end;
    *len = 0;
    for (long id = strtol(line, &end, 10); end != line; id = strtol(line, &end, 10)) {
        ids[(*len)++] = (int32_t)id;
        line = end;
    }
    return ids;
}

static void check_plain(struct subject *subject)
{
    char path[1100];
    snprintf(path, sizeof path, "%s.inp", subject->path);
    if (access(path, R_OK) != 0)
        return;
    size_t len;
    char *inputs = sl_test_read_file(path, &len);
    snprintf(path, sizeof path, "%s.out", subject->path);
    char *outputs = sl_test_read_file(path, &len);
    char *lines = outputs;
    for (char *text = inputs; text != NULL;) {
        char *next = strstr(text, SEPARATOR);
        size_t text_len = next != NULL ? (size_t)(next - text) : strlen(text);
        char *line = strsep(&lines, "\n");
        ck_assert_msg(line != NULL, "%s: fewer lines than texts", path);
        size_t expected_count;
        int32_t *expected = parse_ids(line, &expected_count);
        count(&subject->plain, same_ids(subject, (struct sl_slice){text, text_len}, false,
                                        expected, expected_count));
        free(expected);
        text = next != NULL ? next + strlen(SEPARATOR) : NULL;
    }
    free(inputs);
    free(outputs);
}

/* ---- .extra.json ---- */

static int32_t *json_ids(const json_t *array, size_t *len)
{
    *len = json_array_size(array);
    int32_t *ids = malloc((*len + 1) * sizeof *ids);
    for (size_t i = 0; i < *len; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return ids;
}

/* As the reference data was written: bytes that are no UTF-8 show as U+FFFD. */
static void replace_invalid(struct sl_slice text, struct sl_buf *out)
{
    for (size_t at = 0; at < text.len;) {
        size_t step = sl_utf8_sequence_len(text.data + at, text.len - at);
        if (step > 0)
            ck_assert_int_eq(sl_buf_append(out, text.data + at, step), SL_OK);
        else
            ck_assert_int_eq(sl_buf_append_text(out, "\xEF\xBF\xBD"), SL_OK);
        at += step > 0 ? step : 1;
    }
}

static bool same_text(const struct subject *subject, const int32_t *ids, size_t len,
                      const json_t *expected)
{
    struct sl_buf raw;
    struct sl_buf shown;
    sl_buf_init(&raw, 1 << 20);
    sl_buf_init(&shown, 1 << 21);
    ck_assert_int_eq(sl_tokenizer_decode(subject->tokenizer, ids, len, false, &raw), SL_OK);
    replace_invalid(sl_buf_slice(&raw), &shown);
    struct sl_slice want = {json_string_value(expected), json_string_length(expected)};
    bool is_same = sl_slice_equal(sl_buf_slice(&shown), want);
    if (!is_same)
        printf("# %s: text of ids\n#   expected: \"%.*s\"\n#   got:      \"%.*s\"\n", subject->name,
               SL_SLICE_ARG(want), SL_SLICE_ARG(sl_buf_slice(&shown)));
    sl_buf_clear(&raw);
    sl_buf_clear(&shown);
    return is_same;
}

static void check_roles(struct subject *subject, const json_t *extra)
{
    const struct sl_tokenizer *tokenizer = subject->tokenizer;
    count(&subject->roles, sl_tokenizer_vocab_size(tokenizer) ==
                               (uint32_t)json_integer_value(json_object_get(extra, "n_tokens")));
    count(&subject->roles, sl_tokenizer_bos(tokenizer) ==
                               (int32_t)json_integer_value(json_object_get(extra, "bos")));
    count(&subject->roles, sl_tokenizer_eos(tokenizer) ==
                               (int32_t)json_integer_value(json_object_get(extra, "eos")));
    count(&subject->roles, sl_tokenizer_adds_bos(tokenizer) ==
                               json_is_true(json_object_get(extra, "add_bos")));
    count(&subject->roles, sl_tokenizer_adds_eos(tokenizer) ==
                               json_is_true(json_object_get(extra, "add_eos")));
}

static void check_case(struct subject *subject, const json_t *item)
{
    const json_t *text = json_object_get(item, "text");
    struct sl_slice slice = {json_string_value(text), json_string_length(text)};
    size_t len;
    int32_t *ids = json_ids(json_object_get(item, "ids"), &len);
    count(&subject->ids, same_ids(subject, slice, false, ids, len));
    count(&subject->text, same_text(subject, ids, len, json_object_get(item, "detok")));
    free(ids);
    ids = json_ids(json_object_get(item, "ids_special"), &len);
    count(&subject->special, same_ids(subject, slice, true, ids, len));
    free(ids);
}

static void check_extra(struct subject *subject)
{
    char path[1100];
    snprintf(path, sizeof path, "%.*s.extra.json", (int)strlen(subject->path) - 5, subject->path);
    if (access(path, R_OK) != 0)
        return;
    json_error_t json_error;
    json_t *extra = json_load_file(path, JSON_ALLOW_NUL, &json_error);
    ck_assert_msg(extra != NULL, "%s: %s", path, json_error.text);
    check_roles(subject, extra);
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(extra, "cases"), i, item)
        check_case(subject, item);
    json_decref(extra);
}

static bool check_vocabulary(const char *path)
{
    struct subject subject = {0};
    snprintf(subject.path, sizeof subject.path, "%s", path);
    subject.name = strrchr(path, '/') + 1;
    struct sl_error error = {0};
    ck_assert_msg(sl_gguf_open(path, &subject.gguf, &error) == SL_OK, "%s", error.message);
    ck_assert_msg(sl_tokenizer_create(subject.gguf, &subject.tokenizer, &error) == SL_OK, "%s: %s",
                  subject.name, error.message);
    check_plain(&subject);
    check_extra(&subject);
    printf("# %-34s %3u/%-3u %3u/%-3u %3u/%-3u %3u/%-3u %u/%u\n", subject.name,
           subject.plain.passed, subject.plain.total, subject.ids.passed, subject.ids.total,
           subject.special.passed, subject.special.total, subject.text.passed, subject.text.total,
           subject.roles.passed, subject.roles.total);
    sl_tokenizer_free(subject.tokenizer);
    sl_gguf_close(subject.gguf);
    return subject.plain.passed == subject.plain.total && subject.ids.passed == subject.ids.total &&
           subject.special.passed == subject.special.total &&
           subject.text.passed == subject.text.total && subject.roles.passed == subject.roles.total;
}

START_TEST(every_vocabulary_gives_the_reference_ids)
{
    char pattern[1024];
    snprintf(pattern, sizeof pattern, "%s/*.gguf", sl_test_reference("engine/tokenizers"));
    glob_t files;
    ck_assert_msg(glob(pattern, 0, NULL, &files) == 0, "no vocabulary at %s", pattern);
    printf("# %-34s %-7s %-7s %-7s %-7s %s\n", "vocabulary", "plain", "ids", "special", "text",
           "roles");
    size_t failed = 0;
    for (size_t i = 0; i < files.gl_pathc; i++)
        failed += !check_vocabulary(files.gl_pathv[i]);
    printf("# %zu of %zu vocabularies identical\n", files.gl_pathc - failed, files.gl_pathc);
    globfree(&files);
    ck_assert_uint_eq(failed, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizers");
    TCase *tcase = tcase_create("tokenizers");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, every_vocabulary_gives_the_reference_ids);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
