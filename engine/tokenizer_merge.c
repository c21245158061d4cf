/* SPDX-License-Identifier: Apache-2.0
 *
 * Greedy pair merging in O(n log n): symbols in a doubly linked list inside one array, candidates
 * in a binary heap. A candidate is not removed when one of its symbols changes, it is recognised as
 * out of date when it comes up: a symbol that changes either vanishes or grows.
 *
 * Invariant: the heap holds at most 2 x symbols candidates (each symbol but one starts with one,
 * each of the fewer merges takes one out and puts at most two in), so it never grows.
 */
#include "tokenizer_merge.h"

#include <stdlib.h>

bool sl_merger_init(struct sl_merger *merger, size_t len)
{
    merger->symbols = malloc((len + 1) * sizeof *merger->symbols);
    merger->heap = malloc((2 * len + 2) * sizeof *merger->heap);
    merger->heap_count = 0;
    return merger->symbols != NULL && merger->heap != NULL;
}

void sl_merger_clear(struct sl_merger *merger)
{
    free(merger->symbols);
    free(merger->heap);
    merger->symbols = NULL;
    merger->heap = NULL;
}

static void push(struct sl_merger *merger, struct sl_merge_candidate item)
{
    struct sl_merge_candidate *heap = merger->heap;
    size_t at = merger->heap_count++;
    while (at > 0 && item.key < heap[(at - 1) / 2].key) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = item;
}

static struct sl_merge_candidate pop(struct sl_merger *merger)
{
    struct sl_merge_candidate *heap = merger->heap;
    struct sl_merge_candidate best = heap[0];
    struct sl_merge_candidate item = heap[--merger->heap_count];
    size_t at = 0;
    for (size_t child = 1; child < merger->heap_count; child = 2 * at + 1) {
        if (child + 1 < merger->heap_count && heap[child + 1].key < heap[child].key)
            child++;
        if (item.key <= heap[child].key)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
    return best;
}

static void offer(struct sl_merger *merger, uint32_t left, uint32_t right)
{
    if (left == SL_NO_SYMBOL || right == SL_NO_SYMBOL)
        return;
    const struct sl_symbol *a = &merger->symbols[left];
    const struct sl_symbol *b = &merger->symbols[right];
    uint32_t order;
    uint32_t id;
    if (merger->merge(merger, a, b, &order, &id))
        push(merger, (struct sl_merge_candidate){(uint64_t)order << 32 | left, right,
                                                 a->len + b->len, id});
}

static void link_symbols(struct sl_merger *merger, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        merger->symbols[i].prev = i > 0 ? i - 1 : SL_NO_SYMBOL;
        merger->symbols[i].next = i + 1 < count ? i + 1 : SL_NO_SYMBOL;
    }
}

void sl_merger_run(struct sl_merger *merger, uint32_t count)
{
    link_symbols(merger, count);
    for (uint32_t i = 1; i < count; i++)
        offer(merger, i - 1, i);
    while (merger->heap_count > 0) {
        struct sl_merge_candidate best = pop(merger);
        uint32_t left_idx = (uint32_t)best.key;
        struct sl_symbol *left = &merger->symbols[left_idx];
        struct sl_symbol *right = &merger->symbols[best.right];
        if (left->len == 0 || right->len == 0 || left->len + right->len != best.len)
            continue;
        left->len = best.len;
        left->id = best.id;
        left->next = right->next;
        right->len = 0;
        if (right->next != SL_NO_SYMBOL)
            merger->symbols[right->next].prev = left_idx;
        offer(merger, left->prev, left_idx);
        offer(merger, left_idx, left->next);
    }
}
