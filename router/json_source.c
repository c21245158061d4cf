/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader of json_source.h: a recursive descent over the text that builds jansson values and,
 * beside them, a flat array of nodes linked by index.
 *
 * Why not jansson's own parser: it refuses comments, and forgets where values stood. Positions are
 * not kept by value address, since jansson shares one `true`, `false` and `null`.
 *
 * Invariants: 1. nodes[0] is the root. 2. A node's parent has a smaller index. 3. Every value is
 * owned by its parent's value, the root's by the source.
 */
#include "json_source.h"

#include "sluice/buf.h"
#include "sluice/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NONE UINT32_MAX
#define NUMBER_CHARS_MAX 64 /* longer than any double or 64-bit integer is written */

struct sl_json_source {
    char *name;
    char *text;
    size_t len;
    struct sl_json_node *nodes;
    uint32_t node_count, node_capacity;
};

struct reader {
    struct sl_json_source *source;
    const char *at, *end, *line_start;
    uint32_t line;
    unsigned depth;
    struct sl_error *error;
};

static uint32_t column_of(const struct reader *reader)
{
    return (uint32_t)(reader->at - reader->line_start) + 1;
}

static enum sl_err syntax_error(struct reader *reader, const char *expected)
{
    char found[32] = "the end of the file";
    if (reader->at < reader->end) {
        unsigned char c = (unsigned char)*reader->at;
        if (c > ' ' && c < 0x7f)
            snprintf(found, sizeof found, "'%c'", c);
        else
            snprintf(found, sizeof found, "byte 0x%02x", c);
    }
    return sl_error_set(reader->error, SL_ERR_JSON, "%s:%u:%u: expected %s, found %s",
                        reader->source->name, reader->line, column_of(reader), expected, found);
}

/* ---- white space and comments ---- */

static void advance(struct reader *reader)
{
    if (*reader->at++ == '\n') {
        reader->line++;
        reader->line_start = reader->at;
    }
}

static bool looking_at(const struct reader *reader, const char *text, size_t len)
{
    return (size_t)(reader->end - reader->at) >= len && memcmp(reader->at, text, len) == 0;
}

static enum sl_err skip_block_comment(struct reader *reader)
{
    struct reader start = *reader;
    reader->at += 2;
    while (reader->at < reader->end && !looking_at(reader, "*/", 2))
        advance(reader);
    if (reader->at == reader->end)
        return sl_error_set(reader->error, SL_ERR_JSON, "%s:%u:%u: this comment has no end",
                            reader->source->name, start.line, column_of(&start));
    reader->at += 2;
    return SL_OK;
}

static enum sl_err skip_space(struct reader *reader)
{
    while (reader->at < reader->end) {
        char c = *reader->at;
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            advance(reader);
        } else if (looking_at(reader, "//", 2)) {
            while (reader->at < reader->end && *reader->at != '\n')
                reader->at++;
        } else if (looking_at(reader, "/*", 2)) {
            enum sl_err err = skip_block_comment(reader);
            if (err != SL_OK)
                return err;
        } else {
            break;
        }
    }
    return SL_OK;
}

/* ---- nodes ---- */

static uint32_t add_node(struct reader *reader, uint32_t parent)
{
    struct sl_json_source *source = reader->source;
    if (source->node_count == source->node_capacity) {
        uint32_t capacity = source->node_capacity == 0 ? 64 : source->node_capacity * 2;
        struct sl_json_node *nodes = realloc(source->nodes, capacity * sizeof *nodes);
        if (nodes == NULL)
            return NONE;
        source->nodes = nodes;
        source->node_capacity = capacity;
    }
    uint32_t idx = source->node_count++;
    source->nodes[idx] = (struct sl_json_node){
        .line = reader->line,
        .column = column_of(reader),
        .parent = parent,
        .first_child = NONE,
        .last_child = NONE,
        .next = NONE,
    };
    if (parent != NONE) {
        struct sl_json_node *above = &source->nodes[parent];
        if (above->first_child == NONE) {
            above->first_child = idx;
        } else {
            source->nodes[idx].index = source->nodes[above->last_child].index + 1;
            source->nodes[above->last_child].next = idx;
        }
        above->last_child = idx;
    }
    return idx;
}

/* ---- scalars ---- */

static bool read_hex4(struct reader *reader, uint32_t *out)
{
    uint32_t value = 0;
    if (reader->end - reader->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = reader->at[i];
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return false;
        value = value << 4 | digit;
    }
    reader->at += 4;
    *out = value;
    return true;
}

/* After `\u`. A surrogate pair is one code point; a lone surrogate and NUL are refused. */
static enum sl_err read_unicode_escape(struct reader *reader, struct sl_buf *out)
{
    uint32_t codepoint, low;
    if (!read_hex4(reader, &codepoint))
        return syntax_error(reader, "four hex digits");
    if (codepoint >= 0xd800 && codepoint < 0xdc00 && looking_at(reader, "\\u", 2)) {
        reader->at += 2;
        if (!read_hex4(reader, &low))
            return syntax_error(reader, "four hex digits");
        if (low < 0xdc00 || low >= 0xe000)
            return syntax_error(reader, "the second half of a surrogate pair before this");
        codepoint = 0x10000 + ((codepoint - 0xd800) << 10) + (low - 0xdc00);
    }
    if (codepoint == 0 || (codepoint >= 0xd800 && codepoint < 0xe000))
        return syntax_error(reader, "a character other than NUL or half a pair before this");
    char bytes[4];
    return sl_buf_append(out, bytes, sl_utf8_encode(codepoint, bytes));
}

static enum sl_err read_escape(struct reader *reader, struct sl_buf *out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (reader->at == reader->end)
        return syntax_error(reader, "an escape");
    char c = *reader->at;
    if (c == 'u') {
        reader->at++;
        return read_unicode_escape(reader, out);
    }
    const char *found = c == '\0' ? NULL : strchr(names, c);
    if (found == NULL)
        return syntax_error(reader, "one of \" \\ / b f n r t u after a backslash");
    reader->at++;
    return sl_buf_append_char(out, values[found - names]);
}

static enum sl_err read_string(struct reader *reader, struct sl_buf *out)
{
    reader->at++; /* the quote */
    for (;;) {
        if (reader->at == reader->end || *reader->at == '\n')
            return syntax_error(reader, "a closing quote");
        unsigned char c = (unsigned char)*reader->at;
        enum sl_err err;
        if (c == '"') {
            reader->at++;
            return SL_OK;
        }
        if (c == '\\') {
            reader->at++;
            err = read_escape(reader, out);
        } else if (c < ' ') {
            return syntax_error(reader, "an escape for a control character");
        } else {
            size_t len = sl_utf8_sequence_len(reader->at, (size_t)(reader->end - reader->at));
            if (len == 0)
                return syntax_error(reader, "valid UTF-8");
            err = sl_buf_append(out, reader->at, len);
            reader->at += len;
        }
        if (err != SL_OK)
            return err;
    }
}

static enum sl_err read_string_value(struct reader *reader, json_t **out)
{
    struct sl_buf buf;
    sl_buf_init(&buf, SL_JSON_SOURCE_BYTES_MAX);
    enum sl_err err = read_string(reader, &buf);
    if (err == SL_OK) {
        *out = json_stringn_nocheck(buf.len == 0 ? "" : buf.data, buf.len);
        if (*out == NULL)
            err = SL_ERR_MEMORY;
    }
    sl_buf_clear(&buf);
    return err;
}

static size_t skip_digits(const char *text, size_t at)
{
    while (text[at] >= '0' && text[at] <= '9')
        at++;
    return at;
}

/* Length of a JSON number at the start of `text` (terminated), 0 where there is none. */
static size_t number_length(const char *text, bool *is_real)
{
    size_t at = text[0] == '-', from = at;
    *is_real = false;
    at = skip_digits(text, at);
    if (at == from || (text[from] == '0' && at > from + 1))
        return 0;
    if (text[at] == '.') {
        from = ++at;
        at = skip_digits(text, at);
        if (at == from)
            return 0;
        *is_real = true;
    }
    if (text[at] == 'e' || text[at] == 'E') {
        at++;
        at += text[at] == '+' || text[at] == '-';
        from = at;
        at = skip_digits(text, at);
        if (at == from)
            return 0;
        *is_real = true;
    }
    return at;
}

static enum sl_err read_number(struct reader *reader, json_t **out)
{
    char text[NUMBER_CHARS_MAX + 1];
    size_t left = (size_t)(reader->end - reader->at);
    size_t len = left < NUMBER_CHARS_MAX ? left : NUMBER_CHARS_MAX;
    memcpy(text, reader->at, len);
    text[len] = '\0';
    bool is_real;
    size_t used = number_length(text, &is_real);
    if (used == 0 || used == NUMBER_CHARS_MAX)
        return syntax_error(reader, "a number");
    text[used] = '\0';
    errno = 0;
    if (is_real) {
        double value = strtod(text, NULL);
        if (!isfinite(value))
            return syntax_error(reader, "a number that fits");
        *out = json_real(value);
    } else {
        long long value = strtoll(text, NULL, 10);
        if (errno == ERANGE)
            return syntax_error(reader, "a number that fits");
        *out = json_integer(value);
    }
    reader->at += used;
    return *out == NULL ? SL_ERR_MEMORY : SL_OK;
}

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static enum sl_err read_word(struct reader *reader, json_t **out)
{
    size_t len = 0;
    while (reader->at + len < reader->end && is_word_char(reader->at[len]))
        len++;
    struct sl_slice word = {reader->at, len};
    if (sl_slice_equal_text(word, "true"))
        *out = json_true();
    else if (sl_slice_equal_text(word, "false"))
        *out = json_false();
    else if (sl_slice_equal_text(word, "null"))
        *out = json_null();
    else
        return syntax_error(reader, "a value");
    reader->at += len;
    return SL_OK;
}

/* ---- containers ---- */

static enum sl_err read_value(struct reader *reader, uint32_t node);

/* After a value in a container: a comma, or the closing bracket. */
static enum sl_err read_separator(struct reader *reader, char close, const char *expected)
{
    enum sl_err err = skip_space(reader);
    if (err != SL_OK)
        return err;
    if (reader->at < reader->end && *reader->at == ',') {
        reader->at++;
        return skip_space(reader);
    }
    if (reader->at < reader->end && *reader->at == close)
        return SL_OK;
    return syntax_error(reader, expected);
}

static enum sl_err read_array(struct reader *reader, uint32_t node)
{
    json_t *array = json_array();
    if (array == NULL)
        return SL_ERR_MEMORY;
    reader->source->nodes[node].value = array;
    reader->at++;
    enum sl_err err = skip_space(reader);
    while (err == SL_OK && (reader->at == reader->end || *reader->at != ']')) {
        uint32_t child = add_node(reader, node);
        if (child == NONE)
            return SL_ERR_MEMORY;
        err = read_value(reader, child);
        /* The reference count is the node's; the array takes it. */
        if (reader->source->nodes[child].value != NULL &&
            json_array_append_new(array, reader->source->nodes[child].value) != 0)
            return SL_ERR_MEMORY;
        if (err == SL_OK)
            err = read_separator(reader, ']', "',' or ']' after an element");
    }
    if (err == SL_OK)
        reader->at++;
    return err;
}

/* Reads `"key" :` and adds the member's node, its value still to come. */
static enum sl_err read_key(struct reader *reader, uint32_t object, struct sl_buf *key,
                            uint32_t *child)
{
    uint32_t line = reader->line, column = column_of(reader);
    if (reader->at == reader->end || *reader->at != '"')
        return syntax_error(reader, "a member name in quotes, or '}'");
    enum sl_err err = read_string(reader, key);
    if (err != SL_OK)
        return err;
    if (key->len == 0 && (err = sl_buf_append_text(key, "")) != SL_OK)
        return err;
    const char *name = key->data == NULL ? "" : key->data;
    if (json_object_get(reader->source->nodes[object].value, name) != NULL)
        return sl_error_set(reader->error, SL_ERR_JSON, "%s:%u:%u: \"%.100s\" is given twice",
                            reader->source->name, line, column, name);
    err = skip_space(reader);
    if (err != SL_OK)
        return err;
    if (reader->at == reader->end || *reader->at != ':')
        return syntax_error(reader, "':' after a member name");
    reader->at++;
    err = skip_space(reader);
    if (err != SL_OK)
        return err;
    *child = add_node(reader, object);
    if (*child == NONE)
        return SL_ERR_MEMORY;
    reader->source->nodes[*child].key_line = line;
    reader->source->nodes[*child].key_column = column;
    return SL_OK;
}

static enum sl_err read_member(struct reader *reader, uint32_t object)
{
    struct sl_buf key;
    uint32_t child = NONE;
    sl_buf_init(&key, SL_JSON_SOURCE_BYTES_MAX);
    enum sl_err err = read_key(reader, object, &key, &child);
    if (err == SL_OK) {
        const char *name = key.data == NULL ? "" : key.data;
        err = read_value(reader, child);
        struct sl_json_node *node = &reader->source->nodes[child];
        json_t *parent = reader->source->nodes[object].value;
        if (node->value != NULL && json_object_set_new_nocheck(parent, name, node->value) != 0)
            err = SL_ERR_MEMORY;
        else if (node->value != NULL)
            node->key = json_object_iter_key(json_object_iter_at(parent, name));
    }
    sl_buf_clear(&key);
    return err;
}

static enum sl_err read_object(struct reader *reader, uint32_t node)
{
    json_t *object = json_object();
    if (object == NULL)
        return SL_ERR_MEMORY;
    reader->source->nodes[node].value = object;
    reader->at++;
    enum sl_err err = skip_space(reader);
    while (err == SL_OK && (reader->at == reader->end || *reader->at != '}')) {
        err = read_member(reader, node);
        if (err == SL_OK)
            err = read_separator(reader, '}', "',' or '}' after a member");
    }
    if (err == SL_OK)
        reader->at++;
    return err;
}

/* On failure the node's value may be set: then it is complete enough to be freed by its parent. */
static enum sl_err read_value(struct reader *reader, uint32_t node)
{
    if (reader->at == reader->end)
        return syntax_error(reader, "a value");
    json_t *scalar = NULL;
    enum sl_err err;
    switch (*reader->at) {
    case '{':
    case '[':
        if (reader->depth == SL_JSON_DEPTH_MAX)
            return syntax_error(reader, "at most 32 levels");
        reader->depth++;
        err = *reader->at == '{' ? read_object(reader, node) : read_array(reader, node);
        reader->depth--;
        return err;
    case '"':
        err = read_string_value(reader, &scalar);
        break;
    case '-':
    case '0' ... '9':
        err = read_number(reader, &scalar);
        break;
    default:
        err = read_word(reader, &scalar);
        break;
    }
    reader->source->nodes[node].value = scalar;
    return err;
}

static enum sl_err read_document(struct reader *reader)
{
    if (looking_at(reader, "\xef\xbb\xbf", 3)) { /* a byte-order mark, from some editors */
        reader->at += 3;
        reader->line_start += 3;
    }
    enum sl_err err = skip_space(reader);
    if (err != SL_OK)
        return err;
    if (add_node(reader, NONE) == NONE)
        return SL_ERR_MEMORY;
    err = read_value(reader, 0);
    if (err == SL_OK)
        err = skip_space(reader);
    if (err == SL_OK && reader->at != reader->end)
        err = syntax_error(reader, "the end of the file after the value");
    return err;
}

/* ---- the public face ---- */

enum sl_err sl_json_source_parse(const char *name, struct sl_slice text,
                                 struct sl_json_source **out, struct sl_error *error)
{
    *out = NULL;
    if (text.len > SL_JSON_SOURCE_BYTES_MAX)
        return sl_error_set(error, SL_ERR_LIMIT, "%s: larger than 1 MiB", name);
    struct sl_json_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    source->name = strdup(name);
    source->text = malloc(text.len + 1);
    enum sl_err err = SL_ERR_MEMORY;
    if (source->name != NULL && source->text != NULL) {
        if (text.len != 0)
            memcpy(source->text, text.data, text.len);
        source->text[text.len] = '\0';
        source->len = text.len;
        struct reader reader = {
            .source = source,
            .at = source->text,
            .end = source->text + text.len,
            .line_start = source->text,
            .line = 1,
            .error = error,
        };
        err = read_document(&reader);
    }
    if (err != SL_OK) {
        sl_json_source_free(source);
        return err == SL_ERR_JSON ? err : sl_error_set(error, err, NULL);
    }
    *out = source;
    return SL_OK;
}

static enum sl_err read_whole(const char *path, struct sl_buf *out, struct sl_error *error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return sl_error_set(error, SL_ERR_IO, "%s: %s", path, strerror(errno));
    enum sl_err err = SL_OK;
    char chunk[8192];
    size_t got;
    while (err == SL_OK && (got = fread(chunk, 1, sizeof chunk, file)) > 0)
        err = sl_buf_append(out, chunk, got);
    if (err == SL_ERR_LIMIT)
        sl_error_set(error, err, "%s: larger than 1 MiB", path);
    else if (err != SL_OK)
        sl_error_set(error, err, NULL);
    else if (ferror(file))
        err = sl_error_set(error, SL_ERR_IO, "%s: %s", path, strerror(errno));
    fclose(file);
    return err;
}

enum sl_err sl_json_source_load(const char *path, struct sl_json_source **out,
                                struct sl_error *error)
{
    struct sl_buf text;
    *out = NULL;
    sl_buf_init(&text, SL_JSON_SOURCE_BYTES_MAX);
    enum sl_err err = read_whole(path, &text, error);
    if (err == SL_OK)
        err = sl_json_source_parse(path, sl_buf_slice(&text), out, error);
    sl_buf_clear(&text);
    return err;
}

void sl_json_source_free(struct sl_json_source *source)
{
    if (source == NULL)
        return;
    if (source->node_count != 0)
        json_decref(source->nodes[0].value);
    free(source->nodes);
    free(source->text);
    free(source->name);
    free(source);
}

const char *sl_json_source_name(const struct sl_json_source *source) { return source->name; }

struct sl_slice sl_json_source_text(const struct sl_json_source *source)
{
    return (struct sl_slice){source->text, source->len};
}

const struct sl_json_node *sl_json_source_root(const struct sl_json_source *source)
{
    return &source->nodes[0];
}

static const struct sl_json_node *node_at(const struct sl_json_source *source, uint32_t idx)
{
    return idx == NONE ? NULL : &source->nodes[idx];
}

const struct sl_json_node *sl_json_first(const struct sl_json_source *source,
                                         const struct sl_json_node *node)
{
    return node_at(source, node->first_child);
}

const struct sl_json_node *sl_json_next(const struct sl_json_source *source,
                                        const struct sl_json_node *node)
{
    return node_at(source, node->next);
}

const struct sl_json_node *sl_json_member(const struct sl_json_source *source,
                                          const struct sl_json_node *node, const char *key)
{
    if (!json_is_object(node->value))
        return NULL;
    const struct sl_json_node *child = sl_json_first(source, node);
    while (child != NULL && strcmp(child->key, key) != 0)
        child = sl_json_next(source, child);
    return child;
}

static bool is_plain_name(const char *key)
{
    for (const char *at = key; *at != '\0'; at++)
        if (!is_word_char(*at) && *at != '-')
            return false;
    return *key != '\0';
}

void sl_json_path(const struct sl_json_source *source, const struct sl_json_node *node, char *out,
                  size_t size)
{
    const struct sl_json_node *chain[SL_JSON_DEPTH_MAX + 1];
    size_t depth = 0, len = 0;
    for (; node->parent != NONE && depth <= SL_JSON_DEPTH_MAX; node = &source->nodes[node->parent])
        chain[depth++] = node;
    out[0] = '\0';
    while (depth > 0 && len < size) {
        const struct sl_json_node *step = chain[--depth];
        int wrote;
        if (step->key == NULL)
            wrote = snprintf(out + len, size - len, "[%u]", step->index);
        else if (is_plain_name(step->key))
            wrote = snprintf(out + len, size - len, "%s%s", len == 0 ? "" : ".", step->key);
        else
            wrote = snprintf(out + len, size - len, "[\"%s\"]", step->key);
        len += wrote > 0 ? (size_t)wrote : 0;
    }
}

void sl_json_describe(const struct sl_json_node *node, char *out, size_t size)
{
    const json_t *value = node->value;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        snprintf(out, size, "an object");
        break;
    case JSON_ARRAY:
        snprintf(out, size, "an array");
        break;
    case JSON_STRING:
        snprintf(out, size, "\"%.60s\"", json_string_value(value));
        break;
    case JSON_INTEGER:
        snprintf(out, size, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(out, size, "%g", json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(out, size, "%s", json_is_true(value) ? "true" : "false");
        break;
    case JSON_NULL:
        snprintf(out, size, "null");
        break;
    }
}

static enum sl_err fail_at(const struct sl_json_source *source, const struct sl_json_node *node,
                           uint32_t line, uint32_t column, struct sl_error *error,
                           const char *format, va_list args) SL_PRINTF(6, 0);

static enum sl_err fail_at(const struct sl_json_source *source, const struct sl_json_node *node,
                           uint32_t line, uint32_t column, struct sl_error *error,
                           const char *format, va_list args)
{
    char path[96], sentence[320];
    sl_json_path(source, node, path, sizeof path);
    vsnprintf(sentence, sizeof sentence, format, args);
    return sl_error_set_param(error, SL_ERR_INVALID, path, "%s:%u:%u: %s%s%s", source->name, line,
                              column, path, path[0] == '\0' ? "" : ": ", sentence);
}

enum sl_err sl_json_fail(const struct sl_json_source *source, const struct sl_json_node *node,
                         struct sl_error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum sl_err err = fail_at(source, node, node->line, node->column, error, format, args);
    va_end(args);
    return err;
}

enum sl_err sl_json_fail_key(const struct sl_json_source *source, const struct sl_json_node *node,
                             struct sl_error *error, const char *format, ...)
{
    bool is_member = node->key_line != 0;
    va_list args;
    va_start(args, format);
    enum sl_err err = fail_at(source, node, is_member ? node->key_line : node->line,
                              is_member ? node->key_column : node->column, error, format, args);
    va_end(args);
    return err;
}
