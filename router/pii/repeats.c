/* SPDX-License-Identifier: Apache-2.0
 *
 * "Each name found is masked wherever it comes again": a cue or a title gives a name away in one
 * sentence, and the next sentence has the name alone. Owns the second pass over texts with the
 * names of the first. Of a person's name of several words, each word counts that is no common word.
 */
#include "pii/aho.h"
#include "pii/names.h"
#include "pii/spans.h"

#include <stdlib.h>

#define NAMES_MAX 2000u       /* per request; more is a directory, and found by itself */
#define SLOTS 4096u           /* at most half full */
#define NAME_PART_BYTES_MIN 3 /* shorter parts (Li, Bo) are too common as other words */

struct names {
    struct sl_slice *items;
    uint16_t *kinds;
    size_t count, capacity;
    uint16_t slots[SLOTS]; /* open addressing over items; 0: empty, else idx + 1 */
};

/* True where the name is there already; else takes its slot. */
static bool is_repeated(struct names *names, struct sl_slice name)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.data[i]) * 16777619u;
    for (uint32_t slot = hash % SLOTS;; slot = (slot + 1) % SLOTS) {
        if (names->slots[slot] == 0) {
            names->slots[slot] = (uint16_t)(names->count + 1);
            return false;
        }
        if (sl_slice_equal(names->items[names->slots[slot] - 1], name))
            return true;
    }
}

static bool add_name(struct names *names, struct sl_slice name, uint16_t kind)
{
    if (names->count == names->capacity) {
        size_t wanted = names->capacity == 0 ? 32 : names->capacity * 2;
        struct sl_slice *items = realloc(names->items, wanted * sizeof *items);
        if (items != NULL)
            names->items = items;
        uint16_t *kinds = items != NULL ? realloc(names->kinds, wanted * sizeof *kinds) : NULL;
        if (kinds == NULL)
            return false;
        names->kinds = kinds;
        names->capacity = wanted;
    }
    if (names->count >= NAMES_MAX || is_repeated(names, name))
        return true;
    names->items[names->count] = name;
    names->kinds[names->count++] = kind;
    return true;
}

static bool add_parts(struct names *names, struct sl_slice name)
{
    size_t at = 0;
    while (at < name.len) {
        size_t end = at;
        while (end < name.len && name.data[end] != ' ' && name.data[end] != '\n')
            end++;
        struct sl_slice part = {name.data + at, end - at};
        if (part.len < name.len && part.len >= NAME_PART_BYTES_MIN && pii_is_name_part(part) &&
            !add_name(names, part, SL_PII_PERSON))
            return false;
        at = end + 1;
    }
    return true;
}

/* The names of all texts, each once. */
static bool collect(struct names *names, const struct sl_slice *texts,
                    struct sl_pii_spans *const *spans, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < spans[i]->count; j++) {
            const struct sl_pii_span *span = &spans[i]->items[j];
            struct sl_slice name = {texts[i].data + span->start, span->end - span->start};
            bool is_name = span->kind == SL_PII_PERSON || span->kind == SL_PII_LOCATION ||
                           span->kind == SL_PII_ORG;
            if (!is_name || name.len < NAME_PART_BYTES_MIN || name.len > 100)
                continue;
            if (!add_name(names, name, span->kind) ||
                (span->kind == SL_PII_PERSON && !add_parts(names, name)))
                return false;
        }
    }
    return true;
}

struct repeat_search {
    const struct sl_pii_detector *detector;
    const struct names *names;
    struct sl_slice text;
    struct sl_pii_spans *spans;
    size_t known; /* spans of the first pass, sorted */
    bool failed;
};

static bool is_covered(const struct repeat_search *search, size_t start, size_t end)
{
    size_t low = 0;
    size_t high = search->known;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (search->spans->items[middle].end <= start)
            low = middle + 1;
        else
            high = middle;
    }
    return low < search->known && search->spans->items[low].start < end;
}

static bool is_boundary(struct sl_slice text, size_t at)
{
    if (at == 0 || at >= text.len)
        return true;
    return !pii_is((unsigned char)text.data[at - 1], PII_ALNUM | PII_HIGH) ||
           !pii_is((unsigned char)text.data[at], PII_ALNUM | PII_HIGH);
}

static bool add_repeat(void *context, size_t word, size_t start, size_t end)
{
    struct repeat_search *search = context;
    struct sl_slice name = search->names->items[word];
    struct sl_pii_span span = {start, end, search->names->kinds[word], false, 0.6F};

    if (!is_boundary(search->text, start) || !is_boundary(search->text, end) ||
        is_covered(search, start, end))
        return true;
    /* One word in other letters (rose, Rose) may be another word; several are the name. */
    bool is_single = memchr(name.data, ' ', name.len) == NULL;
    if (is_single &&
        (end - start != name.len || memcmp(search->text.data + start, name.data, name.len) != 0))
        return true;
    if (search->spans->count >= search->detector->spans_max || !pii_spans_add(search->spans, &span))
        search->failed = true;
    return !search->failed;
}

enum sl_err pii_add_repeats(const struct sl_pii_detector *detector, const struct sl_slice *texts,
                            struct sl_pii_spans *const *spans, size_t count, struct sl_error *error)
{
    struct names names = {0};
    struct pii_aho *aho = NULL;
    enum sl_err err = collect(&names, texts, spans, count) ? SL_OK : SL_ERR_MEMORY;

    if (err == SL_OK && names.count > 0)
        err = pii_aho_create(names.items, names.count, &aho);
    for (size_t i = 0; err == SL_OK && aho != NULL && i < count; i++) {
        struct repeat_search search = {detector, &names,          texts[i],
                                       spans[i], spans[i]->count, false};
        pii_aho_search(aho, texts[i], add_repeat, &search);
        if (search.failed)
            err = SL_ERR_PII_DETECTOR;
        else if (spans[i]->count > search.known)
            pii_resolve(detector, texts[i], spans[i]);
    }
    pii_aho_free(aho);
    free(names.items);
    free(names.kinds);
    return err == SL_OK ? SL_OK : sl_error_set(error, err, NULL);
}
