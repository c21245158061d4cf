/* SPDX-License-Identifier: Apache-2.0
 *
 * Small closed lists of words. Private to router/pii.
 */
#ifndef SLUICE_PII_WORDS_H
#define SLUICE_PII_WORDS_H

#include "sluice/slice.h"

/* A top-level domain that a bare name may end in: all country codes but those that are also common
 * file endings or words, and the common generic ones. Lower case only. */
bool pii_is_known_tld(struct sl_slice label);

#endif
