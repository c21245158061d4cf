/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/arena.h"
#include "test_support.h"

#include <stdalign.h>
#include <stdint.h>

START_TEST(allocations_are_aligned_apart_and_stay_where_they_are)
{
    struct sl_arena *arena = sl_arena_create(1 << 20);
    char *parts[500];
    for (size_t i = 0; i < 500; i++) {
        parts[i] = sl_arena_alloc(arena, i % 97 + 1);
        ck_assert_ptr_nonnull(parts[i]);
        ck_assert_uint_eq((uintptr_t)parts[i] % alignof(max_align_t), 0);
        memset(parts[i], (int)(i % 251), i % 97 + 1);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t k = 0; k < i % 97 + 1; k++)
            ck_assert_int_eq((unsigned char)parts[i][k], (int)(i % 251));
    sl_arena_free(arena);
}
END_TEST

START_TEST(the_cap_holds_for_the_sum_and_leaves_the_arena_usable)
{
    struct sl_arena *arena = sl_arena_create(1000);
    ck_assert_ptr_nonnull(sl_arena_alloc(arena, 900));
    ck_assert_ptr_null(sl_arena_alloc(arena, 200));
    ck_assert_ptr_nonnull(sl_arena_alloc(arena, 50));
    ck_assert_uint_le(sl_arena_used_bytes(arena), 1000);
    sl_arena_free(arena);
}
END_TEST

START_TEST(sizes_that_overflow_are_refused)
{
    struct sl_arena *arena = sl_arena_create(SIZE_MAX);
    ck_assert_ptr_null(sl_arena_alloc(arena, SIZE_MAX));
    ck_assert_ptr_null(sl_arena_zalloc(arena, SIZE_MAX / 2, 3));
    ck_assert_ptr_null(sl_arena_dup(arena, (struct sl_slice){"x", SIZE_MAX}));
    sl_arena_free(arena);
}
END_TEST

START_TEST(zalloc_zeroes_and_dup_adds_the_end)
{
    struct sl_arena *arena = sl_arena_create_wiped(1 << 16);
    memset(sl_arena_alloc(arena, 100), 0xFF, 100);
    const unsigned char *zeroed = sl_arena_zalloc(arena, 10, 10);
    for (size_t i = 0; i < 100; i++)
        ck_assert_int_eq(zeroed[i], 0);
    ck_assert_str_eq(sl_arena_dup(arena, (struct sl_slice){"word and more", 4}), "word");
    ck_assert_str_eq(sl_arena_dup(arena, (struct sl_slice){NULL, 0}), "");
    ck_assert_ptr_nonnull(sl_arena_alloc(arena, 0));
    sl_arena_free(arena);
    sl_arena_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *tcase = tcase_create("arena");
    tcase_add_test(tcase, allocations_are_aligned_apart_and_stay_where_they_are);
    tcase_add_test(tcase, the_cap_holds_for_the_sum_and_leaves_the_arena_usable);
    tcase_add_test(tcase, sizes_that_overflow_are_refused);
    tcase_add_test(tcase, zalloc_zeroes_and_dup_adds_the_end);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
