/* SPDX-License-Identifier: Apache-2.0
 *
 * The stored calibration: its file, and the scores computed from it. Fitting is in calibrate.c.
 *
 * The file is JSON, so that an operator can read what was kept and with which weights. It names the
 * digest of the model that it was fitted on; another model's digest refuses it, since a score that
 * was never measured would be worse than none.
 *
 * Invariants: 1. Deviations are above zero. 2. Both sides of the map rise. 3. Everything is finite.
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

#define FILE_FORMAT 2 /* 1: features were scaled in another way */

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

double sl_calibration_score(const struct sl_calibration *calibration,
                            const double vector[SL_FEATURE_IDS])
{
    return sl_linear_map(&calibration->answer, sl_linear_raw(&calibration->answer, vector));
}

double sl_calibration_prompt_score(const struct sl_calibration *calibration,
                                   const double vector[SL_FEATURE_IDS])
{
    if (calibration->prompt.count == 0)
        return (double)NAN;
    return sl_linear_map(&calibration->prompt, sl_linear_raw(&calibration->prompt, vector));
}

double sl_calibration_score_max(const struct sl_calibration *calibration,
                                const double low[SL_FEATURE_IDS],
                                const double high[SL_FEATURE_IDS])
{
    const struct sl_linear_score *score = &calibration->answer;
    double sum = score->bias;
    for (size_t i = 0; i < score->count; i++) {
        double best = score->weights[i] > 0 ? high[score->ids[i]] : low[score->ids[i]];
        sum += score->weights[i] * (best - score->means[i]) / score->deviations[i];
    }
    return sl_linear_map(score, sum);
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
    return json_pack("{s:s, s:I, s:b, s:o, s:O?}", "model", digest, "rows",
                     (json_int_t)calibration->rows, "gate", calibration->gate != NULL, "risks",
                     risks, "report", calibration->report);
}

/* ---- reading ---- */

struct file_reader {
    const struct sl_json_source *source;
    struct sl_error *error;
};

/* A broken calibration is a broken file, not a broken request. */
static enum sl_err refuse(const struct file_reader *reader, const struct sl_json_node *node,
                          const char *expected)
{
    char found[80];
    sl_json_describe(node, found, sizeof found);
    sl_json_fail(reader->source, node, reader->error, "expected %s, found %s", expected, found);
    if (reader->error != NULL)
        reader->error->code = SL_ERR_FORMAT;
    return SL_ERR_FORMAT;
}

static enum sl_err need(const struct file_reader *reader, const struct sl_json_node *parent,
                        const char *key, const struct sl_json_node **out)
{
    *out = sl_json_member(reader->source, parent, key);
    if (*out != NULL)
        return SL_OK;
    char expected[64];
    snprintf(expected, sizeof expected, "a member \"%s\"", key);
    return refuse(reader, parent, expected);
}

static enum sl_err read_number(const struct file_reader *reader, const struct sl_json_node *parent,
                               const char *key, double min, double max, double *out)
{
    const struct sl_json_node *node;
    enum sl_err err = need(reader, parent, key, &node);
    if (err != SL_OK)
        return err;
    *out = json_number_value(node->value);
    if (!json_is_number(node->value) || !(*out >= min && *out <= max)) {
        char expected[64];
        snprintf(expected, sizeof expected, "a number between %g and %g", min, max);
        return refuse(reader, node, expected);
    }
    return SL_OK;
}

static enum sl_err read_digest(const struct file_reader *reader, const struct sl_json_node *parent,
                               const char *key, uint8_t out[32])
{
    const struct sl_json_node *node;
    enum sl_err err = need(reader, parent, key, &node);
    if (err != SL_OK)
        return err;
    if (!json_is_string(node->value) ||
        !sl_hex_decode(sl_slice_of(json_string_value(node->value)), out, 32))
        return refuse(reader, node, "64 hex digits");
    return SL_OK;
}

static enum sl_err read_feature(const struct file_reader *reader, const struct sl_json_node *node,
                                struct sl_linear_score *score)
{
    const struct sl_json_node *name;
    enum sl_err err = need(reader, node, "name", &name);
    if (err != SL_OK)
        return err;
    size_t i = score->count;
    if (!json_is_string(name->value) || i == SL_FEATURE_IDS ||
        !sl_feature_id_parse(json_string_value(name->value), &score->ids[i]))
        return refuse(reader, name, "the name of a feature");
    err = read_number(reader, node, "weight", -1e6, 1e6, &score->weights[i]);
    if (err == SL_OK)
        err = read_number(reader, node, "mean", -1e9, 1e9, &score->means[i]);
    if (err == SL_OK)
        err = read_number(reader, node, "deviation", 1e-12, 1e9, &score->deviations[i]);
    score->count++;
    return err;
}

static enum sl_err read_knots(const struct file_reader *reader, const struct sl_json_node *node,
                              struct sl_linear_score *score)
{
    double x = -1, y = 0;
    if (!json_is_array(node->value) || json_array_size(node->value) > SL_CALIBRATION_KNOTS_MAX)
        return refuse(reader, node, "a list of up to 256 pairs");
    for (const struct sl_json_node *pair = sl_json_first(reader->source, node); pair != NULL;
         pair = sl_json_next(reader->source, pair)) {
        double next_x = json_number_value(json_array_get(pair->value, 0));
        double next_y = json_number_value(json_array_get(pair->value, 1));
        if (json_array_size(pair->value) != 2 || !(next_x >= x && next_x >= 0 && next_x <= 1) ||
            !(next_y >= y && next_y <= 1))
            return refuse(reader, pair, "[x, y], both rising from 0 to 1");
        x = next_x;
        y = next_y;
        score->knots_x[score->knot_count] = x;
        score->knots_y[score->knot_count++] = y;
    }
    return SL_OK;
}

static enum sl_err read_score(const struct file_reader *reader, const struct sl_json_node *root,
                              const char *key, struct sl_linear_score *score)
{
    const struct sl_json_node *node = sl_json_member(reader->source, root, key);
    const struct sl_json_node *features, *knots;
    if (node == NULL)
        return SL_OK;
    enum sl_err err = read_number(reader, node, "bias", -1e6, 1e6, &score->bias);
    if (err == SL_OK)
        err = need(reader, node, "features", &features);
    if (err != SL_OK)
        return err;
    if (!json_is_array(features->value))
        return refuse(reader, features, "a list of features");
    for (const struct sl_json_node *item = sl_json_first(reader->source, features); item != NULL;
         item = sl_json_next(reader->source, item))
        if ((err = read_feature(reader, item, score)) != SL_OK)
            return err;
    knots = sl_json_member(reader->source, node, "map");
    return knots == NULL ? SL_OK : read_knots(reader, knots, score);
}

static enum sl_err read_risks(const struct file_reader *reader, const struct sl_json_node *root,
                              struct sl_calibration *calibration)
{
    const struct sl_json_node *list = sl_json_member(reader->source, root, "risks");
    if (list == NULL)
        return SL_OK;
    if (!json_is_array(list->value) || json_array_size(list->value) > SL_CALIBRATION_RISKS_MAX)
        return refuse(reader, list, "a list of up to 32 risks");
    for (const struct sl_json_node *item = sl_json_first(reader->source, list); item != NULL;
         item = sl_json_next(reader->source, item)) {
        struct sl_certified_risk *risk = &calibration->risks[calibration->risk_count++];
        double answered = 0, wrong = 0;
        enum sl_err err = read_number(reader, item, "risk", 0, 1, &risk->risk);
        if (err == SL_OK)
            err = read_number(reader, item, "delta", 0, 1, &risk->delta);
        if (err == SL_OK)
            err = read_number(reader, item, "threshold", 0, 1, &risk->threshold);
        if (err == SL_OK)
            err = read_number(reader, item, "coverage", 0, 1, &risk->coverage);
        if (err == SL_OK)
            err = read_number(reader, item, "answered", 0, 1e12, &answered);
        if (err == SL_OK)
            err = read_number(reader, item, "wrong", 0, 1e12, &wrong);
        if (err != SL_OK)
            return err;
        risk->answered = (size_t)answered;
        risk->wrong = (size_t)wrong;
    }
    return SL_OK;
}

static enum sl_err read_gate(const struct file_reader *reader, const struct sl_json_node *root,
                             struct sl_calibration *calibration)
{
    const struct sl_json_node *node = sl_json_member(reader->source, root, "gate"), *file;
    if (node == NULL)
        return SL_OK;
    enum sl_err err = need(reader, node, "file", &file);
    if (err != SL_OK)
        return err;
    const char *name = json_string_value(file->value);
    /* Beside the calibration and nowhere else: a calibration may come from somebody else. */
    if (name == NULL || name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL ||
        strlen(name) >= sizeof calibration->gate_file)
        return refuse(reader, file, "the name of a file beside this one");
    memcpy(calibration->gate_file, name, strlen(name) + 1);
    err = read_digest(reader, node, "sha256", calibration->gate_digest);
    if (err == SL_OK && sl_json_member(reader->source, node, "prior_weight") != NULL)
        err = read_number(reader, node, "prior_weight", 0, 10, &calibration->prior_weight);
    return err;
}

static enum sl_err read_file(const struct file_reader *reader, struct sl_calibration *calibration)
{
    const struct sl_json_node *root = sl_json_source_root(reader->source);
    double format, rows = 0;
    if (!json_is_object(root->value))
        return refuse(reader, root, "an object");
    enum sl_err err = read_number(reader, root, "sluice_calibration", FILE_FORMAT, FILE_FORMAT,
                                  &format);
    if (err == SL_OK)
        err = read_digest(reader, root, "model_sha256", calibration->model_digest);
    if (err == SL_OK)
        err = read_number(reader, root, "rows", 0, 1e12, &rows);
    if (err == SL_OK)
        err = read_score(reader, root, "answer", &calibration->answer);
    if (err == SL_OK)
        err = read_score(reader, root, "prompt", &calibration->prompt);
    if (err == SL_OK)
        err = read_risks(reader, root, calibration);
    if (err == SL_OK)
        err = read_gate(reader, root, calibration);
    if (err == SL_OK && calibration->answer.count == 0)
        err = refuse(reader, root, "\"answer\" with at least one feature");
    calibration->rows = (size_t)rows;
    calibration->report = json_incref(json_object_get(root->value, "report"));
    return err;
}

enum sl_err sl_calibration_parse(const char *name, struct sl_slice text,
                                 struct sl_calibration **out, struct sl_error *error)
{
    struct sl_json_source *source;
    *out = NULL;
    enum sl_err err = sl_json_source_parse(name, text, &source, error);
    if (err != SL_OK)
        return err == SL_ERR_JSON ? SL_ERR_FORMAT : err;
    struct sl_calibration *calibration = calloc(1, sizeof *calibration);
    struct file_reader reader = {source, error};
    err = calibration == NULL ? sl_error_set(error, SL_ERR_MEMORY, NULL)
                              : read_file(&reader, calibration);
    sl_json_source_free(source);
    if (err != SL_OK) {
        sl_calibration_free(calibration);
        return err;
    }
    *out = calibration;
    return SL_OK;
}

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

static json_t *file_json(const struct sl_calibration *calibration)
{
    char model[65], gate[65];
    sl_hex_encode(calibration->model_digest, 32, model);
    sl_hex_encode(calibration->gate_digest, 32, gate);
    json_t *summary = sl_calibration_json(calibration);
    json_t *root = json_pack("{s:i, s:s, s:I, s:o, s:O}", "sluice_calibration", FILE_FORMAT,
                             "model_sha256", model, "rows", (json_int_t)calibration->rows, "answer",
                             score_json(&calibration->answer), "risks",
                             json_object_get(summary, "risks"));
    json_decref(summary);
    if (root == NULL)
        return NULL;
    if (calibration->prompt.count != 0)
        json_object_set_new(root, "prompt", score_json(&calibration->prompt));
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
