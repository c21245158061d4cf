/* SPDX-License-Identifier: Apache-2.0
 *
 * A large byte-level BPE vocabulary made on the spot, and text that it was made for, so that
 * tokenizer and constraints are measured without downloading anything; or the vocabulary of a file.
 * Header only.
 *
 * Words are made of syllables (onset, vowel, coda). The vocabulary has the 256 bytes, punctuation of
 * JSON as models have it, all syllables, all syllables behind a space, and then pairs of syllables
 * with and without the space until it is full: pieces of one to nine bytes that share their
 * beginnings, as those of published vocabularies do. Merges lead to each of them.
 */
#ifndef SLUICE_BENCH_VOCAB_H
#define SLUICE_BENCH_VOCAB_H

#include "sluice/buf.h"
#include "sluice/utf8.h"
#include "tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BENCH_VOCAB_TOKENS 150000u
#define BENCH_SYLLABLES (BENCH_ONSETS * BENCH_VOWELS * BENCH_CODAS)
#define BENCH_ONSETS 20u
#define BENCH_VOWELS 8u
#define BENCH_CODAS 6u

struct bench_vocab {
    struct sl_buf tokens, types, merges, file; /* encoded elements of the arrays; the file */
    uint64_t token_count, merge_count;
    uint64_t random;
    struct sl_gguf *gguf;
    struct sl_tokenizer *tokenizer;
};

static inline void bench_fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline void bench_put(struct sl_buf *buf, const void *data, size_t len)
{
    if (sl_buf_append(buf, data, len) != SL_OK)
        bench_fail("out of memory");
}

static inline void bench_u32(struct sl_buf *buf, uint32_t value)
{
    bench_put(buf, &value, sizeof value);
}

static inline void bench_u64(struct sl_buf *buf, uint64_t value)
{
    bench_put(buf, &value, sizeof value);
}

static inline void bench_text(struct sl_buf *buf, const char *text)
{
    bench_u64(buf, strlen(text));
    bench_put(buf, text, strlen(text));
}

static inline uint32_t bench_random(struct bench_vocab *vocab, uint32_t below)
{
    vocab->random ^= vocab->random << 13;
    vocab->random ^= vocab->random >> 7;
    vocab->random ^= vocab->random << 17;
    return (uint32_t)(vocab->random >> 33) % below;
}

/* Syllable `idx`, its first two letters alone where `is_open`. */
static inline void bench_syllable(uint32_t idx, bool is_open, char out[4])
{
    const uint32_t onset = idx / (BENCH_VOWELS * BENCH_CODAS);
    const uint32_t rest = idx % (BENCH_VOWELS * BENCH_CODAS);
    out[0] = "bcdfghjklmnpqrstvwxz"[onset];
    out[1] = "aeiouyAE"[rest / BENCH_CODAS];
    out[2] = is_open ? '\0' : "nrstlm"[rest % BENCH_CODAS];
    out[3] = '\0';
}

static inline void bench_token(struct bench_vocab *vocab, const char *text, uint32_t type)
{
    bench_text(&vocab->tokens, text);
    bench_u32(&vocab->types, type);
    vocab->token_count++;
}

/* The token `left` + `right`, and the merge that makes it. */
static inline void bench_merge(struct bench_vocab *vocab, const char *left, const char *right)
{
    char text[64];
    snprintf(text, sizeof text, "%s%s", left, right);
    bench_token(vocab, text, 1);
    snprintf(text, sizeof text, "%s %s", left, right);
    bench_text(&vocab->merges, text);
    vocab->merge_count++;
}

/* GPT-2's letters for the bytes: themselves where they can be seen, else U+0100 and on. */
static inline void bench_bytes(struct bench_vocab *vocab)
{
    uint32_t hidden = 0;
    for (uint32_t byte = 0; byte < 256; byte++) {
        const bool is_seen = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        const uint32_t letter = is_seen ? byte : 256 + hidden++;
        char text[4] = {(char)letter, '\0', '\0', '\0'};
        if (letter >= 128) {
            text[0] = (char)(0xc0 | letter >> 6);
            text[1] = (char)(0x80 | (letter & 0x3f));
        }
        bench_token(vocab, text, 1);
    }
}

#define BENCH_SPACE "\xc4\xa0" /* U+0120: the letter of the space */

static inline void bench_syllables(struct bench_vocab *vocab)
{
    char open[4], whole[4], spaced[16];
    for (uint32_t i = 0; i < BENCH_SYLLABLES; i += BENCH_CODAS) {
        bench_syllable(i, true, open);
        bench_merge(vocab, (char[]){open[0], '\0'}, open + 1);
    }
    for (uint32_t i = 0; i < BENCH_SYLLABLES; i++) {
        bench_syllable(i, true, open);
        bench_syllable(i, false, whole);
        bench_merge(vocab, open, whole + 2);
    }
    for (uint32_t i = 0; i < BENCH_SYLLABLES; i++) {
        bench_syllable(i, false, whole);
        bench_merge(vocab, BENCH_SPACE, whole);
    }
    /* Pairs in a scrambled order without repeats: the step has no divisor in common with the count. */
    const uint64_t pairs = (uint64_t)BENCH_SYLLABLES * BENCH_SYLLABLES;
    for (uint64_t at = 0; vocab->token_count < BENCH_VOCAB_TOKENS - 2; at = (at + 524287) % pairs) {
        bench_syllable((uint32_t)(at / BENCH_SYLLABLES), false, open);
        bench_syllable((uint32_t)(at % BENCH_SYLLABLES), false, whole);
        bench_merge(vocab, open, whole);
        snprintf(spaced, sizeof spaced, BENCH_SPACE "%s", open);
        bench_merge(vocab, spaced, whole);
    }
}

static inline void bench_array(struct bench_vocab *vocab, const char *key, uint32_t type,
                               uint64_t elements, const struct sl_buf *data)
{
    bench_text(&vocab->file, key);
    bench_u32(&vocab->file, SL_GGUF_ARRAY);
    bench_u32(&vocab->file, type);
    bench_u64(&vocab->file, elements);
    bench_put(&vocab->file, data->data, data->len);
}

static inline void bench_string(struct bench_vocab *vocab, const char *key, const char *value)
{
    bench_text(&vocab->file, key);
    bench_u32(&vocab->file, SL_GGUF_STRING);
    bench_text(&vocab->file, value);
}

static inline void bench_vocab_make(struct bench_vocab *vocab)
{
    static const char *const joints[] = {"{\"", "\":", "\",", "\"}", "[{", "}]", "},"};
    bench_bytes(vocab);
    for (size_t i = 0; i < sizeof joints / sizeof joints[0]; i++)
        bench_merge(vocab, (char[]){joints[i][0], '\0'}, joints[i] + 1);
    bench_syllables(vocab);
    while (vocab->token_count < BENCH_VOCAB_TOKENS)
        bench_token(vocab, vocab->token_count % 2 == 0 ? "<|endoftext|>" : "<|im_end|>", 3);
    bench_put(&vocab->file, "GGUF", 4);
    bench_u32(&vocab->file, 3);
    bench_u64(&vocab->file, 0);
    bench_u64(&vocab->file, 6);
    bench_string(vocab, "tokenizer.ggml.model", "gpt2");
    bench_string(vocab, "tokenizer.ggml.pre", "qwen2");
    bench_array(vocab, "tokenizer.ggml.tokens", SL_GGUF_STRING, vocab->token_count, &vocab->tokens);
    bench_array(vocab, "tokenizer.ggml.token_type", SL_GGUF_I32, vocab->token_count, &vocab->types);
    bench_array(vocab, "tokenizer.ggml.merges", SL_GGUF_STRING, vocab->merge_count, &vocab->merges);
    bench_text(&vocab->file, "tokenizer.ggml.eos_token_id");
    bench_u32(&vocab->file, SL_GGUF_U32);
    bench_u32(&vocab->file, (uint32_t)vocab->token_count - 1);
}

/* The vocabulary of `path`, or the made one where it is NULL. Ends the program on errors. */
static inline void bench_vocab_open(struct bench_vocab *vocab, const char *path)
{
    struct sl_error error = {0};
    struct sl_buf *bufs[] = {&vocab->tokens, &vocab->types, &vocab->merges, &vocab->file};
    *vocab = (struct bench_vocab){.random = 88172645463325252u};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
        sl_buf_init(bufs[i], 256u << 20);
    if (path == NULL)
        bench_vocab_make(vocab);
    const enum sl_err err =
        path != NULL ? sl_gguf_open(path, &vocab->gguf, &error)
                     : sl_gguf_open_memory(vocab->file.data, vocab->file.len, &vocab->gguf, &error);
    if (err != SL_OK || sl_tokenizer_create(vocab->gguf, &vocab->tokenizer, &error) != SL_OK)
        bench_fail(error.message);
}

static inline void bench_vocab_close(struct bench_vocab *vocab)
{
    struct sl_buf *bufs[] = {&vocab->tokens, &vocab->types, &vocab->merges, &vocab->file};
    sl_tokenizer_free(vocab->tokenizer);
    sl_gguf_close(vocab->gguf);
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
        sl_buf_clear(bufs[i]);
}

/* Appends `words` words of one to four syllables; frequent syllables are frequent (Zipf's law, in
 * steps), and there are numbers, commas, full stops and lines. */
static inline void bench_vocab_text(struct bench_vocab *vocab, uint32_t words, struct sl_buf *out)
{
    for (uint32_t word = 0; word < words; word++) {
        char syllable[4];
        if (bench_random(vocab, 20) == 0) {
            snprintf(syllable, sizeof syllable, "%u", bench_random(vocab, 1000));
            bench_put(out, syllable, strlen(syllable));
        }
        for (uint32_t left = 1 + bench_random(vocab, 4); left > 0; left--) {
            const uint32_t most = BENCH_SYLLABLES >> bench_random(vocab, 6);
            bench_syllable(bench_random(vocab, most), false, syllable);
            bench_put(out, syllable, 3);
        }
        const uint32_t end = bench_random(vocab, 30);
        const char *gap = end == 0 ? ".\n" : end < 3 ? ". " : end < 6 ? ", " : " ";
        bench_put(out, gap, strlen(gap));
    }
}

#endif
