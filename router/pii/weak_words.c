/* SPDX-License-Identifier: Apache-2.0
 *
 * Dates, ages, titles and nationalities, for routes that switch these kinds on, and dates of birth:
 * numbers are read when scan.c comes to the first digit of a word, words at their start. Owns
 * calendar forms, the words that make a small number an age, and two short lists. Stateless.
 */
#include "pii/checks.h"
#include "pii/context.h"
#include "pii/number.h"

#include <pthread.h>

#define BIRTH_WORD_BYTES 40u /* "date of birth (day/month/year): " */

/* Months as people write them, lower case: English first (a day may follow them), then German,
 * French, Spanish, Italian, Portuguese, Dutch, the Nordic languages, Polish. Abbreviations are
 * English ones; many languages share them. */
static const char *const english_months[] = {
    "january",   "february", "march",    "april",    "may",  "june", "july", "august",
    "september", "october",  "november", "december", "jan",  "feb",  "mar",  "apr",
    "jun",       "jul",      "aug",      "sep",      "sept", "oct",  "nov",  "dec"};
static const char *const other_months[] = {"januar",
                                           "j\xC3\xA4nner",
                                           "februar",
                                           "m\xC3\xA4rz",
                                           "mai",
                                           "juni",
                                           "juli",
                                           "oktober",
                                           "dezember",
                                           "janvier",
                                           "f\xC3\xA9vrier",
                                           "mars",
                                           "avril",
                                           "juin",
                                           "juillet",
                                           "ao\xC3\xBBt",
                                           "septembre",
                                           "octobre",
                                           "novembre",
                                           "d\xC3\xA9"
                                           "cembre",
                                           "enero",
                                           "febrero",
                                           "marzo",
                                           "abril",
                                           "mayo",
                                           "junio",
                                           "julio",
                                           "agosto",
                                           "septiembre",
                                           "octubre",
                                           "noviembre",
                                           "diciembre",
                                           "gennaio",
                                           "febbraio",
                                           "aprile",
                                           "maggio",
                                           "giugno",
                                           "luglio",
                                           "settembre",
                                           "ottobre",
                                           "dicembre",
                                           "janeiro",
                                           "fevereiro",
                                           "mar\xC3\xA7o",
                                           "maio",
                                           "junho",
                                           "julho",
                                           "setembro",
                                           "outubro",
                                           "novembro",
                                           "dezembro",
                                           "januari",
                                           "februari",
                                           "maart",
                                           "mei",
                                           "augustus",
                                           "maj",
                                           "augusti",
                                           "desember",
                                           "stycznia",
                                           "lutego",
                                           "marca",
                                           "kwietnia",
                                           "maja",
                                           "czerwca",
                                           "lipca",
                                           "sierpnia",
                                           "wrze\xC5\x9Bnia",
                                           "pa\xC5\xBA"
                                           "dziernika",
                                           "listopada",
                                           "grudnia"};

static bool is_word_of(const struct pii_scan *scan, size_t start, size_t end,
                       const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if ((unsigned char)words[i][0] == pii_lower(scan->text[start]) &&
            strlen(words[i]) == end - start && pii_word_at(scan, start, words[i]))
            return true;
    }
    return false;
}

/* A bit for each second letter that follows a first one in some month: most words are out at once.
 */
static uint32_t second_letters[32];
static pthread_once_t letters_once = PTHREAD_ONCE_INIT;

static void mark_letters(const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        second_letters[words[i][0] & 31] |= 1u << (words[i][1] & 31);
}

static void build_letters(void)
{
    mark_letters(english_months, sizeof english_months / sizeof *english_months);
    mark_letters(other_months, sizeof other_months / sizeof *other_months);
}

static bool may_be_month(const struct pii_scan *scan, size_t start, size_t end)
{
    return end - start >= 3 &&
           (second_letters[scan->text[start] & 31] >> (scan->text[start + 1] & 31) & 1) != 0;
}

static bool is_english_month(const struct pii_scan *scan, size_t start, size_t end)
{
    return may_be_month(scan, start, end) &&
           is_word_of(scan, start, end, english_months,
                      sizeof english_months / sizeof *english_months);
}

static bool is_month(const struct pii_scan *scan, size_t start, size_t end)
{
    return may_be_month(scan, start, end) &&
           (is_english_month(scan, start, end) ||
            is_word_of(scan, start, end, other_months, sizeof other_months / sizeof *other_months));
}

/* Words in small letters that are months only where a year follows. */
static bool is_doubtful_month(const struct pii_scan *scan, size_t start, size_t end)
{
    static const char *const words[] = {"may",  "mar", "march", "mai",
                                        "mars", "maj", "mei",   "marca"};
    return pii_is(scan->text[start], PII_LOWER) &&
           is_word_of(scan, start, end, words, sizeof words / sizeof *words);
}

#define WORD_BYTES_MAX 16u

static size_t word_end(const struct pii_scan *scan, size_t at)
{
    size_t end = at;
    while (end - at < WORD_BYTES_MAX && pii_is(pii_at(scan, end), PII_LETTER | PII_HIGH))
        end++;
    return end;
}

static size_t word_start(const struct pii_scan *scan, size_t end)
{
    size_t start = end;
    while (start > 0 && end - start < WORD_BYTES_MAX &&
           pii_is(scan->text[start - 1], PII_LETTER | PII_HIGH))
        start--;
    return start;
}

/* Up to four digits at `at`; returns their end. */
static size_t read_digits(const struct pii_scan *scan, size_t at, unsigned *value)
{
    size_t end = at;
    *value = 0;
    while (end - at < 5 && pii_is(pii_at(scan, end), PII_DIGIT))
        *value = *value * 10 + (unsigned)(scan->text[end++] - '0');
    return end;
}

static void add_date(struct pii_scan *scan, size_t at, size_t start, size_t end)
{
    pii_add(scan, start, end, SL_PII_DATE, 0.6, true);
    if (pii_is_on(scan, SL_PII_BIRTHDATE) &&
        pii_has_context_near(scan, at, SL_PII_BIRTHDATE, BIRTH_WORD_BYTES))
        pii_add(scan, start, end, SL_PII_BIRTHDATE, 0.6, true);
}

/* T09:33:11Z or " 11:34:35" after a date. */
static size_t time_end(const struct pii_scan *scan, size_t at)
{
    size_t here = at;
    if (pii_at(scan, here) != 'T' && pii_at(scan, here) != ' ')
        return at;
    here++;
    if (!pii_is(pii_at(scan, here), PII_DIGIT) || !pii_is(pii_at(scan, here + 1), PII_DIGIT) ||
        pii_at(scan, here + 2) != ':')
        return at;
    while (here - at < 24 &&
           (pii_is(pii_at(scan, here), PII_DIGIT) ||
            (strchr(":.+Z", pii_at(scan, here)) != NULL && pii_at(scan, here) != '\0')))
        here++;
    while (pii_before(scan, here) == '.' || pii_before(scan, here) == ':')
        here--;
    return here;
}

/* 2000-04-16, 2/8/1935, 03.06.15: three groups with one sign, of which two are a month and a day.
 */
static bool find_numeric_date(struct pii_scan *scan, size_t at)
{
    unsigned a, b, c;
    size_t first = read_digits(scan, at, &a);
    unsigned char sep = pii_at(scan, first);

    if (first - at > 4 || (sep != '-' && sep != '.' && sep != '/'))
        return false;
    size_t second = read_digits(scan, first + 1, &b);
    size_t third = read_digits(scan, second + 1, &c);
    size_t last_len = third - second - 1;
    if (second - first < 2 || second - first > 3 || pii_at(scan, second) != sep ||
        third <= second + 1)
        return false;
    bool year_first =
        first - at == 4 && last_len <= 2 && a >= 1000 && a < 2200 && pii_is_month_day(b, c);
    bool year_last = first - at <= 2 &&
                     ((last_len == 4 && c >= 1000 && c < 2200) || last_len == 2) &&
                     (pii_is_month_day(a, b) || pii_is_month_day(b, a));
    size_t end = time_end(scan, third);
    if ((!year_first && !year_last) || pii_is(pii_at(scan, end), PII_ALNUM) ||
        (end == third && pii_at(scan, end) == sep && pii_is(pii_at(scan, end + 1), PII_DIGIT)))
        return false;
    add_date(scan, at, at, end);
    return true;
}

/* ", 2021", " 2021", "-2021", " de 2021" at `at`; returns the end, `at`: no year. */
static size_t year_end(const struct pii_scan *scan, size_t at)
{
    size_t here = at + (pii_at(scan, at) == '.' ? 1 : 0);
    unsigned year;
    here += pii_at(scan, here) == ',' ? 1 : 0;
    if (pii_at(scan, here) != ' ' && pii_at(scan, here) != '-')
        return at;
    here++;
    here += pii_word_at(scan, here, "de ") ? 3 : 0;
    size_t end = read_digits(scan, here, &year);
    return end - here == 4 && !pii_is(pii_at(scan, end), PII_ALNUM) && year >= 1000 && year < 2200
               ? end
               : at;
}

/* "12th": the end behind the two letters; `at`: none. */
static size_t ordinal_end(const struct pii_scan *scan, size_t at)
{
    static const char *const endings[] = {"st", "nd", "rd", "th"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (pii_word_at(scan, at, endings[i]) && !pii_is(pii_at(scan, at + 2), PII_ALNUM))
            return at + 2;
    }
    return at;
}

/* "March 3, 2021", "Mar. 3rd": the number at `at` is the day. */
static bool find_month_day(struct pii_scan *scan, size_t at, size_t day_end)
{
    size_t end = at;
    if (at < 4 || (scan->text[at - 1] != ' ' && scan->text[at - 1] != '-'))
        return false;
    end -= scan->text[at - 2] == '.' ? 2 : 1;
    size_t start = word_start(scan, end);
    if (start == end || pii_is(pii_before(scan, start), PII_ALNUM) ||
        !is_english_month(scan, start, end))
        return false;
    size_t stop = year_end(scan, day_end);
    if (stop == day_end && is_doubtful_month(scan, start, end))
        return false;
    add_date(scan, at, start, stop);
    return true;
}

/* "3 March 2021", "12. M\u00E4rz", "12-Mar-1985", "the 3rd of March", "12 de marzo de 1985". */
static bool find_day_month(struct pii_scan *scan, size_t at, size_t day_end)
{
    size_t here = day_end + (pii_at(scan, day_end) == '.' ? 1 : 0);
    if (pii_at(scan, here) != ' ' && pii_at(scan, here) != '-')
        return false;
    here++;
    here += pii_word_at(scan, here, "of ") || pii_word_at(scan, here, "de ") ? 3 : 0;
    size_t end = word_end(scan, here);
    if (end == here || pii_is(pii_at(scan, end), PII_DIGIT) || !is_month(scan, here, end))
        return false;
    size_t stop = year_end(scan, end);
    if (stop == end && is_doubtful_month(scan, here, end))
        return false;
    add_date(scan, at, at, stop);
    return true;
}

static bool find_word_date(struct pii_scan *scan, size_t at)
{
    unsigned day;
    pthread_once(&letters_once, build_letters);
    size_t end = read_digits(scan, at, &day);
    if (end - at > 2 || day < 1 || day > 31)
        return false;
    end = ordinal_end(scan, end);
    if (pii_is(pii_at(scan, end), PII_LETTER))
        return false;
    return find_month_day(scan, at, end) || find_day_month(scan, at, end);
}

/* 23 years old, aged 66, the age of 61, a 50 year old man, I'll turn 30. */
static void find_age(struct pii_scan *scan, size_t at, size_t end)
{
    static const char *const after[] = {" years old", " year old",  "-year-old", " years of age",
                                        " yo ",       " jahre alt", " ans "};
    static const char *const before[] = {"aged ",        "age of ",      "age: ",   "age is ",
                                         "age ",         "turn ",        "turned ", "turning ",
                                         "when he was ", "when she was "};
    bool is_age = false;

    if (end - at > 3 || (end - at == 3 && scan->text[at] != '1') ||
        pii_is(pii_at(scan, end), PII_ALNUM))
        return;
    for (size_t i = 0; i < sizeof after / sizeof *after; i++)
        is_age = is_age || pii_word_at(scan, end, after[i]);
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        size_t len = strlen(before[i]);
        is_age = is_age || (at >= len && pii_word_at(scan, at - len, before[i]) &&
                            (at == len || !pii_is(scan->text[at - len - 1], PII_ALNUM)));
    }
    if (is_age)
        pii_add(scan, at, end, SL_PII_AGE, 0.6, false);
}

void pii_find_date_or_age(struct pii_scan *scan, size_t at)
{
    bool wants_dates = pii_is_on(scan, SL_PII_DATE) || pii_is_on(scan, SL_PII_BIRTHDATE);
    size_t digits_end = at;

    if (wants_dates && (find_numeric_date(scan, at) || find_word_date(scan, at)))
        return;
    while (digits_end - at < 4 && pii_is(pii_at(scan, digits_end), PII_DIGIT))
        digits_end++;
    if (pii_is_on(scan, SL_PII_AGE))
        find_age(scan, at, digits_end);
}

/* ---- titles and groups of people ----------------------------------------------------------- */

static const char *const titles[] = {"Mr",   "Mrs",    "Ms",        "Miss",   "Mx",
                                     "Dr",   "Prof",   "Professor", "Sir",    "Herr",
                                     "Frau", "Madame", "Monsieur",  "Signor", "Signora"};

/* Nationalities, religions and parties, as adjectives and people; a plural s may follow. */
static const char *const groups_of_people[] = {
    "African",    "Albanian",    "Algerian",     "American",   "Arab",       "Argentinian",
    "Asian",      "Australian",  "Austrian",     "Belgian",    "Brazilian",  "British",
    "Buddhist",   "Bulgarian",   "Canadian",     "Catholic",   "Chilean",    "Chinese",
    "Christian",  "Communist",   "Conservative", "Croatian",   "Cuban",      "Czech",
    "Danish",     "Democrat",    "Dutch",        "Egyptian",   "English",    "Estonian",
    "Ethiopian",  "European",    "Finnish",      "French",     "German",     "Greek",
    "Hindu",      "Hispanic",    "Hungarian",    "Icelandic",  "Indian",     "Indonesian",
    "Iranian",    "Iraqi",       "Irish",        "Islamic",    "Israeli",    "Italian",
    "Japanese",   "Jewish",      "Kenyan",       "Korean",     "Kurdish",    "Latino",
    "Latvian",    "Lebanese",    "Libertarian",  "Lithuanian", "Lutheran",   "Malaysian",
    "Mexican",    "Moroccan",    "Mormon",       "Muslim",     "Nigerian",   "Norwegian",
    "Orthodox",   "Pakistani",   "Palestinian",  "Peruvian",   "Polish",     "Portuguese",
    "Protestant", "Republican",  "Romanian",     "Russian",    "Scottish",   "Serbian",
    "Sikh",       "Singaporean", "Slovak",       "Slovenian",  "Socialist",  "Somali",
    "Spanish",    "Swedish",     "Swiss",        "Syrian",     "Taiwanese",  "Thai",
    "Tunisian",   "Turkish",     "Ukrainian",    "Uruguayan",  "Vietnamese", "Welsh",
};

static bool is_capital_word(const struct pii_scan *scan, size_t at, const char *word, size_t len)
{
    return scan->len - at >= len && memcmp(scan->text + at, word, len) == 0 &&
           !pii_is(pii_at(scan, at + len), PII_ALNUM | PII_HIGH);
}

void pii_find_weak_word(struct pii_scan *scan, size_t at)
{
    if (!pii_is(scan->text[at], PII_UPPER))
        return;
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        size_t len = strlen(titles[i]);
        if (!is_capital_word(scan, at, titles[i], len))
            continue;
        len += pii_at(scan, at + len) == '.';
        if (pii_at(scan, at + len) == ' ' &&
            pii_is(pii_at(scan, at + len + 1), PII_UPPER | PII_HIGH))
            pii_add(scan, at, at + len, SL_PII_TITLE, 0.6, false);
        return;
    }
    for (size_t i = 0; i < sizeof groups_of_people / sizeof *groups_of_people; i++) {
        size_t len = strlen(groups_of_people[i]);
        size_t with_s = len + (pii_at(scan, at + len) == 's');
        if (scan->len - at >= len && memcmp(scan->text + at, groups_of_people[i], len) == 0 &&
            !pii_is(pii_at(scan, at + with_s), PII_ALNUM | PII_HIGH)) {
            pii_add(scan, at, at + with_s, SL_PII_NRP, 0.6, false);
            return;
        }
    }
}
