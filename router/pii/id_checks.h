/* SPDX-License-Identifier: Apache-2.0
 *
 * Check digits and inner dates of national and tax identifiers. Each takes the value in upper case
 * without separators. Private to router/pii.
 */
#ifndef SLUICE_PII_ID_CHECKS_H
#define SLUICE_PII_ID_CHECKS_H

#include "sluice/pii.h"

enum pii_check {
    PII_CHECK_BAD,     /* cannot be one */
    PII_CHECK_UNKNOWN, /* nothing speaks against it, nothing for it */
    PII_CHECK_GOOD     /* the check digit, or all that is known about the form, fits */
};

/* PII_CHECK_UNKNOWN for kinds without a check. */
enum pii_check pii_check_id(enum sl_pii_type kind, const char *value, size_t len);

#endif
