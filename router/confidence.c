/* SPDX-License-Identifier: Apache-2.0
 *
 * Gathers token statistics into features and scores them. The statistics are the engine's, from raw
 * logits at temperature 1, so that a score does not depend on sampling, seed or batch.
 *
 * Quantiles: the first 256 log-probabilities are kept; past that every second is dropped and only
 * each second, fourth, … token is taken, so that the kept ones stay evenly spread, memory stays
 * bounded and the same tokens give the same score.
 *
 * A stream may still improve. `sl_features_bounds` gives the range in which each feature can end,
 * whatever tokens follow, and the calibrated score's maximum over that box is a sound upper bound:
 * escalating early never throws away an answer that would have passed.
 *
 * Invariants: 1. sample_count <= SL_FEATURE_SAMPLES_MAX. 2. A statistic that cannot be (NaN,
 * log-probability above zero) marks the whole score as broken; it is never skipped.
 *
 * Threads: pure functions of their arguments.
 */
#include "feature_vector.h"

#include "calibration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOGPROB_SLACK 1e-3F    /* rounding may put a log-probability this far above zero */
#define ENTROPY_SLACK 0.01F    /* and an entropy this far below the surprise */
#define LOG_FLOOR 1e-5         /* of the log-scaled features: finer certainty is noise */
#define LOGIT_MAX 20.0         /* of the gate's probability: 1 - 2e-9 */
#define UNSEEN_LOGPROB (-40.0) /* lower than any token that is chosen */
#define UNSEEN_ENTROPY 40.0    /* or the surprise of such a token */
#define UNSEEN_MARGIN 60.0F

/* ---- gathering ---- */

/* What a token that was not the best one says of its answer. Of a best token the surprise, -log p, is
 * never above the entropy; one above it was drawn against the odds (by temperature, a bias), and then
 * its own surprise is the uncertainty, and its margin is negative. */
static struct sl_token_stats as_chosen(const struct sl_token_stats *stats)
{
    struct sl_token_stats own = *stats;
    if (-own.logprob > own.entropy + ENTROPY_SLACK) {
        own.margin = own.entropy + own.logprob;
        own.entropy = -own.logprob;
    }
    return own;
}

void sl_features_init(struct sl_features *features)
{
    memset(features, 0, sizeof *features);
    features->sample_stride = 1;
    features->is_schema_valid = true;
}

void sl_features_gate(struct sl_features *features, uint32_t label, float probability, float margin,
                      float entropy, uint32_t labels)
{
    features->has_gate = true;
    features->gate_label = label;
    features->gate_probability = probability;
    features->gate_margin = margin;
    features->gate_entropy = entropy;
    features->gate_labels = labels;
}

void sl_features_prompt(struct sl_features *features, const struct sl_prompt_stats *stats,
                        uint32_t prompt_tokens, uint32_t window_tokens)
{
    features->has_prompt = stats->scored_tokens != 0;
    features->prompt = *stats;
    features->prompt_tokens = prompt_tokens;
    features->window_tokens = window_tokens;
    if (features->has_prompt && !(isfinite(stats->logprob_mean) && stats->logprob_mean <= 0.5F))
        features->is_broken = true;
}

static void keep_sample(struct sl_features *features, float logprob)
{
    if ((features->tokens - 1) % features->sample_stride != 0)
        return;
    if (features->sample_count == SL_FEATURE_SAMPLES_MAX) {
        for (uint32_t i = 0; i < SL_FEATURE_SAMPLES_MAX / 2; i++)
            features->samples[i] = features->samples[2 * i];
        features->sample_count = SL_FEATURE_SAMPLES_MAX / 2;
        features->sample_stride *= 2;
        if ((features->tokens - 1) % features->sample_stride != 0)
            return;
    }
    features->samples[features->sample_count++] = logprob;
}

/* Slides the window of the last 8 and remembers its worst mean. Until the window is full, the mean
 * of all so far stands in for it. */
static void slide_window(struct sl_features *features, float logprob)
{
    uint32_t slot = (features->tokens - 1) % SL_FEATURE_WINDOW;
    features->window[slot] = logprob;
    uint32_t filled = features->tokens < SL_FEATURE_WINDOW ? features->tokens : SL_FEATURE_WINDOW;
    double sum = 0; /* summed anew: eight additions, and no drift */
    for (uint32_t i = 0; i < filled; i++)
        sum += features->window[i];
    float mean = (float)(sum / filled);
    if (filled < SL_FEATURE_WINDOW || features->tokens == SL_FEATURE_WINDOW ||
        mean < features->window_worst)
        features->window_worst = mean;
}

void sl_features_token(struct sl_features *features, const struct sl_token_stats *stats)
{
    const struct sl_token_stats own = as_chosen(stats);
    float logprob = own.logprob, margin = own.margin, entropy = own.entropy;
    bool is_sane = logprob <= LOGPROB_SLACK && isfinite(margin) && isfinite(entropy) &&
                   isfinite(logprob);
    features->tokens++;
    if (!is_sane) {
        features->is_broken = true;
        return;
    }
    bool is_first = features->tokens == 1;
    features->logprob_sum += logprob;
    features->margin_sum += margin;
    features->entropy_sum += entropy;
    if (is_first) {
        features->first_logprob = logprob;
        features->first_margin = margin;
        features->first_entropy = entropy;
    }
    if (is_first || logprob < features->logprob_min)
        features->logprob_min = logprob;
    if (is_first || margin < features->margin_min)
        features->margin_min = margin;
    if (is_first || entropy > features->entropy_max)
        features->entropy_max = entropy;
    keep_sample(features, logprob);
    slide_window(features, logprob);
}

void sl_features_choice(struct sl_features *features, const struct sl_token_stats *choice,
                        bool is_label)
{
    bool is_sane = choice->logprob <= LOGPROB_SLACK && isfinite(choice->logprob) &&
                   isfinite(choice->entropy) && !isnan(choice->margin);
    if (!is_sane)
        features->is_broken = true;
    if (!is_sane || features->has_label)
        return;
    const struct sl_token_stats own = as_chosen(choice);
    bool replaces = is_label || !features->has_choice;
    float margin = fminf(own.margin, UNSEEN_MARGIN); /* infinite where only one was allowed */
    if (replaces || own.logprob < features->choice_logprob)
        features->choice_logprob = own.logprob;
    if (replaces || margin < features->choice_margin)
        features->choice_margin = margin;
    if (replaces || own.entropy > features->choice_entropy)
        features->choice_entropy = own.entropy;
    features->has_choice = true;
    features->has_label = is_label;
}

void sl_features_answer(struct sl_features *features, const struct sl_calibration *calibration,
                        struct sl_slice answer, bool is_truncated, bool is_schema_valid)
{
    const struct sl_gate *gate = sl_calibration_gate(calibration);
    features->has_answer = true;
    features->is_truncated = is_truncated;
    features->is_schema_valid = is_schema_valid;
    if (gate != NULL && features->has_gate) {
        features->has_agreement = true;
        features->gate_agrees = sl_gate_names_label(gate, features->gate_label, answer);
    }
}

void sl_features_kind(struct sl_features *features, uint32_t kind) { features->kind = kind; }

/* ---- the vector ---- */

static const struct {
    const char *word;
    bool is_early;
    int sign;
} feature_rows[] = {
#define X(symbol, word, is_early, sign) {word, is_early, sign},
    SL_FEATURE_ROWS(X)
#undef X
};

const char *sl_feature_id_word(enum sl_feature_id id) { return feature_rows[id].word; }

int sl_feature_id_sign(enum sl_feature_id id) { return feature_rows[id].sign; }

bool sl_feature_id_is_early(enum sl_feature_id id) { return feature_rows[id].is_early; }

bool sl_feature_id_parse(const char *word, enum sl_feature_id *out)
{
    for (int id = 0; id < SL_FEATURE_IDS; id++) {
        if (strcmp(feature_rows[id].word, word) == 0) {
            *out = (enum sl_feature_id)id;
            return true;
        }
    }
    return false;
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Linear interpolation between order statistics (Hyndman and Fan's type 7). */
static double quantile_of_sorted(const float *sorted, uint32_t count, double share)
{
    double at = share * (double)(count - 1);
    uint32_t below = (uint32_t)at;
    uint32_t above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (at - (double)below) * ((double)sorted[above] - sorted[below]);
}

static double log_scaled(double logprob) { return log(LOG_FLOOR - (logprob < 0 ? logprob : 0)); }

static void answer_vector(const struct sl_features *f, double out[SL_FEATURE_IDS])
{
    float sorted[SL_FEATURE_SAMPLES_MAX];
    double tokens = f->tokens;
    memcpy(sorted, f->samples, f->sample_count * sizeof *sorted);
    qsort(sorted, f->sample_count, sizeof *sorted, compare_floats);
    out[SL_F_LOGPROB_MEAN] = f->logprob_sum / tokens;
    out[SL_F_LOGPROB_MEAN_LOG] = log_scaled(f->logprob_sum / tokens);
    out[SL_F_LOGPROB_MIN] = f->logprob_min;
    out[SL_F_LOGPROB_MIN_LOG] = log_scaled(f->logprob_min);
    out[SL_F_LOGPROB_Q10] = quantile_of_sorted(sorted, f->sample_count, 0.10);
    out[SL_F_LOGPROB_Q25] = quantile_of_sorted(sorted, f->sample_count, 0.25);
    out[SL_F_LOGPROB_WINDOW] = f->window_worst;
    out[SL_F_LOGPROB_FIRST] = f->first_logprob;
    out[SL_F_MARGIN_MEAN] = f->margin_sum / tokens;
    out[SL_F_MARGIN_MIN] = f->margin_min;
    out[SL_F_MARGIN_FIRST] = f->first_margin;
    out[SL_F_ENTROPY_MEAN] = f->entropy_sum / tokens;
    out[SL_F_ENTROPY_MAX] = f->entropy_max;
    out[SL_F_ENTROPY_FIRST] = f->first_entropy;
    out[SL_F_TOKENS_LOG] = log1p(tokens);
    if (!f->has_choice)
        return;
    out[SL_F_CHOICE_LOGPROB] = f->choice_logprob;
    out[SL_F_CHOICE_LOGPROB_LOG] = log_scaled(f->choice_logprob);
    out[SL_F_CHOICE_MARGIN] = f->choice_margin;
    out[SL_F_CHOICE_ENTROPY] = f->choice_entropy;
    out[SL_F_CHOICE_ENTROPY_LOG] = log(LOG_FLOOR + (double)f->choice_entropy);
}

static double gate_logit(double probability)
{
    double logit = log(probability) - log1p(-probability);
    return logit > LOGIT_MAX ? LOGIT_MAX : logit < -LOGIT_MAX ? -LOGIT_MAX : logit;
}

static void prompt_vector(const struct sl_features *f, double out[SL_FEATURE_IDS])
{
    if (f->has_prompt) {
        out[SL_F_PROMPT_LOGPROB] = f->prompt.logprob_mean;
        out[SL_F_PROMPT_WINDOW] = f->prompt.logprob_worst_window;
    }
    if (f->prompt_tokens != 0)
        out[SL_F_PROMPT_TOKENS_LOG] = log1p((double)f->prompt_tokens);
    if (f->window_tokens != 0)
        out[SL_F_CONTEXT_FILL] = (double)f->prompt_tokens / f->window_tokens;
    if (f->has_gate) {
        out[SL_F_GATE_LOGIT] = gate_logit(f->gate_probability);
        out[SL_F_GATE_MARGIN] = f->gate_margin;
        out[SL_F_GATE_ENTROPY] = f->gate_entropy;
        out[SL_F_GATE_ENTROPY_LOG] = log(LOG_FLOOR + (double)f->gate_entropy);
        out[SL_F_GATE_LABELS_LOG] = log((double)f->gate_labels);
    }
}

void sl_features_vector(const struct sl_features *features, double out[SL_FEATURE_IDS])
{
    for (int id = 0; id < SL_FEATURE_IDS; id++)
        out[id] = (double)NAN;
    prompt_vector(features, out);
    if (features->tokens != 0 && !features->is_broken)
        answer_vector(features, out);
    out[SL_F_TRUNCATED] = features->is_truncated;
    out[SL_F_SCHEMA_INVALID] = !features->is_schema_valid;
    if (features->has_agreement)
        out[SL_F_GATE_DISAGREES] = !features->gate_agrees;
}

/* ---- bounds ---- */

static void bound(double low[], double high[], enum sl_feature_id id, double from, double to)
{
    low[id] = from;
    high[id] = to;
}

/* A mean of `tokens` values with this sum, after at most `left` more values in [worst, best]. */
static void bound_mean(double low[], double high[], enum sl_feature_id id, double sum,
                       double tokens, double left, double worst, double best)
{
    double with_worst = (sum + left * worst) / (tokens + left);
    double with_best = (sum + left * best) / (tokens + left);
    double now = sum / tokens;
    bound(low, high, id, fmin(now, with_worst), fmax(now, with_best));
}

/* The label's choice is final; before it, anything may come. */
static void bound_choice(const struct sl_features *f, double low[], double high[])
{
    if (f->has_label || !f->has_choice)
        return;
    bound(low, high, SL_F_CHOICE_LOGPROB, UNSEEN_LOGPROB, 0);
    bound(low, high, SL_F_CHOICE_LOGPROB_LOG, log_scaled(0), log_scaled(UNSEEN_LOGPROB));
    bound(low, high, SL_F_CHOICE_MARGIN, UNSEEN_LOGPROB, (double)UNSEEN_MARGIN);
    bound(low, high, SL_F_CHOICE_ENTROPY, 0, UNSEEN_ENTROPY);
    bound(low, high, SL_F_CHOICE_ENTROPY_LOG, log(LOG_FLOOR), log(LOG_FLOOR + UNSEEN_ENTROPY));
}

void sl_features_bounds(const struct sl_features *f, uint32_t tokens_left,
                        double low[SL_FEATURE_IDS], double high[SL_FEATURE_IDS])
{
    double tokens = f->tokens, left = tokens_left;
    sl_features_vector(f, low);
    memcpy(high, low, SL_FEATURE_IDS * sizeof *low);
    bound_mean(low, high, SL_F_LOGPROB_MEAN, f->logprob_sum, tokens, left, UNSEEN_LOGPROB, 0);
    bound(low, high, SL_F_LOGPROB_MEAN_LOG, log_scaled(high[SL_F_LOGPROB_MEAN]),
          log_scaled(low[SL_F_LOGPROB_MEAN]));
    bound(low, high, SL_F_LOGPROB_MIN, UNSEEN_LOGPROB, f->logprob_min);
    bound(low, high, SL_F_LOGPROB_MIN_LOG, log_scaled(f->logprob_min), log_scaled(UNSEEN_LOGPROB));
    bound(low, high, SL_F_LOGPROB_Q10, UNSEEN_LOGPROB, 0);
    bound(low, high, SL_F_LOGPROB_Q25, UNSEEN_LOGPROB, 0);
    bound(low, high, SL_F_LOGPROB_WINDOW, UNSEEN_LOGPROB,
          f->tokens < SL_FEATURE_WINDOW ? 0 : f->window_worst);
    bound_mean(low, high, SL_F_MARGIN_MEAN, f->margin_sum, tokens, left, UNSEEN_LOGPROB,
               (double)UNSEEN_MARGIN);
    bound(low, high, SL_F_MARGIN_MIN, UNSEEN_LOGPROB, f->margin_min);
    bound_mean(low, high, SL_F_ENTROPY_MEAN, f->entropy_sum, tokens, left, 0, UNSEEN_ENTROPY);
    bound(low, high, SL_F_ENTROPY_MAX, f->entropy_max, UNSEEN_ENTROPY);
    bound(low, high, SL_F_TOKENS_LOG, log1p(tokens), log1p(tokens + left));
    bound(low, high, SL_F_TRUNCATED, 0, 1);
    bound(low, high, SL_F_SCHEMA_INVALID, 0, 1);
    if (f->has_gate)
        bound(low, high, SL_F_GATE_DISAGREES, 0, 1);
    bound_choice(f, low, high);
}

/* ---- scores ---- */

static struct sl_score no_score(const struct sl_features *features)
{
    return (struct sl_score){
        .value = (double)NAN, .method = SL_SCORE_NONE, .tokens = features->tokens};
}

static struct sl_score made_score(const struct sl_features *features, double value,
                                  enum sl_score_method method)
{
    if (!isfinite(value))
        return no_score(features);
    value = value < 0 ? 0 : value > 1 ? 1 : value;
    return (struct sl_score){.value = value, .method = method, .tokens = features->tokens};
}

struct sl_score sl_confidence_score(const struct sl_features *features,
                                    const struct sl_calibration *calibration)
{
    if (features->tokens == 0 || features->is_broken)
        return no_score(features);
    if (calibration == NULL)
        return made_score(features, exp(features->logprob_sum / features->tokens),
                          SL_SCORE_MEAN_PROBABILITY);
    double vector[SL_FEATURE_IDS];
    sl_features_vector(features, vector);
    /* Known only at the end; a running score takes the agreement for granted. */
    if (!features->has_answer)
        vector[SL_F_GATE_DISAGREES] = features->has_gate ? 0 : (double)NAN;
    return made_score(features, sl_calibration_score(calibration, features->kind, vector),
                      SL_SCORE_CALIBRATED);
}

double sl_confidence_best(const struct sl_features *features,
                          const struct sl_calibration *calibration, uint32_t tokens_left)
{
    if (features->is_broken)
        return 0;
    if (features->tokens == 0)
        return 1;
    if (calibration == NULL)
        return exp(features->logprob_sum / ((double)features->tokens + tokens_left));
    double low[SL_FEATURE_IDS], high[SL_FEATURE_IDS];
    sl_features_bounds(features, tokens_left, low, high);
    double best = sl_calibration_score_max(calibration, features->kind, low, high);
    return isfinite(best) ? best : 1;
}

struct sl_score sl_confidence_prompt_score(const struct sl_features *features,
                                           const struct sl_calibration *calibration)
{
    if (calibration == NULL || features->is_broken)
        return no_score(features);
    double vector[SL_FEATURE_IDS];
    sl_features_vector(features, vector);
    return made_score(features, sl_calibration_prompt_score(calibration, features->kind, vector),
                      SL_SCORE_PROMPT);
}

json_t *sl_features_json(const struct sl_features *features)
{
    double vector[SL_FEATURE_IDS];
    json_t *object = json_object();
    sl_features_vector(features, vector);
    for (int id = 0; object != NULL && id < SL_FEATURE_IDS; id++)
        if (isfinite(vector[id]))
            json_object_set_new(object, feature_rows[id].word, json_real(vector[id]));
    return object;
}

/* ---- loops ---- */

#define LOOP_PHRASE_BYTES_MAX 64 /* a sentence; longer repeats are rare and may be wanted */
#define LOOP_BYTES_MIN 24        /* "ha ha ha ha" and "1 1 1 1" are answers */

bool sl_text_is_loop(struct sl_slice text, uint32_t times)
{
    while (text.len != 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\n'))
        text.len--;
    for (size_t phrase = 1; phrase <= LOOP_PHRASE_BYTES_MAX; phrase++) {
        size_t need = phrase * times;
        if (need < LOOP_BYTES_MIN)
            need = (LOOP_BYTES_MIN + phrase - 1) / phrase * phrase;
        if (need > text.len)
            continue;
        const char *tail = text.data + text.len - need;
        if (memcmp(tail, tail + phrase, need - phrase) == 0)
            return true;
    }
    return false;
}
