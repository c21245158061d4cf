/* SPDX-License-Identifier: Apache-2.0
 *
 * What an answer in a given form costs: bench_constrain [VOCAB.gguf]
 *
 * Without a file a vocabulary of 150,000 pieces is made (bench_vocab.h). An object schema as
 * extraction uses them is compiled; then answers are drawn that follow it, each token the likeliest
 * of random logits after the mask, and every mask is timed. Printed for the first answer (the places
 * of the grammar are new) and for later ones (found out before): microseconds a mask, mean, 99th
 * percentile and worst, beside what a pass over the logits takes by itself. CPU time of this thread.
 */
#include "bench_vocab.h"
#include "constrain.h"

#include <jansson.h>
#include <math.h>
#include <time.h>

#define ANSWERS 20
#define TOKENS_MAX 400 /* of an answer */
#define ENDS_EVERY 6   /* tokens between those that want to end a value: random ones never would */
#define MASKS_MAX (ANSWERS * TOKENS_MAX)

static const char schema_text[] =
    "{\"type\":\"object\",\"properties\":{"
    "\"name\":{\"type\":\"string\",\"maxLength\":40},"
    "\"kind\":{\"enum\":[\"person\",\"company\",\"place\",\"product\"]},"
    "\"count\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":100000},"
    "\"price\":{\"type\":\"number\"},"
    "\"date\":{\"type\":\"string\",\"format\":\"date\"},"
    "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":20},\"maxItems\":5},"
    "\"address\":{\"type\":\"object\",\"properties\":{\"street\":{\"type\":\"string\"},"
    "\"city\":{\"type\":\"string\"},\"zip\":{\"type\":\"string\",\"pattern\":\"^[0-9]{5}$\"}},"
    "\"required\":[\"street\",\"city\"],\"additionalProperties\":false},"
    "\"is_new\":{\"type\":[\"boolean\",\"null\"]}},"
    "\"required\":[\"name\",\"kind\",\"count\",\"date\",\"tags\",\"address\"],"
    "\"additionalProperties\":false}";

static double cpu_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

struct drawing {
    struct bench_vocab vocab;
    struct sl_constraint_vocab *trie;
    struct sl_constraint *constraint;
    float *noise; /* (2 * vocab): a window of it are the logits of a step */
    float *logits;
    uint32_t size;
};

/* Logits of one step: random, at the cost of a copy. */
static void fill(struct drawing *drawing, size_t step)
{
    static const char *const ends[] = {"\"", ",", "}", "]"};
    const uint32_t start = bench_random(&drawing->vocab, drawing->size);
    memcpy(drawing->logits, drawing->noise + start, drawing->size * sizeof *drawing->logits);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0] && step % ENDS_EVERY == 0; i++) {
        const int32_t token = sl_tokenizer_find(drawing->vocab.tokenizer, sl_slice_of(ends[i]));
        if (token != SL_TOKEN_NONE)
            drawing->logits[token] += 100;
    }
}

static int32_t likeliest(const struct drawing *drawing)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < drawing->size; i++)
        if (drawing->logits[i] > drawing->logits[best])
            best = i;
    return drawing->logits[best] > -INFINITY ? (int32_t)best : SL_TOKEN_NONE;
}

/* Draws one answer; appends the seconds of its masks. */
static size_t answer(struct drawing *drawing, double *seconds)
{
    struct sl_constraint_state *state;
    struct sl_error error = {0};
    size_t count = 0;
    if (sl_constraint_state_create(drawing->constraint, drawing->trie, &state, &error) != SL_OK)
        bench_fail(error.message);
    while (count < TOKENS_MAX && !sl_constraint_is_finished(state)) {
        fill(drawing, count + 1);
        const double start = cpu_seconds();
        sl_constraint_mask(state, drawing->logits);
        seconds[count++] = cpu_seconds() - start;
        const int32_t token = likeliest(drawing);
        if (token == SL_TOKEN_NONE || sl_tokenizer_is_end(drawing->vocab.tokenizer, token))
            break;
        if (!sl_constraint_accept(state, token))
            bench_fail("a token that the mask allowed was not accepted");
    }
    sl_constraint_state_free(state);
    return count;
}

static int by_size(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static void show(const char *label, double *seconds, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += seconds[i];
    qsort(seconds, count, sizeof *seconds, by_size);
    printf("%-16s %6zu masks: mean %8.1f us, 99 %% under %8.1f us, worst %8.1f us\n", label, count,
           sum / (double)count * 1e6, seconds[count * 99 / 100] * 1e6, seconds[count - 1] * 1e6);
}

static void compile(struct drawing *drawing)
{
    struct sl_error error = {0};
    json_t *schema = json_loads(schema_text, 0, NULL);
    const double start = cpu_seconds();
    if (schema == NULL || sl_constraint_compile(SL_FORMAT_JSON_SCHEMA, schema, SL_TOOL_FORM_NONE,
                                                &drawing->constraint, &error) != SL_OK)
        bench_fail(error.message);
    const double between = cpu_seconds();
    if (sl_constraint_vocab_create(drawing->vocab.tokenizer, &drawing->trie, &error) != SL_OK)
        bench_fail(error.message);
    printf("vocabulary of %u tokens: trie in %.0f ms (once a model); schema in %.2f ms\n",
           drawing->size, (cpu_seconds() - between) * 1e3, (between - start) * 1e3);
    json_decref(schema);
}

int main(int argc, char **argv)
{
    static struct drawing drawing;
    static double seconds[MASKS_MAX];
    bench_vocab_open(&drawing.vocab, argc > 1 ? argv[1] : NULL);
    drawing.size = sl_tokenizer_vocab_size(drawing.vocab.tokenizer);
    drawing.noise = malloc(2 * (size_t)drawing.size * sizeof *drawing.noise);
    drawing.logits = malloc(drawing.size * sizeof *drawing.logits);
    if (drawing.noise == NULL || drawing.logits == NULL)
        bench_fail("out of memory");
    for (uint32_t i = 0; i < 2 * drawing.size; i++)
        drawing.noise[i] = (float)bench_random(&drawing.vocab, 1u << 20) * 1e-5f;
    compile(&drawing);
    const double start = cpu_seconds();
    for (int i = 0; i < 100; i++)
        fill(&drawing, 1);
    printf("a pass over the logits %.1f us\n", (cpu_seconds() - start) * 1e4);
    show("first answer", seconds, answer(&drawing, seconds));
    size_t count = 0;
    for (int i = 1; i < ANSWERS; i++)
        count += answer(&drawing, seconds + count);
    show("later answers", seconds, count);
    sl_constraint_release(drawing.constraint);
    sl_constraint_vocab_free(drawing.trie);
    bench_vocab_close(&drawing.vocab);
    free(drawing.noise);
    free(drawing.logits);
    return 0;
}
