/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of every type against the floats they stand for (engine/dequant.json), bit for bit: through
 * the traits of quant_blocks.h, and through every table of kernels this CPU runs, by multiplying
 * the row with unit vectors (which quantize exactly).
 */
#include "kernels.h"
#include "test_support.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define TYPES_EXPECTED 14 /* every type of the engine but F32, which needs no table */

static json_t *load_cases(void)
{
    json_error_t error;
    json_t *cases = json_load_file(sl_test_reference("engine/dequant.json"), 0, &error);
    ck_assert_msg(cases != NULL, "dequant.json:%d: %s", error.line, error.text);
    return cases;
}

static unsigned digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

/* The case's raw bytes; free() them. */
static uint8_t *raw_bytes(const json_t *entry, size_t *len)
{
    const char *hex = json_string_value(json_object_get(entry, "hex"));
    ck_assert_ptr_nonnull(hex);
    *len = strlen(hex) / 2;
    uint8_t *bytes = malloc(*len + 1);
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < *len; i++)
        bytes[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    return bytes;
}

static size_t int_field(const json_t *entry, const char *name)
{
    const json_t *value = json_object_get(entry, name);
    ck_assert_msg(json_is_integer(value), "field %s", name);
    return (size_t)json_integer_value(value);
}

static size_t count_exact(const json_t *values, const float *out, size_t n)
{
    size_t exact = 0;
    for (size_t i = 0; i < n; i++)
        exact += sl_f32_bits(out[i]) ==
                 sl_f32_bits((float)json_number_value(json_array_get(values, i)));
    return exact;
}

START_TEST(every_row_dequantizes_to_the_published_floats)
{
    json_t *cases = load_cases();
    const char *name;
    json_t *entry;
    size_t passed = 0;
    printf("# %-8s %8s %8s\n", "type", "values", "exact");
    json_object_foreach(cases, name, entry) {
        const size_t n = int_field(entry, "n");
        const struct sl_type_traits *traits =
            sl_type_traits((uint32_t)int_field(entry, "type_id"));
        ck_assert_msg(traits != NULL, "%s is not in the table", name);
        ck_assert_str_eq(traits->name, name);
        ck_assert_uint_eq(traits->block_size, int_field(entry, "block_size"));
        ck_assert_uint_eq(traits->block_bytes, int_field(entry, "type_size"));
        size_t len;
        uint8_t *bytes = raw_bytes(entry, &len);
        ck_assert_uint_le(sl_type_row_bytes((uint32_t)int_field(entry, "type_id"), n), len);
        float *out = calloc(n, sizeof *out);
        ck_assert_ptr_nonnull(out);
        traits->dequantize(bytes, out, n);
        const size_t exact = count_exact(json_object_get(entry, "values"), out, n);
        printf("# %-8s %8zu %8zu\n", name, n, exact);
        passed += exact == n;
        free(out);
        free(bytes);
    }
    ck_assert_uint_eq(passed, json_object_size(cases));
    ck_assert_uint_ge(passed, TYPES_EXPECTED);
    json_decref(cases);
}
END_TEST

/* Largest difference, relative to the row's largest value, between W e_i and w_i. */
static double unit_vector_error(const struct sl_matrix *matrix, struct sl_pool *pool, void *scratch)
{
    const uint32_t cols = matrix->cols;
    float *row = calloc(cols, sizeof *row), *units = calloc((size_t)cols * cols, sizeof *units);
    float *y = calloc(cols, sizeof *y);
    double largest = 0, worst = 0;
    ck_assert(row != NULL && units != NULL && y != NULL);
    sl_matrix_row(matrix, 0, row);
    for (uint32_t i = 0; i < cols; i++)
        units[(size_t)i * cols + i] = 1;
    sl_matmul(pool, matrix, units, cols, y, scratch);
    for (uint32_t i = 0; i < cols; i++) {
        const double difference = (double)y[i] - (double)row[i];
        worst = difference * difference > worst ? difference * difference : worst;
        largest = (double)row[i] * (double)row[i] > largest ? (double)row[i] * (double)row[i]
                                                            : largest;
    }
    free(row);
    free(units);
    free(y);
    return largest > 0 ? worst / largest : 0;
}

START_TEST(every_table_of_kernels_reads_the_same_weights)
{
    json_t *cases = load_cases();
    const char *name;
    json_t *entry;
    struct sl_pool *pool = sl_pool_create(1);
    void *scratch = aligned_alloc(SL_SCRATCH_ALIGN, sl_matmul_scratch_bytes(256, 256, 1));
    ck_assert(pool != NULL && scratch != NULL);
    for (const struct sl_kernels *const *table = sl_kernels_available(); *table != NULL; table++) {
        struct sl_error error = {0};
        size_t passed = 0;
        ck_assert_int_eq(sl_kernels_select((*table)->name, &error), SL_OK);
        json_object_foreach(cases, name, entry) {
            size_t len;
            uint8_t *bytes = raw_bytes(entry, &len);
            const uint32_t type = (uint32_t)int_field(entry, "type_id");
            const uint32_t n = (uint32_t)int_field(entry, "n");
            const struct sl_matrix matrix = {.type = type,
                                             .rows = 1,
                                             .cols = n,
                                             .row_bytes = sl_type_row_bytes(type, n),
                                             .data = bytes};
            const double squared = unit_vector_error(&matrix, pool, scratch);
            /* A few float roundings: scale times scale, code times both, plus the minimum. */
            if (squared < 1e-12)
                passed++;
            else
                printf("# %s %s: relative error squared %g\n", (*table)->name, name, squared);
            free(bytes);
        }
        printf("# kernels %-8s %zu of %zu types\n", (*table)->name, passed,
               json_object_size(cases));
        ck_assert_uint_eq(passed, json_object_size(cases));
    }
    free(scratch);
    sl_pool_free(pool);
    json_decref(cases);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dequant");
    TCase *tcase = tcase_create("dequant");
    tcase_set_timeout(tcase, 120); /* the plain kernels under sanitizers on a busy machine */
    tcase_add_test(tcase, every_row_dequantizes_to_the_published_floats);
    tcase_add_test(tcase, every_table_of_kernels_reads_the_same_weights);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
