/* SPDX-License-Identifier: Apache-2.0
 *
 * Email addresses that people disguise from harvesters: `anna [at] example [dot] org`,
 * `anna(at)example.org`, `anna at example dot com`. Owns the disguised signs and what is asked of
 * the parts; leaves plain addresses to net.c.
 *
 * Conservative: the last label must be a known top-level domain, there must be a dot, plain or
 * disguised, and where the signs are bare words both must be disguised and the name must be no
 * English word ("meet me at home dot com"). Stateless.
 */
#include "pii/detect.h"
#include "pii/tagger.h"
#include "pii/words.h"

#define LOCAL_MAX 64u
#define LABEL_MAX 63u
#define LABELS_MAX 6u
#define BLANKS_MAX 2u

static size_t skip_blanks(const struct pii_scan *scan, size_t at)
{
    size_t end = at;
    while (end - at < BLANKS_MAX && pii_at(scan, end) == ' ' && end < scan->len)
        end++;
    return end;
}

static unsigned char closing(unsigned char open)
{
    return open == '[' ? ']' : open == '(' ? ')' : open == '{' ? '}' : open == '<' ? '>' : open;
}

static bool is_opening(unsigned char c)
{
    return c == '[' || c == '(' || c == '{' || c == '<' || c == '_';
}

/* `[word]`, `(word)`, `_word_`, ` word ` from `at` on, one of `words`; returns its end, `at`: none.
 */
static size_t read_sign(const struct pii_scan *scan, size_t at, const char *const *words,
                        bool *is_bracketed)
{
    size_t here = skip_blanks(scan, at);
    unsigned char open = pii_at(scan, here);
    *is_bracketed = is_opening(open);
    if (!*is_bracketed && here == at)
        return at;
    if (*is_bracketed)
        here = skip_blanks(scan, here + 1);
    for (; *words != NULL; words++) {
        size_t end = here + strlen(*words);
        if (!pii_word_at(scan, here, *words) || pii_is(pii_at(scan, end), PII_ALNUM | PII_HIGH))
            continue;
        size_t next = skip_blanks(scan, end);
        if (!*is_bracketed)
            return next > end ? next : at;
        return pii_at(scan, next) == closing(open) ? skip_blanks(scan, next + 1) : at;
    }
    return at;
}

static bool is_label_char(unsigned char c)
{
    return pii_is(c, PII_ALNUM) || c == '-';
}

/* The host from `at` on: labels with dots of either kind between them. Returns its end, `at`: none.
 */
static size_t read_host(const struct pii_scan *scan, size_t at, bool *has_disguised_dot)
{
    static const char *const dots[] = {"dot", "punkt", "punto", "ponto", "point", NULL};
    size_t best = at;
    size_t here = at;

    *has_disguised_dot = false;
    for (unsigned label = 0; label < LABELS_MAX; label++) {
        size_t end = here;
        bool is_bracketed;
        while (end - here < LABEL_MAX && end < scan->len && is_label_char(scan->text[end]))
            end++;
        if (end == here)
            break;
        struct sl_slice text = {(const char *)scan->text + here, end - here};
        if (label > 0 && pii_is_known_tld(text))
            best = end;
        size_t dot = read_sign(scan, end, dots, &is_bracketed);
        if (dot > end)
            *has_disguised_dot = true;
        else if (pii_at(scan, end) == '.')
            dot = end + 1;
        else
            break;
        here = dot;
    }
    return best;
}

static bool is_plain_word(const struct pii_scan *scan, size_t start, size_t end)
{
    for (size_t i = start; i < end; i++) {
        if (!pii_is(scan->text[i], PII_LETTER))
            return false;
    }
    return end - start < 3 || (tag_word_flags(scan->text + start, end - start) & WORD_COMMON) != 0;
}

void pii_find_disguised_email(struct pii_scan *scan, size_t at)
{
    static const char *const ats[] = {"at", "arroba", NULL};
    size_t end = at;
    size_t start;
    size_t host;
    bool is_bracketed;
    bool has_disguised_dot;

    /* Back over the sign's opening to the end of the name. */
    while (end > 0 && at - end < BLANKS_MAX && scan->text[end - 1] == ' ')
        end--;
    if (end > 0 && is_opening(scan->text[end - 1])) {
        end--;
        while (end > 0 && at - end < 2 * BLANKS_MAX && scan->text[end - 1] == ' ')
            end--;
    }
    if (end == at || end == 0)
        return;
    for (start = end; start > 0 && end - start < LOCAL_MAX; start--) {
        unsigned char c = scan->text[start - 1];
        if (!pii_is(c, PII_ALNUM) && c != '.' && c != '-' && c != '_' && c != '+')
            break;
    }
    while (start < end && !pii_is(scan->text[start], PII_ALNUM))
        start++;
    if (start == end || !pii_is(scan->text[end - 1], PII_ALNUM))
        return;
    host = read_sign(scan, end, ats, &is_bracketed);
    if (host == end)
        return;
    size_t stop = read_host(scan, host, &has_disguised_dot);
    if (stop == host || (!is_bracketed && (!has_disguised_dot || is_plain_word(scan, start, end))))
        return;
    pii_add(scan, start, stop, SL_PII_EMAIL, 0.6, is_bracketed);
}
