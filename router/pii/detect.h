/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the detector share: the state of one scan, how a find is reported, and the
 * character classes. Private to router/pii.
 *
 * A scan looks at one *view*: text in which look-alikes of ASCII (full-width digits, no-break
 * blanks, zero-width characters) are folded away. Finders work on offsets of the view only;
 * view.h maps them back.
 *
 * A finder is called by scan.c at a trigger (a digit, `@`, `:` …) and looks a bounded distance to
 * either side, so the whole scan is linear. It reports what it finds with pii_add and returns where
 * the scan may go on; reporting too much is fine, resolve.c chooses.
 */
#ifndef SLUICE_PII_DETECT_H
#define SLUICE_PII_DETECT_H

#include "sluice/pii.h"

#include <stdint.h>

struct pii_aho;
struct pii_custom;

struct sl_pii_detector {
    struct sl_pii_type_rule types[SL_PII_TYPE_COUNT];
    uint64_t regions;           /* bit set of enum pii_region: national phone forms to read */
    struct pii_custom *customs; /* operators' patterns and lists */
    size_t custom_count;
    struct pii_aho *words;    /* all word lists together, NULL where there are none */
    uint16_t *word_kinds;     /* word id of `words` -> kind */
    struct sl_slice *allowed; /* sorted by bytes */
    size_t allowed_count;
    char *strings; /* what custom names and allowed values point into */
    uint8_t stable_key[64];
    size_t stable_key_len; /* 0: plain numbers */
    char *note;
    size_t text_bytes_max;
    size_t spans_max;
    bool wants_names;      /* PERSON, LOCATION or ORG is on */
    bool wants_weak_words; /* DATE, AGE, NRP or TITLE is on */
};

#define PII_CONTEXT_BEFORE 80u /* some twelve words */
#define PII_CONTEXT_AFTER 24u

/* One scan of one view. */
struct pii_scan {
    const struct sl_pii_detector *detector;
    const unsigned char *text;
    size_t len;
    struct sl_pii_spans *finds; /* in the order of the triggers, overlapping */
    bool is_out_of_memory;
    bool is_over_limit;
    /* The text around `window_at` in lower case; see context.c. */
    size_t window_at, window_len, window_before;
    bool has_window;
    char window[PII_CONTEXT_BEFORE + PII_CONTEXT_AFTER + 2];
    size_t window_start_count;
    uint64_t window_bits; /* how the words of the window start; see context.c */
    uint8_t window_starts[PII_CONTEXT_BEFORE + PII_CONTEXT_AFTER + 2];
};

/* Reports [start, end) unless the kind is off or the score is under its threshold. */
void pii_add(struct pii_scan *scan, size_t start, size_t end, unsigned kind, double score,
             bool is_validated);
/* The same with no look at the kind's rule: operators' own patterns and words. */
void pii_add_custom(struct pii_scan *scan, size_t start, size_t end, unsigned kind);

static inline bool pii_is_on(const struct pii_scan *scan, enum sl_pii_type type)
{
    return scan->detector->types[type].is_on;
}

/* ---- characters ---------------------------------------------------------------------------- */

enum {
    PII_DIGIT = 1 << 0,
    PII_UPPER = 1 << 1,
    PII_LOWER = 1 << 2,
    PII_HIGH = 1 << 3,  /* a byte of a character beyond ASCII: a letter, for word boundaries */
    PII_BLANK = 1 << 4, /* blank, tab, line ends */
    PII_LOCAL = 1 << 5, /* the signs of an email's local part, beyond letters, digits and dot */
    PII_HEX = 1 << 6,
    PII_TRIGGER = 1 << 7 /* scan.c stops here */
};
extern const uint8_t pii_class[256];

#define PII_LETTER (PII_UPPER | PII_LOWER)
#define PII_ALNUM (PII_LETTER | PII_DIGIT)

static inline bool pii_is(unsigned char c, unsigned mask)
{
    return (pii_class[c] & mask) != 0;
}
/* The character at a place that may lie outside of the text, which reads as a blank. */
static inline unsigned char pii_at(const struct pii_scan *scan, size_t at)
{
    return at < scan->len ? scan->text[at] : ' ';
}
static inline unsigned char pii_before(const struct pii_scan *scan, size_t at)
{
    return at > 0 ? scan->text[at - 1] : ' ';
}
static inline unsigned char pii_lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}
static inline unsigned char pii_upper(unsigned char c)
{
    return c >= 'a' && c <= 'z' ? (unsigned char)(c - 32) : c;
}
/* True where the text at `at` is `word` (lower case) without regard to case. */
bool pii_word_at(const struct pii_scan *scan, size_t at, const char *word);

/* ---- the finders, by trigger --------------------------------------------------------------- */

/* All return the offset from which the scan goes on. */
size_t pii_find_email(struct pii_scan *scan, size_t at);  /* at '@' */
void pii_find_disguised_email(struct pii_scan *scan, size_t at); /* at the word "at" or "arroba" */
size_t pii_find_ipv6(struct pii_scan *scan, size_t at);   /* at a ':'; `at` where it is none */
size_t pii_find_mac(struct pii_scan *scan, size_t at);    /* at the first digit; `at`: none */
size_t pii_find_ipv4(struct pii_scan *scan, size_t at);   /* at the first digit; `at`: none */
size_t pii_find_number(struct pii_scan *scan, size_t at); /* at the first digit of a word */
void pii_find_url(struct pii_scan *scan, size_t at);      /* at "://" or "www." */
void pii_find_domain(struct pii_scan *scan, size_t at);   /* at a '.' after a letter */

/* Runs every finder that the detector's rules call for; not resolved. */
void pii_scan_view(struct pii_scan *scan);

/* ---- resolving ----------------------------------------------------------------------------- */

/* Sorts by start and removes overlaps: secrets first, then the longer, the validated, the higher
 * score, the earlier kind. `text` is what the offsets point into. */
void pii_resolve(const struct sl_pii_detector *detector, struct sl_slice text,
                 struct sl_pii_spans *spans);
/* Adds a span, growing the list; false when out of memory. */
bool pii_spans_add(struct sl_pii_spans *spans, const struct sl_pii_span *span);

#endif
