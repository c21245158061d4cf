/* SPDX-License-Identifier: Apache-2.0
 *
 * The counted, immutable body of scrubbed.h. jansson's own count is not used across threads: its
 * atomicity depends on how the library was built.
 */
#include "sluice/scrubbed.h"

#include "scrubbed_make.h"

#include <stdatomic.h>
#include <stdlib.h>

struct sl_scrubbed {
    json_t *body; /* one reference, read only */
    atomic_uint reference_count;
};

struct sl_scrubbed *sl_scrubbed_create(json_t *body)
{
    struct sl_scrubbed *scrubbed = body != NULL ? malloc(sizeof *scrubbed) : NULL;
    if (scrubbed == NULL) {
        json_decref(body);
        return NULL;
    }
    scrubbed->body = body;
    atomic_init(&scrubbed->reference_count, 1);
    return scrubbed;
}

const json_t *sl_scrubbed_body(const struct sl_scrubbed *scrubbed)
{
    return scrubbed->body;
}

struct sl_scrubbed *sl_scrubbed_acquire(struct sl_scrubbed *scrubbed)
{
    atomic_fetch_add_explicit(&scrubbed->reference_count, 1, memory_order_relaxed);
    return scrubbed;
}

void sl_scrubbed_release(struct sl_scrubbed *scrubbed)
{
    if (scrubbed == NULL ||
        atomic_fetch_sub_explicit(&scrubbed->reference_count, 1, memory_order_acq_rel) != 1)
        return;
    json_decref(scrubbed->body);
    free(scrubbed);
}
