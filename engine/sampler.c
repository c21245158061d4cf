/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: statistics of logits and the choice of a token.
 * Leaves to others: the mask of a constraint (constrain.c), stop strings (scheduler).
 *
 * A vocabulary has 50,000 to 250,000 entries and there is a choice a token, so every pass is linear
 * and the exponential is a polynomial over a block of numbers that the compiler can turn into
 * vector instructions. Top-k and top-p never sort the vocabulary: a histogram over the distance to
 * the best logit finds the few that can matter, and only those are sorted. The result is exact: the
 * histogram only bounds the set.
 *
 * Threads: the scheduler's. Allocates at create only (libc's qsort may allocate, so the sort is
 * ours).
 */
#include "sampler.h"

#include "kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Numbers a block: small enough for the stack and the L1 cache, large enough to amortise. */
#define BLOCK 512
#define LANES 16
/* Histogram over (best - logit) / temperature: 1/16 nat a bucket, 32 nats in all; e^-32 times any
 * vocabulary is below float's resolution, the last bucket takes the rest. */
#define BUCKETS 512
#define BUCKETS_PER_NAT 16.0f

struct candidate {
    float distance; /* (logit - best) / temperature, at most 0 */
    int32_t token;
};

struct sl_sampler {
    uint32_t vocab_size;
    uint32_t stamp_now;
    float *edited;                /* (vocab) */
    uint32_t *stamps;             /* (vocab): == stamp_now where the token was seen in this step */
    uint32_t *counts;             /* (vocab): how often in the answer, valid where stamped */
    struct candidate *candidates; /* (vocab), touched only as far as used */
    double *block_sums;           /* (vocab / BLOCK + 1) */
    uint32_t bucket_count[BUCKETS];
    double bucket_mass[BUCKETS];
};

/* e^x for x <= 0, relative error below 3e-7; anything under -87 counts as -87 (1e-38). Cody-Waite
 * reduction and a degree-6 polynomial, branch-free so that loops over it vectorise. */
static inline float exp_nonpositive(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    x = x > -87.0f ? x : -87.0f;     /* NaN too */
    float n = (x * 1.44269504f + magic) - magic;
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    union {
        int32_t i;
        float f;
    } scale = {.i = ((int32_t)n + 127) << 23};
    return p * scale.f;
}

/* Sum of e^((x - best) * scale) over a block. */
static double block_exp_sum(const float *logits, size_t count, float best, float scale)
{
    float sums[LANES] = {0};
    size_t idx = 0;
    for (; idx + LANES <= count; idx += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            sums[lane] += exp_nonpositive((logits[idx + lane] - best) * scale);
    double sum = 0;
    for (; idx < count; idx++)
        sum += (double)exp_nonpositive((logits[idx] - best) * scale);
    for (size_t lane = 0; lane < LANES; lane++)
        sum += (double)sums[lane];
    return sum;
}

/* Largest value of a block, in lanes so that the loop vectorises. */
static float block_max(const float *values, size_t count)
{
    float best[LANES];
    for (size_t lane = 0; lane < LANES; lane++)
        best[lane] = -INFINITY;
    size_t idx = 0;
    for (; idx + LANES <= count; idx += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            best[lane] = values[idx + lane] > best[lane] ? values[idx + lane] : best[lane];
    float result = -INFINITY;
    for (; idx < count; idx++)
        result = values[idx] > result ? values[idx] : result;
    for (size_t lane = 0; lane < LANES; lane++)
        result = best[lane] > result ? best[lane] : result;
    return result;
}

/* Best and second best; a block is searched one by one only where it beats the second best. */
static void find_best_two(const float *logits, uint32_t vocab_size, struct sl_logit_summary *out)
{
    out->best = 0;
    out->best_logit = -INFINITY;
    out->second_logit = -INFINITY;
    for (size_t begin = 0; begin < vocab_size; begin += BLOCK) {
        size_t count = vocab_size - begin < BLOCK ? vocab_size - begin : BLOCK;
        if (!(block_max(logits + begin, count) > out->second_logit))
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
        if (filled == count && !(block_max(logits + begin, len) > out[count - 1].logprob))
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
    sampler->candidates = malloc(vocab_size * sizeof *sampler->candidates);
    sampler->block_sums = malloc((vocab_size / BLOCK + 1) * sizeof *sampler->block_sums);
    if (sampler->edited == NULL || sampler->stamps == NULL || sampler->counts == NULL ||
        sampler->candidates == NULL || sampler->block_sums == NULL) {
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
    free(sampler->candidates);
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
        sampler->block_sums[blocks] = block_exp_sum(logits + begin, count, best_logit, scale);
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
        left -= (double)exp_nonpositive((logits[idx] - best_logit) * scale);
        if (left < 0)
            break;
    }
    return chosen;
}

static bool candidate_before(const struct candidate *a, const struct candidate *b)
{
    return a->distance > b->distance || (a->distance == b->distance && a->token < b->token);
}

static void sift_down(struct candidate *heap, size_t root, size_t count)
{
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= count)
            return;
        if (child + 1 < count && candidate_before(&heap[child], &heap[child + 1]))
            child++;
        if (!candidate_before(&heap[root], &heap[child]))
            return;
        struct candidate swap = heap[root];
        heap[root] = heap[child];
        heap[child] = swap;
        root = child;
    }
}

/* Heap sort, best first. */
static void sort_candidates(struct candidate *candidates, size_t count)
{
    for (size_t root = count / 2; root-- > 0;)
        sift_down(candidates, root, count);
    for (size_t end = count; end > 1; end--) {
        struct candidate swap = candidates[0];
        candidates[0] = candidates[end - 1];
        candidates[end - 1] = swap;
        sift_down(candidates, 0, end - 1);
    }
}

static size_t bucket_of(float distance)
{
    float bucket = -distance * BUCKETS_PER_NAT;
    return bucket < BUCKETS - 1 ? (size_t)bucket : BUCKETS - 1;
}

/* The last bucket that top-k or top-p can reach. */
static size_t last_bucket(const struct sl_sampler *sampler, uint32_t top_k, double top_p)
{
    double total = 0;
    for (size_t bucket = 0; bucket < BUCKETS; bucket++)
        total += sampler->bucket_mass[bucket];
    uint64_t count = 0;
    double mass = 0;
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        count += sampler->bucket_count[bucket];
        mass += sampler->bucket_mass[bucket];
        if ((top_k > 0 && count >= top_k) || (top_p < 1 && mass >= top_p * total))
            return bucket;
    }
    return BUCKETS - 1;
}

/* Fills the candidates that top-k and top-p cannot exclude, sorted; returns their number. */
static size_t gather_candidates(struct sl_sampler *sampler, const float *logits, float best_logit,
                                float scale, uint32_t top_k, double top_p)
{
    memset(sampler->bucket_count, 0, sizeof sampler->bucket_count);
    memset(sampler->bucket_mass, 0, sizeof sampler->bucket_mass);
    for (uint32_t token = 0; token < sampler->vocab_size; token++) {
        if (logits[token] == -INFINITY)
            continue;
        float distance = (logits[token] - best_logit) * scale;
        size_t bucket = bucket_of(distance);
        sampler->bucket_count[bucket]++;
        sampler->bucket_mass[bucket] += (double)exp_nonpositive(distance);
    }
    size_t last = last_bucket(sampler, top_k, top_p);
    size_t count = 0;
    for (uint32_t token = 0; token < sampler->vocab_size; token++) {
        float distance = (logits[token] - best_logit) * scale;
        if (logits[token] != -INFINITY && bucket_of(distance) <= last)
            sampler->candidates[count++] = (struct candidate){distance, (int32_t)token};
    }
    sort_candidates(sampler->candidates, count);
    return count;
}

/* How many of the sorted candidates stay: the smallest set whose mass reaches top_p. The total is
 * that of the candidates where top-k cut them, else that of the whole vocabulary. */
static size_t cut_top_p(const struct sl_sampler *sampler, size_t count, double top_p,
                        bool is_total_of_candidates)
{
    if (top_p >= 1)
        return count;
    double total = 0;
    if (is_total_of_candidates)
        for (size_t idx = 0; idx < count; idx++)
            total += (double)exp_nonpositive(sampler->candidates[idx].distance);
    else
        for (size_t bucket = 0; bucket < BUCKETS; bucket++)
            total += sampler->bucket_mass[bucket];
    double mass = 0;
    for (size_t idx = 0; idx < count; idx++) {
        mass += (double)exp_nonpositive(sampler->candidates[idx].distance);
        if (mass >= top_p * total)
            return idx + 1;
    }
    return count;
}

static int32_t draw_from_candidates(const struct sl_sampler *sampler, size_t count, double uniform)
{
    double total = 0;
    for (size_t idx = 0; idx < count; idx++)
        total += (double)exp_nonpositive(sampler->candidates[idx].distance);
    double left = uniform * total;
    for (size_t idx = 0; idx + 1 < count; idx++) {
        left -= (double)exp_nonpositive(sampler->candidates[idx].distance);
        if (left < 0)
            return sampler->candidates[idx].token;
    }
    return sampler->candidates[count - 1].token;
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
    double top_p = params->top_p > 0 && params->top_p < 1 ? (double)params->top_p : 1.0;
    if (params->top_k == 0 && top_p >= 1 && !(params->min_p > 0))
        return draw_from_all(sampler, logits, best.best_logit, best.best, scale, uniform);

    size_t count = gather_candidates(sampler, logits, best.best_logit, scale, params->top_k, top_p);
    bool cut_by_k = params->top_k > 0 && count > params->top_k;
    if (cut_by_k)
        count = params->top_k;
    count = cut_top_p(sampler, count, top_p, params->top_k > 0);
    if (params->min_p > 0) {
        float least = logf(params->min_p < 1 ? params->min_p : 1.0f);
        while (count > 1 && sampler->candidates[count - 1].distance < least)
            count--;
    }
    return draw_from_candidates(sampler, count, uniform);
}
