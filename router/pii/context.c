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

#include <assert.h>
#include <pthread.h>

/* Words of a kind, lower case. "|" separates them. */
static const char *const context_lines[PII_CONTEXT_COUNT] = {
#define W(kind, words) [kind] = words,
#include "pii/context_words.def"
#undef W
};

/* The lines above, taken apart once per process. */
struct word {
    const char *text;
    uint8_t len;
    uint8_t bit; /* see start_bit */
};
#define WORDS_MAX 1024u
static struct word words[WORDS_MAX];
static uint16_t
    first_word[PII_CONTEXT_COUNT + 1]; /* of a kind; its last is before the next kind's */
static pthread_once_t words_once = PTHREAD_ONCE_INIT;

/* One of 64 bits for the first two bytes of a word: the words around a number set some ten of them,
 * so that most words of a list are out without being looked for. */
static unsigned start_bit(unsigned char first, unsigned char second)
{
    return (first * 7u + second) & 63u;
}

static void build_words(void)
{
    uint16_t count = 0;
    for (unsigned kind = 0; kind < PII_CONTEXT_COUNT; kind++) {
        first_word[kind] = count;
        for (const char *at = context_lines[kind]; at != NULL && *at != '\0';) {
            size_t len = strcspn(at, "|");
            assert(count < WORDS_MAX && len >= 2 && len <= UINT8_MAX);
            words[count++] = (struct word){
                at, (uint8_t)len, (uint8_t)start_bit((unsigned char)at[0], (unsigned char)at[1])};
            at += len + (at[len] == '|');
        }
    }
    first_word[PII_CONTEXT_COUNT] = count;
}

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
    scan->window_bits = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)out[i];
        if (c >= 0xC0 ||
            (pii_is(c, PII_ALNUM) && !(i > 0 && pii_is((unsigned char)out[i - 1], PII_ALNUM)))) {
            scan->window_starts[scan->window_start_count++] = (uint8_t)i;
            unsigned char next = i + 1 < len ? (unsigned char)out[i + 1] : ' ';
            scan->window_bits |= UINT64_C(1) << start_bit(c, next);
        }
    }
}

/* True where `word` starts one of the window's words in [from, to). */
static bool holds(const struct pii_scan *scan, size_t from, size_t to, const struct word *word)
{
    bool is_whole = word->len <= 4; /* "dl", "nas": only as whole words */
    for (size_t i = 0; i < scan->window_start_count; i++) {
        size_t at = scan->window_starts[i];
        if (scan->window[at] != word->text[0] || at < from || at + word->len > to ||
            memcmp(scan->window + at, word->text, word->len) != 0)
            continue;
        unsigned char after =
            at + word->len < to ? (unsigned char)scan->window[at + word->len] : ' ';
        if (!is_whole || !pii_is(after, PII_LETTER | PII_HIGH))
            return true;
    }
    return false;
}

static bool holds_any(const struct pii_scan *scan, size_t from, size_t to, unsigned kind)
{
    for (unsigned i = first_word[kind]; i < first_word[kind + 1]; i++) {
        if ((scan->window_bits >> words[i].bit & 1) != 0 && holds(scan, from, to, &words[i]))
            return true;
    }
    return false;
}

static void prepare(struct pii_scan *scan, size_t at)
{
    pthread_once(&words_once, build_words);
    if (!scan->has_window || scan->window_at != at)
        read_window(scan, at);
}

bool pii_has_context(struct pii_scan *scan, size_t at, unsigned kind)
{
    prepare(scan, at);
    return holds_any(scan, 0, scan->window_len, kind);
}

bool pii_has_context_near(struct pii_scan *scan, size_t at, unsigned kind, size_t bytes)
{
    prepare(scan, at);
    size_t from = scan->window_before > bytes ? scan->window_before - bytes : 0;
    return holds_any(scan, from, scan->window_before, kind);
}
