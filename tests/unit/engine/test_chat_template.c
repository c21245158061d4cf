/* SPDX-License-Identifier: Apache-2.0
 *
 * The template language, construct by construct, each with what jinja2 3.1 renders in the set-up of
 * transformers; refusals; bounds; forms for files without a template.
 */
#include "chat_template.h"
#include "test_support.h"

#include <stdio.h>

static const char *const chat =
    "[{\"role\":\"user\",\"content\":\"Hi \\u00e9\"},{\"role\":\"assistant\",\"content\":\"Yo\"}]";

static enum sl_err render_with(const char *text, const struct sl_chat_input *base,
                               const char *messages, struct sl_buf *out, struct sl_error *error)
{
    struct sl_chat_template *template = NULL;
    struct tm now = {.tm_year = 126, .tm_mon = 7, .tm_mday = 18};
    enum sl_err err = sl_chat_template_compile(sl_slice_of(text), &template, error);
    if (err != SL_OK)
        return err;
    json_t *json = json_loads(messages, 0, NULL);
    ck_assert_ptr_nonnull(json);
    struct sl_chat_input input = base != NULL ? *base : (struct sl_chat_input){0};
    input.messages = json;
    input.bos_token = SL_SLICE("<s>");
    input.eos_token = SL_SLICE("</s>");
    input.now = &now;
    err = sl_chat_template_render(template, &input, out, error);
    json_decref(json);
    sl_chat_template_free(template);
    return err;
}

struct example {
    const char *text;
    const char *expected;
};

static const struct example examples[] = {
    /* white space */
    {"a\n{% if true %}\nb\n{% endif %}\nc\n", "a\nb\nc"},
    {"  {% if true %}x{% endif %}", "x"},
    {" x {%- if true -%}  y  {%- endif %} z", " xy z"},
    {"  {%+ if true +%}\n x{% endif %}", "  \n x"},
    {"{# note #}\nx {#- y -#} z", "xz"},
    {"{{ 'a' }}\n\n", "a\n"},
    {"a\r\nb\rc", "a\nb\nc"},
    {"{% raw %}{{ x }}{% endraw %}", "{{ x }}"},
    /* literals and operators */
    {"{{ 1 + 2 * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }}",
     "7 3 -4 2 3.5 1024"},
    {"{{ 1.0 }} {{ 1e20 }} {{ 1.5e-7 }} {{ 0.1 + 0.2 }} {{ 123456789.123 }}",
     "1.0 1e+20 1.5e-07 0.30000000000000004 123456789.123"},
    {"{{ 'a' ~ 1 ~ none ~ true }} {{ 'a' 'b' }} {{ 'ab' * 2 }}", "a1NoneTrue ab abab"},
    {"{{ [1, 'a', \"it's\", none, {'k': (1,)}] }}", "[1, 'a', \"it's\", None, {'k': (1,)}]"},
    {"{{ 1 < 2 < 3 }} {{ 1 < 2 > 5 }} {{ not 1 == 2 }} {{ 1 == 1.0 }} {{ 'a' in 'abc' }}",
     "True False True True True"},
    {"{{ 1 and 2 }} {{ 0 or 'x' }} {{ 'a' if false else 'b' }} {{ ('a' if false) is undefined }}",
     "2 x b True"},
    {"{{ 'h\xC3\xA9llo'[1:3] }} {{ 'abc'[::-1] }} {{ [1,2,3,4][-2:] }} {{ 'abc'[-1] }}",
     "\xC3\xA9l cba [3, 4] c"},
    {"{{ '\\x41\\u00e9\\t\\\\' }}", "A\xC3\xA9\t\\"},
    /* names, attributes */
    {"{{ messages[0].role }} {{ messages[-1]['content'] }} {{ messages[9] }}|{{ nothing }}",
     "user Yo |"},
    {"{{ {'items': 1}['items'] }} {{ {'a': {'b': [1, 2]}}.a.b[1] }}", "1 2"},
    {"{{ bos_token }}{{ eos_token }}", "<s></s>"},
    /* statements */
    {"{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }}{{ ',' if not loop.last }}{% endfor %}",
     "a=1,b=2"},
    {"{% for i in [1, 2, 3] if i > 1 %}{{ loop.index }}{{ i }}{% else %}none{% endfor %}", "1223"},
    {"{% for i in [] %}a{% else %}none{% endfor %}", "none"},
    {"{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}"
     "{% endif %}{{ i }}{% endfor %}", "013"},
    {"{% for i in [1, [2, 3]] recursive %}{% if i is iterable %}({{ loop(i) }}){% else %}{{ i }}"
     "{{ loop.depth }}{% endif %}{% endfor %}", "11(2232)"},
    {"{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}", "221"},
    {"{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}"
     "{{ ns.n }}", "3"},
    {"{% if true %}{% set y = 3 %}{% endif %}{{ y }}", "3"},
    {"{% set x %}a{{ 1 }}{% endset %}{{ x | upper }}", "A1"},
    {"{% macro m(a, b=2) %}[{{ a }}{{ b }}{{ varargs }}{{ kwargs }}]{% endmacro %}"
     "{{ m(1) }}{{ m(b=5, a=1) }}{{ m(1, 2, 3, x=4) }}", "[12(){}][15(){}][12(3,){'x': 4}]"},
    {"{% macro m(l) %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}"
     "{% call(x) m([1, 2]) %}<{{ x }}>{% endcall %}", "<1><2>"},
    {"{% filter upper %}abc{% endfilter %}{% with a = 1 %}{{ a }}{% endwith %}{{ a }}", "ABC1"},
    {"{% generation %}x{% endgeneration %}", "x"},
    {"{{ strftime_now('%d %b %Y') }}", "18 Aug 2026"},
    /* filters and tests */
    {"{{ {'a': [1, {'b': '\xC3\xA9<'}], 'c': none} | tojson }}",
     "{\"a\": [1, {\"b\": \"\xC3\xA9<\"}], \"c\": null}"},
    {"{{ {'a': 1, 'b': [1, 2], 'c': {}} | tojson(indent=2) }}",
     "{\n  \"a\": 1,\n  \"b\": [\n    1,\n    2\n  ],\n  \"c\": {}\n}"},
    {"{{ messages | map(attribute='role') | join(',') }}", "user,assistant"},
    {"{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1"},
    {"{{ [{'r': 'u'}, {}] | rejectattr('r', 'defined') | list }}", "[{}]"},
    {"{{ ['b', 'A', 'c'] | sort }} {{ [3, 1] | sort(reverse=true) }} {{ {'b': 1, 'a': 2} | dictsort }}",
     "['A', 'b', 'c'] [3, 1] [('a', 2), ('b', 1)]"},
    {"{{ nothing | default('d') }} {{ '' | default('d', true) }} {{ none | default('d') }}",
     "d d None"},
    {"{{ 'a\nb' | indent(2) }}", "a\n  b"},
    {"{{ '3.7' | int }} {{ 'x' | int(7) }} {{ 2.5 | round }} {{ -3 | abs }} {{ 'a b' | title }}",
     "3 7 2.0 3 A B"},
    {"{{ 5 is odd }} {{ 6 is divisibleby 3 }} {{ {} is mapping }} {{ 'a' is string }} {{ x is defined }}",
     "True True True True False"},
    /* methods */
    {"{{ ' a,b '.strip().split(',') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'aab'.replace('a', 'c', 1) }}",
     "['a', 'b'] True cab"},
    {"{{ '%s is %d' % ('x', 3) }} {{ '{} {n}'.format(1, n=2) }}", "x is 3 1 2"},
    {"{{ {'a': 1}.get('a') }} {{ {'a': 1}.get('z', 'q') }}", "1 q"},
};

START_TEST(each_construct_renders_as_in_jinja)
{
    struct sl_buf out;
    struct sl_error error = {0};
    sl_buf_init(&out, 1 << 16);
    enum sl_err err = render_with(examples[_i].text, NULL, chat, &out, &error);
    ck_assert_msg(err == SL_OK, "%s: %s", examples[_i].text, error.message);
    ck_assert_str_eq(out.data != NULL ? out.data : "", examples[_i].expected);
    sl_buf_clear(&out);
}
END_TEST

/* ---- refusals ---- */

static const struct {
    const char *text;
    enum sl_err err;
    const char *message; /* a part of it */
} refusals[] = {
    {"{{ raise_exception('no system role') }}", SL_ERR_INVALID, "no system role"},
    {"{{ nothing.attribute }}", SL_ERR_INVALID, "'nothing' is undefined"},
    {"{{ nothing + 1 }}", SL_ERR_INVALID, "undefined"},
    {"{{ 'a' + 1 }}", SL_ERR_INVALID, "'str' and 'int'"},
    {"a\nb\n{{ none.x.y }}", SL_ERR_INVALID, "line 3"},
    {"{% set l = [] %}{{ l.append(1) }}", SL_ERR_INVALID, "append"},
    {"{{ 1 // 0 }}", SL_ERR_INVALID, "division by zero"},
    {"{% set x.y = 1 %}", SL_ERR_INVALID, ""},
    {"{% if true %}", SL_ERR_FORMAT, "endif"},
    {"{% endif %}", SL_ERR_FORMAT, "line 1"},
    {"{{ 'a }}", SL_ERR_FORMAT, "string"},
    {"{{ [1, 2 }}", SL_ERR_FORMAT, ""},
    {"{{ a b }}", SL_ERR_FORMAT, ""},
    {"{% include 'x' %}", SL_ERR_UNSUPPORTED, "load other templates"},
    {"{{ 1 | nosuch }}", SL_ERR_UNSUPPORTED, "nosuch"},
    {"{% if false %}{{ 1 is nosuch }}{% endif %}", SL_ERR_UNSUPPORTED, "nosuch"},
};

START_TEST(what_is_wrong_is_refused_with_line_and_reason)
{
    struct sl_buf out;
    struct sl_error error = {0};
    sl_buf_init(&out, 1 << 16);
    enum sl_err err = render_with(refusals[_i].text, NULL, chat, &out, &error);
    ck_assert_msg(err == refusals[_i].err, "%s: %d, %s", refusals[_i].text, err, error.message);
    ck_assert_msg(strstr(error.message, refusals[_i].message) != NULL, "%s: %s",
                  refusals[_i].text, error.message);
    sl_buf_clear(&out);
}
END_TEST

/* ---- bounds ---- */

static const char *const greedy[] = {
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ 'x' * 999999999999 }}",
    "{{ [0] * 999999999999 }}",
    "{% set ns = namespace(l=[]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}"
    "{{ ns.l }}",
    "{{ range(999999999999) }}",
    "{{ 'x'.ljust(999999999999) }}",
    "{% for i in range(9999) %}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{% endfor %}",
};

START_TEST(a_greedy_template_hits_a_bound)
{
    struct sl_chat_input base = {.limits = {.steps_max = 100000, .memory_bytes = 4 << 20}};
    struct sl_buf out;
    struct sl_error error = {0};
    sl_buf_init(&out, 1 << 16);
    enum sl_err err = render_with(greedy[_i], &base, chat, &out, &error);
    ck_assert_msg(err == SL_ERR_LIMIT, "%s: %d, %s", greedy[_i], err, error.message);
    ck_assert_uint_le(out.len, 1 << 16);
    sl_buf_clear(&out);
}
END_TEST

START_TEST(nesting_in_the_text_is_bounded)
{
    char *text = malloc(40001);
    struct sl_chat_template *template = NULL;
    struct sl_error error = {0};
    memset(text, '(', 20000);
    memset(text + 20000, ')', 20000);
    memcpy(text, "{{ ", 3);
    memcpy(text + 40000 - 2, "}}", 2);
    memcpy(text + 19996, " 1 )", 4); /* as many open as are closed */
    text[40000] = '\0';
    ck_assert_int_eq(sl_chat_template_compile(sl_slice_of(text), &template, &error), SL_ERR_LIMIT);
    ck_assert_ptr_null(template);
    free(text);
}
END_TEST

/* ---- what is known about a template ---- */

static bool has_chatml(const char *name, void *user)
{
    (void)user;
    return strcmp(name, "<|im_start|>") == 0;
}

static bool has_llama3(const char *name, void *user)
{
    (void)user;
    return strcmp(name, "<|start_header_id|>") == 0;
}

static bool has_gemma(const char *name, void *user)
{
    (void)user;
    return strcmp(name, "<start_of_turn>") == 0;
}

static bool has_phi3(const char *name, void *user)
{
    (void)user;
    return strcmp(name, "<|assistant|>") == 0 || strcmp(name, "<|end|>") == 0;
}

static bool has_nothing(const char *name, void *user)
{
    (void)name;
    (void)user;
    return false;
}

START_TEST(a_file_without_a_template_gets_the_form_of_its_tokens)
{
    static const struct {
        sl_has_token_fn *has_token;
        const char *expected;
    } forms[] = {
        {has_chatml, "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n"
                     "<|im_start|>assistant\n"},
        {has_llama3, "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
                     "<|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>"
                     "<|start_header_id|>assistant<|end_header_id|>\n\n"},
        {has_gemma, "<s><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\n"},
        {has_phi3, "<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\n"},
        {has_nothing, "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST]"},
    };
    struct sl_chat_input base = {.add_generation_prompt = true};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct sl_buf out;
        struct sl_error error = {0};
        sl_buf_init(&out, 1 << 16);
        struct sl_slice text = sl_chat_template_fallback(forms[i].has_token, NULL);
        ck_assert_int_eq(render_with(text.data, &base,
                                     "[{\"role\":\"system\",\"content\":\"S\"},"
                                     "{\"role\":\"user\",\"content\":\"U\"}]", &out, &error),
                         SL_OK);
        ck_assert_str_eq(out.data, forms[i].expected);
        sl_buf_clear(&out);
    }
}
END_TEST

static struct sl_chat_template *compile_text(const char *text)
{
    struct sl_chat_template *template;
    struct sl_error error = {0};
    ck_assert_msg(sl_chat_template_compile(sl_slice_of(text), &template, &error) == SL_OK, "%s",
                  error.message);
    return template;
}

START_TEST(a_template_says_which_variables_it_reads_and_how_tools_are_called)
{
    static const struct {
        const char *text;
        enum sl_tool_form form;
    } cases[] = {
        {"{{ messages }}", SL_TOOL_FORM_NONE},
        {"tools {{ 'tools' }}", SL_TOOL_FORM_NONE},
        {"{% if tools %}<tool_call>\n{\"name\": ..., \"arguments\": ...}{% endif %}",
         SL_TOOL_FORM_HERMES},
        {"{% for t in tools %}{\"name\": n, \"parameters\": p}{% endfor %}", SL_TOOL_FORM_LLAMA3},
        {"{{ tools }}[TOOL_CALLS]", SL_TOOL_FORM_MISTRAL},
        {"{{ tools }}", SL_TOOL_FORM_PLAIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sl_chat_template *template = compile_text(cases[i].text);
        ck_assert_int_eq(sl_chat_template_tool_form(template), cases[i].form);
        ck_assert(sl_chat_template_reads(template, "tools") ==
                  (cases[i].form != SL_TOOL_FORM_NONE));
        ck_assert(!sl_chat_template_reads(template, "enable_thinking"));
        sl_chat_template_free(template);
    }
}
END_TEST

START_TEST(variables_of_the_request_reach_the_template)
{
    json_t *extra = json_pack("{s:b, s:s}", "enable_thinking", 0, "name", "Ada");
    struct sl_chat_input base = {.extra = extra};
    struct sl_buf out;
    struct sl_error error = {0};
    sl_buf_init(&out, 1000);
    ck_assert_int_eq(render_with("{{ enable_thinking }} {{ name }} {{ tools }}", &base, chat, &out,
                                 &error), SL_OK);
    ck_assert_str_eq(out.data, "False Ada None");
    sl_buf_clear(&out);
    json_decref(extra);
}
END_TEST

START_TEST(no_message_shows_the_text_of_the_chat)
{
    static const char *const texts[] = {
        "{{ {'a': 1}[messages[0].content].x }}", "{{ messages[0].content + 1 }}",
        "{{ messages[0].content // 2 }}", "{{ messages[0].content.x.y }}",
        "{{ messages | sum }}", "{{ messages[messages[0].content].x }}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sl_buf out;
        struct sl_error error = {0};
        sl_buf_init(&out, 1000);
        ck_assert_int_eq(render_with(texts[i], NULL,
                                     "[{\"role\":\"user\",\"content\":\"Secret\"}]", &out,
                                     &error), SL_ERR_INVALID);
        ck_assert_msg(strstr(error.message, "Secret") == NULL, "%s: %s", texts[i], error.message);
        sl_buf_clear(&out);
    }
}
END_TEST

START_TEST(the_last_user_text_is_found_in_the_prompt)
{
    static const struct {
        const char *messages;
        const char *prompt;
        const char *found; /* NULL: not found */
    } cases[] = {
        {"[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Hi\"}]",
         "<user>Hi<assistant>", "Hi"},
        {"[{\"role\":\"user\",\"content\":\" Hi \\n\"}]", "<user>Hi<assistant>", "Hi"},
        {"[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"ab\"}]}]", "xaby", "ab"},
        {"[{\"role\":\"user\",\"content\":\"\"}]", "x", NULL},
        {"[{\"role\":\"system\",\"content\":\"x\"}]", "x", NULL},
        {"[{\"role\":\"user\",\"content\":\"longer than the prompt\"}]", "x", NULL},
        {"[]", "x", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *messages = json_loads(cases[i].messages, 0, NULL);
        size_t begin = 0;
        size_t end = 0;
        bool is_found = sl_chat_find_last_user(sl_slice_of(cases[i].prompt), messages, &begin,
                                               &end);
        ck_assert(is_found == (cases[i].found != NULL));
        if (is_found)
            ck_assert(sl_slice_equal_text(
                (struct sl_slice){cases[i].prompt + begin, end - begin}, cases[i].found));
        json_decref(messages);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("chat_template");
    TCase *tcase = tcase_create("chat_template");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, each_construct_renders_as_in_jinja, 0,
                        (int)(sizeof examples / sizeof examples[0]));
    tcase_add_loop_test(tcase, what_is_wrong_is_refused_with_line_and_reason, 0,
                        (int)(sizeof refusals / sizeof refusals[0]));
    tcase_add_loop_test(tcase, a_greedy_template_hits_a_bound, 0,
                        (int)(sizeof greedy / sizeof greedy[0]));
    tcase_add_test(tcase, nesting_in_the_text_is_bounded);
    tcase_add_test(tcase, a_file_without_a_template_gets_the_form_of_its_tokens);
    tcase_add_test(tcase, a_template_says_which_variables_it_reads_and_how_tools_are_called);
    tcase_add_test(tcase, variables_of_the_request_reach_the_template);
    tcase_add_test(tcase, no_message_shows_the_text_of_the_chat);
    tcase_add_test(tcase, the_last_user_text_is_found_in_the_prompt);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
