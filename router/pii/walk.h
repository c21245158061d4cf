/* SPDX-License-Identifier: Apache-2.0
 *
 * Which strings of a request leave the box, in a fixed order. Private to router/pii.
 */
#ifndef SLUICE_PII_WALK_H
#define SLUICE_PII_WALK_H

#include "sluice/err.h"
#include "sluice/slice.h"

#include <jansson.h>

enum walk_form {
    WALK_TEXT,
    WALK_JSON, /* JSON inside of a string: tool call arguments */
    WALK_NAME  /* `name` of a message: providers refuse < and > in it */
};

/* Sees one string. Sets *replacement (a new reference) to put another in its place. */
typedef enum sl_err (*walk_fn)(void *context, enum walk_form form, struct sl_slice text,
                               json_t **replacement);

/* Calls `visit` for every string of `request` that would leave; the order depends on the request
 * alone: everything else first, then the messages, so that numbers given out in order stay the
 * same while messages are added. *out is a new reference: to `request` itself where nothing was
 * replaced, else to a copy that shares what is unchanged. Errors: those of `visit`,
 * SL_ERR_PII_DETECTOR (nested too deep), SL_ERR_MEMORY. */
enum sl_err pii_walk(const json_t *request, walk_fn visit, void *context,
                     json_t **out) SL_MUST_CHECK;

#endif
