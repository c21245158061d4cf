/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: statistics of logits and the choice of a token. Leaves to others: top-k, top-p and min-p
 * (sampler_cut.c), the mask of a constraint (constrain.c), stop strings (scheduler).
 *
 * A vocabulary has 50,000 to 250,000 entries and there is a choice a token, so every pass is
 * linear, and what passes over all of it is a kernel.
 *
 * Threads: the scheduler's. Allocates at create only.
 */
#include "sampler.h"

#include "kernels.h"
#include "sampler_cut.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Numbers a block: small enough for the stack and the L1 cache, large enough to amortise. */
#define BLOCK 512
struct sl_sampler {
    uint32_t vocab_size;
    uint32_t stamp_now;
    float *edited;                /* (vocab) */
    uint32_t *stamps;             /* (vocab): == stamp_now where the token was seen in this step */
    uint32_t *counts;             /* (vocab): how often in the answer, valid where stamped */
    struct sl_cut *cut;
    double *block_sums;           /* (vocab / BLOCK + 1) */
};

/* Best and second best; a block is searched one by one only where it beats the second best. */
static void find_best_two(const float *logits, uint32_t vocab_size, struct sl_logit_summary *out)
{
    out->best = 0;
    out->best_logit = -INFINITY;
    out->second_logit = -INFINITY;
    for (size_t begin = 0; begin < vocab_size; begin += BLOCK) {
        size_t count = vocab_size - begin < BLOCK ? vocab_size - begin : BLOCK;
        if (!(sl_kernels()->largest(logits + begin, count) > out->second_logit))
            continue;
        for (size_t idx = begin; idx < begin + count; idx++) {
            if (logits[idx] > out->best_logit) {
                out->second_logit = out->best_logit;
                out->best_logit = logits[idx];
                out->best = (int32_t)idx;
            } else if (logits[idx] > out->second_logit) {
                out->second_logit = logits[idx];
            }
        }
    }
}

void sl_logit_summarize(const float *logits, uint32_t vocab_size, struct sl_logit_summary *out)
{
    find_best_two(logits, vocab_size, out);
    if (!isfinite(out->best_logit)) {
        out->log_sum = -INFINITY;
        out->entropy = 0;
        return;
    }
    float best;
    float sum;
    float weighted;
    sl_kernels()->softmax_moments(logits, vocab_size, &best, &sum, &weighted);
    double log_sum = log((double)sum);
    double entropy = log_sum - (double)weighted / (double)sum;
    out->log_sum = (float)(log_sum + (double)out->best_logit);
    out->entropy = entropy > 0 ? (float)entropy : 0.0f;
}

struct sl_token_stats sl_logit_stats(const struct sl_logit_summary *summary, float token_logit)
{
    struct sl_token_stats stats = {.entropy = summary->entropy};
    if (!isfinite(summary->log_sum)) {
        stats.logprob = -INFINITY;
        return stats;
    }
    float logprob = token_logit - summary->log_sum;
    stats.logprob = logprob < 0 ? logprob : 0.0f;
    stats.margin = summary->best_logit - summary->second_logit;
    return stats;
}

void sl_logit_alternatives(const float *logits, uint32_t vocab_size, float log_sum,
                           struct sl_token_alternative *out, uint32_t count)
{
    uint32_t filled = 0;
    for (size_t begin = 0; begin < vocab_size; begin += BLOCK) {
        size_t len = vocab_size - begin < BLOCK ? vocab_size - begin : BLOCK;
        if (filled == count &&
            !(sl_kernels()->largest(logits + begin, len) > out[count - 1].logprob))
            continue;
        for (size_t idx = begin; idx < begin + len; idx++) {
            if (filled == count && !(logits[idx] > out[count - 1].logprob))
                continue;
            uint32_t at = filled < count ? filled++ : count - 1;
            for (; at > 0 && logits[idx] > out[at - 1].logprob; at--)
                out[at] = out[at - 1];
            out[at] = (struct sl_token_alternative){(int32_t)idx, logits[idx]};
        }
    }
    for (uint32_t idx = 0; idx < filled; idx++)
        out[idx].logprob -= log_sum;
    for (uint32_t idx = filled; idx < count; idx++)
        out[idx] = (struct sl_token_alternative){-1, -INFINITY};
}

struct sl_sampler *sl_sampler_create(uint32_t vocab_size)
{
    struct sl_sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler == NULL)
        return NULL;
    sampler->vocab_size = vocab_size;
    sampler->edited = malloc(vocab_size * sizeof *sampler->edited);
    sampler->stamps = calloc(vocab_size, sizeof *sampler->stamps);
    sampler->counts = malloc(vocab_size * sizeof *sampler->counts);
    sampler->cut = sl_cut_create(vocab_size);
    sampler->block_sums = malloc((vocab_size / BLOCK + 1) * sizeof *sampler->block_sums);
    if (sampler->edited == NULL || sampler->stamps == NULL || sampler->counts == NULL ||
        sampler->cut == NULL || sampler->block_sums == NULL) {
        sl_sampler_free(sampler);
        return NULL;
    }
    return sampler;
}

void sl_sampler_free(struct sl_sampler *sampler)
{
    if (sampler == NULL)
        return;
    free(sampler->edited);
    free(sampler->stamps);
    free(sampler->counts);
    sl_cut_free(sampler->cut);
    free(sampler->block_sums);
    free(sampler);
}

/* ---- bias and penalties ---- */

static bool has_penalty(const struct sl_sampler_params *params)
{
    return (params->repetition_penalty > 0 && params->repetition_penalty != 1.0f) ||
           params->presence_penalty != 0 || params->frequency_penalty != 0;
}

/* Repetition penalty as CTRL (Keskar et al. 2019) has it: towards less likely on either side of 0;
 * presence and frequency penalty as OpenAI documents them. */
static void penalize(struct sl_sampler *sampler, const struct sl_sampler_params *params,
                     int32_t token)
{
    float logit = sampler->edited[token];
    if (params->repetition_penalty > 0 && params->repetition_penalty != 1.0f)
        logit = logit > 0 ? logit / params->repetition_penalty : logit * params->repetition_penalty;
    uint32_t count = sampler->counts[token];
    if (count > 0)
        logit -= params->presence_penalty + params->frequency_penalty * (float)count;
    sampler->edited[token] = logit;
}

static void apply_penalties(struct sl_sampler *sampler, const struct sl_sampler_params *params,
                            const int32_t *history, size_t prompt_count, size_t count)
{
    if (++sampler->stamp_now == 0) { /* wrapped after 2^32 steps */
        memset(sampler->stamps, 0, sampler->vocab_size * sizeof *sampler->stamps);
        sampler->stamp_now = 1;
    }
    for (size_t idx = 0; idx < count; idx++) {
        int32_t token = history[idx];
        if (token < 0 || (uint32_t)token >= sampler->vocab_size)
            continue;
        if (sampler->stamps[token] != sampler->stamp_now) {
            sampler->stamps[token] = sampler->stamp_now;
            sampler->counts[token] = 0;
        }
        sampler->counts[token] += idx >= prompt_count;
    }
    uint32_t applied = sampler->stamp_now;
    for (size_t idx = 0; idx < count; idx++) {
        int32_t token = history[idx];
        if (token < 0 || (uint32_t)token >= sampler->vocab_size ||
            sampler->stamps[token] != applied)
            continue;
        sampler->stamps[token] = applied - 1; /* each token once */
        penalize(sampler, params, token);
    }
}

static void add_to_logits(float *logits, uint32_t vocab_size, const struct sl_logit_bias *list,
                          size_t count)
{
    for (size_t idx = 0; idx < count; idx++)
        if (list[idx].token >= 0 && (uint32_t)list[idx].token < vocab_size)
            logits[list[idx].token] += list[idx].bias;
}

float *sl_sampler_begin(struct sl_sampler *sampler, const struct sl_sampler_params *params,
                        float *logits, bool force_copy)
{
    if (params->prior_count == 0 && !force_copy)
        return logits;
    memcpy(sampler->edited, logits, sampler->vocab_size * sizeof *logits);
    add_to_logits(sampler->edited, sampler->vocab_size, params->prior, params->prior_count);
    return sampler->edited;
}

float sl_sampler_prior(const struct sl_sampler *sampler, const struct sl_sampler_params *params,
                       int32_t token)
{
    float sum = 0;
    for (size_t idx = 0; idx < params->prior_count; idx++)
        if (params->prior[idx].token == token && (uint32_t)token < sampler->vocab_size)
            sum += params->prior[idx].bias;
    return sum;
}

float *sl_sampler_edit(struct sl_sampler *sampler, const struct sl_sampler_params *params,
                       float *logits, const int32_t *history, size_t prompt_count, size_t count)
{
    bool penalties = has_penalty(params);
    if (!penalties && params->bias_count == 0)
        return logits;
    if (logits != sampler->edited)
        memcpy(sampler->edited, logits, sampler->vocab_size * sizeof *logits);
    add_to_logits(sampler->edited, sampler->vocab_size, params->bias, params->bias_count);
    if (penalties)
        apply_penalties(sampler, params, history, prompt_count, count);
    return sampler->edited;
}

/* ---- the choice ---- */

/* Uniform in [0, 1), a function of seed and position alone (SplitMix64's finalizer). */
static double uniform_at(uint64_t seed, uint64_t position)
{
    uint64_t z = seed + (position + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53;
}

/* Draws from all tokens: sums by block, then a walk inside the block that the draw falls into. */
static int32_t draw_from_all(struct sl_sampler *sampler, const float *logits, float best_logit,
                             int32_t best, float scale, double uniform)
{
    double total = 0;
    size_t blocks = 0;
    for (size_t begin = 0; begin < sampler->vocab_size; begin += BLOCK, blocks++) {
        size_t count = sampler->vocab_size - begin < BLOCK ? sampler->vocab_size - begin : BLOCK;
        sampler->block_sums[blocks] =
            (double)sl_kernels()->exp_sum(logits + begin, count, best_logit, scale);
        total += sampler->block_sums[blocks];
    }
    double left = uniform * total;
    size_t block = 0;
    while (block + 1 < blocks && left >= sampler->block_sums[block])
        left -= sampler->block_sums[block++];
    int32_t chosen = best;
    for (size_t idx = block * BLOCK; idx < sampler->vocab_size && idx < (block + 1) * BLOCK;
         idx++) {
        if (logits[idx] == -INFINITY)
            continue;
        chosen = (int32_t)idx;
        left -= (double)sl_exp_nonpositive((logits[idx] - best_logit) * scale);
        if (left < 0)
            break;
    }
    return chosen;
}

/* Draws from those that the cuts leave. */
static int32_t draw_from_some(struct sl_sampler *sampler, const float *logits, float best_logit,
                              const struct sl_cut_rules *rules, double uniform)
{
    const struct sl_cut_token *tokens;
    const size_t count = sl_cut_tokens(sampler->cut, logits, best_logit, rules, &tokens);
    double total = 0;
    for (size_t idx = 0; idx < count; idx++)
        total += (double)tokens[idx].mass;
    double left = uniform * total;
    for (size_t idx = 0; idx + 1 < count; idx++) {
        left -= (double)tokens[idx].mass;
        if (left < 0)
            return tokens[idx].token;
    }
    return tokens[count - 1].token;
}

int32_t sl_sampler_choose(struct sl_sampler *sampler, const struct sl_sampler_params *params,
                          const float *logits, uint64_t position)
{
    struct sl_logit_summary best;
    find_best_two(logits, sampler->vocab_size, &best);
    if (!(params->temperature > 0) || !isfinite(best.best_logit) || params->top_k == 1)
        return best.best;
    float scale = 1.0f / params->temperature;
    if (!isfinite(scale))
        return best.best;
    double uniform = uniform_at(params->seed, position);
    const struct sl_cut_rules rules = {
        .scale = scale,
        .top_k = params->top_k,
        .top_p = params->top_p > 0 && params->top_p < 1 ? (double)params->top_p : 1.0,
        .min_p = params->min_p,
    };
    if (rules.top_k == 0 && rules.top_p >= 1 && !(rules.min_p > 0))
        return draw_from_all(sampler, logits, best.best_logit, best.best, scale, uniform);
    return draw_from_some(sampler, logits, best.best_logit, &rules, uniform);
}
