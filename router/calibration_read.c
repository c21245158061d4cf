/* SPDX-License-Identifier: Apache-2.0
 *
 * Parsing a calibration file. It may come from somebody else, so every number has its range, and a
 * message names the place of what is wrong.
 *
 * Format 3 is 2 with "kinds"; a file of format 2 is read as one without them.
 *
 * Invariants of what is read: 1. Deviations are above zero. 2. Both sides of every map rise, and
 * slopes of kinds are not negative. 3. Everything is finite. 4. Those of calibration_kinds.c.
 * Threads: pure.
 */
#include "calibration.h"

#include "json_source.h"

#include "sluice/crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- kinds ---- */

static enum sl_err read_map(const struct file_reader *reader, const struct sl_json_node *parent,
                            const char *key, struct sl_kind_map *out)
{
    const struct sl_json_node *node;
    enum sl_err err = need(reader, parent, key, &node);
    if (err == SL_OK)
        err = read_number(reader, node, "slope", 0, SL_KIND_SLOPE_MAX, &out->slope);
    if (err == SL_OK)
        err = read_number(reader, node, "shift", -SL_KIND_SHIFT_MAX, SL_KIND_SHIFT_MAX,
                          &out->shift);
    return err;
}

/* Points at the strings of a list of labels, which rise. */
static enum sl_err read_labels(const struct file_reader *reader, const struct sl_json_node *node,
                               const char **labels, size_t *count)
{
    size_t size = json_array_size(node->value);
    *count = 0;
    if (!json_is_array(node->value) || size < 2 || size > SL_KIND_LABELS_MAX)
        return refuse(reader, node, "a list of 2 to 1024 labels");
    for (const struct sl_json_node *item = sl_json_first(reader->source, node); item != NULL;
         item = sl_json_next(reader->source, item)) {
        const char *label = json_string_value(item->value);
        if (label == NULL || (*count > 0 && strcmp(labels[*count - 1], label) >= 0))
            return refuse(reader, item, "labels in order, each once");
        labels[(*count)++] = label;
    }
    return SL_OK;
}

static enum sl_err add_kind(const struct file_reader *reader, const struct sl_json_node *node,
                            struct sl_kinds *kinds)
{
    const struct sl_json_node *name, *list = sl_json_member(reader->source, node, "labels");
    const char *labels[SL_KIND_LABELS_MAX];
    size_t label_count = 0, before = kinds->count;
    uint32_t kind;
    bool is_text = json_is_true(json_object_get(node->value, "text"));
    enum sl_err err = need(reader, node, "name", &name);
    if (err == SL_OK && (!json_is_string(name->value) || json_string_length(name->value) == 0 ||
                         json_string_length(name->value) >= SL_KIND_NAME_MAX))
        err = refuse(reader, name, "a name of up to 63 bytes");
    if (err == SL_OK && is_text == (list != NULL))
        err = refuse(reader, node, "either \"labels\" or \"text\": true");
    if (err == SL_OK && list != NULL)
        err = read_labels(reader, list, labels, &label_count);
    if (err != SL_OK)
        return err;
    err = sl_kinds_add(kinds, json_string_value(name->value), is_text, labels, label_count, &kind);
    if (err != SL_OK)
        return sl_error_set(reader->error, err, NULL);
    return kinds->count > before ? SL_OK
                                 : refuse(reader, node, "a kind that is not in the list already");
}

static enum sl_err read_kind(const struct file_reader *reader, const struct sl_json_node *node,
                             struct sl_kinds *kinds)
{
    double rows = 0, right = 0;
    enum sl_err err = add_kind(reader, node, kinds);
    if (err != SL_OK)
        return err;
    struct sl_kind *kind = &kinds->items[kinds->count - 1];
    err = read_number(reader, node, "rows", 0, 1e12, &rows);
    if (err == SL_OK)
        err = read_number(reader, node, "right", 0, rows, &right);
    if (err == SL_OK)
        err = read_map(reader, node, "answer", &kind->answer);
    if (err == SL_OK)
        err = read_map(reader, node, "prompt", &kind->prompt);
    kind->rows = (size_t)rows;
    kind->right = (size_t)right;
    return err;
}

static enum sl_err read_kinds(const struct file_reader *reader, const struct sl_json_node *root,
                              double format, struct sl_kinds *kinds)
{
    const struct sl_json_node *list = sl_json_member(reader->source, root, "kinds");
    if (list == NULL)
        return SL_OK;
    if (format < SL_CALIBRATION_FORMAT)
        return refuse(reader, list, "no kinds in a file of this format");
    if (!json_is_array(list->value) || json_array_size(list->value) > SL_KINDS_MAX)
        return refuse(reader, list, "a list of up to 64 kinds");
    for (const struct sl_json_node *item = sl_json_first(reader->source, list); item != NULL;
         item = sl_json_next(reader->source, item)) {
        enum sl_err err = read_kind(reader, item, kinds);
        if (err != SL_OK)
            return err;
    }
    enum sl_err err = sl_kinds_index(kinds);
    return err == SL_OK ? SL_OK : sl_error_set(reader->error, err, NULL);
}

/* ---- the whole ---- */

static enum sl_err read_format(const struct file_reader *reader, const struct sl_json_node *root,
                               double *format)
{
    const struct sl_json_node *node;
    enum sl_err err = need(reader, root, "sluice_calibration", &node);
    if (err != SL_OK)
        return err;
    *format = json_number_value(node->value);
    for (int known = SL_CALIBRATION_FORMAT_OLDEST; known <= SL_CALIBRATION_FORMAT; known++)
        if (*format == known)
            return SL_OK;
    return refuse(reader, node, "format 2 or 3 (make a new file with `sluice calibrate`)");
}

static enum sl_err read_file(const struct file_reader *reader, struct sl_calibration *calibration)
{
    const struct sl_json_node *root = sl_json_source_root(reader->source);
    double format, rows = 0;
    if (!json_is_object(root->value))
        return refuse(reader, root, "an object");
    enum sl_err err = read_format(reader, root, &format);
    if (err == SL_OK)
        err = read_digest(reader, root, "model_sha256", calibration->model_digest);
    if (err == SL_OK)
        err = read_number(reader, root, "rows", 0, 1e12, &rows);
    if (err == SL_OK)
        err = read_score(reader, root, "answer", &calibration->answer);
    if (err == SL_OK)
        err = read_score(reader, root, "prompt", &calibration->prompt);
    if (err == SL_OK)
        err = read_kinds(reader, root, format, &calibration->kinds);
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
