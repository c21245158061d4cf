/* SPDX-License-Identifier: Apache-2.0
 *
 * People, places and organisations. Private to router/pii.
 */
#ifndef SLUICE_PII_NAMES_H
#define SLUICE_PII_NAMES_H

#include "pii/detect.h"

/* Reports names over the whole view. */
void pii_find_names(struct pii_scan *scan);
/* True for a capitalised word that is no common word: as part of a name known from elsewhere in the
 * text it is the person again. */
bool pii_is_name_part(struct sl_slice word);

#endif
