/* SPDX-License-Identifier: Apache-2.0
 *
 * A body that may leave the box. The cloud client takes nothing else, and only the scrub stage can
 * make one (router/scrubbed_make.h, which no other stage includes): what would send raw text does
 * not compile.
 *
 * The body is an OpenAI chat completion request (the canonical form of a request), with every
 * personal value replaced. Immutable and counted, so a retry, a hedge and the cache key may share
 * it; any thread may read it.
 */
#ifndef SLUICE_SCRUBBED_H
#define SLUICE_SCRUBBED_H

#include <jansson.h>

struct sl_scrubbed;

/* Lends the body; it must not be changed. */
const json_t *sl_scrubbed_body(const struct sl_scrubbed *scrubbed);
struct sl_scrubbed *sl_scrubbed_acquire(struct sl_scrubbed *scrubbed); /* returns `scrubbed` */
void sl_scrubbed_release(struct sl_scrubbed *scrubbed);                /* NULL is fine */

#endif
