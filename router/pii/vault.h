/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of the vault, for the scrubber that fills it and the restorer that matches against it.
 * A placeholder's *name* is what stands between the brackets: `EMAIL_1`. Private to router/pii.
 */
#ifndef SLUICE_PII_VAULT_H
#define SLUICE_PII_VAULT_H

#include "sluice/pii.h"

struct vault_entry {
    struct sl_slice value;
    struct sl_slice name; /* upper case, no brackets */
    uint16_t kind;
    bool is_restorable;
};

/* The entry of (kind, value), made where there is none; NULL when out of memory. `word` is the
 * kind's; numbers go up from 1 past those reserved. With a key the number is five letters of a
 * keyed hash of the value. */
const struct vault_entry *pii_vault_put(struct sl_vault *vault, unsigned kind, const char *word,
                                        struct sl_slice value, bool is_restorable,
                                        struct sl_slice stable_key);
/* Keeps a number from being given out. False when out of memory. */
bool pii_vault_reserve(struct sl_vault *vault, unsigned kind, uint32_t number);

/* Entries sorted by name: the restorer narrows a range of them letter by letter. Sorted on demand
 * by pii_vault_seal; reading before that finds nothing. False when out of memory. */
bool pii_vault_seal(struct sl_vault *vault);
const struct vault_entry *const *pii_vault_sorted(const struct sl_vault *vault, size_t *count);
size_t pii_vault_longest_name(const struct sl_vault *vault);

#endif
