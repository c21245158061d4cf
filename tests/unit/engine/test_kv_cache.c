/* SPDX-License-Identifier: Apache-2.0 */
#include "kv_cache.h"
#include "test_support.h"

#include <math.h>
#include <stdlib.h>

#define CONTEXT 256
#define PAGES (CONTEXT / SL_KV_PAGE_TOKENS)
#define HEADS 2
#define DIM 4
#define LAYERS 2

static int32_t ids[CONTEXT];
static float scores[CONTEXT];

static struct sl_kv_cache *create(uint64_t bytes_max)
{
    const struct sl_kv_config config = {.layers = LAYERS,
                                        .heads = HEADS,
                                        .head_dim = DIM,
                                        .format = SL_KV_FORMAT_F32,
                                        .context_tokens = CONTEXT,
                                        .bytes_max = bytes_max};
    struct sl_kv_cache *cache;
    struct sl_error error = {0};
    ck_assert_int_eq(sl_kv_create(&config, &cache, &error), SL_OK);
    for (int32_t idx = 0; idx < CONTEXT; idx++) {
        ids[idx] = idx * 7 + 1;
        scores[idx] = -(float)idx;
    }
    return cache;
}

/* A sequence as the scheduler runs it. */
struct run {
    struct sl_kv_sequence sequence;
    uint32_t pages[PAGES];
    uint32_t tokens;
};

static uint32_t begin(struct sl_kv_cache *cache, struct run *run, uint32_t limit,
                      uint32_t scored_begin, uint32_t scored_end)
{
    ck_assert(sl_kv_reserve(cache, PAGES));
    sl_kv_begin(&run->sequence, run->pages, PAGES);
    run->tokens = sl_kv_match(cache, &run->sequence, ids, scores, limit, scored_begin, scored_end);
    return run->tokens;
}

static float *row(struct sl_kv_cache *cache, const struct run *run, uint32_t position,
                  uint32_t layer, bool is_value, uint32_t head)
{
    uint8_t *block = sl_kv_block(cache, run->sequence.pages[position / SL_KV_PAGE_TOKENS], layer,
                                 is_value, head);
    return (float *)(void *)(block + position % SL_KV_PAGE_TOKENS * sl_kv_row_bytes(cache));
}

static float mark(uint32_t position, uint32_t layer, bool is_value, uint32_t head)
{
    return (float)(ids[position] * 100 + (int32_t)(layer * 10 + is_value * 5 + head));
}

/* Writes rows that say what they stand for, up to `tokens`. */
static void fill(struct sl_kv_cache *cache, struct run *run, uint32_t tokens)
{
    sl_kv_extend(cache, &run->sequence, tokens);
    for (uint32_t position = run->tokens; position < tokens; position++)
        for (uint32_t at = 0; at < LAYERS * 2 * HEADS; at++)
            *row(cache, run, position, at / 4, at / 2 % 2, at % 2) =
                mark(position, at / 4, at / 2 % 2, at % 2);
    run->tokens = tokens;
    sl_kv_commit(cache, &run->sequence, ids, scores, tokens);
}

static void check(struct sl_kv_cache *cache, const struct run *run)
{
    for (uint32_t position = 0; position < run->tokens; position++)
        for (uint32_t at = 0; at < LAYERS * 2 * HEADS; at++)
            ck_assert_float_eq(*row(cache, run, position, at / 4, at / 2 % 2, at % 2),
                               mark(position, at / 4, at / 2 % 2, at % 2));
}

static void end(struct sl_kv_cache *cache, struct run *run)
{
    sl_kv_end(cache, &run->sequence, ids, scores, run->tokens);
    sl_kv_release(cache, PAGES);
}

START_TEST(a_prompt_seen_before_is_taken_over_to_the_token)
{
    struct sl_kv_cache *cache = create(1 << 20);
    struct run first;
    ck_assert_uint_eq(begin(cache, &first, 99, 1, 1), 0);
    fill(cache, &first, 100);
    end(cache, &first);
    struct run second;
    ck_assert_uint_eq(begin(cache, &second, 99, 1, 1), 99);
    check(cache, &second);
    fill(cache, &second, 120);
    check(cache, &second);
    end(cache, &second);
    sl_kv_free(cache);
}
END_TEST

START_TEST(prompts_that_part_share_their_beginning_and_do_not_disturb_each_other)
{
    struct sl_kv_cache *cache = create(1 << 20);
    struct run first;
    begin(cache, &first, 79, 1, 1);
    fill(cache, &first, 80);
    ids[70] = 5555; /* the second parts inside a page */
    struct run second;
    const uint64_t used = sl_kv_used_bytes(cache);
    ck_assert_uint_eq(begin(cache, &second, 79, 1, 1), 64); /* two full pages of a running one */
    fill(cache, &second, 80);
    ck_assert_uint_lt(sl_kv_used_bytes(cache), 2 * used);
    check(cache, &second);
    ids[70] = 70 * 7 + 1;
    check(cache, &first);
    end(cache, &first);
    ids[70] = 5555;
    check(cache, &second);
    end(cache, &second);
    struct run third;
    ck_assert_uint_eq(begin(cache, &third, 79, 1, 1), 79);
    check(cache, &third);
    end(cache, &third);
    ids[70] = 6666;
    ck_assert_uint_eq(begin(cache, &third, 79, 1, 1), 70);
    check(cache, &third);
    end(cache, &third);
    sl_kv_free(cache);
}
END_TEST

START_TEST(two_sequences_that_compute_the_same_end_up_with_one_page)
{
    struct sl_kv_cache *cache = create(1 << 20);
    struct run first;
    struct run second;
    begin(cache, &first, 63, 1, 1);
    begin(cache, &second, 63, 1, 1);
    fill(cache, &first, 64);
    fill(cache, &second, 64);
    ck_assert_uint_eq(first.sequence.pages[1], second.sequence.pages[1]);
    check(cache, &second);
    end(cache, &first);
    check(cache, &second);
    end(cache, &second);
    sl_kv_free(cache);
}
END_TEST

START_TEST(a_scored_token_always_gets_its_score)
{
    struct sl_kv_cache *cache = create(1 << 20);
    struct run first;
    begin(cache, &first, 99, 1, 1);
    for (uint32_t idx = 0; idx < CONTEXT; idx++)
        scores[idx] = idx >= 90 ? -(float)idx : NAN; /* only the end was scored */
    fill(cache, &first, 100);
    end(cache, &first);
    for (uint32_t idx = 0; idx < CONTEXT; idx++)
        scores[idx] = NAN;
    struct run second;
    /* All of [95, 100) is known but 99, which is not taken over: its position 98 runs again. */
    ck_assert_uint_eq(begin(cache, &second, 99, 95, 100), 98);
    ck_assert_float_eq(scores[97], -97);
    fill(cache, &second, 100);
    end(cache, &second);
    /* 80 has no score: position 79 must run. */
    ck_assert_uint_eq(begin(cache, &second, 99, 80, 100), 79);
    fill(cache, &second, 100);
    end(cache, &second);
    sl_kv_free(cache);
}
END_TEST

START_TEST(the_least_recently_used_leaf_makes_room)
{
    struct sl_kv_cache *cache = create(1); /* room for one context only */
    ck_assert_uint_eq(sl_kv_pages_total(cache), PAGES);
    struct run run;
    for (int32_t round = 0; round < 20; round++) {
        ids[0] = 10000 + round; /* never a common prefix */
        begin(cache, &run, CONTEXT - 1, 1, 1);
        fill(cache, &run, 100);
        check(cache, &run);
        end(cache, &run);
    }
    ck_assert_uint_eq(begin(cache, &run, 99, 1, 1), 99); /* the last one is still there */
    end(cache, &run);
    ids[0] = 10000;
    ck_assert_uint_eq(begin(cache, &run, 99, 1, 1), 0); /* the first one is not */
    fill(cache, &run, CONTEXT);                         /* as large as the cache */
    check(cache, &run);
    end(cache, &run);
    ck_assert_uint_eq(begin(cache, &run, CONTEXT - 1, 1, 1), CONTEXT - SL_KV_PAGE_TOKENS);
    fill(cache, &run, CONTEXT);
    check(cache, &run);
    end(cache, &run);
    sl_kv_free(cache);
}
END_TEST

START_TEST(reservations_keep_to_the_budget)
{
    struct sl_kv_cache *cache = create(1);
    ck_assert(sl_kv_reserve(cache, PAGES - 1));
    ck_assert(!sl_kv_reserve(cache, 2));
    ck_assert(sl_kv_reserve(cache, 1));
    sl_kv_release(cache, PAGES);
    ck_assert(sl_kv_reserve(cache, PAGES));
    sl_kv_release(cache, PAGES);
    sl_kv_free(cache);
}
END_TEST

START_TEST(many_prompts_leave_no_page_behind)
{
    struct sl_kv_cache *cache = create(64 << 10);
    uint32_t state = 1;
    struct run runs[2];
    for (uint32_t round = 0; round < 500; round++) {
        struct run *run = &runs[round % 2];
        if (round >= 2)
            end(cache, run);
        for (uint32_t idx = 0; idx < CONTEXT; idx++) { /* few different tokens: many prefixes */
            state = state * 1664525 + 1013904223;
            ids[idx] = (int32_t)(state >> 31) + 1;
        }
        const uint32_t length = 1 + (state >> 8) % (CONTEXT - 1);
        begin(cache, run, length - 1, 1, 1);
        fill(cache, run, length);
        check(cache, run);
        memset(run->pages + run->sequence.page_count, 0xff, 4);
        /* `ids` change before the end: end with nothing to keep but what is committed */
        run->tokens = 0;
    }
    end(cache, &runs[0]);
    end(cache, &runs[1]);
    ck_assert_uint_le(sl_kv_retained_pages(cache), sl_kv_pages_total(cache));
    ck_assert_uint_eq(sl_kv_used_bytes(cache) % 4096, 0);
    sl_kv_free(cache);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv_cache");
    TCase *tcase = tcase_create("kv_cache");
    tcase_add_test(tcase, a_prompt_seen_before_is_taken_over_to_the_token);
    tcase_add_test(tcase, prompts_that_part_share_their_beginning_and_do_not_disturb_each_other);
    tcase_add_test(tcase, two_sequences_that_compute_the_same_end_up_with_one_page);
    tcase_add_test(tcase, a_scored_token_always_gets_its_score);
    tcase_add_test(tcase, the_least_recently_used_leaf_makes_room);
    tcase_add_test(tcase, reservations_keep_to_the_budget);
    tcase_add_test(tcase, many_prompts_leave_no_page_behind);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
