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

#include <ctype.h>

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
}

static bool is_word_start(const char *window, size_t at)
{
    unsigned char before = at > 0 ? (unsigned char)window[at - 1] : ' ';
    return !pii_is(before, PII_ALNUM) || !pii_is((unsigned char)window[at], PII_ALNUM);
}

static bool holds(const char *window, size_t len, const char *word, size_t word_len)
{
    bool is_whole = word_len <= 4; /* "dl", "nas": only as whole words */
    const char *at = window;
    while ((at = memmem(at, len - (size_t)(at - window), word, word_len)) != NULL) {
        size_t offset = (size_t)(at - window);
        unsigned char after = offset + word_len < len ? (unsigned char)at[word_len] : ' ';
        if (is_word_start(window, offset) && (!is_whole || !pii_is(after, PII_LETTER | PII_HIGH)))
            return true;
        at++;
    }
    return false;
}

static bool holds_any(const char *window, size_t len, const char *words)
{
    while (words != NULL && *words != '\0') {
        size_t word_len = strcspn(words, "|");
        if (holds(window, len, words, word_len))
            return true;
        words += word_len + (words[word_len] == '|');
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
    return holds_any(scan->window, scan->window_len, context_words[kind]);
}

bool pii_has_context_near(struct pii_scan *scan, size_t at, unsigned kind, size_t bytes)
{
    prepare(scan, at);
    size_t from = scan->window_before > bytes ? scan->window_before - bytes : 0;
    return holds_any(scan->window + from, scan->window_before - from, context_words[kind]);
}
