/* SPDX-License-Identifier: Apache-2.0
 *
 * From a request to its outbound form. Owns numbering, actions and the rewriting of strings; leaves
 * which strings to walk.c, what is found to the detector, the values to the vault.
 *
 *   1. look   every string is scanned, nothing is changed; most requests end here
 *   2. repeat names found anywhere are looked for everywhere
 *   3. judge  block or keep_local end the walk
 *   4. number literal placeholders are reserved, then values get theirs in order of appearance
 *   5. write  the same walk again; strings with finds are replaced
 *
 * Both walks visit the same strings in the same order, so a field is known by its index.
 *
 * Threads: one call belongs to one thread; the detector is shared.
 */
#include "pii/aho.h"
#include "pii/spans.h"
#include "pii/vault.h"
#include "pii/view.h"
#include "pii/walk.h"

#include <stdlib.h>

#define FIELDS_MAX 1000000u
#define WORDS_MAX SL_PII_KINDS_MAX

struct field {
    enum walk_form form;
    struct pii_view view;
    struct sl_pii_spans spans; /* offsets of the view */
};

struct scrub {
    const struct sl_pii_detector *detector;
    struct sl_vault *vault;
    struct sl_pii_report *report;
    struct sl_error *error;
    struct field *fields;
    size_t count, capacity;
    size_t next;         /* the field that the second walk is at */
    size_t placeholders; /* given out in this call */
};

/* ---- 1. look ------------------------------------------------------------------------------- */

static enum sl_err failed(struct scrub *scrub, enum sl_err err)
{
    if (scrub->error != NULL && scrub->error->code == SL_OK)
        sl_error_set(scrub->error, err, NULL);
    return err;
}

/* Cuts finds to the values of JSON text: what crosses from one into the next becomes two finds, and
 * what lies in a key is dropped, since keys stay. A number is taken whole. */
static enum sl_err cut_to_leaves(struct field *field)
{
    struct sl_pii_spans cut = {0};
    const struct pii_leaf *leaf = field->view.leaves;
    const struct pii_leaf *end = field->view.leaf_count > 0 ? leaf + field->view.leaf_count : leaf;

    for (size_t i = 0; i < field->spans.count; i++) {
        const struct sl_pii_span *span = &field->spans.items[i];
        while (leaf < end && leaf->end <= span->start)
            leaf++;
        for (const struct pii_leaf *at = leaf; at < end && at->start < span->end; at++) {
            struct sl_pii_span part = *span;
            part.start = at->is_number || span->start < at->start ? at->start : span->start;
            part.end = at->is_number || span->end > at->end ? at->end : span->end;
            bool repeats = cut.count > 0 && cut.items[cut.count - 1].end > part.start;
            if (part.start < part.end && !repeats && !pii_spans_add(&cut, &part)) {
                sl_pii_spans_clear(&cut);
                return SL_ERR_MEMORY;
            }
        }
    }
    sl_pii_spans_clear(&field->spans);
    field->spans = cut;
    return SL_OK;
}

static enum sl_err look(void *context, enum walk_form form, struct sl_slice text,
                        json_t **replacement)
{
    struct scrub *scrub = context;
    struct field *field;
    enum sl_err err;

    *replacement = NULL;
    scrub->report->scanned_bytes += text.len;
    if (scrub->report->scanned_bytes > scrub->detector->text_bytes_max ||
        scrub->count >= FIELDS_MAX)
        return sl_error_set(scrub->error, SL_ERR_PII_DETECTOR,
                            "the request has more than %zu bytes of text to check",
                            scrub->detector->text_bytes_max);
    if (scrub->count == scrub->capacity) {
        size_t wanted = scrub->capacity == 0 ? 16 : scrub->capacity * 2;
        field = realloc(scrub->fields, wanted * sizeof *field);
        if (field == NULL)
            return SL_ERR_MEMORY;
        scrub->fields = field;
        scrub->capacity = wanted;
    }
    field = &scrub->fields[scrub->count++];
    *field = (struct field){.form = form};
    err = form == WALK_JSON ? pii_view_json(&field->view, text) : pii_view_fold(&field->view, text);
    if (err == SL_OK)
        err = pii_scan_text(scrub->detector, field->view.text, &field->spans, scrub->error);
    if (err != SL_OK)
        return err;
    pii_resolve(scrub->detector, field->view.text, &field->spans);
    scrub->report->found_count += (uint32_t)field->spans.count;
    return scrub->report->found_count > scrub->detector->spans_max ? SL_ERR_PII_DETECTOR : SL_OK;
}

/* ---- 2. repeat ----------------------------------------------------------------------------- */

static enum sl_err repeat(struct scrub *scrub)
{
    struct sl_slice *texts = malloc((scrub->count + 1) * sizeof *texts);
    struct sl_pii_spans **spans = malloc((scrub->count + 1) * sizeof(struct sl_pii_spans *));
    enum sl_err err = texts != NULL && spans != NULL ? SL_OK : SL_ERR_MEMORY;

    for (size_t i = 0; err == SL_OK && i < scrub->count; i++) {
        texts[i] = scrub->fields[i].view.text;
        spans[i] = &scrub->fields[i].spans;
    }
    if (err == SL_OK)
        err = pii_add_repeats(scrub->detector, texts, spans, scrub->count, scrub->error);
    for (size_t i = 0; err == SL_OK && i < scrub->count; i++) {
        if (scrub->fields[i].form == WALK_JSON)
            err = cut_to_leaves(&scrub->fields[i]);
    }
    free(texts);
    free(spans);
    return err;
}

/* ---- 3. judge ------------------------------------------------------------------------------ */

static bool is_replaced(enum sl_pii_action action)
{
    return action == SL_PII_MASK || action == SL_PII_NEVER_RESTORE || action == SL_PII_REDACT ||
           action == SL_PII_KEEP_LAST;
}

static bool has_placeholder(enum sl_pii_action action)
{
    return action == SL_PII_MASK || action == SL_PII_NEVER_RESTORE;
}

static void judge(struct scrub *scrub)
{
    struct sl_pii_report *report = scrub->report;

    report->found_count = 0;
    for (size_t i = 0; i < scrub->count; i++) {
        for (size_t j = 0; j < scrub->fields[i].spans.count; j++) {
            uint16_t kind = scrub->fields[i].spans.items[j].kind;
            enum sl_pii_action action = sl_pii_detector_action(scrub->detector, kind);
            enum sl_pii_verdict verdict = action == SL_PII_BLOCK        ? SL_PII_VERDICT_BLOCK
                                          : action == SL_PII_KEEP_LOCAL ? SL_PII_VERDICT_KEEP_LOCAL
                                                                        : SL_PII_VERDICT_SEND;
            report->found_count++;
            report->counts[kind]++;
            report->masked_count += is_replaced(action);
            if (verdict > report->verdict) {
                report->verdict = verdict;
                report->verdict_kind = kind;
            }
        }
    }
}

/* ---- 4. number ----------------------------------------------------------------------------- */

struct literal_search {
    struct scrub *scrub;
    struct sl_slice text;
    uint16_t kinds[WORDS_MAX];
    bool failed;
};

/* After the word of a kind: a separator as models write it, then digits. The loose separators only
 * count behind a bracket, so that "email 1" in a sentence reserves nothing. */
static bool reserve_literal(void *context, size_t word, size_t start, size_t end)
{
    struct literal_search *search = context;
    struct sl_slice text = search->text;
    size_t at = end;
    uint32_t number = 0;
    bool is_bracketed = start > 0 && strchr("<[{;", text.data[start - 1]) != NULL;
    bool is_loose =
        is_bracketed ||
        (start > 1 && (text.data[start - 1] == ' ' || (unsigned char)text.data[start - 1] >= 0x80 ||
                       pii_lower((unsigned char)text.data[start - 1]) == 'c'));

    if (at < text.len && text.data[at] == '\\')
        at++;
    if (at < text.len && text.data[at] == '_')
        at++; /* wherever it stands: the view has dropped signs that a restorer sees as boundaries
               */
    else if (start > 0 && !is_loose && pii_is((unsigned char)text.data[start - 1], PII_ALNUM))
        return true;
    else if (is_loose && at < text.len && (text.data[at] == ' ' || text.data[at] == '-') &&
             start > 0 && text.data[start - 1] != ' ')
        at++;
    else if (!is_bracketed)
        return true;
    size_t digits = at;
    while (at < text.len && at - digits < 9 && text.data[at] >= '0' && text.data[at] <= '9')
        number = number * 10 + (uint32_t)(text.data[at++] - '0');
    if (at > digits && !pii_vault_reserve(search->scrub->vault, search->kinds[word], number))
        search->failed = true;
    return !search->failed;
}

static enum sl_err reserve_literals(struct scrub *scrub)
{
    struct sl_slice words[WORDS_MAX];
    struct literal_search search = {.scrub = scrub};
    struct pii_aho *aho = NULL;
    size_t count = 0;

    for (unsigned kind = 0; kind < sl_pii_detector_kind_count(scrub->detector); kind++) {
        if (scrub->report->counts[kind] == 0 ||
            !has_placeholder(sl_pii_detector_action(scrub->detector, kind)))
            continue;
        search.kinds[count] = (uint16_t)kind;
        words[count++] = sl_slice_of(sl_pii_detector_word(scrub->detector, kind));
    }
    if (count == 0)
        return SL_OK;
    enum sl_err err = pii_aho_create(words, count, &aho);
    for (size_t i = 0; err == SL_OK && i < scrub->count; i++) {
        /* As it is read and as it is written: a zero-width sign ends a number only in the latter.
         */
        search.text = scrub->fields[i].view.text;
        pii_aho_search(aho, search.text, reserve_literal, &search);
        if (scrub->fields[i].view.origin.data != search.text.data) {
            search.text = scrub->fields[i].view.origin;
            pii_aho_search(aho, search.text, reserve_literal, &search);
        }
        if (search.failed)
            err = SL_ERR_MEMORY;
    }
    pii_aho_free(aho);
    if (err == SL_OK && !pii_vault_seal(scrub->vault))
        err = SL_ERR_MEMORY;
    return err;
}

/* ---- 5. write ------------------------------------------------------------------------------ */

/* Stars for all letters and digits but the last `keep`. */
static enum sl_err put_stars(struct sl_slice value, unsigned keep, struct sl_buf *out)
{
    size_t count = 0;
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < value.len; i++)
        count += pii_is((unsigned char)value.data[i], PII_ALNUM);
    if (keep * 2 > count) /* of a short value half stays hidden */
        keep = (unsigned)(count / 2);
    for (size_t i = 0; err == SL_OK && i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        bool is_hidden = pii_is(c, PII_HIGH);
        if (pii_is(c, PII_ALNUM))
            is_hidden = count-- > keep;
        if (!is_hidden || c < 0x80 || (c & 0xC0) == 0xC0)
            err = sl_buf_append_char(out, is_hidden ? '*' : (char)c);
    }
    return err;
}

/* What stands in the place of one value. */
static enum sl_err put_replacement(struct scrub *scrub, const struct field *field, unsigned kind,
                                   struct sl_slice value, struct sl_buf *out)
{
    const struct sl_pii_detector *detector = scrub->detector;
    enum sl_pii_action action = sl_pii_detector_action(detector, kind);
    const char *word = sl_pii_detector_word(detector, kind);
    struct sl_slice key = {(const char *)detector->stable_key, detector->stable_key_len};
    const struct vault_entry *entry;

    if (action == SL_PII_REDACT)
        return field->form == WALK_NAME ? sl_buf_append_text(out, word)
                                        : sl_buf_printf(out, "[%s]", word);
    if (action == SL_PII_KEEP_LAST)
        return put_stars(value, kind < SL_PII_TYPE_COUNT ? detector->types[kind].keep_last : 4,
                         out);
    entry = pii_vault_put(scrub->vault, kind, word, value, action == SL_PII_MASK, key);
    if (entry == NULL)
        return SL_ERR_MEMORY;
    scrub->placeholders += action == SL_PII_MASK;
    if (field->form == WALK_NAME)
        return sl_buf_append_slice(out, entry->name);
    return sl_buf_printf(out, "<%.*s>", SL_SLICE_ARG(entry->name));
}

static bool is_number_leaf(const struct field *field, const struct sl_pii_span *span)
{
    for (size_t i = 0; i < field->view.leaf_count; i++) {
        if (field->view.leaves[i].start == span->start && field->view.leaves[i].is_number)
            return true;
    }
    return false;
}

static enum sl_err put_span(struct scrub *scrub, const struct field *field,
                            const struct sl_pii_span *span, struct sl_slice origin,
                            struct sl_buf *out)
{
    struct sl_buf decoded;
    enum sl_err err = SL_OK;

    if (field->form != WALK_JSON)
        return put_replacement(scrub, field, span->kind, origin, out);
    if (is_number_leaf(field, span)) { /* 4111111111111111 -> "<CARD_1>" */
        err = sl_buf_append_char(out, '"');
        if (err == SL_OK)
            err = put_replacement(scrub, field, span->kind, origin, out);
        return err == SL_OK ? sl_buf_append_char(out, '"') : err;
    }
    sl_buf_init(&decoded, origin.len + 1);
    err = pii_json_decode(origin, &decoded);
    if (err == SL_OK)
        err = put_replacement(scrub, field, span->kind, sl_buf_slice(&decoded), out);
    sl_buf_wipe(&decoded);
    return err;
}

static enum sl_err write_field(struct scrub *scrub, const struct field *field, struct sl_buf *out)
{
    struct sl_slice text = field->view.origin;
    size_t done = 0;
    enum sl_err err = SL_OK;

    for (size_t i = 0; err == SL_OK && i < field->spans.count; i++) {
        const struct sl_pii_span *span = &field->spans.items[i];
        size_t start;
        size_t end;
        if (!is_replaced(sl_pii_detector_action(scrub->detector, span->kind)))
            continue;
        pii_view_origin(&field->view, span->start, span->end, &start, &end);
        err = sl_buf_append(out, text.data + done, start - done);
        if (err == SL_OK)
            err = put_span(scrub, field, span, (struct sl_slice){text.data + start, end - start},
                           out);
        done = end;
    }
    return err == SL_OK ? sl_buf_append(out, text.data + done, text.len - done) : err;
}

static bool needs_writing(const struct scrub *scrub, const struct field *field)
{
    for (size_t i = 0; i < field->spans.count; i++) {
        if (is_replaced(sl_pii_detector_action(scrub->detector, field->spans.items[i].kind)))
            return true;
    }
    return false;
}

static enum sl_err write_string(void *context, enum walk_form form, struct sl_slice text,
                                json_t **replacement)
{
    struct scrub *scrub = context;
    const struct field *field = &scrub->fields[scrub->next++];
    struct sl_buf out;
    enum sl_err err;

    (void)form;
    *replacement = NULL;
    if (!needs_writing(scrub, field))
        return SL_OK;
    sl_buf_init(&out, text.len + field->spans.count * 128 + 1);
    err = write_field(scrub, field, &out);
    if (err == SL_OK) {
        /* Cutting whole characters out of valid UTF-8 leaves valid UTF-8. */
        *replacement = json_stringn_nocheck(out.data, out.len);
        if (*replacement == NULL)
            err = SL_ERR_MEMORY;
    }
    sl_buf_wipe(&out);
    return err;
}

/* Tells the cloud model what placeholders are: after the client's own system messages. */
static enum sl_err add_note(struct scrub *scrub, json_t **request)
{
    json_t *messages = json_object_get(*request, "messages");
    size_t at = 0;

    if (scrub->detector->note[0] == '\0' || scrub->placeholders == 0 || !json_is_array(messages))
        return SL_OK;
    for (; at < json_array_size(messages); at++) {
        const char *role = json_string_value(json_object_get(json_array_get(messages, at), "role"));
        if (role == NULL || (strcmp(role, "system") != 0 && strcmp(role, "developer") != 0))
            break;
    }
    json_t *copy = json_copy(*request);
    json_t *list = json_copy(messages);
    json_t *note = json_pack("{s:s, s:s}", "role", "system", "content", scrub->detector->note);
    if (copy == NULL || list == NULL || note == NULL || json_array_insert(list, at, note) != 0 ||
        json_object_set(copy, "messages", list) != 0) {
        json_decref(copy);
        copy = NULL;
    }
    json_decref(list);
    json_decref(note);
    if (copy == NULL)
        return SL_ERR_MEMORY;
    json_decref(*request);
    *request = copy;
    return SL_OK;
}

static void clear(struct scrub *scrub)
{
    for (size_t i = 0; i < scrub->count; i++) {
        pii_view_clear(&scrub->fields[i].view);
        sl_pii_spans_clear(&scrub->fields[i].spans);
    }
    free(scrub->fields);
}

enum sl_err sl_pii_scrub(const struct sl_pii_detector *detector, const json_t *request,
                         struct sl_vault *vault, json_t **scrubbed_out,
                         struct sl_pii_report *report, struct sl_error *error)
{
    struct sl_error own = {0};
    struct scrub scrub = {.detector = detector, .vault = vault, .report = report, .error = &own};
    json_t *result = NULL;
    enum sl_err err;

    *report = (struct sl_pii_report){0};
    *scrubbed_out = NULL;
    err = pii_walk(request, look, &scrub, &result);
    if (err == SL_OK && report->found_count > 0) {
        json_decref(result);
        result = NULL;
        err = repeat(&scrub);
        if (err == SL_OK)
            judge(&scrub);
        if (err == SL_OK && report->verdict == SL_PII_VERDICT_SEND) {
            err = reserve_literals(&scrub);
            if (err == SL_OK)
                err = pii_walk(request, write_string, &scrub, &result);
            if (err == SL_OK)
                err = add_note(&scrub, &result);
            if (err == SL_OK && !pii_vault_seal(vault))
                err = SL_ERR_MEMORY;
        }
    }
    clear(&scrub);
    if (err != SL_OK) {
        json_decref(result);
        failed(&scrub, err);
        if (error != NULL)
            *error = own;
        return err;
    }
    *scrubbed_out = result;
    return SL_OK;
}

enum sl_err sl_pii_scrub_text(const struct sl_pii_detector *detector, struct sl_slice text,
                              struct sl_vault *vault, struct sl_buf *out,
                              struct sl_pii_report *report, struct sl_error *error)
{
    struct sl_error own = {0};
    struct scrub scrub = {.detector = detector, .vault = vault, .report = report, .error = &own};
    json_t *unused = NULL;
    enum sl_err err;

    *report = (struct sl_pii_report){0};
    err = look(&scrub, WALK_TEXT, text, &unused);
    if (err == SL_OK)
        err = repeat(&scrub);
    if (err == SL_OK)
        judge(&scrub);
    if (err == SL_OK && report->verdict == SL_PII_VERDICT_SEND) {
        err = reserve_literals(&scrub);
        if (err == SL_OK)
            err = write_field(&scrub, &scrub.fields[0], out);
        if (err == SL_OK && !pii_vault_seal(vault))
            err = SL_ERR_MEMORY;
    }
    clear(&scrub);
    if (err != SL_OK) {
        failed(&scrub, err);
        if (error != NULL)
            *error = own;
    }
    return err;
}

enum sl_err sl_pii_report_header(const struct sl_pii_detector *detector,
                                 const struct sl_pii_report *report, struct sl_buf *out)
{
    enum sl_err err = SL_OK;
    const char *comma = "";
    for (unsigned kind = 0; err == SL_OK && kind < sl_pii_detector_kind_count(detector); kind++) {
        if (report->counts[kind] == 0 || !is_replaced(sl_pii_detector_action(detector, kind)))
            continue;
        err = sl_buf_printf(out, "%s%s=%u", comma, sl_pii_detector_word(detector, kind),
                            report->counts[kind]);
        comma = ",";
    }
    return err;
}

json_t *sl_pii_report_json(const struct sl_pii_detector *detector,
                           const struct sl_pii_report *report)
{
    json_t *counts = json_object();
    for (unsigned kind = 0; counts != NULL && kind < sl_pii_detector_kind_count(detector); kind++) {
        if (report->counts[kind] == 0)
            continue;
        if (json_object_set_new(counts, sl_pii_detector_word(detector, kind),
                                json_integer(report->counts[kind])) != 0) {
            json_decref(counts);
            counts = NULL;
        }
    }
    return counts;
}
