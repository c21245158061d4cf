/* SPDX-License-Identifier: Apache-2.0
 *
 * The forward pass: spans of tokens of several sequences go through the layers together, so that
 * weights are read once a batch; keys and values go to the cache, hidden rows come out.
 *
 *     struct sl_forward *forward;
 *     if (sl_forward_create(model, cache, pool, 256, 8, &forward, &error) != SL_OK) ...
 *     struct sl_span span = {&sequence, ids, count, position, .outputs = 1};
 *     sl_forward_run(forward, &span, 1);
 *     const float *logits = sl_forward_logits(forward, 0, 1);     // (1, vocab)
 *     sl_forward_free(forward);
 *
 * Threads: one owner, which also owns the pool while a call runs. Nothing allocates but create.
 */
#ifndef SLUICE_ENGINE_FORWARD_H
#define SLUICE_ENGINE_FORWARD_H

#include "kv_cache.h"
#include "model.h"
#include "thread_pool.h"

struct sl_forward;

/* `count` tokens of one sequence at positions [position, position + count), whose pages are there
 * (sl_kv_extend). The hidden rows of the last `outputs` of them are wanted. */
struct sl_span {
    const struct sl_kv_sequence *sequence; /* NULL for an encoder */
    const int32_t *ids;                    /* each below the vocabulary's size */
    uint32_t count;
    uint32_t position;
    uint32_t outputs;
};

/* Sizes the work memory for batches of `tokens_max` tokens in all and `logit_rows_max` rows of
 * logits at once. Borrows all three; `cache` is NULL for an encoder. Errors: SL_ERR_MEMORY. */
enum sl_err sl_forward_create(const struct sl_model *model, const struct sl_kv_cache *cache,
                              struct sl_pool *pool, uint32_t tokens_max, uint32_t logit_rows_max,
                              struct sl_forward **out, struct sl_error *error) SL_MUST_CHECK;
void sl_forward_free(struct sl_forward *forward);
uint32_t sl_forward_tokens_max(const struct sl_forward *forward);
uint32_t sl_forward_logit_rows_max(const struct sl_forward *forward);

/* Runs the layers. Output rows are numbered through the spans in their order. */
void sl_forward_run(struct sl_forward *forward, const struct sl_span *spans, uint32_t span_count);
/* Logits of output rows [first, first + count), (count, vocab); valid until the next call, the
 * caller may edit them. */
float *sl_forward_logits(struct sl_forward *forward, uint32_t first, uint32_t count);
/* The last norm's result for output row `row`, (embedding); for an encoder the row as it is. */
void sl_forward_hidden(struct sl_forward *forward, uint32_t row, float *out);

/* Runs an encoder over one text and pools; `out` holds embedding_size floats. count is at least 1
 * and at most tokens_max. */
void sl_forward_encode(struct sl_forward *forward, const int32_t *ids, uint32_t count, float *out);

#endif
