/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns folding and its map; see view.h. Leaves what is looked for to the finders. Folding is done
 * for detection only: what is sent is cut from the original, byte for byte.
 *
 * Invariants: 1. runs are sorted by view and by origin and do not overlap in either; 2. a folded
 * character or escape is a run of its own, so no offset inside of it can be asked for that would
 * cut it; 3. the view is never longer than the original.
 */
#include "pii/view.h"

#include "sluice/utf8.h"

#include <stdlib.h>

#define FOLD_NONE 0xFFFFFFFFu
#define FOLD_SKIP 0u

/* The ASCII character that a reader takes `c` for, FOLD_SKIP for one that nobody sees, FOLD_NONE.
 */
static uint32_t fold(uint32_t c)
{
    if (c >= 0xFF01 && c <= 0xFF5E)
        return c - 0xFF01 + '!'; /* full-width forms */
    if (c >= 0xFF10 && c <= 0xFF19)
        return c - 0xFF10 + '0';
    switch (c) {
    case 0x00A0: /* no-break blank */
    case 0x202F:
    case 0x205F:
    case 0x3000:
        return ' ';
    case 0x00AD: /* soft hyphen */
    case 0x200B: /* zero-width blank, joiners, direction marks */
    case 0x200C:
    case 0x200D:
    case 0x200E:
    case 0x200F:
    case 0x2060:
    case 0xFEFF:
        return FOLD_SKIP;
    case 0x2212: /* minus */
        return '-';
    default:
        break;
    }
    if (c >= 0x202A && c <= 0x202E) /* direction overrides, common in copied phone numbers */
        return FOLD_SKIP;
    if (c >= 0x2000 && c <= 0x200A)
        return ' ';
    if (c >= 0x2010 && c <= 0x2015)
        return '-';
    if (c >= 0x0660 && c <= 0x0669)
        return c - 0x0660 + '0'; /* Arabic-Indic digits */
    if (c >= 0x06F0 && c <= 0x06F9)
        return c - 0x06F0 + '0';
    if (c >= 0x0966 && c <= 0x096F)
        return c - 0x0966 + '0'; /* Devanagari digits */
    return FOLD_NONE;
}

/* The first byte that may start a folded character: C2, D9, DB, E0, E2, E3, EF. */
static bool may_fold(unsigned char c)
{
    return c == 0xC2 || c == 0xD9 || c == 0xDB || c == 0xE0 || c == 0xE2 || c == 0xE3 || c == 0xEF;
}

static size_t fold_at(struct sl_slice text, size_t at, uint32_t *folded)
{
    uint32_t codepoint;
    size_t width = sl_utf8_decode(text.data + at, text.len - at, &codepoint);
    *folded = width > 1 ? fold(codepoint) : FOLD_NONE;
    return width;
}

/* Eight ASCII bytes at a time: most text has nothing else. */
static size_t skip_ascii(struct sl_slice text, size_t at)
{
    uint64_t word;
    while (at + sizeof word <= text.len) {
        memcpy(&word, text.data + at, sizeof word);
        if ((word & UINT64_C(0x8080808080808080)) != 0)
            break;
        at += sizeof word;
    }
    while (at < text.len && (unsigned char)text.data[at] < 0x80)
        at++;
    return at;
}

/* The next character from `at` on that folds, or text.len. */
static size_t next_fold(struct sl_slice text, size_t at, size_t *width, uint32_t *folded)
{
    for (;;) {
        at = skip_ascii(text, at);
        if (at >= text.len)
            return text.len;
        if (may_fold((unsigned char)text.data[at])) {
            *width = fold_at(text, at, folded);
            if (*folded != FOLD_NONE)
                return at;
        }
        at++;
    }
}

bool pii_view_needs_folding(struct sl_slice text)
{
    size_t width;
    uint32_t folded;
    return next_fold(text, 0, &width, &folded) < text.len;
}

static enum sl_err grow(void **items, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return SL_OK;
    size_t wanted = *capacity == 0 ? 16 : *capacity * 2;
    void *bigger = realloc(*items, wanted * size);
    if (bigger == NULL)
        return SL_ERR_MEMORY;
    *items = bigger;
    *capacity = wanted;
    return SL_OK;
}

/* Appends `len` bytes that stand for [origin, origin_end). Identity runs that touch are joined. */
static enum sl_err put(struct pii_view *view, const char *bytes, size_t len, size_t origin,
                       size_t origin_end)
{
    struct pii_run *last = view->run_count > 0 ? &view->runs[view->run_count - 1] : NULL;
    bool is_identity = origin_end - origin == len;
    bool joins = last != NULL && is_identity && last->origin_end == origin &&
                 last->origin_end - last->origin == view->owned.len - last->view;

    if (!joins) {
        enum sl_err err =
            grow((void **)&view->runs, &view->run_capacity, view->run_count, sizeof *view->runs);
        if (err != SL_OK)
            return err;
        view->runs[view->run_count++] =
            (struct pii_run){(uint32_t)view->owned.len, (uint32_t)origin, (uint32_t)origin_end};
    } else {
        last->origin_end = (uint32_t)origin_end;
    }
    return sl_buf_append(&view->owned, bytes, len);
}

static enum sl_err start(struct pii_view *view, struct sl_slice text)
{
    view->origin = text;
    view->text = text;
    sl_buf_init(&view->owned, text.len + 1);
    return text.len < UINT32_MAX ? SL_OK : SL_ERR_LIMIT;
}

enum sl_err pii_view_fold(struct pii_view *view, struct sl_slice text)
{
    enum sl_err err = start(view, text);
    size_t width = 0;
    uint32_t folded = 0;
    size_t at = next_fold(text, 0, &width, &folded);

    if (err != SL_OK || at >= text.len)
        return err;
    err = sl_buf_reserve(&view->owned, text.len);
    if (err == SL_OK && at > 0)
        err = put(view, text.data, at, 0, at);
    while (err == SL_OK && at < text.len) {
        char c = (char)folded;
        if (folded != FOLD_SKIP)
            err = put(view, &c, 1, at, at + width);
        size_t plain = at + width;
        at = next_fold(text, plain, &width, &folded);
        if (err == SL_OK && at > plain)
            err = put(view, text.data + plain, at - plain, plain, at);
    }
    view->text = sl_buf_slice(&view->owned);
    return err;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static bool read_hex4(struct sl_slice text, size_t at, uint32_t *out)
{
    uint32_t value = 0;
    if (at + 4 > text.len)
        return false;
    for (size_t i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)text.data[at + i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return false;
        value = value * 16 + digit;
    }
    *out = value;
    return true;
}

/* Decodes the escape at `at` (a backslash) into UTF-8; returns the bytes it takes. */
static size_t read_escape(struct sl_slice text, size_t at, char out[4], size_t *out_len)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    uint32_t high;
    uint32_t low;

    *out_len = 1;
    if (at + 1 >= text.len) {
        out[0] = '\\';
        return 1;
    }
    const char *simple = text.data[at + 1] != '\0' ? strchr(from, text.data[at + 1]) : NULL;
    if (simple != NULL) {
        out[0] = to[simple - from];
        return 2;
    }
    if (text.data[at + 1] != 'u' || !read_hex4(text, at + 2, &high)) {
        out[0] = '\\';
        return 1;
    }
    if (high >= 0xD800 && high <= 0xDBFF && at + 7 < text.len && text.data[at + 6] == '\\' &&
        text.data[at + 7] == 'u' && read_hex4(text, at + 8, &low) && low >= 0xDC00 &&
        low <= 0xDFFF) {
        *out_len = sl_utf8_encode(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00), out);
        return 12;
    }
    if (high >= 0xD800 && high <= 0xDFFF)
        high = 0xFFFD;
    *out_len = sl_utf8_encode(high, out);
    return 6;
}

/* Copies the characters of one string literal, decoded and folded, up to its closing quote. */
static enum sl_err put_string(struct pii_view *view, size_t *at)
{
    struct sl_slice text = view->origin;
    enum sl_err err = SL_OK;

    while (err == SL_OK && *at < text.len && text.data[*at] != '"') {
        size_t plain = *at;
        char decoded[4];
        size_t decoded_len = 0;
        uint32_t folded = FOLD_NONE;
        size_t width = 1;

        while (plain < text.len && text.data[plain] != '"' && text.data[plain] != '\\' &&
               !may_fold((unsigned char)text.data[plain]))
            plain++;
        if (plain > *at) {
            err = put(view, text.data + *at, plain - *at, *at, plain);
            *at = plain;
            continue;
        }
        if (text.data[*at] == '\\') {
            uint32_t codepoint;
            width = read_escape(text, *at, decoded, &decoded_len);
            sl_utf8_decode(decoded, decoded_len, &codepoint);
            folded = codepoint >= 0x80 ? fold(codepoint) : FOLD_NONE;
        } else {
            width = fold_at(text, *at, &folded);
            memcpy(decoded, text.data + *at, width);
            decoded_len = width;
        }
        if (folded != FOLD_NONE) {
            decoded[0] = (char)folded;
            decoded_len = folded == FOLD_SKIP ? 0 : 1;
        }
        if (decoded_len > 0)
            err = put(view, decoded, decoded_len, *at, *at + width);
        *at += width;
    }
    return err;
}

enum sl_err pii_json_decode(struct sl_slice content, struct sl_buf *out)
{
    enum sl_err err = SL_OK;
    for (size_t at = 0; err == SL_OK && at < content.len;) {
        char decoded[4] = {content.data[at]};
        size_t decoded_len = 1;
        at += content.data[at] == '\\' ? read_escape(content, at, decoded, &decoded_len) : 1;
        err = sl_buf_append(out, decoded, decoded_len);
    }
    return err;
}

static enum sl_err add_leaf(struct pii_view *view, size_t leaf_start, bool is_number)
{
    enum sl_err err =
        grow((void **)&view->leaves, &view->leaf_capacity, view->leaf_count, sizeof *view->leaves);
    if (err == SL_OK)
        view->leaves[view->leaf_count++] =
            (struct pii_leaf){(uint32_t)leaf_start, (uint32_t)view->owned.len, is_number};
    return err;
}

static bool is_key(struct sl_slice text, size_t at)
{
    while (at < text.len && (text.data[at] == ' ' || text.data[at] == '\t' ||
                             text.data[at] == '\n' || text.data[at] == '\r'))
        at++;
    return at < text.len && text.data[at] == ':';
}

enum sl_err pii_view_json(struct pii_view *view, struct sl_slice text)
{
    enum sl_err err = start(view, text);
    size_t at = 0;

    while (err == SL_OK && at < text.len) {
        char c = text.data[at];
        size_t leaf_start;
        if (c == '"') {
            err = put(view, "\"", 1, at, at + 1);
            at++;
            leaf_start = view->owned.len;
            if (err == SL_OK)
                err = put_string(view, &at);
            if (err == SL_OK && !is_key(text, at + 1))
                err = add_leaf(view, leaf_start, false);
            if (err == SL_OK && at < text.len)
                err = put(view, "\"", 1, at, at + 1);
            at += at < text.len;
        } else if ((c >= '0' && c <= '9') || c == '-') {
            size_t end = at + 1;
            while (end < text.len &&
                   ((text.data[end] >= '0' && text.data[end] <= '9') ||
                    (text.data[end] != 0 && strchr(".eE+-", text.data[end]) != NULL)))
                end++;
            leaf_start = view->owned.len;
            err = put(view, text.data + at, end - at, at, end);
            if (err == SL_OK)
                err = add_leaf(view, leaf_start, true);
            at = end;
        } else {
            err = put(view, &c, 1, at, at + 1);
            at++;
        }
    }
    view->text = sl_buf_slice(&view->owned);
    return err;
}

/* ---- the way back -------------------------------------------------------------------------- */

static const struct pii_run *run_at(const struct pii_view *view, size_t offset)
{
    size_t low = 0;
    size_t high = view->run_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (view->runs[middle].view <= offset)
            low = middle;
        else
            high = middle;
    }
    return &view->runs[low];
}

void pii_view_origin(const struct pii_view *view, size_t start_at, size_t end, size_t *origin_start,
                     size_t *origin_end)
{
    if (view->runs == NULL || end <= start_at) {
        *origin_start = start_at;
        *origin_end = end;
        return;
    }
    const struct pii_run *first = run_at(view, start_at);
    const struct pii_run *last = run_at(view, end - 1);
    size_t last_view_end = last + 1 < view->runs + view->run_count ? last[1].view : view->text.len;
    size_t last_len = last_view_end - last->view;
    bool is_identity = last->origin_end - last->origin == last_len;
    bool first_is_identity =
        first->origin_end - first->origin ==
        (first + 1 < view->runs + view->run_count ? first[1].view : view->text.len) - first->view;

    *origin_start = first->origin + (first_is_identity ? start_at - first->view : 0);
    *origin_end = is_identity ? last->origin + (end - last->view) : last->origin_end;
}

void pii_view_clear(struct pii_view *view)
{
    free(view->runs);
    free(view->leaves);
    sl_buf_wipe(&view->owned);
    *view = (struct pii_view){0};
}
