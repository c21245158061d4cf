/* SPDX-License-Identifier: Apache-2.0
 *
 * Many words in one pass over a text: Aho and Corasick, "Efficient string matching" (1975). For
 * operators' word lists and for the names found once that are masked wherever they come again.
 * ASCII letters match without regard to case; a run of blanks in the text matches one blank of a
 * word. All matches are reported, overlapping ones too. The built-in keywords do not need it: they
 * only count at the start of a word or before a sign of assignment, where a hash look-up is cheaper
 * (secrets.c, context.c).
 *
 * A built table is immutable and may be read by any thread.
 */
#ifndef SLUICE_PII_AHO_H
#define SLUICE_PII_AHO_H

#include "sluice/err.h"
#include "sluice/slice.h"

#include <stdint.h>

struct pii_aho;

/* Words are numbered as given; empty ones never match. Errors: SL_ERR_MEMORY, SL_ERR_LIMIT (the
 * table would pass 64 MiB). */
enum sl_err pii_aho_create(const struct sl_slice *words, size_t count,
                           struct pii_aho **out) SL_MUST_CHECK;
void pii_aho_free(struct pii_aho *aho);

/* Called for each match; `false` ends the search. */
typedef bool (*pii_aho_match_fn)(void *context, size_t word, size_t start, size_t end);
void pii_aho_search(const struct pii_aho *aho, struct sl_slice text, pii_aho_match_fn match,
                    void *context);

#endif
