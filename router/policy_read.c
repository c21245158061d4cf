/* SPDX-License-Identifier: Apache-2.0
 *
 * The table-driven reader of policies: one row a field says its name, type, range and place, so
 * that every field is checked alike and every message has the same form:
 *
 *     policy.json:14:20: routes[1].threshold: expected a number between 0 and 1, found "high"
 *     policy.json:15:7: routes[1].treshold: unknown field; did you mean "threshold"?
 *
 * Runs on the thread that loads a policy; keeps no state of its own.
 */
#include "policy_internal.h"

#include "sluice/buf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define KNOWN_FIELDS_MAX 64 /* more than any table has */
#define EXPANDED_BYTES_MAX 4096

enum sl_err sl_policy_no_memory(struct sl_policy_reader *reader)
{
    return sl_error_set(reader->error, SL_ERR_MEMORY, "%s: out of memory",
                        sl_json_source_name(reader->source));
}

/* ---- nearest names ---- */

/* Edit distance with neighbouring swaps (optimal string alignment); words over 40 count as far. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { MAX = 40 };
    size_t a_len = strlen(a), b_len = strlen(b);
    size_t rows[3][MAX + 1];
    if (a_len > MAX || b_len > MAX)
        return MAX;
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *now = rows[i % 3], *above = rows[(i - 1) % 3], *two_above = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two_above[j - 2] + 1 < best)
                best = two_above[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[a_len % 3][b_len];
}

void sl_policy_suggest(const char *word, const char *const *known, size_t count, char *out,
                       size_t size)
{
    size_t best = strlen(word) / 3 + 2; /* a typo or two; a third of a long word */
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(word, known[i]);
        if (distance < best) {
            best = distance;
            nearest = known[i];
        }
    }
    if (nearest != NULL)
        snprintf(out, size, "; did you mean \"%s\"?", nearest);
    else
        out[0] = '\0';
}

/* ---- scalars ---- */

/* "expected WHAT, found VALUE". */
static enum sl_err expected(struct sl_policy_reader *reader, const struct sl_json_node *node,
                            const char *what)
{
    char found[80];
    sl_json_describe(node, found, sizeof found);
    return sl_json_fail(reader->source, node, reader->error, "expected %s, found %s", what, found);
}

enum sl_err sl_policy_expect(struct sl_policy_reader *reader, const struct sl_json_node *node,
                             json_type type)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",    [JSON_STRING] = "a text",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number",     [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    return json_typeof(node->value) == type ? SL_OK : expected(reader, node, names[type]);
}

enum sl_err sl_policy_note(struct sl_policy_reader *reader, const struct sl_json_node *node,
                           const void *place, size_t size)
{
    if (reader->patch_base == NULL)
        return SL_OK;
    if (reader->patch_count == reader->patch_max)
        return sl_json_fail_key(reader->source, node, reader->error,
                                "expected at most %zu fields in one block", reader->patch_max);
    struct sl_patch *patch = &reader->patches[reader->patch_count++];
    patch->offset = (uint16_t)((const char *)place - (const char *)reader->patch_base);
    patch->size = (uint16_t)size;
    memcpy(patch->bytes, place, size);
    return SL_OK;
}

static enum sl_err read_number(struct sl_policy_reader *reader, const struct sl_json_node *node,
                               const struct sl_field *field, double *out)
{
    bool is_whole = field->kind == SL_FIELD_U32 || field->kind == SL_FIELD_U64 ||
                    field->kind == SL_FIELD_TOKENS;
    bool fits = is_whole ? json_is_integer(node->value) : json_is_number(node->value);
    double value = json_number_value(node->value);
    if (!fits || value < field->min || value > field->max) {
        char what[96];
        snprintf(what, sizeof what, "a %snumber between %.10g and %.10g%s",
                 is_whole ? "whole " : "", field->min, field->max,
                 field->kind == SL_FIELD_TOKENS ? ", or \"all\"" : "");
        return expected(reader, node, what);
    }
    *out = value;
    return SL_OK;
}

static enum sl_err read_numeric_field(struct sl_policy_reader *reader,
                                      const struct sl_json_node *node, const struct sl_field *field,
                                      void *place)
{
    double value = 0;
    enum sl_err err = read_number(reader, node, field, &value);
    if (err != SL_OK)
        return err;
    switch (field->kind) {
    case SL_FIELD_U64:
        *(uint64_t *)place = (uint64_t)json_integer_value(node->value);
        return sl_policy_note(reader, node, place, sizeof(uint64_t));
    case SL_FIELD_DOUBLE:
        *(double *)place = value;
        return sl_policy_note(reader, node, place, sizeof(double));
    case SL_FIELD_FLOAT:
        *(float *)place = (float)value;
        return sl_policy_note(reader, node, place, sizeof(float));
    default:
        *(uint32_t *)place = (uint32_t)value;
        return sl_policy_note(reader, node, place, sizeof(uint32_t));
    }
}

static enum sl_err read_tokens(struct sl_policy_reader *reader, const struct sl_json_node *node,
                               const struct sl_field *field, void *place)
{
    if (json_is_string(node->value) && strcmp(json_string_value(node->value), "all") == 0) {
        *(uint32_t *)place = SL_HOLD_ALL;
        return sl_policy_note(reader, node, place, sizeof(uint32_t));
    }
    return read_numeric_field(reader, node, field, place);
}

static enum sl_err read_bool(struct sl_policy_reader *reader, const struct sl_json_node *node,
                             void *place)
{
    if (!json_is_boolean(node->value))
        return expected(reader, node, "true or false");
    *(bool *)place = json_is_true(node->value);
    return sl_policy_note(reader, node, place, sizeof(bool));
}

static enum sl_err refuse_word(struct sl_policy_reader *reader, const struct sl_json_node *node,
                               const struct sl_word *words)
{
    const char *known[KNOWN_FIELDS_MAX];
    char list[160] = "", found[80], suggestion[64] = "";
    size_t count = 0, len = 0;
    for (; words[count].word != NULL && count < KNOWN_FIELDS_MAX; count++) {
        known[count] = words[count].word;
        int wrote = snprintf(list + len, sizeof list - len, "%s%s", count == 0 ? "" : ", ",
                             words[count].word);
        if (wrote > 0 && len + (size_t)wrote < sizeof list)
            len += (size_t)wrote;
    }
    sl_json_describe(node, found, sizeof found);
    if (json_is_string(node->value))
        sl_policy_suggest(json_string_value(node->value), known, count, suggestion,
                          sizeof suggestion);
    return sl_json_fail(reader->source, node, reader->error, "expected one of %s, found %s%s", list,
                        found, suggestion);
}

static enum sl_err read_word(struct sl_policy_reader *reader, const struct sl_json_node *node,
                             const struct sl_field *field, void *place)
{
    const char *text = json_string_value(node->value);
    for (const struct sl_word *word = field->words; text != NULL && word->word != NULL; word++) {
        if (strcmp(word->word, text) == 0) {
            *(int *)place = word->value;
            return sl_policy_note(reader, node, place, sizeof(int));
        }
    }
    return refuse_word(reader, node, field->words);
}

static enum sl_err read_string(struct sl_policy_reader *reader, const struct sl_json_node *node,
                               const char **place)
{
    enum sl_err err = sl_policy_expect(reader, node, JSON_STRING);
    if (err != SL_OK)
        return err;
    *place = json_string_value(node->value);
    return sl_policy_note(reader, node, place, sizeof *place);
}

/* ---- the environment ---- */

/* Appends the value of `${NAME}` or `${NAME:-default}`; *at points after the `${`. */
static enum sl_err expand_variable(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                   const char **at, struct sl_buf *out)
{
    const char *close = strchr(*at, '}');
    char name[64];
    if (close == NULL)
        return sl_json_fail(reader->source, node, reader->error, "expected '}' after \"${\"");
    size_t name_len = strcspn(*at, ":}");
    const char *fallback = NULL;
    if ((*at)[name_len] == ':') {
        if ((*at)[name_len + 1] != '-')
            return sl_json_fail(reader->source, node, reader->error,
                                "expected ${NAME} or ${NAME:-default}");
        fallback = *at + name_len + 2;
    }
    if (name_len == 0 || name_len >= sizeof name)
        return sl_json_fail(reader->source, node, reader->error,
                            "expected the name of a variable after \"${\"");
    snprintf(name, sizeof name, "%.*s", (int)name_len, *at);
    *at = close + 1;
    const char *value = getenv(name);
    if (value != NULL && value[0] != '\0')
        return sl_buf_append_text(out, value);
    if (fallback != NULL)
        return sl_buf_append(out, fallback, (size_t)(close - fallback));
    return sl_json_fail(reader->source, node, reader->error,
                        "expected the environment variable %s to be set", name);
}

enum sl_err sl_policy_expand(struct sl_policy_reader *reader, const struct sl_json_node *node,
                             const char **out)
{
    enum sl_err err = sl_policy_expect(reader, node, JSON_STRING);
    if (err != SL_OK)
        return err;
    const char *at = json_string_value(node->value);
    if (strstr(at, "${") == NULL) {
        *out = at;
        return SL_OK;
    }
    struct sl_buf buf;
    sl_buf_init(&buf, EXPANDED_BYTES_MAX);
    while (err == SL_OK && *at != '\0') {
        if (at[0] == '$' && at[1] == '{') {
            at += 2;
            err = expand_variable(reader, node, &at, &buf);
        } else {
            err = sl_buf_append_char(&buf, *at++);
        }
    }
    if (err == SL_ERR_LIMIT)
        sl_json_fail(reader->source, node, reader->error, "too long after expansion");
    if (err == SL_OK && (*out = sl_arena_dup(reader->arena, sl_buf_slice(&buf))) == NULL)
        err = sl_policy_no_memory(reader);
    sl_buf_clear(&buf);
    return err;
}

/* ---- lists ---- */

enum sl_err sl_policy_read_strings(struct sl_policy_reader *reader,
                                   const struct sl_json_node *node, const char *const **items,
                                   size_t *count)
{
    enum sl_err err = sl_policy_expect(reader, node, JSON_ARRAY);
    if (err != SL_OK)
        return err;
    size_t size = json_array_size(node->value), used = 0;
    const char **texts = sl_arena_zalloc(reader->arena, size + 1, sizeof *texts);
    if (texts == NULL)
        return sl_policy_no_memory(reader);
    for (const struct sl_json_node *item = sl_json_first(reader->source, node); item != NULL;
         item = sl_json_next(reader->source, item)) {
        if ((err = sl_policy_expect(reader, item, JSON_STRING)) != SL_OK)
            return err;
        texts[used++] = json_string_value(item->value);
    }
    *items = texts;
    *count = used;
    return SL_OK;
}

enum sl_err sl_policy_read_patterns(struct sl_policy_reader *reader,
                                    const struct sl_json_node *node, struct sl_patterns *out)
{
    if (json_is_string(node->value)) {
        out->items = sl_arena_alloc(reader->arena, sizeof *out->items);
        if (out->items == NULL)
            return sl_policy_no_memory(reader);
        out->items[0] = json_string_value(node->value);
        out->count = 1;
        return SL_OK;
    }
    if (!json_is_array(node->value) || json_array_size(node->value) == 0)
        return expected(reader, node, "a pattern or a list of patterns");
    const char *const *items;
    enum sl_err err = sl_policy_read_strings(reader, node, &items, &out->count);
    if (err == SL_OK)
        out->items = (const char **)(size_t)(const void *)items;
    return err;
}

/* ---- objects ---- */

static enum sl_err unknown_field(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                 const struct sl_field *fields)
{
    const char *known[KNOWN_FIELDS_MAX];
    char suggestion[96];
    size_t count = 0;
    while (count < KNOWN_FIELDS_MAX && fields[count].name != NULL) {
        known[count] = fields[count].name;
        count++;
    }
    sl_policy_suggest(node->key, known, count, suggestion, sizeof suggestion);
    if (suggestion[0] == '\0' && count <= 6) {
        size_t len = (size_t)snprintf(suggestion, sizeof suggestion, "; expected ");
        for (size_t i = 0; i < count && len < sizeof suggestion; i++)
            len += (size_t)snprintf(suggestion + len, sizeof suggestion - len, "%s%s",
                                    i == 0 ? "" : ", ", known[i]);
    }
    return sl_json_fail_key(reader->source, node, reader->error, "unknown field%s", suggestion);
}

enum sl_err sl_policy_read_one(struct sl_policy_reader *reader, const struct sl_json_node *node,
                               const struct sl_field *field, void *target)
{
    void *place = (char *)target + field->offset;
    if (reader->patch_base != NULL &&
        (field->is_fixed || field->kind == SL_FIELD_EXPANDED || field->kind == SL_FIELD_CUSTOM))
        return sl_json_fail_key(reader->source, node, reader->error,
                                "this field cannot depend on the device");
    switch (field->kind) {
    case SL_FIELD_IGNORED:
        return SL_OK;
    case SL_FIELD_BOOL:
        return read_bool(reader, node, place);
    case SL_FIELD_TOKENS:
        return read_tokens(reader, node, field, place);
    case SL_FIELD_WORD:
        return read_word(reader, node, field, place);
    case SL_FIELD_STRING:
        return read_string(reader, node, place);
    case SL_FIELD_EXPANDED:
        return sl_policy_expand(reader, node, place);
    case SL_FIELD_SECTION:
        return sl_policy_read(reader, node, field->section, place);
    case SL_FIELD_CUSTOM:
        return field->read(reader, node, place);
    default:
        return read_numeric_field(reader, node, field, place);
    }
}

enum sl_err sl_policy_read(struct sl_policy_reader *reader, const struct sl_json_node *node,
                           const struct sl_field *fields, void *target)
{
    enum sl_err err = sl_policy_expect(reader, node, JSON_OBJECT);
    for (const struct sl_json_node *member = err == SL_OK ? sl_json_first(reader->source, node) : NULL;
         member != NULL && err == SL_OK; member = sl_json_next(reader->source, member)) {
        const struct sl_field *field = fields;
        while (field->name != NULL && strcmp(field->name, member->key) != 0)
            field++;
        err = field->name == NULL ? unknown_field(reader, member, fields)
                                  : sl_policy_read_one(reader, member, field, target);
    }
    return err;
}
