/* SPDX-License-Identifier: Apache-2.0 */
#include "pii/names.h"

void pii_find_names(struct pii_scan *scan)
{
    (void)scan;
}

bool pii_is_name_part(struct sl_slice word)
{
    return word.len > 2 && word.data[0] >= 'A' && word.data[0] <= 'Z';
}
