/* SPDX-License-Identifier: Apache-2.0
 *
 * Trains the name tagger: averaged structured perceptron (Collins 2002) over the features of
 * ../tagger.c, then rounding to int8.
 *
 *     cc -O2 -D_GNU_SOURCE -iquote .. -I../../include -I../../../base/include -iquote ../.. \
 *        train_names.c ../tagger.c ../chars.c -ljansson -o train_names
 *     train_names corpus.jsonl ROUNDS > ../name_model.inc
 *
 * Rows: {"text": …, "spans": [[start, end, "PER" | "LOC" | "ORG"], …]} in bytes. Deterministic.
 */
#include "pii/tagger.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS_MAX 4096u /* of a row; more are left out */

struct sentence {
    struct tag_token *tokens;
    uint8_t *gold;
    size_t count;
};

static double (*weights)[TAG_LABELS];
static double (*sums)[TAG_LABELS];
static double moves[TAG_LABELS][TAG_LABELS];
static double move_sums[TAG_LABELS][TAG_LABELS];

static unsigned tag_of(const char *kind, int is_first)
{
    unsigned begin = kind[0] == 'P'   ? TAG_PERSON_BEGIN
                     : kind[0] == 'L' ? TAG_PLACE_BEGIN
                                      : TAG_FIRM_BEGIN;
    return begin + (is_first ? 0 : 1);
}

static void read_sentence(const json_t *row, struct sentence *sentence)
{
    const char *text = json_string_value(json_object_get(row, "text"));
    size_t len = json_string_length(json_object_get(row, "text"));
    size_t at = 0;
    size_t capacity = len + 1;

    sentence->tokens = calloc(capacity, sizeof *sentence->tokens);
    sentence->gold = calloc(capacity, 1);
    while (sentence->count < TOKENS_MAX && tag_next_token((const unsigned char *)text, len, at,
                                                          &sentence->tokens[sentence->count])) {
        at = sentence->tokens[sentence->count].end;
        sentence->count++;
    }
    tag_mark_active(sentence->tokens, sentence->count);
    size_t i;
    json_t *span;
    json_array_foreach(json_object_get(row, "spans"), i, span)
    {
        size_t start = (size_t)json_integer_value(json_array_get(span, 0));
        size_t end = (size_t)json_integer_value(json_array_get(span, 1));
        const char *kind = json_string_value(json_array_get(span, 2));
        int is_first = 1;
        for (size_t j = 0; j < sentence->count; j++) {
            struct tag_token *token = &sentence->tokens[j];
            if (token->start < start || token->end > end || !token->is_active)
                continue;
            sentence->gold[j] = (uint8_t)tag_of(kind, is_first);
            is_first = 0;
        }
    }
}

static int may_follow(unsigned from, unsigned to)
{
    int is_inside = to != TAG_OUTSIDE && to % 2 == 0;
    return !is_inside || from == to || from + 1 == to;
}

/* A label that is wrong starts with this much of a lead, so that the right one learns to win by
 * more than nothing (a margin: Tsochantaridis et al. 2005). Without it places had a precision of
 * 0.86 on templates left out, with it 0.91. */
#define MARGIN 5.0

static void decode(const struct sentence *s, size_t first, size_t run, uint8_t *labels,
                   uint32_t (*buckets)[TAG_FEATURES])
{
    double best[TAG_RUN_MAX][TAG_COUNT];
    uint8_t from[TAG_RUN_MAX][TAG_COUNT];
    for (size_t i = 0; i < run; i++) {
        double scores[TAG_COUNT] = {0};
        tag_features(s->tokens, s->count, first + i, buckets[i]);
        for (unsigned f = 0; f < TAG_FEATURES; f++) {
            for (unsigned label = 0; label < TAG_COUNT; label++)
                scores[label] += weights[buckets[i][f]][label];
        }
        for (unsigned label = 0; label < TAG_COUNT; label++)
            scores[label] += label != s->gold[first + i] ? MARGIN : 0;
        for (unsigned to = 0; to < TAG_COUNT; to++) {
            double top = -1e300;
            uint8_t top_from = 0;
            for (unsigned previous = 0; previous < TAG_COUNT; previous++) {
                if ((i == 0 && previous != TAG_OUTSIDE) || !may_follow(previous, to))
                    continue;
                double score = (i == 0 ? 0 : best[i - 1][previous]) + moves[previous][to];
                if (score > top) {
                    top = score;
                    top_from = (uint8_t)previous;
                }
            }
            best[i][to] = top + scores[to];
            from[i][to] = top_from;
        }
    }
    unsigned label = 0;
    for (unsigned to = 1; to < TAG_COUNT; to++) {
        if (best[run - 1][to] > best[run - 1][label])
            label = to;
    }
    for (size_t i = run; i-- > 0;) {
        labels[i] = (uint8_t)label;
        label = from[i][label];
    }
}

/* `clock` weighs an update by the rounds it has yet to live: the average without a pass a step. */
static void update(const uint8_t *gold, const uint8_t *labels, size_t run,
                   uint32_t (*buckets)[TAG_FEATURES], double clock)
{
    for (size_t i = 0; i < run; i++) {
        unsigned gold_before = i > 0 ? gold[i - 1] : TAG_OUTSIDE;
        unsigned label_before = i > 0 ? labels[i - 1] : TAG_OUTSIDE;
        if (gold[i] != labels[i]) {
            for (unsigned f = 0; f < TAG_FEATURES; f++) {
                weights[buckets[i][f]][gold[i]] += 1;
                sums[buckets[i][f]][gold[i]] += clock;
                weights[buckets[i][f]][labels[i]] -= 1;
                sums[buckets[i][f]][labels[i]] -= clock;
            }
        }
        if (gold[i] != labels[i] || gold_before != label_before) {
            moves[gold_before][gold[i]] += 1;
            move_sums[gold_before][gold[i]] += clock;
            moves[label_before][labels[i]] -= 1;
            move_sums[label_before][labels[i]] -= clock;
        }
    }
}

/* 0 up to 1. */
static double chance(void)
{
    static uint64_t state = 7;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 11) / 9007199254740992.0;
}

/* How often a word of a name is made strange; places least, since they are the widest kind and
 * would take every strange word behind "in". */
static double forget_rate(uint8_t label)
{
    return label <= TAG_PERSON_INSIDE ? 0.15 : label <= TAG_PLACE_INSIDE ? 0.05 : 0.1;
}

/* Names are an open class: now and then a word of a name is one that no list and no other sentence
 * has, so that the words around it and its looks learn to do without. `kept` gets the tokens as
 * they were. */
static void forget_words(struct sentence *s, struct tag_token *kept)
{
    memcpy(kept, s->tokens, s->count * sizeof *kept);
    for (size_t i = 0; i < s->count; i++) {
        bool is_sign = s->tokens[i].tail < 256; /* or a number: told by its length anyway */
        if (s->gold[i] == TAG_OUTSIDE || is_sign || chance() >= forget_rate(s->gold[i]))
            continue;
        s->tokens[i].word = (uint32_t)(chance() * 4294967296.0);
        s->tokens[i].flags &= (uint8_t) ~(WORD_FIRST | WORD_LAST | WORD_CITY | WORD_COUNTRY);
    }
}

static size_t train_sentence(struct sentence *s, double clock)
{
    static struct tag_token kept[TOKENS_MAX];
    static uint32_t buckets[TAG_RUN_MAX][TAG_FEATURES];
    uint8_t labels[TAG_RUN_MAX];
    size_t wrong = 0;
    forget_words(s, kept);
    for (size_t i = 0; i < s->count;) {
        size_t run = 0;
        while (i + run < s->count && run < TAG_RUN_MAX && s->tokens[i + run].is_active)
            run++;
        if (run == 0) {
            i++;
            continue;
        }
        decode(s, i, run, labels, buckets);
        if (memcmp(labels, s->gold + i, run) != 0) {
            update(s->gold + i, labels, run, buckets, clock);
            wrong++;
        }
        i += run;
    }
    memcpy(s->tokens, kept, s->count * sizeof *kept);
    return wrong;
}

static int rounded(double value, double scale)
{
    double scaled = value * scale;
    return scaled > 127 ? 127 : scaled < -127 ? -127 : (int)lround(scaled);
}

static void print_model(void)
{
    double high = 0;
    for (size_t i = 0; i < TAG_BUCKETS; i++) {
        for (unsigned label = 0; label < TAG_COUNT; label++)
            high = fabs(sums[i][label]) > high ? fabs(sums[i][label]) : high;
    }
    /* A few large weights are cut off, so that the many small ones keep their resolution. */
    double scale = 127 / (high * 0.35);
    size_t column = 0;
    printf("/* SPDX-License-Identifier: Apache-2.0\n *\n * Made by train/train_names.c. */\n");
    printf("static const int8_t model_moves[TAG_LABELS][TAG_LABELS] = {\n");
    for (unsigned from = 0; from < TAG_LABELS; from++) {
        printf("    {");
        for (unsigned to = 0; to < TAG_LABELS; to++)
            printf("%d,", rounded(move_sums[from][to], scale));
        printf("},\n");
    }
    printf("};\nstatic const int8_t model_weights[TAG_BUCKETS][TAG_LABELS] = {\n");
    for (size_t i = 0; i < TAG_BUCKETS; i++) {
        column += (size_t)printf("{");
        unsigned last = TAG_COUNT;
        while (last > 1 && rounded(sums[i][last - 1], scale) == 0)
            last--;
        for (unsigned label = 0; label < last; label++)
            column +=
                (size_t)printf("%d%s", rounded(sums[i][label], scale), label + 1 < last ? "," : "");
        column += (size_t)printf("},");
        if (column > 90) {
            printf("\n");
            column = 0;
        }
    }
    printf("\n};\n");
}

int main(int argc, char **argv)
{
    FILE *in = argc > 2 ? fopen(argv[1], "r") : NULL;
    int rounds = argc > 2 ? atoi(argv[2]) : 0;
    struct sentence *sentences = NULL;
    size_t count = 0;
    char *line = NULL;
    size_t capacity = 0;
    uint64_t random = 1;

    if (in == NULL || rounds <= 0) {
        fprintf(stderr, "train_names CORPUS.jsonl ROUNDS\n");
        return 2;
    }
    weights = calloc(TAG_BUCKETS, sizeof *weights);
    sums = calloc(TAG_BUCKETS, sizeof *sums);
    while (getline(&line, &capacity, in) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        sentences = realloc(sentences, (count + 1) * sizeof *sentences);
        memset(&sentences[count], 0, sizeof *sentences);
        read_sentence(row, &sentences[count++]);
        json_decref(row);
    }
    for (int round = 0; round < rounds; round++) {
        size_t wrong = 0;
        for (size_t i = count; i-- > 1;) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            size_t j = (size_t)(random >> 33) % (i + 1);
            struct sentence swap = sentences[i];
            sentences[i] = sentences[j];
            sentences[j] = swap;
        }
        for (size_t i = 0; i < count; i++)
            wrong +=
                train_sentence(&sentences[i], (double)rounds - round - (double)i / (double)count);
        fprintf(stderr, "round %d: %zu runs wrong\n", round + 1, wrong);
    }
    print_model();
    return 0;
}
