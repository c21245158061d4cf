/* SPDX-License-Identifier: Apache-2.0
 *
 * A store that can't be used: the cache turns itself off and says why; nothing crashes and nothing
 * wrong is served. Full disk and I/O errors come from a VFS of SQLite that fails on demand.
 */
#include "cache_test.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- a VFS that fails ---------------------------------------------------------------------- */

static atomic_int fail_code;  /* SQLITE_FULL, SQLITE_IOERR_...; 0: none */
static atomic_int calls_left; /* operations that still succeed */
static sqlite3_vfs failing_vfs;
static sqlite3_vfs *real_vfs;

struct failing_file {
    sqlite3_file base;
    sqlite3_file *inner; /* the real one, behind this in memory */
};

static bool fails_now(void)
{
    return atomic_load(&fail_code) != 0 && atomic_fetch_sub(&calls_left, 1) <= 0;
}

static const sqlite3_io_methods *real_of(sqlite3_file *file)
{
    return ((struct failing_file *)(void *)file)->inner->pMethods;
}

static sqlite3_file *inner_of(sqlite3_file *file)
{
    return ((struct failing_file *)(void *)file)->inner;
}

static int f_close(sqlite3_file *f)
{
    return real_of(f)->xClose(inner_of(f));
}
static int f_read(sqlite3_file *f, void *out, int n, sqlite3_int64 at)
{
    return fails_now() && atomic_load(&fail_code) == SQLITE_IOERR_READ
               ? SQLITE_IOERR_READ
               : real_of(f)->xRead(inner_of(f), out, n, at);
}
static int f_write(sqlite3_file *f, const void *in, int n, sqlite3_int64 at)
{
    return fails_now() ? atomic_load(&fail_code) : real_of(f)->xWrite(inner_of(f), in, n, at);
}
static int f_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    return real_of(f)->xTruncate(inner_of(f), n);
}
static int f_sync(sqlite3_file *f, int flags)
{
    return fails_now() ? SQLITE_IOERR_FSYNC : real_of(f)->xSync(inner_of(f), flags);
}
static int f_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return real_of(f)->xFileSize(inner_of(f), n);
}
static int f_lock(sqlite3_file *f, int l)
{
    return real_of(f)->xLock(inner_of(f), l);
}
static int f_unlock(sqlite3_file *f, int l)
{
    return real_of(f)->xUnlock(inner_of(f), l);
}
static int f_reserved(sqlite3_file *f, int *out)
{
    return real_of(f)->xCheckReservedLock(inner_of(f), out);
}
static int f_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->xFileControl(inner_of(f), op, arg);
}
static int f_sector(sqlite3_file *f)
{
    return real_of(f)->xSectorSize(inner_of(f));
}
static int f_traits(sqlite3_file *f)
{
    return real_of(f)->xDeviceCharacteristics(inner_of(f));
}
static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return real_of(f)->xShmMap(inner_of(f), page, size, extend, out);
}
static int f_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return real_of(f)->xShmLock(inner_of(f), at, n, flags);
}
static void f_shm_barrier(sqlite3_file *f)
{
    real_of(f)->xShmBarrier(inner_of(f));
}
static int f_shm_unmap(sqlite3_file *f, int remove)
{
    return real_of(f)->xShmUnmap(inner_of(f), remove);
}

static const sqlite3_io_methods failing_methods = {
    2,          f_close,       f_read,      f_write,   f_truncate, f_sync,   f_size,
    f_lock,     f_unlock,      f_reserved,  f_control, f_sector,   f_traits, f_shm_map,
    f_shm_lock, f_shm_barrier, f_shm_unmap, NULL,      NULL};

static int failing_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *out, int flags,
                        int *out_flags)
{
    struct failing_file *file = (struct failing_file *)(void *)out;
    (void)vfs;
    file->base.pMethods = NULL;
    file->inner = (sqlite3_file *)(void *)(file + 1);
    int rc = real_vfs->xOpen(real_vfs, name, file->inner, flags, out_flags);
    if (rc == SQLITE_OK)
        file->base.pMethods = &failing_methods;
    return rc;
}

/* From here on every connection of this process goes through the failing VFS. */
static void use_failing_vfs(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    failing_vfs = *real_vfs;
    failing_vfs.zName = "failing";
    failing_vfs.szOsFile = (int)sizeof(struct failing_file) + real_vfs->szOsFile;
    failing_vfs.xOpen = failing_open;
    ck_assert_int_eq(sqlite3_vfs_register(&failing_vfs, 1), SQLITE_OK);
}

static void fail_after(int code, int calls)
{
    atomic_store(&calls_left, calls);
    atomic_store(&fail_code, code);
}

/* ---- helpers ------------------------------------------------------------------------------- */

static void write_bytes(const char *path, long at, const void *bytes, size_t len)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, bytes, len, at), (ssize_t)len);
    close(fd);
}

static void fill(const struct cache_place *place, unsigned count)
{
    struct sl_cache *cache = open_at(place);
    for (unsigned i = 0; i < count; i++)
        put_text(cache, i, "a body of some length to fill pages with, again and again and again");
    sl_cache_close(cache);
}

/* Off: gets miss, puts are dropped, the owner's calls say so, single flight still works. */
static void assert_harmless(struct sl_cache *cache)
{
    struct sl_error error = {0};
    struct sl_cache_stats stats;
    uint64_t purged;
    struct sl_cache_filter filter = {.everything = true};
    struct sl_cache_key key = key_of(cache, 1);
    struct sl_cache_flight *flight;
    assert_get(cache, 0, NULL);
    ck_assert(!put_text(cache, 1, "x"));
    assert_get(cache, 1, NULL);
    ck_assert_int_eq(sl_cache_flush(cache, &error), SL_ERR_IO);
    ck_assert_int_eq(sl_cache_stats(cache, &stats, &error), SL_ERR_IO);
    ck_assert_int_eq(sl_cache_purge(cache, &filter, &purged, &error), SL_ERR_IO);
    ck_assert_int_eq(sl_cache_flight_begin(cache, &key, &flight), SL_CACHE_LEADER);
    sl_cache_flight_end(flight, SL_CACHE_LEADER);
}

static void assert_opens_as(const struct cache_place *place, const char *state)
{
    struct sl_cache *cache = open_at(place);
    assert_state(cache, state);
    if (strcmp(state, "key") != 0)
        assert_harmless(cache);
    else
        assert_get(cache, 0, NULL);
    sl_cache_close(cache);
}

/* ---- tests --------------------------------------------------------------------------------- */

START_TEST(a_file_that_is_no_database_turns_the_cache_off)
{
    struct cache_place place = new_place();
    write_bytes(place.path, 0, "this is not a database, however long it may be ........", 50);
    char junk[8192];
    memset(junk, 'x', sizeof junk);
    write_bytes(place.path, 50, junk, sizeof junk);
    assert_opens_as(&place, "corrupt");
}
END_TEST

START_TEST(a_database_of_somebody_else_is_left_alone)
{
    struct cache_place place = new_place();
    sqlite3 *other;
    ck_assert_int_eq(sqlite3_open(place.path, &other), SQLITE_OK);
    sqlite3_exec(other, "CREATE TABLE precious (x); INSERT INTO precious VALUES (1)", NULL, NULL,
                 NULL);
    sqlite3_close(other);
    assert_opens_as(&place, "corrupt");
    ck_assert_int_eq(sqlite3_open(place.path, &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "SELECT x FROM precious", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
}
END_TEST

START_TEST(a_page_of_rubbish_is_found_at_the_start)
{
    struct cache_place place = new_place();
    fill(&place, 300);
    char junk[4096];
    memset(junk, 0xA5, sizeof junk);
    write_bytes(place.path, 4096, junk, sizeof junk);
    write_bytes(place.path, 5 * 4096, junk, sizeof junk);
    assert_opens_as(&place, "corrupt");
}
END_TEST

START_TEST(a_page_that_rots_while_running_turns_the_cache_off_or_is_a_miss)
{
    struct cache_place place = new_place();
    fill(&place, 2000);
    struct sl_cache *cache = open_without_front(&place);
    assert_state(cache, "on");
    struct stat info;
    stat(place.path, &info);
    char junk[4096];
    memset(junk, 0x5A, sizeof junk);
    for (long at = 4096; at < info.st_size; at += 4096)
        write_bytes(place.path, at, junk, sizeof junk);
    for (unsigned i = 0; i < 2000; i++) {
        struct sl_cache_entry entry;
        if (get_at(cache, i, NOW, &entry) != SL_CACHE_MISS)
            ck_assert_int_eq(entry.body.data[0], 'a'); /* a page that was cached */
        sl_cache_entry_clear(&entry);
    }
    assert_state(cache, "corrupt");
    sl_cache_close(cache);
}
END_TEST

START_TEST(a_check_that_takes_too_long_goes_on_behind_the_open)
{
    struct cache_place place = new_place();
    fill(&place, 3000);
    char junk[512];
    memset(junk, 0xA5, sizeof junk);
    struct stat info;
    stat(place.path, &info);
    write_bytes(place.path, info.st_size / 4096 / 2 * 4096, junk, sizeof junk);
    struct sl_cache_config config = config_at(&place);
    config.check_ms_max = 0;
    struct sl_cache *cache = open_with(&config);
    for (int i = 0; i < 500 && sl_cache_state(cache) == SL_CACHE_ON; i++)
        usleep(10000);
    assert_state(cache, "corrupt");
    sl_cache_close(cache);
}
END_TEST

START_TEST(a_locked_store_is_off_until_the_lock_is_gone)
{
    struct cache_place place = new_place();
    fill(&place, 10);
    sqlite3 *other;
    ck_assert_int_eq(sqlite3_open(place.path, &other), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct sl_cache_config config = config_at(&place);
    config.retry_s = 1;
    struct sl_cache *cache = open_with(&config);
    assert_state(cache, "locked");
    assert_harmless(cache);
    sqlite3_close(other);
    for (int i = 0; i < 500 && sl_cache_state(cache) != SL_CACHE_ON; i++)
        usleep(10000);
    assert_state(cache, "on");
    assert_get(cache, 0, "a body of some length to fill pages with, again and again and again");
    ck_assert(put_text(cache, 77, "x"));
    flush(cache);
    sl_cache_close(cache);
}
END_TEST

/* As another user, since nothing is read-only for root. */
static void in_a_child_without_rights(void (*test)(const struct cache_place *),
                                      const struct cache_place *place)
{
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(77);
        test(place);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        sl_test_skip("can't give up the rights of root");
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child failed (%d)", status);
}

static void expect_read_only(const struct cache_place *place)
{
    struct sl_cache_config config = config_at(place);
    struct sl_cache *cache = NULL;
    if (sl_cache_open(&config, &cache, NULL) != SL_OK ||
        sl_cache_state(cache) != SL_CACHE_OFF_READ_ONLY || put_text(cache, 1, "x"))
        _exit(1);
    sl_cache_close(cache);
}

static void expect_key_trouble(const struct cache_place *place)
{
    struct sl_cache_config config = config_at(place);
    struct sl_cache *cache = NULL;
    if (sl_cache_open(&config, &cache, NULL) != SL_OK || sl_cache_state(cache) != SL_CACHE_OFF_KEY)
        _exit(1);
    sl_cache_close(cache);
}

START_TEST(a_folder_that_can_not_be_written_turns_the_cache_off)
{
    struct cache_place place = new_place();
    fill(&place, 3);
    if (geteuid() == 0)
        ck_assert_int_eq(chown(place.key_path, 65534, 65534), 0);
    ck_assert_int_eq(chmod(place.path, 0444), 0);
    ck_assert_int_eq(chmod(place.folder, 0555), 0);
    in_a_child_without_rights(expect_read_only, &place);
    ck_assert_int_eq(chmod(place.folder, 0755), 0);
}
END_TEST

START_TEST(a_key_file_that_can_not_be_made_turns_the_cache_off)
{
    struct cache_place place = new_place();
    ck_assert_int_eq(chmod(place.folder, 0555), 0);
    in_a_child_without_rights(expect_key_trouble, &place);
    ck_assert_int_eq(chmod(place.folder, 0755), 0);
}
END_TEST

START_TEST(a_key_file_that_is_open_to_others_malformed_or_another_turns_the_cache_off)
{
    struct cache_place place = new_place();
    fill(&place, 3);
    ck_assert_int_eq(chmod(place.key_path, 0640), 0);
    assert_opens_as(&place, "key");
    ck_assert_int_eq(chmod(place.key_path, 0600), 0);
    char *good = sl_test_read_file(place.key_path, NULL);
    write_bytes(place.key_path, 0, "Xluice", 6);
    assert_opens_as(&place, "key");
    write_bytes(place.key_path, 0, good, strlen(good));
    write_bytes(place.key_path, 25, good[25] == '0' ? "1" : "0", 1); /* a digit of the index key */
    assert_opens_as(&place, "key");
    write_bytes(place.key_path, 0, good, strlen(good));
    struct sl_cache *cache = open_at(&place);
    assert_state(cache, "on");
    sl_cache_close(cache);
    free(good);
}
END_TEST

START_TEST(a_full_disk_turns_the_cache_off_and_keeps_what_was_committed)
{
    struct cache_place place = new_place();
    use_failing_vfs();
    struct sl_cache_config config = config_at(&place);
    config.memory_bytes_max = 0;
    struct sl_cache *cache = open_with(&config);
    put_text(cache, 1, "committed");
    flush(cache);
    fail_after(SQLITE_FULL, 0);
    put_text(cache, 2, "lost");
    ck_assert_int_eq(sl_cache_flush(cache, NULL), SL_ERR_IO);
    assert_state(cache, "full");
    assert_harmless(cache);
    fail_after(0, 0);
    sl_cache_close(cache);
    cache = open_at(&place);
    assert_state(cache, "on");
    assert_get(cache, 1, "committed");
    assert_get(cache, 2, NULL);
    sl_cache_close(cache);
}
END_TEST

START_TEST(a_disk_with_room_again_turns_the_cache_on_again)
{
    struct cache_place place = new_place();
    use_failing_vfs();
    struct sl_cache_config config = config_at(&place);
    config.retry_s = 1;
    struct sl_cache *cache = open_with(&config);
    put_text(cache, 1, "committed");
    flush(cache);
    fail_after(SQLITE_FULL, 0);
    put_text(cache, 2, "lost");
    ck_assert_int_eq(sl_cache_flush(cache, NULL), SL_ERR_IO);
    assert_state(cache, "full");
    fail_after(0, 0);
    for (int i = 0; i < 500 && sl_cache_state(cache) != SL_CACHE_ON; i++)
        usleep(10000);
    assert_state(cache, "on");
    assert_get(cache, 1, "committed");
    assert_get(cache, 2, NULL); /* not even from memory: it was never stored */
    ck_assert(put_text(cache, 3, "stored"));
    flush(cache);
    sl_cache_close(cache);
}
END_TEST

START_TEST(an_error_at_any_operation_only_turns_the_cache_off)
{
    static const int codes[] = {SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_READ};
    struct cache_place place = new_place();
    use_failing_vfs();
    fill(&place, 50);
    for (int calls = 0; calls < 60; calls++) {
        for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
            fail_after(codes[i], calls);
            struct sl_cache *cache = open_without_front(&place);
            for (unsigned k = 0; k < 5; k++)
                put_text(cache, 100 + k, "a body that is written while the disk fails");
            enum sl_err ignored = sl_cache_flush(cache, NULL); /* either way is fine */
            (void)ignored;
            assert_get(cache, 9999, NULL);
            sl_cache_close(cache);
            fail_after(0, 0);
        }
    }
    struct sl_cache *cache = open_without_front(&place);
    assert_state(cache, "on");
    for (unsigned i = 0; i < 50; i++)
        assert_get(cache, i, "a body of some length to fill pages with, again and again and again");
    sl_cache_close(cache);
}
END_TEST

START_TEST(a_store_of_a_newer_sluice_is_not_touched)
{
    struct cache_place place = new_place();
    fill(&place, 1);
    sqlite3 *other;
    ck_assert_int_eq(sqlite3_open(place.path, &other), SQLITE_OK);
    sqlite3_exec(other, "PRAGMA user_version=99", NULL, NULL, NULL);
    sqlite3_close(other);
    assert_opens_as(&place, "version");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("faults");
    TCase *tcase = tcase_create("faults");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_file_that_is_no_database_turns_the_cache_off);
    tcase_add_test(tcase, a_database_of_somebody_else_is_left_alone);
    tcase_add_test(tcase, a_page_of_rubbish_is_found_at_the_start);
    tcase_add_test(tcase, a_page_that_rots_while_running_turns_the_cache_off_or_is_a_miss);
    tcase_add_test(tcase, a_check_that_takes_too_long_goes_on_behind_the_open);
    tcase_add_test(tcase, a_locked_store_is_off_until_the_lock_is_gone);
    tcase_add_test(tcase, a_folder_that_can_not_be_written_turns_the_cache_off);
    tcase_add_test(tcase, a_key_file_that_can_not_be_made_turns_the_cache_off);
    tcase_add_test(tcase,
                   a_key_file_that_is_open_to_others_malformed_or_another_turns_the_cache_off);
    tcase_add_test(tcase, a_full_disk_turns_the_cache_off_and_keeps_what_was_committed);
    tcase_add_test(tcase, a_disk_with_room_again_turns_the_cache_on_again);
    tcase_add_test(tcase, an_error_at_any_operation_only_turns_the_cache_off);
    tcase_add_test(tcase, a_store_of_a_newer_sluice_is_not_touched);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
