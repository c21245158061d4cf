/* SPDX-License-Identifier: Apache-2.0
 *
 * Two texts, parted by the first NUL, through normalisation, hashing and the verifier. What must
 * hold for any input: a text is similar to itself, the verdict does not depend on the order, and a
 * surface match means that the normal forms are equal.
 */
#include "similar_words.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t key[2] = {1, 2};
static struct similar_text text[2];
static struct words_view view[2];
static uint8_t bytes[2][WORDS_BYTES_MAX];

static bool load(int i, struct sl_slice from)
{
    if (!similar_text_parse(&text[i], from))
        return false;
    size_t len = similar_words_write(key, &text[i], bytes[i]);
    if (!similar_words_read((struct sl_slice){(const char *)bytes[i], len}, &view[i]))
        abort();
    return true;
}

static bool same_words(void)
{
    if (text[0].word_count != text[1].word_count)
        return false;
    for (size_t i = 0; i < text[0].word_count; i++)
        if (!sl_slice_equal(text[0].words[i], text[1].words[i]))
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = size > 0 ? memchr(data, 0, size) : NULL;
    size_t first = cut != NULL ? (size_t)(cut - data) : size;
    size_t rest = cut != NULL ? size - first - 1 : 0;
    bool has_first = load(0, (struct sl_slice){(const char *)data, first});
    if (has_first && text[0].polite_typos == 0 &&
        similar_verify(&view[0], &view[0], false) != SL_CACHE_MATCH_SURFACE)
        abort();
    if (!has_first || !load(1, (struct sl_slice){(const char *)data + first + 1, rest}))
        return 0;
    enum sl_cache_match match = similar_verify(&view[0], &view[1], false);
    if (match != similar_verify(&view[1], &view[0], false))
        abort();
    if (match == SL_CACHE_MATCH_SURFACE && !same_words())
        abort();
    return 0;
}
