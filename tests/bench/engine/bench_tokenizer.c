/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast text becomes tokens and tokens become text: bench_tokenizer [VOCAB.gguf [TEXT]]
 *
 * Without arguments a byte-level BPE vocabulary of 150,000 pieces and text for it are made
 * (bench_vocab.h). Prints how long the vocabulary takes to load; then, for texts of a short message, a
 * long prompt and a whole book, tokens and megabytes a second of encoding; then decoding, and the
 * streaming detokenizer a token at a time. Then the longest word that the text can be: one piece of
 * 64 KiB without a space, where a naive merge takes quadratic time. Best of some rounds of this
 * thread's CPU time, as the machine may be shared.
 */
#include "bench_vocab.h"

#include <time.h>

#define ROUNDS 5

static double cpu_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static struct sl_slice first_bytes(struct sl_slice text, size_t len)
{
    return (struct sl_slice){text.data, text.len < len ? text.len : len};
}

static struct sl_tokens encode(const struct sl_tokenizer *tokenizer, struct sl_slice text)
{
    struct sl_tokens tokens = {0};
    struct sl_error error = {0};
    if (sl_tokenizer_encode(tokenizer, text, false, true, &tokens, &error) != SL_OK)
        bench_fail(error.message);
    return tokens;
}

/* Texts that are short are encoded often enough to be seen by the clock. */
static void measure_encoding(const struct sl_tokenizer *tokenizer, const char *label,
                             struct sl_slice text)
{
    const size_t times = text.len > 100000 ? 1 : 100000 / (text.len + 1) + 1;
    double best = 1e9;
    size_t count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const double start = cpu_seconds();
        for (size_t i = 0; i < times; i++) {
            struct sl_tokens tokens = encode(tokenizer, text);
            count = tokens.count;
            sl_tokens_clear(&tokens);
        }
        const double seconds = (cpu_seconds() - start) / (double)times;
        best = seconds < best ? seconds : best;
    }
    printf("encode %-22s %8zu bytes %8zu tokens: %9.0f tokens/s, %6.2f MB/s\n", label, text.len,
           count, (double)count / best, (double)text.len / best * 1e-6);
}

static void measure_decoding(const struct sl_tokenizer *tokenizer, struct sl_slice text)
{
    struct sl_tokens tokens = encode(tokenizer, text);
    double best[2] = {1e9, 1e9};
    for (int round = 0; round < ROUNDS; round++) {
        struct sl_buf out;
        sl_buf_init(&out, 256u << 20);
        const double start = cpu_seconds();
        if (sl_tokenizer_decode(tokenizer, tokens.ids, tokens.count, true, &out) != SL_OK)
            bench_fail("decode");
        const double between = cpu_seconds();
        struct sl_detokenizer detokenizer;
        size_t bytes = 0;
        sl_detokenizer_init(&detokenizer, tokenizer);
        for (size_t i = 0; i < tokens.count; i++)
            bytes += sl_detokenizer_feed(&detokenizer, tokens.ids[i]).len;
        const double end = cpu_seconds();
        if (bytes + 8 < out.len || out.len < text.len) /* a half character may wait */
            bench_fail("the text did not come back");
        best[0] = between - start < best[0] ? between - start : best[0];
        best[1] = end - between < best[1] ? end - between : best[1];
        sl_buf_clear(&out);
    }
    printf("decode at once %38.0f tokens/s\ndecode as a stream %34.0f tokens/s\n",
           (double)tokens.count / best[0], (double)tokens.count / best[1]);
    sl_tokens_clear(&tokens);
}

static void read_text(const char *path, struct sl_buf *out)
{
    FILE *file = fopen(path, "rb");
    char part[65536];
    if (file == NULL)
        bench_fail("the text cannot be read");
    for (size_t len; (len = fread(part, 1, sizeof part, file)) > 0;)
        bench_put(out, part, len);
    fclose(file);
}

int main(int argc, char **argv)
{
    struct bench_vocab vocab;
    struct sl_buf text, word;
    bench_vocab_open(&vocab, argc > 1 ? argv[1] : NULL);
    double load = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        struct sl_error error = {0};
        const double start = cpu_seconds();
        sl_tokenizer_free(vocab.tokenizer);
        if (sl_tokenizer_create(vocab.gguf, &vocab.tokenizer, &error) != SL_OK)
            bench_fail(error.message);
        load = cpu_seconds() - start < load ? cpu_seconds() - start : load;
    }
    printf("vocabulary of %u tokens: %.0f ms to load\n", sl_tokenizer_vocab_size(vocab.tokenizer),
           load * 1e3);
    sl_buf_init(&text, 256u << 20);
    sl_buf_init(&word, 1u << 20);
    if (argc > 2)
        read_text(argv[2], &text);
    else
        bench_vocab_text(&vocab, 200000, &text);
    const struct sl_slice all = {text.data, text.len};
    measure_encoding(vocab.tokenizer, "a message", first_bytes(all, 200));
    measure_encoding(vocab.tokenizer, "a prompt", first_bytes(all, 8000));
    measure_encoding(vocab.tokenizer, "a book", all);
    for (size_t i = 0; i < all.len && word.len < 65536; i++)
        if (all.data[i] >= 'a' && all.data[i] <= 'z')
            bench_put(&word, all.data + i, 1);
    measure_encoding(vocab.tokenizer, "one word", (struct sl_slice){word.data, word.len});
    measure_decoding(vocab.tokenizer, all);
    sl_buf_clear(&word);
    sl_buf_clear(&text);
    bench_vocab_close(&vocab);
    return 0;
}
