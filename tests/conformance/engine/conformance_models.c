/* SPDX-License-Identifier: Apache-2.0
 *
 * Every decoder of the reference data: token ids, logits, log-likelihoods at every position and the
 * greedy continuation, against what the reference computes with the same weights in float.
 *
 * Noise: the reference tells how far its own int8 arithmetic is from exact (RMS and maximum over
 * the first 32 logits of all cases of a file, in units of the logits' deviation). Ours may have
 * twice that RMS over the file and twice that maximum in any case (a maximum of some hundred
 * heavy-tailed numbers is a matter of luck; how many cases pass 1.5 times it is printed as well);
 * where the reference computes in float itself the limit is FLOAT_LIMIT. Greedy text must agree up
 * to the first step whose margin is below the noise, in the reference's exact computation or in its
 * ordinary one.
 *
 * Everything runs with a KV cache of floats, as the reference does; files whose weights are
 * quantized then with one of halves, as models are served, where attention may round as well: to
 * the same limits. That is with the best kernels of this CPU. Then once more with each of the
 * lesser ones that it has, which are what other CPUs have for their best; with the reference, every
 * REF_STRIDEth file.
 */
#include "model_runner.h"

#include "tokenizer.h"

#include <math.h>

#define FLOAT_LIMIT 1e-3 /* of logits_std: files whose weights meet float activations */
#define RMS_FACTOR 2.0
#define MAX_FACTOR 2.0
#define MAX_FACTOR_STRICT 1.5
#define GREEDY_MARGIN_QUANTIZED 0.1 /* of logits_std */
#define QUANTIZED_RMS_MIN 5e-3 /* the reference's own noise, from where on weights are quantized */
#define BATCH 512
#define FIRST_LOGITS 32
#define REF_STRIDE 5 /* leaves most architectures and types */

/* Limits of one file. */
struct limits {
    double rms;
    double max;
    double nll; /* RMS over all positions of the file, nats */
    double margin;
};

/* What one file sums up to. */
struct tally {
    size_t cases;
    size_t passed;
    size_t strict;  /* cases whose worst logit is within the stricter maximum */
    double squares; /* of the first logits' differences */
    double worst;
    double nll_squares;
    size_t nll_count;
    char complaint[256]; /* the first */
};

struct row {
    char arch[24];
    char model[40];
    char type[16];
    struct tally tally;
};

static double number(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

static const json_t *wanted_of(const json_t *entry)
{
    const json_t *exact = json_object_get(entry, "exact");
    return exact != NULL ? exact : json_object_get(entry, "llamacpp");
}

static void complain(struct tally *tally, const char *name, const char *what, double value,
                     double limit)
{
    if (tally->complaint[0] == '\0')
        snprintf(tally->complaint, sizeof tally->complaint, "%s: %s %g, limit %g", name, what,
                 value, limit);
}

/* RMS of the reference's own difference in log-likelihoods: the noise that ours may have twice. */
static double own_nll_noise(const json_t *cases)
{
    double squares = 0;
    size_t count = 0;
    size_t idx;
    json_t *entry;
    json_array_foreach(cases, idx, entry)
    {
        const json_t *exact = json_object_get(json_object_get(entry, "exact"), "nll");
        const json_t *own = json_object_get(json_object_get(entry, "llamacpp"), "nll");
        for (size_t at = 0; at < json_array_size(exact); at++, count++) {
            double diff = json_number_value(json_array_get(exact, at)) -
                          json_number_value(json_array_get(own, at));
            squares += diff * diff;
        }
    }
    return count > 0 ? sqrt(squares / (double)count) : 0;
}

static struct limits limits_of(const json_t *file)
{
    const double rms = number(file, "rms_rel_diff_llamacpp_vs_exact");
    const double max = number(file, "max_rel_diff_llamacpp_vs_exact");
    const double nll = own_nll_noise(json_object_get(file, "cases"));
    struct limits limits = {
        .rms = fmax(RMS_FACTOR * rms, FLOAT_LIMIT),
        .max = fmax(MAX_FACTOR * max, FLOAT_LIMIT),
        .nll = fmax(RMS_FACTOR * nll, FLOAT_LIMIT),
        .margin = rms > QUANTIZED_RMS_MIN ? fmax(GREEDY_MARGIN_QUANTIZED, max) : fmax(2 * max, FLOAT_LIMIT),
    };
    return limits;
}

static bool check_ids(const struct sl_tokenizer *tokenizer, const json_t *entry,
                      struct tally *tally)
{
    const char *text = json_string_value(json_object_get(entry, "text"));
    if (text == NULL)
        return true;
    const json_t *ids = json_object_get(entry, "ids");
    struct sl_tokens tokens = {0};
    struct sl_error error = {0};
    enum sl_err err = sl_tokenizer_encode(
        tokenizer, (struct sl_slice){text, json_string_length(json_object_get(entry, "text"))},
        json_is_true(json_object_get(entry, "add_special")),
        json_is_true(json_object_get(entry, "parse_special")), &tokens, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    bool equal = tokens.count == json_array_size(ids);
    for (size_t idx = 0; equal && idx < tokens.count; idx++)
        equal = tokens.ids[idx] == (int32_t)json_integer_value(json_array_get(ids, idx));
    sl_tokens_clear(&tokens);
    if (!equal)
        complain(tally, json_string_value(json_object_get(entry, "name")), "token ids differ", 1,
                 0);
    return equal;
}

/* Differences of the last position's logits, in units of their deviation. */
static bool check_logits(const float *logits, const json_t *wanted, const struct limits *limits,
                         const char *name, struct tally *tally)
{
    const double deviation = number(wanted, "logits_std");
    const json_t *first = json_object_get(wanted, "logits_first32");
    double worst = 0;
    for (size_t idx = 0; idx < json_array_size(first); idx++) {
        double diff =
            fabs((double)logits[idx] - json_number_value(json_array_get(first, idx))) / deviation;
        tally->squares += diff * diff;
        worst = fmax(worst, diff);
    }
    tally->worst = fmax(tally->worst, worst);
    tally->strict += worst <= limits->max * (MAX_FACTOR_STRICT / MAX_FACTOR);
    if (!(worst <= limits->max))
        complain(tally, name, "a logit off by", worst, limits->max);
    return worst <= limits->max;
}

static double log_sum_exp(const float *logits, size_t count)
{
    double best = (double)logits[0];
    for (size_t idx = 1; idx < count; idx++)
        best = fmax(best, (double)logits[idx]);
    double sum = 0;
    for (size_t idx = 0; idx < count; idx++)
        sum += exp((double)logits[idx] - best);
    return best + log(sum);
}

static void sum_nll(const float *logits, size_t vocab, const int32_t *ids, const json_t *nll,
                    struct tally *tally)
{
    for (size_t at = 0; at < json_array_size(nll); at++) {
        const float *row = logits + at * vocab;
        double ours = log_sum_exp(row, vocab) - (double)row[ids[at + 1]];
        double diff = ours - json_number_value(json_array_get(nll, at));
        tally->nll_squares += diff * diff;
        tally->nll_count++;
    }
}

static int32_t argmax(const float *logits, size_t count)
{
    size_t best = 0;
    for (size_t idx = 1; idx < count; idx++)
        if (logits[idx] > logits[best])
            best = idx;
    return (int32_t)best;
}

static bool check_greedy(struct runner *runner, float *logits, const json_t *entry,
                         const struct limits *limits, const char *name, struct tally *tally)
{
    const json_t *wanted = wanted_of(entry);
    const json_t *own_margins =
        json_object_get(json_object_get(entry, "llamacpp"), "greedy_margin");
    const json_t *greedy = json_object_get(wanted, "greedy");
    const json_t *margins = json_object_get(wanted, "greedy_margin");
    const double least = limits->margin * number(wanted, "logits_std");
    for (size_t step = 0; step < json_array_size(greedy); step++) {
        if (json_number_value(json_array_get(margins, step)) < least ||
            json_number_value(json_array_get(own_margins, step)) < least)
            return true;
        int32_t token = argmax(logits, runner->model->hparams.vocab_size);
        if (token != (int32_t)json_integer_value(json_array_get(greedy, step))) {
            complain(tally, name, "greedy text differs at step", (double)step, least);
            return false;
        }
        if (runner->tokens < runner->model->context_tokens)
            runner_feed(runner, &token, 1, logits);
    }
    return true;
}

static void run_case(struct runner *runner, const struct sl_tokenizer *tokenizer,
                     const json_t *entry, const struct limits *limits, struct tally *tally)
{
    const json_t *wanted = wanted_of(entry);
    const char *name = json_string_value(json_object_get(entry, "name"));
    const size_t count = json_array_size(json_object_get(entry, "ids"));
    const size_t vocab = runner->model->hparams.vocab_size;
    int32_t *ids = runner_ids(json_object_get(entry, "ids"));
    float *logits = calloc(count * vocab, sizeof *logits);
    ck_assert_ptr_nonnull(logits);
    runner_feed(runner, ids, (uint32_t)count, logits);
    float *last = logits + (count - 1) * vocab;
    bool good = check_ids(tokenizer, entry, tally);
    good = check_logits(last, wanted, limits, name, tally) && good;
    sum_nll(logits, vocab, ids, json_object_get(wanted, "nll"), tally);
    memmove(logits, last, vocab * sizeof *logits);
    good = check_greedy(runner, logits, entry, limits, name, tally) && good;
    tally->cases++;
    tally->passed += good;
    free(logits);
    free(ids);
}

static void run_file(const char *path, const json_t *file, enum sl_kv_format format,
                     struct tally *tally)
{
    const struct limits limits = limits_of(file);
    size_t idx;
    json_t *entry;
    json_array_foreach(json_object_get(file, "cases"), idx, entry)
    {
        struct runner runner;
        struct sl_tokenizer *tokenizer;
        struct sl_error error = {0};
        runner_open(&runner, runner_gguf_of(path), (uint32_t)number(entry, "n_ctx"), BATCH,
                    format);
        ck_assert_msg(sl_tokenizer_create(runner.model->gguf, &tokenizer, &error) == SL_OK, "%s",
                      error.message);
        run_case(&runner, tokenizer, entry, &limits, tally);
        sl_tokenizer_free(tokenizer);
        runner_close(&runner);
    }
    double rms = sqrt(tally->squares / (double)(tally->cases * FIRST_LOGITS));
    if (!(rms <= limits.rms)) {
        complain(tally, "all", "logits off by RMS", rms, limits.rms);
        tally->passed = 0;
    }
    double nll = tally->nll_count > 0 ? sqrt(tally->nll_squares / (double)tally->nll_count) : 0;
    if (!(nll <= limits.nll)) {
        complain(tally, "all", "log-likelihoods off by RMS", nll, limits.nll);
        tally->passed = 0;
    }
}

/* "NAME-TYPE.json" -> NAME and TYPE. */
static void name_row(const char *path, const json_t *file, struct row *row)
{
    const char *base = strrchr(path, '/') + 1;
    const char *dash = strrchr(base, '-');
    snprintf(row->arch, sizeof row->arch, "%s", json_string_value(json_object_get(file, "arch")));
    snprintf(row->model, sizeof row->model, "%.*s", (int)(dash - base), base);
    snprintf(row->type, sizeof row->type, "%.*s", (int)(strlen(dash + 1) - strlen(".json")),
             dash + 1);
}

static bool is_quantized(const json_t *file)
{
    return number(file, "rms_rel_diff_llamacpp_vs_exact") > QUANTIZED_RMS_MIN;
}

/* Of the files, in the order of their names, each `stride`th. */
static void run_models(enum sl_kv_format format, bool only_quantized, size_t stride)
{
    glob_t files = runner_list_cases();
    size_t cases = 0;
    size_t passed = 0;
    size_t strict = 0;
    printf("# %-9s %-17s %-7s %7s %10s %10s %10s\n", "arch", "model", "type", "passed", "rms/std",
           "max/std", "nll rms");
    for (size_t idx = 0; idx < files.gl_pathc; idx += stride) {
        json_t *file = runner_load_json(files.gl_pathv[idx]);
        const json_t *first = json_array_get(json_object_get(file, "cases"), 0);
        if (json_object_get(wanted_of(first), "greedy") != NULL &&
            (is_quantized(file) || !only_quantized)) {
            struct row row = {0};
            name_row(files.gl_pathv[idx], file, &row);
            run_file(files.gl_pathv[idx], file, format, &row.tally);
            printf("# %-9s %-17s %-7s %3zu/%-3zu %10.6f %10.6f %10.6f %s\n", row.arch, row.model,
                   row.type, row.tally.passed, row.tally.cases,
                   sqrt(row.tally.squares / (double)(row.tally.cases * FIRST_LOGITS)),
                   row.tally.worst, sqrt(row.tally.nll_squares / (double)(row.tally.nll_count + 1)),
                   row.tally.complaint);
            cases += row.tally.cases;
            passed += row.tally.passed;
            strict += row.tally.strict;
        }
        json_decref(file);
    }
    printf("# models: %zu of %zu cases passed, %zu with every logit within 1.5 times the maximum\n",
           passed, cases, strict);
    globfree(&files);
    ck_assert_uint_gt(cases, 0);
    ck_assert_uint_eq(passed, cases);
}

START_TEST(every_decoder_computes_what_the_reference_does)
{
    run_models(SL_KV_FORMAT_F32, false, 1);
}
END_TEST

START_TEST(quantized_decoders_do_so_with_a_cache_of_halves)
{
    run_models(SL_KV_FORMAT_F16, true, 1);
}
END_TEST

/* What a CPU of this architecture may have for its best. */
static const char *const levels[] = {
#if defined(__x86_64__)
    "avx512", "avxvnni", "avx2",
#elif defined(__aarch64__)
    "neon",
#endif
    "ref",
};
#define LEVELS (int)(sizeof levels / sizeof levels[0])

START_TEST(every_decoder_does_so_with_the_kernels_of_lesser_cpus)
{
    const char *level = levels[_i];
    struct sl_error error = {0};
    if (strcmp(level, sl_kernels()->name) == 0)
        sl_test_skip("kernels \"%s\": those of the tests before", level);
    if (sl_kernels_select(level, &error) != SL_OK)
        sl_test_skip("%s", error.message);
    const bool is_slow = strcmp(level, "ref") == 0; /* as slow as all others together */
    printf("# with the kernels of %s:\n", level);
    run_models(SL_KV_FORMAT_F32, false, is_slow ? REF_STRIDE : 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("models");
    TCase *tcase = tcase_create("models");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, every_decoder_computes_what_the_reference_does);
    tcase_add_test(tcase, quantized_decoders_do_so_with_a_cache_of_halves);
    tcase_add_loop_test(tcase, every_decoder_does_so_with_the_kernels_of_lesser_cpus, 0, LEVELS);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
