/* SPDX-License-Identifier: Apache-2.0
 *
 * Telephones. Three ways to be one, from strong to weak:
 *   1. international: '+' or 00 and a country code, then a length that the country uses;
 *   2. national, in a region that the policy reads: trunk prefix, length, first digits, grouping;
 *   3. any plausible grouping next to a word such as "call", "fax", "Tel.".
 * A bare run of digits is a telephone only by 1 or 3: epoch seconds, order numbers and serials have
 * the same length. Dates are ruled out first, and numbers that a word such as "order" or "ISBN"
 * names as something else.
 *
 * Known failures of plan-only matching that shaped this: libphonenumber issue 708,
 * python-phonenumbers issue 164 (dates and ranges taken as German numbers).
 */
#include "pii/phone.h"

#include "pii/checks.h"
#include "pii/context.h"
#include "pii/number.h"

struct plan {
    char iso[3];
    uint16_t code;
    char trunk[3];       /* before a national number; "" where there is none */
    uint8_t min, max;    /* digits of a national number without trunk prefix */
    const char *leads;   /* its possible first digits */
    bool needs_grouping; /* national forms in one piece are not read even with the trunk prefix */
};

static const struct plan plans[] = {
    {"US", 1, "1", 10, 10, "23456789", true},    {"CA", 1, "1", 10, 10, "23456789", true},
    {"GB", 44, "0", 9, 10, "12357899", false},   {"DE", 49, "0", 6, 11, "123456789", true},
    {"FR", 33, "0", 9, 9, "12345679", false},    {"IL", 972, "0", 8, 9, "2345789", false},
    {"IN", 91, "0", 10, 10, "123456789", true},  {"BR", 55, "0", 10, 11, "123456789", true},
    {"IT", 39, "", 8, 11, "03", true},           {"ES", 34, "", 9, 9, "6789", true},
    {"NL", 31, "0", 9, 9, "1234567", false},     {"BE", 32, "0", 8, 9, "123456789", false},
    {"SE", 46, "0", 7, 10, "123456789", true},   {"DK", 45, "", 8, 8, "23456789", true},
    {"FI", 358, "0", 6, 11, "123456789", true},  {"NO", 47, "", 8, 8, "23456789", true},
    {"CZ", 420, "", 9, 9, "2345679", true},      {"SK", 421, "0", 9, 9, "23459", false},
    {"GR", 30, "", 10, 10, "2689", true},        {"HU", 36, "06", 8, 9, "123456789", false},
    {"RO", 40, "0", 9, 9, "2379", false},        {"HR", 385, "0", 8, 9, "123456789", false},
    {"LV", 371, "", 8, 8, "26789", true},        {"LT", 370, "8", 8, 8, "3456789", true},
    {"EE", 372, "", 7, 8, "345678", true},       {"PL", 48, "", 9, 9, "123456789", true},
    {"PT", 351, "", 9, 9, "236789", true},       {"AT", 43, "0", 7, 13, "123456789", true},
    {"CH", 41, "0", 9, 9, "23456789", false},    {"IE", 353, "0", 7, 10, "12456789", true},
    {"AU", 61, "0", 9, 9, "23478", false},       {"NZ", 64, "0", 8, 10, "234679", true},
    {"JP", 81, "0", 9, 10, "123456789", false},  {"KR", 82, "0", 8, 10, "123456", true},
    {"SG", 65, "", 8, 8, "3689", true},          {"HK", 852, "", 8, 8, "235689", true},
    {"TW", 886, "0", 8, 9, "2345678", false},    {"CN", 86, "0", 10, 11, "123456789", true},
    {"ZA", 27, "0", 9, 9, "12345678", false},    {"UA", 380, "0", 9, 9, "3456789", false},
    {"RU", 7, "8", 10, 10, "34589", true},       {"TR", 90, "0", 10, 10, "23458", false},
    {"AR", 54, "0", 10, 11, "12369", true},      {"MX", 52, "", 10, 10, "123456789", true},
    {"CL", 56, "", 9, 9, "23456789", true},      {"CO", 57, "", 10, 10, "36", true},
    {"PE", 51, "0", 8, 9, "1456789", true},      {"EG", 20, "0", 8, 10, "1234569", true},
    {"NG", 234, "0", 8, 10, "1234567890", true}, {"KE", 254, "0", 9, 9, "124567", false},
    {"PH", 63, "0", 8, 10, "23456789", true},    {"TH", 66, "0", 8, 9, "23456789", false},
    {"VN", 84, "0", 9, 10, "2356789", false},    {"ID", 62, "0", 8, 12, "2345678", true},
    {"MY", 60, "0", 8, 10, "1345678", true},     {"PK", 92, "0", 9, 10, "2345689", true},
    {"AE", 971, "0", 8, 9, "2345679", true},     {"SA", 966, "0", 8, 9, "1589", true},
    {"BG", 359, "0", 7, 9, "23456789", true},    {"RS", 381, "0", 8, 9, "123678", true},
    {"SI", 386, "0", 8, 8, "1234567", false},    {"IS", 354, "", 7, 7, "45678", true},
    {"LU", 352, "", 6, 11, "23456789", true},
};
#define PLAN_COUNT (sizeof plans / sizeof *plans)
_Static_assert(sizeof plans / sizeof *plans <= 64, "regions are a 64-bit set");

/* Country codes of two digits; those of one are 1 and 7, all others have three (ITU-T E.164). */
static const char two_digit_codes[] =
    "20273031323334363940414344454647484951525354555657586061626364"
    "65668182848690919293949598";

int pii_phone_region(const char *iso)
{
    for (size_t i = 0; iso != NULL && i < PLAN_COUNT; i++) {
        if (strcmp(plans[i].iso, iso) == 0)
            return (int)i;
    }
    return -1;
}

/* A telephone as written: digits, their groups, and what stood between. */
struct dialled {
    size_t start, end; /* brackets and '+' included */
    bool has_plus;
    char digits[24];
    unsigned count;
    unsigned trunk_at; /* digits before a "(0)", 0: none. That digit is not in `digits`. */
    struct {
        size_t end; /* after the group, closing bracket included */
        uint8_t len;
        unsigned char sep; /* before it */
        bool in_brackets;
    } groups[12];
    unsigned group_count;
};

/* ---- reading ------------------------------------------------------------------------------- */

static void read_lead(const struct pii_scan *scan, size_t at, struct dialled *phone)
{
    phone->start = at;
    if (at > 0 && scan->text[at - 1] == '(')
        phone->start = at - 1;
    if (phone->start > 0 && scan->text[phone->start - 1] == '+') {
        phone->has_plus = true;
        phone->start--;
    } else if (phone->start > 1 && scan->text[phone->start - 1] == ' ' &&
               scan->text[phone->start - 2] == '+' && phone->start == at) {
        phone->has_plus = true; /* + 49 30 … */
        phone->start -= 2;
    }
    if (phone->has_plus && phone->start > 0 && scan->text[phone->start - 1] == '(')
        phone->start--;
}

static bool is_phone_sign(unsigned char c)
{
    return c == ' ' || c == '-' || c == '.' || c == '/' || c == '(' || c == ')' || c == 0xA0;
}

/* The signs between two groups; returns their length. *sep is what they mean. */
static size_t read_separator(const struct pii_scan *scan, size_t at, unsigned char *sep)
{
    size_t here = at;
    *sep = 0;
    while (here - at < 4) {
        unsigned char c = pii_at(scan, here);
        if (!is_phone_sign(c) || here >= scan->len)
            break;
        if (c == '(' && *sep != 0 && *sep != ' ' && *sep != '-')
            return 0;
        if (*sep != 0 && *sep != ' ' && *sep != ')' && c != *sep && c != ' ' && c != '(')
            *sep = '?'; /* ".-" of a range of dates */
        else
            *sep = *sep == 0 || *sep == ' ' || *sep == ')' ? c : *sep;
        here++;
    }
    return pii_is(pii_at(scan, here), PII_DIGIT) ? here - at : 0;
}

static void read_dialled(const struct pii_scan *scan, size_t at, struct dialled *phone)
{
    size_t here = at;
    unsigned char sep = 0;

    *phone = (struct dialled){0};
    read_lead(scan, at, phone);
    while (phone->group_count < sizeof phone->groups / sizeof *phone->groups) {
        size_t end = here;
        while (pii_is(pii_at(scan, end), PII_DIGIT))
            end++;
        size_t len = end - here;
        if (phone->count + len >= sizeof phone->digits)
            break;
        /* A second number after a blank: 052 5552606 074-7111234. */
        unsigned whole = strncmp(phone->digits, "00", 2) == 0 ? 12 : 9;
        if (phone->count >= whole && len >= 3 && scan->text[here] == '0' && sep == ' ')
            break;
        bool in_brackets = here > 0 && scan->text[here - 1] == '(';
        if (in_brackets && pii_at(scan, end) != ')')
            break;
        if (in_brackets && len == 1 && scan->text[here] == '0' && phone->group_count > 0) {
            phone->trunk_at = phone->count; /* +46 (0)8 … */
            end++;
            size_t width = read_separator(scan, end, &sep);
            here = end + width;
            if (!pii_is(pii_at(scan, here), PII_DIGIT))
                break;
            sep = '(';
            continue;
        }
        memcpy(phone->digits + phone->count, scan->text + here, len);
        phone->count += (unsigned)len;
        phone->groups[phone->group_count].end = end + (in_brackets ? 1 : 0);
        phone->groups[phone->group_count].len = (uint8_t)len;
        phone->groups[phone->group_count].sep = sep;
        phone->groups[phone->group_count].in_brackets = in_brackets;
        phone->group_count++;
        phone->end = phone->groups[phone->group_count - 1].end;
        size_t width = read_separator(scan, end, &sep);
        if (width == 0)
            break;
        here = end + width;
    }
}

/* "x123", " ext. 503", " #12" after a number; returns the new end. */
static size_t read_extension(const struct pii_scan *scan, size_t end)
{
    static const char *const words[] = {"extension", "extn", "ext.", "ext", "x", "#", "durchwahl"};
    size_t at = end;
    while (at - end < 2 &&
           (pii_at(scan, at) == ' ' || pii_at(scan, at) == ',' || pii_at(scan, at) == ';'))
        at++;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!pii_word_at(scan, at, words[i]))
            continue;
        size_t digits = at + strlen(words[i]);
        while (digits - at < 12 && (pii_at(scan, digits) == ' ' || pii_at(scan, digits) == '.' ||
                                    pii_at(scan, digits) == '='))
            digits++;
        size_t stop = digits;
        while (stop - digits < 7 && pii_is(pii_at(scan, stop), PII_DIGIT))
            stop++;
        if (stop > digits && !pii_is(pii_at(scan, stop), PII_ALNUM))
            return stop;
    }
    return end;
}

/* ---- judging ------------------------------------------------------------------------------- */

/* dd.mm.yyyy, yyyy-mm-dd, m/d/yy and ranges of such, in the first groups. */
static bool is_date_like(const struct dialled *phone, unsigned groups)
{
    const char *d = phone->digits;
    unsigned char sep = phone->groups[1].sep;

    if (groups < 2 || phone->has_plus || strchr("./-", sep) == NULL)
        return false;
    unsigned a = phone->groups[0].len;
    unsigned b = phone->groups[1].len;
    if (groups >= 3 && a == 4 && b <= 2 && (memcmp(d, "19", 2) == 0 || memcmp(d, "20", 2) == 0))
        return true;
    if (a > 2 || b > 2)
        return false;
    unsigned first = a == 2 ? pii_two_digits(d) : (unsigned)(d[0] - '0');
    unsigned second = b == 2 ? pii_two_digits(d + a) : (unsigned)(d[a] - '0');
    if (!pii_is_month_day(first, second) && !pii_is_month_day(second, first))
        return false;
    if (groups == 2)
        return true;
    /* Five or six pairs with one sign all through are a French or Danish number. */
    bool is_uniform = true;
    for (unsigned i = 2; i < groups; i++)
        is_uniform = is_uniform && phone->groups[i].sep == sep && phone->groups[i].len == 2;
    return !(is_uniform && groups >= 4);
}

static bool is_number_shape(const struct dialled *phone, unsigned groups)
{
    unsigned tiny = 0;
    /* 106.0512973 is a decimal fraction, 2019-20 a range. */
    if (groups == 2 && phone->groups[1].sep == '.')
        return false;
    for (unsigned i = 0; i < groups; i++)
        tiny += phone->groups[i].len == 1 && !(i == 0);
    return tiny == 0 || (tiny == 1 && phone->count >= 9);
}

static size_t code_len(const char *digits, unsigned count)
{
    if (count < 7)
        return 0;
    if (digits[0] == '1' || digits[0] == '7')
        return 1;
    for (size_t i = 0; i + 1 < sizeof two_digit_codes; i += 2) {
        if (two_digit_codes[i] == digits[0] && two_digit_codes[i + 1] == digits[1])
            return 2;
    }
    return digits[0] >= '2' ? 3 : 0;
}

/* After '+': a country code and as many digits as its numbers have. */
static bool is_international(const char *digits, unsigned count)
{
    size_t width = code_len(digits, count);
    unsigned code = 0;
    bool is_known = false;

    if (width == 0 || count > 15)
        return false;
    for (size_t i = 0; i < width; i++)
        code = code * 10 + (unsigned)(digits[i] - '0');
    unsigned rest = count - (unsigned)width;
    for (size_t i = 0; i < PLAN_COUNT; i++) {
        if (plans[i].code != code)
            continue;
        is_known = true;
        /* One more or less: trunk digits left in, numbers just ported, made-up ones in letters. */
        if (rest + 1 >= plans[i].min && rest <= plans[i].max + 1u)
            return true;
    }
    return !is_known && rest >= 5 && rest <= 12;
}

/* North America: area code and exchange start with 2 to 9. */
static bool is_nanp(const char *digits, unsigned count)
{
    return count == 10 && digits[0] >= '2' && digits[3] >= '2';
}

static bool is_national(const struct plan *plan, const struct dialled *phone, unsigned groups,
                        unsigned count)
{
    size_t trunk = strlen(plan->trunk);
    const char *digits = phone->digits;
    unsigned rest = count;

    if (plan->code == 1) {
        if (count == 11 && digits[0] == '1')
            digits++, rest--;
        if (!is_nanp(digits, rest))
            return false;
        /* 650 253 0000, (650) 2530000: the area code is a group of its own. */
        unsigned area = count == 11 ? 1 : 0;
        return groups > area + 1 && phone->groups[area].len == 3 &&
               phone->groups[area + 1].len != 2;
    }
    if (trunk > 0) {
        if (strncmp(digits, plan->trunk, trunk) != 0) {
            /* Brazil's area code in brackets needs no trunk prefix: (11) 96123-4567. */
            if (!(plan->code == 55 && phone->groups[0].in_brackets && groups > 1))
                return false;
        } else {
            digits += trunk;
            rest -= (unsigned)trunk;
        }
    }
    if (rest < plan->min || rest > plan->max || strchr(plan->leads, digits[0]) == NULL)
        return false;
    if (groups == 1)
        return trunk > 0 && !plan->needs_grouping;
    return phone->groups[0].len >= 2 && phone->groups[0].len <= 6;
}

/* (ddd) ddd-dddd, ddd-ddd-dddd, ddd.ddd.dddd, 1-ddd-ddd-dddd: nothing else is written so, whatever
 * the digits. With blanks it could be three numbers. */
static bool has_american_shape(const struct dialled *phone, unsigned groups)
{
    unsigned first = groups >= 4 && phone->groups[0].len <= 3 && phone->groups[0].len >= 1 ? 1 : 0;
    if (groups - first == 2 && phone->groups[first].in_brackets)
        return phone->groups[first].len == 3 && phone->groups[first + 1].len == 7;
    if (groups - first != 3 || phone->groups[first].len != 3 || phone->groups[first + 1].len != 3 ||
        phone->groups[first + 2].len != 4)
        return false;
    if (first == 1 && phone->digits[phone->groups[0].len - 1] != '1' &&
        phone->groups[0].len != 2 && /* 1-, 001-, 91-, 0 (917) */
        !(phone->groups[1].in_brackets && phone->digits[0] == '0'))
        return false;
    if (phone->groups[first].in_brackets)
        return true;
    unsigned char sep = phone->groups[first + 2].sep;
    return (sep == '-' || sep == '.') &&
           (phone->groups[first + 1].sep == sep || phone->groups[first].in_brackets);
}

static bool is_national_anywhere(const struct pii_scan *scan, const struct dialled *phone,
                                 unsigned groups, unsigned count, bool in_any_region)
{
    for (size_t i = 0; i < PLAN_COUNT; i++) {
        if ((in_any_region || (scan->detector->regions >> i & 1) != 0) &&
            is_national(&plans[i], phone, groups, count))
            return true;
    }
    return false;
}

/* "… office", "… (fax)": the word stands behind the number. */
static bool is_named_after(const struct pii_scan *scan, size_t end)
{
    static const char *const words[] = {"office", "fax",    "mobile", "cell",
                                        "home",   "work",   "phone",  "is the office",
                                        "is my",  "is her", "is his", "tel"};
    size_t at = end;
    while (at - end < 3 && strchr(" (,", pii_at(scan, at)) != NULL && pii_at(scan, at) != 0)
        at++;
    for (size_t i = 0; at > end && i < sizeof words / sizeof *words; i++) {
        if (pii_word_at(scan, at, words[i]))
            return true;
    }
    return false;
}

/* 0: no telephone. The first `groups` groups with `count` digits are judged. */
static double judge(struct pii_scan *scan, const struct dialled *phone, unsigned groups,
                    unsigned count)
{
    bool is_international_form = false;

    if (count < 6 || count > 16)
        return 0;
    if (phone->has_plus)
        return is_international(phone->digits, count) ? 0.75 : 0;
    if (is_date_like(phone, groups) || !is_number_shape(phone, groups))
        return 0;
    if (strncmp(phone->digits, "00", 2) == 0 && count >= 10)
        is_international_form =
            is_international(phone->digits + 2, count - 2) && (groups > 1 || count <= 14);
    bool is_inside = phone->start > 1 && scan->text[phone->start - 1] == ' ' &&
                     pii_is(scan->text[phone->start - 2], PII_DIGIT);
    if (is_international_form && groups > 1 && !is_inside)
        return 0.6;
    bool goes_on = groups < phone->group_count && phone->groups[groups].sep == '-' &&
                   phone->groups[groups - 1].sep == '-'; /* an article number of more parts */
    if (has_american_shape(phone, groups) && !goes_on)
        return 0.5;
    if (groups == 1 && is_nanp(phone->digits, count) &&
        read_extension(scan, phone->groups[0].end) > phone->groups[0].end)
        return 0.45; /* 4156667777 x 123 */
    if (pii_has_context_near(scan, phone->start, PII_CONTEXT_NOT_PHONE, 28))
        return 0;
    if (!is_inside && is_national_anywhere(scan, phone, groups, count, false))
        return 0.45;
    if (!pii_has_context(scan, phone->start, SL_PII_PHONE) &&
        !is_named_after(scan, phone->groups[groups - 1].end))
        return 0;
    if (groups == 1)
        return count >= 7 && count <= 13 ? 0.45 : 0;
    return count >= 6 ? 0.45 : 0;
}

size_t pii_find_phone(struct pii_scan *scan, const struct pii_number *number)
{
    struct dialled phone;
    unsigned count;

    if (!pii_is_on(scan, SL_PII_PHONE) || number->digit_count == 0)
        return number->start;
    read_dialled(scan, number->start, &phone);
    unsigned char before = pii_before(scan, phone.start);
    if (pii_is(before, PII_ALNUM) || before == '_' || before == '$' || before == '#' ||
        before == '/' ||
        (!phone.has_plus && (before == '.' || before == ',' || before == '-') && phone.start > 1 &&
         pii_is(scan->text[phone.start - 2], PII_ALNUM)))
        return number->start;
    count = phone.count;
    for (unsigned groups = phone.group_count; groups > 0; groups--) {
        size_t end = phone.groups[groups - 1].end;
        unsigned char after = pii_at(scan, end);
        double score = pii_is(after, PII_LETTER) && pii_lower(after) != 'x'
                           ? 0
                           : judge(scan, &phone, groups, count);
        if (score > 0) {
            size_t extended = read_extension(scan, end);
            if (pii_is(pii_at(scan, extended), PII_ALNUM))
                return number->start;
            if (scan->text[phone.start] == '(' &&
                memchr(scan->text + phone.start, ')', end - phone.start) == NULL)
                phone.start++;
            pii_add(scan, phone.start, extended, SL_PII_PHONE, score, phone.has_plus);
            return extended;
        }
        count -= phone.groups[groups - 1].len;
    }
    return number->start;
}
