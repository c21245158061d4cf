/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Schema and tool lists as grammars. Private to constrain*.c; what is supported stands in
 * constrain.h.
 */
#ifndef SLUICE_ENGINE_CONSTRAIN_SCHEMA_H
#define SLUICE_ENGINE_CONSTRAIN_SCHEMA_H

#include "chat_template.h"
#include "constrain_grammar.h"

#include <jansson.h>

/* Each builds the whole grammar; rule `*root` is the text. The grammar is initialised; finishing
 * and clearing are the caller's. */
enum sl_err sl_schema_any_object(struct sl_grammar *grammar, uint32_t *root,
                                 struct sl_error *error) SL_MUST_CHECK;
enum sl_err sl_schema_compile(struct sl_grammar *grammar, const json_t *schema, uint32_t *root,
                              struct sl_error *error) SL_MUST_CHECK;
enum sl_err sl_schema_tool_call(struct sl_grammar *grammar, const json_t *tools,
                                enum sl_tool_form form, uint32_t *root,
                                struct sl_error *error) SL_MUST_CHECK;

/* constrain_number.c: numbers within bounds. An integer, or with `has_fraction` any number whose
 * whole part and fraction are certain to lie inside. UINT32_MAX where there is none. */
struct sl_number_bounds {
    bool has_min;
    bool has_max;
    double min; /* inclusive */
    double max;
    bool is_min_open;
    bool is_max_open;
};
uint32_t sl_grammar_number(struct sl_grammar *grammar, const struct sl_number_bounds *bounds,
                           bool has_fraction, uint32_t next);

#endif
