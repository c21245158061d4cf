/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON as people write it: with // and block comments and trailing commas. Reads a text into a tree
 * whose every node knows its line, column and place, so that a check made long after parsing can
 * still say `policy.json:14:20: routes[1].threshold: expected …`.
 *
 *     struct sl_json_source *source;
 *     if (sl_json_source_parse("p.json", text, &source, &error) != SL_OK) ...
 *     const struct sl_json_node *root = sl_json_source_root(source);
 *     const struct sl_json_node *age = sl_json_member(source, root, "age");
 *     if (age != NULL && !json_is_integer(age->value))
 *         return sl_json_fail(source, age, &error, "expected a whole number");
 *     sl_json_source_free(source);
 *
 * Stricter than JSON where that protects the writer: a key given twice is refused, and so is NUL in
 * a string. Source: RFC 8259.
 *
 * Threads: parsing belongs to one thread; a parsed source is immutable.
 */
#ifndef SLUICE_JSON_SOURCE_H
#define SLUICE_JSON_SOURCE_H

#include "sluice/err.h"
#include "sluice/slice.h"

#include <jansson.h>
#include <stdint.h>

#define SL_JSON_SOURCE_BYTES_MAX (1u << 20) /* a policy of thousands of routes */
#define SL_JSON_DEPTH_MAX 32                /* a policy nests eight deep */

struct sl_json_source;

struct sl_json_node {
    json_t *value;   /* borrowed from the source */
    const char *key; /* in an object: its name; else NULL */
    uint32_t index;  /* position in its object or array */
    uint32_t line;   /* of the value, from 1 */
    uint32_t column; /* in bytes, from 1 */
    uint32_t key_line, key_column;
    uint32_t parent, first_child, last_child, next; /* private */
};

/* `name` is what messages call the text; copied. Errors: SL_ERR_JSON with NAME:LINE:COLUMN,
 * SL_ERR_LIMIT, SL_ERR_MEMORY. */
enum sl_err sl_json_source_parse(const char *name, struct sl_slice text,
                                 struct sl_json_source **out, struct sl_error *error) SL_MUST_CHECK;
/* Reads the file first. Errors: also SL_ERR_IO. */
enum sl_err sl_json_source_load(const char *path, struct sl_json_source **out,
                                struct sl_error *error) SL_MUST_CHECK;
void sl_json_source_free(struct sl_json_source *source);

const char *sl_json_source_name(const struct sl_json_source *source);
struct sl_slice sl_json_source_text(const struct sl_json_source *source);
const struct sl_json_node *sl_json_source_root(const struct sl_json_source *source);

/* The children of an object or array, in file order; NULL at the end. */
const struct sl_json_node *sl_json_first(const struct sl_json_source *source,
                                         const struct sl_json_node *node);
const struct sl_json_node *sl_json_next(const struct sl_json_source *source,
                                        const struct sl_json_node *node);
/* The member `key`, or NULL. */
const struct sl_json_node *sl_json_member(const struct sl_json_source *source,
                                          const struct sl_json_node *node, const char *key);
/* `routes[1].threshold`; members with unusual names as `models["gpt-4.1"]`. Always terminated. */
void sl_json_path(const struct sl_json_source *source, const struct sl_json_node *node, char *out,
                  size_t size);
/* The value as a short text for a message: `"high"`, `12`, `an array`. */
void sl_json_describe(const struct sl_json_node *node, char *out, size_t size);

/* Fills *error with NAME:LINE:COLUMN: PATH: and the formatted sentence; returns SL_ERR_INVALID. */
enum sl_err sl_json_fail(const struct sl_json_source *source, const struct sl_json_node *node,
                         struct sl_error *error, const char *format, ...) SL_PRINTF(4, 5);
/* The same, pointing at the member's name instead of its value. */
enum sl_err sl_json_fail_key(const struct sl_json_source *source, const struct sl_json_node *node,
                             struct sl_error *error, const char *format, ...) SL_PRINTF(4, 5);

#endif
