/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: the file of rows that shadow mode leaves for the next `sluice calibrate`.
 *
 *     struct sl_shadow_rows *rows = sl_shadow_rows_create("DATA/shadow.jsonl");
 *     err = sl_shadow_rows_append(rows, row, &error);
 *     sl_shadow_rows_free(rows);
 *
 *     sluice calibrate --model M --data DATA/shadow.jsonl,labelled.jsonl
 *
 * A row is one that calibrate.h describes, and what may help to judge it: {"id", "time_ms",
 * "messages", "answer", "agrees", "score", "model", "policy"}. It lies on the disk sealed, as
 * cached answers do: a line is {"sealed":"HEX"}, AES-256-GCM under the key in `shadow.key` beside
 * the file, which is made with it (mode 0600). Without the key the file says nothing.
 *
 * Threads: one owner; reading needs no lock.
 */
#ifndef SLUICE_ROUTER_SHADOW_ROWS_H
#define SLUICE_ROUTER_SHADOW_ROWS_H

#include "sluice/crypto.h"
#include "sluice/err.h"

#include <jansson.h>
#include <stdbool.h>

struct sl_shadow_rows;

/* Copies the path. Nothing is made before the first row. NULL: out of memory. */
struct sl_shadow_rows *sl_shadow_rows_create(const char *path);
void sl_shadow_rows_free(struct sl_shadow_rows *rows); /* NULL is fine */
/* Seals and appends; makes file and key where there are none, and takes out a line that a crash cut
 * before. The row is in the file whole or not at all. A file past SL_SHADOW_FILE_MAX becomes
 * PATH.old, in place of the one before. Errors: SL_ERR_IO, SL_ERR_FORBIDDEN (a key file that others
 * may read), SL_ERR_INTEGRITY (one that is none), SL_ERR_LIMIT (a row longer than calibrate reads, a
 * path too long), SL_ERR_MEMORY. */
enum sl_err sl_shadow_rows_append(struct sl_shadow_rows *rows, const json_t *row,
                                  struct sl_error *error) SL_MUST_CHECK;
#define SL_SHADOW_FILE_MAX (64u << 20) /* some ten thousand requests: more than a fit needs */

/* ---- reading ---- */

/* The key that lies beside `path`, to be freed. NULL: there is none that can be read; *error, which
 * may be NULL, says why. */
struct sl_cipher *sl_shadow_rows_key(const char *path, struct sl_error *error);
bool sl_shadow_row_is_sealed(const json_t *line);
/* A new reference. NULL: another key, or damaged. */
json_t *sl_shadow_row_unseal(const struct sl_cipher *cipher, const json_t *line);

#endif
