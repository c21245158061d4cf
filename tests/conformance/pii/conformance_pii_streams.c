/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole scrub-and-restore walks: the request as the cloud must see it, the answer as the client
 * must get it, with the pieces of the answer as the reference cuts them, in one piece, and cut at
 * every byte. Where a row leaves detection open ("may be stubbed") and ours finds something else,
 * the vault is filled from the row, and the row counts as not detected.
 */
#include "pii/vault.h"
#include "sse_parser.h"
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES_MAX (1u << 20)
#define CHOICES 4u

static const json_t *get(const json_t *row, const char *key)
{
    return json_object_get(row, key);
}

static struct sl_slice text_of(const json_t *string)
{
    return (struct sl_slice){json_string_value(string), json_string_length(string)};
}

/* ---- the request --------------------------------------------------------------------------- */

static struct sl_pii_detector *detector_for(const json_t *row)
{
    struct sl_pii_rules rules;
    struct sl_pii_detector *detector;
    struct sl_error error = {0};
    const json_t *enabled = get(row, "enabled_types");

    sl_pii_rules_init(&rules);
    rules.note = "";
    rules.types[SL_PII_SECRET].action = SL_PII_MASK;
    if (enabled != NULL)
        sl_pii_rules_disable_all(&rules);
    for (size_t i = 0; i < json_array_size(enabled); i++) {
        enum sl_pii_type type;
        ck_assert(sl_pii_type_parse(text_of(json_array_get(enabled, i)), &type));
        rules.types[type].is_on = true;
    }
    ck_assert_int_eq(sl_pii_detector_create(&rules, &detector, &error), SL_OK);
    return detector;
}

/* True where our own detection gives the expected request; the vault is then the real one. */
static bool scrubs_as_expected(const json_t *row, struct sl_vault *vault)
{
    struct sl_pii_detector *detector = detector_for(row);
    struct sl_pii_report report;
    struct sl_error error = {0};
    json_t *request = json_pack("{s:O}", "messages", get(row, "payload"));
    json_t *before = json_deep_copy(request);
    json_t *scrubbed = NULL;

    ck_assert_int_eq(sl_pii_scrub(detector, request, vault, &scrubbed, &report, &error), SL_OK);
    ck_assert_msg(json_equal(request, before), "the client's request was edited");
    bool fits = json_equal(get(scrubbed, "messages"), get(row, "expected_upstream")) != 0;
    json_decref(before);
    json_decref(request);
    json_decref(scrubbed);
    sl_pii_detector_free(detector);
    return fits;
}

static bool is_given(const json_t *row, const char *placeholder)
{
    size_t i;
    json_t *entity;
    json_array_foreach(get(row, "entities"), i, entity)
    {
        if (strcmp(json_string_value(get(entity, "placeholder")), placeholder) == 0)
            return true;
    }
    return false;
}

static struct sl_vault *vault_from_entities(const json_t *row)
{
    struct sl_vault *vault = sl_vault_create();
    size_t i;
    json_t *entity;
    json_array_foreach(get(row, "entities"), i, entity)
    {
        const char *word = json_string_value(get(entity, "type"));
        const char *placeholder = json_string_value(get(entity, "placeholder"));
        unsigned number = (unsigned)strtoul(strrchr(placeholder, '_') + 1, NULL, 10);
        enum sl_pii_type type;
        char other[64];
        ck_assert(sl_pii_type_parse(sl_slice_of(word), &type));
        for (unsigned n = 1; n < number; n++) {
            snprintf(other, sizeof other, "<%s_%u>", word, n);
            if (!is_given(row, other))
                ck_assert(pii_vault_reserve(vault, type, n));
        }
        ck_assert(pii_vault_seal(vault));
        ck_assert_ptr_nonnull(pii_vault_put(vault, type, word, text_of(get(entity, "value")), true,
                                            (struct sl_slice){0}));
    }
    ck_assert(pii_vault_seal(vault));
    return vault;
}

/* ---- the answer ---------------------------------------------------------------------------- */

enum cut { AS_GIVEN, IN_ONE_PIECE, AT_EVERY_BYTE };

struct channel {
    struct sl_restorer *restorer;
    struct sl_buf all; /* what the cloud sends */
    struct sl_buf out; /* what the client gets */
};

struct answer {
    struct channel choices[CHOICES];
    struct channel arguments;
    enum cut cut;
};

static void open_channel(struct channel *channel, const struct sl_vault *vault,
                         enum sl_restore_mode mode)
{
    sl_buf_init(&channel->all, ANSWER_BYTES_MAX);
    sl_buf_init(&channel->out, ANSWER_BYTES_MAX);
    channel->restorer = sl_restorer_create(vault, mode, SL_TOLERATE_ALL);
    ck_assert_ptr_nonnull(channel->restorer);
}

static void feed(struct channel *channel, struct sl_slice piece)
{
    ck_assert_int_eq(sl_restorer_feed(channel->restorer, piece, &channel->out, NULL), SL_OK);
}

static void receive(struct answer *answer, struct channel *channel, struct sl_slice piece)
{
    if (answer->cut == AS_GIVEN)
        feed(channel, piece);
    else
        ck_assert_int_eq(sl_buf_append_slice(&channel->all, piece), SL_OK);
}

static void close_channel(struct answer *answer, struct channel *channel)
{
    if (answer->cut == IN_ONE_PIECE)
        feed(channel, sl_buf_slice(&channel->all));
    for (size_t i = 0; answer->cut == AT_EVERY_BYTE && i < channel->all.len; i++)
        feed(channel, (struct sl_slice){channel->all.data + i, 1});
    ck_assert_int_eq(sl_restorer_flush(channel->restorer, &channel->out, NULL), SL_OK);
    sl_restorer_free(channel->restorer);
    sl_buf_clear(&channel->all);
}

/* The text of one event, of either wire API. */
static enum sl_err on_event(void *context, const struct sl_sse_event *event)
{
    struct answer *answer = context;
    json_t *json = json_loadb(event->data.data, event->data.len, 0, NULL);
    const json_t *choice = json_array_get(get(json, "choices"), 0);
    const json_t *text =
        choice != NULL ? get(get(choice, "delta"), "content") : get(get(json, "delta"), "text");
    if (json_is_string(text))
        receive(answer, &answer->choices[0], text_of(text));
    json_decref(json);
    return SL_OK;
}

static size_t decode_base64(const char *text, char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = 0;
    unsigned bits = 0;
    unsigned count = 0;
    for (; *text != '\0' && *text != '='; text++) {
        bits = bits << 6 | (unsigned)(strchr(alphabet, *text) - alphabet);
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[len++] = (char)(bits >> count & 0xFF);
        }
    }
    return len;
}

static void receive_events(struct answer *answer, const json_t *chunks)
{
    struct sl_sse_parser parser;
    char bytes[4096];
    size_t i;
    json_t *chunk;
    sl_sse_parser_init(&parser, ANSWER_BYTES_MAX, on_event, answer);
    json_array_foreach(chunks, i, chunk)
    {
        size_t len = decode_base64(json_string_value(chunk), bytes);
        ck_assert_int_eq(sl_sse_parser_feed(&parser, (struct sl_slice){bytes, len}), SL_OK);
    }
    ck_assert_int_eq(sl_sse_parser_finish(&parser), SL_OK);
    sl_sse_parser_clear(&parser);
}

static void receive_all(struct answer *answer, const json_t *row)
{
    size_t i;
    json_t *chunk;
    json_array_foreach(get(row, "cloud_chunks"), i, chunk)
    {
        size_t choice = (size_t)json_integer_value(get(chunk, "index"));
        const json_t *text = json_is_string(chunk) ? chunk : get(chunk, "content");
        ck_assert_uint_lt(choice, CHOICES);
        receive(answer, &answer->choices[choice], text_of(text));
    }
    json_array_foreach(get(row, "tool_call_chunks"), i, chunk)
        receive(answer, &answer->arguments, text_of(chunk));
    receive_events(answer, get(row, "sse_chunks_base64"));
}

static bool is_text(const struct channel *channel, const json_t *expected)
{
    return sl_slice_equal(sl_buf_slice(&channel->out), text_of(expected));
}

static bool arguments_fit(const struct channel *channel, const json_t *row)
{
    const json_t *expected = get(row, "expected_tool_arguments");
    size_t i;
    json_t *other;
    if (expected == NULL || is_text(channel, expected))
        return true;
    json_array_foreach(get(row, "alternatives"), i, other)
    {
        if (is_text(channel, other))
            return true;
    }
    return false;
}

static bool restores_as_expected(const json_t *row, const struct sl_vault *vault, enum cut cut)
{
    struct answer answer = {.cut = cut};
    const json_t *expected = get(row, "expected_client_text");
    bool fits = true;

    for (size_t i = 0; i < CHOICES; i++)
        open_channel(&answer.choices[i], vault, SL_RESTORE_TEXT);
    open_channel(&answer.arguments, vault, SL_RESTORE_JSON_STRING);
    receive_all(&answer, row);
    for (size_t i = 0; i < CHOICES; i++) {
        close_channel(&answer, &answer.choices[i]);
        if (json_is_array(expected) && i < json_array_size(expected))
            fits = fits && is_text(&answer.choices[i], json_array_get(expected, i));
    }
    close_channel(&answer, &answer.arguments);
    if (json_is_string(expected))
        fits = fits && is_text(&answer.choices[0], expected);
    fits = fits && arguments_fit(&answer.arguments, row);
    for (size_t i = 0; i < CHOICES; i++)
        sl_buf_clear(&answer.choices[i].out);
    sl_buf_clear(&answer.arguments.out);
    return fits;
}

static bool run_row(const json_t *row, unsigned *detected)
{
    struct sl_vault *vault = sl_vault_create();
    bool fits = true;
    bool is_detected = scrubs_as_expected(row, vault);

    *detected += is_detected;
    if (!is_detected && get(row, "enabled_types") != NULL)
        fits = false; /* there detection is part of the case */
    if (!is_detected) {
        sl_vault_free(vault);
        vault = vault_from_entities(row);
    }
    for (enum cut cut = AS_GIVEN; cut <= AT_EVERY_BYTE; cut++)
        fits = restores_as_expected(row, vault, cut) && fits;
    sl_vault_free(vault);
    if (!fits || !is_detected)
        printf("#   %s (%s): %s%s\n", json_string_value(get(row, "id")),
               json_string_value(get(row, "name")), fits ? "restored" : "NOT restored",
               is_detected ? "" : ", detection differs");
    return fits;
}

START_TEST(walks_of_the_reference_come_out_as_written)
{
    FILE *file = fopen(sl_test_reference("pii/stream_cases.jsonl"), "r");
    char *line = NULL;
    size_t capacity = 0;
    unsigned exact[2] = {0};
    unsigned lenient[2] = {0};
    unsigned detected = 0;

    ck_assert_ptr_nonnull(file);
    while (getline(&line, &capacity, file) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        ck_assert_ptr_nonnull(row);
        unsigned *count =
            strcmp(json_string_value(get(row, "tolerance")), "exact") == 0 ? exact : lenient;
        count[0] += run_row(row, &detected);
        count[1]++;
        json_decref(row);
    }
    free(line);
    fclose(file);
    printf("# stream_cases.jsonl: exact %u of %u, lenient %u of %u; request as expected by our own "
           "detection in %u\n",
           exact[0], exact[1], lenient[0], lenient[1], detected);
    ck_assert_uint_eq(exact[0], exact[1]);
    ck_assert_uint_ge(lenient[0] * 100, lenient[1] * 90);
    ck_assert_uint_ge(detected * 100, (exact[1] + lenient[1]) * 80);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pii streams");
    TCase *tcase = tcase_create("reference walks");
    tcase_add_test(tcase, walks_of_the_reference_come_out_as_written);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
