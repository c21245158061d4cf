/* SPDX-License-Identifier: Apache-2.0
 *
 * One cached answer in memory: immutable, shared by reference count; and its sealed form.
 */
#ifndef SLUICE_CACHE_RECORD_H
#define SLUICE_CACHE_RECORD_H

#include "keyring.h"

#include <stdatomic.h>

/* What stands beside the box in the clear, on disk and in the second level. All of it is bound into
 * the seal: a row whose columns were swapped does not open. */
struct record_label {
    struct sl_cache_key key;
    enum sl_cache_kind kind;
    int64_t created_s;
    int64_t expires_s;
    uint8_t app_tag[KEYRING_TAG_BYTES];
    uint8_t model_tag[KEYRING_TAG_BYTES];
    uint8_t made_from[3][KEYRING_TAG_BYTES]; /* model, template, policy digest, as tags */
};

struct record {
    atomic_uint references;
    atomic_uint hits_pending; /* hits that the writer has not counted yet */
    atomic_bool is_touch_queued;
    struct record_label label;
    struct sl_cache_meta meta; /* slices point into data */
    struct sl_slice body;      /* points into data */
    size_t size;               /* of the whole allocation */
    size_t data_len;
    char data[]; /* app, model, prompt, body */
};

/* Copies everything; one reference, the caller's. NULL when out of memory. */
struct record *record_create(const struct keyring *keyring, const struct sl_cache_key *key,
                             const struct sl_cache_meta *meta, struct sl_slice body,
                             int64_t created_s, int64_t expires_s);
struct record *record_acquire(struct record *record);
/* The last release wipes the text. NULL is fine. */
void record_release(struct record *record);
/* Hands one reference over to *entry; sl_cache_entry_clear releases it. */
void record_lend(struct record *record, struct sl_cache_entry *entry);
/* The tag of a digest, as labels hold it. */
void record_digest_tag(const struct keyring *keyring, const struct sl_cache_digest *digest,
                       uint8_t tag[KEYRING_TAG_BYTES]);

/* Gives a box of *sealed_len bytes, to be freed; NULL when out of memory or the cipher fails. */
uint8_t *record_seal(struct keyring *keyring, const struct record *record, uint32_t key_id,
                     size_t *sealed_len);
/* Opens a box under its label. SL_ERR_INTEGRITY where they do not fit or the contents are not a
 * record's; SL_ERR_CRYPTO where the key is unknown; SL_ERR_MEMORY. */
enum sl_err record_open(struct keyring *keyring, const struct record_label *label, uint32_t key_id,
                        struct sl_slice sealed, struct record **out) SL_MUST_CHECK;
/* The label and key id as the bytes that a seal binds; also the head of a second-level value. */
#define RECORD_LABEL_BYTES (4 + 4 + 32 + 1 + 8 + 8 + 5 * KEYRING_TAG_BYTES)
void record_label_write(const struct record_label *label, uint32_t key_id,
                        uint8_t out[RECORD_LABEL_BYTES]);
bool record_label_read(struct sl_slice bytes, struct record_label *label, uint32_t *key_id);

#endif
