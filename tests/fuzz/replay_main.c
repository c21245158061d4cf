/* SPDX-License-Identifier: Apache-2.0
 *
 * Replays a corpus without a fuzzer: every file below the folders and files named on the command
 * line is given to the target once. Crashes and sanitizer reports are the failures.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *data = malloc((size_t)size + 1); /* exact size, so that an over-read is seen */
    if (data == NULL || fread(data, 1, (size_t)size, file) != (size_t)size) {
        fclose(file);
        free(data);
        return -1;
    }
    fclose(file);
    uint8_t *exact = malloc((size_t)size > 0 ? (size_t)size : 1);
    if (exact == NULL) {
        free(data);
        return -1;
    }
    memcpy(exact, data, (size_t)size);
    free(data);
    LLVMFuzzerTestOneInput(exact, (size_t)size);
    free(exact);
    replayed++;
    return 0;
}

static int replay(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(info.st_mode))
        return replay_file(path);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return -1;
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(folder)) != NULL) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        rc = replay(name);
    }
    closedir(folder);
    return rc;
}

int main(int argc, char **argv)
{
    int rc = 0;
    for (int i = 1; i < argc && rc == 0; i++)
        rc = replay(argv[i]);
    printf("%u passed, %d failed, 0 skipped\n", replayed, rc == 0 ? 0 : 1);
    return rc == 0 && replayed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
