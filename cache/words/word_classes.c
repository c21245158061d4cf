/* SPDX-License-Identifier: Apache-2.0
 *
 * The lists are short and looked through in order: a text has a dozen words, and this runs only for
 * texts that missed the exact look-up. Immutable; any thread.
 *
 * Opposites serve the look-up by meaning, where words may differ: two texts that name different
 * sides of one pair contradict each other whatever a model thinks of their meaning. Look-ups by
 * surface and typo don't need them, since there every word counts.
 */
#include "words/word_classes.h"

/* clang-format off */
static const char *const numbers[] = {
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty",
    "ninety", "hundred", "thousand", "million", "billion", "trillion", "dozen", "half", "quarter",
    "third", "first", "second", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
    "eighteenth", "nineteenth", "twentieth", "thirtieth", "hundredth", "once", "twice", "double",
    "triple", "single", "am", "pm", "a.m", "p.m", "noon", "midnight", NULL};

static const char *const negations[] = {
    "not",     "no",      "never",   "none",    "nothing", "nobody", "nowhere", "neither",
    "nor",     "without", "except",  "cannot",  "cant",    "dont",   "doesnt",  "didnt",
    "isnt",    "arent",   "wasnt",   "werent",  "wont",    "wouldnt", "shouldnt", "couldnt",
    "havent",  "hasnt",   "hadnt",   "unless",  "hardly",  "barely", "non",     "ain't",
    NULL};

static const char *const units[] = {
    "mm", "cm", "km", "mg", "kg", "lb", "lbs", "oz", "ml", "kb", "mb", "gb", "tb", "ms", "hz", "khz",
    "mhz", "ghz", "mph", "kph", "usd", "eur", "gbp", "jpy", "cad", "aud", "meter", "meters", "metre",
    "metres", "mile", "miles", "foot", "feet", "inch", "inches", "yard", "yards", "kilometer",
    "kilometers", "gram", "grams", "kilogram", "kilograms", "pound", "pounds", "ounce", "ounces",
    "liter", "liters", "litre", "litres", "gallon", "gallons", "cup", "cups", "tablespoon",
    "tablespoons", "teaspoon", "teaspoons", "second", "seconds", "minute", "minutes", "hour",
    "hours", "day", "days", "week", "weeks", "month", "months", "year", "years", "celsius",
    "fahrenheit", "degree", "degrees", "percent", "dollar", "dollars", "euro", "euros", "cent",
    "cents", "yen", "watt", "watts", "volt", "volts", NULL};

/* Word, other side, word, other side, ...; the first rows are the most common. A word may stand in
 * several rows: the first counts, since one contradiction is enough. */
static const char *const opposites[][2] = {
    {"on", "off"}, {"enable", "disable"}, {"start", "stop"}, {"open", "close"}, {"add", "remove"},
    {"increase", "decrease"}, {"raise", "lower"}, {"up", "down"}, {"before", "after"},
    {"first", "last"}, {"true", "false"}, {"lock", "unlock"}, {"mute", "unmute"}, {"allow", "deny"},
    {"accept", "reject"}, {"buy", "sell"}, {"send", "receive"}, {"import", "export"},
    {"upload", "download"}, {"login", "logout"}, {"connect", "disconnect"},
    {"install", "uninstall"}, {"subscribe", "unsubscribe"}, {"activate", "deactivate"},
    {"include", "exclude"}, {"show", "hide"}, {"more", "less"}, {"max", "min"},
    {"maximum", "minimum"}, {"high", "low"}, {"higher", "lower"}, {"hot", "cold"}, {"warm", "cool"},
    {"warmer", "cooler"}, {"today", "tomorrow"}, {"yesterday", "tomorrow"}, {"morning", "evening"},
    {"day", "night"}, {"next", "previous"}, {"new", "old"}, {"left", "right"}, {"front", "back"},
    {"top", "bottom"}, {"inside", "outside"}, {"arrive", "depart"}, {"arrival", "departure"},
    {"begin", "end"}, {"create", "delete"}, {"win", "lose"}, {"best", "worst"}, {"good", "bad"},
    {"big", "small"}, {"bigger", "smaller"}, {"fast", "slow"}, {"faster", "slower"},
    {"louder", "quieter"}, {"loud", "quiet"}, {"brighten", "dim"}, {"brighter", "dimmer"},
    {"light", "dark"}, {"above", "below"}, {"over", "under"}, {"public", "private"},
    {"safe", "unsafe"}, {"legal", "illegal"}, {"deposit", "withdraw"}, {"debit", "credit"},
    {"borrow", "lend"}, {"male", "female"}, {"mother", "father"}, {"freeze", "unfreeze"},
    {"block", "unblock"}, {"follow", "unfollow"}, {"push", "pull"}, {"save", "discard"},
    {"encrypt", "decrypt"}, {"compress", "decompress"}, {"agree", "disagree"},
    {"approve", "decline"}, {"earlier", "later"}, {"early", "late"}, {"cheap", "expensive"},
    {"cheaper", "dearer"}, {"sunrise", "sunset"}, {"north", "south"}, {"east", "west"},
    {"asc", "desc"}, {"pause", "resume"}, {"grow", "shrink"}, {"expand", "collapse"},
    {"ascending", "descending"}, {"horizontal", "vertical"}, {"input", "output"},
};
/* clang-format on */
#define OPPOSITE_PAIRS (sizeof opposites / sizeof opposites[0])
_Static_assert(OPPOSITE_PAIRS <= 127, "pair * 2 + side fits a byte");

static bool is_in(const char *const *list, struct sl_slice word)
{
    for (; *list != NULL; list++)
        if (sl_slice_equal_text(word, *list))
            return true;
    return false;
}

static bool has_digit(struct sl_slice word)
{
    for (size_t i = 0; i < word.len; i++)
        if (word.data[i] >= '0' && word.data[i] <= '9')
            return true;
    return false;
}

static bool ends_in_not(struct sl_slice word)
{
    return word.len > 3 && memcmp(word.data + word.len - 3, "n't", 3) == 0;
}

static bool find_opposite(struct sl_slice word, uint8_t *detail)
{
    for (size_t pair = 0; pair < OPPOSITE_PAIRS; pair++)
        for (size_t side = 0; side < 2; side++)
            if (sl_slice_equal_text(word, opposites[pair][side])) {
                *detail = (uint8_t)(pair * 2 + side);
                return true;
            }
    return false;
}

uint8_t word_number_index(struct sl_slice word)
{
    for (size_t i = 0; numbers[i] != NULL; i++)
        if (sl_slice_equal_text(word, numbers[i]))
            return (uint8_t)(i + 1);
    return 0;
}

uint8_t word_number_meant(struct sl_slice word)
{
    uint8_t meant = 0;
    for (size_t i = 0; numbers[i] != NULL; i++) {
        if (!word_is_one_edit(word, sl_slice_of(numbers[i])))
            continue;
        if (meant != 0)
            return 0;
        meant = (uint8_t)(i + 1);
    }
    return meant;
}

bool word_is_one_edit(struct sl_slice a, struct sl_slice b)
{
    size_t head = 0;
    size_t tail = 0;
    size_t shorter = a.len < b.len ? a.len : b.len;
    while (head < shorter && a.data[head] == b.data[head])
        head++;
    while (tail < shorter - head && a.data[a.len - 1 - tail] == b.data[b.len - 1 - tail])
        tail++;
    size_t a_left = a.len - head - tail;
    size_t b_left = b.len - head - tail;
    if (a_left + b_left == 1 || (a_left == 1 && b_left == 1))
        return true;
    return a_left == 2 && b_left == 2 && a.data[head] == b.data[head + 1] &&
           a.data[head + 1] == b.data[head];
}

enum word_class word_classify(struct sl_slice word, uint8_t *detail)
{
    *detail = 0;
    if (word.data[0] == '<')
        return WORD_PLACEHOLDER;
    if (is_in(negations, word) || ends_in_not(word))
        return WORD_NEGATION;
    if (find_opposite(word, detail))
        return WORD_OPPOSITE;
    *detail = word_number_index(word);
    if (*detail != 0 || has_digit(word))
        return WORD_NUMBER;
    return is_in(units, word) ? WORD_UNIT : WORD_PLAIN;
}
