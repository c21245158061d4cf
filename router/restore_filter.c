/* SPDX-License-Identifier: Apache-2.0
 *
 * The restore filter. Channels are few (a choice's text, seldom a tool call), so they are a list.
 *
 * Invariants: 1. A channel's restorer sees that channel's pieces only, in order. 2. What a channel
 * holds goes out before the finish reason of its choice. 3. Logprobs are passed on only where no
 * placeholder was given out: their tokens would show placeholders beside restored text.
 */
#include "restore_filter.h"

#include <stdlib.h>

#define CHANNELS_MAX (SL_CHOICES_MAX * (3 + SL_TOOL_CALLS_MAX))
#define PIECE_BYTES_MAX (8u << 20) /* one delta after restoring; an answer is capped below this */

struct channel {
    struct channel *next;
    enum sl_delta_kind kind;
    uint32_t choice;
    uint32_t tool_call;
    struct sl_restorer *restorer;
};

struct sl_restore_filter {
    const struct sl_vault *vault; /* NULL: nothing to restore */
    sl_delta_fn sink;
    void *sink_ctx;
    struct channel *first;
    size_t channel_count;
    struct sl_buf scratch;
};

struct sl_restore_filter *sl_restore_filter_create(const struct sl_vault *vault, sl_delta_fn sink,
                                                   void *sink_ctx)
{
    struct sl_restore_filter *filter = calloc(1, sizeof *filter);
    if (filter == NULL)
        return NULL;
    filter->vault = vault != NULL && sl_vault_count(vault) > 0 ? vault : NULL;
    filter->sink = sink;
    filter->sink_ctx = sink_ctx;
    sl_buf_init(&filter->scratch, PIECE_BYTES_MAX);
    return filter;
}

void sl_restore_filter_free(struct sl_restore_filter *filter)
{
    if (filter == NULL)
        return;
    struct channel *channel = filter->first;
    while (channel != NULL) {
        struct channel *next = channel->next;
        sl_restorer_free(channel->restorer);
        free(channel);
        channel = next;
    }
    sl_buf_wipe(&filter->scratch);
    free(filter);
}

static bool channel_is(const struct channel *channel, const struct sl_delta *delta)
{
    return channel->kind == delta->kind && channel->choice == delta->choice &&
           channel->tool_call == delta->tool_call;
}

static enum sl_err find_channel(struct sl_restore_filter *filter, const struct sl_delta *delta,
                                struct channel **out)
{
    struct channel *channel = filter->first;
    while (channel != NULL && !channel_is(channel, delta))
        channel = channel->next;
    if (channel == NULL) {
        if (filter->channel_count == CHANNELS_MAX)
            return SL_ERR_LIMIT;
        channel = calloc(1, sizeof *channel);
        if (channel == NULL)
            return SL_ERR_MEMORY;
        enum sl_restore_mode mode =
            delta->kind == SL_DELTA_TOOL_CALL ? SL_RESTORE_JSON_STRING : SL_RESTORE_TEXT;
        channel->restorer = sl_restorer_create(filter->vault, mode, SL_TOLERATE_ALL);
        if (channel->restorer == NULL) {
            free(channel);
            return SL_ERR_MEMORY;
        }
        channel->kind = delta->kind;
        channel->choice = delta->choice;
        channel->tool_call = delta->tool_call;
        channel->next = filter->first;
        filter->first = channel;
        filter->channel_count++;
    }
    *out = channel;
    return SL_OK;
}

static enum sl_err restore_piece(struct sl_restore_filter *filter, const struct sl_delta *delta)
{
    struct channel *channel = NULL;
    enum sl_err err = find_channel(filter, delta, &channel);
    sl_buf_reset(&filter->scratch);
    if (err == SL_OK)
        err = sl_restorer_feed(channel->restorer, delta->text, &filter->scratch, NULL);
    if (err != SL_OK)
        return err;
    /* A tool call's first delta carries its name: it goes out even where its text is held. */
    if (filter->scratch.len == 0 && delta->text.len > 0 && delta->tool_call_name.len == 0)
        return SL_OK;
    struct sl_delta restored = *delta;
    restored.text = sl_buf_slice(&filter->scratch);
    return filter->sink(filter->sink_ctx, &restored);
}

static enum sl_err flush_channel(struct sl_restore_filter *filter, struct channel *channel)
{
    sl_buf_reset(&filter->scratch);
    enum sl_err err = sl_restorer_flush(channel->restorer, &filter->scratch, NULL);
    if (err != SL_OK || filter->scratch.len == 0)
        return err;
    struct sl_delta rest = {.kind = channel->kind,
                            .choice = channel->choice,
                            .tool_call = channel->tool_call,
                            .text = sl_buf_slice(&filter->scratch)};
    return filter->sink(filter->sink_ctx, &rest);
}

/* Flushes the channels of one choice, or of all where `choice` is SL_CHOICES_MAX. */
static enum sl_err flush_choice(struct sl_restore_filter *filter, uint32_t choice)
{
    enum sl_err err = SL_OK;
    for (struct channel *channel = filter->first; channel != NULL && err == SL_OK;
         channel = channel->next)
        if (choice == SL_CHOICES_MAX || channel->choice == choice)
            err = flush_channel(filter, channel);
    return err;
}

enum sl_err sl_restore_filter_delta(void *ctx, const struct sl_delta *delta)
{
    struct sl_restore_filter *filter = ctx;
    enum sl_err err = SL_OK;
    if (filter->vault == NULL)
        return filter->sink(filter->sink_ctx, delta);
    switch (delta->kind) {
    case SL_DELTA_TEXT:
    case SL_DELTA_REASONING:
    case SL_DELTA_REFUSAL:
    case SL_DELTA_TOOL_CALL:
        return restore_piece(filter, delta);
    case SL_DELTA_LOGPROBS:
        return SL_OK;
    case SL_DELTA_FINISH:
        err = flush_choice(filter, delta->choice);
        break;
    case SL_DELTA_USAGE:
    case SL_DELTA_MODEL:
        break;
    }
    return err == SL_OK ? filter->sink(filter->sink_ctx, delta) : err;
}

enum sl_err sl_restore_filter_finish(struct sl_restore_filter *filter,
                                     struct sl_restore_stats *stats)
{
    enum sl_err err = flush_choice(filter, SL_CHOICES_MAX);
    for (const struct channel *channel = filter->first; channel != NULL; channel = channel->next) {
        struct sl_restore_stats one = sl_restorer_stats(channel->restorer);
        stats->restored += one.restored;
        stats->unresolved += one.unresolved;
    }
    return err;
}
