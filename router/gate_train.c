/* SPDX-License-Identifier: Apache-2.0
 *
 * Training of a gate: multinomial logistic regression over hashed n-grams, by AdaGrad on single
 * rows in a shuffled order, then 8-bit weights and a temperature fitted on rows held out.
 *
 * Rows of several sets are trained together. A row's label competes with the labels of its own set
 * (an app that asks with a set of labels gets one of them), and with half the weight with all labels
 * (an app that asks without gets any). Foreign rows teach an even distribution over their set.
 *
 * Why AdaGrad: n-grams differ in frequency by four orders of magnitude, and a step of one size
 * either never learns the rare ones or never settles on the common ones. One accumulator a bucket
 * (not a weight) is enough and saves half the memory traffic. Weights shrink by decoupled decay,
 * applied to the rows that are touched.
 *
 * Deterministic: one thread, a generator of its own, float arithmetic in one order.
 *
 * Memory: buckets * labels floats (10 MB for 16384 x 150) and the n-grams of all rows.
 */
#include "gate.h"

#include "gate_text.h"

#include "sluice/buf.h"
#include "sluice/checked.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_BUCKETS 16384u
#define DEFAULT_BYTES_MAX 3000000u /* halves the buckets where there are many labels */
#define DEFAULT_EPOCHS 12u
#define DEFAULT_L2 2e-6  /* on CLINC150 val: 2e-6 91.9 %, 2e-5 91.8 %, 2e-4 91.0 % */
#define LEARNING_RATE 1.0F
#define ADAGRAD_START 0.1F /* tames the first steps */
#define ALL_LABELS_WEIGHT 0.5F /* of the loss against all labels beside that against the set's */
#define FOREIGN_WEIGHT 0.5F
#define HELD_OUT 10        /* one row in ten where no val rows are given */

struct row {
    struct sl_gate_ngram *ngrams;
    uint32_t count, label, set;
};

struct trainer {
    uint32_t buckets, labels, epochs;
    float decay;
    uint64_t random;
    struct row *rows;
    size_t row_count;
    float *idf;
    float *weights; /* (bucket, label) */
    float *bias;    /* (label) */
    float *squares; /* (bucket): sum of squared gradients */
    float *bias_squares;
    float *logits, *errors, *shares; /* (label) */
    uint32_t set_count;
    bool *in_set; /* (set, label) */
};

static void trainer_clear(struct trainer *trainer)
{
    for (size_t i = 0; trainer->rows != NULL && i < trainer->row_count; i++)
        free(trainer->rows[i].ngrams);
    free(trainer->rows);
    free(trainer->idf);
    free(trainer->weights);
    free(trainer->bias);
    free(trainer->squares);
    free(trainer->bias_squares);
    free(trainer->logits);
    free(trainer->errors);
    free(trainer->shares);
    free(trainer->in_set);
}

static uint32_t random_below(struct trainer *trainer, uint32_t bound)
{
    trainer->random = trainer->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((trainer->random >> 32) * bound >> 32);
}

/* ---- rows ---- */

static enum sl_err read_ngrams(struct trainer *trainer, const struct sl_gate_row *rows,
                               size_t count)
{
    struct sl_gate_ngram ngrams[SL_GATE_NGRAMS_MAX];
    trainer->rows = calloc(count + 1, sizeof *trainer->rows);
    if (trainer->rows == NULL)
        return SL_ERR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct row *row = &trainer->rows[trainer->row_count++];
        row->count = (uint32_t)sl_gate_ngrams(rows[i].text, trainer->buckets, ngrams);
        row->label = rows[i].label;
        row->set = rows[i].set;
        row->ngrams = malloc((row->count + 1) * sizeof *row->ngrams);
        if (row->ngrams == NULL)
            return SL_ERR_MEMORY;
        memcpy(row->ngrams, ngrams, row->count * sizeof *ngrams);
    }
    return SL_OK;
}

/* Smoothed inverse document frequency: log((1 + N) / (1 + n)) + 1. */
static void weigh_rows(struct trainer *trainer)
{
    for (size_t i = 0; i < trainer->row_count; i++)
        for (uint32_t j = 0; j < trainer->rows[i].count; j++)
            trainer->idf[trainer->rows[i].ngrams[j].bucket] += 1;
    float total = (float)trainer->row_count;
    for (uint32_t i = 0; i < trainer->buckets; i++)
        trainer->idf[i] = logf((1 + total) / (1 + trainer->idf[i])) + 1;
    for (size_t i = 0; i < trainer->row_count; i++)
        sl_gate_weigh(trainer->rows[i].ngrams, trainer->rows[i].count, trainer->idf);
}

/* Which labels occur in which set. A set without labels competes for all of them. */
static bool *find_sets(const struct sl_gate_row *rows, size_t count, uint32_t labels,
                       uint32_t *set_count)
{
    *set_count = 1;
    for (size_t i = 0; i < count; i++)
        if (rows[i].set >= *set_count)
            *set_count = rows[i].set + 1;
    bool *in_set = calloc(*set_count, labels * sizeof *in_set);
    for (size_t i = 0; in_set != NULL && i < count; i++)
        if (rows[i].label != SL_GATE_FOREIGN)
            in_set[(size_t)rows[i].set * labels + rows[i].label] = true;
    for (uint32_t set = 0; in_set != NULL && set < *set_count; set++)
        if (memchr(in_set + (size_t)set * labels, true, labels) == NULL)
            memset(in_set + (size_t)set * labels, true, labels);
    return in_set;
}

static enum sl_err prepare(struct trainer *trainer, const struct sl_gate_row *rows, size_t count)
{
    size_t cells;
    if (!sl_size_mul(trainer->buckets, trainer->labels, &cells))
        return SL_ERR_LIMIT;
    trainer->idf = calloc(trainer->buckets, sizeof(float));
    trainer->weights = calloc(cells, sizeof(float));
    trainer->bias = calloc(trainer->labels, sizeof(float));
    trainer->squares = calloc(trainer->buckets, sizeof(float));
    trainer->bias_squares = calloc(trainer->labels, sizeof(float));
    trainer->logits = calloc(trainer->labels, sizeof(float));
    trainer->errors = calloc(trainer->labels, sizeof(float));
    trainer->shares = calloc(trainer->labels, sizeof(float));
    trainer->in_set = find_sets(rows, count, trainer->labels, &trainer->set_count);
    if (trainer->idf == NULL || trainer->weights == NULL || trainer->bias == NULL ||
        trainer->squares == NULL || trainer->bias_squares == NULL || trainer->logits == NULL ||
        trainer->errors == NULL || trainer->shares == NULL || trainer->in_set == NULL)
        return SL_ERR_MEMORY;
    enum sl_err err = read_ngrams(trainer, rows, count);
    if (err == SL_OK)
        weigh_rows(trainer);
    return err;
}

/* ---- one step ---- */

static void forward(const struct trainer *trainer, const struct row *row, float *logits)
{
    uint32_t labels = trainer->labels;
    memcpy(logits, trainer->bias, labels * sizeof *logits);
    for (uint32_t i = 0; i < row->count; i++) {
        const float *weights = trainer->weights + (size_t)row->ngrams[i].bucket * labels;
        float value = row->ngrams[i].count;
        for (uint32_t j = 0; j < labels; j++)
            logits[j] += value * weights[j];
    }
}

/* Softmax of the logits over the labels that `wanted` has (NULL: all), 0 elsewhere. Returns the
 * logarithm of what it divided by, so that a label's loss is that less its logit. */
static double softmax(const float *logits, uint32_t labels, const bool *wanted, float *out)
{
    float top = -INFINITY;
    double sum = 0;
    for (uint32_t i = 0; i < labels; i++)
        if ((wanted == NULL || wanted[i]) && logits[i] > top)
            top = logits[i];
    for (uint32_t i = 0; i < labels; i++) {
        out[i] = wanted == NULL || wanted[i] ? expf(logits[i] - top) : 0;
        sum += out[i];
    }
    float scale = (float)(1 / sum);
    for (uint32_t i = 0; i < labels; i++)
        out[i] *= scale;
    return log(sum) + top;
}

/* The gradient of the logits into `errors`; returns the loss against the set. */
static double find_errors(struct trainer *trainer, const struct row *row)
{
    uint32_t labels = trainer->labels;
    const bool *own = trainer->in_set + (size_t)row->set * labels;
    double log_sum = softmax(trainer->logits, labels, own, trainer->errors);
    if (row->label == SL_GATE_FOREIGN) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < labels; i++)
            count += own[i];
        for (uint32_t i = 0; i < labels; i++)
            trainer->errors[i] =
                own[i] ? FOREIGN_WEIGHT * (trainer->errors[i] - 1.0F / (float)count) : 0;
        return 0;
    }
    softmax(trainer->logits, labels, NULL, trainer->shares);
    for (uint32_t i = 0; i < labels; i++)
        trainer->errors[i] += ALL_LABELS_WEIGHT * trainer->shares[i];
    trainer->errors[row->label] -= 1 + ALL_LABELS_WEIGHT;
    return log_sum - trainer->logits[row->label];
}

static void backward(struct trainer *trainer, const struct row *row)
{
    uint32_t labels = trainer->labels;
    const float *errors = trainer->errors;
    float energy = 0;
    for (uint32_t j = 0; j < labels; j++)
        energy += errors[j] * errors[j];
    for (uint32_t i = 0; i < row->count; i++) {
        uint32_t bucket = row->ngrams[i].bucket;
        float value = row->ngrams[i].count;
        float *weights = trainer->weights + (size_t)bucket * labels;
        trainer->squares[bucket] += value * value * energy;
        float step = LEARNING_RATE / sqrtf(ADAGRAD_START + trainer->squares[bucket]);
        float rate = step * value, keep = 1 - step * trainer->decay;
        for (uint32_t j = 0; j < labels; j++)
            weights[j] = keep * weights[j] - rate * errors[j];
    }
    for (uint32_t j = 0; j < labels; j++) {
        trainer->bias_squares[j] += errors[j] * errors[j];
        trainer->bias[j] -= 0.1F * errors[j] / sqrtf(ADAGRAD_START + trainer->bias_squares[j]);
    }
}

static void shuffle(struct trainer *trainer, uint32_t *order, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = random_below(trainer, (uint32_t)i);
        uint32_t kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
}

static enum sl_err run_epochs(struct trainer *trainer, const struct sl_gate_training *training)
{
    uint32_t *order = malloc((trainer->row_count + 1) * sizeof *order);
    if (order == NULL)
        return SL_ERR_MEMORY;
    for (size_t i = 0; i < trainer->row_count; i++)
        order[i] = (uint32_t)i;
    for (uint32_t epoch = 0; epoch < trainer->epochs; epoch++) {
        double loss = 0;
        shuffle(trainer, order, trainer->row_count);
        for (size_t i = 0; i < trainer->row_count; i++) {
            const struct row *row = &trainer->rows[order[i]];
            forward(trainer, row, trainer->logits);
            loss += find_errors(trainer, row);
            backward(trainer, row);
        }
        if (training->progress != NULL)
            training->progress(training->progress_ctx, epoch + 1, trainer->epochs,
                               loss / (double)trainer->row_count);
    }
    free(order);
    return SL_OK;
}

/* ---- the file ---- */

static enum sl_err append_u32(struct sl_buf *out, uint32_t value)
{
    unsigned char bytes[4] = {(unsigned char)value, (unsigned char)(value >> 8),
                              (unsigned char)(value >> 16), (unsigned char)(value >> 24)};
    return sl_buf_append(out, bytes, sizeof bytes);
}

static enum sl_err append_floats(struct sl_buf *out, const float *values, size_t count)
{
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < count && err == SL_OK; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        err = append_u32(out, bits);
    }
    return err;
}

/* Symmetric 8-bit weights, one scale a label. */
static enum sl_err append_weights(struct sl_buf *out, const struct trainer *trainer,
                                  const float *scale)
{
    size_t cells = (size_t)trainer->buckets * trainer->labels;
    enum sl_err err = sl_buf_reserve(out, cells);
    for (size_t i = 0; i < cells && err == SL_OK; i++) {
        float quantum = scale[i % trainer->labels];
        long value = quantum > 0 ? lrintf(trainer->weights[i] / quantum) : 0;
        err = sl_buf_append_char(out, (char)(signed char)value);
    }
    return err;
}

static void find_scales(const struct trainer *trainer, float *scale)
{
    for (uint32_t j = 0; j < trainer->labels; j++)
        scale[j] = 0;
    for (uint32_t i = 0; i < trainer->buckets; i++)
        for (uint32_t j = 0; j < trainer->labels; j++) {
            float size = fabsf(trainer->weights[(size_t)i * trainer->labels + j]);
            if (size > scale[j])
                scale[j] = size;
        }
    for (uint32_t j = 0; j < trainer->labels; j++)
        scale[j] /= 127;
}

static enum sl_err encode(const struct trainer *trainer, const char *const *labels,
                          float temperature, struct sl_buf *out)
{
    float scale[SL_GATE_LABELS_MAX];
    size_t name_bytes = 0;
    find_scales(trainer, scale);
    for (uint32_t i = 0; i < trainer->labels; i++)
        name_bytes += strlen(labels[i]) + 1;
    enum sl_err err = sl_buf_append_text(out, "SLGATE1\n");
    if (err == SL_OK)
        err = append_u32(out, trainer->buckets);
    if (err == SL_OK)
        err = append_u32(out, trainer->labels);
    if (err == SL_OK)
        err = append_floats(out, &temperature, 1);
    if (err == SL_OK)
        err = append_u32(out, (uint32_t)name_bytes);
    for (uint32_t i = 0; i < trainer->labels && err == SL_OK; i++)
        err = sl_buf_append(out, labels[i], strlen(labels[i]) + 1);
    if (err == SL_OK)
        err = append_floats(out, scale, trainer->labels);
    if (err == SL_OK)
        err = append_floats(out, trainer->bias, trainer->labels);
    if (err == SL_OK)
        err = append_floats(out, trainer->idf, trainer->buckets);
    return err == SL_OK ? append_weights(out, trainer, scale) : err;
}

/* ---- temperature ---- */

/* Rows held out, with their logits under the quantized gate. */
struct held {
    const struct sl_gate_row *rows;
    size_t count;
    uint32_t labels, set_count;
    const bool *in_set;
    float *logits; /* (row, label) */
    float *work, *shares; /* (label) */
};

/* Mean loss of the labelled rows, each against its set, at 1 / temperature `sharpness`. */
static double loss_at(const struct held *held, double sharpness)
{
    double loss = 0;
    size_t count = 0;
    for (size_t i = 0; i < held->count; i++) {
        const struct sl_gate_row *row = &held->rows[i];
        if (row->label == SL_GATE_FOREIGN)
            continue;
        for (uint32_t j = 0; j < held->labels; j++)
            held->work[j] = (float)(held->logits[i * held->labels + j] * sharpness);
        const bool *own = row->set < held->set_count
                              ? held->in_set + (size_t)row->set * held->labels
                              : NULL;
        loss += softmax(held->work, held->labels, own, held->shares) - held->work[row->label];
        count++;
    }
    return count == 0 ? 0 : loss / (double)count;
}

/* Golden-section search: the loss is convex in the sharpness. */
static double best_sharpness(const struct held *held)
{
    const double golden = 0.6180339887498949;
    double low = 0.1, high = 10;
    double a = high - golden * (high - low), b = low + golden * (high - low);
    double loss_a = loss_at(held, a), loss_b = loss_at(held, b);
    for (int step = 0; step < 40; step++) {
        if (loss_a < loss_b) {
            high = b;
            b = a;
            loss_b = loss_a;
            a = high - golden * (high - low);
            loss_a = loss_at(held, a);
        } else {
            low = a;
            a = b;
            loss_a = loss_b;
            b = low + golden * (high - low);
            loss_b = loss_at(held, b);
        }
    }
    return (low + high) / 2;
}

/* Of the quantized gate in `file`, which is what will be scored. */
static enum sl_err fit_temperature(const struct sl_buf *file, const struct trainer *trainer,
                                   const struct sl_gate_row *rows, size_t count,
                                   float *temperature, struct sl_error *error)
{
    struct sl_gate *gate;
    struct held held = {.rows = rows, .count = count, .labels = trainer->labels,
                        .set_count = trainer->set_count, .in_set = trainer->in_set};
    size_t cells;
    *temperature = 1;
    if (count == 0 || !sl_size_mul(count, held.labels, &cells))
        return SL_OK;
    enum sl_err err = sl_gate_read(file->data, file->len, &gate, error);
    if (err != SL_OK)
        return err;
    held.logits = malloc(cells * sizeof *held.logits);
    held.work = malloc(held.labels * sizeof *held.work);
    held.shares = malloc(held.labels * sizeof *held.shares);
    bool has_memory = held.logits != NULL && held.work != NULL && held.shares != NULL;
    for (size_t i = 0; has_memory && i < count; i++) {
        float *own = held.logits + i * held.labels;
        sl_gate_probabilities(gate, rows[i].text, own);
        for (uint32_t j = 0; j < held.labels; j++) /* up to a constant, which softmax ignores */
            own[j] = logf(own[j] > 1e-30F ? own[j] : 1e-30F);
    }
    if (has_memory)
        *temperature = (float)(1 / best_sharpness(&held));
    else
        err = SL_ERR_MEMORY;
    free(held.logits);
    free(held.work);
    free(held.shares);
    sl_gate_free(gate);
    return err;
}

/* ---- the whole ---- */

static enum sl_err check(const struct sl_gate_training *training, uint32_t buckets,
                         struct sl_error *error)
{
    if (training->row_count == 0 || training->row_count > UINT32_MAX / 2)
        return sl_error_set(error, SL_ERR_INVALID, "a gate needs labelled rows to train on");
    if (training->label_count < 2 || training->label_count > SL_GATE_LABELS_MAX)
        return sl_error_set(error, SL_ERR_INVALID, "a gate needs 2 to %d labels, found %u",
                            SL_GATE_LABELS_MAX, training->label_count);
    if (buckets < 2 || buckets > SL_GATE_BUCKETS_MAX || (buckets & (buckets - 1)) != 0)
        return sl_error_set(error, SL_ERR_INVALID, "buckets: expected a power of two up to %u, "
                            "found %u", SL_GATE_BUCKETS_MAX, buckets);
    for (size_t i = 0; i < training->row_count; i++)
        if (training->rows[i].label >= training->label_count &&
            training->rows[i].label != SL_GATE_FOREIGN)
            return sl_error_set(error, SL_ERR_INVALID, "row %zu has a label that is not listed", i);
    return SL_OK;
}

static enum sl_err write_file(const char *path, const struct sl_buf *data, struct sl_error *error)
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return sl_error_set(error, SL_ERR_IO, "%s: %s", path, strerror(errno));
    bool is_written = fwrite(data->data, 1, data->len, file) == data->len;
    if (fclose(file) != 0 || !is_written)
        return sl_error_set(error, SL_ERR_IO, "%s: %s", path, strerror(errno));
    return SL_OK;
}

/* Every tenth row goes to the end, to be held out. Returns how many stay. */
static size_t split_rows(struct sl_gate_row *rows, size_t count)
{
    struct sl_gate_row *held = malloc((count / HELD_OUT + 1) * sizeof *held);
    size_t kept = 0, out = 0;
    if (held == NULL)
        return count;
    for (size_t i = 0; i < count; i++) {
        if (i % HELD_OUT == HELD_OUT - 1)
            held[out++] = rows[i];
        else
            rows[kept++] = rows[i];
    }
    memcpy(rows + kept, held, out * sizeof *held);
    free(held);
    return kept;
}

static enum sl_err train_rows(const struct sl_gate_training *training, struct trainer *trainer,
                              const struct sl_gate_row *rows, size_t count,
                              const struct sl_gate_row *val, size_t val_count, struct sl_buf *file,
                              struct sl_error *error)
{
    float temperature;
    enum sl_err err = prepare(trainer, rows, count);
    if (err == SL_OK)
        err = run_epochs(trainer, training);
    if (err == SL_OK)
        err = encode(trainer, training->labels, 1, file);
    if (err == SL_OK)
        err = fit_temperature(file, trainer, val, val_count, &temperature, error);
    if (err != SL_OK)
        return err;
    sl_buf_reset(file);
    return encode(trainer, training->labels, temperature, file);
}

static uint32_t default_buckets(const struct sl_gate_training *training)
{
    uint32_t buckets = DEFAULT_BUCKETS;
    while (buckets > 1024 && (uint64_t)buckets * training->label_count > DEFAULT_BYTES_MAX)
        buckets /= 2;
    return buckets;
}

enum sl_err sl_gate_train(const struct sl_gate_training *training, const char *path,
                          struct sl_error *error)
{
    struct trainer trainer = {
        .buckets = training->buckets != 0 ? training->buckets : default_buckets(training),
        .labels = training->label_count,
        .epochs = training->epochs != 0 ? training->epochs : DEFAULT_EPOCHS,
        .decay = (float)(training->l2 > 0 ? training->l2 : DEFAULT_L2),
        .random = training->seed ^ 0x5eed0f5a11ce5ULL,
    };
    enum sl_err err = check(training, trainer.buckets, error);
    if (err != SL_OK)
        return err;
    struct sl_buf file;
    sl_buf_init(&file, (size_t)1 << 30);
    struct sl_gate_row *rows = malloc(training->row_count * sizeof *rows);
    size_t count = training->row_count;
    if (rows == NULL) {
        err = SL_ERR_MEMORY;
        goto out;
    }
    memcpy(rows, training->rows, count * sizeof *rows);
    const struct sl_gate_row *val = training->val_rows;
    size_t val_count = training->val_count;
    if (val == NULL) {
        size_t kept = split_rows(rows, count);
        val = rows + kept;
        val_count = count - kept;
        count = kept;
    }
    err = train_rows(training, &trainer, rows, count, val, val_count, &file, error);
    if (err == SL_OK)
        err = write_file(path, &file, error);
    else if (error != NULL && error->code == SL_OK)
        sl_error_set(error, err, NULL);
out:
    free(rows);
    sl_buf_clear(&file);
    trainer_clear(&trainer);
    return err;
}
