/* SPDX-License-Identifier: Apache-2.0
 *
 * A run of digit groups as it stands in a text: what cards, telephones and identifiers are read
 * from. Private to router/pii.
 */
#ifndef SLUICE_PII_NUMBER_H
#define SLUICE_PII_NUMBER_H

#include "pii/detect.h"

#define NUMBER_DIGITS_MAX 40u
#define NUMBER_GROUPS_MAX 20u

struct pii_group {
    size_t start;
    uint8_t len;
    uint8_t digits_before; /* of all groups before this one */
    unsigned char sep;     /* before this group: one of " -./" or a mix of them as '?' */
};

struct pii_number {
    size_t start; /* of the first digit */
    size_t end;   /* after the last digit */
    char digits[NUMBER_DIGITS_MAX + 1];
    unsigned digit_count;
    struct pii_group groups[NUMBER_GROUPS_MAX];
    unsigned group_count;
};

/* Reads groups of digits from `at` (a digit) on, at most a separator of a few signs between them.
 */
void pii_read_number(const struct pii_scan *scan, size_t at, struct pii_number *number);

/* Telephones that start at the number's first group; returns the end of what was found, or
 * number->start. `lead` is where a '+' or a bracket before the digits starts. */
size_t pii_find_phone(struct pii_scan *scan, const struct pii_number *number);

/* Dates and ages that have their first number at `at`, where these kinds are on. */
void pii_find_date_or_age(struct pii_scan *scan, size_t at);

/* A title or a nationality at the start of a word. */
void pii_find_weak_word(struct pii_scan *scan, size_t at);

/* Identifiers whose word starts at `start` and has its first digit at `first_digit`. */
void pii_find_ids(struct pii_scan *scan, size_t start, size_t first_digit);

#endif
