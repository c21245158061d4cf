/* SPDX-License-Identifier: Apache-2.0
 *
 * Every encoder of the reference data: token ids, and the pooled embedding by its cosine and length
 * against what the reference computes with the same weights in float. Texts go through the public
 * call, cases of bare ids through the forward pass.
 */
#include "model_runner.h"

#include "sluice/engine.h"
#include "tokenizer.h"

#include <math.h>

#define COSINE_FLOAT 0.9999 /* F32, F16, BF16 */
#define COSINE_QUANTIZED 0.999
#define LENGTH_FLOAT 1e-3 /* relative difference of the l2 norms */
#define LENGTH_QUANTIZED 2e-2

struct tally {
    size_t cases;
    size_t passed;
    double worst_cosine;
    double worst_length;
};

static double cosine(const float *a, const float *b, size_t n, double *a_length, double *b_length)
{
    double product = 0;
    double a_squares = 0;
    double b_squares = 0;
    for (size_t idx = 0; idx < n; idx++) {
        product += (double)a[idx] * (double)b[idx];
        a_squares += (double)a[idx] * (double)a[idx];
        b_squares += (double)b[idx] * (double)b[idx];
    }
    *a_length = sqrt(a_squares);
    *b_length = sqrt(b_squares);
    return product / (*a_length * *b_length);
}

/* Through sl_engine_embed; false where the number of tokens differs. */
static bool embed_text(const char *path, const json_t *entry, float *out)
{
    const struct sl_engine_config config = {.model_path = path, .threads = 2};
    struct sl_engine *engine;
    struct sl_error error = {0};
    ck_assert_msg(sl_engine_open(&config, &engine, &error) == SL_OK, "%s", error.message);
    ck_assert(sl_engine_info(engine)->can_embed);
    ck_assert(!sl_engine_info(engine)->can_generate);
    const json_t *text = json_object_get(entry, "text");
    uint32_t tokens = 0;
    enum sl_err err = sl_engine_embed(
        engine, (struct sl_slice){json_string_value(text), json_string_length(text)}, out, &tokens,
        &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    sl_engine_close(engine);
    return tokens == json_array_size(json_object_get(entry, "ids"));
}

static void embed_ids(const char *path, const json_t *entry, float *out)
{
    struct runner runner;
    int32_t *ids = runner_ids(json_object_get(entry, "ids"));
    const uint32_t count = (uint32_t)json_array_size(json_object_get(entry, "ids"));
    runner_open(&runner, path, 0, count, SL_KV_FORMAT_F32);
    sl_forward_encode(runner.forward, ids, count, out);
    runner_close(&runner);
    free(ids);
}

static void run_case(const char *path, const json_t *entry, bool is_float, struct tally *tally)
{
    const json_t *exact = json_object_get(entry, "exact");
    const json_t *wanted =
        json_object_get(exact != NULL ? exact : json_object_get(entry, "llamacpp"), "embedding");
    const size_t width = json_array_size(wanted);
    float *want = runner_floats(wanted);
    float *ours = calloc(width, sizeof *ours);
    bool same_ids = true;
    if (json_object_get(entry, "text") != NULL)
        same_ids = embed_text(path, entry, ours);
    else
        embed_ids(path, entry, ours);
    double ours_length;
    double want_length;
    const double angle = cosine(ours, want, width, &ours_length, &want_length);
    const double length = fabs(ours_length - want_length) / want_length;
    tally->cases++;
    tally->passed += same_ids && angle > (is_float ? COSINE_FLOAT : COSINE_QUANTIZED) &&
                     length < (is_float ? LENGTH_FLOAT : LENGTH_QUANTIZED);
    tally->worst_cosine = fmin(tally->worst_cosine, angle);
    tally->worst_length = fmax(tally->worst_length, length);
    free(ours);
    free(want);
}

START_TEST(every_encoder_embeds_as_the_reference_does)
{
    glob_t files = runner_list_cases();
    size_t cases = 0;
    size_t passed = 0;
    printf("# %-20s %7s %12s %12s\n", "model", "passed", "cosine", "length off");
    for (size_t idx = 0; idx < files.gl_pathc; idx++) {
        json_t *file = runner_load_json(files.gl_pathv[idx]);
        const json_t *entries = json_object_get(file, "cases");
        const json_t *first = json_object_get(json_array_get(entries, 0), "llamacpp");
        if (json_object_get(first, "embedding") != NULL) {
            const char *name = json_string_value(json_object_get(file, "model"));
            const bool is_float = strstr(name, "F16") != NULL || strstr(name, "F32") != NULL;
            struct tally tally = {.worst_cosine = 1};
            for (size_t at = 0; at < json_array_size(entries); at++)
                run_case(runner_gguf_of(files.gl_pathv[idx]), json_array_get(entries, at), is_float,
                         &tally);
            printf("# %-20s %3zu/%-3zu %12.8f %12.8f\n", name, tally.passed, tally.cases,
                   tally.worst_cosine, tally.worst_length);
            cases += tally.cases;
            passed += tally.passed;
        }
        json_decref(file);
    }
    printf("# embeddings: %zu of %zu cases passed\n", passed, cases);
    globfree(&files);
    ck_assert_uint_gt(cases, 0);
    ck_assert_uint_eq(passed, cases);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("embeddings");
    TCase *tcase = tcase_create("embeddings");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, every_encoder_embeds_as_the_reference_does);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
