/* SPDX-License-Identifier: Apache-2.0
 *
 * A schema on its way to a grammar, as the files constrain_schema.c (keywords, strings, values,
 * references) and constrain_containers.c (arrays, objects) share it. Private to them.
 *
 * Every function that makes nodes takes the node that comes next and returns the one to enter by;
 * after an error its result means nothing.
 */
#ifndef SLUICE_ENGINE_CONSTRAIN_COMPILER_H
#define SLUICE_ENGINE_CONSTRAIN_COMPILER_H

#include "constrain_schema.h"

#define DEPTH_MAX 128
#define CHOICES_MAX 500      /* alternatives alive at once: enum values, properties, tools */
#define ITEMS_MAX 2000
#define NONE UINT32_MAX

/* Where we are in the schema, innermost last. */
struct path {
    const struct path *parent;
    const char *name;
    unsigned depth;
};

struct known {
    const json_t *schema;
    uint32_t rule;
};

struct compiler {
    struct sl_grammar *grammar;
    const json_t *root;
    struct known *known; /* schemas that $ref pointed to */
    size_t known_count;
    size_t known_capacity;
    uint32_t space;      /* rules */
    uint32_t value;
    uint32_t object;
    uint32_t array;
    struct sl_error *error;
    enum sl_err err;
};

/* Sets the error with the path of the keyword, unless there is one. */
uint32_t sl_schema_fail(struct compiler *compiler, enum sl_err err, const struct path *path,
                        const char *format, ...) SL_PRINTF(4, 5);
/* White space where JSON allows it. */
uint32_t sl_schema_space(struct compiler *compiler, uint32_t next);
/* Any schema. */
uint32_t sl_schema_node(struct compiler *compiler, const json_t *schema, const struct path *path,
                        uint32_t next);
uint32_t sl_schema_array(struct compiler *compiler, const json_t *schema, const struct path *path,
                         uint32_t next);
uint32_t sl_schema_object(struct compiler *compiler, const json_t *schema, const struct path *path,
                          uint32_t next);
/* "name" : value */
uint32_t sl_schema_member(struct compiler *compiler, const char *name, const json_t *schema,
                          const struct path *path, uint32_t next);
/* For qsort of texts. */
int sl_schema_compare(const void *a, const void *b);

#endif
