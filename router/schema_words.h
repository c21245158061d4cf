/* SPDX-License-Identifier: Apache-2.0
 *
 * The words that a JSON schema allows: what an answer may be, of which a gate's scope and the kind of
 * a task are read. One reading for both, so that they cannot part.
 *
 * Threads: any; pure.
 */
#ifndef SLUICE_ROUTER_SCHEMA_WORDS_H
#define SLUICE_ROUTER_SCHEMA_WORDS_H

#include "sluice/slice.h"

#include <jansson.h>

typedef void sl_schema_word_fn(void *ctx, struct sl_slice word);

/* Calls fn for every string that stands under `const` or in an `enum`, at any depth up to 32 (schemas
 * may be no deeper). What is no schema has no words. */
void sl_schema_words(const json_t *schema, sl_schema_word_fn *fn, void *ctx);

#endif
