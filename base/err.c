/* SPDX-License-Identifier: Apache-2.0
 *
 * The error table made into look-ups. Immutable data; any thread.
 */
#include "sluice/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct err_row {
    int http_status;
    const char *type;
    const char *code;
    bool is_retryable;
    const char *sentence;
};

static const struct err_row err_table[SL_ERR_COUNT] = {
    [SL_OK] = {200, "", "ok", false, "fine"},
#define X(symbol, status, type, code, retryable, sentence)                                        \
    [SL_ERR_##symbol] = {status, type, code, retryable, sentence},
#include "sluice/err.def"
#undef X
};

static const struct err_row *err_row(enum sl_err code)
{
    assert((unsigned)code < SL_ERR_COUNT);
    return &err_table[code];
}

int sl_err_http_status(enum sl_err code) { return err_row(code)->http_status; }
const char *sl_err_type(enum sl_err code) { return err_row(code)->type; }
const char *sl_err_code(enum sl_err code) { return err_row(code)->code; }
const char *sl_err_sentence(enum sl_err code) { return err_row(code)->sentence; }
bool sl_err_is_retryable(enum sl_err code) { return err_row(code)->is_retryable; }

/* Drops the bytes of a UTF-8 sequence that vsnprintf cut in the middle. */
static void trim_partial_utf8(char *text)
{
    size_t len = strlen(text);
    size_t start = len;
    while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (need > len - start + 1)
        text[start - 1] = '\0';
}

static void error_format(struct sl_error *error, enum sl_err code, const char *format, va_list args)
{
    error->code = code;
    error->param[0] = '\0';
    if (format == NULL) {
        snprintf(error->message, sizeof error->message, "%s", sl_err_sentence(code));
        return;
    }
    int wrote = vsnprintf(error->message, sizeof error->message, format, args);
    if (wrote >= (int)sizeof error->message)
        trim_partial_utf8(error->message);
}

enum sl_err sl_error_set(struct sl_error *error, enum sl_err code, const char *format, ...)
{
    if (error != NULL) {
        va_list args;
        va_start(args, format);
        error_format(error, code, format, args);
        va_end(args);
    }
    return code;
}

enum sl_err sl_error_set_param(struct sl_error *error, enum sl_err code, const char *param,
                               const char *format, ...)
{
    if (error != NULL) {
        va_list args;
        va_start(args, format);
        error_format(error, code, format, args);
        va_end(args);
        snprintf(error->param, sizeof error->param, "%s", param != NULL ? param : "");
    }
    return code;
}
