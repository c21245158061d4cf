/* SPDX-License-Identifier: Apache-2.0
 *
 * The buckets behind rate_limit.h, one entry a key, found by id in a small open-addressed table. A
 * key that was revoked leaves its entry behind: there are at most SL_KEYS_MAX keys at a time, and a
 * full table forgets the entry that was used longest ago, which at worst refills a bucket early.
 *
 * Invariant: level <= limit; the level is right as of `updated_ns`.
 */
#include "rate_limit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SLOTS 2048 /* twice SL_KEYS_MAX, rounded up to a power of two */
#define PROBES_MAX 16
#define NS_PER_MINUTE 60e9

struct bucket {
    double limit; /* per minute, and the capacity; 0: none */
    double level;
};

struct rate_entry {
    char id[20]; /* "": free */
    uint64_t updated_ns;
    struct bucket requests, tokens;
};

struct sl_rate_limits {
    pthread_mutex_t lock; /* guards the entries */
    struct rate_entry entries[SLOTS];
};

struct sl_rate_limits *sl_rate_limits_create(void)
{
    struct sl_rate_limits *limits = calloc(1, sizeof *limits);
    if (limits != NULL)
        pthread_mutex_init(&limits->lock, NULL);
    return limits;
}

void sl_rate_limits_free(struct sl_rate_limits *limits)
{
    if (limits == NULL)
        return;
    pthread_mutex_destroy(&limits->lock);
    free(limits);
}

/* FNV-1a: the ids are random hex, any mixing does. */
static size_t slot_of(const char *id)
{
    uint32_t hash = 2166136261u;
    for (; *id != '\0'; id++)
        hash = (hash ^ (unsigned char)*id) * 16777619u;
    return hash % SLOTS;
}

/* The entry of `id`; where there is none and `may_make`, a fresh one. */
static struct rate_entry *entry_find(struct sl_rate_limits *limits, const char *id, bool may_make)
{
    struct rate_entry *oldest = NULL;
    size_t slot = slot_of(id);
    for (size_t i = 0; i < PROBES_MAX; i++) {
        struct rate_entry *entry = &limits->entries[(slot + i) % SLOTS];
        if (strcmp(entry->id, id) == 0)
            return entry;
        if (entry->id[0] == '\0') {
            oldest = entry;
            break;
        }
        if (oldest == NULL || entry->updated_ns < oldest->updated_ns)
            oldest = entry;
    }
    if (!may_make)
        return NULL;
    memset(oldest, 0, sizeof *oldest);
    snprintf(oldest->id, sizeof oldest->id, "%s", id);
    return oldest;
}

/* A changed limit keeps the share that was left; a new one starts full. */
static void bucket_set_limit(struct bucket *bucket, uint32_t limit)
{
    if (bucket->limit == limit)
        return;
    bucket->level = bucket->limit > 0 ? bucket->level * (limit / bucket->limit) : limit;
    bucket->limit = limit;
}

static void bucket_refill(struct bucket *bucket, double elapsed_ns)
{
    bucket->level += bucket->limit * elapsed_ns / NS_PER_MINUTE;
    if (bucket->level > bucket->limit)
        bucket->level = bucket->limit;
}

static void entry_refill(struct rate_entry *entry, uint64_t now_ns)
{
    if (entry->updated_ns != 0 && now_ns > entry->updated_ns) {
        double elapsed_ns = (double)(now_ns - entry->updated_ns);
        bucket_refill(&entry->requests, elapsed_ns);
        bucket_refill(&entry->tokens, elapsed_ns);
    }
    entry->updated_ns = now_ns;
}

/* Milliseconds until the level reaches `wanted`. */
static uint64_t bucket_wait_ms(const struct bucket *bucket, double wanted)
{
    if (bucket->limit <= 0 || bucket->level >= wanted)
        return 0;
    return (uint64_t)((wanted - bucket->level) / bucket->limit * 60e3) + 1;
}

static uint32_t bucket_remaining(const struct bucket *bucket)
{
    return bucket->level > 0 ? (uint32_t)bucket->level : 0;
}

bool sl_rate_limits_take(struct sl_rate_limits *limits, const struct sl_key_terms *terms,
                         uint64_t now_ns, struct sl_rate_state *state)
{
    memset(state, 0, sizeof *state);
    if (terms->requests_per_minute == 0 && terms->tokens_per_minute == 0)
        return true;
    pthread_mutex_lock(&limits->lock);
    struct rate_entry *entry = entry_find(limits, terms->id, true);
    bucket_set_limit(&entry->requests, terms->requests_per_minute);
    bucket_set_limit(&entry->tokens, terms->tokens_per_minute);
    entry_refill(entry, now_ns);
    uint64_t wait_requests = bucket_wait_ms(&entry->requests, 1);
    uint64_t wait_tokens = bucket_wait_ms(&entry->tokens, 1);
    bool may_go = wait_requests == 0 && wait_tokens == 0;
    if (may_go && entry->requests.limit > 0)
        entry->requests.level -= 1;
    state->is_tokens = wait_tokens > wait_requests;
    state->retry_after_ms = state->is_tokens ? wait_tokens : wait_requests;
    state->requests_limit = terms->requests_per_minute;
    state->tokens_limit = terms->tokens_per_minute;
    state->requests_remaining = bucket_remaining(&entry->requests);
    state->tokens_remaining = bucket_remaining(&entry->tokens);
    state->requests_reset_ms = bucket_wait_ms(&entry->requests, entry->requests.limit);
    state->tokens_reset_ms = bucket_wait_ms(&entry->tokens, entry->tokens.limit);
    pthread_mutex_unlock(&limits->lock);
    return may_go;
}

void sl_rate_limits_charge(struct sl_rate_limits *limits, const char *key_id, uint64_t tokens,
                           uint64_t now_ns)
{
    pthread_mutex_lock(&limits->lock);
    struct rate_entry *entry = entry_find(limits, key_id, false);
    if (entry != NULL && entry->tokens.limit > 0) {
        entry_refill(entry, now_ns);
        entry->tokens.level -= (double)tokens;
    }
    pthread_mutex_unlock(&limits->lock);
}
