/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds the tries that masks are computed with, once per model.
 *
 * Why two: inside a string nearly every token is allowed. Those that are plain characters only are
 * settled by a count, without walking; the second trie has the others, a tenth of a vocabulary.
 */
#include "constrain_vocab.h"

#include "sluice/utf8.h"

#include <stdlib.h>

struct builder {
    struct sl_constraint_vocab *vocab;
    int32_t *ids; /* text tokens, sorted by their bytes */
    uint32_t count;
};

static int compare_pieces(const void *a, const void *b, void *context)
{
    const struct sl_tokenizer *tokenizer = context;
    struct sl_slice left = sl_tokenizer_piece(tokenizer, *(const int32_t *)a);
    struct sl_slice right = sl_tokenizer_piece(tokenizer, *(const int32_t *)b);
    size_t len = left.len < right.len ? left.len : right.len;
    int order = memcmp(left.data, right.data, len);
    if (order != 0)
        return order;
    if (left.len != right.len)
        return left.len < right.len ? -1 : 1;
    return *(const int32_t *)a < *(const int32_t *)b ? -1 : 1;
}

/* Characters of a piece that any JSON string may hold as they are; 0 where it is not just that. */
static uint8_t plain_characters(struct sl_slice piece)
{
    uint8_t count = 0;
    for (size_t at = 0; at < piece.len; count++) {
        unsigned char c = (unsigned char)piece.data[at];
        size_t len = sl_utf8_sequence_len(piece.data + at, piece.len - at);
        if (len == 0 || c < 0x20 || c == '"' || c == '\\')
            return 0;
        at += len;
    }
    return count;
}

/* Control tokens that families use around tool calls. */
static bool is_wrapper(struct sl_slice piece)
{
    return sl_slice_equal_text(piece, "<tool_call>") ||
           sl_slice_equal_text(piece, "</tool_call>") ||
           sl_slice_equal_text(piece, "[TOOL_CALLS]");
}

static void sort_out(struct builder *builder, int32_t id)
{
    struct sl_constraint_vocab *vocab = builder->vocab;
    struct sl_slice piece = sl_tokenizer_piece(vocab->tokenizer, id);
    if (sl_tokenizer_is_end(vocab->tokenizer, id)) {
        vocab->ends[vocab->end_count++] = id;
    } else if (sl_tokenizer_is_control(vocab->tokenizer, id)) {
        if (is_wrapper(piece) && vocab->wrapper_count < 8)
            vocab->wrappers[vocab->wrapper_count++] = id;
    } else if (piece.len > 0 && piece.len <= SL_CONSTRAIN_TOKEN_BYTES_MAX) {
        builder->ids[builder->count++] = id;
        vocab->plain_characters[id] = plain_characters(piece);
    }
}

/* Takes tokens with equal bytes out of the list. */
static void drop_twins(struct builder *builder)
{
    struct sl_constraint_vocab *vocab = builder->vocab;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < builder->count; i++) {
        struct sl_slice piece = sl_tokenizer_piece(vocab->tokenizer, builder->ids[i]);
        int32_t last = kept > 0 ? builder->ids[kept - 1] : SL_TOKEN_NONE;
        if (kept > 0 && sl_slice_equal(piece, sl_tokenizer_piece(vocab->tokenizer, last))) {
            vocab->twins[vocab->twin_count++] = (struct sl_twin){builder->ids[i], last};
            vocab->plain_characters[builder->ids[i]] = 0; /* follows its twin */
        } else {
            builder->ids[kept++] = builder->ids[i];
        }
    }
    builder->count = kept;
}

static size_t common_prefix(struct sl_slice a, struct sl_slice b)
{
    size_t len = 0;
    while (len < a.len && len < b.len && a.data[len] == b.data[len])
        len++;
    return len;
}

/* Preorder from the sorted pieces: a new piece closes the nodes below its common prefix with the
 * last one and opens the rest. Measures only where trie->nodes is NULL. */
static void build_trie(const struct builder *builder, bool special_only, struct sl_trie *trie)
{
    const struct sl_constraint_vocab *vocab = builder->vocab;
    uint32_t open[SL_CONSTRAIN_TOKEN_BYTES_MAX];
    struct sl_slice last = {"", 0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < builder->count; i++) {
        int32_t id = builder->ids[i];
        if (special_only && vocab->plain_characters[id] != 0)
            continue;
        struct sl_slice piece = sl_tokenizer_piece(vocab->tokenizer, id);
        size_t shared = common_prefix(piece, last);
        for (size_t depth = shared; trie->nodes != NULL && depth < last.len; depth++)
            trie->nodes[open[depth]].end = count;
        for (size_t depth = shared; depth < piece.len; depth++) {
            open[depth] = count;
            if (trie->nodes != NULL)
                trie->nodes[count] = (struct sl_trie_node){
                    0, depth + 1 == piece.len ? id : SL_TOKEN_NONE, (uint8_t)piece.data[depth]};
            count++;
        }
        last = piece;
    }
    for (size_t depth = 0; trie->nodes != NULL && depth < last.len; depth++)
        trie->nodes[open[depth]].end = count;
    trie->count = count;
}

static bool make_trie(const struct builder *builder, bool special_only, struct sl_trie *trie)
{
    build_trie(builder, special_only, trie);
    trie->nodes = calloc((size_t)trie->count + 1, sizeof *trie->nodes);
    if (trie->nodes == NULL)
        return false;
    build_trie(builder, special_only, trie);
    return true;
}

enum sl_err sl_constraint_vocab_create(const struct sl_tokenizer *tokenizer,
                                       struct sl_constraint_vocab **out, struct sl_error *error)
{
    uint32_t size = sl_tokenizer_vocab_size(tokenizer);
    struct sl_constraint_vocab *vocab = calloc(1, sizeof *vocab);
    struct builder builder = {.vocab = vocab, .ids = calloc(size, sizeof(int32_t))};
    enum sl_err err = SL_ERR_MEMORY;
    if (vocab == NULL || builder.ids == NULL)
        goto out;
    vocab->tokenizer = tokenizer;
    vocab->size = size;
    vocab->plain_characters = calloc(size, 1);
    vocab->twins = calloc(size, sizeof *vocab->twins);
    vocab->ends = calloc(size, sizeof *vocab->ends);
    if (vocab->plain_characters == NULL || vocab->twins == NULL || vocab->ends == NULL)
        goto out;
    for (uint32_t id = 0; id < size; id++)
        sort_out(&builder, (int32_t)id);
    qsort_r(builder.ids, builder.count, sizeof *builder.ids, compare_pieces,
            (void *)(uintptr_t)tokenizer);
    drop_twins(&builder);
    if (make_trie(&builder, false, &vocab->all) && make_trie(&builder, true, &vocab->special))
        err = SL_OK;
out:
    free(builder.ids);
    if (err != SL_OK) {
        sl_constraint_vocab_free(vocab);
        return sl_error_set(error, err, NULL);
    }
    struct sl_twin *twins = realloc(vocab->twins, (vocab->twin_count + 1) * sizeof *twins);
    int32_t *ends = realloc(vocab->ends, (vocab->end_count + 1) * sizeof *ends);
    vocab->twins = twins != NULL ? twins : vocab->twins;
    vocab->ends = ends != NULL ? ends : vocab->ends;
    *out = vocab;
    return SL_OK;
}

void sl_constraint_vocab_free(struct sl_constraint_vocab *vocab)
{
    if (vocab == NULL)
        return;
    free(vocab->all.nodes);
    free(vocab->special.nodes);
    free(vocab->plain_characters);
    free(vocab->twins);
    free(vocab->ends);
    free(vocab);
}
