/* SPDX-License-Identifier: Apache-2.0
 *
 * What the conformance tests of models share: a model opened without the scheduler, and the list of
 * reference files.
 */
#ifndef SLUICE_TESTS_MODEL_RUNNER_H
#define SLUICE_TESTS_MODEL_RUNNER_H

#include "forward.h"
#include "test_support.h"

#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNNER_LOGIT_ROWS 16

struct runner {
    struct sl_model *model;
    struct sl_kv_cache *cache;
    struct sl_pool *pool;
    struct sl_forward *forward;
    uint32_t *pages;
    struct sl_kv_sequence sequence;
    uint32_t tokens; /* in the sequence */
};

/* Fails the running test where the model cannot be opened. `format` is the KV cache's: the reference
 * has one of F32. */
static inline void runner_open(struct runner *runner, const char *path, uint32_t context_tokens,
                               uint32_t batch_tokens, enum sl_kv_format format)
{
    struct sl_error error = {0};
    *runner = (struct runner){0};
    enum sl_err err = sl_model_open(path, context_tokens, &runner->model, &error);
    ck_assert_msg(err == SL_OK, "%s: %s", path, error.message);
    const struct sl_hparams *hparams = &runner->model->hparams;
    const uint32_t context = runner->model->context_tokens;
    runner->pool = sl_pool_create(2);
    ck_assert_ptr_nonnull(runner->pool);
    sl_model_pack(runner->model, runner->pool);
    if (!hparams->is_encoder) {
        struct sl_kv_config config = {.layers = hparams->layer_count,
                                      .heads = hparams->head_count_kv,
                                      .head_dim = hparams->head_dim,
                                      .format = format,
                                      .context_tokens = context};
        ck_assert_msg(sl_kv_create(&config, &runner->cache, &error) == SL_OK, "%s", error.message);
    }
    err = sl_forward_create(runner->model, runner->cache, runner->pool,
                            batch_tokens < context ? batch_tokens : context, RUNNER_LOGIT_ROWS,
                            &runner->forward, &error);
    ck_assert_msg(err == SL_OK, "%s", error.message);
    runner->pages = calloc(sl_kv_pages_for(context), sizeof *runner->pages);
    ck_assert_ptr_nonnull(runner->pages);
    sl_kv_begin(&runner->sequence, runner->pages, sl_kv_pages_for(context));
}

static inline void runner_restart(struct runner *runner)
{
    const int32_t none = 0;
    sl_kv_end(runner->cache, &runner->sequence, &none, NULL, 0);
    runner->tokens = 0;
}

static inline void runner_close(struct runner *runner)
{
    sl_forward_free(runner->forward);
    sl_kv_free(runner->cache);
    sl_pool_free(runner->pool);
    sl_model_close(runner->model);
    free(runner->pages);
}

/* Appends ids to the sequence; logits (count, vocab) of all of them, or of none where NULL. */
static inline void runner_feed(struct runner *runner, const int32_t *ids, uint32_t count,
                               float *logits)
{
    const size_t vocab = runner->model->hparams.vocab_size;
    ck_assert_uint_le(count, sl_forward_tokens_max(runner->forward));
    sl_kv_extend(runner->cache, &runner->sequence, runner->tokens + count);
    struct sl_span span = {&runner->sequence, ids, count, runner->tokens,
                           logits != NULL ? count : 0};
    sl_forward_run(runner->forward, &span, 1);
    runner->tokens += count;
    for (uint32_t row = 0; logits != NULL && row < count; row += RUNNER_LOGIT_ROWS) {
        const uint32_t rows = count - row < RUNNER_LOGIT_ROWS ? count - row : RUNNER_LOGIT_ROWS;
        memcpy(logits + row * vocab, sl_forward_logits(runner->forward, row, rows),
               rows * vocab * sizeof *logits);
    }
}

/* Paths of all NAME/NAME-TYPE.json of reference/engine/models, sorted; globfree() it. */
static inline glob_t runner_list_cases(void)
{
    char pattern[4096];
    snprintf(pattern, sizeof pattern, "%s/*/*.json", sl_test_reference("engine/models"));
    glob_t found;
    ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
    return found;
}

/* The GGUF beside a case file; the string lives until the next call. */
static inline const char *runner_gguf_of(const char *json_path)
{
    static char path[4096];
    snprintf(path, sizeof path, "%.*s.gguf", (int)(strlen(json_path) - strlen(".json")), json_path);
    return path;
}

static inline json_t *runner_load_json(const char *path)
{
    json_error_t error;
    json_t *json = json_load_file(path, 0, &error);
    ck_assert_msg(json != NULL, "%s:%d: %s", path, error.line, error.text);
    return json;
}

/* The numbers of an array as floats; free() them. */
static inline float *runner_floats(const json_t *array)
{
    float *values = calloc(json_array_size(array) + 1, sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (size_t idx = 0; idx < json_array_size(array); idx++)
        values[idx] = (float)json_number_value(json_array_get(array, idx));
    return values;
}

static inline int32_t *runner_ids(const json_t *array)
{
    int32_t *ids = calloc(json_array_size(array) + 1, sizeof *ids);
    ck_assert_ptr_nonnull(ids);
    for (size_t idx = 0; idx < json_array_size(array); idx++)
        ids[idx] = (int32_t)json_integer_value(json_array_get(array, idx));
    return ids;
}

#endif
