/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns check digits shared by several kinds, and those of cards, IBANs and crypto addresses. The
 * checks of national identifiers are in id_checks.c. Pure functions.
 */
#include "pii/checks.h"

#include "sluice/crypto.h"

#include <string.h>

bool pii_luhn(const char *digits, size_t len)
{
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned digit = (unsigned)(digits[len - 1 - i] - '0');
        if (i % 2 == 1)
            digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
        sum += digit;
    }
    return len > 1 && sum % 10 == 0;
}

bool pii_mod97(const char *text, size_t len)
{
    unsigned rest = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[(i + 4) % len];
        unsigned value = c >= 'A' ? (unsigned)(c - 'A') + 10 : (unsigned)(c - '0');
        rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
    }
    return rest == 1;
}

bool pii_verhoeff(const char *digits, size_t len)
{
    static const uint8_t multiply[10][10] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 2, 3, 4, 0, 6, 7, 8, 9, 5},
        {2, 3, 4, 0, 1, 7, 8, 9, 5, 6}, {3, 4, 0, 1, 2, 8, 9, 5, 6, 7},
        {4, 0, 1, 2, 3, 9, 5, 6, 7, 8}, {5, 9, 8, 7, 6, 0, 4, 3, 2, 1},
        {6, 5, 9, 8, 7, 1, 0, 4, 3, 2}, {7, 6, 5, 9, 8, 2, 1, 0, 4, 3},
        {8, 7, 6, 5, 9, 3, 2, 1, 0, 4}, {9, 8, 7, 6, 5, 4, 3, 2, 1, 0}};
    static const uint8_t permute[8][10] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 5, 7, 6, 2, 8, 3, 0, 9, 4},
        {5, 8, 0, 3, 7, 9, 6, 1, 4, 2}, {8, 9, 1, 6, 0, 4, 3, 5, 2, 7},
        {9, 4, 5, 3, 1, 2, 6, 8, 7, 0}, {4, 2, 8, 6, 5, 7, 3, 9, 0, 1},
        {2, 7, 9, 3, 8, 0, 6, 4, 1, 5}, {7, 0, 4, 6, 9, 1, 3, 2, 5, 8}};
    uint8_t check = 0;
    for (size_t i = 0; i < len; i++)
        check = multiply[check][permute[i % 8][digits[len - 1 - i] - '0']];
    return check == 0;
}

bool pii_mod11_10(const char *digits, size_t len)
{
    unsigned product = 10;
    for (size_t i = 0; i + 1 < len; i++) {
        unsigned sum = ((unsigned)(digits[i] - '0') + product) % 10;
        product = (sum == 0 ? 10 : sum) * 2 % 11;
    }
    return (11 - product) % 10 == (unsigned)(digits[len - 1] - '0');
}

unsigned pii_weighted(const char *digits, const uint8_t *weights, size_t len)
{
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += (unsigned)(digits[i] - '0') * weights[i];
    return sum;
}

unsigned pii_two_digits(const char *digits)
{
    return (unsigned)(digits[0] - '0') * 10 + (unsigned)(digits[1] - '0');
}

bool pii_is_month_day(unsigned month, unsigned day)
{
    static const uint8_t days[13] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month];
}

/* ---- cards --------------------------------------------------------------------------------- */

/* Ranges of the first four digits and the lengths in use, as issuers publish them. */
static const struct {
    uint16_t low, high;
    uint8_t len_min, len_max;
} card_ranges[] = {
    {1000, 1999, 15, 15}, /* UATP; JCB 1800 */
    {2014, 2014, 15, 15}, /* enRoute */
    {2131, 2131, 15, 15}, /* JCB */
    {2149, 2149, 15, 15}, /* enRoute */
    {2200, 2204, 16, 19}, /* Mir */
    {2221, 2720, 16, 16}, /* Mastercard, the 2 series */
    {3000, 3059, 14, 19}, /* Diners Club */
    {3095, 3095, 14, 19}, /* Diners Club */
    {3400, 3499, 15, 15}, /* American Express */
    {3500, 3599, 16, 19}, /* JCB: 3528 to 3589 are given out, test numbers use the whole range */
    {3600, 3699, 14, 19}, /* Diners Club */
    {3700, 3799, 15, 15}, /* American Express */
    {3800, 3999, 14, 19}, /* Diners Club */
    {4000, 4999, 13, 13}, /* Visa, old */
    {4000, 4999, 16, 16}, /* Visa */
    {4000, 4999, 19, 19}, /* Visa */
    {5000, 5099, 12, 19}, /* Maestro */
    {5100, 5599, 16, 16}, /* Mastercard */
    {5600, 5999, 12, 19}, /* Maestro */
    {6000, 6999, 12, 19}, /* Discover, UnionPay, Maestro, RuPay, InstaPayment, Elo */
    {8100, 8199, 16, 19}, /* UnionPay */
    {9792, 9792, 16, 16}, /* Troy */
};

bool pii_is_card(const char *digits, size_t len)
{
    bool in_range = false;
    unsigned first = 0;

    if (len < 12 || len > 19)
        return false;
    for (size_t i = 0; i < 4; i++)
        first = first * 10 + (unsigned)(digits[i] - '0');
    for (size_t i = 0; i < sizeof card_ranges / sizeof *card_ranges; i++)
        in_range = in_range || (first >= card_ranges[i].low && first <= card_ranges[i].high &&
                                len >= card_ranges[i].len_min && len <= card_ranges[i].len_max);
    return in_range && pii_luhn(digits, len);
}

/* ---- IBAN ---------------------------------------------------------------------------------- */

/* The IBAN registry (SWIFT), release 97, and countries that use the form without registration. */
static const char iban_countries[] =
    "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24"
    "FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32"
    "LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24"
    "RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30AO25BF28BJ28"
    "CF27CG27CI28CM27CV25DZ26GA27GQ27GW25IR26KM27MA28MG27ML28MZ25NE28SN28TD27TG28";

unsigned pii_iban_len(const char *country)
{
    for (size_t i = 0; i + 3 < sizeof iban_countries; i += 4) {
        if (iban_countries[i] == country[0] && iban_countries[i + 1] == country[1])
            return pii_two_digits(iban_countries + i + 2);
    }
    return 0;
}

bool pii_is_iban(const char *text, size_t len)
{
    if (len < 15 || len > 34 || pii_iban_len(text) != len)
        return false;
    return text[2] >= '0' && text[2] <= '9' && text[3] >= '0' && text[3] <= '9' &&
           pii_mod97(text, len);
}

/* ---- crypto addresses ---------------------------------------------------------------------- */

bool pii_is_base58check(const char *text, size_t len)
{
    static const char alphabet[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    uint8_t bytes[25] = {0};
    uint8_t digest[SL_SHA256_BYTES];

    if (len < 26 || len > 35)
        return false;
    for (size_t i = 0; i < len; i++) {
        const char *found = strchr(alphabet, text[i]);
        if (found == NULL || text[i] == '\0')
            return false;
        unsigned carry = (unsigned)(found - alphabet);
        for (size_t j = sizeof bytes; j-- > 0;) {
            carry += 58u * bytes[j];
            bytes[j] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry != 0)
            return false;
    }
    sl_sha256(bytes, 21, digest);
    sl_sha256(digest, sizeof digest, digest);
    return memcmp(digest, bytes + 21, 4) == 0;
}

bool pii_is_bech32(const char *text, size_t len)
{
    static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
                                          0x2a1462b3};
    char lower[91];
    uint32_t check = 1;
    bool has_upper = false;
    bool has_lower = false;
    size_t one = 0;

    if (len < 14 || len > 90)
        return false;
    for (size_t i = 0; i < len; i++) {
        has_upper = has_upper || (text[i] >= 'A' && text[i] <= 'Z');
        has_lower = has_lower || (text[i] >= 'a' && text[i] <= 'z');
        lower[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
        if (lower[i] == '1')
            one = i;
    }
    if ((has_upper && has_lower) || one == 0 || len - one < 7)
        return false;
    for (size_t i = 0; i < one * 2 + 1 + (len - one - 1); i++) {
        uint32_t value;
        if (i < one) {
            value = (uint32_t)lower[i] >> 5;
        } else if (i == one) {
            value = 0;
        } else if (i <= one * 2) {
            value = (uint32_t)lower[i - one - 1] & 31;
        } else {
            const char *found = strchr(alphabet, lower[i - one]);
            if (found == NULL || lower[i - one] == '\0')
                return false;
            value = (uint32_t)(found - alphabet);
        }
        uint32_t top = check >> 25;
        check = (check & 0x1ffffff) << 5 ^ value;
        for (size_t j = 0; j < 5; j++)
            check ^= (top >> j & 1) != 0 ? generator[j] : 0;
    }
    return check == 1 || check == 0x2bc830a3;
}
