/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns the checks of the identifiers in ids.c: one function per rule, one switch that picks it.
 * Sources are the authorities' descriptions, named beside each. Pure functions.
 */
#include "pii/id_checks.h"

#include "pii/checks.h"

static enum pii_check good_if(bool fits)
{
    return fits ? PII_CHECK_GOOD : PII_CHECK_BAD;
}

static unsigned digit(char c)
{
    return (unsigned)(c - '0');
}

static bool is_digits(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
    }
    return true;
}

static bool is_one_digit_repeated(const char *text, size_t len)
{
    for (size_t i = 1; i < len; i++) {
        if (text[i] != text[0])
            return false;
    }
    return true;
}

static unsigned number(const char *digits, size_t len)
{
    unsigned value = 0;
    for (size_t i = 0; i < len; i++)
        value = value * 10 + digit(digits[i]);
    return value;
}

/* Products are added digit by digit, as in Luhn. */
static unsigned cross_sum(const char *digits, const uint8_t *weights, size_t len)
{
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned product = digit(digits[i]) * weights[i];
        sum += product / 10 + product % 10;
    }
    return sum;
}

/* ---- North America ------------------------------------------------------------------------- */

/* IRS: groups 50-65, 70-88, 90-92, 94-99. */
static enum pii_check check_itin(const char *v)
{
    unsigned group = pii_two_digits(v + 3);
    return v[0] == '9' && ((group >= 50 && group <= 65) || (group >= 70 && group <= 88) ||
                           (group >= 90 && group != 93))
               ? PII_CHECK_UNKNOWN
               : PII_CHECK_BAD;
}

/* CMS "Understanding the MBI": letters without S L O I B Z at fixed places. */
static enum pii_check check_mbi(const char *v)
{
    static const char letters[] = "ACDEFGHJKMNPQRTUVWXY";
    static const char form[] = "CAXNAXNAANN"; /* C 1-9, A letter, X either, N digit */
    for (size_t i = 0; i < 11; i++) {
        bool is_digit = v[i] >= '0' && v[i] <= '9';
        bool is_letter = strchr(letters, v[i]) != NULL;
        if ((form[i] == 'C' && (!is_digit || v[i] == '0')) || (form[i] == 'A' && !is_letter) ||
            (form[i] == 'X' && !is_digit && !is_letter) || (form[i] == 'N' && !is_digit))
            return PII_CHECK_BAD;
    }
    return PII_CHECK_UNKNOWN;
}

/* 45 CFR 162.406: Luhn over 80840 and the number. */
static enum pii_check check_npi(const char *v)
{
    char full[16] = "80840";
    memcpy(full + 5, v, 10);
    return good_if((v[0] == '1' || v[0] == '2') && !is_one_digit_repeated(v, 9) &&
                   pii_luhn(full, 15));
}

/* American Bankers Association: weights 3 7 1, and the Federal Reserve's ranges. */
static enum pii_check check_aba(const char *v)
{
    static const uint8_t weights[9] = {3, 7, 1, 3, 7, 1, 3, 7, 1};
    return good_if(strchr("012367 8", v[0]) != NULL && pii_weighted(v, weights, 9) % 10 == 0 &&
                   !is_one_digit_repeated(v, 9));
}

/* DEA: (d1+d3+d5) + 2 (d2+d4+d6) ends in d7. */
static enum pii_check check_dea(const char *v)
{
    static const uint8_t weights[6] = {1, 2, 1, 2, 1, 2};
    return good_if(strchr("ABCDEFGHJKLMPRSTUX", v[0]) != NULL && is_digits(v + 2, 7) &&
                   pii_weighted(v + 2, weights, 6) % 10 == digit(v[8]));
}

static enum pii_check check_sin(const char *v)
{
    return v[0] != '0' && v[0] != '8' && pii_luhn(v, 9) ? PII_CHECK_UNKNOWN : PII_CHECK_BAD;
}

/* ---- United Kingdom ------------------------------------------------------------------------ */

/* NHS Data Dictionary: weights 10 to 2, modulus 11. */
static enum pii_check check_nhs(const char *v)
{
    static const uint8_t weights[10] = {10, 9, 8, 7, 6, 5, 4, 3, 2, 1};
    return good_if(pii_weighted(v, weights, 10) % 11 == 0 && !is_one_digit_repeated(v, 10));
}

/* HMRC NIM39110: prefixes that are not given out. */
static enum pii_check check_nino(const char *v)
{
    static const char *const barred[] = {"BG", "GB", "NK", "KN", "NT", "TN", "ZZ"};
    if (strchr("DFIQUV", v[0]) != NULL || strchr("DFIOQUV", v[1]) != NULL)
        return PII_CHECK_BAD;
    for (size_t i = 0; i < sizeof barred / sizeof *barred; i++) {
        if (memcmp(v, barred[i], 2) == 0)
            return PII_CHECK_BAD;
    }
    return PII_CHECK_UNKNOWN;
}

/* DVLA: five letters of the name padded with 9, then decade, month (+50), day, year. */
static enum pii_check check_uk_driver(const char *v)
{
    bool is_padding = false;
    for (size_t i = 0; i < 5; i++) {
        bool is_nine = v[i] == '9';
        if ((!is_nine && (v[i] < 'A' || v[i] > 'Z')) || (is_padding && !is_nine) ||
            (i == 0 && is_nine))
            return PII_CHECK_BAD;
        is_padding = is_nine;
    }
    if (!is_digits(v + 5, 6))
        return PII_CHECK_BAD;
    unsigned month = pii_two_digits(v + 6);
    unsigned day = pii_two_digits(v + 8);
    bool fits =
        ((month >= 1 && month <= 12) || (month >= 51 && month <= 62)) && day >= 1 && day <= 31;
    for (size_t i = 11; i < 13; i++)
        fits = fits && (v[i] == '9' || (v[i] >= 'A' && v[i] <= 'Z'));
    return fits ? PII_CHECK_UNKNOWN : PII_CHECK_BAD;
}

/* Plates since 2001: age 02-29 and 51-79; no I, Q, Z in the first two letters. */
static enum pii_check check_uk_plate(const char *v, size_t len)
{
    if (len == 7 && v[1] >= 'A' && is_digits(v + 2, 2)) {
        unsigned age = pii_two_digits(v + 2);
        if (strchr("IQZ", v[0]) != NULL || strchr("IQZ", v[1]) != NULL ||
            strchr("IQ", v[4]) != NULL || strchr("IQ", v[5]) != NULL || strchr("IQ", v[6]) != NULL)
            return PII_CHECK_BAD;
        return good_if((age >= 2 && age <= 29) || (age >= 51 && age <= 79));
    }
    for (size_t i = 0; i < len; i++) {
        if (v[i] == 'I' || v[i] == 'Q' || (v[i] == 'Z' && i == 0))
            return PII_CHECK_BAD;
    }
    return PII_CHECK_UNKNOWN;
}

/* ---- Germany ------------------------------------------------------------------------------- */

/* BZSt: ISO 7064 MOD 11,10; of the first ten digits none more than three times. */
static enum pii_check check_de_tax_id(const char *v)
{
    unsigned counts[10] = {0};
    for (size_t i = 0; i < 10; i++) {
        if (++counts[digit(v[i])] > 3)
            return PII_CHECK_BAD;
    }
    return good_if(v[0] != '0' && pii_mod11_10(v, 11));
}

static enum pii_check check_de_tax_number(const char *v, size_t len)
{
    unsigned state = pii_two_digits(v);
    return len != 13 || (state >= 1 && state <= 16) ? PII_CHECK_UNKNOWN : PII_CHECK_BAD;
}

/* VKVV section 4: letter as two digits, weights, cross sums. */
static enum pii_check check_de_social(const char *v)
{
    static const uint8_t weights[12] = {2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1};
    char full[12];
    unsigned day = pii_two_digits(v + 2);
    unsigned month = pii_two_digits(v + 4);
    unsigned letter = (unsigned)(v[8] - 'A') + 1;

    memcpy(full, v, 8);
    full[8] = (char)('0' + letter / 10);
    full[9] = (char)('0' + letter % 10);
    memcpy(full + 10, v + 9, 2);
    return good_if(((day >= 1 && day <= 31) || (day >= 51 && day <= 81)) && month >= 1 &&
                   month <= 12 && cross_sum(full, weights, 12) % 10 == digit(v[11]));
}

/* Section 290 SGB V: letter as two digits, weights 1 2, cross sums. */
static enum pii_check check_de_health(const char *v)
{
    static const uint8_t weights[10] = {1, 2, 1, 2, 1, 2, 1, 2, 1, 2};
    char full[10];
    unsigned letter = (unsigned)(v[0] - 'A') + 1;
    full[0] = (char)('0' + letter / 10);
    full[1] = (char)('0' + letter % 10);
    memcpy(full + 2, v + 1, 8);
    return good_if(cross_sum(full, weights, 10) % 10 == digit(v[9]));
}

/* ICAO 9303: letters from 10, weights 7 3 1. */
static enum pii_check check_de_document(const char *v)
{
    static const uint8_t weights[3] = {7, 3, 1};
    unsigned sum = 0;
    for (size_t i = 0; i < 9; i++) {
        if (v[i] >= 'A' && strchr("CFGHJKLMNPRTVWXYZ", v[i]) == NULL)
            return PII_CHECK_BAD;
    }
    for (size_t i = 0; i < 8; i++) {
        unsigned value = v[i] >= 'A' ? (unsigned)(v[i] - 'A') + 10 : digit(v[i]);
        sum += value * weights[i % 3];
    }
    return good_if(sum % 10 == digit(v[8]));
}

/* The old temporary card: T and eight digits, no check. */
static enum pii_check check_de_id_card(const char *v)
{
    if (v[0] == 'T' && is_digits(v + 1, 8))
        return PII_CHECK_UNKNOWN;
    return check_de_document(v);
}

static enum pii_check check_de_vat(const char *v)
{
    return pii_mod11_10(v + 2, 9) ? PII_CHECK_GOOD : PII_CHECK_UNKNOWN;
}

/* KBV: weights 4 9 over six digits. */
static enum pii_check check_lanr(const char *v)
{
    static const uint8_t weights[6] = {4, 9, 4, 9, 4, 9};
    return good_if((10 - pii_weighted(v, weights, 6) % 10) % 10 == digit(v[6]));
}

static enum pii_check check_bsnr(const char *v)
{
    return is_one_digit_repeated(v, 9) && v[0] == '0' ? PII_CHECK_BAD : PII_CHECK_UNKNOWN;
}

/* ---- Southern Europe, France, Netherlands -------------------------------------------------- */

/* Ministerio del Interior: letter by modulus 23; X, Y, Z stand for 0, 1, 2. */
static enum pii_check check_nif(const char *v, size_t len)
{
    static const char letters[] = "TRWAGMYFPDXBNJZSQVHLCKE";
    unsigned value = 0;
    size_t at = 0;
    if (v[0] >= 'X' && v[0] <= 'Z') {
        value = (unsigned)(v[0] - 'X');
        at = 1;
    }
    for (; at + 1 < len; at++)
        value = value * 10 + digit(v[at]);
    return good_if(letters[value % 23] == v[len - 1]);
}

/* Decree of 23 December 1976: odd and even places have tables of their own; digits may be replaced
 * by letters to tell people apart. */
static enum pii_check check_fiscal_code(const char *v)
{
    static const uint8_t odd[26] = {1,  0,  5, 7, 9, 13, 15, 17, 19, 21, 2,  4,  18,
                                    20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23};
    static const char months[] = "ABCDEHLMPRST";
    unsigned sum = 0;
    for (size_t i = 0; i < 15; i++) {
        unsigned value = v[i] >= 'A' ? (unsigned)(v[i] - 'A') : digit(v[i]);
        sum += i % 2 == 0 ? odd[value] : value;
    }
    for (size_t i = 6; i < 15; i++) {
        bool is_letter_place = i == 8 || i == 11;
        bool is_digit = v[i] >= '0' && v[i] <= '9';
        if (!is_letter_place && !is_digit && strchr("LMNPQRSTUV", v[i]) == NULL)
            return PII_CHECK_BAD;
        if (is_letter_place && is_digit)
            return PII_CHECK_BAD;
    }
    return good_if(strchr(months, v[8]) != NULL && sum % 26 == (unsigned)(v[15] - 'A'));
}

/* INSEE: 97 minus the number modulo 97; Corsica's 2A and 2B count as 19 and 18. */
static enum pii_check check_nir(const char *v)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 13; i++) {
        char c = v[i];
        if (c == 'A' || c == 'B')
            c = c == 'A' ? '9' : '8';
        if (i == 5 && (v[6] == 'A' || v[6] == 'B'))
            c = '1';
        value = value * 10 + digit(c);
    }
    unsigned month = pii_two_digits(v + 3);
    return good_if((v[0] == '1' || v[0] == '2') && month >= 1 && (month <= 12 || month >= 20) &&
                   97 - value % 97 == pii_two_digits(v + 13));
}

static enum pii_check check_bsn(const char *v)
{
    static const uint8_t weights[8] = {9, 8, 7, 6, 5, 4, 3, 2};
    return good_if(pii_weighted(v, weights, 8) % 11 == digit(v[8]) && v[0] != '9' &&
                   !is_one_digit_repeated(v, 9));
}

/* ---- Northern and Eastern Europe ----------------------------------------------------------- */

/* The century is in the month: +80, 0, +20, +40, +60. */
static enum pii_check check_pesel(const char *v)
{
    static const uint8_t weights[11] = {1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1};
    return good_if(pii_is_month_day(pii_two_digits(v + 2) % 20, pii_two_digits(v + 4)) &&
                   pii_weighted(v, weights, 11) % 10 == 0);
}

/* Skatteverket SKV 704: Luhn over ten digits; a coordination number has 60 added to its day. */
static enum pii_check check_personnummer(const char *v, size_t len)
{
    const char *ten = v + (len - 10);
    unsigned day = pii_two_digits(ten + 4);
    return good_if(pii_is_month_day(pii_two_digits(ten + 2), day > 60 ? day - 60 : day) &&
                   pii_luhn(ten, 10));
}

static enum pii_check check_orgnummer(const char *v)
{
    return good_if(v[2] >= '2' && pii_luhn(v, 10));
}

static enum pii_check check_hetu(const char *v)
{
    static const char letters[] = "0123456789ABCDEFHJKLMNPRSTUVWXY";
    unsigned value = number(v, 6) * 1000 + number(v + 7, 3);
    return good_if(pii_is_month_day(pii_two_digits(v + 2), pii_two_digits(v)) &&
                   letters[value % 31] == v[10]);
}

/* ---- Asia ---------------------------------------------------------------------------------- */

static enum pii_check check_aadhaar(const char *v)
{
    bool is_palindrome = true;
    for (size_t i = 0; i < 6; i++)
        is_palindrome = is_palindrome && v[i] == v[11 - i];
    return good_if(v[0] >= '2' && !is_palindrome && pii_verhoeff(v, 12));
}

/* State 01-37, a PAN, an entity number, Z, a check character. The check is not asked for: samples
 * in circulation often have a wrong one, and the form is unmistakable. */
static enum pii_check check_gstin(const char *v)
{
    unsigned state = pii_two_digits(v);
    unsigned letters = 0;
    for (size_t i = 2; i < 7; i++)
        letters += v[i] >= 'A';
    return good_if(state >= 1 && state <= 37 && letters >= 3 && is_digits(v + 7, 4) &&
                   v[11] >= 'A' && v[13] == 'Z');
}

static enum pii_check check_in_plate(const char *v, size_t len)
{
    static const char states[] =
        "AN AP AR AS BR CG CH DD DL DN GA GJ HP HR JH JK KA KL LA LD MH ML "
        "MN MP MZ NL OD OR PB PY RJ SK TG TN TR TS UA UK UP UT WB";
    char state[3] = {v[0], v[1], '\0'};
    if (memcmp(v + len - 4, "0000", 4) == 0)
        return PII_CHECK_BAD;
    return v[0] < 'A' || v[1] < 'A'                    ? PII_CHECK_UNKNOWN
           : strstr(states, state) != NULL && len >= 8 ? PII_CHECK_GOOD
                                                       : PII_CHECK_UNKNOWN;
}

static enum pii_check check_in_passport(const char *v)
{
    return v[1] != '0' && v[7] != '0' && strchr("QXZ", v[0]) == NULL ? PII_CHECK_UNKNOWN
                                                                     : PII_CHECK_BAD;
}

static enum pii_check check_rrn(const char *v, bool is_foreigner)
{
    static const uint8_t weights[12] = {2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5};
    unsigned sum = pii_weighted(v, weights, 12);
    unsigned expected = ((is_foreigner ? 13 : 11) - sum % 11) % 10;
    bool has_sex = is_foreigner ? v[6] >= '5' && v[6] <= '8' : v[6] >= '1' && v[6] <= '4';

    if (!has_sex || !pii_is_month_day(pii_two_digits(v + 2), pii_two_digits(v + 4)))
        return PII_CHECK_BAD;
    /* Numbers given out since October 2020 have no check digit. */
    return pii_two_digits(v + 7) <= 95 && expected == digit(v[12]) ? PII_CHECK_GOOD
                                                                   : PII_CHECK_UNKNOWN;
}

static enum pii_check check_kr_brn(const char *v)
{
    static const uint8_t weights[9] = {1, 3, 7, 1, 3, 7, 1, 3, 5};
    unsigned sum = pii_weighted(v, weights, 9) + digit(v[8]) * 5 / 10;
    return good_if((10 - sum % 10) % 10 == digit(v[9]));
}

static enum pii_check check_kr_driver(const char *v)
{
    unsigned region = pii_two_digits(v);
    return good_if(region >= 11 && region <= 28);
}

/* ACRA: business (8 digits), local company (year + 5), others (T08LL1234A). */
static enum pii_check check_uen(const char *v, size_t len)
{
    static const uint8_t weights_a[8] = {10, 4, 9, 3, 8, 2, 7, 1};
    static const uint8_t weights_b[9] = {10, 8, 6, 4, 9, 7, 5, 3, 1};
    static const uint8_t weights_c[9] = {4, 3, 5, 3, 10, 2, 2, 5, 7};
    static const char alphabet_c[] = "ABCDEFGHJKLMNPQRSTUVWX0123456789";
    unsigned sum = 0;

    if (len == 9)
        return good_if("XMKECAWLJDB"[pii_weighted(v, weights_a, 8) % 11] == v[8]);
    if (is_digits(v, 9)) {
        unsigned year = number(v, 4);
        return good_if(year >= 1800 && year <= 2100 &&
                       "ZKCMDNERGWH"[pii_weighted(v, weights_b, 9) % 11] == v[9]);
    }
    for (size_t i = 0; i < 9; i++) {
        const char *found = strchr(alphabet_c, v[i]);
        if (found == NULL)
            return PII_CHECK_BAD;
        sum += (unsigned)(found - alphabet_c) * weights_c[i];
    }
    return good_if(alphabet_c[(sum + 11 - 5) % 11] == v[9]);
}

static enum pii_check check_nric(const char *v)
{
    static const uint8_t weights[7] = {2, 7, 6, 5, 4, 3, 2};
    unsigned sum = pii_weighted(v + 1, weights, 7);
    const char *letters = v[0] == 'S' || v[0] == 'T'   ? "JZIHGFEDCBA"
                          : v[0] == 'F' || v[0] == 'G' ? "XWUTRQPNMLK"
                          : v[0] == 'M'                ? "KLJNPQRTUWX"
                                                       : NULL;
    if (letters == NULL)
        return PII_CHECK_UNKNOWN;
    sum += v[0] == 'T' || v[0] == 'G' ? 4 : v[0] == 'M' ? 3 : 0;
    return letters[v[0] == 'M' ? 10 - sum % 11 : sum % 11] == v[8] ? PII_CHECK_GOOD
                                                                   : PII_CHECK_UNKNOWN;
}

/* Department of Provincial Administration: weights 13 to 2, modulus 11. */
static enum pii_check check_thai(const char *v)
{
    static const uint8_t weights[12] = {13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2};
    unsigned province = pii_two_digits(v + 1);
    bool has_province = province >= 10 && province <= 96 && !(province >= 28 && province <= 29) &&
                        !(province >= 59 && province <= 59) && province != 68 && province != 69 &&
                        province != 78 && province != 79 && province != 87 && province != 88 &&
                        province != 89;
    return good_if(v[0] != '0' && has_province &&
                   (11 - pii_weighted(v, weights, 12) % 11) % 10 == digit(v[12]));
}

static enum pii_check check_ph_tin(const char *v)
{
    static const uint8_t weights[8] = {9, 8, 7, 6, 5, 4, 3, 2};
    return pii_weighted(v, weights, 8) % 11 == digit(v[8]) ? PII_CHECK_UNKNOWN : PII_CHECK_BAD;
}

/* Nüfus ve Vatandaşlık İşleri: two check digits. */
static enum pii_check check_tr_id(const char *v)
{
    unsigned odd = digit(v[0]) + digit(v[2]) + digit(v[4]) + digit(v[6]) + digit(v[8]);
    unsigned even = digit(v[1]) + digit(v[3]) + digit(v[5]) + digit(v[7]);
    unsigned tenth = (odd * 7 + 100 - even) % 10;
    return good_if(v[0] != '0' && tenth == digit(v[9]) &&
                   (odd + even + digit(v[9])) % 10 == digit(v[10]));
}

/* Plates of the 81 provinces; not sizes (16 GB 3200) nor dates (12 JAN 2024). */
static enum pii_check check_tr_plate(const char *v)
{
    static const char others[] =
        "GB MB KB TB KG MM CM ML KM MHZ GHZ HZ KW JAN FEB MAR APR MAY JUN JUL "
        "AUG SEP OCT NOV DEC AM PM UTC ST ND RD TH X XX";
    char letters[4] = "";
    unsigned province = pii_two_digits(v);
    size_t len = 0;
    while (len < 3 && v[2 + len] >= 'A') {
        letters[len] = v[2 + len];
        len++;
    }
    const char *found = strstr(others, letters);
    bool is_other = found != NULL && (found == others || found[-1] == ' ') &&
                    (found[len] == ' ' || found[len] == '\0');
    return good_if(province >= 1 && province <= 81 && !is_other);
}

/* ---- Australia, Africa, Brazil ------------------------------------------------------------- */

static enum pii_check check_abn(const char *v)
{
    static const uint8_t weights[11] = {10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19};
    return good_if(v[0] != '0' && (pii_weighted(v, weights, 11) - 10) % 89 == 0);
}

static enum pii_check check_acn(const char *v)
{
    static const uint8_t weights[8] = {8, 7, 6, 5, 4, 3, 2, 1};
    return good_if((10 - pii_weighted(v, weights, 8) % 10) % 10 == digit(v[8]));
}

static enum pii_check check_tfn(const char *v)
{
    static const uint8_t weights[9] = {1, 4, 3, 7, 5, 8, 6, 9, 10};
    return good_if(pii_weighted(v, weights, 9) % 11 == 0);
}

static enum pii_check check_medicare(const char *v)
{
    static const uint8_t weights[8] = {1, 3, 7, 9, 1, 3, 7, 9};
    return good_if(v[0] >= '2' && v[0] <= '6' && pii_weighted(v, weights, 8) % 10 == digit(v[8]));
}

static enum pii_check check_za(const char *v)
{
    return good_if(pii_is_month_day(pii_two_digits(v + 2), pii_two_digits(v + 4)) && v[10] <= '2' &&
                   (v[11] == '8' || v[11] == '9') && pii_luhn(v, 13));
}

/* Receita Federal: two check digits, weights 10 to 2 and 11 to 2. */
static enum pii_check check_cpf(const char *v)
{
    unsigned first = 0;
    unsigned second = 0;
    for (unsigned i = 0; i < 9; i++)
        first += digit(v[i]) * (10 - i);
    for (unsigned i = 0; i < 10; i++)
        second += digit(v[i]) * (11 - i);
    return good_if(first * 10 % 11 % 10 == digit(v[9]) && second * 10 % 11 % 10 == digit(v[10]) &&
                   !is_one_digit_repeated(v, 11));
}

/* ---- the switch ---------------------------------------------------------------------------- */

enum pii_check pii_check_id(enum sl_pii_type kind, const char *v, size_t len)
{
    switch (kind) {
    case SL_PII_US_ITIN:
        return check_itin(v);
    case SL_PII_US_MBI:
        return check_mbi(v);
    case SL_PII_US_NPI:
        return check_npi(v);
    case SL_PII_ABA_ROUTING_NUMBER:
        return check_aba(v);
    case SL_PII_MEDICAL_LICENSE:
        return check_dea(v);
    case SL_PII_CA_SIN:
        return check_sin(v);
    case SL_PII_UK_NHS:
        return check_nhs(v);
    case SL_PII_UK_NINO:
        return check_nino(v);
    case SL_PII_UK_DRIVING_LICENCE:
        return check_uk_driver(v);
    case SL_PII_UK_VEHICLE_REGISTRATION:
        return check_uk_plate(v, len);
    case SL_PII_DE_TAX_ID:
        return check_de_tax_id(v);
    case SL_PII_DE_TAX_NUMBER:
        return check_de_tax_number(v, len);
    case SL_PII_DE_SOCIAL_SECURITY:
        return check_de_social(v);
    case SL_PII_DE_HEALTH_INSURANCE:
        return check_de_health(v);
    case SL_PII_DE_ID_CARD:
        return check_de_id_card(v);
    case SL_PII_DE_PASSPORT:
        return check_de_document(v);
    case SL_PII_DE_VAT_ID:
        return check_de_vat(v);
    case SL_PII_DE_LANR:
        return check_lanr(v);
    case SL_PII_DE_BSNR:
        return check_bsnr(v);
    case SL_PII_ES_NIF:
    case SL_PII_ES_NIE:
        return check_nif(v, len);
    case SL_PII_IT_FISCAL_CODE:
        return check_fiscal_code(v);
    case SL_PII_IT_VAT_CODE:
        return good_if(pii_luhn(v, 11) && !is_one_digit_repeated(v, 11));
    case SL_PII_FR_NIR:
        return check_nir(v);
    case SL_PII_NL_BSN:
        return check_bsn(v);
    case SL_PII_PL_PESEL:
        return check_pesel(v);
    case SL_PII_SE_PERSONNUMMER:
        return check_personnummer(v, len);
    case SL_PII_SE_ORGANISATIONSNUMMER:
        return check_orgnummer(v);
    case SL_PII_FI_PERSONAL_IDENTITY_CODE:
        return check_hetu(v);
    case SL_PII_IN_AADHAAR:
        return check_aadhaar(v);
    case SL_PII_IN_GSTIN:
        return check_gstin(v);
    case SL_PII_IN_PASSPORT:
        return check_in_passport(v);
    case SL_PII_IN_VEHICLE_REGISTRATION:
        return check_in_plate(v, len);
    case SL_PII_KR_RRN:
        return check_rrn(v, false);
    case SL_PII_KR_FRN:
        return check_rrn(v, true);
    case SL_PII_KR_BRN:
        return check_kr_brn(v);
    case SL_PII_KR_DRIVER_LICENSE:
        return check_kr_driver(v);
    case SL_PII_SG_UEN:
        return check_uen(v, len);
    case SL_PII_SG_NRIC_FIN:
        return check_nric(v);
    case SL_PII_TH_TNIN:
        return check_thai(v);
    case SL_PII_PH_TIN:
        return check_ph_tin(v);
    case SL_PII_TR_NATIONAL_ID:
        return check_tr_id(v);
    case SL_PII_TR_LICENSE_PLATE:
        return check_tr_plate(v);
    case SL_PII_NG_NIN:
        return good_if(pii_verhoeff(v, 11));
    case SL_PII_AU_ABN:
        return check_abn(v);
    case SL_PII_AU_ACN:
        return check_acn(v);
    case SL_PII_AU_TFN:
        return check_tfn(v);
    case SL_PII_AU_MEDICARE:
        return check_medicare(v);
    case SL_PII_ZA_ID_NUMBER:
        return check_za(v);
    case SL_PII_BR_CPF:
        return check_cpf(v);
    default:
        return PII_CHECK_UNKNOWN;
    }
}
