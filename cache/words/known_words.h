/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_CACHE_KNOWN_WORDS_H
#define SLUICE_CACHE_KNOWN_WORDS_H

#include "sluice/slice.h"

/* `word`: lower-case ASCII letters, at least four. False for shorter ones. */
bool known_words_has(struct sl_slice word);

#endif
