/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys and values of all sequences, in pages of SL_KV_PAGE_TOKENS positions. Full pages stand in a
 * tree whose paths spell token sequences, so a request whose prompt begins like an earlier one (a
 * system prompt, the turns of a conversation) takes its pages over instead of computing them.
 *
 *     struct sl_kv_sequence sequence;
 *     if (!sl_kv_reserve(cache, pages)) ...                       // wait for others to end
 *     sl_kv_begin(&sequence, page_memory, pages);
 *     uint32_t have = sl_kv_match(cache, &sequence, ids, scores, count - 1, 1, 1);
 *     sl_kv_extend(cache, &sequence, count);                      // pages for positions < count
 *     ... write rows through sl_kv_block ...
 *     sl_kv_commit(cache, &sequence, ids, scores, count);
 *     sl_kv_end(cache, &sequence, ids, scores);
 *     sl_kv_release(cache, pages);
 *
 * Layout of a page: (layer, key or value, kv head, position, head_dim), so that attention reads one
 * head's run of positions in one piece.
 *
 * Threads: the scheduler's; the kernel pool reads and writes rows while the scheduler waits for it.
 */
#ifndef SLUICE_ENGINE_KV_CACHE_H
#define SLUICE_ENGINE_KV_CACHE_H

#include "kernels.h"
#include "sluice/engine.h"

/* Positions a page: one tile of the attention kernel. Smaller pages share finer but cost a call of
 * the kernel each. */
#define SL_KV_PAGE_TOKENS SL_ATTEND_TILE

struct sl_kv_cache;

struct sl_kv_config {
    uint32_t layers;
    uint32_t heads;
    uint32_t head_dim;
    enum sl_kv_format format;
    uint32_t context_tokens; /* longest sequence */
    uint64_t bytes_max;      /* budget; at least one sequence always fits */
};

struct sl_kv_sequence {
    uint32_t *pages; /* indices, borrowed memory for pages_max */
    uint32_t pages_max;
    uint32_t page_count;
    uint32_t shared_count; /* the first pages, which stand in the tree and must not be written */
};

/* Reserves address space for the budget; memory is used as pages are. Errors: SL_ERR_MEMORY,
 * SL_ERR_LIMIT (one sequence would need more than the address space has room for). */
enum sl_err sl_kv_create(const struct sl_kv_config *config, struct sl_kv_cache **out,
                         struct sl_error *error) SL_MUST_CHECK;
void sl_kv_free(struct sl_kv_cache *cache);

static inline uint32_t sl_kv_pages_for(uint32_t tokens)
{
    return tokens / SL_KV_PAGE_TOKENS + (tokens % SL_KV_PAGE_TOKENS != 0);
}

/* Sets `pages` aside for a sequence that is about to run; false where the budget has no room now.
 * A sequence never uses more than it reserved, so that taking a page cannot fail. */
bool sl_kv_reserve(struct sl_kv_cache *cache, uint32_t pages) SL_MUST_CHECK;
void sl_kv_release(struct sl_kv_cache *cache, uint32_t pages);

void sl_kv_begin(struct sl_kv_sequence *sequence, uint32_t *page_memory, uint32_t pages_max);
/* Takes over what is cached of ids[0, limit): returns how many positions need not be computed, and
 * fills scores[] of these. Scores (log-probabilities of tokens) of [scored_begin, scored_end) that
 * are NAN in the cache end the match before the position that yields them, so that every scored
 * token gets its score, from the cache or anew; scored_begin is at least 1. */
uint32_t sl_kv_match(struct sl_kv_cache *cache, struct sl_kv_sequence *sequence, const int32_t *ids,
                     float *scores, uint32_t limit, uint32_t scored_begin, uint32_t scored_end);
/* Gives the sequence pages for the positions below `tokens`. */
void sl_kv_extend(struct sl_kv_cache *cache, struct sl_kv_sequence *sequence, uint32_t tokens);
/* Positions below `tokens` hold what ids say and stay: full pages become shareable. `scores` may be
 * NULL: none known. */
void sl_kv_commit(struct sl_kv_cache *cache, struct sl_kv_sequence *sequence, const int32_t *ids,
                  const float *scores, uint32_t tokens);
/* Ends the sequence at `tokens` committed positions; pages stay for later prompts while there is
 * room. */
void sl_kv_end(struct sl_kv_cache *cache, struct sl_kv_sequence *sequence, const int32_t *ids,
               const float *scores, uint32_t tokens);

/* The rows (position, head_dim) of one head in a page, and the bytes from one to the next. */
uint8_t *sl_kv_block(const struct sl_kv_cache *cache, uint32_t page, uint32_t layer, bool is_value,
                     uint32_t head);
size_t sl_kv_row_bytes(const struct sl_kv_cache *cache);
enum sl_kv_format sl_kv_cache_format(const struct sl_kv_cache *cache);

uint32_t sl_kv_pages_total(const struct sl_kv_cache *cache);
/* Bytes of pages that hold something, shared ones once. */
uint64_t sl_kv_used_bytes(const struct sl_kv_cache *cache);
/* Pages that no sequence uses and that are kept for later prompts. */
uint32_t sl_kv_retained_pages(const struct sl_kv_cache *cache);

#endif
