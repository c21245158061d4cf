/* SPDX-License-Identifier: Apache-2.0
 *
 * Turns normalised words into what the index keeps: keyed hashes, classes, and for each word that a
 * typo may hit the keyed hashes of its deletion neighbourhood (as in SymSpell, Garbe 2012, but of
 * the words of one text, under a key).
 *
 * Pure; any thread.
 */
#include "similar_words.h"

#include "siphash.h"
#include "words/known_words.h"

#define KNOWN_BYTES_MIN 4 /* the filter of known words has no shorter ones */

/* "barclay's" may be misspelt before the apostrophe; what follows must be equal, and is hashed into
 * every deletion. */
static size_t stem_len(struct sl_slice word)
{
    size_t len = 0;
    while (len < word.len && word.data[len] >= 'a' && word.data[len] <= 'z')
        len++;
    return len == word.len || (len > 0 && word.data[len] == '\'') ? len : 0;
}

/* Letters that a typo may have hit, or 0. Numbers in digits, codes, negations and placeholders must
 * be right; below four letters one edit makes nearly any word of any other. */
static size_t typo_letters(struct sl_slice word, enum word_class class)
{
    size_t len = stem_len(word);
    bool is_open = class != WORD_NEGATION && class != WORD_PLACEHOLDER;
    return is_open && len >= 4 && len <= WORD_LETTERS_MAX ? len : 0;
}

static uint8_t *put_u64(uint8_t *at, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static uint8_t *put_deletions(const uint64_t key[2], struct sl_slice word, size_t letters,
                              uint8_t *at)
{
    char shorter[TEXT_BYTES_MAX];
    memcpy(shorter, word.data + 1, word.len - 1); /* without letter 0 */
    for (size_t i = 0; i < letters; i++) {
        at = put_u64(at, siphash(key, shorter, word.len - 1), 4);
        if (i + 1 < letters)
            shorter[i] = word.data[i]; /* letter i back in, letter i + 1 out */
    }
    explicit_bzero(shorter, word.len);
    return at;
}

static uint64_t hash_joined(const uint64_t key[2], struct sl_slice word, struct sl_slice next)
{
    char joined[TEXT_BYTES_MAX + 16]; /* expanded contractions are not in the text */
    if (word.len + next.len > sizeof joined)
        return 0;
    memcpy(joined, word.data, word.len);
    memcpy(joined + word.len, next.data, next.len);
    uint64_t hash = siphash(key, joined, word.len + next.len);
    explicit_bzero(joined, word.len + next.len);
    return hash;
}

/* A name or a term. Of short words nothing is known. */
static bool is_strange(struct sl_slice word, enum word_class class)
{
    size_t len = stem_len(word);
    bool is_short = word.len < KNOWN_BYTES_MIN || (len > 0 && len < KNOWN_BYTES_MIN);
    return class == WORD_PLAIN && !is_short && !known_words_has((struct sl_slice){word.data, len});
}

/* Words that say how a sentence is built and hardly what it asks. No prepositions, pronouns, tenses
 * or question words: those do. */
static bool is_function(struct sl_slice word)
{
    static const char *const words[] = {"a", "an", "the", "is", "are", "am", "be", "do", "does"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (sl_slice_equal_text(word, words[i]))
            return true;
    return false;
}

/* `next` is empty for the last word. */
static uint8_t *put_word(const uint64_t key[2], struct sl_slice word, struct sl_slice next,
                         uint8_t *at)
{
    uint8_t detail;
    enum word_class class = word_classify(word, &detail);
    size_t letters = typo_letters(word, class);
    bool is_known = letters > 0 && known_words_has((struct sl_slice){word.data, letters});
    if (letters > 0 && class == WORD_PLAIN && !is_known)
        detail = word_number_meant(word);
    at = put_u64(at, siphash(key, word.data, word.len), 8);
    at = put_u64(at, next.len > 0 ? hash_joined(key, word, next) : 0, 8);
    *at++ = (uint8_t) class;
    *at++ = detail;
    *at++ =
        (uint8_t)((is_known ? WORD_IS_KNOWN : 0) | (is_strange(word, class) ? WORD_IS_STRANGE : 0) |
                  (is_function(word) ? WORD_IS_FUNCTION : 0));
    *at++ = (uint8_t)letters;
    return put_deletions(key, word, letters, at);
}

size_t similar_words_write(const uint64_t key[2], const struct similar_text *text,
                           uint8_t out[WORDS_BYTES_MAX])
{
    uint8_t *at = out;
    *at++ = WORDS_FORMAT;
    *at++ = (uint8_t)text->polite_typos;
    *at++ = (uint8_t)text->word_count;
    for (size_t i = 0; i < text->word_count; i++)
        at = put_word(key, text->words[i],
                      i + 1 < text->word_count ? text->words[i + 1] : (struct sl_slice){"", 0}, at);
    at = put_u64(at, 0, 2);
    return (size_t)(at - out);
}

size_t similar_words_add_vector(uint8_t *words, size_t len, const struct vector *vector)
{
    uint8_t *at = put_u64(words + len - 2, vector->len, 2);
    at = put_u64(at, vector->scope, 8);
    memcpy(at, vector->elements, vector->len);
    return len + 8 + vector->len;
}

static uint64_t get_number(const uint8_t *at, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

uint32_t word_deletion(const struct word_view *word, size_t i)
{
    return (uint32_t)get_number(word->deletions + 4 * i, 4);
}

/* Checked although it comes out of a seal: a format of another version must not be misread. */
bool similar_words_read(struct sl_slice bytes, struct words_view *view)
{
    const uint8_t *at = (const uint8_t *)bytes.data;
    const uint8_t *end = at + bytes.len;
    if (bytes.len < 3 || at[0] != WORDS_FORMAT || at[2] > TEXT_WORDS_MAX)
        return false;
    view->polite_typos = at[1];
    view->count = at[2];
    at += 3;
    for (size_t i = 0; i < view->count; i++) {
        struct word_view *word = &view->words[i];
        if (end - at < WORD_HEAD_BYTES || at[16] > WORD_UNIT || at[19] > WORD_LETTERS_MAX ||
            end - at - WORD_HEAD_BYTES < 4L * at[19])
            return false;
        *word = (struct word_view){.hash = get_number(at, 8),
                                   .joined = get_number(at + 8, 8),
                                   .class = (enum word_class)at[16],
                                   .detail = at[17],
                                   .flags = at[18],
                                   .letters = at[19],
                                   .deletions = at + WORD_HEAD_BYTES};
        at += WORD_HEAD_BYTES + 4 * word->letters;
    }
    if (end - at < 2)
        return false;
    size_t elements = (size_t)get_number(at, 2);
    view->vector = (struct sl_slice){(const char *)at + 2, elements > 0 ? 8 + elements : 0};
    return elements <= VECTOR_LEN_MAX && (size_t)(end - at) == 2 + view->vector.len;
}

bool similar_words_vector(const struct words_view *view, struct vector *out)
{
    if (view->vector.len == 0)
        return false;
    out->len = (uint32_t)(view->vector.len - 8);
    out->scope = get_number((const uint8_t *)view->vector.data, 8);
    memcpy(out->elements, view->vector.data + 8, out->len);
    return true;
}
