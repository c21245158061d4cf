/* SPDX-License-Identifier: Apache-2.0
 *
 * The index of similar prompts. Owns signatures, the sealed form and the look-up; leaves to others:
 * normalisation (similar_text.c), hashed words (similar_words.c), the judgement (similar_verify.c).
 *
 * The verifier accepts a text that differs in one word, in two where it is long enough, or in one
 * blank. So the index need not guess by n-grams what might be close. A text is filed under a
 * signature of
 *   - all its words;
 *   - all its words but the i-th, for every i that a typo may hit;
 *   - the words of two of four parts, for each two of the four (word i lies in part i mod 4): two
 *     misspelt words hit at most two parts, and the other two are intact (the pigeonholes of
 *     Manber and Wu 1994);
 *   - its letters without blanks.
 * Asking computes the same signatures and looks each up. Every pair that the verifier could accept
 * shares one (recall 1 by construction, but for the bound on candidates of one signature), a probe
 * is a point query, and there is no threshold to tune. What an index of n-grams would find besides,
 * the verifier refuses.
 *
 * At rest: signatures are keyed 64-bit hashes of a scope and whole texts. The words' own keyed
 * hashes are sealed, since on their own they would be a substitution cipher: the most frequent hash
 * would be "the".
 *
 * Threads: any; reads go through the store's readers.
 */
#include "similar.h"

#include "cache_state.h"
#include "db.h"
#include "exact.h"
#include "record.h"
#include "similar_words.h"
#include "siphash.h"

#include "sluice/secret.h"

#include <stdlib.h>

#define CANDIDATES_MAX 4 /* newest first, of one signature: entries of one scope and one text */
#define VECTOR_CANDIDATES_MAX 8
/* Texts with the same content words lie closer; much below it the scan has more to read. */
#define VECTOR_COSINE_MIN 0.92f
#define VECTORS_PER_CALL 512  /* some 10 ms: the writer's puts wait no longer */
#define HALF_CANDIDATES_MAX 8 /* half of the words is shared by more texts */
#define MEANING_CANDIDATES_MAX 8
#define IDS_MAX 8 /* the largest of these */

#define PARTS 4
#define HALVES 6 /* ways to take two parts of four */
static const uint8_t half_parts[HALVES] = {0x3, 0x5, 0x6, 0x9, 0xA, 0xC};

enum signature_type {
    SIGNATURE_ALL,
    SIGNATURE_WITHOUT,
    SIGNATURE_MEANING,
    SIGNATURE_HALF,
    SIGNATURE_LETTERS,
    SIGNATURE_VECTOR,
};

/* ---- signatures ----------------------------------------------------------------------------- */

struct signature_input {
    uint8_t bytes[sizeof(struct sl_cache_key) + 3 + sizeof(uint64_t) * TEXT_WORDS_MAX];
    size_t len;
};

static void input_start(struct signature_input *input, const struct sl_cache_key *scope,
                        enum signature_type type, size_t position, size_t count)
{
    memcpy(input->bytes, scope->bytes, sizeof scope->bytes);
    input->len = sizeof scope->bytes;
    input->bytes[input->len++] = (uint8_t)type;
    input->bytes[input->len++] = (uint8_t)position;
    input->bytes[input->len++] = (uint8_t)count;
}

/* Of all words; of all but number `which`; or of those in the parts of which `which` has a bit. */
static uint64_t signature(const uint64_t key[2], const struct sl_cache_key *scope,
                          const struct words_view *view, enum signature_type type, size_t which)
{
    struct signature_input input;
    input_start(&input, scope, type, which, view->count);
    for (size_t i = 0; i < view->count; i++) {
        if ((type == SIGNATURE_WITHOUT && i == which) ||
            (type == SIGNATURE_HALF && (which >> i % PARTS & 1) == 0))
            continue;
        memcpy(input.bytes + input.len, &view->words[i].hash, 8);
        input.len += 8;
    }
    return siphash(key, input.bytes, input.len);
}

/* All letters, so that a blank too many or too few does not count. */
static uint64_t letters_signature(const uint64_t key[2], const struct sl_cache_key *scope,
                                  const struct similar_text *text)
{
    struct signature_input input;
    char letters[2 * TEXT_BYTES_MAX]; /* expanded contractions make a text longer */
    size_t len = 0;
    for (size_t i = 0; i < text->word_count && text->words[i].len < sizeof letters - len; i++) {
        memcpy(letters + len, text->words[i].data, text->words[i].len);
        len += text->words[i].len;
    }
    uint64_t hash = siphash(key, letters, len);
    sl_wipe(letters, len);
    input_start(&input, scope, SIGNATURE_LETTERS, 0, 0);
    memcpy(input.bytes + input.len, &hash, 8);
    return siphash(key, input.bytes, input.len + 8);
}

static uint64_t meaning_signature(const uint64_t key[2], const struct sl_cache_key *scope,
                                  struct sl_slice meaning)
{
    struct signature_input input;
    uint64_t hash = siphash(key, meaning.data, meaning.len);
    input_start(&input, scope, SIGNATURE_MEANING, 0, 0);
    memcpy(input.bytes + input.len, &hash, 8);
    return siphash(key, input.bytes, input.len + 8);
}

/* Vectors of two models say nothing about each other: they are of different scopes. */
static uint64_t vector_scope(const uint64_t key[2], const struct sl_cache_similar_text *text)
{
    struct signature_input input;
    input_start(&input, &text->scope, SIGNATURE_VECTOR, 0, 0);
    memcpy(input.bytes + input.len, text->vector_model.bytes, sizeof text->vector_model.bytes);
    uint64_t hash = siphash(key, input.bytes, input.len + sizeof text->vector_model.bytes);
    return hash != 0 ? hash : 1;
}

/* A text of one word is filed under its scope alone here, and only the newest few are tried. */
static bool may_differ(const struct words_view *view, size_t i)
{
    return view->words[i].letters > 0 && view->polite_typos < similar_slips_max(view);
}

static bool two_may_differ(const struct words_view *view)
{
    return similar_slips_max(view) == 2 && view->polite_typos == 0;
}

/* The meaning's signature, if there is one, comes last. */
static void sign(const struct keyring *keyring, const struct sl_cache_similar_text *text,
                 const struct similar_text *parsed, const struct words_view *view,
                 struct similar_features *features)
{
    const uint64_t *key = keyring_word_key(keyring);
    uint64_t *out = features->signatures;
    size_t count = 0;
    out[count++] = signature(key, &text->scope, view, SIGNATURE_ALL, 0);
    for (size_t i = 0; i < view->count; i++)
        if (may_differ(view, i))
            out[count++] = signature(key, &text->scope, view, SIGNATURE_WITHOUT, i);
    if (view->polite_typos == 0)
        out[count++] = letters_signature(key, &text->scope, parsed);
    for (size_t i = 0; i < HALVES && two_may_differ(view); i++)
        out[count++] = signature(key, &text->scope, view, SIGNATURE_HALF, half_parts[i]);
    if (text->meaning.len > 0)
        out[count++] = meaning_signature(key, &text->scope, text->meaning);
    features->signature_count = count;
}

_Static_assert(SIMILAR_SIGNATURES_MAX >= TEXT_WORDS_MAX + HALVES + 3,
               "all, each word, letters, halves, meaning");

struct similar_features *similar_features_create(const struct keyring *keyring,
                                                 const struct sl_cache_similar_text *text)
{
    struct similar_text parsed;
    struct words_view view;
    uint8_t bytes[WORDS_BYTES_MAX];
    struct similar_features *features = NULL;
    if (!similar_text_parse(&parsed, text->text))
        goto out;
    size_t len = similar_words_write(keyring_word_key(keyring), &parsed, bytes);
    if (!similar_words_read((struct sl_slice){(const char *)bytes, len}, &view) ||
        (features = malloc(sizeof *features + len + WORDS_VECTOR_BYTES_MAX)) == NULL)
        goto out;
    memcpy(features->words, bytes, len);
    features->vector.scope = 0;
    if (text->vector != NULL &&
        vector_quantize(text->vector, text->vector_len, &features->vector)) {
        features->vector.scope = vector_scope(keyring_word_key(keyring), text);
        len = similar_words_add_vector(features->words, len, &features->vector);
    }
    features->words_len = len;
    sign(keyring, text, &parsed, &view, features);
out:
    sl_wipe(parsed.text, sizeof parsed.text);
    return features;
}

/* ---- sealed words --------------------------------------------------------------------------- */

struct words_bound {
    char label[20];
    uint8_t key[sizeof(struct sl_cache_key)];
};

static struct sl_slice bind_words(struct words_bound *bound, const struct sl_cache_key *key)
{
    memset(bound, 0, sizeof *bound);
    memcpy(bound->label, "sluice cache words", 19);
    memcpy(bound->key, key->bytes, sizeof bound->key);
    return (struct sl_slice){(const char *)bound, sizeof *bound};
}

uint8_t *similar_seal(struct keyring *keyring, const struct sl_cache_key *key, uint32_t key_id,
                      struct sl_slice words, size_t *sealed_len)
{
    struct words_bound bound;
    const struct sl_cipher *cipher = keyring_cipher(keyring, key_id);
    uint8_t *sealed = malloc(words.len + SL_SEAL_OVERHEAD);
    *sealed_len = words.len + SL_SEAL_OVERHEAD;
    if (cipher != NULL && sealed != NULL &&
        sl_cipher_seal(cipher, bind_words(&bound, key), words.data, words.len, sealed) == SL_OK)
        return sealed;
    free(sealed);
    return NULL;
}

uint8_t *similar_open(struct keyring *keyring, const struct sl_cache_key *key, uint32_t key_id,
                      struct sl_slice sealed, size_t *words_len)
{
    struct words_bound bound;
    const struct sl_cipher *cipher = keyring_cipher(keyring, key_id);
    if (cipher == NULL || sealed.len < SL_SEAL_OVERHEAD)
        return NULL;
    uint8_t *words = malloc(sealed.len);
    *words_len = sealed.len - SL_SEAL_OVERHEAD;
    if (words != NULL &&
        sl_cipher_open(cipher, bind_words(&bound, key), sealed.data, sealed.len, words) == SL_OK)
        return words;
    free(words);
    return NULL;
}

/* ---- look-up -------------------------------------------------------------------------------- */

struct similar_query {
    struct sl_cache *cache;
    const struct sl_cache_similar_text *text;
    const struct sl_cache_want *want;
    struct words_view asked;
    struct sl_cache_entry *entry;
    enum sl_cache_match match;
};

static size_t probe(struct sl_cache *cache, uint64_t wanted, int64_t *ids, size_t ids_max)
{
    size_t count = 0;
    enum sl_cache_state state = SL_CACHE_ON;
    enum db_outcome outcome = DB_ABSENT;
    pthread_rwlock_rdlock(&cache->db_lock);
    if (cache->db != NULL)
        outcome = db_read_probe(cache->db, wanted, ids, ids_max, &count, &state);
    pthread_rwlock_unlock(&cache->db_lock);
    if (outcome == DB_FAILED)
        cache_turn_off(cache, state, "reading the similar index failed");
    return outcome == DB_FOUND ? count : 0;
}

/* The candidate's words, to be freed, and its key; NULL where it is gone or does not open. */
static uint8_t *load_words(struct sl_cache *cache, int64_t id, struct sl_cache_key *key,
                           size_t *len)
{
    struct sl_buf sealed = {0};
    uint32_t key_id = 0;
    enum sl_cache_state state = SL_CACHE_ON;
    enum db_outcome outcome = DB_ABSENT;
    pthread_rwlock_rdlock(&cache->db_lock);
    if (cache->db != NULL)
        outcome = db_read_similar(cache->db, id, key, &key_id, &sealed, &state);
    pthread_rwlock_unlock(&cache->db_lock);
    if (outcome == DB_FAILED)
        cache_turn_off(cache, state, "reading the similar index failed");
    uint8_t *words = outcome == DB_FOUND
                         ? similar_open(cache->keyring, key, key_id, sl_buf_slice(&sealed), len)
                         : NULL;
    sl_buf_clear(&sealed);
    return words;
}

static enum sl_cache_outcome try_candidate(struct similar_query *query, int64_t id,
                                           enum similar_basis basis)
{
    struct words_view stored;
    struct sl_cache_key key;
    size_t len = 0;
    enum sl_cache_match match = SL_CACHE_MATCH_NONE;
    uint8_t *words = load_words(query->cache, id, &key, &len);
    if (words != NULL && similar_words_read((struct sl_slice){(const char *)words, len}, &stored))
        match = similar_verify(&stored, &query->asked, basis);
    free(words);
    if (match == SL_CACHE_MATCH_NONE)
        return SL_CACHE_MISS;
    query->match = match;
    return exact_serve(exact_find(query->cache, &key), query->want, query->entry);
}

static enum sl_cache_outcome try_signature(struct similar_query *query, uint64_t wanted,
                                           size_t ids_max, enum similar_basis basis)
{
    int64_t ids[IDS_MAX];
    size_t count = probe(query->cache, wanted, ids, ids_max);
    enum sl_cache_outcome outcome = SL_CACHE_MISS;
    for (size_t i = 0; i < count && outcome == SL_CACHE_MISS; i++)
        outcome = try_candidate(query, ids[i], basis);
    return outcome;
}

static enum sl_cache_outcome try_vectors(struct similar_query *query, const struct vector *vector)
{
    int64_t ids[VECTOR_CANDIDATES_MAX];
    enum sl_cache_outcome outcome = SL_CACHE_MISS;
    if (vectors_expect(query->cache->vectors, vector->len))
        atomic_store(&query->cache->wants_vectors, true);
    size_t count =
        vectors_find(query->cache->vectors, vector, VECTOR_COSINE_MIN, ids, VECTOR_CANDIDATES_MAX);
    for (size_t i = 0; i < count && outcome == SL_CACHE_MISS; i++)
        outcome = try_candidate(query, ids[i], SIMILAR_BY_VECTOR);
    return outcome;
}

static enum sl_cache_outcome look_up(struct similar_query *query,
                                     const struct similar_features *features)
{
    bool has_meaning = query->text->meaning.len > 0;
    size_t halves = two_may_differ(&query->asked) ? HALVES : 0;
    size_t plain_count = features->signature_count - halves - has_meaning;
    enum sl_cache_outcome outcome = SL_CACHE_MISS;
    for (size_t i = 0; i < features->signature_count && outcome == SL_CACHE_MISS; i++) {
        bool is_meaning = has_meaning && i + 1 == features->signature_count;
        size_t ids_max = is_meaning        ? MEANING_CANDIDATES_MAX
                         : i < plain_count ? CANDIDATES_MAX
                                           : HALF_CANDIDATES_MAX;
        outcome = try_signature(query, features->signatures[i], ids_max,
                                is_meaning ? SIMILAR_BY_MEANING : SIMILAR_BY_WORDS);
    }
    if (outcome == SL_CACHE_MISS && features->vector.scope != 0)
        outcome = try_vectors(query, &features->vector);
    return outcome;
}

enum sl_cache_outcome sl_cache_similar(struct sl_cache *cache,
                                       const struct sl_cache_similar_text *text,
                                       const struct sl_cache_want *want,
                                       struct sl_cache_entry *entry, enum sl_cache_match *match)
{
    struct similar_query query = {.cache = cache, .text = text, .want = want, .entry = entry};
    enum sl_cache_outcome outcome = SL_CACHE_MISS;
    memset(entry, 0, sizeof *entry);
    if (match != NULL)
        *match = SL_CACHE_MATCH_NONE;
    if (!cache_is_on(cache) || cache->writer == NULL || !cache->config.has_similar)
        return SL_CACHE_MISS;
    struct similar_features *features = similar_features_create(cache->keyring, text);
    if (features == NULL)
        return SL_CACHE_MISS;
    if (similar_words_read((struct sl_slice){(const char *)features->words, features->words_len},
                           &query.asked))
        outcome = look_up(&query, features);
    free(features);
    if (outcome == SL_CACHE_MISS)
        return SL_CACHE_MISS;
    if (match != NULL)
        *match = query.match;
    exact_count_hit(cache, entry, COUNTER_SIMILAR_HITS, true);
    return outcome;
}

const char *sl_cache_match_name(enum sl_cache_match match)
{
    static const char *const names[] = {"none", "surface", "typo", "meaning", "content"};
    return names[match];
}

/* ---- embeddings in memory ------------------------------------------------------------------- */

void similar_file_vector(struct sl_cache *cache, int64_t id,
                         const struct similar_features *features)
{
    if (features == NULL || features->vector.scope == 0)
        return;
    if (vectors_expect(cache->vectors, features->vector.len))
        atomic_store(&cache->wants_vectors, true);
    vectors_add(cache->vectors, id, &features->vector);
}

static void load_vector(struct sl_cache *cache, int64_t id, const struct sl_cache_key *key,
                        uint32_t key_id, struct sl_slice sealed)
{
    struct words_view view;
    struct vector vector;
    size_t len = 0;
    uint8_t *words = similar_open(cache->keyring, key, key_id, sealed, &len);
    if (words != NULL && similar_words_read((struct sl_slice){(const char *)words, len}, &view) &&
        similar_words_vector(&view, &vector))
        vectors_add(cache->vectors, id, &vector);
    free(words);
}

bool similar_load_vectors(struct sl_cache *cache, int64_t *after, int64_t last)
{
    for (unsigned i = 0; i < VECTORS_PER_CALL; i++) {
        struct sl_cache_key key;
        struct sl_buf sealed = {0};
        uint32_t key_id;
        enum sl_cache_state state;
        enum db_outcome outcome =
            cache->db != NULL
                ? db_read_similar_after(cache->db, after, last, &key, &key_id, &sealed, &state)
                : DB_ABSENT;
        if (outcome == DB_FOUND)
            load_vector(cache, *after, &key, key_id, sl_buf_slice(&sealed));
        sl_buf_clear(&sealed);
        if (outcome == DB_FAILED)
            cache_turn_off(cache, state, "reading the similar index failed");
        if (outcome != DB_FOUND)
            return outcome == DB_BUSY; /* the row is asked for again */
    }
    return true;
}
