/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of the whole gateway as one JSON object: for the admin call and the dashboard. Numbers
 * and names, never a text of a request. Any thread; may take tens of milliseconds (cache counts).
 */
#ifndef SLUICE_GATEWAY_STATUS_H
#define SLUICE_GATEWAY_STATUS_H

#include "edge.h"

json_t *sl_status_json(struct sl_edge *edge); /* NULL: out of memory */

#endif
