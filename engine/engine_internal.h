/* SPDX-License-Identifier: Apache-2.0
 *
 * An opened model with all its parts: what engine.c, prompt.c and embed.c share. Immutable after
 * open; the parts guard themselves.
 */
#ifndef SLUICE_ENGINE_ENGINE_INTERNAL_H
#define SLUICE_ENGINE_ENGINE_INTERNAL_H

#include "chat_template.h"
#include "constraint_cache.h"
#include "digest.h"
#include "scheduler.h"

struct sl_engine {
    struct sl_model *model;
    struct sl_tokenizer *tokenizer;
    struct sl_chat_template *chat_template;  /* NULL for an encoder */
    struct sl_constraint_cache *constraints; /* NULL for an encoder */
    struct sl_kv_cache *cache;
    struct sl_pool *pool;
    struct sl_forward *forward;
    struct sl_sampler *sampler;
    struct sl_scheduler *scheduler;
    struct sl_digest *digest; /* of the file, in the making or made */
    struct sl_model_info info;
    char *name;
    uint32_t context_tokens;
};

/* Tokens of the last user message that are scored at most; each costs one row of the output matrix,
 * a quarter to a half of what a prompt token of a small model costs in all. */
#define SL_SCORED_TOKENS_MAX 64

/* A prompt that owns a copy of ids; scores the last SL_SCORED_TOKENS_MAX of [scored_begin,
 * scored_end). Errors: SL_ERR_INVALID where an id is outside the vocabulary, SL_ERR_MEMORY. */
enum sl_err sl_prompt_create(const struct sl_engine *engine, const int32_t *ids, size_t count,
                             size_t scored_begin, size_t scored_end, struct sl_prompt **out,
                             struct sl_error *error) SL_MUST_CHECK;

#endif
