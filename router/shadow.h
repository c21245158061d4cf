/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: shadow mode. A sampled share (`cloud.shadow_share`) of the local answers that
 * were accepted goes to the cloud as well, and the two are compared.
 *
 *     sl_shadow_start(router, &shadow, &error);
 *     sl_shadow_offer(shadow, req);        // at the death of every request
 *     sl_shadow_stop(shadow);
 *
 * Threads: offer from any; one thread of its own asks.
 */
#ifndef SLUICE_ROUTER_SHADOW_H
#define SLUICE_ROUTER_SHADOW_H

#include "sluice/request.h"

struct sl_shadow;

enum sl_err sl_shadow_start(struct sl_router *router, struct sl_shadow **out,
                            struct sl_error *error) SL_MUST_CHECK;
/* Drops what waits, cancels what runs. NULL is fine. */
void sl_shadow_stop(struct sl_shadow *shadow);
/* For a request whose client has its answer: takes its chat, vault and local answer where it is
 * picked. Never waits. NULL is fine. */
void sl_shadow_offer(struct sl_shadow *shadow, struct sl_request *req);

#endif
