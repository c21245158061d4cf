/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that are there whole or not at all, as file.h has it: a temporary file is renamed over the
 * old one, or linked where there must be none, which fails where another process was faster. The
 * bytes may be secret; nothing of them is kept. Any thread.
 */
#include "sluice/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096

static bool write_synced(int fd, struct sl_slice bytes)
{
    while (bytes.len > 0) {
        ssize_t wrote = write(fd, bytes.data, bytes.len);
        if (wrote < 0 && errno != EINTR)
            return false;
        if (wrote > 0)
            bytes = (struct sl_slice){bytes.data + wrote, bytes.len - (size_t)wrote};
    }
    return fsync(fd) == 0;
}

/* A rename is durable once the folder is synced. */
static void sync_folder_of(const char *path)
{
    char folder[PATH_BYTES_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash != NULL ? (size_t)(slash - path) : 0;
    if (len >= sizeof folder)
        return;
    memcpy(folder, path, len);
    memcpy(folder + len, len > 0 ? "" : slash != NULL ? "/" : ".", len > 0 ? 1 : 2);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* -1 with errno set on failure. The name is random: two processes may be at it at once. */
static int open_temporary(char *out, size_t size, const char *path)
{
    if (snprintf(out, size, "%s.XXXXXX", path) >= (int)size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return mkostemp(out, O_CLOEXEC); /* mode 0600 */
}

static enum sl_err put(const char *path, struct sl_slice bytes, bool is_first,
                       struct sl_error *error)
{
    char temporary[PATH_BYTES_MAX];
    enum sl_err err = SL_OK;
    int fd = open_temporary(temporary, sizeof temporary, path);
    if (fd < 0 || !write_synced(fd, bytes) ||
        (is_first ? link(temporary, path) : rename(temporary, path)) != 0)
        err = sl_error_set(error, errno == EEXIST ? SL_ERR_CONFLICT : SL_ERR_IO, "%s: %s", path,
                           strerror(errno));
    if (fd >= 0) {
        if (is_first || err != SL_OK)
            unlink(temporary);
        close(fd);
    }
    if (err == SL_OK)
        sync_folder_of(path);
    return err;
}

enum sl_err sl_file_replace(const char *path, struct sl_slice bytes, struct sl_error *error)
{
    return put(path, bytes, false, error);
}

enum sl_err sl_file_create(const char *path, struct sl_slice bytes, struct sl_error *error)
{
    return put(path, bytes, true, error);
}
