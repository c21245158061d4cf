/* SPDX-License-Identifier: Apache-2.0
 *
 * The vocabulary: texts, types and scores where they lie in the file, and a hash from text to id.
 * Owns sizes and look-ups; what tokens mean is tokenizer_roles.c's, what they stand for in text
 * tokenizer_pieces.c's.
 */
#include "tokenizer_internal.h"

#include <stdlib.h>

#define VOCAB_MAX (1u << 22)      /* the largest published vocabulary has 262,144 */
#define TEXT_BYTES_MAX 2048u      /* see SL_DETOKENIZER_BYTES_MAX */
#define LENGTH_WORD 8

/* FNV-1a with a final mix: keys are short, and slots are taken from the low bits. */
uint64_t sl_vocab_hash(const char *text, size_t len)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001B3u;
    return hash ^ hash >> 29;
}

struct sl_slice sl_vocab_text(const struct sl_tokenizer *tokenizer, int32_t id)
{
    const char *text = tokenizer->map + tokenizer->text_offsets[id];
    uint64_t len;
    memcpy(&len, text - LENGTH_WORD, sizeof len);
    return (struct sl_slice){text, (size_t)len};
}

int32_t sl_vocab_find(const struct sl_tokenizer *tokenizer, const char *text, size_t len)
{
    if (len == 0 || len > tokenizer->text_len_max)
        return SL_TOKEN_NONE;
    uint32_t slot = (uint32_t)sl_vocab_hash(text, len) & tokenizer->slot_mask;
    for (; tokenizer->slots[slot] != 0; slot = (slot + 1) & tokenizer->slot_mask) {
        int32_t id = (int32_t)(tokenizer->slots[slot] - 1);
        if (sl_slice_equal(sl_vocab_text(tokenizer, id), (struct sl_slice){text, len}))
            return id;
    }
    return SL_TOKEN_NONE;
}

float sl_vocab_score(const struct sl_tokenizer *tokenizer, int32_t id)
{
    const struct sl_gguf_array *scores = &tokenizer->scores;
    if (scores->data == NULL)
        return 0;
    if (scores->type != SL_GGUF_F32)
        return (float)sl_gguf_array_number(scores, (uint64_t)id);
    float score;
    memcpy(&score, (const char *)scores->data + (size_t)id * sizeof score, sizeof score);
    return score;
}

static enum sl_err load_texts(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf,
                              struct sl_error *error)
{
    struct sl_gguf_array tokens;
    enum sl_err err = sl_gguf_array(gguf, "tokenizer.ggml.tokens", &tokens, error);
    if (err != SL_OK)
        return err;
    if (tokens.type != SL_GGUF_STRING || tokens.count == 0 || tokens.count > VOCAB_MAX)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "tokenizer.ggml.tokens: expected 1 to %u strings", VOCAB_MAX);
    tokenizer->vocab_size = (uint32_t)tokens.count;
    tokenizer->map = tokens.data;
    tokenizer->text_offsets = calloc(tokens.count, sizeof *tokenizer->text_offsets);
    if (tokenizer->text_offsets == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    const void *cursor = tokens.data;
    for (uint32_t id = 0; id < tokenizer->vocab_size; id++) {
        struct sl_slice text = sl_gguf_next_string(&cursor);
        size_t offset = (size_t)(text.data - tokenizer->map);
        if (text.len > TEXT_BYTES_MAX || offset > UINT32_MAX)
            return sl_error_set(error, SL_ERR_FORMAT,
                                "tokenizer.ggml.tokens[%u]: %zu bytes, expected at most %u", id,
                                text.len, TEXT_BYTES_MAX);
        tokenizer->text_offsets[id] = (uint32_t)offset;
        if (text.len > tokenizer->text_len_max)
            tokenizer->text_len_max = (uint32_t)text.len;
    }
    return SL_OK;
}

static enum sl_err build_hash(struct sl_tokenizer *tokenizer, struct sl_error *error)
{
    uint32_t slot_count = 16;
    while (slot_count < tokenizer->vocab_size + tokenizer->vocab_size / 2)
        slot_count *= 2;
    tokenizer->slots = calloc(slot_count, sizeof *tokenizer->slots);
    if (tokenizer->slots == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    tokenizer->slot_mask = slot_count - 1;
    for (uint32_t id = 0; id < tokenizer->vocab_size; id++) {
        struct sl_slice text = sl_vocab_text(tokenizer, (int32_t)id);
        if (text.len == 0 || sl_vocab_find(tokenizer, text.data, text.len) != SL_TOKEN_NONE)
            continue;
        uint32_t slot = (uint32_t)sl_vocab_hash(text.data, text.len) & tokenizer->slot_mask;
        while (tokenizer->slots[slot] != 0)
            slot = (slot + 1) & tokenizer->slot_mask;
        tokenizer->slots[slot] = id + 1;
    }
    return SL_OK;
}

static enum sl_err load_types(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf,
                              struct sl_error *error)
{
    tokenizer->types = malloc(tokenizer->vocab_size);
    if (tokenizer->types == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    memset(tokenizer->types, SL_TOKEN_NORMAL, tokenizer->vocab_size);
    if (!sl_gguf_has(gguf, "tokenizer.ggml.token_type"))
        return SL_OK;
    struct sl_gguf_array types;
    enum sl_err err = sl_gguf_array(gguf, "tokenizer.ggml.token_type", &types, error);
    if (err != SL_OK)
        return err;
    if (types.type == SL_GGUF_STRING || types.type == SL_GGUF_ARRAY ||
        types.count < tokenizer->vocab_size)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "tokenizer.ggml.token_type: expected %u numbers",
                            tokenizer->vocab_size);
    for (uint32_t id = 0; id < tokenizer->vocab_size; id++) {
        double type = sl_gguf_array_number(&types, id);
        tokenizer->types[id] = type >= 0 && type <= SL_TOKEN_BYTE ? (uint8_t)type : 0;
    }
    return SL_OK;
}

static enum sl_err load_scores(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf,
                               struct sl_error *error)
{
    if (!sl_gguf_has(gguf, "tokenizer.ggml.scores"))
        return SL_OK;
    enum sl_err err = sl_gguf_array(gguf, "tokenizer.ggml.scores", &tokenizer->scores, error);
    if (err != SL_OK)
        return err;
    if ((tokenizer->scores.type != SL_GGUF_F32 && tokenizer->scores.type != SL_GGUF_I32) ||
        tokenizer->scores.count < tokenizer->vocab_size)
        return sl_error_set(error, SL_ERR_FORMAT, "tokenizer.ggml.scores: expected %u floats",
                            tokenizer->vocab_size);
    return SL_OK;
}

enum sl_err sl_vocab_load(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf,
                          struct sl_error *error)
{
    enum sl_err err = load_texts(tokenizer, gguf, error);
    if (err == SL_OK)
        err = build_hash(tokenizer, error);
    if (err == SL_OK)
        err = load_types(tokenizer, gguf, error);
    if (err == SL_OK)
        err = load_scores(tokenizer, gguf, error);
    return err;
}
