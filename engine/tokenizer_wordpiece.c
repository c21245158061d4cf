/* SPDX-License-Identifier: Apache-2.0
 *
 * WordPiece as BERT has it: normalise (lower case, accents off), cut at white space and around
 * punctuation and Chinese characters, then spell each word with the longest tokens from its
 * beginning; a word that cannot be spelled is one unknown token. GGUF writes the beginning of a
 * word as U+2581 and leaves out the "##" of continuations.
 *
 * Accents go off as in the reference implementation: a code point becomes the first one of its
 * canonical decomposition, which for Hangul syllables keeps the initial consonant only.
 */
#include "tokenizer_internal.h"

#include "sluice/utf8.h"
#include "unicode.h"

#include <stdlib.h>

#define WORD_MARK "\xE2\x96\x81"
#define WORD_MARK_LEN 3

/* The word now being collected; `text` begins with the mark of a word. */
struct word {
    const struct sl_tokenizer *tokenizer;
    char *text;
    size_t len;
};

static bool is_chinese(uint32_t cp)
{
    return (cp >= 0x4E00 && cp <= 0x9FFF) || (cp >= 0x3400 && cp <= 0x4DBF) ||
           (cp >= 0x20000 && cp <= 0x2A6DF) || (cp >= 0x2A700 && cp <= 0x2B81F) ||
           (cp >= 0x2B920 && cp <= 0x2CEAF) || /* not 0x2B820: as in the publisher's code */
           (cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0x2F800 && cp <= 0x2FA1F);
}

/* The longest token at `begin`, or SL_TOKEN_NONE. */
static int32_t longest_token(const struct word *word, size_t begin, size_t *len)
{
    size_t most = word->tokenizer->text_len_max;
    if (most > word->len - begin)
        most = word->len - begin;
    for (; most > 0; most--) {
        int32_t id = sl_vocab_find(word->tokenizer, word->text + begin, most);
        if (id != SL_TOKEN_NONE) {
            *len = most;
            return id;
        }
    }
    return SL_TOKEN_NONE;
}

/* Appends the tokens of the word and begins a new one. */
static enum sl_err finish_word(struct word *word, struct sl_tokens *tokens)
{
    if (word->len == WORD_MARK_LEN)
        return SL_OK;
    size_t count_before = tokens->count;
    enum sl_err err = SL_OK;
    for (size_t at = 0; at < word->len && err == SL_OK;) {
        size_t len;
        int32_t id = longest_token(word, at, &len);
        if (id == SL_TOKEN_NONE) {
            tokens->count = count_before;
            break;
        }
        err = sl_tokens_append(tokens, id);
        at += len;
    }
    if (err == SL_OK && tokens->count == count_before && word->tokenizer->unknown != SL_TOKEN_NONE)
        err = sl_tokens_append(tokens, word->tokenizer->unknown);
    word->len = WORD_MARK_LEN;
    return err;
}

static enum sl_err add_character(struct word *word, uint32_t codepoint, struct sl_tokens *tokens)
{
    const struct sl_tokenizer *tokenizer = word->tokenizer;
    if (tokenizer->strips_accents)
        codepoint = sl_unicode_base(codepoint);
    uint32_t flags = sl_unicode_flags(codepoint);
    if ((flags & SL_UNICODE_SPACE) != 0)
        return finish_word(word, tokens);
    if (codepoint == 0 || codepoint == 0xFFFD || (flags & SL_UNICODE_CONTROL) != 0)
        return SL_OK;
    if (tokenizer->strips_accents && (flags & SL_UNICODE_MARK) != 0)
        return SL_OK;
    bool stands_alone = (flags & SL_UNICODE_PUNCTUATION) != 0 ||
                        (codepoint < 0x7F && (flags & SL_UNICODE_SYMBOL) != 0) ||
                        is_chinese(codepoint);
    enum sl_err err = stands_alone ? finish_word(word, tokens) : SL_OK;
    if (tokenizer->lowers_case)
        codepoint = sl_unicode_lower(codepoint);
    word->len += sl_utf8_encode(codepoint, word->text + word->len);
    if (err == SL_OK && stands_alone)
        err = finish_word(word, tokens);
    return err;
}

enum sl_err sl_wordpiece_encode(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                                struct sl_tokens *tokens)
{
    /* Invalid bytes are U+FFFD, which is dropped; lower case takes at most a byte more than a
     * code point had. */
    struct word word = {tokenizer, malloc(2 * text.len + 16), WORD_MARK_LEN};
    if (word.text == NULL)
        return SL_ERR_MEMORY;
    memcpy(word.text, WORD_MARK, WORD_MARK_LEN);
    enum sl_err err = SL_OK;
    for (size_t at = 0; at < text.len && err == SL_OK;) {
        uint32_t codepoint;
        at += sl_utf8_decode(text.data + at, text.len - at, &codepoint);
        err = add_character(&word, codepoint, tokens);
    }
    if (err == SL_OK)
        err = finish_word(&word, tokens);
    free(word.text);
    return err;
}
