/* SPDX-License-Identifier: Apache-2.0
 *
 * What the simulator shall do with a request, said by the model's name: "mock-" and parts joined by
 * '+', e.g. "mock-429-once+retry-after-2" or "mock-words-60+cut-40". A name that does not begin
 * with "mock-" gives the plain answer.
 *
 *   answers    echo             the last user message again (so placeholders come back)
 *              canned           says that it is a simulation, then echoes
 *              words-N          word1 word2 ... wordN (60 with a fault that counts tokens)
 *              clock-N          N tokens, each the monotonic nanoseconds at which it was written
 *              say-HEX          the text of these bytes
 *              tool             calls the first tool of the request with {"query": <echo>}
 *              refusal          finish_reason content_filter
 *              length           finish_reason length
 *   pieces     split-N          content in pieces of N bytes (never inside a character)
 *              cutat-N          content in two pieces, the first of N bytes
 *              wire-N           the stream's bytes in writes of N bytes
 *              crlf             lines end with CR LF
 *   times      slow-first-T     head at once, first token after T (20s, 1500ms)
 *              token-T          T between tokens
 *              slow-head-T      nothing at all for T, then a normal answer
 *   faults     NNN              that HTTP status (400 to 599)
 *              retry-after-S    with this header; retry-after-ms-N
 *              context-length, content-policy, bad-key, quota, html (an error page in HTML)
 *              quote            the error's message quotes the last user message
 *              reset            TCP reset before the head
 *              silent           reads the request and never answers
 *              cut-N            the connection dies after N tokens
 *              end-N            the stream ends cleanly after N tokens, without finish_reason
 *              stall-N          silence after N tokens
 *              error-N          an error event after N tokens
 *              malformed, malformed-N   a broken event after N (default 2) tokens
 *              broken-N         N broken events before the first token
 *              no-done          no [DONE]; open: nor is the connection closed
 *              no-usage         no usage
 *              no-prefill       400 where the last message is the assistant's
 *              no-stream        400 where a stream is asked for
 *              garbage          200 with a body that is no answer
 *   how often  once, times-N    the first N requests with this model name only, then echo;
 *              also as an ending: 500-once
 */
#ifndef MOCK_SCENARIO_H
#define MOCK_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

#define MOCK_NEVER (-1)

#define MOCK_SAY_BYTES 160

enum mock_answer { MOCK_ECHO, MOCK_CANNED, MOCK_WORDS, MOCK_CLOCK, MOCK_TOOL, MOCK_SAY };

struct mock_scenario {
    enum mock_answer answer;
    int words;
    char said[MOCK_SAY_BYTES]; /* MOCK_SAY */
    int clocks;
    const char *finish_reason;
    int split_bytes; /* 0: by words */
    int cut_at_bytes;
    int wire_bytes;
    bool is_crlf;
    int first_token_ms;
    int token_ms;
    int head_ms;

    int status; /* 0: 200 */
    int retry_after_s;
    int retry_after_ms;
    const char *error_type; /* of the error body, with its code and message; NULL: by status */
    const char *error_code;
    const char *error_message;
    bool quotes_user;
    bool is_html;
    bool is_reset;
    bool is_silent;
    bool is_garbage;
    int cut_tokens;
    int end_tokens;
    int stall_tokens;
    int error_tokens;
    int malformed_tokens;
    bool has_no_done;
    bool stays_open;
    bool has_no_usage;
    bool refuses_prefill;
    bool refuses_stream;
    int malformed_count;
    int times; /* MOCK_NEVER: always */
};

/* False where a part is unknown. */
bool mock_scenario_parse(const char *model, enum mock_answer plain, struct mock_scenario *out);

#endif
