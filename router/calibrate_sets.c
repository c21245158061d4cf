/* SPDX-License-Identifier: Apache-2.0
 *
 * Kinds from labelled rows, as calibrate_sets.h has it. Which kind a row is of is not decided here:
 * it is found while the row runs, from its schema, as for a request.
 */
#include "calibrate_sets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The file's name without folder and ending, and the task where a file has several. */
static void name_set(const char *paths, uint32_t set, bool is_alone, char name[SL_KIND_NAME_MAX])
{
    static const char *const tasks[SL_TASKS] = {"answer", "intent", "sentiment", "slots",
                                                "entities"};
    for (uint32_t file = set / SL_TASKS; file > 0 && strchr(paths, ',') != NULL; file--)
        paths = strchr(paths, ',') + 1;
    size_t len = strcspn(paths, ",");
    for (size_t i = 0; i < len; i++) {
        if (paths[i] != '/')
            continue;
        paths += i + 1;
        len -= i + 1;
        i = (size_t)-1; /* from the start of what is left */
    }
    if (len > 6 && memcmp(paths + len - 6, ".jsonl", 6) == 0)
        len -= 6;
    snprintf(name, SL_KIND_NAME_MAX, "%.*s%s%s", (int)len, paths, is_alone ? "" : "/",
             is_alone ? "" : tasks[set % SL_TASKS]);
}

/* Rows of the set that are not foreign. */
static size_t own_rows(const struct sl_labelled *rows, uint32_t set)
{
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++)
        count += rows->rows[i].set == set && !rows->rows[i].is_foreign;
    return count;
}

/* No other task of the same file has labels. */
static bool is_alone(const struct sl_labelled *rows, uint32_t set)
{
    uint32_t first = set / SL_TASKS * SL_TASKS;
    for (uint32_t other = first; other < first + SL_TASKS; other++)
        if (other != set && rows->sets[other].count >= 2)
            return false;
    return true;
}

enum sl_err sl_labelled_kinds(const struct sl_labelled *rows, const char *paths,
                              struct sl_kinds *kinds, struct sl_error *error)
{
    enum sl_err err = SL_OK;
    bool has_text = false;
    uint32_t kind;
    for (uint32_t set = 0; set < rows->set_count && err == SL_OK; set++) {
        const struct sl_label_list *list = &rows->sets[set];
        char name[SL_KIND_NAME_MAX];
        has_text = has_text || (list->count == 0 && own_rows(rows, set) > 0);
        if (list->count < 2 || list->count > SL_KIND_LABELS_MAX)
            continue; /* nothing to choose; or more than a gate could know: the shared score */
        name_set(paths, set, is_alone(rows, set), name);
        err = sl_kinds_add(kinds, name, false, list->labels, list->count, &kind);
    }
    if (err == SL_OK && has_text)
        err = sl_kinds_add(kinds, "without labels", true, NULL, 0, &kind);
    if (err == SL_OK)
        err = sl_kinds_index(kinds);
    if (err == SL_ERR_LIMIT)
        return sl_error_set(error, SL_ERR_INVALID, "more than %d sets of labels", SL_KINDS_MAX);
    return err == SL_OK ? SL_OK : sl_error_set(error, err, NULL);
}
