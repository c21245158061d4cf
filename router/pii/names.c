/* SPDX-License-Identifier: Apache-2.0
 *
 * People, places and organisations over one text: cuts it into tokens, finds the runs that could be
 * names, lets the tagger label them, and reports what it says. Owns the walk in pieces, so that a
 * text of any length needs one small buffer; leaves tokens, features and decoding to tagger.c.
 *
 * Stateless; any thread.
 */
#include "pii/names.h"

#include "pii/tagger.h"

#include "pii/name_model.inc"

#define TOKENS 256u    /* a piece: some 1.5 KB of text */
#define LOOK_AROUND 4u /* tokens that features see to either side */
#define NAME_SCORE 0.6

static const struct tag_model model = {model_weights, model_moves};

struct piece {
    struct tag_token tokens[TOKENS];
    size_t count;
    size_t done; /* tokens before were decoded and are there as context only */
};

bool pii_is_name_part(struct sl_slice word)
{
    const unsigned char *text = (const unsigned char *)word.data;
    bool is_capital = word.len > 2 && (pii_is(text[0], PII_UPPER) || text[0] >= 0xC3);
    return is_capital && (tag_word_flags(text, word.len) & (WORD_COMMON | WORD_TITLE)) == 0;
}

static enum sl_pii_type type_of(uint8_t label)
{
    return label <= TAG_PERSON_INSIDE  ? SL_PII_PERSON
           : label <= TAG_PLACE_INSIDE ? SL_PII_LOCATION
                                       : SL_PII_ORG;
}

static bool is_sign(const struct tag_token *token)
{
    return !tag_is_word(token);
}

/* Reports tokens[first..last] unless they are signs only. A number alone is a place only as part of
 * an address: a house number or postcode next to a place (`is_joined`). */
static void report(struct pii_scan *scan, const struct tag_token *tokens, size_t first, size_t last,
                   enum sl_pii_type type, bool is_joined)
{
    bool has_letter = false;
    while (last > first && is_sign(&tokens[last]))
        last--;
    while (first < last && is_sign(&tokens[first]))
        first++;
    if (is_sign(&tokens[first]))
        return;
    size_t start = tokens[first].start;
    size_t end = tokens[last].end;
    for (size_t i = start; i < end && !has_letter; i++)
        has_letter = pii_is(scan->text[i], PII_LETTER | PII_HIGH);
    if (!has_letter && (type != SL_PII_LOCATION || !is_joined))
        return;
    if (has_letter && end - start < 2)
        return;
    /* "Dr." at the front is a title and stays. */
    if (type == SL_PII_PERSON && first < last && (tokens[first].flags & WORD_TITLE) != 0 &&
        (tokens[first].flags & (WORD_FIRST | WORD_LAST)) == 0) {
        first++;
        while (first < last && is_sign(&tokens[first]))
            first++;
        start = tokens[first].start;
    }
    pii_add(scan, start, end, type, NAME_SCORE, false);
}

static void report_run(struct pii_scan *scan, const struct tag_token *tokens, size_t first,
                       const uint8_t *labels, size_t run)
{
    for (size_t i = 0; i < run;) {
        size_t last = i;
        if (labels[i] == TAG_OUTSIDE) {
            i++;
            continue;
        }
        uint8_t inside = (uint8_t)(labels[i] + (labels[i] % 2));
        while (last + 1 < run && labels[last + 1] == inside)
            last++;
        bool is_joined = (i > 0 && type_of(labels[i - 1]) == SL_PII_LOCATION) ||
                         (last + 1 < run && labels[last + 1] == TAG_PLACE_BEGIN);
        report(scan, tokens, first + i, first + last, type_of(labels[i]), is_joined);
        i = last + 1;
    }
}

/* Decodes the runs of a piece. A run that touches the end of a piece that is not the last one waits
 * for its rest, unless it fills the piece. Returns the tokens that are done. */
static size_t decode_piece(struct pii_scan *scan, struct piece *piece, bool is_last)
{
    size_t safe = is_last ? piece->count : piece->count - LOOK_AROUND;
    size_t i = piece->done;

    tag_mark_active(piece->tokens, piece->count);
    while (i < safe) {
        uint8_t labels[TAG_RUN_MAX];
        size_t run = 0;
        while (i + run < piece->count && run < TAG_RUN_MAX && piece->tokens[i + run].is_active)
            run++;
        if (run == 0) {
            i++;
            continue;
        }
        if (i + run > safe && !is_last && run < TAG_RUN_MAX && i > LOOK_AROUND)
            break;
        tag_decode(&model, piece->tokens, piece->count, i, run, labels);
        report_run(scan, piece->tokens, i, labels, run);
        i += run;
    }
    return i;
}

void pii_find_names(struct pii_scan *scan)
{
    struct piece piece;
    size_t at = 0;
    bool is_last = false;

    piece.count = piece.done = 0;
    while (!is_last) {
        while (piece.count < TOKENS &&
               tag_next_token(scan->text, scan->len, at, &piece.tokens[piece.count]))
            at = piece.tokens[piece.count++].end;
        is_last = piece.count < TOKENS;
        size_t done = decode_piece(scan, &piece, is_last);
        size_t keep = done > LOOK_AROUND ? done - LOOK_AROUND : 0;
        memmove(piece.tokens, piece.tokens + keep, (piece.count - keep) * sizeof *piece.tokens);
        piece.count -= keep;
        piece.done = done - keep;
    }
}
