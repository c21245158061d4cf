/* SPDX-License-Identifier: Apache-2.0
 *
 * Constraints: what each keyword allows and refuses byte by byte, that masks say the same as
 * accepting, and that random walks through masks end in documents of the schema.
 */
#include "constrain.h"
#include "text_fixture.h"

#include <math.h>
#include <stdio.h>

/* ---- by bytes ---- */

/* A vocabulary of the 256 bytes, some longer tokens and an end. */
struct bench {
    struct text_fixture fixture;
    struct sl_tokenizer *tokenizer;
    struct sl_constraint_vocab *vocab;
    int32_t end;
    int32_t wrapper;
};

static void bench_open(struct bench *bench)
{
    static const char *const longer[] = {
        "{\"", "\":", "\",", "\"}", "Ġ\"", "\",Ġ\"", "true", "false", "null", "10", "123", "ab",
        "abc", "name", "\"name", "}}", "]}", "],", "ĠĠ", "ĊĠĠ", "\"\"", "\\n", "\\\"", "Ã©", "Ã©a",
        "-1", "0.", ".5", "e+", "itude", "Ġname", "Ġ10", "Ġtrue", "\"],", "arguments", "\"b\":",
    };
    struct sl_error error = {0};
    text_fixture_begin(&bench->fixture, "gpt2", "gpt-2");
    text_fixture_bytes(&bench->fixture);
    for (size_t i = 0; i < sizeof longer / sizeof longer[0]; i++)
        text_fixture_token(&bench->fixture, longer[i], 1, 0);
    bench->end = text_fixture_token(&bench->fixture, "<|im_end|>", 3, 0);
    bench->wrapper = text_fixture_token(&bench->fixture, "<tool_call>", 3, 0);
    text_fixture_u32(&bench->fixture, "tokenizer.ggml.eos_token_id", (uint32_t)bench->end);
    text_fixture_merge(&bench->fixture, "a b");
    bench->tokenizer = text_fixture_open(&bench->fixture);
    ck_assert_int_eq(sl_constraint_vocab_create(bench->tokenizer, &bench->vocab, &error), SL_OK);
}

static void bench_close(struct bench *bench)
{
    sl_constraint_vocab_free(bench->vocab);
    text_fixture_close(&bench->fixture);
}

static struct sl_constraint *compile_text(enum sl_format_kind kind, const char *schema,
                                          enum sl_tool_form form)
{
    struct sl_error error = {0};
    json_t *json = schema != NULL ? json_loads(schema, JSON_DECODE_ANY, NULL) : NULL;
    ck_assert_msg(schema == NULL || json != NULL, "bad JSON in the test: %s", schema);
    struct sl_constraint *constraint;
    ck_assert_msg(sl_constraint_compile(kind, json, form, &constraint, &error) == SL_OK, "%s: %s",
                  schema, error.message);
    json_decref(json);
    return constraint;
}

/* Does the constraint take the whole text, and may it end there? */
static bool takes(const struct bench *bench, struct sl_constraint *constraint, const char *text)
{
    struct sl_error error = {0};
    struct sl_constraint_state *state;
    ck_assert_int_eq(sl_constraint_state_create(constraint, bench->vocab, &state, &error), SL_OK);
    bool is_taken = true;
    for (const char *at = text; *at != '\0' && is_taken; at++)
        is_taken = sl_constraint_accept_bytes(state, (struct sl_slice){at, 1});
    is_taken = is_taken && sl_constraint_is_complete(state);
    sl_constraint_state_free(state);
    return is_taken;
}

struct example {
    const char *schema;
    const char *good[8];
    const char *bad[8];
};

static const struct example examples[] = {
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":"
     "\"string\"}},\"required\":[\"a\",\"b\"],\"additionalProperties\":false}",
     {"{\"a\":1,\"b\":\"x\"}", "{ \"a\": -10, \"b\": \"\"}", "{\n  \"a\": 0,\n  \"b\": \"\\n\"\n}"},
     {"{\"a\":1}", "{\"b\":\"x\",\"a\":1}", "{\"a\":1.5,\"b\":\"\"}", "{\"a\":1,\"b\":\"x\",}",
      "{\"a\":01,\"b\":\"\"}", "{\"a\":1,\"b\":\"x\"}}", "{\"a\":1,\"b\":\"\x01\"}", "[]"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"},"
     "\"c\":{\"type\":\"null\"}},\"required\":[\"b\"]}",
     {"{\"b\":null}", "{\"a\":null,\"b\":null}", "{\"b\":null,\"c\":null}",
      "{\"a\":null,\"b\":null,\"c\":null}"},
     {"{}", "{\"a\":null}", "{\"c\":null,\"b\":null}", "{,\"b\":null}", "{\"b\":null,}",
      "{\"b\":null\"c\":null}"}},
    {"{\"type\":\"object\",\"properties\":{\"ab\":{\"type\":\"null\"}},\"additionalProperties\":"
     "{\"type\":\"boolean\"}}",
     {"{}", "{\"ab\":null}", "{\"ac\":true}", "{\"a\":true}", "{\"abc\":false}",
      "{\"ab\":null,\"x\":true,\"y\":false}"},
     {"{\"ab\":true}", "{\"x\":null}", "{\"x\":true,\"ab\":true}", "{\"\":true}"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":3}",
     {"[1]", "[1,2]", "[1, 2, 3]"}, {"[]", "[1,2,3,4]", "[1,]", "[1 2]", "[\"a\"]", "1"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"maxItems\":0}", {"[]"}, {"[true]"}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"const\":1},{\"const\":\"x\"}],\"items\":false}",
     {"[1,\"x\"]"}, {"[1]", "[1,\"x\",2]", "[\"x\",1]"}},
    {"{\"enum\":[\"red\",\"green\",\"gr\",1,null,[1,2],{\"a\":1}]}",
     {"\"red\"", "\"green\"", "\"gr\"", "1", "null", "[1,2]", "{\"a\":1}"},
     {"\"blue\"", "\"re\"", "2", "11", "true"}},
    {"{\"type\":[\"string\",\"null\"],\"enum\":[\"a\",null,3]}", {"\"a\"", "null"}, {"3"}},
    {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":2}]}",
     {"5", "\"ab\"", "\"é\"", "\"éé\"", "\"\\n\\u00e9\""}, {"\"abc\"", "true", "\"ééé\""}},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
     {"\"ab\"", "\"abc\"", "\"日本\"", "\"\\\"\\\\\""}, {"\"a\"", "\"abcd\"", "\"日\"", "ab"}},
    {"{\"type\":\"string\"}", {"\"\"", "\"é😀\"", "\"\\ud7ff\""},
     {"\"\xc3\"", "\"\xff\"", "\"\\x\"", "\"\\ud800\"", "\"\\u0000\"", "\"\xed\xa0\x80\"", "\"a\nb\""}},
    {"{\"type\":\"integer\",\"minimum\":-3,\"maximum\":120}",
     {"-3", "-1", "0", "7", "99", "100", "120"}, {"-4", "121", "200", "007", "-0", "1.0", "1000"}},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":9,\"exclusiveMaximum\":21}", {"10", "20"},
     {"9", "21", "2"}},
    {"{\"type\":\"number\",\"minimum\":0,\"maximum\":1}", {"0", "0.5", "1", "0.999"},
     {"1.5", "-0.5", "2", "1.0001"}},
    {"{\"type\":\"number\",\"maximum\":-2}", {"-2", "-2.5", "-100.25"}, {"-1.9", "0", "2"}},
    {"{\"type\":\"number\"}", {"0", "-0.5", "1e10", "12.5E-3", "123456"},
     {"01", ".5", "1.", "1e", "+1", "--1"}},
    {"{\"type\":\"string\",\"pattern\":\"^[a-c]{2,3}-\\\\d+$\"}", {"\"ab-1\"", "\"abc-123\""},
     {"\"a-1\"", "\"abca-1\"", "\"ab-\"", "\"xab-1\"", "\"ab-1x\""}},
    {"{\"type\":\"string\",\"pattern\":\"foo|ba+r\"}", {"\"xfoo\"", "\"bar\"", "\"baar!\""},
     {"\"fo\"", "\"br\""}},
    {"{\"type\":\"string\",\"pattern\":\"^[^\\\"]*$\"}", {"\"\"", "\"é\\\\\""}, {"\"\\\"\""}},
    {"{\"type\":\"string\",\"format\":\"date\"}", {"\"2024-02-29\"", "\"1999-12-31\""},
     {"\"2024-13-01\"", "\"24-01-01\"", "\"2024-1-1\"", "\"\""}},
    {"{\"type\":\"string\",\"format\":\"date-time\"}",
     {"\"2024-02-29T23:59:59Z\"", "\"2024-02-29T23:59:59.123+02:00\""}, {"\"2024-02-29\""}},
    {"{\"type\":\"string\",\"format\":\"ipv4\"}", {"\"1.2.3.4\"", "\"255.0.10.199\""},
     {"\"256.1.1.1\"", "\"1.2.3\"", "\"01.2.3.4\""}},
    {"{\"type\":\"string\",\"format\":\"uuid\"}", {"\"123e4567-e89b-12d3-a456-426614174000\""},
     {"\"123e4567\""}},
    {"{\"type\":\"string\",\"format\":\"email\"}", {"\"a.b@c.de\"", "\"x+y@mail.example.org\""},
     {"\"a@b\"", "\"@b.de\"", "\"a.b.de\""}},
    {"{\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
     "\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/node\"},{\"type\":\"null\"}]}},\"required\":"
     "[\"v\",\"next\"],\"additionalProperties\":false}},\"$ref\":\"#/$defs/node\"}",
     {"{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3,\"next\":null}}}"},
     {"{\"v\":1}", "{\"v\":1,\"next\":{\"v\":2}}", "{\"v\":1,\"next\":{\"v\":2,\"next\":null}"}},
    {"{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", {"[]", "[[],[[]]]"}, {"[1]", "[[]"}},
    {"{\"type\":\"object\"}", {"{}", "{\"a\":[1,{\"b\":null}],\"c\":\"x\"}"}, {"[]", "{\"a\"}"}},
    {"true", {"1", "{\"a\":[true,false]}", "\"x\"", "[ ]"}, {"", "x", "[1"}},
    {"{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}", {"{}", "{ }"},
     {"{\"a\":1}"}},
    {"{\"const\":\"a\\\"b\"}", {"\"a\\\"b\""}, {"\"ab\""}},
};

START_TEST(a_schema_takes_its_documents_and_no_others)
{
    struct bench bench;
    bench_open(&bench);
    const struct example *example = &examples[_i];
    struct sl_constraint *constraint =
        compile_text(SL_FORMAT_JSON_SCHEMA, example->schema, SL_TOOL_FORM_NONE);
    for (size_t i = 0; i < 8 && example->good[i] != NULL; i++)
        ck_assert_msg(takes(&bench, constraint, example->good[i]), "%s should take %s",
                      example->schema, example->good[i]);
    for (size_t i = 0; i < 8 && example->bad[i] != NULL; i++)
        ck_assert_msg(!takes(&bench, constraint, example->bad[i]), "%s should not take %s",
                      example->schema, example->bad[i]);
    sl_constraint_release(constraint);
    bench_close(&bench);
}
END_TEST

START_TEST(json_mode_takes_any_object_and_nothing_else)
{
    struct bench bench;
    bench_open(&bench);
    struct sl_constraint *constraint =
        compile_text(SL_FORMAT_JSON_OBJECT, NULL, SL_TOOL_FORM_NONE);
    ck_assert(takes(&bench, constraint, "{\"a\": {\"b\": [1, 2.5e3, \"x\", null]}}"));
    ck_assert(takes(&bench, constraint, "{}"));
    ck_assert(!takes(&bench, constraint, "[]"));
    ck_assert(!takes(&bench, constraint, "{\"a\": 1}}"));
    ck_assert(!takes(&bench, constraint, "{a: 1}"));
    ck_assert(!takes(&bench, constraint, "{    \"a\": 1}"));
    sl_constraint_release(constraint);
    bench_close(&bench);
}
END_TEST

static const char *const tools =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"parameters\":{\"type\":"
    "\"object\",\"properties\":{\"city\":{\"type\":\"string\"}},\"required\":[\"city\"]}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"get_time\"}}]";

START_TEST(a_tool_call_is_written_in_the_form_of_the_model)
{
    struct bench bench;
    bench_open(&bench);
    struct sl_constraint *hermes = compile_text(SL_FORMAT_TOOL_CALL, tools, SL_TOOL_FORM_HERMES);
    ck_assert(takes(&bench, hermes, "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": "
                                    "{\"city\": \"Rome\"}}\n</tool_call>"));
    ck_assert(takes(&bench, hermes, "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n"
                                    "</tool_call>"));
    ck_assert(!takes(&bench, hermes, "<tool_call>\n{\"name\": \"get_time\", \"arguments\": "
                                     "{\"city\": \"Rome\"}}\n</tool_call>"));
    ck_assert(!takes(&bench, hermes, "{\"name\": \"get_time\", \"arguments\": {}}"));
    struct sl_constraint *llama = compile_text(SL_FORMAT_TOOL_CALL, tools, SL_TOOL_FORM_LLAMA3);
    ck_assert(takes(&bench, llama, "{\"name\": \"get_time\", \"parameters\": {}}"));
    struct sl_constraint *mistral = compile_text(SL_FORMAT_TOOL_CALL, tools, SL_TOOL_FORM_MISTRAL);
    ck_assert(takes(&bench, mistral, "[TOOL_CALLS][{\"name\": \"get_time\", \"arguments\": {}}]"));
    ck_assert(!takes(&bench, mistral, "[TOOL_CALLS][{\"name\": \"other\", \"arguments\": {}}]"));
    sl_constraint_release(hermes);
    sl_constraint_release(llama);
    sl_constraint_release(mistral);
    bench_close(&bench);
}
END_TEST

START_TEST(a_control_token_may_spell_the_wrapper_of_a_tool_call_only)
{
    struct bench bench;
    bench_open(&bench);
    struct sl_error error = {0};
    struct sl_constraint *hermes = compile_text(SL_FORMAT_TOOL_CALL, tools, SL_TOOL_FORM_HERMES);
    struct sl_constraint_state *state;
    ck_assert_int_eq(sl_constraint_state_create(hermes, bench.vocab, &state, &error), SL_OK);
    float logits[512] = {0};
    sl_constraint_mask(state, logits);
    ck_assert_float_eq(logits[bench.wrapper], 0);
    ck_assert(sl_constraint_accept(state, bench.wrapper));
    ck_assert(sl_constraint_accept_bytes(
        state, SL_SLICE("\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"")));
    memset(logits, 0, sizeof logits);
    sl_constraint_mask(state, logits);
    ck_assert(isinf(logits[bench.wrapper]));
    ck_assert(!sl_constraint_accept(state, bench.wrapper));
    sl_constraint_state_free(state);
    sl_constraint_release(hermes);
    bench_close(&bench);
}
END_TEST

/* ---- refusals ---- */

static const struct {
    const char *schema;
    enum sl_err err;
    const char *param;
} refusals[] = {
    {"{\"not\":{\"type\":\"string\"}}", SL_ERR_UNSUPPORTED, "schema.not"},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\",\"multipleOf\":3}}}",
     SL_ERR_UNSUPPORTED, "schema.a.multipleOf"},
    {"{\"type\":\"array\",\"uniqueItems\":true}", SL_ERR_UNSUPPORTED, "schema.uniqueItems"},
    {"{\"type\":\"array\",\"items\":{\"type\":\"float\"}}", SL_ERR_INVALID, "schema.items.type"},
    {"{\"type\":\"string\",\"format\":\"colour\"}", SL_ERR_UNSUPPORTED, "schema.format"},
    {"{\"type\":\"string\",\"pattern\":\"(?=a)b\"}", SL_ERR_UNSUPPORTED, "schema.pattern"},
    {"{\"type\":\"string\",\"pattern\":\"(a\"}", SL_ERR_UNSUPPORTED, "schema.pattern"},
    {"{\"$ref\":\"#/$defs/missing\"}", SL_ERR_UNSUPPORTED, "schema.$ref"},
    {"{\"$ref\":\"#\"}", SL_ERR_UNSUPPORTED, ""},
    {"{\"anyOf\":[{\"type\":\"string\"}],\"type\":\"object\"}", SL_ERR_UNSUPPORTED,
     "schema.anyOf"},
    {"{\"type\":\"object\",\"required\":[\"a\"]}", SL_ERR_UNSUPPORTED, "schema.required"},
    {"{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", SL_ERR_UNSUPPORTED, "schema"},
    {"{\"type\":\"string\",\"minLength\":\"1\"}", SL_ERR_INVALID, "schema.minLength"},
    {"{\"enum\":[]}", SL_ERR_UNSUPPORTED, "schema"},
    {"[]", SL_ERR_UNSUPPORTED, "schema"},
    {"false", SL_ERR_UNSUPPORTED, "schema"},
};

START_TEST(what_cannot_be_enforced_is_refused_with_its_path)
{
    struct sl_error error = {0};
    struct sl_constraint *constraint = NULL;
    json_t *json = json_loads(refusals[_i].schema, JSON_DECODE_ANY, NULL);
    ck_assert_ptr_nonnull(json);
    enum sl_err err = sl_constraint_compile(SL_FORMAT_JSON_SCHEMA, json, SL_TOOL_FORM_NONE,
                                            &constraint, &error);
    json_decref(json);
    ck_assert_msg(err == refusals[_i].err, "%s: got %d, %s", refusals[_i].schema, err,
                  error.message);
    ck_assert_str_eq(error.param, refusals[_i].param);
    ck_assert_uint_gt(strlen(error.message), 0);
}
END_TEST

/* ---- masks ---- */

/* The mask must say of every token exactly what accepting it says. */
static void check_mask(const struct bench *bench, struct sl_constraint *constraint,
                       const char *prefix)
{
    struct sl_error error = {0};
    struct sl_constraint_state *state;
    float logits[512] = {0};
    uint32_t size = sl_tokenizer_vocab_size(bench->tokenizer);
    ck_assert_int_eq(sl_constraint_state_create(constraint, bench->vocab, &state, &error), SL_OK);
    ck_assert_msg(sl_constraint_accept_bytes(state, sl_slice_of(prefix)), "prefix %s", prefix);
    sl_constraint_mask(state, logits);
    for (uint32_t id = 0; id < size; id++) {
        struct sl_constraint_state *probe;
        ck_assert_int_eq(sl_constraint_state_create(constraint, bench->vocab, &probe, &error),
                         SL_OK);
        ck_assert(sl_constraint_accept_bytes(probe, sl_slice_of(prefix)));
        bool is_accepted = sl_constraint_accept(probe, (int32_t)id);
        struct sl_slice piece = sl_tokenizer_piece(bench->tokenizer, (int32_t)id);
        ck_assert_msg(is_accepted == !isinf(logits[id]), "after %s, token %u \"%.*s\": mask %d",
                      prefix, id, SL_SLICE_ARG(piece), !isinf(logits[id]));
        sl_constraint_state_free(probe);
    }
    sl_constraint_state_free(state);
}

START_TEST(a_mask_allows_exactly_the_tokens_that_would_be_accepted)
{
    static const char *const prefixes[] = {
        "", "{", "{\"", "{\"na", "{\"name\"", "{\"name\":", "{\"name\": \"a", "{\"name\": \"a\\",
        "{\"name\": \"\xc3", "{\"name\": \"x\"", "{\"name\": \"x\",", "{\"name\": \"x\", \"b\":",
        "{\"name\": \"x\", \"b\": [1", "{\"name\": \"x\", \"b\": [1, -", "{\"name\": \"x\", \"b\": []",
        "{\"name\": \"x\", \"b\": [1]}",
    };
    struct bench bench;
    bench_open(&bench);
    struct sl_constraint *constraint = compile_text(
        SL_FORMAT_JSON_SCHEMA,
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":4},"
        "\"b\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}},\"required\":[\"name\"]}",
        SL_TOOL_FORM_NONE);
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        check_mask(&bench, constraint, prefixes[i]);
    sl_constraint_release(constraint);
    bench_close(&bench);
}
END_TEST

/* A deterministic generator: tests must not depend on chance. */
static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* What closes the innermost open thing. Where a "Z" may come we are inside a string. */
static int32_t closing_token(const float *logits, int32_t otherwise)
{
    static const char closers[] = "}]";
    if (!isinf(logits['Z']) && !isinf(logits['"']))
        return '"';
    for (size_t i = 0; i < sizeof closers - 1 && isinf(logits['Z']); i++)
        if (!isinf(logits[(int)closers[i]]))
            return closers[i];
    return otherwise;
}

/* Picks allowed tokens at random; ends as soon as it may after a while. */
static void walk_randomly(const struct bench *bench, struct sl_constraint *constraint,
                          uint64_t seed, struct sl_buf *out)
{
    struct sl_error error = {0};
    struct sl_constraint_state *state;
    uint32_t size = sl_tokenizer_vocab_size(bench->tokenizer);
    ck_assert_int_eq(sl_constraint_state_create(constraint, bench->vocab, &state, &error), SL_OK);
    for (unsigned step = 0; step < 400; step++) {
        float logits[512] = {0};
        int32_t allowed[512];
        uint32_t count = 0;
        sl_constraint_mask(state, logits);
        for (uint32_t id = 0; id < size; id++)
            if (!isinf(logits[id]))
                allowed[count++] = (int32_t)id;
        ck_assert_msg(count > 0, "no token is allowed after %.*s", SL_SLICE_ARG(sl_buf_slice(out)));
        if (sl_constraint_is_complete(state) && (step > 100 || sl_constraint_is_finished(state)))
            break;
        int32_t token = allowed[next_random(&seed) % count];
        if (step > 60)
            token = closing_token(logits, token);
        if (token == bench->end)
            continue;
        ck_assert(sl_constraint_accept(state, token));
        struct sl_slice piece = sl_tokenizer_piece(bench->tokenizer, token);
        ck_assert_int_eq(sl_buf_append_slice(out, piece), SL_OK);
    }
    ck_assert_msg(sl_constraint_is_complete(state), "not complete: %.*s",
                  SL_SLICE_ARG(sl_buf_slice(out)));
    sl_constraint_state_free(state);
}

START_TEST(random_walks_through_masks_end_in_valid_documents)
{
    struct bench bench;
    bench_open(&bench);
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        if (strstr(examples[i].schema, "foo|ba+r") != NULL)
            continue; /* anything may come before the word: chance hardly ever writes it */
        struct sl_constraint *constraint =
            compile_text(SL_FORMAT_JSON_SCHEMA, examples[i].schema, SL_TOOL_FORM_NONE);
        struct sl_buf out;
        sl_buf_init(&out, 1 << 16);
        walk_randomly(&bench, constraint, i * 7919 + 1, &out);
        json_error_t json_error;
        json_t *json = json_loadb(out.data, out.len, JSON_DECODE_ANY, &json_error);
        ck_assert_msg(json != NULL, "%s: %s in %.*s", examples[i].schema, json_error.text,
                      SL_SLICE_ARG(sl_buf_slice(&out)));
        ck_assert(takes(&bench, constraint, out.data));
        json_decref(json);
        sl_buf_clear(&out);
        sl_constraint_release(constraint);
    }
    bench_close(&bench);
}
END_TEST

START_TEST(an_end_token_is_allowed_exactly_when_the_text_is_complete)
{
    struct bench bench;
    bench_open(&bench);
    struct sl_error error = {0};
    struct sl_constraint *constraint =
        compile_text(SL_FORMAT_JSON_SCHEMA, "{\"type\":\"integer\"}", SL_TOOL_FORM_NONE);
    struct sl_constraint_state *state;
    float logits[512] = {0};
    ck_assert_int_eq(sl_constraint_state_create(constraint, bench.vocab, &state, &error), SL_OK);
    sl_constraint_mask(state, logits);
    ck_assert(isinf(logits[bench.end]));
    ck_assert(!sl_constraint_accept(state, bench.end));
    ck_assert(sl_constraint_accept(state, '7'));
    ck_assert(sl_constraint_is_complete(state));
    ck_assert(!sl_constraint_is_finished(state));
    memset(logits, 0, sizeof logits);
    sl_constraint_mask(state, logits);
    ck_assert_float_eq(logits[bench.end], 0);
    ck_assert_float_eq(logits['1'], 0);
    ck_assert(isinf(logits['a']));
    ck_assert(sl_constraint_accept(state, bench.end));
    ck_assert(sl_constraint_is_finished(state));
    ck_assert(!sl_constraint_accept(state, '1'));
    sl_constraint_state_free(state);
    sl_constraint_release(constraint);
    bench_close(&bench);
}
END_TEST

START_TEST(a_refused_token_leaves_the_state_as_it_was)
{
    struct bench bench;
    bench_open(&bench);
    struct sl_error error = {0};
    struct sl_constraint *constraint =
        compile_text(SL_FORMAT_JSON_SCHEMA, "{\"enum\":[\"abc\"]}", SL_TOOL_FORM_NONE);
    struct sl_constraint_state *state;
    ck_assert_int_eq(sl_constraint_state_create(constraint, bench.vocab, &state, &error), SL_OK);
    ck_assert(sl_constraint_accept_bytes(state, SL_SLICE("\"ab")));
    ck_assert(!sl_constraint_accept_bytes(state, SL_SLICE("cd")));
    ck_assert(!sl_constraint_accept(state, -1));
    ck_assert(!sl_constraint_accept(state, 100000));
    ck_assert(sl_constraint_accept_bytes(state, SL_SLICE("c\"")));
    ck_assert(sl_constraint_is_finished(state));
    sl_constraint_state_free(state);
    sl_constraint_release(constraint);
    bench_close(&bench);
}
END_TEST

START_TEST(nesting_is_bounded_and_never_leaves_a_dead_end)
{
    struct bench bench;
    bench_open(&bench);
    struct sl_error error = {0};
    struct sl_constraint *constraint =
        compile_text(SL_FORMAT_JSON_SCHEMA, "true", SL_TOOL_FORM_NONE);
    struct sl_constraint_state *state;
    ck_assert_int_eq(sl_constraint_state_create(constraint, bench.vocab, &state, &error), SL_OK);
    unsigned depth = 0;
    while (sl_constraint_accept_bytes(state, SL_SLICE("[")))
        depth++;
    ck_assert_uint_gt(depth, 20);
    ck_assert_uint_lt(depth, 1000);
    while (depth-- > 0)
        ck_assert(sl_constraint_accept_bytes(state, SL_SLICE("]")));
    ck_assert(sl_constraint_is_finished(state));
    sl_constraint_state_free(state);
    sl_constraint_release(constraint);
    bench_close(&bench);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("constrain");
    TCase *tcase = tcase_create("constrain");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_schema_takes_its_documents_and_no_others, 0,
                        (int)(sizeof examples / sizeof examples[0]));
    tcase_add_test(tcase, json_mode_takes_any_object_and_nothing_else);
    tcase_add_test(tcase, a_tool_call_is_written_in_the_form_of_the_model);
    tcase_add_test(tcase, a_control_token_may_spell_the_wrapper_of_a_tool_call_only);
    tcase_add_loop_test(tcase, what_cannot_be_enforced_is_refused_with_its_path, 0,
                        (int)(sizeof refusals / sizeof refusals[0]));
    tcase_add_test(tcase, a_mask_allows_exactly_the_tokens_that_would_be_accepted);
    tcase_add_test(tcase, random_walks_through_masks_end_in_valid_documents);
    tcase_add_test(tcase, an_end_token_is_allowed_exactly_when_the_text_is_complete);
    tcase_add_test(tcase, a_refused_token_leaves_the_state_as_it_was);
    tcase_add_test(tcase, nesting_is_bounded_and_never_leaves_a_dead_end);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
