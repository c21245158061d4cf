/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns the in-memory record and the sealed format. A record is one allocation and never changes,
 * so a hit hands out a reference instead of a copy.
 *
 * The plain text inside a box, little-endian, is
 *     format 1 (1 byte), prompt_tokens, completion_tokens (4 each), cost_microusd (8), three
 *     digests (16 each), then app, model, prompt, body, each a length (4) and its bytes.
 *
 * Threads: any; references is atomic, and everything else but the two touch fields is immutable.
 */
#include "record.h"

#include "sluice/checked.h"
#include "sluice/secret.h"

#include <stdlib.h>

#define BOX_FORMAT 1
#define BOX_HEAD_BYTES (1 + 4 + 4 + 8 + 3 * 16)
#define BOX_TEXTS 4
static const char label_magic[4] = {'S', 'L', 'C', '1'};

/* ---- bytes --------------------------------------------------------------------------------- */

static uint8_t *put_number(uint8_t *at, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static uint8_t *put_bytes(uint8_t *at, const void *data, size_t len)
{
    if (len > 0)
        memcpy(at, data, len);
    return at + len;
}

static uint64_t get_number(const uint8_t **at, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)(*at)[i] << (8 * i);
    *at += size;
    return value;
}

static void get_bytes(const uint8_t **at, void *out, size_t len)
{
    memcpy(out, *at, len);
    *at += len;
}

/* ---- label --------------------------------------------------------------------------------- */

void record_label_write(const struct record_label *label, uint32_t key_id,
                        uint8_t out[RECORD_LABEL_BYTES])
{
    uint8_t *at = put_bytes(out, label_magic, sizeof label_magic);
    at = put_number(at, key_id, 4);
    at = put_bytes(at, label->key.bytes, sizeof label->key.bytes);
    at = put_number(at, label->kind, 1);
    at = put_number(at, (uint64_t)label->created_s, 8);
    at = put_number(at, (uint64_t)label->expires_s, 8);
    at = put_bytes(at, label->app_tag, KEYRING_TAG_BYTES);
    at = put_bytes(at, label->model_tag, KEYRING_TAG_BYTES);
    put_bytes(at, label->made_from, sizeof label->made_from);
}

bool record_label_read(struct sl_slice bytes, struct record_label *label, uint32_t *key_id)
{
    if (bytes.len < RECORD_LABEL_BYTES || memcmp(bytes.data, label_magic, sizeof label_magic) != 0)
        return false;
    const uint8_t *at = (const uint8_t *)bytes.data + sizeof label_magic;
    *key_id = (uint32_t)get_number(&at, 4);
    get_bytes(&at, label->key.bytes, sizeof label->key.bytes);
    uint64_t kind = get_number(&at, 1);
    label->kind = kind == SL_CACHE_LOCAL ? SL_CACHE_LOCAL : SL_CACHE_CLOUD;
    label->created_s = (int64_t)get_number(&at, 8);
    label->expires_s = (int64_t)get_number(&at, 8);
    get_bytes(&at, label->app_tag, KEYRING_TAG_BYTES);
    get_bytes(&at, label->model_tag, KEYRING_TAG_BYTES);
    get_bytes(&at, label->made_from, sizeof label->made_from);
    return kind <= SL_CACHE_CLOUD;
}

void record_digest_tag(const struct keyring *keyring, const struct sl_cache_digest *digest,
                       uint8_t tag[KEYRING_TAG_BYTES])
{
    keyring_tag(keyring, "digest",
                (struct sl_slice){(const char *)digest->bytes, sizeof digest->bytes}, tag);
}

/* ---- record -------------------------------------------------------------------------------- */

static struct sl_slice place(char **at, struct sl_slice text)
{
    struct sl_slice placed = {*at, text.len};
    if (text.len > 0)
        memcpy(*at, text.data, text.len);
    *at += text.len;
    return placed;
}

static struct sl_slice cut_name(struct sl_slice name)
{
    return (struct sl_slice){name.data,
                             name.len < SL_CACHE_NAME_MAX ? name.len : SL_CACHE_NAME_MAX};
}

/* All but the label. `meta` has its names cut already. */
static struct record *record_alloc(const struct sl_cache_meta *meta, struct sl_slice body)
{
    size_t len = meta->app.len + meta->model.len;
    size_t size;
    if (!sl_size_add(len, meta->prompt.len, &len) || !sl_size_add(len, body.len, &len) ||
        !sl_size_add(len, sizeof(struct record), &size))
        return NULL;
    struct record *record = malloc(size);
    if (record == NULL)
        return NULL;
    memset(record, 0, sizeof *record);
    atomic_init(&record->references, 1);
    record->size = size;
    record->data_len = len;
    record->meta = *meta;
    char *at = record->data;
    record->meta.app = place(&at, meta->app);
    record->meta.model = place(&at, meta->model);
    record->meta.prompt = place(&at, meta->prompt);
    record->body = place(&at, body);
    return record;
}

struct record *record_create(const struct keyring *keyring, const struct sl_cache_key *key,
                             const struct sl_cache_meta *meta, struct sl_slice body,
                             int64_t created_s, int64_t expires_s)
{
    struct sl_cache_meta kept = *meta;
    kept.app = cut_name(meta->app);
    kept.model = cut_name(meta->model);
    if (kept.kind != SL_CACHE_CLOUD)
        kept.prompt = (struct sl_slice){NULL, 0};
    struct record *record = record_alloc(&kept, body);
    if (record == NULL)
        return NULL;
    record->label.key = *key;
    record->label.kind = kept.kind;
    record->label.created_s = created_s;
    record->label.expires_s = expires_s;
    keyring_tag(keyring, "app", kept.app, record->label.app_tag);
    keyring_tag(keyring, "model", kept.model, record->label.model_tag);
    record_digest_tag(keyring, &kept.model_digest, record->label.made_from[0]);
    record_digest_tag(keyring, &kept.template_digest, record->label.made_from[1]);
    record_digest_tag(keyring, &kept.policy_digest, record->label.made_from[2]);
    return record;
}

struct record *record_acquire(struct record *record)
{
    atomic_fetch_add_explicit(&record->references, 1, memory_order_relaxed);
    return record;
}

void record_release(struct record *record)
{
    if (record == NULL ||
        atomic_fetch_sub_explicit(&record->references, 1, memory_order_acq_rel) != 1)
        return;
    sl_wipe(record->data, record->data_len);
    free(record);
}

void record_lend(struct record *record, struct sl_cache_entry *entry)
{
    entry->body = record->body;
    entry->meta = record->meta;
    entry->created_s = record->label.created_s;
    entry->expires_s = record->label.expires_s;
    entry->owner = record;
}

void sl_cache_entry_clear(struct sl_cache_entry *entry)
{
    if (entry == NULL)
        return;
    record_release(entry->owner);
    memset(entry, 0, sizeof *entry);
}

/* ---- box ----------------------------------------------------------------------------------- */

static uint8_t *put_text(uint8_t *at, struct sl_slice text)
{
    at = put_number(at, text.len, 4);
    return put_bytes(at, text.data, text.len);
}

static void write_plain(const struct record *record, uint8_t *at)
{
    const struct sl_cache_meta *meta = &record->meta;
    at = put_number(at, BOX_FORMAT, 1);
    at = put_number(at, meta->prompt_tokens, 4);
    at = put_number(at, meta->completion_tokens, 4);
    at = put_number(at, meta->cost_microusd, 8);
    at = put_bytes(at, meta->model_digest.bytes, 16);
    at = put_bytes(at, meta->template_digest.bytes, 16);
    at = put_bytes(at, meta->policy_digest.bytes, 16);
    at = put_text(at, meta->app);
    at = put_text(at, meta->model);
    at = put_text(at, meta->prompt);
    put_text(at, record->body);
}

uint8_t *record_seal(struct keyring *keyring, const struct record *record, uint32_t key_id,
                     size_t *sealed_len)
{
    const struct sl_cipher *cipher = keyring_cipher(keyring, key_id);
    uint8_t label[RECORD_LABEL_BYTES];
    size_t plain_len = BOX_HEAD_BYTES + BOX_TEXTS * 4 + record->data_len;
    uint8_t *plain = malloc(plain_len);
    uint8_t *sealed = malloc(plain_len + SL_SEAL_OVERHEAD);
    if (cipher == NULL || plain == NULL || sealed == NULL)
        goto failed;
    write_plain(record, plain);
    record_label_write(&record->label, key_id, label);
    if (sl_cipher_seal(cipher, (struct sl_slice){(const char *)label, sizeof label}, plain,
                       plain_len, sealed) != SL_OK)
        goto failed;
    sl_wipe(plain, plain_len);
    free(plain);
    *sealed_len = plain_len + SL_SEAL_OVERHEAD;
    return sealed;
failed:
    if (plain != NULL)
        sl_wipe(plain, plain_len);
    free(plain);
    free(sealed);
    return NULL;
}

static bool get_text(const uint8_t **at, const uint8_t *end, struct sl_slice *text)
{
    if (end - *at < 4)
        return false;
    size_t len = (size_t)get_number(at, 4);
    if ((size_t)(end - *at) < len)
        return false;
    *text = (struct sl_slice){(const char *)*at, len};
    *at += len;
    return true;
}

static bool read_plain(const uint8_t *at, size_t len, struct sl_cache_meta *meta,
                       struct sl_slice *body)
{
    const uint8_t *end = at + len;
    if (len < BOX_HEAD_BYTES || get_number(&at, 1) != BOX_FORMAT)
        return false;
    meta->prompt_tokens = (uint32_t)get_number(&at, 4);
    meta->completion_tokens = (uint32_t)get_number(&at, 4);
    meta->cost_microusd = get_number(&at, 8);
    get_bytes(&at, meta->model_digest.bytes, 16);
    get_bytes(&at, meta->template_digest.bytes, 16);
    get_bytes(&at, meta->policy_digest.bytes, 16);
    return get_text(&at, end, &meta->app) && get_text(&at, end, &meta->model) &&
           get_text(&at, end, &meta->prompt) && get_text(&at, end, body) && at == end;
}

enum sl_err record_open(struct keyring *keyring, const struct record_label *label, uint32_t key_id,
                        struct sl_slice sealed, struct record **out)
{
    const struct sl_cipher *cipher = keyring_cipher(keyring, key_id);
    uint8_t bound[RECORD_LABEL_BYTES];
    struct sl_cache_meta meta = {.kind = label->kind};
    struct sl_slice body;
    if (cipher == NULL)
        return SL_ERR_CRYPTO;
    if (sealed.len < SL_SEAL_OVERHEAD)
        return SL_ERR_INTEGRITY;
    size_t plain_len = sealed.len - SL_SEAL_OVERHEAD;
    uint8_t *plain = malloc(plain_len + 1);
    if (plain == NULL)
        return SL_ERR_MEMORY;
    record_label_write(label, key_id, bound);
    enum sl_err err = sl_cipher_open(cipher, (struct sl_slice){(const char *)bound, sizeof bound},
                                     sealed.data, sealed.len, plain);
    if (err == SL_OK && !read_plain(plain, plain_len, &meta, &body))
        err = SL_ERR_INTEGRITY;
    if (err == SL_OK && (*out = record_alloc(&meta, body)) == NULL)
        err = SL_ERR_MEMORY;
    if (err == SL_OK)
        (*out)->label = *label;
    sl_wipe(plain, plain_len);
    free(plain);
    return err;
}
