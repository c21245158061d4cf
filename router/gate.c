/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading and scoring of a gate; training is in gate_train.c, n-grams in gate_text.c.
 *
 * Cost: a sentence of 40 bytes has some 200 n-grams; each adds one row of `labels` 8-bit weights,
 * so 150 labels are 30,000 multiply-adds over 30 KB: about 10 µs, and no allocation.
 *
 * Invariants: 1. The weights have exactly buckets * labels bytes, checked when read. 2. Scales,
 * biases and idf are finite. Threads: immutable after reading.
 */
#include "gate.h"

#include "gate_text.h"
#include "schema_words.h"

#include "sluice/buf.h"
#include "sluice/crypto.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAGIC "SLGATE1\n"
#define MAGIC_BYTES 8
#define FILE_BYTES_MAX (64u << 20)

struct sl_gate {
    unsigned char *data; /* the file; the rest points into it or is copied out of it */
    uint32_t buckets, labels;
    float temperature;
    const char **names;
    uint32_t *by_name; /* labels, sorted by their names */
    float *scale, *bias, *idf;
    const int8_t *weights; /* (bucket, label) */
};

/* ---- reading ---- */

struct cursor {
    const unsigned char *at, *end;
    bool is_cut;
};

static const unsigned char *take(struct cursor *cursor, size_t len)
{
    if ((size_t)(cursor->end - cursor->at) < len) {
        cursor->is_cut = true;
        return NULL;
    }
    const unsigned char *at = cursor->at;
    cursor->at += len;
    return at;
}

static uint32_t take_u32(struct cursor *cursor)
{
    const unsigned char *b = take(cursor, 4);
    return b == NULL ? 0
                     : (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
                           (uint32_t)b[3] << 24;
}

static float take_float(struct cursor *cursor)
{
    uint32_t bits = take_u32(cursor);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* NULL where the file is cut, memory is short or a value is not finite. */
static float *take_floats(struct cursor *cursor, size_t count)
{
    if ((size_t)(cursor->end - cursor->at) / 4 < count) {
        cursor->is_cut = true;
        return NULL;
    }
    float *values = malloc((count + 1) * sizeof *values);
    bool is_finite = true;
    for (size_t i = 0; values != NULL && i < count; i++) {
        values[i] = take_float(cursor);
        is_finite = is_finite && isfinite(values[i]);
    }
    if (is_finite)
        return values;
    free(values);
    return NULL;
}

static bool take_names(struct cursor *cursor, struct sl_gate *gate, uint32_t bytes)
{
    const char *at = (const char *)take(cursor, bytes);
    gate->names = calloc(gate->labels, sizeof *gate->names);
    if (at == NULL || gate->names == NULL || bytes == 0 || at[bytes - 1] != '\0')
        return false;
    const char *end = at + bytes;
    for (uint32_t i = 0; i < gate->labels; i++) {
        if (at == end)
            return false;
        gate->names[i] = at;
        at += strlen(at) + 1;
    }
    return at == end;
}

/* Insertion sort: a gate is read once, and its labels are written sorted. */
static bool sort_names(struct sl_gate *gate)
{
    gate->by_name = malloc(gate->labels * sizeof *gate->by_name);
    if (gate->by_name == NULL)
        return false;
    for (uint32_t i = 0; i < gate->labels; i++) {
        uint32_t at = i;
        for (; at > 0 && strcmp(gate->names[gate->by_name[at - 1]], gate->names[i]) > 0; at--)
            gate->by_name[at] = gate->by_name[at - 1];
        gate->by_name[at] = i;
    }
    return true;
}

static enum sl_err parse(struct sl_gate *gate, size_t len, struct sl_error *error)
{
    struct cursor cursor = {gate->data, gate->data + len, false};
    const unsigned char *magic = take(&cursor, MAGIC_BYTES);
    if (magic == NULL || memcmp(magic, MAGIC, MAGIC_BYTES) != 0)
        return sl_error_set(error, SL_ERR_FORMAT, "not a gate: expected \"SLGATE1\" at its start");
    gate->buckets = take_u32(&cursor);
    gate->labels = take_u32(&cursor);
    gate->temperature = take_float(&cursor);
    uint32_t name_bytes = take_u32(&cursor);
    bool sizes_fit = gate->buckets >= 2 && gate->buckets <= SL_GATE_BUCKETS_MAX &&
                     (gate->buckets & (gate->buckets - 1)) == 0 && gate->labels >= 1 &&
                     gate->labels <= SL_GATE_LABELS_MAX;
    if (!sizes_fit || !(gate->temperature > 0) || !isfinite(gate->temperature))
        return sl_error_set(error, SL_ERR_FORMAT,
                            "gate: %u buckets, %u labels, temperature %g: expected a power of two "
                            "up to %u, up to %d, and a number above 0", gate->buckets,
                            gate->labels, (double)gate->temperature, SL_GATE_BUCKETS_MAX,
                            SL_GATE_LABELS_MAX);
    if (!take_names(&cursor, gate, name_bytes))
        return sl_error_set(error, SL_ERR_FORMAT, "gate: its %u labels are cut", gate->labels);
    if (!sort_names(gate))
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    gate->scale = take_floats(&cursor, gate->labels);
    gate->bias = take_floats(&cursor, gate->labels);
    gate->idf = take_floats(&cursor, gate->buckets);
    size_t weights = (size_t)gate->buckets * gate->labels; /* both capped: at most 2^28 */
    gate->weights = (const int8_t *)take(&cursor, weights);
    if (gate->scale == NULL || gate->bias == NULL || gate->idf == NULL || gate->weights == NULL ||
        cursor.at != cursor.end)
        return sl_error_set(error, SL_ERR_FORMAT,
                            "gate: %zu bytes do not fit %u buckets and %u labels", len,
                            gate->buckets, gate->labels);
    return SL_OK;
}

enum sl_err sl_gate_read(const void *data, size_t len, struct sl_gate **out,
                         struct sl_error *error)
{
    *out = NULL;
    struct sl_gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL || (gate->data = malloc(len + 1)) == NULL) {
        free(gate);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    memcpy(gate->data, data, len);
    enum sl_err err = parse(gate, len, error);
    if (err != SL_OK) {
        sl_gate_free(gate);
        return err;
    }
    *out = gate;
    return SL_OK;
}

enum sl_err sl_gate_open(const char *path, const uint8_t *digest, struct sl_gate **out,
                         struct sl_error *error)
{
    *out = NULL;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return sl_error_set(error, SL_ERR_IO, "%s: %s", path, strerror(errno));
    struct sl_buf bytes;
    sl_buf_init(&bytes, FILE_BYTES_MAX);
    char chunk[65536];
    size_t got;
    enum sl_err err = SL_OK;
    while (err == SL_OK && (got = fread(chunk, 1, sizeof chunk, file)) > 0)
        err = sl_buf_append(&bytes, chunk, got);
    if (err == SL_OK && ferror(file))
        err = SL_ERR_IO;
    fclose(file);
    uint8_t found[SL_SHA256_BYTES];
    sl_sha256(bytes.data == NULL ? "" : bytes.data, bytes.len, found);
    if (err != SL_OK)
        sl_error_set(error, err, "%s: cannot be read", path);
    else if (digest != NULL && memcmp(digest, found, sizeof found) != 0)
        err = sl_error_set(error, SL_ERR_INTEGRITY, "%s: is not the gate of this calibration",
                           path);
    else
        err = sl_gate_read(bytes.data == NULL ? "" : bytes.data, bytes.len, out, error);
    sl_buf_clear(&bytes);
    return err;
}

void sl_gate_free(struct sl_gate *gate)
{
    if (gate == NULL)
        return;
    free(gate->names);
    free(gate->by_name);
    free(gate->scale);
    free(gate->bias);
    free(gate->idf);
    free(gate->data);
    free(gate);
}

uint32_t sl_gate_labels(const struct sl_gate *gate) { return gate->labels; }

const char *sl_gate_label(const struct sl_gate *gate, uint32_t label) { return gate->names[label]; }

/* ---- scope ---- */

uint32_t sl_gate_find_label(const struct sl_gate *gate, struct sl_slice label)
{
    uint32_t low = 0, high = gate->labels;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, idx = gate->by_name[middle];
        size_t len = strlen(gate->names[idx]);
        int order = memcmp(gate->names[idx], label.data, len < label.len ? len : label.len);
        if (order == 0 && len != label.len)
            order = len < label.len ? -1 : 1;
        if (order == 0)
            return idx;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return UINT32_MAX;
}

bool sl_gate_scope_has(const struct sl_gate_scope *scope, uint32_t label)
{
    return (scope->bits[label / 64] >> (label % 64) & 1) != 0;
}

void sl_gate_scope_add(struct sl_gate_scope *scope, uint32_t label)
{
    if (sl_gate_scope_has(scope, label))
        return;
    scope->bits[label / 64] |= UINT64_C(1) << (label % 64);
    scope->count++;
}

void sl_gate_scope_all(const struct sl_gate *gate, struct sl_gate_scope *scope)
{
    memset(scope, 0, sizeof *scope);
    for (uint32_t i = 0; i < gate->labels; i++)
        sl_gate_scope_add(scope, i);
}

struct scoping {
    const struct sl_gate *gate;
    struct sl_gate_scope *scope;
};

static void add_word(void *ctx, struct sl_slice word)
{
    struct scoping *scoping = ctx;
    uint32_t label = sl_gate_find_label(scoping->gate, word);
    if (label != UINT32_MAX)
        sl_gate_scope_add(scoping->scope, label);
}

void sl_gate_scope_schema(const struct sl_gate *gate, const json_t *schema,
                          struct sl_gate_scope *scope)
{
    memset(scope, 0, sizeof *scope);
    if (schema != NULL)
        sl_schema_words(schema, add_word, &(struct scoping){gate, scope});
    if (scope->count < 2)
        sl_gate_scope_all(gate, scope);
}

/* ---- scoring ---- */

static void add_row(float *sums, const int8_t *row, float value, uint32_t labels)
{
    for (uint32_t i = 0; i < labels; i++)
        sums[i] += value * (float)row[i];
}

/* Logits over the temperature. */
static void score_labels(const struct sl_gate *gate, struct sl_slice text, float *logits)
{
    struct sl_gate_ngram ngrams[SL_GATE_NGRAMS_MAX];
    size_t count = sl_gate_ngrams(text, gate->buckets, ngrams);
    sl_gate_weigh(ngrams, count, gate->idf);
    for (uint32_t i = 0; i < gate->labels; i++)
        logits[i] = 0;
    for (size_t i = 0; i < count; i++)
        add_row(logits, gate->weights + (size_t)ngrams[i].bucket * gate->labels, ngrams[i].count,
                gate->labels);
    for (uint32_t i = 0; i < gate->labels; i++)
        logits[i] = (logits[i] * gate->scale[i] + gate->bias[i]) / gate->temperature;
}

/* In place: logits become probabilities among the labels in scope, which has at least one. */
static void softmax(float *values, uint32_t count, const struct sl_gate_scope *scope)
{
    float top = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < count; i++)
        if (sl_gate_scope_has(scope, i) && values[i] > top)
            top = values[i];
    for (uint32_t i = 0; i < count; i++) {
        values[i] = sl_gate_scope_has(scope, i) ? expf(values[i] - top) : 0;
        sum += values[i];
    }
    for (uint32_t i = 0; i < count; i++)
        values[i] /= sum;
}

static struct sl_gate_result summarize(const float *probabilities, uint32_t labels, uint32_t scope)
{
    const float tiny = 1e-12F; /* a second label of probability 0: the margin stays finite */
    uint32_t best = 0;
    float second = tiny, entropy = 0;
    for (uint32_t i = 1; i < labels; i++)
        if (probabilities[i] > probabilities[best])
            best = i;
    for (uint32_t i = 0; i < labels; i++) {
        if (i != best && probabilities[i] > second)
            second = probabilities[i];
        if (probabilities[i] > 0)
            entropy -= probabilities[i] * logf(probabilities[i]);
    }
    return (struct sl_gate_result){
        .label = best,
        .probability = probabilities[best],
        .margin = logf(probabilities[best]) - logf(second),
        .entropy = scope > 1 ? entropy / logf((float)scope) : 0,
        .labels = scope,
    };
}

void sl_gate_score_in(const struct sl_gate *gate, struct sl_slice text,
                      const struct sl_gate_scope *scope, float *probabilities,
                      struct sl_gate_result *out)
{
    score_labels(gate, text, probabilities);
    softmax(probabilities, gate->labels, scope);
    *out = summarize(probabilities, gate->labels, scope->count);
}

void sl_gate_probabilities(const struct sl_gate *gate, struct sl_slice text, float *probabilities)
{
    struct sl_gate_scope scope;
    struct sl_gate_result result;
    sl_gate_scope_all(gate, &scope);
    sl_gate_score_in(gate, text, &scope, probabilities, &result);
}

void sl_gate_score(const struct sl_gate *gate, struct sl_slice text, struct sl_gate_result *out)
{
    float probabilities[SL_GATE_LABELS_MAX];
    struct sl_gate_scope scope;
    sl_gate_scope_all(gate, &scope);
    sl_gate_score_in(gate, text, &scope, probabilities, out);
}

/* ---- agreement ---- */

static bool is_joint(char c) { return c == '_' || c == '-' || c == '.' || c == ' '; }

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (unsigned char)c >= 0x80;
}

static bool same_char(char a, char b)
{
    char lower_a = a >= 'A' && a <= 'Z' ? (char)(a | 0x20) : a;
    char lower_b = b >= 'A' && b <= 'Z' ? (char)(b | 0x20) : b;
    return lower_a == lower_b || (is_joint(a) && is_joint(b));
}

bool sl_gate_names_label(const struct sl_gate *gate, uint32_t label, struct sl_slice answer)
{
    const char *name = gate->names[label];
    size_t len = strlen(name);
    for (size_t at = 0; len != 0 && at + len <= answer.len; at++) {
        size_t same = 0;
        while (same < len && same_char(answer.data[at + same], name[same]))
            same++;
        bool starts = at == 0 || !(is_name_char(answer.data[at - 1]) || answer.data[at - 1] == '_');
        bool ends = at + len == answer.len ||
                    !(is_name_char(answer.data[at + len]) || answer.data[at + len] == '_');
        if (same == len && starts && ends)
            return true;
    }
    return false;
}
