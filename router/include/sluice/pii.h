/* SPDX-License-Identifier: Apache-2.0
 *
 * Personal data: find it, put placeholders in its place before a request leaves the box, and put
 * the values back into the answer, also while it streams.
 *
 *     struct sl_pii_rules rules;
 *     sl_pii_rules_init(&rules);                             // defaults; a policy changes fields
 *     sl_pii_detector_create(&rules, &detector, &error);     // once per route, shared by threads
 *
 *     struct sl_vault *vault = sl_vault_create();            // once per request
 *     sl_pii_scrub(detector, request, vault, &scrubbed, &report, &error);
 *     if (report.verdict == SL_PII_VERDICT_BLOCK) ...        // 422, report.verdict_type says why
 *     ... send `scrubbed` ...
 *     struct sl_restorer *restorer = sl_restorer_create(vault, SL_RESTORE_TEXT,
 *                                                       SL_TOLERATE_ALL);
 *     sl_restorer_feed(restorer, delta, &out, &error);       // for each piece of one choice's text
 *     sl_restorer_flush(restorer, &out, &error);             // before its finish_reason
 *     sl_vault_free(vault);                                  // wipes every value
 *
 * What a placeholder is: `<TYPE_n>`, TYPE the word of the kind, n counted from 1 per kind in order
 * of first appearance over the whole payload, so that a conversation that only grows keeps its
 * numbers. The same bytes of the same kind have the same number. A number whose placeholder is
 * literally in the payload (any case, with or without the brackets) is never given out, so what
 * the user wrote is never taken for ours.
 *
 * Privacy: no value appears in an error, a log or a metric; the vault is overwritten when freed. A
 * failure of any kind (memory, limits, an operator's pattern that ran into its limits) is an error
 * and leaves *scrubbed_out NULL: nothing can be sent. It never means "nothing found".
 */
#ifndef SLUICE_PII_H
#define SLUICE_PII_H

#include "sluice/buf.h"
#include "sluice/err.h"
#include "sluice/slice.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* ---- kinds and actions ------------------------------------------------------------------- */

enum sl_pii_type {
#define X(symbol, word, is_on, threshold) SL_PII_##symbol,
#include "sluice/pii_types.def"
#undef X
    SL_PII_TYPE_COUNT
};

#define SL_PII_CUSTOM_MAX 64 /* operators' patterns and word lists together, per detector */
/* A kind as a number: below SL_PII_TYPE_COUNT one of the enum, from there on the operator's own in
 * the order of the rules (patterns, then lists). */
#define SL_PII_KINDS_MAX (SL_PII_TYPE_COUNT + SL_PII_CUSTOM_MAX)

enum sl_pii_action {
    SL_PII_MASK,          /* "mask": placeholder, restored in the answer */
    SL_PII_KEEP_LOCAL,    /* "keep_local": the request must not leave the box */
    SL_PII_BLOCK,         /* "block": the request is refused */
    SL_PII_ALLOW,         /* "allow": found, counted, sent as it is */
    SL_PII_NEVER_RESTORE, /* "never_restore": placeholder that stays one in the answer */
    SL_PII_REDACT,        /* "redact": `[TYPE]`, not numbered, not restored */
    SL_PII_KEEP_LAST,     /* "keep_last": stars but for the last letters and digits; not restored */
    SL_PII_ACTION_COUNT
};

/* The words above; _parse is false for a word that is none. */
const char *sl_pii_action_word(enum sl_pii_action action);
bool sl_pii_action_parse(struct sl_slice word, enum sl_pii_action *out);
/* "EMAIL", …; _parse also takes the longer names of other tools (EMAIL_ADDRESS, CREDIT_CARD, …). */
const char *sl_pii_type_word(enum sl_pii_type type);
bool sl_pii_type_parse(struct sl_slice word, enum sl_pii_type *out);

/* ---- rules: what a policy says about one route -------------------------------------------- */

struct sl_pii_type_rule {
    bool is_on;
    enum sl_pii_action action;
    double threshold;   /* 0 to 1: finds with a lower score are dropped */
    unsigned keep_last; /* for SL_PII_KEEP_LAST; 4 by default */
};

/* An operator's own pattern, in the syntax of PCRE2 (UTF mode). The whole match is the value, or
 * the group named `value` where there is one. Matching has limits on steps, depth and memory; a
 * text that runs into them makes the scan fail with SL_ERR_PII_DETECTOR. */
struct sl_pii_pattern {
    const char *name; /* the kind: A-Z, 0-9 and _, at most 32, none of the built-in ones */
    const char *regex;
    enum sl_pii_action action;
    bool is_caseless;
};

/* An operator's own words (project names, customers). Matched whole, without regard to case in
 * ASCII letters; runs of blanks count as one. */
struct sl_pii_word_list {
    const char *name; /* as above */
    const char *const *words;
    size_t word_count;
    enum sl_pii_action action;
};

/* A plain struct that the policy fills; detectors copy what they need. */
struct sl_pii_rules {
    struct sl_pii_type_rule types[SL_PII_TYPE_COUNT];
    const char *const *phone_regions; /* ISO codes ("US", "DE") in which national forms are read */
    size_t phone_region_count;        /* default: US, GB, DE, FR, IL, IN, CA, BR */
    const struct sl_pii_pattern *patterns;
    size_t pattern_count;
    const struct sl_pii_word_list *word_lists;
    size_t word_list_count;
    const char *const *allowed_values; /* exact values that are never personal ("info@acme.com") */
    size_t allowed_value_count;
    struct sl_slice stable_key; /* 16 bytes or more: numbers become 5 letters of a keyed hash, the
                                 * same for a value in every request, for clients that cut their
                                 * history. Cost: the cloud can link a value across requests. Empty:
                                 * plain numbers. */
    const char *note;           /* system sentence for the cloud model, added when a placeholder was
                                 * given out; NULL: the built-in one, "": none */
    size_t text_bytes_max;      /* of all strings of one request together; default 16 MiB */
    size_t spans_max;           /* finds in one request; default 100000 */
};

/* Fills in the defaults. The rules own nothing. */
void sl_pii_rules_init(struct sl_pii_rules *rules);
/* Turns every kind off; for callers that switch on a few. */
void sl_pii_rules_disable_all(struct sl_pii_rules *rules);

/* ---- detector ------------------------------------------------------------------------------ */

/* Immutable after creation: any number of threads may use one at once. The large tables (names,
 * keywords) are built once per process and shared. */
struct sl_pii_detector;

/* Errors: SL_ERR_INVALID, with error->param naming the field (`pii.patterns[2].regex`) and the
 * message the pattern's name and the offset in it; SL_ERR_MEMORY. */
enum sl_err sl_pii_detector_create(const struct sl_pii_rules *rules, struct sl_pii_detector **out,
                                   struct sl_error *error) SL_MUST_CHECK;
void sl_pii_detector_free(struct sl_pii_detector *detector);
/* The word and the action of a kind of this detector, the operator's own included. */
const char *sl_pii_detector_word(const struct sl_pii_detector *detector, unsigned kind);
enum sl_pii_action sl_pii_detector_action(const struct sl_pii_detector *detector, unsigned kind);
unsigned sl_pii_detector_kind_count(const struct sl_pii_detector *detector);

struct sl_pii_span {
    size_t start, end; /* bytes, [start, end) */
    uint16_t kind;
    bool is_validated; /* a check digit, or a form that allows no doubt */
    float score;       /* 0 to 1 */
};

struct sl_pii_spans {
    struct sl_pii_span *items; /* sorted by start, never overlapping */
    size_t count;
    size_t capacity;
};
void sl_pii_spans_clear(struct sl_pii_spans *spans);

/* Finds in one text (UTF-8; invalid bytes are skipped over). Replaces *out, whose memory is reused
 * between calls. Linear in text.len. Errors: SL_ERR_PII_DETECTOR (limits), SL_ERR_MEMORY. */
enum sl_err sl_pii_scan(const struct sl_pii_detector *detector, struct sl_slice text,
                        struct sl_pii_spans *out, struct sl_error *error) SL_MUST_CHECK;
/* As scan, without resolving: every find above its threshold, overlaps and other readings of the
 * same digits included. For evaluation. */
enum sl_err sl_pii_scan_all(const struct sl_pii_detector *detector, struct sl_slice text,
                            struct sl_pii_spans *out, struct sl_error *error) SL_MUST_CHECK;

/* ---- vault: placeholder -> value, for one request ------------------------------------------ */

/* All values lie in one arena that is overwritten when freed and kept out of core dumps. Written
 * by sl_pii_scrub only; afterwards any thread may read. */
struct sl_vault;
struct sl_vault *sl_vault_create(void); /* NULL: out of memory */
void sl_vault_free(struct sl_vault *vault);
/* Placeholders given out, and those of them that are restored (not `never_restore`). */
size_t sl_vault_count(const struct sl_vault *vault);
size_t sl_vault_restorable_count(const struct sl_vault *vault);
/* The value of an exactly written placeholder; false where it was not given out in this request or
 * must not be restored. *value borrows from the vault. */
bool sl_vault_find(const struct sl_vault *vault, struct sl_slice placeholder,
                   struct sl_slice *value);

/* ---- scrub --------------------------------------------------------------------------------- */

enum sl_pii_verdict {
    SL_PII_VERDICT_SEND,       /* *scrubbed_out may leave the box */
    SL_PII_VERDICT_KEEP_LOCAL, /* it may not; *scrubbed_out is NULL */
    SL_PII_VERDICT_BLOCK       /* refuse the request; *scrubbed_out is NULL */
};

struct sl_pii_report {
    enum sl_pii_verdict verdict;
    uint16_t verdict_kind;             /* the kind that decided keep_local or block */
    uint32_t found_count;              /* all finds */
    uint32_t masked_count;             /* those that were replaced in any way */
    uint64_t scanned_bytes;            /* strings looked at */
    uint32_t counts[SL_PII_KINDS_MAX]; /* finds per kind */
};

/* Walks every string of a request in OpenAI chat form that would leave the box: message contents
 * (strings and text parts), names, tool call arguments (JSON in a string: its values are decoded,
 * scrubbed and encoded again), tool results, tool descriptions and the texts of their schemas,
 * `user`, `metadata`, `response_format`, `prompt`, `input`, and any other string but those that
 * steer the provider (`model`, `role`, `type`, `id`, …). JSON keys stay as they are.
 *
 * The request is never edited. *scrubbed_out is a new reference, to the request itself where
 * nothing was replaced (compare the pointers to know), else to a copy that shares what is
 * unchanged. It is NULL on error and where the verdict is not SEND.
 *
 * Errors: SL_ERR_PII_DETECTOR (limits, patterns), SL_ERR_MEMORY. */
enum sl_err sl_pii_scrub(const struct sl_pii_detector *detector, const json_t *request,
                         struct sl_vault *vault, json_t **scrubbed_out,
                         struct sl_pii_report *report, struct sl_error *error) SL_MUST_CHECK;
/* The same for one plain text: appends the scrubbed form to *out. The vault keeps counting over
 * calls, so several texts may share one. */
enum sl_err sl_pii_scrub_text(const struct sl_pii_detector *detector, struct sl_slice text,
                              struct sl_vault *vault, struct sl_buf *out,
                              struct sl_pii_report *report, struct sl_error *error) SL_MUST_CHECK;

/* Appends `EMAIL=1,PHONE=2`: the x-sluice-pii header; nothing where nothing was replaced. */
enum sl_err sl_pii_report_header(const struct sl_pii_detector *detector,
                                 const struct sl_pii_report *report,
                                 struct sl_buf *out) SL_MUST_CHECK;
/* {"EMAIL": 1, …} for the debug object, all finds. NULL: out of memory. */
json_t *sl_pii_report_json(const struct sl_pii_detector *detector,
                           const struct sl_pii_report *report);

/* ---- restore ------------------------------------------------------------------------------- */

enum sl_restore_mode {
    SL_RESTORE_TEXT,       /* decoded text: values are put in as they are */
    SL_RESTORE_JSON_STRING /* JSON text (tool call arguments): placeholders are also recognised in
                            * JSON escapes, values are put in escaped for a JSON string */
};

/* What models do to placeholders, each a switch. Whatever is on, only placeholders given out in
 * this request are restored. */
enum sl_tolerance {
    SL_TOLERATE_NONE = 0,
    SL_TOLERATE_CASE = 1 << 0,      /* <email_1> */
    SL_TOLERATE_SEPARATOR = 1 << 1, /* <EMAIL 1>, <EMAIL-1>, \<EMAIL\_1\>, < EMAIL_1 >, <EMAIL1> */
    SL_TOLERATE_BRACKETS = 1 << 2,  /* [EMAIL_1], {EMAIL_1}, full-width and quotes of East Asia */
    SL_TOLERATE_HTML = 1 << 3,      /* &lt;EMAIL_1&gt; */
    SL_TOLERATE_URL = 1 << 4,       /* %3CEMAIL_1%3E */
    SL_TOLERATE_BARE = 1 << 5,      /* EMAIL_1 between word boundaries; <EMAIL_1 */
    SL_TOLERATE_ALL = (1 << 6) - 1
};

/* One channel of text: one choice, or one tool call's arguments. A few hundred bytes each. */
struct sl_restorer;

/* `vault` is borrowed for the restorer's life. NULL: out of memory. */
struct sl_restorer *sl_restorer_create(const struct sl_vault *vault, enum sl_restore_mode mode,
                                       unsigned tolerance);
void sl_restorer_free(struct sl_restorer *restorer);
/* Appends to *out what can be said for certain after `piece`; the rest is held back: only text that
 * can still become a placeholder of this request, never longer than the longest of its forms.
 * Pieces may be cut at any byte. Linear in what was fed. Errors: those of *out. */
enum sl_err sl_restorer_feed(struct sl_restorer *restorer, struct sl_slice piece,
                             struct sl_buf *out, struct sl_error *error) SL_MUST_CHECK;
/* Appends what is held: at the end of the channel, before its finish reason. May be fed again. */
enum sl_err sl_restorer_flush(struct sl_restorer *restorer, struct sl_buf *out,
                              struct sl_error *error) SL_MUST_CHECK;
size_t sl_restorer_held_bytes(const struct sl_restorer *restorer);

struct sl_restore_stats {
    uint64_t restored;
    uint64_t unresolved; /* well-formed placeholders of kinds of this request that were not given
                          * out, or may not be restored */
};
struct sl_restore_stats sl_restorer_stats(const struct sl_restorer *restorer);

/* A whole text at once. `stats` may be NULL; it is added to. */
enum sl_err sl_pii_restore_text(const struct sl_vault *vault, enum sl_restore_mode mode,
                                unsigned tolerance, struct sl_slice text, struct sl_buf *out,
                                struct sl_restore_stats *stats, struct sl_error *error)
    SL_MUST_CHECK;

/* ---- egress ledger -------------------------------------------------------------------------- */

/* An append-only file of JSON lines, one per request that left the box: time, app, provider, model,
 * bytes, counts per kind, policy hash. Never text. Appends are single O_APPEND writes: threads and
 * processes may share a file, and a crash leaves at most one cut line, which readers skip. */
struct sl_pii_ledger;

struct sl_pii_ledger_entry {
    int64_t time_ms; /* since 1970 */
    struct sl_slice request_id, app, provider, model, policy_hash;
    uint64_t bytes;                     /* of the body that was sent */
    const struct sl_pii_report *report; /* NULL: none */
};

/* Makes the file (mode 0600) where there is none. Errors: SL_ERR_IO. */
enum sl_err sl_pii_ledger_open(const char *path, struct sl_pii_ledger **out,
                               struct sl_error *error) SL_MUST_CHECK;
void sl_pii_ledger_close(struct sl_pii_ledger *ledger);
/* `detector` names the kinds of entry->report. Errors: SL_ERR_IO, SL_ERR_LIMIT, SL_ERR_MEMORY. */
enum sl_err sl_pii_ledger_append(struct sl_pii_ledger *ledger,
                                 const struct sl_pii_detector *detector,
                                 const struct sl_pii_ledger_entry *entry,
                                 struct sl_error *error) SL_MUST_CHECK;

struct sl_pii_ledger_query {
    int64_t since_ms, until_ms; /* 0: open */
    const char *app, *provider; /* NULL: any */
    bool as_json;               /* the lines as they are, else a table with totals */
};
/* Prints what the query asks for. Errors: SL_ERR_IO, SL_ERR_NOT_FOUND. */
enum sl_err sl_pii_ledger_print(const char *path, const struct sl_pii_ledger_query *query,
                                FILE *out, struct sl_error *error) SL_MUST_CHECK;

/* ---- command line --------------------------------------------------------------------------- */

enum sl_pii_scan_format {
    SL_PII_SCAN_TEXT, /* the scrubbed text, then a table of what was found where */
    SL_PII_SCAN_JSONL /* rows {"id","text"} in, {"id","spans":[{"start","end","type"}]} out */
};
/* What `sluice pii scan FILE|-` does. Exit status: 0 fine, 1 failed (said on `err`). */
int sl_pii_scan_command(const struct sl_pii_detector *detector, enum sl_pii_scan_format format,
                        FILE *in, FILE *out, FILE *err);

#endif
