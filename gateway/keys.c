/* SPDX-License-Identifier: Apache-2.0
 *
 * The key file and look-ups in it. Every look-up compares with every key in constant time; with at
 * most a thousand of 32 bytes that is cheaper than one hash.
 *
 * Invariant: the list is replaced whole under the write lock; finds copy terms out under the read
 * lock, so no pointer into it leaves.
 */
#include "keys.h"

#include "sluice/clock.h"
#include "sluice/crypto.h"
#include "sluice/file.h"
#include "sluice/log.h"
#include "sluice/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEY_RANDOM_BYTES 24
static const char key_prefix[] = "sk-sluice-";

struct key_entry {
    struct sl_key_terms terms;
    uint8_t hash[SL_SHA256_BYTES];
};

struct key_list {
    struct key_entry *entries;
    size_t count;
};

struct sl_keys {
    char *path;
    pthread_rwlock_t lock; /* guards list and stamp */
    struct key_list list;
    struct timespec changed; /* of the file that was read; zero: absent */
    off_t size;
};

/* ---- reading ---- */

static int64_t parse_time(const char *text)
{
    struct tm tm = {0};
    return text != NULL && strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) != NULL ? timegm(&tm) : 0;
}

static enum sl_err read_limit(const json_t *row, const char *name, size_t idx, uint32_t *out,
                              struct sl_error *error)
{
    const json_t *value = json_object_get(row, name);
    *out = 0;
    if (value == NULL)
        return SL_OK;
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || number > UINT32_MAX)
        return sl_error_set(error, SL_ERR_FORMAT, "keys[%zu].%s: expected a number from 0", idx,
                            name);
    *out = (uint32_t)number;
    return SL_OK;
}

static enum sl_err read_entry(const json_t *row, size_t idx, struct key_entry *entry,
                              struct sl_error *error)
{
    const char *id = json_string_value(json_object_get(row, "id"));
    const char *name = json_string_value(json_object_get(row, "name"));
    const char *hash = json_string_value(json_object_get(row, "sha256"));
    memset(entry, 0, sizeof *entry);
    if (id == NULL || strlen(id) >= sizeof entry->terms.id)
        return sl_error_set(error, SL_ERR_FORMAT, "keys[%zu].id: expected a short text", idx);
    if (name == NULL || name[0] == '\0' || strlen(name) >= SL_KEY_NAME_MAX)
        return sl_error_set(error, SL_ERR_FORMAT, "keys[%zu].name: expected 1 to %d bytes", idx,
                            SL_KEY_NAME_MAX - 1);
    if (hash == NULL || !sl_hex_decode(sl_slice_of(hash), entry->hash, sizeof entry->hash))
        return sl_error_set(error, SL_ERR_FORMAT, "keys[%zu].sha256: expected 64 hex digits", idx);
    snprintf(entry->terms.id, sizeof entry->terms.id, "%s", id);
    snprintf(entry->terms.name, sizeof entry->terms.name, "%s", name);
    entry->terms.created_s = parse_time(json_string_value(json_object_get(row, "created")));
    enum sl_err err = read_limit(row, "requests_per_minute", idx,
                                 &entry->terms.requests_per_minute, error);
    if (err == SL_OK)
        err = read_limit(row, "tokens_per_minute", idx, &entry->terms.tokens_per_minute, error);
    return err;
}

static enum sl_err read_list(const json_t *root, struct key_list *out, struct sl_error *error)
{
    const json_t *rows = json_object_get(root, "keys");
    size_t count = json_array_size(rows);
    if (!json_is_array(rows) || count > SL_KEYS_MAX)
        return sl_error_set(error, SL_ERR_FORMAT, "expected {\"keys\": [at most %d]}", SL_KEYS_MAX);
    out->entries = calloc(count + 1, sizeof *out->entries);
    if (out->entries == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    enum sl_err err = SL_OK;
    for (; out->count < count && err == SL_OK; out->count++)
        err = read_entry(json_array_get(rows, out->count), out->count, &out->entries[out->count],
                         error);
    return err;
}

/* Reads the file into *out. An absent file is an empty list. */
static enum sl_err load(const char *path, struct key_list *out, struct stat *stamp,
                        struct sl_error *error)
{
    memset(out, 0, sizeof *out);
    memset(stamp, 0, sizeof *stamp);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return SL_OK;
    if (fd < 0 || fstat(fd, stamp) != 0) {
        sl_error_set(error, SL_ERR_IO, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return SL_ERR_IO;
    }
    json_error_t at;
    json_t *root = NULL;
    enum sl_err err = SL_OK;
    struct sl_error inner = {0};
    if ((stamp->st_mode & 077) != 0)
        err = sl_error_set(error, SL_ERR_FORBIDDEN,
                           "%s: others may read or write it; expected mode 0600", path);
    else if ((root = json_loadfd(fd, JSON_REJECT_DUPLICATES, &at)) == NULL)
        err = sl_error_set(error, SL_ERR_FORMAT, "%s:%d:%d: %s", path, at.line, at.column, at.text);
    else if (read_list(root, out, &inner) != SL_OK)
        err = sl_error_set(error, inner.code, "%s: %s", path, inner.message);
    close(fd);
    json_decref(root);
    if (err != SL_OK)
        free(out->entries);
    return err;
}

static void adopt(struct sl_keys *keys, struct key_list list, const struct stat *stamp)
{
    pthread_rwlock_wrlock(&keys->lock);
    free(keys->list.entries);
    keys->list = list;
    keys->changed = stamp->st_mtim;
    keys->size = stamp->st_size;
    pthread_rwlock_unlock(&keys->lock);
}

enum sl_err sl_keys_open(const char *path, struct sl_keys **out, struct sl_error *error)
{
    struct sl_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL || (keys->path = strdup(path)) == NULL) {
        free(keys);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    pthread_rwlock_init(&keys->lock, NULL);
    struct key_list list;
    struct stat stamp;
    enum sl_err err = load(path, &list, &stamp, error);
    if (err != SL_OK) {
        sl_keys_close(keys);
        return err;
    }
    adopt(keys, list, &stamp);
    *out = keys;
    return SL_OK;
}

void sl_keys_close(struct sl_keys *keys)
{
    if (keys == NULL)
        return;
    pthread_rwlock_destroy(&keys->lock);
    free(keys->list.entries);
    free(keys->path);
    free(keys);
}

void sl_keys_reload_if_changed(struct sl_keys *keys)
{
    struct stat now = {0};
    if (stat(keys->path, &now) != 0)
        memset(&now, 0, sizeof now);
    pthread_rwlock_rdlock(&keys->lock);
    bool is_same = now.st_mtim.tv_sec == keys->changed.tv_sec &&
                   now.st_mtim.tv_nsec == keys->changed.tv_nsec && now.st_size == keys->size;
    pthread_rwlock_unlock(&keys->lock);
    if (is_same)
        return;
    struct key_list list;
    struct sl_error error = {0};
    if (load(keys->path, &list, &now, &error) != SL_OK) {
        SL_LOG_ERROR("keys", "the old keys stay in force: %s", error.message);
        return;
    }
    size_t count = list.count;
    adopt(keys, list, &now);
    SL_LOG_INFO("keys", "%zu API keys read", count);
}

/* ---- looking up ---- */

bool sl_keys_find(struct sl_keys *keys, struct sl_slice presented, struct sl_key_terms *terms)
{
    uint8_t hash[SL_SHA256_BYTES];
    sl_sha256(presented.data, presented.len, hash);
    bool is_found = false;
    pthread_rwlock_rdlock(&keys->lock);
    for (size_t i = 0; i < keys->list.count; i++) {
        const struct key_entry *entry = &keys->list.entries[i];
        if (sl_equal_constant_time(hash, sizeof hash, entry->hash, sizeof entry->hash)) {
            *terms = entry->terms;
            is_found = true;
        }
    }
    pthread_rwlock_unlock(&keys->lock);
    return is_found;
}

size_t sl_keys_count(struct sl_keys *keys)
{
    pthread_rwlock_rdlock(&keys->lock);
    size_t count = keys->list.count;
    pthread_rwlock_unlock(&keys->lock);
    return count;
}

bool sl_keys_get(struct sl_keys *keys, size_t idx, struct sl_key_terms *terms)
{
    pthread_rwlock_rdlock(&keys->lock);
    bool is_there = idx < keys->list.count;
    if (is_there)
        *terms = keys->list.entries[idx].terms;
    pthread_rwlock_unlock(&keys->lock);
    return is_there;
}

/* ---- changing ---- */

static json_t *entry_json(const struct key_entry *entry)
{
    char hash[2 * SL_SHA256_BYTES + 1], created[32];
    struct tm tm;
    time_t seconds = (time_t)entry->terms.created_s;
    sl_hex_encode(entry->hash, sizeof entry->hash, hash);
    gmtime_r(&seconds, &tm);
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "id", entry->terms.id, "name",
                     entry->terms.name, "sha256", hash, "created", created, "requests_per_minute",
                     (json_int_t)entry->terms.requests_per_minute, "tokens_per_minute",
                     (json_int_t)entry->terms.tokens_per_minute);
}

static enum sl_err save(const char *path, const struct key_list *list, struct sl_error *error)
{
    json_t *rows = json_array();
    bool has_all = rows != NULL;
    for (size_t i = 0; i < list->count && has_all; i++)
        has_all = json_array_append_new(rows, entry_json(&list->entries[i])) == 0;
    json_t *root = json_pack("{s:o}", "keys", rows);
    char *text = has_all && root != NULL ? json_dumps(root, JSON_INDENT(2)) : NULL;
    enum sl_err err = text != NULL ? sl_file_replace(path, sl_slice_of(text), error)
                                   : sl_error_set(error, SL_ERR_MEMORY, NULL);
    free(text);
    json_decref(root);
    return err;
}

static bool is_name(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= SL_KEY_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F || name[i] == '"')
            return false;
    return true;
}

static void make_key(struct key_entry *entry, char text[SL_KEY_TEXT_BYTES])
{
    uint8_t random[KEY_RANDOM_BYTES], id[5];
    sl_random_bytes(random, sizeof random);
    sl_random_bytes(id, sizeof id);
    memcpy(text, key_prefix, sizeof key_prefix - 1);
    sl_base64url_encode(random, sizeof random, text + sizeof key_prefix - 1);
    sl_sha256(text, strlen(text), entry->hash);
    sl_wipe(random, sizeof random);
    entry->terms.id[0] = 'k';
    sl_hex_encode(id, sizeof id, entry->terms.id + 1);
    entry->terms.created_s = sl_wall_seconds();
}

/* A copy of the file's list with room for one more. */
static enum sl_err load_for_change(struct sl_keys *keys, struct key_list *list,
                                   struct sl_error *error)
{
    struct stat stamp;
    enum sl_err err = load(keys->path, list, &stamp, error);
    if (err != SL_OK)
        return err;
    if (list->count >= SL_KEYS_MAX)
        err = sl_error_set(error, SL_ERR_LIMIT, "no more than %d keys", SL_KEYS_MAX);
    struct key_entry *entries = realloc(list->entries, (list->count + 1) * sizeof *entries);
    if (entries == NULL)
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    else
        list->entries = entries;
    if (err != SL_OK)
        free(list->entries);
    return err;
}

static enum sl_err store(struct sl_keys *keys, struct key_list list, struct sl_error *error)
{
    enum sl_err err = save(keys->path, &list, error);
    struct stat stamp = {0};
    if (err == SL_OK && stat(keys->path, &stamp) == 0)
        adopt(keys, list, &stamp);
    else
        free(list.entries);
    return err;
}

enum sl_err sl_keys_add(struct sl_keys *keys, struct sl_key_terms *terms,
                        char text[SL_KEY_TEXT_BYTES], struct sl_error *error)
{
    struct key_list list;
    if (!is_name(terms->name))
        return sl_error_set(error, SL_ERR_INVALID,
                            "a key's name has 1 to %d printable bytes and no quote",
                            SL_KEY_NAME_MAX - 1);
    enum sl_err err = load_for_change(keys, &list, error);
    if (err != SL_OK)
        return err;
    for (size_t i = 0; i < list.count; i++) {
        if (strcmp(list.entries[i].terms.name, terms->name) == 0) {
            free(list.entries);
            return sl_error_set(error, SL_ERR_INVALID, "there is a key named \"%s\" already",
                                terms->name);
        }
    }
    struct key_entry *entry = &list.entries[list.count++];
    memset(entry, 0, sizeof *entry);
    entry->terms = *terms;
    make_key(entry, text);
    *terms = entry->terms;
    return store(keys, list, error);
}

enum sl_err sl_keys_revoke(struct sl_keys *keys, const char *id_or_name, struct sl_error *error)
{
    struct key_list list;
    enum sl_err err = load_for_change(keys, &list, error);
    if (err != SL_OK)
        return err;
    for (size_t i = 0; i < list.count; i++) {
        const struct sl_key_terms *terms = &list.entries[i].terms;
        if (strcmp(terms->id, id_or_name) != 0 && strcmp(terms->name, id_or_name) != 0)
            continue;
        memmove(&list.entries[i], &list.entries[i + 1],
                (list.count - i - 1) * sizeof *list.entries);
        list.count--;
        return store(keys, list, error);
    }
    free(list.entries);
    return sl_error_set(error, SL_ERR_NOT_FOUND, "no key with the id or name \"%.64s\"",
                        id_or_name);
}
