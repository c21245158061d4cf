/* SPDX-License-Identifier: Apache-2.0
 *
 * What was spent, per UTC day and month, in all and per app, kept in a small file so that a restart
 * does not refill a budget. Time is a parameter (wall seconds).
 */
#ifndef SLUICE_COST_H
#define SLUICE_COST_H

#include "sluice/cloud.h"

struct sl_cost;

/* `data_folder` NULL: nothing is kept. A file that cannot be read is set aside as `.broken` and
 * spending starts at zero, with a warning: a damaged file must not stop the box. */
enum sl_err sl_cost_open(const char *data_folder, struct sl_cost **out,
                         struct sl_error *error) SL_MUST_CHECK;
void sl_cost_close(struct sl_cost *cost);

/* `app` may be NULL. Written to the file before it returns. */
void sl_cost_charge(struct sl_cost *cost, const char *app, double usd, int64_t wall_seconds);
bool sl_cost_allows(struct sl_cost *cost, const char *app, const struct sl_cloud_budget *budget,
                    int64_t wall_seconds);
struct sl_cloud_spending sl_cost_spending(struct sl_cost *cost, const char *app,
                                          int64_t wall_seconds);

#endif
