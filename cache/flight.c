/* SPDX-License-Identifier: Apache-2.0
 *
 * Single flight: of several requests with one key, the first computes and the others wait for its
 * answer. Owns the table of flights; leaves to the stages what a leader and a follower do.
 *
 *     AIRBORNE --publish--> LANDED        followers get the record
 *        |
 *        +--leader ends without--> CRASHED    followers begin again; one of them leads
 *
 * A flight leaves the table when it lands or crashes, so who comes later starts a new one (or finds
 * the answer in the cache by then). The object lives until the last of its people ended.
 *
 * Threads: any. The table's mutex guards the chains, the states and the counts: requests that are
 * computed at all are few beside those that hit. A flight's waiters sleep on a condition of its
 * own, so a landing wakes nobody else.
 *
 * Invariants: 1. A flight is in the table exactly while AIRBORNE. 2. people counts the leader and
 * the followers that have not ended.
 */
#include "flight.h"

#include "cache_state.h"
#include "record.h"

#include "sluice/clock.h"

#include <stdlib.h>

#define BUCKETS 256 /* at most some hundred requests are under way */

enum flight_state { AIRBORNE, LANDED, CRASHED };

struct sl_cache_flight {
    struct flights *flights;
    struct keyring *keyring;
    struct sl_cache_flight *chain;
    struct sl_cache_key key;
    enum flight_state state;
    unsigned people;
    struct record *record;
    pthread_cond_t changed;
};

struct flights {
    pthread_mutex_t lock;
    struct sl_cache_flight *buckets[BUCKETS];
};

struct flights *flights_create(void)
{
    struct flights *flights = calloc(1, sizeof *flights);
    if (flights != NULL)
        pthread_mutex_init(&flights->lock, NULL);
    return flights;
}

void flights_free(struct flights *flights)
{
    if (flights == NULL)
        return;
    pthread_mutex_destroy(&flights->lock);
    free(flights);
}

static struct sl_cache_flight **bucket_of(struct flights *flights, const struct sl_cache_key *key)
{
    return &flights->buckets[key->bytes[0] % BUCKETS];
}

static struct sl_cache_flight *find(struct flights *flights, const struct sl_cache_key *key)
{
    struct sl_cache_flight *flight = *bucket_of(flights, key);
    while (flight != NULL && memcmp(&flight->key, key, sizeof *key) != 0)
        flight = flight->chain;
    return flight;
}

static struct sl_cache_flight *take_off(struct sl_cache *cache, const struct sl_cache_key *key)
{
    struct sl_cache_flight *flight = calloc(1, sizeof *flight);
    if (flight == NULL)
        return NULL;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&flight->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    flight->flights = cache->flights;
    flight->keyring = cache->keyring;
    flight->key = *key;
    struct sl_cache_flight **bucket = bucket_of(cache->flights, key);
    flight->chain = *bucket;
    *bucket = flight;
    return flight;
}

enum sl_cache_role sl_cache_flight_begin(struct sl_cache *cache, const struct sl_cache_key *key,
                                         struct sl_cache_flight **flight)
{
    enum sl_cache_role role = SL_CACHE_FOLLOWER;
    pthread_mutex_lock(&cache->flights->lock);
    *flight = find(cache->flights, key);
    if (*flight == NULL) {
        *flight = take_off(cache, key);
        role = *flight != NULL ? SL_CACHE_LEADER : SL_CACHE_ALONE;
    }
    if (*flight != NULL)
        (*flight)->people++;
    pthread_mutex_unlock(&cache->flights->lock);
    return role;
}

/* Under the lock. */
static void leave_table(struct sl_cache_flight *flight, enum flight_state state)
{
    struct sl_cache_flight **link = bucket_of(flight->flights, &flight->key);
    while (*link != flight)
        link = &(*link)->chain;
    *link = flight->chain;
    flight->state = state;
    pthread_cond_broadcast(&flight->changed);
}

enum sl_cache_landing sl_cache_flight_wait(struct sl_cache_flight *flight, uint64_t deadline_ms,
                                           struct sl_cache_entry *entry)
{
    struct timespec deadline = sl_deadline_timespec(deadline_ms);
    struct record *record = NULL;
    memset(entry, 0, sizeof *entry);
    pthread_mutex_lock(&flight->flights->lock);
    while (flight->state == AIRBORNE &&
           pthread_cond_timedwait(&flight->changed, &flight->flights->lock, &deadline) == 0)
        ;
    enum flight_state state = flight->state;
    if (state == LANDED)
        record = record_acquire(flight->record);
    pthread_mutex_unlock(&flight->flights->lock);
    if (record != NULL)
        record_lend(record, entry);
    return state == LANDED    ? SL_CACHE_LANDED
           : state == CRASHED ? SL_CACHE_LEADER_GONE
                              : SL_CACHE_WAIT_TIMEOUT;
}

void sl_cache_flight_publish(struct sl_cache_flight *flight, const struct sl_cache_meta *meta,
                             struct sl_slice body, int64_t now_s)
{
    if (flight == NULL)
        return;
    struct record *record = record_create(flight->keyring, &flight->key, meta, body, now_s, now_s);
    pthread_mutex_lock(&flight->flights->lock);
    if (flight->state == AIRBORNE) {
        flight->record = record;
        leave_table(flight, record != NULL ? LANDED : CRASHED);
        record = NULL;
    }
    pthread_mutex_unlock(&flight->flights->lock);
    record_release(record);
}

void sl_cache_flight_end(struct sl_cache_flight *flight, enum sl_cache_role role)
{
    if (flight == NULL)
        return;
    struct flights *flights = flight->flights;
    pthread_mutex_lock(&flights->lock);
    if (role == SL_CACHE_LEADER && flight->state == AIRBORNE)
        leave_table(flight, CRASHED);
    bool is_last = --flight->people == 0;
    pthread_mutex_unlock(&flights->lock);
    if (!is_last)
        return;
    record_release(flight->record);
    pthread_cond_destroy(&flight->changed);
    free(flight);
}
