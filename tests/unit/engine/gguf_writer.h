/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds small GGUF files in memory for tests, byte by byte, so that each can be wrong in one place.
 * Header only; a writer holds at most GGUF_WRITER_MAX bytes.
 */
#ifndef SLUICE_TEST_GGUF_WRITER_H
#define SLUICE_TEST_GGUF_WRITER_H

#include "gguf.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define GGUF_WRITER_MAX (1u << 20)

struct gguf_writer {
    _Alignas(64) uint8_t data[GGUF_WRITER_MAX];
    size_t len;
};

static inline void gw_bytes(struct gguf_writer *w, const void *data, size_t len)
{
    ck_assert_uint_le(w->len + len, GGUF_WRITER_MAX);
    memcpy(w->data + w->len, data, len);
    w->len += len;
}

static inline void gw_u32(struct gguf_writer *w, uint32_t value)
{
    gw_bytes(w, &value, sizeof value);
}

static inline void gw_u64(struct gguf_writer *w, uint64_t value)
{
    gw_bytes(w, &value, sizeof value);
}

static inline void gw_text(struct gguf_writer *w, const char *text)
{
    gw_u64(w, strlen(text));
    gw_bytes(w, text, strlen(text));
}

static inline void gw_header(struct gguf_writer *w, uint64_t tensors, uint64_t keys)
{
    w->len = 0;
    gw_bytes(w, "GGUF", 4);
    gw_u32(w, 3);
    gw_u64(w, tensors);
    gw_u64(w, keys);
}

static inline void gw_key(struct gguf_writer *w, const char *key, uint32_t type)
{
    gw_text(w, key);
    gw_u32(w, type);
}

static inline void gw_key_u32(struct gguf_writer *w, const char *key, uint32_t value)
{
    gw_key(w, key, SL_GGUF_U32);
    gw_u32(w, value);
}

static inline void gw_key_text(struct gguf_writer *w, const char *key, const char *value)
{
    gw_key(w, key, SL_GGUF_STRING);
    gw_text(w, value);
}

static inline void gw_tensor(struct gguf_writer *w, const char *name, uint32_t type, uint64_t cols,
                             uint64_t rows, uint64_t offset)
{
    gw_text(w, name);
    gw_u32(w, rows == 0 ? 1 : 2);
    gw_u64(w, cols);
    if (rows != 0)
        gw_u64(w, rows);
    gw_u32(w, type);
    gw_u64(w, offset);
}

static inline void gw_align(struct gguf_writer *w, size_t to)
{
    while (w->len % to != 0)
        gw_bytes(w, "", 1);
}

static inline void gw_save(const struct gguf_writer *w, const char *path)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(w->data, 1, w->len, file), w->len);
    ck_assert_int_eq(fclose(file), 0);
}

#endif
