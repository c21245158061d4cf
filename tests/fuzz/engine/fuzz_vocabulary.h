/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes the metadata of a GGUF file with a vocabulary, for fuzz targets. Header only.
 */
#ifndef SLUICE_FUZZ_VOCABULARY_H
#define SLUICE_FUZZ_VOCABULARY_H

#include "sluice/buf.h"
#include "tokenizer.h"

#include <stdint.h>
#include <stdlib.h>

struct fuzz_vocabulary {
    struct sl_buf tokens;
    struct sl_buf types;
    struct sl_buf merges;
    uint64_t token_count;
    uint64_t merge_count;
    struct sl_buf file;
};

static inline void fuzz_put(struct sl_buf *buf, const void *data, size_t len)
{
    if (sl_buf_append(buf, data, len) != SL_OK)
        abort();
}

static inline void fuzz_u32(struct sl_buf *buf, uint32_t value)
{
    fuzz_put(buf, &value, sizeof value);
}

static inline void fuzz_text(struct sl_buf *buf, struct sl_slice text)
{
    uint64_t len = text.len;
    fuzz_put(buf, &len, sizeof len);
    if (text.len > 0)
        fuzz_put(buf, text.data, text.len);
}

static inline void fuzz_vocabulary_init(struct fuzz_vocabulary *vocabulary)
{
    *vocabulary = (struct fuzz_vocabulary){0};
    sl_buf_init(&vocabulary->tokens, 16 << 20);
    sl_buf_init(&vocabulary->types, 16 << 20);
    sl_buf_init(&vocabulary->merges, 16 << 20);
    sl_buf_init(&vocabulary->file, 64 << 20);
}

static inline void fuzz_vocabulary_clear(struct fuzz_vocabulary *vocabulary)
{
    sl_buf_clear(&vocabulary->tokens);
    sl_buf_clear(&vocabulary->types);
    sl_buf_clear(&vocabulary->merges);
    sl_buf_clear(&vocabulary->file);
}

static inline void fuzz_token(struct fuzz_vocabulary *vocabulary, struct sl_slice text,
                              uint32_t type)
{
    fuzz_text(&vocabulary->tokens, text);
    fuzz_u32(&vocabulary->types, type);
    vocabulary->token_count++;
}

static inline void fuzz_merge(struct fuzz_vocabulary *vocabulary, struct sl_slice text)
{
    fuzz_text(&vocabulary->merges, text);
    vocabulary->merge_count++;
}

static inline void fuzz_array(struct sl_buf *file, const char *key, uint32_t type, uint64_t count,
                              const struct sl_buf *elements)
{
    fuzz_text(file, sl_slice_of(key));
    fuzz_u32(file, SL_GGUF_ARRAY);
    fuzz_u32(file, type);
    fuzz_put(file, &count, sizeof count);
    if (elements->len > 0)
        fuzz_put(file, elements->data, elements->len);
}

static inline void fuzz_string(struct sl_buf *file, const char *key, const char *value)
{
    fuzz_text(file, sl_slice_of(key));
    fuzz_u32(file, SL_GGUF_STRING);
    fuzz_text(file, sl_slice_of(value));
}

/* Fills `file`. */
static inline void fuzz_vocabulary_encode(struct fuzz_vocabulary *vocabulary, const char *model,
                                          const char *pre)
{
    struct sl_buf *file = &vocabulary->file;
    uint64_t counts[2] = {0, 5};
    fuzz_put(file, "GGUF\3\0\0\0", 8);
    fuzz_put(file, counts, sizeof counts);
    fuzz_string(file, "tokenizer.ggml.model", model);
    fuzz_string(file, "tokenizer.ggml.pre", pre);
    fuzz_array(file, "tokenizer.ggml.tokens", SL_GGUF_STRING, vocabulary->token_count,
               &vocabulary->tokens);
    fuzz_array(file, "tokenizer.ggml.token_type", SL_GGUF_I32, vocabulary->token_count,
               &vocabulary->types);
    fuzz_array(file, "tokenizer.ggml.merges", SL_GGUF_STRING, vocabulary->merge_count,
               &vocabulary->merges);
    while (file->len % 32 != 0)
        fuzz_put(file, "", 1);
}

#endif
