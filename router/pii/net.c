/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses of the net: email (RFC 5321 lengths, internationalised), URLs and bare domains, IPv4,
 * IPv6 (RFC 4291) and MAC addresses. Stateless.
 */
#include "pii/detect.h"

#include "pii/words.h"

#define LOCAL_MAX 64u   /* RFC 5321, 4.5.3.1.1 */
#define DOMAIN_MAX 253u /* RFC 1035 in text form */
#define LABEL_MAX 63u
#define URL_MAX 2048u
#define IPV6_MAX 45u /* ffff:…:255.255.255.255 */

/* Letters of scripts that write words apart: two bytes in UTF-8, U+00C0 to U+052F. Chinese or
 * Japanese text stands next to an address without a blank. */
static bool is_accented(unsigned char c)
{
    return (c >= 0xC3 && c <= 0xD4) || (c >= 0x80 && c <= 0xBF);
}

static bool is_local(unsigned char c)
{
    return c == '.' || pii_is(c, PII_ALNUM | PII_LOCAL) || is_accented(c);
}

static bool is_label(unsigned char c)
{
    return c == '-' || pii_is(c, PII_ALNUM) || is_accented(c);
}

/* ---- domains ------------------------------------------------------------------------------- */

struct domain {
    size_t end;       /* after the last label taken */
    size_t tld_start; /* of that label */
    unsigned labels;
};

static bool is_tld(const struct pii_scan *scan, size_t start, size_t end)
{
    if (end - start < 2 || end - start > LABEL_MAX)
        return false;
    if (pii_word_at(scan, start, "xn--"))
        return end - start > 4;
    for (size_t i = start; i < end; i++) {
        if (!pii_is(scan->text[i], PII_LETTER) && !is_accented(scan->text[i]))
            return false;
    }
    return true;
}

/* Where a domain that starts at `at` ends: the longest run of labels whose last could be a TLD.
 * `Example.com.Then` is cut before a label that starts a sentence. */
static struct domain read_domain(const struct pii_scan *scan, size_t at)
{
    struct domain domain = {.end = at};
    size_t start = at;
    size_t limit = at + DOMAIN_MAX < scan->len ? at + DOMAIN_MAX : scan->len;
    unsigned labels = 0;

    while (start < limit) {
        size_t end = start;
        while (end < limit && is_label(scan->text[end]))
            end++;
        if (end == start || end - start > LABEL_MAX || scan->text[start] == '-')
            break;
        size_t trimmed = end;
        while (trimmed > start && scan->text[trimmed - 1] == '-')
            trimmed--;
        labels++;
        bool starts_sentence = labels > 2 && pii_is(scan->text[start], PII_UPPER) &&
                               pii_is(pii_at(scan, start + 1), PII_LOWER) &&
                               pii_is(pii_at(scan, domain.tld_start), PII_LOWER);
        if (labels > 1 && is_tld(scan, start, trimmed) && !starts_sentence)
            domain = (struct domain){trimmed, start, labels};
        if (trimmed < end || pii_at(scan, end) != '.' || starts_sentence)
            break;
        start = end + 1;
    }
    return domain;
}

/* ---- email --------------------------------------------------------------------------------- */

/* Endings after @ that name files and packages, not domains: logo@2x.png. */
static bool is_file_ending(const struct pii_scan *scan, size_t start, size_t end)
{
    static const char *const endings[] = {"png", "jpg", "jpeg", "gif",  "svg",  "webp",
                                          "js",  "css", "ts",   "json", "html", "git"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (strlen(endings[i]) == end - start && pii_word_at(scan, start, endings[i]))
            return true;
    }
    return false;
}

static size_t local_start(const struct pii_scan *scan, size_t at)
{
    size_t start = at;
    while (start > 0 && at - start < LOCAL_MAX && is_local(scan->text[start - 1]) &&
           !(scan->text[start - 1] == '.' && start < at && scan->text[start] == '.'))
        start--;
    /* o'brien@…: what stands before is a name's first letter or no single letter (l'anna@…). */
    if (start > 1 && start < at && scan->text[start - 1] == '\'' &&
        pii_is(scan->text[start], PII_LETTER) && pii_lower(scan->text[start - 2]) == 'o' &&
        !pii_is(pii_before(scan, start - 2), PII_ALNUM | PII_HIGH))
        start -= 2;
    /* "\nanna@…" in escaped text: the n belongs to the backslash. */
    if (start > 0 && scan->text[start - 1] == '\\' && at - start > 1 &&
        strchr("nrt", scan->text[start]) != NULL)
        start++;
    while (start < at &&
           (scan->text[start] == '.' || scan->text[start] == '-' || scan->text[start] == '%' ||
            scan->text[start] == '+' || (scan->text[start] >= 0x80 && scan->text[start] <= 0xBF)))
        start++;
    /* %20anna@…, %3Aanna@…: a URL's escape is no part of the name. */
    if (start > 0 && scan->text[start - 1] == '%' && at - start > 2 &&
        pii_is(scan->text[start], PII_HEX) && pii_is(scan->text[start + 1], PII_HEX))
        start += 2;
    return start;
}

size_t pii_find_email(struct pii_scan *scan, size_t at)
{
    size_t start = local_start(scan, at);
    size_t end_of_local = at;
    struct domain domain;

    if (start == at && at > 1 && scan->text[at - 1] == '"') { /* "Anna Berg"@example.org */
        start = at - 1;
        while (start > 0 && at - start < LOCAL_MAX && scan->text[start - 1] != '"' &&
               scan->text[start - 1] >= ' ')
            start--;
        start = start > 0 && scan->text[start - 1] == '"' ? start - 1 : at;
    }
    if (start == at || scan->text[end_of_local - 1] == '.')
        return at + 1;
    domain = read_domain(scan, at + 1);
    if (domain.labels < 2 || is_file_ending(scan, domain.tld_start, domain.end))
        return at + 1;
    if (at - start == 3 && pii_word_at(scan, start, "git") && pii_at(scan, domain.end) == ':')
        return at + 1; /* git@host:path */
    pii_add(scan, start, domain.end, SL_PII_EMAIL, 1.0, true);
    return domain.end;
}

/* ---- IPv4 digits --------------------------------------------------------------------------- */

static size_t read_octet(const struct pii_scan *scan, size_t at)
{
    unsigned value = 0;
    size_t end = at;
    while (end < scan->len && end - at < 4 && pii_is(scan->text[end], PII_DIGIT))
        value = value * 10 + (unsigned)(scan->text[end++] - '0');
    return end > at && end - at <= 3 && value <= 255 && !(end - at > 1 && scan->text[at] == '0')
               ? end
               : at;
}

static size_t read_ipv4(const struct pii_scan *scan, size_t at)
{
    size_t end = at;
    for (int i = 0; i < 4; i++) {
        size_t start = i == 0 ? at : end + 1;
        if (i > 0 && pii_at(scan, end) != '.')
            return at;
        end = read_octet(scan, start);
        if (end == start)
            return at;
    }
    return end;
}

/* ---- URLs ---------------------------------------------------------------------------------- */

static bool is_url_char(unsigned char c)
{
    return c > ' ' && c != '"' && c != '<' && c != '>' && c != '\\' && c != '^' && c != '`' &&
           c != '{' && c != '|' && c != '}' && c != 0x7F;
}

/* Signs at the end of a URL that belong to the sentence around it. */
static size_t trim_url(const struct pii_scan *scan, size_t start, size_t end)
{
    while (end > start) {
        unsigned char last = scan->text[end - 1];
        if (last == ')' || last == ']') {
            unsigned char open = last == ')' ? '(' : '[';
            int depth = 0;
            for (size_t i = start; i < end; i++)
                depth += (scan->text[i] == open) - (scan->text[i] == last);
            if (depth >= 0)
                break;
        } else if (strchr(".,;:!?'*_", last) == NULL) {
            break;
        }
        end--;
    }
    return end;
}

void pii_find_url(struct pii_scan *scan, size_t at)
{
    size_t start = at;
    size_t host = at;
    size_t end;
    struct domain domain;

    if (scan->text[at] == ':') {
        host = at + 3;
        while (start > 0 && at - start < 12 &&
               (pii_is(scan->text[start - 1], PII_ALNUM) || scan->text[start - 1] == '+'))
            start--;
        if (start == at)
            return;
    }
    if (pii_before(scan, start) == '@')
        return;
    for (end = host; end < scan->len && end - start < URL_MAX && is_url_char(scan->text[end]);)
        end++;
    end = trim_url(scan, host, end);
    domain = read_domain(scan, host);
    bool is_web = scan->text[at] == ':' &&
                  (pii_word_at(scan, start, "http") || pii_word_at(scan, start, "ftp"));
    bool is_numeric = read_ipv4(scan, host) > host || pii_at(scan, host) == '[';
    if (end <= host || (scan->text[at] != ':' && domain.labels < 3) ||
        (domain.labels < 2 && !(is_web && is_numeric)))
        return;
    pii_add(scan, start, end, SL_PII_URL, 0.6, domain.labels >= 2);
}

/* A bare domain: example.org, with a TLD that is common and in lower case or known as one. */
void pii_find_domain(struct pii_scan *scan, size_t at)
{
    size_t start = at;
    struct domain domain;

    if (!is_label(pii_at(scan, at + 1)))
        return;
    while (start > 0 && at - start < LABEL_MAX && is_label(scan->text[start - 1]))
        start--;
    if (start == at || pii_before(scan, start) == '.' || pii_before(scan, start) == '@' ||
        pii_before(scan, start) == '/' || pii_before(scan, start) == '_' ||
        scan->text[start] == '-')
        return;
    domain = read_domain(scan, start);
    if (domain.labels < 2 || (domain.labels == 2 && at - start < 2) ||
        pii_at(scan, domain.end) == '(' || pii_at(scan, domain.end) == '@' ||
        pii_at(scan, domain.end) == '_' ||
        !pii_is_known_tld((struct sl_slice){(const char *)scan->text + domain.tld_start,
                                            domain.end - domain.tld_start}))
        return;
    size_t end = domain.end;
    if (pii_at(scan, end) == '/') { /* with a path */
        while (end < scan->len && end - start < URL_MAX && is_url_char(scan->text[end]))
            end++;
        end = trim_url(scan, start, end);
    }
    pii_add(scan, start, end, SL_PII_URL, 0.5, true);
}

/* ---- IPv4, IPv6, MAC ----------------------------------------------------------------------- */

/* /24 after an address; 0: none. */
static size_t prefix_length(const struct pii_scan *scan, size_t at, unsigned max)
{
    unsigned value = 0;
    size_t end = at + 1;
    if (pii_at(scan, at) != '/')
        return 0;
    while (end - at <= 3 && pii_is(pii_at(scan, end), PII_DIGIT))
        value = value * 10 + (unsigned)(scan->text[end++] - '0');
    return end > at + 1 && value <= max && !pii_is(pii_at(scan, end), PII_ALNUM) ? end - at : 0;
}

/* version 1.2.3.4, release 2.14.0.1: four numbers that are no address. */
static bool is_version(const struct pii_scan *scan, size_t at)
{
    static const char *const words[] = {"version ", "release ", "firmware ", "driver ",
                                        "ver. ",    "build ",   "v"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t len = strlen(words[i]);
        if (at >= len && pii_word_at(scan, at - len, words[i]) &&
            (at == len || !pii_is(scan->text[at - len - 1], PII_ALNUM)))
            return true;
    }
    return false;
}

size_t pii_find_ipv4(struct pii_scan *scan, size_t at)
{
    size_t end = read_ipv4(scan, at);
    unsigned char before = pii_before(scan, at);
    if (end == at || pii_is(pii_at(scan, end), PII_ALNUM) ||
        (pii_at(scan, end) == '.' && pii_is(pii_at(scan, end + 1), PII_DIGIT) &&
         pii_at(scan, at + 1) == '.') || /* 1.2.3.4.5 is a section */
        (before == '.' && at > 1 && pii_is(scan->text[at - 2], PII_ALNUM)) ||
        is_version(scan, at))
        return at;
    end += prefix_length(scan, end, 32);
    pii_add(scan, at, end, SL_PII_IP, 0.6, true);
    return end;
}

/* Reads an IPv6 address in any form of RFC 4291 2.2; `at` where there is none. */
static size_t read_ipv6(const struct pii_scan *scan, size_t at)
{
    unsigned groups = 0;
    bool has_gap = false;
    size_t here = at;

    if (pii_at(scan, here) == ':') {
        if (pii_at(scan, here + 1) != ':')
            return at;
        has_gap = true;
        here += 2;
    }
    while (groups < 8) {
        size_t end = here;
        while (end - here < 5 && pii_is(pii_at(scan, end), PII_HEX))
            end++;
        if (end == here || end - here > 4) {
            if (end != here)
                return at;
            break;
        }
        if (pii_at(scan, end) == '.' && groups <= 6) {
            size_t v4 = read_ipv4(scan, here);
            if (v4 > here) {
                groups += 2;
                here = v4;
                break;
            }
        }
        groups++;
        here = end;
        if (pii_at(scan, here) != ':')
            break;
        if (pii_at(scan, here + 1) == ':') {
            if (has_gap)
                return at;
            has_gap = true;
            here += 2;
        } else if (groups < 8) {
            if (!pii_is(pii_at(scan, here + 1), PII_HEX))
                break;
            here++;
        }
    }
    if (here - at > IPV6_MAX || (has_gap ? groups > 7 : groups != 8))
        return at;
    return here;
}

/* a::b, ab::cde: two names of a program and the sign between them. An address has a digit, or is
 * longer. */
static bool is_scope(const struct pii_scan *scan, size_t start, size_t end)
{
    for (size_t i = start; i < end; i++) {
        if (pii_is(scan->text[i], PII_DIGIT))
            return false;
    }
    return end - start < 8;
}

size_t pii_find_ipv6(struct pii_scan *scan, size_t at)
{
    size_t start = at;
    size_t end;
    unsigned char before;

    while (start > 0 && at - start < 5 && pii_is(scan->text[start - 1], PII_HEX))
        start--;
    before = pii_before(scan, start);
    if (at - start > 4 || pii_is(before, PII_ALNUM) || before == ':' || before == '_')
        return at;
    end = read_ipv6(scan, start);
    if (end > at && is_scope(scan, start, end))
        return at;
    if (end <= at || end - start < 3 || pii_is(pii_at(scan, end), PII_ALNUM) ||
        (pii_at(scan, end) == '.' && pii_is(pii_at(scan, end + 1), PII_DIGIT)) ||
        pii_at(scan, end) == ':' || pii_at(scan, end) == '_')
        return at;
    if (pii_at(scan, end) == '%') { /* zone */
        size_t zone = end + 1;
        while (zone - end < 16 && (pii_is(pii_at(scan, zone), PII_ALNUM) ||
                                   pii_at(scan, zone) == '-' || pii_at(scan, zone) == '_'))
            zone++;
        end = zone > end + 1 ? zone : end;
    }
    end += prefix_length(scan, end, 128);
    pii_add(scan, start, end, SL_PII_IP, 0.6, true);
    return end;
}

size_t pii_find_mac(struct pii_scan *scan, size_t at)
{
    unsigned char sep = pii_at(scan, at + 2);
    bool is_cisco = sep != ':' && sep != '-';
    unsigned groups = is_cisco ? 3 : 6;
    size_t width = is_cisco ? 4 : 2;
    size_t here = at;
    bool all_same = true;

    sep = is_cisco ? '.' : sep;
    for (unsigned group = 0; group < groups; group++) {
        for (size_t i = 0; i < width; i++) {
            if (!pii_is(pii_at(scan, here + i), PII_HEX))
                return at;
            all_same = all_same && pii_lower(scan->text[here + i]) == pii_lower(scan->text[at]);
        }
        here += width;
        if (group + 1 < groups && pii_at(scan, here++) != sep)
            return at;
    }
    unsigned char before = pii_before(scan, at);
    if (pii_is(pii_at(scan, here), PII_ALNUM) || pii_is(before, PII_ALNUM) || before == sep ||
        (pii_at(scan, here) == sep && pii_is(pii_at(scan, here + 1), PII_HEX)))
        return at;
    /* 00:… and ff:… name no device: the unset and the broadcast address. */
    if (all_same && (scan->text[at] == '0' || pii_lower(scan->text[at]) == 'f'))
        return here;
    pii_add(scan, at, here, SL_PII_MAC, 0.6, true);
    return here;
}
