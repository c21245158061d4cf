/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators' own patterns (PCRE2 with JIT) and word lists. Private to router/pii.
 */
#ifndef SLUICE_PII_CUSTOM_H
#define SLUICE_PII_CUSTOM_H

#include "pii/detect.h"

struct pii_custom; /* one pattern or one list: its word, its action, its compiled form */

/* Compiles the patterns and lists of `rules` into the detector. Errors as sl_pii_detector_create.
 */
enum sl_err pii_customs_create(struct sl_pii_detector *detector, const struct sl_pii_rules *rules,
                               struct sl_error *error) SL_MUST_CHECK;
void pii_customs_free(struct sl_pii_detector *detector);
const char *pii_custom_word(const struct sl_pii_detector *detector, size_t custom);
enum sl_pii_action pii_custom_action(const struct sl_pii_detector *detector, size_t custom);
/* Reports what the operator's own kinds find. SL_ERR_PII_DETECTOR where a pattern ran into its
 * limits: the field must then not leave. */
enum sl_err pii_customs_scan(struct pii_scan *scan, struct sl_error *error) SL_MUST_CHECK;

#endif
