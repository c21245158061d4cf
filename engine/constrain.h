/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers that must be JSON: a grammar compiled once per schema says which bytes may come next, and
 * every token that would leave it gets the logit -INFINITY.
 *
 *     struct sl_constraint_vocab *vocab;                    // once per model
 *     if (sl_constraint_vocab_create(tokenizer, &vocab, &error) != SL_OK) ...
 *     struct sl_constraint *constraint;                     // once per schema
 *     if (sl_constraint_compile(SL_FORMAT_JSON_SCHEMA, schema, SL_TOOL_FORM_NONE,
 *                               &constraint, &error) != SL_OK) ...
 *     struct sl_constraint_state *state;                    // once per sequence
 *     if (sl_constraint_state_create(constraint, vocab, &state, &error) != SL_OK) ...
 *     sl_constraint_mask(state, logits);                    // before sampling
 *     if (!sl_constraint_accept(state, token)) ...          // after it
 *
 * What can be enforced, and is (OpenAI's documented subset): type (one or a list), properties,
 * required, additionalProperties false / true / schema, items, prefixItems, minItems, maxItems,
 * enum, const, anyOf, oneOf (as anyOf), allOf of one, $ref to #, #/$defs and #/definitions (also
 * recursive), minLength, maxLength, pattern (a regular subset), the formats date-time, date, time,
 * duration, email, hostname, ipv4, ipv6, uuid, and minimum, maximum, exclusiveMinimum,
 * exclusiveMaximum of integers. Annotations (title, description, default, examples, $schema, $id,
 * $comment, deprecated, readOnly, writeOnly) are ignored. Anything else is refused with
 * SL_ERR_UNSUPPORTED and its path, never silently dropped.
 *
 * Properties come in the order of the schema, optional ones may be left out. White space is bounded:
 * at most one space or newline with a short indent where JSON allows any.
 *
 * Threads: vocab and constraint are immutable and shared; a state belongs to one sequence.
 */
#ifndef SLUICE_ENGINE_CONSTRAIN_H
#define SLUICE_ENGINE_CONSTRAIN_H

#include "chat_template.h"
#include "sluice/engine.h"
#include "sluice/err.h"
#include "tokenizer.h"

struct sl_constraint_vocab;
struct sl_constraint;
struct sl_constraint_state;

/* A trie over the bytes of all text tokens. Borrows the tokenizer. Errors: SL_ERR_MEMORY. */
enum sl_err sl_constraint_vocab_create(const struct sl_tokenizer *tokenizer,
                                       struct sl_constraint_vocab **out,
                                       struct sl_error *error) SL_MUST_CHECK;
/* NULL is fine. */
void sl_constraint_vocab_free(struct sl_constraint_vocab *vocab);

/* `schema`: for SL_FORMAT_JSON_SCHEMA the schema itself (true or an object); for
 * SL_FORMAT_TOOL_CALL the tools in OpenAI's form (`[{"type":"function","function":{name,
 * parameters}}]`), written in `form`; else ignored. The result has one reference.
 * Errors: SL_ERR_UNSUPPORTED and SL_ERR_INVALID with `param` the path of the keyword,
 * SL_ERR_LIMIT (too large a schema), SL_ERR_MEMORY. */
enum sl_err sl_constraint_compile(enum sl_format_kind kind, const json_t *schema,
                                  enum sl_tool_form form, struct sl_constraint **out,
                                  struct sl_error *error) SL_MUST_CHECK;
struct sl_constraint *sl_constraint_acquire(struct sl_constraint *constraint);
/* NULL is fine. */
void sl_constraint_release(struct sl_constraint *constraint);

/* Acquires the constraint, borrows the vocab (the same one for all states of a constraint, else
 * SL_ERR_INVALID). Working memory, some 2 MB, is allocated here. `mask` keeps what it found out
 * about a place of the grammar in the constraint, for all its sequences and up to 32 MB; that is
 * the only thing allocated later. */
enum sl_err sl_constraint_state_create(struct sl_constraint *constraint,
                                       const struct sl_constraint_vocab *vocab,
                                       struct sl_constraint_state **out,
                                       struct sl_error *error) SL_MUST_CHECK;
void sl_constraint_state_free(struct sl_constraint_state *state);

/* Sets the logits (one for each id of the vocabulary) of tokens that may not come next to
 * -INFINITY. End tokens are allowed exactly when the text is complete. At least one token is
 * allowed always, provided that the vocabulary can spell every byte. */
void sl_constraint_mask(struct sl_constraint_state *state, float *logits);
/* Moves on by one token. False where the token was not allowed; the state is then unchanged. */
bool sl_constraint_accept(struct sl_constraint_state *state, int32_t token);
/* The same for bytes: for tests, and for text that was forced. */
bool sl_constraint_accept_bytes(struct sl_constraint_state *state, struct sl_slice bytes);
/* May the text end here? */
bool sl_constraint_is_complete(const struct sl_constraint_state *state);
/* Must it end here: nothing but white space or an end token may follow? */
bool sl_constraint_is_finished(const struct sl_constraint_state *state);

#endif
