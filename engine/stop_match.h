/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds stop strings in a text that arrives in pieces, and says how much of it may be shown: all
 * but a tail that could still become a stop string.
 *
 *     struct sl_stop_match *match = sl_stop_match_create(stops, count);
 *     bool stopped = sl_stop_match_feed(match, piece);
 *     show(all text up to sl_stop_match_released(match));
 *
 * Threads: one owner. Feeding allocates nothing.
 */
#ifndef SLUICE_ENGINE_STOP_MATCH_H
#define SLUICE_ENGINE_STOP_MATCH_H

#include "sluice/slice.h"

#include <stdint.h>

struct sl_stop_match;

/* Copies the strings; empty ones are ignored. NULL when out of memory. */
struct sl_stop_match *sl_stop_match_create(const struct sl_slice *stops, size_t count);
void sl_stop_match_free(struct sl_stop_match *match);
/* True where a stop string is complete; feed no more then. */
bool sl_stop_match_feed(struct sl_stop_match *match, struct sl_slice piece);
/* Bytes from the start of the text that are no part of a stop string, present or possible. */
uint64_t sl_stop_match_released(const struct sl_stop_match *match);

#endif
