/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: what other stages use of the look-up.
 */
#ifndef SLUICE_ROUTER_LOOKUP_H
#define SLUICE_ROUTER_LOOKUP_H

#include "sluice/request.h"

/* Makes the stored answer the one that is served: where the walk goes on. */
enum sl_step sl_lookup_serve(struct sl_request *req, enum sl_cache_status status,
                             enum sl_reason reason);
/* Decodes a stored answer into the lookup section and gives the entry back. false: not readable. */
bool sl_lookup_take(struct sl_request *req, struct sl_cache_entry *entry, bool is_cloud_entry);
/* Waits, on a worker, for the equal request that is under way. SL_STEP_NEXT: compute it. */
enum sl_step sl_lookup_follow(struct sl_request *req);
/* After everything failed: an entry past its end that the policy still allows (stale_if_error). */
bool sl_lookup_stale(struct sl_request *req);
/* An entry whose prompt says the same in other words; see lookup_similar.c. */
bool sl_lookup_similar(struct sl_request *req, const struct sl_cache_want *want);
/* On a worker, before a cloud is asked: an entry whose prompt means the same; see
 * lookup_similar.c. Keeps the meaning, so that the store stage files the answer under it. */
bool sl_lookup_meaning(struct sl_request *req, const struct sl_cache_want *want);
/* The text that a similar request may vary, and everything that it must not. false: a kind of
 * request that is never similar to another. `is_cloud`: of the scrubbed form. */
bool sl_lookup_similar_text(const struct sl_request *req, bool is_cloud,
                            struct sl_cache_similar_text *out);

#endif
