/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes a GGUF of a published shape with random weights, for measuring speed without downloading
 * anything: bench_make_model SHAPE TYPE OUT.gguf, with SHAPE 135m, 360m (SmolLM2) or 0.5b (Qwen2.5)
 * and TYPE F16, Q8_0, Q4_0 or Q4_K_M. Types of single tensors are chosen as llama-quantize does for
 * these shapes (rows of 576 and 896 are no multiple of 256 and fall back). Other engines read the
 * file as well.
 */
#include "quant_blocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shape {
    const char *name, *arch, *pre;
    uint32_t layers, width, inner, heads, kv_heads, vocab, context;
    float rope_base;
};

static const struct shape shapes[] = {
    {"135m", "llama", "smollm", 30, 576, 1536, 9, 3, 49152, 8192, 100000},
    {"360m", "llama", "smollm", 32, 960, 2560, 15, 5, 49152, 8192, 100000},
    {"0.5b", "qwen2", "qwen2", 24, 896, 4864, 14, 2, 151936, 32768, 1000000},
};

struct tensor {
    char name[48];
    uint64_t cols, rows;
    uint32_t type;
    uint64_t offset, bytes;
};

static FILE *out;
static uint64_t random_state = 1;
static struct tensor tensors[512];
static size_t tensor_count;
static uint64_t key_count;
static uint64_t data_bytes;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* ---- values ---- */

static void put(const void *data, size_t len)
{
    if (fwrite(data, 1, len, out) != len) {
        perror("write");
        exit(1);
    }
}

static void put_u32(uint32_t value)
{
    put(&value, sizeof value);
}

static void put_u64(uint64_t value)
{
    put(&value, sizeof value);
}

static void put_text(const char *text)
{
    put_u64(strlen(text));
    put(text, strlen(text));
}

static void key_u32(const char *arch, const char *name, uint32_t value)
{
    char key[96];
    snprintf(key, sizeof key, "%s%s", arch, name);
    put_text(key);
    put_u32(4);
    put_u32(value);
}

static void key_f32(const char *arch, const char *name, float value)
{
    char key[96];
    snprintf(key, sizeof key, "%s%s", arch, name);
    put_text(key);
    put_u32(6);
    put(&value, sizeof value);
}

static void key_text(const char *key, const char *value)
{
    put_text(key);
    put_u32(8);
    put_text(value);
}

/* ---- vocabulary: the 256 bytes as GPT-2 spells them, then fillers ---- */

static void byte_token(uint32_t byte, char text[4])
{
    static const uint8_t skip[] = {0x21, 0x7e, 0xa1, 0xac, 0xae, 0xff};
    uint32_t shifted = 0;
    for (uint32_t other = 0; other <= byte; other++) {
        const bool printable = (other >= skip[0] && other <= skip[1]) ||
                               (other >= skip[2] && other <= skip[3]) || other >= skip[4];
        if (other == byte && printable) {
            shifted = byte;
            break;
        }
        if (!printable)
            shifted = other == byte ? 256 + shifted : shifted + 1;
    }
    if (shifted < 128) {
        text[0] = (char)shifted;
        text[1] = '\0';
    } else {
        text[0] = (char)(0xc0 | shifted >> 6);
        text[1] = (char)(0x80 | (shifted & 63));
        text[2] = '\0';
    }
}

#define CONTROL_TOKENS 3

static void put_vocabulary(const struct shape *shape)
{
    static const char *const control[CONTROL_TOKENS] = {"<|endoftext|>", "<|im_start|>",
                                                        "<|im_end|>"};
    char text[32];
    key_text("tokenizer.ggml.model", "gpt2");
    key_text("tokenizer.ggml.pre", shape->pre);
    put_text("tokenizer.ggml.tokens");
    put_u32(9);
    put_u32(8);
    put_u64(shape->vocab);
    for (uint32_t id = 0; id < shape->vocab; id++) {
        if (id < 256)
            byte_token(id, text);
        else if (id < 256 + CONTROL_TOKENS)
            snprintf(text, sizeof text, "%s", control[id - 256]);
        else
            snprintf(text, sizeof text, "w%x", id);
        put_text(text);
    }
    put_text("tokenizer.ggml.token_type");
    put_u32(9);
    put_u32(5);
    put_u64(shape->vocab);
    for (uint32_t id = 0; id < shape->vocab; id++)
        put_u32(id >= 256 && id < 256 + CONTROL_TOKENS ? 3 : 1);
    put_text("tokenizer.ggml.merges");
    put_u32(9);
    put_u32(8);
    put_u64(1);
    put_text("w 1");
    key_u32("", "tokenizer.ggml.bos_token_id", 257);
    key_u32("", "tokenizer.ggml.eos_token_id", 258);
    key_count += 7;
}

static void put_keys(const struct shape *shape)
{
    char arch[32];
    snprintf(arch, sizeof arch, "%s.", shape->arch);
    key_text("general.architecture", shape->arch);
    key_text("general.name", shape->name);
    key_u32(arch, "context_length", shape->context);
    key_u32(arch, "embedding_length", shape->width);
    key_u32(arch, "block_count", shape->layers);
    key_u32(arch, "feed_forward_length", shape->inner);
    key_u32(arch, "attention.head_count", shape->heads);
    key_u32(arch, "attention.head_count_kv", shape->kv_heads);
    key_f32(arch, "attention.layer_norm_rms_epsilon", 1e-5f);
    key_f32(arch, "rope.freq_base", shape->rope_base);
    key_u32(arch, "vocab_size", shape->vocab);
    key_u32(arch, "rope.dimension_count", shape->width / shape->heads);
    key_count += 12;
    put_vocabulary(shape);
}

/* ---- tensors ---- */

static void add_tensor(const char *name, uint64_t cols, uint64_t rows, uint32_t type)
{
    struct tensor *tensor = &tensors[tensor_count++];
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    tensor->cols = cols;
    tensor->rows = rows;
    tensor->type = type;
    tensor->offset = data_bytes;
    tensor->bytes = rows * sl_type_row_bytes(type, cols);
    data_bytes += (tensor->bytes + 31) / 32 * 32;
}

/* Whether llama-quantize gives the layer more bits in its mixes. */
static bool has_more_bits(uint32_t layer, uint32_t layers)
{
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

static uint32_t matrix_type(const char *mix, uint64_t cols, bool more_bits)
{
    if (strcmp(mix, "F16") == 0)
        return SL_TYPE_F16;
    if (strcmp(mix, "Q8_0") == 0)
        return SL_TYPE_Q8_0;
    if (strcmp(mix, "Q4_0") == 0)
        return SL_TYPE_Q4_0;
    if (cols % SL_SUPER_BLOCK == 0)
        return more_bits ? SL_TYPE_Q6_K : SL_TYPE_Q4_K;
    return more_bits ? SL_TYPE_Q8_0 : SL_TYPE_Q5_0;
}

static void add_layer(const struct shape *shape, uint32_t layer, const char *mix)
{
    const uint64_t width = shape->width;
    const uint64_t kv = (uint64_t)shape->width / shape->heads * shape->kv_heads;
    const bool more = has_more_bits(layer, shape->layers);
    const struct {
        const char *part;
        uint64_t cols, rows;
        bool is_vector, more_bits, only_qwen;
    } parts[] = {
        {"attn_norm.weight", width, 1, true, false, false},
        {"attn_q.weight", width, width, false, false, false},
        {"attn_k.weight", width, kv, false, false, false},
        {"attn_v.weight", width, kv, false, more, false},
        {"attn_q.bias", width, 1, true, false, true},
        {"attn_k.bias", kv, 1, true, false, true},
        {"attn_v.bias", kv, 1, true, false, true},
        {"attn_output.weight", width, width, false, false, false},
        {"ffn_norm.weight", width, 1, true, false, false},
        {"ffn_gate.weight", width, shape->inner, false, false, false},
        {"ffn_up.weight", width, shape->inner, false, false, false},
        {"ffn_down.weight", shape->inner, width, false, more, false},
    };
    for (size_t idx = 0; idx < sizeof parts / sizeof *parts; idx++) {
        char name[48];
        if (parts[idx].only_qwen && strcmp(shape->arch, "qwen2") != 0)
            continue;
        snprintf(name, sizeof name, "blk.%u.%s", layer, parts[idx].part);
        add_tensor(name, parts[idx].cols, parts[idx].rows,
                   parts[idx].is_vector ? SL_TYPE_F32
                                        : matrix_type(mix, parts[idx].cols, parts[idx].more_bits));
    }
}

/* Random codes with a scale that gives weights a deviation of some 0.02. */
static void random_block(uint32_t type, uint8_t *block, size_t bytes)
{
    for (size_t at = 0; at < bytes; at++)
        block[at] = (uint8_t)(next_random() >> 24);
    sl_f16 scale[2] = {0, 0};
    size_t at = 0;
    size_t count = 1;
    switch (type) {
    case SL_TYPE_Q8_0:
        scale[0] = sl_f16_from_f32(0.0003f);
        break;
    case SL_TYPE_Q4_0:
        scale[0] = sl_f16_from_f32(0.004f);
        break;
    case SL_TYPE_Q5_0:
        scale[0] = sl_f16_from_f32(0.002f);
        break;
    case SL_TYPE_Q4_K:
        scale[0] = sl_f16_from_f32(0.00008f);
        scale[1] = sl_f16_from_f32(0.0006f);
        count = 2;
        break;
    case SL_TYPE_Q6_K:
        scale[0] = sl_f16_from_f32(0.000015f);
        at = offsetof(struct sl_block_q6_k, d);
        break;
    case SL_TYPE_F16:
        for (size_t half = 0; half < bytes / 2; half++) {
            const float value = (float)(int8_t)block[2 * half] * 0.0003f;
            const sl_f16 code = sl_f16_from_f32(value);
            memcpy(block + 2 * half, &code, sizeof code);
        }
        return;
    default: /* F32: norms near 1, biases are as good as any */
        for (size_t number = 0; number < bytes / 4; number++) {
            const float value = 1.0f + (float)(int8_t)block[4 * number] * 0.001f;
            memcpy(block + 4 * number, &value, sizeof value);
        }
        return;
    }
    memcpy(block + at, scale, count * sizeof *scale);
}

static void put_data(const struct tensor *tensor)
{
    static const uint8_t zeros[32];
    uint8_t block[256];
    const size_t bytes = sl_type_traits(tensor->type)->block_bytes;
    for (uint64_t at = 0; at < tensor->bytes; at += bytes) {
        random_block(tensor->type, block, bytes);
        put(block, bytes);
    }
    put(zeros, (32 - tensor->bytes % 32) % 32);
}

static void put_file(const struct shape *shape, const char *mix)
{
    const bool is_k_mix = strcmp(mix, "Q4_0") == 0 || strcmp(mix, "Q4_K_M") == 0;
    add_tensor("token_embd.weight", shape->width, shape->vocab,
               is_k_mix ? SL_TYPE_Q8_0 : matrix_type(mix, shape->width, true));
    for (uint32_t layer = 0; layer < shape->layers; layer++)
        add_layer(shape, layer, mix);
    add_tensor("output_norm.weight", shape->width, 1, SL_TYPE_F32);
    put("GGUF", 4);
    put_u32(3);
    put_u64(tensor_count);
    put_u64(0); /* the number of keys, once they are counted */
    put_keys(shape);
    for (size_t idx = 0; idx < tensor_count; idx++) {
        put_text(tensors[idx].name);
        put_u32(tensors[idx].rows > 1 ? 2 : 1);
        put_u64(tensors[idx].cols);
        if (tensors[idx].rows > 1)
            put_u64(tensors[idx].rows);
        put_u32(tensors[idx].type);
        put_u64(tensors[idx].offset);
    }
    while (ftell(out) % 32 != 0)
        put("", 1);
    for (size_t idx = 0; idx < tensor_count; idx++)
        put_data(&tensors[idx]);
    fseek(out, 16, SEEK_SET);
    put_u64(key_count);
}

int main(int argc, char **argv)
{
    for (size_t idx = 0; argc == 4 && idx < sizeof shapes / sizeof *shapes; idx++) {
        if (strcmp(shapes[idx].name, argv[1]) != 0)
            continue;
        out = fopen(argv[3], "wb");
        if (out == NULL) {
            perror(argv[3]);
            return 1;
        }
        put_file(&shapes[idx], argv[2]);
        return fclose(out) == 0 ? 0 : 1;
    }
    fprintf(stderr, "usage: bench_make_model 135m|360m|0.5b F16|Q8_0|Q4_0|Q4_K_M OUT.gguf\n");
    return 2;
}
