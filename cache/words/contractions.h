/* SPDX-License-Identifier: Apache-2.0
 *
 * "what's" is "what is": contractions as the words they stand for.
 */
#ifndef SLUICE_CACHE_CONTRACTIONS_H
#define SLUICE_CACHE_CONTRACTIONS_H

#include "sluice/slice.h"

/* `word` is normalised. Fills `out` with the two words, of static life. False where it is none, or
 * where it may stand for something else ("its", "he'd", "let's"). */
bool word_expand(struct sl_slice word, struct sl_slice out[2]);

#endif
