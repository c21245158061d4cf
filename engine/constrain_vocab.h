/* SPDX-License-Identifier: Apache-2.0
 *
 * The text tokens of a vocabulary as a trie over their bytes, in preorder: the children of node i
 * begin at i + 1, the next sibling of i is at `end`. Private to constrain*.c.
 */
#ifndef SLUICE_ENGINE_CONSTRAIN_VOCAB_H
#define SLUICE_ENGINE_CONSTRAIN_VOCAB_H

#include "constrain.h"

/* Longer tokens are runs of spaces and dashes, which no JSON needs; they are never allowed. */
#define SL_CONSTRAIN_TOKEN_BYTES_MAX 64

struct sl_trie_node {
    uint32_t end;  /* one past the last node below this one */
    int32_t token; /* that ends here, or SL_TOKEN_NONE */
    uint8_t byte;
};

struct sl_trie {
    struct sl_trie_node *nodes;
    uint32_t count;
};

/* Two tokens can have the same bytes (a byte token and a character): what holds for the first in
 * the trie holds for the other. */
struct sl_twin {
    int32_t token;
    int32_t like;
};

struct sl_constraint_vocab {
    const struct sl_tokenizer *tokenizer;
    uint32_t size;
    struct sl_trie all;
    struct sl_trie special;    /* tokens that are more than plain characters of a JSON string */
    uint8_t *plain_characters; /* of each token: how many characters, 0 where it is not plain */
    struct sl_twin *twins;
    uint32_t twin_count;
    int32_t *ends;             /* tokens that end an answer */
    uint32_t end_count;
    int32_t wrappers[8];       /* control tokens that spell what stands around a tool call */
    uint32_t wrapper_count;
};

#endif
