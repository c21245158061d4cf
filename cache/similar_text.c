/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns normalisation: what may differ between two texts that say the same. Leaves to
 * similar_words.c what is kept of the words, and to similar_verify.c which differences are typos.
 *
 * Normal form: NFC, case folded, white space split into words, typographic quotes as plain ones,
 * sentence marks cut from the ends of words, politeness cut from the ends of the text, contractions
 * as two words ("what's", "what is"). Everything else counts, and what might change a meaning
 * refuses the whole text or stays in its word:
 *   - line breaks, brackets, braces, comparison signs: code, lists, quoted documents: refused;
 *   - a point before a digit (.5), a factorial (5!), inches (5"): stay;
 *   - + - * / % # @ $ & ( ): stay, so that C++ is not C and -5 is not 5.
 * Compatibility forms (NFKC) are not folded: 10² would become 102.
 *
 * Pure; any thread.
 */
#include "similar_text.h"

#include "words/contractions.h"
#include "words/known_words.h"
#include "words/word_classes.h"

#include <stdlib.h>
#include <utf8proc.h>

/* ---- letters -------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool fold_ascii(struct similar_text *out, struct sl_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if ((unsigned char)c >= 0x80)
            return false;
        out->text[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    out->text_len = text.len;
    return true;
}

static bool fold_unicode(struct similar_text *out, struct sl_slice text)
{
    utf8proc_uint8_t *folded = NULL;
    utf8proc_ssize_t len =
        utf8proc_map((const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.len, &folded,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);
    bool fits = len > 0 && len <= TEXT_BYTES_MAX;
    if (fits) {
        memcpy(out->text, folded, (size_t)len);
        out->text_len = (size_t)len;
    }
    if (folded != NULL && len > 0)
        explicit_bzero(folded, (size_t)len);
    free(folded);
    return fits;
}

/* Signs beyond ASCII that stand for ASCII ones here. Longest form: three bytes. */
static const struct {
    const char *from;
    char to;
} sign_table[] = {
    {"\xE2\x80\x98", '\''}, {"\xE2\x80\x99", '\''}, {"\xE2\x80\x9C", '"'}, {"\xE2\x80\x9D", '"'},
    {"\xC2\xAB", '"'},      {"\xC2\xBB", '"'},      {"\xE2\x80\xA6", '.'}, {"\xC2\xBF", '?'},
    {"\xC2\xA1", '!'},      {"\xE3\x80\x82", '.'},  {"\xEF\xBC\x8C", ','}, {"\xEF\xBC\x81", '!'},
    {"\xEF\xBC\x9F", '?'},  {"\xE3\x80\x81", ','},  {"\xC2\xA0", ' '},     {"\xE3\x80\x80", ' '},
    {"\xE2\x80\xAF", ' '},  {"\xE2\x80\x89", ' '},
};

static void replace_signs(struct similar_text *out)
{
    size_t to = 0;
    for (size_t from = 0; from < out->text_len;) {
        size_t used = 1;
        char c = out->text[from];
        for (size_t i = 0; (unsigned char)c >= 0x80 && i < sizeof sign_table / sizeof *sign_table;
             i++) {
            size_t len = strlen(sign_table[i].from);
            if (out->text_len - from >= len &&
                memcmp(out->text + from, sign_table[i].from, len) == 0) {
                c = sign_table[i].to;
                used = len;
            }
        }
        out->text[to++] = c;
        from += used;
    }
    out->text_len = to;
}

/* The length of a placeholder as <EMAIL_1> at `at`, or 0. */
static size_t placeholder_len(struct sl_slice at)
{
    size_t pos = 1;
    if (at.len < 5 || at.data[0] != '<')
        return 0;
    while (pos < at.len && (is_letter(at.data[pos]) || at.data[pos] == '_'))
        pos++;
    size_t digits = pos;
    while (pos < at.len && is_digit(at.data[pos]))
        pos++;
    bool is_one = pos > digits && at.data[digits - 1] == '_' && pos < at.len && at.data[pos] == '>';
    return is_one ? pos + 1 : 0;
}

/* Signs that stand in code, tables and markup, and hardly in a question. */
static bool looks_plain(struct sl_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        struct sl_slice rest = {text.data + i, text.len - i};
        size_t skip = placeholder_len(rest);
        unsigned char c = (unsigned char)text.data[i];
        if (skip > 0)
            i += skip - 1;
        else if ((c < 0x20 && c != '\t') || c == 0x7F || strchr("`{}[]<>\\|=~^", c) != NULL)
            return false;
    }
    return true;
}

/* ---- words ---------------------------------------------------------------------------------- */

static bool is_mark(char c)
{
    return strchr(".,;:!?\"'", c) != NULL && c != '\0';
}

/* Marks after a digit that may belong to it. */
static bool belongs_to_digit(char mark)
{
    return mark == '!' || mark == '"' || mark == '\'';
}

static struct sl_slice cut_marks(struct sl_slice word, bool *is_before_mark)
{
    *is_before_mark = false;
    while (word.len > 1 && is_mark(word.data[word.len - 1]) &&
           !(is_digit(word.data[word.len - 2]) && belongs_to_digit(word.data[word.len - 1]))) {
        *is_before_mark = true;
        word.len--;
    }
    while (word.len > 1 && is_mark(word.data[0]) && !is_digit(word.data[1])) {
        word.data++;
        word.len--;
    }
    return word;
}

static bool split(struct similar_text *out)
{
    size_t pos = 0;
    while (pos < out->text_len) {
        if (out->text[pos] == ' ' || out->text[pos] == '\t') {
            pos++;
            continue;
        }
        size_t start = pos;
        while (pos < out->text_len && out->text[pos] != ' ' && out->text[pos] != '\t')
            pos++;
        if (out->word_count == TEXT_WORDS_MAX)
            return false;
        struct sl_slice word = {out->text + start, pos - start};
        out->words[out->word_count] = cut_marks(word, &out->is_before_mark[out->word_count]);
        out->word_count++;
    }
    return true;
}

static void drop_words(struct similar_text *out, size_t at, size_t count)
{
    size_t behind = out->word_count - at - count;
    memmove(&out->words[at], &out->words[at + count], behind * sizeof out->words[0]);
    memmove(&out->is_before_mark[at], &out->is_before_mark[at + count], behind);
    out->word_count -= count;
}

static bool is_lone_mark(struct sl_slice word)
{
    return word.len == 1 && is_mark(word.data[0]);
}

/* A mark on its own says nothing at the ends of a text; inside it may ("5 ! + 1"). */
static void drop_outer_marks(struct similar_text *out)
{
    while (out->word_count > 0 && is_lone_mark(out->words[0]))
        drop_words(out, 0, 1);
    while (out->word_count > 0 && is_lone_mark(out->words[out->word_count - 1])) {
        out->word_count--;
        if (out->word_count > 0)
            out->is_before_mark[out->word_count - 1] = true;
    }
}

/* ---- politeness ------------------------------------------------------------------------------ */

static bool is_one_of(struct sl_slice word, const char *const *list)
{
    for (; *list != NULL; list++)
        if (sl_slice_equal_text(word, *list))
            return true;
    return false;
}

static bool is_misspelt(struct sl_slice word, struct sl_slice meant)
{
    for (size_t i = 0; i < word.len; i++)
        if (!is_letter(word.data[i]))
            return false;
    return word.len >= 4 && !known_words_has(word) && word_is_one_edit(word, meant);
}

/* "please", or "plesae": counted as the one typo that a text may have. */
static bool is_please(struct similar_text *out, size_t at, struct sl_slice *typo)
{
    static const char *const forms[] = {"please", "pls", "plz", "kindly", NULL};
    struct sl_slice word = out->words[at];
    if (is_one_of(word, forms))
        return true;
    if (out->polite_typos > 0 || !is_misspelt(word, SL_SLICE("please")))
        return false;
    *typo = word;
    return true;
}

/* Thanks and greetings count as politeness only apart from the rest: "hey, ..." and "..., thanks",
 * but not "hello kitty" or "translate thanks". */
static bool is_greeting(const struct similar_text *out, size_t at)
{
    static const char *const forms[] = {"hey", "hi", "hello", NULL};
    return is_one_of(out->words[at], forms) && out->is_before_mark[at];
}

static bool is_thanks(struct similar_text *out, size_t at, struct sl_slice *typo)
{
    static const char *const forms[] = {"thanks", "thx", NULL};
    struct sl_slice word = out->words[at];
    bool is_apart = at == 0 ? out->is_before_mark[0] : out->is_before_mark[at - 1];
    if (!is_apart)
        return false;
    if (is_one_of(word, forms))
        return true;
    if (out->polite_typos > 0 || !is_misspelt(word, SL_SLICE("thanks")))
        return false;
    *typo = word;
    return true;
}

static bool drop_first(struct similar_text *out)
{
    struct sl_slice typo = {NULL, 0};
    if (out->word_count < 2 ||
        !(is_please(out, 0, &typo) || is_greeting(out, 0) || is_thanks(out, 0, &typo)))
        return false;
    out->polite_typos += typo.len > 0;
    drop_words(out, 0, 1);
    return true;
}

/* Where the last word is what the text is about: "how do you say please", "translate please",
 * "spell the word please". */
static bool speaks_of_last(const struct similar_text *out)
{
    static const char *const verbs[] = {"say",       "spell",  "pronounce", "write",
                                        "translate", "define", NULL};
    size_t before = out->word_count - 2;
    if (is_one_of(out->words[before], verbs))
        return before == 0 || sl_slice_equal_text(out->words[0], "how");
    return before > 0 && sl_slice_equal_text(out->words[before], "word") &&
           sl_slice_equal_text(out->words[before - 1], "the");
}

static bool drop_last(struct similar_text *out)
{
    struct sl_slice typo = {NULL, 0};
    if (out->word_count < 2 || speaks_of_last(out))
        return false;
    size_t last = out->word_count - 1;
    if (!is_please(out, last, &typo) && !is_thanks(out, last, &typo))
        return false;
    out->polite_typos += typo.len > 0;
    out->word_count--;
    return true;
}

/* "could you please ..." */
static void drop_inner(struct similar_text *out)
{
    static const char *const may[] = {"can", "could", "would", "will", NULL};
    struct sl_slice typo = {NULL, 0};
    for (size_t i = 2; i < out->word_count; i++)
        if (sl_slice_equal_text(out->words[i - 1], "you") && is_one_of(out->words[i - 2], may) &&
            is_please(out, i, &typo)) {
            out->polite_typos += typo.len > 0;
            drop_words(out, i, 1);
            return;
        }
}

static void drop_politeness(struct similar_text *out)
{
    while (drop_first(out))
        ;
    while (drop_last(out))
        ;
    drop_inner(out);
}

/* ---- contractions --------------------------------------------------------------------------- */

/* False where the text gets too long by it. */
static bool expand_contractions(struct similar_text *out)
{
    struct sl_slice two[2];
    for (size_t i = 0; i < out->word_count; i++) {
        if (!word_expand(out->words[i], two))
            continue;
        if (out->word_count == TEXT_WORDS_MAX)
            return false;
        memmove(&out->words[i + 1], &out->words[i], (out->word_count - i) * sizeof out->words[0]);
        memmove(&out->is_before_mark[i + 1], &out->is_before_mark[i], out->word_count - i);
        out->word_count++;
        out->words[i] = two[0];
        out->words[i + 1] = two[1];
        out->is_before_mark[i] = false;
        i++;
    }
    return true;
}

/* ---- all ------------------------------------------------------------------------------------ */

static struct sl_slice trim(struct sl_slice text)
{
    while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]) != NULL)
        text.len--;
    while (text.len > 0 && strchr(" \t\r\n", text.data[0]) != NULL) {
        text.data++;
        text.len--;
    }
    return text;
}

bool similar_text_parse(struct similar_text *out, struct sl_slice text)
{
    out->word_count = 0;
    out->polite_typos = 0;
    out->text_len = 0;
    text = trim(text);
    if (text.len == 0 || text.len > TEXT_BYTES_MAX || memchr(text.data, '\0', text.len) != NULL ||
        !looks_plain(text) || !(fold_ascii(out, text) || fold_unicode(out, text)))
        return false;
    replace_signs(out);
    if (!split(out))
        return false;
    drop_outer_marks(out);
    drop_politeness(out);
    drop_outer_marks(out);
    return out->word_count > 0 && expand_contractions(out);
}
