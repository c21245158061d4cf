/* SPDX-License-Identifier: Apache-2.0
 *
 * The capped buffer of buf.h. Grows by half, never past the cap plus the NUL.
 *
 * Invariants: 1. len <= len_max. 2. capacity == 0 or capacity > len. 3. data[len] == 0 if data.
 */
#include "sluice/buf.h"

#include "sluice/checked.h"
#include "sluice/secret.h"
#include "sluice/utf8.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST_CAPACITY 64 /* a short line; most buffers grow past it once or twice */

void sl_buf_init(struct sl_buf *buf, size_t len_max)
{
    *buf = (struct sl_buf){.len_max = len_max};
}

void sl_buf_clear(struct sl_buf *buf)
{
    if (buf == NULL)
        return;
    free(buf->data);
    buf->data = NULL;
    buf->len = buf->capacity = 0;
}

void sl_buf_wipe(struct sl_buf *buf)
{
    if (buf == NULL)
        return;
    if (buf->data != NULL)
        sl_wipe(buf->data, buf->capacity);
    sl_buf_clear(buf);
}

void sl_buf_reset(struct sl_buf *buf)
{
    buf->len = 0;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

enum sl_err sl_buf_reserve(struct sl_buf *buf, size_t extra)
{
    size_t len;
    if (!sl_size_add(buf->len, extra, &len) || len > buf->len_max)
        return SL_ERR_LIMIT;
    if (len < buf->capacity)
        return SL_OK;
    size_t capacity = buf->capacity + buf->capacity / 2;
    if (capacity < BUF_FIRST_CAPACITY)
        capacity = BUF_FIRST_CAPACITY;
    if (capacity > buf->len_max)
        capacity = buf->len_max;
    if (capacity < len)
        capacity = len;
    if (!sl_size_add(capacity, 1, &capacity))
        return SL_ERR_LIMIT;
    char *data = malloc(capacity);
    if (data == NULL)
        return SL_ERR_MEMORY;
    if (buf->data != NULL) { /* not realloc: it would leave the old text in freed memory */
        memcpy(data, buf->data, buf->len);
        sl_wipe(buf->data, buf->capacity);
        free(buf->data);
    }
    buf->data = data;
    buf->capacity = capacity;
    data[buf->len] = '\0';
    return SL_OK;
}

enum sl_err sl_buf_append(struct sl_buf *buf, const void *data, size_t len)
{
    enum sl_err err = sl_buf_reserve(buf, len);
    if (err != SL_OK)
        return err;
    if (len > 0)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return SL_OK;
}

enum sl_err sl_buf_append_slice(struct sl_buf *buf, struct sl_slice slice)
{
    return sl_buf_append(buf, slice.data, slice.len);
}

enum sl_err sl_buf_append_text(struct sl_buf *buf, const char *text)
{
    return sl_buf_append(buf, text, strlen(text));
}

enum sl_err sl_buf_append_char(struct sl_buf *buf, char c) { return sl_buf_append(buf, &c, 1); }

enum sl_err sl_buf_vprintf(struct sl_buf *buf, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    size_t room = buf->capacity > buf->len ? buf->capacity - buf->len : 0;
    int need = vsnprintf(room > 0 ? buf->data + buf->len : NULL, room, format, args);
    enum sl_err err = SL_OK;
    assert(need >= 0);
    if ((size_t)need >= room) {
        if (room > 0)
            buf->data[buf->len] = '\0';
        err = sl_buf_reserve(buf, (size_t)need);
        if (err == SL_OK)
            vsnprintf(buf->data + buf->len, (size_t)need + 1, format, again);
    } else if (buf->len + (size_t)need > buf->len_max) {
        buf->data[buf->len] = '\0';
        err = SL_ERR_LIMIT;
    }
    va_end(again);
    if (err == SL_OK)
        buf->len += (size_t)need;
    return err;
}

enum sl_err sl_buf_printf(struct sl_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum sl_err err = sl_buf_vprintf(buf, format, args);
    va_end(args);
    return err;
}

/* Writes the escape of one control, quote or backslash byte; returns its length. */
static size_t json_escape(unsigned char c, char out[8])
{
    static const char short_form[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; i + 1 < sizeof short_form; i += 2) {
        if ((unsigned char)short_form[i] == c) {
            out[0] = '\\';
            out[1] = short_form[i + 1];
            return 2;
        }
    }
    return (size_t)snprintf(out, 8, "\\u%04x", c);
}

enum sl_err sl_buf_append_json(struct sl_buf *buf, struct sl_slice text)
{
    size_t before = buf->len;
    enum sl_err err = sl_buf_append_char(buf, '"');
    size_t pos = 0;
    size_t plain = 0; /* start of the run that needs no escape */
    while (err == SL_OK && pos < text.len) {
        unsigned char c = (unsigned char)text.data[pos];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            pos++;
            continue;
        }
        size_t sequence = c >= 0x80 ? sl_utf8_sequence_len(text.data + pos, text.len - pos) : 0;
        if (sequence > 0) {
            pos += sequence;
            continue;
        }
        err = sl_buf_append(buf, text.data + plain, pos - plain);
        if (err == SL_OK && c >= 0x80) {
            err = sl_buf_append(buf, "\xEF\xBF\xBD", 3);
        } else if (err == SL_OK) {
            char escape[8];
            size_t len = json_escape(c, escape);
            err = sl_buf_append(buf, escape, len);
        }
        plain = ++pos;
    }
    if (err == SL_OK && pos > plain)
        err = sl_buf_append(buf, text.data + plain, pos - plain);
    if (err == SL_OK)
        err = sl_buf_append_char(buf, '"');
    if (err != SL_OK && buf->data != NULL) {
        buf->len = before;
        buf->data[before] = '\0';
    }
    return err;
}

void sl_buf_consume(struct sl_buf *buf, size_t len)
{
    if (len > buf->len)
        len = buf->len;
    if (len == 0)
        return;
    memmove(buf->data, buf->data + len, buf->len - len + 1);
    buf->len -= len;
}

char *sl_buf_take(struct sl_buf *buf, size_t *len_out)
{
    char *data = buf->data;
    if (len_out != NULL)
        *len_out = buf->len;
    buf->data = NULL;
    buf->len = buf->capacity = 0;
    return data;
}
