/* SPDX-License-Identifier: Apache-2.0
 *
 * The current policy and the thread that keeps it current.
 *
 * The folder of the file is watched, not the file: editors and configuration tools replace files by
 * rename, and a watch on the file would stay with the old one. Whatever inotify says, or fails to
 * say (network file systems), the file is looked at once a second; only when its identity, size or
 * time changed is it read, and only when its bytes changed is it loaded. A broken file is
 * reported once per change, not once a second.
 *
 * A mutex guards the pointer for the few instructions of taking a reference: an atomic pointer
 * alone could be read by one thread while another drops the last reference.
 *
 * Threads: `store->thread` watches and loads; acquire and reload from any thread.
 */
#include "sluice/policy.h"

#include "sluice/log.h"
#include "sluice/metric.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 1000  /* how long a change may go unseen where inotify does not tell */
#define SETTLE_MS 20  /* writers that truncate and write are given time to finish */

struct file_stamp {
    bool exists;
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

struct sl_policy_store {
    char *path; /* NULL: the built-in default */
    pthread_mutex_t current_lock; /* guards `current` */
    const struct sl_policy *current;
    pthread_mutex_t load_lock; /* one load at a time; guards `stamp` */
    struct file_stamp stamp;
    sl_policy_changed_fn changed;
    void *changed_ctx;
    bool is_running;
    pthread_t thread;
    int stop_fd, inotify_fd;
    struct sl_metric *reloads;
};

static struct file_stamp stamp_of(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return (struct file_stamp){0};
    return (struct file_stamp){.exists = true,
                               .device = status.st_dev,
                               .inode = status.st_ino,
                               .size = status.st_size,
                               .modified = status.st_mtim};
}

static bool stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->exists == b->exists && a->device == b->device && a->inode == b->inode &&
           a->size == b->size && a->modified.tv_sec == b->modified.tv_sec &&
           a->modified.tv_nsec == b->modified.tv_nsec;
}

/* ---- swapping ---- */

const struct sl_policy *sl_policy_store_acquire(struct sl_policy_store *store)
{
    pthread_mutex_lock(&store->current_lock);
    const struct sl_policy *policy = sl_policy_acquire(store->current);
    pthread_mutex_unlock(&store->current_lock);
    return policy;
}

/* Takes the reference of `policy`. */
static void publish(struct sl_policy_store *store, const struct sl_policy *policy)
{
    pthread_mutex_lock(&store->current_lock);
    const struct sl_policy *old = store->current;
    store->current = policy;
    sl_policy_acquire(policy); /* for the call below */
    pthread_mutex_unlock(&store->current_lock);
    sl_policy_release(old);
    if (store->changed != NULL)
        store->changed(store->changed_ctx, policy);
    sl_policy_release(policy);
}

static void count_reload(struct sl_policy_store *store, const char *result)
{
    sl_metric_add(store->reloads, 1, (const char *const[]){result});
}

/* load_lock is held. */
static enum sl_err load_and_publish(struct sl_policy_store *store, struct sl_error *error)
{
    const struct sl_policy *policy;
    store->stamp = stamp_of(store->path); /* before reading: a later write is seen again */
    enum sl_err err = sl_policy_load(store->path, &policy, error);
    if (err != SL_OK) {
        count_reload(store, "failed");
        SL_LOG_ERROR("policy", "%s; the policy in force stays", error->message);
        return err;
    }
    const struct sl_policy *old = sl_policy_store_acquire(store);
    bool is_same = strcmp(sl_policy_digest(old), sl_policy_digest(policy)) == 0;
    sl_policy_release(old);
    count_reload(store, is_same ? "unchanged" : "loaded");
    SL_LOG_INFO("policy", "%s: %s, %zu routes, sha256:%.12s", store->path,
                is_same ? "unchanged" : "loaded", sl_policy_route_count(policy),
                sl_policy_digest(policy));
    publish(store, policy);
    return SL_OK;
}

enum sl_err sl_policy_store_reload(struct sl_policy_store *store, struct sl_error *error)
{
    struct sl_error found = {0};
    if (store->path == NULL)
        return SL_OK;
    pthread_mutex_lock(&store->load_lock);
    enum sl_err err = load_and_publish(store, &found);
    pthread_mutex_unlock(&store->load_lock);
    if (err != SL_OK && error != NULL)
        *error = found;
    return err;
}

/* ---- watching ---- */

static void reload_if_changed(struct sl_policy_store *store)
{
    pthread_mutex_lock(&store->load_lock);
    struct file_stamp now = stamp_of(store->path);
    if (!stamp_equal(&now, &store->stamp)) {
        struct sl_error error = {0};
        if (now.exists) {
            (void)!load_and_publish(store, &error);
        } else {
            store->stamp = now;
            count_reload(store, "failed");
            SL_LOG_WARN("policy", "%s is gone; the policy in force stays", store->path);
        }
    }
    pthread_mutex_unlock(&store->load_lock);
}

/* Opens a watch on the file's folder; -1 where that cannot be had. */
static int open_watch(const char *path)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return -1;
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    int watch = folder == NULL ? -1
                               : inotify_add_watch(fd, folder, IN_CLOSE_WRITE | IN_MOVED_TO |
                                                                   IN_CREATE | IN_DELETE);
    free(folder);
    if (watch < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void drain(int fd)
{
    char events[4096];
    while (read(fd, events, sizeof events) > 0)
        ;
}

static void *watch_main(void *arg)
{
    struct sl_policy_store *store = arg;
    struct pollfd fds[2] = {{.fd = store->stop_fd, .events = POLLIN},
                            {.fd = store->inotify_fd, .events = POLLIN}};
    for (;;) {
        int ready = poll(fds, store->inotify_fd >= 0 ? 2 : 1, LOOK_MS);
        if (fds[0].revents != 0)
            return NULL;
        if (ready > 0 && fds[1].revents != 0) {
            if (poll(fds, 1, SETTLE_MS) > 0)
                return NULL;
            drain(store->inotify_fd);
        }
        reload_if_changed(store);
    }
}

/* ---- life ---- */

enum sl_err sl_policy_store_open(const char *path, struct sl_policy_store **out,
                                 struct sl_error *error)
{
    *out = NULL;
    struct sl_policy_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    pthread_mutex_init(&store->current_lock, NULL);
    pthread_mutex_init(&store->load_lock, NULL);
    store->stop_fd = store->inotify_fd = -1;
    store->reloads = sl_metric_counter("sluice_policy_reload_total", "Loads of the policy file.",
                                       (const char *const[]){"result", NULL});
    enum sl_err err = SL_OK;
    if (path != NULL && (store->path = strdup(path)) == NULL)
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (err == SL_OK && path != NULL) {
        store->stamp = stamp_of(path);
        err = sl_policy_load(path, &store->current, error);
    } else if (err == SL_OK) {
        err = sl_policy_default(&store->current, error);
    }
    if (err != SL_OK) {
        sl_policy_store_close(store);
        return err;
    }
    *out = store;
    return SL_OK;
}

void sl_policy_store_on_change(struct sl_policy_store *store, sl_policy_changed_fn changed,
                               void *ctx)
{
    store->changed = changed;
    store->changed_ctx = ctx;
}

enum sl_err sl_policy_store_start(struct sl_policy_store *store, struct sl_error *error)
{
    if (store->path == NULL || store->is_running)
        return SL_OK;
    store->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (store->stop_fd < 0)
        return sl_error_set(error, SL_ERR_IO, "eventfd: %s", strerror(errno));
    store->inotify_fd = open_watch(store->path);
    if (store->inotify_fd < 0)
        SL_LOG_INFO("policy", "no inotify for %s; looking once a second", store->path);
    if (pthread_create(&store->thread, NULL, watch_main, store) != 0)
        return sl_error_set(error, SL_ERR_MEMORY, "no thread for watching the policy");
    store->is_running = true;
    return SL_OK;
}

void sl_policy_store_close(struct sl_policy_store *store)
{
    if (store == NULL)
        return;
    if (store->is_running) {
        uint64_t one = 1;
        (void)!write(store->stop_fd, &one, sizeof one);
        pthread_join(store->thread, NULL);
    }
    if (store->stop_fd >= 0)
        close(store->stop_fd);
    if (store->inotify_fd >= 0)
        close(store->inotify_fd);
    sl_policy_release(store->current);
    pthread_mutex_destroy(&store->current_lock);
    pthread_mutex_destroy(&store->load_lock);
    free(store->path);
    free(store);
}
