/* SPDX-License-Identifier: Apache-2.0
 *
 * Decoder and gate as one classifier: what the gate thinks of the labels becomes a prior over the
 * tokens that stand for them, so that the decoder's choice is that of a product of both (Hinton
 * 2002, Training Products of Experts). Each sees what the other misses; together they are right more
 * often than either, and what they agree on is a better measure of confidence.
 *
 *     struct sl_label_prior *prior;
 *     sl_label_prior_create(engine, calibration, &prior);             // once a model
 *     struct sl_label_choice labels;
 *     sl_label_choice_make(prior, user_text, schema, &features, &labels);
 *     params.prior = labels.prior;
 *     params.prior_count = labels.is_weighted ? labels.count : 0;
 *     ... after each token:
 *     sl_features_choice(&features, &event.choice, sl_label_choice_has(&labels, event.token));
 *
 * A token stands for a label where its text holds the label in double quotes, as in `"alarm_set"`
 * or `{"sentiment":"positive"}`: models trained with `sluice train` have such tokens, others have
 * none and are left alone. The weight of the prior is the calibration's, chosen by measurement.
 *
 * Threads: a prior is immutable and shared; a choice belongs to one request.
 */
#ifndef SLUICE_LABEL_PRIOR_H
#define SLUICE_LABEL_PRIOR_H

#include "gate.h"

#include "sluice/confidence.h"

#define SL_LABEL_TOKENS_MAX 1024

struct sl_label_prior;

/* *out is NULL without a calibration. Where that has a gate, reads the vocabulary once (some 10 ms
 * for 150,000 tokens). Errors: SL_ERR_MEMORY. */
enum sl_err sl_label_prior_create(struct sl_engine *engine, const struct sl_calibration *calibration,
                                  struct sl_label_prior **out) SL_MUST_CHECK;
void sl_label_prior_free(struct sl_label_prior *prior); /* NULL is fine */

struct sl_label_choice {
    struct sl_logit_bias prior[SL_LABEL_TOKENS_MAX]; /* by rising token */
    size_t count;
    bool is_weighted; /* false: the tokens are known, but the prior would change nothing */
};

/* Notes the request's kind in the features. Then, where there is a gate, runs it over the text of the
 * last user message, among the labels that `schema` (NULL: none) allows, and fills the features of the
 * gate and the prior. `prior` NULL: nothing is known. */
void sl_label_choice_make(const struct sl_label_prior *prior, struct sl_slice user_text,
                          const json_t *schema, struct sl_features *features,
                          struct sl_label_choice *out);
/* Does the token stand for a label? */
bool sl_label_choice_has(const struct sl_label_choice *choice, int32_t token);

#endif
