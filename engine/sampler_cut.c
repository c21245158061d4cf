/* SPDX-License-Identifier: Apache-2.0
 *
 * The cuts of sampler_cut.h, exact and without a look at most of the vocabulary. Each rule gives a
 * bound first, a distance from the best logit below which it keeps nothing:
 *
 *   top-k   the k-th largest of the blocks' maxima: k tokens are at least as good
 *   top-p   ln((1 - p) total / n): all tokens below together weigh less than 1 - p of the total
 *   min-p   ln p
 *
 * Only blocks whose largest logit reaches all bounds are read. What is gathered there, some tens to
 * some thousands, is then cut by selection: the boundary of the best k, or of the smallest set that
 * weighs p, is found by partitioning (Hoare's FIND, with weights for top-p), in linear time.
 * Nothing is sorted: a draw needs an order that does not change when a logit changes in its last
 * bit, and ids are one.
 */
#include "sampler_cut.h"

#include "kernels.h"

#include <math.h>
#include <stdlib.h>

#define BLOCK 64           /* logits whose largest is kept: k of up to a 64th of the vocabulary */
#define FARTHEST (-80.0f)  /* e^-80 times any vocabulary is less than a draw can hit */
#define BOUND_SLACK 1e-3f  /* nats, for the rounding of sums */

struct sl_cut {
    uint32_t vocab_size;
    float *maxima;               /* (blocks) */
    float *order;                /* (blocks): scratch of the k-th largest */
    struct sl_cut_token *kept;   /* (vocab), touched only as far as used */
    struct sl_cut_token *ranked; /* (vocab): likewise, scratch of selection */
};

static size_t blocks_of(uint32_t vocab_size)
{
    return (vocab_size + (size_t)BLOCK - 1) / BLOCK;
}

struct sl_cut *sl_cut_create(uint32_t vocab_size)
{
    struct sl_cut *cut = calloc(1, sizeof *cut);
    if (cut == NULL)
        return NULL;
    cut->vocab_size = vocab_size;
    cut->maxima = malloc(blocks_of(vocab_size) * sizeof *cut->maxima);
    cut->order = malloc(blocks_of(vocab_size) * sizeof *cut->order);
    cut->kept = malloc(vocab_size * sizeof *cut->kept);
    cut->ranked = malloc(vocab_size * sizeof *cut->ranked);
    if (cut->maxima == NULL || cut->order == NULL || cut->kept == NULL || cut->ranked == NULL) {
        sl_cut_free(cut);
        return NULL;
    }
    return cut;
}

void sl_cut_free(struct sl_cut *cut)
{
    if (cut == NULL)
        return;
    free(cut->maxima);
    free(cut->order);
    free(cut->kept);
    free(cut->ranked);
    free(cut);
}

/* Cody-Waite reduction and a polynomial of degree 6. */
float sl_exp_nonpositive(float x)
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

/* ---- bounds ---- */

static uint32_t block_size(const struct sl_cut *cut, size_t block)
{
    const size_t left = cut->vocab_size - block * BLOCK;
    return left < BLOCK ? (uint32_t)left : BLOCK;
}

static void find_maxima(struct sl_cut *cut, const float *logits)
{
    const struct sl_kernels *kernels = sl_kernels();
    for (size_t block = 0; block < blocks_of(cut->vocab_size); block++)
        cut->maxima[block] = kernels->largest(logits + block * BLOCK, block_size(cut, block));
}

/* The k-th largest of `count` values, which are reordered; 0 < k <= count. */
static float kth_largest(float *values, size_t count, size_t k)
{
    size_t first = 0, last = count - 1, wanted = k - 1;
    while (first < last) {
        const float pivot = values[first + (last - first) / 2];
        size_t i = first, j = last;
        for (;;) { /* values[first .. i) >= pivot >= values(j .. last] */
            while (values[i] > pivot)
                i++;
            while (values[j] < pivot)
                j--;
            if (i >= j)
                break;
            const float swap = values[i];
            values[i++] = values[j];
            values[j--] = swap;
        }
        if (wanted <= j)
            last = j;
        else
            first = j + 1;
    }
    return values[wanted];
}

static float bound_of_top_k(struct sl_cut *cut, float best_logit, const struct sl_cut_rules *rules)
{
    const size_t blocks = blocks_of(cut->vocab_size);
    size_t count = 0;
    for (size_t block = 0; block < blocks; block++)
        if (cut->maxima[block] > -INFINITY) /* not where all are masked, or NaN */
            cut->order[count++] = cut->maxima[block];
    return rules->top_k <= count
               ? (kth_largest(cut->order, count, rules->top_k) - best_logit) * rules->scale
               : FARTHEST;
}

static double total_mass(const struct sl_cut *cut, const float *logits, float best_logit,
                         float scale)
{
    const uint32_t step = 8 * BLOCK; /* sums of floats stay short */
    double total = 0;
    for (uint32_t first = 0; first < cut->vocab_size; first += step) {
        const uint32_t left = cut->vocab_size - first;
        total += (double)sl_kernels()->exp_sum(logits + first, left < step ? left : step,
                                               best_logit, scale);
    }
    return total;
}

static float larger(float a, float b)
{
    return a > b ? a : b;
}

/* ---- selection ---- */

static bool is_better(const struct sl_cut_token *a, const struct sl_cut_token *b)
{
    return a->distance > b->distance || (a->distance == b->distance && a->token < b->token);
}

/* Moves the tokens of ranked[first, end) that are better than the middle one to the front; returns
 * the place of the middle one behind them. */
static size_t partition(struct sl_cut_token *ranked, size_t first, size_t end)
{
    const size_t middle = first + (end - first) / 2;
    const struct sl_cut_token pivot = ranked[middle];
    size_t place = first;
    ranked[middle] = ranked[end - 1];
    for (size_t idx = first; idx + 1 < end; idx++)
        if (is_better(&ranked[idx], &pivot)) {
            const struct sl_cut_token swap = ranked[idx];
            ranked[idx] = ranked[place];
            ranked[place++] = swap;
        }
    ranked[end - 1] = ranked[place];
    ranked[place] = pivot;
    return place;
}

/* Keeps the best of the first `count` tokens: as few as reach `target`, where each counts 1 or,
 * with `by_mass`, its mass. Returns how many. Order by id stays. */
static size_t keep_best(struct sl_cut *cut, size_t count, double target, bool by_mass)
{
    size_t first = 0, end = count;
    double before = 0; /* of all that are better than ranked[first, end) */
    memcpy(cut->ranked, cut->kept, count * sizeof *cut->kept);
    while (end - first > 1) {
        const size_t place = partition(cut->ranked, first, end);
        double better = 0;
        for (size_t idx = first; idx < place; idx++)
            better += by_mass ? (double)cut->ranked[idx].mass : 1.0;
        if (before + better >= target && place > first) {
            end = place;
            continue;
        }
        before += better;
        first = place; /* the middle one is the best of those that are left */
        const double with = before + (by_mass ? (double)cut->ranked[place].mass : 1.0);
        if (with >= target || place + 1 == end)
            break;
        before = with;
        first = place + 1;
    }
    const struct sl_cut_token last = cut->ranked[first];
    size_t left = 0;
    for (size_t idx = 0; idx < count; idx++)
        if (!is_better(&last, &cut->kept[idx]))
            cut->kept[left++] = cut->kept[idx];
    return left;
}

/* Tokens at `bound` or nearer, by id. */
static size_t gather(struct sl_cut *cut, const float *logits, float best_logit, float scale,
                     float bound)
{
    size_t count = 0;
    for (size_t block = 0; block < blocks_of(cut->vocab_size); block++) {
        if (!((cut->maxima[block] - best_logit) * scale >= bound))
            continue;
        const size_t first = block * BLOCK;
        for (size_t idx = first; idx < first + block_size(cut, block); idx++) {
            const float distance = (logits[idx] - best_logit) * scale;
            cut->kept[count].token = (int32_t)idx;
            cut->kept[count].distance = distance;
            count += distance >= bound;
        }
    }
    for (size_t idx = 0; idx < count; idx++)
        cut->kept[idx].mass = sl_exp_nonpositive(cut->kept[idx].distance);
    return count;
}

static double mass_of(const struct sl_cut *cut, size_t count)
{
    double mass = 0;
    for (size_t idx = 0; idx < count; idx++)
        mass += (double)cut->kept[idx].mass;
    return mass;
}

size_t sl_cut_tokens(struct sl_cut *cut, const float *logits, float best_logit,
                     const struct sl_cut_rules *rules, const struct sl_cut_token **tokens)
{
    const bool cuts_mass = rules->top_p < 1;
    float bound = FARTHEST;
    double total = 0;
    find_maxima(cut, logits);
    if (rules->top_k > 0) {
        bound = larger(bound, bound_of_top_k(cut, best_logit, rules));
    } else if (cuts_mass) {
        total = total_mass(cut, logits, best_logit, rules->scale);
        const double share = (1 - rules->top_p) * total / cut->vocab_size;
        bound = larger(bound, (float)log(share) - BOUND_SLACK);
    }
    const float least = rules->min_p > 0 ? logf(rules->min_p < 1 ? rules->min_p : 1.0f) : FARTHEST;
    if (rules->top_k == 0 || !cuts_mass) /* else top-p wants the mass of all that top-k leaves */
        bound = larger(bound, least);
    bound = bound < 0 ? bound : 0;
    size_t count = gather(cut, logits, best_logit, rules->scale, bound);
    if (rules->top_k > 0 && count > rules->top_k)
        count = keep_best(cut, count, rules->top_k, false);
    if (cuts_mass)
        count = keep_best(cut, count,
                          rules->top_p * (rules->top_k > 0 ? mass_of(cut, count) : total), true);
    size_t left = 0;
    for (size_t idx = 0; idx < count; idx++)
        if (cut->kept[idx].distance >= least)
            cut->kept[left++] = cut->kept[idx];
    *tokens = cut->kept;
    return left;
}
