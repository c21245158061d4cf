/* SPDX-License-Identifier: Apache-2.0
 *
 * Growing text with a cap. A buffer never holds more than `len_max` bytes: what would pass it is
 * refused whole and the buffer keeps what it had. `data` is always followed by a NUL (not counted)
 * once anything was appended, so it can be handed to C functions.
 *
 *     struct sl_buf buf;
 *     sl_buf_init(&buf, 4096);
 *     if (sl_buf_printf(&buf, "%d items", 3) != SL_OK) ...
 *     sl_buf_clear(&buf);
 *
 * Threads: one owner at a time. Ownership: the buffer owns `data`; `sl_buf_take` gives it away.
 */
#ifndef SLUICE_BUF_H
#define SLUICE_BUF_H

#include "sluice/err.h"
#include "sluice/slice.h"

#include <stdarg.h>
#include <stdint.h>

struct sl_buf {
    char *data;
    size_t len;
    size_t capacity;
    size_t len_max;
};

void sl_buf_init(struct sl_buf *buf, size_t len_max);
/* Frees the memory; the cap stays, so the buffer can be used again. NULL or zeroed is fine. */
void sl_buf_clear(struct sl_buf *buf);
/* As clear, but overwrites the contents first: for text that must not stay in freed memory. */
void sl_buf_wipe(struct sl_buf *buf);
/* Sets the length to zero and keeps the memory. */
void sl_buf_reset(struct sl_buf *buf);

/* Errors: SL_ERR_LIMIT past the cap, SL_ERR_MEMORY. */
enum sl_err sl_buf_reserve(struct sl_buf *buf, size_t extra) SL_MUST_CHECK;
enum sl_err sl_buf_append(struct sl_buf *buf, const void *data, size_t len) SL_MUST_CHECK;
enum sl_err sl_buf_append_slice(struct sl_buf *buf, struct sl_slice slice) SL_MUST_CHECK;
enum sl_err sl_buf_append_text(struct sl_buf *buf, const char *text) SL_MUST_CHECK;
enum sl_err sl_buf_append_char(struct sl_buf *buf, char c) SL_MUST_CHECK;
enum sl_err sl_buf_printf(struct sl_buf *buf, const char *format, ...) SL_MUST_CHECK SL_PRINTF(2, 3);
enum sl_err sl_buf_vprintf(struct sl_buf *buf, const char *format, va_list args) SL_MUST_CHECK;
/* Appends `text` as a JSON string, with the quotes; invalid UTF-8 becomes U+FFFD (RFC 8259). */
enum sl_err sl_buf_append_json(struct sl_buf *buf, struct sl_slice text) SL_MUST_CHECK;

/* Removes `len` bytes (at most what is there) from the front. */
void sl_buf_consume(struct sl_buf *buf, size_t len);

static inline struct sl_slice sl_buf_slice(const struct sl_buf *buf)
{
    return (struct sl_slice){buf->data, buf->len};
}

/* Gives the memory to the caller (free() it); the buffer is empty afterwards. NULL if empty. */
char *sl_buf_take(struct sl_buf *buf, size_t *len_out);

#endif
