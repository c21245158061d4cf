/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a detector, and one scan from text to resolved spans. Owns what a policy decides;
 * leaves finding to scan.c and its finders.
 *
 * A detector is small: per-kind rules and the operator's own patterns. The large tables (names,
 * words, phone plans) are constants of the program.
 */
#include "pii/custom.h"
#include "pii/detect.h"
#include "pii/names.h"
#include "pii/phone.h"
#include "pii/spans.h"
#include "pii/view.h"

#include "sluice/secret.h"

#include <stdlib.h>

static const char default_note[] =
    "Some values in this conversation were replaced by placeholders such as <EMAIL_1> or "
    "<PERSON_2>. Treat each as the value it stands for and copy it exactly as it is written, "
    "with its brackets, wherever you would write that value.";

static int compare_slices(const void *a, const void *b)
{
    const struct sl_slice *x = a;
    const struct sl_slice *y = b;
    size_t shared = x->len < y->len ? x->len : y->len;
    int order = shared > 0 ? memcmp(x->data, y->data, shared) : 0;
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static bool copy_allowed(struct sl_pii_detector *detector, const struct sl_pii_rules *rules)
{
    size_t bytes = 0;
    for (size_t i = 0; i < rules->allowed_value_count; i++)
        bytes += strlen(rules->allowed_values[i]);
    if (rules->allowed_value_count == 0)
        return true;
    detector->strings = malloc(bytes + 1);
    detector->allowed = malloc(rules->allowed_value_count * sizeof *detector->allowed);
    if (detector->strings == NULL || detector->allowed == NULL)
        return false;
    char *at = detector->strings;
    for (size_t i = 0; i < rules->allowed_value_count; i++) {
        size_t len = strlen(rules->allowed_values[i]);
        memcpy(at, rules->allowed_values[i], len);
        detector->allowed[detector->allowed_count++] = (struct sl_slice){at, len};
        at += len;
    }
    qsort(detector->allowed, detector->allowed_count, sizeof *detector->allowed, compare_slices);
    return true;
}

static enum sl_err copy_regions(struct sl_pii_detector *detector, const struct sl_pii_rules *rules,
                                struct sl_error *error)
{
    for (size_t i = 0; i < rules->phone_region_count; i++) {
        int region = pii_phone_region(rules->phone_regions[i]);
        if (region < 0) {
            char param[48];
            snprintf(param, sizeof param, "pii.phone_regions[%zu]", i);
            return sl_error_set_param(error, SL_ERR_INVALID, param,
                                      "\"%.8s\" is no region with a known numbering plan",
                                      rules->phone_regions[i]);
        }
        detector->regions |= UINT64_C(1) << region;
    }
    return SL_OK;
}

static enum sl_err copy_key(struct sl_pii_detector *detector, const struct sl_pii_rules *rules,
                            struct sl_error *error)
{
    if (rules->stable_key.len == 0)
        return SL_OK;
    if (rules->stable_key.len < 16 || rules->stable_key.len > sizeof detector->stable_key)
        return sl_error_set_param(error, SL_ERR_INVALID, "pii.stable_key",
                                  "the key of stable placeholders must have 16 to %zu bytes",
                                  sizeof detector->stable_key);
    memcpy(detector->stable_key, rules->stable_key.data, rules->stable_key.len);
    detector->stable_key_len = rules->stable_key.len;
    return SL_OK;
}

enum sl_err sl_pii_detector_create(const struct sl_pii_rules *rules, struct sl_pii_detector **out,
                                   struct sl_error *error)
{
    struct sl_pii_detector *detector = calloc(1, sizeof *detector);
    enum sl_err err;

    *out = NULL;
    if (detector == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    memcpy(detector->types, rules->types, sizeof detector->types);
    detector->text_bytes_max = rules->text_bytes_max;
    detector->spans_max = rules->spans_max;
    detector->wants_names = rules->types[SL_PII_PERSON].is_on ||
                            rules->types[SL_PII_LOCATION].is_on || rules->types[SL_PII_ORG].is_on;
    detector->wants_weak_words = rules->types[SL_PII_DATE].is_on ||
                                 rules->types[SL_PII_AGE].is_on || rules->types[SL_PII_NRP].is_on ||
                                 rules->types[SL_PII_TITLE].is_on;
    detector->note = strdup(rules->note != NULL ? rules->note : default_note);
    err = detector->note != NULL && copy_allowed(detector, rules)
              ? SL_OK
              : sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (err == SL_OK)
        err = copy_regions(detector, rules, error);
    if (err == SL_OK)
        err = copy_key(detector, rules, error);
    if (err == SL_OK)
        err = pii_customs_create(detector, rules, error);
    if (err != SL_OK) {
        sl_pii_detector_free(detector);
        return err;
    }
    *out = detector;
    return SL_OK;
}

void sl_pii_detector_free(struct sl_pii_detector *detector)
{
    if (detector == NULL)
        return;
    pii_customs_free(detector);
    free(detector->strings);
    free(detector->allowed);
    free(detector->note);
    sl_wipe(detector->stable_key, sizeof detector->stable_key);
    free(detector);
}

const char *sl_pii_detector_word(const struct sl_pii_detector *detector, unsigned kind)
{
    if (kind < SL_PII_TYPE_COUNT)
        return sl_pii_type_word((enum sl_pii_type)kind);
    return kind - SL_PII_TYPE_COUNT < detector->custom_count
               ? pii_custom_word(detector, kind - SL_PII_TYPE_COUNT)
               : "";
}

enum sl_pii_action sl_pii_detector_action(const struct sl_pii_detector *detector, unsigned kind)
{
    if (kind < SL_PII_TYPE_COUNT)
        return detector->types[kind].action;
    return kind - SL_PII_TYPE_COUNT < detector->custom_count
               ? pii_custom_action(detector, kind - SL_PII_TYPE_COUNT)
               : SL_PII_MASK;
}

unsigned sl_pii_detector_kind_count(const struct sl_pii_detector *detector)
{
    return (unsigned)(SL_PII_TYPE_COUNT + detector->custom_count);
}

/* ---- one scan ------------------------------------------------------------------------------ */

void pii_add(struct pii_scan *scan, size_t start, size_t end, unsigned kind, double score,
             bool is_validated)
{
    const struct sl_pii_type_rule *rule = &scan->detector->types[kind];
    struct sl_pii_span span = {start, end, (uint16_t)kind, is_validated, (float)score};

    if (!rule->is_on || score + 1e-9 < rule->threshold || start >= end)
        return;
    if (scan->finds->count >= scan->detector->spans_max)
        scan->is_over_limit = true;
    else if (!pii_spans_add(scan->finds, &span))
        scan->is_out_of_memory = true;
}

void pii_add_custom(struct pii_scan *scan, size_t start, size_t end, unsigned kind)
{
    struct sl_pii_span span = {start, end, (uint16_t)kind, true, 1.0F};
    if (scan->finds->count >= scan->detector->spans_max)
        scan->is_over_limit = true;
    else if (!pii_spans_add(scan->finds, &span))
        scan->is_out_of_memory = true;
}

enum sl_err pii_scan_text(const struct sl_pii_detector *detector, struct sl_slice text,
                          struct sl_pii_spans *finds, struct sl_error *error)
{
    struct pii_scan scan = {
        .detector = detector,
        .text = (const unsigned char *)text.data,
        .len = text.len,
        .finds = finds,
    };
    enum sl_err err = SL_OK;

    finds->count = 0;
    if (text.len == 0)
        return SL_OK;
    pii_scan_view(&scan);
    if (detector->wants_names)
        pii_find_names(&scan);
    if (detector->custom_count > 0)
        err = pii_customs_scan(&scan, error);
    if (err == SL_OK && scan.is_out_of_memory)
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (err == SL_OK && scan.is_over_limit)
        err = sl_error_set(error, SL_ERR_PII_DETECTOR,
                           "more than %zu finds of personal data in one request",
                           detector->spans_max);
    return err;
}

static enum sl_err scan_one(const struct sl_pii_detector *detector, struct sl_slice text,
                            bool is_resolved, struct sl_pii_spans *out, struct sl_error *error)
{
    struct pii_view view = {0};
    enum sl_err err;

    out->count = 0;
    if (text.len > detector->text_bytes_max)
        return sl_error_set(error, SL_ERR_PII_DETECTOR, "a text is longer than %zu bytes",
                            detector->text_bytes_max);
    err = pii_view_fold(&view, text);
    if (err != SL_OK)
        err = sl_error_set(error, err, NULL);
    if (err == SL_OK)
        err = pii_scan_text(detector, view.text, out, error);
    if (err == SL_OK && is_resolved) {
        pii_resolve(detector, view.text, out);
        err = pii_add_repeats(detector, &view.text, &out, 1, error);
    }
    for (size_t i = 0; i < out->count; i++)
        pii_view_origin(&view, out->items[i].start, out->items[i].end, &out->items[i].start,
                        &out->items[i].end);
    pii_view_clear(&view);
    if (err != SL_OK)
        out->count = 0;
    return err;
}

enum sl_err sl_pii_scan(const struct sl_pii_detector *detector, struct sl_slice text,
                        struct sl_pii_spans *out, struct sl_error *error)
{
    return scan_one(detector, text, true, out, error);
}

enum sl_err sl_pii_scan_all(const struct sl_pii_detector *detector, struct sl_slice text,
                            struct sl_pii_spans *out, struct sl_error *error)
{
    return scan_one(detector, text, false, out, error);
}
