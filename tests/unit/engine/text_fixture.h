/* SPDX-License-Identifier: Apache-2.0
 *
 * A GGUF file in memory with a vocabulary, for tests of tokenizers and constraints that need no
 * reference data. Header only.
 *
 *     struct text_fixture fixture;
 *     text_fixture_begin(&fixture, "gpt2", "gpt-2");
 *     text_fixture_token(&fixture, "a", 1, 0);
 *     text_fixture_merge(&fixture, "a b");
 *     struct sl_tokenizer *tokenizer = text_fixture_open(&fixture);
 *     text_fixture_close(&fixture);
 */
#ifndef SLUICE_TEST_TEXT_FIXTURE_H
#define SLUICE_TEST_TEXT_FIXTURE_H

#include "sluice/buf.h"
#include "sluice/utf8.h"
#include "test_support.h"
#include "tokenizer.h"

#include <stdint.h>
#include <stdlib.h>

struct text_fixture {
    const char *model;
    const char *pre;
    struct sl_buf tokens; /* encoded elements of the arrays */
    struct sl_buf types;
    struct sl_buf scores;
    struct sl_buf merges;
    struct sl_buf extra;  /* further encoded entries */
    uint64_t token_count;
    uint64_t merge_count;
    uint64_t extra_count;
    struct sl_buf file;
    struct sl_gguf *gguf;
    struct sl_tokenizer *tokenizer;
};

static inline void fixture_put(struct sl_buf *buf, const void *data, size_t len)
{
    ck_assert_int_eq(sl_buf_append(buf, data, len), SL_OK);
}

static inline void fixture_u32(struct sl_buf *buf, uint32_t value)
{
    fixture_put(buf, &value, sizeof value);
}

static inline void fixture_u64(struct sl_buf *buf, uint64_t value)
{
    fixture_put(buf, &value, sizeof value);
}

static inline void fixture_text(struct sl_buf *buf, const char *text)
{
    fixture_u64(buf, strlen(text));
    fixture_put(buf, text, strlen(text));
}

static inline void text_fixture_begin(struct text_fixture *fixture, const char *model,
                                      const char *pre)
{
    *fixture = (struct text_fixture){.model = model, .pre = pre};
    struct sl_buf *bufs[] = {&fixture->tokens, &fixture->types, &fixture->scores,
                             &fixture->merges, &fixture->extra, &fixture->file};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
        sl_buf_init(bufs[i], 64 << 20);
}

static inline int32_t text_fixture_token(struct text_fixture *fixture, const char *text,
                                         uint32_t type, float score)
{
    fixture_text(&fixture->tokens, text);
    fixture_u32(&fixture->types, type);
    fixture_put(&fixture->scores, &score, sizeof score);
    return (int32_t)fixture->token_count++;
}

static inline void text_fixture_merge(struct text_fixture *fixture, const char *merge)
{
    fixture_text(&fixture->merges, merge);
    fixture->merge_count++;
}

static inline void text_fixture_u32(struct text_fixture *fixture, const char *key, uint32_t value)
{
    fixture_text(&fixture->extra, key);
    fixture_u32(&fixture->extra, SL_GGUF_U32);
    fixture_u32(&fixture->extra, value);
    fixture->extra_count++;
}

static inline void text_fixture_bool(struct text_fixture *fixture, const char *key, bool value)
{
    uint8_t byte = value;
    fixture_text(&fixture->extra, key);
    fixture_u32(&fixture->extra, SL_GGUF_BOOL);
    fixture_put(&fixture->extra, &byte, 1);
    fixture->extra_count++;
}

/* The 256 bytes in GPT-2's printable alphabet: ids 0 to 255 in the order of the bytes. */
static inline void text_fixture_bytes(struct text_fixture *fixture)
{
    unsigned next = 256;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool prints = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) ||
                      byte >= 0xAE;
        char text[5] = {0};
        sl_utf8_encode(prints ? byte : next++, text);
        text_fixture_token(fixture, text, 1, 0);
    }
}

static inline void fixture_array(struct text_fixture *fixture, const char *key, uint32_t type,
                                 uint64_t count, const struct sl_buf *elements)
{
    fixture_text(&fixture->file, key);
    fixture_u32(&fixture->file, SL_GGUF_ARRAY);
    fixture_u32(&fixture->file, type);
    fixture_u64(&fixture->file, count);
    fixture_put(&fixture->file, elements->len > 0 ? elements->data : "", elements->len);
}

static inline void fixture_string(struct text_fixture *fixture, const char *key, const char *value)
{
    fixture_text(&fixture->file, key);
    fixture_u32(&fixture->file, SL_GGUF_STRING);
    fixture_text(&fixture->file, value);
}

/* The bytes of the file. */
static inline void text_fixture_encode(struct text_fixture *fixture)
{
    fixture_put(&fixture->file, "GGUF", 4);
    fixture_u32(&fixture->file, 3);
    fixture_u64(&fixture->file, 0);
    fixture_u64(&fixture->file, 5 + (fixture->merge_count > 0) + fixture->extra_count);
    fixture_string(fixture, "tokenizer.ggml.model", fixture->model);
    fixture_string(fixture, "tokenizer.ggml.pre", fixture->pre);
    fixture_array(fixture, "tokenizer.ggml.tokens", SL_GGUF_STRING, fixture->token_count,
                  &fixture->tokens);
    fixture_array(fixture, "tokenizer.ggml.token_type", SL_GGUF_I32, fixture->token_count,
                  &fixture->types);
    fixture_array(fixture, "tokenizer.ggml.scores", SL_GGUF_F32, fixture->token_count,
                  &fixture->scores);
    if (fixture->merge_count > 0)
        fixture_array(fixture, "tokenizer.ggml.merges", SL_GGUF_STRING, fixture->merge_count,
                      &fixture->merges);
    fixture_put(&fixture->file, fixture->extra.len > 0 ? fixture->extra.data : "",
                fixture->extra.len);
    while (fixture->file.len % 32 != 0)
        fixture_put(&fixture->file, "", 1);
}

static inline struct sl_tokenizer *text_fixture_open(struct text_fixture *fixture)
{
    struct sl_error error = {0};
    text_fixture_encode(fixture);
    ck_assert_msg(sl_gguf_open_memory(fixture->file.data, fixture->file.len, &fixture->gguf,
                                      &error) == SL_OK, "%s", error.message);
    ck_assert_msg(sl_tokenizer_create(fixture->gguf, &fixture->tokenizer, &error) == SL_OK, "%s",
                  error.message);
    return fixture->tokenizer;
}

static inline void text_fixture_close(struct text_fixture *fixture)
{
    sl_tokenizer_free(fixture->tokenizer);
    sl_gguf_close(fixture->gguf);
    struct sl_buf *bufs[] = {&fixture->tokens, &fixture->types, &fixture->scores,
                             &fixture->merges, &fixture->extra, &fixture->file};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
        sl_buf_clear(bufs[i]);
}

#endif
