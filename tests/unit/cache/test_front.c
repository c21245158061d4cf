/* SPDX-License-Identifier: Apache-2.0 */
#include "test_support.h"

#include "front.h"
#include "keyring.h"

#include <stdlib.h>
#include <string.h>

static struct keyring *keyring;

static void open_keys(void)
{
    ck_assert_int_eq(keyring_open(NULL, &keyring, NULL), SL_OK);
}
static void free_keys(void)
{
    keyring_free(keyring);
}

/* Byte 31 picks the shard: all keys of these tests lie in one unless they say otherwise. */
static struct sl_cache_key key_of(unsigned number)
{
    struct sl_cache_key key = {{0}};
    memcpy(key.bytes, &number, sizeof number);
    return key;
}

static struct record *record_of(unsigned number, size_t body_len)
{
    char *body = calloc(1, body_len + 1);
    struct sl_cache_key key = key_of(number);
    struct sl_cache_meta meta = {.kind = SL_CACHE_LOCAL};
    struct record *record =
        record_create(keyring, &key, &meta, (struct sl_slice){body, body_len}, 1, 2);
    ck_assert_ptr_nonnull(record);
    free(body);
    return record;
}

static void put(struct front *front, unsigned number, size_t body_len)
{
    struct record *record = record_of(number, body_len);
    front_put(front, record);
    record_release(record);
}

static bool has(struct front *front, unsigned number)
{
    struct sl_cache_key key = key_of(number);
    struct record *record = front_get(front, &key);
    bool is_there = record != NULL;
    record_release(record);
    return is_there;
}

START_TEST(what_was_used_least_recently_leaves_first_and_bytes_stay_bounded)
{
    struct front *front = front_create(16 * 10000); /* 10,000 bytes a shard */
    for (unsigned i = 0; i < 8; i++)
        put(front, i, 500);
    ck_assert(has(front, 0)); /* now the most recent */
    for (unsigned i = 8; i < 14; i++)
        put(front, i, 500);
    ck_assert(has(front, 0) && has(front, 13));
    ck_assert(!has(front, 1) && !has(front, 2));
    ck_assert_uint_le(front_bytes(front), 10000);
    front_free(front);
}
END_TEST

START_TEST(a_record_larger_than_its_shard_is_not_kept)
{
    struct front *front = front_create(16 * 1000);
    put(front, 1, 100);
    put(front, 2, 1000);
    ck_assert(has(front, 1) && !has(front, 2));
    put(front, 1, 1000); /* the older answer of that key goes all the same */
    ck_assert(!has(front, 1));
    ck_assert_uint_eq(front_bytes(front), 0);
    front_free(front);
}
END_TEST

START_TEST(a_slow_reader_does_not_bring_back_what_was_removed_or_replaced)
{
    struct front *front = front_create(1 << 20);
    struct sl_cache_key key = key_of(1);
    struct record *old = record_of(1, 10);
    uint64_t ticket = front_ticket(front, &key);
    front_remove(front, NULL, NULL); /* a purge */
    front_fill(front, old, ticket);
    ck_assert(!has(front, 1));
    ticket = front_ticket(front, &key);
    put(front, 1, 99);
    front_fill(front, old, ticket);
    struct record *now = front_get(front, &key);
    ck_assert_uint_eq(now->body.len, 99);
    record_release(now);
    ticket = front_ticket(front, &key);
    front_remove(front, NULL, NULL);
    ticket = front_ticket(front, &key);
    front_fill(front, old, ticket); /* undisturbed */
    ck_assert(has(front, 1));
    record_release(old);
    front_free(front);
}
END_TEST

static bool is_odd(const struct record *record, const void *context)
{
    (void)context;
    return record->label.key.bytes[0] % 2 == 1;
}

START_TEST(removing_takes_what_matches_and_a_borrowed_record_lives_on)
{
    struct front *front = front_create(1 << 22);
    for (unsigned i = 0; i < 200; i++) /* the table grows on the way */
        put(front, i, 20);
    struct sl_cache_key key = key_of(7);
    struct record *held = front_get(front, &key);
    front_remove(front, is_odd, NULL);
    for (unsigned i = 0; i < 200; i++)
        ck_assert(has(front, i) == (i % 2 == 0));
    ck_assert_uint_eq(held->body.len, 20);
    record_release(held);
    front_free(front);
    front_free(NULL);
}
END_TEST

START_TEST(a_front_of_no_bytes_holds_nothing)
{
    struct front *front = front_create(0);
    put(front, 1, 1);
    ck_assert(!has(front, 1));
    front_free(front);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("front");
    TCase *tcase = tcase_create("front");
    tcase_add_checked_fixture(tcase, open_keys, free_keys);
    tcase_add_test(tcase, what_was_used_least_recently_leaves_first_and_bytes_stay_bounded);
    tcase_add_test(tcase, a_record_larger_than_its_shard_is_not_kept);
    tcase_add_test(tcase, a_slow_reader_does_not_bring_back_what_was_removed_or_replaced);
    tcase_add_test(tcase, removing_takes_what_matches_and_a_borrowed_record_lives_on);
    tcase_add_test(tcase, a_front_of_no_bytes_holds_nothing);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
