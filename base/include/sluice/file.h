/* SPDX-License-Identifier: Apache-2.0
 *
 * Small files that are there whole or not at all: keys and tables that a crash must not halve.
 *
 *     err = sl_file_replace("DATA/keys.json", text, &error);  // a reader sees the old or the new
 *     err = sl_file_create("DATA/cache.key", text, &error);   // SL_ERR_CONFLICT: there is one
 *
 * Both write a file of mode 0600 beside `path`, sync it, put it in place and sync the folder: when
 * they return, the bytes are on the disk. Errors: SL_ERR_IO, with the path; nothing is left behind
 * then. Threads and processes: any number, of which one wins.
 */
#ifndef SLUICE_FILE_H
#define SLUICE_FILE_H

#include "sluice/err.h"
#include "sluice/slice.h"

enum sl_err sl_file_replace(const char *path, struct sl_slice bytes,
                            struct sl_error *error) SL_MUST_CHECK;
/* SL_ERR_CONFLICT where there is a file already, which stays as it is. */
enum sl_err sl_file_create(const char *path, struct sl_slice bytes,
                           struct sl_error *error) SL_MUST_CHECK;

#endif
