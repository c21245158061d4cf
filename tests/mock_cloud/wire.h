/* SPDX-License-Identifier: Apache-2.0
 *
 * The providers' wire forms from their side: a request and a scenario become a script. Written
 * apart from the router's adapters on purpose: a shared mistake would go unseen.
 */
#ifndef MOCK_WIRE_H
#define MOCK_WIRE_H

#include "scenario.h"
#include "script.h"

#include <jansson.h>

enum mock_api { MOCK_OPENAI, MOCK_ANTHROPIC };

/* `request` is the parsed body (NULL: no JSON, which is answered with 400). */
void mock_wire_answer(enum mock_api api, const struct mock_scenario *scenario,
                      const json_t *request, struct mock_script *out);
void mock_wire_error(enum mock_api api, int status, const char *type, const char *code,
                     const char *message, struct mock_script *out);

#endif
