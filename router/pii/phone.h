/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbering plans of some 60 regions, coarse: country code, trunk prefix, length and first digits
 * of a national number. Source: ITU-T E.164 national numbering plans. Private to router/pii.
 */
#ifndef SLUICE_PII_PHONE_H
#define SLUICE_PII_PHONE_H

/* The bit of a region in sl_pii_detector.regions, or -1. */
int pii_phone_region(const char *iso);

#endif
