/* SPDX-License-Identifier: Apache-2.0 */
#include "schema_words.h"

#include <string.h>

#define DEPTH_MAX 32

static void visit(const json_t *value, sl_schema_word_fn *fn, void *ctx)
{
    if (json_is_string(value))
        fn(ctx, (struct sl_slice){json_string_value(value), json_string_length(value)});
}

static void walk(const json_t *node, int depth, sl_schema_word_fn *fn, void *ctx)
{
    const char *key;
    json_t *member;
    size_t i;
    if (depth == DEPTH_MAX)
        return;
    if (json_is_array(node)) {
        json_array_foreach(node, i, member) {
            walk(member, depth + 1, fn, ctx);
        }
        return;
    }
    json_object_foreach((json_t *)(size_t)(const void *)node, key, member) {
        const json_t *one;
        if (strcmp(key, "const") == 0)
            visit(member, fn, ctx);
        else if (strcmp(key, "enum") == 0)
            json_array_foreach(member, i, one) {
                visit(one, fn, ctx);
            }
        else
            walk(member, depth + 1, fn, ctx);
    }
}

void sl_schema_words(const json_t *schema, sl_schema_word_fn *fn, void *ctx)
{
    walk(schema, 0, fn, ctx);
}
