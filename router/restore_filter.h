/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the cloud's deltas and the client: puts the values back where placeholders stand. Each
 * choice's text, reasoning and refusal and each tool call's arguments is a channel with a restorer
 * of its own. A channel is flushed before its choice's finish reason, so nothing is held at the end.
 *
 *     struct sl_restore_filter *filter = sl_restore_filter_create(vault, sink, ctx);
 *     ... sl_restore_filter_delta(filter, &delta) ...           // an sl_delta_fn
 *     sl_restore_filter_finish(filter, &stats);
 *     sl_restore_filter_free(filter);
 *
 * Threads: one owner at a time.
 */
#ifndef SLUICE_ROUTER_RESTORE_FILTER_H
#define SLUICE_ROUTER_RESTORE_FILTER_H

#include "sluice/answer.h"
#include "sluice/pii.h"

struct sl_restore_filter;

/* `vault` is borrowed; NULL or empty: deltas pass as they are. NULL when out of memory. */
struct sl_restore_filter *sl_restore_filter_create(const struct sl_vault *vault, sl_delta_fn sink,
                                                   void *sink_ctx);
void sl_restore_filter_free(struct sl_restore_filter *filter);
/* Errors: the sink's, SL_ERR_MEMORY, SL_ERR_LIMIT (more channels than an answer can have). */
enum sl_err sl_restore_filter_delta(void *filter, const struct sl_delta *delta);
/* Flushes what is left (an answer without finish reasons) and adds up the counts. */
enum sl_err sl_restore_filter_finish(struct sl_restore_filter *filter,
                                     struct sl_restore_stats *stats) SL_MUST_CHECK;

#endif
