/* SPDX-License-Identifier: Apache-2.0
 *
 * Confidence: what the engine reported about each token, gathered into features, and made into one
 * number, the estimated probability that the local answer is right.
 *
 *     struct sl_features features;
 *     sl_features_init(&features);
 *     sl_label_choice_make(prior, user_text, schema, &features, &labels); // its kind, and the gate
 *     sl_features_prompt(&features, &event.prompt, tokens, window); // after SL_EVENT_PREFILL
 *     struct sl_score early = sl_confidence_prompt_score(&features, calibration);
 *     sl_features_token(&features, &event.stats);                 // after each SL_EVENT_TOKEN
 *     sl_features_choice(&features, &event.choice, is_label);
 *     sl_features_answer(&features, calibration, answer, false, true); // at the end
 *     struct sl_score score = sl_confidence_score(&features, calibration);
 *
 * Without a calibration the score is the geometric mean of the token probabilities. A score that
 * cannot be computed (no tokens, a NaN from the engine, a feature missing that the calibration
 * uses) has method NONE and is never confident.
 *
 * Threads: features belong to one owner; a calibration is immutable and shared.
 */
#ifndef SLUICE_CONFIDENCE_H
#define SLUICE_CONFIDENCE_H

#include "sluice/engine.h"
#include "sluice/err.h"
#include "sluice/slice.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct sl_calibration;

/* Where a score came from. */
enum sl_score_method {
    SL_SCORE_NONE,
    SL_SCORE_MEAN_PROBABILITY, /* geometric mean of token probabilities */
    SL_SCORE_CALIBRATED,       /* probability of being right, fitted on labelled rows */
    SL_SCORE_PROMPT            /* the same, from the prompt alone: its log-probability and the gate */
};
const char *sl_score_method_word(enum sl_score_method method);

struct sl_score {
    double value; /* 0 to 1; NaN where method is NONE */
    enum sl_score_method method;
    uint32_t tokens; /* generated tokens it rests on */
};

#define SL_FEATURE_SAMPLES_MAX 256 /* exact quantiles up to here; beyond, every 2nd, 4th, … token */
#define SL_FEATURE_WINDOW 8        /* tokens of a running window */

/* What was gathered so far. Plain memory of about 1.2 KiB: no allocation, O(1) a token. */
struct sl_features {
    uint32_t kind; /* of the request, among those of the calibration; 0: none of them */
    /* prompt */
    bool has_prompt;
    struct sl_prompt_stats prompt;
    uint32_t prompt_tokens, window_tokens;
    /* gate */
    bool has_gate;
    uint32_t gate_label;
    float gate_probability, gate_margin, gate_entropy; /* entropy / log(labels) */
    uint32_t gate_labels;                              /* in scope */
    /* answer */
    uint32_t tokens;
    bool is_broken; /* a statistic was NaN or above zero */
    double logprob_sum, margin_sum, entropy_sum;
    float logprob_min, margin_min, entropy_max;
    float first_logprob, first_margin, first_entropy;
    float window[SL_FEATURE_WINDOW];
    double window_sum;
    float window_worst; /* lowest mean of a full window; the running mean before that */
    float samples[SL_FEATURE_SAMPLES_MAX];
    uint32_t sample_count, sample_stride;
    /* choices among what prior and format allow; of the label's token alone where there is one */
    bool has_choice, has_label;
    float choice_logprob, choice_margin, choice_entropy;
    /* end */
    bool has_answer, is_truncated, is_schema_valid;
    bool has_agreement, gate_agrees; /* the answer names the gate's label */
};

void sl_features_init(struct sl_features *features);
/* Of which kind the request is (label_prior.h finds it): its scores are those of that kind. */
void sl_features_kind(struct sl_features *features, uint32_t kind);
/* What the gate says of the text of the last user message (label_prior.h runs it). */
void sl_features_gate(struct sl_features *features, uint32_t label, float probability, float margin,
                      float entropy, uint32_t labels);
void sl_features_prompt(struct sl_features *features, const struct sl_prompt_stats *stats,
                        uint32_t prompt_tokens, uint32_t window_tokens);
void sl_features_token(struct sl_features *features, const struct sl_token_stats *stats);
/* How sure the same token was among those that prior and format allowed. Kept is the choice of the
 * label where the answer has one (its first), else the least sure one. */
void sl_features_choice(struct sl_features *features, const struct sl_token_stats *choice,
                        bool is_label);
/* `is_schema_valid`: true where no form was asked for. */
void sl_features_answer(struct sl_features *features, const struct sl_calibration *calibration,
                        struct sl_slice answer, bool is_truncated, bool is_schema_valid);

/* The score of what was gathered; may be asked at any time. */
struct sl_score sl_confidence_score(const struct sl_features *features,
                                    const struct sl_calibration *calibration);
/* The highest score that is still possible if at most `tokens_left` more tokens come: every bound
 * is sound, so a stream below its threshold here may escalate at once. 1 where nothing is known. */
double sl_confidence_best(const struct sl_features *features,
                          const struct sl_calibration *calibration, uint32_t tokens_left);
/* Before any token: P(right) from the prompt and the gate. Method NONE without a calibration. */
struct sl_score sl_confidence_prompt_score(const struct sl_features *features,
                                           const struct sl_calibration *calibration);
/* {"logprob_mean": …, …}: for the debug object and for rows of shadow mode. NULL: memory. */
json_t *sl_features_json(const struct sl_features *features);

/* True where the text ends in one phrase (of up to 64 bytes) at least `times` in a row, or is one
 * character over and over: a model that fell into a loop. */
bool sl_text_is_loop(struct sl_slice text, uint32_t times);

/* ---- the stored calibration ---- */

/* Reads `path` (JSON) and the gate file that it names beside it. `model_digest`: SHA-256 of the
 * model that runs. Errors: SL_ERR_IO, SL_ERR_FORMAT, SL_ERR_INTEGRITY (made for another model, or
 * the gate's digest differs), SL_ERR_MEMORY. */
enum sl_err sl_calibration_open(const char *path, const uint8_t model_digest[32],
                                struct sl_calibration **out, struct sl_error *error) SL_MUST_CHECK;
/* `m.gguf` -> `m.calibration.json` beside it. SL_ERR_NOT_FOUND where there is none. */
enum sl_err sl_calibration_open_beside(const char *model_path, const uint8_t model_digest[32],
                                       struct sl_calibration **out,
                                       struct sl_error *error) SL_MUST_CHECK;
void sl_calibration_free(struct sl_calibration *calibration); /* NULL is fine */
/* The threshold that was certified to hold this risk (share of wrong answers among those given
 * locally). false where the data could not certify it: then nothing is confident enough. */
bool sl_calibration_threshold(const struct sl_calibration *calibration, double risk,
                              double *threshold);
/* Rows, date-free summary, figures: for `sluice check`, the dashboard, sluice_model_info. */
json_t *sl_calibration_json(const struct sl_calibration *calibration);

#endif
