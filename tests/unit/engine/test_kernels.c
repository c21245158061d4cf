/* SPDX-License-Identifier: Apache-2.0
 *
 * Every table of kernels that this CPU runs against the reference, at odd lengths, with an error
 * budget for each operation. Budgets are relative to the size of what was added up: rounding of
 * float sums in another order, and for exp and its kin two units in the last place.
 */
#include "kernels_fixture.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BUDGET_SUM 2e-6   /* sums of up to some thousand terms, relative to the sum of magnitudes */
#define BUDGET_EXP 1e-6   /* exp, tanh, logistic: relative to the largest value of the row */
#define ROW_MAX 1100

/* Calls `check` for every table but the reference. */
static void for_each_table(void (*check)(const struct sl_kernels *, const struct sl_kernels *))
{
    const struct sl_kernels *tables[8];
    size_t count = 0;
    for (const struct sl_kernels *const *table = sl_kernels_available(); *table != NULL; table++)
        tables[count++] = *table;
    if (count == 1)
        sl_test_skip("this CPU has no kernels beside the reference");
    for (size_t i = 1; i < count; i++)
        check(tables[0], tables[i]);
}

static double largest_of(const float *x, size_t n)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)x[i]));
    return largest;
}

static const size_t lengths[] = {1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100, 172, 257, 1027};
#define LENGTHS (sizeof lengths / sizeof lengths[0])

static void check_rows(const struct sl_kernels *ref, const struct sl_kernels *fast)
{
    for (size_t idx = 0; idx < LENGTHS; idx++) {
        const size_t n = lengths[idx];
        float expected[ROW_MAX], actual[ROW_MAX];
        random_seed(n);
        float *a = random_row(n, 4), *b = random_row(n, 2);
        const double size = largest_of(a, n) + largest_of(b, n) + 1;
#define CHECK(what, budget, call)                                                                  \
    do {                                                                                           \
        const struct sl_kernels *k = ref;                                                          \
        float *out = expected;                                                                     \
        call;                                                                                      \
        k = fast;                                                                                  \
        out = actual;                                                                              \
        actual[n] = 77; /* the float behind the row stays */                                       \
        call;                                                                                      \
        expect_close(what, fast->name, n, expected, actual, n, (budget) * size);                   \
        ck_assert_float_eq(actual[n], 77);                                                         \
    } while (0)
        CHECK("add", 1e-7, k->add(out, a, b, n));
        CHECK("mul", 1e-6, k->mul(out, a, b, n));
        CHECK("scale", 1e-7, k->scale(out, a, 0.37f, n));
        CHECK("rms_norm", BUDGET_SUM, k->rms_norm(out, a, b, n, 1e-5f));
        CHECK("rms_norm without weight", BUDGET_SUM, k->rms_norm(out, a, NULL, n, 1e-5f));
        CHECK("layer_norm", 4 * BUDGET_SUM, k->layer_norm(out, a, b, a, n, 1e-5f));
        CHECK("layer_norm alone", 4 * BUDGET_SUM, k->layer_norm(out, a, NULL, NULL, n, 1e-5f));
        CHECK("silu_mul", BUDGET_EXP, k->silu_mul(out, a, b, n));
        CHECK("gelu_mul", BUDGET_EXP, k->gelu_mul(out, a, b, n));
        CHECK("gelu", BUDGET_EXP, k->gelu_mul(out, a, NULL, n));
        CHECK("softcap", BUDGET_EXP, k->softcap(out, a, 1.5f, n));
        CHECK("softmax", BUDGET_EXP, (memcpy(out, a, n * sizeof *a), k->softmax(out, n)));
#undef CHECK
        double magnitude = 0;
        for (size_t i = 0; i < n; i++)
            magnitude += fabs((double)a[i] * (double)b[i]);
        ck_assert_double_eq_tol((double)ref->dot(a, b, n), (double)fast->dot(a, b, n),
                                BUDGET_SUM * magnitude + 1e-12);
        ck_assert_float_eq(ref->largest(a, n), fast->largest(a, n));
        const double sum = (double)ref->exp_sum(a, n, ref->largest(a, n), 1.3f);
        ck_assert_double_eq_tol(sum, (double)fast->exp_sum(a, n, ref->largest(a, n), 1.3f),
                                4 * BUDGET_EXP * sum);
        free(a);
        free(b);
    }
}

START_TEST(rows_of_any_length_agree_with_the_reference)
{
    for_each_table(check_rows);
}
END_TEST

static void check_moments(const struct sl_kernels *ref, const struct sl_kernels *fast)
{
    for (size_t idx = 0; idx < LENGTHS; idx++) {
        const size_t n = lengths[idx];
        float expected[3], actual[3];
        random_seed(n + 5);
        float *x = random_row(n, 12);
        if (n > 2)
            x[n / 2] = -INFINITY; /* a masked logit */
        ref->softmax_moments(x, n, &expected[0], &expected[1], &expected[2]);
        fast->softmax_moments(x, n, &actual[0], &actual[1], &actual[2]);
        ck_assert_float_eq(expected[0], actual[0]);
        expect_close("moments", fast->name, n, expected, actual, 3, 2e-6 * (double)(n + 1));
        free(x);
    }
}

START_TEST(moments_of_softmax_agree_and_masked_logits_add_nothing)
{
    for_each_table(check_moments);
}
END_TEST

static void check_exp_range(const struct sl_kernels *ref, const struct sl_kernels *fast)
{
    /* Through softmax's numerator: two logits far apart, then equal, then infinite. */
    const float gaps[] = {0, 1e-6f, 0.5f, 10, 50, 87, 88, 100, 1e4f, INFINITY};
    for (size_t i = 0; i < sizeof gaps / sizeof gaps[0]; i++) {
        float expected[17], actual[17];
        for (int j = 0; j < 17; j++)
            expected[j] = actual[j] = j % 3 == 0 ? 3.0f - gaps[i] : 3.0f;
        ref->softmax(expected, 17);
        fast->softmax(actual, 17);
        expect_close("softmax", fast->name, i, expected, actual, 17, 1e-7);
    }
    const float extremes[] = {-INFINITY, -1e9f, -100, -88, -1e-30f, 0, 1e-30f, 88, 100, 1e9f};
    float ones[10], expected[10], actual[10];
    for (int i = 0; i < 10; i++)
        ones[i] = 1;
    ref->silu_mul(expected, extremes + 1, ones, 9);
    fast->silu_mul(actual, extremes + 1, ones, 9);
    for (int i = 0; i < 9; i++)
        ck_assert_double_eq_tol((double)expected[i], (double)actual[i],
                                1e-6 * fabs((double)expected[i]) + 1e-35);
}

START_TEST(exponentials_hold_at_the_ends_of_their_range)
{
    for_each_table(check_exp_range);
}
END_TEST

static void check_halves(const struct sl_kernels *ref, const struct sl_kernels *fast)
{
    sl_f16 all[65536], back[65536];
    float *expected = malloc(65536 * sizeof *expected), *actual = malloc(65536 * sizeof *actual);
    ck_assert(expected != NULL && actual != NULL);
    for (uint32_t i = 0; i < 65536; i++)
        all[i] = (sl_f16)i;
    ref->f16_to_f32(expected, all, 65536);
    fast->f16_to_f32(actual, all, 65535); /* an odd length: the last one stays */
    for (uint32_t i = 0; i < 65535; i++)
        if ((i & 0x7c00) != 0x7c00 || (i & 0x3ff) == 0) /* NaN payloads may differ */
            ck_assert_uint_eq(sl_f32_bits(expected[i]), sl_f32_bits(actual[i]));
    fast->f32_to_f16(back, expected, 65535);
    for (uint32_t i = 0; i < 65535; i++)
        if ((i & 0x7c00) != 0x7c00 || (i & 0x3ff) == 0)
            ck_assert_uint_eq(back[i], i);
    /* Between two halves, at ties, at the overflow: the nearest, ties to even. */
    random_seed(3);
    for (uint32_t i = 0; i < 65536; i++)
        expected[i] = sl_f32_from_bits((random_u32() & 0x8fffffffu) | 0x30000000u |
                                       (i % 3 == 0 ? 0u : random_u32() & 0x40000000u));
    expected[0] = 65519.996f;
    expected[1] = 65520;
    expected[2] = 0x1.001p0f; /* tie between 1 and 1 + 2^-10 ... */
    expected[3] = 0x1p-25f;   /* tie between 0 and the smallest */
    expected[4] = 0x1.8p-25f;
    ref->f32_to_f16(all, expected, 65536);
    fast->f32_to_f16(back, expected, 65536);
    for (uint32_t i = 0; i < 65536; i++)
        if (expected[i] == expected[i])
            ck_assert_msg(all[i] == back[i], "%a: %x, expected %x", (double)expected[i], back[i],
                          all[i]);
    free(expected);
    free(actual);
}

START_TEST(all_halves_survive_the_way_to_float_and_back)
{
    for_each_table(check_halves);
}
END_TEST

static void check_rope(const struct sl_kernels *ref, const struct sl_kernels *fast)
{
    for (uint32_t rot = 8; rot <= 96; rot += 8)
        for (int style = 0; style < 2; style++) {
            const uint32_t head_dim = rot + (rot % 16 == 0 ? 0 : 8), heads = 3;
            random_seed(rot);
            float *a = random_row(heads * head_dim, 3), *b = random_row(heads * head_dim, 0);
            float *angles = random_row(rot, 2);
            memcpy(b, a, heads * head_dim * sizeof *a);
            ref->rope(a, heads, head_dim, rot, angles, (enum sl_rope_style)style);
            fast->rope(b, heads, head_dim, rot, angles, (enum sl_rope_style)style);
            expect_close("rope", fast->name, rot, a, b, heads * head_dim, 2e-6);
            free(a);
            free(b);
            free(angles);
        }
}

START_TEST(rope_turns_pairs_and_halves_alike)
{
    for_each_table(check_rope);
}
END_TEST

/* ---- products ---- */

static const enum sl_tensor_type types[] = {
    SL_TYPE_F32,  SL_TYPE_F16,  SL_TYPE_BF16, SL_TYPE_Q4_0, SL_TYPE_Q4_1,
    SL_TYPE_Q5_0, SL_TYPE_Q5_1, SL_TYPE_Q8_0, SL_TYPE_Q2_K, SL_TYPE_Q3_K,
    SL_TYPE_Q4_K, SL_TYPE_Q5_K, SL_TYPE_Q6_K, SL_TYPE_IQ4_NL, SL_TYPE_IQ4_XS,
};
#define TYPES (sizeof types / sizeof types[0])

/* Where the halves (scales, minimums) of a block are. */
static void set_halves(enum sl_tensor_type type, uint8_t *block)
{
    size_t at[2] = {0, 0};
    size_t count = 1;
    switch (type) {
    case SL_TYPE_Q4_1: case SL_TYPE_Q5_1: case SL_TYPE_Q4_K: case SL_TYPE_Q5_K:
        at[1] = 2;
        count = 2;
        break;
    case SL_TYPE_Q2_K:
        at[0] = offsetof(struct sl_block_q2_k, d);
        at[1] = offsetof(struct sl_block_q2_k, dmin);
        count = 2;
        break;
    case SL_TYPE_Q3_K: at[0] = offsetof(struct sl_block_q3_k, d); break;
    case SL_TYPE_Q6_K: at[0] = offsetof(struct sl_block_q6_k, d); break;
    default: break;
    }
    for (size_t i = 0; i < count; i++) {
        const sl_f16 half = sl_f16_from_f32(random_float(0.02f));
        memcpy(block + at[i], &half, sizeof half);
    }
}

/* A matrix of random bits with sane scales: every code, every scale and every corner occurs. */
static struct sl_matrix random_matrix(enum sl_tensor_type type, uint32_t rows, uint32_t cols)
{
    const struct sl_type_traits *traits = sl_type_traits(type);
    const size_t row_bytes = sl_type_row_bytes(type, cols);
    uint8_t *data = malloc(rows * row_bytes + 1); /* exact: an over-read is seen */
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < rows * row_bytes; i++)
        data[i] = (uint8_t)random_u32();
    if (type == SL_TYPE_F32 || type == SL_TYPE_F16 || type == SL_TYPE_BF16) {
        for (size_t i = 0; i < (size_t)rows * cols; i++) {
            const float value = random_float(1);
            const uint16_t half =
                type == SL_TYPE_F16 ? sl_f16_from_f32(value) : sl_bf16_from_f32(value);
            if (type == SL_TYPE_F32)
                memcpy(data + 4 * i, &value, 4);
            else
                memcpy(data + 2 * i, &half, 2);
        }
    } else {
        for (size_t i = 0; i < rows * row_bytes; i += traits->block_bytes)
            set_halves(type, data + i);
    }
    return (struct sl_matrix){
        .type = type, .rows = rows, .cols = cols, .row_bytes = row_bytes, .data = data};
}

static void product(const char *table, const struct sl_matrix *matrix, const float *x,
                    uint32_t tokens, uint32_t threads, float *y)
{
    struct sl_error error = {0};
    struct sl_pool *pool = sl_pool_create(threads);
    void *scratch =
        aligned_alloc(SL_SCRATCH_ALIGN, sl_matmul_scratch_bytes(matrix->cols, tokens, threads));
    ck_assert(pool != NULL && scratch != NULL);
    ck_assert_int_eq(sl_kernels_select(table, &error), SL_OK);
    sl_matmul(pool, matrix, x, tokens, y, scratch);
    free(scratch);
    sl_pool_free(pool);
}

/* Budget: the same int8 activations (a code may differ by one on a tie), sums in float. Relative to
 * the norm of row and token. */
static double budget_of(const struct sl_matrix *matrix, const float *x, uint32_t row)
{
    double w2 = 0, x2 = 0;
    float *values = malloc(matrix->cols * sizeof *values);
    ck_assert_ptr_nonnull(values);
    sl_matrix_row(matrix, row, values);
    for (uint32_t i = 0; i < matrix->cols; i++) {
        w2 += (double)values[i] * (double)values[i];
        x2 += (double)x[i] * (double)x[i];
    }
    free(values);
    return 4e-6 * sqrt(w2 * x2) + 1e-9;
}

static void check_product(const struct sl_kernels *fast, enum sl_tensor_type type, uint32_t rows,
                          uint32_t cols, uint32_t tokens, uint32_t threads)
{
    random_seed(type * 1000 + rows + cols + tokens);
    const struct sl_matrix matrix = random_matrix(type, rows, cols);
    float *x = random_row((size_t)tokens * cols, 3);
    float *expected = random_row((size_t)tokens * rows, 0);
    float *actual = random_row((size_t)tokens * rows, 0);
    product("ref", &matrix, x, tokens, 1, expected);
    product(fast->name, &matrix, x, tokens, threads, actual);
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t t = 0; t < tokens; t++) {
            const size_t i = (size_t)t * rows + row;
            const double difference = fabs((double)expected[i] - (double)actual[i]);
            const double budget = budget_of(&matrix, x + (size_t)t * cols, row);
            ck_assert_msg(difference <= budget,
                          "%s %s (%u, %u) x %u: row %u token %u is %g, expected %g (+-%g)",
                          fast->name, sl_type_name(type), rows, cols, tokens, row, t,
                          (double)actual[i], (double)expected[i], budget);
        }
    free((void *)matrix.data);
    free(x);
    free(expected);
    free(actual);
}

static void check_products(const struct sl_kernels *ref, const struct sl_kernels *fast)
{
    static const struct {
        uint32_t rows, blocks, tokens, threads;
    } shapes[] = {{1, 1, 1, 1},  {5, 1, 2, 1},  {17, 3, 3, 1},  {16, 2, 4, 2},
                  {33, 3, 5, 2}, {31, 1, 17, 2}, {48, 5, 33, 1}, {3, 2, 40, 2},
                  {9, 2, 6, 1},  {40, 1, 7, 1},  {32, 2, 8, 2}};
    (void)ref;
    for (size_t type = 0; type < TYPES; type++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
            const uint32_t block = sl_type_traits(types[type])->block_size;
            const uint32_t cols = shapes[i].blocks * (block == 1 ? 37 : block);
            check_product(fast, types[type], shapes[i].rows, cols, shapes[i].tokens,
                          shapes[i].threads);
        }
}

/* The matrix as a CPU's kernels rearrange it; `packed` NULL where they have no such form. free()
 * that. */
static struct sl_matrix rearranged(const struct sl_kernels *fast, const struct sl_matrix *matrix)
{
    struct sl_error error = {0};
    struct sl_matrix packed = *matrix;
    ck_assert_int_eq(sl_kernels_select(fast->name, &error), SL_OK);
    const size_t bytes = sl_matrix_packed_bytes(matrix);
    if (bytes == 0)
        return packed;
    const uint32_t even_rows = (matrix->rows + 31) / 32 * 32; /* panels are full */
    ck_assert_uint_eq(bytes, even_rows * matrix->row_bytes);
    ck_assert_uint_eq(bytes % SL_SCRATCH_ALIGN, 0);
    uint8_t *memory = aligned_alloc(SL_SCRATCH_ALIGN, bytes);
    struct sl_pool *pool = sl_pool_create(2);
    ck_assert(memory != NULL && pool != NULL);
    memset(memory, 0xa5, bytes);
    sl_matrix_pack(&packed, pool, memory);
    sl_pool_free(pool);
    return packed;
}

/* Weights rearranged as at load give the same products and the same rows. */
static void check_packed(const struct sl_kernels *fast, enum sl_tensor_type type, uint32_t rows,
                         uint32_t cols, uint32_t tokens)
{
    random_seed(type * 77 + rows + cols + tokens);
    const struct sl_matrix matrix = random_matrix(type, rows, cols);
    const struct sl_matrix packed = rearranged(fast, &matrix);
    if (packed.packed == NULL) {
        free((void *)matrix.data);
        return;
    }
    float *x = random_row((size_t)tokens * cols, 3);
    float *expected = random_row((size_t)tokens * rows + cols, 0);
    float *actual = random_row((size_t)tokens * rows + cols, 0);
    product(fast->name, &matrix, x, tokens, 1, expected);
    product(fast->name, &packed, x, tokens, 2, actual);
    for (uint32_t i = 0; i < tokens * rows; i++)
        ck_assert_msg(fabs((double)expected[i] - (double)actual[i]) <=
                          budget_of(&matrix, x + i / rows * cols, i % rows),
                      "%s %s (%u, %u) x %u rearranged: row %u token %u is %g, expected %g",
                      fast->name, sl_type_name(type), rows, cols, tokens, i % rows, i / rows,
                      (double)actual[i], (double)expected[i]);
    product("ref", &packed, x, 1, 1, actual); /* other kernels read the file's form */
    for (uint32_t i = 0; i < rows; i++)
        ck_assert_double_le(fabs((double)expected[i] - (double)actual[i]),
                            budget_of(&matrix, x, i));
    for (uint32_t row = 0; row < rows; row++) {
        sl_matrix_row(&matrix, row, expected);
        sl_matrix_row(&packed, row, actual);
        expect_close("a rearranged row", sl_type_name(type), row, expected, actual, cols,
                     1e-6 * largest_of(expected, cols));
    }
    free((void *)matrix.data);
    free((void *)packed.packed);
    free(x);
    free(expected);
    free(actual);
}

static void check_all_packed(const struct sl_kernels *ref, const struct sl_kernels *fast)
{
    /* Every number of tokens that has code of its own, both sides of where panels are expanded. */
    static const struct {
        uint32_t rows, blocks, tokens;
    } shapes[] = {{32, 1, 1}, {33, 3, 2}, {70, 2, 3},  {5, 1, 4},  {17, 3, 5},
                  {64, 2, 6}, {31, 5, 8}, {40, 1, 13}, {48, 3, 31}};
    (void)ref;
    for (size_t type = 0; type < TYPES; type++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
            const uint32_t block = sl_type_traits(types[type])->block_size;
            if (block > 1)
                check_packed(fast, types[type], shapes[i].rows, shapes[i].blocks * block,
                             shapes[i].tokens);
        }
}

START_TEST(rearranged_weights_give_the_same_products_and_rows)
{
    for_each_table(check_all_packed);
}
END_TEST

START_TEST(products_of_every_type_agree_with_the_reference)
{
    for_each_table(check_products);
}
END_TEST

static void expect_product(const struct sl_kernels *fast, const struct sl_matrix *matrix,
                           const char *what, const float *x, uint32_t tokens, const float *expected)
{
    float *actual = random_row(tokens * matrix->rows, 0);
    product(fast->name, matrix, x, tokens, 1, actual);
    for (uint32_t i = 0; i < tokens * matrix->rows; i++)
        ck_assert_msg(fabs((double)expected[i] - (double)actual[i]) <=
                          budget_of(matrix, x, i % matrix->rows),
                      "%s %s %s x %u: [%u] is %g, expected %g", fast->name,
                      sl_type_name(matrix->type), what, tokens, i, (double)actual[i],
                      (double)expected[i]);
    free(actual);
}

/* Every weight byte the same and every activation the largest: codes at the ends of their range,
 * all of one sign, which is where sums in 16 bits would overflow first. As stored and rearranged. */
static void check_extremes(const struct sl_kernels *ref, const struct sl_kernels *fast)
{
    static const uint8_t fillings[] = {0x00, 0x7f, 0x80, 0xff};
    const uint32_t rows = 19, cols = 512, tokens = 7;
    float *x = random_row(tokens * cols, 0);
    float *expected = random_row(tokens * rows, 0);
    for (size_t i = 0; i < TYPES * sizeof fillings; i++) {
        const enum sl_tensor_type type = types[i / sizeof fillings];
        const struct sl_type_traits *traits = sl_type_traits(type);
        if (!traits->is_quantized)
            continue;
        random_seed(i);
        const struct sl_matrix matrix = random_matrix(type, rows, cols);
        uint8_t *data = (uint8_t *)matrix.data;
        memset(data, fillings[i % sizeof fillings], rows * matrix.row_bytes);
        for (size_t at = 0; at < rows * matrix.row_bytes; at += traits->block_bytes)
            set_halves(type, data + at);
        for (uint32_t t = 0; t < tokens; t++)
            for (uint32_t col = 0; col < cols; col++)
                x[t * cols + col] = t % 2 == 0 ? 1.0f : -1.0f;
        const struct sl_matrix packed = rearranged(fast, &matrix);
        char what[16];
        snprintf(what, sizeof what, "of %02x", fillings[i % sizeof fillings]);
        for (uint32_t count = 1; count <= tokens; count += 3) {
            product(ref->name, &matrix, x, count, 1, expected);
            expect_product(fast, &matrix, what, x, count, expected);
            if (packed.packed != NULL)
                expect_product(fast, &packed, what, x, count, expected);
        }
        free((void *)packed.packed);
        free(data);
    }
    free(x);
    free(expected);
}

START_TEST(the_largest_codes_and_activations_do_not_overflow)
{
    for_each_table(check_extremes);
}
END_TEST

START_TEST(quantized_products_stay_near_the_exact_ones)
{
    random_seed(11);
    for (size_t i = 0; i < TYPES; i++) {
        const uint32_t rows = 24, cols = 512, tokens = 3;
        const struct sl_matrix matrix = random_matrix(types[i], rows, cols);
        float *x = random_row(tokens * cols, 2), *y = random_row(tokens * rows, 0);
        float *row = random_row(cols, 0);
        double error = 0, total = 0;
        product(NULL, &matrix, x, tokens, 1, y);
        for (uint32_t r = 0; r < rows; r++) {
            sl_matrix_row(&matrix, r, row);
            for (uint32_t t = 0; t < tokens; t++) {
                double exact = 0;
                for (uint32_t c = 0; c < cols; c++)
                    exact += (double)row[c] * (double)x[t * cols + c];
                error += (exact - (double)y[t * rows + r]) * (exact - (double)y[t * rows + r]);
                total += exact * exact;
            }
        }
        /* Codes of -127..127 under the largest of 32: about 0.3 % each, independent; rounding of
         * floats alone for the float types. */
        const double limit = sl_type_traits(types[i])->is_quantized ? 0.01 : 1e-6;
        ck_assert_msg(sqrt(error / total) < limit, "%s: relative error %g",
                      sl_type_name(types[i]), sqrt(error / total));
        free((void *)matrix.data);
        free(x);
        free(y);
        free(row);
    }
}
END_TEST

START_TEST(several_products_of_one_input_equal_single_ones)
{
    random_seed(21);
    const uint32_t cols = 256, tokens = 9;
    struct sl_matrix matrices[3] = {random_matrix(SL_TYPE_Q4_K, 40, cols),
                                    random_matrix(SL_TYPE_F16, 7, cols),
                                    random_matrix(SL_TYPE_Q6_K, 33, cols)};
    float *x = random_row((size_t)tokens * (cols + 3), 2), *dense = random_row(tokens * cols, 0);
    float *y = random_row(tokens * 100, 0), *single = random_row(tokens * 40, 0);
    struct sl_matmul_job jobs[3];
    size_t offset = 0;
    for (int i = 0; i < 3; i++) {
        jobs[i] = (struct sl_matmul_job){&matrices[i], y + offset, 100};
        offset += matrices[i].rows;
    }
    for (uint32_t t = 0; t < tokens; t++)
        memcpy(dense + t * cols, x + t * (cols + 3), cols * sizeof *x);
    struct sl_pool *pool = sl_pool_create(2);
    void *scratch =
        aligned_alloc(SL_SCRATCH_ALIGN, sl_matmul_scratch_bytes(cols, tokens, 2));
    sl_matmul_jobs(pool, jobs, 3, x, cols + 3, tokens, scratch);
    for (int i = 0; i < 3; i++) {
        sl_matmul(pool, &matrices[i], dense, tokens, single, scratch);
        for (uint32_t t = 0; t < tokens; t++)
            expect_close("job", "best", (size_t)i, single + t * matrices[i].rows,
                         jobs[i].y + t * 100, matrices[i].rows, 0);
        free((void *)matrices[i].data);
    }
    free(scratch);
    sl_pool_free(pool);
    free(x);
    free(dense);
    free(y);
    free(single);
}
END_TEST

START_TEST(an_unknown_name_of_kernels_is_refused)
{
    struct sl_error error = {0};
    ck_assert_int_eq(sl_kernels_select("mmx", &error), SL_ERR_INVALID);
#if defined(__x86_64__)
    ck_assert_int_eq(sl_kernels_select("neon", &error), SL_ERR_UNSUPPORTED);
#else
    ck_assert_int_eq(sl_kernels_select("avx2", &error), SL_ERR_UNSUPPORTED);
#endif
    ck_assert_int_eq(sl_kernels_select("ref", &error), SL_OK);
    ck_assert_str_eq(sl_kernels()->name, "ref");
    ck_assert_int_eq(sl_kernels_select(NULL, &error), SL_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tcase = tcase_create("kernels");
    tcase_set_timeout(tcase, 120); /* the reference under sanitizers on a busy machine */
    tcase_add_test(tcase, rows_of_any_length_agree_with_the_reference);
    tcase_add_test(tcase, moments_of_softmax_agree_and_masked_logits_add_nothing);
    tcase_add_test(tcase, exponentials_hold_at_the_ends_of_their_range);
    tcase_add_test(tcase, all_halves_survive_the_way_to_float_and_back);
    tcase_add_test(tcase, rope_turns_pairs_and_halves_alike);
    tcase_add_test(tcase, products_of_every_type_agree_with_the_reference);
    tcase_add_test(tcase, rearranged_weights_give_the_same_products_and_rows);
    tcase_add_test(tcase, the_largest_codes_and_activations_do_not_overflow);
    tcase_add_test(tcase, quantized_products_stay_near_the_exact_ones);
    tcase_add_test(tcase, several_products_of_one_input_equal_single_ones);
    tcase_add_test(tcase, an_unknown_name_of_kernels_is_refused);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
