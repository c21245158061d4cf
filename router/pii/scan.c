/* SPDX-License-Identifier: Apache-2.0
 *
 * The one pass: finds the triggers and calls their finders. Owns the order in which a text is read;
 * what a trigger means is the finders' business.
 *
 *   start of a word   a secret's prefix (a table over its first three letters), a MAC address, www.
 *   first digit       cards, IBANs, telephones, identifiers, IPv4, crypto addresses: number.c
 *   @                 email                      :    IPv6, URL, `key: value`
 *   =                 `key=value`                .    bare domains, where URLs are on
 *   quotes            `secret("value")`        "at"  `anna [at] example [dot] org`
 *
 * Cost: one table look-up per byte and one per word; finders look a bounded distance around.
 *
 * An Aho-Corasick table over all keywords was weighed against this: it reads a table of some 80 KB
 * once per byte; the prefixes only count at the start of a word, where one bit of 8 KB decides.
 */
#include "pii/detect.h"
#include "pii/number.h"
#include "pii/secrets.h"

static bool is_pair(const struct pii_scan *scan, size_t at)
{
    return pii_is(pii_at(scan, at), PII_HEX) && pii_is(pii_at(scan, at + 1), PII_HEX);
}

/* aa:bb:…, aa-bb-… or aabb.ccdd.eeff may start here. The signs are asked for first: they are rare.
 */
static bool may_be_mac(const struct pii_scan *scan, size_t at)
{
    unsigned char third = pii_at(scan, at + 2);
    if (third == ':' || third == '-')
        return is_pair(scan, at) && is_pair(scan, at + 3);
    return pii_at(scan, at + 4) == '.' && is_pair(scan, at) && is_pair(scan, at + 2) &&
           is_pair(scan, at + 5);
}

/* "at" or "arroba", as in `anna [at] example [dot] org`. */
static bool is_word_for_at(const struct pii_scan *scan, size_t at)
{
    unsigned char next = pii_lower(pii_at(scan, at + 1));
    if (pii_lower(scan->text[at]) != 'a' || (next != 't' && next != 'r'))
        return false;
    return (next == 't' && !pii_is(pii_at(scan, at + 2), PII_ALNUM | PII_HIGH)) ||
           pii_word_at(scan, at, "arroba");
}

/* What starts at the first byte of a word; returns where to go on, `at` for nothing. */
static size_t start_word(struct pii_scan *scan, size_t at)
{
    size_t next;
    if (may_be_mac(scan, at)) {
        next = pii_find_mac(scan, at);
        if (next > at)
            return next;
    }
    if (pii_secret_may_start(scan->text[at], pii_at(scan, at + 1), pii_at(scan, at + 2))) {
        next = pii_find_secret_prefix(scan, at);
        if (next > at)
            return next;
    }
    if (is_word_for_at(scan, at) && pii_is_on(scan, SL_PII_EMAIL))
        pii_find_disguised_email(scan, at);
    if (scan->detector->wants_weak_words)
        pii_find_weak_word(scan, at);
    if (pii_is_on(scan, SL_PII_URL) && pii_lower(scan->text[at]) == 'w' &&
        pii_word_at(scan, at, "www."))
        pii_find_url(scan, at);
    return at;
}

static size_t find_colon(struct pii_scan *scan, size_t at)
{
    if (pii_at(scan, at + 1) == '/' && pii_at(scan, at + 2) == '/') {
        size_t next = pii_find_secret_url(scan, at);
        if (pii_is_on(scan, SL_PII_URL))
            pii_find_url(scan, at);
        return next;
    }
    if (pii_is(pii_before(scan, at), PII_HEX) || pii_at(scan, at + 1) == ':') {
        size_t next = pii_find_ipv6(scan, at);
        if (next > at + 1)
            return next;
    }
    pii_find_secret_assignment(scan, at);
    return at + 1;
}

static size_t find_trigger(struct pii_scan *scan, size_t at)
{
    switch (scan->text[at]) {
    case '@':
        return pii_find_email(scan, at);
    case ':':
        return find_colon(scan, at);
    case '=':
        pii_find_secret_assignment(scan, at);
        return at + 1;
    case '"':
    case '\'':
    case '`':
        pii_find_secret_quoted(scan, at);
        return at + 1;
    default:
        return pii_find_number(scan, at);
    }
}

#define EACH_BYTE UINT64_C(0x0101010101010101)

/* The end of a run of letters and bytes beyond ASCII. Eight bytes at once, without a branch a byte:
 * words have any length, and a loop over their bytes guesses its end wrong at nearly each. */
static size_t skip_letters(const struct pii_scan *scan, size_t at)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (scan->len - at >= 8) {
        uint64_t bytes;
        memcpy(&bytes, scan->text + at, sizeof bytes);
        uint64_t lower = (bytes | EACH_BYTE * 0x20) & EACH_BYTE * 0x7F;
        uint64_t from_a = lower + EACH_BYTE * (0x80 - 'a'); /* the top bit: 'a' or more */
        uint64_t past_z = lower + EACH_BYTE * (0x7F - 'z');
        uint64_t others = ~((from_a & ~past_z) | bytes) & EACH_BYTE * 0x80;
        if (others != 0)
            return at + (size_t)__builtin_ctzll(others) / 8;
        at += 8;
    }
#endif
    while (at < scan->len && pii_is(scan->text[at], PII_LETTER | PII_HIGH))
        at++;
    return at;
}

void pii_scan_view(struct pii_scan *scan)
{
    const unsigned char *text = scan->text;
    pii_secrets_prepare();
    bool wants_domains = pii_is_on(scan, SL_PII_URL);
    bool in_word = false;   /* the byte before is a letter or digit */
    bool had_digit = false; /* and its word had a digit, so the number finder has seen it */

    for (size_t at = 0; at < scan->len;) {
        uint8_t class = pii_class[text[at]];
        bool is_word = (class & (PII_ALNUM | PII_HIGH)) != 0;
        if (is_word && !in_word) {
            size_t next = start_word(scan, at);
            had_digit = false;
            if (next > at) {
                at = next;
                in_word = pii_is(pii_before(scan, at), PII_ALNUM | PII_HIGH);
                had_digit = in_word;
                continue;
            }
        }
        if ((class & PII_TRIGGER) != 0 && !((class & PII_DIGIT) != 0 && had_digit)) {
            had_digit = (class & PII_DIGIT) != 0;
            at = find_trigger(scan, at);
            in_word = pii_is(pii_before(scan, at), PII_ALNUM | PII_HIGH);
            continue;
        }
        if (wants_domains && text[at] == '.' && in_word)
            pii_find_domain(scan, at);
        in_word = is_word;
        at++;
        if (is_word) /* up to its first digit nothing in the rest of a word starts anything */
            at = skip_letters(scan, at);
    }
}
