/* SPDX-License-Identifier: Apache-2.0
 *
 * The answer cache: exact and similar look-ups over an encrypted SQLite store with a memory front,
 * single flight for requests that ask the same at the same time, and, where configured, a second
 * level in Redis or Valkey that several boxes share.
 *
 *     struct sl_cache_config config;
 *     sl_cache_config_init(&config);
 *     config.path = "/var/lib/sluice/cache.db";
 *     config.key_path = "/var/lib/sluice/cache.key";
 *     if (sl_cache_open(&config, &cache, &error) != SL_OK) ...        // configuration, memory
 *
 *     struct sl_cache_key_builder builder;
 *     sl_cache_key_start(&builder, cache);
 *     sl_cache_key_add(&builder, 1, SL_SLICE("tenant"));               // tags are the caller's
 *     sl_cache_key_add(&builder, 2, canonical_messages);
 *     sl_cache_key_finish(&builder, SL_CACHE_LOCAL, &key);
 *
 *     struct sl_cache_want want = {.now_s = now, .max_age_s = SL_CACHE_ANY_AGE};
 *     if (sl_cache_get(cache, &key, &want, &entry) == SL_CACHE_HIT) {
 *         serve(entry.body);
 *         sl_cache_entry_clear(&entry);
 *     }
 *
 * A store that is corrupt, locked, read-only or full never breaks a request and never fails open:
 * the cache turns itself off (sl_cache_state, the log, the gauge `sluice_cache_enabled`), every get
 * is then a miss and every put is dropped. What can pass by itself (locked, full, read-only, an I/O
 * error) is tried again every `retry_s` seconds.
 *
 * At rest the disk holds: keyed hashes, times, sizes, hit counts, and AES-256-GCM boxes bound to
 * their row. Names of apps and models are keyed hashes there too. The memory front holds answers in
 * the clear, as the process itself does, and wipes them when they leave.
 *
 * Threads: every function may be called from any thread unless it says otherwise. Gets and puts
 * never wait for the disk's writer; a get that the front does not have reads SQLite on the calling
 * thread (some 20 µs). Functions marked "blocking" are for workers and tools.
 */
#ifndef SLUICE_CACHE_H
#define SLUICE_CACHE_H

#include "sluice/buf.h"
#include "sluice/crypto.h"
#include "sluice/err.h"
#include "sluice/slice.h"

#include <stdint.h>

struct sl_cache;

/* ---- opening and closing ------------------------------------------------------------------- */

struct sl_cache_config {
    const char *path;     /* the database; its folder must exist. NULL: memory front only */
    const char *key_path; /* key file, mode 0600, made at first start; NULL only when path is */
    uint64_t bytes_max;   /* sealed bytes in the store; the least valuable entries go */
    uint64_t entries_max;
    uint64_t memory_bytes_max; /* the front's share of memory; 0 turns the front off */
    uint32_t body_bytes_max;   /* a larger answer is not stored */
    uint32_t queue_max;        /* puts waiting for the writer; more are dropped and counted */
    uint32_t commit_ms;        /* group commit: what a put waits at most for company */
    uint32_t check_ms_max;     /* integrity check before open returns; the rest is done behind it */
    uint32_t stale_keep_s;     /* how long past its end an entry is kept for stale_max_s */
    uint32_t retry_s;      /* a store that is off for a passing reason is tried again; 0: never */
    bool has_similar;      /* keep and use the index of similar prompts (needs a path) */
    uint32_t vectors_max;  /* embeddings kept in memory for it: some 400 bytes each */
    const char *redis_url; /* redis://[user:password@]host[:port][/db] or unix:///path; or NULL */
    uint32_t redis_timeout_ms; /* connect and each command */
};

/* Fills in the defaults: 256 MiB, 200,000 entries, 32 MiB front, similar on, 100,000 embeddings
 * (memory is taken as they come), no second level. */
void sl_cache_config_init(struct sl_cache_config *config);

/* Blocking (a few milliseconds, at most check_ms_max more). Strings are copied. A store that can't
 * be used is no error: the cache comes back turned off. Errors: SL_ERR_MEMORY; SL_ERR_INVALID (a
 * path without a key path, an address that is none); SL_ERR_UNSUPPORTED (a second level in a build
 * without hiredis). */
enum sl_err sl_cache_open(const struct sl_cache_config *config, struct sl_cache **cache,
                          struct sl_error *error) SL_MUST_CHECK;
/* Blocking: writes what is queued, then closes. No other thread may be inside a call, and every
 * entry and flight must have been given back. NULL is fine. */
void sl_cache_close(struct sl_cache *cache);

enum sl_cache_state {
    SL_CACHE_ON,
    SL_CACHE_OFF_CORRUPT,   /* integrity check, not a database, or a page that can't be */
    SL_CACHE_OFF_LOCKED,    /* another process holds it */
    SL_CACHE_OFF_READ_ONLY, /* folder or file can't be written */
    SL_CACHE_OFF_FULL,      /* no room on the disk */
    SL_CACHE_OFF_IO,        /* any other input or output error */
    SL_CACHE_OFF_KEY,       /* key file unreadable, too open, malformed, or not the store's */
    SL_CACHE_OFF_VERSION,   /* written by a newer Sluice */
    SL_CACHE_STATE_COUNT
};
enum sl_cache_state sl_cache_state(const struct sl_cache *cache);
const char *sl_cache_state_name(enum sl_cache_state state); /* "on", "corrupt", "locked", ... */

/* ---- keys ----------------------------------------------------------------------------------- */

struct sl_cache_key {
    uint8_t bytes[32];
};

/* Where an answer came from. The same fields give different keys for the two kinds. */
enum sl_cache_kind {
    SL_CACHE_LOCAL, /* answered on the box; fields are of the original request */
    SL_CACHE_CLOUD, /* answered by a cloud; fields and body are of the scrubbed request */
};

/* A keyed hash (HMAC-SHA-256 with a key derived from the key file) over tagged, length-prefixed
 * fields: without the key file a text can't be guessed and tried. Boxes with the same key file
 * build the same keys. Order counts: add fields in one fixed order. On the stack, no allocation,
 * nothing to free; one thread at a time. Assigning a builder copies it. */
struct sl_cache_key_builder {
    const struct sl_cache *cache;
    struct sl_sha256_state inner;
};

void sl_cache_key_start(struct sl_cache_key_builder *builder, const struct sl_cache *cache);
void sl_cache_key_add(struct sl_cache_key_builder *builder, uint32_t tag, struct sl_slice value);
void sl_cache_key_add_u64(struct sl_cache_key_builder *builder, uint32_t tag, uint64_t value);
/* -0.0 counts as 0.0. */
void sl_cache_key_add_double(struct sl_cache_key_builder *builder, uint32_t tag, double value);
/* The value's canonical form: object keys in byte order, no white space, 1 and 1.0 alike, -0 as 0;
 * the order of arrays counts. NULL stands for an absent field. Nothing is built in memory but a
 * sorted list of keys. SL_ERR_LIMIT: nested deeper than 64 or an object of more than 256 keys; the
 * builder is then of no use, and the request not cacheable. */
struct json_t;
enum sl_err sl_cache_key_add_json(struct sl_cache_key_builder *builder, uint32_t tag,
                                  const struct json_t *value) SL_MUST_CHECK;
/* Does not change the builder: call it for LOCAL, then for CLOUD, or add more and call it again. */
void sl_cache_key_finish(const struct sl_cache_key_builder *builder, enum sl_cache_kind kind,
                         struct sl_cache_key *key);

/* ---- entries -------------------------------------------------------------------------------- */

/* What an answer was made from: 16 bytes of a digest of the model file, the chat template, the
 * policy. All zero: does not depend on one. */
struct sl_cache_digest {
    uint8_t bytes[16];
};
/* The first 16 bytes of the SHA-256 of `bytes` (the digest in the manifest, the text of the
 * template, the policy file). */
struct sl_cache_digest sl_cache_digest_of(struct sl_slice bytes);

#define SL_CACHE_NAME_MAX 255 /* bytes of an app's or model's name; longer ones are cut */

/* The three that are in force; all zero: not known, and no condition. */
struct sl_cache_origin {
    struct sl_cache_digest model;
    struct sl_cache_digest chat_template;
    struct sl_cache_digest policy;
};

struct sl_cache_meta {
    enum sl_cache_kind kind;
    struct sl_slice app;   /* for purge by app; not in the key by itself */
    struct sl_slice model; /* what answered */
    struct sl_cache_digest model_digest;
    struct sl_cache_digest template_digest;
    struct sl_cache_digest policy_digest;
    uint32_t prompt_tokens;
    uint32_t completion_tokens;
    uint64_t cost_microusd; /* what the answer cost when it was paid for; a hit saves it again */
    struct sl_slice prompt; /* CLOUD only, may be empty: the scrubbed request, for export */
};

struct sl_cache_entry {
    struct sl_slice body;      /* the bytes that were put; borrowed from the entry */
    struct sl_cache_meta meta; /* slices borrowed from the entry */
    int64_t created_s;
    int64_t expires_s;
    void *owner; /* private */
};
/* Gives the entry back. NULL or zeroed is fine. */
void sl_cache_entry_clear(struct sl_cache_entry *entry);

#define SL_CACHE_ANY_AGE INT64_MAX

struct sl_cache_want {
    int64_t now_s;       /* wall seconds */
    int64_t max_age_s;   /* Cache-Control: max-age; SL_CACHE_ANY_AGE */
    int64_t stale_max_s; /* how long past its end an entry may still be given (stale_if_error) */
    bool is_repeat; /* this request missed before (under its other key): counts as one look-up */
};

enum sl_cache_outcome {
    SL_CACHE_MISS,  /* *entry is zeroed */
    SL_CACHE_HIT,   /* fresh; give the entry back */
    SL_CACHE_STALE, /* past its end or max_age but within stale_max_s; give the entry back */
};

enum sl_cache_outcome sl_cache_get(struct sl_cache *cache, const struct sl_cache_key *key,
                                   const struct sl_cache_want *want, struct sl_cache_entry *entry);

/* Copies everything and returns. The entry is seen by gets at once and is durable at the next
 * group commit. Never blocks: false where it was dropped (cache off, queue full, body too large,
 * ttl_s <= 0, out of memory; counted by cause). `similar` may be NULL. */
struct sl_cache_similar_text;
bool sl_cache_put(struct sl_cache *cache, const struct sl_cache_key *key,
                  const struct sl_cache_meta *meta, struct sl_slice body, int64_t now_s,
                  int64_t ttl_s, const struct sl_cache_similar_text *similar);

/* ---- similar prompts ------------------------------------------------------------------------ */

/* The one text that may differ and everything that must not. `scope` is the key of the request
 * with the text left out (build it like any key; use a tag of its own in the text's place).
 * `text` is the user's words: the original for LOCAL, the scrubbed form for CLOUD, where
 * placeholders as <EMAIL_1> count as words. Texts of more than 64 words, with line breaks inside,
 * or that look like code are never similar to anything. `meaning`, may be empty: a name for what
 * is asked when the caller is sure of it (an intent without arguments, confidence >= 0.95): texts
 * of the same meaning then match where numbers, negations, opposites and placeholders agree. */
struct sl_cache_similar_text {
    struct sl_cache_key scope;
    struct sl_slice text;
    struct sl_slice meaning;
    /* An embedding of the text, or NULL, and the digest of the model that made it. Borrowed. Where
     * the words differ, texts whose embeddings are close match when only articles and forms of "be"
     * and "do" do, or one part moved from the start to the end. Longer ones than 1,024 elements are
     * not used. */
    const float *vector;
    size_t vector_len;
    struct sl_cache_digest vector_model;
};

enum sl_cache_match {
    SL_CACHE_MATCH_NONE,
    SL_CACHE_MATCH_SURFACE, /* same words after normalisation */
    SL_CACHE_MATCH_TYPO,    /* one word within one edit, two in longer texts, or one blank */
    SL_CACHE_MATCH_MEANING, /* same meaning, nothing that contradicts */
    SL_CACHE_MATCH_CONTENT, /* close embeddings, the same words but for articles and the like */
};
const char *sl_cache_match_name(enum sl_cache_match match);

/* After an exact miss: looks for an entry of the same scope whose text says the same, and refuses
 * by default. Some 40 µs at 100,000 entries; never more than a fixed number of candidates. Fills
 * *match (may be NULL). No text is kept at rest, not even encrypted: keyed hashes of words, sealed,
 * found by keyed hashes of the whole. */
enum sl_cache_outcome sl_cache_similar(struct sl_cache *cache,
                                       const struct sl_cache_similar_text *text,
                                       const struct sl_cache_want *want,
                                       struct sl_cache_entry *entry, enum sl_cache_match *match);

/* ---- single flight -------------------------------------------------------------------------- */

/*     switch (role = sl_cache_flight_begin(cache, &key, &flight)) {
 *     case SL_CACHE_LEADER:   answer = compute(); sl_cache_flight_publish(flight, ...); break;
 *     case SL_CACHE_FOLLOWER: outcome = sl_cache_flight_wait(flight, deadline_ms, &entry); break;
 *     }
 *     sl_cache_flight_end(flight, role);   // both; a leader that did not publish has failed
 *
 * A leader should look in the cache once more before it computes: the answer may have landed
 * between its miss and its turn. Works when the store is off, too. */
struct sl_cache_flight;

enum sl_cache_role {
    SL_CACHE_LEADER,   /* nobody else computes this key: do it */
    SL_CACHE_FOLLOWER, /* somebody does: wait */
    SL_CACHE_ALONE,    /* out of memory: compute, there is no flight (*flight is NULL) */
};
enum sl_cache_role sl_cache_flight_begin(struct sl_cache *cache, const struct sl_cache_key *key,
                                         struct sl_cache_flight **flight);

enum sl_cache_landing {
    SL_CACHE_LANDED,       /* *entry holds the leader's answer; give it back */
    SL_CACHE_LEADER_GONE,  /* it failed or its answer may not be shared: end, and begin again */
    SL_CACHE_WAIT_TIMEOUT, /* the deadline passed: wait again or give up */
};
/* Blocking; followers only. To see a cancelled client, wait in slices. */
enum sl_cache_landing sl_cache_flight_wait(struct sl_cache_flight *flight, uint64_t deadline_ms,
                                           struct sl_cache_entry *entry);
/* Leader only, once: copies the finished answer and wakes the followers. Does not store it. */
void sl_cache_flight_publish(struct sl_cache_flight *flight, const struct sl_cache_meta *meta,
                             struct sl_slice body, int64_t now_s);
/* NULL is fine. `role` is what begin returned. */
void sl_cache_flight_end(struct sl_cache_flight *flight, enum sl_cache_role role);

/* ---- a second level shared by boxes ---------------------------------------------------------- */

/* Whether a second level is configured and not known to be away. */
bool sl_cache_has_shared(const struct sl_cache *cache);
/* Blocking: asks the second level after a miss, and keeps what it finds on this box as well. A
 * server that hangs costs one request up to three times redis_timeout_ms (a dead connection, a new
 * one, the command); then nobody asks it for a while that doubles up to 8 s. Puts reach the second
 * level by themselves. */
enum sl_cache_outcome sl_cache_get_shared(struct sl_cache *cache, const struct sl_cache_key *key,
                                          const struct sl_cache_want *want,
                                          struct sl_cache_entry *entry);

/* ---- for the owner of the data ------------------------------------------------------------- */

/* Which entries to purge: all the given conditions together. A filter without any condition purges
 * nothing unless `everything` is set. */
struct sl_cache_filter {
    bool everything;
    const struct sl_cache_key *key;
    struct sl_slice app;
    struct sl_slice model;
    int64_t created_before_s;                /* 0: any age */
    const struct sl_cache_digest *made_from; /* model, template or policy digest that is gone */
    /* Made from another model, template or policy than these: what is left of a box's past. Does
     * not reach the second level, where other boxes may have others. */
    const struct sl_cache_origin *not_made_from;
};
/* Blocking: returns when the entries are gone from memory, disk and the second level (where it can
 * be reached). Errors: SL_ERR_IO when the store is off or fails. */
enum sl_err sl_cache_purge(struct sl_cache *cache, const struct sl_cache_filter *filter,
                           uint64_t *purged, struct sl_error *error) SL_MUST_CHECK;

/* Blocking: writes all puts made before this call to the disk. SL_ERR_IO when the store is off. */
enum sl_err sl_cache_flush(struct sl_cache *cache, struct sl_error *error) SL_MUST_CHECK;

struct sl_cache_stats {
    enum sl_cache_state state;
    uint64_t entries;
    uint64_t entries_local;
    uint64_t entries_cloud;
    uint64_t bytes;        /* sealed, in the store */
    uint64_t memory_bytes; /* in the front */
    /* Since the store was made, over all starts: */
    uint64_t hits;
    uint64_t similar_hits;
    uint64_t misses; /* requests without a hit: see is_repeat */
    uint64_t saved_prompt_tokens;
    uint64_t saved_completion_tokens;
    uint64_t saved_microusd;
    uint64_t evicted;
    uint64_t expired;
};
/* Blocking (tens of milliseconds for 100,000 entries). */
enum sl_err sl_cache_stats(struct sl_cache *cache, struct sl_cache_stats *stats,
                           struct sl_error *error) SL_MUST_CHECK;

/* Blocking: calls `visit` for every readable entry of `kind`, oldest first, opened; the entry is
 * borrowed for the call. The walk ends early when `visit` returns false. */
typedef bool sl_cache_visit_fn(const struct sl_cache_entry *entry, void *context);
enum sl_err sl_cache_export(struct sl_cache *cache, enum sl_cache_kind kind,
                            sl_cache_visit_fn *visit, void *context,
                            struct sl_error *error) SL_MUST_CHECK;

/* Blocking: makes a new body key, seals every entry anew and forgets the old one. Answers stay
 * usable all the while, and after a crash the next start goes on where it stopped. The index key,
 * and with it every cache key, stays: to change that too, purge everything and delete the file. */
enum sl_err sl_cache_rotate_key(struct sl_cache *cache, struct sl_error *error) SL_MUST_CHECK;

#endif
