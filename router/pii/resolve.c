/* SPDX-License-Identifier: Apache-2.0
 *
 * Chooses among finds that overlap: several readings of one number, an email in a URL, a card in a
 * secret. Owns the list of spans and its order. A find that loses to one it only touches partly is
 * gone; nothing nests.
 *
 * Cost: sorting, and within each cluster of overlapping finds a binary search per find.
 */
#include "pii/detect.h"

#include <stdlib.h>
#include <string.h>

bool pii_spans_add(struct sl_pii_spans *spans, const struct sl_pii_span *span)
{
    if (spans->count == spans->capacity) {
        size_t wanted = spans->capacity == 0 ? 16 : spans->capacity * 2;
        struct sl_pii_span *items = realloc(spans->items, wanted * sizeof *items);
        if (items == NULL)
            return false;
        spans->items = items;
        spans->capacity = wanted;
    }
    spans->items[spans->count++] = *span;
    return true;
}

void sl_pii_spans_clear(struct sl_pii_spans *spans)
{
    free(spans->items);
    *spans = (struct sl_pii_spans){0};
}

static int by_start(const void *a, const void *b)
{
    const struct sl_pii_span *x = a;
    const struct sl_pii_span *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->end > y->end ? -1 : x->end < y->end;
}

/* What a kind is worth against others: secrets, operators' own kinds, what has a form, then what is
 * told by words. */
static int rank(const struct sl_pii_span *span)
{
    switch (span->kind) {
    case SL_PII_SECRET:
        return 3;
    case SL_PII_PERSON:
    case SL_PII_LOCATION:
    case SL_PII_ORG:
    case SL_PII_AGE:
    case SL_PII_NRP:
    case SL_PII_TITLE:
    case SL_PII_DE_PLZ:
    case SL_PII_UK_POSTCODE:
        return 0;
    default:
        return span->kind >= SL_PII_TYPE_COUNT ? 2 : 1;
    }
}

static int by_priority(const void *a, const void *b)
{
    const struct sl_pii_span *x = a;
    const struct sl_pii_span *y = b;
    size_t x_len = x->end - x->start;
    size_t y_len = y->end - y->start;

    if (rank(x) != rank(y))
        return rank(y) - rank(x);
    if (x_len != y_len)
        return x_len > y_len ? -1 : 1;
    if (x->is_validated != y->is_validated)
        return x->is_validated ? -1 : 1;
    if (x->score < y->score || x->score > y->score)
        return x->score > y->score ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return by_start(a, b);
}

/* Where in the `count` accepted spans (sorted, apart) `span` belongs, or SIZE_MAX if it overlaps.
 */
static size_t place(const struct sl_pii_span *accepted, size_t count,
                    const struct sl_pii_span *span)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (accepted[middle].end <= span->start)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && accepted[low].start < span->end ? SIZE_MAX : low;
}

static void insert(struct sl_pii_span *accepted, size_t *count, size_t at,
                   const struct sl_pii_span *span)
{
    memmove(accepted + at + 1, accepted + at, (*count - at) * sizeof *accepted);
    accepted[at] = *span;
    (*count)++;
}

/* An address in which a telephone number was found goes on around it: what is left of a name on
 * either side of the first accepted span that it touches is kept, if it is more than a sign. */
static size_t insert_rest(struct sl_pii_span *accepted, size_t *count, size_t room,
                          struct sl_pii_span span)
{
    size_t added = 0;
    for (size_t low = 0; low < *count && added < room; low++) {
        if (accepted[low].end <= span.start || accepted[low].start >= span.end)
            continue;
        struct sl_pii_span left = span;
        left.end = accepted[low].start;
        if (left.end > left.start + 3 && accepted[low].start > span.start) {
            size_t at = place(accepted, *count, &left);
            if (at != SIZE_MAX) {
                insert(accepted, count, at, &left);
                added++;
                low++;
            }
        }
        span.start = accepted[low].end;
        if (span.end <= span.start + 3)
            return added;
    }
    size_t at = span.end > span.start + 3 ? place(accepted, *count, &span) : SIZE_MAX;
    if (at != SIZE_MAX && added < room) {
        insert(accepted, count, at, &span);
        added++;
    }
    return added;
}

static bool all_of_rank_zero(const struct sl_pii_span *accepted, size_t count,
                             const struct sl_pii_span *span)
{
    for (size_t i = 0; i < count; i++) {
        if (accepted[i].start < span->end && span->start < accepted[i].end &&
            rank(&accepted[i]) != 0)
            return false;
    }
    return true;
}

/* Resolves one cluster in place; returns how many spans are left: never more than there were. */
static size_t resolve_cluster(struct sl_pii_span *cluster, size_t count)
{
    struct sl_pii_span few[16];
    struct sl_pii_span *accepted = few;
    size_t accepted_count = 0;
    size_t dropped = 0; /* room for pieces: the result may not outgrow the cluster */

    if (count < 2)
        return count;
    qsort(cluster, count, sizeof *cluster, by_priority);
    if (count > sizeof few / sizeof *few)
        accepted = malloc(count * sizeof *accepted);
    if (accepted == NULL)
        return 1; /* out of memory: the first is the best one */
    for (size_t i = 0; i < count; i++) {
        size_t at = place(accepted, accepted_count, &cluster[i]);
        if (at != SIZE_MAX) {
            insert(accepted, &accepted_count, at, &cluster[i]);
        } else if (rank(&cluster[i]) == 0 && cluster[i].end - cluster[i].start < 400 &&
                   !all_of_rank_zero(accepted, accepted_count, &cluster[i])) {
            size_t added = insert_rest(accepted, &accepted_count, dropped + 1, cluster[i]);
            dropped = dropped + 1 - added;
        } else {
            dropped++;
        }
    }
    memcpy(cluster, accepted, accepted_count * sizeof *cluster);
    if (accepted != few)
        free(accepted);
    return accepted_count;
}

static int compare_slices(const void *a, const void *b)
{
    const struct sl_slice *x = a;
    const struct sl_slice *y = b;
    size_t shared = x->len < y->len ? x->len : y->len;
    int order = shared > 0 ? memcmp(x->data, y->data, shared) : 0;
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static bool is_allowed(const struct sl_pii_detector *detector, struct sl_slice text,
                       const struct sl_pii_span *span)
{
    struct sl_slice value = {text.data + span->start, span->end - span->start};
    return detector->allowed_count > 0 &&
           bsearch(&value, detector->allowed, detector->allowed_count, sizeof value,
                   compare_slices) != NULL;
}

/* What is left of a name beside another find may begin or end in the signs between the two, as in
 * `Anna Berg (anna.berg@example.org)`: they are no part of it. */
static bool trim_name(struct sl_slice text, struct sl_pii_span *span)
{
    if (span->kind != SL_PII_PERSON && span->kind != SL_PII_LOCATION && span->kind != SL_PII_ORG)
        return true;
    while (span->end > span->start &&
           strchr(" \t\r\n(,;:<[{\"'-/", text.data[span->end - 1]) != NULL)
        span->end--;
    while (span->end > span->start &&
           strchr(" \t\r\n),;:>]}\"'-/.", text.data[span->start]) != NULL)
        span->start++;
    return span->end > span->start + 1;
}

void pii_resolve(const struct sl_pii_detector *detector, struct sl_slice text,
                 struct sl_pii_spans *spans)
{
    size_t kept = 0;

    if (spans->count > 1)
        qsort(spans->items, spans->count, sizeof *spans->items, by_start);
    for (size_t i = 0; i < spans->count;) {
        size_t end = spans->items[i].end;
        size_t next = i + 1;
        while (next < spans->count && spans->items[next].start < end) {
            if (spans->items[next].end > end)
                end = spans->items[next].end;
            next++;
        }
        size_t left = resolve_cluster(spans->items + i, next - i);
        for (size_t j = i; j < i + left; j++) {
            if (trim_name(text, &spans->items[j]) && !is_allowed(detector, text, &spans->items[j]))
                spans->items[kept++] = spans->items[j];
        }
        i = next;
    }
    spans->count = kept;
}
