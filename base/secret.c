/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets: one allocation, wiped at its end. Immutable; any thread.
 */
#include "sluice/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_BYTES_MAX (64u * 1024u) /* a PEM chain fits; a mistaken path to a model does not */

struct sl_secret {
    size_t len;
    char bytes[];
};

struct sl_secret *sl_secret_create(struct sl_slice bytes)
{
    struct sl_secret *secret = malloc(sizeof *secret + bytes.len + 1);
    if (secret == NULL)
        return NULL;
    secret->len = bytes.len;
    if (bytes.len > 0)
        memcpy(secret->bytes, bytes.data, bytes.len);
    secret->bytes[bytes.len] = '\0';
    return secret;
}

void sl_secret_free(struct sl_secret *secret)
{
    if (secret == NULL)
        return;
    sl_wipe(secret->bytes, secret->len);
    free(secret);
}

struct sl_slice sl_secret_reveal(const struct sl_secret *secret)
{
    return (struct sl_slice){secret->bytes, secret->len};
}

/* Reads until `size` bytes or the end; -1 with errno set on failure. */
static ssize_t read_full(int fd, char *into, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t got = read(fd, into + have, size - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

enum sl_err sl_secret_from_file(const char *path, bool demand_private, struct sl_secret **out,
                                struct sl_error *error)
{
    enum sl_err err = SL_OK;
    char *text = NULL;
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0) {
        err = sl_error_set(error, SL_ERR_IO, "%s: %s", path, strerror(errno));
        goto out;
    }
    if (demand_private && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        err = sl_error_set(error, SL_ERR_FORBIDDEN,
                           "%s: mode %03o lets others read a secret; expected 0600", path,
                           (unsigned)(info.st_mode & 0777));
        goto out;
    }
    text = malloc(SECRET_BYTES_MAX + 1);
    ssize_t len = text != NULL ? read_full(fd, text, SECRET_BYTES_MAX + 1) : 0;
    if (text == NULL)
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    else if (len < 0)
        err = sl_error_set(error, SL_ERR_IO, "%s: %s", path, strerror(errno));
    else if ((size_t)len > SECRET_BYTES_MAX)
        err = sl_error_set(error, SL_ERR_LIMIT, "%s: longer than %u bytes", path, SECRET_BYTES_MAX);
    if (err != SL_OK)
        goto out;
    if (len > 0 && text[len - 1] == '\n')
        len--;
    *out = sl_secret_create((struct sl_slice){text, (size_t)len});
    if (*out == NULL)
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
out:
    if (text != NULL) {
        sl_wipe(text, SECRET_BYTES_MAX + 1);
        free(text);
    }
    if (fd >= 0)
        close(fd);
    return err;
}

void sl_wipe(void *memory, size_t size)
{
    if (size > 0)
        explicit_bzero(memory, size);
}

bool sl_equal_constant_time(const void *a, size_t a_len, const void *b, size_t b_len)
{
    if (a_len != b_len)
        return false;
    const volatile unsigned char *left = a;
    const volatile unsigned char *right = b;
    unsigned char difference = 0;
    for (size_t i = 0; i < a_len; i++)
        difference = (unsigned char)(difference | (left[i] ^ right[i]));
    return difference == 0;
}
