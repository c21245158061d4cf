/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: Q, K and V with all that happens to them, and how attention is cut into pieces for the
 * pool. Leaves to others: the arithmetic of a piece (kernels->attend), pages (kv_cache.c).
 *
 * A piece is one KV head and a block of queries: the query heads of its group times some tokens of
 * one sequence. It walks over the pages that any of these tokens sees; softmax is online, so no row
 * of scores exists and a page is unpacked once for all queries of the piece. Queries are laid out
 * (kv head, token, group, head_dim) beforehand so that a piece is evenly spaced.
 *
 * A few tokens make few pieces, whose lengths are contexts: these are cut along the positions too,
 * and what the parts found is merged (as Flash-Decoding does). How often depends on the longest
 * context of the batch, not on threads, and neither do results but for their last bits.
 *
 * Threads: pieces run on any worker and write to disjoint rows.
 */
#include "forward_internal.h"

#include <string.h>

/* Most queries of a piece: whole groups, and at least one. */
#define PIECE_QUERIES_MAX (SL_ATTEND_QUERIES > SL_HEADS_MAX ? SL_ATTEND_QUERIES : SL_HEADS_MAX)

/* Up to here a page is met faster than it comes from memory. */
#define FEW_QUERIES 16
/* Pieces of batches of up to so many tokens have a part for each so many pages, up to a most. */
#define PARTED_TOKENS_MAX 4
#define PART_PAGES 6
#define PARTS_MAX 8

static void finish_head(const struct sl_forward *forward, float *head, const float *norm,
                        const float *angles)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    if (norm != NULL)
        forward->kernels->rms_norm(head, head, norm, hparams->head_dim, hparams->norm_epsilon);
    if (angles != NULL)
        forward->kernels->rope(head, 1, hparams->head_dim, hparams->rope_dims, angles,
                               hparams->rope_style);
}

static void add_biases(const struct sl_forward *forward, float *q, float *k, float *v)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    const struct sl_layer *layer = forward->layer;
    const size_t q_width = (size_t)hparams->head_count * hparams->head_dim;
    const size_t kv_width = (size_t)hparams->head_count_kv * hparams->head_dim;
    if (layer->q_bias != NULL)
        forward->kernels->add(q, q, layer->q_bias, q_width);
    if (layer->k_bias != NULL)
        forward->kernels->add(k, k, layer->k_bias, kv_width);
    if (layer->v_bias != NULL)
        forward->kernels->add(v, v, layer->v_bias, kv_width);
}

/* Copies the query heads of one token to where their pieces read them. */
static void pack_queries(struct sl_forward *forward, uint32_t row, const float *q)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    const size_t group = hparams->head_count / hparams->head_count_kv;
    const size_t chunk = group * hparams->head_dim;
    for (size_t head = 0; head < hparams->head_count_kv; head++)
        memcpy(forward->packed + (head * forward->token_count + row) * chunk, q + head * chunk,
               chunk * sizeof *q);
}

static void store_in_page(struct sl_forward *forward, uint32_t row, const float *k, const float *v)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    const struct sl_span *span = &forward->spans[forward->span_of[row]];
    const uint32_t position = forward->positions[row];
    const uint32_t page = span->sequence->pages[position / SL_KV_PAGE_TOKENS];
    const enum sl_kv_format format = sl_kv_cache_format(forward->cache);
    const size_t offset = position % SL_KV_PAGE_TOKENS * sl_kv_row_bytes(forward->cache);
    for (uint32_t head = 0; head < hparams->head_count_kv; head++) {
        const size_t at = (size_t)head * hparams->head_dim;
        uint8_t *keys = sl_kv_block(forward->cache, page, forward->layer_idx, false, head);
        uint8_t *values = sl_kv_block(forward->cache, page, forward->layer_idx, true, head);
        sl_kv_store(format, keys + offset, k + at, hparams->head_dim);
        sl_kv_store(format, values + offset, v + at, hparams->head_dim);
    }
}

static void finish_qkv_rows(void *context, uint32_t begin, uint32_t end, uint32_t worker)
{
    (void)worker;
    struct sl_forward *forward = context;
    const struct sl_hparams *hparams = &forward->model->hparams;
    const struct sl_layer *layer = forward->layer;
    const uint32_t dim = hparams->head_dim;
    const float *all_angles = forward->angles[layer->is_sliding ? SL_ROPE_SLIDING : SL_ROPE_GLOBAL];
    for (uint32_t row = begin; row < end; row++) {
        float *q = forward->q + (size_t)row * hparams->head_count * dim;
        float *k = forward->k + (size_t)row * hparams->head_count_kv * dim;
        float *v = forward->v + (size_t)row * hparams->head_count_kv * dim;
        const float *angles =
            layer->has_rope ? all_angles + (size_t)row * hparams->rope_dims : NULL;
        add_biases(forward, q, k, v);
        for (uint32_t head = 0; head < hparams->head_count; head++)
            finish_head(forward, q + (size_t)head * dim, layer->q_norm, angles);
        for (uint32_t head = 0; head < hparams->head_count_kv; head++)
            finish_head(forward, k + (size_t)head * dim, layer->k_norm, angles);
        pack_queries(forward, row, q);
        if (forward->cache != NULL)
            store_in_page(forward, row, k, v);
    }
}

void sl_forward_qkv(struct sl_forward *forward, const float *input)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    const struct sl_layer *layer = forward->layer;
    const size_t q_width = (size_t)hparams->head_count * hparams->head_dim;
    const size_t kv_width = (size_t)hparams->head_count_kv * hparams->head_dim;
    const struct sl_matmul_job jobs[] = {{&layer->q, forward->q, q_width},
                                         {&layer->k, forward->k, kv_width},
                                         {&layer->v, forward->v, kv_width}};
    sl_matmul_jobs(forward->pool, jobs, 3, input, hparams->embedding_size, forward->token_count,
                   forward->scratch);
    sl_forward_rows(forward, forward->token_count, finish_qkv_rows);
}

/* ---- pieces ---- */

/* Some rows of one sequence, one KV head, and one of the parts of what they see. */
struct piece {
    uint32_t first_row, rows;
    uint32_t head;
    uint32_t part;
};

/* What does not change from run to run. */
static struct sl_attend start_piece(struct sl_forward *forward, struct piece piece, uint32_t worker)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    const size_t group = hparams->head_count / hparams->head_count_kv;
    const size_t part_queries = (size_t)forward->token_count * hparams->head_count;
    const size_t query = ((size_t)piece.head * forward->token_count + piece.first_row) * group;
    const size_t at = piece.part * part_queries + query;
    return (struct sl_attend){
        .head_dim = hparams->head_dim,
        .queries = piece.rows * (uint32_t)group,
        .q = forward->packed + query * hparams->head_dim,
        .q_stride = hparams->head_dim,
        .scale = hparams->attention_scale,
        .softcap = hparams->attention_softcap,
        .max = forward->max + at,
        .sum = forward->sum + at,
        .acc = forward->acc + at * hparams->head_dim,
        .acc_stride = hparams->head_dim,
        .scratch = forward->attend_scratch + (size_t)worker * SL_ATTEND_SCRATCH_FLOATS,
    };
}

/* Normalises, and puts the heads of each token where the output matrix reads them. */
static void end_piece(struct sl_forward *forward, const struct sl_attend *attend,
                      struct piece piece)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    const size_t chunk = (size_t)(hparams->head_count / hparams->head_count_kv) * hparams->head_dim;
    const size_t width = (size_t)hparams->head_count * hparams->head_dim;
    sl_attend_end(attend);
    for (uint32_t row = 0; row < piece.rows; row++)
        memcpy(forward->mixed + (piece.first_row + row) * width + piece.head * chunk,
               attend->acc + row * chunk, chunk * sizeof(float));
}

static uint32_t rows_of_piece(const struct sl_forward *forward)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    const uint32_t group = hparams->head_count / hparams->head_count_kv;
    const uint32_t most = SL_ATTEND_QUERIES / group;
    uint32_t rows = most;
    while (rows > 0 && rows * group % SL_ATTEND_SIDE != 0)
        rows--;
    return rows > 0 ? rows : most > 0 ? most : 1;
}

/* Clamps position `at`, relative to a page that begins at `begin`, to [0, count]. */
static uint32_t within_page(uint32_t at, uint32_t begin, uint32_t count)
{
    if (at <= begin)
        return 0;
    return at - begin < count ? at - begin : count;
}

/* Which positions of a page each query sees: up to its own, and from its window's start on. */
static void see_page(const struct sl_forward *forward, struct piece piece, uint32_t page_begin,
                     uint32_t page_positions, uint32_t *first, uint32_t *end)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    const uint32_t group = hparams->head_count / hparams->head_count_kv;
    for (uint32_t row = 0; row < piece.rows; row++) {
        const uint32_t seen_end = forward->positions[piece.first_row + row] + 1;
        const uint32_t seen_begin = forward->layer->is_sliding && seen_end > hparams->window
                                        ? seen_end - hparams->window
                                        : 0;
        const uint32_t from = within_page(seen_begin, page_begin, page_positions);
        const uint32_t to = within_page(seen_end, page_begin, page_positions);
        for (uint32_t idx = 0; idx < group; idx++) {
            first[row * group + idx] = from;
            end[row * group + idx] = to;
        }
    }
}

/* Points at a page of the piece's sequence, of which positions before `end` are in use. */
static void look_at_page(const struct sl_forward *forward, const struct sl_kv_sequence *sequence,
                         uint32_t head, uint32_t page, uint32_t end, struct sl_attend *attend)
{
    const uint32_t idx = sequence->pages[page], left = end - page * SL_KV_PAGE_TOKENS;
    attend->positions = left < SL_KV_PAGE_TOKENS ? left : SL_KV_PAGE_TOKENS;
    attend->k = sl_kv_block(forward->cache, idx, forward->layer_idx, false, head);
    attend->v = sl_kv_block(forward->cache, idx, forward->layer_idx, true, head);
}

/* Names what the worker is likely to read after a page of a head: the next page, or the first that
 * the next head reads. Not for many queries: they read what the caches hold, and take their
 * time. */
static void look_ahead(const struct sl_forward *forward, const struct sl_kv_sequence *sequence,
                       uint32_t head, uint32_t page, uint32_t first_page, uint32_t seen_end,
                       struct sl_attend *attend)
{
    const bool is_last = (page + 1) * SL_KV_PAGE_TOKENS >= seen_end;
    const uint32_t idx = sequence->pages[is_last ? first_page : page + 1];
    const uint32_t next = is_last ? head + 1 : head;
    attend->next_k = attend->next_v = NULL;
    if (attend->queries > FEW_QUERIES || next == forward->model->hparams.head_count_kv)
        return;
    attend->next_k = sl_kv_block(forward->cache, idx, forward->layer_idx, false, next);
    attend->next_v = sl_kv_block(forward->cache, idx, forward->layer_idx, true, next);
}

static void attend_piece(struct sl_forward *forward, struct piece piece, uint32_t worker)
{
    const struct sl_hparams *hparams = &forward->model->hparams;
    const struct sl_kv_sequence *sequence =
        forward->spans[forward->span_of[piece.first_row]].sequence;
    uint32_t first[PIECE_QUERIES_MAX];
    uint32_t end[PIECE_QUERIES_MAX];
    struct sl_attend attend = start_piece(forward, piece, worker);
    attend.format = sl_kv_cache_format(forward->cache);
    attend.k_stride = attend.v_stride = sl_kv_row_bytes(forward->cache);
    attend.first = first;
    attend.end = end;
    /* Behind the first page only: the mean of its keys must be the same for all who use it. */
    attend.may_round = forward->positions[piece.first_row] >= SL_KV_PAGE_TOKENS &&
                       attend.format != SL_KV_FORMAT_F32 &&
                       sl_type_traits(forward->layer->q.type)->is_quantized;
    const uint32_t seen_end = forward->positions[piece.first_row + piece.rows - 1] + 1;
    const uint32_t oldest_end = forward->positions[piece.first_row] + 1;
    const uint32_t seen_begin = forward->layer->is_sliding && oldest_end > hparams->window
                                    ? oldest_end - hparams->window
                                    : 0;
    const uint32_t first_page = seen_begin / SL_KV_PAGE_TOKENS;
    const uint32_t pages = sl_kv_pages_for(seen_end) - first_page;
    look_at_page(forward, sequence, piece.head, 0, seen_end, &attend);
    sl_attend_begin(&attend);
    for (uint32_t page = first_page + pages * piece.part / forward->parts;
         page < first_page + pages * (piece.part + 1) / forward->parts; page++) {
        look_at_page(forward, sequence, piece.head, page, seen_end, &attend);
        see_page(forward, piece, page * SL_KV_PAGE_TOKENS, attend.positions, first, end);
        look_ahead(forward, sequence, piece.head, page, first_page, seen_end, &attend);
        forward->kernels->attend(&attend);
    }
    if (forward->parts == 1)
        end_piece(forward, &attend, piece);
}

/* How many rows of a span stand in the first page of their sequence. */
static uint32_t rows_of_first_page(const struct sl_span *span)
{
    const uint32_t left =
        span->position < SL_KV_PAGE_TOKENS ? SL_KV_PAGE_TOKENS - span->position : 0;
    return left < span->count ? left : span->count;
}

/* Pieces are numbered (block of rows, head, part); blocks cross neither sequences nor the end of a
 * sequence's first page. Returns false past the last one. */
static bool find_piece(const struct sl_forward *forward, uint32_t number, struct piece *piece)
{
    const uint32_t heads = forward->model->hparams.head_count_kv;
    const uint32_t block_rows = rows_of_piece(forward);
    uint32_t block = number / (heads * forward->parts), row = 0;
    piece->head = number / forward->parts % heads;
    piece->part = number % forward->parts;
    for (uint32_t half = 0; half < 2 * forward->span_count; half++) {
        const struct sl_span *span = &forward->spans[half / 2];
        const uint32_t early = rows_of_first_page(span);
        const uint32_t count = half % 2 == 0 ? early : span->count - early;
        const uint32_t blocks = (count + block_rows - 1) / block_rows;
        if (block < blocks) {
            const uint32_t left = count - block * block_rows;
            piece->first_row = row + block * block_rows;
            piece->rows = left < block_rows ? left : block_rows;
            return true;
        }
        block -= blocks;
        row += count;
    }
    return false;
}

static uint32_t blocks_of_batch(const struct sl_forward *forward)
{
    const uint32_t block_rows = rows_of_piece(forward);
    uint32_t blocks = 0;
    for (uint32_t span = 0; span < forward->span_count; span++) {
        const uint32_t early = rows_of_first_page(&forward->spans[span]);
        blocks += (early + block_rows - 1) / block_rows +
                  (forward->spans[span].count - early + block_rows - 1) / block_rows;
    }
    return blocks;
}

static void attend_pieces(void *context, uint32_t begin, uint32_t end, uint32_t worker)
{
    struct sl_forward *forward = context;
    struct piece piece;
    for (uint32_t number = begin; number < end; number++)
        if (find_piece(forward, number, &piece))
            attend_piece(forward, piece, worker);
}

static uint32_t parts_of_batch(const struct sl_forward *forward)
{
    uint32_t pages = 0;
    if (forward->token_count > PARTED_TOKENS_MAX)
        return 1;
    for (uint32_t row = 0; row < forward->token_count; row++) {
        const uint32_t seen = forward->positions[row] / SL_KV_PAGE_TOKENS + 1;
        pages = seen > pages ? seen : pages;
    }
    const uint32_t room = forward->tokens_max / forward->token_count; /* of max, sum and acc */
    const uint32_t most = room < PARTS_MAX ? room : PARTS_MAX;
    const uint32_t wanted = pages / PART_PAGES;
    return wanted < 1 ? 1 : wanted < most ? wanted : most;
}

/* All parts of a piece become its first, which ends. */
static void merge_parts(struct sl_forward *forward, struct piece piece)
{
    const struct sl_attend whole = start_piece(forward, piece, 0);
    for (piece.part = 1; piece.part < forward->parts; piece.part++) {
        const struct sl_attend part = start_piece(forward, piece, 0);
        sl_attend_merge(&whole, &part);
    }
    end_piece(forward, &whole, piece);
}

void sl_forward_attend_pages(struct sl_forward *forward)
{
    forward->parts = parts_of_batch(forward);
    const uint32_t pieces =
        blocks_of_batch(forward) * forward->model->hparams.head_count_kv * forward->parts;
    struct piece piece;
    sl_pool_for(forward->pool, pieces, 1, attend_pieces, forward);
    for (uint32_t number = 0; forward->parts > 1 && number < pieces; number += forward->parts)
        if (find_piece(forward, number, &piece))
            merge_parts(forward, piece);
}

/* ---- both ways: encoders ---- */

static void attend_all_pieces(void *context, uint32_t begin, uint32_t end, uint32_t worker)
{
    struct sl_forward *forward = context;
    const struct sl_hparams *hparams = &forward->model->hparams;
    const uint32_t block_rows = rows_of_piece(forward);
    const size_t stride = (size_t)hparams->head_count_kv * hparams->head_dim * sizeof(float);
    uint32_t first[PIECE_QUERIES_MAX];
    uint32_t last[PIECE_QUERIES_MAX];
    for (uint32_t idx = 0; idx < PIECE_QUERIES_MAX; idx++) {
        first[idx] = 0;
        last[idx] = forward->token_count;
    }
    for (uint32_t piece = begin; piece < end; piece++) {
        const uint32_t head = piece % hparams->head_count_kv;
        const uint32_t row = piece / hparams->head_count_kv * block_rows;
        const uint32_t left = forward->token_count - row;
        const uint32_t rows = left < block_rows ? left : block_rows;
        const struct piece all = {row, rows, head, 0};
        struct sl_attend attend = start_piece(forward, all, worker);
        attend.format = SL_KV_FORMAT_F32;
        attend.positions = forward->token_count;
        attend.k = forward->k + (size_t)head * hparams->head_dim;
        attend.v = forward->v + (size_t)head * hparams->head_dim;
        attend.k_stride = attend.v_stride = stride;
        attend.first = first;
        attend.end = last;
        sl_attend_begin(&attend);
        forward->kernels->attend(&attend);
        end_piece(forward, &attend, all);
    }
}

void sl_forward_attend_both_ways(struct sl_forward *forward)
{
    const uint32_t block_rows = rows_of_piece(forward);
    const uint32_t blocks = (forward->token_count + block_rows - 1) / block_rows;
    sl_pool_for(forward->pool, blocks * forward->model->hparams.head_count_kv, 1, attend_all_pieces,
                forward);
}
