/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: which side a conversation began on. A tool loop or a session (x-session-id,
 * x-conversation-id) stays there. A tool loop is known by the ids of the tool calls that were
 * answered, so clients need not send a header. Any thread.
 */
#ifndef SLUICE_ROUTER_SESSIONS_H
#define SLUICE_ROUTER_SESSIONS_H

#include "sluice/request.h"

struct sl_sessions;

struct sl_sessions *sl_sessions_create(void);
void sl_sessions_free(struct sl_sessions *sessions);
/* SL_SIDE_NONE for a conversation that is new or was forgotten. */
enum sl_side sl_sessions_side(struct sl_sessions *sessions, const struct sl_request *req);
/* Notes where this request was answered, under its session id and its answer's tool call ids. */
void sl_sessions_note(struct sl_sessions *sessions, const struct sl_request *req);

#endif
