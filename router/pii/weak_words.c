/* SPDX-License-Identifier: Apache-2.0
 *
 * Dates, ages, titles and nationalities, for routes that switch these kinds on: numbers are read
 * when scan.c comes to the first digit of a word, words at their start. Owns calendar forms, the
 * words that make a small number an age, and two short lists. Stateless.
 */
#include "pii/checks.h"
#include "pii/number.h"

static const char *const months[] = {"january",   "february", "march",    "april",
                                     "may",       "june",     "july",     "august",
                                     "september", "october",  "november", "december"};

/* The length of a month's name or its first three letters (with a dot) at `at`; 0: none. */
static size_t month_len(const struct pii_scan *scan, size_t at)
{
    for (size_t i = 0; i < sizeof months / sizeof *months; i++) {
        size_t len = strlen(months[i]);
        if (pii_word_at(scan, at, months[i]) && !pii_is(pii_at(scan, at + len), PII_ALNUM))
            return len;
        char brief[4] = {months[i][0], months[i][1], months[i][2], '\0'};
        if (pii_word_at(scan, at, brief) && !pii_is(pii_at(scan, at + 3), PII_ALNUM))
            return pii_at(scan, at + 3) == '.' ? 4 : 3;
    }
    return 0;
}

static unsigned value_of(const struct pii_number *number, unsigned group)
{
    unsigned value = 0;
    for (unsigned i = 0; i < number->groups[group].len && i < 6; i++)
        value =
            value * 10 + (unsigned)(number->digits[number->groups[group].digits_before + i] - '0');
    return value;
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
static size_t find_numeric_date(struct pii_scan *scan, const struct pii_number *number)
{
    const struct pii_group *groups = number->groups;
    if (number->group_count < 3 || groups[1].sep != groups[2].sep ||
        strchr("-./", groups[1].sep) == NULL)
        return number->start;
    unsigned a = value_of(number, 0);
    unsigned b = value_of(number, 1);
    unsigned c = value_of(number, 2);
    bool year_first = groups[0].len == 4 && groups[1].len <= 2 && groups[2].len <= 2 && a >= 1000 &&
                      a < 2200 && pii_is_month_day(b, c);
    bool year_last = groups[0].len <= 2 && groups[1].len <= 2 &&
                     ((groups[2].len == 4 && c >= 1000 && c < 2200) || groups[2].len == 2) &&
                     (pii_is_month_day(a, b) || pii_is_month_day(b, a));
    if (!year_first && !year_last)
        return number->start;
    size_t end = time_end(scan, groups[2].start + groups[2].len);
    pii_add(scan, number->start, end, SL_PII_DATE, 0.6, true);
    return end;
}

/* "March 3, 2021" (the number is the day), "3 March 2021". English months only. */
static size_t find_word_date(struct pii_scan *scan, size_t at, size_t digits_end)
{
    size_t start = at;
    size_t end = digits_end;
    size_t month = 0;

    if (digits_end - at > 2)
        return at;
    for (size_t back = 3; back <= 10 && back < at && month == 0; back++) {
        size_t from = at - back - 1;
        size_t len = month_len(scan, from);
        if (len > 0 && from + len + 1 == at && scan->text[at - 1] == ' ' &&
            (from == 0 || !pii_is(scan->text[from - 1], PII_ALNUM))) {
            start = from;
            month = len;
        }
    }
    if (month == 0) {
        size_t after = end + (pii_at(scan, end) == '.' ? 1 : 0);
        after += pii_word_at(scan, after, " of") ? 3 : 0;
        month = pii_at(scan, after) == ' ' ? month_len(scan, after + 1) : 0;
        if (month == 0)
            return at;
        end = after + 1 + month;
    }
    size_t year = end + (pii_at(scan, end) == ',' ? 1 : 0);
    if (pii_at(scan, year) == ' ' && pii_is(pii_at(scan, year + 1), PII_DIGIT) &&
        pii_is(pii_at(scan, year + 4), PII_DIGIT) && !pii_is(pii_at(scan, year + 5), PII_ALNUM))
        end = year + 5;
    pii_add(scan, start, end, SL_PII_DATE, 0.6, true);
    return end;
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

size_t pii_find_date_or_age(struct pii_scan *scan, const struct pii_number *number)
{
    size_t digits_end = number->groups[0].start + number->groups[0].len;
    size_t end = number->start;

    if (pii_is_on(scan, SL_PII_DATE)) {
        end = find_numeric_date(scan, number);
        if (end == number->start)
            end = find_word_date(scan, number->start, digits_end);
    }
    if (pii_is_on(scan, SL_PII_AGE) && end == number->start)
        find_age(scan, number->start, digits_end);
    return end;
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
