/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: hashing of a model file beside other work, and the note kept next to the file.
 *
 * The thread hashes in pieces and looks at `is_stopping` between them, so closing an engine does
 * not wait for the rest of a large file. The note is written under another name and renamed, so a
 * reader sees all of it or none.
 *
 * Threads: one own thread between start and free; waiters on a condition.
 */
#include "digest.h"

#include "gguf.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES (4u << 20)
/* Below this, hashing takes some 20 ms: done at once, without thread or note. */
#define SMALL_FILE_BYTES (8u << 20)
#define NOTE_MAX 160 /* 64 hex digits and two numbers */

struct sl_digest {
    const uint8_t *data;
    uint64_t len;
    char *note_path;
    int64_t modified_ns;
    pthread_t thread;
    bool has_thread;
    atomic_bool is_stopping;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t done;
    bool is_done;
    uint8_t *value; /* written by the thread before is_done */
};

/* "dir/.name.sha256"; NULL when out of memory. */
static char *note_path_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const size_t folder = slash != NULL ? (size_t)(slash + 1 - path) : 0;
    const size_t size = strlen(path) + sizeof "..sha256";
    char *note = malloc(size);
    if (note != NULL)
        snprintf(note, size, "%.*s.%s.sha256", (int)folder, path, path + folder);
    return note;
}

static bool read_note(struct sl_digest *digest)
{
    FILE *file = fopen(digest->note_path, "re");
    if (file == NULL)
        return false;
    char hex[2 * SL_SHA256_BYTES + 1];
    uint64_t len;
    int64_t modified;
    const int fields = fscanf(file, "%64[0-9a-f] %" SCNu64 " %" SCNd64, hex, &len, &modified);
    fclose(file);
    return fields == 3 && len == digest->len && modified == digest->modified_ns &&
           sl_hex_decode(sl_slice_of(hex), digest->value, SL_SHA256_BYTES);
}

/* A folder that cannot be written to costs the next start its head start, nothing else. */
static void write_note(const struct sl_digest *digest)
{
    char hex[2 * SL_SHA256_BYTES + 1];
    sl_hex_encode(digest->value, SL_SHA256_BYTES, hex);
    const size_t size = strlen(digest->note_path) + 32;
    char *fresh = malloc(size);
    if (fresh == NULL)
        return;
    snprintf(fresh, size, "%s.%ld", digest->note_path, (long)getpid());
    FILE *file = fopen(fresh, "wxe");
    if (file != NULL) {
        const int written =
            fprintf(file, "%s %" PRIu64 " %" PRId64 "\n", hex, digest->len, digest->modified_ns);
        const bool closed = fclose(file) == 0;
        if (written <= 0 || !closed || rename(fresh, digest->note_path) != 0)
            unlink(fresh);
    }
    free(fresh);
}

static void finish(struct sl_digest *digest)
{
    pthread_mutex_lock(&digest->mutex);
    digest->is_done = true;
    pthread_cond_broadcast(&digest->done);
    pthread_mutex_unlock(&digest->mutex);
}

static void *digest_main(void *context)
{
    struct sl_digest *digest = context;
    struct sl_hash *hash = sl_hash_create(NULL, 0);
    if (hash == NULL) { /* out of memory: the slow way needs none */
        sl_sha256(digest->data, digest->len, digest->value);
        finish(digest);
        return NULL;
    }
    for (uint64_t at = 0; at < digest->len && !atomic_load(&digest->is_stopping);
         at += PIECE_BYTES) {
        const uint64_t left = digest->len - at;
        const uint64_t len = left < PIECE_BYTES ? left : PIECE_BYTES;
        sl_hash_update(hash, digest->data + at, len);
        /* Not resident twice: weights that were rearranged are not read there again, and the
         * others come back from the page cache in microseconds. */
        sl_gguf_drop_pages(digest->data + at, len);
    }
    sl_hash_finish(hash, digest->value);
    sl_hash_free(hash);
    if (!atomic_load(&digest->is_stopping))
        write_note(digest);
    finish(digest);
    return NULL;
}

enum sl_err sl_digest_start(const char *path, const void *data, uint64_t len,
                            uint8_t value[SL_SHA256_BYTES], struct sl_digest **out,
                            struct sl_error *error)
{
    struct sl_digest *digest = calloc(1, sizeof *digest);
    if (digest == NULL || (digest->note_path = note_path_of(path)) == NULL) {
        free(digest);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    digest->data = data;
    digest->len = len;
    digest->value = value;
    atomic_init(&digest->is_stopping, false);
    pthread_mutex_init(&digest->mutex, NULL);
    pthread_cond_init(&digest->done, NULL);
    struct stat status;
    const bool is_known_file = stat(path, &status) == 0;
    if (is_known_file)
        digest->modified_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    *out = digest;
    if (len <= SMALL_FILE_BYTES) {
        sl_sha256(data, len, digest->value);
        digest->is_done = true;
    } else if (is_known_file && read_note(digest)) {
        digest->is_done = true;
    } else if (pthread_create(&digest->thread, NULL, digest_main, digest) == 0) {
        digest->has_thread = true;
    } else {
        digest_main(digest);
    }
    return SL_OK;
}

void sl_digest_wait(struct sl_digest *digest)
{
    pthread_mutex_lock(&digest->mutex);
    while (!digest->is_done)
        pthread_cond_wait(&digest->done, &digest->mutex);
    pthread_mutex_unlock(&digest->mutex);
}

void sl_digest_free(struct sl_digest *digest)
{
    if (digest == NULL)
        return;
    atomic_store(&digest->is_stopping, true);
    if (digest->has_thread)
        pthread_join(digest->thread, NULL);
    pthread_mutex_destroy(&digest->mutex);
    pthread_cond_destroy(&digest->done);
    free(digest->note_path);
    free(digest);
}
