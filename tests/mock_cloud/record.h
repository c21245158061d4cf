/* SPDX-License-Identifier: Apache-2.0
 *
 * Every byte that a client sent, for tests that search it for what must not have left the box: a
 * file, and a log that can be asked for over HTTP. Threads: any.
 */
#ifndef MOCK_RECORD_H
#define MOCK_RECORD_H

#include "sluice/buf.h"

#include <jansson.h>

struct mock_record;

/* `path` NULL: no file. NULL where the file cannot be made. */
struct mock_record *mock_record_open(const char *path);
void mock_record_close(struct mock_record *record);
/* `head` is the request line and the headers, one a line. */
void mock_record_add(struct mock_record *record, struct sl_slice head, struct sl_slice body,
                     const char *model);
/* {"count":N,"requests":[{"at_ms","model","head","body"}]}; the caller owns it. `count` counts all,
 * the list holds the newest. */
json_t *mock_record_json(struct mock_record *record);
void mock_record_reset(struct mock_record *record); /* the log; the file keeps all */

#endif
