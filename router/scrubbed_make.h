/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes the only thing that the cloud client sends. Include this in stage_scrub.c and in tests,
 * nowhere else: that is the whole point of it.
 */
#ifndef SLUICE_SCRUBBED_MAKE_H
#define SLUICE_SCRUBBED_MAKE_H

#include "sluice/scrubbed.h"

/* Takes the reference to `body`, an object in the form of an OpenAI chat completion request whose
 * personal values were replaced. One reference belongs to the caller. NULL when out of memory or
 * where `body` is NULL; `body` is released then too. */
struct sl_scrubbed *sl_scrubbed_create(json_t *body);

#endif
