/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns the context words of each kind, in several languages. A weak form (nine digits, two letters
 * and some digits) counts only next to one of them: the idea of Presidio's context enhancer, with a
 * window in bytes instead of tokens.
 *
 * A word matches at the start of a word of the text and may go on ("passport" finds "passports").
 * The text around a place is folded to lower case once and kept while that place is looked at.
 */
#include "pii/context.h"

/* Words of a kind, lower case, each with a blank before it. "|" separates them. */
static const char *const context_words[PII_CONTEXT_COUNT] = {
#define W(kind, words) [kind] = words,
#include "pii/context_words.def"
#undef W
};

static void read_window(struct pii_scan *scan, size_t at)
{
    size_t start = at > PII_CONTEXT_BEFORE ? at - PII_CONTEXT_BEFORE : 0;
    size_t end = at;
    char *out = scan->window;
    size_t len = 0;

    out[len++] = ' ';
    for (size_t i = start; i < at; i++)
        out[len++] = (char)pii_lower(scan->text[i]);
    scan->window_before = len;
    /* After the find itself, a few words: "912803456 is my account". */
    while (end < scan->len && end - at < 40 && pii_is(scan->text[end], PII_ALNUM))
        end++;
    for (size_t i = end; i < scan->len && i - end < PII_CONTEXT_AFTER; i++)
        out[len++] = (char)pii_lower(scan->text[i]);
    scan->window_len = len;
    scan->window_at = at;
    scan->has_window = true;
    /* Where words start; in scripts that do not set words apart, every character. */
    scan->window_start_count = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)out[i];
        if (c >= 0xC0 ||
            (pii_is(c, PII_ALNUM) && !(i > 0 && pii_is((unsigned char)out[i - 1], PII_ALNUM))))
            scan->window_starts[scan->window_start_count++] = (uint8_t)i;
    }
}

/* True where `word` starts one of the window's words in [from, to). */
static bool holds(const struct pii_scan *scan, size_t from, size_t to, const char *word,
                  size_t word_len)
{
    bool is_whole = word_len <= 4; /* "dl", "nas": only as whole words */
    for (size_t i = 0; i < scan->window_start_count; i++) {
        size_t at = scan->window_starts[i];
        if (at < from || scan->window[at] != word[0] || at + word_len > to ||
            memcmp(scan->window + at, word, word_len) != 0)
            continue;
        unsigned char after = at + word_len < to ? (unsigned char)scan->window[at + word_len] : ' ';
        if (!is_whole || !pii_is(after, PII_LETTER | PII_HIGH))
            return true;
    }
    return false;
}

static bool holds_any(const struct pii_scan *scan, size_t from, size_t to, const char *words)
{
    while (words != NULL && *words != '\0') {
        const char *bar = strchr(words, '|');
        size_t word_len = bar != NULL ? (size_t)(bar - words) : strlen(words);
        if (holds(scan, from, to, words, word_len))
            return true;
        words += word_len + (bar != NULL);
    }
    return false;
}

static void prepare(struct pii_scan *scan, size_t at)
{
    if (!scan->has_window || scan->window_at != at)
        read_window(scan, at);
}

bool pii_has_context(struct pii_scan *scan, size_t at, unsigned kind)
{
    prepare(scan, at);
    return holds_any(scan, 0, scan->window_len, context_words[kind]);
}

bool pii_has_context_near(struct pii_scan *scan, size_t at, unsigned kind, size_t bytes)
{
    prepare(scan, at);
    size_t from = scan->window_before > bytes ? scan->window_before - bytes : 0;
    return holds_any(scan, from, scan->window_before, context_words[kind]);
}
