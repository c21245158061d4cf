/* SPDX-License-Identifier: Apache-2.0
 *
 * What each token stands for in text, built once: U+2581 back to a space, GPT-2's printable
 * alphabet back to bytes, `<0x41>` to its byte. All pieces lie in one block, since a vocabulary has
 * too many for one allocation each.
 */
#include "tokenizer_internal.h"

#include "sluice/utf8.h"

#include <stdlib.h>

#define ESCAPED_SPACE "\xE2\x96\x81" /* U+2581 */
#define ESCAPED_SPACE_LEN 3

/* Bytes that print stand for themselves; the others, in three runs, for 256 and up. */
#define FIRST_RUN 0x21  /* bytes 0x00 to 0x20 */
#define SECOND_RUN 0x22 /* bytes 0x7F to 0xA0 */
#define LAST_BYTE 0xAD

uint32_t sl_byte_codepoint(uint8_t byte)
{
    if (byte < FIRST_RUN)
        return 256u + byte;
    if (byte >= 0x7F && byte < 0x7F + SECOND_RUN)
        return 256u + FIRST_RUN + (byte - 0x7Fu);
    return byte == LAST_BYTE ? 256u + FIRST_RUN + SECOND_RUN : byte;
}

int sl_codepoint_byte(uint32_t codepoint)
{
    if (codepoint < 256)
        return sl_byte_codepoint((uint8_t)codepoint) == codepoint ? (int)codepoint : -1;
    codepoint -= 256;
    if (codepoint < FIRST_RUN)
        return (int)codepoint;
    if (codepoint < FIRST_RUN + SECOND_RUN)
        return (int)(codepoint - FIRST_RUN + 0x7F);
    return codepoint == FIRST_RUN + SECOND_RUN ? LAST_BYTE : -1;
}

static size_t unescape_spaces(struct sl_slice text, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len;) {
        bool is_space = text.len - i >= ESCAPED_SPACE_LEN &&
                        memcmp(text.data + i, ESCAPED_SPACE, ESCAPED_SPACE_LEN) == 0;
        out[len++] = is_space ? ' ' : text.data[i];
        i += is_space ? ESCAPED_SPACE_LEN : 1;
    }
    return len;
}

/* A text that is not in the byte alphabet stands for itself. */
static size_t decode_bytes(const int16_t bytes[512], struct sl_slice text, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len;) {
        uint32_t codepoint;
        size_t step = sl_utf8_decode(text.data + i, text.len - i, &codepoint);
        if (codepoint < 512 && bytes[codepoint] >= 0) {
            out[len++] = (char)bytes[codepoint];
        } else {
            memcpy(out + len, text.data + i, step);
            len += step;
        }
        i += step;
    }
    return len;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `<0x41>`; other texts of byte tokens stand for themselves. */
static size_t decode_byte_token(struct sl_slice text, char *out)
{
    if (text.len == 6 && memcmp(text.data, "<0x", 3) == 0 && hex_digit(text.data[3]) >= 0 &&
        hex_digit(text.data[4]) >= 0) {
        out[0] = (char)(hex_digit(text.data[3]) << 4 | hex_digit(text.data[4]));
        return 1;
    }
    memcpy(out, text.data, text.len);
    return text.len;
}

/* Never longer than the text itself. */
static size_t write_piece(const struct sl_tokenizer *tokenizer, const int16_t bytes[512],
                          uint32_t id, char *out)
{
    struct sl_slice text = sl_vocab_text(tokenizer, (int32_t)id);
    switch (tokenizer->types[id]) {
    case SL_TOKEN_BYTE:
        return decode_byte_token(text, out);
    case SL_TOKEN_NORMAL:
        if (tokenizer->escapes_spaces)
            return unescape_spaces(text, out);
        return decode_bytes(bytes, text, out);
    case SL_TOKEN_UNKNOWN:
    case SL_TOKEN_CONTROL:
    case SL_TOKEN_USER_DEFINED:
        memcpy(out, text.data, text.len);
        return text.len;
    default: /* unused or of no known type: nothing to show */
        return 0;
    }
}

enum sl_err sl_pieces_build(struct sl_tokenizer *tokenizer, struct sl_error *error)
{
    int16_t bytes[512];
    for (unsigned codepoint = 0; codepoint < 512; codepoint++)
        bytes[codepoint] = (int16_t)sl_codepoint_byte(codepoint);
    size_t room = 1;
    for (uint32_t id = 0; id < tokenizer->vocab_size; id++)
        room += sl_vocab_text(tokenizer, (int32_t)id).len;
    tokenizer->pieces = malloc(room);
    tokenizer->piece_offsets =
        calloc((size_t)tokenizer->vocab_size + 1, sizeof *tokenizer->piece_offsets);
    if (tokenizer->pieces == NULL || tokenizer->piece_offsets == NULL || room > UINT32_MAX)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    uint32_t at = 0;
    for (uint32_t id = 0; id < tokenizer->vocab_size; id++) {
        tokenizer->piece_offsets[id] = at;
        at += (uint32_t)write_piece(tokenizer, bytes, id, tokenizer->pieces + at);
    }
    tokenizer->piece_offsets[tokenizer->vocab_size] = at;
    char *fitted = realloc(tokenizer->pieces, (size_t)at + 1);
    if (fitted != NULL)
        tokenizer->pieces = fitted;
    return SL_OK;
}
