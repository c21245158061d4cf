/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of computations under way; its calls are in sluice/cache.h.
 */
#ifndef SLUICE_CACHE_FLIGHT_H
#define SLUICE_CACHE_FLIGHT_H

struct flights;

struct flights *flights_create(void);
/* Every flight must have ended. */
void flights_free(struct flights *flights);

#endif
