/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes that come from outside the process: hashed words, a label and box from the second level,
 * the second level's address. The first byte chooses.
 */
#include "record.h"
#include "shared_url.h"
#include "similar_words.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_words(struct sl_slice bytes)
{
    static struct words_view view;
    static struct vector vector;
    if (!similar_words_read(bytes, &view))
        return;
    similar_verify(&view, &view, SIMILAR_BY_MEANING);
    similar_verify(&view, &view, SIMILAR_BY_VECTOR);
    if (similar_words_vector(&view, &vector) && vector.len > VECTOR_LEN_MAX)
        abort();
}

/* A label survives a round trip; a box that nobody sealed never opens. */
static void read_label(struct sl_slice bytes)
{
    static struct keyring *keyring;
    struct record_label label;
    struct record *record = NULL;
    uint32_t key_id;
    uint8_t again[RECORD_LABEL_BYTES];
    if (keyring == NULL && keyring_open(NULL, &keyring, NULL) != SL_OK)
        abort();
    if (!record_label_read(bytes, &label, &key_id))
        return;
    record_label_write(&label, key_id, again);
    if (memcmp(again, bytes.data, sizeof again) != 0)
        abort();
    struct sl_slice box = {bytes.data + RECORD_LABEL_BYTES, bytes.len - RECORD_LABEL_BYTES};
    if (record_open(keyring, &label, keyring_body_id(keyring), box, &record) == SL_OK)
        abort();
}

static void read_url(struct sl_slice bytes)
{
    struct shared_url url;
    struct sl_error error = {0};
    char *text = malloc(bytes.len + 1);
    if (text == NULL)
        return;
    if (bytes.len > 0)
        memcpy(text, bytes.data, bytes.len);
    text[bytes.len] = '\0';
    if (shared_url_parse(text, &url, &error) == SL_OK && url.host[0] == '\0')
        abort();
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct sl_slice rest = {(const char *)data + 1, size - 1};
    switch (data[0] % 3) {
    case 0:
        read_words(rest);
        break;
    case 1:
        read_label(rest);
        break;
    default:
        read_url(rest);
    }
    return 0;
}
