/* SPDX-License-Identifier: Apache-2.0
 *
 * A borrowed run of bytes: pointer and length, no terminator promised. Header only; any thread.
 */
#ifndef SLUICE_SLICE_H
#define SLUICE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct sl_slice {
    const char *data;
    size_t len;
};

#define SL_SLICE(literal) ((struct sl_slice){(literal), sizeof(literal) - 1})
/* For printf("%.*s", SL_SLICE_ARG(slice)). */
#define SL_SLICE_ARG(slice) (int)(slice).len, ((slice).data != NULL ? (slice).data : "")

static inline struct sl_slice sl_slice_of(const char *text)
{
    return (struct sl_slice){text, text != NULL ? strlen(text) : 0};
}

static inline bool sl_slice_equal(struct sl_slice a, struct sl_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool sl_slice_equal_text(struct sl_slice a, const char *text)
{
    return sl_slice_equal(a, sl_slice_of(text));
}

static inline bool sl_slice_equal_nocase(struct sl_slice a, struct sl_slice b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.data, b.data, a.len) == 0);
}

static inline bool sl_slice_starts_with(struct sl_slice text, struct sl_slice prefix)
{
    return text.len >= prefix.len &&
           (prefix.len == 0 || memcmp(text.data, prefix.data, prefix.len) == 0);
}

#endif
