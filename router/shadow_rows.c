/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns `shadow.jsonl` and `shadow.key`; leaves to shadow.c what a row says and whether there may be
 * one. The hex doubles the size and keeps the file a JSONL file like any other, so that it can be
 * given to `sluice calibrate` among others. Appending is one write(2): a crash cuts at most the last
 * line, which goes before the next row comes, since readers refuse a file with half a line in it.
 *
 * Runs on the shadow thread; reading on that of a command.
 */
#include "shadow_rows.h"

#include "labelled.h"
#include "sluice/buf.h"
#include "sluice/file.h"
#include "sluice/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 1024 /* of the key's path, which is longer */
#define BOUND SL_SLICE("sluice shadow row 1") /* what is sealed here opens as nothing else */
/* Hex and its frame make a line, which a reader caps. */
#define ROW_BYTES_MAX (SL_LABELLED_LINE_MAX / 2 - SL_SEAL_OVERHEAD - 64)

struct sl_shadow_rows {
    char *path;
    struct sl_cipher *cipher; /* NULL until the first row */
};

/* ---- the key ---- */

static bool key_path(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');
    int folder = slash != NULL ? (int)(slash - path) + 1 : 0;
    int len = snprintf(out, size, "%.*sshadow.key", folder, path);
    return len > 0 && (size_t)len < size;
}

struct sl_cipher *sl_shadow_rows_key(const char *path, struct sl_error *error)
{
    char place[PATH_BYTES_MAX];
    uint8_t key[SL_AES256_KEY_BYTES];
    struct sl_secret *secret = NULL;
    if (!key_path(path, place, sizeof place)) {
        sl_error_set(error, SL_ERR_LIMIT, "%s: the path is too long", path);
        return NULL;
    }
    if (sl_secret_from_file(place, true, &secret, error) != SL_OK)
        return NULL;
    struct sl_cipher *cipher = NULL;
    if (sl_hex_decode(sl_secret_reveal(secret), key, sizeof key))
        cipher = sl_cipher_create(key);
    else
        sl_error_set(error, SL_ERR_INTEGRITY, "%s: expected 64 hex digits", place);
    sl_wipe(key, sizeof key);
    sl_secret_free(secret);
    return cipher;
}

/* Where there is none. */
static enum sl_err make_key(const char *path, struct sl_error *error)
{
    char place[PATH_BYTES_MAX];
    uint8_t key[SL_AES256_KEY_BYTES];
    char text[2 * sizeof key + 2];
    if (!key_path(path, place, sizeof place))
        return sl_error_set(error, SL_ERR_LIMIT, "%s: the path is too long", path);
    if (access(place, F_OK) == 0)
        return SL_OK;
    sl_random_bytes(key, sizeof key);
    sl_hex_encode(key, sizeof key, text);
    text[2 * sizeof key] = '\n';
    enum sl_err err = sl_file_create(place, (struct sl_slice){text, 2 * sizeof key + 1}, error);
    sl_wipe(key, sizeof key);
    sl_wipe(text, sizeof text);
    return err == SL_ERR_CONFLICT ? SL_OK : err;
}

/* ---- writing ---- */

struct sl_shadow_rows *sl_shadow_rows_create(const char *path)
{
    struct sl_shadow_rows *rows = calloc(1, sizeof *rows);
    if (rows != NULL && (rows->path = strdup(path)) == NULL) {
        free(rows);
        return NULL;
    }
    return rows;
}

void sl_shadow_rows_free(struct sl_shadow_rows *rows)
{
    if (rows == NULL)
        return;
    sl_cipher_free(rows->cipher);
    free(rows->path);
    free(rows);
}

static enum sl_err seal(const struct sl_cipher *cipher, const char *text, struct sl_buf *line)
{
    size_t len = strlen(text), sealed_len = len + SL_SEAL_OVERHEAD;
    uint8_t *sealed = malloc(sealed_len);
    char *hex = malloc(2 * sealed_len + 1);
    enum sl_err err = sealed != NULL && hex != NULL ? SL_OK : SL_ERR_MEMORY;
    if (err == SL_OK)
        err = sl_cipher_seal(cipher, BOUND, text, len, sealed);
    if (err == SL_OK) {
        sl_hex_encode(sealed, sealed_len, hex);
        err = sl_buf_printf(line, "{\"sealed\":\"%s\"}\n", hex);
    }
    free(sealed);
    free(hex);
    return err;
}

static bool make_room(const struct sl_shadow_rows *rows)
{
    char old[PATH_BYTES_MAX + 8];
    struct stat about;
    if (stat(rows->path, &about) != 0 || about.st_size < (off_t)SL_SHADOW_FILE_MAX)
        return true;
    snprintf(old, sizeof old, "%s.old", rows->path);
    return rename(rows->path, old) == 0;
}

/* Where the last whole line ends; -1 where the file cannot be read. */
static off_t end_of_lines(int file)
{
    char chunk[4096];
    off_t end = lseek(file, 0, SEEK_END);
    while (end > 0) {
        size_t len = end < (off_t)sizeof chunk ? (size_t)end : sizeof chunk;
        if (pread(file, chunk, len, end - (off_t)len) != (ssize_t)len)
            return -1;
        const char *newline = memrchr(chunk, '\n', len);
        if (newline != NULL)
            return end - (off_t)len + (newline - chunk) + 1;
        end -= (off_t)len;
    }
    return end;
}

/* Behind the last whole line; what was written of a row that does not fit is taken back. The lock,
 * which ends with the descriptor, keeps out a gateway that is just being replaced by this one. */
static bool append_line(int file, const struct sl_buf *line)
{
    if (flock(file, LOCK_EX) != 0)
        return false;
    off_t end = end_of_lines(file);
    if (end < 0 || ftruncate(file, end) != 0)
        return false;
    ssize_t wrote = pwrite(file, line->data, line->len, end);
    if (wrote == (ssize_t)line->len)
        return true;
    int code = wrote < 0 ? errno : ENOSPC;
    (void)!ftruncate(file, end); /* where this fails, too, the next row finds half a line */
    errno = code;
    return false;
}

static enum sl_err write_line(const struct sl_shadow_rows *rows, const struct sl_buf *line,
                              struct sl_error *error)
{
    int file = make_room(rows) ? open(rows->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    bool is_written = file >= 0 && append_line(file, line);
    if (!is_written)
        sl_error_set(error, SL_ERR_IO, "%s: %s", rows->path, strerror(errno));
    if (file >= 0)
        close(file);
    return is_written ? SL_OK : SL_ERR_IO;
}

static enum sl_err open_key(struct sl_shadow_rows *rows, struct sl_error *error)
{
    if (rows->cipher != NULL)
        return SL_OK;
    enum sl_err err = make_key(rows->path, error);
    if (err != SL_OK)
        return err;
    struct sl_error why = {.code = SL_ERR_MEMORY};
    rows->cipher = sl_shadow_rows_key(rows->path, &why);
    return rows->cipher != NULL ? SL_OK : sl_error_set(error, why.code, "%s", why.message);
}

enum sl_err sl_shadow_rows_append(struct sl_shadow_rows *rows, const json_t *row,
                                  struct sl_error *error)
{
    struct sl_buf line;
    enum sl_err err = open_key(rows, error);
    if (err != SL_OK)
        return err;
    char *text = json_dumps(row, JSON_COMPACT);
    sl_buf_init(&line, SL_LABELLED_LINE_MAX);
    if (text == NULL)
        err = SL_ERR_MEMORY;
    else if (strlen(text) > ROW_BYTES_MAX)
        err = SL_ERR_LIMIT;
    else
        err = seal(rows->cipher, text, &line);
    if (err != SL_OK)
        sl_error_set(error, err, NULL);
    else
        err = write_line(rows, &line, error);
    if (text != NULL)
        sl_wipe(text, strlen(text));
    free(text);
    sl_buf_clear(&line);
    return err;
}

/* ---- reading ---- */

bool sl_shadow_row_is_sealed(const json_t *line)
{
    return json_is_string(json_object_get(line, "sealed"));
}

json_t *sl_shadow_row_unseal(const struct sl_cipher *cipher, const json_t *line)
{
    const json_t *hex = json_object_get(line, "sealed");
    size_t sealed_len = json_string_length(hex) / 2;
    if (sealed_len <= SL_SEAL_OVERHEAD)
        return NULL;
    size_t len = sealed_len - SL_SEAL_OVERHEAD;
    uint8_t *sealed = malloc(sealed_len);
    uint8_t *text = malloc(len);
    json_t *row = NULL;
    struct sl_slice digits = {json_string_value(hex), json_string_length(hex)};
    if (sealed != NULL && text != NULL && sl_hex_decode(digits, sealed, sealed_len) &&
        sl_cipher_open(cipher, BOUND, sealed, sealed_len, text) == SL_OK)
        row = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL);
    if (text != NULL)
        sl_wipe(text, len);
    free(sealed);
    free(text);
    return row;
}
