/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: the child process of `sluice train`: finding Python and recipe, running, stopping, cleaning
 * up after it. One thread (a child is made by fork, before the engine has threads).
 *
 * Where the recipe lies is told from where the program lies, not from a path of the build: the
 * program then contains no folder of the machine that it was built on.
 */
#include "command_train.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRIPT "own.py"
#define ARGUMENTS_MAX 64
#define FILES_MAX 32

/* What the signal handler needs. */
static volatile sig_atomic_t was_stopped;
static volatile pid_t child;

static void stop(int number)
{
    was_stopped = 1;
    if (child > 0)
        kill(child, number);
}

bool sl_training_was_stopped(void) { return was_stopped != 0; }

/* ---- children ---- */

/* Runs argv and returns its status as waitpid has it, -1 where it could not be started. */
static int run_child(char *const argv[], bool quiet, uint32_t threads)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* a killed parent leaves no training behind */
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        char count[16];
        snprintf(count, sizeof count, "%u", threads);
        setenv("PYTHONDONTWRITEBYTECODE", "1", 1); /* the recipe's folder may be another's */
        setenv("OMP_WAIT_POLICY", "passive", 0);   /* threads that spin starve a busy machine */
        if (threads > 0) { /* each library under PyTorch has a number of its own */
            setenv("OMP_NUM_THREADS", count, 1);
            setenv("OPENBLAS_NUM_THREADS", count, 1);
        }
        int null = quiet ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
        if (null >= 0 && (dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0))
            _exit(127);
        if (getppid() == parent)
            execvp(argv[0], argv);
        _exit(127);
    }
    if (pid < 0)
        return -1;
    child = pid;
    if (was_stopped) /* between fork and here */
        kill(pid, SIGTERM);
    int status;
    pid_t ended;
    while ((ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    child = 0;
    return ended == pid ? status : -1;
}

static bool can_train(const char *python)
{
    char *const argv[] = {(char *)(uintptr_t)python, "-c", "import numpy, torch", NULL};
    return run_child(argv, true, 0) == 0;
}

static enum sl_err find_python(struct sl_training *work, struct sl_error *error)
{
    const char *own = getenv("SLUICE_PYTHON");
    if (own != NULL && own[0] == '\0')
        own = NULL;
    const char *names[] = {own != NULL ? own : "python3", "/usr/bin/python3"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if ((i > 0 && own != NULL) || !can_train(names[i]))
            continue;
        snprintf(work->python, sizeof work->python, "%s", names[i]);
        return SL_OK;
    }
    return sl_error_set(error, SL_ERR_NOT_FOUND,
                        "training needs Python 3 with PyTorch, which %s cannot load; install it "
                        "with: apt-get install python3-torch libopenblas0-pthread",
                        own != NULL ? own : "python3");
}

/* ---- the recipe ---- */

static bool is_recipe(struct sl_training *work, const char *folder, const char *tail)
{
    char script[SL_TRAIN_PATH + 16];
    if (folder[0] == '\0' ||
        snprintf(work->recipe, sizeof work->recipe, "%s%s", folder, tail) >=
            (int)sizeof work->recipe)
        return false;
    snprintf(script, sizeof script, "%s/" SCRIPT, work->recipe);
    return access(script, R_OK) == 0;
}

static enum sl_err find_recipe(struct sl_training *work, struct sl_error *error)
{
    const char *own = getenv("SLUICE_TRAIN_DIR");
    if (own != NULL && own[0] == '\0')
        own = NULL;
    char program[SL_TRAIN_PATH] = "";
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    program[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(program, '/');
    if (slash != NULL)
        *slash = '\0';
    if (own != NULL ? is_recipe(work, own, "")
                    : is_recipe(work, program, "/../share/sluice/train") ||
                          is_recipe(work, program, "/../../engine/default"))
        return SL_OK;
    return sl_error_set(error, SL_ERR_NOT_FOUND,
                        "no recipe to train with: expected %s in %s (SLUICE_TRAIN_DIR says where)",
                        SCRIPT, own != NULL ? own : "share/sluice/train beside the program's bin");
}

enum sl_err sl_training_find(struct sl_training *work, struct sl_error *error)
{
    enum sl_err err = find_recipe(work, error);
    return err == SL_OK ? find_python(work, error) : err;
}

/* ---- running ---- */

struct arguments {
    char *list[ARGUMENTS_MAX + 1];
    size_t count;
};

static void add(struct arguments *arguments, const char *word)
{
    if (arguments->count < ARGUMENTS_MAX)
        arguments->list[arguments->count++] = (char *)(uintptr_t)word;
}

static void add_pair(struct arguments *arguments, const char *flag, const char *value)
{
    if (value == NULL)
        return;
    add(arguments, flag);
    add(arguments, value);
}

/* The files between the commas of `data`, which is cut up. */
static bool add_files(struct arguments *arguments, char *data)
{
    size_t count = 0;
    add(arguments, "--data");
    for (char *file; (file = strsep(&data, ",")) != NULL; count++)
        add(arguments, file);
    return count <= FILES_MAX;
}

static enum sl_err run_script(const struct sl_training *work, char *data, struct sl_error *error)
{
    struct arguments arguments = {0};
    char script[SL_TRAIN_PATH + 16], seed[24], threads[16];
    snprintf(script, sizeof script, "%s/" SCRIPT, work->recipe);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)work->seed);
    snprintf(threads, sizeof threads, "%u", work->threads);
    add(&arguments, work->python);
    add(&arguments, script);
    add_pair(&arguments, "--folder", work->folder);
    add_pair(&arguments, "--name", work->name);
    add_pair(&arguments, "--seed", seed);
    add_pair(&arguments, "--minutes", work->minutes);
    add_pair(&arguments, "--epochs", work->epochs);
    add_pair(&arguments, "--start", work->start);
    add_pair(&arguments, "--size", work->size);
    if (work->threads > 0)
        add_pair(&arguments, "--threads", threads);
    if (work->from_scratch)
        add(&arguments, "--from-scratch");
    if (!add_files(&arguments, data))
        return sl_error_set(error, SL_ERR_INVALID, "--data: expected at most %d files", FILES_MAX);
    int status = run_child(arguments.list, false, work->threads);
    if (was_stopped)
        return sl_error_set(error, SL_ERR_SHUTDOWN, "stopped; nothing was written");
    if (status == -1)
        return sl_error_set(error, SL_ERR_IO, "no process for the training: %s", strerror(errno));
    if (!WIFEXITED(status))
        return sl_error_set(error, SL_ERR_IO, "the training was ended by signal %d",
                            WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return sl_error_set(error, SL_ERR_INVALID, "no model was trained");
    return SL_OK;
}

enum sl_err sl_training_run(struct sl_training *work, struct sl_error *error)
{
    struct sigaction action = {.sa_handler = stop};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    char *data = strdup(work->data);
    enum sl_err err = data == NULL ? sl_error_set(error, SL_ERR_MEMORY, NULL)
                                   : run_script(work, data, error);
    free(data);
    return err;
}

/* ---- cleaning up ---- */

void sl_training_remove_folder(const struct sl_training *work)
{
    DIR *folder = opendir(work->folder);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder != NULL)
        closedir(folder);
    rmdir(work->folder);
}
