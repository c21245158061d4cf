/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns the second level in Redis or Valkey. A value is a record's label and its box, under
 * "slc1:" + cache key; the label is bound into the seal, so a server that mixes up or changes
 * values gets misses, never a wrong answer. A key expires with its entry's stale time.
 *
 * The box goes on alone when the server is away: a failed command is tried once on a fresh
 * connection (a restart breaks idle ones), then the server counts as down for a while that doubles
 * up to DOWN_MS_MAX, during which nobody asks it. Puts go through a bounded queue to a thread of
 * their own, so the disk's writer never waits for the network.
 *
 * Threads: shared_get on workers, one connection each of a few; shared_put anywhere; shared_purge
 * on the cache's writer; the sender thread.
 */
#include "shared.h"

#include "keyring.h"
#include "shared_url.h"
#include "writer.h"

#include "sluice/clock.h"
#include "sluice/log.h"
#include "sluice/queue.h"
#include "sluice/secret.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdlib.h>

#define READERS 4 /* workers that ask at once; a fifth waits for one round trip */
#define PUTS_MAX 1024
#define QUEUED_BYTES_MAX (16u << 20)
#define DOWN_MS_MIN 250
#define DOWN_MS_MAX 8000 /* how late a returned server is noticed */
#define DRAIN_MS_MAX 2000
#define KEEP_S_MAX INT64_C(31536000) /* a year: longer than any cache means */
#define SCAN_COUNT "500"
#define KEY_PREFIX "slc1:"
#define NAME_BYTES (sizeof KEY_PREFIX - 1 + sizeof(struct sl_cache_key))

struct link {
    pthread_mutex_t lock; /* guards context */
    redisContext *context;
};

struct shared {
    struct sl_cache *cache;
    struct shared_url url;
    struct timeval timeout;
    struct link readers[READERS];
    struct link sender;
    struct link purger;
    atomic_uint next_reader;
    atomic_uint down_ms; /* the present pause; 0 while the server is up */
    _Atomic uint64_t down_until_ms;
    struct sl_series *up;
    struct sl_queue *queue; /* of struct record */
    atomic_size_t queued_bytes;
    pthread_t thread;
    bool has_thread;
};

/* ---- up and down ---------------------------------------------------------------------------- */

bool shared_is_up(const struct shared *shared)
{
    return shared != NULL && sl_monotonic_ms() >= atomic_load(&shared->down_until_ms);
}

static void note_down(struct shared *shared)
{
    unsigned before = atomic_load(&shared->down_ms);
    unsigned pause = before == 0 ? DOWN_MS_MIN : before * 2;
    if (pause > DOWN_MS_MAX)
        pause = DOWN_MS_MAX;
    atomic_store(&shared->down_ms, pause);
    atomic_store(&shared->down_until_ms, sl_monotonic_ms() + pause);
    sl_series_set(shared->up, 0);
    if (before == 0)
        SL_LOG_WARN("cache", "the second level is away; this box goes on alone");
}

static void note_up(struct shared *shared)
{
    if (atomic_exchange(&shared->down_ms, 0) == 0)
        return;
    atomic_store(&shared->down_until_ms, 0);
    sl_series_set(shared->up, 1);
    SL_LOG_INFO("cache", "the second level is back");
}

/* ---- connections ---------------------------------------------------------------------------- */

static void unlink_server(struct link *link)
{
    if (link->context != NULL)
        redisFree(link->context);
    link->context = NULL;
}

static bool is_status_ok(redisReply *reply)
{
    bool is_ok = reply != NULL && reply->type == REDIS_REPLY_STATUS;
    if (reply != NULL)
        freeReplyObject(reply);
    return is_ok;
}

static bool introduce(const struct shared *shared, redisContext *context)
{
    const struct shared_url *url = &shared->url;
    if (url->password[0] != '\0' && url->user[0] != '\0' &&
        !is_status_ok(redisCommand(context, "AUTH %s %s", url->user, url->password)))
        return false;
    if (url->password[0] != '\0' && url->user[0] == '\0' &&
        !is_status_ok(redisCommand(context, "AUTH %s", url->password)))
        return false;
    return url->database == 0 || is_status_ok(redisCommand(context, "SELECT %d", url->database));
}

static bool connect_server(const struct shared *shared, struct link *link)
{
    const struct shared_url *url = &shared->url;
    link->context = url->port == 0 ? redisConnectUnixWithTimeout(url->host, shared->timeout)
                                   : redisConnectWithTimeout(url->host, url->port, shared->timeout);
    if (link->context != NULL && link->context->err == 0 &&
        redisSetTimeout(link->context, shared->timeout) == REDIS_OK &&
        introduce(shared, link->context))
        return true;
    unlink_server(link);
    return false;
}

/* Runs one command; NULL where the server is away or refuses. Under the link's lock. */
static redisReply *command(struct shared *shared, struct link *link, int argc, const char **argv,
                           const size_t *lens)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        bool was_connected = link->context != NULL;
        if (!was_connected && !connect_server(shared, link))
            break;
        redisReply *reply = redisCommandArgv(link->context, argc, argv, lens);
        if (reply != NULL && reply->type != REDIS_REPLY_ERROR) {
            note_up(shared);
            return reply;
        }
        bool is_refusal = reply != NULL; /* out of memory, read-only replica, still loading */
        if (reply != NULL)
            freeReplyObject(reply);
        unlink_server(link);
        if (!was_connected || is_refusal)
            break;
    }
    note_down(shared);
    return NULL;
}

static void name_of(const struct sl_cache_key *key, char name[NAME_BYTES])
{
    memcpy(name, KEY_PREFIX, sizeof KEY_PREFIX - 1);
    memcpy(name + sizeof KEY_PREFIX - 1, key->bytes, sizeof key->bytes);
}

/* ---- get ------------------------------------------------------------------------------------ */

static struct record *open_value(struct shared *shared, const struct sl_cache_key *key,
                                 struct sl_slice value)
{
    struct record_label label;
    uint32_t key_id;
    struct record *record = NULL;
    if (!record_label_read(value, &label, &key_id) || memcmp(&label.key, key, sizeof *key) != 0)
        return NULL;
    struct sl_slice sealed = {value.data + RECORD_LABEL_BYTES, value.len - RECORD_LABEL_BYTES};
    enum sl_err err = record_open(shared->cache->keyring, &label, key_id, sealed, &record);
    return err == SL_OK ? record : NULL;
}

struct record *shared_get(struct shared *shared, const struct sl_cache_key *key)
{
    char name[NAME_BYTES];
    const char *argv[] = {"GET", name};
    const size_t lens[] = {3, sizeof name};
    struct record *record = NULL;
    name_of(key, name);
    unsigned turn = atomic_fetch_add_explicit(&shared->next_reader, 1, memory_order_relaxed);
    struct link *link = &shared->readers[turn % READERS];
    pthread_mutex_lock(&link->lock);
    redisReply *reply = command(shared, link, 2, argv, lens);
    if (reply != NULL && reply->type == REDIS_REPLY_STRING)
        record = open_value(shared, key, (struct sl_slice){reply->str, (size_t)reply->len});
    if (reply != NULL)
        freeReplyObject(reply);
    pthread_mutex_unlock(&link->lock);
    return record;
}

/* ---- put ------------------------------------------------------------------------------------ */

static void send_record(struct shared *shared, const struct record *record)
{
    struct keyring *keyring = shared->cache->keyring;
    uint32_t key_id = keyring_body_id(keyring);
    int64_t left_s = record->label.expires_s - atomic_load(&shared->cache->now_s);
    char name[NAME_BYTES];
    char ttl[24];
    size_t sealed_len;
    uint8_t *sealed = left_s > 0 ? record_seal(keyring, record, key_id, &sealed_len) : NULL;
    uint8_t *value = sealed != NULL ? malloc(RECORD_LABEL_BYTES + sealed_len) : NULL;
    if (value != NULL) {
        record_label_write(&record->label, key_id, value);
        memcpy(value + RECORD_LABEL_BYTES, sealed, sealed_len);
        name_of(&record->label.key, name);
        int64_t keep_s = left_s < KEEP_S_MAX ? left_s + shared->cache->config.stale_keep_s
                                             : KEEP_S_MAX; /* the server's clock is 64 bit ms */
        int ttl_len = snprintf(ttl, sizeof ttl, "%lld", (long long)keep_s);
        const char *argv[] = {"SET", name, (const char *)value, "EX", ttl};
        const size_t lens[] = {3, sizeof name, RECORD_LABEL_BYTES + sealed_len, 2, (size_t)ttl_len};
        redisReply *reply = command(shared, &shared->sender, 5, argv, lens);
        if (reply != NULL)
            freeReplyObject(reply);
    }
    free(value);
    free(sealed);
}

static void *sender_main(void *context)
{
    struct shared *shared = context;
    void *item;
    while (sl_queue_pop(shared->queue, SL_DEADLINE_NEVER, &item) == SL_QUEUE_DONE) {
        if (shared_is_up(shared)) {
            pthread_mutex_lock(&shared->sender.lock);
            send_record(shared, item);
            pthread_mutex_unlock(&shared->sender.lock);
        }
        atomic_fetch_sub(&shared->queued_bytes, ((struct record *)item)->size);
        record_release(item);
    }
    return NULL;
}

void shared_put(struct shared *shared, struct record *record)
{
    if (shared == NULL || !shared_is_up(shared))
        return;
    size_t size = record->size;
    record_acquire(record);
    if (atomic_fetch_add(&shared->queued_bytes, size) + size <= QUEUED_BYTES_MAX &&
        sl_queue_push(shared->queue, record) == SL_QUEUE_DONE)
        return;
    atomic_fetch_sub(&shared->queued_bytes, size); /* the others pay once more: no harm */
    record_release(record);
}

/* ---- purge ---------------------------------------------------------------------------------- */

static bool delete_name(struct shared *shared, const char *name, size_t len)
{
    const char *argv[] = {"DEL", name};
    const size_t lens[] = {3, len};
    redisReply *reply = command(shared, &shared->purger, 2, argv, lens);
    if (reply != NULL)
        freeReplyObject(reply);
    return reply != NULL;
}

/* Deletes one entry if its label matches. False: the server is away. */
static bool purge_name(struct shared *shared, const struct filter_tags *tags,
                       const redisReply *name)
{
    char end[16];
    int end_len = snprintf(end, sizeof end, "%d", (int)RECORD_LABEL_BYTES - 1);
    const char *argv[] = {"GETRANGE", name->str, "0", end};
    const size_t lens[] = {8, (size_t)name->len, 1, (size_t)end_len};
    struct record_label label;
    uint32_t key_id;
    redisReply *reply = command(shared, &shared->purger, 4, argv, lens);
    if (reply == NULL)
        return false;
    bool is_match =
        reply->type == REDIS_REPLY_STRING &&
        record_label_read((struct sl_slice){reply->str, (size_t)reply->len}, &label, &key_id) &&
        filter_matches(tags, &label);
    freeReplyObject(reply);
    return !is_match || delete_name(shared, name->str, (size_t)name->len);
}

/* One step of SCAN: purges what it names and moves the cursor. False: away, or the end. */
static bool purge_step(struct shared *shared, const struct filter_tags *tags, char cursor[24])
{
    const char *argv[] = {"SCAN", cursor, "MATCH", (KEY_PREFIX "*"), "COUNT", SCAN_COUNT};
    const size_t lens[] = {4, strlen(cursor), 5, sizeof KEY_PREFIX, 5, sizeof SCAN_COUNT - 1};
    redisReply *reply = command(shared, &shared->purger, 6, argv, lens);
    bool goes_on = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                   reply->element[1]->type == REDIS_REPLY_ARRAY;
    for (size_t i = 0; goes_on && i < reply->element[1]->elements; i++)
        goes_on = purge_name(shared, tags, reply->element[1]->element[i]);
    if (goes_on)
        snprintf(cursor, 24, "%s", reply->element[0]->str);
    if (reply != NULL)
        freeReplyObject(reply);
    return goes_on && strcmp(cursor, "0") != 0;
}

/* Puts made before the purge must reach the server before it, or they would come back. A record
 * counts in queued_bytes until it is sent. */
static void drain(struct shared *shared)
{
    uint64_t deadline_ms = sl_monotonic_ms() + DRAIN_MS_MAX;
    while (atomic_load(&shared->queued_bytes) > 0 && sl_monotonic_ms() < deadline_ms) {
        struct timespec pause = {.tv_nsec = 1000000};
        nanosleep(&pause, NULL);
    }
}

void shared_purge(struct shared *shared, const struct filter_tags *tags)
{
    char cursor[24] = "0";
    if (shared == NULL || !shared_is_up(shared))
        return;
    drain(shared);
    pthread_mutex_lock(&shared->purger.lock);
    while (purge_step(shared, tags, cursor))
        ;
    unlink_server(&shared->purger); /* rare: no connection is kept for it */
    pthread_mutex_unlock(&shared->purger.lock);
}

/* ---- open and close ------------------------------------------------------------------------- */

/* hiredis writes with write(): a server that goes away must not end the process. Who handles
 * SIGPIPE already keeps his handler. */
static void survive_broken_pipes(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
        action.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &action, NULL);
    }
}

enum sl_err shared_open(struct sl_cache *cache, const char *url, struct shared **out,
                        struct sl_error *error)
{
    struct shared *shared = calloc(1, sizeof *shared);
    *out = NULL;
    if (shared == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    shared->cache = cache;
    shared->timeout.tv_sec = cache->config.redis_timeout_ms / 1000;
    shared->timeout.tv_usec = (suseconds_t)(cache->config.redis_timeout_ms % 1000) * 1000;
    for (size_t i = 0; i < READERS; i++)
        pthread_mutex_init(&shared->readers[i].lock, NULL);
    pthread_mutex_init(&shared->sender.lock, NULL);
    pthread_mutex_init(&shared->purger.lock, NULL);
    shared->up = sl_metric_series(
        sl_metric_gauge("sluice_cache_shared_up", "1 while the second cache level answers.", NULL),
        NULL);
    sl_series_set(shared->up, 1);
    survive_broken_pipes();
    enum sl_err err = shared_url_parse(url, &shared->url, error);
    if (err == SL_OK && (shared->queue = sl_queue_create(PUTS_MAX)) == NULL)
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (err == SL_OK) {
        shared->has_thread = pthread_create(&shared->thread, NULL, sender_main, shared) == 0;
        if (!shared->has_thread)
            err = sl_error_set(error, SL_ERR_MEMORY, "no thread for the second cache level");
    }
    if (err != SL_OK) {
        shared_close(shared);
        return err;
    }
    *out = shared;
    return SL_OK;
}

void shared_close(struct shared *shared)
{
    if (shared == NULL)
        return;
    if (shared->has_thread) {
        sl_queue_close(shared->queue);
        pthread_join(shared->thread, NULL);
    }
    for (size_t i = 0; i < READERS; i++) {
        unlink_server(&shared->readers[i]);
        pthread_mutex_destroy(&shared->readers[i].lock);
    }
    unlink_server(&shared->sender);
    pthread_mutex_destroy(&shared->sender.lock);
    unlink_server(&shared->purger);
    pthread_mutex_destroy(&shared->purger.lock);
    sl_queue_free(shared->queue);
    sl_wipe(&shared->url, sizeof shared->url);
    free(shared);
}
