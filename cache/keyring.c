/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns the key file and every key of the cache. Leaves to others: what is hashed (key.c), what is
 * sealed (record.c).
 *
 * The file is text, so that an operator can see what it is, and copy it to the other boxes that
 * share a second level:
 *
 *     sluice-cache-key 1
 *     index <64 hex>            hashes cache keys, tags and words
 *     body 2 <64 hex>           seals; the first body line is the current one
 *     body 1 <64 hex>           only while a rotation is under way
 *
 * The index key never seals and a body key never hashes: body keys can then be rotated without
 * losing a single entry, since no cache key changes.
 *
 * Threads: immutable after open but for the list of body keys, which the lock guards. Ciphers are
 * kept until the keyring is freed, so a reader may use one while it is being forgotten: a rotation
 * costs a process half a kilobyte.
 *
 * Invariants: 1. body[0] is the current key, and the first live_count keys are the file's. 2. The
 * file on disk holds every key that a row on disk may be sealed with: it is replaced before a new
 * key seals and after the last old row is gone.
 */
#include "keyring.h"

#include "sluice/file.h"
#include "sluice/secret.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY_FILE_BYTES_MAX 4096
#define KEY_BYTES 32
#define HASH_BLOCK_BYTES 64

struct body_key {
    uint32_t id;
    uint8_t bytes[KEY_BYTES];
    struct sl_cipher *cipher;
};

struct keyring {
    char *path; /* NULL: not kept */
    uint8_t index[KEY_BYTES];
    struct sl_sha256_state inner;
    struct sl_sha256_state outer[2];
    uint8_t tag_key[KEY_BYTES];
    uint64_t word_key[2];
    pthread_mutex_t lock; /* guards what follows */
    struct body_key *body;
    size_t body_room;
    size_t body_count; /* all that are known */
    size_t live_count; /* those in the file; the rest were forgotten */
};

static void derive(const struct keyring *keyring, const char *label, uint8_t out[KEY_BYTES])
{
    sl_hmac_sha256(keyring->index, sizeof keyring->index, label, strlen(label), out);
}

/* The state after the block of an HMAC: the derived key, padded with zeros, xor `pad`. */
static void derive_state(const struct keyring *keyring, const char *label, uint8_t pad,
                         struct sl_sha256_state *state)
{
    uint8_t block[HASH_BLOCK_BYTES] = {0};
    derive(keyring, label, block);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= pad;
    sl_sha256_start(state);
    sl_sha256_update(state, block, sizeof block);
    sl_wipe(block, sizeof block);
}

static void derive_all(struct keyring *keyring)
{
    uint8_t word_key[KEY_BYTES];
    derive_state(keyring, "sluice cache key", 0x36, &keyring->inner);
    derive_state(keyring, "sluice cache key local", 0x5C, &keyring->outer[SL_CACHE_LOCAL]);
    derive_state(keyring, "sluice cache key cloud", 0x5C, &keyring->outer[SL_CACHE_CLOUD]);
    derive(keyring, "sluice cache tag", keyring->tag_key);
    derive(keyring, "sluice cache words", word_key);
    memcpy(keyring->word_key, word_key, sizeof keyring->word_key);
    sl_wipe(word_key, sizeof word_key);
}

/* ---- the file ------------------------------------------------------------------------------ */

static bool has_room(struct keyring *keyring)
{
    if (keyring->body_count < keyring->body_room)
        return true;
    size_t room = keyring->body_room + KEYRING_FILE_KEYS_MAX;
    struct body_key *larger = calloc(room, sizeof *larger);
    if (larger == NULL)
        return false;
    if (keyring->body != NULL) {
        memcpy(larger, keyring->body, keyring->body_count * sizeof *larger);
        sl_wipe(keyring->body, keyring->body_count * sizeof *larger);
        free(keyring->body);
    }
    keyring->body = larger;
    keyring->body_room = room;
    return true;
}

/* Behind the others. */
static enum sl_err add_body(struct keyring *keyring, uint32_t id, const uint8_t bytes[KEY_BYTES],
                            struct sl_error *error)
{
    struct sl_cipher *cipher = sl_cipher_create(bytes);
    if (cipher == NULL || !has_room(keyring)) {
        sl_cipher_free(cipher);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    struct body_key *body = &keyring->body[keyring->body_count++];
    body->id = id;
    memcpy(body->bytes, bytes, KEY_BYTES);
    body->cipher = cipher;
    return SL_OK;
}

/* The number in "body 12 ", or 0. */
static uint32_t parse_body_id(struct sl_slice head)
{
    struct sl_slice word = SL_SLICE("body ");
    uint32_t id = 0;
    if (!sl_slice_starts_with(head, word) || head.len > word.len + 10)
        return 0;
    size_t at = word.len;
    while (at < head.len && head.data[at] >= '0' && head.data[at] <= '9')
        id = id * 10 + (uint32_t)(head.data[at++] - '0');
    return at + 1 == head.len && head.data[at] == ' ' ? id : 0;
}

/* One line without its end. False where it is not understood. */
static bool parse_line(struct keyring *keyring, struct sl_slice line, bool *has_index)
{
    static const size_t hex_len = (size_t)2 * KEY_BYTES;
    uint8_t bytes[KEY_BYTES];
    bool is_good = false;
    if (line.len < hex_len ||
        !sl_hex_decode((struct sl_slice){line.data + line.len - hex_len, hex_len}, bytes,
                       KEY_BYTES))
        return false;
    struct sl_slice head = {line.data, line.len - hex_len};
    uint32_t id = parse_body_id(head);
    if (sl_slice_equal_text(head, "index ") && !*has_index) {
        memcpy(keyring->index, bytes, KEY_BYTES);
        is_good = *has_index = true;
    } else if (id > 0 && keyring->body_count < KEYRING_FILE_KEYS_MAX) {
        is_good =
            keyring_cipher(keyring, id) == NULL && add_body(keyring, id, bytes, NULL) == SL_OK;
    }
    sl_wipe(bytes, sizeof bytes);
    return is_good;
}

static enum sl_err parse_file(struct keyring *keyring, struct sl_slice text, struct sl_error *error)
{
    bool has_index = false;
    for (unsigned number = 1; text.len > 0; number++) {
        const char *end = memchr(text.data, '\n', text.len);
        struct sl_slice line = {text.data, end != NULL ? (size_t)(end - text.data) : text.len};
        bool is_good = number == 1 ? sl_slice_equal_text(line, "sluice-cache-key 1")
                                   : line.len == 0 || parse_line(keyring, line, &has_index);
        if (!is_good)
            return sl_error_set(error, SL_ERR_FORMAT, "%s:%u: not a line of a cache key file",
                                keyring->path, number);
        size_t used = line.len + (end != NULL ? 1 : 0);
        text = (struct sl_slice){text.data + used, text.len - used};
    }
    if (!has_index || keyring->body_count == 0)
        return sl_error_set(error, SL_ERR_FORMAT, "%s: no index key or no body key", keyring->path);
    keyring->live_count = keyring->body_count;
    return SL_OK;
}

static enum sl_err format_file(const struct keyring *keyring, size_t body_count, struct sl_buf *out)
{
    char hex[2 * KEY_BYTES + 1];
    sl_hex_encode(keyring->index, KEY_BYTES, hex);
    enum sl_err err = sl_buf_printf(out, "sluice-cache-key 1\nindex %s\n", hex);
    for (size_t i = 0; i < body_count && err == SL_OK; i++) {
        sl_hex_encode(keyring->body[i].bytes, KEY_BYTES, hex);
        err = sl_buf_printf(out, "body %u %s\n", keyring->body[i].id, hex);
    }
    sl_wipe(hex, sizeof hex);
    return err;
}

/* A first file fails with SL_ERR_CONFLICT where another process was faster. */
static enum sl_err save(const struct keyring *keyring, size_t body_count, bool is_first,
                        struct sl_error *error)
{
    struct sl_buf text;
    if (keyring->path == NULL)
        return SL_OK;
    sl_buf_init(&text, KEY_FILE_BYTES_MAX);
    enum sl_err err = format_file(keyring, body_count, &text);
    if (err != SL_OK)
        sl_error_set(error, err, NULL);
    else if (is_first)
        err = sl_file_create(keyring->path, sl_buf_slice(&text), error);
    else
        err = sl_file_replace(keyring->path, sl_buf_slice(&text), error);
    sl_buf_wipe(&text);
    return err;
}

/* Forgets what make_keys made, so that another process's file can be loaded instead. */
static void drop_keys(struct keyring *keyring)
{
    for (size_t i = 0; i < keyring->body_count; i++)
        sl_cipher_free(keyring->body[i].cipher);
    keyring->body_count = keyring->live_count = 0;
}

static enum sl_err make_keys(struct keyring *keyring, struct sl_error *error)
{
    uint8_t body[KEY_BYTES];
    sl_random_bytes(keyring->index, sizeof keyring->index);
    sl_random_bytes(body, sizeof body);
    enum sl_err err = add_body(keyring, 1, body, error);
    sl_wipe(body, sizeof body);
    keyring->live_count = keyring->body_count;
    return err == SL_OK ? save(keyring, keyring->live_count, true, error) : err;
}

static enum sl_err load(struct keyring *keyring, struct sl_error *error)
{
    struct sl_secret *file = NULL;
    enum sl_err err = sl_secret_from_file(keyring->path, true, &file, error);
    if (err != SL_OK)
        return err;
    struct sl_slice text = sl_secret_reveal(file);
    if (text.len > KEY_FILE_BYTES_MAX)
        err = sl_error_set(error, SL_ERR_FORMAT, "%s: too long for a key file", keyring->path);
    else
        err = parse_file(keyring, text, error);
    sl_secret_free(file);
    return err;
}

enum sl_err keyring_open(const char *path, struct keyring **out, struct sl_error *error)
{
    struct keyring *keyring = calloc(1, sizeof *keyring);
    *out = NULL;
    if (keyring == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    pthread_mutex_init(&keyring->lock, NULL);
    enum sl_err err = SL_OK;
    if (path != NULL && (keyring->path = strdup(path)) == NULL)
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    else if (path != NULL && (access(path, F_OK) == 0 || errno != ENOENT))
        err = load(keyring, error);
    else
        err = make_keys(keyring, error);
    if (err == SL_ERR_CONFLICT) {
        drop_keys(keyring);
        err = load(keyring, error);
    }
    if (err != SL_OK) {
        keyring_free(keyring);
        return err;
    }
    derive_all(keyring);
    *out = keyring;
    return SL_OK;
}

void keyring_free(struct keyring *keyring)
{
    if (keyring == NULL)
        return;
    drop_keys(keyring);
    if (keyring->body != NULL)
        sl_wipe(keyring->body, keyring->body_room * sizeof *keyring->body);
    free(keyring->body);
    pthread_mutex_destroy(&keyring->lock);
    free(keyring->path);
    sl_wipe(keyring, sizeof *keyring);
    free(keyring);
}

/* ---- hashing ------------------------------------------------------------------------------- */

const struct sl_sha256_state *keyring_inner(const struct keyring *keyring)
{
    return &keyring->inner;
}

const struct sl_sha256_state *keyring_outer(const struct keyring *keyring, enum sl_cache_kind kind)
{
    return &keyring->outer[kind];
}

static bool is_blank(struct sl_slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] != '\0')
            return false;
    return true;
}

void keyring_tag(const struct keyring *keyring, const char *purpose, struct sl_slice value,
                 uint8_t tag[KEYRING_TAG_BYTES])
{
    uint8_t full[SL_SHA256_BYTES];
    char text[64 + SL_CACHE_NAME_MAX];
    memset(tag, 0, KEYRING_TAG_BYTES);
    if (is_blank(value))
        return;
    size_t purpose_len = strlen(purpose) + 1; /* the NUL parts purpose and value */
    size_t len = value.len < SL_CACHE_NAME_MAX ? value.len : SL_CACHE_NAME_MAX;
    memcpy(text, purpose, purpose_len);
    memcpy(text + purpose_len, value.data, len);
    sl_hmac_sha256(keyring->tag_key, KEY_BYTES, text, purpose_len + len, full);
    memcpy(tag, full, KEYRING_TAG_BYTES);
}

void keyring_check(const struct keyring *keyring, uint8_t check[SL_SHA256_BYTES])
{
    derive(keyring, "sluice cache check", check);
}

const uint64_t *keyring_word_key(const struct keyring *keyring)
{
    return keyring->word_key;
}

/* ---- body keys ----------------------------------------------------------------------------- */

uint32_t keyring_body_id(struct keyring *keyring)
{
    pthread_mutex_lock(&keyring->lock);
    uint32_t id = keyring->body[0].id;
    pthread_mutex_unlock(&keyring->lock);
    return id;
}

/* body_count: not known. */
static size_t find_body(const struct keyring *keyring, uint32_t id)
{
    size_t at = 0;
    while (at < keyring->body_count && keyring->body[at].id != id)
        at++;
    return at;
}

const struct sl_cipher *keyring_cipher(struct keyring *keyring, uint32_t id)
{
    pthread_mutex_lock(&keyring->lock);
    size_t at = find_body(keyring, id);
    const struct sl_cipher *cipher = at < keyring->body_count ? keyring->body[at].cipher : NULL;
    pthread_mutex_unlock(&keyring->lock);
    return cipher;
}

static void move_to_front(struct keyring *keyring, size_t at)
{
    struct body_key first = keyring->body[at];
    memmove(&keyring->body[1], &keyring->body[0], at * sizeof first);
    keyring->body[0] = first;
    sl_wipe(&first, sizeof first);
}

/* Under the lock. */
static enum sl_err rotate_locked(struct keyring *keyring, struct sl_error *error)
{
    uint8_t bytes[KEY_BYTES];
    uint32_t id_max = 0;
    if (keyring->live_count == KEYRING_FILE_KEYS_MAX)
        return sl_error_set(error, SL_ERR_LIMIT, "%s: full of rotations that were not finished",
                            keyring->path);
    for (size_t i = 0; i < keyring->body_count; i++)
        if (keyring->body[i].id > id_max)
            id_max = keyring->body[i].id;
    sl_random_bytes(bytes, sizeof bytes);
    enum sl_err err = add_body(keyring, id_max + 1, bytes, error);
    sl_wipe(bytes, sizeof bytes);
    if (err != SL_OK)
        return err;
    move_to_front(keyring, keyring->body_count - 1);
    err = save(keyring, keyring->live_count + 1, false, error);
    if (err == SL_OK) {
        keyring->live_count++;
        return SL_OK;
    }
    /* Nothing was sealed with it yet: take it out again. */
    sl_cipher_free(keyring->body[0].cipher);
    keyring->body_count--;
    memmove(&keyring->body[0], &keyring->body[1], keyring->body_count * sizeof keyring->body[0]);
    sl_wipe(&keyring->body[keyring->body_count], sizeof keyring->body[0]);
    return err;
}

enum sl_err keyring_rotate(struct keyring *keyring, struct sl_error *error)
{
    pthread_mutex_lock(&keyring->lock);
    enum sl_err err = rotate_locked(keyring, error);
    pthread_mutex_unlock(&keyring->lock);
    return err;
}

enum sl_err keyring_forget_old(struct keyring *keyring, struct sl_error *error)
{
    pthread_mutex_lock(&keyring->lock);
    enum sl_err err = save(keyring, 1, false, error);
    if (err == SL_OK)
        keyring->live_count = 1;
    pthread_mutex_unlock(&keyring->lock);
    return err;
}

bool keyring_has_old(struct keyring *keyring)
{
    pthread_mutex_lock(&keyring->lock);
    bool has_old = keyring->live_count > 1;
    pthread_mutex_unlock(&keyring->lock);
    return has_old;
}

/* Under the lock. The file's keys come to the front in its order; the others stay for readers. All
 * are known before the first moves: what memory runs out for changes nothing. */
static void adopt(struct keyring *keyring, const struct keyring *file)
{
    for (size_t i = 0; i < file->body_count; i++)
        if (find_body(keyring, file->body[i].id) == keyring->body_count &&
            add_body(keyring, file->body[i].id, file->body[i].bytes, NULL) != SL_OK)
            return;
    for (size_t i = file->body_count; i-- > 0;)
        move_to_front(keyring, find_body(keyring, file->body[i].id));
    keyring->live_count = file->body_count;
}

void keyring_reload(struct keyring *keyring)
{
    struct keyring *file = NULL;
    if (keyring->path == NULL || access(keyring->path, F_OK) != 0 ||
        keyring_open(keyring->path, &file, NULL) != SL_OK)
        return;
    pthread_mutex_lock(&keyring->lock);
    if (memcmp(file->index, keyring->index, sizeof file->index) == 0)
        adopt(keyring, file);
    pthread_mutex_unlock(&keyring->lock);
    keyring_free(file);
}
