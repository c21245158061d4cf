/* SPDX-License-Identifier: Apache-2.0
 *
 * A stored calibration: what turns a vector of features into P(the local answer is right). A JSON
 * file beside the model, keyed by the model's digest, and the gate that it was fitted with.
 *
 *   score = map(sigmoid(bias + sum over features of weight * (x - mean) / deviation))
 *
 * where `map` is piecewise linear and rising (isotonic), or absent (the sigmoid's own scale was
 * fitted: Platt). A second, smaller model of the same form sees only what is known before the first
 * token. Where the request is of a kind that the rows showed to differ, both scores then go through
 * that kind's own map (calibration_kinds.h).
 *
 * Threads: immutable after opening.
 */
#ifndef SLUICE_CALIBRATION_H
#define SLUICE_CALIBRATION_H

#include "calibration_kinds.h"
#include "feature_vector.h"
#include "gate.h"

/* Of the file. 2 has no kinds and is read as such: all its scores are shared. 1 scaled its features
 * in another way and is refused. */
#define SL_CALIBRATION_FORMAT 3
#define SL_CALIBRATION_FORMAT_OLDEST 2
#define SL_CALIBRATION_KNOTS_MAX 256
#define SL_CALIBRATION_RISKS_MAX 32

struct sl_linear_score {
    size_t count; /* features used; 0: there is no such model */
    enum sl_feature_id ids[SL_FEATURE_IDS];
    double weights[SL_FEATURE_IDS], means[SL_FEATURE_IDS], deviations[SL_FEATURE_IDS];
    double bias;
    size_t knot_count; /* of the rising map; 0: none */
    double knots_x[SL_CALIBRATION_KNOTS_MAX], knots_y[SL_CALIBRATION_KNOTS_MAX];
};

struct sl_certified_risk {
    double risk, delta, threshold;
    double coverage; /* share of the certifying rows that are answered locally */
    size_t answered, wrong;
};

struct sl_calibration {
    uint8_t model_digest[32];
    struct sl_linear_score answer, prompt;
    struct sl_kinds kinds;
    struct sl_certified_risk risks[SL_CALIBRATION_RISKS_MAX];
    size_t risk_count;
    size_t rows;
    char gate_file[128]; /* beside the calibration; "" none */
    uint8_t gate_digest[32];
    double prior_weight; /* of the gate in the choice of a label (label_prior.h); 0: none */
    struct sl_gate *gate;
    json_t *report; /* figures of the fit, for people */
};

/* NULL for a NULL calibration or one without a gate. */
const struct sl_gate *sl_calibration_gate(const struct sl_calibration *calibration);
/* Of a request of this kind (SL_KIND_SHARED: of none). NaN where a feature that is used is missing. */
double sl_calibration_score(const struct sl_calibration *calibration, uint32_t kind,
                            const double vector[SL_FEATURE_IDS]);
/* The highest score over a box of features. */
double sl_calibration_score_max(const struct sl_calibration *calibration, uint32_t kind,
                                const double low[SL_FEATURE_IDS],
                                const double high[SL_FEATURE_IDS]);
double sl_calibration_prompt_score(const struct sl_calibration *calibration, uint32_t kind,
                                   const double vector[SL_FEATURE_IDS]);
/* One model of the two, before (`raw`) and after its map; without the kind's. */
double sl_linear_raw(const struct sl_linear_score *score, const double vector[SL_FEATURE_IDS]);
double sl_linear_map(const struct sl_linear_score *score, double raw);

/* Writes the file (the gate's digest must be set where gate_file is). Errors: SL_ERR_IO. */
enum sl_err sl_calibration_save(const struct sl_calibration *calibration, const char *path,
                                struct sl_error *error) SL_MUST_CHECK;
/* `m.gguf` + ".calibration.json" -> `m.calibration.json`. false where it does not fit. */
bool sl_calibration_path(const char *model_path, const char *suffix, char *out, size_t size);
/* Parses a calibration from text; the gate is not opened. For open and for fuzzing. */
enum sl_err sl_calibration_parse(const char *name, struct sl_slice text,
                                 struct sl_calibration **out, struct sl_error *error) SL_MUST_CHECK;

#endif
