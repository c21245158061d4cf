/* SPDX-License-Identifier: Apache-2.0
 *
 * The text as the detector reads it, and the way back to the bytes of the original.
 *
 * Two makers: pii_view_fold for plain text (full-width ASCII, no-break and thin blanks, odd dashes
 * become ASCII, zero-width characters and soft hyphens vanish) and pii_view_json for JSON inside a
 * string (escapes are decoded as well, and the values that may be replaced are listed). Text that
 * needs no folding is borrowed as it is: no copy, no map.
 *
 * The map is a list of runs, so that it costs a few bytes per folded character, not per byte:
 *
 *   view   | H i | ' ' | 1 2 3 |        run {view 0, origin 0, origin_end 2}
 *   origin | H i | C2 A0 | 1 2 3 |          {2, 2, 4} {3, 4, 7}
 */
#ifndef SLUICE_PII_VIEW_H
#define SLUICE_PII_VIEW_H

#include "sluice/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct pii_run {
    uint32_t view;       /* where the run starts in the view; it ends where the next starts */
    uint32_t origin;     /* where it starts in the original */
    uint32_t origin_end; /* where it ends there: bytes left out lie between two runs */
};

/* A value in JSON text, in offsets of the view. */
struct pii_leaf {
    uint32_t start, end; /* without the quotes */
    bool is_number;      /* replacing it needs quotes around the placeholder */
};

struct pii_view {
    struct sl_slice text;   /* what is scanned */
    struct sl_slice origin; /* borrowed */
    struct pii_run *runs;   /* NULL: view and original are the same bytes */
    size_t run_count, run_capacity;
    struct pii_leaf *leaves; /* JSON only, in order */
    size_t leaf_count, leaf_capacity;
    struct sl_buf owned;
};

/* Zeroed memory becomes a view of `text`, which is borrowed. Errors: SL_ERR_MEMORY, SL_ERR_LIMIT
 * (4 GiB). */
enum sl_err pii_view_fold(struct pii_view *view, struct sl_slice text) SL_MUST_CHECK;
/* The same for JSON text, valid or not: what is no string or number stays outside of the leaves.
 * Keys of objects are visible to the detector (they are context) and no leaves. */
enum sl_err pii_view_json(struct pii_view *view, struct sl_slice text) SL_MUST_CHECK;
/* Wipes and frees what the view owns; zeroed is fine. */
void pii_view_clear(struct pii_view *view);

/* The bytes of the original behind [start, end) of the view. */
void pii_view_origin(const struct pii_view *view, size_t start, size_t end, size_t *origin_start,
                     size_t *origin_end);
/* Appends the content of a JSON string literal, its escapes decoded, not folded. */
enum sl_err pii_json_decode(struct sl_slice content, struct sl_buf *out) SL_MUST_CHECK;
/* True where `text` has a character that folding would change. */
bool pii_view_needs_folding(struct sl_slice text);

#endif
