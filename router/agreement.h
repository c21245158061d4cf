/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: do two answers say the same? Used to judge labelled rows and to compare the
 * box with the cloud in shadow mode, so that both mean the same by "right".
 *
 *     sl_text_is_same(SL_SLICE("Paris."), SL_SLICE(" paris"))              // true
 *     sl_text_agrees(SL_SLICE("{\"a\":1,\"b\":2}"), SL_SLICE("{\"b\": 2, \"a\": 1}")) // true
 *
 * Threads: any.
 */
#ifndef SLUICE_ROUTER_AGREEMENT_H
#define SLUICE_ROUTER_AGREEMENT_H

#include "sluice/answer.h"
#include "sluice/slice.h"

/* The same but for case, runs of blanks, and blanks and full stops at the end. */
bool sl_text_is_same(struct sl_slice a, struct sl_slice b);
/* The text as a JSON object or array; NULL where it is neither. A new reference. */
json_t *sl_text_json(struct sl_slice text);
/* By value where both are JSON objects or arrays, else by text. */
bool sl_text_agrees(struct sl_slice a, struct sl_slice b);
/* Whole answers: as many choices, each with the same text and the same tool calls in the same
 * order. Reasoning, log-probabilities, ids and usage say nothing about it. */
bool sl_answer_agrees(const struct sl_answer *a, const struct sl_answer *b);

#endif
