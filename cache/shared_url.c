/* SPDX-License-Identifier: Apache-2.0
 *
 * The address of the second level. Percent-encoding is understood in user and password only, where
 * it is needed. Pure; any thread.
 */
#include "shared_url.h"

#include "sluice/slice.h"

#include <stdint.h>

#define REDIS_PORT 6379
#define DATABASE_MAX 1023

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False where it does not fit or an escape is broken or hides a NUL. */
static bool copy_decoded(struct sl_slice from, char *to, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < from.len; i++) {
        char c = from.data[i];
        if (c == '%') {
            int high = i + 2 < from.len ? hex_value(from.data[i + 1]) : -1;
            int low = i + 2 < from.len ? hex_value(from.data[i + 2]) : -1;
            if (high < 0 || low < 0 || (high | low) == 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (len + 1 >= size)
            return false;
        to[len++] = c;
    }
    to[len] = '\0';
    return true;
}

static bool copy_plain(struct sl_slice from, char *to, size_t size)
{
    if (from.len == 0 || from.len >= size)
        return false;
    memcpy(to, from.data, from.len);
    to[from.len] = '\0';
    return true;
}

static bool parse_number(struct sl_slice text, int max, int *out)
{
    int value = 0;
    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (text.data[i] - '0');
    }
    *out = value;
    return value <= max;
}

/* Cuts what stands before the first (or, from the end, last) `mark` off the front of *rest. */
static bool cut_before(struct sl_slice *rest, char mark, bool is_last, struct sl_slice *head)
{
    const char *at = rest->len == 0 ? NULL
                     : is_last      ? memrchr(rest->data, mark, rest->len)
                                    : memchr(rest->data, mark, rest->len);
    if (at == NULL)
        return false;
    *head = (struct sl_slice){rest->data, (size_t)(at - rest->data)};
    *rest = (struct sl_slice){at + 1, rest->len - head->len - 1};
    return true;
}

static bool parse_login(struct sl_slice login, struct shared_url *out)
{
    struct sl_slice user = {NULL, 0};
    if (!cut_before(&login, ':', false, &user))
        return false; /* a password has a colon before it, also without a user */
    return copy_decoded(user, out->user, sizeof out->user) &&
           copy_decoded(login, out->password, sizeof out->password);
}

static bool parse_host(struct sl_slice text, struct shared_url *out)
{
    struct sl_slice host = text;
    out->port = REDIS_PORT;
    if (text.len > 0 && text.data[0] == '[') {
        text = (struct sl_slice){text.data + 1, text.len - 1};
        if (!cut_before(&text, ']', false, &host))
            return false;
        if (text.len > 0 &&
            (text.data[0] != ':' ||
             !parse_number((struct sl_slice){text.data + 1, text.len - 1}, 65535, &out->port)))
            return false;
    } else if (cut_before(&text, ':', true, &host)) {
        if (!parse_number(text, 65535, &out->port))
            return false;
    }
    return out->port > 0 && copy_plain(host, out->host, sizeof out->host);
}

static bool parse_redis(struct sl_slice rest, struct shared_url *out)
{
    struct sl_slice head;
    if (cut_before(&rest, '@', true, &head) && !parse_login(head, out))
        return false;
    if (!cut_before(&rest, '/', false, &head))
        return parse_host(rest, out);
    return parse_host(head, out) &&
           (rest.len == 0 || parse_number(rest, DATABASE_MAX, &out->database));
}

enum sl_err shared_url_parse(const char *url, struct shared_url *out, struct sl_error *error)
{
    struct sl_slice text = sl_slice_of(url);
    struct sl_slice redis = SL_SLICE("redis://");
    struct sl_slice local = SL_SLICE("unix://");
    bool is_good = false;
    memset(out, 0, sizeof *out);
    if (sl_slice_starts_with(text, redis))
        is_good = parse_redis((struct sl_slice){text.data + redis.len, text.len - redis.len}, out);
    else if (sl_slice_starts_with(text, local))
        is_good = text.len > local.len && text.data[local.len] == '/' &&
                  copy_plain((struct sl_slice){text.data + local.len, text.len - local.len},
                             out->host, sizeof out->host);
    if (is_good)
        return SL_OK;
    return sl_error_set(error, SL_ERR_INVALID,
                        "the second cache level's address must be "
                        "redis://[user:password@]host[:port][/db] or unix:///path");
}
