/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: pages of keys and values, the tree that lets sequences share them, and the budget.
 * Leaves to others: what the rows mean (forward.c), who may run (scheduler.c).
 *
 * One reservation of address space holds all pages, so a page is an index, taking one allocates
 * nothing, and memory is only used where rows were written. The tree is of whole pages: a node is a
 * page, its edge label the tokens in it. A partly filled page can stand as a leaf; it is never
 * taken over but copied from, so nobody writes into a page that another may read.
 *
 *     taken --commit of a full page--> in tree, referenced --last end--> in tree, retained
 *       |                                    ^                               |
 *       +--end, empty or duplicate--> free   +---------- match --------------+--evict--> free
 *
 * Invariants:
 *  1. A sequence that refers to a page refers to all its ancestors; so a page without references
 *     has descendants without references only, and an evictable leaf.
 *  2. Pages referred to by sequences <= pages reserved <= pages in all; so extending never fails.
 *  3. Pages in the tree are immutable; a sequence writes only at index >= shared_count.
 *  4. Full nodes of one parent spell different tokens.
 *
 * Eviction looks at every page for the least recently used leaf. It happens once in
 * SL_KV_PAGE_TOKENS tokens, over a few thousand entries: a heap would cost more code than time.
 *
 * Threads: one, the scheduler's.
 */
#include "kv_cache.h"

#include "sluice/checked.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NO_PAGE UINT32_MAX
/* Pages without an owner that are kept for later prompts: at most this share of the budget, but
 * room for two whole contexts in any case. */
#define RETAINED_SHARE 4
#define RETAINED_CONTEXTS 2
#define PAGES_MAX (1u << 24)
#define OS_PAGE 4096

struct page {
    uint32_t parent; /* NO_PAGE: child of the root */
    uint32_t first_child;
    uint32_t next_sibling;
    uint32_t references; /* of running sequences */
    uint32_t count;      /* tokens in it; SL_KV_PAGE_TOKENS for all but leaves */
    bool is_in_tree;
    bool is_touched; /* has memory behind it */
    uint64_t last_used;
    int32_t ids[SL_KV_PAGE_TOKENS];
    float scores[SL_KV_PAGE_TOKENS]; /* log-probability of each, NAN: unknown */
};

struct sl_kv_cache {
    struct sl_kv_config config;
    size_t row_bytes;
    size_t block_bytes;   /* one head of one page */
    size_t page_bytes;    /* rounded up so that pages can be given back to the system one by one */
    uint8_t *memory;      /* (page_total, page_bytes) */
    struct page *pages;   /* (page_total) */
    uint32_t *free_pages; /* stack of free_count indices */
    uint32_t free_count;
    uint32_t page_total;
    uint32_t reserved;
    uint32_t first_root; /* first child of the root */
    uint32_t retained;
    uint32_t retained_max;
    uint32_t touched_free; /* free pages that still have memory behind them */
    uint32_t touched_free_max;
    uint32_t touched;
    uint64_t clock;
};

/* ---- life ---- */

static enum sl_err size_pages(struct sl_kv_cache *cache, struct sl_error *error)
{
    const struct sl_kv_config *config = &cache->config;
    cache->row_bytes = sl_kv_bytes(config->format, config->head_dim);
    cache->block_bytes = cache->row_bytes * SL_KV_PAGE_TOKENS;
    size_t bytes;
    if (!sl_size_mul(cache->block_bytes, 2 * (size_t)config->heads, &bytes) ||
        !sl_size_mul(bytes, config->layers, &bytes) || !sl_size_add(bytes, OS_PAGE - 1, &bytes))
        return sl_error_set(error, SL_ERR_LIMIT, "a page of the KV cache is too large");
    cache->page_bytes = bytes & ~(size_t)(OS_PAGE - 1);
    uint32_t least = sl_kv_pages_for(config->context_tokens);
    uint64_t pages = config->bytes_max / cache->page_bytes;
    if (pages < least)
        pages = least;
    cache->page_total = pages < PAGES_MAX ? (uint32_t)pages : PAGES_MAX;
    if (cache->page_total < least)
        return sl_error_set(error, SL_ERR_LIMIT, "the context is too long for the KV cache");
    cache->retained_max = cache->page_total / RETAINED_SHARE;
    if (cache->retained_max < RETAINED_CONTEXTS * (uint64_t)least)
        cache->retained_max = RETAINED_CONTEXTS * least;
    cache->touched_free_max = least;
    return SL_OK;
}

enum sl_err sl_kv_create(const struct sl_kv_config *config, struct sl_kv_cache **out,
                         struct sl_error *error)
{
    struct sl_kv_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    cache->config = *config;
    cache->first_root = NO_PAGE;
    cache->memory = MAP_FAILED;
    enum sl_err err = size_pages(cache, error);
    size_t bytes = 0;
    if (err == SL_OK && !sl_size_mul(cache->page_bytes, cache->page_total, &bytes))
        err = sl_error_set(error, SL_ERR_LIMIT, "the KV cache is larger than the address space");
    if (err == SL_OK) {
        cache->pages = calloc(cache->page_total, sizeof *cache->pages);
        cache->free_pages = malloc(cache->page_total * sizeof *cache->free_pages);
        cache->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (cache->pages == NULL || cache->free_pages == NULL || cache->memory == MAP_FAILED)
            err = sl_error_set(error, SL_ERR_MEMORY, "no memory for a KV cache of %u pages",
                               cache->page_total);
    }
    if (err != SL_OK) {
        sl_kv_free(cache);
        return err;
    }
    for (uint32_t idx = cache->page_total; idx-- > 0;)
        cache->free_pages[cache->free_count++] = idx;
    *out = cache;
    return SL_OK;
}

void sl_kv_free(struct sl_kv_cache *cache)
{
    if (cache == NULL)
        return;
    if (cache->memory != MAP_FAILED)
        munmap(cache->memory, cache->page_bytes * cache->page_total);
    free(cache->pages);
    free(cache->free_pages);
    free(cache);
}

bool sl_kv_reserve(struct sl_kv_cache *cache, uint32_t pages)
{
    if (pages > cache->page_total - cache->reserved)
        return false;
    cache->reserved += pages;
    return true;
}

void sl_kv_release(struct sl_kv_cache *cache, uint32_t pages)
{
    assert(pages <= cache->reserved);
    cache->reserved -= pages;
}

/* ---- the tree ---- */

static uint32_t *children_of(struct sl_kv_cache *cache, uint32_t parent)
{
    return parent == NO_PAGE ? &cache->first_root : &cache->pages[parent].first_child;
}

static void link_page(struct sl_kv_cache *cache, uint32_t idx, uint32_t parent)
{
    struct page *page = &cache->pages[idx];
    uint32_t *children = children_of(cache, parent);
    page->parent = parent;
    page->next_sibling = *children;
    page->first_child = NO_PAGE;
    page->is_in_tree = true;
    *children = idx;
}

static void unlink_page(struct sl_kv_cache *cache, uint32_t idx)
{
    struct page *page = &cache->pages[idx];
    uint32_t *link = children_of(cache, page->parent);
    while (*link != idx)
        link = &cache->pages[*link].next_sibling;
    *link = page->next_sibling;
    page->is_in_tree = false;
}

/* Puts a page that nobody refers to on the free stack; its memory goes back to the system where
 * enough of it lies around. */
static void free_page(struct sl_kv_cache *cache, uint32_t idx)
{
    struct page *page = &cache->pages[idx];
    if (page->is_touched && cache->touched_free >= cache->touched_free_max) {
        madvise(cache->memory + (size_t)idx * cache->page_bytes, cache->page_bytes, MADV_DONTNEED);
        page->is_touched = false;
        cache->touched--;
    }
    cache->touched_free += page->is_touched;
    cache->free_pages[cache->free_count++] = idx;
}

/* Frees the least recently used page that is retained and has no children. */
static void evict(struct sl_kv_cache *cache)
{
    uint32_t oldest = NO_PAGE;
    for (uint32_t idx = 0; idx < cache->page_total; idx++) {
        const struct page *page = &cache->pages[idx];
        if (page->is_in_tree && page->references == 0 && page->first_child == NO_PAGE &&
            (oldest == NO_PAGE || page->last_used < cache->pages[oldest].last_used))
            oldest = idx;
    }
    assert(oldest != NO_PAGE); /* invariants 1 and 2 */
    unlink_page(cache, oldest);
    cache->retained--;
    free_page(cache, oldest);
}

static uint32_t take_page(struct sl_kv_cache *cache)
{
    if (cache->free_count == 0)
        evict(cache);
    uint32_t idx = cache->free_pages[--cache->free_count];
    struct page *page = &cache->pages[idx];
    cache->touched_free -= page->is_touched;
    cache->touched += !page->is_touched;
    *page = (struct page){
        .parent = NO_PAGE, .first_child = NO_PAGE, .next_sibling = NO_PAGE, .is_touched = true};
    return idx;
}

static void acquire_page(struct sl_kv_cache *cache, uint32_t idx)
{
    struct page *page = &cache->pages[idx];
    if (page->references++ == 0)
        cache->retained--;
    page->last_used = ++cache->clock;
}

static uint32_t common_prefix(const struct page *page, const int32_t *ids, uint32_t limit)
{
    uint32_t count = 0;
    while (count < page->count && count < limit && page->ids[count] == ids[count])
        count++;
    return count;
}

/* The child of `parent` that shares most with ids[0, limit). */
static uint32_t best_child(struct sl_kv_cache *cache, uint32_t parent, const int32_t *ids,
                           uint32_t limit, uint32_t *common)
{
    uint32_t best = NO_PAGE;
    *common = 0;
    for (uint32_t idx = *children_of(cache, parent); idx != NO_PAGE;
         idx = cache->pages[idx].next_sibling) {
        uint32_t count = common_prefix(&cache->pages[idx], ids, limit);
        if (count > *common) {
            *common = count;
            best = idx;
        }
    }
    return best;
}

/* ---- a sequence's life ---- */

void sl_kv_begin(struct sl_kv_sequence *sequence, uint32_t *page_memory, uint32_t pages_max)
{
    *sequence = (struct sl_kv_sequence){.pages = page_memory, .pages_max = pages_max};
}

/* Writes the path of pages that spell a prefix of ids into sequence->pages, without references;
 * returns how many tokens they share. The last page may be shared in part only. */
static uint32_t walk(struct sl_kv_cache *cache, struct sl_kv_sequence *sequence, const int32_t *ids,
                     float *scores, uint32_t limit)
{
    uint32_t matched = 0;
    uint32_t parent = NO_PAGE;
    uint32_t depth = 0;
    while (matched < limit && depth < sequence->pages_max) {
        uint32_t common;
        uint32_t child = best_child(cache, parent, ids + matched, limit - matched, &common);
        if (child == NO_PAGE)
            break;
        memcpy(scores + matched, cache->pages[child].scores, common * sizeof *scores);
        sequence->pages[depth++] = child;
        matched += common;
        if (common < SL_KV_PAGE_TOKENS)
            break;
        parent = child;
    }
    return matched;
}

/* The longest usable part of a match: every scored token must have a score or get one. The score of
 * token i comes from the logits of position i - 1. */
static uint32_t usable_part(const float *scores, uint32_t matched, uint32_t scored_begin,
                            uint32_t scored_end)
{
    for (uint32_t idx = scored_begin; idx < scored_end && idx < matched; idx++)
        if (isnan(scores[idx]))
            return idx - 1;
    bool next_is_scored = matched >= scored_begin && matched < scored_end;
    return next_is_scored && matched > 0 ? matched - 1 : matched;
}

/* A page of the sequence's own with the first `count` positions of another. */
static uint32_t copy_page(struct sl_kv_cache *cache, uint32_t source, uint32_t count)
{
    uint32_t copy = take_page(cache);
    const uint8_t *from = cache->memory + (size_t)source * cache->page_bytes;
    uint8_t *to = cache->memory + (size_t)copy * cache->page_bytes;
    size_t blocks = 2 * (size_t)cache->config.heads * cache->config.layers;
    for (size_t block = 0; block < blocks; block++)
        memcpy(to + block * cache->block_bytes, from + block * cache->block_bytes,
               count * cache->row_bytes);
    return copy;
}

uint32_t sl_kv_match(struct sl_kv_cache *cache, struct sl_kv_sequence *sequence, const int32_t *ids,
                     float *scores, uint32_t limit, uint32_t scored_begin, uint32_t scored_end)
{
    uint32_t matched = walk(cache, sequence, ids, scores, limit);
    matched = usable_part(scores, matched, scored_begin, scored_end);
    uint32_t whole = matched / SL_KV_PAGE_TOKENS;
    uint32_t rest = matched % SL_KV_PAGE_TOKENS;
    for (uint32_t idx = 0; idx < whole; idx++)
        acquire_page(cache, sequence->pages[idx]);
    sequence->page_count = whole;
    sequence->shared_count = whole;
    if (rest > 0) {
        uint32_t source = sequence->pages[whole];
        acquire_page(cache, source); /* so that taking a page does not evict it */
        if (cache->free_count == 0 && cache->retained == 0) { /* source and copy do not both fit */
            cache->retained += --cache->pages[source].references == 0;
            return whole * SL_KV_PAGE_TOKENS;
        }
        sequence->pages[whole] = copy_page(cache, source, rest);
        cache->retained += --cache->pages[source].references == 0;
        sequence->page_count++;
    }
    return matched;
}

void sl_kv_extend(struct sl_kv_cache *cache, struct sl_kv_sequence *sequence, uint32_t tokens)
{
    uint32_t wanted = sl_kv_pages_for(tokens);
    assert(wanted <= sequence->pages_max);
    while (sequence->page_count < wanted)
        sequence->pages[sequence->page_count++] = take_page(cache);
}

/* Labels the sequence's page `idx` with its tokens and puts it into the tree, or takes the page
 * that is there already with the same tokens. */
static void share_page(struct sl_kv_cache *cache, struct sl_kv_sequence *sequence, uint32_t idx,
                       const int32_t *ids, const float *scores, uint32_t count)
{
    uint32_t parent = idx == 0 ? NO_PAGE : sequence->pages[idx - 1];
    uint32_t common;
    uint32_t twin = best_child(cache, parent, ids, count, &common);
    uint32_t own = sequence->pages[idx];
    if (twin != NO_PAGE && common == SL_KV_PAGE_TOKENS) {
        acquire_page(cache, twin);
        sequence->pages[idx] = twin;
        free_page(cache, own);
        return;
    }
    struct page *page = &cache->pages[own];
    memcpy(page->ids, ids, count * sizeof *ids);
    for (uint32_t slot = 0; slot < count; slot++)
        page->scores[slot] = scores != NULL ? scores[slot] : NAN;
    page->count = count;
    page->references = 1;
    page->last_used = ++cache->clock;
    link_page(cache, own, parent);
}

void sl_kv_commit(struct sl_kv_cache *cache, struct sl_kv_sequence *sequence, const int32_t *ids,
                  const float *scores, uint32_t tokens)
{
    uint32_t full = tokens / SL_KV_PAGE_TOKENS;
    for (uint32_t idx = sequence->shared_count; idx < full; idx++) {
        size_t begin = (size_t)idx * SL_KV_PAGE_TOKENS;
        share_page(cache, sequence, idx, ids + begin, scores != NULL ? scores + begin : NULL,
                   SL_KV_PAGE_TOKENS);
        sequence->shared_count = idx + 1;
    }
}

/* Keeps the last, partly filled page as a leaf, unless the tree already spells all of it. */
static void keep_rest(struct sl_kv_cache *cache, struct sl_kv_sequence *sequence,
                      const int32_t *ids, const float *scores, uint32_t tokens)
{
    uint32_t idx = sequence->shared_count;
    uint32_t count = tokens % SL_KV_PAGE_TOKENS;
    if (count == 0 || idx >= sequence->page_count)
        return;
    size_t begin = (size_t)idx * SL_KV_PAGE_TOKENS;
    uint32_t parent = idx == 0 ? NO_PAGE : sequence->pages[idx - 1];
    uint32_t common;
    if (best_child(cache, parent, ids + begin, count, &common) != NO_PAGE && common == count)
        return;
    share_page(cache, sequence, idx, ids + begin, scores != NULL ? scores + begin : NULL, count);
    sequence->shared_count = idx + 1;
}

void sl_kv_end(struct sl_kv_cache *cache, struct sl_kv_sequence *sequence, const int32_t *ids,
               const float *scores, uint32_t tokens)
{
    sl_kv_commit(cache, sequence, ids, scores, tokens);
    keep_rest(cache, sequence, ids, scores, tokens);
    for (uint32_t idx = sequence->page_count; idx-- > 0;) {
        uint32_t page = sequence->pages[idx];
        if (idx >= sequence->shared_count)
            free_page(cache, page);
        else
            cache->retained += --cache->pages[page].references == 0;
    }
    sequence->page_count = 0;
    sequence->shared_count = 0;
    while (cache->retained > cache->retained_max)
        evict(cache);
}

/* ---- rows ---- */

uint8_t *sl_kv_block(const struct sl_kv_cache *cache, uint32_t page, uint32_t layer, bool is_value,
                     uint32_t head)
{
    size_t block = (2 * (size_t)layer + is_value) * cache->config.heads + head;
    return cache->memory + (size_t)page * cache->page_bytes + block * cache->block_bytes;
}

size_t sl_kv_row_bytes(const struct sl_kv_cache *cache)
{
    return cache->row_bytes;
}

enum sl_kv_format sl_kv_cache_format(const struct sl_kv_cache *cache)
{
    return cache->config.format;
}

uint32_t sl_kv_pages_total(const struct sl_kv_cache *cache)
{
    return cache->page_total;
}

uint64_t sl_kv_used_bytes(const struct sl_kv_cache *cache)
{
    return (uint64_t)(cache->touched - cache->touched_free) * cache->page_bytes;
}

uint32_t sl_kv_retained_pages(const struct sl_kv_cache *cache)
{
    return cache->retained;
}
