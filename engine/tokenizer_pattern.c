/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiles and matches the patterns of pre-tokenizers. Owns the pattern language; which model uses
 * which patterns is tokenizer_pre.c's.
 *
 * Why an interpreter and not one hand-written splitter a family: there are some forty families that
 * differ in one class or one bound each, and a table of published patterns can be checked by eye
 * against its source. It reads about 60 million characters a second, far from what costs time.
 *
 * Invariants:
 *  1. Matching recurses once per element of a sequence and per nesting of groups, never per
 *     character: the depth is bounded by the pattern.
 *  2. Only a repeated class gives characters back; a group is matched once and kept.
 */
#include "tokenizer_pattern.h"

#include "sluice/arena.h"
#include "sluice/utf8.h"
#include "unicode.h"

#include <stdlib.h>

#define CODEPOINT_BITS 21
#define CODEPOINT_MASK ((1u << CODEPOINT_BITS) - 1)
#define REPEAT_MAX UINT32_MAX
#define PATTERN_BYTES_MAX (256u << 10) /* the longest published pattern takes under 8 KiB */

struct range {
    uint32_t first;
    uint32_t last;
    struct range *next;
};

struct char_class {
    uint32_t ascii[4];   /* the final answer for code points below 128 */
    uint32_t flags;      /* above: any of these flags, or in a range, ... */
    struct range *ranges;
    bool is_negated;     /* ... turned round, ... */
    uint32_t minus;      /* ... and none of these */
};

enum element_kind { CLASS, GROUP, AHEAD, NOT_AHEAD, BOUNDARY, END };

struct alternative;

struct element {
    enum element_kind kind;
    uint32_t min;
    uint32_t max;
    struct char_class set;    /* CLASS */
    struct alternative *body; /* GROUP, AHEAD, NOT_AHEAD */
    struct element *next;     /* in the sequence */
};

struct alternative {
    struct element *first;
    struct alternative *next;
};

struct sl_pattern {
    struct sl_arena *arena;
    struct alternative *top;
};

uint32_t sl_pattern_char(uint32_t codepoint)
{
    uint32_t flags = sl_unicode_flags(codepoint);
    if (codepoint >= 0x80 && (flags & SL_UNICODE_SPACE) != 0)
        return 0x0B | SL_UNICODE_SPACE << CODEPOINT_BITS;
    return codepoint | flags << CODEPOINT_BITS;
}

/* ---- compiling ---- */

struct compiler {
    struct sl_arena *arena;
    const char *at;
    const char *end;
    bool has_failed;
};

static void *take(struct compiler *compiler, size_t size)
{
    void *memory = sl_arena_zalloc(compiler->arena, 1, size);
    if (memory == NULL)
        compiler->has_failed = true;
    return memory;
}

static bool looking_at(const struct compiler *compiler, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(compiler->end - compiler->at) >= len && memcmp(compiler->at, text, len) == 0;
}

static bool accept_text(struct compiler *compiler, const char *text)
{
    if (!looking_at(compiler, text))
        return false;
    compiler->at += strlen(text);
    return true;
}

/* The classes that have a name. `\S` is dealt with by its callers. */
static uint32_t accept_property(struct compiler *compiler)
{
    static const struct {
        const char *name;
        uint32_t flags;
    } properties[] = {
        {"\\p{L}", SL_UNICODE_LETTER}, {"\\p{N}", SL_UNICODE_NUMBER},
        {"\\p{P}", SL_UNICODE_PUNCTUATION}, {"\\p{S}", SL_UNICODE_SYMBOL},
        {"\\p{M}", SL_UNICODE_MARK}, {"\\p{Han}", SL_UNICODE_HAN}, {"\\s", SL_UNICODE_SPACE},
    };
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++)
        if (accept_text(compiler, properties[i].name))
            return properties[i].flags;
    return 0;
}

/* One character, perhaps escaped. */
static uint32_t next_literal(struct compiler *compiler)
{
    bool is_escaped = *compiler->at == '\\' && compiler->at + 1 < compiler->end;
    if (is_escaped)
        compiler->at++;
    uint32_t codepoint;
    compiler->at += sl_utf8_decode(compiler->at, (size_t)(compiler->end - compiler->at), &codepoint);
    if (!is_escaped)
        return codepoint;
    switch (codepoint) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return codepoint;
    }
}

static void add_ascii(struct char_class *set, uint32_t codepoint, bool is_member)
{
    uint32_t bit = 1u << (codepoint % 32);
    if (is_member)
        set->ascii[codepoint / 32] |= bit;
    else
        set->ascii[codepoint / 32] &= ~bit;
}

static void change_range(struct compiler *compiler, struct char_class *set, uint32_t first,
                         uint32_t last, bool is_member)
{
    for (uint32_t cp = first; cp <= last && cp < 128; cp++)
        add_ascii(set, cp, is_member);
    if (last < 128 || !is_member) /* differences outside ASCII are by property only */
        return;
    struct range *range = take(compiler, sizeof *range);
    if (range == NULL)
        return;
    *range = (struct range){first, last, set->ranges};
    set->ranges = range;
}

static void change_property(struct char_class *set, uint32_t flags, bool is_member)
{
    if (is_member)
        set->flags |= flags;
    else
        set->minus |= flags;
    for (uint32_t cp = 0; cp < 128; cp++)
        if ((sl_unicode_flags(cp) & flags) != 0)
            add_ascii(set, cp, is_member);
}

static void class_item(struct compiler *compiler, struct char_class *set, bool is_member)
{
    uint32_t flags = accept_property(compiler);
    if (flags != 0) {
        change_property(set, flags, is_member);
        return;
    }
    if (accept_text(compiler, "\\d")) {
        change_range(compiler, set, '0', '9', is_member);
        return;
    }
    uint32_t first = next_literal(compiler);
    uint32_t last = first;
    if (looking_at(compiler, "-") && !looking_at(compiler, "--") && !looking_at(compiler, "-]")) {
        compiler->at++;
        last = next_literal(compiler);
    }
    change_range(compiler, set, first, last, is_member);
}

static void negate(struct char_class *set)
{
    set->is_negated = true;
    for (int i = 0; i < 4; i++)
        set->ascii[i] = ~set->ascii[i];
}

/* After '['. The difference applies to the set as negated; none is both. */
static void parse_class(struct compiler *compiler, struct char_class *set)
{
    bool is_negated = accept_text(compiler, "^");
    bool is_member = true;
    while (compiler->at < compiler->end && *compiler->at != ']') {
        if (accept_text(compiler, "--"))
            is_member = false;
        else
            class_item(compiler, set, is_member);
    }
    if (!accept_text(compiler, "]"))
        compiler->has_failed = true;
    if (is_negated)
        negate(set);
}

static uint32_t parse_number(struct compiler *compiler)
{
    uint32_t number = 0;
    while (compiler->at < compiler->end && *compiler->at >= '0' && *compiler->at <= '9')
        number = number * 10 + (uint32_t)(*compiler->at++ - '0');
    return number;
}

static void parse_repeat(struct compiler *compiler, struct element *element)
{
    element->min = 1;
    element->max = 1;
    if (accept_text(compiler, "?")) {
        element->min = 0;
    } else if (accept_text(compiler, "*")) {
        element->min = 0;
        element->max = REPEAT_MAX;
    } else if (accept_text(compiler, "+")) {
        element->max = REPEAT_MAX;
    } else if (accept_text(compiler, "{")) {
        element->min = parse_number(compiler);
        element->max = accept_text(compiler, ",") ? parse_number(compiler) : element->min;
        if (!accept_text(compiler, "}"))
            compiler->has_failed = true;
    }
}

static struct alternative *parse_alternatives(struct compiler *compiler);

static void parse_group(struct compiler *compiler, struct element *element,
                        enum element_kind kind)
{
    element->kind = kind;
    element->body = parse_alternatives(compiler);
    if (!accept_text(compiler, ")"))
        compiler->has_failed = true;
}

static struct element *parse_element(struct compiler *compiler)
{
    struct element *element = take(compiler, sizeof *element);
    if (element == NULL)
        return NULL;
    if (accept_text(compiler, "(?="))
        parse_group(compiler, element, AHEAD);
    else if (accept_text(compiler, "(?!"))
        parse_group(compiler, element, NOT_AHEAD);
    else if (accept_text(compiler, "(?:"))
        parse_group(compiler, element, GROUP);
    else if (accept_text(compiler, "\\b"))
        element->kind = BOUNDARY;
    else if (accept_text(compiler, "$"))
        element->kind = END;
    else if (accept_text(compiler, "["))
        parse_class(compiler, &element->set);
    else if (accept_text(compiler, "\\S")) {
        change_property(&element->set, SL_UNICODE_SPACE, true);
        negate(&element->set);
    } else
        class_item(compiler, &element->set, true);
    parse_repeat(compiler, element);
    return element;
}

static struct alternative *parse_alternatives(struct compiler *compiler)
{
    struct alternative *first = NULL;
    struct alternative **last = &first;
    do {
        struct alternative *alternative = take(compiler, sizeof *alternative);
        if (alternative == NULL)
            return first;
        *last = alternative;
        last = &alternative->next;
        struct element **tail = &alternative->first;
        while (compiler->at < compiler->end && *compiler->at != '|' && *compiler->at != ')' &&
               !compiler->has_failed) {
            *tail = parse_element(compiler);
            if (*tail != NULL)
                tail = &(*tail)->next;
        }
    } while (accept_text(compiler, "|") && !compiler->has_failed);
    return first;
}

enum sl_err sl_pattern_compile(const char *text, struct sl_pattern **out, struct sl_error *error)
{
    struct sl_pattern *pattern = calloc(1, sizeof *pattern);
    if (pattern == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    pattern->arena = sl_arena_create(PATTERN_BYTES_MAX);
    if (pattern->arena == NULL) {
        free(pattern);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    struct compiler compiler = {pattern->arena, text, text + strlen(text), false};
    pattern->top = parse_alternatives(&compiler);
    if (compiler.has_failed || compiler.at != compiler.end) {
        size_t offset = (size_t)(compiler.at - text);
        sl_pattern_free(pattern);
        return sl_error_set(error, SL_ERR_INTERNAL, "pre-tokenizer pattern: syntax at offset %zu",
                            offset);
    }
    *out = pattern;
    return SL_OK;
}

void sl_pattern_free(struct sl_pattern *pattern)
{
    if (pattern == NULL)
        return;
    sl_arena_free(pattern->arena);
    free(pattern);
}

/* ---- matching ---- */

struct text {
    const uint32_t *chars;
    uint32_t begin;
    uint32_t end;
    const struct char_class *run; /* the run of a class that was measured last, [from, to) */
    uint32_t run_from;
    uint32_t run_to;
};

#define NO_MATCH UINT32_MAX

static bool class_has(const struct char_class *set, uint32_t character)
{
    uint32_t codepoint = character & CODEPOINT_MASK;
    if (codepoint < 128)
        return (set->ascii[codepoint / 32] >> (codepoint % 32) & 1) != 0;
    uint32_t flags = character >> CODEPOINT_BITS;
    bool is_member = (flags & set->flags) != 0;
    for (const struct range *range = set->ranges; range != NULL && !is_member; range = range->next)
        is_member = codepoint >= range->first && codepoint <= range->last;
    return is_member != set->is_negated && (flags & set->minus) == 0;
}

static bool is_word(const struct text *text, uint32_t position)
{
    if (position < text->begin || position >= text->end)
        return false;
    uint32_t cp = text->chars[position] & CODEPOINT_MASK;
    return (cp >= '0' && cp <= '9') || (cp >= 'A' && cp <= 'Z') || (cp >= 'a' && cp <= 'z') ||
           cp == '_';
}

static uint32_t match_sequence(struct text *text, const struct element *element,
                               uint32_t position);

/* The end of the first alternative that matches at `position`. */
static uint32_t match_alternatives(struct text *text, const struct alternative *alternative,
                                   uint32_t position)
{
    for (; alternative != NULL; alternative = alternative->next) {
        uint32_t end = match_sequence(text, alternative->first, position);
        if (end != NO_MATCH)
            return end;
    }
    return NO_MATCH;
}

/* Where the run of `set` at `position` ends. Kept, since patterns that cut numbers from the right
 * look to the end of the same run from each of its places. */
static uint32_t run_end(struct text *text, const struct char_class *set, uint32_t position)
{
    if (text->run == set && position >= text->run_from && position <= text->run_to)
        return text->run_to;
    text->run = set;
    text->run_from = position;
    text->run_to = position;
    while (text->run_to < text->end && class_has(set, text->chars[text->run_to]))
        text->run_to++;
    return text->run_to;
}

/* Is the group just "so many of one class"? */
static bool is_block(const struct element *element)
{
    const struct element *only = element->body->first;
    return element->body->next == NULL && only != NULL && only->next == NULL &&
           only->kind == CLASS && only->min == only->max && only->min > 0 &&
           element->max == REPEAT_MAX;
}

static uint32_t match_group(struct text *text, const struct element *element, uint32_t position)
{
    uint32_t count = 0;
    if (is_block(element)) {
        const struct element *only = element->body->first;
        uint32_t run = run_end(text, &only->set, position) - position;
        return run / only->min >= element->min ? position + run - run % only->min : NO_MATCH;
    }
    while (count < element->max) {
        uint32_t end = match_alternatives(text, element->body, position);
        if (end == NO_MATCH || end == position)
            break;
        position = end;
        count++;
    }
    return count >= element->min ? position : NO_MATCH;
}

/* As many as there are, then fewer until the rest of the sequence matches. */
static uint32_t match_class(struct text *text, const struct element *element,
                            uint32_t position)
{
    uint32_t last = position;
    uint32_t room = text->end - position;
    uint32_t most = element->max < room ? element->max : room;
    while (last - position < most && class_has(&element->set, text->chars[last]))
        last++;
    if (last - position < element->min)
        return NO_MATCH;
    if (element->next == NULL)
        return last;
    for (uint32_t end = last;; end--) {
        uint32_t match = match_sequence(text, element->next, end);
        if (match != NO_MATCH || end == position + element->min)
            return match;
    }
}

static uint32_t match_sequence(struct text *text, const struct element *element,
                               uint32_t position)
{
    for (; element != NULL; element = element->next) {
        switch (element->kind) {
        case CLASS:
            return match_class(text, element, position);
        case GROUP:
            position = match_group(text, element, position);
            if (position == NO_MATCH)
                return NO_MATCH;
            break;
        case AHEAD:
        case NOT_AHEAD:
            if ((match_alternatives(text, element->body, position) != NO_MATCH) !=
                (element->kind == AHEAD))
                return NO_MATCH;
            break;
        case BOUNDARY:
            if (is_word(text, position) == (position > text->begin && is_word(text, position - 1)))
                return NO_MATCH;
            break;
        case END:
            if (position != text->end)
                return NO_MATCH;
            break;
        }
    }
    return position;
}

static enum sl_err append(struct sl_positions *pieces, uint32_t position)
{
    if (pieces->count == pieces->capacity) {
        size_t capacity = pieces->capacity == 0 ? 64 : pieces->capacity * 2;
        uint32_t *grown = realloc(pieces->at, capacity * sizeof *grown);
        if (grown == NULL)
            return SL_ERR_MEMORY;
        pieces->at = grown;
        pieces->capacity = capacity;
    }
    pieces->at[pieces->count++] = position;
    return SL_OK;
}

/* Where to try after a failure. What begins with C* or C+ and fails at one character of C fails at
 * all that follow in the run, since a match there would have been one here with more of C: without
 * this a long run costs its square. */
static uint32_t next_start(const struct sl_pattern *pattern, const struct text *text,
                           uint32_t position)
{
    const struct element *first = pattern->top->first;
    bool can_skip = pattern->top->next == NULL && first != NULL && first->kind == CLASS &&
                    first->max == REPEAT_MAX;
    uint32_t next = position + 1;
    if (can_skip && class_has(&first->set, text->chars[position]))
        while (next < text->end && class_has(&first->set, text->chars[next]))
            next++;
    return next;
}

enum sl_err sl_pattern_split(const struct sl_pattern *pattern, const uint32_t *chars,
                             uint32_t begin, uint32_t end, struct sl_positions *pieces)
{
    struct text text = {.chars = chars, .begin = begin, .end = end};
    uint32_t piece = begin; /* where the piece now read began */
    uint32_t position = begin;
    while (position < end) {
        uint32_t match = match_alternatives(&text, pattern->top, position);
        if (match == NO_MATCH) {
            position = next_start(pattern, &text, position);
            continue;
        }
        if (position > piece && append(pieces, position) != SL_OK)
            return SL_ERR_MEMORY;
        if (match > position && append(pieces, match) != SL_OK)
            return SL_ERR_MEMORY;
        piece = match;
        position = match > position ? match : position + 1;
    }
    return piece < end ? append(pieces, end) : SL_OK;
}
