/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiled constraints of the last schemas, so that an app that sends the same schema with every
 * request pays for compiling it once.
 *
 * Threads: any; compiling runs outside of the lock, so two threads may compile the same schema once
 * each at first.
 */
#ifndef SLUICE_ENGINE_CONSTRAINT_CACHE_H
#define SLUICE_ENGINE_CONSTRAINT_CACHE_H

#include "constrain.h"

struct sl_constraint_cache;

/* NULL when out of memory. Borrows the tokenizer. */
struct sl_constraint_cache *sl_constraint_cache_create(const struct sl_tokenizer *tokenizer);
void sl_constraint_cache_free(struct sl_constraint_cache *cache);

/* The constraint for a format, with one reference for the caller, and the vocabulary that its
 * states need. Errors: as sl_constraint_compile. */
enum sl_err sl_constraint_cache_get(struct sl_constraint_cache *cache, enum sl_format_kind kind,
                                    const json_t *schema, enum sl_tool_form form,
                                    struct sl_constraint **constraint,
                                    const struct sl_constraint_vocab **vocab,
                                    struct sl_error *error) SL_MUST_CHECK;

#endif
