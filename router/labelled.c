/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading and judging of labelled rows.
 *
 * The hash that splits a file without a val part is the one of engine/default/data.py, so that rows
 * which the default model was trained on are not taken for rows that it has never seen.
 *
 * Privacy: messages name the file and line, never the text of a row.
 */
#include "labelled.h"

#include "agreement.h"
#include "shadow_rows.h"
#include "sluice/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- one row ---- */

static const char *text_member(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static const char *content_of(const json_t *message)
{
    return text_member(message, "content");
}

static struct sl_slice last_user_text(const json_t *object)
{
    const char *text = text_member(object, "text");
    const json_t *turns = json_object_get(object, "turns");
    const json_t *messages = json_object_get(object, "messages");
    if (text == NULL && json_array_size(turns) != 0)
        text = json_string_value(json_array_get(turns, 0));
    for (size_t i = json_array_size(messages); text == NULL && i-- > 0;) {
        const json_t *message = json_array_get(messages, i);
        const char *role = text_member(message, "role");
        if (role != NULL && strcmp(role, "user") == 0)
            text = content_of(message);
    }
    return sl_slice_of(text);
}

static enum sl_task task_of(const json_t *object)
{
    static const struct {
        const char *word;
        enum sl_task task;
    } words[] = {{"intent", SL_TASK_INTENT},
                 {"sentiment", SL_TASK_SENTIMENT},
                 {"slots", SL_TASK_SLOTS},
                 {"entities", SL_TASK_ENTITIES}};
    const char *task = text_member(object, "task");
    for (size_t i = 0; task != NULL && i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].word, task) == 0)
            return words[i].task;
    bool has_label = task == NULL && json_object_get(object, "label") != NULL;
    return has_label ? SL_TASK_INTENT : SL_TASK_ANSWER;
}

static uint64_t hash_text(struct sl_slice text)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.data[i]) * 1099511628211u;
    return hash;
}

/* As split_of() of engine/default/data.py, over code points. */
static bool is_held_out(const char *id)
{
    uint32_t value = 0, codepoint;
    size_t len = strlen(id);
    for (size_t at = 0; at < len;) {
        at += sl_utf8_decode(id + at, len - at, &codepoint);
        value = value * 131 + codepoint;
    }
    return (value >> 7) % 10 == 0;
}

static void fill_row(struct sl_labelled_row *row, json_t *object)
{
    const char *task = text_member(object, "task"), *id = text_member(object, "id");
    *row = (struct sl_labelled_row){
        .object = object,
        .task = task_of(object),
        .text = last_user_text(object),
        .label = text_member(object, "label"),
        .label_idx = UINT32_MAX,
        .is_foreign = json_is_true(json_object_get(object, "oos")) ||
                      json_is_true(json_object_get(object, "escalate")) ||
                      (task != NULL && strcmp(task, "escalate") == 0),
    };
    row->key = hash_text(id != NULL ? sl_slice_of(id) : row->text);
    if (row->is_foreign)
        row->label = NULL;
}

/* ---- files ---- */

struct file_rows {
    struct sl_labelled_row *rows;
    size_t count, capacity;
};

static bool add_row(struct file_rows *file, json_t *object)
{
    if (file->count == file->capacity) {
        size_t capacity = file->capacity == 0 ? 1024 : file->capacity * 2;
        struct sl_labelled_row *rows = realloc(file->rows, capacity * sizeof *rows);
        if (rows == NULL)
            return false;
        file->rows = rows;
        file->capacity = capacity;
    }
    fill_row(&file->rows[file->count++], object);
    return true;
}

static void free_rows(struct sl_labelled_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        json_decref(rows[i].object);
    free(rows);
}

/* The object of a line; one that shadow mode has sealed is opened. NULL: neither. */
static json_t *read_row(const char *line, size_t len, const char *path, struct sl_cipher **cipher)
{
    json_t *object = len > SL_LABELLED_LINE_MAX
                         ? NULL
                         : json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    if (!sl_shadow_row_is_sealed(object))
        return object;
    if (*cipher == NULL)
        *cipher = sl_shadow_rows_key(path, NULL);
    json_t *opened = *cipher != NULL ? sl_shadow_row_unseal(*cipher, object) : NULL;
    json_decref(object);
    return opened;
}

static enum sl_err read_lines(FILE *in, const char *path, struct file_rows *file,
                              struct sl_error *error)
{
    char *line = NULL;
    struct sl_cipher *cipher = NULL; /* of sealed rows; made at the first */
    size_t capacity = 0, number = 0;
    ssize_t len;
    enum sl_err err = SL_OK;
    while (err == SL_OK && (len = getline(&line, &capacity, in)) > 0) {
        number++;
        if (strspn(line, " \t\r\n") == (size_t)len)
            continue;
        json_t *object = read_row(line, (size_t)len, path, &cipher);
        if (!json_is_object(object)) {
            json_decref(object);
            err = sl_error_set(error, SL_ERR_INVALID,
                               "%s:%zu: expected one JSON object a line, and shadow.key beside a "
                               "file with sealed ones",
                               path, number);
        } else if (!add_row(file, object)) {
            json_decref(object);
            err = sl_error_set(error, SL_ERR_MEMORY, NULL);
        } else if (file->rows[file->count - 1].text.data == NULL) {
            err = sl_error_set(error, SL_ERR_INVALID,
                               "%s:%zu: expected \"text\" or \"messages\" with a user's message",
                               path, number);
        }
    }
    sl_cipher_free(cipher);
    free(line);
    return err;
}

static bool has_split(const struct file_rows *file, const char *split)
{
    for (size_t i = 0; i < file->count; i++) {
        const char *own = text_member(file->rows[i].object, "split");
        if (own != NULL && (split == NULL || strcmp(own, split) == 0))
            return true;
    }
    return false;
}

/* Which parts a file names. */
struct parts {
    bool any, train, val, test;
};

static bool is_part(const char *own, const char *part)
{
    return own != NULL && strcmp(own, part) == 0;
}

/* Whether a row belongs to the part that is asked for; see the header for the rules. */
static bool belongs(const struct sl_labelled_row *row, const char *split, const struct parts *parts)
{
    const char *own = text_member(row->object, "split"), *id = text_member(row->object, "id");
    bool wants_train = is_part(split, "train"), wants_held = is_part(split, "held");
    if (split[0] == '\0')
        return true;
    if (!parts->any)
        return wants_held || (row->key & 1) == wants_train;
    if (wants_held && !parts->val && parts->test)
        return is_part(own, "test");
    if (!parts->val && parts->train && (wants_train || wants_held || is_part(split, "val")))
        return is_part(own, "train") && (id != NULL && is_held_out(id)) == !wants_train;
    if (!parts->val && !parts->train && !wants_train && !is_part(split, "val"))
        return wants_held || is_part(own, split);
    if (!parts->val && is_part(split, "val"))
        return true;
    return is_part(own, wants_held ? "val" : split);
}

/* Keeps the rows of the part that is asked for. */
static void select_rows(struct file_rows *file, const char *split)
{
    struct parts parts = {has_split(file, NULL), has_split(file, "train"), has_split(file, "val"),
                          has_split(file, "test")};
    size_t kept = 0;
    for (size_t i = 0; i < file->count; i++) {
        if (belongs(&file->rows[i], split, &parts))
            file->rows[kept++] = file->rows[i];
        else
            json_decref(file->rows[i].object);
    }
    file->count = kept;
}

static enum sl_err read_file(const char *path, uint32_t file_idx, const char *split,
                             struct file_rows *all, struct sl_error *error)
{
    struct file_rows file = {0};
    FILE *in = fopen(path, "re");
    if (in == NULL)
        return sl_error_set(error, SL_ERR_IO, "%s: %s", path, strerror(errno));
    enum sl_err err = read_lines(in, path, &file, error);
    fclose(in);
    if (err == SL_OK)
        select_rows(&file, split);
    for (size_t i = 0; err == SL_OK && i < file.count; i++)
        if (!add_row(all, json_incref(file.rows[i].object))) {
            json_decref(file.rows[i].object);
            err = sl_error_set(error, SL_ERR_MEMORY, NULL);
        } else {
            struct sl_labelled_row *row = &all->rows[all->count - 1];
            row->set = file_idx * SL_TASKS + (uint32_t)row->task;
        }
    free_rows(file.rows, file.count);
    return err;
}

static void thin(struct file_rows *all, size_t rows_max)
{
    if (rows_max == 0 || all->count <= rows_max)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (i * rows_max / all->count == kept && kept < rows_max)
            all->rows[kept++] = all->rows[i];
        else
            json_decref(all->rows[i].object);
    }
    all->count = kept;
}

/* ---- labels ---- */

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static uint32_t find_label(const char *const *labels, uint32_t count, const char *label)
{
    const char **found =
        bsearch(&label, labels, count, sizeof *labels, compare_words);
    return found == NULL ? UINT32_MAX : (uint32_t)(found - (const char **)(size_t)(const void *)labels);
}

static bool has_label(const struct sl_labelled_row *row)
{
    return (row->task == SL_TASK_INTENT || row->task == SL_TASK_SENTIMENT) && row->label != NULL;
}

/* The labels of the rows of one set, or of all. */
static bool list_labels(const struct sl_labelled *rows, bool all, uint32_t set,
                        struct sl_label_list *list)
{
    size_t count = 0;
    list->labels = malloc((rows->count + 1) * sizeof *list->labels);
    if (list->labels == NULL)
        return false;
    for (size_t i = 0; i < rows->count; i++)
        if (has_label(&rows->rows[i]) && (all || rows->rows[i].set == set))
            list->labels[count++] = rows->rows[i].label;
    qsort(list->labels, count, sizeof *list->labels, compare_words);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(list->labels[i], list->labels[i - 1]) != 0)
            list->labels[list->count++] = list->labels[i];
    return true;
}

static enum sl_err collect_labels(struct sl_labelled *rows, uint32_t files, struct sl_error *error)
{
    struct sl_label_list all = {0};
    bool has_memory = list_labels(rows, true, 0, &all);
    rows->labels = all.labels;
    rows->label_count = all.count;
    rows->set_count = files * SL_TASKS;
    rows->sets = calloc(rows->set_count + 1, sizeof *rows->sets);
    for (uint32_t set = 0; rows->sets != NULL && has_memory && set < rows->set_count; set++)
        has_memory = list_labels(rows, false, set, &rows->sets[set]);
    if (rows->sets == NULL || !has_memory)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    for (size_t i = 0; i < rows->count; i++)
        if (has_label(&rows->rows[i]))
            rows->rows[i].label_idx =
                find_label(rows->labels, rows->label_count, rows->rows[i].label);
    return SL_OK;
}

enum sl_err sl_labelled_read(const char *paths, const char *split, size_t rows_max,
                             struct sl_labelled *out, struct sl_error *error)
{
    struct file_rows all = {0};
    char *copy = strdup(paths), *rest = copy;
    enum sl_err err = copy == NULL ? sl_error_set(error, SL_ERR_MEMORY, NULL) : SL_OK;
    *out = (struct sl_labelled){0};
    uint32_t files = 0;
    for (char *path; err == SL_OK && (path = strsep(&rest, ",")) != NULL; files++)
        err = read_file(path, files, split, &all, error);
    free(copy);
    if (err == SL_OK)
        thin(&all, rows_max);
    out->rows = all.rows;
    out->count = all.count;
    if (err == SL_OK)
        err = collect_labels(out, files, error);
    if (err != SL_OK)
        sl_labelled_clear(out);
    return err;
}

void sl_labelled_clear(struct sl_labelled *set)
{
    if (set == NULL)
        return;
    free_rows(set->rows, set->count);
    free(set->labels);
    for (uint32_t i = 0; set->sets != NULL && i < set->set_count; i++)
        free(set->sets[i].labels);
    free(set->sets);
    *set = (struct sl_labelled){0};
}

struct sl_gate_row *sl_labelled_gate_rows(const struct sl_labelled *set,
                                          const char *const *labels, uint32_t label_count,
                                          size_t *count)
{
    struct sl_gate_row *rows = malloc((set->count + 1) * sizeof *rows);
    *count = 0;
    for (size_t i = 0; rows != NULL && i < set->count; i++) {
        const struct sl_labelled_row *row = &set->rows[i];
        uint32_t label = has_label(row) ? find_label(labels, label_count, row->label)
                                        : SL_GATE_FOREIGN;
        if (row->is_foreign || label != SL_GATE_FOREIGN)
            rows[(*count)++] = (struct sl_gate_row){row->text, label, row->set};
    }
    return rows;
}

/* ---- asking ---- */

json_t *sl_labelled_messages(const struct sl_labelled_row *row)
{
    json_t *own = json_object_get(row->object, "messages");
    if (own != NULL)
        return json_incref(own);
    const char *system = NULL;
    if (row->task == SL_TASK_SENTIMENT)
        system = "Classify the sentiment of the user's text.";
    else if (row->task == SL_TASK_ENTITIES)
        system = "Extract the named entities.";
    json_t *user = json_pack("{s:s, s:s%}", "role", "user", "content", row->text.data,
                             row->text.len);
    if (system == NULL)
        return json_pack("[o]", user);
    return json_pack("[{s:s, s:s}, o]", "role", "system", "content", system, user);
}

static json_t *labels_schema(const char *member, json_t *labels)
{
    return json_pack("{s:s, s:{s:{s:s, s:o}}, s:[s], s:b}", "type", "object", "properties", member,
                     "type", "string", "enum", labels, "required", member, "additionalProperties",
                     0);
}

json_t *sl_labelled_schema(const struct sl_labelled *rows, uint32_t set)
{
    const struct sl_label_list *list = &rows->sets[set];
    bool is_intent = set % SL_TASKS == SL_TASK_INTENT;
    if (list->count == 0)
        return NULL;
    json_t *labels = json_array();
    for (uint32_t i = 0; i < list->count; i++)
        json_array_append_new(labels, json_string(list->labels[i]));
    json_t *schema = labels_schema(is_intent ? "intent" : "sentiment", labels);
    if (schema == NULL || !is_intent)
        return schema;
    json_object_set_new(json_object_get(schema, "properties"), "slots",
                        json_pack("{s:s, s:{s:s}}", "type", "object", "additionalProperties",
                                  "type", "string"));
    json_array_append_new(json_object_get(schema, "required"), json_string("slots"));
    return schema;
}

void sl_labelled_scope(const struct sl_labelled *rows, uint32_t set, const struct sl_gate *gate,
                       struct sl_gate_scope *scope)
{
    const struct sl_label_list *list = &rows->sets[set];
    memset(scope, 0, sizeof *scope);
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t label = sl_gate_find_label(gate, sl_slice_of(list->labels[i]));
        if (label != UINT32_MAX)
            sl_gate_scope_add(scope, label);
    }
    if (scope->count < 2)
        sl_gate_scope_all(gate, scope);
}

/* ---- judging ---- */

static bool accepts(const json_t *wanted, struct sl_slice answer)
{
    if (json_is_string(wanted))
        return sl_text_is_same(sl_slice_of(json_string_value(wanted)), answer);
    json_t *parsed = sl_text_json(answer);
    bool is_equal = wanted != NULL && parsed != NULL && json_equal(wanted, parsed);
    json_decref(parsed);
    return is_equal;
}

static bool is_accepted(const json_t *object, struct sl_slice answer)
{
    const json_t *several = json_object_get(object, "answers"), *one;
    const json_t *turns = json_object_get(object, "turns");
    size_t i;
    json_array_foreach(several, i, one) {
        if (accepts(one, answer))
            return true;
    }
    one = json_object_get(object, "answer");
    if (one == NULL && json_array_size(turns) > 1)
        one = json_array_get(turns, 1);
    return one != NULL && accepts(one, answer);
}

static bool names_label(const struct sl_labelled_row *row, const char *member,
                        struct sl_slice answer)
{
    json_t *parsed = sl_text_json(answer);
    const char *said = text_member(parsed, member);
    /* An app that asks for a bare label gets one. */
    bool is_right = row->label != NULL &&
                    (said != NULL ? strcmp(said, row->label) == 0
                                  : sl_text_is_same(sl_slice_of(row->label), answer));
    json_decref(parsed);
    return is_right;
}

/* The pairs that an answer gives: {"slots":{name: value}} or {"entities":[{"type","text"}]}. */
static bool answer_has(const json_t *parsed, const char *slot, const char *value)
{
    const json_t *slots = json_object_get(parsed, "slots"), *entity;
    const json_t *entities = json_object_get(parsed, "entities");
    const char *said = text_member(slots, slot);
    size_t i;
    if (said != NULL && sl_text_is_same(sl_slice_of(said), sl_slice_of(value)))
        return true;
    json_array_foreach(entities, i, entity) {
        const char *type = text_member(entity, "type"), *text = text_member(entity, "text");
        if (type != NULL && text != NULL && strcmp(type, slot) == 0 &&
            sl_text_is_same(sl_slice_of(text), sl_slice_of(value)))
            return true;
    }
    return false;
}

void sl_labelled_count_slots(const struct sl_labelled_row *row, struct sl_slice answer,
                             size_t counts[3])
{
    const json_t *wanted = json_object_get(row->object, "slots"), *slot;
    json_t *parsed = sl_text_json(answer);
    size_t said = json_object_size(json_object_get(parsed, "slots")) +
                  json_array_size(json_object_get(parsed, "entities"));
    size_t hits = 0, i;
    json_array_foreach(wanted, i, slot) {
        const char *name = text_member(slot, "slot"), *value = text_member(slot, "value");
        if (name != NULL && value != NULL && answer_has(parsed, name, value))
            hits++;
    }
    size_t found = hits < said ? hits : said;
    counts[0] += found;
    counts[1] += said - found;
    counts[2] += json_array_size(wanted) - found;
    json_decref(parsed);
}

bool sl_labelled_is_right(const struct sl_labelled_row *row, struct sl_slice answer)
{
    size_t counts[3] = {0};
    if (row->is_foreign)
        return false;
    switch (row->task) {
    case SL_TASK_INTENT:
        return names_label(row, "intent", answer);
    case SL_TASK_SENTIMENT:
        return names_label(row, "sentiment", answer);
    case SL_TASK_SLOTS:
    case SL_TASK_ENTITIES:
        sl_labelled_count_slots(row, answer, counts);
        return counts[1] == 0 && counts[2] == 0;
    case SL_TASK_ANSWER:
        break;
    }
    return is_accepted(row->object, answer);
}
