/* SPDX-License-Identifier: Apache-2.0
 *
 * SentencePiece-like encoding: begin with characters, join the neighbours whose joint text is the
 * token with the best score, until none is left; characters that are no token become byte tokens.
 * Algorithm: SentencePiece's BPE with a queue (Kudo, Richardson 2018), as llama.cpp reads it.
 */
#include "tokenizer_internal.h"

#include "tokenizer_merge.h"

#include <stdlib.h>

/* A float as an integer that is smaller for a better (higher) score. */
static uint32_t score_order(float score)
{
    uint32_t bits;
    score += 0.0f; /* one zero, not two */
    memcpy(&bits, &score, sizeof bits);
    uint32_t ascending = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
    return ~ascending;
}

static bool merge_pair(const struct sl_merger *merger, const struct sl_symbol *left,
                       const struct sl_symbol *right, uint32_t *order, uint32_t *id)
{
    int32_t found =
        sl_vocab_find(merger->tokenizer, merger->text + left->begin, left->len + right->len);
    if (found == SL_TOKEN_NONE)
        return false;
    *order = score_order(sl_vocab_score(merger->tokenizer, found));
    *id = (uint32_t)found;
    return true;
}

/* Length of a UTF-8 sequence by its first byte alone: invalid bytes are characters too. */
static uint32_t lead_len(uint8_t lead)
{
    static const uint8_t lens[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
    return lens[lead >> 4];
}

static uint32_t cut_characters(struct sl_merger *merger, size_t len)
{
    uint32_t count = 0;
    for (size_t at = 0; at < len; count++) {
        uint32_t step = lead_len((uint8_t)merger->text[at]);
        if (step > len - at)
            step = (uint32_t)(len - at);
        int32_t id = sl_vocab_find(merger->tokenizer, merger->text + at, step);
        merger->symbols[count] =
            (struct sl_symbol){.begin = (uint32_t)at, .len = step, .id = (uint32_t)id};
        at += step;
    }
    return count;
}

static int32_t byte_token(const struct sl_tokenizer *tokenizer, uint8_t byte)
{
    static const char hex[] = "0123456789ABCDEF";
    char name[6] = {'<', '0', 'x', hex[byte >> 4], hex[byte & 15], '>'};
    int32_t id = sl_vocab_find(tokenizer, name, sizeof name);
    return id != SL_TOKEN_NONE ? id : sl_vocab_find(tokenizer, (const char *)&byte, 1);
}

static enum sl_err append_symbol(const struct sl_merger *merger, const struct sl_symbol *symbol,
                                 struct sl_tokens *tokens)
{
    const struct sl_tokenizer *tokenizer = merger->tokenizer;
    if (symbol->id != SL_NO_SYMBOL)
        return sl_tokens_append(tokens, (int32_t)symbol->id);
    for (uint32_t i = 0; i < symbol->len; i++) {
        int32_t id = byte_token(tokenizer, (uint8_t)merger->text[symbol->begin + i]);
        if (id == SL_TOKEN_NONE)
            id = tokenizer->unknown;
        if (id != SL_TOKEN_NONE && sl_tokens_append(tokens, id) != SL_OK)
            return SL_ERR_MEMORY;
    }
    return SL_OK;
}

/* The text with spaces as U+2581; free() it. */
static char *escape_spaces(struct sl_slice text, bool prefix_space, size_t *len_out)
{
    char *escaped = malloc(3 * (text.len + 1));
    if (escaped == NULL)
        return NULL;
    size_t len = 0;
    for (size_t i = prefix_space ? 0 : 1; i <= text.len; i++) {
        char c = i == 0 ? ' ' : text.data[i - 1];
        if (c == ' ') {
            memcpy(escaped + len, "\xE2\x96\x81", 3);
            len += 3;
        } else {
            escaped[len++] = c;
        }
    }
    *len_out = len;
    return escaped;
}

enum sl_err sl_spm_encode(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                          bool prefix_space, struct sl_tokens *tokens)
{
    size_t len;
    char *escaped = escape_spaces(text, prefix_space, &len);
    if (escaped == NULL)
        return SL_ERR_MEMORY;
    enum sl_err err = SL_ERR_MEMORY;
    struct sl_merger merger = {.tokenizer = tokenizer, .text = escaped, .merge = merge_pair};
    if (len == 0 || !sl_merger_init(&merger, len))
        goto out;
    sl_merger_run(&merger, cut_characters(&merger, len));
    err = SL_OK;
    for (uint32_t i = 0; i != SL_NO_SYMBOL && err == SL_OK; i = merger.symbols[i].next)
        err = append_symbol(&merger, &merger.symbols[i], tokens);
out:
    sl_merger_clear(&merger);
    free(escaped);
    return len == 0 ? SL_OK : err;
}
