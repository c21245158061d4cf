/* SPDX-License-Identifier: Apache-2.0
 *
 * The log: one line an event, on standard error by default, as text for people or JSON for
 * collectors. Never prompt or answer text, never a personal value, never a secret: callers log
 * counts, sizes, names of fields and error words.
 *
 *     SL_LOG_WARN("cache", "store turned off: %s", error.message);
 *
 * Threads: any; a line is written with one write().
 */
#ifndef SLUICE_LOG_H
#define SLUICE_LOG_H

#include "sluice/err.h"
#include "sluice/slice.h"

enum sl_log_level { SL_LOG_LEVEL_DEBUG, SL_LOG_LEVEL_INFO, SL_LOG_LEVEL_WARN, SL_LOG_LEVEL_ERROR };

/* Set once at start, before other threads log. `fd` is borrowed. */
void sl_log_configure(int fd, enum sl_log_level level_min, bool is_json);
bool sl_log_enabled(enum sl_log_level level);
void sl_log(enum sl_log_level level, const char *component, const char *format, ...)
    SL_PRINTF(3, 4);
/* Writes one ready line (the access line); adds the newline. */
void sl_log_line(struct sl_slice line);

#define SL_LOG_DEBUG(component, ...) sl_log(SL_LOG_LEVEL_DEBUG, component, __VA_ARGS__)
#define SL_LOG_INFO(component, ...) sl_log(SL_LOG_LEVEL_INFO, component, __VA_ARGS__)
#define SL_LOG_WARN(component, ...) sl_log(SL_LOG_LEVEL_WARN, component, __VA_ARGS__)
#define SL_LOG_ERROR(component, ...) sl_log(SL_LOG_LEVEL_ERROR, component, __VA_ARGS__)

#endif
