/* SPDX-License-Identifier: Apache-2.0
 *
 * The policy store with many readers while the file changes: each snapshot is whole, stays as it
 * was for whoever holds it, and is freed by the last. Meant for ThreadSanitizer (preset tsan) and
 * ASan.
 */
#include "sluice/policy.h"

#include "sluice/log.h"
#include "test_support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define READERS 4
#define RELOADS 200

static struct sl_policy_store *store;
static char path[600];
static atomic_bool is_over;
static atomic_uint changes;

/* Version N has a threshold of N / 1000 and the number in two names: a mixture would show. */
static void write_version(unsigned version)
{
    char next[620];
    snprintf(next, sizeof next, "%s.new", path);
    FILE *file = fopen(next, "w");
    fprintf(file,
            "{\"providers\":{\"p%u\":{\"kind\":\"openai\",\"base_url\":\"https://127.0.0.1:1/v1\","
            "\"model\":\"m\"}},\"defaults\":{\"threshold\":%u.%03u},"
            "\"routes\":[{\"name\":\"r%u\"}]}\n",
            version, version / 1000, version % 1000, version);
    fclose(file);
    ck_assert_int_eq(rename(next, path), 0);
}

static unsigned version_of(const struct sl_policy *policy)
{
    const struct sl_route *route = sl_policy_route(policy, 0);
    unsigned by_route, by_provider;
    ck_assert_int_eq(sscanf(route->name, "r%u", &by_route), 1);
    ck_assert_int_eq(sscanf(sl_policy_providers(policy)[0].name, "p%u", &by_provider), 1);
    ck_assert_uint_eq(by_route, by_provider);
    ck_assert_double_eq_tol(route->threshold, by_route / 1000.0, 1e-9);
    ck_assert_str_eq(route->cloud.targets[0].provider->name, sl_policy_providers(policy)[0].name);
    return by_route;
}

static void *read_on(void *ctx)
{
    (void)ctx;
    const struct sl_policy *held = sl_policy_store_acquire(store);
    unsigned held_version = version_of(held), newest = held_version;
    while (!atomic_load(&is_over)) {
        const struct sl_policy *now = sl_policy_store_acquire(store);
        struct sl_route terms;
        sl_route_resolve(sl_policy_route(now, 0), NULL, &terms);
        unsigned version = version_of(now);
        ck_assert_uint_ge(version, newest); /* never an older one again */
        newest = version;
        sl_policy_release(now);
        ck_assert_uint_eq(version_of(held), held_version);
    }
    sl_policy_release(held);
    return NULL;
}

static void note_change(void *ctx, const struct sl_policy *policy)
{
    version_of(policy);
    atomic_fetch_add((atomic_uint *)ctx, 1);
}

static void open_store(void)
{
    struct sl_error error = {0};
    sl_log_configure(STDERR_FILENO, SL_LOG_LEVEL_ERROR, false);
    snprintf(path, sizeof path, "%s/policy.json", sl_test_scratch());
    write_version(1);
    ck_assert_msg(sl_policy_store_open(path, &store, &error) == SL_OK, "%s", error.message);
    sl_policy_store_on_change(store, note_change, &changes);
    ck_assert_int_eq(sl_policy_store_start(store, &error), SL_OK);
}

START_TEST(readers_hold_whole_snapshots_while_the_file_changes)
{
    pthread_t readers[READERS];
    struct sl_error error = {0};
    open_store();
    for (size_t i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_on, NULL), 0);
    for (unsigned version = 2; version <= RELOADS; version++) {
        write_version(version); /* the watcher sees it too, and may be first */
        ck_assert_msg(sl_policy_store_reload(store, &error) == SL_OK, "%s", error.message);
    }
    atomic_store(&is_over, true);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    const struct sl_policy *last = sl_policy_store_acquire(store);
    ck_assert_uint_eq(version_of(last), RELOADS);
    sl_policy_store_close(store);
    ck_assert_uint_eq(version_of(last), RELOADS); /* outlives its store */
    sl_policy_release(last);
    ck_assert_uint_gt(atomic_load(&changes), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy_store");
    TCase *tcase = tcase_create("policy_store");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, readers_hold_whole_snapshots_while_the_file_changes);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
