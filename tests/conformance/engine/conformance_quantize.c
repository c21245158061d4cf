/* SPDX-License-Identifier: Apache-2.0
 *
 * The quantize tool against files that llama-quantize made (engine/models): the same type for every
 * tensor, and for the plain types the same bytes. The bytes come from stories260K, whose F32 weights
 * are there; stories260K-p192 is the same model with zero-padded down projections, so its other
 * quantized tensors must follow from them.
 */
#include "gguf.h"
#include "quantize_blocks.h"
#include "quantize_mix.h"
#include "test_support.h"

#include "sluice/quantize.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MIXES_MIN 20 /* files of the development set whose mix we write */

static struct sl_gguf *open_file(const char *path)
{
    struct sl_error error = {0};
    struct sl_gguf *gguf = NULL;
    ck_assert_msg(sl_gguf_open(path, &gguf, &error) == SL_OK, "%s: %s", path, error.message);
    return gguf;
}

static const struct sl_mix *mix_of_file_type(uint32_t file_type)
{
    for (size_t i = 0; sl_mix_at(i) != NULL; i++)
        if (sl_mix_at(i)->file_type == file_type)
            return sl_mix_at(i);
    return NULL;
}

/* Tensors whose type differs from the one we would choose. */
static unsigned count_differences(const char *path)
{
    struct sl_gguf *gguf = open_file(path);
    const struct sl_mix *mix = mix_of_file_type(sl_gguf_u32_or(gguf, "general.file_type", 9999));
    struct sl_mix_model model;
    unsigned differences = 0;
    if (mix == NULL) { /* a mix that we read but do not write */
        sl_gguf_close(gguf);
        return 0;
    }
    sl_mix_model_init(&model, gguf);
    for (uint64_t i = 0; i < sl_gguf_tensor_count(gguf); i++) {
        const struct sl_gguf_tensor *tensor = sl_gguf_tensor_at(gguf, i);
        const enum sl_tensor_type chosen = sl_mix_choose(mix, &model, tensor);
        if (chosen == (enum sl_tensor_type)tensor->type)
            continue;
        printf("# %s: %.*s is %s, we choose %s\n", path, SL_SLICE_ARG(tensor->name),
               sl_type_name(tensor->type), sl_type_name(chosen));
        differences++;
    }
    printf("# %-8s %3llu tensors, %u differ: %s\n", mix->name,
           (unsigned long long)sl_gguf_tensor_count(gguf), differences, strrchr(path, '/') + 1);
    sl_gguf_close(gguf);
    return differences;
}

START_TEST(tensors_get_the_types_that_llama_quantize_gives_them)
{
    const char *root = sl_test_reference("engine/models");
    DIR *models = opendir(root);
    unsigned files = 0, differences = 0;
    ck_assert_ptr_nonnull(models);
    for (struct dirent *model; (model = readdir(models)) != NULL;) {
        char folder[1024], path[2048];
        if (model->d_name[0] == '.')
            continue;
        snprintf(folder, sizeof folder, "%s/%s", root, model->d_name);
        DIR *entries = opendir(folder);
        for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
            if (strstr(entry->d_name, ".gguf") == NULL)
                continue;
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            differences += count_differences(path);
            files++;
        }
        if (entries != NULL)
            closedir(entries);
    }
    closedir(models);
    ck_assert_uint_eq(differences, 0);
    ck_assert_uint_ge(files, MIXES_MIN);
}
END_TEST

/* Tensors of the made file that have the same bytes as those of the reference file. */
static void compare_bytes(const char *made_path, const char *reference_path, const char *type)
{
    struct sl_gguf *made = open_file(made_path), *reference = open_file(reference_path);
    unsigned equal = 0, compared = 0;
    for (uint64_t i = 0; i < sl_gguf_tensor_count(reference); i++) {
        const struct sl_gguf_tensor *theirs = sl_gguf_tensor_at(reference, i);
        char name[128];
        snprintf(name, sizeof name, "%.*s", SL_SLICE_ARG(theirs->name));
        const struct sl_gguf_tensor *ours = sl_gguf_tensor(made, name);
        ck_assert_ptr_nonnull(ours);
        /* Padded tensors differ in shape. Q6_K and the like leave freedom. */
        if (ours->dims[0] != theirs->dims[0] || ours->dims[1] != theirs->dims[1] ||
            sl_type_traits(theirs->type)->block_size == SL_SUPER_BLOCK)
            continue;
        ck_assert_uint_eq(ours->type, theirs->type);
        ck_assert_uint_eq(ours->bytes, theirs->bytes);
        compared++;
        equal += memcmp(ours->data, theirs->data, ours->bytes) == 0;
    }
    printf("# %-8s %u of %u tensors byte for byte\n", type, equal, compared);
    ck_assert_uint_gt(compared, 20);
    ck_assert_uint_eq(equal, compared);
    sl_gguf_close(made);
    sl_gguf_close(reference);
}

START_TEST(plain_types_equal_llama_quantize_byte_for_byte)
{
    static const char *const types[] = {"Q8_0", "Q4_0",   "Q4_1",   "Q5_0",
                                        "Q5_1", "Q4_K_M", "Q5_K_M", "Q3_K_M"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct sl_error error = {0};
        char name[256], out[1024];
        snprintf(name, sizeof name, "engine/models/stories260K-p192/stories260K-p192-%s.gguf",
                 types[i]);
        snprintf(out, sizeof out, "%s/%s.gguf", sl_test_scratch(), types[i]);
        ck_assert_msg(
            sl_quantize_file(sl_test_reference("engine/models/stories260K/stories260K-F32.gguf"),
                             out, types[i], NULL, NULL, &error) == SL_OK,
            "%s", error.message);
        compare_bytes(out, sl_test_reference(name), types[i]);
    }
}
END_TEST

START_TEST(f16_and_bf16_equal_the_converted_files)
{
    static const char *const types[] = {"F16", "BF16"};
    for (size_t i = 0; i < 2; i++) {
        struct sl_error error = {0};
        char name[256], out[1024];
        snprintf(name, sizeof name, "engine/models/stories260K/stories260K-%s.gguf", types[i]);
        snprintf(out, sizeof out, "%s/%s.gguf", sl_test_scratch(), types[i]);
        ck_assert_msg(
            sl_quantize_file(sl_test_reference("engine/models/stories260K/stories260K-F32.gguf"),
                             out, types[i], NULL, NULL, &error) == SL_OK,
            "%s", error.message);
        compare_bytes(out, sl_test_reference(name), types[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quantize");
    TCase *tcase = tcase_create("quantize");
    tcase_set_timeout(tcase, 60); /* eight small models under sanitizers */
    tcase_add_test(tcase, tensors_get_the_types_that_llama_quantize_gives_them);
    tcase_add_test(tcase, plain_types_equal_llama_quantize_byte_for_byte);
    tcase_add_test(tcase, f16_and_bf16_equal_the_converted_files);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
