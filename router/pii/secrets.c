/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets that their own form gives away: prefixed tokens (secret_forms.def), JSON web tokens,
 * Slack tokens and webhooks, private key blocks, passwords in URLs, and a few forms without a
 * prefix. Keywords with a value next to them are in secret_words.c.
 *
 * No stop words: gitleaks skips a secret that has "fake" or "test" in it, which in a prompt is as
 * often a real one. Bodies made of one repeated letter are placeholders of documents and left
 * alone.
 *
 * The table over the first three bytes of a word and the buckets of prefixes are built once per
 * process; then read by any thread.
 */
#include "pii/secrets.h"

#include "pii/number.h"

#include <pthread.h>

#define KEY_BLOCK_MAX 32768u /* a 16384-bit RSA key in PEM is some 13 KB */

enum alphabet { A, U, L, H, B, D, T };

struct form {
    const char *prefix;
    uint8_t alphabet;
    bool takes_dummies;
    uint16_t min, max;
};

static const struct form forms[] = {
#define X true
#define FORM(prefix, alphabet, min, max, dummies) {prefix, alphabet, dummies, min, max},
#include "pii/secret_forms.def"
#undef FORM
#undef X
};
#define FORM_COUNT (sizeof forms / sizeof *forms)

/* Words that start something else than a form of the table; see find_special. */
static const char *const special_starts[] = {"eyJ", "xox", "xapp-", "BEGIN", "AKC", "AP", "PuTTY-"};

static uint64_t starts[65536 / 64]; /* a bit per hash of the first three bytes */
static uint8_t first_form[256];     /* by first byte: row number + 1, 0: none */
static uint8_t next_form[FORM_COUNT];
static uint8_t prefix_lens[FORM_COUNT];
static pthread_once_t starts_once = PTHREAD_ONCE_INIT;
_Static_assert(FORM_COUNT < 255, "row numbers are bytes");

static unsigned start_bit(unsigned char first, unsigned char second, unsigned char third)
{
    return ((uint32_t)first << 16 | (uint32_t)second << 8 | third) * 0x9E3779B1u >> 16;
}

static void mark(const char *prefix)
{
    bool is_short = prefix[2] == '\0';
    for (unsigned third = is_short ? 0 : (unsigned char)prefix[2]; third < 256; third++) {
        unsigned bit =
            start_bit((unsigned char)prefix[0], (unsigned char)prefix[1], (unsigned char)third);
        starts[bit / 64] |= UINT64_C(1) << (bit % 64);
        if (!is_short)
            break;
    }
}

static void build_starts(void)
{
    for (size_t i = FORM_COUNT; i-- > 0;) {
        unsigned char first = (unsigned char)forms[i].prefix[0];
        mark(forms[i].prefix);
        prefix_lens[i] = (uint8_t)strlen(forms[i].prefix);
        next_form[i] = first_form[first];
        first_form[first] = (uint8_t)(i + 1);
    }
    for (size_t i = 0; i < sizeof special_starts / sizeof *special_starts; i++)
        mark(special_starts[i]);
    pii_secret_word_starts(mark);
}

void pii_secrets_prepare(void)
{
    pthread_once(&starts_once, build_starts);
}

bool pii_secret_may_start(unsigned char first, unsigned char second, unsigned char third)
{
    unsigned bit = start_bit(first, second, third);
    return (starts[bit / 64] >> (bit % 64) & 1) != 0;
}

/* ---- bodies -------------------------------------------------------------------------------- */

static bool is_in(enum alphabet alphabet, unsigned char c)
{
    switch (alphabet) {
    case A:
        return pii_is(c, PII_ALNUM);
    case U:
        return pii_is(c, PII_UPPER | PII_DIGIT);
    case L:
        return pii_is(c, PII_LOWER | PII_DIGIT);
    case H:
        return pii_is(c, PII_HEX);
    case B:
        return pii_is(c, PII_ALNUM) || c == '_' || c == '-';
    case D:
        return pii_is(c, PII_ALNUM) || c == '_' || c == '-' || c == '.';
    case T:
        return pii_is(c, PII_ALNUM) || strchr("_-+/=", c) != NULL;
    }
    return false;
}

static size_t body_end(const struct pii_scan *scan, size_t at, enum alphabet alphabet, size_t max)
{
    size_t end = at;
    while (end < scan->len && end - at <= max && scan->text[end] != 0 &&
           is_in(alphabet, scan->text[end]))
        end++;
    return end;
}

/* xxxxxxxx, XXXX-XXXX, ********, 00000000: one letter of documents, over and over. */
bool pii_is_dummy(const unsigned char *text, size_t len)
{
    unsigned char seen = 0;
    size_t repeats = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = pii_lower(text[i]);
        if (!pii_is(c, PII_ALNUM) && c != '*' && c != '#')
            continue;
        repeats += c == seen;
        seen = c;
    }
    return len > 0 && (seen == 'x' || seen == '*' || seen == '#' || seen == '0') &&
           repeats * 10 >= len * 8;
}

static bool looks_like_words(const struct pii_scan *scan, size_t start, size_t end)
{
    unsigned digits = 0;
    unsigned uppers = 0;
    for (size_t i = start; i < end; i++) {
        digits += pii_is(scan->text[i], PII_DIGIT);
        uppers += pii_is(scan->text[i], PII_UPPER);
    }
    return digits == 0 && uppers * 4 < end - start;
}

static void add_secret(struct pii_scan *scan, size_t start, size_t end)
{
    pii_add(scan, start, end, SL_PII_SECRET, 1.0, true);
}

/* ---- forms with parts ---------------------------------------------------------------------- */

/* eyJ….eyJ….signature: RFC 7519. The signature may be missing, two parts may not. */
static size_t find_jwt(struct pii_scan *scan, size_t at)
{
    size_t header = body_end(scan, at, B, 2048);
    if (header - at < 12 || pii_at(scan, header) != '.')
        return at;
    size_t claims = body_end(scan, header + 1, B, 8192);
    if (claims - header < 12 || !pii_word_at(scan, header + 1, "ey"))
        return at;
    size_t end = claims;
    if (pii_at(scan, claims) == '.') {
        size_t signature = body_end(scan, claims + 1, B, 2048);
        end = signature > claims + 1 ? signature : claims;
    }
    add_secret(scan, at, end);
    return end;
}

/* xoxb-1234567890-1234567890-AbC…: letters, runs of digits, a last part. */
static size_t find_slack(struct pii_scan *scan, size_t at)
{
    size_t end = body_end(scan, at, B, 256);
    size_t part = at;
    unsigned numbers = 0;

    while (part < end && scan->text[part] != '-')
        part++;
    while (part < end && scan->text[part] == '-') {
        size_t next = part + 1;
        bool is_number = true;
        while (next < end && scan->text[next] != '-')
            is_number = pii_is(scan->text[next++], PII_DIGIT) && is_number;
        if (next >= end)
            break;
        if (is_number && next - part > 5)
            numbers++;
        part = next;
    }
    if (part >= end)
        return at;
    size_t last = end - part - 1;
    bool is_rotated = numbers == 0 && last > 100; /* xoxe-1-… */
    if ((numbers == 0 && !is_rotated) || last < 14 || pii_is_dummy(scan->text + part + 1, last))
        return at;
    add_secret(scan, at, end);
    return end;
}

/* JFrog's AKC… and AP6…. Words in capitals (APACHE…) start the same, so a digit is asked for. */
static size_t find_artifactory(struct pii_scan *scan, size_t at)
{
    bool is_ap = scan->text[at + 1] == 'P';
    size_t end = body_end(scan, at, A, 128);
    unsigned char before = pii_before(scan, at);
    unsigned lowers = 0;

    for (size_t i = at + 3; i < end; i++)
        lowers += pii_is(scan->text[i], PII_LOWER | PII_DIGIT);
    if (end - at < (is_ap ? 11u : 13u) || lowers < 4 || strchr(" \t\n=:\"'`,(", before) == NULL ||
        (is_ap && !pii_is(pii_at(scan, at + 2), PII_DIGIT)) ||
        (!is_ap && end - at > 3 && pii_is(scan->text[at + 3], PII_LOWER) &&
         !pii_is_dummy(scan->text + at + 3, end - at - 3) && looks_like_words(scan, at + 3, end)))
        return at;
    add_secret(scan, at, end);
    return end;
}

/* -----BEGIN … PRIVATE KEY-----, up to its END line, or as far as it looks like one. */
static size_t find_key_block(struct pii_scan *scan, size_t at)
{
    const char *text = (const char *)scan->text;
    size_t start = at;
    size_t limit = scan->len - at < KEY_BLOCK_MAX ? scan->len : at + KEY_BLOCK_MAX;
    size_t line = at + 5;

    while (start > 0 && at - start < 5 && scan->text[start - 1] == '-')
        start--;
    while (line < limit && line - at < 60 &&
           (pii_is(scan->text[line], PII_UPPER | PII_DIGIT) || scan->text[line] == ' '))
        line++;
    struct sl_slice label = {text + at, line - at};
    if (at - start < 4 || (memmem(label.data, label.len, "PRIVATE KEY", 11) == NULL &&
                           memmem(label.data, label.len, "OpenVPN Static", 14) == NULL))
        return at;
    const char *end = memmem(text + line, limit - line, "-----END", 8);
    if (end != NULL) {
        size_t stop = (size_t)(end - text) + 8;
        while (stop < limit && scan->text[stop] != '\n' && scan->text[stop] != '-')
            stop++;
        while (stop < limit && scan->text[stop] == '-')
            stop++;
        add_secret(scan, start, stop);
        return stop;
    }
    size_t stop = line; /* cut off: everything that still looks like base64 in lines */
    while (stop < limit &&
           (is_in(T, scan->text[stop]) || strchr("\r\n\\: ,", scan->text[stop]) != NULL) &&
           scan->text[stop] != 0)
        stop++;
    add_secret(scan, start, stop);
    return stop;
}

static size_t find_special(struct pii_scan *scan, size_t at)
{
    unsigned char next = pii_at(scan, at + 1);
    switch (scan->text[at]) {
    case 'e':
        return next == 'y' ? find_jwt(scan, at) : at;
    case 'x':
        if (pii_at(scan, at + 4) != '-' && !(pii_at(scan, at + 4) == '.' && next == 'o'))
            return at;
        return find_slack(scan, at);
    case 'B':
        return pii_word_at(scan, at, "begin ") && scan->text[at + 4] == 'N'
                   ? find_key_block(scan, at)
                   : at;
    case 'A':
        return (next == 'K' && pii_at(scan, at + 2) == 'C') || next == 'P'
                   ? find_artifactory(scan, at)
                   : at;
    default:
        return at;
    }
}

static bool has_prefix(const struct pii_scan *scan, size_t at, const char *prefix, size_t len)
{
    return scan->len - at >= len && scan->text[at + 1] == (unsigned char)prefix[1] &&
           memcmp(scan->text + at, prefix, len) == 0;
}

size_t pii_find_secret_prefix(struct pii_scan *scan, size_t at)
{
    size_t next;
    if (!pii_is_on(scan, SL_PII_SECRET) || pii_before(scan, at) == '_')
        return at;
    next = find_special(scan, at);
    if (next > at)
        return next;
    for (unsigned i = first_form[scan->text[at]]; i != 0; i = next_form[i - 1]) {
        const struct form *form = &forms[i - 1];
        size_t len = prefix_lens[i - 1];
        if (!has_prefix(scan, at, form->prefix, len))
            continue;
        size_t end = body_end(scan, at + len, (enum alphabet)form->alphabet, form->max);
        size_t body = end - at - len;
        while (body > 0 && (scan->text[end - 1] == '.' ||
                            (scan->text[end - 1] == '-' && form->min != form->max)))
            body--, end--;
        if (body < form->min || body > form->max || pii_is(pii_at(scan, end), PII_ALNUM))
            continue;
        if (!form->takes_dummies && (pii_is_dummy(scan->text + at + len, body) ||
                                     (form->alphabet != U && form->min != form->max &&
                                      looks_like_words(scan, at + len, end))))
            continue;
        add_secret(scan, at, end);
        return end;
    }
    return pii_find_secret_word(scan, at);
}

bool pii_has_secret_prefix(struct sl_slice value)
{
    for (size_t i = 0; i < FORM_COUNT; i++) {
        size_t len = strlen(forms[i].prefix);
        if (len >= 3 && value.len > len && memcmp(value.data, forms[i].prefix, len) == 0)
            return true;
    }
    return value.len > 4 && memcmp(value.data, "xox", 3) == 0;
}

/* ---- forms without a prefix ---------------------------------------------------------------- */

/* Called for words with a digit: 32 hex + -us1 (Mailchimp), 123456789:AA… (Telegram). */
void pii_find_secret_token(struct pii_scan *scan, size_t start, size_t end)
{
    size_t len = end - start;
    if (!pii_is_on(scan, SL_PII_SECRET))
        return;
    if (len == 32 && pii_word_at(scan, end, "-us") && pii_is(pii_at(scan, end + 3), PII_DIGIT) &&
        body_end(scan, start, H, 32) == end) {
        size_t stop = end + 3;
        while (pii_is(pii_at(scan, stop), PII_DIGIT))
            stop++;
        if (stop - end <= 5 && !pii_is(pii_at(scan, stop), PII_ALNUM)) {
            bool has_upper = false;
            for (size_t i = start; i < end; i++)
                has_upper = has_upper || pii_is(scan->text[i], PII_UPPER);
            if (!has_upper)
                add_secret(scan, start, stop);
        }
    }
    if (len >= 8 && len <= 10 && pii_at(scan, end) == ':' && pii_at(scan, end + 1) == 'A' &&
        pii_at(scan, end + 2) == 'A') {
        size_t stop = body_end(scan, end + 1, B, 64);
        if (stop - end == 36)
            add_secret(scan, start, stop);
    }
}

/* ---- URLs ---------------------------------------------------------------------------------- */

/* scheme://user:password@host: the password. A template (${…}, <…>) is none. */
static void find_credentials(struct pii_scan *scan, size_t host)
{
    size_t colon = 0;
    size_t end = host;
    size_t sign = 0;

    while (end < scan->len && end - host < 512) {
        unsigned char c = scan->text[end];
        if (c <= ' ' || strchr("/\"'`<>\\?#;,", c) != NULL)
            break;
        if (c == ':' && colon == 0)
            colon = end;
        if (c == '@')
            sign = end;
        end++;
    }
    if (colon == 0 || sign <= colon + 1 || sign - colon > 256 ||
        !pii_is(pii_at(scan, sign + 1), PII_ALNUM | PII_HIGH))
        return;
    size_t start = colon + 1;
    if (strchr("${%*[", scan->text[start]) != NULL ||
        pii_is_dummy(scan->text + start, sign - start))
        return;
    add_secret(scan, start, sign);
}

/* Webhook addresses are secrets as a whole. */
static size_t find_webhook(struct pii_scan *scan, size_t scheme, size_t host)
{
    static const struct {
        const char *prefix;
        unsigned min;
    } hooks[] = {{"hooks.slack.com/services/", 30},
                 {"hooks.slack.com/workflows/", 30},
                 {"hooks.slack.com/triggers/", 20},
                 {"discord.com/api/webhooks/", 60},
                 {"discordapp.com/api/webhooks/", 60}};
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++) {
        size_t len = strlen(hooks[i].prefix);
        if (!pii_word_at(scan, host, hooks[i].prefix))
            continue;
        size_t end = host + len;
        while (end < scan->len &&
               (pii_is(scan->text[end], PII_ALNUM) || strchr("/_-", scan->text[end]) != NULL) &&
               scan->text[end] != 0)
            end++;
        if (end - host - len >= hooks[i].min) {
            add_secret(scan, scheme, end);
            return end;
        }
    }
    return host;
}

size_t pii_find_secret_url(struct pii_scan *scan, size_t at)
{
    size_t host = at + 3;
    size_t scheme = at;

    if (!pii_is_on(scan, SL_PII_SECRET))
        return host;
    while (scheme > 0 && at - scheme < 24 &&
           (pii_is(scan->text[scheme - 1], PII_ALNUM) || scan->text[scheme - 1] == '+'))
        scheme--;
    find_credentials(scan, host);
    size_t end = find_webhook(scan, scheme, host);
    return end > host ? end : host;
}
