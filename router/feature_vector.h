/* SPDX-License-Identifier: Apache-2.0
 *
 * The features of a score as a vector: one row a feature with its word in calibration files, how it
 * is computed from what was gathered, and in which range it can still move while a stream runs.
 *
 * A value that was not measured is NaN. The words are part of the file format: never renamed, new
 * ones are added at the end.
 */
#ifndef SLUICE_FEATURE_VECTOR_H
#define SLUICE_FEATURE_VECTOR_H

#include "sluice/confidence.h"

/* X(symbol, word, known before the first token?, sign of its weight: 1 where more of it can only
 * mean a better answer, -1 a worse one, 0 either) */
#define SL_FEATURE_ROWS(X)                                                                         \
    X(LOGPROB_MEAN, "logprob_mean", 0, 1)                                                          \
    X(LOGPROB_MEAN_LOG, "logprob_mean_log", 0, -1) /* log(1e-5 - mean): resolves sure ones */      \
    X(LOGPROB_MIN, "logprob_min", 0, 1)                                                            \
    X(LOGPROB_MIN_LOG, "logprob_min_log", 0, -1)                                                   \
    X(LOGPROB_Q10, "logprob_q10", 0, 1)                                                            \
    X(LOGPROB_Q25, "logprob_q25", 0, 1)                                                            \
    X(LOGPROB_WINDOW, "logprob_window", 0, 1) /* worst mean of 8 neighbours */                     \
    X(LOGPROB_FIRST, "logprob_first", 0, 1)                                                        \
    X(MARGIN_MEAN, "margin_mean", 0, 1)                                                            \
    X(MARGIN_MIN, "margin_min", 0, 1)                                                              \
    X(MARGIN_FIRST, "margin_first", 0, 1)                                                          \
    X(ENTROPY_MEAN, "entropy_mean", 0, -1)                                                         \
    X(ENTROPY_MAX, "entropy_max", 0, -1)                                                           \
    X(ENTROPY_FIRST, "entropy_first", 0, -1)                                                       \
    X(TOKENS_LOG, "tokens_log", 0, 0)                                                              \
    X(PROMPT_LOGPROB, "prompt_logprob", 1, 0)                                                      \
    X(PROMPT_WINDOW, "prompt_window", 1, 0)                                                        \
    X(PROMPT_TOKENS_LOG, "prompt_tokens_log", 1, 0)                                                \
    X(CONTEXT_FILL, "context_fill", 1, 0)                                                          \
    X(TRUNCATED, "truncated", 0, -1)                                                               \
    X(SCHEMA_INVALID, "schema_invalid", 0, -1)                                                     \
    X(GATE_LOGIT, "gate_logit", 1, 1) /* log(p / (1 - p)) of the best label */                     \
    X(GATE_MARGIN, "gate_margin", 1, 1)                                                            \
    X(GATE_ENTROPY, "gate_entropy", 1, -1)                                                         \
    X(GATE_ENTROPY_LOG, "gate_entropy_log", 1, -1)                                                 \
    X(GATE_DISAGREES, "gate_disagrees", 0, -1)                                                     \
    X(GATE_LABELS_LOG, "gate_labels_log", 1, 0)                                                    \
    X(CHOICE_LOGPROB, "choice_logprob", 0, 1) /* among what prior and format allow */              \
    X(CHOICE_LOGPROB_LOG, "choice_logprob_log", 0, -1)                                             \
    X(CHOICE_MARGIN, "choice_margin", 0, 1)                                                        \
    X(CHOICE_ENTROPY, "choice_entropy", 0, -1)                                                     \
    X(CHOICE_ENTROPY_LOG, "choice_entropy_log", 0, -1)

enum sl_feature_id {
#define X(symbol, word, is_early, sign) SL_F_##symbol,
    SL_FEATURE_ROWS(X)
#undef X
    SL_FEATURE_IDS
};

const char *sl_feature_id_word(enum sl_feature_id id);
bool sl_feature_id_parse(const char *word, enum sl_feature_id *out);
/* True for what is known once the prompt was read. */
bool sl_feature_id_is_early(enum sl_feature_id id);
int sl_feature_id_sign(enum sl_feature_id id);

/* The vector of what was gathered so far. */
void sl_features_vector(const struct sl_features *features, double out[SL_FEATURE_IDS]);
/* Bounds of each feature over every way that at most `tokens_left` further tokens may go. */
void sl_features_bounds(const struct sl_features *features, uint32_t tokens_left,
                        double low[SL_FEATURE_IDS], double high[SL_FEATURE_IDS]);

#endif
