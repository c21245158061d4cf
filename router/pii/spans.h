/* SPDX-License-Identifier: Apache-2.0
 *
 * From one text to finds, and from finds to their repeats. Private to router/pii.
 */
#ifndef SLUICE_PII_SPANS_H
#define SLUICE_PII_SPANS_H

#include "pii/detect.h"

/* Runs every finder over a view; *finds is replaced, not resolved. */
enum sl_err pii_scan_text(const struct sl_pii_detector *detector, struct sl_slice text,
                          struct sl_pii_spans *finds, struct sl_error *error) SL_MUST_CHECK;

/* A name found once is a name wherever it stands: adds the other places of every PERSON, LOCATION
 * and ORG value found in any of the texts. `spans[i]` are the resolved finds of texts[i]. */
enum sl_err pii_add_repeats(const struct sl_pii_detector *detector, const struct sl_slice *texts,
                            struct sl_pii_spans *const *spans, size_t count,
                            struct sl_error *error) SL_MUST_CHECK;

#endif
