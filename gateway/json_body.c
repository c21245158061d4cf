/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads a client's JSON with jansson behind a scan that bounds what jansson would build: it allows
 * 2048 levels, and an empty array of two bytes becomes some 150 bytes of tree. The scan only counts;
 * whether the text is JSON is jansson's to say.
 */
#include "json_body.h"

#include <string.h>

#define DEPTH_MAX 64       /* a deep JSON Schema of a tool has some 20 levels */
#define VALUES_MAX 200000u /* some 30 MiB of tree in the worst case */

enum scan_result { SCAN_FITS, SCAN_TOO_DEEP, SCAN_TOO_MANY };

static enum scan_result scan(struct sl_slice body, size_t *position)
{
    size_t depth = 0, values = 1;
    bool in_string = false;
    for (size_t i = 0; i < body.len; i++) {
        char c = body.data[i];
        *position = i;
        if (c == '"') {
            in_string = !in_string;
        } else if (in_string) {
            i += c == '\\';
        } else if (c == '[' || c == '{') {
            values++;
            if (++depth > DEPTH_MAX)
                return SCAN_TOO_DEEP;
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (c == ',' && ++values > VALUES_MAX) {
            return SCAN_TOO_MANY;
        }
    }
    return SCAN_FITS;
}

/* jansson's sentences end in "near '…'", which quotes the body: left out. */
static void cut_quote(char *text)
{
    char *quote = strstr(text, " near '");
    if (quote != NULL)
        *quote = '\0';
}

enum sl_err sl_json_body_parse(struct sl_slice body, json_t **out, struct sl_error *error)
{
    *out = NULL;
    size_t position = 0;
    if (body.len == 0)
        return sl_error_set(error, SL_ERR_JSON, "expected a JSON object, found an empty body");
    switch (scan(body, &position)) {
    case SCAN_TOO_DEEP:
        return sl_error_set(error, SL_ERR_JSON,
                            "invalid JSON at byte %zu: nested deeper than %d levels", position,
                            DEPTH_MAX);
    case SCAN_TOO_MANY:
        return sl_error_set(error, SL_ERR_JSON, "invalid JSON at byte %zu: more than %u values",
                            position, VALUES_MAX);
    case SCAN_FITS:
        break;
    }
    json_error_t at;
    json_t *root = json_loadb(body.data, body.len, JSON_REJECT_DUPLICATES, &at);
    if (root == NULL) {
        if (json_error_code(&at) == json_error_out_of_memory)
            return sl_error_set(error, SL_ERR_MEMORY, NULL);
        cut_quote(at.text);
        return sl_error_set(error, SL_ERR_JSON, "invalid JSON at byte %d (line %d, column %d): %s",
                            at.position, at.line, at.column, at.text);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return sl_error_set(error, SL_ERR_INVALID, "expected a JSON object");
    }
    *out = root;
    return SL_OK;
}
