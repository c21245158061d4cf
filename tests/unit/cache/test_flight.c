/* SPDX-License-Identifier: Apache-2.0 */
#include "cache_test.h"

#include "sluice/clock.h"

#include <pthread.h>
#include <stdatomic.h>

#define FOLLOWERS 8
#define PATIENCE_MS 10000 /* only a failing test waits so long */

static struct sl_cache *open_memory(void)
{
    struct sl_cache_config config;
    sl_cache_config_init(&config);
    return open_with(&config);
}

struct crowd {
    struct sl_cache *cache;
    struct sl_cache_key key;
    atomic_uint waiting;
    atomic_uint served;
    atomic_uint led;
    bool is_leader_failing;
};

/* One request: leads or waits, and begins again when its leader failed. */
static void *request(void *context)
{
    struct crowd *crowd = context;
    struct sl_cache_flight *flight;
    struct sl_cache_meta meta = {.kind = SL_CACHE_CLOUD};
    for (;;) {
        enum sl_cache_role role = sl_cache_flight_begin(crowd->cache, &crowd->key, &flight);
        if (role == SL_CACHE_LEADER) {
            atomic_fetch_add(&crowd->led, 1);
            sl_cache_flight_publish(flight, &meta, SL_SLICE("second try"), NOW);
            sl_cache_flight_end(flight, role);
            return NULL;
        }
        struct sl_cache_entry entry;
        atomic_fetch_add(&crowd->waiting, 1);
        enum sl_cache_landing landing =
            sl_cache_flight_wait(flight, sl_monotonic_ms() + PATIENCE_MS, &entry);
        bool is_served = landing == SL_CACHE_LANDED && entry.body.len > 0;
        atomic_fetch_add(&crowd->served, is_served);
        sl_cache_entry_clear(&entry);
        sl_cache_flight_end(flight, role);
        if (landing != SL_CACHE_LEADER_GONE)
            return NULL;
    }
}

static void run_crowd(bool is_leader_failing, struct crowd *crowd)
{
    pthread_t threads[FOLLOWERS];
    struct sl_cache_flight *flight;
    struct sl_cache_meta meta = {.kind = SL_CACHE_CLOUD, .model = SL_SLICE("gpt")};
    crowd->cache = open_memory();
    crowd->key = key_of(crowd->cache, 1);
    ck_assert_int_eq(sl_cache_flight_begin(crowd->cache, &crowd->key, &flight), SL_CACHE_LEADER);
    for (int i = 0; i < FOLLOWERS; i++)
        pthread_create(&threads[i], NULL, request, crowd);
    while (atomic_load(&crowd->waiting) < FOLLOWERS)
        sched_yield();
    if (!is_leader_failing)
        sl_cache_flight_publish(flight, &meta, SL_SLICE("the answer"), NOW);
    sl_cache_flight_end(flight, SL_CACHE_LEADER);
    for (int i = 0; i < FOLLOWERS; i++)
        pthread_join(threads[i], NULL);
    sl_cache_close(crowd->cache);
}

START_TEST(all_followers_get_the_leaders_answer)
{
    struct crowd crowd = {0};
    run_crowd(false, &crowd);
    ck_assert_uint_eq(crowd.served, FOLLOWERS);
    ck_assert_uint_eq(crowd.led, 0);
}
END_TEST

START_TEST(when_the_leader_fails_one_follower_leads_and_nobody_is_lost)
{
    struct crowd crowd = {0};
    run_crowd(true, &crowd);
    ck_assert_uint_ge(crowd.led, 1);
    ck_assert_uint_eq(crowd.led + crowd.served, FOLLOWERS);
}
END_TEST

START_TEST(other_keys_fly_alone_and_a_landed_key_starts_anew)
{
    struct sl_cache *cache = open_memory();
    struct sl_cache_key keys[2] = {key_of(cache, 1), key_of(cache, 2)};
    struct sl_cache_flight *flights[3];
    struct sl_cache_meta meta = {.kind = SL_CACHE_LOCAL};
    ck_assert_int_eq(sl_cache_flight_begin(cache, &keys[0], &flights[0]), SL_CACHE_LEADER);
    ck_assert_int_eq(sl_cache_flight_begin(cache, &keys[1], &flights[1]), SL_CACHE_LEADER);
    sl_cache_flight_publish(flights[0], &meta, SL_SLICE("x"), NOW);
    ck_assert_int_eq(sl_cache_flight_begin(cache, &keys[0], &flights[2]), SL_CACHE_LEADER);
    for (int i = 0; i < 3; i++)
        sl_cache_flight_end(flights[i], SL_CACHE_LEADER);
    sl_cache_close(cache);
}
END_TEST

START_TEST(a_follower_stops_waiting_at_its_deadline_and_may_wait_again)
{
    struct sl_cache *cache = open_memory();
    struct sl_cache_key key = key_of(cache, 1);
    struct sl_cache_flight *leader;
    struct sl_cache_flight *follower;
    struct sl_cache_entry entry;
    struct sl_cache_meta meta = {.kind = SL_CACHE_LOCAL};
    ck_assert_int_eq(sl_cache_flight_begin(cache, &key, &leader), SL_CACHE_LEADER);
    ck_assert_int_eq(sl_cache_flight_begin(cache, &key, &follower), SL_CACHE_FOLLOWER);
    ck_assert_int_eq(sl_cache_flight_wait(follower, sl_monotonic_ms(), &entry),
                     SL_CACHE_WAIT_TIMEOUT);
    sl_cache_flight_publish(leader, &meta, SL_SLICE("late"), NOW);
    ck_assert_int_eq(sl_cache_flight_wait(follower, sl_monotonic_ms(), &entry), SL_CACHE_LANDED);
    ck_assert(sl_slice_equal_text(entry.body, "late"));
    sl_cache_flight_end(leader, SL_CACHE_LEADER);
    sl_cache_flight_end(follower, SL_CACHE_FOLLOWER);
    ck_assert(sl_slice_equal_text(entry.body, "late")); /* the entry outlives the flight */
    sl_cache_entry_clear(&entry);
    sl_cache_close(cache);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("flight");
    TCase *tcase = tcase_create("flight");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, all_followers_get_the_leaders_answer);
    tcase_add_test(tcase, when_the_leader_fails_one_follower_leads_and_nobody_is_lost);
    tcase_add_test(tcase, other_keys_fly_alone_and_a_landed_key_starts_anew);
    tcase_add_test(tcase, a_follower_stops_waiting_at_its_deadline_and_may_wait_again);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
