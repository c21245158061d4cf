/* SPDX-License-Identifier: Apache-2.0
 *
 * The record of record.h. The file is written before the request is answered, so whoever has the
 * answer may search it.
 */
#include "record.h"

#include "sluice/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define LOG_REQUESTS_MAX 2000 /* the newest; a soak must not eat the box */

struct mock_record {
    pthread_mutex_t lock; /* guards all below */
    int fd;
    json_t *requests;
    json_int_t count;
};

struct mock_record *mock_record_open(const char *path)
{
    struct mock_record *record = calloc(1, sizeof *record);
    if (record == NULL)
        return NULL;
    pthread_mutex_init(&record->lock, NULL);
    record->requests = json_array();
    record->fd = -1;
    if (path != NULL) {
        record->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (record->fd < 0) {
            mock_record_close(record);
            return NULL;
        }
    }
    return record;
}

void mock_record_close(struct mock_record *record)
{
    if (record == NULL)
        return;
    if (record->fd >= 0)
        close(record->fd);
    json_decref(record->requests);
    pthread_mutex_destroy(&record->lock);
    free(record);
}

static void write_all(int fd, struct sl_slice bytes)
{
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.data, bytes.len);
        if (written <= 0) {
            perror("sluice-mock-cloud: record");
            abort(); /* a record with holes would let a privacy test pass */
        }
        bytes = (struct sl_slice){bytes.data + written, bytes.len - (size_t)written};
    }
}

/* Bytes that are no UTF-8 cannot be JSON text: they are said to be there, and are in the file. */
static json_t *text_of(struct sl_slice bytes)
{
    json_t *text = json_stringn(bytes.data != NULL ? bytes.data : "", bytes.len);
    return text != NULL ? text : json_string("(not UTF-8)");
}

void mock_record_add(struct mock_record *record, struct sl_slice head, struct sl_slice body,
                     const char *model)
{
    pthread_mutex_lock(&record->lock);
    record->count++;
    if (record->fd >= 0) {
        write_all(record->fd, head);
        write_all(record->fd, SL_SLICE("\n"));
        write_all(record->fd, body);
        write_all(record->fd, SL_SLICE("\n\n"));
    }
    json_array_append_new(record->requests,
                          json_pack("{s:I,s:s,s:o,s:o}", "at_ms", (json_int_t)sl_monotonic_ms(),
                                    "model", model, "head", text_of(head), "body", text_of(body)));
    if (json_array_size(record->requests) > LOG_REQUESTS_MAX)
        json_array_remove(record->requests, 0);
    pthread_mutex_unlock(&record->lock);
}

json_t *mock_record_json(struct mock_record *record)
{
    pthread_mutex_lock(&record->lock);
    json_t *copy = json_pack("{s:I,s:o}", "count", record->count, "requests",
                             json_deep_copy(record->requests));
    pthread_mutex_unlock(&record->lock);
    return copy;
}

void mock_record_reset(struct mock_record *record)
{
    pthread_mutex_lock(&record->lock);
    json_array_clear(record->requests);
    record->count = 0;
    pthread_mutex_unlock(&record->lock);
}
