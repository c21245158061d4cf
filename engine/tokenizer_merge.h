/* SPDX-License-Identifier: Apache-2.0
 *
 * The merging that SentencePiece-like and byte-pair tokenizers share: a list of symbols, of which
 * the best pair of neighbours is joined until no pair can be. What a pair makes and how good it is
 * the caller's function says.
 */
#ifndef SLUICE_ENGINE_TOKENIZER_MERGE_H
#define SLUICE_ENGINE_TOKENIZER_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_NO_SYMBOL UINT32_MAX

/* A run of the text. Neighbours are linked; a symbol that was merged into its left one has len 0. */
struct sl_symbol {
    uint32_t prev;
    uint32_t next;
    uint32_t begin;
    uint32_t len;
    uint32_t id; /* the caller's; SL_NO_SYMBOL where the run is no token */
};

struct sl_merge_candidate {
    uint64_t key; /* order of merging << 32 | left symbol: the smaller goes first */
    uint32_t right;
    uint32_t len; /* of both: when it is not that any more, the candidate is out of date */
    uint32_t id;
};

struct sl_merger;

/* Can these neighbours be joined? Sets the order (smaller first) and the id of the result. */
typedef bool sl_merge_fn(const struct sl_merger *merger, const struct sl_symbol *left,
                         const struct sl_symbol *right, uint32_t *order, uint32_t *id);

struct sl_merger {
    const void *tokenizer;
    const char *text;
    sl_merge_fn *merge;
    struct sl_symbol *symbols; /* room for one a byte */
    struct sl_merge_candidate *heap;
    size_t heap_count;
};

/* Room for texts of `len` bytes. False when out of memory; clear in any case. */
bool sl_merger_init(struct sl_merger *merger, size_t len);
void sl_merger_clear(struct sl_merger *merger);
/* Links symbols[0, count), whose begin, len and id are set, and merges them. Afterwards the result
 * is the list that begins at symbols[0]. */
void sl_merger_run(struct sl_merger *merger, uint32_t count);

#endif
