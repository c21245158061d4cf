/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice pii scan`: shows an operator what a policy would mask, and gives evaluation rows. Owns
 * the two output forms; the command line itself is the gateway's.
 *
 * This is the one place where values are printed: to the operator's own terminal, from the
 * operator's own file.
 */
#include "sluice/pii.h"

#include <errno.h>
#include <stdlib.h>

#define LINE_BYTES_MAX (64u << 20)

static int complain(FILE *err, const char *what, const struct sl_error *error)
{
    fprintf(err, "sluice pii scan: %s%s%s\n", what, error->message[0] != '\0' ? ": " : "",
            error->message);
    return 1;
}

static enum sl_err read_all(FILE *in, struct sl_buf *text)
{
    char block[65536];
    size_t len;
    enum sl_err err = SL_OK;
    while (err == SL_OK && (len = fread(block, 1, sizeof block, in)) > 0)
        err = sl_buf_append(text, block, len);
    return err == SL_OK && ferror(in) != 0 ? SL_ERR_IO : err;
}

static void print_finds(const struct sl_pii_detector *detector, struct sl_slice text,
                        const struct sl_pii_spans *spans, FILE *out)
{
    fprintf(out, "\n%-24s %-14s %6s  %10s  %s\n", "type", "action", "score", "bytes", "value");
    for (size_t i = 0; i < spans->count; i++) {
        const struct sl_pii_span *span = &spans->items[i];
        fprintf(
            out, "%-24s %-14s %6.2f  %5zu-%-5zu %.*s\n", sl_pii_detector_word(detector, span->kind),
            sl_pii_action_word(sl_pii_detector_action(detector, span->kind)), (double)span->score,
            span->start, span->end,
            SL_SLICE_ARG(((struct sl_slice){text.data + span->start, span->end - span->start})));
    }
    fprintf(out, "%zu found\n", spans->count);
}

static int scan_text(const struct sl_pii_detector *detector, FILE *in, FILE *out, FILE *err)
{
    struct sl_buf text;
    struct sl_buf scrubbed;
    struct sl_pii_spans spans = {0};
    struct sl_pii_report report;
    struct sl_error error = {0};
    struct sl_vault *vault = sl_vault_create();
    int status = 0;

    sl_buf_init(&text, LINE_BYTES_MAX);
    sl_buf_init(&scrubbed, SIZE_MAX / 2);
    if (vault == NULL || read_all(in, &text) != SL_OK)
        status = complain(err, "the input could not be read", &error);
    else if (sl_pii_scan(detector, sl_buf_slice(&text), &spans, &error) != SL_OK ||
             sl_pii_scrub_text(detector, sl_buf_slice(&text), vault, &scrubbed, &report, &error) !=
                 SL_OK)
        status = complain(err, "the text could not be checked", &error);
    else {
        if (report.verdict != SL_PII_VERDICT_SEND)
            fprintf(out, "%s: %s\n",
                    report.verdict == SL_PII_VERDICT_BLOCK ? "blocked" : "kept local",
                    sl_pii_detector_word(detector, report.verdict_kind));
        fwrite(scrubbed.data, 1, scrubbed.len, out);
        print_finds(detector, sl_buf_slice(&text), &spans, out);
    }
    sl_vault_free(vault);
    sl_pii_spans_clear(&spans);
    sl_buf_wipe(&text);
    sl_buf_wipe(&scrubbed);
    return status;
}

static enum sl_err put_span(const struct sl_pii_detector *detector, const struct sl_pii_span *span,
                            bool is_alternative, bool is_first, struct sl_buf *line)
{
    return sl_buf_printf(line, "%s{\"start\":%zu,\"end\":%zu,\"type\":\"%s\",\"score\":%.2f%s}",
                         is_first ? "" : ",", span->start, span->end,
                         sl_pii_detector_word(detector, span->kind), (double)span->score,
                         is_alternative ? ",\"alternative\":true" : "");
}

/* Other readings of exactly the same characters: nine digits may be a tax number of one country and
 * a company number of another. One of them decides what is done; the others are listed as well. */
static enum sl_err put_alternatives(const struct sl_pii_detector *detector,
                                    const struct sl_pii_span *span, const struct sl_pii_spans *all,
                                    struct sl_buf *line)
{
    bool seen[SL_PII_KINDS_MAX] = {false};
    enum sl_err err = SL_OK;
    seen[span->kind] = true;
    for (size_t i = 0; err == SL_OK && i < all->count; i++) {
        const struct sl_pii_span *other = &all->items[i];
        if (other->start != span->start || other->end != span->end || seen[other->kind])
            continue;
        seen[other->kind] = true;
        err = put_span(detector, other, true, false, line);
    }
    return err;
}

static enum sl_err put_row(const struct sl_pii_detector *detector, const char *id,
                           const struct sl_pii_spans *spans, const struct sl_pii_spans *all,
                           struct sl_buf *line)
{
    enum sl_err err = sl_buf_append_text(line, "{\"id\":");
    if (err == SL_OK)
        err = sl_buf_append_json(line, sl_slice_of(id));
    if (err == SL_OK)
        err = sl_buf_append_text(line, ",\"spans\":[");
    for (size_t i = 0; err == SL_OK && i < spans->count; i++) {
        err = put_span(detector, &spans->items[i], false, i == 0, line);
        if (err == SL_OK)
            err = put_alternatives(detector, &spans->items[i], all, line);
    }
    return err == SL_OK ? sl_buf_append_text(line, "]}\n") : err;
}

/* One row in, one row out; false ends the command. */
static bool scan_row(const struct sl_pii_detector *detector, const char *line, size_t len,
                     size_t number, FILE *out, FILE *err)
{
    struct sl_error error = {0};
    struct sl_pii_spans spans = {0};
    struct sl_pii_spans all = {0};
    struct sl_slice content;
    struct sl_buf buf;
    json_error_t where;
    json_t *row = json_loadb(line, len, JSON_ALLOW_NUL, &where);
    const json_t *text = json_object_get(row, "text");
    const json_t *id = json_object_get(row, "id");
    bool is_fine = false;

    content = (struct sl_slice){json_string_value(text), json_string_length(text)};
    sl_buf_init(&buf, SIZE_MAX / 2);
    if (!json_is_string(text) || !json_is_string(id)) {
        fprintf(err, "sluice pii scan: line %zu is no object with strings \"id\" and \"text\"\n",
                number);
    } else if (sl_pii_scan(detector, content, &spans, &error) != SL_OK ||
               sl_pii_scan_all(detector, content, &all, &error) != SL_OK ||
               put_row(detector, json_string_value(id), &spans, &all, &buf) != SL_OK) {
        fprintf(err, "sluice pii scan: line %zu: %s\n", number, error.message);
    } else {
        is_fine = fwrite(buf.data, 1, buf.len, out) == buf.len;
    }
    json_decref(row);
    sl_pii_spans_clear(&spans);
    sl_pii_spans_clear(&all);
    sl_buf_clear(&buf);
    return is_fine;
}

static int scan_rows(const struct sl_pii_detector *detector, FILE *in, FILE *out, FILE *err)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    size_t number = 0;
    int status = 0;

    while (status == 0 && (len = getline(&line, &capacity, in)) >= 0) {
        number++;
        if (len > 0 && line[0] != '\n' && !scan_row(detector, line, (size_t)len, number, out, err))
            status = 1;
    }
    free(line);
    return ferror(in) != 0 || fflush(out) != 0 ? 1 : status;
}

int sl_pii_scan_command(const struct sl_pii_detector *detector, enum sl_pii_scan_format format,
                        FILE *in, FILE *out, FILE *err)
{
    return format == SL_PII_SCAN_JSONL ? scan_rows(detector, in, out, err)
                                       : scan_text(detector, in, out, err);
}
