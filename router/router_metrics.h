/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: the metrics of the walk, registered once before a request runs and constant
 * afterwards. Names and labels: CONVENTIONS section 7. Those of the cloud, the device and the cache
 * are registered by their own parts.
 */
#ifndef SLUICE_ROUTER_METRICS_H
#define SLUICE_ROUTER_METRICS_H

#include "sluice/metric.h"
#include "sluice/request.h"

struct sl_router_metrics {
    struct sl_series *stage_seconds[SL_STAGE_COUNT];
    struct sl_series *cache_requests[SL_CACHE_STATUS_STALE + 1];
    struct sl_series *queue_wait;
    struct sl_series *stream_hold;
    struct sl_series *confidence;
    struct sl_series *saved_usd;
    struct sl_series *restored, *unresolved;
    struct sl_metric *escalations; /* {reason} */
    struct sl_metric *entities;    /* {entity, action} */
    struct sl_metric *speculations; /* {result}: used, cancelled, unsent, refused */
    struct sl_metric *shadows;     /* {result}: agreed, differed, failed, dropped */
};
extern struct sl_router_metrics sl_router_metrics;

void sl_router_metrics_register(void);
/* What a request that ends adds: how the cache answered, what that saved, how long a stream waited
 * behind its gate. */
void sl_router_metrics_count(const struct sl_request *req);

#endif
