/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns the automaton of aho.h: a dense table of states by byte classes (only bytes that occur in
 * the words have a class of their own), so a step is one load. Matches are reported by walking the
 * chain of dictionary suffixes; each state knows the next one that ends a word.
 *
 * Blanks: a run of blanks counts as one. The start of a match is found by counting the characters
 * back, which needs the positions of the last `longest` steps: a ring.
 *
 * Invariants: 1. state 0 is the root; 2. `link` of a state is nearer to the root than the state;
 * 3. same_next chains the words that end in one state.
 */
#include "pii/aho.h"

#include <stdlib.h>

#define TABLE_BYTES_MAX (64u << 20)
#define NO_WORD UINT32_MAX

struct pii_aho {
    uint8_t class_of[256];
    bool is_start[256]; /* bytes that lead out of the root */
    uint32_t class_count;
    uint32_t *next;       /* [state][class] */
    uint32_t *first_word; /* state -> a word that ends here, or NO_WORD */
    uint32_t *suffix;     /* state -> nearest suffix state that ends a word, 0: none */
    uint32_t *same_next;  /* word -> another word of the same letters, or NO_WORD */
    uint32_t *word_len;   /* in steps */
    uint32_t state_count;
    uint32_t longest;
};

static unsigned char fold(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned char)(c + 32);
    return c == '\t' || c == '\n' || c == '\r' ? ' ' : c;
}

static void assign_classes(struct pii_aho *aho, const struct sl_slice *words, size_t count)
{
    bool used[256] = {false};
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < words[i].len; j++)
            used[fold((unsigned char)words[i].data[j])] = true;
    }
    aho->class_count = 1; /* class 0: bytes of no word */
    for (size_t c = 0; c < 256; c++) {
        if (used[c] && c != 0 && aho->class_count < 255)
            aho->class_of[c] = (uint8_t)aho->class_count++;
    }
    for (size_t c = 0; c < 256; c++)
        aho->class_of[c] = aho->class_of[fold((unsigned char)c)];
}

static void add_word(struct pii_aho *aho, uint32_t word, struct sl_slice letters)
{
    uint32_t state = 0;
    uint32_t steps = 0;
    bool was_blank = false;
    for (size_t i = 0; i < letters.len; i++) {
        unsigned char c = fold((unsigned char)letters.data[i]);
        if (c == ' ' && was_blank)
            continue;
        was_blank = c == ' ';
        uint32_t *edge = &aho->next[(size_t)state * aho->class_count + aho->class_of[c]];
        if (*edge == 0)
            *edge = aho->state_count++;
        state = *edge;
        steps++;
    }
    aho->word_len[word] = steps;
    if (state == 0)
        return;
    aho->same_next[word] = aho->first_word[state];
    aho->first_word[state] = word;
    if (steps > aho->longest)
        aho->longest = steps;
}

/* Breadth first: turns missing edges into those of the longest suffix. */
static enum sl_err link_states(struct pii_aho *aho)
{
    uint32_t *queue = malloc(aho->state_count * sizeof *queue);
    uint32_t *link = calloc(aho->state_count, sizeof *link);
    size_t head = 0;
    size_t tail = 0;

    if (queue == NULL || link == NULL) {
        free(queue);
        free(link);
        return SL_ERR_MEMORY;
    }
    for (uint32_t c = 0; c < aho->class_count; c++) {
        if (aho->next[c] != 0)
            queue[tail++] = aho->next[c];
    }
    for (size_t c = 0; c < 256; c++)
        aho->is_start[c] = aho->next[aho->class_of[c]] != 0;
    while (head < tail) {
        uint32_t state = queue[head++];
        uint32_t *row = &aho->next[(size_t)state * aho->class_count];
        const uint32_t *fallback = &aho->next[(size_t)link[state] * aho->class_count];
        aho->suffix[state] =
            aho->first_word[link[state]] != NO_WORD ? link[state] : aho->suffix[link[state]];
        for (uint32_t c = 0; c < aho->class_count; c++) {
            if (row[c] == 0) {
                row[c] = fallback[c];
            } else {
                link[row[c]] = fallback[c];
                queue[tail++] = row[c];
            }
        }
    }
    free(queue);
    free(link);
    return SL_OK;
}

enum sl_err pii_aho_create(const struct sl_slice *words, size_t count, struct pii_aho **out)
{
    struct pii_aho *aho = calloc(1, sizeof *aho);
    size_t states = 1;
    enum sl_err err = SL_ERR_MEMORY;

    *out = NULL;
    if (aho == NULL)
        return SL_ERR_MEMORY;
    assign_classes(aho, words, count);
    for (size_t i = 0; i < count; i++)
        states += words[i].len;
    if (states > TABLE_BYTES_MAX / sizeof(uint32_t) / aho->class_count) {
        free(aho);
        return SL_ERR_LIMIT;
    }
    aho->next = calloc(states * aho->class_count, sizeof *aho->next);
    aho->first_word = malloc(states * sizeof *aho->first_word);
    aho->suffix = calloc(states, sizeof *aho->suffix);
    aho->same_next = malloc((count + 1) * sizeof *aho->same_next);
    aho->word_len = calloc(count + 1, sizeof *aho->word_len);
    aho->state_count = 1;
    if (aho->next != NULL && aho->first_word != NULL && aho->suffix != NULL &&
        aho->same_next != NULL && aho->word_len != NULL) {
        for (size_t i = 0; i < states; i++)
            aho->first_word[i] = NO_WORD;
        for (size_t i = 0; i < count; i++)
            add_word(aho, (uint32_t)i, words[i]);
        err = link_states(aho);
    }
    if (err != SL_OK) {
        pii_aho_free(aho);
        return err;
    }
    *out = aho;
    return SL_OK;
}

void pii_aho_free(struct pii_aho *aho)
{
    if (aho == NULL)
        return;
    free(aho->next);
    free(aho->first_word);
    free(aho->suffix);
    free(aho->same_next);
    free(aho->word_len);
    free(aho);
}

/* The offset `steps` characters before `end`, runs of blanks counting as one. */
static size_t step_back(struct sl_slice text, size_t end, uint32_t steps)
{
    size_t at = end;
    while (steps > 0 && at > 0) {
        at--;
        if (fold((unsigned char)text.data[at]) == ' ') {
            while (at > 0 && fold((unsigned char)text.data[at - 1]) == ' ')
                at--;
        }
        steps--;
    }
    return at;
}

void pii_aho_search(const struct pii_aho *aho, struct sl_slice text, pii_aho_match_fn match,
                    void *context)
{
    uint32_t state = 0;
    unsigned char previous = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (state == 0 && !aho->is_start[(unsigned char)text.data[i]]) { /* most of a text */
            while (i < text.len && !aho->is_start[(unsigned char)text.data[i]])
                i++;
            if (i == text.len)
                return;
            previous = i > 0 ? fold((unsigned char)text.data[i - 1]) : 0;
        }
        unsigned char c = fold((unsigned char)text.data[i]);
        bool repeats = c == ' ' && previous == ' ';
        previous = c;
        if (repeats)
            continue;
        state = aho->next[(size_t)state * aho->class_count + aho->class_of[c]];
        uint32_t ending = aho->first_word[state] != NO_WORD ? state : aho->suffix[state];
        for (; ending != 0; ending = aho->suffix[ending]) {
            for (uint32_t word = aho->first_word[ending]; word != NO_WORD;
                 word = aho->same_next[word]) {
                size_t start = step_back(text, i + 1, aho->word_len[word]);
                if (!match(context, word, start, i + 1))
                    return;
            }
        }
    }
}
