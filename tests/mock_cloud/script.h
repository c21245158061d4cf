/* SPDX-License-Identifier: Apache-2.0
 *
 * A response as a list of steps, ready to be played to a socket.
 */
#ifndef MOCK_SCRIPT_H
#define MOCK_SCRIPT_H

#include "sluice/buf.h"

enum mock_step_kind {
    MOCK_WRITE,
    MOCK_SLEEP, /* until the time passed or the client left */
    MOCK_CUT    /* the connection dies */
};

struct mock_step {
    enum mock_step_kind kind;
    char *bytes;
    size_t len;
    int ms;
    size_t clock_at; /* MOCK_WRITE: where MOCK_CLOCK_DIGITS digits become the time of the write, in
                      * monotonic nanoseconds; 0: nowhere */
};

#define MOCK_CLOCK_DIGITS 20

#define MOCK_FOREVER_MS (3600 * 1000)

struct mock_script {
    int status;
    const char *content_type;
    char retry_after[24];    /* "": no header */
    char retry_after_ms[24]; /* "": no header */
    bool is_streamed;        /* chunked; else with a Content-Length */
    bool is_reset;           /* no response: TCP reset */
    int head_ms;             /* before the response begins */
    struct mock_step *steps;
    size_t step_count;
};

/* Copies. Out of memory ends the program: it is a test's tool. */
void mock_script_write(struct mock_script *script, struct sl_slice bytes);
void mock_script_sleep(struct mock_script *script, int ms);
void mock_script_cut(struct mock_script *script);
/* Joins all writes and plays them again in pieces of `piece_bytes`. */
void mock_script_repiece(struct mock_script *script, size_t piece_bytes);
void mock_script_clear(struct mock_script *script);

#endif
