/* SPDX-License-Identifier: Apache-2.0
 *
 * A chain of blocks that double in size. One owner at a time.
 *
 * Invariants: 1. used_bytes <= bytes_max. 2. A block is never moved, so pointers stay valid.
 * Under AddressSanitizer each allocation still lies inside a block; overruns between neighbours
 * are not seen there, which is the price of one free().
 */
#include "sluice/arena.h"

#include "sluice/checked.h"
#include "sluice/secret.h"

#include <stdalign.h>
#include <stdlib.h>

#define ARENA_FIRST_BLOCK 1024         /* holds a short request whole */
#define ARENA_BLOCK_MAX (256u * 1024u) /* past this, doubling only wastes memory */

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
    alignas(max_align_t) char data[];
};

struct sl_arena {
    struct arena_block *head;
    size_t bytes_max;
    size_t used_bytes;
    size_t next_block;
    bool is_wiped;
};

struct sl_arena *sl_arena_create(size_t bytes_max)
{
    struct sl_arena *arena = calloc(1, sizeof *arena);
    if (arena == NULL)
        return NULL;
    arena->bytes_max = bytes_max;
    arena->next_block = ARENA_FIRST_BLOCK;
    return arena;
}

struct sl_arena *sl_arena_create_wiped(size_t bytes_max)
{
    struct sl_arena *arena = sl_arena_create(bytes_max);
    if (arena != NULL)
        arena->is_wiped = true;
    return arena;
}

void sl_arena_free(struct sl_arena *arena)
{
    if (arena == NULL)
        return;
    struct arena_block *block = arena->head;
    while (block != NULL) {
        struct arena_block *next = block->next;
        if (arena->is_wiped)
            sl_wipe(block->data, block->used);
        free(block);
        block = next;
    }
    free(arena);
}

static struct arena_block *arena_grow(struct sl_arena *arena, size_t size)
{
    size_t block_size = arena->next_block > size ? arena->next_block : size;
    size_t total;
    if (!sl_size_add(sizeof(struct arena_block), block_size, &total))
        return NULL;
    struct arena_block *block = malloc(total);
    if (block == NULL)
        return NULL;
    block->next = arena->head;
    block->size = block_size;
    block->used = 0;
    arena->head = block;
    if (arena->next_block < ARENA_BLOCK_MAX)
        arena->next_block *= 2;
    return block;
}

void *sl_arena_alloc(struct sl_arena *arena, size_t size)
{
    size_t rounded;
    if (!sl_size_add(size > 0 ? size : 1, alignof(max_align_t) - 1, &rounded))
        return NULL;
    rounded &= ~(alignof(max_align_t) - 1);
    size_t used;
    if (!sl_size_add(arena->used_bytes, rounded, &used) || used > arena->bytes_max)
        return NULL;
    struct arena_block *block = arena->head;
    if (block == NULL || block->size - block->used < rounded)
        block = arena_grow(arena, rounded);
    if (block == NULL)
        return NULL;
    void *memory = block->data + block->used;
    block->used += rounded;
    arena->used_bytes = used;
    return memory;
}

void *sl_arena_zalloc(struct sl_arena *arena, size_t count, size_t size)
{
    size_t total;
    if (!sl_size_mul(count, size, &total))
        return NULL;
    void *memory = sl_arena_alloc(arena, total);
    return memory != NULL ? memset(memory, 0, total) : NULL;
}

char *sl_arena_dup(struct sl_arena *arena, struct sl_slice slice)
{
    size_t size;
    if (!sl_size_add(slice.len, 1, &size))
        return NULL;
    char *copy = sl_arena_alloc(arena, size);
    if (copy == NULL)
        return NULL;
    if (slice.len > 0)
        memcpy(copy, slice.data, slice.len);
    copy[slice.len] = '\0';
    return copy;
}

size_t sl_arena_used_bytes(const struct sl_arena *arena) { return arena->used_bytes; }
