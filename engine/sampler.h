/* SPDX-License-Identifier: Apache-2.0
 *
 * From logits to a token: what the router wants to know of them (log-probability, entropy, margin),
 * and the choice: bias, penalties, temperature, top-k, top-p, min-p.
 *
 *     struct sl_logit_summary summary;
 *     sl_logit_summarize(logits, vocab_size, &summary);
 *     float *work = sl_sampler_begin(sampler, &params, logits, is_constrained);
 *     … (a constraint masks `work`; its summary is that of the choice)
 *     work = sl_sampler_edit(sampler, &params, work, history, prompt_count, count);
 *     int32_t token = sl_sampler_choose(sampler, &params, work, position);
 *
 * Order, as OpenAI-compatible servers have it: prior, (mask of a constraint), bias, penalties,
 * temperature, top-k, top-p over what top-k left, min-p. Summary and alternatives are of the raw
 * logits at temperature 1.
 * The random number of a step depends on seed and position only, not on how many were drawn
 * before: so speculation, batching and a re-run give the same text.
 *
 * Threads: a sampler is scratch memory of one thread, shared by all its sequences.
 */
#ifndef SLUICE_ENGINE_SAMPLER_H
#define SLUICE_ENGINE_SAMPLER_H

#include "sluice/engine.h"

struct sl_sampler;

struct sl_sampler_params {
    float temperature; /* 0: greedy */
    uint32_t top_k;    /* 0: off */
    float top_p;       /* 0 or 1: off */
    float min_p;
    float repetition_penalty; /* over prompt and answer; 0 or 1: off */
    float presence_penalty;   /* over the answer */
    float frequency_penalty;  /* over the answer */
    uint64_t seed;
    const struct sl_logit_bias *bias; /* borrowed; ids outside the vocabulary are ignored */
    size_t bias_count;
    const struct sl_logit_bias *prior; /* the same */
    size_t prior_count;
};

/* What one pass over raw logits finds. All -inf or NaN: best is 0 and log_sum is -inf. */
struct sl_logit_summary {
    int32_t best;
    float best_logit;
    float second_logit; /* -inf where there is one token only */
    float log_sum;      /* log of the sum of exp(logit) */
    float entropy;      /* nats */
};

void sl_logit_summarize(const float *logits, uint32_t vocab_size, struct sl_logit_summary *out);
/* The statistics of `token` under the summary of the logits it was chosen from. */
struct sl_token_stats sl_logit_stats(const struct sl_logit_summary *summary, float token_logit);
/* The `count` best tokens, best first (ties: lower id first), with their log-probabilities. */
void sl_logit_alternatives(const float *logits, uint32_t vocab_size, float log_sum,
                           struct sl_token_alternative *out, uint32_t count);

/* NULL when out of memory. */
struct sl_sampler *sl_sampler_create(uint32_t vocab_size);
void sl_sampler_free(struct sl_sampler *sampler);

/* The logits with the prior, in the sampler's own memory. `force_copy`: the caller wants to edit
 * them (a constraint's mask). Returns `logits` itself, unedited, where neither applies. */
float *sl_sampler_begin(struct sl_sampler *sampler, const struct sl_sampler_params *params,
                        float *logits, bool force_copy);
/* What the prior adds to a token's logit. */
float sl_sampler_prior(const struct sl_sampler *sampler, const struct sl_sampler_params *params,
                       int32_t token);
/* Bias and penalties on top of what sl_sampler_begin returned, in the sampler's own memory;
 * `history` is the whole sequence, of which the first `prompt_count` are the prompt. Returns
 * `logits` itself, unedited, where nothing applies. */
float *sl_sampler_edit(struct sl_sampler *sampler, const struct sl_sampler_params *params,
                       float *logits, const int32_t *history, size_t prompt_count, size_t count);
/* Chooses a token. `position` is the sequence position that it will have. */
int32_t sl_sampler_choose(struct sl_sampler *sampler, const struct sl_sampler_params *params,
                          const float *logits, uint64_t position);

#endif
