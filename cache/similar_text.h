/* SPDX-License-Identifier: Apache-2.0
 *
 * A user's text as the similar index sees it: normalised words, politeness left out.
 */
#ifndef SLUICE_CACHE_SIMILAR_TEXT_H
#define SLUICE_CACHE_SIMILAR_TEXT_H

#include "sluice/slice.h"

#include <stdint.h>

#define TEXT_BYTES_MAX 1024 /* a question, not a document: those are never similar by a word */
#define TEXT_WORDS_MAX 64

struct similar_text {
    size_t word_count;
    struct sl_slice words[TEXT_WORDS_MAX]; /* in text, or of static life */
    bool is_before_mark[TEXT_WORDS_MAX];   /* a comma or another mark followed the word */
    unsigned polite_typos;                 /* "plesae" was left out as politeness */
    size_t text_len;
    char text[TEXT_BYTES_MAX + 1];
};

/* False where the text is empty, too long, has line breaks inside, looks like code, or is not
 * UTF-8: then nothing is similar to it. The text should be wiped after use. */
bool similar_text_parse(struct similar_text *out, struct sl_slice text);

#endif
