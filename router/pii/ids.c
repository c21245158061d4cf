/* SPDX-License-Identifier: Apache-2.0
 *
 * National, tax, health and vehicle identifiers: the rows of ids.def, tried at each word that has a
 * digit. Owns patterns, context scoring and which rows are tried where; leaves check digits to
 * id_checks.c.
 *
 * A row can only match where its first run of letters and digits has a length it allows, after a
 * number of leading letters it allows, and ends or goes on as the text does. All that is known from
 * the text at once, so rows lie in lists by these numbers, and at an ordinary number two or three
 * rows are tried. The lists are built once per process, then read by any thread.
 */
#include "pii/context.h"
#include "pii/id_checks.h"
#include "pii/number.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#define ITEMS_MAX 24u
#define VALUE_MAX 24u  /* no identifier is longer without its separators */
#define LETTERS_MAX 7u /* leading letters; more counts as 7 */
#define RUN_MAX 25u

struct item {
    char set[20]; /* "9", "A", "X", or the characters of the set */
    uint8_t bit;  /* of `sets` */
    uint8_t min, max;
};

struct row {
    enum sl_pii_type kind;
    const char *pattern;
    uint8_t score;
    bool is_weak;
    uint8_t item_count;
    struct item items[ITEMS_MAX];
};

static struct row rows[] = {
#define ID(kind, pattern, score, weak) {SL_PII_##kind, pattern, score, weak, 0, {{{0}, 0, 0, 0}}},
#include "pii/ids.def"
#undef ID
};
#define ROW_COUNT (sizeof rows / sizeof *rows)

/* How a row can go on after its first run: it ends there, or a separator follows. */
enum { WHOLE = 1 << 0, SPLIT = 1 << 1 };

/* Row numbers by leading letters and length of the first run, each list ended by 0xFF: rows that
 * can end with the run, and rows that can go on after it. */
static uint8_t *whole_rows[LETTERS_MAX + 1][RUN_MAX + 1];
static uint8_t *split_rows[LETTERS_MAX + 1][RUN_MAX + 1];
static pthread_once_t rows_once = PTHREAD_ONCE_INIT;
_Static_assert(ROW_COUNT < 0xFF, "row numbers are bytes");

/* ---- patterns ------------------------------------------------------------------------------ */

static bool is_in_set(const char *set, unsigned char c)
{
    unsigned char upper = pii_upper(c);
    if (set[1] == '\0') {
        switch (set[0]) {
        case '9':
            return pii_is(c, PII_DIGIT);
        case 'A':
            return pii_is(c, PII_LETTER);
        case 'X':
            return pii_is(c, PII_ALNUM);
        default:
            return upper == (unsigned char)set[0];
        }
    }
    for (const char *at = set; *at != '\0'; at++) {
        if ((unsigned char)*at == upper ||
            (*at == '9' && pii_is(c, PII_DIGIT) && set[0] != '1' && set[0] != '2') ||
            (*at == 'A' && pii_is(c, PII_LETTER) && at[1] == '9'))
            return true;
    }
    return false;
}

/* Which sets a character is in, a bit each: one load instead of a walk through the set. */
static uint64_t sets[256];

/* The bit of a set, made where it is new. */
static uint8_t set_bit(const char *set)
{
    static const char *known[64];
    static uint8_t count;
    for (uint8_t i = 0; i < count; i++) {
        if (strcmp(known[i], set) == 0)
            return i;
    }
    assert(count < 64);
    for (unsigned c = 0; c < 256; c++)
        sets[c] |= (uint64_t)is_in_set(set, (unsigned char)c) << count;
    known[count] = set;
    return count++;
}

static bool is_in(const struct item *item, unsigned char c)
{
    return (sets[c] >> item->bit & 1) != 0;
}

static void parse_pattern(struct row *row)
{
    const char *at = row->pattern;
    while (*at != '\0') {
        struct item *item = &row->items[row->item_count++];
        item->min = item->max = 1;
        if (*at == '[') {
            size_t len = strcspn(at + 1, "]");
            memcpy(item->set, at + 1, len);
            at += len + 2;
        } else {
            item->set[0] = *at++;
        }
        if (*at == '?') {
            item->min = 0;
            at++;
        } else if (*at == '{') {
            item->min = item->max = (uint8_t)strtoul(at + 1, (char **)&at, 10);
            if (*at == ',')
                item->max = (uint8_t)strtoul(at + 1, (char **)&at, 10);
            at++;
        }
        item->bit = set_bit(item->set);
    }
}

/* The end of a match of row->items[item…] at `at`, where no letter or digit follows; 0: none. */
static size_t match_items(const struct pii_scan *scan, const struct row *row, unsigned item,
                          size_t at)
{
    for (; item < row->item_count; item++) {
        const struct item *here = &row->items[item];
        unsigned count = 0;
        while (count < here->max && at + count < scan->len && is_in(here, scan->text[at + count]))
            count++;
        if (count < here->min)
            return 0;
        for (; count > here->min; count--) { /* as many as can be, then fewer */
            size_t end = match_items(scan, row, item + 1, at + count);
            if (end > 0)
                return end;
        }
        at += count;
    }
    return pii_is(pii_at(scan, at), PII_ALNUM | PII_HIGH) ? 0 : at;
}

/* ---- buckets ------------------------------------------------------------------------------- */

static void mark(uint8_t (*map)[RUN_MAX + 1], unsigned letters, unsigned run, unsigned how)
{
    if (run <= RUN_MAX)
        map[letters < LETTERS_MAX ? letters : LETTERS_MAX][run] |= (uint8_t)how;
}

/* Walks all ways through the first run of a row: `letters` leading letters so far (`is_leading`
 * while no digit came), `run` characters so far. */
static void explore(const struct row *row, unsigned item, unsigned letters, bool is_leading,
                    unsigned run, uint8_t (*map)[RUN_MAX + 1])
{
    if (item == row->item_count || run > RUN_MAX) {
        mark(map, letters, run, WHOLE);
        return;
    }
    const struct item *here = &row->items[item];
    bool is_sign = true;
    bool has_letters = false;
    bool has_digits = false;
    for (unsigned c = '+'; c <= 'Z'; c++) {
        if (!is_in(here, (unsigned char)c) || !pii_is((unsigned char)c, PII_ALNUM))
            continue;
        is_sign = false;
        has_letters = has_letters || c >= 'A';
        has_digits = has_digits || c <= '9';
    }
    if (is_sign) { /* taken, the run ends; left out, it goes on */
        mark(map, letters, run, SPLIT);
        if (here->min == 0)
            explore(row, item + 1, letters, is_leading, run, map);
        return;
    }
    if (strpbrk(here->set, "- .+/:") != NULL) /* a set of letters and signs */
        mark(map, letters, run, SPLIT);
    for (unsigned count = here->min; count <= here->max; count++) {
        if (!is_leading || (has_digits && !has_letters)) {
            explore(row, item + 1, letters, is_leading && count == 0, run + count, map);
        } else if (!has_digits) {
            explore(row, item + 1, letters + count, true, run + count, map);
        } else { /* letters or digits: the first digit may come at any place */
            for (unsigned first = 0; first <= count; first++)
                explore(row, item + 1, letters + first, first == count, run + count, map);
        }
    }
}

/* The list of rows that `allowed` has `how` for at one place of the table. */
static uint8_t *list_rows(uint8_t (*allowed)[LETTERS_MAX + 1][RUN_MAX + 1], unsigned letters,
                          unsigned run, unsigned how)
{
    static uint8_t storage[ROW_COUNT * 80];
    static uint8_t none[1] = {0xFF};
    static size_t used;
    size_t first = used;

    for (size_t i = 0; i < ROW_COUNT && used + 1 < sizeof storage; i++) {
        if ((allowed[i][letters][run] & how) != 0)
            storage[used++] = (uint8_t)i;
    }
    if (used == first)
        return none;
    storage[used++] = 0xFF;
    return storage + first;
}

static void build_rows(void)
{
    static uint8_t allowed[ROW_COUNT][LETTERS_MAX + 1][RUN_MAX + 1];

    for (size_t i = 0; i < ROW_COUNT; i++) {
        parse_pattern(&rows[i]);
        explore(&rows[i], 0, 0, true, 0, allowed[i]);
    }
    for (unsigned letters = 0; letters <= LETTERS_MAX; letters++) {
        for (unsigned run = 0; run <= RUN_MAX; run++) {
            whole_rows[letters][run] = list_rows(allowed, letters, run, WHOLE);
            split_rows[letters][run] = list_rows(allowed, letters, run, SPLIT);
        }
    }
}

/* ---- judging ------------------------------------------------------------------------------- */

/* True where nothing but signs stands around [start, end): a cell, an argument, a bare answer. */
static bool is_alone(const struct pii_scan *scan, size_t start, size_t end)
{
    if (start > 8 || scan->len - end > 8)
        return false;
    for (size_t i = 0; i < start; i++) {
        if (pii_is(scan->text[i], PII_ALNUM | PII_HIGH))
            return false;
    }
    for (size_t i = end; i < scan->len; i++) {
        if (pii_is(scan->text[i], PII_ALNUM | PII_HIGH))
            return false;
    }
    return true;
}

/* Signs that tie a number to its neighbours: 12-345…, 3.14…, 4111 1111 1111 (1111). */
static bool is_tied(const struct pii_scan *scan, size_t start, size_t end)
{
    unsigned char before = pii_before(scan, start);
    unsigned char after = pii_at(scan, end);
    bool ends_in_digit = pii_is(scan->text[end - 1], PII_DIGIT);

    if (pii_is(before, PII_ALNUM | PII_HIGH) || before == '_' || after == '_' ||
        pii_is(after, PII_ALNUM))
        return true;
    if (strchr("-./,:+$#", before) != NULL && start > 1 && pii_is(scan->text[start - 2], PII_DIGIT))
        return true;
    if (before == '$' || before == '+')
        return true;
    return ends_in_digit && strchr("-./,:", after) != NULL &&
           pii_is(pii_at(scan, end + 1), PII_DIGIT);
}

/* A grouped number that goes on in the same manner is another number. */
static bool goes_on(const struct pii_scan *scan, size_t start, size_t end)
{
    bool has_blank = memchr(scan->text + start, ' ', end - start) != NULL;
    return has_blank && pii_is(scan->text[end - 1], PII_DIGIT) && pii_at(scan, end) == ' ' &&
           pii_is(pii_at(scan, end + 1), PII_DIGIT) && pii_is(pii_at(scan, end + 2), PII_DIGIT) &&
           pii_is(pii_at(scan, end + 3), PII_DIGIT);
}

/* Plates and postcodes are written in capitals; words with a digit are not plates. */
static bool needs_capitals(enum sl_pii_type kind)
{
    return kind == SL_PII_UK_VEHICLE_REGISTRATION || kind == SL_PII_NG_VEHICLE_REGISTRATION ||
           kind == SL_PII_TR_LICENSE_PLATE || kind == SL_PII_UK_POSTCODE ||
           kind == SL_PII_IN_VEHICLE_REGISTRATION || kind == SL_PII_DE_KFZ;
}

static void judge(struct pii_scan *scan, const struct row *row, size_t start, size_t end)
{
    char value[VALUE_MAX + 1];
    size_t len = 0;
    bool has_lower = false;
    bool has_digit = false;

    for (size_t i = start; i < end && len < VALUE_MAX; i++) {
        unsigned char c = scan->text[i];
        has_lower = has_lower || pii_is(c, PII_LOWER);
        has_digit = has_digit || pii_is(c, PII_DIGIT);
        bool is_century_sign = row->kind == SL_PII_FI_PERSONAL_IDENTITY_CODE && len == 6;
        if (pii_is(c, PII_ALNUM) || is_century_sign)
            value[len++] = (char)pii_upper(c);
    }
    value[len] = '\0';
    if (!has_digit)
        return;
    enum pii_check check = pii_check_id(row->kind, value, len);
    if (check == PII_CHECK_BAD)
        return;
    bool has_context = pii_has_context(scan, start, row->kind);
    if (has_lower && needs_capitals(row->kind) && !has_context && !is_alone(scan, start, end))
        return;
    double score = row->score / 100.0;
    if (check == PII_CHECK_GOOD)
        score = 1.0;
    else if (has_context)
        score = score + 0.35 > 0.4 ? score + 0.35 : 0.4;
    if (row->is_weak && !has_context && !is_alone(scan, start, end))
        return;
    pii_add(scan, start, end, row->kind, score, check == PII_CHECK_GOOD);
}

static void try_list(struct pii_scan *scan, size_t start, const uint8_t *list)
{
    for (; *list != 0xFF; list++) {
        const struct row *row = &rows[*list];
        if (!pii_is_on(scan, row->kind))
            continue;
        size_t end = match_items(scan, row, 0, start);
        if (end > start && !is_tied(scan, start, end) && !goes_on(scan, start, end))
            judge(scan, row, start, end);
    }
}

static bool is_separator(unsigned char c)
{
    return c == ' ' || c == '-' || c == '.' || c == '/' || c == ':' || c == '+';
}

static void try_rows(struct pii_scan *scan, size_t start)
{
    size_t letters = 0;
    size_t run = 0;

    while (pii_is(pii_at(scan, start + letters), PII_LETTER))
        letters++;
    while (run <= RUN_MAX && pii_is(pii_at(scan, start + run), PII_ALNUM))
        run++;
    if (run > RUN_MAX)
        return;
    letters = letters < LETTERS_MAX ? letters : LETTERS_MAX;
    unsigned char sign = pii_at(scan, start + run);
    unsigned char next = pii_at(scan, start + run + 1);
    try_list(scan, start, whole_rows[letters][run]);
    /* "12 items" is no number in groups: after digits and a blank only digits and capitals count.
     */
    bool is_plain = sign == ' ' && letters == 0 && pii_is(pii_at(scan, start + run - 1), PII_DIGIT);
    unsigned follows = is_plain ? PII_DIGIT | PII_UPPER : PII_ALNUM | PII_BLANK;
    if (is_separator(sign) && pii_is(next, follows))
        try_list(scan, start, split_rows[letters][run]);
}

/* ---- German plates ------------------------------------------------------------------------- */

/* District (1-3 letters, umlauts), letters (1-2), digits (1-4), E or H: M-AB 1234, TÜ XY 12. Walked
 * backwards from the digits. */
static void find_kfz(struct pii_scan *scan, size_t first_digit)
{
    size_t end = first_digit;
    size_t at = first_digit;
    size_t letters = 0;
    unsigned char sep;

    while (end - first_digit < 5 && pii_is(pii_at(scan, end), PII_DIGIT))
        end++;
    if (end - first_digit > 4 || scan->text[first_digit] == '0')
        return;
    if (pii_at(scan, end) == 'E' || pii_at(scan, end) == 'H')
        end++;
    if (pii_is(pii_at(scan, end), PII_ALNUM | PII_HIGH) || at < 4)
        return;
    if (scan->text[at - 1] != ' ' && scan->text[at - 1] != '-')
        return;
    for (at--; at > 0 && letters < 3 && pii_is(scan->text[at - 1], PII_UPPER); at--)
        letters++;
    if (letters < 1 || letters > 2 || at < 2 ||
        (scan->text[at - 1] != ' ' && scan->text[at - 1] != '-'))
        return;
    sep = scan->text[at - 1];
    letters = 0;
    for (at--; at > 0 && letters < 4; letters++) {
        if (pii_is(scan->text[at - 1], PII_UPPER))
            at--;
        else if (at > 1 && scan->text[at - 2] == 0xC3 &&
                 (scan->text[at - 1] == 0x84 || scan->text[at - 1] == 0x96 ||
                  scan->text[at - 1] == 0x9C))
            at -= 2;
        else
            break;
    }
    unsigned char before = pii_before(scan, at);
    if (letters < 1 || letters > 3 || pii_is(before, PII_ALNUM | PII_HIGH) || before == '-' ||
        before == '_')
        return;
    bool has_context = pii_has_context(scan, at, SL_PII_DE_KFZ);
    double score = (sep == '-' ? 0.3 : 0.2) + (has_context ? 0.35 : 0);
    pii_add(scan, at, end, SL_PII_DE_KFZ, score, false);
}

/* ---- the trigger --------------------------------------------------------------------------- */

/* The start of a short word of letters right before `at`, joined by one blank or dash; `at`: none.
 */
static size_t word_before(const struct pii_scan *scan, size_t at)
{
    size_t start;
    unsigned char joint = at >= 2 ? scan->text[at - 1] : 0;
    if (joint != ' ' && joint != '-' && joint != '.')
        return at;
    start = at - 1;
    while (start > 0 && scan->text[start - 1] == ' ' && at - start < 4)
        start--;
    size_t end = start;
    while (start > 0 && end - start < 5 && pii_is(scan->text[start - 1], PII_LETTER))
        start--;
    return start == end || end - start > 3 ? at : start;
}

void pii_find_ids(struct pii_scan *scan, size_t start, size_t first_digit)
{
    pthread_once(&rows_once, build_rows);
    try_rows(scan, start);
    size_t earlier = word_before(scan, start);
    if (earlier < start)
        try_rows(scan, earlier);
    if (pii_is_on(scan, SL_PII_DE_KFZ) && start == first_digit)
        find_kfz(scan, first_digit);
}
