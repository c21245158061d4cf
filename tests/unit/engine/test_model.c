/* SPDX-License-Identifier: Apache-2.0 */
#include "forward.h"
#include "model.h"
#include "tiny_model.h"

#include "sluice/quantize.h"

#include <math.h>

/* Opens a model that must be refused; the message must name what is wrong. */
static void expect_refusal(struct tiny_model tiny, enum sl_err wanted, const char *word)
{
    struct sl_model *model = NULL;
    struct sl_error error = {0};
    enum sl_err err = sl_model_open(tiny_model_write(tiny, "bad.gguf"), 0, &model, &error);
    ck_assert_msg(err == wanted, "%s: %d %s", word, err, error.message);
    ck_assert_msg(strstr(error.message, word) != NULL, "\"%s\" is not in \"%s\"", word,
                  error.message);
}

START_TEST(a_model_has_the_numbers_of_its_file)
{
    struct sl_model *model;
    struct sl_error error = {0};
    const char *path = tiny_model_write((struct tiny_model){.layers = 3}, "m.gguf");
    ck_assert_msg(sl_model_open(path, 0, &model, &error) == SL_OK, "%s", error.message);
    ck_assert_str_eq(model->hparams.architecture, "llama");
    ck_assert_uint_eq(model->hparams.layer_count, 3);
    ck_assert_uint_eq(model->hparams.head_dim, 16);
    ck_assert_uint_eq(model->hparams.vocab_size, TINY_VOCAB);
    ck_assert_uint_eq(model->context_tokens, 256);
    ck_assert_uint_eq(model->main_type, SL_TYPE_F32);
    const uint64_t layer = 64 * 2 + 64 * 64 * 2 + 64 * 32 * 2 + 64 * 96 * 3;
    ck_assert_uint_eq(model->parameters, 3 * layer + 2 * 64 * TINY_VOCAB + 64);
    sl_model_close(model);
}
END_TEST

START_TEST(what_is_missing_is_named)
{
    expect_refusal((struct tiny_model){.leave_out = "llama.block_count"}, SL_ERR_FORMAT,
                   "llama.block_count");
    expect_refusal((struct tiny_model){.leave_out = "blk.1.ffn_down.weight"}, SL_ERR_FORMAT,
                   "blk.1.ffn_down.weight");
    expect_refusal((struct tiny_model){.leave_out = "output_norm.weight"}, SL_ERR_FORMAT,
                   "output_norm.weight");
    expect_refusal((struct tiny_model){.leave_out = "token_embd.weight"}, SL_ERR_FORMAT,
                   "token_embd.weight");
    expect_refusal((struct tiny_model){.leave_out = "general.architecture"}, SL_ERR_FORMAT,
                   "general.architecture");
}
END_TEST

START_TEST(lies_about_sizes_are_refused)
{
    expect_refusal((struct tiny_model){.lie_about = "llama.block_count", .lie = 0}, SL_ERR_FORMAT,
                   "llama.block_count");
    expect_refusal((struct tiny_model){.lie_about = "llama.block_count", .lie = 4000000000u},
                   SL_ERR_FORMAT, "llama.block_count");
    expect_refusal((struct tiny_model){.lie_about = "llama.block_count", .lie = 3}, SL_ERR_FORMAT,
                   "blk.2");
    expect_refusal((struct tiny_model){.lie_about = "llama.embedding_length", .lie = 128},
                   SL_ERR_FORMAT, "token_embd.weight");
    expect_refusal((struct tiny_model){.lie_about = "llama.attention.head_count_kv", .lie = 3},
                   SL_ERR_FORMAT, "head_count_kv");
    expect_refusal((struct tiny_model){.lie_about = "llama.attention.head_count_kv", .lie = 0},
                   SL_ERR_FORMAT, "head_count_kv");
    expect_refusal((struct tiny_model){.lie_about = "llama.attention.head_count", .lie = 0},
                   SL_ERR_FORMAT, "head_count");
    expect_refusal((struct tiny_model){.lie_about = "llama.feed_forward_length", .lie = 95},
                   SL_ERR_FORMAT, "blk.0.ffn_up.weight");
    expect_refusal((struct tiny_model){.lie_about = "blk.0.attn_k.weight", .lie = 33},
                   SL_ERR_FORMAT, "blk.0.attn_k.weight");
    expect_refusal((struct tiny_model){.lie_about = "blk.1.attn_norm.weight", .lie = 2},
                   SL_ERR_FORMAT, "blk.1.attn_norm.weight");
}
END_TEST

START_TEST(an_unknown_architecture_is_unsupported)
{
    expect_refusal((struct tiny_model){.arch = "mamba"}, SL_ERR_UNSUPPORTED, "mamba");
}
END_TEST

START_TEST(the_context_is_the_trained_one_unless_asked_otherwise)
{
    struct sl_model *model;
    struct sl_error error = {0};
    const char *path = tiny_model_write((struct tiny_model){.context = 100000}, "m.gguf");
    ck_assert_int_eq(sl_model_open(path, 0, &model, &error), SL_OK);
    ck_assert_uint_eq(model->context_tokens, SL_CONTEXT_DEFAULT_MAX);
    sl_model_close(model);
    ck_assert_int_eq(sl_model_open(path, 77, &model, &error), SL_OK);
    ck_assert_uint_eq(model->context_tokens, 77);
    sl_model_close(model);
}
END_TEST

START_TEST(angles_of_a_rope_are_position_times_frequency)
{
    struct sl_model *model;
    struct sl_error error = {0};
    ck_assert_int_eq(
        sl_model_open(tiny_model_write((struct tiny_model){0}, "m.gguf"), 0, &model, &error),
        SL_OK);
    float angles[16];
    sl_rope_angles(&model->ropes[SL_ROPE_GLOBAL], 7, angles);
    for (uint32_t pair = 0; pair < 8; pair++) {
        const double angle = 7 * pow(10000, -2.0 * pair / 16);
        ck_assert_float_eq_tol(angles[2 * pair], (float)cos(angle), 1e-5f);
        ck_assert_float_eq_tol(angles[2 * pair + 1], (float)sin(angle), 1e-5f);
    }
    sl_model_close(model);
}
END_TEST

/* ---- the forward pass, in pieces and together ---- */

#define TOKENS 150
#define ROWS 8

struct bench {
    struct sl_model *model;
    struct sl_kv_cache *cache;
    struct sl_pool *pool;
    struct sl_forward *forward;
    uint32_t pages[3][SL_KV_PAGE_TOKENS];
};

static void open_bench_file(struct bench *bench, const char *path, enum sl_kv_format format)
{
    struct sl_error error = {0};
    ck_assert_int_eq(sl_model_open(path, 0, &bench->model, &error), SL_OK);
    const struct sl_kv_config config = {.layers = 2,
                                        .heads = 2,
                                        .head_dim = 32,
                                        .format = format,
                                        .context_tokens = 256,
                                        .bytes_max = 64 << 20};
    ck_assert_int_eq(sl_kv_create(&config, &bench->cache, &error), SL_OK);
    bench->pool = sl_pool_create(2);
    ck_assert_int_eq(sl_forward_create(bench->model, bench->cache, bench->pool, 256, ROWS,
                                       &bench->forward, &error),
                     SL_OK);
}

static void open_bench(struct bench *bench, enum sl_kv_format format)
{
    open_bench_file(bench, tiny_model_write((struct tiny_model){.width = 128}, "m.gguf"), format);
}

static void close_bench(struct bench *bench)
{
    sl_forward_free(bench->forward);
    sl_kv_free(bench->cache);
    sl_pool_free(bench->pool);
    sl_model_close(bench->model);
}

static void make_ids(int32_t *ids, uint32_t seed)
{
    for (uint32_t idx = 0; idx < TOKENS; idx++)
        ids[idx] = (int32_t)((idx * 31 + seed * 17 + idx * idx) % TINY_VOCAB);
}

/* Logits of the last token after reading ids in pieces of `piece`. */
static void read_in_pieces(struct bench *bench, uint32_t slot, const int32_t *ids, uint32_t piece,
                           float *logits)
{
    struct sl_kv_sequence sequence;
    sl_kv_begin(&sequence, bench->pages[slot], SL_KV_PAGE_TOKENS);
    for (uint32_t at = 0; at < TOKENS; at += piece) {
        const uint32_t count = TOKENS - at < piece ? TOKENS - at : piece;
        sl_kv_extend(bench->cache, &sequence, at + count);
        const struct sl_span span = {&sequence, ids + at, count, at, 1};
        sl_forward_run(bench->forward, &span, 1);
    }
    memcpy(logits, sl_forward_logits(bench->forward, 0, 1), TINY_VOCAB * sizeof *logits);
    sl_kv_end(bench->cache, &sequence, ids, NULL, 0);
}

static float largest_difference(const float *a, const float *b)
{
    float worst = 0;
    for (uint32_t idx = 0; idx < TINY_VOCAB; idx++)
        worst = fmaxf(worst, fabsf(a[idx] - b[idx]));
    return worst;
}

START_TEST(pieces_of_any_size_give_the_same_logits)
{
    struct bench bench;
    open_bench(&bench, SL_KV_FORMAT_F32);
    int32_t ids[TOKENS];
    float whole[TINY_VOCAB];
    float pieces[TINY_VOCAB];
    make_ids(ids, 1);
    read_in_pieces(&bench, 0, ids, TOKENS, whole);
    const uint32_t sizes[] = {1, 3, 32, 33, 149};
    for (size_t idx = 0; idx < sizeof sizes / sizeof *sizes; idx++) {
        read_in_pieces(&bench, 0, ids, sizes[idx], pieces);
        ck_assert_msg(largest_difference(whole, pieces) < 2e-3f, "pieces of %u: %g", sizes[idx],
                      (double)largest_difference(whole, pieces));
    }
    close_bench(&bench);
}
END_TEST

START_TEST(sequences_of_one_batch_do_not_see_each_other)
{
    struct bench bench;
    open_bench(&bench, SL_KV_FORMAT_F32);
    int32_t ids[3][TOKENS];
    float alone[3][TINY_VOCAB];
    struct sl_kv_sequence sequences[3];
    struct sl_span spans[3];
    const uint32_t counts[3] = {60, 1, 37};
    for (uint32_t idx = 0; idx < 3; idx++) {
        make_ids(ids[idx], idx);
        sl_kv_begin(&sequences[idx], bench.pages[idx], SL_KV_PAGE_TOKENS);
        sl_kv_extend(bench.cache, &sequences[idx], counts[idx]);
        spans[idx] = (struct sl_span){&sequences[idx], ids[idx], counts[idx], 0, 1};
        sl_forward_run(bench.forward, &spans[idx], 1);
        memcpy(alone[idx], sl_forward_logits(bench.forward, 0, 1), sizeof alone[idx]);
    }
    sl_forward_run(bench.forward, spans, 3);
    const float *together = sl_forward_logits(bench.forward, 0, 3);
    for (uint32_t idx = 0; idx < 3; idx++)
        ck_assert_float_lt(largest_difference(alone[idx], together + idx * TINY_VOCAB), 2e-3f);
    close_bench(&bench);
}
END_TEST

START_TEST(smaller_kv_formats_stay_near_the_exact_one)
{
    struct bench bench;
    int32_t ids[TOKENS];
    float exact[TINY_VOCAB];
    float rounded[TINY_VOCAB];
    make_ids(ids, 4);
    open_bench(&bench, SL_KV_FORMAT_F32);
    read_in_pieces(&bench, 0, ids, TOKENS, exact);
    close_bench(&bench);
    double squares = 0;
    for (uint32_t idx = 0; idx < TINY_VOCAB; idx++)
        squares += (double)exact[idx] * (double)exact[idx];
    const float deviation = (float)sqrt(squares / TINY_VOCAB);
    open_bench(&bench, SL_KV_FORMAT_F16);
    read_in_pieces(&bench, 0, ids, TOKENS, rounded);
    ck_assert_float_lt(largest_difference(exact, rounded), 0.05f * deviation);
    close_bench(&bench);
    open_bench(&bench, SL_KV_FORMAT_Q8_0);
    read_in_pieces(&bench, 0, ids, TOKENS, rounded);
    ck_assert_float_lt(largest_difference(exact, rounded), 0.5f * deviation);
    close_bench(&bench);
}
END_TEST

/* Logits stay, up to the order of additions, while weights are rearranged a few rows at a time. */
static void check_packing(const char *path, const char *type)
{
    struct bench bench;
    char quantized[4096];
    struct sl_error error = {0};
    int32_t ids[TOKENS];
    float before[TINY_VOCAB], after[TINY_VOCAB];
    snprintf(quantized, sizeof quantized, "%s.%s", path, type);
    ck_assert_int_eq(sl_quantize_file(path, quantized, type, NULL, NULL, &error), SL_OK);
    open_bench_file(&bench, quantized, SL_KV_FORMAT_F32);
    const bool has_form = sl_matrix_packed_bytes(&bench.model->output) > 0;
    make_ids(ids, 3);
    read_in_pieces(&bench, 0, ids, 40, before);
    double squares = 0;
    for (uint32_t idx = 0; idx < TINY_VOCAB; idx++)
        squares += (double)before[idx] * (double)before[idx];
    const float deviation = (float)sqrt(squares / TINY_VOCAB);
    uint32_t parts = 1;
    for (bool more = true; more; parts++) {
        more = sl_model_pack_some(bench.model, bench.pool, 5000);
        read_in_pieces(&bench, 0, ids, 40, after);
        ck_assert_msg(largest_difference(before, after) < 0.02f * deviation,
                      "%s, part %u: %g of a deviation", type, parts,
                      (double)(largest_difference(before, after) / deviation));
    }
    ck_assert(!sl_model_pack_some(bench.model, bench.pool, 5000)); /* and stays done */
    if (has_form) {
        ck_assert_uint_gt(parts, 8);
        ck_assert_ptr_nonnull(bench.model->output.packed);
        ck_assert_ptr_eq(bench.model->token_embedding.packed, bench.model->output.packed);
        ck_assert_ptr_nonnull(bench.model->layers[1].down.packed);
    }
    close_bench(&bench);
}

START_TEST(weights_may_be_rearranged_between_two_steps)
{
    /* The output matrix is the embedding, so its rows are looked up in the new form as well. */
    char path[4096];
    snprintf(path, sizeof path, "%s",
             tiny_model_write((struct tiny_model){.width = 128, .leave_out = "output.weight"},
                              "tied.gguf"));
    check_packing(path, "Q8_0");
    check_packing(path, "Q4_0");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tcase = tcase_create("model");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_model_has_the_numbers_of_its_file);
    tcase_add_test(tcase, what_is_missing_is_named);
    tcase_add_test(tcase, lies_about_sizes_are_refused);
    tcase_add_test(tcase, an_unknown_architecture_is_unsupported);
    tcase_add_test(tcase, the_context_is_the_trained_one_unless_asked_otherwise);
    tcase_add_test(tcase, angles_of_a_rope_are_position_times_frequency);
    tcase_add_test(tcase, pieces_of_any_size_give_the_same_logits);
    tcase_add_test(tcase, sequences_of_one_batch_do_not_see_each_other);
    tcase_add_test(tcase, smaller_kv_formats_stay_near_the_exact_one);
    tcase_add_test(tcase, weights_may_be_rearranged_between_two_steps);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
