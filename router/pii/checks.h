/* SPDX-License-Identifier: Apache-2.0
 *
 * Check digits. Each takes the characters of a value without its separators, and is pure.
 * Private to router/pii.
 */
#ifndef SLUICE_PII_CHECKS_H
#define SLUICE_PII_CHECKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Digits are characters '0' to '9', letters are upper case unless said. */

/* ISO/IEC 7812-1 annex B (Luhn). */
bool pii_luhn(const char *digits, size_t len);
/* ISO 7064 MOD 97-10 after the first four characters are moved to the end (ISO 13616, IBAN). */
bool pii_mod97(const char *text, size_t len);
/* J. Verhoeff, "Error Detecting Decimal Codes" (1969). */
bool pii_verhoeff(const char *digits, size_t len);
/* ISO 7064 MOD 11,10; the last digit is the check. */
bool pii_mod11_10(const char *digits, size_t len);
/* Sum of digit times weight. */
unsigned pii_weighted(const char *digits, const uint8_t *weights, size_t len);
/* Two-digit fields: month 1 to 12, and a day that the month has (29 February allowed). */
bool pii_is_month_day(unsigned month, unsigned day);
unsigned pii_two_digits(const char *digits);

/* Card: length 12 to 19, a range that an issuer uses, Luhn. */
bool pii_is_card(const char *digits, size_t len);
/* IBAN: a country of the registry, its length, MOD 97-10. Upper case, no blanks. */
bool pii_is_iban(const char *text, size_t len);
/* The length of an IBAN of this country; 0: not in the registry. */
unsigned pii_iban_len(const char *country);

/* Base58Check of Bitcoin (P2PKH, P2SH and the like), bech32 and bech32m (BIP 173, BIP 350). */
bool pii_is_base58check(const char *text, size_t len);
bool pii_is_bech32(const char *text, size_t len);

#endif
