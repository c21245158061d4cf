/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of every table of kernels that this CPU runs, in pages, against exact attention in
 * double; then what tables that may round (sl_attend.may_round) make of it.
 */
#include "kernels_fixture.h"

#define PAGE 48       /* positions: tiles end inside of pages and pages inside of tiles */
#define WINDOW 40     /* of causal cases */
#define BUDGET 4e-5   /* scores of about 20: exp carries their rounding of 1e-6 */
#define ROUNDED 5e-3  /* RMS, of values of about 1: eight bits of mantissa, scores of about 3 */

struct attention {
    uint32_t head_dim, queries, positions;
    enum sl_kv_format format;
    float softcap;
    bool is_causal;
    float size;      /* of queries and keys; 0: 6 */
    float shared;    /* added to all keys, in every second dimension */
    bool may_round;
};

/* Exact attention in double, all positions at once. */
static void exact_attention(const struct sl_attend *a, const float *k, const float *v, float *out)
{
    double *scores = malloc(a->positions * sizeof *scores);
    ck_assert_ptr_nonnull(scores);
    for (uint32_t query = 0; query < a->queries; query++) {
        double max = -INFINITY, sum = 0;
        for (uint32_t i = a->first[query]; i < a->end[query]; i++) {
            double score = 0;
            for (uint32_t j = 0; j < a->head_dim; j++)
                score += (double)a->q[query * a->q_stride + j] * (double)k[i * a->head_dim + j];
            score *= (double)a->scale;
            if (a->softcap != 0)
                score = (double)a->softcap * tanh(score / (double)a->softcap);
            scores[i] = score;
            max = fmax(max, score);
        }
        for (uint32_t i = a->first[query]; i < a->end[query]; i++)
            sum += scores[i] = exp(scores[i] - max);
        for (uint32_t j = 0; j < a->head_dim; j++) {
            double total = 0;
            for (uint32_t i = a->first[query]; i < a->end[query]; i++)
                total += scores[i] * (double)v[i * a->head_dim + j];
            out[query * a->head_dim + j] = sum > 0 ? (float)(total / sum) : 0;
        }
    }
    free(scores);
}

/* Writes floats as cache rows and reads back what they became. */
static uint8_t *store_rows(enum sl_kv_format format, float *x, uint32_t rows, uint32_t dims)
{
    const size_t bytes = sl_kv_bytes(format, dims);
    uint8_t *cache = malloc(rows * bytes);
    ck_assert_ptr_nonnull(cache);
    for (uint32_t i = 0; i < rows; i++) {
        sl_kv_store(format, cache + i * bytes, x + i * dims, dims);
        if (format == SL_KV_FORMAT_F16)
            sl_type_traits(SL_TYPE_F16)->dequantize(cache + i * bytes, x + i * dims, dims);
        if (format == SL_KV_FORMAT_Q8_0)
            sl_type_traits(SL_TYPE_Q8_0)->dequantize(cache + i * bytes, x + i * dims, dims);
    }
    return cache;
}

/* What a case is made of; the spans of all queries, and those of one page. */
struct made {
    struct sl_attend attend;
    float *q, *k, *v, *state;
    uint8_t *k_cache, *v_cache;
    uint32_t *first, *end, *page_first, *page_end;
};

static struct made make(struct attention c)
{
    random_seed(c.head_dim + c.queries + c.positions);
    const size_t q_stride = c.head_dim + 5, row = sl_kv_bytes(c.format, c.head_dim);
    const float size = c.size > 0 ? c.size : 6;
    struct made made = {.q = random_row(c.queries * q_stride, size),
                        .k = random_row(c.positions * c.head_dim, size),
                        .v = random_row(c.positions * c.head_dim, 2),
                        .state = random_row(c.queries * (c.head_dim + 2), 0),
                        .first = calloc(4 * c.queries, sizeof *made.first)};
    ck_assert_ptr_nonnull(made.first);
    made.end = made.first + c.queries;
    made.page_first = made.end + c.queries;
    made.page_end = made.page_first + c.queries;
    for (uint32_t i = 0; i < c.queries; i++) {
        made.end[i] = c.is_causal ? (i + 1) * c.positions / c.queries : c.positions;
        made.first[i] = c.is_causal && made.end[i] > WINDOW ? made.end[i] - WINDOW : 0;
    }
    for (size_t i = 0; i < c.positions * (size_t)c.head_dim; i += 2)
        made.k[i] += c.shared;
    made.k_cache = store_rows(c.format, made.k, c.positions, c.head_dim);
    made.v_cache = store_rows(c.format, made.v, c.positions, c.head_dim);
    made.attend = (struct sl_attend){
        .format = c.format, .head_dim = c.head_dim, .queries = c.queries,
        .positions = c.positions, .k = made.k_cache, .v = made.v_cache, .k_stride = row,
        .v_stride = row, .q = made.q, .q_stride = q_stride, .first = made.first, .end = made.end,
        .scale = 0.2f, .softcap = c.softcap, .max = made.state, .sum = made.state + c.queries,
        .acc = made.state + 2 * c.queries, .acc_stride = c.head_dim,
        .scratch = aligned_alloc(SL_SCRATCH_ALIGN, SL_ATTEND_SCRATCH_FLOATS * sizeof(float)),
        .may_round = c.may_round,
    };
    ck_assert_ptr_nonnull(made.attend.scratch);
    return made;
}

static void drop(struct made *made)
{
    free(made->q); free(made->k); free(made->v); free(made->state); free(made->first);
    free(made->k_cache); free(made->v_cache); free(made->attend.scratch);
}

/* Pages `begin`, begin + step and so on, as from a cache, under the kernels in force; not ended. */
static void attend_pages(struct made *made, struct sl_attend page, uint32_t begin, uint32_t step)
{
    const struct sl_attend *all = &made->attend;
    page.positions = all->positions < PAGE ? all->positions : PAGE;
    page.first = made->page_first;
    page.end = made->page_end;
    sl_attend_begin(&page);
    for (uint32_t start = begin * PAGE; start < all->positions; start += step * PAGE) {
        page.positions = all->positions - start < PAGE ? all->positions - start : PAGE;
        page.k = made->k_cache + start * all->k_stride;
        page.v = made->v_cache + start * all->v_stride;
        const bool is_last = start + 2 * PAGE > all->positions; /* or followed by a shorter one */
        page.next_k = is_last ? NULL : (const uint8_t *)page.k + PAGE * all->k_stride;
        page.next_v = is_last ? NULL : (const uint8_t *)page.v + PAGE * all->v_stride;
        for (uint32_t i = 0; i < page.queries; i++) {
            made->page_first[i] = all->first[i] > start ? all->first[i] - start : 0;
            const uint32_t end = all->end[i] > start ? all->end[i] - start : 0;
            made->page_end[i] = end < page.positions ? end : page.positions;
        }
        sl_kernels()->attend(&page);
    }
}

static void attend_in_pages(struct made *made)
{
    attend_pages(made, made->attend, 0, 1);
    sl_attend_end(&made->attend);
}

/* Pages are dealt to three states, which are merged. */
static void attend_in_parts(struct made *made)
{
    struct sl_attend part = made->attend;
    float *state = random_row(part.queries * (part.head_dim + 2), 1);
    part.max = state;
    part.sum = part.max + part.queries;
    part.acc = part.sum + part.queries;
    attend_pages(made, made->attend, 0, 3);
    for (uint32_t begin = 1; begin < 3; begin++) {
        attend_pages(made, part, begin, 3);
        sl_attend_merge(&made->attend, &part);
    }
    sl_attend_end(&made->attend);
    free(state);
}

static void check_attention(struct attention c, void (*attend)(struct made *made))
{
    struct made made = make(c);
    const size_t count = c.queries * (size_t)c.head_dim;
    float *expected = random_row(count, 0);
    exact_attention(&made.attend, made.k, made.v, expected);
    attend(&made);
    expect_close("attention", sl_kernels()->name, c.head_dim, expected, made.attend.acc, count,
                 BUDGET);
    free(expected);
    drop(&made);
}

/* How far a case is from exact attention, RMS. */
static double rounding_of(struct attention c, void (*attend)(struct made *made))
{
    struct made made = make(c);
    const size_t count = c.queries * (size_t)c.head_dim;
    float *expected = random_row(count, 0);
    double squares = 0;
    exact_attention(&made.attend, made.k, made.v, expected);
    attend(&made);
    for (size_t i = 0; i < count; i++) {
        const double difference = (double)expected[i] - (double)made.attend.acc[i];
        ck_assert_msg(isfinite(difference), "%s: [%zu] is %g", sl_kernels()->name, i,
                      (double)made.attend.acc[i]);
        squares += difference * difference;
    }
    free(expected);
    drop(&made);
    return sqrt(squares / (double)count);
}

static void under_each_table(void (*check)(void))
{
    const char *names[8];
    size_t count = 0;
    for (const struct sl_kernels *const *table = sl_kernels_available(); *table != NULL; table++)
        names[count++] = (*table)->name;
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(sl_kernels_select(names[i], NULL), SL_OK);
        check();
    }
    ck_assert_int_eq(sl_kernels_select(NULL, NULL), SL_OK);
}

static void check_exact_cases(void)
{
    static const struct attention cases[] = {
        {64, 1, 1, SL_KV_FORMAT_F32, .softcap = 0},
        {64, 3, 100, SL_KV_FORMAT_F16, .softcap = 0},
        {64, 33, 131, SL_KV_FORMAT_F16, .is_causal = true},
        {8, 7, 70, SL_KV_FORMAT_F32, .is_causal = true},
        {96, 9, 65, SL_KV_FORMAT_F16, .is_causal = true},
        {32, 20, 90, SL_KV_FORMAT_Q8_0, .is_causal = true},
        {256, 6, 50, SL_KV_FORMAT_F16, .softcap = 5, .is_causal = true},
        {128, 2, 64, SL_KV_FORMAT_Q8_0, .softcap = 30},
        {80, 13, 97, SL_KV_FORMAT_F32, .softcap = 0},
        {64, 19, 131, SL_KV_FORMAT_F16, .softcap = 5, .may_round = true}, /* capped: not rounded */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int in_parts = 0; in_parts < 2; in_parts++)
            check_attention(cases[i], in_parts ? attend_in_parts : attend_in_pages);
}

START_TEST(attention_in_pages_and_in_parts_equals_exact_attention)
{
    under_each_table(check_exact_cases);
}
END_TEST

static void check_rounded_cases(void)
{
    static const struct attention cases[] = {
        {64, 33, 131, SL_KV_FORMAT_F16, .is_causal = true},
        {64, 56, 300, SL_KV_FORMAT_F16, .softcap = 0},
        {96, 9, 65, SL_KV_FORMAT_F16, .is_causal = true},
        {32, 20, 90, SL_KV_FORMAT_Q8_0, .is_causal = true},
        {128, 48, 97, SL_KV_FORMAT_F32, .softcap = 0},
        {512, 40, 70, SL_KV_FORMAT_F16, .is_causal = true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct attention c = cases[i];
        c.may_round = true;
        c.size = sqrtf(12 * 5 * 3 / sqrtf((float)c.head_dim)) / 2; /* scores of 3 */
        const double off = rounding_of(c, attend_in_pages), parts = rounding_of(c, attend_in_parts);
        ck_assert_msg(off <= ROUNDED && parts <= ROUNDED, "%s, case %zu: off by %g, in parts by %g",
                      sl_kernels()->name, i, off, parts);
    }
}

START_TEST(attention_that_may_round_stays_near_exact_attention)
{
    under_each_table(check_rounded_cases);
}
END_TEST

static void check_shared_part(void)
{
    const struct attention plain = {64, 48, 200, SL_KV_FORMAT_F32, .size = 2, .may_round = true};
    struct attention shifted = plain;
    shifted.shared = 100; /* a bfloat16 near 100 has steps of a half */
    const double without = rounding_of(plain, attend_in_pages);
    const double with = rounding_of(shifted, attend_in_pages);
    ck_assert_msg(with <= 1.5 * without + BUDGET, "%s: off by %g, without the shared part by %g",
                  sl_kernels()->name, with, without);
}

START_TEST(what_all_keys_share_does_not_make_rounding_worse)
{
    under_each_table(check_shared_part);
}
END_TEST

/* How far the answers of a query alone, and of all in parts, are from those of all at once. */
static void check_company(void)
{
    const struct attention c = {64, 19, 200, SL_KV_FORMAT_F16, .size = 2, .may_round = true};
    struct made together = make(c), alone = make(c), parts = make(c);
    attend_in_pages(&together);
    attend_in_parts(&parts);
    expect_close("parts of attention", sl_kernels()->name, c.head_dim, together.attend.acc,
                 parts.attend.acc, c.queries * (size_t)c.head_dim, BUDGET);
    for (uint32_t query = 0; query < c.queries; query++) {
        struct sl_attend one = alone.attend;
        one.queries = 1;
        one.q += query * one.q_stride;
        attend_pages(&alone, one, 0, 1);
        sl_attend_end(&one);
        expect_close("attention of one query", sl_kernels()->name, query,
                     together.attend.acc + query * c.head_dim, one.acc, c.head_dim, BUDGET);
    }
    drop(&together);
    drop(&alone);
    drop(&parts);
}

START_TEST(what_a_query_gets_does_not_depend_on_its_company)
{
    under_each_table(check_company);
}
END_TEST

static void check_blind_query(void)
{
    struct made made = make((struct attention){64, 16, 100, SL_KV_FORMAT_F16, .may_round = true});
    made.first[3] = made.end[3] = 0;
    attend_in_pages(&made);
    for (size_t i = 0; i < 16 * 64; i++)
        ck_assert_msg(i / 64 == 3 ? made.attend.acc[i] == 0 : isfinite(made.attend.acc[i]),
                      "%s: [%zu] is %g", sl_kernels()->name, i, (double)made.attend.acc[i]);
    drop(&made);
}

START_TEST(a_query_that_sees_nothing_gets_zeros)
{
    under_each_table(check_blind_query);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attention");
    TCase *tcase = tcase_create("attention");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, attention_in_pages_and_in_parts_equals_exact_attention);
    tcase_add_test(tcase, attention_that_may_round_stays_near_exact_attention);
    tcase_add_test(tcase, what_all_keys_share_does_not_make_rounding_worse);
    tcase_add_test(tcase, what_a_query_gets_does_not_depend_on_its_company);
    tcase_add_test(tcase, a_query_that_sees_nothing_gets_zeros);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
