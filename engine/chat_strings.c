/* SPDX-License-Identifier: Apache-2.0
 *
 * Operations on texts with the meaning that Python's str has: positions and lengths count
 * characters, stripping and splitting know Unicode white space.
 */
#include "chat_interp.h"

#include "sluice/utf8.h"
#include "unicode.h"

#include <utf8proc.h>

#define SHARP_S 0xDF

struct sl_value sl_text_copy(struct sl_interp *interp, struct sl_slice text)
{
    char *copy = sl_arena_dup(interp->arena, text);
    if (copy == NULL)
        return sl_interp_memory(interp);
    return sl_value_text((struct sl_slice){copy, text.len});
}

size_t sl_text_length(struct sl_slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += ((unsigned char)text.data[i] & 0xC0) != 0x80;
    return count;
}

/* The bytes of the character at the front, and of the one at the end. */
static size_t first_len(struct sl_slice text)
{
    size_t len = 1;
    while (len < text.len && ((unsigned char)text.data[len] & 0xC0) == 0x80)
        len++;
    return len;
}

static size_t last_len(struct sl_slice text)
{
    size_t len = 1;
    while (len < text.len && ((unsigned char)text.data[text.len - len] & 0xC0) == 0x80)
        len++;
    return len;
}

/* Python strips the separators 0x1C to 0x1F too. */
static bool is_space(struct sl_slice character)
{
    uint32_t cp;
    sl_utf8_decode(character.data, character.len, &cp);
    return (cp >= 0x1C && cp <= 0x1F) || (sl_unicode_flags(cp) & SL_UNICODE_SPACE) != 0;
}

static bool is_stripped(struct sl_slice character, const struct sl_slice *characters)
{
    if (characters == NULL)
        return is_space(character);
    return sl_text_find(*characters, character, false) >= 0;
}

struct sl_slice sl_text_strip(struct sl_slice text, const struct sl_slice *characters, bool left,
                              bool right)
{
    while (left && text.len > 0) {
        size_t len = first_len(text);
        if (!is_stripped((struct sl_slice){text.data, len}, characters))
            break;
        text = (struct sl_slice){text.data + len, text.len - len};
    }
    while (right && text.len > 0) {
        size_t len = last_len(text);
        if (!is_stripped((struct sl_slice){text.data + text.len - len, len}, characters))
            break;
        text.len -= len;
    }
    return text;
}

int64_t sl_text_find(struct sl_slice text, struct sl_slice part, bool from_end)
{
    if (part.len > text.len)
        return -1;
    if (part.len == 0)
        return from_end ? (int64_t)text.len : 0;
    if (!from_end) {
        const char *found = memmem(text.data, text.len, part.data, part.len);
        return found != NULL ? found - text.data : -1;
    }
    for (size_t at = text.len - part.len + 1; at-- > 0;)
        if (memcmp(text.data + at, part.data, part.len) == 0)
            return (int64_t)at;
    return -1;
}

/* ---- case ---- */

static uint32_t upper(uint32_t cp)
{
    return (uint32_t)utf8proc_toupper((utf8proc_int32_t)cp);
}

/* What `how` makes of a character: upper, lower, capitalize, title, swapcase. */
static uint32_t map_character(uint32_t cp, const char *how, bool starts_text, bool starts_word)
{
    switch (how[0]) {
    case 'u':
        return upper(cp);
    case 'l':
        return sl_unicode_lower(cp);
    case 'c':
        return starts_text ? upper(cp) : sl_unicode_lower(cp);
    case 't':
        return starts_word ? upper(cp) : sl_unicode_lower(cp);
    default:
        return sl_unicode_lower(cp) != cp ? sl_unicode_lower(cp) : upper(cp);
    }
}

struct sl_value sl_text_map(struct sl_interp *interp, struct sl_slice text, const char *how)
{
    if (!sl_interp_step(interp, text.len / 16))
        return sl_value_none();
    /* A simple mapping takes at most a byte more (two become three), U+FFFD two more. */
    char *mapped = sl_arena_alloc(interp->arena, 3 * text.len + 1);
    if (mapped == NULL)
        return sl_interp_memory(interp);
    size_t len = 0;
    bool starts_word = true;
    for (size_t at = 0; at < text.len;) {
        uint32_t cp;
        size_t step = sl_utf8_decode(text.data + at, text.len - at, &cp);
        uint32_t to = map_character(cp, how, at == 0, starts_word);
        starts_word = (sl_unicode_flags(cp) & SL_UNICODE_LETTER) == 0;
        if (cp == SHARP_S && to != cp) { /* the one common letter whose upper case is two */
            mapped[len++] = 'S';
            to = how[0] == 'u' || how[0] == 's' ? 'S' : 's';
        }
        len += sl_utf8_encode(to, mapped + len);
        at += step;
    }
    return sl_value_text((struct sl_slice){mapped, len});
}

/* ---- replacing and splitting ---- */

/* Runs `from` to `to` once to measure and once to write. An empty `from` stands before every
 * character and at the end. */
static size_t replace_into(struct sl_slice text, struct sl_slice from, struct sl_slice to,
                           int64_t count_max, char *out)
{
    size_t len = 0;
    size_t at = 0;
    while (at <= text.len) {
        struct sl_slice rest = {text.data + at, text.len - at};
        int64_t found = count_max != 0 ? sl_text_find(rest, from, false) : -1;
        size_t kept = found < 0 ? rest.len : (size_t)found;
        if (from.len == 0 && found >= 0)
            kept = 0;
        if (out != NULL && kept > 0)
            memcpy(out + len, rest.data, kept);
        len += kept;
        if (found < 0)
            break;
        if (out != NULL && to.len > 0)
            memcpy(out + len, to.data, to.len);
        len += to.len;
        count_max--;
        at += kept + from.len;
        if (from.len > 0)
            continue;
        if (at == text.len)
            break;
        size_t step = first_len((struct sl_slice){text.data + at, text.len - at});
        if (out != NULL)
            memcpy(out + len, text.data + at, step);
        len += step;
        at += step;
    }
    return len;
}

struct sl_value sl_text_replace(struct sl_interp *interp, struct sl_slice text,
                                struct sl_slice from, struct sl_slice to, int64_t count_max)
{
    if (!sl_interp_step(interp, text.len / 16))
        return sl_value_none();
    size_t len = replace_into(text, from, to, count_max, NULL);
    char *out = sl_arena_alloc(interp->arena, len + 1);
    if (out == NULL)
        return sl_interp_memory(interp);
    replace_into(text, from, to, count_max, out);
    return sl_value_text((struct sl_slice){out, len});
}

static bool add_part(struct sl_interp *interp, struct sl_list *list, const char *data, size_t len)
{
    if (!sl_interp_step(interp, 1))
        return false;
    if (sl_list_add(interp->arena, list, sl_value_text((struct sl_slice){data, len})))
        return true;
    sl_interp_memory(interp);
    return false;
}

/* Without a separator: runs of white space separate, and those at the ends give nothing. */
static void split_words(struct sl_interp *interp, struct sl_list *list, struct sl_slice text,
                        int64_t count_max)
{
    text = sl_text_strip(text, NULL, true, false);
    while (text.len > 0 && count_max != 0) {
        size_t len = 0;
        while (len < text.len) {
            struct sl_slice rest = {text.data + len, text.len - len};
            size_t step = first_len(rest);
            if (is_space((struct sl_slice){rest.data, step}))
                break;
            len += step;
        }
        if (!add_part(interp, list, text.data, len))
            return;
        text = sl_text_strip((struct sl_slice){text.data + len, text.len - len}, NULL, true, false);
        count_max--;
    }
    text = sl_text_strip(text, NULL, false, true);
    if (text.len > 0)
        add_part(interp, list, text.data, text.len);
}

static void split_at(struct sl_interp *interp, struct sl_list *list, struct sl_slice text,
                     struct sl_slice separator, int64_t count_max)
{
    int64_t found;
    while (count_max != 0 && (found = sl_text_find(text, separator, false)) >= 0) {
        if (!add_part(interp, list, text.data, (size_t)found))
            return;
        size_t used = (size_t)found + separator.len;
        text = (struct sl_slice){text.data + used, text.len - used};
        count_max--;
    }
    add_part(interp, list, text.data, text.len);
}

struct sl_value sl_text_split(struct sl_interp *interp, struct sl_slice text,
                              const struct sl_slice *separator, int64_t count_max)
{
    struct sl_list *list = sl_list_create(interp->arena, 0);
    if (list == NULL)
        return sl_interp_memory(interp);
    if (separator == NULL)
        split_words(interp, list, text, count_max);
    else if (separator->len == 0)
        return sl_interp_fail(interp, SL_ERR_INVALID, "split: empty separator");
    else
        split_at(interp, list, text, *separator, count_max);
    return sl_value_list(list);
}

struct sl_value sl_text_rsplit(struct sl_interp *interp, struct sl_slice text,
                               const struct sl_slice *separator, int64_t count_max)
{
    if (count_max < 0)
        return sl_text_split(interp, text, separator, count_max);
    struct sl_slice space = SL_SLICE(" "); /* by white space: single spaces, as templates do */
    struct sl_slice by = separator != NULL ? *separator : space;
    struct sl_list *parts = sl_list_create(interp->arena, 0);
    struct sl_list *list = sl_list_create(interp->arena, 0);
    if (parts == NULL || list == NULL)
        return sl_interp_memory(interp);
    if (by.len == 0)
        return sl_interp_fail(interp, SL_ERR_INVALID, "rsplit: empty separator");
    int64_t found;
    while (count_max-- > 0 && (found = sl_text_find(text, by, true)) >= 0) {
        size_t after = (size_t)found + by.len;
        if (!add_part(interp, parts, text.data + after, text.len - after))
            return sl_value_none();
        text.len = (size_t)found;
    }
    add_part(interp, list, text.data, text.len);
    for (size_t i = parts->count; i-- > 0;)
        if (!sl_list_add(interp->arena, list, parts->items[i]))
            return sl_interp_memory(interp);
    return sl_value_list(list);
}

struct sl_value sl_text_splitlines(struct sl_interp *interp, struct sl_slice text)
{
    struct sl_list *list = sl_list_create(interp->arena, 0);
    if (list == NULL)
        return sl_interp_memory(interp);
    while (text.len > 0) {
        size_t len = 0;
        while (len < text.len && text.data[len] != '\n' && text.data[len] != '\r')
            len++;
        if (!add_part(interp, list, text.data, len))
            break;
        size_t newline = len < text.len;
        if (newline && text.len - len > 1 && text.data[len] == '\r' && text.data[len + 1] == '\n')
            newline = 2;
        text = (struct sl_slice){text.data + len + newline, text.len - len - newline};
    }
    return sl_value_list(list);
}

struct sl_value sl_text_join(struct sl_interp *interp, struct sl_slice separator,
                             struct sl_value items)
{
    struct sl_list *list = sl_interp_items(interp, items);
    struct sl_buf *outer;
    struct sl_buf buf;
    if (list == NULL)
        return sl_value_none();
    sl_interp_capture_begin(interp, &buf, &outer);
    for (size_t i = 0; i < list->count && sl_interp_step(interp, 1); i++) {
        enum sl_err err = i > 0 ? sl_buf_append_slice(&buf, separator) : SL_OK;
        if (err == SL_OK)
            err = sl_value_write(list->items[i], &buf);
        if (err != SL_OK)
            sl_interp_fail(interp, err, "a text is too long");
    }
    return sl_interp_capture_end(interp, &buf, outer);
}

/* start, stop and step as Python normalises them: within [-1, length]. */
struct sl_value sl_text_slice(struct sl_interp *interp, struct sl_slice text, int64_t start,
                              int64_t stop, int64_t step)
{
    size_t length = sl_text_length(text);
    if (!sl_interp_step(interp, length / 4))
        return sl_value_none();
    if (length == text.len && step == 1)
        return sl_value_text(stop > start ? (struct sl_slice){text.data + start,
                                                              (size_t)(stop - start)}
                                          : (struct sl_slice){"", 0});
    uint32_t *begins = sl_arena_alloc(interp->arena, (length + 1) * sizeof *begins);
    char *out = sl_arena_alloc(interp->arena, text.len + 1);
    if (begins == NULL || out == NULL)
        return sl_interp_memory(interp);
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        if (((unsigned char)text.data[i] & 0xC0) != 0x80)
            begins[count++] = (uint32_t)i;
    begins[length] = (uint32_t)text.len;
    size_t len = 0;
    for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step) {
        size_t bytes = begins[i + 1] - begins[i];
        memcpy(out + len, text.data + begins[i], bytes);
        len += bytes;
    }
    return sl_value_text((struct sl_slice){out, len});
}
