/* SPDX-License-Identifier: Apache-2.0
 *
 * Speculation by prompt look-up (Saxena 2023): where the last tokens occurred before in the
 * sequence, what followed them then is guessed to follow again. The guess is checked in the same
 * pass that would have computed one token, and only kept as far as the sampler chooses the same
 * tokens, so the text does not depend on it. It pays for answers that copy (extraction, edits of
 * code, JSON).
 */
#ifndef SLUICE_ENGINE_SPECULATE_H
#define SLUICE_ENGINE_SPECULATE_H

#include <stdint.h>

/* Most tokens guessed at once, and the length of the first guess. With the token that is sure they
 * make a tile of the rearranged weights (kernels_matmul.h), which is bound by memory like a single
 * token; one more would begin a second tile. */
#define SL_DRAFT_MAX 5
#define SL_DRAFT_FIRST 2

/* Writes up to `most` guessed tokens behind ids[0, count) to `draft`; returns how many. */
uint32_t sl_speculate_draft(const int32_t *ids, uint32_t count, uint32_t most, int32_t *draft);

#endif
