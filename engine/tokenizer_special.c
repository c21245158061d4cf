/* SPDX-License-Identifier: Apache-2.0
 *
 * Cuts a text at the special tokens that it spells. The rule of the reference implementation: the
 * longest tokens are looked for first, all over the text, then shorter ones in what is left; so a
 * longer token wins over a shorter one that overlaps it, wherever either begins.
 *
 * It scans once for each token; here one walk finds all occurrences of all tokens (a binary search
 * in their sorted texts, byte by byte), and the rule is applied to the occurrences. A text has few,
 * a vocabulary can have thousands.
 */
#include "tokenizer_internal.h"

#include <ctype.h>
#include <stdlib.h>

static bool is_special(const struct sl_tokenizer *tokenizer, uint32_t id)
{
    uint8_t type = tokenizer->types[id];
    return (type == SL_TOKEN_CONTROL || type == SL_TOKEN_USER_DEFINED ||
            type == SL_TOKEN_UNKNOWN) &&
           sl_vocab_text(tokenizer, (int32_t)id).len > 0;
}

static int compare_texts(const void *a, const void *b, void *context)
{
    const struct sl_tokenizer *tokenizer = context;
    struct sl_slice left = sl_vocab_text(tokenizer, *(const int32_t *)a);
    struct sl_slice right = sl_vocab_text(tokenizer, *(const int32_t *)b);
    size_t len = left.len < right.len ? left.len : right.len;
    int order = memcmp(left.data, right.data, len);
    if (order != 0)
        return order;
    if (left.len != right.len)
        return left.len < right.len ? -1 : 1;
    return *(const int32_t *)a < *(const int32_t *)b ? -1 : 1;
}

enum sl_err sl_specials_build(struct sl_tokenizer *tokenizer, struct sl_error *error)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < tokenizer->vocab_size; id++)
        count += is_special(tokenizer, id);
    tokenizer->specials = calloc((size_t)count + 1, sizeof *tokenizer->specials);
    if (tokenizer->specials == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    for (uint32_t id = 0; id < tokenizer->vocab_size; id++)
        if (is_special(tokenizer, id))
            tokenizer->specials[tokenizer->special_count++] = (int32_t)id;
    qsort_r(tokenizer->specials, count, sizeof *tokenizer->specials, compare_texts, tokenizer);
    uint32_t at = 0;
    for (unsigned byte = 0; byte <= 256; byte++) {
        while (at < count &&
               (uint8_t)sl_vocab_text(tokenizer, tokenizer->specials[at]).data[0] < byte)
            at++;
        tokenizer->special_first[byte] = at;
    }
    return SL_OK;
}

/* ---- occurrences ---- */

struct occurrence {
    uint32_t begin;
    uint32_t len;
    int32_t token;
};

struct occurrences {
    struct occurrence *items;
    size_t count;
    size_t capacity;
};

static enum sl_err add_occurrence(struct occurrences *list, uint32_t begin, uint32_t len,
                                  int32_t token)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 32 : list->capacity * 2;
        struct occurrence *grown = realloc(list->items, capacity * sizeof *grown);
        if (grown == NULL)
            return SL_ERR_MEMORY;
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = (struct occurrence){begin, len, token};
    return SL_OK;
}

/* The first of specials[low, high), which agree in `depth` bytes, whose next byte is >= `byte`. */
static uint32_t lower_bound(const struct sl_tokenizer *tokenizer, uint32_t low, uint32_t high,
                            size_t depth, unsigned byte)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct sl_slice text = sl_vocab_text(tokenizer, tokenizer->specials[middle]);
        if (text.len > depth && (uint8_t)text.data[depth] >= byte)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* All special tokens that `text` spells at `begin`. */
static enum sl_err find_at(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                           size_t begin, bool parse_special, struct occurrences *found)
{
    uint8_t first = (uint8_t)text.data[begin];
    uint32_t low = tokenizer->special_first[first];
    uint32_t high = tokenizer->special_first[first + 1];
    for (size_t depth = 1; low < high; depth++) {
        int32_t token = tokenizer->specials[low];
        if (sl_vocab_text(tokenizer, token).len == depth) {
            bool is_wanted = parse_special || tokenizer->types[token] == SL_TOKEN_USER_DEFINED;
            if (is_wanted && add_occurrence(found, (uint32_t)begin, (uint32_t)depth, token) != SL_OK)
                return SL_ERR_MEMORY;
            while (low < high && sl_vocab_text(tokenizer, tokenizer->specials[low]).len == depth)
                low++; /* a second token with the same text is never meant */
        }
        if (begin + depth == text.len)
            break;
        unsigned byte = (uint8_t)text.data[begin + depth];
        low = lower_bound(tokenizer, low, high, depth, byte);
        high = lower_bound(tokenizer, low, high, depth, byte + 1);
    }
    return SL_OK;
}

static int by_length(const void *a, const void *b)
{
    const struct occurrence *left = a;
    const struct occurrence *right = b;
    if (left->len != right->len)
        return left->len > right->len ? -1 : 1;
    if (left->token != right->token)
        return left->token < right->token ? -1 : 1;
    return left->begin < right->begin ? -1 : 1;
}

static int by_position(const void *a, const void *b)
{
    const struct occurrence *left = a;
    const struct occurrence *right = b;
    return left->begin < right->begin ? -1 : left->begin > right->begin;
}

/* Marks [begin, end) as used and the white space beside it that the token eats. */
static void use_bytes(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                      const struct occurrence *item, uint8_t *used)
{
    size_t begin = item->begin;
    size_t end = begin + item->len;
    memset(used + begin, 1, item->len);
    unsigned strips = tokenizer->strips != NULL ? tokenizer->strips[item->token] : 0;
    if ((strips & SL_TOKEN_STRIP_LEFT) != 0)
        while (begin > 0 && !used[begin - 1] && isspace((unsigned char)text.data[begin - 1]))
            used[--begin] = 1;
    if ((strips & SL_TOKEN_STRIP_RIGHT) != 0)
        while (end < text.len && !used[end] && isspace((unsigned char)text.data[end]))
            used[end++] = 1;
}

/* Keeps, longest first, what no kept one overlaps. `used` has one byte for each of the text's. */
static void keep_longest(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                         struct occurrences *found, uint8_t *used)
{
    size_t kept = 0;
    qsort(found->items, found->count, sizeof *found->items, by_length);
    for (size_t i = 0; i < found->count; i++) {
        struct occurrence item = found->items[i];
        if (memchr(used + item.begin, 1, item.len) != NULL)
            continue;
        use_bytes(tokenizer, text, &item, used);
        found->items[kept++] = item;
    }
    found->count = kept;
    qsort(found->items, found->count, sizeof *found->items, by_position);
}

/* ---- fragments ---- */

static enum sl_err add_fragment(struct sl_fragments *list, int32_t token, struct sl_slice text)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        struct sl_fragment *grown = realloc(list->items, capacity * sizeof *grown);
        if (grown == NULL)
            return SL_ERR_MEMORY;
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = (struct sl_fragment){token, text};
    return SL_OK;
}

/* The unused text in [begin, end): at most one run, since only its edges can have been eaten. */
static enum sl_err add_text(struct sl_slice text, const uint8_t *used, size_t begin, size_t end,
                            struct sl_fragments *out)
{
    while (begin < end && used[begin])
        begin++;
    while (end > begin && used[end - 1])
        end--;
    if (begin == end)
        return SL_OK;
    return add_fragment(out, SL_TOKEN_NONE, (struct sl_slice){text.data + begin, end - begin});
}

static enum sl_err build_fragments(struct sl_slice text, const struct occurrences *kept,
                                   const uint8_t *used, struct sl_fragments *out)
{
    size_t at = 0;
    for (size_t i = 0; i < kept->count; i++) {
        const struct occurrence *item = &kept->items[i];
        enum sl_err err = add_text(text, used, at, item->begin, out);
        if (err == SL_OK)
            err = add_fragment(out, item->token, (struct sl_slice){NULL, 0});
        if (err != SL_OK)
            return err;
        at = (size_t)item->begin + item->len;
    }
    return add_text(text, used, at, text.len, out);
}

enum sl_err sl_specials_split(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                              bool parse_special, struct sl_fragments *out)
{
    if (text.len == 0)
        return SL_OK;
    struct occurrences found = {0};
    uint8_t *used = NULL;
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < text.len && err == SL_OK; i++)
        err = find_at(tokenizer, text, i, parse_special, &found);
    if (err == SL_OK && found.count == 0)
        return add_fragment(out, SL_TOKEN_NONE, text);
    if (err == SL_OK && (used = calloc(text.len, 1)) == NULL)
        err = SL_ERR_MEMORY;
    if (err == SL_OK) {
        keep_longest(tokenizer, text, &found, used);
        err = build_fragments(text, &found, used, out);
    }
    free(found.items);
    free(used);
    return err;
}
