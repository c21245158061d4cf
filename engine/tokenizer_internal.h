/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a tokenizer, shared by the files tokenizer*.c only.
 *
 * Data first. A vocabulary of n tokens costs about 4n (offsets of the texts in the file's map) + n
 * (types) + 4n (offsets of the pieces) + the pieces' bytes (some 7n) + 6n to 12n (hash of texts) +,
 * for BPE, 23 to 46 bytes a merge: under 12 MB for 150,000 tokens.
 *
 * Invariants:
 *  1. text_of(id) points into the map, right after its length word; it is never copied.
 *  2. hash slots hold id + 1, 0 is empty; where two tokens have one text the first has the slot.
 *  3. Symbols of BPE below vocab_size are token ids; those above are strings that merges make on
 *     their way and that are no token.
 */
#ifndef SLUICE_ENGINE_TOKENIZER_INTERNAL_H
#define SLUICE_ENGINE_TOKENIZER_INTERNAL_H

#include "sluice/buf.h"
#include "tokenizer.h"
#include "tokenizer_pattern.h"
#include "tokenizer_pre.h"

/* tokenizer.ggml.token_type, with the numbers of the format. */
enum sl_token_type {
    SL_TOKEN_NORMAL = 1,
    SL_TOKEN_UNKNOWN = 2,
    SL_TOKEN_CONTROL = 3,
    SL_TOKEN_USER_DEFINED = 4,
    SL_TOKEN_UNUSED = 5,
    SL_TOKEN_BYTE = 6
};

#define SL_TOKEN_STRIP_LEFT 1  /* a special token that eats the white space before it */
#define SL_TOKEN_STRIP_RIGHT 2 /* ... after it */

enum sl_tokenizer_kind { SL_TOKENIZER_SPM, SL_TOKENIZER_BPE, SL_TOKENIZER_WORDPIECE };

/* One merge: the pair of symbols, what they make, and how early it was learned. */
struct sl_bpe_merge {
    uint32_t left;
    uint32_t right;
    uint32_t result;
    uint32_t rank; /* UINT32_MAX: an empty slot */
};

struct sl_bpe {
    struct sl_bpe_merge *merges; /* open addressing by the pair */
    uint32_t merge_mask;
    uint32_t byte_symbols[256]; /* the symbol of each byte; SL_NO_SYMBOL where there is none */
    struct sl_pattern *patterns[SL_PRE_PATTERNS_MAX];
    size_t pattern_count;
};

struct sl_tokenizer {
    enum sl_tokenizer_kind kind;
    const struct sl_pre *pre; /* BPE only */

    const char *map;        /* start of the token array */
    uint32_t *text_offsets; /* from `map`; the length word stands in the eight bytes before */
    uint32_t vocab_size;
    uint8_t *types;         /* enum sl_token_type */
    uint8_t *strips;        /* SL_TOKEN_STRIP_*; NULL where no token has any */
    struct sl_gguf_array scores; /* data NULL: all zero */
    uint32_t text_len_max;

    uint32_t *slots; /* hash of texts */
    uint32_t slot_mask;

    char *pieces;            /* the bytes that each token stands for, one after the other */
    uint32_t *piece_offsets; /* vocab_size + 1 */

    int32_t *specials;       /* control, unknown and user-defined tokens, sorted by text */
    uint32_t special_count;
    uint32_t special_first[257]; /* specials[first[b], first[b + 1]) begin with byte b */

    uint8_t *ends;           /* bit set of tokens that end an answer */
    int32_t bos;
    int32_t eos;
    int32_t unknown;
    int32_t separator;
    bool adds_bos;
    bool adds_eos;
    bool adds_space_prefix;
    bool escapes_spaces;     /* U+2581 stands for a space in the vocabulary */
    bool cleans_spaces;
    bool lowers_case;        /* WordPiece */
    bool strips_accents;

    struct sl_bpe bpe;
};

/* A piece of the input between special tokens. */
struct sl_fragment {
    int32_t token; /* SL_TOKEN_NONE: text */
    struct sl_slice text;
};

struct sl_fragments {
    struct sl_fragment *items;
    size_t count;
    size_t capacity;
};

/* tokenizer_vocab.c */
enum sl_err sl_vocab_load(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf,
                          struct sl_error *error) SL_MUST_CHECK;
struct sl_slice sl_vocab_text(const struct sl_tokenizer *tokenizer, int32_t id);
int32_t sl_vocab_find(const struct sl_tokenizer *tokenizer, const char *text, size_t len);
float sl_vocab_score(const struct sl_tokenizer *tokenizer, int32_t id);
uint64_t sl_vocab_hash(const char *text, size_t len);

/* tokenizer_roles.c */
enum sl_err sl_roles_load(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf,
                          struct sl_error *error) SL_MUST_CHECK;

/* tokenizer_pieces.c */
enum sl_err sl_pieces_build(struct sl_tokenizer *tokenizer, struct sl_error *error) SL_MUST_CHECK;
/* GPT-2's printable alphabet for bytes: the code point that stands for `byte`, and back
 * (-1 where none). */
uint32_t sl_byte_codepoint(uint8_t byte);
int sl_codepoint_byte(uint32_t codepoint);

/* tokenizer_special.c */
enum sl_err sl_specials_build(struct sl_tokenizer *tokenizer, struct sl_error *error) SL_MUST_CHECK;
enum sl_err sl_specials_split(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                              bool parse_special, struct sl_fragments *out) SL_MUST_CHECK;

/* One text fragment each. */
enum sl_err sl_spm_encode(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                          bool prefix_space, struct sl_tokens *tokens) SL_MUST_CHECK;
enum sl_err sl_wordpiece_encode(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                                struct sl_tokens *tokens) SL_MUST_CHECK;
enum sl_err sl_bpe_load(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf,
                        struct sl_error *error) SL_MUST_CHECK;
void sl_bpe_clear(struct sl_bpe *bpe);
enum sl_err sl_bpe_encode(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                          struct sl_tokens *tokens) SL_MUST_CHECK;

#endif
