/* SPDX-License-Identifier: Apache-2.0
 *
 * Two boxes with one real redis-server, on a socket in a scratch folder; skipped where there is no
 * redis-server.
 */
#include "cache_test.h"

#include "shared_url.h"

#include "sluice/clock.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

static pid_t server;
static char socket_path[96];

/* Waits until it listens; false where it could not be run. */
static bool run_server(void)
{
    char folder[96];
    snprintf(folder, sizeof folder, "%s", socket_path);
    *strrchr(folder, '/') = '\0';
    unlink(socket_path);
    server = fork();
    if (server == 0) {
        if (freopen("/dev/null", "w", stdout) != NULL)
            execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket_path,
                   "--save", "", "--dir", folder, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && access(socket_path, F_OK) != 0; i++) {
        if (waitpid(server, NULL, WNOHANG) == server)
            return false;
        usleep(10000);
    }
    return access(socket_path, F_OK) == 0;
}

static void start_server(void)
{
    snprintf(socket_path, sizeof socket_path, "%s/redis.sock", sl_test_scratch());
    if (!run_server())
        sl_test_skip("redis-server is not installed");
}

static void stop_server(void)
{
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

/* A box of its own: another store, the same key file. */
static struct sl_cache *open_box(const struct cache_place *place, const char *key_path)
{
    char url[128];
    struct sl_cache_config config = config_at(place);
    snprintf(url, sizeof url, "unix://%s", socket_path);
    config.key_path = key_path;
    config.redis_url = url;
    config.redis_timeout_ms = 500;
    return open_with(&config);
}

static enum sl_cache_outcome get_shared(struct sl_cache *cache, uint64_t number,
                                        struct sl_cache_entry *entry)
{
    struct sl_cache_key key = key_of(cache, number);
    struct sl_cache_want want = {.now_s = NOW, .max_age_s = SL_CACHE_ANY_AGE};
    return sl_cache_get_shared(cache, &key, &want, entry);
}

/* Waits for what another box sent on its way. */
static bool arrives(struct sl_cache *cache, uint64_t number, const char *body)
{
    for (int i = 0; i < 1000; i++) {
        struct sl_cache_entry entry;
        bool is_hit = get_shared(cache, number, &entry) == SL_CACHE_HIT;
        bool is_right = is_hit && sl_slice_equal_text(entry.body, body);
        sl_cache_entry_clear(&entry);
        if (is_hit)
            return is_right;
        usleep(10000);
    }
    return false;
}

START_TEST(an_answer_paid_for_by_one_box_is_a_hit_at_the_other)
{
    struct cache_place places[2] = {new_place(), new_place()};
    start_server();
    struct sl_cache *one = open_box(&places[0], places[0].key_path);
    struct sl_cache *two = open_box(&places[1], places[0].key_path);
    put_text(one, 1, "planted-answer");
    assert_get(two, 1, NULL);
    ck_assert(arrives(two, 1, "planted-answer"));
    assert_get(two, 1, "planted-answer"); /* kept on this box, too */
    char command[256];
    snprintf(command, sizeof command,
             "redis-cli -s %s --no-raw KEYS '*' | grep -c slc1 >/dev/null &&"
             " ! redis-cli -s %s EVAL \"return redis.call('GET', redis.call('KEYS','*')[1])\" 0"
             " | grep -q planted",
             socket_path, socket_path);
    ck_assert_int_eq(system(command), 0);
    sl_cache_close(one);
    sl_cache_close(two);
    stop_server();
}
END_TEST

START_TEST(a_box_with_another_key_file_gets_nothing)
{
    struct cache_place places[2] = {new_place(), new_place()};
    start_server();
    struct sl_cache *one = open_box(&places[0], places[0].key_path);
    struct sl_cache *two = open_box(&places[1], places[1].key_path);
    struct sl_cache_entry entry;
    put_text(one, 1, "x");
    ck_assert(arrives(one, 1, "x"));
    ck_assert_int_eq(get_shared(two, 1, &entry), SL_CACHE_MISS);
    sl_cache_close(one);
    sl_cache_close(two);
    stop_server();
}
END_TEST

START_TEST(a_purge_reaches_the_second_level)
{
    struct cache_place places[2] = {new_place(), new_place()};
    start_server();
    struct sl_cache *one = open_box(&places[0], places[0].key_path);
    struct sl_cache *two = open_box(&places[1], places[0].key_path);
    put_text(one, 1, "x");
    put_text(one, 2, "y");
    ck_assert(arrives(one, 2, "y"));
    uint64_t purged;
    struct sl_cache_key key = key_of(one, 1);
    struct sl_cache_filter filter = {.key = &key};
    ck_assert_int_eq(sl_cache_purge(one, &filter, &purged, NULL), SL_OK);
    struct sl_cache_entry entry;
    ck_assert_int_eq(get_shared(two, 1, &entry), SL_CACHE_MISS);
    ck_assert(arrives(two, 2, "y"));
    sl_cache_close(one);
    sl_cache_close(two);
    stop_server();
}
END_TEST

START_TEST(a_server_that_dies_and_returns_loses_no_request)
{
    struct cache_place place = new_place();
    start_server();
    struct sl_cache *cache = open_box(&place, place.key_path);
    struct sl_cache_entry entry;
    put_text(cache, 1, "x");
    ck_assert(arrives(cache, 1, "x"));
    stop_server();
    uint64_t start_ms = sl_monotonic_ms();
    for (uint64_t i = 10; i < 200; i++) {
        ck_assert_int_eq(get_shared(cache, i, &entry), SL_CACHE_MISS);
        ck_assert(put_text(cache, i, "y"));
        assert_get(cache, i, "y");
    }
    ck_assert_uint_lt(sl_monotonic_ms() - start_ms, 5000); /* nobody waited for timeouts in turn */
    ck_assert(!sl_cache_has_shared(cache));
    assert_state(cache, "on");
    ck_assert(run_server());
    for (int i = 0; i < 1000 && !sl_cache_has_shared(cache); i++)
        usleep(10000);
    put_text(cache, 300, "again");
    ck_assert(arrives(cache, 300, "again"));
    sl_cache_close(cache);
    stop_server();
}
END_TEST

struct load {
    struct sl_cache *cache;
    atomic_bool is_over;
    atomic_uint requests;
    atomic_uint wrong;
};

static void *ask_and_store(void *context)
{
    struct load *load = context;
    for (uint64_t i = 0; !atomic_load(&load->is_over); i++) {
        char body[32];
        struct sl_cache_entry entry;
        uint64_t number = i % 40;
        snprintf(body, sizeof body, "answer %u", (unsigned)number);
        if (get_at(load->cache, number, NOW, &entry) == SL_CACHE_MISS &&
            sl_cache_has_shared(load->cache))
            get_shared(load->cache, number, &entry);
        if (entry.body.len > 0 && !sl_slice_equal_text(entry.body, body))
            atomic_fetch_add(&load->wrong, 1);
        sl_cache_entry_clear(&entry);
        put_text(load->cache, number, body);
        atomic_fetch_add(&load->requests, 1);
    }
    return NULL;
}

/* Waits until the load has gone on for `count` more requests. */
static void let_run(struct load *load, unsigned count)
{
    unsigned until = atomic_load(&load->requests) + count;
    while (atomic_load(&load->requests) < until)
        usleep(1000);
}

START_TEST(a_server_killed_and_restarted_under_load_disturbs_nobody)
{
    struct cache_place place = new_place();
    pthread_t threads[3];
    start_server();
    struct load load = {.cache = open_box(&place, place.key_path)};
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, ask_and_store, &load);
    for (int round = 0; round < 3; round++) {
        let_run(&load, 300);
        stop_server();
        let_run(&load, 300);
        ck_assert(run_server());
    }
    let_run(&load, 300);
    atomic_store(&load.is_over, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(load.wrong, 0);
    assert_state(load.cache, "on");
    sl_cache_close(load.cache);
    stop_server();
}
END_TEST

START_TEST(addresses_are_understood_or_refused_without_being_cited)
{
    static const char *const bad[] = {"",
                                      "redis://",
                                      "http://x",
                                      "redis://h:0",
                                      "redis://h:99999",
                                      "redis://h:port",
                                      "unix://relative",
                                      "redis://secret@h",
                                      "redis://u:%zz@h",
                                      "redis://h/12345",
                                      "redis://[::1"};
    struct shared_url url;
    struct sl_error error = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(shared_url_parse(bad[i], &url, &error) == SL_ERR_INVALID, "%s", bad[i]);
        ck_assert_ptr_null(strstr(error.message, "secret"));
    }
    ck_assert_int_eq(shared_url_parse("redis://u:p%40ss@box.lan:7000/3", &url, &error), SL_OK);
    ck_assert_str_eq(url.user, "u");
    ck_assert_str_eq(url.password, "p@ss");
    ck_assert_str_eq(url.host, "box.lan");
    ck_assert_int_eq(url.port, 7000);
    ck_assert_int_eq(url.database, 3);
    ck_assert_int_eq(shared_url_parse("redis://:pw@h", &url, &error), SL_OK);
    ck_assert_str_eq(url.password, "pw");
    ck_assert_int_eq(url.port, 6379);
    ck_assert_int_eq(shared_url_parse("redis://[::1]:6380", &url, &error), SL_OK);
    ck_assert_str_eq(url.host, "::1");
    ck_assert_int_eq(shared_url_parse("unix:///run/redis.sock", &url, &error), SL_OK);
    ck_assert_str_eq(url.host, "/run/redis.sock");
    ck_assert_int_eq(url.port, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shared");
    TCase *tcase = tcase_create("shared");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, an_answer_paid_for_by_one_box_is_a_hit_at_the_other);
    tcase_add_test(tcase, a_box_with_another_key_file_gets_nothing);
    tcase_add_test(tcase, a_purge_reaches_the_second_level);
    tcase_add_test(tcase, a_server_that_dies_and_returns_loses_no_request);
    tcase_add_test(tcase, a_server_killed_and_restarted_under_load_disturbs_nobody);
    tcase_add_test(tcase, addresses_are_understood_or_refused_without_being_cited);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
