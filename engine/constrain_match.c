/* SPDX-License-Identifier: Apache-2.0
 *
 * The byte-by-byte matcher. See constrain_match.h for the data; this file owns how places move.
 */
#include "constrain_match.h"

#include <stdlib.h>

#define FRAMES_MAX 16384u
#define BUCKETS 4096u
#define PLACES_MAX 65536u
#define SET_MAX 2048u      /* places in one set */
#define CALL_DEPTH_MAX 120u /* open rules: some forty nested objects or arrays */
#define NO_FRAME UINT32_MAX

/* States inside a JSON string. */
enum string_state {
    BODY,       /* between characters */
    MORE_1,     /* UTF-8: so many continuation bytes are left */
    MORE_2,
    MORE_3,
    AFTER_E0,   /* second bytes that rule out overlong forms, surrogates, past U+10FFFF */
    AFTER_ED,
    AFTER_F0,
    AFTER_F4,
    ESCAPE,     /* after a backslash */
    HEX_4,      /* \u: so many digits are left */
    HEX_3,
    HEX_2,
    HEX_1,
    HEX_AFTER_D, /* \uD: not 8 and up, which would be half of a pair */
    ZERO_3,      /* \u0, \u00, \u000: not a fourth zero, which C strings cannot hold */
    ZERO_2,
    ZERO_1
};

bool sl_matcher_init(struct sl_matcher *matcher, const struct sl_grammar *grammar)
{
    *matcher = (struct sl_matcher){.grammar = grammar};
    matcher->frames = malloc(FRAMES_MAX * sizeof *matcher->frames);
    matcher->buckets = malloc(BUCKETS * sizeof *matcher->buckets);
    matcher->places = malloc(PLACES_MAX * sizeof *matcher->places);
    matcher->numbers = malloc(FRAMES_MAX * sizeof *matcher->numbers);
    if (matcher->frames == NULL || matcher->buckets == NULL || matcher->places == NULL ||
        matcher->numbers == NULL)
        return false;
    memset(matcher->buckets, 0xFF, BUCKETS * sizeof *matcher->buckets);
    matcher->frames[SL_FRAME_ROOT] = (struct sl_frame){0, NO_FRAME, NO_FRAME, 0};
    matcher->frames[SL_FRAME_LOCAL] = (struct sl_frame){0, NO_FRAME, NO_FRAME, 0};
    matcher->frame_count = SL_FRAME_FIRST;
    return true;
}

void sl_matcher_clear(struct sl_matcher *matcher)
{
    free(matcher->frames);
    free(matcher->buckets);
    free(matcher->places);
    free(matcher->numbers);
    *matcher = (struct sl_matcher){0};
}

/* ---- frames ---- */

static uint32_t bucket_of(uint32_t back, uint32_t parent)
{
    uint64_t key = ((uint64_t)back << 32 | parent) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(key >> 40) % BUCKETS;
}

/* The frame of a call; NO_FRAME where there is no room for it. */
static uint32_t push_frame(struct sl_matcher *matcher, uint32_t back, uint32_t parent)
{
    uint32_t *bucket = &matcher->buckets[bucket_of(back, parent)];
    for (uint32_t at = *bucket; at != NO_FRAME; at = matcher->frames[at].chain)
        if (matcher->frames[at].back == back && matcher->frames[at].parent == parent)
            return at;
    uint32_t depth = matcher->frames[parent].depth + 1;
    if (matcher->frame_count == FRAMES_MAX || depth > CALL_DEPTH_MAX)
        return NO_FRAME;
    matcher->frames[matcher->frame_count] = (struct sl_frame){back, parent, *bucket, depth};
    *bucket = matcher->frame_count;
    return matcher->frame_count++;
}

static void pop_frames(struct sl_matcher *matcher, uint32_t count)
{
    while (matcher->frame_count > count) {
        const struct sl_frame *last = &matcher->frames[--matcher->frame_count];
        matcher->buckets[bucket_of(last->back, last->parent)] = last->chain;
    }
}

struct sl_matcher_mark sl_matcher_mark(const struct sl_matcher *matcher)
{
    return (struct sl_matcher_mark){matcher->frame_count, matcher->place_count};
}

void sl_matcher_release(struct sl_matcher *matcher, struct sl_matcher_mark mark)
{
    pop_frames(matcher, mark.frame_count);
    matcher->place_count = mark.place_count;
}

/* ---- places ---- */

/* Loops that were passed while entering one set: passing one again in the same frame adds
 * nothing. */
#define LOOPS_MAX 64
struct entry {
    struct sl_matcher *matcher;
    uint32_t begin;
    unsigned depth;
    unsigned loop_count;
    struct {
        uint32_t node;
        uint32_t frame;
    } loops[LOOPS_MAX];
};

static void add_place(struct entry *entry, struct sl_place place)
{
    struct sl_matcher *matcher = entry->matcher;
    for (uint32_t i = entry->begin; i < matcher->place_count; i++) {
        const struct sl_place *other = &matcher->places[i];
        if (other->node == place.node && other->frame == place.frame &&
            other->inner == place.inner)
            return;
    }
    if (matcher->place_count < PLACES_MAX && matcher->place_count - entry->begin < SET_MAX)
        matcher->places[matcher->place_count++] = place;
}

static bool is_new_loop(struct entry *entry, uint32_t node, uint32_t frame)
{
    for (unsigned i = 0; i < entry->loop_count; i++)
        if (entry->loops[i].node == node && entry->loops[i].frame == frame)
            return false;
    if (entry->loop_count == LOOPS_MAX)
        return false;
    entry->loops[entry->loop_count].node = node;
    entry->loops[entry->loop_count++].frame = frame;
    return true;
}

/* Follows everything that consumes nothing from `index` on. The grammar has no rule that begins
 * with itself, so calls end; loops are remembered. */
static void enter(struct entry *entry, uint32_t index, uint32_t frame)
{
    struct sl_matcher *matcher = entry->matcher;
    const struct sl_grammar *grammar = matcher->grammar;
    if (++entry->depth > 1000) {
        entry->depth--;
        return;
    }
    for (;;) {
        const struct sl_grammar_node *node = &grammar->nodes[index];
        if (node->kind == SL_GRAMMAR_RETURN) {
            if (frame < SL_FRAME_FIRST) {
                add_place(entry, (struct sl_place){SL_GRAMMAR_END, frame, 0});
                break;
            }
            index = matcher->frames[frame].back;
            frame = matcher->frames[frame].parent;
        } else if (node->kind == SL_GRAMMAR_SPLIT) {
            if (node->is_loop && !is_new_loop(entry, index, frame))
                break;
            enter(entry, node->next, frame);
            index = node->other;
        } else if (node->kind == SL_GRAMMAR_CALL) {
            if (node->next != SL_GRAMMAR_END) /* a last call needs no frame of its own */
                frame = push_frame(matcher, node->next, frame);
            if (frame == NO_FRAME)
                break;
            index = grammar->rules[node->other].start;
        } else {
            add_place(entry, (struct sl_place){index, frame, BODY});
            break;
        }
    }
    entry->depth--;
}

/* ---- strings ---- */

static bool is_continuation(uint8_t byte)
{
    return byte >= 0x80 && byte <= 0xBF;
}

static bool is_hex(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') ||
           (byte >= 'A' && byte <= 'F');
}

/* The state after a first byte of a character in the body; -1 where none begins so. ASCII, which
 * is a whole character, stays in the body. */
static int begin_character(uint8_t byte)
{
    if (byte >= 0x20 && byte < 0x80)
        return byte == '\\' ? ESCAPE : BODY;
    if (byte >= 0xC2 && byte <= 0xDF)
        return MORE_1;
    if (byte == 0xE0)
        return AFTER_E0;
    if (byte == 0xED)
        return AFTER_ED;
    if (byte >= 0xE1 && byte <= 0xEF)
        return MORE_2;
    if (byte == 0xF0)
        return AFTER_F0;
    if (byte >= 0xF1 && byte <= 0xF3)
        return MORE_3;
    return byte == 0xF4 ? AFTER_F4 : -1;
}

static int after_escape(uint8_t byte)
{
    if (byte == 'u')
        return HEX_4;
    return byte != 0 && strchr("\"\\/bfnrt", byte) != NULL ? BODY : -1;
}

/* The first digit of \u decides what the others may be. */
static int after_hex_4(uint8_t byte)
{
    if (byte == '0')
        return ZERO_3;
    if (byte == 'd' || byte == 'D')
        return HEX_AFTER_D;
    return is_hex(byte) ? HEX_3 : -1;
}

static int advance_state(int state, uint8_t byte)
{
    switch (state) {
    case BODY:
        return begin_character(byte);
    case MORE_1:
        return is_continuation(byte) ? BODY : -1;
    case MORE_2:
        return is_continuation(byte) ? MORE_1 : -1;
    case MORE_3:
        return is_continuation(byte) ? MORE_2 : -1;
    case AFTER_E0:
        return byte >= 0xA0 && byte <= 0xBF ? MORE_1 : -1;
    case AFTER_ED:
        return byte >= 0x80 && byte <= 0x9F ? MORE_1 : -1;
    case AFTER_F0:
        return byte >= 0x90 && byte <= 0xBF ? MORE_2 : -1;
    case AFTER_F4:
        return byte >= 0x80 && byte <= 0x8F ? MORE_2 : -1;
    case ESCAPE:
        return after_escape(byte);
    case HEX_4:
        return after_hex_4(byte);
    case HEX_3:
        return is_hex(byte) ? HEX_2 : -1;
    case HEX_2:
        return is_hex(byte) ? HEX_1 : -1;
    case HEX_1:
        return is_hex(byte) ? BODY : -1;
    case HEX_AFTER_D:
        return byte >= '0' && byte <= '7' ? HEX_2 : -1;
    case ZERO_3:
        return byte == '0' ? ZERO_2 : is_hex(byte) ? HEX_2 : -1;
    case ZERO_2:
        return byte == '0' ? ZERO_1 : is_hex(byte) ? HEX_1 : -1;
    default:
        return is_hex(byte) && byte != '0' ? BODY : -1;
    }
}

/* Without an upper bound characters are counted only up to the lower one, so that places which
 * behave alike are equal. */
static void advance_string(struct entry *entry, const struct sl_grammar_node *node,
                           struct sl_place place, uint8_t byte)
{
    int state = (int)(place.inner & 0xFF);
    uint32_t count = place.inner >> 8;
    if (state == BODY && byte == '"') {
        if (count >= node->min)
            enter(entry, node->next, place.frame);
        return;
    }
    if (state == BODY && count >= node->max && node->max != SL_GRAMMAR_UNBOUNDED)
        return;
    int next = advance_state(state, byte);
    if (next < 0)
        return;
    bool is_counted = node->max != SL_GRAMMAR_UNBOUNDED || count < node->min;
    if (next == BODY && is_counted)
        count++;
    add_place(entry, (struct sl_place){place.node, place.frame, count << 8 | (uint32_t)next});
}

/* ---- moving on ---- */

static struct entry begin_set(struct sl_matcher *matcher)
{
    struct entry entry;
    entry.matcher = matcher;
    entry.begin = matcher->place_count;
    entry.depth = 0;
    entry.loop_count = 0;
    return entry;
}

static struct sl_place_set end_set(const struct entry *entry)
{
    return (struct sl_place_set){entry->begin, entry->matcher->place_count - entry->begin};
}

struct sl_place_set sl_matcher_start(struct sl_matcher *matcher, uint32_t rule)
{
    struct entry entry = begin_set(matcher);
    enter(&entry, matcher->grammar->rules[rule].start, SL_FRAME_ROOT);
    return end_set(&entry);
}

struct sl_place_set sl_matcher_single(struct sl_matcher *matcher, struct sl_place place)
{
    struct entry entry = begin_set(matcher);
    add_place(&entry, place);
    return end_set(&entry);
}

static void advance_place(struct entry *entry, struct sl_place place, uint8_t byte)
{
    const struct sl_grammar *grammar = entry->matcher->grammar;
    const struct sl_grammar_node *node = &grammar->nodes[place.node];
    switch (node->kind) {
    case SL_GRAMMAR_BYTE:
        if (node->byte == byte)
            enter(entry, node->next, place.frame);
        break;
    case SL_GRAMMAR_SET:
        if (sl_byte_set_has(&grammar->sets[node->other], byte))
            enter(entry, node->next, place.frame);
        break;
    case SL_GRAMMAR_STRING:
        advance_string(entry, node, place, byte);
        break;
    default: /* an end */
        break;
    }
}

struct sl_place_set sl_matcher_advance(struct sl_matcher *matcher, struct sl_place_set from,
                                       uint8_t byte)
{
    struct entry entry = begin_set(matcher);
    for (uint32_t i = 0; i < from.count; i++)
        advance_place(&entry, matcher->places[from.begin + i], byte);
    return end_set(&entry);
}

struct sl_place_set sl_matcher_advance_text(struct sl_matcher *matcher, struct sl_place_set from,
                                            struct sl_slice text)
{
    uint32_t bottom = matcher->place_count;
    for (size_t i = 0; i < text.len && from.count > 0; i++) {
        struct sl_place_set next = sl_matcher_advance(matcher, from, (uint8_t)text.data[i]);
        memmove(matcher->places + bottom, matcher->places + next.begin,
                next.count * sizeof *matcher->places);
        matcher->place_count = bottom + next.count;
        from = (struct sl_place_set){bottom, next.count};
    }
    return from;
}

bool sl_matcher_has_end(const struct sl_matcher *matcher, struct sl_place_set set, uint32_t frame)
{
    for (uint32_t i = 0; i < set.count; i++) {
        const struct sl_place *place = &matcher->places[set.begin + i];
        if (place->node == SL_GRAMMAR_END && place->frame == frame)
            return true;
    }
    return false;
}

/* ---- keeping ---- */

/* Frames that the places need move down, the others go; parents come before their children, so one
 * pass upwards suffices. */
static void compact_frames(struct sl_matcher *matcher, struct sl_place_set set)
{
    struct sl_frame *frames = matcher->frames;
    uint32_t *numbers = matcher->numbers;
    uint32_t kept = SL_FRAME_FIRST;
    memset(numbers, 0, matcher->frame_count * sizeof *numbers);
    for (uint32_t i = 0; i < set.count; i++)
        for (uint32_t at = matcher->places[set.begin + i].frame;
             at >= SL_FRAME_FIRST && numbers[at] == 0; at = frames[at].parent)
            numbers[at] = 1; /* wanted */
    memset(matcher->buckets, 0xFF, BUCKETS * sizeof *matcher->buckets);
    numbers[SL_FRAME_ROOT] = SL_FRAME_ROOT;
    numbers[SL_FRAME_LOCAL] = SL_FRAME_LOCAL;
    for (uint32_t i = SL_FRAME_FIRST; i < matcher->frame_count; i++) {
        if (numbers[i] == 0)
            continue;
        uint32_t back = frames[i].back;
        uint32_t parent = numbers[frames[i].parent];
        uint32_t *bucket = &matcher->buckets[bucket_of(back, parent)];
        frames[kept] = (struct sl_frame){back, parent, *bucket, frames[parent].depth + 1};
        *bucket = kept;
        numbers[i] = kept++;
    }
    for (uint32_t i = 0; i < set.count; i++)
        matcher->places[set.begin + i].frame = numbers[matcher->places[set.begin + i].frame];
    matcher->frame_count = kept;
}

struct sl_place_set sl_matcher_keep(struct sl_matcher *matcher, struct sl_place_set set)
{
    memmove(matcher->places, matcher->places + set.begin, set.count * sizeof *matcher->places);
    matcher->place_count = set.count;
    set.begin = 0;
    compact_frames(matcher, set);
    return set;
}
