/* SPDX-License-Identifier: Apache-2.0
 *
 * From ids back to text: all at once (sl_tokenizer_decode) or as a stream (sl_detokenizer).
 *
 * The stream never gives half a character: bytes at the end of a piece that more bytes could
 * complete wait. It leaves spaces before punctuation alone, which a whole text in some families
 * loses: a stream cannot take back what it gave, and an answer should not depend on streaming.
 */
#include "tokenizer_internal.h"

#include "sluice/utf8.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* ---- whole texts ---- */

/* The space before "?!.," goes. Keeps the length that is left. */
static size_t close_punctuation(char *text, size_t len)
{
    size_t kept = len > 0;
    for (size_t i = 1; i < len; i++) {
        if (text[i - 1] == ' ' && memchr("?!.,", text[i], 4) != NULL)
            kept--;
        text[kept++] = text[i];
    }
    return kept;
}

/* " ' " loses both spaces. */
static size_t close_apostrophe(char *text, size_t len)
{
    size_t kept = len > 0;
    for (size_t i = 1; i < len; i++) {
        char c = text[i];
        if (c == '\'' && i + 1 < len && text[i - 1] == ' ' && text[i + 1] == ' ') {
            kept--;
            text[++i] = '\0'; /* the next character does not follow a space any more */
        }
        text[kept++] = c;
    }
    return kept;
}

/* The space before 's 'm 're 've goes. */
static size_t close_contraction(char *text, size_t len)
{
    size_t kept = len > 0;
    for (size_t i = 1; i < len; i++) {
        if (text[i] == '\'' && text[i - 1] == ' ' && i + 1 < len) {
            char first = text[i + 1];
            char second = i + 2 < len ? text[i + 2] : '\0';
            if (first == 's' || first == 'm' ||
                ((first == 'r' || first == 'v') && second == 'e'))
                kept--;
        }
        text[kept++] = text[i];
    }
    return kept;
}

static struct sl_slice shown_piece(const struct sl_tokenizer *tokenizer, int32_t id,
                                   bool show_control)
{
    if (!show_control && sl_tokenizer_is_control(tokenizer, id))
        return (struct sl_slice){"", 0};
    return sl_tokenizer_piece(tokenizer, id);
}

enum sl_err sl_tokenizer_decode(const struct sl_tokenizer *tokenizer, const int32_t *ids,
                                size_t count, bool show_control, struct sl_buf *out)
{
    size_t begin = out->len;
    bool strips_space = tokenizer->adds_space_prefix;
    for (size_t i = 0; i < count; i++) {
        struct sl_slice piece = shown_piece(tokenizer, ids[i], show_control);
        if (strips_space && piece.len > 0 && piece.data[0] == ' ')
            piece = (struct sl_slice){piece.data + 1, piece.len - 1};
        strips_space = false;
        enum sl_err err = sl_buf_append_slice(out, piece);
        if (err != SL_OK)
            return err;
    }
    if (tokenizer->cleans_spaces && out->len > begin) {
        char *text = out->data + begin;
        size_t len = close_punctuation(text, out->len - begin);
        len = close_apostrophe(text, len);
        out->len = begin + close_contraction(text, len);
        out->data[out->len] = '\0';
    }
    return SL_OK;
}

/* ---- streams ---- */

void sl_detokenizer_init(struct sl_detokenizer *detokenizer, const struct sl_tokenizer *tokenizer)
{
    detokenizer->tokenizer = tokenizer;
    detokenizer->strip_space = false;
    detokenizer->show_control = false;
    detokenizer->pending = 0;
}

/* Copies `bytes` to `out` with U+FFFD in the place of what is no UTF-8. */
static size_t copy_valid(const char *bytes, size_t len, char *out)
{
    size_t written = 0;
    for (size_t at = 0; at < len;) {
        size_t step = sl_utf8_sequence_len(bytes + at, len - at);
        const char *from = step > 0 ? bytes + at : REPLACEMENT;
        size_t from_len = step > 0 ? step : sizeof REPLACEMENT - 1;
        memcpy(out + written, from, from_len);
        written += from_len;
        at += step > 0 ? step : 1;
    }
    return written;
}

struct sl_slice sl_detokenizer_feed(struct sl_detokenizer *detokenizer, int32_t id)
{
    struct sl_slice piece =
        shown_piece(detokenizer->tokenizer, id, detokenizer->show_control);
    if (detokenizer->strip_space && piece.len > 0) {
        detokenizer->strip_space = false;
        if (piece.data[0] == ' ')
            piece = (struct sl_slice){piece.data + 1, piece.len - 1};
    }
    char joined[SL_DETOKENIZER_BYTES_MAX];
    memcpy(joined, detokenizer->held, detokenizer->pending);
    memcpy(joined + detokenizer->pending, piece.data, piece.len);
    size_t len = detokenizer->pending + piece.len;
    size_t whole = sl_utf8_complete_prefix(joined, len);
    detokenizer->pending = len - whole;
    memcpy(detokenizer->held, joined + whole, detokenizer->pending);
    return (struct sl_slice){detokenizer->text, copy_valid(joined, whole, detokenizer->text)};
}

struct sl_slice sl_detokenizer_flush(struct sl_detokenizer *detokenizer)
{
    size_t len = copy_valid(detokenizer->held, detokenizer->pending, detokenizer->text);
    detokenizer->pending = 0;
    return (struct sl_slice){detokenizer->text, len};
}
