/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: which fields of a request make its cache keys.
 */
#ifndef SLUICE_ROUTER_CACHE_KEYS_H
#define SLUICE_ROUTER_CACHE_KEYS_H

#include "sluice/request.h"

/* The key of an answer of the local model: keyed hash of the original. false: not cacheable. */
bool sl_local_cache_key(const struct sl_request *req, struct sl_cache_key *key) SL_MUST_CHECK;
/* The key of a cloud answer: hash of the scrubbed form. false: not cacheable, or not scrubbed. */
bool sl_cloud_cache_key(const struct sl_request *req, struct sl_cache_key *key) SL_MUST_CHECK;
/* The same fields but for the text of the last user message: the scope of similar prompts. */
bool sl_cache_scope_key(const struct sl_request *req, bool is_cloud,
                        struct sl_cache_key *key) SL_MUST_CHECK;

#endif
