/* SPDX-License-Identifier: Apache-2.0
 *
 * The main of the Check programs. Check knows no skipped tests, and runs each in a child process:
 * a skip is reported through a shared counter and the test then ends as if passed.
 */
#include "test_support.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define SCRATCH_MAX 512
#define PATH_TEXT_MAX 1024

struct shared_state {
    atomic_int skipped;
    atomic_int scratch_count;
    char scratch[SCRATCH_MAX][48];
};

static struct shared_state *shared;

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *walk)
{
    (void)info;
    (void)flag;
    (void)walk;
    return remove(path);
}

int sl_test_main(Suite *suite)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        abort();
    setvbuf(stdout, NULL, _IOLBF, 0);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_SILENT);
    int ran = srunner_ntests_run(runner);
    int failed = srunner_ntests_failed(runner);
    int skipped = shared->skipped;
    TestResult **failures = srunner_failures(runner);
    for (int i = 0; i < failed; i++)
        printf("not ok %s: %s:%d: %s\n", tr_tcname(failures[i]), tr_lfile(failures[i]),
               tr_lno(failures[i]), tr_msg(failures[i]));
    free(failures);
    srunner_free(runner);
    for (int i = 0; i < shared->scratch_count && i < SCRATCH_MAX; i++)
        nftw(shared->scratch[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    printf("%d passed, %d failed, %d skipped\n", ran - failed - skipped, failed, skipped);
    return failed == 0 && ran > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

void sl_test_skip(const char *format, ...)
{
    va_list args;
    printf("skipped: ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    atomic_fetch_add(&shared->skipped, 1);
    _exit(EXIT_SUCCESS);
}

const char *sl_test_reference(const char *name)
{
    static char path[PATH_TEXT_MAX];
    const char *root = getenv("SLUICE_REFERENCE");
    if (root == NULL || root[0] == '\0')
        root = SLUICE_SOURCE_DIR "/../shared/reference";
    snprintf(path, sizeof path, "%s/%s", root, name);
    if (access(path, R_OK) != 0)
        sl_test_skip("reference data %s: %s", path, strerror(errno));
    return path;
}

const char *sl_test_scratch(void)
{
    int idx = atomic_fetch_add(&shared->scratch_count, 1);
    ck_assert_msg(idx < SCRATCH_MAX, "too many scratch folders in one program");
    char *path = shared->scratch[idx];
    snprintf(path, sizeof shared->scratch[idx], "/tmp/sluice-test-XXXXXX");
    ck_assert_msg(mkdtemp(path) != NULL, "mkdtemp: %s", strerror(errno));
    return path;
}

char *sl_test_read_file(const char *path, size_t *len_out)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_eq(fread(text, 1, (size_t)size, file), (size_t)size);
    text[size] = '\0';
    fclose(file);
    if (len_out != NULL)
        *len_out = (size_t)size;
    return text;
}

void sl_test_limit_files(size_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN); /* write(2) says EFBIG instead */
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0)
        abort();
    limit.rlim_cur = bytes == SIZE_MAX ? limit.rlim_max : (rlim_t)bytes;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        abort();
}
