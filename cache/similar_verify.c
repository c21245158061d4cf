/* SPDX-License-Identifier: Apache-2.0
 *
 * The verifier: refuses unless it can tell that nothing of weight differs. It sees hashes and
 * classes only.
 *
 * Surface: the same words in the same order.
 * Typo: one word differs (two in a text of six words or more), by one edit each (a letter lost,
 * doubled, changed, or swapped with its neighbour), and the difference can't be one between two
 * words:
 *   - one spelling is a known word, the other is not: a typo;
 *   - both are known ("form", "from"): two words, refused;
 *   - a number word ("tweve") only where one number alone can be meant;
 *   - neither is known: a name or a term. Two names differ in a letter changed (Marka, Marta) or at
 *     their ends (Erik, Erika); letters swapped or doubled, or a letter lost inside seven or more,
 *     is how fingers slip. On the 931 typos of the reference data that rule gains 4 points and
 *     costs no false hit.
 * Or two words were run together, or one torn apart, and the long form is no word ("alarmclock",
 * but not "everyday").
 *
 * Content: an embedding model finds the texts close. Only articles and forms of "be" and "do" may
 * then differ, and what stands at the start may stand at the end ("tomorrow in york what is the
 * weather"): the other words are the same, in the same order up to that one turn.
 *
 * Meaning: the caller vouches that both ask for the same; what the words name must still agree:
 * numbers, units, placeholders in order, the count of negations, names and terms that are no known
 * words, and no opposite sides of a pair.
 *
 * Pure; any thread.
 */
#include "similar_words.h"

#define LETTERS_MIN 5         /* of the longer spelling */
#define TWO_SLIPS_WORDS_MIN 6 /* four words that agree on what is asked */
#define NAME_LETTERS_MIN 7    /* of the longer spelling, where neither is a known word */

/* ---- typo ----------------------------------------------------------------------------------- */

enum edit {
    EDIT_NONE,    /* more than one */
    EDIT_SWAPPED, /* two neighbours */
    EDIT_DOUBLED,
    EDIT_LOST_INSIDE,
    EDIT_LOST_AT_END, /* or at the start */
    EDIT_CHANGED,
};

/* The longer word without some letter is the shorter one; without either of two neighbours, where
 * they are the same letter. */
static enum edit find_loss(const struct word_view *longer, const struct word_view *shorter)
{
    size_t places = 0;
    bool is_inner = true;
    for (size_t i = 0; i < longer->letters; i++)
        if (word_deletion(longer, i) == (uint32_t)shorter->hash) {
            places++;
            is_inner = is_inner && i > 0 && i + 1 < longer->letters;
        }
    if (places == 0)
        return EDIT_NONE;
    return places > 1 ? EDIT_DOUBLED : is_inner ? EDIT_LOST_INSIDE : EDIT_LOST_AT_END;
}

/* Equal lengths: without the same letter both are the same (changed), or without neighbouring ones
 * crosswise (swapped). */
static enum edit find_change(const struct word_view *a, const struct word_view *b)
{
    for (size_t i = 0; i < a->letters; i++)
        if (word_deletion(a, i) == word_deletion(b, i))
            return EDIT_CHANGED;
    for (size_t i = 0; i + 1 < a->letters; i++)
        if (word_deletion(a, i) == word_deletion(b, i + 1) &&
            word_deletion(a, i + 1) == word_deletion(b, i))
            return EDIT_SWAPPED;
    return EDIT_NONE;
}

/* A number word may be misspelt only where it can be no other number: "tweve" is twelve. And what
 * can be a misspelt number is no other word. Opposites carry a detail of another sort. */
static bool agree_on_number(const struct word_view *a, const struct word_view *b)
{
    uint8_t a_number = a->class == WORD_OPPOSITE ? 0 : a->detail;
    uint8_t b_number = b->class == WORD_OPPOSITE ? 0 : b->detail;
    return a_number == b_number;
}

static bool is_typo(const struct word_view *a, const struct word_view *b)
{
    const struct word_view *longer = a->letters >= b->letters ? a : b;
    const struct word_view *shorter = longer == a ? b : a;
    if (shorter->letters == 0 || longer->letters < LETTERS_MIN ||
        longer->letters - shorter->letters > 1 || !agree_on_number(a, b))
        return false;
    unsigned known = (a->flags & WORD_IS_KNOWN) + (b->flags & WORD_IS_KNOWN);
    if (known == 2)
        return false;
    enum edit edit =
        longer->letters > shorter->letters ? find_loss(longer, shorter) : find_change(a, b);
    if (known == 1)
        return edit != EDIT_NONE;
    return edit == EDIT_SWAPPED || edit == EDIT_DOUBLED ||
           (edit == EDIT_LOST_INSIDE && longer->letters >= NAME_LETTERS_MIN);
}

unsigned similar_slips_max(const struct words_view *view)
{
    return view->count >= TWO_SLIPS_WORDS_MIN ? 2 : 1;
}

static enum sl_cache_match match_words(const struct words_view *a, const struct words_view *b)
{
    unsigned typos = a->polite_typos + b->polite_typos;
    unsigned typos_max = similar_slips_max(a);
    if (a->count != b->count)
        return SL_CACHE_MATCH_NONE;
    for (size_t i = 0; i < a->count && typos <= typos_max; i++) {
        if (a->words[i].hash == b->words[i].hash)
            continue;
        if (!is_typo(&a->words[i], &b->words[i]))
            return SL_CACHE_MATCH_NONE;
        typos++;
    }
    return typos == 0           ? SL_CACHE_MATCH_SURFACE
           : typos <= typos_max ? SL_CACHE_MATCH_TYPO
                                : SL_CACHE_MATCH_NONE;
}

/* ---- words run together --------------------------------------------------------------------- */

/* A long form that is a word of its own may say something else than its parts: "everyday", "maybe".
 * `detail`: it could be a misspelt number. */
static bool is_run_together(const struct word_view *first, const struct word_view *whole)
{
    return first->joined == whole->hash && whole->class == WORD_PLAIN && whole->letters > 0 &&
           (whole->flags & WORD_IS_KNOWN) == 0 && whole->detail == 0;
}

/* `parts` has one word more than `whole`. */
static bool differ_by_a_blank(const struct words_view *parts, const struct words_view *whole)
{
    size_t at = 0;
    if (parts->count != whole->count + 1 || parts->polite_typos + whole->polite_typos > 0)
        return false;
    while (at < whole->count && parts->words[at].hash == whole->words[at].hash)
        at++;
    if (at == whole->count || !is_run_together(&parts->words[at], &whole->words[at]))
        return false;
    for (at++; at < whole->count; at++)
        if (parts->words[at + 1].hash != whole->words[at].hash)
            return false;
    return true;
}

/* ---- meaning -------------------------------------------------------------------------------- */

static size_t count_class(const struct words_view *view, enum word_class class)
{
    size_t count = 0;
    for (size_t i = 0; i < view->count; i++)
        count += view->words[i].class == class;
    return count;
}

/* The words of a class are the same, in order. */
static bool agree_on(const struct words_view *a, const struct words_view *b, enum word_class class)
{
    size_t at_b = 0;
    for (size_t at_a = 0; at_a < a->count; at_a++) {
        if (a->words[at_a].class != class)
            continue;
        while (at_b < b->count && b->words[at_b].class != class)
            at_b++;
        if (at_b == b->count || a->words[at_a].hash != b->words[at_b].hash)
            return false;
        at_b++;
    }
    return count_class(a, class) == count_class(b, class);
}

static bool names_side(const struct words_view *view, uint8_t detail)
{
    for (size_t i = 0; i < view->count; i++)
        if (view->words[i].class == WORD_OPPOSITE && view->words[i].detail == detail)
            return true;
    return false;
}

/* One text names a side that the other does not, and the other names the other side. */
static bool contradict(const struct words_view *a, const struct words_view *b)
{
    for (size_t i = 0; i < a->count; i++) {
        uint8_t side = a->words[i].detail;
        if (a->words[i].class == WORD_OPPOSITE && !names_side(b, side) && names_side(b, side ^ 1u))
            return true;
    }
    return false;
}

/* Names and terms of one text occur in the other. */
static bool agree_on_names(const struct words_view *a, const struct words_view *b)
{
    for (size_t i = 0; i < a->count; i++) {
        bool is_found = (a->words[i].flags & WORD_IS_STRANGE) == 0;
        for (size_t k = 0; k < b->count && !is_found; k++)
            is_found = a->words[i].hash == b->words[k].hash;
        if (!is_found)
            return false;
    }
    return true;
}

static bool may_mean_the_same(const struct words_view *a, const struct words_view *b)
{
    return agree_on(a, b, WORD_NUMBER) && agree_on(a, b, WORD_UNIT) &&
           agree_on(a, b, WORD_PLACEHOLDER) &&
           count_class(a, WORD_NEGATION) == count_class(b, WORD_NEGATION) && !contradict(a, b) &&
           !contradict(b, a) && agree_on_names(a, b) && agree_on_names(b, a);
}

/* ---- content -------------------------------------------------------------------------------- */

#define CONTENT_WORDS_MIN 3 /* with fewer, one word that is left out is a third of the text */
#define TURN_WORDS_MIN 4    /* of fewer words, a turn may change who does what to whom */

static size_t content_of(const struct words_view *view, uint64_t hashes[TEXT_WORDS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < view->count; i++)
        if ((view->words[i].flags & WORD_IS_FUNCTION) == 0)
            hashes[count++] = view->words[i].hash;
    return count;
}

static bool is_turned(const uint64_t *a, const uint64_t *b, size_t count, size_t by)
{
    for (size_t i = 0; i < count; i++)
        if (a[i] != b[(i + by) % count])
            return false;
    return true;
}

static bool agree_on_content(const struct words_view *a, const struct words_view *b)
{
    uint64_t a_words[TEXT_WORDS_MAX];
    uint64_t b_words[TEXT_WORDS_MAX];
    size_t count = content_of(a, a_words);
    if (count != content_of(b, b_words) || count < CONTENT_WORDS_MIN ||
        a->polite_typos + b->polite_typos > 0)
        return false;
    size_t turns = count >= TURN_WORDS_MIN ? count : 1;
    for (size_t by = 0; by < turns; by++)
        if (is_turned(a_words, b_words, count, by))
            return agree_on(a, b, WORD_NUMBER) && agree_on(a, b, WORD_PLACEHOLDER);
    return false;
}

/* ---- all ------------------------------------------------------------------------------------ */

enum sl_cache_match similar_verify(const struct words_view *stored, const struct words_view *asked,
                                   enum similar_basis basis)
{
    enum sl_cache_match match = match_words(stored, asked);
    if (match == SL_CACHE_MATCH_NONE &&
        (differ_by_a_blank(stored, asked) || differ_by_a_blank(asked, stored)))
        match = SL_CACHE_MATCH_TYPO;
    if (match == SL_CACHE_MATCH_NONE && basis == SIMILAR_BY_VECTOR &&
        agree_on_content(stored, asked))
        return SL_CACHE_MATCH_CONTENT;
    if (match == SL_CACHE_MATCH_NONE && basis == SIMILAR_BY_MEANING &&
        may_mean_the_same(stored, asked))
        return SL_CACHE_MATCH_MEANING;
    return match;
}
