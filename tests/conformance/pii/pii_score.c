/* SPDX-License-Identifier: Apache-2.0 */
#include "pii_score.h"

#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int kind_of(const char *word)
{
    enum sl_pii_type type;
    if (word != NULL && sl_pii_type_parse(sl_slice_of(word), &type))
        return (int)type;
    if (word != NULL && (strcmp(word, "corporation") == 0 || strcmp(word, "group") == 0))
        return SL_PII_ORG;
    if (word != NULL && strcmp(word, "person") == 0)
        return SL_PII_PERSON;
    if (word != NULL && strcmp(word, "location") == 0)
        return SL_PII_LOCATION;
    return -1;
}

static size_t number(const json_t *array, size_t idx)
{
    return (size_t)json_integer_value(json_array_get(array, idx));
}

static void read_gold(struct pii_row *row)
{
    const json_t *bytes = json_object_get(row->json, "byte_spans");
    const json_t *spans = json_object_get(row->json, "spans");
    const json_t *required = json_object_get(row->json, "required");
    const json_t *others = json_object_get(row->json, "alt_spans");
    const json_t *list = bytes != NULL ? bytes : spans;

    for (size_t i = 0; i < json_array_size(list) && i < 64; i++) {
        struct pii_gold *gold = &row->gold[row->gold_count++];
        const json_t *item = json_array_get(list, i);
        gold->is_required = required == NULL || json_is_true(json_array_get(required, i));
        if (bytes != NULL) {
            gold->start = number(item, 0);
            gold->end = number(item, 1);
            gold->kind = kind_of(row->entity != NULL ? row->entity : "SECRET");
            gold->other_start = number(json_array_get(others, i), 0);
            gold->other_end = number(json_array_get(others, i), 1);
        } else {
            gold->start = (size_t)json_integer_value(json_object_get(item, "start_byte"));
            gold->end = (size_t)json_integer_value(json_object_get(item, "end_byte"));
            gold->kind = kind_of(json_string_value(json_object_get(item, "type")));
        }
    }
}

void pii_rows_read(const char *name, struct pii_rows *rows)
{
    char path[64];
    snprintf(path, sizeof path, "pii/%s", name);
    FILE *file = fopen(sl_test_reference(path), "r");
    char *line = NULL;
    size_t capacity = 0;
    size_t room = 0;

    *rows = (struct pii_rows){0};
    ck_assert_msg(file != NULL, "%s cannot be read", name);
    while (getline(&line, &capacity, file) > 0) {
        json_t *json = json_loads(line, 0, NULL);
        ck_assert_msg(json != NULL, "%s: a line is no JSON", name);
        if (rows->count == room) {
            room = room == 0 ? 256 : room * 2;
            rows->items = realloc(rows->items, room * sizeof *rows->items);
            ck_assert_ptr_nonnull(rows->items);
        }
        struct pii_row *row = &rows->items[rows->count++];
        *row = (struct pii_row){
            .json = json,
            .id = json_string_value(json_object_get(json, "id")),
            .text = json_string_value(json_object_get(json, "text")),
            .len = json_string_length(json_object_get(json, "text")),
            .entity = json_string_value(json_object_get(json, "entity")),
            .level = json_string_value(json_object_get(json, "level")),
            .region = json_string_value(json_object_get(json, "region")),
            .is_canonical = !json_is_false(json_object_get(json, "canonical")),
            .needs_region = json_is_true(json_object_get(json, "needs_region")),
        };
        read_gold(row);
    }
    free(line);
    fclose(file);
    ck_assert_uint_gt(rows->count, 0);
}

void pii_rows_clear(struct pii_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        json_decref(rows->items[i].json);
    free(rows->items);
}

static bool overlaps(const struct pii_gold *gold, const struct sl_pii_span *span)
{
    return span->start < gold->end && span->end > gold->start;
}

static bool is_exact(const struct pii_gold *gold, const struct sl_pii_span *span)
{
    return (span->start == gold->start && span->end == gold->end) ||
           (gold->other_end > 0 && span->start == gold->other_start &&
            span->end == gold->other_end);
}

static void score_gold(struct pii_scores *scores, const struct pii_gold *gold,
                       const struct sl_pii_spans *spans)
{
    struct pii_tally *tally = &scores->kinds[gold->kind];
    bool exact = false;
    bool overlap = false;

    if (!gold->is_required)
        return;
    for (size_t i = 0; i < spans->count; i++) {
        const struct sl_pii_span *span = &spans->items[i];
        exact = exact || (span->kind == gold->kind && is_exact(gold, span));
        overlap = overlap || (span->kind == gold->kind && overlaps(gold, span));
        if (overlaps(gold, span))
            tally->covered += (span->end < gold->end ? span->end : gold->end) -
                              (span->start > gold->start ? span->start : gold->start);
    }
    tally->gold++;
    tally->exact += exact;
    tally->overlap += overlap;
    tally->bytes += gold->end - gold->start;
}

void pii_score_row(struct pii_scores *scores, const struct pii_row *row,
                   const struct sl_pii_spans *spans, int only)
{
    unsigned predicted = 0;
    for (size_t i = 0; i < row->gold_count; i++) {
        if (row->gold[i].kind >= 0)
            score_gold(scores, &row->gold[i], spans);
    }
    for (size_t i = 0; i < spans->count; i++) {
        const struct sl_pii_span *span = &spans->items[i];
        bool exact = false;
        bool overlap = false;
        if (only >= 0 && span->kind != only)
            continue;
        predicted++;
        for (size_t j = 0; j < row->gold_count; j++) {
            exact = exact || (row->gold[j].kind == span->kind && is_exact(&row->gold[j], span));
            overlap = overlap || (row->gold[j].kind == span->kind && overlaps(&row->gold[j], span));
        }
        scores->kinds[span->kind].predicted++;
        scores->kinds[span->kind].predicted_exact += exact;
        scores->kinds[span->kind].predicted_overlap += overlap;
    }
    if (row->gold_count == 0) {
        scores->clean++;
        scores->untouched += predicted == 0;
    }
}

double pii_recall(const struct pii_tally *tally)
{
    return tally->gold > 0 ? (double)tally->overlap / tally->gold : 1;
}

double pii_precision(const struct pii_tally *tally)
{
    return tally->predicted > 0 ? (double)tally->predicted_overlap / tally->predicted : 1;
}

void pii_print_heading(const char *file)
{
    printf("# %-24s %6s %6s  %7s %7s  %7s %7s  %6s\n", file, "gold", "pred", "P_exact", "R_exact",
           "P_over", "R_over", "leak");
}

void pii_print_kind(const char *word, const struct pii_tally *tally)
{
    double predicted = tally->predicted > 0 ? tally->predicted : 1;
    double gold = tally->gold > 0 ? tally->gold : 1;
    printf("#   %-22s %6u %6u  %7.3f %7.3f  %7.3f %7.3f  %6.3f\n", word, tally->gold,
           tally->predicted, tally->predicted_exact / predicted, tally->exact / gold,
           pii_precision(tally), pii_recall(tally),
           tally->bytes > 0 ? 1 - (double)tally->covered / (double)tally->bytes : 0);
}
