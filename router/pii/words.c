/* SPDX-License-Identifier: Apache-2.0
 *
 * Top-level domains that a bare name in a text may end in. Left out on purpose: those that are more
 * often something else after a dot (.py, .rs, .md, .sh, .so, .id, .is, .in is kept since it is
 * common). Immutable; any thread.
 */
#include "pii/words.h"

#include <stdlib.h>

/* Sorted. */
static const char *const tlds[] = {
    "academy", "ae",         "agency",  "ai",        "app",   "ar",    "art",    "at",     "au",
    "be",      "bg",         "biz",     "blog",      "br",    "ca",    "cat",    "cc",     "ch",
    "cl",      "cloud",      "club",    "cn",        "co",    "com",   "cy",     "cz",     "de",
    "design",  "dev",        "digital", "dk",        "edu",   "ee",    "email",  "es",     "eu",
    "fi",      "fr",         "gov",     "gr",        "group", "hk",    "hr",     "hu",     "ie",
    "il",      "in",         "info",    "int",       "io",    "it",    "jobs",   "jp",     "kr",
    "live",    "lt",         "lu",      "lv",        "ly",    "mil",   "mobi",   "museum", "mx",
    "my",      "net",        "news",    "nl",        "no",    "nu",    "nz",     "online", "org",
    "ph",      "pl",         "pro",     "pt",        "ro",    "ru",    "se",     "sg",     "shop",
    "si",      "site",       "sk",      "solutions", "space", "store", "studio", "team",   "tech",
    "th",      "today",      "top",     "tr",        "tv",    "tw",    "ua",     "uk",     "us",
    "uy",      "vlaanderen", "webcam",  "website",   "wiki",  "work",  "world",  "xyz",    "za",
    "zone",
};

bool pii_is_known_tld(struct sl_slice label)
{
    size_t low = 0;
    size_t high = sizeof tlds / sizeof *tlds;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        size_t len = strlen(tlds[middle]);
        int order = memcmp(label.data, tlds[middle], label.len < len ? label.len : len);
        if (order == 0 && label.len == len)
            return true;
        if (order < 0 || (order == 0 && label.len < len))
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}
