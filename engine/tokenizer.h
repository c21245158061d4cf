/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to token ids and back, from the vocabulary inside a GGUF file: SentencePiece-like merging
 * ("llama"), byte-level BPE with the pre-tokenizer of each model family ("gpt2") and WordPiece
 * ("bert"). Ids are those of the reference implementation, byte for byte.
 *
 *     struct sl_tokenizer *tokenizer;
 *     if (sl_tokenizer_create(gguf, &tokenizer, &error) != SL_OK) ...
 *     struct sl_tokens tokens = {0};
 *     if (sl_tokenizer_encode(tokenizer, text, true, false, &tokens, &error) != SL_OK) ...
 *     struct sl_detokenizer detokenizer;
 *     sl_detokenizer_init(&detokenizer, tokenizer);
 *     struct sl_slice whole = sl_detokenizer_feed(&detokenizer, id);   // whole characters only
 *     sl_tokens_clear(&tokens);
 *     sl_tokenizer_free(tokenizer);
 *
 * Threads: a tokenizer is immutable after create; a detokenizer belongs to one owner.
 * Ownership: a tokenizer borrows the GGUF's map for its pieces; keep the GGUF open longer.
 */
#ifndef SLUICE_ENGINE_TOKENIZER_H
#define SLUICE_ENGINE_TOKENIZER_H

#include "gguf.h"
#include "sluice/buf.h"
#include "sluice/err.h"
#include "sluice/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sl_tokenizer;

#define SL_TOKEN_NONE (-1)

/* A growing array of ids. Zeroed is empty. */
struct sl_tokens {
    int32_t *ids;
    size_t count;
    size_t capacity;
};

/* Frees the memory and zeroes. NULL or zeroed is fine. */
void sl_tokens_clear(struct sl_tokens *tokens);
enum sl_err sl_tokens_append(struct sl_tokens *tokens, int32_t id) SL_MUST_CHECK;

/* Errors: SL_ERR_FORMAT (key and expectation in the message), SL_ERR_UNSUPPORTED (a tokenizer model
 * or pre-tokenizer that is not known), SL_ERR_MEMORY. */
enum sl_err sl_tokenizer_create(const struct sl_gguf *gguf, struct sl_tokenizer **out,
                                struct sl_error *error) SL_MUST_CHECK;
/* NULL is fine. */
void sl_tokenizer_free(struct sl_tokenizer *tokenizer);

/* Appends the ids of `text` to *tokens. `add_special`: also what the model wants around a prompt
 * (BOS, EOS, CLS, SEP), as its file says. `parse_special`: text that spells a control token becomes
 * that token; without it such text stays text (user-defined tokens are matched in both cases).
 * Invalid UTF-8 is read as the reference implementation reads it and never refused.
 * Time is O(n log n). Errors: SL_ERR_MEMORY, SL_ERR_LIMIT (text over 256 MiB). */
enum sl_err sl_tokenizer_encode(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                                bool add_special, bool parse_special, struct sl_tokens *tokens,
                                struct sl_error *error) SL_MUST_CHECK;

/* The bytes that a token stands for in text: for control tokens their name (`<|im_end|>`), for
 * unknown ids an empty slice. The slice lives as long as the tokenizer. */
struct sl_slice sl_tokenizer_piece(const struct sl_tokenizer *tokenizer, int32_t id);
/* The id whose text in the vocabulary is exactly `text` (`<|im_end|>`), or SL_TOKEN_NONE. */
int32_t sl_tokenizer_find(const struct sl_tokenizer *tokenizer, struct sl_slice text);

uint32_t sl_tokenizer_vocab_size(const struct sl_tokenizer *tokenizer);
/* A token that is no text: it is not shown in answers. (Unknown and unused tokens count too.) */
bool sl_tokenizer_is_control(const struct sl_tokenizer *tokenizer, int32_t id);
/* A token that ends an answer: EOS, EOT, EOM, by the file's keys or by well-known names. */
bool sl_tokenizer_is_end(const struct sl_tokenizer *tokenizer, int32_t id);
/* SL_TOKEN_NONE where the file has none. CLS counts as BOS. */
int32_t sl_tokenizer_bos(const struct sl_tokenizer *tokenizer);
int32_t sl_tokenizer_eos(const struct sl_tokenizer *tokenizer);
bool sl_tokenizer_adds_bos(const struct sl_tokenizer *tokenizer);
bool sl_tokenizer_adds_eos(const struct sl_tokenizer *tokenizer);
/* SentencePiece: text was encoded with a space put before it, so the first piece of a decoded text
 * loses one. The detokenizer does this; an answer that goes on after a prompt must not. */
bool sl_tokenizer_adds_space_prefix(const struct sl_tokenizer *tokenizer);

/* Appends the text of `ids` to *out. `show_control`: names of control tokens instead of nothing.
 * The leading space of SentencePiece is removed. Errors: SL_ERR_LIMIT, SL_ERR_MEMORY. */

enum sl_err sl_tokenizer_decode(const struct sl_tokenizer *tokenizer, const int32_t *ids,
                                size_t count, bool show_control,
                                struct sl_buf *out) SL_MUST_CHECK;

/* ---- streaming detokenizer ---- */

/* Longest piece a detokenizer can hold: pieces of published vocabularies stay under 512 bytes; a
 * longer one is refused by sl_tokenizer_create. */
#define SL_DETOKENIZER_BYTES_MAX 2064

/* Turns ids into whole UTF-8 characters. Bytes that can become a character wait (at most three);
 * bytes that cannot are given as U+FFFD. Allocates nothing. */
struct sl_detokenizer {
    const struct sl_tokenizer *tokenizer;
    bool strip_space;  /* the next text loses one leading space */
    bool show_control; /* give the names of control tokens instead of nothing */
    size_t pending;    /* bytes at the start of `held` that wait for more */
    char held[8];
    char text[3 * SL_DETOKENIZER_BYTES_MAX]; /* U+FFFD is three bytes for one */
};

/* For an answer that follows a prompt: no leading space is removed, control tokens give nothing.
 * Set `strip_space = sl_tokenizer_adds_space_prefix(...)` to decode a text from its beginning. */
void sl_detokenizer_init(struct sl_detokenizer *detokenizer, const struct sl_tokenizer *tokenizer);
/* Whole characters that are complete now; may be empty. Valid until the next call. */
struct sl_slice sl_detokenizer_feed(struct sl_detokenizer *detokenizer, int32_t id);
/* What was held back, as U+FFFD; empty if nothing. */
struct sl_slice sl_detokenizer_flush(struct sl_detokenizer *detokenizer);

#endif
