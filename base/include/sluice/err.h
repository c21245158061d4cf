/* SPDX-License-Identifier: Apache-2.0
 *
 * Operating errors are values. `enum sl_err` says which kind; `struct sl_error` adds the sentence
 * that names what was wrong, where, and what was expected. Outcomes that are no failure ("not
 * found in the cache", "would block") are not errors and have enums of their own.
 *
 *     struct sl_error error = {0};
 *     if (sl_gguf_open(path, &gguf, &error) != SL_OK)
 *         fprintf(stderr, "%s\n", error.message);
 *
 * Threads: everything here may be called from any thread; a `struct sl_error` belongs to its caller.
 */
#ifndef SLUICE_ERR_H
#define SLUICE_ERR_H

#include <stdbool.h>
#include <stddef.h>

#define SL_MUST_CHECK __attribute__((warn_unused_result))
#define SL_PRINTF(format_idx, first_idx) __attribute__((format(printf, format_idx, first_idx)))

enum sl_err {
    SL_OK = 0,
#define X(symbol, status, type, code, retryable, sentence) SL_ERR_##symbol,
#include "sluice/err.def"
#undef X
    SL_ERR_COUNT
};

#define SL_ERROR_MESSAGE_MAX 512 /* long enough for path + field + expectation on one line */

/* One failure, ready for a person. Allocated by the caller, zeroed before use. */
struct sl_error {
    enum sl_err code;
    char param[96];                     /* the field that was wrong, as a JSON path; "" if none */
    char message[SL_ERROR_MESSAGE_MAX]; /* never holds prompt or answer text */
};

/* Properties of an error, from the table. `code` must be a value of the enum. */
int sl_err_http_status(enum sl_err code);
const char *sl_err_type(enum sl_err code);     /* OpenAI "type" */
const char *sl_err_code(enum sl_err code);     /* stable word; metric label */
const char *sl_err_sentence(enum sl_err code); /* for a person */
bool sl_err_is_retryable(enum sl_err code);

/* Fills *error (NULL is allowed) and returns `code`, so that `return sl_error_set(...)` reads well.
 * A message that is too long is cut at a UTF-8 boundary. NULL format takes the table's sentence. */
enum sl_err sl_error_set(struct sl_error *error, enum sl_err code, const char *format, ...)
    SL_PRINTF(3, 4);

/* The same with the path of the field at fault. */
enum sl_err sl_error_set_param(struct sl_error *error, enum sl_err code, const char *param,
                               const char *format, ...) SL_PRINTF(4, 5);

#endif
