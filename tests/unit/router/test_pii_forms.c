/* SPDX-License-Identifier: Apache-2.0
 *
 * The ways in which people write one and the same kind of value, from the specifications that
 * define it (RFC 5321/5322/6531, RFC 4291/5952, the IBAN registry of SWIFT, ISO/IEC 7812, ITU-T
 * E.123, the numbering plans and identity numbers of the countries), and look-alikes that are none.
 *
 * A row is a text with the value between braces; a text without braces holds none of the kind.
 */
#include "sluice/pii.h"
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 1024u

static struct sl_pii_detector *detector;

static void make_detector(const char *const *regions, size_t region_count, bool with_dates)
{
    struct sl_pii_rules rules;
    struct sl_error error = {0};
    sl_pii_rules_init(&rules);
    rules.types[SL_PII_DATE].is_on = with_dates;
    if (region_count > 0) {
        rules.phone_regions = regions;
        rules.phone_region_count = region_count;
    }
    ck_assert_int_eq(sl_pii_detector_create(&rules, &detector, &error), SL_OK);
}

static void set_up(void)
{
    make_detector(NULL, 0, true);
}

static void tear_down(void)
{
    sl_pii_detector_free(detector);
}

struct marked {
    char text[TEXT_MAX];
    size_t len, start, end;
};

static void read_marks(const char *row, struct marked *marked)
{
    *marked = (struct marked){.len = 0};
    for (; *row != '\0'; row++) {
        if (*row == '{')
            marked->start = marked->len;
        else if (*row == '}')
            marked->end = marked->len;
        else if (marked->len + 1 < TEXT_MAX)
            marked->text[marked->len++] = *row;
    }
}

/* True where the finds of the kind are exactly what is marked; says what was found where not. */
static bool is_found(enum sl_pii_type type, const char *row)
{
    struct sl_pii_spans spans = {0};
    struct sl_error error = {0};
    struct marked marked;
    unsigned right = 0;
    unsigned wrong = 0;

    read_marks(row, &marked);
    ck_assert_int_eq(
        sl_pii_scan(detector, (struct sl_slice){marked.text, marked.len}, &spans, &error), SL_OK);
    for (size_t i = 0; i < spans.count; i++) {
        const struct sl_pii_span *span = &spans.items[i];
        if (span->kind != type)
            continue;
        if (span->start == marked.start && span->end == marked.end)
            right++;
        else
            wrong++;
    }
    bool is_right = wrong == 0 && right == (marked.end > 0 ? 1u : 0u);
    if (!is_right) {
        printf("# %s: %s", sl_pii_type_word(type), row);
        for (size_t i = 0; i < spans.count; i++)
            printf(" | %s \"%.*s\"", sl_pii_type_word((enum sl_pii_type)spans.items[i].kind),
                   (int)(spans.items[i].end - spans.items[i].start),
                   marked.text + spans.items[i].start);
        printf("\n");
    }
    sl_pii_spans_clear(&spans);
    return is_right;
}

static void all_found(enum sl_pii_type type, const char *const *rows, size_t count)
{
    size_t failed = 0;
    for (size_t i = 0; i < count; i++)
        failed += !is_found(type, rows[i]);
    ck_assert_msg(failed == 0, "%zu of %zu %s", failed, count, sl_pii_type_word(type));
}
#define ALL_FOUND(type, rows) all_found((type), (rows), sizeof(rows) / sizeof *(rows))

/* ---- addresses of the net ------------------------------------------------------------------- */

START_TEST(emails_are_read_in_every_written_form)
{
    static const char *const rows[] = {
        "write to {anna@example.org}",
        "{Anna.Berg@Example.ORG}, thanks",
        "({anna_berg@mail.example.co.uk})",
        "<{a@b.io}>",
        "mailto:{anna@example.org}?subject=hi",
        "tags: {anna+news+2024@example.org}",
        "{x-1.y_2%z@sub.domain.example.museum}",
        "{\"anna berg\"@example.org} is quoted",
        "{\"a.b@c\"@example.org} too",
        "{o'brien@example.ie} has an apostrophe",
        "{m\xC3\xBCller@example.de}",
        "{info@m\xC3\xBCnchen.example}",
        "{\xD0\xB8\xD0\xB2\xD0\xB0\xD0\xBD@\xD0\xBF\xD1\x80\xD0\xB8\xD0\xBC\xD0\xB5\xD1\x80.\xD1"
        "\x80\xD1\x84}",
        "{user@xn--mnchen-3ya.example}",
        "{user@example.xn--p1ai}",
        "{12345@example.com}",
        "{first.last@123.example.com}",
        "end of sentence {anna@example.org}.",
        "reply-to:{anna@example.org};",
        "['{anna@example.org}']",
        "\"email\":\"{anna@example.org}\"",
        "\xE2\x80\x9C{anna@example.org}\xE2\x80\x9D",
        "**{anna@example.org}**",
        "{a.b.c.d.e@f.g.h.example}",
        "sip:{anna@voip.example.net}",
        "the user@host, decorators such as @property, a @ b, 5@10",
        "@anna @example.org",
        "npm i @scope/package@1.2.3",
        "anna@localhost",
        "foo@bar.js, img@2x.png",
    };
    ALL_FOUND(SL_PII_EMAIL, rows);
}
END_TEST

START_TEST(disguised_emails_are_read_where_both_signs_are_disguised)
{
    static const char *const rows[] = {
        "{anna.berg [at] example [dot] org}",
        "write {anna(at)example(dot)org} please",
        "{anna [at] mail [dot] example [dot] co [dot] uk}",
        "{anna_AT_example_DOT_com}",
        "{anna _at_ example _dot_ com}",
        "{anna AT example DOT com}",
        "{anna [at] example.org}",
        "{anna (at) example.org}",
        "{anna<at>example<dot>org}",
        "{anna [at] beispiel [punkt] de}",
        "{anna arroba ejemplo punto com}",
        "{anna at example dot com}",
        "meet me at home dot com is a dream",
        "look at this dot",
        "arrive at 5 dot dot",
        "we met at example.org yesterday",
        "point (at) infinity",
        "array[at] = x[dot]y",
        "he was good at maths (dot) products",
    };
    ALL_FOUND(SL_PII_EMAIL, rows);
}
END_TEST

START_TEST(ip_addresses_are_read_in_every_form_of_rfc_4291)
{
    static const char *const rows[] = {
        "{192.0.2.17}",
        "from {198.51.100.4}:8080",
        "{203.0.113.0/24} is ours",
        "http://{192.0.2.1}/x",
        "[{2001:db8::1}]:443",
        "{2001:0db8:85a3:0000:0000:8a2e:0370:7334}",
        "{2001:DB8:0:0:8:800:200C:417A}",
        "{2001:db8::8:800:200c:417a}",
        "{ff01::101}",
        "loopback {::1} only",
        "{fe80::1ff:fe23:4567:890a%eth0}",
        "{::ffff:192.0.2.128}",
        "{64:ff9b::192.0.2.33}",
        "{2001:db8:1234::/48}",
        "{2001:db8::}",
        "{1:2:3:4:5:6:7:8}",
        "{1::8}",
        "version 1.2.3.4 is out",
        "section 1.2.3.4.5",
        "256.1.1.1",
        "std::vector and foo::bar",
        "at 12:30:45",
        "a::b",
    };
    ALL_FOUND(SL_PII_IP, rows);
}
END_TEST

START_TEST(mac_addresses_are_read_in_three_groupings)
{
    static const char *const rows[] = {
        "{00:1A:2B:3C:4D:5E}",
        "{00-1a-2b-3c-4d-5e}",
        "{001a.2b3c.4d5e}",
        "mac={a4:83:e7:01:02:03},",
        "00:1A:2B:3C:4D",
        "ff:ff:ff:ff:ff:ff",
        "12:34:56",
    };
    ALL_FOUND(SL_PII_MAC, rows);
}
END_TEST

/* ---- money ---------------------------------------------------------------------------------- */

/* Examples of the SWIFT registry, one a country. */
static const char *const ibans[] = {
    "AD1200012030200359100100",
    "AE070331234567890123456",
    "AL47212110090000000235698741",
    "AT611904300234573201",
    "AZ21NABZ00000000137010001944",
    "BA391290079401028494",
    "BE68539007547034",
    "BG80BNBG96611020345678",
    "BH67BMAG00001299123456",
    "BR1800360305000010009795493C1",
    "BY13NBRB3600900000002Z00AB00",
    "CH9300762011623852957",
    "CR05015202001026284066",
    "CY17002001280000001200527600",
    "CZ6508000000192000145399",
    "DE89370400440532013000",
    "DK5000400440116243",
    "DO28BAGR00000001212453611324",
    "EE382200221020145685",
    "EG380019000500000000263180002",
    "ES9121000418450200051332",
    "FI2112345600000785",
    "FO6264600001631634",
    "FR1420041010050500013M02606",
    "GB29NWBK60161331926819",
    "GE29NB0000000101904917",
    "GI75NWBK000000007099453",
    "GL8964710001000206",
    "GR1601101250000000012300695",
    "GT82TRAJ01020000001210029690",
    "HR1210010051863000160",
    "HU42117730161111101800000000",
    "IE29AIBK93115212345678",
    "IL620108000000099999999",
    "IQ98NBIQ850123456789012",
    "IS140159260076545510730339",
    "IT60X0542811101000000123456",
    "JO94CBJO0010000000000131000302",
    "KW81CBKU0000000000001234560101",
    "KZ86125KZT5004100100",
    "LB62099900000001001901229114",
    "LC55HEMM000100010012001200023015",
    "LI21088100002324013AA",
    "LT121000011101001000",
    "LU280019400644750000",
    "LV80BANK0000435195001",
    "MC5811222000010123456789030",
    "MD24AG000225100013104168",
    "ME25505000012345678951",
    "MK07250120000058984",
    "MT84MALT011000012345MTLCAST001S",
    "MU17BOMM0101101030300200000MUR",
    "NL91ABNA0417164300",
    "NO9386011117947",
    "PK36SCBL0000001123456702",
    "PL61109010140000071219812874",
    "PS92PALS000000000400123456702",
    "PT50000201231234567890154",
    "QA58DOHB00001234567890ABCDEFG",
    "RO49AAAA1B31007593840000",
    "RS35260005601001611379",
    "SA0380000000608010167519",
    "SC18SSCB11010000000000001497USD",
    "SE4550000000058398257466",
    "SI56263300012039086",
    "SK3112000000198742637541",
    "SM86U0322509800000000270100",
    "ST23000100010051845310146",
    "SV62CENR00000000000000700025",
    "TL380080012345678910157",
    "TN5910006035183598478831",
    "TR330006100519786457841326",
    "UA213223130000026007233566001",
    "VA59001123000012345678",
    "VG96VPVG0000012345678901",
    "XK051212012345678906",
};

static void put_grouped(char *out, const char *iban, const char *sign)
{
    for (size_t i = 0; iban[i] != '\0'; i++) {
        if (i > 0 && i % 4 == 0)
            out = stpcpy(out, sign);
        *out++ = iban[i];
    }
    *out = '\0';
}

START_TEST(an_iban_of_every_country_is_read_whole_and_in_groups)
{
    static const char *const signs[] = {"", " ", "-", "\xC2\xA0", "\xE2\x80\xAF"};
    unsigned failed = 0;
    for (size_t i = 0; i < sizeof ibans / sizeof *ibans; i++) {
        for (size_t j = 0; j < sizeof signs / sizeof *signs; j++) {
            char grouped[128];
            char row[192];
            put_grouped(grouped, ibans[i], signs[j]);
            snprintf(row, sizeof row, "pay to {%s}, thanks", grouped);
            failed += !is_found(SL_PII_IBAN, row);
        }
    }
    ck_assert_uint_eq(failed, 0);
}
END_TEST

START_TEST(an_iban_with_one_wrong_digit_is_none)
{
    unsigned failed = 0;
    for (size_t i = 0; i < sizeof ibans / sizeof *ibans; i++) {
        char row[64];
        snprintf(row, sizeof row, "%s", ibans[i]);
        row[3] = row[3] == '9' ? '0' : (char)(row[3] + 1);
        failed += !is_found(SL_PII_IBAN, row);
    }
    ck_assert_uint_eq(failed, 0);
}
END_TEST

START_TEST(cards_are_read_with_the_separators_people_use)
{
    static const char *const rows[] = {
        "{4111111111111111}",
        "{4111 1111 1111 1111}",
        "{4111-1111-1111-1111}",
        "{4111\xC2\xA0"
        "1111\xC2\xA0"
        "1111\xC2\xA0"
        "1111}",
        "{4111.1111.1111.1111}",
        "{4111\xE2\x80\x93"
        "1111\xE2\x80\x93"
        "1111\xE2\x80\x93"
        "1111}",
        "{5555 5555 5555 4444}",
        "{2223 0031 2200 3222}",
        "{3782 822463 10005}",
        "{371449635398431}",
        "{6011 1111 1111 1117}",
        "{3056 930902 5904}",
        "{36227206271667}",
        "{3530 1113 3330 0000}",
        "{6200 0000 0000 0005}",
        "{6759 6498 2643 8453}",
        "{5019 7170 1010 3742}",
        "{4222222222222}",
        "Karte: {4917 6100 0000 0000 003}",
        "card={4111111111111111}&cvv=123",
        "{4111 1111 1111 1111} 12/27",
        "exp 12/27 {4111 1111 1111 1111} 123",
        "\xEF\xBC\x94\xEF\xBC\x91\xEF\xBC\x91\xEF\xBC\x91 1111 1111 1112",
        "4111 1111 1111 1112",
        "1234 5678 9012 3456",
        "order 4111111111111112",
        "2024 0102 2024 0103",
    };
    ALL_FOUND(SL_PII_CARD, rows);
}
END_TEST

/* ---- telephones ----------------------------------------------------------------------------- */

START_TEST(international_numbers_of_many_countries_are_read_without_a_region)
{
    static const char *const rows[] = {
        "{+1 202-555-0143}",
        "{+1 (202) 555-0143}",
        "{+44 20 7946 0958}",
        "{+44 (0)20 7946 0958}",
        "{+44 7700 900123}",
        "{+49 30 901820}",
        "{+49 (30) 901820}",
        "{+49-151-23456789}",
        "{+33 1 70 18 99 00}",
        "{+33 (0)1 70 18 99 00}",
        "{+34 912 345 678}",
        "{+39 06 1234 5678}",
        "{+31 20 123 4567}",
        "{+32 2 123 45 67}",
        "{+41 44 668 18 00}",
        "{+43 1 5880 0}",
        "{+46 8 123 456 78}",
        "{+47 22 12 34 56}",
        "{+45 33 12 34 56}",
        "{+358 9 1234 5678}",
        "{+48 22 123 45 67}",
        "{+420 224 123 456}",
        "{+351 21 123 4567}",
        "{+353 1 234 5678}",
        "{+30 21 0123 4567}",
        "{+90 212 123 45 67}",
        "{+7 495 123-45-67}",
        "{+380 44 123 4567}",
        "{+972 3-123-4567}",
        "{+971 4 123 4567}",
        "{+91 98765 43210}",
        "{+86 10 1234 5678}",
        "{+81 3-1234-5678}",
        "{+82 2-123-4567}",
        "{+65 6123 4567}",
        "{+61 2 9876 5432}",
        "{+64 9 123 4567}",
        "{+27 21 123 4567}",
        "{+234 803 123 4567}",
        "{+254 722 123456}",
        "{+55 11 91234-5678}",
        "{+52 55 1234 5678}",
        "{+54 11 1234-5678}",
        "{+56 2 2123 4567}",
        "{+57 601 1234567}",
        "{+20 2 12345678}",
        "{+966 11 123 4567}",
        "{+63 2 8123 4567}",
        "{+66 2 123 4567}",
        "{+84 24 1234 5678}",
        "{+62 21 1234 5678}",
        "{+60 3-1234 5678}",
        "{0049 30 901820}",
        "{00 44 20 7946 0958}",
        "{+442079460958}",
        "tel:{+1-202-555-0143}",
        "{+1.202.555.0143}",
        "{+49/30/901820}",
        "ring {+49 30 901820 ext. 12}",
        "a +5 bonus, +100 points and C++ 2020",
        "5 + 49 = 54",
        "+1",
    };
    ALL_FOUND(SL_PII_PHONE, rows);
}
END_TEST

static const struct {
    const char *region;
    const char *row;
} national[] = {
    {"US", "{(202) 555-0143}"},  {"US", "{202-555-0143}"},  {"US", "{202.555.0143}"},
    {"US", "{1-800-555-0199}"},  {"GB", "{020 7946 0958}"}, {"GB", "{07700 900123}"},
    {"GB", "{(0161) 496 0123}"}, {"DE", "{030 901820}"},    {"DE", "{0151 23456789}"},
    {"DE", "{(030) 90 18 20}"},  {"DE", "{030/901820}"},    {"FR", "{01 70 18 99 00}"},
    {"FR", "{06.12.34.56.78}"},  {"ES", "{912 345 678}"},   {"ES", "{612 34 56 78}"},
    {"IT", "{06 1234 5678}"},    {"IT", "{333 123 4567}"},  {"NL", "{020 123 4567}"},
    {"NL", "{06-12345678}"},     {"BE", "{02 123 45 67}"},  {"CH", "{044 668 18 00}"},
    {"AT", "{01 5880 0123}"},    {"SE", "{08-123 456 78}"}, {"NO", "{22 12 34 56}"},
    {"DK", "{33 12 34 56}"},     {"FI", "{09 1234 5678}"},  {"PL", "{22 123 45 67}"},
    {"CZ", "{224 123 456}"},     {"PT", "{21 123 4567}"},   {"IE", "{01 234 5678}"},
    {"TR", "{0212 123 45 67}"},  {"IL", "{03-123-4567}"},   {"IN", "{098765 43210}"},
    {"JP", "{03-1234-5678}"},    {"KR", "{02-123-4567}"},   {"AU", "{02 9876 5432}"},
    {"AU", "{0412 345 678}"},    {"NZ", "{09 123 4567}"},   {"ZA", "{021 123 4567}"},
    {"BR", "{(11) 91234-5678}"}, {"MX", "{55 1234 5678}"},  {"SG", "{6123 4567}"},
};

START_TEST(national_numbers_are_read_in_their_region)
{
    unsigned failed = 0;
    for (size_t i = 0; i < sizeof national / sizeof *national; i++) {
        char row[128];
        tear_down();
        make_detector(&national[i].region, 1, true);
        snprintf(row, sizeof row, "You get me on %s after lunch.", national[i].row);
        failed += !is_found(SL_PII_PHONE, row);
    }
    ck_assert_uint_eq(failed, 0);
}
END_TEST

START_TEST(national_numbers_are_read_anywhere_beside_a_word_for_telephones)
{
    static const char *const words[] = {"Phone:", "call me at", "Tel.", "mobile", "My number is"};
    unsigned failed = 0;
    for (size_t i = 0; i < sizeof national / sizeof *national; i++) {
        char row[128];
        snprintf(row, sizeof row, "%s %s", words[i % 5], national[i].row);
        failed += !is_found(SL_PII_PHONE, row);
    }
    ck_assert_uint_eq(failed, 0);
}
END_TEST

START_TEST(numbers_of_another_kind_are_no_telephones)
{
    static const char *const rows[] = {
        "order 2025550143",
        "on 2024-03-12 at 10:15:00",
        "12.03.2024 - 14.03.2024",
        "ISBN 978-3-16-148410-0",
        "pages 123-456 of 1000",
        "1,234,567.89 USD",
        "192.168.100.200",
        "SKU 123-456-7890-12",
        "3.14159265358979",
        "2019-2024",
        "1710236100 is an epoch",
        "port 8080, pid 12345",
        "lat 52.520008 lon 13.404954",
        "0x1234567890",
        "v2024.03.12",
        "ticket 0123456789",
        "12 34 56",
        "1-2-3-4-5-6-7",
    };
    ALL_FOUND(SL_PII_PHONE, rows);
}
END_TEST

/* ---- dates ---------------------------------------------------------------------------------- */

START_TEST(dates_are_read_in_numbers_and_in_words_of_several_languages)
{
    static const char *const rows[] = {
        "on {12/03/1985}",
        "on {1985-03-12}",
        "Date: {03/12/85}",
        "{12.03.1985}",
        "{12-03-1985}",
        "{March 12, 1985}",
        "{12 March 1985}",
        "{Mar 12 1985}",
        "the {12th of March 1985}",
        "{12th March 1985}",
        "{March 12th, 1985}",
        "{12-Mar-1985}",
        "{1985/03/12}",
        "gekauft am {12. M\xC3\xA4rz 1985}",
        "parti le {12 mars 1985}",
        "salida el {12 de marzo de 1985}",
        "partito il {12 marzo 1985}",
        "saiu em {12 de mar\xC3\xA7o de 1985}",
        "gekocht op {12 maart 1985}",
        "{2024-03-12T10:15:00Z}",
        "version 12.03",
        "may 5 people come?",
        "13/13/2020",
    };
    ALL_FOUND(SL_PII_DATE, rows);
}
END_TEST

/* ---- identifiers of people ------------------------------------------------------------------ */

START_TEST(a_date_is_one_of_birth_beside_a_word_for_it)
{
    static const char *const rows[] = {
        "I was born on {12 March 1985} in Berlin",
        "DOB: {03/12/1985}",
        "date of birth (dd/mm/yyyy): {12/03/1985}",
        "geboren am {12.03.1985}",
        "n\xC3\xA9"
        "e le {12/03/1985}",
        "fecha de nacimiento: {12/03/1985}",
        "data di nascita {12 marzo 1985}",
        "the meeting is on 12/03/2025",
        "released 12 March 2020",
        "born to run at 10",
    };
    ALL_FOUND(SL_PII_BIRTHDATE, rows);
}
END_TEST

struct id_row {
    enum sl_pii_type type;
    const char *row;
};

static const struct id_row id_rows[] = {
    {SL_PII_SSN, "SSN {536-22-4871}"},
    {SL_PII_SSN, "my social security number is {536224871}"},
    {SL_PII_SSN, "ssn: {536 22 4871}"},
    {SL_PII_SSN, "000-12-3456, 666-12-3456 and 912-34-5678"},
    {SL_PII_US_ITIN, "ITIN {912-71-1234}"},
    {SL_PII_US_NPI, "NPI {1234567893}"},
    {SL_PII_ABA_ROUTING_NUMBER, "routing number {021000021}"},
    {SL_PII_MEDICAL_LICENSE, "DEA {AB1234563}"},
    {SL_PII_US_PASSPORT, "US passport {A12345678}"},
    {SL_PII_UK_NHS, "NHS number {943 476 5919}"},
    {SL_PII_UK_NHS, "NHS {9434765919}"},
    {SL_PII_UK_NINO, "NI {AB 12 34 56 C}"},
    {SL_PII_UK_NINO, "{AB123456C}"},
    {SL_PII_UK_POSTCODE, "postcode {SW1A 1AA}"},
    {SL_PII_DE_TAX_ID, "Steuer-ID {86 095 742 719}"},
    {SL_PII_DE_TAX_ID, "Steueridentifikationsnummer: {86095742719}"},
    {SL_PII_DE_SOCIAL_SECURITY, "Rentenversicherung {65 170839 J 003}"},
    {SL_PII_DE_VAT_ID, "USt-IdNr. {DE136695976}"},
    {SL_PII_ES_NIF, "DNI {12345678Z}"},
    {SL_PII_ES_NIF, "NIF {12345678-Z}"},
    {SL_PII_ES_NIE, "NIE {X1234567L}"},
    {SL_PII_IT_FISCAL_CODE, "codice fiscale {RSSMRA85T10A562S}"},
    {SL_PII_FR_NIR, "s\xC3\xA9"
                    "cu {1 85 05 78 006 084 91}"},
    {SL_PII_FR_NIR, "{185057800608491}"},
    {SL_PII_NL_BSN, "BSN {111222333}"},
    {SL_PII_PL_PESEL, "PESEL {44051401359}"},
    {SL_PII_SE_PERSONNUMMER, "personnummer {811228-9874}"},
    {SL_PII_SE_PERSONNUMMER, "personnummer {19811228-9874}"},
    {SL_PII_FI_PERSONAL_IDENTITY_CODE, "hetu {131052-308T}"},
    {SL_PII_IN_AADHAAR, "Aadhaar {2345 6789 0124}"},
    {SL_PII_IN_PAN, "PAN {ABCPE1234F}"},
    {SL_PII_AU_TFN, "TFN {123 456 782}"},
    {SL_PII_AU_ABN, "ABN {51 824 753 556}"},
    {SL_PII_AU_MEDICARE, "Medicare {2123 45670 1}"},
    {SL_PII_CA_SIN, "SIN {130 692 544}"},
    {SL_PII_CA_SIN, "SIN: {130-692-544}"},
    {SL_PII_ZA_ID_NUMBER, "ID number {8001015009087}"},
    {SL_PII_SG_NRIC_FIN, "NRIC {S1234567D}"},
    {SL_PII_KR_RRN, "RRN {900101-1234568}"},
    {SL_PII_TH_TNIN, "{1-2345-67890-12-1}"},
    {SL_PII_TR_NATIONAL_ID, "TC kimlik {10000000146}"},
    {SL_PII_BR_CPF, "CPF {111.444.777-35}"},
    {SL_PII_BR_CPF, "CPF {11144477735}"},
    {SL_PII_CRYPTO, "{1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa}"},
    {SL_PII_CRYPTO, "{bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq}"},
    {SL_PII_CRYPTO, "{0x742d35Cc6634C0532925a3b844Bc454e4438f44e}"},
    {SL_PII_CRYPTO, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"},
};

START_TEST(identifiers_of_many_countries_are_read)
{
    unsigned failed = 0;
    for (size_t i = 0; i < sizeof id_rows / sizeof *id_rows; i++)
        failed += !is_found(id_rows[i].type, id_rows[i].row);
    ck_assert_uint_eq(failed, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pii_forms");
    TCase *tcase = tcase_create("pii_forms");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, emails_are_read_in_every_written_form);
    tcase_add_test(tcase, disguised_emails_are_read_where_both_signs_are_disguised);
    tcase_add_test(tcase, ip_addresses_are_read_in_every_form_of_rfc_4291);
    tcase_add_test(tcase, mac_addresses_are_read_in_three_groupings);
    tcase_add_test(tcase, an_iban_of_every_country_is_read_whole_and_in_groups);
    tcase_add_test(tcase, an_iban_with_one_wrong_digit_is_none);
    tcase_add_test(tcase, cards_are_read_with_the_separators_people_use);
    tcase_add_test(tcase, international_numbers_of_many_countries_are_read_without_a_region);
    tcase_add_test(tcase, national_numbers_are_read_in_their_region);
    tcase_add_test(tcase, national_numbers_are_read_anywhere_beside_a_word_for_telephones);
    tcase_add_test(tcase, numbers_of_another_kind_are_no_telephones);
    tcase_add_test(tcase, dates_are_read_in_numbers_and_in_words_of_several_languages);
    tcase_add_test(tcase, a_date_is_one_of_birth_beside_a_word_for_it);
    tcase_add_test(tcase, identifiers_of_many_countries_are_read);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
