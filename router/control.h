/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: the control thread. It reads the state of the device every few seconds, sets
 * the engine's thread count where the policy's `when` blocks say so, takes answers of another policy
 * or model out of the cache, and probes the cloud while the network does not look well, so that a
 * box that comes back online notices without a request having to fail.
 */
#ifndef SLUICE_ROUTER_CONTROL_H
#define SLUICE_ROUTER_CONTROL_H

#include "sluice/router.h"

struct sl_control;

enum sl_err sl_control_start(struct sl_router *router, struct sl_control **out,
                             struct sl_error *error) SL_MUST_CHECK;
void sl_control_stop(struct sl_control *control); /* NULL is fine */

#endif
