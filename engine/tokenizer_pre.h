/* SPDX-License-Identifier: Apache-2.0
 *
 * The pre-tokenizers of published models: which patterns cut a text into words before byte-pair
 * merging, by the name in `tokenizer.ggml.pre`.
 */
#ifndef SLUICE_ENGINE_TOKENIZER_PRE_H
#define SLUICE_ENGINE_TOKENIZER_PRE_H

#include "sluice/slice.h"

#include <stdbool.h>

#define SL_PRE_PATTERNS_MAX 6

enum sl_pre_flag {
    SL_PRE_IGNORE_MERGES = 1, /* a word that is a token is that token, whatever the merges say */
    SL_PRE_ADD_BOS = 2,       /* the file need not say so */
    SL_PRE_CLEAN_SPACES = 4,  /* decoding removes the space before punctuation */
    SL_PRE_ADD_SEP = 8,
    SL_PRE_RAW_UTF8 = 16,     /* vocabulary in plain UTF-8 with U+2581 for spaces, bytes as <0xXX> */
    SL_PRE_NO_BOS = 32,       /* no default BOS */
    SL_PRE_NEWLINES = 64      /* a run of newlines that is a token is that token */
};

struct sl_pre {
    const char *names;                          /* separated by spaces, one at each end */
    unsigned flags;                             /* of enum sl_pre_flag */
    const char *patterns[SL_PRE_PATTERNS_MAX];  /* applied in turn, each to the pieces of the last */
};

/* NULL where the name is not known. An empty name is "default". */
const struct sl_pre *sl_pre_find(struct sl_slice name);

#endif
