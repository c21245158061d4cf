/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets that only the words around them give away: `api_key = "…"`, `password: …`,
 * "my password is …", `if (x == db_pass)`, Bearer tokens. Owns what counts as a key's name and what
 * as a value.
 *
 * Names: the identifier before the sign must name a secret at its end (db_password, clientSecret,
 * api_key_prod), not merely hold the word (secret_name, keyVaultUrl, token_file).
 * Values: templates (${X}, {{ x }}, <token>, os.environ, f(x)), words and placeholders are none;
 * what is left must be strong enough for its name: a password may be short, a key may not.
 *
 * The entropy bound of 3 bits per character over 16 and more characters keeps identifiers and file
 * names out that pass the other rules; 3.5 as gitleaks has it loses short hex keys.
 */
#include "pii/secrets.h"

#include <ctype.h>
#include <math.h>

#define NAME_MAX_BYTES 64u
#define VALUE_MAX_BYTES 512u

enum strength {
    NO_SECRET,
    WEAK_KEY, /* …key: any kind of key, so the value must look random */
    KEY,      /* api key, token, client secret */
    PASSWORD  /* people choose them: short ones count */
};

static const struct {
    const char *word; /* lower case, separators removed */
    enum strength strength;
} names[] = {
    {"password", PASSWORD},   {"passwort", PASSWORD},
    {"passwd", PASSWORD},     {"passphrase", PASSWORD},
    {"pwd", PASSWORD},        {"pass", PASSWORD},
    {"passcode", PASSWORD},   {"kennwort", PASSWORD},
    {"contraseña", PASSWORD}, {"contrasena", PASSWORD},
    {"senha", PASSWORD},      {"motdepasse", PASSWORD},
    {"wachtwoord", PASSWORD}, {"passwords", PASSWORD},
    {"secret", PASSWORD},     {"secrete", PASSWORD},
    {"apikey", KEY},          {"secretkey", KEY},
    {"accesskey", KEY},       {"accesskeyid", KEY},
    {"privatekey", PASSWORD}, {"accountkey", KEY},
    {"sharedaccesskey", KEY}, {"sharedkey", KEY},
    {"authkey", KEY},         {"secretaccesskey", PASSWORD},
    {"token", KEY},           {"credential", KEY},
    {"credentials", KEY},     {"clientsecret", PASSWORD},
    {"signingkey", KEY},      {"encryptionkey", KEY},
    {"masterkey", KEY},       {"servicekey", KEY},
    {"webhooksecret", KEY},   {"bearer", KEY},
    {"authorization", KEY},   {"subscriptionkey", KEY},
    {"licensekey", KEY},      {"jwt", KEY},
    {"cookie", WEAK_KEY},     {"sessionid", KEY},
    {"key", WEAK_KEY},        {"auth", WEAK_KEY},
    {"salt", WEAK_KEY},
};

/* Prose: "my password is X". */
static const char *const prose_words[] = {
    "password", "Password",     "PASSWORD",   "passwort", "Passwort", "passcode",
    "Passcode", "passphrase",   "Passphrase", "kennwort", "Kennwort", "contraseña",
    "senha",    "mot de passe", "wachtwoord", "bearer",   "Bearer",   "pwd",
    "secret",   "token",        "Token",      "key",      "Basic",    "basic"};

#define NAME_COUNT (sizeof names / sizeof *names)
/* Filled by pii_secret_word_starts. Names lie in lists by their first letter: row number + 1. */
static uint8_t name_lens[NAME_COUNT];
static uint8_t first_name[26];
static uint8_t next_name[NAME_COUNT];
_Static_assert(NAME_COUNT < 255, "row numbers are bytes");
static uint8_t prose_lens[sizeof prose_words / sizeof *prose_words];

void pii_secret_word_starts(void (*mark)(const char *word))
{
    for (size_t i = 0; i < sizeof prose_words / sizeof *prose_words; i++) {
        mark(prose_words[i]);
        prose_lens[i] = (uint8_t)strlen(prose_words[i]);
    }
    for (size_t i = 0; i < NAME_COUNT; i++) {
        unsigned letter = (unsigned char)names[i].word[0] - 'a';
        name_lens[i] = (uint8_t)strlen(names[i].word);
        next_name[i] = first_name[letter];
        first_name[letter] = (uint8_t)(i + 1);
    }
}

/* ---- names --------------------------------------------------------------------------------- */

/* Endings that may follow the word in a name: api_key_prod, password2, token_value, secretsecure.
 */
static bool is_name_tail(const char *tail, size_t len)
{
    static const char *const tails[] = {
        "value",  "secure", "prod",      "production", "dev", "test",  "live", "staging", "base64",
        "string", "text",   "myservice", "old",        "new", "plain", "raw",  "hash"};
    size_t at = 0;
    while (at < len && isdigit((unsigned char)tail[at]))
        at++;
    if (at == len)
        return true;
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        if (strlen(tails[i]) == len && memcmp(tail, tails[i], len) == 0)
            return i + 1 < sizeof tails / sizeof *tails; /* a hash is no secret */
    }
    return false;
}

/* What the identifier that ends at `end` names. *start is set to its first byte. */
static enum strength name_strength(const struct pii_scan *scan, size_t end, size_t *start)
{
    char flat[NAME_MAX_BYTES];
    size_t flat_at[NAME_MAX_BYTES];
    size_t len = 0;
    size_t at = end;
    enum strength best = NO_SECRET;

    while (at > 0 && end - at < NAME_MAX_BYTES &&
           (pii_is(scan->text[at - 1], PII_ALNUM | PII_HIGH) || scan->text[at - 1] == '_' ||
            scan->text[at - 1] == '-' || scan->text[at - 1] == '.'))
        at--;
    *start = at;
    for (size_t i = at; i < end; i++) {
        if (!pii_is(scan->text[i], PII_ALNUM | PII_HIGH))
            continue;
        flat_at[len] = i;
        flat[len++] = (char)pii_lower(scan->text[i]);
    }
    if (len < 3)
        return NO_SECRET;
    for (size_t from = 0; from + 2 < len; from++) {
        unsigned letter = (unsigned char)flat[from] - 'a';
        for (unsigned i = letter < 26 ? first_name[letter] : 0; i != 0; i = next_name[i - 1]) {
            const char *word = names[i - 1].word;
            size_t width = name_lens[i - 1];
            if (names[i - 1].strength <= best || from + width > len ||
                memcmp(flat + from, word, width) != 0)
                continue;
            /* A new word of the name starts here: a separator, a capital after a small letter; a
             * short word such as key or pass in the middle of another is none (monkey, compass). */
            size_t here = flat_at[from];
            bool is_start =
                from == 0 || flat_at[from - 1] + 1 < here ||
                (pii_is(scan->text[here], PII_UPPER) && !pii_is(scan->text[here - 1], PII_UPPER));
            if ((is_start || width >= 6) &&
                (from + width == len || is_name_tail(flat + from + width, len - from - width)))
                best = names[i - 1].strength;
        }
    }
    return best;
}

/* ---- values -------------------------------------------------------------------------------- */

static bool starts_with(struct sl_slice value, const char *prefix)
{
    size_t len = strlen(prefix);
    return value.len >= len && strncasecmp(value.data, prefix, len) == 0;
}

static bool is_template(struct sl_slice value)
{
    static const char *const starts[] = {
        "${",       "$(",     "{{",   "<",      "%(",      "%{",      "#{",    "os.",
        "process.", "env.",   "env(", "getenv", "System.", "config.", "self.", "this.",
        "secrets.", "vault.", "var.", "[",      "...",     "$$"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        if (starts_with(value, starts[i]))
            return true;
    }
    if (memmem(value.data, value.len, "edacted", 7) != NULL ||
        memmem(value.data, value.len, "EDACTED", 7) != NULL ||
        memmem(value.data, value.len, "://", 3) != NULL)
        return true;
    if (value.data[0] == '$' && value.len > 1) { /* $VARIABLE */
        size_t at = 1;
        while (at < value.len && (isalnum((unsigned char)value.data[at]) || value.data[at] == '_'))
            at++;
        if (at == value.len)
            return true;
    }
    if (value.data[0] == '{' &&
        (value.data[value.len - 1] == '}' || memchr(value.data, '(', value.len) != NULL))
        return true;
    return false;
}

struct shape {
    unsigned uppers, lowers, digits, signs, joints; /* joints: - _ . */
    double entropy;                                 /* bits per character */
};

static struct shape shape_of(struct sl_slice value)
{
    struct shape shape = {0};
    unsigned counts[256] = {0};
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        counts[c]++;
        if (pii_is(c, PII_UPPER))
            shape.uppers++;
        else if (pii_is(c, PII_LOWER))
            shape.lowers++;
        else if (pii_is(c, PII_DIGIT))
            shape.digits++;
        else if (c == '-' || c == '_' || c == '.')
            shape.joints++;
        else
            shape.signs++;
    }
    for (size_t i = 0; i < value.len; i++) {
        unsigned *count = &counts[(unsigned char)value.data[i]];
        double share = (double)*count / (double)value.len;
        shape.entropy -= *count > 0 ? share * log2(share) : 0;
        *count = 0;
    }
    return shape;
}

static bool is_uuid(struct sl_slice value)
{
    if (value.len != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? value.data[i] != '-' : !pii_is((unsigned char)value.data[i], PII_HEX))
            return false;
    }
    return true;
}

/* Names of things, not secrets: real_key, cmp2-qat-1208358310, Ed25519.Signatures, 2024-06-01. */
static bool is_identifier_like(const struct shape *shape)
{
    bool has_letters = shape->uppers + shape->lowers > 0;
    if (shape->signs > 0)
        return false;
    if (!has_letters)
        return true; /* digits and joints: a date, a version, a number */
    return shape->digits == 0 && shape->entropy < 4.2 &&
           (shape->uppers == 0 || shape->lowers == 0 || shape->joints > 0 || shape->uppers <= 3);
}

static bool is_value(struct sl_slice value, enum strength strength, bool takes_uuid)
{
    struct shape shape;

    if (value.len < 6 || value.len > VALUE_MAX_BYTES || is_template(value) ||
        pii_is_dummy((const unsigned char *)value.data, value.len))
        return false;
    shape = shape_of(value);
    if (shape.uppers + shape.lowers + shape.digits == 0)
        return false;
    if (is_uuid(value))
        return takes_uuid;
    if (pii_has_secret_prefix(value) || is_identifier_like(&shape))
        return false;
    /* A call or an expression: f(x), a.b[0]. */
    if (value.data[value.len - 1] == ')' && shape.digits == 0 && shape.signs <= 2)
        return false;
    switch (strength) {
    case PASSWORD:
        return shape.digits > 0 || shape.signs > 0 || (value.len >= 16 && shape.entropy > 3.5);
    case KEY:
        return value.len >= 16 && shape.entropy > 3.0 &&
               (shape.digits > 1 || shape.entropy > 4.0) &&
               !(shape.uppers == 0 && shape.joints > 1 && value.len < 24 && shape.digits > 4);
    case WEAK_KEY:
        return value.len >= 20 && shape.entropy > 3.2 && shape.digits > 2 &&
               (shape.uppers > 2 || shape.joints == 0);
    case NO_SECRET:
        break;
    }
    return false;
}

/* ---- reading values ------------------------------------------------------------------------ */

static bool is_quote(unsigned char c)
{
    return c == '"' || c == '\'' || c == '`';
}

/* The end of a quoted value that starts after the quote; 0: no closing quote on the line. */
static size_t quoted_end(const struct pii_scan *scan, size_t start, unsigned char quote)
{
    for (size_t i = start; i < scan->len && i - start <= VALUE_MAX_BYTES; i++) {
        if (scan->text[i] == '\n')
            return 0;
        if (scan->text[i] == quote) {
            /* {\"password\":\"x\"}: the backslash belongs to the quote. */
            return i > start && scan->text[i - 1] == '\\' ? i - 1 : i;
        }
    }
    return 0;
}

static size_t bare_end(const struct pii_scan *scan, size_t start)
{
    size_t end = start;
    while (end < scan->len && end - start <= VALUE_MAX_BYTES && scan->text[end] > ' ' &&
           scan->text[end] != '\\')
        end++;
    while (end > start && strchr(",;\"'`", scan->text[end - 1]) != NULL)
        end--;
    return end;
}

static void add_value(struct pii_scan *scan, size_t start, size_t end, enum strength strength,
                      bool takes_uuid)
{
    struct sl_slice value = {(const char *)scan->text + start, end > start ? end - start : 0};
    if (memchr(value.data, ' ', value.len) == NULL && is_value(value, strength, takes_uuid))
        pii_add(scan, start, end, SL_PII_SECRET, 0.7, false);
}

/* The value right of a sign, at `at` (blanks may follow). */
static void read_value(struct pii_scan *scan, size_t at, enum strength strength, bool takes_uuid)
{
    size_t end;
    while (at < scan->len && (scan->text[at] == ' ' || scan->text[at] == '\t'))
        at++;
    if (pii_at(scan, at) == '@' && is_quote(pii_at(scan, at + 1)))
        at++;
    if (pii_at(scan, at) == '\\' && is_quote(pii_at(scan, at + 1)))
        at++;
    /* Authorization: Bearer x, token: Bearer x */
    if (pii_word_at(scan, at, "bearer ") || pii_word_at(scan, at, "basic ") ||
        pii_word_at(scan, at, "token "))
        at += (size_t)(strchr((const char *)scan->text + at, ' ') - (const char *)scan->text) - at +
              1;
    if (at >= scan->len)
        return;
    if (is_quote(scan->text[at])) {
        end = quoted_end(scan, at + 1, scan->text[at]);
        if (end > 0)
            add_value(scan, at + 1, end, strength, takes_uuid);
        return;
    }
    end = bare_end(scan, at);
    /* ConnectionString: Password=x;Database=y */
    const unsigned char *semicolon = memchr(scan->text + at, ';', end - at);
    if (semicolon != NULL && memchr(semicolon, '=', (size_t)(scan->text + end - semicolon)) != NULL)
        end = (size_t)(semicolon - scan->text);
    const unsigned char *ampersand = memchr(scan->text + at, '&', end - at);
    if (ampersand != NULL && memchr(ampersand, '=', (size_t)(scan->text + end - ampersand)) != NULL)
        end = (size_t)(ampersand - scan->text);
    if (end > at && scan->text[end - 1] == '}' && memchr(scan->text + at, '{', end - at) == NULL)
        end--;
    add_value(scan, at, end, strength, takes_uuid);
}

/* "value" == password: the name stands right of the sign. */
static void read_reversed(struct pii_scan *scan, size_t quote_at, size_t right)
{
    unsigned char quote = scan->text[quote_at];
    size_t start = quote_at;
    size_t name_start;
    size_t end = right;

    while (end < scan->len && (scan->text[end] == ' ' || scan->text[end] == '='))
        end++;
    size_t name = end;
    while (end < scan->len && end - name < NAME_MAX_BYTES &&
           (pii_is(scan->text[end], PII_ALNUM) || scan->text[end] == '_'))
        end++;
    enum strength strength = name_strength(scan, end, &name_start);
    if (end == name || strength == NO_SECRET)
        return;
    while (start > 0 && quote_at - start < VALUE_MAX_BYTES && scan->text[start - 1] != quote &&
           scan->text[start - 1] != '\n')
        start--;
    if (start > 0 && scan->text[start - 1] == quote)
        add_value(scan, start, quote_at, strength, false);
}

/* ---- triggers ------------------------------------------------------------------------------ */

void pii_find_secret_assignment(struct pii_scan *scan, size_t at)
{
    size_t left = at;
    size_t right = at + 1;
    size_t name_start;
    enum strength strength;

    if (!pii_is_on(scan, SL_PII_SECRET))
        return;
    if (at > 0 && (scan->text[at - 1] == '=' || scan->text[at - 1] == ':') && scan->text[at] != '=')
        return; /* the first sign of several did it, but := and == end here */
    while (left > 0 && at - left < 3 && strchr("!=:", scan->text[left - 1]) != NULL &&
           scan->text[left - 1] != 0)
        left--;
    while (left > 0 && at - left < 8 && scan->text[left - 1] == ' ')
        left--;
    if (left == 0)
        return;
    if (pii_at(scan, right) == '=' || (pii_at(scan, right) == ':'))
        return; /* not the last sign */
    if (pii_at(scan, right) == '>')
        right++;
    bool is_comparison = at > 0 && (scan->text[at - 1] == '=' || scan->text[at - 1] == '!');
    if (is_comparison && is_quote(scan->text[left - 1])) {
        read_reversed(scan, left - 1, right);
        return;
    }
    if (scan->text[left - 1] == ']') { /* char secret[25] = … */
        size_t open = left - 1;
        while (open > 0 && left - open < 8 && scan->text[open] != '[')
            open--;
        if (scan->text[open] != '[')
            return;
        left = open;
    } else if (is_quote(scan->text[left - 1])) { /* "secret": … */
        left--;
        if (left > 0 && scan->text[left - 1] == '\\')
            left--;
    }
    if (left == 0 || !pii_is(scan->text[left - 1], PII_ALNUM | PII_HIGH))
        return;
    strength = name_strength(scan, left, &name_start);
    if (strength != NO_SECRET) {
        size_t len = left - name_start;
        bool takes_uuid = len >= 9 && pii_word_at(scan, left - 9, "authtoken") && name_start > 0 &&
                          scan->text[name_start - 1] == ':';
        read_value(scan, right, strength, takes_uuid);
    }
}

void pii_find_secret_quoted(struct pii_scan *scan, size_t at)
{
    size_t name_end = at;
    size_t name_start;

    if (!pii_is_on(scan, SL_PII_SECRET) || at < 4)
        return;
    name_end--;
    if (scan->text[name_end] != '(' && scan->text[name_end] != ' ')
        return;
    if (!pii_is(scan->text[name_end - 1], PII_ALNUM))
        return;
    enum strength strength = name_strength(scan, name_end, &name_start);
    size_t end = strength != NO_SECRET ? quoted_end(scan, at + 1, scan->text[at]) : 0;
    if (end > 0)
        add_value(scan, at + 1, end, strength == WEAK_KEY ? WEAK_KEY : strength, false);
}

static bool is_prose_word(const struct pii_scan *scan, size_t at)
{
    for (size_t i = 0; i < sizeof prose_words / sizeof *prose_words; i++) {
        const char *word = prose_words[i];
        size_t len = prose_lens[i];
        if (word[0] == (char)scan->text[at] && scan->len - at > len &&
            memcmp(scan->text + at, word, len) == 0)
            return true;
    }
    return false;
}

size_t pii_find_secret_word(struct pii_scan *scan, size_t at)
{
    static const char *const verbs[] = {" is ",  " is: ",    " ist ",    " was ", " es ",
                                        " est ", " lautet ", " is now ", " = "};
    size_t end = at;
    bool is_password;

    if (!is_prose_word(scan, at))
        return at;
    while (end < scan->len && end - at < 16 && pii_is(scan->text[end], PII_LETTER))
        end++;
    if (pii_word_at(scan, at, "bearer ")) {
        size_t stop = bare_end(scan, end + 1);
        add_value(scan, end + 1, stop, KEY, false);
        return at;
    }
    is_password = pii_word_at(scan, at, "pass") || pii_word_at(scan, at, "kennwort") ||
                  pii_word_at(scan, at, "pwd") || pii_word_at(scan, at, "contrase") ||
                  pii_word_at(scan, at, "senha") || pii_word_at(scan, at, "wachtwoord");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (!pii_word_at(scan, end, verbs[i]))
            continue;
        size_t value = end + strlen(verbs[i]);
        if (is_quote(pii_at(scan, value))) {
            size_t stop = quoted_end(scan, value + 1, scan->text[value]);
            if (stop > 0)
                add_value(scan, value + 1, stop, is_password ? PASSWORD : KEY, false);
        } else {
            size_t stop = bare_end(scan, value);
            while (stop > value && strchr(".)", scan->text[stop - 1]) != NULL && stop - value > 8)
                stop--;
            add_value(scan, value, stop, is_password ? PASSWORD : KEY, false);
        }
        break;
    }
    return at;
}
