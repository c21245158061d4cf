/* SPDX-License-Identifier: Apache-2.0
 *
 * A tokenizer from birth to death, and the walk of a text through it: special tokens are cut out
 * (tokenizer_special.c), each run of text between them goes to the encoder of its kind
 * (tokenizer_spm.c, tokenizer_bpe.c, tokenizer_wordpiece.c), and what the model wants around a
 * prompt is put around it. Loading is tokenizer_vocab.c, _roles.c and _pieces.c.
 *
 * Threads: nothing changes after sl_tokenizer_create.
 */
#include "tokenizer_internal.h"

#include <stdlib.h>

#define TEXT_BYTES_MAX ((size_t)256 << 20) /* positions are 32 bits wide, also after escaping */

void sl_tokens_clear(struct sl_tokens *tokens)
{
    if (tokens == NULL)
        return;
    free(tokens->ids);
    *tokens = (struct sl_tokens){0};
}

enum sl_err sl_tokens_append(struct sl_tokens *tokens, int32_t id)
{
    if (tokens->count == tokens->capacity) {
        size_t capacity = tokens->capacity == 0 ? 64 : tokens->capacity * 2;
        int32_t *grown = realloc(tokens->ids, capacity * sizeof *grown);
        if (grown == NULL)
            return SL_ERR_MEMORY;
        tokens->ids = grown;
        tokens->capacity = capacity;
    }
    tokens->ids[tokens->count++] = id;
    return SL_OK;
}

/* ---- birth and death ---- */

static enum sl_err choose_kind(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf,
                               struct sl_error *error)
{
    struct sl_slice model;
    enum sl_err err = sl_gguf_string(gguf, "tokenizer.ggml.model", &model, error);
    if (err != SL_OK)
        return err;
    struct sl_slice pre = sl_gguf_string_or(gguf, "tokenizer.ggml.pre", SL_SLICE(""));
    if (sl_slice_equal_text(model, "llama")) {
        tokenizer->kind = SL_TOKENIZER_SPM;
        return SL_OK;
    }
    if (sl_slice_equal_text(model, "bert")) {
        tokenizer->kind = SL_TOKENIZER_WORDPIECE;
        return SL_OK;
    }
    if (sl_slice_equal_text(model, "gemma4"))
        pre = SL_SLICE("gemma4");
    else if (!sl_slice_equal_text(model, "gpt2"))
        return sl_error_set(error, SL_ERR_UNSUPPORTED,
                            "tokenizer.ggml.model: \"%.*s\", expected llama, gpt2, gemma4 or bert",
                            (int)(model.len < 40 ? model.len : 40), model.data);
    tokenizer->kind = SL_TOKENIZER_BPE;
    tokenizer->pre = sl_pre_find(pre);
    if (tokenizer->pre == NULL)
        return sl_error_set(error, SL_ERR_UNSUPPORTED,
                            "tokenizer.ggml.pre: \"%.*s\" is not a known pre-tokenizer",
                            (int)(pre.len < 40 ? pre.len : 40), pre.data);
    return SL_OK;
}

static enum sl_err load(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf,
                        struct sl_error *error)
{
    enum sl_err err = choose_kind(tokenizer, gguf, error);
    if (err == SL_OK)
        err = sl_vocab_load(tokenizer, gguf, error);
    if (err == SL_OK)
        err = sl_roles_load(tokenizer, gguf, error);
    if (err == SL_OK)
        err = sl_pieces_build(tokenizer, error);
    if (err == SL_OK)
        err = sl_specials_build(tokenizer, error);
    if (err == SL_OK && tokenizer->kind == SL_TOKENIZER_BPE)
        err = sl_bpe_load(tokenizer, gguf, error);
    return err;
}

enum sl_err sl_tokenizer_create(const struct sl_gguf *gguf, struct sl_tokenizer **out,
                                struct sl_error *error)
{
    struct sl_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (tokenizer == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    enum sl_err err = load(tokenizer, gguf, error);
    if (err != SL_OK) {
        sl_tokenizer_free(tokenizer);
        return err;
    }
    *out = tokenizer;
    return SL_OK;
}

void sl_tokenizer_free(struct sl_tokenizer *tokenizer)
{
    if (tokenizer == NULL)
        return;
    sl_bpe_clear(&tokenizer->bpe);
    free(tokenizer->text_offsets);
    free(tokenizer->types);
    free(tokenizer->strips);
    free(tokenizer->slots);
    free(tokenizer->pieces);
    free(tokenizer->piece_offsets);
    free(tokenizer->specials);
    free(tokenizer->ends);
    free(tokenizer);
}

/* ---- encoding ---- */

static enum sl_err encode_text(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                               bool follows_special, struct sl_tokens *tokens)
{
    switch (tokenizer->kind) {
    case SL_TOKENIZER_SPM:
        return sl_spm_encode(tokenizer, text, tokenizer->adds_space_prefix && follows_special,
                             tokens);
    case SL_TOKENIZER_BPE:
        return sl_bpe_encode(tokenizer, text, tokens);
    default:
        return sl_wordpiece_encode(tokenizer, text, tokens);
    }
}

static enum sl_err encode_fragments(const struct sl_tokenizer *tokenizer,
                                    const struct sl_fragments *fragments,
                                    struct sl_tokens *tokens)
{
    bool follows_special = true; /* the beginning counts */
    for (size_t i = 0; i < fragments->count; i++) {
        const struct sl_fragment *fragment = &fragments->items[i];
        bool is_text = fragment->token == SL_TOKEN_NONE;
        enum sl_err err = is_text
                              ? encode_text(tokenizer, fragment->text, follows_special, tokens)
                              : sl_tokens_append(tokens, fragment->token);
        if (err != SL_OK)
            return err;
        follows_special = !is_text;
    }
    return SL_OK;
}

enum sl_err sl_tokenizer_encode(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                                bool add_special, bool parse_special, struct sl_tokens *tokens,
                                struct sl_error *error)
{
    if (text.len > TEXT_BYTES_MAX)
        return sl_error_set(error, SL_ERR_LIMIT, "text of %zu bytes, at most %zu can be tokenized",
                            text.len, TEXT_BYTES_MAX);
    bool is_wordpiece = tokenizer->kind == SL_TOKENIZER_WORDPIECE;
    int32_t first = tokenizer->adds_bos || is_wordpiece ? tokenizer->bos : SL_TOKEN_NONE;
    int32_t last = tokenizer->adds_eos ? tokenizer->eos : SL_TOKEN_NONE;
    if (is_wordpiece)
        last = tokenizer->separator;
    struct sl_fragments fragments = {0};
    enum sl_err err = sl_specials_split(tokenizer, text, parse_special, &fragments);
    if (err == SL_OK && add_special && first != SL_TOKEN_NONE)
        err = sl_tokens_append(tokens, first);
    if (err == SL_OK)
        err = encode_fragments(tokenizer, &fragments, tokens);
    if (err == SL_OK && add_special && last != SL_TOKEN_NONE)
        err = sl_tokens_append(tokens, last);
    free(fragments.items);
    return err == SL_OK ? SL_OK : sl_error_set(error, err, NULL);
}

/* ---- what is known about tokens ---- */

static bool is_token(const struct sl_tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && (uint32_t)id < tokenizer->vocab_size;
}

struct sl_slice sl_tokenizer_piece(const struct sl_tokenizer *tokenizer, int32_t id)
{
    if (!is_token(tokenizer, id))
        return (struct sl_slice){"", 0};
    uint32_t begin = tokenizer->piece_offsets[id];
    return (struct sl_slice){tokenizer->pieces + begin, tokenizer->piece_offsets[id + 1] - begin};
}

int32_t sl_tokenizer_find(const struct sl_tokenizer *tokenizer, struct sl_slice text)
{
    return sl_vocab_find(tokenizer, text.data, text.len);
}

uint32_t sl_tokenizer_vocab_size(const struct sl_tokenizer *tokenizer)
{
    return tokenizer->vocab_size;
}

bool sl_tokenizer_is_control(const struct sl_tokenizer *tokenizer, int32_t id)
{
    if (!is_token(tokenizer, id))
        return true;
    uint8_t type = tokenizer->types[id];
    return type != SL_TOKEN_NORMAL && type != SL_TOKEN_USER_DEFINED && type != SL_TOKEN_BYTE;
}

bool sl_tokenizer_is_end(const struct sl_tokenizer *tokenizer, int32_t id)
{
    return is_token(tokenizer, id) && (tokenizer->ends[id / 8] >> (id % 8) & 1) != 0;
}

int32_t sl_tokenizer_bos(const struct sl_tokenizer *tokenizer)
{
    return tokenizer->bos;
}

int32_t sl_tokenizer_eos(const struct sl_tokenizer *tokenizer)
{
    return tokenizer->eos;
}

bool sl_tokenizer_adds_bos(const struct sl_tokenizer *tokenizer)
{
    return tokenizer->adds_bos;
}

bool sl_tokenizer_adds_eos(const struct sl_tokenizer *tokenizer)
{
    return tokenizer->adds_eos;
}

bool sl_tokenizer_adds_space_prefix(const struct sl_tokenizer *tokenizer)
{
    return tokenizer->adds_space_prefix;
}
