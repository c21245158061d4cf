/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: stop strings across pieces of text.
 *
 * Bytes go in one by one: the tail keeps the last `longest` bytes, and after each byte every stop
 * string is compared with the tail's end. That is O(bytes * strings), with one byte compared first;
 * at most 16 strings of some bytes against some bytes a token.
 *
 * Invariant: `tail` ends with the last byte fed, and holds min(total, longest) bytes.
 */
#include "stop_match.h"

#include <stdlib.h>

struct sl_stop_match {
    uint64_t total; /* bytes fed */
    uint64_t released;
    size_t longest;
    size_t tail_len;
    char *tail; /* (longest) */
    size_t count;
    struct sl_slice stops[];
};

struct sl_stop_match *sl_stop_match_create(const struct sl_slice *stops, size_t count)
{
    size_t bytes = 0;
    size_t longest = 0;
    for (size_t idx = 0; idx < count; idx++) {
        bytes += stops[idx].len;
        longest = stops[idx].len > longest ? stops[idx].len : longest;
    }
    struct sl_stop_match *match =
        calloc(1, sizeof *match + count * sizeof *match->stops + bytes + longest);
    if (match == NULL)
        return NULL;
    char *memory = (char *)&match->stops[count];
    match->tail = memory;
    match->longest = longest;
    memory += longest;
    for (size_t idx = 0; idx < count; idx++) {
        if (stops[idx].len == 0)
            continue;
        memcpy(memory, stops[idx].data, stops[idx].len);
        match->stops[match->count++] = (struct sl_slice){memory, stops[idx].len};
        memory += stops[idx].len;
    }
    return match;
}

void sl_stop_match_free(struct sl_stop_match *match)
{
    free(match);
}

static void push_byte(struct sl_stop_match *match, char byte)
{
    if (match->tail_len == match->longest)
        memmove(match->tail, match->tail + 1, --match->tail_len);
    match->tail[match->tail_len++] = byte;
    match->total++;
}

/* The longest stop string that the tail ends with, or 0. */
static size_t complete_len(const struct sl_stop_match *match)
{
    size_t found = 0;
    for (size_t idx = 0; idx < match->count; idx++) {
        const struct sl_slice stop = match->stops[idx];
        if (stop.len > found && stop.len <= match->tail_len &&
            memcmp(match->tail + match->tail_len - stop.len, stop.data, stop.len) == 0)
            found = stop.len;
    }
    return found;
}

/* The longest end of the tail that begins a stop string. */
static size_t possible_len(const struct sl_stop_match *match)
{
    for (size_t len = match->tail_len; len > 0; len--)
        for (size_t idx = 0; idx < match->count; idx++)
            if (match->stops[idx].len > len &&
                memcmp(match->tail + match->tail_len - len, match->stops[idx].data, len) == 0)
                return len;
    return 0;
}

bool sl_stop_match_feed(struct sl_stop_match *match, struct sl_slice piece)
{
    for (size_t idx = 0; idx < piece.len; idx++) {
        if (match->longest == 0) {
            match->total++;
            continue;
        }
        push_byte(match, piece.data[idx]);
        size_t complete = complete_len(match);
        if (complete > 0) {
            match->released = match->total - complete;
            return true;
        }
    }
    match->released = match->total - possible_len(match);
    return false;
}

uint64_t sl_stop_match_released(const struct sl_stop_match *match)
{
    return match->released;
}
