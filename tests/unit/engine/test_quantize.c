/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows written and read back stay within the error of their format, and whole files come out
 * readable with the metadata they had.
 */
#include "gguf.h"
#include "gguf_writer.h"
#include "quantize_blocks.h"
#include "quantize_mix.h"
#include "test_support.h"

#include "sluice/quantize.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t random_state = 88172645463325252u;

/* Roughly normal. */
static float random_float(void)
{
    float sum = 0;
    for (int i = 0; i < 6; i++) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        sum += (float)(random_state >> 40) * 0x1p-24f - 0.5f;
    }
    return sum;
}

static double relative_error(enum sl_tensor_type type, const float *x, size_t n)
{
    uint8_t out[8192];
    float back[2048];
    double error = 0, total = 0;
    ck_assert(sl_quantize_row(type, x, out, n));
    sl_type_traits(type)->dequantize(out, back, n);
    for (size_t i = 0; i < n; i++) {
        error += ((double)x[i] - (double)back[i]) * ((double)x[i] - (double)back[i]);
        total += (double)x[i] * (double)x[i];
    }
    return total > 0 ? sqrt(error / total) : sqrt(error);
}

/* Relative error of normal weights. Q4_K and Q5_K must beat the plain types of as many bits. */
static const struct {
    enum sl_tensor_type type;
    double budget;
} budgets[] = {
    {SL_TYPE_F32, 0},      {SL_TYPE_F16, 3e-4},   {SL_TYPE_BF16, 2.5e-3}, {SL_TYPE_Q8_0, 0.006},
    {SL_TYPE_Q6_K, 0.021}, {SL_TYPE_Q5_K, 0.037}, {SL_TYPE_Q5_1, 0.045},  {SL_TYPE_Q5_0, 0.045},
    {SL_TYPE_Q4_K, 0.075}, {SL_TYPE_Q4_1, 0.09},  {SL_TYPE_Q4_0, 0.1},    {SL_TYPE_Q3_K, 0.16},
    {SL_TYPE_Q2_K, 0.30},
};

START_TEST(rows_read_back_within_the_error_of_their_format)
{
    float x[2048];
    for (size_t i = 0; i < 2048; i++)
        x[i] = random_float() * 0.05f;
    for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
        const double error = relative_error(budgets[i].type, x, 2048);
        printf("# %-5s relative error %.5f (at most %.5f)\n", sl_type_name(budgets[i].type), error,
               budgets[i].budget);
        ck_assert_msg(error <= budgets[i].budget, "%s: %g > %g", sl_type_name(budgets[i].type),
                      error, budgets[i].budget);
    }
    ck_assert_double_lt(relative_error(SL_TYPE_Q4_K, x, 2048),
                        relative_error(SL_TYPE_Q4_1, x, 2048));
    ck_assert_double_lt(relative_error(SL_TYPE_Q5_K, x, 2048),
                        relative_error(SL_TYPE_Q5_1, x, 2048));
}
END_TEST

START_TEST(odd_blocks_stay_exact_or_close)
{
    for (size_t i = 0; i < sizeof budgets / sizeof budgets[0]; i++) {
        const enum sl_tensor_type type = budgets[i].type;
        float x[256] = {0};
        ck_assert_double_eq(relative_error(type, x, 256), 0); /* zeros */
        for (int j = 0; j < 256; j++)
            x[j] = -0.75f; /* all alike, negative */
        ck_assert_msg(relative_error(type, x, 256) < 0.05, "%s", sl_type_name(type));
        for (int j = 0; j < 256; j++)
            x[j] = 0.5f; /* all alike, positive: the affine types have no positive minimum */
        ck_assert_msg(relative_error(type, x, 256) < 0.05, "%s", sl_type_name(type));
        for (int j = 0; j < 256; j++)
            x[j] = j == 77 ? 100.0f : 0.001f; /* an outlier */
        ck_assert_msg(relative_error(type, x, 256) < 0.05, "%s", sl_type_name(type));
    }
    ck_assert(!sl_quantize_can_write(SL_TYPE_IQ4_XS));
    ck_assert(!sl_quantize_can_write(SL_TYPE_COUNT));
}
END_TEST

/* ---- files ---- */

static struct gguf_writer writer;

/* A model of one layer with rows of 256 and of 64, F32; returns its path. */
static const char *write_model(bool is_finite)
{
    static char path[1024];
    gw_header(&writer, 5, 6);
    gw_key_text(&writer, "general.architecture", "llama");
    gw_key_u32(&writer, "general.alignment", 64);
    gw_key_u32(&writer, "general.file_type", 0);
    gw_key_u32(&writer, "llama.block_count", 1);
    gw_key_u32(&writer, "llama.attention.head_count", 4);
    gw_key_text(&writer, "tokenizer.ggml.model", "gpt2");
    gw_tensor(&writer, "token_embd.weight", SL_TYPE_F32, 256, 8, 0);
    gw_tensor(&writer, "blk.0.attn_v.weight", SL_TYPE_F32, 64, 4, 8192);
    gw_tensor(&writer, "blk.0.ffn_up.weight", SL_TYPE_F32, 256, 3, 9216);
    gw_tensor(&writer, "blk.0.attn_norm.weight", SL_TYPE_F32, 256, 0, 12288);
    gw_tensor(&writer, "blk.0.attn_k.weight", SL_TYPE_F32, 40, 2, 13312);
    gw_align(&writer, 64);
    for (int i = 0; i < 3328 + 80; i++) {
        const float value = !is_finite && i == 3000 ? NAN : random_float();
        gw_bytes(&writer, &value, sizeof value);
    }
    snprintf(path, sizeof path, "%s/model.gguf", sl_test_scratch());
    gw_save(&writer, path);
    return path;
}

struct seen {
    uint64_t count;
    uint64_t bytes;
};

static void watch(void *ctx, const struct sl_quantize_progress *progress)
{
    struct seen *seen = ctx;
    ck_assert_uint_eq(progress->idx, seen->count);
    ck_assert_uint_eq(progress->count, 5);
    seen->count++;
    seen->bytes += progress->bytes_out;
}

START_TEST(a_file_keeps_its_metadata_and_gets_the_types_of_the_mix)
{
    struct sl_error error = {0};
    struct sl_gguf *gguf;
    struct seen seen = {0};
    char out[1100], part[1200];
    const char *in = write_model(true);
    snprintf(out, sizeof out, "%s.out", in);
    snprintf(part, sizeof part, "%s.part", out);
    ck_assert_msg(sl_quantize_file(in, out, "q4_k", watch, &seen, &error) == SL_OK, "%s",
                  error.message);
    ck_assert_uint_eq(seen.count, 5);
    ck_assert_int_ne(access(part, F_OK), 0);
    ck_assert_msg(sl_gguf_open(out, &gguf, &error) == SL_OK, "%s", error.message);
    ck_assert_uint_eq(sl_gguf_u32_or(gguf, "general.file_type", 0), 15);
    ck_assert_uint_eq(sl_gguf_u32_or(gguf, "general.quantization_version", 0), 2);
    ck_assert_uint_eq(sl_gguf_u32_or(gguf, "general.alignment", 0), 64);
    ck_assert_uint_eq(sl_gguf_key_count(gguf), 7);
    ck_assert(sl_slice_equal_text(
        sl_gguf_string_or(gguf, "tokenizer.ggml.model", SL_SLICE("")), "gpt2"));
    ck_assert_uint_eq(sl_gguf_tensor(gguf, "token_embd.weight")->type, SL_TYPE_Q6_K); /* tied */
    ck_assert_uint_eq(sl_gguf_tensor(gguf, "blk.0.ffn_up.weight")->type, SL_TYPE_Q4_K);
    ck_assert_uint_eq(sl_gguf_tensor(gguf, "blk.0.attn_norm.weight")->type, SL_TYPE_F32);
    ck_assert_uint_eq(sl_gguf_tensor(gguf, "blk.0.attn_k.weight")->type, SL_TYPE_F16);
    for (uint64_t i = 0; i < 5; i++)
        ck_assert_uint_eq(
            (uint64_t)((const uint8_t *)sl_gguf_tensor_at(gguf, i)->data -
                       (const uint8_t *)sl_gguf_file_data(gguf)) % 64, 0);
    sl_gguf_close(gguf);
}
END_TEST

START_TEST(bad_input_is_refused_and_leaves_no_file)
{
    struct sl_error error = {0};
    char out[1100], part[1200];
    const char *in = write_model(false);
    snprintf(out, sizeof out, "%s.bad", in);
    snprintf(part, sizeof part, "%s.part", out);
    ck_assert_int_eq(sl_quantize_file(in, out, "Q9", NULL, NULL, &error), SL_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "Q4_K_M"));
    ck_assert_int_eq(sl_quantize_file(in, out, "Q8_0", NULL, NULL, &error), SL_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "blk.0.ffn_up.weight"));
    ck_assert_int_eq(sl_quantize_file("/nonexistent", out, "Q8_0", NULL, NULL, &error), SL_ERR_IO);
    ck_assert_int_eq(
        sl_quantize_file(write_model(true), "/nonexistent/o.gguf", "Q8_0", NULL, NULL, &error),
        SL_ERR_IO);
    ck_assert_int_ne(access(out, F_OK), 0);
    ck_assert_int_ne(access(part, F_OK), 0);
}
END_TEST

START_TEST(quantized_weights_are_not_quantized_again)
{
    struct sl_error error = {0};
    char once[1100], twice[1200];
    const char *in = write_model(true);
    snprintf(once, sizeof once, "%s.once", in);
    snprintf(twice, sizeof twice, "%s.twice", in);
    ck_assert_int_eq(sl_quantize_file(in, once, "Q4_0", NULL, NULL, &error), SL_OK);
    ck_assert_int_eq(sl_quantize_file(once, twice, "Q8_0", NULL, NULL, &error),
                     SL_ERR_UNSUPPORTED);
    ck_assert_int_eq(sl_quantize_file(once, twice, "F32", NULL, NULL, &error), SL_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quantize");
    TCase *tcase = tcase_create("quantize");
    tcase_add_test(tcase, rows_read_back_within_the_error_of_their_format);
    tcase_add_test(tcase, odd_blocks_stay_exact_or_close);
    tcase_add_test(tcase, a_file_keeps_its_metadata_and_gets_the_types_of_the_mix);
    tcase_add_test(tcase, bad_input_is_refused_and_leaves_no_file);
    tcase_add_test(tcase, quantized_weights_are_not_quantized_again);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
