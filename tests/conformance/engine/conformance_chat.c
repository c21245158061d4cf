/* SPDX-License-Identifier: Apache-2.0
 *
 * Every chat template under engine/chat, rendered for each of its cases: identical text, or the
 * same refusal. Prints one line a template; any difference fails.
 */
#include "chat_template.h"
#include "test_support.h"

#include <glob.h>
#include <stdio.h>

#define PROMPT_BYTES_MAX (1u << 20)

struct subject {
    const char *name;
    const json_t *file;
    struct sl_chat_template *template;
    struct tm now;
};

static struct sl_slice text_field(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return (struct sl_slice){json_string_value(value), json_string_length(value)};
}

/* What the case has beyond the fields of the format is a variable of the template. */
static json_t *extra_variables(const json_t *item)
{
    static const char *const known[] = {"case", "messages", "tools", "add_generation_prompt",
                                        "expected", "raises", "llamacpp_engine", NULL};
    json_t *extra = json_copy((json_t *)item);
    for (const char *const *name = known; *name != NULL; name++)
        json_object_del(extra, *name);
    return extra;
}

static bool check_rendered(const struct subject *subject, const json_t *item,
                           const struct sl_buf *prompt, enum sl_err err,
                           const struct sl_error *error)
{
    const char *name = json_string_value(json_object_get(item, "case"));
    if (json_is_null(json_object_get(item, "expected"))) {
        struct sl_slice raises = text_field(item, "raises");
        if (err == SL_ERR_INVALID && sl_slice_equal_text(raises, error->message))
            return true;
        printf("# %s, %s: expected the refusal \"%.*s\", got %d \"%s\"\n", subject->name, name,
               SL_SLICE_ARG(raises), err, error->message);
        return false;
    }
    struct sl_slice expected = text_field(item, "expected");
    if (err == SL_OK && sl_slice_equal(expected, sl_buf_slice(prompt)))
        return true;
    printf("# %s, %s: %s\n--- expected\n%.*s\n--- got\n%.*s\n---\n", subject->name, name,
           error->message, SL_SLICE_ARG(expected), SL_SLICE_ARG(sl_buf_slice(prompt)));
    return false;
}

static bool check_case(const struct subject *subject, const json_t *item)
{
    json_t *extra = extra_variables(item);
    const json_t *tools = json_object_get(item, "tools");
    struct sl_chat_input input = {
        .messages = json_object_get(item, "messages"),
        .tools = json_is_array(tools) ? tools : NULL,
        .extra = extra,
        .bos_token = text_field(subject->file, "bos_token"),
        .eos_token = text_field(subject->file, "eos_token"),
        .add_generation_prompt = json_is_true(json_object_get(item, "add_generation_prompt")),
        .now = &subject->now,
    };
    struct sl_error error = {0};
    struct sl_buf prompt;
    sl_buf_init(&prompt, PROMPT_BYTES_MAX);
    enum sl_err err = sl_chat_template_render(subject->template, &input, &prompt, &error);
    bool is_same = check_rendered(subject, item, &prompt, err, &error);
    sl_buf_clear(&prompt);
    json_decref(extra);
    return is_same;
}

static void check_template(const char *path, unsigned *passed, unsigned *total)
{
    json_error_t json_error;
    struct sl_error error = {0};
    json_t *file = json_load_file(path, JSON_ALLOW_NUL, &json_error);
    ck_assert_msg(file != NULL, "%s: %s", path, json_error.text);
    struct subject subject = {.name = strrchr(path, '/') + 1, .file = file};
    *passed = 0;
    *total = (unsigned)json_array_size(json_object_get(file, "cases"));
    const char *now = json_string_value(json_object_get(file, "now"));
    ck_assert_ptr_nonnull(strptime(now, "%Y-%m-%dT%H:%M:%S", &subject.now));
    if (sl_chat_template_compile(text_field(file, "template"), &subject.template, &error) != SL_OK) {
        printf("# %s: %s\n", subject.name, error.message);
        json_decref(file);
        return;
    }
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(file, "cases"), i, item)
        *passed += check_case(&subject, item);
    sl_chat_template_free(subject.template);
    json_decref(file);
}

START_TEST(every_template_renders_as_the_reference)
{
    char pattern[1024];
    snprintf(pattern, sizeof pattern, "%s/*.json", sl_test_reference("engine/chat"));
    glob_t files;
    ck_assert_msg(glob(pattern, 0, NULL, &files) == 0, "no template at %s", pattern);
    unsigned all_passed = 0;
    unsigned all = 0;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        unsigned passed;
        unsigned total;
        check_template(files.gl_pathv[i], &passed, &total);
        printf("# %-72s %2u/%u\n", strrchr(files.gl_pathv[i], '/') + 1, passed, total);
        all_passed += passed;
        all += total;
    }
    printf("# %u of %u cases identical\n", all_passed, all);
    globfree(&files);
    ck_assert_uint_gt(all, 0);
    ck_assert_uint_eq(all_passed, all);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("chat");
    TCase *tcase = tcase_create("chat");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, every_template_renders_as_the_reference);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
