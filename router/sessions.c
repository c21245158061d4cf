/* SPDX-License-Identifier: Apache-2.0
 *
 * A table of fixed size: keyed hashes of (app, id) to a side. When two fall on one slot the newer
 * one wins; a forgotten conversation is decided anew, which is never wrong, only less steady.
 * Nothing of the ids is kept but 64 bits of a hash under a random key.
 *
 * Invariant, under `lock`: a slot with expires_ms == 0 is empty.
 */
#include "sessions.h"

#include "sluice/clock.h"
#include "sluice/crypto.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_SLOTS 4096           /* conversations of an afternoon; 96 KiB */
#define SESSION_LIFE_MS (2u * 3600 * 1000) /* idle for longer: a new conversation */

struct session_slot {
    uint64_t tag;
    uint64_t expires_ms;
    enum sl_side side;
};

struct sl_sessions {
    pthread_mutex_t lock; /* guards slots */
    uint8_t key[SL_SHA256_BYTES];
    struct session_slot slots[SESSION_SLOTS];
};

struct sl_sessions *sl_sessions_create(void)
{
    struct sl_sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions == NULL)
        return NULL;
    pthread_mutex_init(&sessions->lock, NULL);
    sl_random_bytes(sessions->key, sizeof sessions->key);
    return sessions;
}

void sl_sessions_free(struct sl_sessions *sessions)
{
    if (sessions == NULL)
        return;
    pthread_mutex_destroy(&sessions->lock);
    free(sessions);
}

static uint64_t tag_of(const struct sl_sessions *sessions, const char *app, struct sl_slice id)
{
    uint8_t digest[SL_SHA256_BYTES] = {0};
    uint64_t tag;
    struct sl_hash *hash = sl_hash_create(sessions->key, sizeof sessions->key);
    if (hash == NULL)
        return 0;
    sl_hash_update(hash, app, strlen(app) + 1);
    sl_hash_update(hash, id.data, id.len);
    sl_hash_finish(hash, digest);
    sl_hash_free(hash);
    memcpy(&tag, digest, sizeof tag);
    return tag;
}

static enum sl_side find(struct sl_sessions *sessions, uint64_t tag)
{
    enum sl_side side = SL_SIDE_NONE;
    pthread_mutex_lock(&sessions->lock);
    const struct session_slot *slot = &sessions->slots[tag % SESSION_SLOTS];
    if (slot->tag == tag && slot->expires_ms > sl_monotonic_ms())
        side = slot->side;
    pthread_mutex_unlock(&sessions->lock);
    return side;
}

static void put(struct sl_sessions *sessions, uint64_t tag, enum sl_side side)
{
    pthread_mutex_lock(&sessions->lock);
    sessions->slots[tag % SESSION_SLOTS] = (struct session_slot){
        .tag = tag, .expires_ms = sl_monotonic_ms() + SESSION_LIFE_MS, .side = side};
    pthread_mutex_unlock(&sessions->lock);
}

/* The id of the tool call that the last message answers; empty where it is no tool result. */
static struct sl_slice last_tool_call_id(const json_t *chat)
{
    const json_t *messages = json_object_get(chat, "messages");
    size_t count = json_array_size(messages);
    const json_t *id =
        count > 0 ? json_object_get(json_array_get(messages, count - 1), "tool_call_id") : NULL;
    if (!json_is_string(id))
        return (struct sl_slice){NULL, 0};
    return (struct sl_slice){json_string_value(id), json_string_length(id)};
}

enum sl_side sl_sessions_side(struct sl_sessions *sessions, const struct sl_request *req)
{
    struct sl_slice tool_call = last_tool_call_id(req->parse.chat);
    enum sl_side side = SL_SIDE_NONE;
    if (tool_call.len > 0)
        side = find(sessions, tag_of(sessions, req->auth.app, tool_call));
    if (side == SL_SIDE_NONE && req->parse.session_id.len > 0)
        side = find(sessions, tag_of(sessions, req->auth.app, req->parse.session_id));
    return side;
}

void sl_sessions_note(struct sl_sessions *sessions, const struct sl_request *req)
{
    enum sl_side side = req->decide.decision.side;
    if (side != SL_SIDE_LOCAL && side != SL_SIDE_CLOUD)
        return;
    if (req->parse.session_id.len > 0)
        put(sessions, tag_of(sessions, req->auth.app, req->parse.session_id), side);
    for (size_t i = 0; req->answer != NULL && i < req->answer->choice_count; i++) {
        const struct sl_choice *choice = &req->answer->choices[i];
        for (size_t call = 0; call < choice->tool_call_count; call++)
            put(sessions,
                tag_of(sessions, req->auth.app, sl_buf_slice(&choice->tool_calls[call].id)), side);
    }
}
