/* SPDX-License-Identifier: Apache-2.0
 *
 * The egress ledger: one line of JSON per request that left the box. Owns the file's form and its
 * reader. A line holds types, counts, sizes and a policy hash; there is no field for text.
 *
 * Appending is one write(2) on a descriptor opened with O_APPEND, so lines of several threads or
 * processes do not mix. The file is not synced: after a power cut the last lines may be missing,
 * which a reader sees as a cut line and skips. A line behind one that was cut (by a crash, or by a
 * full disk) begins with the newline that is missing there, so that no other is lost with it.
 */
#include "sluice/pii.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 16384u

struct sl_pii_ledger {
    int file;
    atomic_bool is_cut; /* the file does not end in a newline */
};

static bool ends_in_a_cut_line(int file)
{
    char last = '\n';
    off_t end = lseek(file, 0, SEEK_END);
    return end > 0 && pread(file, &last, 1, end - 1) == 1 && last != '\n';
}

enum sl_err sl_pii_ledger_open(const char *path, struct sl_pii_ledger **out, struct sl_error *error)
{
    struct sl_pii_ledger *ledger = calloc(1, sizeof *ledger);

    *out = NULL;
    if (ledger == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    ledger->file = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (ledger->file < 0) {
        free(ledger);
        return sl_error_set(error, SL_ERR_IO, "%s: %s", path, strerror(errno));
    }
    atomic_init(&ledger->is_cut, ends_in_a_cut_line(ledger->file));
    *out = ledger;
    return SL_OK;
}

void sl_pii_ledger_close(struct sl_pii_ledger *ledger)
{
    if (ledger == NULL)
        return;
    close(ledger->file);
    free(ledger);
}

static enum sl_err put_field(struct sl_buf *line, const char *name, struct sl_slice value)
{
    enum sl_err err;
    if (value.len == 0)
        return SL_OK;
    err = sl_buf_printf(line, ",\"%s\":", name);
    return err == SL_OK ? sl_buf_append_json(line, value) : err;
}

static enum sl_err put_counts(struct sl_buf *line, const struct sl_pii_detector *detector,
                              const struct sl_pii_report *report)
{
    enum sl_err err = sl_buf_append_text(line, ",\"pii\":{");
    const char *comma = "";
    for (unsigned kind = 0;
         err == SL_OK && report != NULL && kind < sl_pii_detector_kind_count(detector); kind++) {
        if (report->counts[kind] == 0)
            continue;
        err = sl_buf_printf(line, "%s\"%s\":%u", comma, sl_pii_detector_word(detector, kind),
                            report->counts[kind]);
        comma = ",";
    }
    return err == SL_OK ? sl_buf_append_text(line, "}}\n") : err;
}

static enum sl_err put_time(struct sl_buf *line, int64_t time_ms)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    return sl_buf_printf(line, "\n{\"time\":\"%s.%03dZ\",\"time_ms\":%" PRId64, text,
                         (int)(time_ms % 1000), time_ms);
}

/* `line` begins with a newline, which is left out where the file ends in one. */
static enum sl_err write_line(struct sl_pii_ledger *ledger, const struct sl_buf *line,
                              struct sl_error *error)
{
    bool was_cut = atomic_exchange(&ledger->is_cut, false);
    const char *data = line->data + (was_cut ? 0 : 1);
    ssize_t written, len = (ssize_t)line->len - (was_cut ? 0 : 1);
    do
        written = write(ledger->file, data, (size_t)len);
    while (written < 0 && errno == EINTR);
    if (written == len)
        return SL_OK;
    if (was_cut || written > 0)
        atomic_store(&ledger->is_cut, true);
    return sl_error_set(error, SL_ERR_IO, "the egress ledger could not be written: %s",
                        written < 0 ? strerror(errno) : "the disk is full");
}

enum sl_err sl_pii_ledger_append(struct sl_pii_ledger *ledger,
                                 const struct sl_pii_detector *detector,
                                 const struct sl_pii_ledger_entry *entry, struct sl_error *error)
{
    struct sl_buf line;
    enum sl_err err;

    sl_buf_init(&line, LINE_BYTES_MAX);
    err = put_time(&line, entry->time_ms);
    if (err == SL_OK)
        err = put_field(&line, "request_id", entry->request_id);
    if (err == SL_OK)
        err = put_field(&line, "app", entry->app);
    if (err == SL_OK)
        err = put_field(&line, "provider", entry->provider);
    if (err == SL_OK)
        err = put_field(&line, "model", entry->model);
    if (err == SL_OK)
        err = put_field(&line, "policy", entry->policy_hash);
    if (err == SL_OK)
        err = sl_buf_printf(&line, ",\"bytes\":%" PRIu64, entry->bytes);
    if (err == SL_OK)
        err = put_counts(&line, detector, entry->report);
    if (err == SL_OK)
        err = write_line(ledger, &line, error);
    else
        sl_error_set(error, err, "the line for the egress ledger could not be made");
    sl_buf_clear(&line);
    return err;
}

/* ---- reading ------------------------------------------------------------------------------- */

struct totals {
    uint64_t requests, bytes, skipped;
    json_t *kinds; /* word -> count */
};

static bool is_wanted(const json_t *row, const struct sl_pii_ledger_query *query)
{
    int64_t time_ms = json_integer_value(json_object_get(row, "time_ms"));
    const char *app = json_string_value(json_object_get(row, "app"));
    const char *provider = json_string_value(json_object_get(row, "provider"));

    return (query->since_ms == 0 || time_ms >= query->since_ms) &&
           (query->until_ms == 0 || time_ms < query->until_ms) &&
           (query->app == NULL || (app != NULL && strcmp(app, query->app) == 0)) &&
           (query->provider == NULL ||
            (provider != NULL && strcmp(provider, query->provider) == 0));
}

static const char *text_of(const json_t *row, const char *field)
{
    const char *text = json_string_value(json_object_get(row, field));
    return text != NULL ? text : "-";
}

static void print_row(const json_t *row, struct totals *totals, FILE *out)
{
    json_t *counts = json_object_get(row, "pii");
    json_int_t bytes = json_integer_value(json_object_get(row, "bytes"));
    const char *word;
    json_t *count;

    fprintf(out, "%-24s %-16.16s %-14.14s %-24.24s %9" JSON_INTEGER_FORMAT " ",
            text_of(row, "time"), text_of(row, "app"), text_of(row, "provider"),
            text_of(row, "model"), bytes);
    json_object_foreach(counts, word, count)
    {
        fprintf(out, " %s=%" JSON_INTEGER_FORMAT, word, json_integer_value(count));
        json_int_t sum = json_integer_value(json_object_get(totals->kinds, word));
        json_object_set_new(totals->kinds, word, json_integer(sum + json_integer_value(count)));
    }
    fputc('\n', out);
    totals->requests++;
    totals->bytes += (uint64_t)bytes;
}

static void print_totals(const struct totals *totals, FILE *out)
{
    const char *word;
    json_t *count;
    fprintf(out, "%" PRIu64 " requests, %" PRIu64 " bytes sent;", totals->requests, totals->bytes);
    json_object_foreach(totals->kinds, word, count)
        fprintf(out, " %s=%" JSON_INTEGER_FORMAT, word, json_integer_value(count));
    fputc('\n', out);
    if (totals->skipped > 0)
        fprintf(out, "%" PRIu64 " lines could not be read and were skipped\n", totals->skipped);
}

enum sl_err sl_pii_ledger_print(const char *path, const struct sl_pii_ledger_query *query,
                                FILE *out, struct sl_error *error)
{
    FILE *file = fopen(path, "re");
    struct totals totals = {.kinds = json_object()};
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    bool has_failed;

    if (file == NULL || totals.kinds == NULL) {
        int code = errno;
        json_decref(totals.kinds);
        if (file != NULL)
            fclose(file);
        return sl_error_set(error, code == ENOENT ? SL_ERR_NOT_FOUND : SL_ERR_IO, "%s: %s", path,
                            strerror(code));
    }
    if (!query->as_json)
        fprintf(out, "%-24s %-16s %-14s %-24s %9s  %s\n", "time", "app", "provider", "model",
                "bytes", "personal data");
    while ((len = getline(&line, &capacity, file)) > 0) {
        json_t *row = json_loadb(line, (size_t)len, 0, NULL);
        if (!json_is_object(row))
            totals.skipped++;
        else if (is_wanted(row, query)) {
            if (query->as_json)
                fwrite(line, 1, (size_t)len, out);
            else
                print_row(row, &totals, out);
        }
        json_decref(row);
    }
    if (!query->as_json)
        print_totals(&totals, out);
    has_failed = ferror(file) != 0 || ferror(out) != 0;
    free(line);
    json_decref(totals.kinds);
    fclose(file);
    return has_failed ? sl_error_set(error, SL_ERR_IO, "%s could not be read", path) : SL_OK;
}
