/* SPDX-License-Identifier: Apache-2.0
 *
 * The mixes of llama-quantize, as rules. Not every tensor suffers alike from fewer bits: the output
 * matrix, V (small where heads share it, and every error in it reaches every token) and the down
 * projection of the first, the last and every third layer get finer types. The rules reproduce the
 * files that llama-quantize makes; tests/conformance/engine/conformance_quantize.c compares.
 *
 * Threads: pure functions.
 */
#include "quantize_mix.h"

#include <stdio.h>
#include <stdlib.h>

static const struct sl_mix mixes[] = {
    {"F32", SL_TYPE_F32, SL_MIX_PLAIN, 0},        {"F16", SL_TYPE_F16, SL_MIX_PLAIN, 1},
    {"BF16", SL_TYPE_BF16, SL_MIX_PLAIN, 32},     {"Q8_0", SL_TYPE_Q8_0, SL_MIX_PLAIN, 7},
    {"Q4_0", SL_TYPE_Q4_0, SL_MIX_PLAIN, 2},      {"Q4_1", SL_TYPE_Q4_1, SL_MIX_PLAIN, 3},
    {"Q5_0", SL_TYPE_Q5_0, SL_MIX_PLAIN, 8},      {"Q5_1", SL_TYPE_Q5_1, SL_MIX_PLAIN, 9},
    {"Q2_K", SL_TYPE_Q2_K, SL_MIX_MEDIUM, 10},    {"Q3_K_S", SL_TYPE_Q3_K, SL_MIX_SMALL, 11},
    {"Q3_K_M", SL_TYPE_Q3_K, SL_MIX_MEDIUM, 12},  {"Q3_K_L", SL_TYPE_Q3_K, SL_MIX_LARGE, 13},
    {"Q4_K_S", SL_TYPE_Q4_K, SL_MIX_SMALL, 14},   {"Q4_K_M", SL_TYPE_Q4_K, SL_MIX_MEDIUM, 15},
    {"Q5_K_S", SL_TYPE_Q5_K, SL_MIX_SMALL, 16},   {"Q5_K_M", SL_TYPE_Q5_K, SL_MIX_MEDIUM, 17},
    {"Q6_K", SL_TYPE_Q6_K, SL_MIX_PLAIN, 18},
};
#define MIX_COUNT (sizeof mixes / sizeof mixes[0])

const struct sl_mix *sl_mix_at(size_t idx)
{
    return idx < MIX_COUNT ? &mixes[idx] : NULL;
}

const struct sl_mix *sl_mix_find(const char *name)
{
    char medium[16];
    for (size_t i = 0; i < MIX_COUNT; i++)
        if (strcasecmp(mixes[i].name, name) == 0)
            return &mixes[i];
    snprintf(medium, sizeof medium, "%.8s_M", name);
    for (size_t i = 0; i < MIX_COUNT; i++)
        if (strlen(name) == 4 && strcasecmp(mixes[i].name, medium) == 0)
            return &mixes[i];
    return NULL;
}

void sl_mix_model_init(struct sl_mix_model *model, const struct sl_gguf *gguf)
{
    char key[96];
    const struct sl_slice arch =
        sl_gguf_string_or(gguf, "general.architecture", SL_SLICE("llama"));
    const int arch_len = arch.len < 64 ? (int)arch.len : 64;
    snprintf(key, sizeof key, "%.*s.block_count", arch_len, arch.data);
    model->layers = sl_gguf_u32_or(gguf, key, 0);
    snprintf(key, sizeof key, "%.*s.attention.head_count", arch_len, arch.data);
    const uint32_t heads = sl_gguf_u32_or(gguf, key, 1);
    snprintf(key, sizeof key, "%.*s.attention.head_count_kv", arch_len, arch.data);
    const uint32_t kv_heads = sl_gguf_u32_or(gguf, key, heads);
    model->queries_per_kv = kv_heads > 0 ? heads / kv_heads : 1;
    model->has_output = sl_gguf_tensor(gguf, "output.weight") != NULL;
}

static bool contains(struct sl_slice name, const char *part)
{
    return memmem(name.data, name.len, part, strlen(part)) != NULL;
}

static bool ends_with(struct sl_slice name, const char *part)
{
    const size_t len = strlen(part);
    return name.len >= len && memcmp(name.data + name.len - len, part, len) == 0;
}

/* The number in "blk.N.", 0 where there is none. */
static uint32_t layer_of(struct sl_slice name)
{
    uint32_t layer = 0;
    if (!sl_slice_starts_with(name, SL_SLICE("blk.")))
        return 0;
    for (size_t i = 4; i < name.len && name.data[i] >= '0' && name.data[i] <= '9'; i++)
        layer = layer * 10 + (uint32_t)(name.data[i] - '0');
    return layer;
}

/* The first and last eighth, and every third in between. */
static bool is_sensitive(uint32_t layer, uint32_t layers)
{
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

static bool is_quantizable(const struct sl_gguf_tensor *tensor)
{
    static const char *const kept[] = {"_norm.weight", "ffn_gate_inp.weight", "position_embd",
                                       "token_types", "rope_freqs", "rope_factors"};
    if (tensor->dim_count < 2 || !ends_with(tensor->name, "weight"))
        return false;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (contains(tensor->name, kept[i]))
            return false;
    return true;
}

static enum sl_tensor_type choose_v(const struct sl_mix *mix, const struct sl_mix_model *model,
                                    uint32_t layer)
{
    const bool sensitive = is_sensitive(layer, model->layers);
    switch (mix->type) {
    case SL_TYPE_Q2_K:
        return model->queries_per_kv >= 4 ? SL_TYPE_Q4_K : SL_TYPE_Q3_K;
    case SL_TYPE_Q3_K:
        if (mix->size == SL_MIX_MEDIUM)
            return layer < 2 ? SL_TYPE_Q5_K : SL_TYPE_Q4_K;
        return mix->size == SL_MIX_LARGE ? SL_TYPE_Q5_K : SL_TYPE_Q3_K;
    case SL_TYPE_Q4_K:
        if (mix->size == SL_MIX_SMALL)
            return layer < 4 ? SL_TYPE_Q5_K : SL_TYPE_Q4_K;
        return sensitive ? SL_TYPE_Q6_K : SL_TYPE_Q4_K;
    case SL_TYPE_Q5_K:
        return mix->size == SL_MIX_MEDIUM && sensitive ? SL_TYPE_Q6_K : SL_TYPE_Q5_K;
    default:
        return mix->type;
    }
}

static enum sl_tensor_type choose_down(const struct sl_mix *mix, const struct sl_mix_model *model,
                                       uint32_t layer)
{
    const bool sensitive = is_sensitive(layer, model->layers);
    switch (mix->type) {
    case SL_TYPE_Q2_K:
        return SL_TYPE_Q3_K;
    case SL_TYPE_Q3_K:
        if (mix->size == SL_MIX_MEDIUM)
            return layer < model->layers / 16 ? SL_TYPE_Q5_K : SL_TYPE_Q4_K;
        return mix->size == SL_MIX_LARGE ? SL_TYPE_Q5_K : SL_TYPE_Q3_K;
    case SL_TYPE_Q4_K:
        if (mix->size == SL_MIX_SMALL)
            return layer < model->layers / 8 ? SL_TYPE_Q5_K : SL_TYPE_Q4_K;
        return sensitive ? SL_TYPE_Q6_K : SL_TYPE_Q4_K;
    case SL_TYPE_Q5_K:
        return mix->size == SL_MIX_MEDIUM && sensitive ? SL_TYPE_Q6_K : SL_TYPE_Q5_K;
    default:
        return mix->type;
    }
}

static enum sl_tensor_type choose_attention_output(const struct sl_mix *mix)
{
    if (mix->type == SL_TYPE_Q2_K)
        return SL_TYPE_Q3_K;
    if (mix->type == SL_TYPE_Q3_K && mix->size == SL_MIX_MEDIUM)
        return SL_TYPE_Q4_K;
    if (mix->type == SL_TYPE_Q3_K && mix->size == SL_MIX_LARGE)
        return SL_TYPE_Q5_K;
    return mix->type;
}

/* The nearest type whose blocks divide rows of `columns`. */
static enum sl_tensor_type fit_columns(enum sl_tensor_type type, uint64_t columns)
{
    if (columns % sl_type_traits(type)->block_size == 0)
        return type;
    switch (type) {
    case SL_TYPE_Q2_K: case SL_TYPE_Q3_K: return fit_columns(SL_TYPE_Q4_0, columns);
    case SL_TYPE_Q4_K: return fit_columns(SL_TYPE_Q5_0, columns);
    case SL_TYPE_Q5_K: return fit_columns(SL_TYPE_Q5_1, columns);
    case SL_TYPE_Q6_K: return fit_columns(SL_TYPE_Q8_0, columns);
    default: return SL_TYPE_F16;
    }
}

enum sl_tensor_type sl_mix_choose(const struct sl_mix *mix, const struct sl_mix_model *model,
                                  const struct sl_gguf_tensor *tensor)
{
    const struct sl_slice name = tensor->name;
    const uint32_t layer = layer_of(name);
    enum sl_tensor_type type = mix->type;
    if (!is_quantizable(tensor))
        return tensor->type;
    if (!sl_type_traits(mix->type)->is_quantized)
        return mix->type;
    if (sl_slice_equal_text(name, "output.weight") ||
        (!model->has_output && sl_slice_equal_text(name, "token_embd.weight")))
        type = mix->type == SL_TYPE_Q8_0 ? SL_TYPE_Q8_0 : SL_TYPE_Q6_K;
    else if (contains(name, "attn_v.weight") || contains(name, "attn_qkv.weight"))
        type = choose_v(mix, model, layer);
    else if (contains(name, "ffn_down"))
        type = choose_down(mix, model, layer);
    else if (contains(name, "attn_output.weight"))
        type = choose_attention_output(mix);
    return fit_columns(type, tensor->dims[0]);
}
