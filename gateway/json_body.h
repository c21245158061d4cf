/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON from clients: parsed once, with caps that keep a small body from becoming a large tree, and
 * errors that name the byte. Any thread.
 */
#ifndef SLUICE_GATEWAY_JSON_BODY_H
#define SLUICE_GATEWAY_JSON_BODY_H

#include "sluice/err.h"
#include "sluice/slice.h"

#include <jansson.h>

/* Parses an object. Refused, with SL_ERR_JSON and the byte's position: malformed JSON, invalid
 * UTF-8, a NUL (also as an escape), duplicate keys, more than 64 levels, more than 200,000 values;
 * SL_ERR_INVALID: anything but an object. The message never quotes the body. */
enum sl_err sl_json_body_parse(struct sl_slice body, json_t **out,
                               struct sl_error *error) SL_MUST_CHECK;

#endif
