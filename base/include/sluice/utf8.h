/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, at most U+10FFFF. Any thread.
 */
#ifndef SLUICE_UTF8_H
#define SLUICE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length (1 to 4) of the valid sequence at `text`, or 0 where there is none or it is cut. */
size_t sl_utf8_sequence_len(const char *text, size_t len);
/* Decodes one code point; returns the bytes read. An invalid byte reads as U+FFFD, one byte. */
size_t sl_utf8_decode(const char *text, size_t len, uint32_t *codepoint);
/* Writes 1 to 4 bytes and returns how many. `codepoint` must be a Unicode scalar value. */
size_t sl_utf8_encode(uint32_t codepoint, char out[4]);
bool sl_utf8_is_valid(const char *text, size_t len);
/* The longest prefix of `text` that does not end inside a sequence which more bytes could complete:
 * what a stream may send now. */
size_t sl_utf8_complete_prefix(const char *text, size_t len);

#endif
