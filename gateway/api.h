/* SPDX-License-Identifier: Apache-2.0
 *
 * The wire APIs and what they share: one `struct sl_wire_api` a family, the checks of a canonical
 * chat body, and event framing. Each family is a file; stages call them through the table.
 */
#ifndef SLUICE_GATEWAY_API_H
#define SLUICE_GATEWAY_API_H

#include "sluice/request.h"

extern const struct sl_wire_api sl_wire_openai;
extern const struct sl_wire_api sl_wire_anthropic;
extern const struct sl_wire_api sl_wire_ollama_chat, sl_wire_ollama_generate;

/* Of sl_wire_anthropic; in a file of its own. */
enum sl_err sl_anthropic_parse(struct sl_request *req) SL_MUST_CHECK;

/* {"error":{"message","type","param","code"}}, whatever the call was. */
enum sl_err sl_openai_encode_error(const struct sl_error *error, struct sl_buf *out) SL_MUST_CHECK;

#endif
