/* SPDX-License-Identifier: Apache-2.0
 *
 * Tiny models with random weights for unit tests, made on the spot, so that nothing but the tests
 * is needed to run them: llama, or an encoder (nomic-bert), with a byte vocabulary.
 *
 *     const char *path = tiny_model_write((struct tiny_model){.layers = 2}, "m.gguf");
 */
#ifndef SLUICE_TESTS_TINY_MODEL_H
#define SLUICE_TESTS_TINY_MODEL_H

#include "sluice/buf.h"
#include "test_support.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Zero fields take the values in brackets. */
struct tiny_model {
    const char *arch;      /* [llama] */
    uint32_t layers;       /* [2] */
    uint32_t width;        /* [64] */
    uint32_t heads;        /* [4] */
    uint32_t kv_heads;     /* [2] */
    uint32_t inner;        /* [96] */
    uint32_t context;      /* [256] */
    const char *leave_out; /* a key or tensor that is not written */
    const char *lie_about; /* a u32 key that gets `lie` instead, or a tensor with `lie` rows */
    uint32_t lie;
    const char *chat_template;
};

#define TINY_VOCAB 288 /* control tokens, 256 bytes, words */
#define TINY_BOS 1
#define TINY_EOS 2

struct tiny_writer {
    struct tiny_model model;
    struct sl_buf keys, infos, data;
    uint64_t key_count, tensor_count, random;
};

static inline void tiny_put(struct sl_buf *buf, const void *data, size_t len)
{
    ck_assert_int_eq(sl_buf_append(buf, data, len), SL_OK);
}

static inline void tiny_u32(struct sl_buf *buf, uint32_t value)
{
    tiny_put(buf, &value, sizeof value);
}

static inline void tiny_u64(struct sl_buf *buf, uint64_t value)
{
    tiny_put(buf, &value, sizeof value);
}

static inline void tiny_text(struct sl_buf *buf, const char *text)
{
    tiny_u64(buf, strlen(text));
    tiny_put(buf, text, strlen(text));
}

static inline bool tiny_begin_key(struct tiny_writer *writer, const char *key, uint32_t type)
{
    if (writer->model.leave_out != NULL && strcmp(writer->model.leave_out, key) == 0)
        return false;
    writer->key_count++;
    tiny_text(&writer->keys, key);
    tiny_u32(&writer->keys, type);
    return true;
}

static inline void tiny_key_u32(struct tiny_writer *writer, const char *suffix, uint32_t value)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", writer->model.arch, suffix);
    if (writer->model.lie_about != NULL && strcmp(writer->model.lie_about, key) == 0)
        value = writer->model.lie;
    if (tiny_begin_key(writer, key, 4))
        tiny_u32(&writer->keys, value);
}

static inline void tiny_key_text(struct tiny_writer *writer, const char *key, const char *text)
{
    if (tiny_begin_key(writer, key, 8))
        tiny_text(&writer->keys, text);
}

static inline void tiny_tensor(struct tiny_writer *writer, const char *name, uint32_t cols,
                               uint32_t rows)
{
    if (writer->model.leave_out != NULL && strcmp(writer->model.leave_out, name) == 0)
        return;
    if (writer->model.lie_about != NULL && strcmp(writer->model.lie_about, name) == 0)
        rows = writer->model.lie;
    writer->tensor_count++;
    tiny_text(&writer->infos, name);
    tiny_u32(&writer->infos, rows > 1 ? 2 : 1);
    tiny_u64(&writer->infos, cols);
    if (rows > 1)
        tiny_u64(&writer->infos, rows);
    tiny_u32(&writer->infos, 0); /* F32 */
    tiny_u64(&writer->infos, writer->data.len);
    const bool is_norm = strstr(name, "norm.weight") != NULL;
    float *values = calloc(cols, sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (uint32_t row = 0; row < rows; row++) {
        for (uint32_t col = 0; col < cols; col++) {
            writer->random ^= writer->random << 13;
            writer->random ^= writer->random >> 7;
            writer->random ^= writer->random << 17;
            const float value = ((float)(writer->random >> 40) * 0x1p-23f - 1.0f) * 0.5f;
            values[col] = is_norm ? 1 + value * 0.2f : value;
        }
        tiny_put(&writer->data, values, cols * sizeof *values);
    }
    free(values);
    while (writer->data.len % 32 != 0)
        tiny_put(&writer->data, "", 1);
}

static inline void tiny_layer(struct tiny_writer *writer, uint32_t layer)
{
    const struct tiny_model *model = &writer->model;
    const uint32_t kv = model->width / model->heads * model->kv_heads;
    const bool encoder = strcmp(model->arch, "nomic-bert") == 0;
    const struct {
        const char *part;
        uint32_t cols, rows;
        bool in_encoder, in_decoder;
    } parts[] = {
        {"attn_norm.weight", model->width, 1, false, true},
        {"attn_q.weight", model->width, model->width, false, true},
        {"attn_k.weight", model->width, kv, false, true},
        {"attn_v.weight", model->width, kv, false, true},
        {"attn_qkv.weight", model->width, model->width + 2 * kv, true, false},
        {"attn_output.weight", model->width, model->width, true, true},
        {"attn_output_norm.weight", model->width, 1, true, false},
        {"attn_output_norm.bias", model->width, 1, true, false},
        {"ffn_norm.weight", model->width, 1, false, true},
        {"ffn_gate.weight", model->width, model->inner, true, true},
        {"ffn_up.weight", model->width, model->inner, true, true},
        {"ffn_down.weight", model->inner, model->width, true, true},
        {"layer_output_norm.weight", model->width, 1, true, false},
        {"layer_output_norm.bias", model->width, 1, true, false},
    };
    for (size_t idx = 0; idx < sizeof parts / sizeof *parts; idx++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%u.%s", layer, parts[idx].part);
        if (encoder ? parts[idx].in_encoder : parts[idx].in_decoder)
            tiny_tensor(writer, name, parts[idx].cols, parts[idx].rows);
    }
}

static inline void tiny_vocabulary(struct tiny_writer *writer)
{
    static const char *const words[] = {"\u2581", "\u2581a", "\u2581b", "ab", "cd", "\u2581the"};
    tiny_key_text(writer, "tokenizer.ggml.model", "llama");
    ck_assert(tiny_begin_key(writer, "tokenizer.ggml.tokens", 9));
    tiny_u32(&writer->keys, 8);
    tiny_u64(&writer->keys, TINY_VOCAB);
    for (uint32_t id = 0; id < TINY_VOCAB; id++) {
        char text[32];
        if (id < 3)
            snprintf(text, sizeof text, "%s", id == 0 ? "<unk>" : id == 1 ? "<s>" : "</s>");
        else if (id < 259)
            snprintf(text, sizeof text, "<0x%02X>", id - 3);
        else if (id - 259 < sizeof words / sizeof *words)
            snprintf(text, sizeof text, "%s", words[id - 259]);
        else
            snprintf(text, sizeof text, "w%u", id);
        tiny_text(&writer->keys, text);
    }
    ck_assert(tiny_begin_key(writer, "tokenizer.ggml.scores", 9));
    tiny_u32(&writer->keys, 6);
    tiny_u64(&writer->keys, TINY_VOCAB);
    for (uint32_t id = 0; id < TINY_VOCAB; id++) {
        const float score = id < 259 ? 0 : -(float)(id - 258);
        tiny_put(&writer->keys, &score, sizeof score);
    }
    ck_assert(tiny_begin_key(writer, "tokenizer.ggml.token_type", 9));
    tiny_u32(&writer->keys, 5);
    tiny_u64(&writer->keys, TINY_VOCAB);
    for (uint32_t id = 0; id < TINY_VOCAB; id++)
        tiny_u32(&writer->keys, id == 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1);
    writer->key_count += 2;
    tiny_text(&writer->keys, "tokenizer.ggml.bos_token_id");
    tiny_u32(&writer->keys, 4);
    tiny_u32(&writer->keys, TINY_BOS);
    tiny_text(&writer->keys, "tokenizer.ggml.eos_token_id");
    tiny_u32(&writer->keys, 4);
    tiny_u32(&writer->keys, TINY_EOS);
    if (writer->model.chat_template != NULL)
        tiny_key_text(writer, "tokenizer.chat_template", writer->model.chat_template);
}

static inline void tiny_fill(struct tiny_writer *writer)
{
    const struct tiny_model *model = &writer->model;
    const bool encoder = strcmp(model->arch, "nomic-bert") == 0;
    tiny_key_text(writer, "general.architecture", model->arch);
    tiny_key_u32(writer, "context_length", model->context);
    tiny_key_u32(writer, "embedding_length", model->width);
    tiny_key_u32(writer, "block_count", model->layers);
    tiny_key_u32(writer, "feed_forward_length", model->inner);
    tiny_key_u32(writer, "attention.head_count", model->heads);
    tiny_key_u32(writer, "attention.head_count_kv", model->kv_heads);
    tiny_vocabulary(writer);
    tiny_tensor(writer, "token_embd.weight", model->width, TINY_VOCAB);
    if (encoder) {
        tiny_tensor(writer, "token_embd_norm.weight", model->width, 1);
        tiny_tensor(writer, "token_embd_norm.bias", model->width, 1);
        tiny_tensor(writer, "token_types.weight", model->width, 2);
    } else {
        tiny_tensor(writer, "output_norm.weight", model->width, 1);
        tiny_tensor(writer, "output.weight", model->width, TINY_VOCAB);
    }
    for (uint32_t layer = 0; layer < model->layers; layer++)
        tiny_layer(writer, layer);
}

/* Writes the model below the test's scratch folder; the path lives until the next call. */
static inline const char *tiny_model_write(struct tiny_model model, const char *name)
{
    static char path[4096];
    struct tiny_writer writer = {.model = model, .random = 88172645463325252u};
    struct tiny_model *filled = &writer.model;
    filled->arch = model.arch != NULL ? model.arch : "llama";
    filled->layers = model.layers > 0 ? model.layers : 2;
    filled->width = model.width > 0 ? model.width : 64;
    filled->heads = model.heads > 0 ? model.heads : 4;
    filled->kv_heads = model.kv_heads > 0 ? model.kv_heads : 2;
    filled->inner = model.inner > 0 ? model.inner : 96;
    filled->context = model.context > 0 ? model.context : 256;
    sl_buf_init(&writer.keys, 1 << 26);
    sl_buf_init(&writer.infos, 1 << 26);
    sl_buf_init(&writer.data, 1 << 28);
    tiny_fill(&writer);
    snprintf(path, sizeof path, "%s/%s", sl_test_scratch(), name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    struct sl_buf head;
    sl_buf_init(&head, 64);
    tiny_put(&head, "GGUF", 4);
    tiny_u32(&head, 3);
    tiny_u64(&head, writer.tensor_count);
    tiny_u64(&head, writer.key_count);
    while ((head.len + writer.keys.len + writer.infos.len) % 32 != 0)
        tiny_put(&writer.infos, "", 1);
    ck_assert_uint_eq(fwrite(head.data, 1, head.len, file), head.len);
    ck_assert_uint_eq(fwrite(writer.keys.data, 1, writer.keys.len, file), writer.keys.len);
    ck_assert_uint_eq(fwrite(writer.infos.data, 1, writer.infos.len, file), writer.infos.len);
    ck_assert_uint_eq(fwrite(writer.data.data, 1, writer.data.len, file), writer.data.len);
    ck_assert_int_eq(fclose(file), 0);
    sl_buf_clear(&head);
    sl_buf_clear(&writer.keys);
    sl_buf_clear(&writer.infos);
    sl_buf_clear(&writer.data);
    return path;
}

#endif
