/* SPDX-License-Identifier: Apache-2.0
 *
 * What the wire APIs share for responses: ids, and JSON values written into buffers. Any thread.
 */
#ifndef SLUICE_GATEWAY_RESPONSE_TEXT_H
#define SLUICE_GATEWAY_RESPONSE_TEXT_H

#include "sluice/request.h"

/* Sets req->respond.response_id ("<prefix><24 characters>") and created_s. */
void sl_response_name(struct sl_request *req, const char *prefix);
/* Unique within and, but for bad luck of 2^-64, across processes. Not a secret. */
uint64_t sl_response_unique(void);

enum sl_err sl_buf_append_json_value(struct sl_buf *out, const json_t *value) SL_MUST_CHECK;
/* A tool call's arguments, a model's text, as the JSON object that they are; `{}` where they are
 * none, since the APIs that want an object have no way to say so. */
enum sl_err sl_buf_append_arguments(struct sl_buf *out,
                                    const struct sl_buf *arguments) SL_MUST_CHECK;
/* `,"sluice":{…}` where the client asked for it, else nothing. */
enum sl_err sl_buf_append_debug(struct sl_request *req, struct sl_buf *out) SL_MUST_CHECK;

#endif
