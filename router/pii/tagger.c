/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns tokens, features and decoding of the name tagger; see tagger.h. The run over a text and what
 * is reported are in names.c, the training in train/.
 *
 * Stateless; any thread.
 *
 * Features changed here need a new training: the weights know them by number.
 */
#include "pii/tagger.h"

#include "pii/detect.h"

#include <pthread.h>
#include <string.h>

#define SLOT_BITS 18u

static const uint32_t name_table[1u << SLOT_BITS] = {
#include "pii/name_table.inc"
};

/* What a token looks like. */
enum shape {
    SHAPE_LINE, /* end of a line */
    SHAPE_SIGN, /* any sign not below */
    SHAPE_COMMA,
    SHAPE_STOP, /* . ! ? */
    SHAPE_QUOTE,
    SHAPE_DASH,
    SHAPE_OPEN, /* ( [ < > @ # / : and such, each a hash of its own in `word` */
    SHAPE_LOWER,
    SHAPE_TITLE,  /* Anna */
    SHAPE_UPPER,  /* ANNA */
    SHAPE_LETTER, /* A */
    SHAPE_MIXED,  /* McDonald, iPhone */
    SHAPE_SHORT_NUMBER,
    SHAPE_LONG_NUMBER, /* four digits and more */
    SHAPE_ALNUM,       /* letters and digits */
    SHAPE_EDGE         /* before the first and after the last token */
};

/* ---- lists --------------------------------------------------------------------------------- */

static uint64_t finish(uint64_t hash)
{
    hash ^= hash >> 32;
    hash *= UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ (hash >> 29);
}

static uint64_t step(uint64_t hash, unsigned char c)
{
    return (hash ^ c) * UINT64_C(1099511628211);
}

#define HASH_START UINT64_C(14695981039346656037)

/* Lower case of ASCII and of U+00C0 to U+00DE, whose second byte is c. */
static unsigned char fold(unsigned char before, unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned char)(c + 32);
    return before == 0xC3 && c >= 0x80 && c <= 0x9E && c != 0x97 ? (unsigned char)(c + 32) : c;
}

static uint8_t flags_of(uint64_t hash)
{
    uint32_t slot = (uint32_t)hash & ((1u << SLOT_BITS) - 1);
    uint32_t wanted = (uint32_t)(hash >> 40);
    while (name_table[slot] != 0) {
        if (name_table[slot] >> 8 == wanted)
            return (uint8_t)name_table[slot];
        slot = (slot + 1) & ((1u << SLOT_BITS) - 1);
    }
    return 0;
}

static uint64_t hash_word(const unsigned char *word, size_t len)
{
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < len; i++)
        hash = step(hash, fold(i > 0 ? word[i - 1] : 0, word[i]));
    return finish(hash);
}

uint8_t tag_word_flags(const unsigned char *word, size_t len)
{
    return flags_of(hash_word(word, len));
}

/* ---- tokens -------------------------------------------------------------------------------- */

static enum shape sign_shape(unsigned char c)
{
    switch (c) {
    case '\n':
        return SHAPE_LINE;
    case ',':
        return SHAPE_COMMA;
    case '.':
    case '!':
    case '?':
        return SHAPE_STOP;
    case '"':
    case '\'':
    case '`':
        return SHAPE_QUOTE;
    case '-':
        return SHAPE_DASH;
    case '(':
    case '[':
    case '<':
    case '>':
    case '@':
    case '#':
    case '/':
    case ':':
        return SHAPE_OPEN;
    default:
        return SHAPE_SIGN;
    }
}

static bool continues(const unsigned char *text, size_t len, size_t at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (at + i >= len || (text[at + i] & 0xC0) != 0x80)
            return false;
    }
    return true;
}

/* The length of a sign beyond ASCII at `at`, 0 for a letter: Latin-1's signs, general punctuation
 * to arrows and boxes (U+2000 to U+2BFF), CJK punctuation, the marks that pick a picture, emoji. */
static size_t wide_sign(const unsigned char *text, size_t len, size_t at)
{
    unsigned char lead = text[at];
    unsigned char next = at + 1 < len ? text[at + 1] : 0;
    size_t width = 0;
    if (lead == 0xC2)
        width = next != 0xAA && next != 0xB5 && next != 0xBA ? 2 : 0; /* ª, µ, º */
    else if (lead == 0xC3)
        width = next == 0x97 || next == 0xB7 ? 2 : 0; /* ×, ÷ */
    else if (lead == 0xE2)
        width = next >= 0x80 && next <= 0xAF ? 3 : 0;
    else if (lead == 0xE3 || lead == 0xEF)
        width = (lead == 0xE3 ? next == 0x80 : next == 0xB8 || next == 0xBC) ? 3 : 0;
    else if (lead == 0xF0)
        width = next == 0x9F ? 4 : 0;
    return width > 0 && continues(text, len, at + 1, width - 1) ? width : 0;
}

static enum shape wide_shape(const unsigned char *sign)
{
    if (sign[0] == 0xC2)
        return sign[1] == 0xAB || sign[1] == 0xBB ? SHAPE_QUOTE : SHAPE_SIGN;
    if (sign[0] == 0xE2 && sign[1] == 0x80)
        return sign[2] >= 0x90 && sign[2] <= 0x95   ? SHAPE_DASH
               : sign[2] >= 0x98 && sign[2] <= 0x9F ? SHAPE_QUOTE
               : sign[2] == 0xA6                    ? SHAPE_STOP
                                                    : SHAPE_SIGN;
    return SHAPE_SIGN;
}

static bool is_upper_at(const unsigned char *text, size_t at)
{
    return pii_is(text[at], PII_UPPER) ||
           (text[at] == 0xC3 && text[at + 1] >= 0x80 && text[at + 1] <= 0x9E) ||
           ((text[at] == 0xC4 || text[at] == 0xC5) && (text[at + 1] & 1) == 0) ||
           (text[at] == 0xD0 && text[at + 1] >= 0x90 && text[at + 1] <= 0xAF) ||
           (text[at] == 0xCE && text[at + 1] >= 0x91 && text[at + 1] <= 0xA9);
}

static enum shape word_shape(const unsigned char *text, size_t start, size_t end)
{
    unsigned uppers = 0;
    unsigned lowers = 0;
    unsigned digits = 0;
    bool starts_upper = false;
    size_t len = end - start;

    for (size_t i = start; i < end; i++) {
        bool is_lead = text[i] >= 0xC0 && i + 1 < end;
        bool is_upper = pii_is(text[i], PII_UPPER) || (is_lead && is_upper_at(text, i));
        uppers += is_upper;
        lowers += pii_is(text[i], PII_LOWER) || (is_lead && !is_upper);
        digits += pii_is(text[i], PII_DIGIT);
        starts_upper = starts_upper || (is_upper && i == start);
    }
    if (digits == len)
        return len >= 4 ? SHAPE_LONG_NUMBER : SHAPE_SHORT_NUMBER;
    if (digits > 0)
        return SHAPE_ALNUM;
    if (uppers == 0)
        return SHAPE_LOWER;
    if (lowers == 0)
        return uppers == 1 ? SHAPE_LETTER : SHAPE_UPPER;
    return starts_upper && uppers == 1 ? SHAPE_TITLE : SHAPE_MIXED;
}

bool tag_is_word(const struct tag_token *token)
{
    return token->shape >= SHAPE_LOWER;
}

bool tag_next_token(const unsigned char *text, size_t len, size_t at, struct tag_token *token)
{
    while (at < len && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r'))
        at++;
    if (at >= len)
        return false;
    token->start = at;
    token->is_active = false;
    if (!pii_is(text[at], PII_ALNUM | PII_HIGH)) {
        token->end = at + 1;
        token->shape = (uint8_t)sign_shape(text[at]);
        token->flags = 0;
        token->word = text[at];
        token->head = token->tail = 0;
        return true;
    }
    size_t width = text[at] >= 0xC2 ? wide_sign(text, len, at) : 0;
    if (width > 0) {
        token->end = at + width;
        token->shape = (uint8_t)wide_shape(text + at);
        token->flags = 0;
        token->word = token->shape;
        token->head = token->tail = 0;
        return true;
    }
    uint64_t hash = HASH_START;
    size_t end = at;
    uint32_t last = 0; /* the last three bytes, folded */
    uint32_t first = 0;
    while (end < len && end - at < 64 && pii_is(text[end], PII_ALNUM | PII_HIGH) &&
           (text[end] < 0xC2 || wide_sign(text, len, end) == 0)) {
        unsigned char c = fold(end > at ? text[end - 1] : 0, text[end]);
        hash = step(hash, c);
        last = (last << 8 | c) & 0xFFFFFF;
        if (end - at == 2)
            first = last;
        end++;
    }
    hash = finish(hash);
    token->end = end;
    token->shape = (uint8_t)word_shape(text, at, end);
    token->flags = flags_of(hash);
    token->word = (uint32_t)(hash >> 8);
    token->tail = last;
    token->head = first;
    /* Numbers are told by their length, not one by one. */
    if (token->shape == SHAPE_SHORT_NUMBER || token->shape == SHAPE_LONG_NUMBER)
        token->word = token->tail = token->head = (uint32_t)(end - at < 8 ? end - at : 8);
    return true;
}

static bool could_be_name(const struct tag_token *token)
{
    switch (token->shape) {
    case SHAPE_TITLE:
    case SHAPE_UPPER:
    case SHAPE_LETTER:
    case SHAPE_MIXED:
        return true;
    case SHAPE_SHORT_NUMBER:
    case SHAPE_LONG_NUMBER:
    case SHAPE_ALNUM:
        return true;
    case SHAPE_LOWER:
        return (token->flags & (WORD_FIRST | WORD_LAST | WORD_CITY | WORD_COUNTRY)) != 0 &&
               (token->flags & WORD_COMMON) == 0;
    default:
        return false;
    }
}

#define CUES_MAX 64u
static uint32_t name_cues[CUES_MAX];  /* "ask", "named" */
static uint32_t place_cues[CUES_MAX]; /* "lives", before "in" */
static uint32_t joints[CUES_MAX];     /* "in" */
static pthread_once_t cues_once = PTHREAD_ONCE_INIT;

static uint32_t word_of(const char *word, size_t len)
{
    return (uint32_t)(hash_word((const unsigned char *)word, len) >> 8);
}

static void hash_words(uint32_t *hashes, const char *words)
{
    for (size_t i = 0; *words != '\0' && i + 1 < CUES_MAX; i++) {
        size_t len = strcspn(words, " ");
        hashes[i] = word_of(words, len);
        words += len + (words[len] == ' ');
    }
}

static void hash_cues(void)
{
    hash_words(name_cues,
               "am ask call called dear hallo hello hey hi hola ik is m meet met mr mrs ms "
               "name named namens née salut tell thanks visit heiße heißt jmenuji");
    hash_words(place_cues,
               "arrived based born came come comes go going here live lived lives living "
               "moved moving near up wohne went");
    hash_words(joints, "at from in near to");
}

static bool is_among(const uint32_t *hashes, uint32_t word)
{
    while (*hashes != 0 && *hashes != word)
        hashes++;
    return *hashes != 0;
}

/* A word in small letters that no list has, behind a word that often stands before a name: "ask
 * mieszko", "lives in lubbeek". It joins nothing, and elsewhere it is any word of any language. */
static bool is_unknown_behind_cue(const struct tag_token *tokens, size_t i)
{
    const struct tag_token *token = &tokens[i];
    if (i == 0 || token->shape != SHAPE_LOWER || token->flags != 0 || token->end - token->start < 4)
        return false;
    pthread_once(&cues_once, hash_cues);
    return is_among(name_cues, tokens[i - 1].word) ||
           (i > 1 && is_among(joints, tokens[i - 1].word) &&
            is_among(place_cues, tokens[i - 2].word));
}

void tag_mark_active(struct tag_token *tokens, size_t count)
{
    size_t last = 0;
    bool has_last = false;
    for (size_t i = 0; i < count; i++) {
        tokens[i].is_active |= is_unknown_behind_cue(tokens, i);
        if (!could_be_name(&tokens[i]))
            continue;
        tokens[i].is_active = true;
        /* Up to three tokens between two candidates may belong to both: "of the", ", ", "-". */
        for (size_t j = last + 1; has_last && i - last <= 4 && j < i; j++)
            tokens[j].is_active = true;
        last = i;
        has_last = true;
    }
}

/* ---- features ------------------------------------------------------------------------------ */

static uint32_t bucket(uint32_t kind, uint32_t a, uint32_t b)
{
    uint64_t hash = (uint64_t)a * UINT64_C(0x9E3779B97F4A7C15) + b;
    hash = (hash ^ (hash >> 31) ^ kind) * UINT64_C(0xD6E8FEB86659FD93);
    return (uint32_t)(hash >> (64 - TAG_BUCKET_BITS));
}

void tag_features(const struct tag_token *tokens, size_t count, size_t i,
                  uint32_t buckets[TAG_FEATURES])
{
    static const struct tag_token edge = {.shape = SHAPE_EDGE};
    const struct tag_token *at = &tokens[i];
    const struct tag_token *p1 = i > 0 ? at - 1 : &edge;
    const struct tag_token *p2 = i > 1 ? at - 2 : &edge;
    const struct tag_token *p3 = i > 2 ? at - 3 : &edge;
    const struct tag_token *n1 = i + 1 < count ? at + 1 : &edge;
    const struct tag_token *n2 = i + 2 < count ? at + 2 : &edge;
    uint32_t shape = at->shape;
    uint32_t flags = at->flags;
    uint32_t *out = buckets;

    *out++ = bucket(1, at->word, 0);
    *out++ = bucket(2, at->word, shape);
    *out++ = bucket(3, p1->word, 0);
    *out++ = bucket(4, n1->word, 0);
    *out++ = bucket(5, p2->word, p1->word);
    *out++ = bucket(6, n1->word, n2->word);
    *out++ = bucket(7, p1->word, shape << 8 | flags);
    *out++ = bucket(8, n1->word, shape << 8 | flags);
    *out++ = bucket(9, shape, flags);
    *out++ = bucket(10, shape << 8 | p1->shape, n1->shape);
    *out++ = bucket(11, flags << 8 | p1->flags, n1->flags);
    *out++ = bucket(12, flags << 8 | p1->flags, shape << 8 | p1->shape);
    *out++ = bucket(13, flags << 8 | n1->flags, shape << 8 | n1->shape);
    *out++ = bucket(14, at->tail, shape);
    *out++ = bucket(15, at->head, shape);
    *out++ = bucket(16, p2->word, 0);
    *out++ = bucket(17, n2->word, 0);
    *out++ = bucket(18, p2->flags << 8 | p2->shape, flags << 8 | shape);
    *out++ = bucket(19, n2->flags << 8 | n2->shape, flags << 8 | shape);
    *out++ = bucket(20, p1->shape << 8 | p2->shape, shape << 8 | n1->shape);
    *out++ = bucket(21, p1->word, n1->word);
    *out++ = bucket(22, p3->word, p2->word);
    *out++ = bucket(23, p2->word, shape << 8 | p1->shape);
    *out++ = bucket(24, n2->word, shape << 8 | n1->shape);
    *out++ = bucket(25, p1->tail, flags);
    *out++ = bucket(26, n1->tail, flags);
    *out++ = bucket(27, flags << 16 | p1->flags << 8 | n1->flags, shape << 8 | n1->shape);
    *out++ = bucket(28, p3->shape << 16 | p2->shape << 8 | p1->shape, shape << 8 | n1->shape);
}

/* ---- decoding ------------------------------------------------------------------------------ */

typedef int8_t bytes8 __attribute__((vector_size(8)));
typedef int16_t shorts8 __attribute__((vector_size(16)));

/* The label scores of one token: TAG_FEATURES rows of eight bytes added up. 28 x 127 fits into 16
 * bits. */
static shorts8 label_scores(const struct tag_model *model, const struct tag_token *tokens,
                            size_t count, size_t i)
{
    uint32_t buckets[TAG_FEATURES];
    shorts8 sum = {0};
    tag_features(tokens, count, i, buckets);
    for (unsigned f = 0; f < TAG_FEATURES; f++) {
        bytes8 weights;
        memcpy(&weights, model->weights[buckets[f]], sizeof weights);
        sum += __builtin_convertvector(weights, shorts8);
    }
    return sum;
}

/* The best label before `to`. INSIDE may only follow BEGIN or INSIDE of its own kind. */
static unsigned best_before(const struct tag_model *model, const int32_t *scores, unsigned to)
{
    bool is_inside = to != TAG_OUTSIDE && to % 2 == 0;
    unsigned first = is_inside ? to - 1 : 0;
    unsigned last = is_inside ? to : TAG_COUNT - 1;
    unsigned best = first;
    for (unsigned from = first + 1; from <= last; from++) {
        if (scores[from] + model->moves[from][to] > scores[best] + model->moves[best][to])
            best = from;
    }
    return best;
}

void tag_decode(const struct tag_model *model, const struct tag_token *tokens, size_t count,
                size_t first, size_t run, uint8_t *labels)
{
    /* Before the run everything is outside. */
    int32_t before[TAG_COUNT];
    int32_t now[TAG_COUNT];
    uint8_t from[TAG_RUN_MAX][TAG_COUNT];

    for (unsigned label = 0; label < TAG_COUNT; label++)
        before[label] = label == TAG_OUTSIDE ? 0 : INT32_MIN / 2;
    for (size_t i = 0; i < run; i++) {
        shorts8 scores = label_scores(model, tokens, count, first + i);
        for (unsigned to = 0; to < TAG_COUNT; to++) {
            unsigned best = best_before(model, before, to);
            now[to] = before[best] + model->moves[best][to] + scores[to];
            from[i][to] = (uint8_t)best;
        }
        memcpy(before, now, sizeof before);
    }
    unsigned label = 0;
    for (unsigned to = 1; to < TAG_COUNT; to++) {
        if (before[to] > before[label])
            label = to;
    }
    for (size_t i = run; i-- > 0;) {
        labels[i] = (uint8_t)label;
        label = from[i][label];
    }
}
