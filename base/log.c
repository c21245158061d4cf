/* SPDX-License-Identifier: Apache-2.0
 *
 * The log writer. A line is built on the stack and written with one call, so lines of several
 * threads do not mix. A reader that went away is not worth a crash: write errors are ignored.
 */
#include "sluice/log.h"

#include "sluice/buf.h"

#include <stdio.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LOG_MESSAGE_MAX 1024 /* a line that a terminal still shows; longer ones are cut */

static struct {
    int fd;
    enum sl_log_level level_min;
    bool is_json;
} log_state = {.fd = STDERR_FILENO, .level_min = SL_LOG_LEVEL_INFO};

void sl_log_configure(int fd, enum sl_log_level level_min, bool is_json)
{
    log_state.fd = fd;
    log_state.level_min = level_min;
    log_state.is_json = is_json;
}

bool sl_log_enabled(enum sl_log_level level) { return level >= log_state.level_min; }

static void format_time(char *out, size_t size)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t len = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out + len, size - len, ".%03ldZ", now.tv_nsec / 1000000);
}

void sl_log_line(struct sl_slice line)
{
    struct iovec parts[2] = {
        {.iov_base = (void *)(size_t)(const void *)line.data, .iov_len = line.len},
        {.iov_base = (char[]){'\n'}, .iov_len = 1},
    };
    ssize_t ignored = writev(log_state.fd, parts, 2);
    (void)ignored;
}

/* A message may carry a file name with a line feed in it: in text form that would forge a line. */
static void flatten(char *message, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)message[i] < 0x20 || message[i] == 0x7F)
            message[i] = ' ';
}

void sl_log(enum sl_log_level level, const char *component, const char *format, ...)
{
    static const char *const level_name[] = {"debug", "info", "warn", "error"};
    if (!sl_log_enabled(level))
        return;
    char message[LOG_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    int wrote = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    size_t len = wrote < 0 ? 0 : (size_t)wrote < sizeof message ? (size_t)wrote : sizeof message - 1;
    char when[40];
    format_time(when, sizeof when);
    struct sl_buf line;
    sl_buf_init(&line, 8 * LOG_MESSAGE_MAX);
    enum sl_err err;
    if (log_state.is_json) {
        err = sl_buf_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"component\":\"%s\",\"message\":",
                            when, level_name[level], component);
        if (err == SL_OK)
            err = sl_buf_append_json(&line, (struct sl_slice){message, len});
        if (err == SL_OK)
            err = sl_buf_append_char(&line, '}');
    } else {
        flatten(message, len);
        err = sl_buf_printf(&line, "%s %-5s %s: %s", when, level_name[level], component, message);
    }
    if (err == SL_OK)
        sl_log_line(sl_buf_slice(&line));
    sl_buf_clear(&line);
}
