/* SPDX-License-Identifier: Apache-2.0
 *
 * Byte-pair encoding: the patterns of the model's family cut the text into words, and the merges of
 * the file are applied inside each word, the one learned first before others.
 *
 * Published vocabularies spell bytes in a printable alphabet and give merges as texts. Both are
 * resolved when loading: a word starts as the symbols of its raw bytes, a merge is a pair of symbol
 * numbers, and no text is built or compared while encoding.
 *
 * A string that merges make on their way, but that is no token, gets a symbol number above the
 * vocabulary's; where it remains at the end its bytes are looked up alone, as the reference does.
 */
#include "tokenizer_internal.h"

#include "sluice/arena.h"
#include "sluice/utf8.h"
#include "tokenizer_merge.h"

#include <stdlib.h>

#define MERGES_MAX (1u << 23)
#define EXTRA_BYTES_MAX ((size_t)64 << 20)
#define EMPTY_RANK UINT32_MAX

/* ---- loading ---- */

/* Strings of merges that are no tokens; alive only while loading. */
struct extras {
    struct sl_arena *arena;
    struct sl_slice *texts;
    uint32_t *slots; /* index + 1 */
    uint32_t count;
    uint32_t capacity; /* of texts; slots has twice as many */
};

static bool grow_extras(struct extras *extras)
{
    uint32_t capacity = extras->capacity == 0 ? 256 : extras->capacity * 2;
    struct sl_slice *texts = realloc(extras->texts, capacity * sizeof *texts);
    if (texts != NULL)
        extras->texts = texts;
    uint32_t *slots = calloc((size_t)capacity * 2, sizeof *slots);
    if (texts == NULL || slots == NULL) {
        free(slots);
        return false;
    }
    for (uint32_t i = 0; i < extras->count; i++) {
        uint32_t slot = (uint32_t)sl_vocab_hash(texts[i].data, texts[i].len);
        while (slots[slot & (capacity * 2 - 1)] != 0)
            slot++;
        slots[slot & (capacity * 2 - 1)] = i + 1;
    }
    free(extras->slots);
    extras->slots = slots;
    extras->capacity = capacity;
    return true;
}

static bool find_extra(const struct extras *extras, struct sl_slice text, uint32_t *index)
{
    uint32_t mask = extras->capacity * 2 - 1;
    if (extras->capacity == 0)
        return false;
    uint32_t slot = (uint32_t)sl_vocab_hash(text.data, text.len) & mask;
    for (; extras->slots[slot] != 0; slot = (slot + 1) & mask) {
        *index = extras->slots[slot] - 1;
        if (sl_slice_equal(extras->texts[*index], text))
            return true;
    }
    return false;
}

static bool add_extra(struct extras *extras, struct sl_slice text, uint32_t *index)
{
    if (extras->count == extras->capacity && !grow_extras(extras))
        return false;
    if (extras->arena == NULL)
        extras->arena = sl_arena_create(EXTRA_BYTES_MAX);
    char *copy = extras->arena != NULL ? sl_arena_dup(extras->arena, text) : NULL;
    if (copy == NULL)
        return false;
    uint32_t mask = extras->capacity * 2 - 1;
    uint32_t slot = (uint32_t)sl_vocab_hash(text.data, text.len) & mask;
    while (extras->slots[slot] != 0)
        slot = (slot + 1) & mask;
    *index = extras->count++;
    extras->slots[slot] = *index + 1;
    extras->texts[*index] = (struct sl_slice){copy, text.len};
    return true;
}

/* The symbol of a text: its token, or a number above the vocabulary. False when out of memory. */
static bool symbol_of(const struct sl_tokenizer *tokenizer, struct extras *extras,
                      struct sl_slice text, uint32_t *symbol)
{
    int32_t id = sl_vocab_find(tokenizer, text.data, text.len);
    if (id != SL_TOKEN_NONE) {
        *symbol = (uint32_t)id;
        return true;
    }
    uint32_t index;
    if (!find_extra(extras, text, &index) && !add_extra(extras, text, &index))
        return false;
    *symbol = tokenizer->vocab_size + index;
    return true;
}

static uint32_t pair_slot(const struct sl_bpe *bpe, uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(key >> 32) & bpe->merge_mask;
}

static const struct sl_bpe_merge *find_merge(const struct sl_bpe *bpe, uint32_t left,
                                             uint32_t right)
{
    uint32_t slot = pair_slot(bpe, left, right);
    for (;; slot = (slot + 1) & bpe->merge_mask) {
        const struct sl_bpe_merge *merge = &bpe->merges[slot];
        if (merge->rank == EMPTY_RANK)
            return NULL;
        if (merge->left == left && merge->right == right)
            return merge;
    }
}

/* The first of two merges of one pair is kept. */
static void insert_merge(struct sl_bpe *bpe, struct sl_bpe_merge merge)
{
    uint32_t slot = pair_slot(bpe, merge.left, merge.right);
    while (bpe->merges[slot].rank != EMPTY_RANK) {
        if (bpe->merges[slot].left == merge.left && bpe->merges[slot].right == merge.right)
            return;
        slot = (slot + 1) & bpe->merge_mask;
    }
    bpe->merges[slot] = merge;
}

/* "left right": the space is not the first character, which may itself stand for a space. */
static bool cut_merge(struct sl_slice text, struct sl_slice *left, struct sl_slice *right)
{
    const char *space = text.len > 1 ? memchr(text.data + 1, ' ', text.len - 1) : NULL;
    if (space == NULL)
        return false;
    *left = (struct sl_slice){text.data, (size_t)(space - text.data)};
    *right = (struct sl_slice){space + 1, text.len - left->len - 1};
    return true;
}

static enum sl_err add_merge(struct sl_tokenizer *tokenizer, struct extras *extras,
                             struct sl_slice text, uint32_t rank)
{
    struct sl_slice left;
    struct sl_slice right;
    char joined[4096];
    if (!cut_merge(text, &left, &right) || text.len > sizeof joined)
        return SL_OK; /* never made by a converter, and never found while encoding */
    memcpy(joined, left.data, left.len);
    memcpy(joined + left.len, right.data, right.len);
    struct sl_bpe_merge merge = {.rank = rank};
    if (!symbol_of(tokenizer, extras, left, &merge.left) ||
        !symbol_of(tokenizer, extras, right, &merge.right) ||
        !symbol_of(tokenizer, extras, (struct sl_slice){joined, left.len + right.len},
                   &merge.result))
        return SL_ERR_MEMORY;
    insert_merge(&tokenizer->bpe, merge);
    return SL_OK;
}

static enum sl_err allocate_merges(struct sl_bpe *bpe, uint64_t count, struct sl_error *error)
{
    uint32_t slots = 16;
    while (slots < count + count / 2)
        slots *= 2;
    bpe->merges = malloc(slots * sizeof *bpe->merges);
    if (bpe->merges == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    bpe->merge_mask = slots - 1;
    for (uint32_t i = 0; i < slots; i++)
        bpe->merges[i].rank = EMPTY_RANK;
    return SL_OK;
}

static enum sl_err load_merges(struct sl_tokenizer *tokenizer, struct extras *extras,
                               const struct sl_gguf *gguf, struct sl_error *error)
{
    struct sl_gguf_array merges = {.type = SL_GGUF_STRING};
    bool may_lack = strstr(tokenizer->pre->names, " kimi-k2 ") != NULL;
    enum sl_err err = SL_OK;
    if (!may_lack || sl_gguf_has(gguf, "tokenizer.ggml.merges"))
        err = sl_gguf_array(gguf, "tokenizer.ggml.merges", &merges, error);
    if (err != SL_OK)
        return err;
    if (merges.type != SL_GGUF_STRING || merges.count > MERGES_MAX)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "tokenizer.ggml.merges: expected at most %u strings", MERGES_MAX);
    err = allocate_merges(&tokenizer->bpe, merges.count, error);
    const void *cursor = merges.data;
    for (uint32_t rank = 0; rank < merges.count && err == SL_OK; rank++)
        if (add_merge(tokenizer, extras, sl_gguf_next_string(&cursor), rank) != SL_OK)
            err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    return err;
}

static void load_bytes(struct sl_tokenizer *tokenizer, const struct extras *extras)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[4];
        size_t len = sl_utf8_encode(sl_byte_codepoint((uint8_t)byte), text);
        int32_t id = sl_vocab_find(tokenizer, text, len);
        uint32_t index;
        uint32_t symbol = SL_NO_SYMBOL;
        if (id != SL_TOKEN_NONE)
            symbol = (uint32_t)id;
        else if (find_extra(extras, (struct sl_slice){text, len}, &index))
            symbol = tokenizer->vocab_size + index;
        tokenizer->bpe.byte_symbols[byte] = symbol;
    }
}

enum sl_err sl_bpe_load(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf,
                        struct sl_error *error)
{
    struct sl_bpe *bpe = &tokenizer->bpe;
    const struct sl_pre *pre = tokenizer->pre;
    for (size_t i = 0; i < SL_PRE_PATTERNS_MAX && pre->patterns[i] != NULL; i++) {
        enum sl_err err = sl_pattern_compile(pre->patterns[i], &bpe->patterns[i], error);
        if (err != SL_OK)
            return err;
        bpe->pattern_count++;
    }
    struct extras extras = {0};
    enum sl_err err = load_merges(tokenizer, &extras, gguf, error);
    if (err == SL_OK)
        load_bytes(tokenizer, &extras);
    sl_arena_free(extras.arena);
    free(extras.texts);
    free(extras.slots);
    return err;
}

void sl_bpe_clear(struct sl_bpe *bpe)
{
    free(bpe->merges);
    for (size_t i = 0; i < bpe->pattern_count; i++)
        sl_pattern_free(bpe->patterns[i]);
}

/* ---- encoding ---- */

/* One text on its way: valid UTF-8, its characters, and where each begins. */
struct work {
    const struct sl_tokenizer *tokenizer;
    char *text;
    size_t len;
    uint32_t *chars;
    uint32_t *begins; /* count + 1 */
    uint32_t count;
    struct sl_merger merger;
    char *spelled; /* a word in the printable alphabet */
};

/* Invalid bytes become U+FFFD; spaces become U+2581 where the vocabulary has them so. */
static bool copy_text(struct work *work, struct sl_slice text)
{
    work->text = malloc(3 * text.len + 1);
    work->chars = malloc((text.len + 1) * sizeof *work->chars);
    work->begins = malloc((text.len + 1) * sizeof *work->begins);
    if (work->text == NULL || work->chars == NULL || work->begins == NULL)
        return false;
    for (size_t at = 0; at < text.len;) {
        uint32_t codepoint;
        at += sl_utf8_decode(text.data + at, text.len - at, &codepoint);
        if (codepoint == ' ' && work->tokenizer->escapes_spaces)
            codepoint = 0x2581;
        work->chars[work->count] = sl_pattern_char(codepoint);
        work->begins[work->count++] = (uint32_t)work->len;
        work->len += sl_utf8_encode(codepoint, work->text + work->len);
    }
    work->begins[work->count] = (uint32_t)work->len;
    return true;
}

/* The ends of the words, in characters: each pattern cuts the pieces that the last one left. */
static enum sl_err cut_words(const struct work *work, struct sl_positions *words)
{
    const struct sl_bpe *bpe = &work->tokenizer->bpe;
    struct sl_positions pieces = {0};
    enum sl_err err = sl_pattern_split(bpe->patterns[0], work->chars, 0, work->count, words);
    for (size_t i = 1; i < bpe->pattern_count && err == SL_OK; i++) {
        struct sl_positions swap = pieces;
        pieces = *words;
        *words = swap;
        words->count = 0;
        uint32_t begin = 0;
        for (size_t j = 0; j < pieces.count && err == SL_OK; j++) {
            err = sl_pattern_split(bpe->patterns[i], work->chars, begin, pieces.at[j], words);
            begin = pieces.at[j];
        }
    }
    free(pieces.at);
    return err;
}

static bool merge_pair(const struct sl_merger *merger, const struct sl_symbol *left,
                       const struct sl_symbol *right, uint32_t *order, uint32_t *id)
{
    if (left->id == SL_NO_SYMBOL || right->id == SL_NO_SYMBOL)
        return false;
    const struct sl_tokenizer *tokenizer = merger->tokenizer;
    const struct sl_bpe_merge *merge = find_merge(&tokenizer->bpe, left->id, right->id);
    if (merge == NULL)
        return false;
    *order = merge->rank;
    *id = merge->result;
    return true;
}

/* The token of a whole word, spelled as the vocabulary spells it. */
static int32_t whole_word(const struct work *work, uint32_t begin, uint32_t end)
{
    const struct sl_tokenizer *tokenizer = work->tokenizer;
    if ((tokenizer->pre->flags & SL_PRE_RAW_UTF8) != 0)
        return sl_vocab_find(tokenizer, work->text + begin, end - begin);
    if (end - begin > tokenizer->text_len_max)
        return SL_TOKEN_NONE;
    size_t len = 0;
    for (uint32_t i = begin; i < end; i++)
        len += sl_utf8_encode(sl_byte_codepoint((uint8_t)work->text[i]), work->spelled + len);
    return sl_vocab_find(tokenizer, work->spelled, len);
}

static bool is_newlines(const struct work *work, uint32_t begin, uint32_t end)
{
    for (uint32_t i = begin; i < end; i++)
        if (work->text[i] != '\n')
            return false;
    return true;
}

/* A run that is no token: in the printable alphabet only ASCII bytes can be tokens by themselves
 * (the others are spelled with two bytes), in plain UTF-8 there are byte tokens. */
static enum sl_err append_bytes(const struct work *work, const struct sl_symbol *symbol,
                                struct sl_tokens *tokens)
{
    static const char hex[] = "0123456789ABCDEF";
    const struct sl_tokenizer *tokenizer = work->tokenizer;
    bool is_raw = (tokenizer->pre->flags & SL_PRE_RAW_UTF8) != 0;
    for (uint32_t i = symbol->begin; i < symbol->begin + symbol->len; i++) {
        uint8_t byte = (uint8_t)work->text[i];
        char name[6] = {'<', '0', 'x', hex[byte >> 4], hex[byte & 15], '>'};
        int32_t id = SL_TOKEN_NONE;
        if (is_raw)
            id = sl_vocab_find(tokenizer, name, sizeof name);
        else if (byte > 0x20 && byte < 0x7F)
            id = sl_vocab_find(tokenizer, work->text + i, 1);
        if (id != SL_TOKEN_NONE && sl_tokens_append(tokens, id) != SL_OK)
            return SL_ERR_MEMORY;
    }
    return SL_OK;
}

/* The first symbols of a word: bytes, or whole characters where the vocabulary is plain UTF-8. */
static uint32_t cut_symbols(struct work *work, uint32_t begin, uint32_t end)
{
    const struct sl_tokenizer *tokenizer = work->tokenizer;
    bool is_raw = (tokenizer->pre->flags & SL_PRE_RAW_UTF8) != 0;
    uint32_t count = 0;
    while (begin < end) {
        uint32_t len = 1;
        uint32_t id;
        if (is_raw) {
            len = (uint32_t)sl_utf8_sequence_len(work->text + begin, end - begin);
            id = (uint32_t)sl_vocab_find(tokenizer, work->text + begin, len);
        } else {
            id = tokenizer->bpe.byte_symbols[(uint8_t)work->text[begin]];
        }
        work->merger.symbols[count++] = (struct sl_symbol){.begin = begin, .len = len, .id = id};
        begin += len;
    }
    return count;
}

static enum sl_err encode_word(struct work *work, uint32_t begin, uint32_t end,
                               struct sl_tokens *tokens)
{
    const struct sl_tokenizer *tokenizer = work->tokenizer;
    unsigned flags = tokenizer->pre->flags;
    if ((flags & SL_PRE_IGNORE_MERGES) != 0 ||
        ((flags & SL_PRE_NEWLINES) != 0 && is_newlines(work, begin, end))) {
        int32_t id = whole_word(work, begin, end);
        if (id != SL_TOKEN_NONE)
            return sl_tokens_append(tokens, id);
    }
    sl_merger_run(&work->merger, cut_symbols(work, begin, end));
    enum sl_err err = SL_OK;
    for (uint32_t i = 0; i != SL_NO_SYMBOL && err == SL_OK; i = work->merger.symbols[i].next) {
        const struct sl_symbol *symbol = &work->merger.symbols[i];
        if (symbol->id < tokenizer->vocab_size)
            err = sl_tokens_append(tokens, (int32_t)symbol->id);
        else
            err = append_bytes(work, symbol, tokens);
    }
    return err;
}

/* The merger has room for the longest word only: most texts have none above some 20 bytes. */
static bool prepare_merger(struct work *work, const struct sl_positions *words)
{
    uint32_t longest = 0;
    uint32_t begin = 0;
    for (size_t i = 0; i < words->count; i++) {
        uint32_t end = work->begins[words->at[i]];
        if (end - begin > longest)
            longest = end - begin;
        begin = end;
    }
    work->merger.tokenizer = work->tokenizer;
    work->merger.text = work->text;
    work->merger.merge = merge_pair;
    work->spelled = malloc(2 * (size_t)work->tokenizer->text_len_max + 8);
    return sl_merger_init(&work->merger, longest) && work->spelled != NULL;
}

enum sl_err sl_bpe_encode(const struct sl_tokenizer *tokenizer, struct sl_slice text,
                          struct sl_tokens *tokens)
{
    struct work work = {.tokenizer = tokenizer};
    struct sl_positions words = {0};
    enum sl_err err = SL_ERR_MEMORY;
    if (!copy_text(&work, text) || cut_words(&work, &words) != SL_OK ||
        !prepare_merger(&work, &words))
        goto out;
    err = SL_OK;
    uint32_t begin = 0;
    for (size_t i = 0; i < words.count && err == SL_OK; i++) {
        uint32_t end = work.begins[words.at[i]];
        err = encode_word(&work, begin, end, tokens);
        begin = end;
    }
out:
    sl_merger_clear(&work.merger);
    free(work.spelled);
    free(words.at);
    free(work.text);
    free(work.chars);
    free(work.begins);
    return err;
}
