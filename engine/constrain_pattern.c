/* SPDX-License-Identifier: Apache-2.0
 *
 * `pattern` and `format`: regular expressions as grammars over the bytes of a JSON string. The
 * regular subset of ECMA 262: alternatives, groups, classes, \d \w \s and their complements, dot,
 * * + ? {m,n}, and ^ $ at the ends. Look-around, back references and \b are refused.
 *
 * A character is written the one way that JSON text usually has it: itself, or the short escape for
 * quote, backslash and white space. Classes name ASCII characters one by one; outside ASCII a class
 * has all characters (dot, [^...]) or those spelled out.
 */
#include "constrain_grammar.h"

#include "sluice/arena.h"
#include "sluice/utf8.h"

#define REPEAT_MAX 1000u
#define UNBOUNDED UINT32_MAX
#define DEPTH_MAX 50u
#define PATTERN_BYTES_MAX 4096u

enum part_kind { CHARACTERS, SEQUENCE, CHOICE, REPEAT };

struct part {
    enum part_kind kind;
    uint64_t ascii[2];     /* CHARACTERS */
    bool has_others;       /* CHARACTERS: everything outside ASCII */
    uint32_t codepoint;    /* CHARACTERS: one outside ASCII, 0: none */
    uint32_t min;          /* REPEAT */
    uint32_t max;
    struct part *first;    /* children */
    struct part *next;     /* sibling */
};

struct reader {
    struct sl_arena *arena;
    const char *at;
    const char *end;
    unsigned depth;
    bool has_failed;
};

/* ---- reading ---- */

static struct part *new_part(struct reader *reader, enum part_kind kind)
{
    struct part *part = sl_arena_zalloc(reader->arena, 1, sizeof *part);
    if (part == NULL)
        reader->has_failed = true;
    else
        part->kind = kind;
    return part;
}

static void add_range(struct part *part, unsigned first, unsigned last)
{
    for (unsigned c = first; c <= last && c < 128; c++)
        part->ascii[c / 64] |= (uint64_t)1 << (c % 64);
}

static void complement(struct part *part)
{
    part->ascii[0] = ~part->ascii[0];
    part->ascii[1] = ~part->ascii[1];
    part->has_others = !part->has_others;
}

/* \d \w \s; false for other letters. */
static bool add_named(struct part *part, char name)
{
    struct part named = {0};
    switch (name | 0x20) {
    case 'd':
        add_range(&named, '0', '9');
        break;
    case 'w':
        add_range(&named, '0', '9');
        add_range(&named, 'A', 'Z');
        add_range(&named, 'a', 'z');
        add_range(&named, '_', '_');
        break;
    case 's':
        add_range(&named, '\t', '\r');
        add_range(&named, ' ', ' ');
        break;
    default:
        return false;
    }
    if ((name & 0x20) == 0)
        complement(&named);
    part->ascii[0] |= named.ascii[0];
    part->ascii[1] |= named.ascii[1];
    part->has_others = part->has_others || named.has_others;
    return true;
}

/* One character, perhaps escaped; what has a meaning that is not known fails. */
static uint32_t read_literal(struct reader *reader)
{
    uint32_t codepoint;
    bool is_escaped = *reader->at == '\\';
    reader->at += is_escaped;
    if (reader->at == reader->end) {
        reader->has_failed = true;
        return 0;
    }
    reader->at += sl_utf8_decode(reader->at, (size_t)(reader->end - reader->at), &codepoint);
    if (!is_escaped)
        return codepoint;
    switch (codepoint) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'f':
        return '\f';
    default:
        break;
    }
    bool is_letter = (codepoint >= 'a' && codepoint <= 'z') ||
                     (codepoint >= 'A' && codepoint <= 'Z') ||
                     (codepoint >= '0' && codepoint <= '9');
    reader->has_failed = reader->has_failed || is_letter;
    return codepoint;
}

static void read_class_item(struct reader *reader, struct part *part)
{
    if (*reader->at == '\\' && reader->end - reader->at > 1 && add_named(part, reader->at[1])) {
        reader->at += 2;
        return;
    }
    uint32_t first = read_literal(reader);
    uint32_t last = first;
    if (reader->end - reader->at > 1 && *reader->at == '-' && reader->at[1] != ']') {
        reader->at++;
        last = read_literal(reader);
    }
    if (last < first || last >= 128)
        reader->has_failed = true; /* ranges outside ASCII */
    add_range(part, first, last);
}

static struct part *read_class(struct reader *reader)
{
    struct part *part = new_part(reader, CHARACTERS);
    bool is_negated = reader->at < reader->end && *reader->at == '^';
    reader->at += is_negated;
    while (part != NULL && reader->at < reader->end && *reader->at != ']' && !reader->has_failed)
        read_class_item(reader, part);
    if (part == NULL || reader->at == reader->end) {
        reader->has_failed = true;
        return part;
    }
    reader->at++;
    if (is_negated)
        complement(part);
    return part;
}

static struct part *read_choice(struct reader *reader);

static struct part *read_group(struct reader *reader)
{
    if (reader->end - reader->at >= 2 && reader->at[0] == '?') {
        if (reader->at[1] != ':') {
            reader->has_failed = true;
            return NULL;
        }
        reader->at += 2;
    }
    struct part *part = ++reader->depth < DEPTH_MAX ? read_choice(reader) : NULL;
    reader->depth--;
    if (part == NULL || reader->at == reader->end || *reader->at != ')')
        reader->has_failed = true;
    else
        reader->at++;
    return part;
}

static struct part *read_atom(struct reader *reader)
{
    char c = *reader->at;
    if (strchr("^$*+?{", c) != NULL) {
        reader->has_failed = true; /* anchors in the middle, repetition of nothing */
        return NULL;
    }
    if (c == '(') {
        reader->at++;
        return read_group(reader);
    }
    if (c == '[') {
        reader->at++;
        return read_class(reader);
    }
    struct part *part = new_part(reader, CHARACTERS);
    if (part == NULL)
        return NULL;
    if (c == '.') {
        reader->at++;
        add_range(part, '\n', '\n');
        add_range(part, '\r', '\r');
        complement(part);
        return part;
    }
    if (c == '\\' && reader->end - reader->at > 1 && add_named(part, reader->at[1])) {
        reader->at += 2;
        return part;
    }
    uint32_t codepoint = read_literal(reader);
    if (codepoint < 128)
        add_range(part, codepoint, codepoint);
    else
        part->codepoint = codepoint;
    return part;
}

static uint32_t read_number(struct reader *reader)
{
    uint32_t number = 0;
    const char *from = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') {
        number = number * 10 + (uint32_t)(*reader->at++ - '0');
        if (number > REPEAT_MAX)
            reader->has_failed = true;
        if (reader->has_failed)
            break;
    }
    reader->has_failed = reader->has_failed || reader->at == from;
    return number;
}

/* After "{". */
static void read_bounds(struct reader *reader, struct part *repeat)
{
    repeat->min = read_number(reader);
    repeat->max = repeat->min;
    if (reader->at < reader->end && *reader->at == ',') {
        reader->at++;
        bool is_open = reader->at < reader->end && *reader->at == '}';
        repeat->max = is_open ? UNBOUNDED : read_number(reader);
    }
    if (reader->at == reader->end || *reader->at != '}' || repeat->max < repeat->min)
        reader->has_failed = true;
    else
        reader->at++;
}

static struct part *read_repeat(struct reader *reader)
{
    struct part *atom = read_atom(reader);
    while (!reader->has_failed && atom != NULL && reader->at < reader->end &&
           strchr("*+?{", *reader->at) != NULL) {
        char c = *reader->at++;
        struct part *repeat = new_part(reader, REPEAT);
        if (repeat == NULL || ++reader->depth > DEPTH_MAX) {
            reader->has_failed = true;
            return NULL;
        }
        repeat->first = atom;
        repeat->min = c == '+';
        repeat->max = c == '?' ? 1 : UNBOUNDED;
        if (c == '{')
            read_bounds(reader, repeat);
        if (reader->at < reader->end && *reader->at == '?')
            reader->at++; /* lazy or greedy: the same texts match */
        atom = repeat;
    }
    return atom;
}

static struct part *read_sequence(struct reader *reader)
{
    struct part *sequence = new_part(reader, SEQUENCE);
    struct part **last = sequence != NULL ? &sequence->first : NULL;
    while (last != NULL && !reader->has_failed && reader->at < reader->end &&
           *reader->at != '|' && *reader->at != ')') {
        *last = read_repeat(reader);
        if (*last != NULL)
            last = &(*last)->next;
    }
    return sequence;
}

static struct part *read_choice(struct reader *reader)
{
    struct part *choice = new_part(reader, CHOICE);
    struct part **last = choice != NULL ? &choice->first : NULL;
    while (last != NULL && !reader->has_failed) {
        *last = read_sequence(reader);
        if (*last == NULL)
            break;
        last = &(*last)->next;
        if (reader->at == reader->end || *reader->at != '|')
            break;
        reader->at++;
    }
    return choice;
}

/* ---- writing ---- */

/* All characters outside ASCII, as UTF-8. */
static uint32_t write_others(struct sl_grammar *grammar, uint32_t next)
{
    static const struct {
        uint8_t lead_first, lead_last, second_first, second_last;
        unsigned more; /* continuation bytes after the second */
    } forms[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1}, {0xE1, 0xEC, 0x80, 0xBF, 1},
        {0xED, 0xED, 0x80, 0x9F, 1}, {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2},
        {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2},
    };
    struct sl_byte_set continuation = {0};
    sl_byte_set_add(&continuation, 0x80, 0xBF);
    uint32_t entry = UINT32_MAX;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct sl_byte_set lead = {0};
        struct sl_byte_set second = {0};
        sl_byte_set_add(&lead, forms[i].lead_first, forms[i].lead_last);
        sl_byte_set_add(&second, forms[i].second_first, forms[i].second_last);
        uint32_t node = next;
        for (unsigned j = 0; j < forms[i].more; j++)
            node = sl_grammar_set(grammar, &continuation, node);
        node = sl_grammar_set(grammar, &lead, sl_grammar_set(grammar, &second, node));
        entry = entry == UINT32_MAX ? node : sl_grammar_split(grammar, node, entry);
    }
    return entry;
}

/* The set may hold characters that JSON escapes. UINT32_MAX where it holds none at all. */
static uint32_t write_characters(struct sl_grammar *grammar, const struct part *part,
                                 uint32_t next)
{
    static const char escapes[] = "\"\"\\\\\nn\tt\rr\ff";
    struct sl_byte_set plain = {{part->ascii[0], part->ascii[1], 0, 0}};
    struct sl_byte_set escaped = {0};
    uint32_t entry = UINT32_MAX;
    for (size_t i = 0; i < sizeof escapes - 1; i += 2)
        if (sl_byte_set_has(&plain, (uint8_t)escapes[i]))
            sl_byte_set_add(&escaped, (uint8_t)escapes[i + 1], (uint8_t)escapes[i + 1]);
    plain.bits[0] &= ~(uint64_t)0xFFFFFFFF; /* below 0x20 */
    sl_byte_set_remove(&plain, '"');
    sl_byte_set_remove(&plain, '\\');
    if (plain.bits[0] != 0 || plain.bits[1] != 0)
        entry = sl_grammar_set(grammar, &plain, next);
    if (escaped.bits[0] != 0 || escaped.bits[1] != 0) {
        uint32_t node = sl_grammar_byte(grammar, '\\', sl_grammar_set(grammar, &escaped, next));
        entry = entry == UINT32_MAX ? node : sl_grammar_split(grammar, node, entry);
    }
    if (part->has_others) {
        uint32_t node = write_others(grammar, next);
        entry = entry == UINT32_MAX ? node : sl_grammar_split(grammar, node, entry);
    }
    if (part->codepoint != 0) {
        char text[4];
        size_t len = sl_utf8_encode(part->codepoint, text);
        uint32_t node = sl_grammar_text(grammar, (struct sl_slice){text, len}, next);
        entry = entry == UINT32_MAX ? node : sl_grammar_split(grammar, node, entry);
    }
    return entry;
}

static uint32_t write_part(struct sl_grammar *grammar, const struct part *part, uint32_t next);

static uint32_t write_repeat(struct sl_grammar *grammar, const struct part *part, uint32_t next)
{
    uint32_t entry = next;
    if (part->max == UNBOUNDED) {
        uint32_t loop = sl_grammar_loop(grammar);
        uint32_t body = write_part(grammar, part->first, loop);
        sl_grammar_close(grammar, loop, body == UINT32_MAX ? next : body, next);
        entry = loop;
    } else {
        for (uint32_t i = part->min; i < part->max && grammar->err == SL_OK; i++) {
            uint32_t body = write_part(grammar, part->first, entry);
            if (body != UINT32_MAX)
                entry = sl_grammar_split(grammar, body, next);
        }
    }
    for (uint32_t i = 0; i < part->min && entry != UINT32_MAX && grammar->err == SL_OK; i++)
        entry = write_part(grammar, part->first, entry);
    return entry;
}

/* Children in reverse, since nodes are built from the end. */
static uint32_t write_sequence(struct sl_grammar *grammar, const struct part *child,
                               uint32_t next)
{
    if (child == NULL)
        return next;
    uint32_t rest = write_sequence(grammar, child->next, next);
    return rest != UINT32_MAX ? write_part(grammar, child, rest) : UINT32_MAX;
}

/* UINT32_MAX where nothing matches (an empty class). */
static uint32_t write_part(struct sl_grammar *grammar, const struct part *part, uint32_t next)
{
    uint32_t entry = UINT32_MAX;
    switch (part->kind) {
    case CHARACTERS:
        return write_characters(grammar, part, next);
    case SEQUENCE:
        return write_sequence(grammar, part->first, next);
    case REPEAT:
        return write_repeat(grammar, part, next);
    default:
        for (const struct part *child = part->first; child != NULL; child = child->next) {
            uint32_t node = write_part(grammar, child, next);
            if (node == UINT32_MAX)
                continue;
            entry = entry == UINT32_MAX ? node : sl_grammar_split(grammar, node, entry);
        }
        return entry;
    }
}

/* "$" at the end that is no escaped dollar. */
static bool ends_anchored(struct sl_slice pattern)
{
    size_t backslashes = 0;
    if (pattern.len == 0 || pattern.data[pattern.len - 1] != '$')
        return false;
    while (backslashes + 1 < pattern.len && pattern.data[pattern.len - 2 - backslashes] == '\\')
        backslashes++;
    return backslashes % 2 == 0;
}

/* ^a|b$ anchors only parts of itself. */
static bool has_bare_choice(struct sl_slice pattern)
{
    int depth = 0;
    bool in_class = false;
    for (size_t i = 0; i < pattern.len; i++) {
        char c = pattern.data[i];
        if (c == '\\')
            i++;
        else if (in_class)
            in_class = c != ']';
        else if (c == '[')
            in_class = true;
        else if (c == '(' || c == ')')
            depth += c == '(' ? 1 : -1;
        else if (c == '|' && depth == 0)
            return true;
    }
    return false;
}

static uint32_t write_anything(struct sl_grammar *grammar, struct part *dot, uint32_t next)
{
    struct part repeat = {.kind = REPEAT, .max = UNBOUNDED, .first = dot};
    return write_repeat(grammar, &repeat, next);
}

enum sl_err sl_grammar_pattern(struct sl_grammar *grammar, struct sl_slice pattern, uint32_t next,
                               uint32_t *out)
{
    bool is_first = pattern.len > 0 && pattern.data[0] == '^';
    bool is_last = ends_anchored(pattern);
    if (pattern.len > PATTERN_BYTES_MAX || ((is_first || is_last) && has_bare_choice(pattern)))
        return SL_ERR_UNSUPPORTED;
    struct reader reader = {.arena = sl_arena_create(4u << 20), .at = pattern.data + is_first,
                            .end = pattern.data + pattern.len - is_last};
    if (reader.arena == NULL)
        return SL_ERR_MEMORY;
    struct part *part = reader.at <= reader.end ? read_choice(&reader) : NULL;
    enum sl_err err = SL_ERR_UNSUPPORTED;
    if (part != NULL && !reader.has_failed && reader.at == reader.end) {
        struct part dot = {.kind = CHARACTERS};
        complement(&dot);
        uint32_t end = sl_grammar_byte(grammar, '"', next);
        if (!is_last)
            end = write_anything(grammar, &dot, end);
        uint32_t entry = write_part(grammar, part, end);
        if (entry != UINT32_MAX && !is_first)
            entry = write_anything(grammar, &dot, entry);
        *out = entry;
        err = entry != UINT32_MAX ? SL_OK : SL_ERR_UNSUPPORTED;
    }
    sl_arena_free(reader.arena);
    return err;
}

/* Sources: RFC 3339 (date-time, date, time, duration), RFC 1123 (hostname), RFC 4122 (uuid), RFC
 * 2673 (ipv4), RFC 4291 in its full form (ipv6), the usual subset of RFC 5321 (email). */
struct sl_slice sl_grammar_format(struct sl_slice name)
{
#define DATE "\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])"
#define TIME "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)"
#define OCTET "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    static const struct {
        const char *name;
        const char *pattern;
    } formats[] = {
        {"date", "^" DATE "$"},
        {"time", "^" TIME "$"},
        {"date-time", "^" DATE "T" TIME "$"},
        {"duration", "^P(\\d{1,9}W|\\d{1,9}Y(\\d{1,9}M)?(\\d{1,9}D)?|\\d{1,9}M(\\d{1,9}D)?|"
                     "\\d{1,9}D|(\\d{1,9}D)?T(\\d{1,9}H(\\d{1,9}M)?(\\d{1,9}S)?|"
                     "\\d{1,9}M(\\d{1,9}S)?|\\d{1,9}S))$"},
        {"email", "^[A-Za-z0-9_%+-]{1,64}(\\.[A-Za-z0-9_%+-]{1,64}){0,8}@" LABEL "(\\." LABEL
                  "){1,8}$"},
        {"hostname", "^" LABEL "(\\." LABEL "){0,8}$"},
        {"ipv4", "^" OCTET "(\\." OCTET "){3}$"},
        {"ipv6", "^([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}$"},
        {"uuid", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
    };
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (sl_slice_equal_text(name, formats[i].name))
            return sl_slice_of(formats[i].pattern);
    return (struct sl_slice){NULL, 0};
}
