/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns the decision which strings of a request are scanned. The rule is "all", with a short list of
 * exceptions: words that steer the provider and that it would refuse in another form. A field that
 * an API adds tomorrow is scanned by default.
 *
 * Recursion is bounded: a deeper request is refused, not passed on.
 */
#include "pii/walk.h"

#include <stdbool.h>
#include <string.h>

#define DEPTH_MAX 128      /* schemas of tools nest some ten deep */
#define MEDIA_TYPE_MAX 256 /* of a data URL, with its parameters */

struct walk {
    walk_fn visit;
    void *context;
    bool is_free; /* inside of metadata or decoded arguments: no key means anything to a provider */
};

/* String values under these keys are words of the API, never text. Sorted for reading only. */
static const char *const steering_keys[] = {
    "$ref",
    "call_id",
    "detail",
    "effort",
    "encoding_format",
    "format",
    "id",
    "mode",
    "model",
    "modality",
    "object",
    "parallel",
    "pattern",
    "reasoning_effort",
    "role",
    "schema_id",
    "service_tier",
    "syntax",
    "tool_call_id",
    "tool_choice",
    "type",
    "truncation",
    "verbosity",
    "voice",
    "cache_control",
};

/* Under these keys nothing is text at all. */
static const char *const steering_subtrees[] = {"required", "modalities", "logit_bias",
                                                "stream_options", "include"};

static bool is_one_of(const char *key, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(key, words[i]) == 0)
            return true;
    }
    return false;
}

/* A file in base64: nothing else but its alphabet, behind `data:…;base64,` or bare. Text that only
 * starts with "data:" is text. */
static bool is_base64_file(struct sl_slice text, bool may_be_bare)
{
    size_t at = 0;
    if (text.len > 5 && memcmp(text.data, "data:", 5) == 0) {
        size_t head = text.len < MEDIA_TYPE_MAX ? text.len : MEDIA_TYPE_MAX;
        const char *comma = memchr(text.data, ',', head);
        if (comma == NULL || comma - text.data < 12 || memcmp(comma - 7, ";base64", 7) != 0)
            return false;
        at = (size_t)(comma - text.data) + 1;
        for (size_t i = 0; i < at; i++) {
            if (text.data[i] == ' ' || text.data[i] == '@')
                return false;
        }
    } else if (!may_be_bare) {
        return false;
    }
    for (; at < text.len; at++) {
        unsigned char c = (unsigned char)text.data[at];
        bool is_base64 = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                         (c >= '0' && c <= '9') || c == '+' || c == '/' || c == '=' || c == '-' ||
                         c == '_' || c == '\r' || c == '\n';
        if (!is_base64)
            return false;
    }
    return true;
}

static bool is_skipped(const struct walk *walk, const char *parent, const char *key,
                       const json_t *value, struct sl_slice text)
{
    if (walk->is_free || key == NULL)
        return false;
    if (json_is_string(value) &&
        is_one_of(key, steering_keys, sizeof steering_keys / sizeof *steering_keys))
        return true;
    if (json_is_array(value) &&
        is_one_of(key, steering_subtrees, sizeof steering_subtrees / sizeof *steering_subtrees))
        return true;
    /* A function's name must stay what the tools declare. */
    if (strcmp(key, "name") == 0 && parent != NULL &&
        (strcmp(parent, "function") == 0 || strcmp(parent, "json_schema") == 0 ||
         strcmp(parent, "tool_choice") == 0 || strcmp(parent, "custom") == 0))
        return true;
    /* Images, sounds and files: megabytes of base64. */
    if (!json_is_string(value))
        return false;
    bool is_audio =
        strcmp(key, "data") == 0 && parent != NULL && strcmp(parent, "input_audio") == 0;
    return is_base64_file(text, is_audio || strcmp(key, "file_data") == 0);
}

static enum walk_form form_of(const char *parent, const char *key)
{
    if (key == NULL)
        return WALK_TEXT;
    if (strcmp(key, "arguments") == 0)
        return WALK_JSON;
    return strcmp(key, "name") == 0 && (parent == NULL || strcmp(parent, "messages") == 0)
               ? WALK_NAME
               : WALK_TEXT;
}

static enum sl_err walk_value(struct walk *walk, const char *parent, const char *key,
                              const json_t *value, int depth, json_t **replacement);

static enum sl_err walk_member(struct walk *walk, const char *parent, const char *key,
                               const json_t *object, const json_t *value, int depth, json_t **copy)
{
    json_t *replacement = NULL;
    bool was_free = walk->is_free;
    walk->is_free = was_free || (depth == 1 && strcmp(key, "metadata") == 0) ||
                    (strcmp(key, "arguments") == 0 && !json_is_string(value));
    enum sl_err err = walk_value(walk, parent, key, value, depth + 1, &replacement);
    walk->is_free = was_free;
    if (err != SL_OK || replacement == NULL)
        return err;
    if (*copy == NULL)
        *copy = json_copy((json_t *)object);
    if (*copy == NULL || json_object_set_new(*copy, key, replacement) != 0) {
        if (*copy == NULL)
            json_decref(replacement);
        return SL_ERR_MEMORY;
    }
    return SL_OK;
}

static enum sl_err walk_object(struct walk *walk, const char *parent, const json_t *object,
                               int depth, json_t **copy)
{
    enum sl_err err = SL_OK;
    const char *key;
    json_t *value;
    bool has_messages = depth == 1 && json_object_get(object, "messages") != NULL;

    json_object_foreach((json_t *)object, key, value)
    {
        if (has_messages && strcmp(key, "messages") == 0)
            continue;
        err = walk_member(walk, parent, key, object, value, depth, copy);
        if (err != SL_OK)
            return err;
    }
    if (has_messages)
        err = walk_member(walk, parent, "messages", object, json_object_get(object, "messages"),
                          depth, copy);
    return err;
}

static enum sl_err walk_array(struct walk *walk, const char *parent, const char *key,
                              const json_t *array, int depth, json_t **copy)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *replacement = NULL;
        const json_t *item = json_array_get(array, i);
        /* Strings of an array stand for the key: enum, stop, input. Objects see it as parent. */
        enum sl_err err = walk_value(walk, parent, key, item, depth + 1, &replacement);
        if (err != SL_OK)
            return err;
        if (replacement == NULL)
            continue;
        if (*copy == NULL)
            *copy = json_copy((json_t *)array);
        if (*copy == NULL || json_array_set_new(*copy, i, replacement) != 0) {
            if (*copy == NULL)
                json_decref(replacement);
            return SL_ERR_MEMORY;
        }
    }
    return SL_OK;
}

static enum sl_err walk_value(struct walk *walk, const char *parent, const char *key,
                              const json_t *value, int depth, json_t **replacement)
{
    enum sl_err err = SL_OK;
    json_t *copy = NULL;

    *replacement = NULL;
    if (depth > DEPTH_MAX)
        return SL_ERR_PII_DETECTOR;
    if (json_is_string(value)) {
        struct sl_slice text = {json_string_value(value), json_string_length(value)};
        return is_skipped(walk, parent, key, value, text)
                   ? SL_OK
                   : walk->visit(walk->context, form_of(parent, key), text, replacement);
    }
    if (json_is_object(value))
        err = walk_object(walk, key, value, depth, &copy);
    else if (json_is_array(value) && !is_skipped(walk, parent, key, value, (struct sl_slice){0}))
        err = walk_array(walk, parent, key, value, depth, &copy);
    if (err != SL_OK)
        json_decref(copy);
    else
        *replacement = copy;
    return err;
}

enum sl_err pii_walk(const json_t *request, walk_fn visit, void *context, json_t **out)
{
    struct walk walk = {visit, context, false};
    json_t *copy = NULL;
    enum sl_err err = walk_value(&walk, NULL, NULL, request, 1, &copy);

    *out = err != SL_OK ? NULL : copy != NULL ? copy : json_incref((json_t *)request);
    return err;
}
