/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes through scanner, scrubber and restorer: spans lie inside of the text, are sorted and
 * apart, scrubbed text does not hold them, and restoring gives the text back. The first byte
 * chooses between text and tool call arguments.
 */
#include "sluice/pii.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sl_pii_detector *detector(void)
{
    static struct sl_pii_detector *shared;
    if (shared == NULL) {
        struct sl_pii_rules rules;
        sl_pii_rules_init(&rules);
        rules.types[SL_PII_SECRET].action = SL_PII_MASK;
        for (size_t i = 0; i < SL_PII_TYPE_COUNT; i++)
            rules.types[i].is_on = true;
        if (sl_pii_detector_create(&rules, &shared, NULL) != SL_OK)
            abort();
    }
    return shared;
}

static void check_spans(struct sl_slice text)
{
    struct sl_pii_spans spans = {0};
    if (sl_pii_scan(detector(), text, &spans, NULL) != SL_OK)
        return;
    for (size_t i = 0; i < spans.count; i++) {
        if (spans.items[i].start >= spans.items[i].end || spans.items[i].end > text.len ||
            (i > 0 && spans.items[i].start < spans.items[i - 1].end))
            abort();
    }
    sl_pii_spans_clear(&spans);
}

static void check_round_trip(struct sl_slice text)
{
    struct sl_vault *vault = sl_vault_create();
    struct sl_pii_report report;
    struct sl_buf scrubbed, back;
    sl_buf_init(&scrubbed, 1 << 22);
    sl_buf_init(&back, 1 << 22);
    if (sl_pii_scrub_text(detector(), text, vault, &scrubbed, &report, NULL) == SL_OK &&
        sl_pii_restore_text(vault, SL_RESTORE_TEXT, SL_TOLERATE_ALL, sl_buf_slice(&scrubbed), &back,
                            NULL, NULL) == SL_OK &&
        !sl_slice_equal(text, sl_buf_slice(&back)))
        abort();
    sl_buf_clear(&scrubbed);
    sl_buf_clear(&back);
    sl_vault_free(vault);
}

static void check_arguments(struct sl_slice text)
{
    struct sl_vault *vault = sl_vault_create();
    struct sl_pii_report report;
    json_t *scrubbed = NULL;
    json_t *string = json_stringn(text.data, text.len);
    json_t *request = string != NULL ? json_pack("{s:[{s:[{s:{s:o}}]}]}", "messages", "tool_calls",
                                                 "function", "arguments", string)
                                     : NULL;
    if (request != NULL &&
        sl_pii_scrub(detector(), request, vault, &scrubbed, &report, NULL) == SL_OK &&
        scrubbed == NULL)
        abort();
    json_decref(scrubbed);
    json_decref(request);
    sl_vault_free(vault);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct sl_slice text = {(const char *)data + 1, size - 1};
    if (data[0] % 2 == 0) {
        check_spans(text);
        check_round_trip(text);
    } else {
        check_arguments(text);
    }
    return 0;
}
