/* SPDX-License-Identifier: Apache-2.0
 *
 * The entries behind idempotency.h. An entry is RUNNING while the first request walks, then DONE
 * with its answer or GONE without one; it is found by the hash of scope, path and key, and holds the
 * hash of the body that it was made with. One lock guards everything.
 *
 * Invariants: 1. `references` counts tickets plus one while the entry is in the table. 2. An entry
 * is taken out of the table when it ends without an answer, expires, or must make room; tickets keep
 * it alive. 3. The bytes of all answers in the table are at most bytes_max.
 */
#include "idempotency.h"

#include "sluice/clock.h"
#include "sluice/crypto.h"
#include "sluice/secret.h"

#include <pthread.h>
#include <stdlib.h>

#define BUCKETS 256
#define KEEP_MS 600000u /* ten minutes: SDKs give up within two minutes */
#define FOLLOWERS_MAX 16         /* of one key: more is no retry but a mistake */
#define ANSWER_BYTES_MAX (4u << 20)

enum entry_state { ENTRY_RUNNING, ENTRY_DONE, ENTRY_GONE };

struct entry {
    struct entry *next; /* in its bucket */
    uint8_t key[SL_SHA256_BYTES];
    uint8_t body_hash[SL_SHA256_BYTES];
    enum entry_state state;
    bool is_listed;
    uint32_t references;
    uint64_t expires_ms;
    struct sl_idempotency_ticket *followers;
    uint32_t follower_count;
    struct sl_buf body; /* recorded pieces, or the whole */
    bool is_body_cut;   /* recording passed its cap: there will be no answer */
    int status;
    struct sl_header headers[SL_RESPONSE_HEADERS_MAX];
    size_t header_count;
};

struct sl_idempotency {
    pthread_mutex_t lock; /* guards entries and tickets */
    struct entry *buckets[BUCKETS];
    size_t count, entries_max;
    size_t bytes, bytes_max;
};

struct sl_idempotency_ticket {
    struct sl_idempotency *store;
    struct entry *entry;
    bool is_first, is_settled;
    sl_wake_fn wake;
    void *wake_ctx;
    struct sl_idempotency_ticket *next; /* follower of the same entry */
};

struct sl_idempotency *sl_idempotency_create(size_t entries_max, size_t bytes_max)
{
    struct sl_idempotency *store = calloc(1, sizeof *store);
    if (store == NULL)
        return NULL;
    pthread_mutex_init(&store->lock, NULL);
    store->entries_max = entries_max;
    store->bytes_max = bytes_max;
    return store;
}

static void entry_release(struct entry *entry)
{
    if (--entry->references > 0)
        return;
    for (size_t i = 0; i < entry->header_count; i++) {
        free((void *)(uintptr_t)entry->headers[i].name.data);
        free((void *)(uintptr_t)entry->headers[i].value.data);
    }
    sl_buf_wipe(&entry->body);
    free(entry);
}

static void unlist(struct sl_idempotency *store, struct entry *entry)
{
    if (!entry->is_listed)
        return;
    struct entry **at = &store->buckets[entry->key[0]];
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    entry->is_listed = false;
    store->count--;
    if (entry->state == ENTRY_DONE)
        store->bytes -= entry->body.len;
    entry_release(entry);
}

void sl_idempotency_free(struct sl_idempotency *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (store->buckets[i] != NULL)
            unlist(store, store->buckets[i]);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

/* Drops what expired; where that is not enough, the answer that expires first. */
static void make_room(struct sl_idempotency *store, size_t bytes, uint64_t now_ms)
{
    struct entry *oldest = NULL;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct entry *entry = store->buckets[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            if (entry->state != ENTRY_DONE)
                continue;
            if (entry->expires_ms <= now_ms)
                unlist(store, entry);
            else if (oldest == NULL || entry->expires_ms < oldest->expires_ms)
                oldest = entry;
        }
    }
    bool is_full = store->count >= store->entries_max || store->bytes + bytes > store->bytes_max;
    if (is_full && oldest != NULL)
        unlist(store, oldest);
}

static struct entry *find(const struct sl_idempotency *store, const uint8_t *key, uint64_t now_ms)
{
    struct entry *entry = store->buckets[key[0]];
    while (entry != NULL && (memcmp(entry->key, key, SL_SHA256_BYTES) != 0 ||
                             (entry->state == ENTRY_DONE && entry->expires_ms <= now_ms)))
        entry = entry->next;
    return entry;
}

static struct entry *entry_create(struct sl_idempotency *store, const uint8_t *key,
                                  const uint8_t *body_hash)
{
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return NULL;
    memcpy(entry->key, key, SL_SHA256_BYTES);
    memcpy(entry->body_hash, body_hash, SL_SHA256_BYTES);
    sl_buf_init(&entry->body, ANSWER_BYTES_MAX);
    entry->references = 1;
    entry->is_listed = true;
    entry->next = store->buckets[key[0]];
    store->buckets[key[0]] = entry;
    store->count++;
    return entry;
}

/* The lengths keep ("ab", "c") and ("a", "bc") apart. */
static void hash_slice(struct sl_hash *hash, struct sl_slice slice)
{
    uint64_t len = slice.len;
    sl_hash_update(hash, &len, sizeof len);
    sl_hash_update(hash, slice.data, slice.len);
}

static bool hash_claim(const struct sl_idempotency_claim *claim, uint8_t key[SL_SHA256_BYTES])
{
    struct sl_hash *hash = sl_hash_create(NULL, 0);
    if (hash == NULL)
        return false;
    hash_slice(hash, claim->scope);
    hash_slice(hash, claim->path);
    hash_slice(hash, claim->key);
    sl_hash_finish(hash, key);
    sl_hash_free(hash);
    return true;
}

/* Under the lock. */
static enum sl_idempotency_outcome claim_locked(struct sl_idempotency *store, const uint8_t *key,
                                                const uint8_t *body_hash, uint64_t now_ms,
                                                struct sl_idempotency_ticket *ticket)
{
    struct entry *entry = find(store, key, now_ms);
    if (entry == NULL) {
        if (store->count >= store->entries_max)
            make_room(store, 0, now_ms);
        if (store->count >= store->entries_max ||
            (entry = entry_create(store, key, body_hash)) == NULL)
            return SL_IDEMPOTENCY_OFF;
        entry->references++;
        ticket->entry = entry;
        ticket->is_first = true;
        return SL_IDEMPOTENCY_FIRST;
    }
    if (memcmp(entry->body_hash, body_hash, SL_SHA256_BYTES) != 0)
        return SL_IDEMPOTENCY_CONFLICT;
    if (entry->state == ENTRY_RUNNING && entry->follower_count >= FOLLOWERS_MAX)
        return SL_IDEMPOTENCY_OFF;
    entry->references++;
    ticket->entry = entry;
    if (entry->state != ENTRY_RUNNING)
        return SL_IDEMPOTENCY_DONE;
    ticket->next = entry->followers;
    entry->followers = ticket;
    entry->follower_count++;
    return SL_IDEMPOTENCY_JOINED;
}

enum sl_idempotency_outcome sl_idempotency_claim(struct sl_idempotency *store,
                                                 const struct sl_idempotency_claim *claim,
                                                 struct sl_idempotency_ticket **out)
{
    uint8_t key[SL_SHA256_BYTES], body_hash[SL_SHA256_BYTES];
    struct sl_idempotency_ticket *ticket = calloc(1, sizeof *ticket);
    *out = NULL;
    if (ticket == NULL || !hash_claim(claim, key)) {
        free(ticket);
        return SL_IDEMPOTENCY_OFF;
    }
    sl_sha256(claim->body.data, claim->body.len, body_hash);
    ticket->store = store;
    ticket->wake = claim->wake;
    ticket->wake_ctx = claim->wake_ctx;
    pthread_mutex_lock(&store->lock);
    enum sl_idempotency_outcome outcome =
        claim_locked(store, key, body_hash, claim->now_ms, ticket);
    pthread_mutex_unlock(&store->lock);
    if (ticket->entry != NULL)
        *out = ticket;
    else
        free(ticket);
    return outcome;
}

void sl_idempotency_record(struct sl_idempotency_ticket *ticket, struct sl_slice bytes)
{
    if (!ticket->is_first)
        return;
    pthread_mutex_lock(&ticket->store->lock);
    if (sl_buf_append_slice(&ticket->entry->body, bytes) != SL_OK)
        ticket->entry->is_body_cut = true;
    pthread_mutex_unlock(&ticket->store->lock);
}

static bool keep_header(struct entry *entry, const struct sl_header *header)
{
    char *name = strndup(header->name.data, header->name.len);
    char *value = strndup(header->value.data, header->value.len);
    if (name == NULL || value == NULL) {
        free(name);
        free(value);
        return false;
    }
    entry->headers[entry->header_count++] =
        (struct sl_header){{name, header->name.len}, {value, header->value.len}};
    return true;
}

static bool keep_answer(struct entry *entry, const struct sl_idempotency_answer *answer)
{
    if (answer == NULL || entry->is_body_cut ||
        sl_buf_append_slice(&entry->body, answer->body) != SL_OK)
        return false;
    entry->status = answer->status;
    for (size_t i = 0; i < answer->header_count && i < SL_RESPONSE_HEADERS_MAX; i++)
        if (!keep_header(entry, &answer->headers[i]))
            return false;
    return true;
}

/* Under the lock, which keeps the tickets: a follower that leaves waits for it. Wakes take the
 * follower's own lock only, and nobody who holds that one takes ours. */
static void wake_followers(struct entry *entry)
{
    while (entry->followers != NULL) {
        struct sl_idempotency_ticket *follower = entry->followers;
        entry->followers = follower->next;
        entry->follower_count--;
        follower->wake(follower->wake_ctx);
    }
}

void sl_idempotency_settle(struct sl_idempotency_ticket *ticket,
                           const struct sl_idempotency_answer *answer)
{
    struct sl_idempotency *store = ticket->store;
    struct entry *entry = ticket->entry;
    if (!ticket->is_first || ticket->is_settled)
        return;
    ticket->is_settled = true;
    pthread_mutex_lock(&store->lock);
    uint64_t now_ms = sl_monotonic_ms();
    bool is_kept = keep_answer(entry, answer);
    if (is_kept) {
        make_room(store, entry->body.len, now_ms);
        entry->state = ENTRY_DONE;
        entry->expires_ms = now_ms + KEEP_MS;
        store->bytes += entry->body.len;
    } else {
        entry->state = ENTRY_GONE;
        unlist(store, entry);
    }
    wake_followers(entry);
    pthread_mutex_unlock(&store->lock);
}

bool sl_idempotency_result(struct sl_idempotency_ticket *ticket,
                           struct sl_idempotency_answer *answer)
{
    pthread_mutex_lock(&ticket->store->lock);
    const struct entry *entry = ticket->entry;
    bool has_answer = entry->state == ENTRY_DONE;
    if (has_answer)
        *answer = (struct sl_idempotency_answer){.status = entry->status,
                                                 .headers = entry->headers,
                                                 .header_count = entry->header_count,
                                                 .body = sl_buf_slice(&entry->body)};
    pthread_mutex_unlock(&ticket->store->lock);
    return has_answer;
}

bool sl_idempotency_is_pending(struct sl_idempotency_ticket *ticket)
{
    pthread_mutex_lock(&ticket->store->lock);
    bool is_pending = ticket->entry->state == ENTRY_RUNNING;
    pthread_mutex_unlock(&ticket->store->lock);
    return is_pending;
}

static void leave_followers(struct sl_idempotency_ticket *ticket)
{
    struct sl_idempotency_ticket **at = &ticket->entry->followers;
    while (*at != NULL && *at != ticket)
        at = &(*at)->next;
    if (*at == ticket) {
        *at = ticket->next;
        ticket->entry->follower_count--;
    }
}

void sl_idempotency_release(struct sl_idempotency_ticket *ticket)
{
    if (ticket == NULL)
        return;
    sl_idempotency_settle(ticket, NULL);
    pthread_mutex_lock(&ticket->store->lock);
    leave_followers(ticket);
    entry_release(ticket->entry);
    pthread_mutex_unlock(&ticket->store->lock);
    free(ticket);
}
