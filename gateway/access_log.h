/* SPDX-License-Identifier: Apache-2.0
 *
 * The access log: one line a request, written at its death. Never a prompt, an answer or a personal
 * value: names, numbers and words of closed lists.
 *
 * Lines are collected and written by a thread of the log's own, at most 200 ms later or when half
 * the buffer is full, so that a cache hit does not pay for a system call. A buffer that is full
 * because the disk is stuck drops lines and counts them in `sluice_access_log_dropped_total`.
 *
 * Threads: any.
 */
#ifndef SLUICE_GATEWAY_ACCESS_LOG_H
#define SLUICE_GATEWAY_ACCESS_LOG_H

#include "sluice/request.h"

struct sl_access_log;

/* `path`: a file to append to, or "-" for standard error. Errors: SL_ERR_IO, SL_ERR_MEMORY. */
enum sl_err sl_access_log_open(const char *path, bool is_json, struct sl_access_log **out,
                               struct sl_error *error) SL_MUST_CHECK;
/* Writes what is left. NULL is fine. */
void sl_access_log_close(struct sl_access_log *log);
/* Opens the file anew (log rotation). */
void sl_access_log_reopen(struct sl_access_log *log);
void sl_access_log_write(struct sl_access_log *log, const struct sl_request *req);

/* The line itself, for tests. `now_ms` is wall time, `now_ns` monotonic. */
enum sl_err sl_access_line(const struct sl_request *req, bool is_json, int64_t now_ms,
                           uint64_t now_ns, struct sl_buf *out) SL_MUST_CHECK;

#endif
