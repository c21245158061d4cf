/* SPDX-License-Identifier: Apache-2.0
 *
 * Puts values back into one channel of an answer, while it streams. Owns the hold-back; leaves
 * event framing and JSON events to the wire parsers, and the values to the vault.
 *
 * The matcher is an automaton over this request's own placeholders: it reads one character at a
 * time (in JSON mode through the escapes) and keeps the range of sorted names that begin with what
 * was read. An empty range means "no placeholder can follow", at once.
 *
 *            '<' '[' '{' '&lt;' '%3C'               name complete
 *     PASS ------------------------> NAME ----------------------> CLOSE --'>'--> value
 *       ^    A-Z at a word start      |  range empty               | other character
 *       +-----------------------------+----------------------------+
 *          the first byte goes out as it is, matching starts again at the second
 *
 * What is held is a prefix of a possible placeholder, in any of its written forms, so it is bounded
 * by the longest one; every byte is looked at at most that many times: linear.
 *
 * Invariants: 1. `held` is empty, or the matcher said MORE for it; 2. what was put out is never
 * looked at again; 3. with an empty vault nothing is ever held.
 */
#include "pii/vault.h"

#include "sluice/secret.h"
#include "sluice/utf8.h"

#include <stdlib.h>

enum outcome { NO_MATCH, NEED_MORE, MATCHED };

enum bracket { BARE, ANGLE, SQUARE, CURLY, WIDE, HTML, URL };

struct sl_restorer {
    const struct sl_vault *vault;
    const struct vault_entry *const *names;
    size_t name_count;
    enum sl_restore_mode mode;
    unsigned tolerance;
    bool follows_word;      /* what was put out ends in a word: no bare name may start here */
    unsigned char last_out; /* its last byte */
    struct sl_restore_stats stats;
    uint8_t starts[256]; /* bytes at which a placeholder may start */
    size_t held_len;
    size_t held_max;
    char held[];
};

/* One attempt to read a placeholder at the start of `text`. */
struct attempt {
    const struct sl_restorer *restorer;
    struct sl_slice text;
    size_t at;
    bool is_end; /* nothing follows `text` */
    enum bracket bracket;
    bool is_escaped;  /* opened by Markdown's \<, so it must be closed by \> */
    size_t low, high; /* names that begin with the `depth` letters read */
    size_t depth;
    bool is_unresolved; /* a well-formed name of a known kind with a number not given out */
    const struct vault_entry *entry;
};

static bool is_word(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           c >= 0x80;
}

/* True where text that ends in these two bytes ends in a word. Of the letters beyond ASCII only
 * those of two bytes (Latin to Arabic) count: Chinese or Japanese sets no blank before a name, and
 * three bytes are as often a quote or a dash. */
static bool ends_in_word(unsigned char before, unsigned char last)
{
    return last < 0x80 ? is_word(last) : before >= 0xC3 && before <= 0xDF;
}

/* ---- reading one character ----------------------------------------------------------------- */

static int hex_value(unsigned char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Reads the JSON escape at `at`. Surrogates cannot be part of a placeholder and read as U+FFFD. */
static enum outcome read_escape(struct sl_slice text, size_t at, uint32_t *codepoint, size_t *width)
{
    uint32_t value = 0;
    if (at + 1 >= text.len)
        return NEED_MORE;
    if (text.data[at + 1] != 'u') {
        *codepoint = (unsigned char)text.data[at + 1];
        *width = 2;
        return strchr("\"\\/", text.data[at + 1]) != NULL && *codepoint != 0 ? MATCHED : NO_MATCH;
    }
    for (size_t i = 2; i < 6; i++) {
        if (at + i >= text.len)
            return NEED_MORE;
        int digit = hex_value((unsigned char)text.data[at + i]);
        if (digit < 0)
            return NO_MATCH;
        value = value * 16 + (uint32_t)digit;
    }
    *codepoint = value >= 0xD800 && value <= 0xDFFF ? 0xFFFD : value;
    *width = 6;
    return MATCHED;
}

/* The character at attempt->at + `skip`, not consumed. */
static enum outcome peek(const struct attempt *attempt, size_t skip, uint32_t *codepoint,
                         size_t *width)
{
    struct sl_slice text = attempt->text;
    size_t at = attempt->at + skip;
    if (at >= text.len)
        return attempt->is_end ? NO_MATCH : NEED_MORE;
    unsigned char c = (unsigned char)text.data[at];
    if (c == '\\' && attempt->restorer->mode == SL_RESTORE_JSON_STRING) {
        enum outcome outcome = read_escape(text, at, codepoint, width);
        return outcome == NEED_MORE && attempt->is_end ? NO_MATCH : outcome;
    }
    if (c < 0x80) {
        *codepoint = c;
        *width = 1;
        return MATCHED;
    }
    *width = sl_utf8_sequence_len(text.data + at, text.len - at);
    if (*width == 0) {
        bool is_cut = sl_utf8_complete_prefix(text.data + at, text.len - at) < text.len - at;
        return is_cut && text.len - at < 4 && !attempt->is_end ? NEED_MORE : NO_MATCH;
    }
    sl_utf8_decode(text.data + at, text.len - at, codepoint);
    return MATCHED;
}

static bool tolerates(const struct attempt *attempt, unsigned what)
{
    return (attempt->restorer->tolerance & what) != 0;
}

/* Reads `literal` (ASCII, lower case) without regard to case. */
static enum outcome read_literal(struct attempt *attempt, const char *literal)
{
    size_t skip = 0;
    for (size_t i = 0; literal[i] != '\0'; i++) {
        uint32_t c;
        size_t width;
        enum outcome outcome = peek(attempt, skip, &c, &width);
        if (outcome != MATCHED)
            return outcome;
        if (c >= 'A' && c <= 'Z')
            c += 32;
        if (c != (unsigned char)literal[i])
            return NO_MATCH;
        skip += width;
    }
    attempt->at += skip;
    return MATCHED;
}

/* One of several spellings; MORE wins over no match. */
static enum outcome read_any(struct attempt *attempt, const char *const *literals)
{
    enum outcome result = NO_MATCH;
    for (; *literals != NULL; literals++) {
        enum outcome outcome = read_literal(attempt, *literals);
        if (outcome == MATCHED)
            return MATCHED;
        if (outcome == NEED_MORE)
            result = NEED_MORE;
    }
    return result;
}

/* ---- brackets ------------------------------------------------------------------------------ */

static const char *const html_open[] = {"&lt;", "&#60;", "&#x3c;", NULL};
static const char *const html_close[] = {"&gt;", "&#62;", "&#x3e;", NULL};
static const char *const url_open[] = {"%3c", NULL};
static const char *const url_close[] = {"%3e", NULL};

static bool is_wide_open(uint32_t c)
{
    return c == 0xFF1C || c == 0xFF3B || c == 0xFF5B || c == 0x3008 || c == 0x300A || c == 0x3010 ||
           c == 0x2329 || c == 0x27E8 || c == 0x27EA || c == 0x2039 || c == 0x300C || c == 0x300E ||
           c == 0x276C || c == 0x276E || c == 0x2770 || c == 0x226A;
}

static bool is_wide_close(uint32_t c)
{
    return c == 0xFF1E || c == 0xFF3D || c == 0xFF5D || c == 0x3009 || c == 0x300B || c == 0x3011 ||
           c == 0x232A || c == 0x27E9 || c == 0x27EB || c == 0x203A || c == 0x300D || c == 0x300F ||
           c == 0x276D || c == 0x276F || c == 0x2771 || c == 0x226B;
}

/* Markdown's \< and \>: steps over the backslash where `bracket` follows it. */
static enum outcome skip_backslash(struct attempt *attempt, uint32_t bracket)
{
    uint32_t c;
    size_t width;
    size_t next_width;
    enum outcome outcome = peek(attempt, 0, &c, &width);

    if (outcome != MATCHED || c != '\\' || !tolerates(attempt, SL_TOLERATE_SEPARATOR))
        return outcome;
    outcome = peek(attempt, width, &c, &next_width);
    if (outcome == MATCHED && c == bracket) {
        attempt->at += width;
        attempt->is_escaped = true;
    }
    return outcome;
}

static enum outcome read_open(struct attempt *attempt)
{
    uint32_t c;
    size_t width;
    enum outcome outcome = skip_backslash(attempt, '<');

    if (outcome != MATCHED)
        return outcome;
    outcome = peek(attempt, 0, &c, &width);
    if (outcome != MATCHED)
        return outcome;
    if (c == '&' && tolerates(attempt, SL_TOLERATE_HTML)) {
        attempt->bracket = HTML;
        return read_any(attempt, html_open);
    }
    if (c == '%' && tolerates(attempt, SL_TOLERATE_URL)) {
        attempt->bracket = URL;
        return read_any(attempt, url_open);
    }
    if (c == '<')
        attempt->bracket = ANGLE;
    else if (c == '[' && tolerates(attempt, SL_TOLERATE_BRACKETS))
        attempt->bracket = SQUARE;
    else if (c == '{' && tolerates(attempt, SL_TOLERATE_BRACKETS))
        attempt->bracket = CURLY;
    else if (is_wide_open(c) && tolerates(attempt, SL_TOLERATE_BRACKETS))
        attempt->bracket = WIDE;
    else if (c >= 'A' && c <= 'Z' && tolerates(attempt, SL_TOLERATE_BARE) &&
             !attempt->restorer->follows_word) {
        attempt->bracket = BARE;
        return MATCHED; /* the letter is the name's own */
    } else {
        return NO_MATCH;
    }
    attempt->at += width;
    return MATCHED;
}

static enum outcome read_close(struct attempt *attempt)
{
    uint32_t c;
    size_t width;
    enum outcome outcome;

    if (attempt->bracket == HTML)
        return read_any(attempt, html_close);
    if (attempt->bracket == URL)
        return read_any(attempt, url_close);
    if (attempt->is_escaped) {
        size_t before = attempt->at;
        outcome = skip_backslash(attempt, '>');
        if (outcome != MATCHED || attempt->at == before)
            return outcome == MATCHED ? NO_MATCH : outcome;
    }
    outcome = peek(attempt, 0, &c, &width);
    if (outcome != MATCHED)
        return outcome;
    bool fits =
        (attempt->bracket == ANGLE && c == '>') || (attempt->bracket == SQUARE && c == ']') ||
        (attempt->bracket == CURLY && c == '}') || (attempt->bracket == WIDE && is_wide_close(c));
    if (!fits)
        return NO_MATCH;
    attempt->at += width;
    return MATCHED;
}

/* ---- the name ------------------------------------------------------------------------------ */

/* Narrows the range to names with `letter` at the depth reached; false leaves it as it was. */
static bool narrow(struct attempt *attempt, char letter)
{
    const struct vault_entry *const *names = attempt->restorer->names;
    size_t depth = attempt->depth;
    size_t low = attempt->low;
    size_t high = attempt->high;

    /* Names that end here sort first and are no candidates any more. */
    for (size_t end = high; low < end;) {
        size_t middle = low + (end - low) / 2;
        struct sl_slice name = names[middle]->name;
        if (name.len <= depth || (unsigned char)name.data[depth] < (unsigned char)letter)
            low = middle + 1;
        else
            end = middle;
    }
    for (size_t start = low; start < high;) {
        size_t middle = start + (high - start) / 2;
        if ((unsigned char)names[middle]->name.data[depth] > (unsigned char)letter)
            high = middle;
        else
            start = middle + 1;
    }
    if (low >= high)
        return false;
    attempt->low = low;
    attempt->high = high;
    attempt->depth++;
    return true;
}

static const struct vault_entry *complete_name(const struct attempt *attempt)
{
    const struct vault_entry *entry = attempt->restorer->names[attempt->low];
    return entry->name.len == attempt->depth ? entry : NULL;
}

static bool is_blank(uint32_t c)
{
    return c == ' ' || c == 0xA0;
}

/* One letter of a name, as written by the model. */
static bool step(struct attempt *attempt, uint32_t c)
{
    bool is_lower = c >= 'a' && c <= 'z';
    if (is_lower && (attempt->bracket == BARE || !tolerates(attempt, SL_TOLERATE_CASE)))
        return false;
    if (is_lower)
        c -= 32;
    if (c >= 0xFF10 && c <= 0xFF5A && attempt->bracket == WIDE)
        c = c - 0xFF10 + '0';
    if (c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z')) {
        if (narrow(attempt, (char)c))
            return true;
        /* <EMAIL1>: the separator was dropped. */
        if (c == '_' || attempt->bracket == BARE || !tolerates(attempt, SL_TOLERATE_SEPARATOR))
            return false;
        struct attempt before = *attempt;
        if (narrow(attempt, '_') && narrow(attempt, (char)c))
            return true;
        *attempt = before;
        return false;
    }
    return (is_blank(c) || c == '-') && attempt->bracket != BARE &&
           tolerates(attempt, SL_TOLERATE_SEPARATOR) && narrow(attempt, '_');
}

/* True where the letters read are `KIND_` and perhaps digits, and `c` goes on with a number. */
static bool is_number_not_given(const struct attempt *attempt, uint32_t c)
{
    if (attempt->depth == 0 || !((c >= '0' && c <= '9') || c == '>'))
        return false;
    struct sl_slice name = attempt->restorer->names[attempt->low]->name;
    size_t at = attempt->depth;
    while (at > 0 && name.data[at - 1] >= '0' && name.data[at - 1] <= '9')
        at--;
    return at > 0 && name.data[at - 1] == '_' && (at < attempt->depth || c != '>');
}

/* The end of a complete name: a closing bracket, or none. */
static enum outcome finish(struct attempt *attempt)
{
    size_t name_end = attempt->at;
    enum outcome outcome;
    uint32_t c;
    size_t width;

    if (attempt->bracket != BARE) {
        outcome = read_close(attempt);
        if (outcome == NO_MATCH && tolerates(attempt, SL_TOLERATE_SEPARATOR) &&
            peek(attempt, 0, &c, &width) == MATCHED && is_blank(c)) {
            attempt->at += width;
            outcome = read_close(attempt);
        }
        if (outcome != NO_MATCH)
            return outcome;
        attempt->at = name_end;
        /* <EMAIL_1 with its closing bracket lost counts as bare; other brackets may be the text's.
         */
        if (attempt->bracket != ANGLE || attempt->is_escaped ||
            !tolerates(attempt, SL_TOLERATE_BARE))
            return NO_MATCH;
    }
    outcome = peek(attempt, 0, &c, &width);
    if (outcome == MATCHED && c == '_')
        return NO_MATCH;
    if (outcome == MATCHED)
        return c >= 0x80 || !is_word((unsigned char)c) ? MATCHED : NO_MATCH;
    return outcome == NEED_MORE ? NEED_MORE : MATCHED; /* the end, or bytes that are no character */
}

static enum outcome read_placeholder(struct attempt *attempt)
{
    uint32_t c = 0;
    size_t width;
    enum outcome outcome = read_open(attempt);

    if (outcome != MATCHED)
        return outcome;
    if (attempt->bracket != BARE && tolerates(attempt, SL_TOLERATE_SEPARATOR)) {
        outcome = peek(attempt, 0, &c, &width);
        if (outcome == MATCHED && is_blank(c))
            attempt->at += width;
    }
    for (;;) {
        outcome = peek(attempt, 0, &c, &width);
        if (outcome == NEED_MORE)
            return NEED_MORE;
        if (outcome == MATCHED && c == '\\' && attempt->bracket != BARE &&
            tolerates(attempt, SL_TOLERATE_SEPARATOR)) { /* Markdown's \_ */
            uint32_t next;
            size_t next_width;
            enum outcome after = peek(attempt, width, &next, &next_width);
            if (after == NEED_MORE)
                return NEED_MORE;
            if (after == MATCHED && (next == '_' || next == '-')) {
                attempt->at += width;
                c = next;
                width = next_width;
            }
        }
        if (outcome != MATCHED || !step(attempt, c))
            break;
        attempt->at += width;
    }
    attempt->entry = attempt->depth > 0 ? complete_name(attempt) : NULL;
    if (attempt->entry == NULL) {
        attempt->is_unresolved = outcome == MATCHED && is_number_not_given(attempt, c);
        return NO_MATCH;
    }
    outcome = finish(attempt);
    attempt->is_unresolved = outcome == NO_MATCH && c >= '0' && c <= '9';
    return outcome;
}

/* ---- streams ------------------------------------------------------------------------------- */

struct sl_restorer *sl_restorer_create(const struct sl_vault *vault, enum sl_restore_mode mode,
                                       unsigned tolerance)
{
    /* Every letter may be written as a six-byte escape, brackets and blanks included. */
    size_t held_max = (pii_vault_longest_name(vault) * 2 + 16) * 6;
    struct sl_restorer *restorer = calloc(1, sizeof *restorer + held_max);

    if (restorer == NULL)
        return NULL;
    restorer->vault = vault;
    restorer->names = pii_vault_sorted(vault, &restorer->name_count);
    restorer->mode = mode;
    restorer->tolerance = tolerance;
    restorer->held_max = held_max;
    if (restorer->name_count == 0)
        return restorer;
    restorer->starts['<'] = 1;
    if (mode == SL_RESTORE_JSON_STRING || (tolerance & SL_TOLERATE_SEPARATOR) != 0)
        restorer->starts['\\'] = 1;
    if ((tolerance & SL_TOLERATE_BRACKETS) != 0) {
        restorer->starts['['] = 1;
        restorer->starts['{'] = 1;
        restorer->starts[0xE2] = 1;
        restorer->starts[0xE3] = 1;
        restorer->starts[0xEF] = 1;
    }
    restorer->starts['&'] = (tolerance & SL_TOLERATE_HTML) != 0;
    restorer->starts['%'] = (tolerance & SL_TOLERATE_URL) != 0;
    for (size_t i = 0; i < restorer->name_count && (tolerance & SL_TOLERATE_BARE) != 0; i++)
        restorer->starts[(unsigned char)restorer->names[i]->name.data[0]] = 1;
    return restorer;
}

void sl_restorer_free(struct sl_restorer *restorer)
{
    if (restorer == NULL)
        return;
    sl_wipe(restorer->held, restorer->held_max);
    free(restorer);
}

/* Keeps what the next attempt must know of `text`, which goes out before it. */
static void note_out(struct sl_restorer *restorer, struct sl_slice text)
{
    unsigned char last = (unsigned char)text.data[text.len - 1];
    unsigned char before =
        text.len > 1 ? (unsigned char)text.data[text.len - 2] : restorer->last_out;
    restorer->follows_word = ends_in_word(before, last);
    restorer->last_out = last;
}

static enum sl_err put_plain(struct sl_restorer *restorer, struct sl_slice text, struct sl_buf *out)
{
    if (text.len == 0)
        return SL_OK;
    note_out(restorer, text);
    return sl_buf_append_slice(out, text);
}

/* The value as the content of a JSON string: what sl_buf_append_json writes, without the quotes. */
static enum sl_err put_escaped(struct sl_slice value, struct sl_buf *out)
{
    size_t quote = out->len;
    enum sl_err err = sl_buf_append_json(out, value);
    if (err != SL_OK)
        return err;
    memmove(out->data + quote, out->data + quote + 1, out->len - quote - 2);
    out->len -= 2;
    out->data[out->len] = '\0';
    return SL_OK;
}

static enum sl_err put_value(struct sl_restorer *restorer, const struct vault_entry *entry,
                             struct sl_slice written, struct sl_buf *out)
{
    if (!entry->is_restorable) {
        restorer->stats.unresolved++;
        return put_plain(restorer, written, out);
    }
    restorer->stats.restored++;
    restorer->follows_word = false;
    restorer->last_out = 0;
    return restorer->mode == SL_RESTORE_JSON_STRING ? put_escaped(entry->value, out)
                                                    : sl_buf_append_slice(out, entry->value);
}

static size_t next_start(const struct sl_restorer *restorer, struct sl_slice text, size_t at)
{
    while (at < text.len && !restorer->starts[(unsigned char)text.data[at]])
        at++;
    return at;
}

/* Puts out what is certain of `text` and returns how many of its bytes that took: all, or all but
 * a tail that may become a placeholder. */
static enum sl_err advance(struct sl_restorer *restorer, struct sl_slice text, bool is_end,
                           struct sl_buf *out, size_t *taken)
{
    size_t done = 0; /* put out up to here */
    enum sl_err err = SL_OK;

    for (size_t at = next_start(restorer, text, 0); err == SL_OK && at < text.len;
         at = next_start(restorer, text, at)) {
        if (at > done) {
            unsigned char before =
                at - done > 1 ? (unsigned char)text.data[at - 2] : restorer->last_out;
            restorer->follows_word = ends_in_word(before, (unsigned char)text.data[at - 1]);
        }
        struct attempt attempt = {
            .restorer = restorer,
            .text = {text.data + at, text.len - at},
            .is_end = is_end,
            .high = restorer->name_count,
        };
        enum outcome outcome = read_placeholder(&attempt);
        if (outcome == NEED_MORE) {
            *taken = at;
            return put_plain(restorer, (struct sl_slice){text.data + done, at - done}, out);
        }
        restorer->stats.unresolved +=
            outcome == NO_MATCH && attempt.is_unresolved && attempt.bracket != BARE;
        if (outcome == NO_MATCH) {
            at++;
            continue;
        }
        err = put_plain(restorer, (struct sl_slice){text.data + done, at - done}, out);
        if (err == SL_OK)
            err = put_value(restorer, attempt.entry, (struct sl_slice){text.data + at, attempt.at},
                            out);
        at += attempt.at;
        done = at;
    }
    if (err == SL_OK)
        err = put_plain(restorer, (struct sl_slice){text.data + done, text.len - done}, out);
    *taken = text.len;
    return err;
}

static enum sl_err failed(enum sl_err err, struct sl_error *error)
{
    return err == SL_OK ? SL_OK : sl_error_set(error, err, "an answer could not be restored");
}

enum sl_err sl_restorer_feed(struct sl_restorer *restorer, struct sl_slice piece,
                             struct sl_buf *out, struct sl_error *error)
{
    enum sl_err err = SL_OK;
    size_t taken = 0;

    /* While something is held, the piece is fed through the hold: it empties after at most a
     * placeholder's length, then the rest goes straight from the piece. */
    while (err == SL_OK && restorer->held_len > 0 && piece.len > 0) {
        size_t room = restorer->held_max - restorer->held_len;
        size_t part = piece.len < room ? piece.len : room;
        size_t before = restorer->held_len;
        memcpy(restorer->held + before, piece.data, part);
        err =
            advance(restorer, (struct sl_slice){restorer->held, before + part}, false, out, &taken);
        if (err != SL_OK)
            break;
        if (taken >= before) { /* what is left lies in the piece */
            piece.data += taken - before;
            piece.len -= taken - before;
            restorer->held_len = 0;
            break;
        }
        if (taken == 0 && part == 0) { /* cannot be: no form is that long. Let it go. */
            err = put_plain(restorer, (struct sl_slice){restorer->held, 1}, out);
            taken = 1;
        }
        restorer->held_len = before + part - taken;
        memmove(restorer->held, restorer->held + taken, restorer->held_len);
        piece.data += part;
        piece.len -= part;
    }
    if (err != SL_OK || piece.len == 0)
        return failed(err, error);
    err = advance(restorer, piece, false, out, &taken);
    if (err == SL_OK && taken == piece.len) /* the usual end of a piece of plain text */
        return SL_OK;
    if (err == SL_OK && piece.len - taken > restorer->held_max) {
        size_t excess = piece.len - taken - restorer->held_max; /* cannot be, as above */
        err = put_plain(restorer, (struct sl_slice){piece.data + taken, excess}, out);
        taken += excess;
    }
    if (err == SL_OK) {
        restorer->held_len = piece.len - taken;
        memcpy(restorer->held, piece.data + taken, restorer->held_len);
    }
    return failed(err, error);
}

enum sl_err sl_restorer_flush(struct sl_restorer *restorer, struct sl_buf *out,
                              struct sl_error *error)
{
    size_t taken = 0;
    enum sl_err err = SL_OK;
    if (restorer->held_len > 0)
        err = advance(restorer, (struct sl_slice){restorer->held, restorer->held_len}, true, out,
                      &taken);
    restorer->held_len = 0;
    return failed(err, error);
}

size_t sl_restorer_held_bytes(const struct sl_restorer *restorer)
{
    return restorer->held_len;
}

struct sl_restore_stats sl_restorer_stats(const struct sl_restorer *restorer)
{
    return restorer->stats;
}

enum sl_err sl_pii_restore_text(const struct sl_vault *vault, enum sl_restore_mode mode,
                                unsigned tolerance, struct sl_slice text, struct sl_buf *out,
                                struct sl_restore_stats *stats, struct sl_error *error)
{
    struct sl_restorer *restorer = sl_restorer_create(vault, mode, tolerance);
    size_t taken;
    enum sl_err err;

    if (restorer == NULL)
        return failed(SL_ERR_MEMORY, error);
    err = advance(restorer, text, true, out, &taken);
    if (stats != NULL) {
        stats->restored += restorer->stats.restored;
        stats->unresolved += restorer->stats.unresolved;
    }
    sl_restorer_free(restorer);
    return failed(err, error);
}
