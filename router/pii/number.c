/* SPDX-License-Identifier: Apache-2.0
 *
 * What a digit may start: reads the groups around it once and hands them to cards, social security
 * numbers, telephones, IBANs, crypto addresses and the table of identifiers. Owns grouping and the
 * rules for what bounds a number; leaves check digits to checks.c, telephones to phone.c, national
 * identifiers to ids.c.
 *
 * Cost: at most NUMBER_DIGITS_MAX digits are read per group, so a megabyte of digits stays linear:
 * of a word only the first digit is a trigger.
 */
#include "pii/number.h"

#include "pii/checks.h"
#include "pii/context.h"
#include "pii/secrets.h"

/* One sign, or a bracket with a blank: "(0)8 ", ") ", " - ". Returns its length, 0: no separator.
 */
static size_t separator(const struct pii_scan *scan, size_t at, unsigned char *kind)
{
    unsigned char c = pii_at(scan, at);
    unsigned char next = pii_at(scan, at + 1);

    *kind = c == '\n' || c == '\t' ? ' ' : c;
    if ((c != ' ' && c != '-' && c != '.' && c != '/' && c != '\n') || at >= scan->len)
        return 0;
    if (pii_is(next, PII_DIGIT))
        return 1;
    if (c == ' ' && (next == '-' || next == '/') && pii_at(scan, at + 2) == ' ' &&
        pii_is(pii_at(scan, at + 3), PII_DIGIT)) {
        *kind = '?';
        return 3;
    }
    return 0;
}

void pii_read_number(const struct pii_scan *scan, size_t at, struct pii_number *number)
{
    size_t here = at;
    unsigned char sep = 0;

    number->start = at;
    number->end = at;
    number->digit_count = 0;
    number->group_count = 0;
    while (number->group_count < NUMBER_GROUPS_MAX) {
        size_t end = here;
        while (end < scan->len && pii_is(scan->text[end], PII_DIGIT))
            end++;
        size_t len = end - here;
        if (len == 0 || len + number->digit_count > NUMBER_DIGITS_MAX ||
            pii_is(pii_at(scan, end), PII_LETTER))
            break;
        number->groups[number->group_count++] =
            (struct pii_group){here, (uint8_t)len, (uint8_t)number->digit_count, sep};
        memcpy(number->digits + number->digit_count, scan->text + here, len);
        number->digit_count += (unsigned)len;
        number->end = end;
        size_t width = separator(scan, end, &sep);
        if (width == 0)
            break;
        here = end + width;
    }
    number->digits[number->digit_count] = '\0';
}

/* ---- cards --------------------------------------------------------------------------------- */

/* Cards are written whole, or in groups with blanks or dashes of one kind; each group 3 to 7 digits
 * but for the form with a blank after every digit. */
static bool is_card_grouping(const struct pii_number *number, unsigned first, unsigned last)
{
    bool all_single = true;
    for (unsigned i = first; i <= last; i++) {
        const struct pii_group *group = &number->groups[i];
        all_single = all_single && group->len == 1;
        if (i > first && group->sep != number->groups[first + 1].sep)
            return false;
        if (i > first && group->sep != ' ' && group->sep != '-' && group->sep != '.')
            return false;
    }
    bool has_dots = last > first && number->groups[first + 1].sep == '.';
    if (all_single)
        return true;
    for (unsigned i = first; i <= last; i++) {
        if (first != last && (number->groups[i].len < 3 || number->groups[i].len > 7) && i != last)
            return false;
        if (has_dots && number->groups[i].len != 4) /* else a number with thousands apart */
            return false;
    }
    return true;
}

static bool is_repeated(const char *digits, size_t len)
{
    for (size_t i = 1; i < len; i++) {
        if (digits[i] != digits[0])
            return false;
    }
    return true;
}

/* The last three of four groups of four: 1234 [5678 9012 3456]. */
static bool is_tail_of_groups(const struct pii_scan *scan, const struct pii_number *number,
                              unsigned count)
{
    size_t at = number->start;
    if (count > 13 || number->group_count < 2 || at < 5 ||
        scan->text[at - 1] != number->groups[1].sep || number->groups[0].len != 4)
        return false;
    for (size_t i = 2; i <= 5; i++) {
        if (!pii_is(scan->text[at - i], PII_DIGIT))
            return false;
    }
    return at == 5 || !pii_is(scan->text[at - 6], PII_DIGIT);
}

/* A card from the first group on; returns its end or number->start. Of several lengths the longest
 * that is a whole number of groups wins. */
static size_t find_card(struct pii_scan *scan, const struct pii_number *number)
{
    for (unsigned last = number->group_count; last-- > 0;) {
        const struct pii_group *group = &number->groups[last];
        unsigned count = group->digits_before + group->len;
        if (count > 19)
            continue;
        if (count < 12)
            break;
        if (!is_card_grouping(number, 0, last) || !pii_is_card(number->digits, count) ||
            is_repeated(number->digits, count) || is_tail_of_groups(scan, number, count))
            continue;
        size_t end = group->start + group->len;
        /* 12 to 14 digits in one piece with only Luhn behind them are as often an order number. */
        pii_add(scan, number->start, end, SL_PII_CARD, 1.0, true);
        return end;
    }
    return number->start;
}

/* ---- US social security numbers ------------------------------------------------------------ */

/* SSA: no area 000, 666 or 9xx, no group 00, no serial 0000; numbers used in advertisements. */
static bool is_ssn(const char *d)
{
    if (memcmp(d, "000", 3) == 0 || memcmp(d, "666", 3) == 0 || d[0] == '9' ||
        memcmp(d + 3, "00", 2) == 0 || memcmp(d + 5, "0000", 4) == 0 || is_repeated(d, 9))
        return false;
    return memcmp(d, "123456789", 9) != 0 && memcmp(d, "078051120", 9) != 0 &&
           memcmp(d, "987654320", 8) != 0;
}

/* Returns the end of one in its own form, 3-2-4 with dashes, which nothing else has; else the
 * start. */
static size_t find_ssn(struct pii_scan *scan, const struct pii_number *number)
{
    const struct pii_group *groups = number->groups;
    const char *d = number->digits;
    bool has_context = false;
    size_t end;

    if (!pii_is_on(scan, SL_PII_SSN))
        return number->start;
    if (number->group_count >= 3 && groups[0].len == 3 && groups[1].len == 2 &&
        groups[2].len == 4 && groups[1].sep == groups[2].sep &&
        strchr("-. ", groups[1].sep) != NULL) {
        end = groups[2].start + 4;
        bool goes_on = number->group_count > 3 && groups[3].sep == groups[2].sep;
        if (!is_ssn(d) || (goes_on && groups[2].sep != ' '))
            return number->start;
        bool has_dashes = groups[1].sep == '-';
        pii_add(scan, number->start, end, SL_PII_SSN, has_dashes ? 0.85 : 0.5, has_dashes);
        return has_dashes ? end : number->start;
    }
    if (number->groups[0].len == 9) {
        end = number->start + 9;
    } else if (number->group_count >= 2 && groups[1].sep == '-' &&
               ((groups[0].len == 5 && groups[1].len == 4) ||
                (groups[0].len == 3 && groups[1].len == 6))) {
        end = groups[1].start + groups[1].len;
    } else {
        return number->start;
    }
    has_context = pii_has_context(scan, number->start, SL_PII_SSN);
    if (has_context && is_ssn(d))
        pii_add(scan, number->start, end, SL_PII_SSN, 0.45, false);
    return number->start;
}

/* ---- IBAN ---------------------------------------------------------------------------------- */

/* Two letters at `at`, then digits: reads up to the country's length over blanks or dashes. */
static size_t find_iban(struct pii_scan *scan, size_t at)
{
    char text[35];
    char country[2] = {(char)pii_upper(scan->text[at]), (char)pii_upper(scan->text[at + 1])};
    unsigned wanted = pii_iban_len(country);
    unsigned len = 0;
    size_t here = at;

    if (wanted == 0 || !pii_is_on(scan, SL_PII_IBAN))
        return at;
    while (here < scan->len && len < wanted) {
        unsigned char c = scan->text[here];
        if (pii_is(c, PII_ALNUM)) {
            text[len++] = (char)pii_upper(c);
        } else if ((c != ' ' && c != '-' && c != '\n') || len < 4 || here == 0 ||
                   !pii_is(pii_before(scan, here), PII_ALNUM)) {
            return at;
        }
        here++;
    }
    if (len < wanted || pii_is(pii_at(scan, here), PII_ALNUM | PII_HIGH) || !pii_is_iban(text, len))
        return at;
    pii_add(scan, at, here, SL_PII_IBAN, 1.0, true);
    return here;
}

/* ---- crypto addresses ---------------------------------------------------------------------- */

static void find_crypto(struct pii_scan *scan, size_t start, size_t end)
{
    const char *text = (const char *)scan->text + start;
    size_t len = end - start;
    bool is_found = false;

    if (!pii_is_on(scan, SL_PII_CRYPTO) || len < 26 || len > 90)
        return;
    if (text[0] == '0' && text[1] == 'x' && len == 42) { /* Ethereum: 20 bytes in hex */
        is_found = true;
        for (size_t i = 2; i < len; i++)
            is_found = is_found && pii_is((unsigned char)text[i], PII_HEX);
    } else if (len <= 35) {
        is_found = pii_is_base58check(text, len);
    }
    if (!is_found && (pii_word_at(scan, start, "bc1") || pii_word_at(scan, start, "tb1") ||
                      pii_word_at(scan, start, "ltc1")))
        is_found = pii_is_bech32(text, len);
    if (is_found)
        pii_add(scan, start, end, SL_PII_CRYPTO, 1.0, true);
}

/* ---- the trigger --------------------------------------------------------------------------- */

static size_t word_end(const struct pii_scan *scan, size_t at)
{
    while (at < scan->len && pii_is(scan->text[at], PII_ALNUM))
        at++;
    return at;
}

size_t pii_find_number(struct pii_scan *scan, size_t at)
{
    size_t start = at;
    size_t end = word_end(scan, at);
    size_t next;
    struct pii_number number;

    while (start > 0 && at - start < 64 && pii_is(scan->text[start - 1], PII_ALNUM))
        start--;
    if (at - start == 2 && pii_is(scan->text[start], PII_LETTER)) {
        next = find_iban(scan, start);
        if (next > start)
            return next;
    }
    find_crypto(scan, start, end);
    pii_find_secret_token(scan, start, end);
    pii_find_ids(scan, start, at);
    if (start != at) /* letters before: no plain number */
        return end;
    if (end - at <= 3 && pii_at(scan, end) == '.') {
        next = pii_find_ipv4(scan, at);
        if (next > at)
            return next;
    }
    if (pii_is(pii_before(scan, at), PII_HIGH) && pii_before(scan, at) >= 0xC0)
        return end;
    /* 3.14159…, 1,234: a digit before the separator means that this is the middle of a number. */
    unsigned char before = pii_before(scan, at);
    bool is_inside =
        (before == '.' || before == ',') && at > 1 && pii_is(scan->text[at - 2], PII_DIGIT);
    if (!is_inside && (scan->detector->wants_weak_words || pii_is_on(scan, SL_PII_BIRTHDATE)))
        pii_find_date_or_age(scan, at);
    pii_read_number(scan, at, &number);
    if (number.group_count == 0)
        return end;
    if (!is_inside) {
        next = find_card(scan, &number);
        if (next > at)
            return next;
        next = find_ssn(scan, &number);
        if (next > at)
            return next;
    }
    next = pii_find_phone(scan, &number);
    return next > end ? next : end;
}
