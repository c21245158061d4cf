/* SPDX-License-Identifier: Apache-2.0
 *
 * The stored calibration: the scores computed from it, opening and writing its file. Fitting is in
 * calibrate.c, parsing in calibration_read.c.
 *
 * The file is JSON, so that an operator can read what was kept and with which weights. It names the
 * digest of the model that it was fitted on; another model's digest refuses it, since a score that
 * was never measured would be worse than none.
 *
 * Threads: immutable after opening.
 */
#include "calibration.h"

#include "json_source.h"

#include "sluice/crypto.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- scores ---- */

const struct sl_gate *sl_calibration_gate(const struct sl_calibration *calibration)
{
    return calibration == NULL ? NULL : calibration->gate;
}

double sl_linear_raw(const struct sl_linear_score *score, const double vector[SL_FEATURE_IDS])
{
    double sum = score->bias;
    for (size_t i = 0; i < score->count; i++)
        sum += score->weights[i] * (vector[score->ids[i]] - score->means[i]) / score->deviations[i];
    return sum; /* NaN where a feature is missing */
}

double sl_linear_map(const struct sl_linear_score *score, double raw)
{
    double p = 1 / (1 + exp(-raw));
    size_t count = score->knot_count;
    if (count == 0 || isnan(p))
        return p;
    if (p <= score->knots_x[0])
        return score->knots_y[0];
    for (size_t i = 1; i < count; i++) {
        double from = score->knots_x[i - 1], to = score->knots_x[i];
        if (p <= to) {
            double share = to > from ? (p - from) / (to - from) : 1;
            return score->knots_y[i - 1] + share * (score->knots_y[i] - score->knots_y[i - 1]);
        }
    }
    return score->knots_y[count - 1];
}

double sl_calibration_score(const struct sl_calibration *calibration, uint32_t kind,
                            const double vector[SL_FEATURE_IDS])
{
    double shared = sl_linear_map(&calibration->answer, sl_linear_raw(&calibration->answer, vector));
    return sl_kinds_answer(&calibration->kinds, kind, shared);
}

double sl_calibration_prompt_score(const struct sl_calibration *calibration, uint32_t kind,
                                   const double vector[SL_FEATURE_IDS])
{
    if (calibration->prompt.count == 0)
        return (double)NAN;
    double shared = sl_linear_map(&calibration->prompt, sl_linear_raw(&calibration->prompt, vector));
    return sl_kinds_prompt(&calibration->kinds, kind, shared);
}

double sl_calibration_score_max(const struct sl_calibration *calibration, uint32_t kind,
                                const double low[SL_FEATURE_IDS],
                                const double high[SL_FEATURE_IDS])
{
    const struct sl_linear_score *score = &calibration->answer;
    double sum = score->bias;
    for (size_t i = 0; i < score->count; i++) {
        double best = score->weights[i] > 0 ? high[score->ids[i]] : low[score->ids[i]];
        sum += score->weights[i] * (best - score->means[i]) / score->deviations[i];
    }
    return sl_kinds_answer(&calibration->kinds, kind, sl_linear_map(score, sum));
}

bool sl_calibration_threshold(const struct sl_calibration *calibration, double risk,
                              double *threshold)
{
    /* A threshold certified for a smaller risk holds a larger one too; take the lowest such. */
    bool found = false;
    for (size_t i = 0; calibration != NULL && i < calibration->risk_count; i++) {
        const struct sl_certified_risk *certified = &calibration->risks[i];
        if (certified->risk <= risk + 1e-12 && (!found || certified->threshold < *threshold)) {
            *threshold = certified->threshold;
            found = true;
        }
    }
    return found;
}

json_t *sl_calibration_json(const struct sl_calibration *calibration)
{
    char digest[65];
    sl_hex_encode(calibration->model_digest, 32, digest);
    json_t *risks = json_array();
    for (size_t i = 0; i < calibration->risk_count; i++)
        json_array_append_new(risks, json_pack("{s:f, s:f, s:f, s:f, s:I, s:I}", "risk",
                                               calibration->risks[i].risk, "delta",
                                               calibration->risks[i].delta, "threshold",
                                               calibration->risks[i].threshold, "coverage",
                                               calibration->risks[i].coverage, "answered",
                                               (json_int_t)calibration->risks[i].answered, "wrong",
                                               (json_int_t)calibration->risks[i].wrong));
    json_t *kinds = json_array();
    for (size_t i = 0; i < calibration->kinds.count; i++)
        json_array_append_new(kinds, json_string(calibration->kinds.items[i].name));
    return json_pack("{s:s, s:I, s:b, s:o, s:o, s:O?}", "model", digest, "rows",
                     (json_int_t)calibration->rows, "gate", calibration->gate != NULL, "risks",
                     risks, "kinds", kinds, "report", calibration->report);
}

/* ---- opening ---- */

static enum sl_err open_gate(const char *path, struct sl_calibration *calibration,
                             struct sl_error *error)
{
    if (calibration->gate_file[0] == '\0')
        return SL_OK;
    const char *slash = strrchr(path, '/');
    char gate_path[4096];
    int len = snprintf(gate_path, sizeof gate_path, "%.*s%s",
                       slash == NULL ? 0 : (int)(slash - path + 1), path, calibration->gate_file);
    if (len < 0 || (size_t)len >= sizeof gate_path)
        return sl_error_set(error, SL_ERR_IO, "%s: path too long", path);
    return sl_gate_open(gate_path, calibration->gate_digest, &calibration->gate, error);
}

enum sl_err sl_calibration_open(const char *path, const uint8_t model_digest[32],
                                struct sl_calibration **out, struct sl_error *error)
{
    struct sl_json_source *source;
    *out = NULL;
    enum sl_err err = sl_json_source_load(path, &source, error);
    if (err != SL_OK)
        return err == SL_ERR_JSON ? SL_ERR_FORMAT : err;
    struct sl_calibration *calibration;
    err = sl_calibration_parse(path, sl_json_source_text(source), &calibration, error);
    sl_json_source_free(source);
    if (err != SL_OK)
        return err;
    if (memcmp(calibration->model_digest, model_digest, 32) != 0)
        err = sl_error_set(error, SL_ERR_INTEGRITY,
                           "%s: was fitted on another model; run `sluice calibrate` again", path);
    if (err == SL_OK)
        err = open_gate(path, calibration, error);
    if (err != SL_OK) {
        sl_calibration_free(calibration);
        return err;
    }
    *out = calibration;
    return SL_OK;
}

enum sl_err sl_calibration_open_beside(const char *model_path, const uint8_t model_digest[32],
                                       struct sl_calibration **out, struct sl_error *error)
{
    char path[4096];
    *out = NULL;
    if (!sl_calibration_path(model_path, ".calibration.json", path, sizeof path))
        return sl_error_set(error, SL_ERR_IO, "%s: path too long", model_path);
    FILE *file = fopen(path, "re");
    if (file == NULL && errno == ENOENT)
        return sl_error_set(error, SL_ERR_NOT_FOUND, "%s: there is none", path);
    if (file != NULL)
        fclose(file);
    return sl_calibration_open(path, model_digest, out, error);
}

bool sl_calibration_path(const char *model_path, const char *suffix, char *out, size_t size)
{
    size_t len = strlen(model_path);
    if (len > 5 && strcmp(model_path + len - 5, ".gguf") == 0)
        len -= 5;
    int wrote = snprintf(out, size, "%.*s%s", (int)len, model_path, suffix);
    return wrote > 0 && (size_t)wrote < size;
}

void sl_calibration_free(struct sl_calibration *calibration)
{
    if (calibration == NULL)
        return;
    sl_gate_free(calibration->gate);
    sl_kinds_clear(&calibration->kinds);
    json_decref(calibration->report);
    free(calibration);
}

/* ---- writing ---- */

static json_t *score_json(const struct sl_linear_score *score)
{
    json_t *features = json_array(), *map = json_array();
    for (size_t i = 0; i < score->count; i++)
        json_array_append_new(features,
                              json_pack("{s:s, s:f, s:f, s:f}", "name",
                                        sl_feature_id_word(score->ids[i]), "weight",
                                        score->weights[i], "mean", score->means[i], "deviation",
                                        score->deviations[i]));
    for (size_t i = 0; i < score->knot_count; i++)
        json_array_append_new(map, json_pack("[f, f]", score->knots_x[i], score->knots_y[i]));
    return json_pack("{s:f, s:o, s:o}", "bias", score->bias, "features", features, "map", map);
}

static json_t *map_json(const struct sl_kind_map *map)
{
    return json_pack("{s:f, s:f}", "slope", map->slope, "shift", map->shift);
}

static json_t *kinds_json(const struct sl_kinds *kinds)
{
    json_t *list = json_array();
    for (size_t i = 0; i < kinds->count; i++) {
        const struct sl_kind *kind = &kinds->items[i];
        json_t *labels = json_array();
        for (size_t j = 0; j < kind->label_count; j++)
            json_array_append_new(labels, json_string(kind->labels[j]));
        json_t *object = json_pack("{s:s, s:I, s:I, s:o, s:o}", "name", kind->name, "rows",
                                   (json_int_t)kind->rows, "right", (json_int_t)kind->right,
                                   "answer", map_json(&kind->answer), "prompt",
                                   map_json(&kind->prompt));
        json_object_set_new(object, kind->is_text ? "text" : "labels",
                            kind->is_text ? json_true() : json_incref(labels));
        json_decref(labels);
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *file_json(const struct sl_calibration *calibration)
{
    char model[65], gate[65];
    sl_hex_encode(calibration->model_digest, 32, model);
    sl_hex_encode(calibration->gate_digest, 32, gate);
    json_t *summary = sl_calibration_json(calibration);
    json_t *root = json_pack("{s:i, s:s, s:I, s:o, s:O}", "sluice_calibration",
                             SL_CALIBRATION_FORMAT,
                             "model_sha256", model, "rows", (json_int_t)calibration->rows, "answer",
                             score_json(&calibration->answer), "risks",
                             json_object_get(summary, "risks"));
    json_decref(summary);
    if (root == NULL)
        return NULL;
    if (calibration->prompt.count != 0)
        json_object_set_new(root, "prompt", score_json(&calibration->prompt));
    if (calibration->kinds.count != 0)
        json_object_set_new(root, "kinds", kinds_json(&calibration->kinds));
    if (calibration->gate_file[0] != '\0')
        json_object_set_new(root, "gate", json_pack("{s:s, s:s, s:f}", "file",
                                                    calibration->gate_file, "sha256", gate,
                                                    "prior_weight", calibration->prior_weight));
    if (calibration->report != NULL)
        json_object_set(root, "report", calibration->report);
    return root;
}

enum sl_err sl_calibration_save(const struct sl_calibration *calibration, const char *path,
                                struct sl_error *error)
{
    json_t *root = file_json(calibration);
    if (root == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    char temporary[4096];
    int len = snprintf(temporary, sizeof temporary, "%s.new", path);
    bool is_written = len > 0 && (size_t)len < sizeof temporary &&
                      json_dump_file(root, temporary, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) == 0 &&
                      rename(temporary, path) == 0;
    json_decref(root);
    return is_written ? SL_OK
                      : sl_error_set(error, SL_ERR_IO, "%s: %s", path, strerror(errno));
}
