/* SPDX-License-Identifier: Apache-2.0
 *
 * Words around a weak find that say what it is: "passport", "Führerschein", "NHS". Private to
 * router/pii.
 */
#ifndef SLUICE_PII_CONTEXT_H
#define SLUICE_PII_CONTEXT_H

#include "pii/detect.h"

/* Words that are not a kind's own. */
enum {
    PII_CONTEXT_NOT_PHONE = SL_PII_TYPE_COUNT, /* order, serial, ISBN: what else a number may be */
    PII_CONTEXT_COUNT
};

/* True where a word of the kind stands in the same stretch of text before `at` (some 80 bytes) or
 * shortly after the word at `at`. The words are read once per place, for all kinds. */
bool pii_has_context(struct pii_scan *scan, size_t at, unsigned kind);

/* The same, only in the `bytes` right before `at`: for words that must be near. */
bool pii_has_context_near(struct pii_scan *scan, size_t at, unsigned kind, size_t bytes);

#endif
