/* SPDX-License-Identifier: Apache-2.0
 *
 * Cuts a template into tokens and removes the white space that its tags ask for. Follows Jinja's
 * lexer with trim_blocks and lstrip_blocks on, keep_trailing_newline off:
 *  - a newline right after a block or comment tag goes;
 *  - white space from the beginning of a line up to a block or comment tag goes;
 *  - "-" inside a tag removes all white space on that side, "+" keeps what would go;
 *  - one newline at the end of the template goes; every newline becomes "\n".
 *
 * Source: https://jinja.palletsprojects.com/en/stable/templates/#whitespace-control
 */
#include "chat_ast.h"

#include "sluice/utf8.h"

#include <errno.h>
#include <stdlib.h>

#define TOKENS_MAX (1u << 20)

struct lexer {
    struct sl_arena *arena;
    const char *at;
    const char *end;
    uint32_t line;
    bool line_starts; /* the last tag ended with a newline, or there was none */
    struct sl_chat_tokens *tokens;
    struct sl_error *error;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || (unsigned char)c >= 0x80;
}

static bool looking_at(const struct lexer *lexer, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(lexer->end - lexer->at) >= len && memcmp(lexer->at, text, len) == 0;
}

static void advance(struct lexer *lexer, size_t len)
{
    for (size_t i = 0; i < len; i++)
        lexer->line += lexer->at[i] == '\n';
    lexer->at += len;
}

static enum sl_err fail(const struct lexer *lexer, const char *what)
{
    return sl_error_set(lexer->error, SL_ERR_FORMAT, "chat template line %u: %s", lexer->line,
                        what);
}

static enum sl_err add(struct lexer *lexer, struct sl_chat_token token)
{
    struct sl_chat_tokens *tokens = lexer->tokens;
    if (tokens->count == tokens->capacity) {
        size_t capacity = tokens->capacity == 0 ? 128 : tokens->capacity * 2;
        struct sl_chat_token *grown =
            capacity <= TOKENS_MAX ? realloc(tokens->items, capacity * sizeof *grown) : NULL;
        if (grown == NULL)
            return sl_error_set(lexer->error, SL_ERR_LIMIT,
                                "chat template line %u: too many tokens", lexer->line);
        tokens->items = grown;
        tokens->capacity = capacity;
    }
    tokens->items[tokens->count++] = token;
    return SL_OK;
}

static enum sl_err add_simple(struct lexer *lexer, enum sl_chat_token_kind kind, size_t len)
{
    struct sl_chat_token token = {kind, lexer->line, {lexer->at, len}, {0}};
    advance(lexer, len);
    return add(lexer, token);
}

/* ---- inside tags ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \xhh, \uhhhh, \Uhhhhhhhh; returns the digits read, 0 where they are not all there. */
static size_t hex_escape(const char *text, const char *end, char *out, size_t *out_len)
{
    size_t digits = *text == 'x' ? 2 : *text == 'u' ? 4 : 8;
    uint32_t codepoint = 0;
    if ((size_t)(end - text) <= digits)
        return 0;
    for (size_t i = 1; i <= digits; i++) {
        int digit = hex_value(text[i]);
        if (digit < 0)
            return 0;
        codepoint = codepoint << 4 | (uint32_t)digit;
    }
    if (codepoint > 0x10FFFF || (codepoint >= 0xD800 && codepoint < 0xE000))
        codepoint = 0xFFFD;
    *out_len += sl_utf8_encode(codepoint, out + *out_len);
    return digits;
}

/* One escape of a Python string after its backslash; returns the bytes read. What is no escape
 * keeps its backslash. The result is never longer than the spelling. */
static size_t unescape(const char *text, const char *end, char *out, size_t *out_len)
{
    static const char simple[] = "n\nt\tr\rb\bf\fv\va\a\\\\''\"\"";
    for (size_t i = 0; i < sizeof simple - 1; i += 2) {
        if (simple[i] == *text) {
            out[(*out_len)++] = simple[i + 1];
            return 1;
        }
    }
    if (*text == '\n')
        return 1;
    if (*text == 'x' || *text == 'u' || *text == 'U') {
        size_t digits = hex_escape(text, end, out, out_len);
        if (digits > 0)
            return digits + 1;
    }
    out[(*out_len)++] = '\\';
    out[(*out_len)++] = *text;
    return 1;
}

static enum sl_err lex_string(struct lexer *lexer)
{
    char quote = *lexer->at;
    const char *from = lexer->at + 1;
    const char *to = from;
    while (to < lexer->end && *to != quote)
        to += *to == '\\' && to + 1 < lexer->end ? 2 : 1;
    if (to >= lexer->end)
        return fail(lexer, "a string has no end");
    char *text = sl_arena_alloc(lexer->arena, (size_t)(to - from) + 4);
    if (text == NULL)
        return sl_error_set(lexer->error, SL_ERR_LIMIT, NULL);
    size_t len = 0;
    for (const char *at = from; at < to;) {
        if (*at == '\\' && at + 1 < to)
            at += 1 + unescape(at + 1, to, text, &len);
        else
            text[len++] = *at++;
    }
    struct sl_chat_token token = {SL_CHAT_STRING, lexer->line, {from, (size_t)(to - from)},
                                  sl_value_text((struct sl_slice){text, len})};
    advance(lexer, (size_t)(to - lexer->at) + 1);
    return add(lexer, token);
}

static enum sl_err lex_number(struct lexer *lexer)
{
    char digits[64];
    size_t len = 0;
    bool is_float = false;
    const char *at = lexer->at;
    for (; at < lexer->end; at++) {
        bool is_point = *at == '.' && !is_float && at + 1 < lexer->end && at[1] >= '0' &&
                        at[1] <= '9';
        bool is_exponent = (*at == 'e' || *at == 'E') && at + 1 < lexer->end &&
                           ((at[1] >= '0' && at[1] <= '9') || at[1] == '-' || at[1] == '+');
        bool is_sign = (*at == '-' || *at == '+') && (at[-1] == 'e' || at[-1] == 'E');
        if (*at == '_')
            continue;
        if (!is_point && !is_exponent && !(is_sign && is_float) && (*at < '0' || *at > '9'))
            break;
        is_float = is_float || is_point || is_exponent;
        if (len < sizeof digits - 1)
            digits[len++] = *at;
    }
    digits[len] = '\0';
    struct sl_chat_token token = {SL_CHAT_NUMBER, lexer->line,
                                  {lexer->at, (size_t)(at - lexer->at)}, {0}};
    errno = 0;
    token.value = is_float ? sl_value_float(strtod(digits, NULL))
                           : sl_value_int(strtoll(digits, NULL, 10));
    if (errno == ERANGE && !is_float)
        return fail(lexer, "a number is too large");
    lexer->at = at;
    return add(lexer, token);
}

static enum sl_err lex_operator(struct lexer *lexer)
{
    static const char *const operators[] = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "(", ")", "[", "]",
        "{", "}", ">", "<", "=", ".", ":", "|", ",", ";",
    };
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (looking_at(lexer, operators[i]))
            return add_simple(lexer, SL_CHAT_OPERATOR, strlen(operators[i]));
    return fail(lexer, "a character that no expression has");
}

static enum sl_err lex_name(struct lexer *lexer)
{
    size_t len = 0;
    while (lexer->at + len < lexer->end && is_name_char(lexer->at[len]))
        len++;
    return add_simple(lexer, SL_CHAT_NAME, len);
}

static enum sl_err lex_piece(struct lexer *lexer)
{
    char c = *lexer->at;
    if (c == '"' || c == '\'')
        return lex_string(lexer);
    if (c >= '0' && c <= '9')
        return lex_number(lexer);
    return is_name_char(c) ? lex_name(lexer) : lex_operator(lexer);
}

static void skip_space(struct lexer *lexer)
{
    while (lexer->at < lexer->end && is_space(*lexer->at))
        advance(lexer, 1);
}

/* ---- tags ---- */

/* After the closing brackets of a tag: "-" takes all white space; a block takes one newline. */
static void after_tag(struct lexer *lexer, char sign, bool trims)
{
    const char *before = lexer->at;
    if (sign == '-')
        skip_space(lexer);
    else if (trims && sign != '+' && looking_at(lexer, "\n"))
        advance(lexer, 1);
    lexer->line_starts = lexer->at > before && lexer->at[-1] == '\n';
}

/* At the end of the tag? Sets its sign. A closing bracket that the expression opened is none. */
static bool at_close(const struct lexer *lexer, const char *close, unsigned depth, char *sign)
{
    *sign = '\0';
    if (looking_at(lexer, close))
        return depth == 0;
    bool has_sign = *lexer->at == '-' || *lexer->at == '+';
    if (!has_sign || (size_t)(lexer->end - lexer->at) < 3 || memcmp(lexer->at + 1, close, 2) != 0)
        return false;
    *sign = *lexer->at;
    return depth == 0;
}

static unsigned bracket_depth(char c, unsigned depth)
{
    if (c == '(' || c == '[' || c == '{')
        return depth + 1;
    if ((c == ')' || c == ']' || c == '}') && depth > 0)
        return depth - 1;
    return depth;
}

static enum sl_err lex_tag(struct lexer *lexer, bool is_output)
{
    const char *close = is_output ? "}}" : "%}";
    enum sl_err err =
        add_simple(lexer, is_output ? SL_CHAT_OUTPUT_BEGIN : SL_CHAT_BLOCK_BEGIN, 2);
    if (lexer->at < lexer->end && (*lexer->at == '-' || *lexer->at == '+'))
        lexer->at++;
    unsigned depth = 0;
    while (err == SL_OK) {
        char sign;
        skip_space(lexer);
        if (lexer->at >= lexer->end)
            return fail(lexer, "a tag has no end");
        if (at_close(lexer, close, depth, &sign)) {
            lexer->at += sign != '\0';
            err = add_simple(lexer, is_output ? SL_CHAT_OUTPUT_END : SL_CHAT_BLOCK_END, 2);
            after_tag(lexer, sign, !is_output);
            return err;
        }
        depth = bracket_depth(*lexer->at, depth);
        err = lex_piece(lexer);
    }
    return err;
}

static enum sl_err lex_comment(struct lexer *lexer)
{
    const char *end = memmem(lexer->at + 2, (size_t)(lexer->end - lexer->at - 2), "#}", 2);
    if (end == NULL)
        return fail(lexer, "a comment has no end");
    char sign = end > lexer->at + 2 ? end[-1] : '\0';
    advance(lexer, (size_t)(end - lexer->at) + 2);
    after_tag(lexer, sign == '-' || sign == '+' ? sign : '\0', true);
    return SL_OK;
}

/* If `{% name %}` stands at `at`: the bytes of the tag, else 0. Sets the sign at its end. */
static size_t bare_tag(const char *at, const char *end, const char *name, char *sign)
{
    const char *from = at;
    size_t name_len = strlen(name);
    if (end - at < 2 || memcmp(at, "{%", 2) != 0)
        return 0;
    at += 2;
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    while (at < end && is_space(*at))
        at++;
    if ((size_t)(end - at) < name_len || memcmp(at, name, name_len) != 0)
        return 0;
    at += name_len;
    while (at < end && is_space(*at))
        at++;
    *sign = '\0';
    if (at < end && (*at == '-' || *at == '+'))
        *sign = *at++;
    if (end - at < 2 || memcmp(at, "%}", 2) != 0)
        return 0;
    return (size_t)(at + 2 - from);
}

/* ---- text ---- */

/* The next place where a tag begins, or the end. */
static const char *next_tag(const char *at, const char *end)
{
    for (; at + 1 < end; at++)
        if (*at == '{' && (at[1] == '{' || at[1] == '%' || at[1] == '#'))
            return at;
    return end;
}

/* Removes from the end of `text` what the tag that follows asks for. */
static size_t trim_before(const struct lexer *lexer, const char *text, size_t len, const char *tag)
{
    char sign = tag + 2 < lexer->end ? tag[2] : '\0';
    size_t kept = len;
    if (sign == '-') {
        while (kept > 0 && is_space(text[kept - 1]))
            kept--;
        return kept;
    }
    if (sign == '+' || tag[1] == '{')
        return len;
    while (kept > 0 && text[kept - 1] != '\n' && is_space(text[kept - 1]))
        kept--;
    bool is_line = kept > 0 ? text[kept - 1] == '\n' : lexer->line_starts;
    return is_line ? kept : len;
}

static enum sl_err add_text(struct lexer *lexer, const char *text, size_t len)
{
    struct sl_chat_token token = {SL_CHAT_TEXT, lexer->line, {text, len}, {0}};
    return len > 0 ? add(lexer, token) : SL_OK;
}

/* {% raw %} ... {% endraw %} */
static enum sl_err lex_raw(struct lexer *lexer, size_t tag_len, char sign)
{
    advance(lexer, tag_len);
    after_tag(lexer, sign, true);
    const char *text = lexer->at;
    for (const char *at = text; at < lexer->end; at++) {
        char end_sign;
        size_t end_len = bare_tag(at, lexer->end, "endraw", &end_sign);
        if (end_len == 0)
            continue;
        size_t kept = trim_before(lexer, text, (size_t)(at - text), at);
        enum sl_err err = add_text(lexer, text, kept);
        advance(lexer, (size_t)(at - text) + end_len);
        after_tag(lexer, end_sign, true);
        return err;
    }
    return fail(lexer, "{% raw %} has no end");
}

enum sl_err sl_chat_lex(struct sl_arena *arena, struct sl_slice text,
                        struct sl_chat_tokens *tokens, struct sl_error *error)
{
    if (text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    struct lexer lexer = {arena, text.data, text.data + text.len, 1, true, tokens, error};
    enum sl_err err = SL_OK;
    while (lexer.at < lexer.end && err == SL_OK) {
        const char *tag = next_tag(lexer.at, lexer.end);
        size_t len = (size_t)(tag - lexer.at);
        size_t kept = tag < lexer.end ? trim_before(&lexer, lexer.at, len, tag) : len;
        err = add_text(&lexer, lexer.at, kept);
        advance(&lexer, len);
        if (err != SL_OK || tag == lexer.end)
            break;
        char sign;
        size_t raw = bare_tag(tag, lexer.end, "raw", &sign);
        if (tag[1] == '#')
            err = lex_comment(&lexer);
        else if (raw > 0)
            err = lex_raw(&lexer, raw, sign);
        else
            err = lex_tag(&lexer, tag[1] == '{');
    }
    struct sl_chat_token last = {SL_CHAT_EOF, lexer.line, {lexer.end, 0}, {0}};
    return err == SL_OK ? add(&lexer, last) : err;
}
