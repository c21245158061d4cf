/* SPDX-License-Identifier: Apache-2.0
 *
 * Which tokens top-k, top-p and min-p leave.
 *
 *     struct sl_cut *cut = sl_cut_create(vocab_size);
 *     const struct sl_cut_rules rules = {.scale = 1 / temperature, .top_k = 40, .top_p = 0.9};
 *     size_t count = sl_cut_tokens(cut, logits, best_logit, &rules, &tokens);
 *     ... tokens[0 .. count), lower ids first, each with its mass
 *
 * Threads: scratch memory of one thread. Allocates at create only.
 */
#ifndef SLUICE_ENGINE_SAMPLER_CUT_H
#define SLUICE_ENGINE_SAMPLER_CUT_H

#include <stddef.h>
#include <stdint.h>

struct sl_cut;

struct sl_cut_rules {
    float scale;    /* 1 / temperature; finite, above 0 */
    uint32_t top_k; /* 0: off */
    double top_p;   /* 1: off; of what top-k leaves */
    float min_p;    /* of the best token's probability; 0: off */
};

struct sl_cut_token {
    int32_t token;
    float distance; /* (logit - best) * scale, at most 0 */
    float mass;     /* e^distance */
};

/* NULL when out of memory. */
struct sl_cut *sl_cut_create(uint32_t vocab_size);
void sl_cut_free(struct sl_cut *cut);

/* `best_logit` is the largest of `logits`, and finite. Returns how many tokens stay, at least 1;
 * `*tokens` is the cut's until the next call. Of equal logits the lower id counts as better. Tokens
 * less likely than e^-80 times the best, and those that are NaN, never stay. */
size_t sl_cut_tokens(struct sl_cut *cut, const float *logits, float best_logit,
                     const struct sl_cut_rules *rules, const struct sl_cut_token **tokens);

/* e^x for x <= 0, relative error below 3e-7; anything under -87 counts as -87 (1e-38). */
float sl_exp_nonpositive(float x);

#endif
