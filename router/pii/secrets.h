/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys, tokens and passwords. Private to router/pii.
 */
#ifndef SLUICE_PII_SECRETS_H
#define SLUICE_PII_SECRETS_H

#include "pii/detect.h"

/* Builds the tables of first letters, once per process. */
void pii_secrets_prepare(void);
/* False where no known prefix or keyword starts with these three bytes: the usual answer. */
bool pii_secret_may_start(unsigned char first, unsigned char second, unsigned char third);
/* At the start of a word: a known prefix (ghp_, AKIA, eyJ …), a private key block, or a keyword of
 * prose ("password is …"). Returns the end of what was found, `at` for nothing. */
size_t pii_find_secret_prefix(struct pii_scan *scan, size_t at);
/* A word with a digit in it, [start, end). */
void pii_find_secret_token(struct pii_scan *scan, size_t start, size_t end);
/* At "://": credentials in a URL. Returns where the scan goes on. */
size_t pii_find_secret_url(struct pii_scan *scan, size_t at);
/* At '=' or ':': `key = value` where the key names a secret. */
void pii_find_secret_assignment(struct pii_scan *scan, size_t at);
/* At a quote after '(' or a blank: `secret("value")`, `password "value"`. */
void pii_find_secret_quoted(struct pii_scan *scan, size_t at);

/* Between the two files. */
bool pii_is_dummy(const unsigned char *text, size_t len);
bool pii_has_secret_prefix(
    struct sl_slice value); /* starts like a form, whether or not it is one */
size_t pii_find_secret_word(struct pii_scan *scan, size_t at); /* keywords in prose */
void pii_secret_word_starts(void (*mark)(const char *word));

#endif
