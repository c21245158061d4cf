/* SPDX-License-Identifier: Apache-2.0
 *
 * Sixteen shards, each a chained hash table and a list in the order of use under one mutex that is
 * held for a few dozen nanoseconds. Records are kept open (not sealed): opening one costs 4 ns a
 * byte, more than everything else of a hit, and a process that serves answers has them in memory
 * anyway. They are wiped when the last reference goes.
 *
 * LRU and not CLOCK or LFU: the store behind it ranks by frequency, so what is popular comes back.
 *
 * Threads: any. Each shard's mutex guards all of the shard.
 *
 * Invariants, for each shard: 1. bytes is the sum of the nodes' sizes and <= bytes_max. 2. Every
 * node is in one chain and in the list. 3. count <= 2 * bucket count, or memory ran out.
 */
#include "front.h"

#include <pthread.h>
#include <stdlib.h>

#define SHARDS 16        /* more than threads that look up at once */
#define BUCKETS_FIRST 64 /* an idle gateway should not pay for a busy one */

struct node {
    struct node *chain;
    struct node *newer;
    struct node *older;
    struct record *record;
};

struct shard {
    pthread_mutex_t lock;
    struct node **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    uint64_t bytes;
    uint64_t epoch; /* changes with every put and removal */
    struct node *newest;
    struct node *oldest;
};

struct front {
    uint64_t shard_bytes_max;
    struct shard shards[SHARDS];
};

struct front *front_create(uint64_t bytes_max)
{
    struct front *front = calloc(1, sizeof *front);
    if (front == NULL)
        return NULL;
    front->shard_bytes_max = bytes_max / SHARDS;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&front->shards[i].lock, NULL);
        front->shards[i].buckets = calloc(BUCKETS_FIRST, sizeof(struct node *));
        front->shards[i].bucket_count = BUCKETS_FIRST;
        if (front->shards[i].buckets == NULL) {
            front_free(front);
            return NULL;
        }
    }
    return front;
}

/* Keys are hashes already: any eight bytes are as good as others. */
static uint64_t key_bits(const struct sl_cache_key *key)
{
    uint64_t bits;
    memcpy(&bits, key->bytes, sizeof bits);
    return bits;
}

static struct shard *shard_of(struct front *front, const struct sl_cache_key *key)
{
    return &front->shards[key->bytes[31] % SHARDS];
}

static struct node **bucket_of(struct shard *shard, const struct sl_cache_key *key)
{
    return &shard->buckets[key_bits(key) & (shard->bucket_count - 1)];
}

static struct node *find(struct shard *shard, const struct sl_cache_key *key)
{
    struct node *node = *bucket_of(shard, key);
    while (node != NULL && memcmp(&node->record->label.key, key, sizeof *key) != 0)
        node = node->chain;
    return node;
}

static uint64_t node_bytes(const struct node *node)
{
    return node->record->size + sizeof *node + sizeof(struct node *);
}

static void list_remove(struct shard *shard, struct node *node)
{
    *(node->newer != NULL ? &node->newer->older : &shard->newest) = node->older;
    *(node->older != NULL ? &node->older->newer : &shard->oldest) = node->newer;
}

static void list_add_newest(struct shard *shard, struct node *node)
{
    node->newer = NULL;
    node->older = shard->newest;
    *(shard->newest != NULL ? &shard->newest->newer : &shard->oldest) = node;
    shard->newest = node;
}

/* Under the lock. The record is released outside a hot path's reach: a wipe of at most a body. */
static void drop(struct shard *shard, struct node *node)
{
    struct node **link = bucket_of(shard, &node->record->label.key);
    while (*link != node)
        link = &(*link)->chain;
    *link = node->chain;
    list_remove(shard, node);
    shard->bytes -= node_bytes(node);
    shard->count--;
    record_release(node->record);
    free(node);
}

static void grow(struct shard *shard)
{
    size_t count = shard->bucket_count * 2;
    struct node **buckets = calloc(count, sizeof(struct node *));
    if (buckets == NULL)
        return; /* longer chains are slower, not wrong */
    for (struct node *node = shard->newest; node != NULL; node = node->older) {
        struct node **bucket = &buckets[key_bits(&node->record->label.key) & (count - 1)];
        node->chain = *bucket;
        *bucket = node;
    }
    free(shard->buckets);
    shard->buckets = buckets;
    shard->bucket_count = count;
}

/* Under the lock; no node of this key is there. */
static void add(struct front *front, struct shard *shard, struct record *record)
{
    if (record->size + sizeof(struct node) + sizeof(struct node *) > front->shard_bytes_max)
        return;
    struct node *node = malloc(sizeof *node);
    if (node == NULL)
        return;
    if (shard->count >= 2 * shard->bucket_count)
        grow(shard);
    node->record = record_acquire(record);
    struct node **bucket = bucket_of(shard, &record->label.key);
    node->chain = *bucket;
    *bucket = node;
    list_add_newest(shard, node);
    shard->bytes += node_bytes(node);
    shard->count++;
    while (shard->bytes > front->shard_bytes_max)
        drop(shard, shard->oldest);
}

struct record *front_get(struct front *front, const struct sl_cache_key *key)
{
    struct shard *shard = shard_of(front, key);
    struct record *record = NULL;
    pthread_mutex_lock(&shard->lock);
    struct node *node = find(shard, key);
    if (node != NULL) {
        if (node != shard->newest) {
            list_remove(shard, node);
            list_add_newest(shard, node);
        }
        record = record_acquire(node->record);
    }
    pthread_mutex_unlock(&shard->lock);
    return record;
}

void front_put(struct front *front, struct record *record)
{
    struct shard *shard = shard_of(front, &record->label.key);
    pthread_mutex_lock(&shard->lock);
    shard->epoch++;
    struct node *node = find(shard, &record->label.key);
    if (node != NULL)
        drop(shard, node);
    add(front, shard, record);
    pthread_mutex_unlock(&shard->lock);
}

uint64_t front_ticket(struct front *front, const struct sl_cache_key *key)
{
    struct shard *shard = shard_of(front, key);
    pthread_mutex_lock(&shard->lock);
    uint64_t ticket = shard->epoch;
    pthread_mutex_unlock(&shard->lock);
    return ticket;
}

void front_fill(struct front *front, struct record *record, uint64_t ticket)
{
    struct shard *shard = shard_of(front, &record->label.key);
    pthread_mutex_lock(&shard->lock);
    if (shard->epoch == ticket && find(shard, &record->label.key) == NULL)
        add(front, shard, record);
    pthread_mutex_unlock(&shard->lock);
}

static void shard_remove(struct shard *shard, front_match_fn *match, const void *context)
{
    pthread_mutex_lock(&shard->lock);
    shard->epoch++;
    for (struct node *node = shard->newest; node != NULL;) {
        struct node *next = node->older;
        if (match == NULL || match(node->record, context))
            drop(shard, node);
        node = next;
    }
    pthread_mutex_unlock(&shard->lock);
}

void front_remove(struct front *front, front_match_fn *match, const void *context)
{
    for (size_t i = 0; i < SHARDS; i++)
        shard_remove(&front->shards[i], match, context);
}

void front_free(struct front *front)
{
    if (front == NULL)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        if (front->shards[i].buckets != NULL)
            shard_remove(&front->shards[i], NULL, NULL);
        free(front->shards[i].buckets);
        pthread_mutex_destroy(&front->shards[i].lock);
    }
    free(front);
}

uint64_t front_bytes(struct front *front)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&front->shards[i].lock);
        bytes += front->shards[i].bytes;
        pthread_mutex_unlock(&front->shards[i].lock);
    }
    return bytes;
}
