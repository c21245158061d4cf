/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice train`: from an operator's labelled rows to a model that the gateway serves.
 *
 *     rows -> own.py: checked, split, trained -> F32 -> quantize -> calibrate, gate -> report
 *
 * Owns: finding the recipe and a Python that can run it, the order of the steps, the folder that
 * they work in, and putting the results in place. Leaves to others: the training itself
 * (engine/default/own.py), quantizing (engine), calibration and report (router).
 *
 * Everything is made in a hidden folder beside the result and renamed when all of it is there, so
 * that nobody sees half a model: gate, then calibration, then the model. A calibration names the
 * digest of its model, so a gateway that opens the model between two of the renames takes none
 * rather than a wrong one.
 *
 * The steps after training run with that folder as working directory: reports then show the final
 * names. One thread; Ctrl-C and SIGTERM end the child and remove the folder.
 */
#include "commands.h"

#include "command_train.h"
#include "sluice/calibrate.h"
#include "sluice/quantize.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* A box's app asks for its own commands most of the time: of rows to calibrate with, this share
 * counts as foreign, however many general requests there are in the file. */
#define FOREIGN_SHARE 0.3
/* The hundred or two rows held out of a small file can certify this, not the usual 0.02. */
#define CERTIFIED_RISK 0.05
/* A model this small gains nothing from a second thread, one request at a time. */
#define ENGINE_THREADS 1

static bool has_ending(const char *text, const char *ending)
{
    size_t len = strlen(text), end = strlen(ending);
    return len > end && strcmp(text + len - end, ending) == 0;
}

/* ---- the words ---- */

static bool is_type(const char *type)
{
    const char *at = sl_quantize_types();
    while (*at != '\0') {
        size_t len = strcspn(at, ", ");
        if (len == strlen(type) && strncasecmp(at, type, len) == 0)
            return true;
        at += len + strspn(at + len, ", ");
    }
    return false;
}

static bool is_number(const char *text, double least, double most)
{
    char *end;
    double number = strtod(text, &end);
    return end != text && *end == '\0' && number >= least && number <= most;
}

static bool is_count(const char *text)
{
    return text[strspn(text, "0123456789")] == '\0' && is_number(text, 0, 1e9);
}

/* What is wrong with the flags; NULL: nothing. */
static const char *flags_fault(const struct sl_command_call *call)
{
    const char *out = sl_commands_flag(call, "out"), *minutes = sl_commands_flag(call, "minutes");
    const char *epochs = sl_commands_flag(call, "epochs"), *seed = sl_commands_flag(call, "seed");
    const char *size = sl_commands_flag(call, "size");
    bool from_scratch = sl_commands_flag(call, "from-scratch") != NULL;
    if (call->arguments.word_count > 0 || sl_commands_flag(call, "data") == NULL || out == NULL)
        return "train takes --data ROWS.jsonl --out MODEL.gguf";
    if (!has_ending(out, ".gguf"))
        return "--out: expected a name that ends in .gguf";
    if (minutes != NULL && !is_number(minutes, 0.05, 1440))
        return "--minutes: expected a number from 0.05 to 1440";
    if (epochs != NULL && (!is_count(epochs) || !is_number(epochs, 1, 100000)))
        return "--epochs: expected a number from 1 to 100000";
    if (seed != NULL && !is_count(seed))
        return "--seed: expected a whole number";
    if (size != NULL && strcmp(size, "small") != 0 && strcmp(size, "medium") != 0 &&
        strcmp(size, "large") != 0)
        return "--size: expected small, medium or large";
    if (size != NULL && !from_scratch)
        return "--size goes with --from-scratch; otherwise the start has its size";
    if (from_scratch && sl_commands_flag(call, "start") != NULL)
        return "--start and --from-scratch exclude each other";
    return NULL;
}

/* ---- the folder ---- */

/* Sets the paths of the result and makes the folder beside it. */
static enum sl_err make_folder(struct sl_training *work, const char *out, struct sl_error *error)
{
    const char *slash = strrchr(out, '/'), *name = slash == NULL ? out : slash + 1;
    int dir_len = slash == NULL ? 1 : (int)(slash - out);
    const char *dir = slash == NULL ? "." : out;
    int stem_len = (int)(strlen(name) - strlen(".gguf"));
    if (stem_len == 0 || strlen(out) > sizeof work->folder - 64)
        return sl_error_set(error, SL_ERR_INVALID, "--out: the name is too %s",
                            stem_len == 0 ? "short" : "long");
    snprintf(work->name, sizeof work->name, "%.*s", stem_len, name);
    char folder[sizeof work->folder];
    snprintf(folder, sizeof folder, "%.*s/.%.*s.train-XXXXXX", slash == out ? 0 : dir_len, dir,
             stem_len, name);
    if (mkdtemp(folder) == NULL)
        return sl_error_set(error, SL_ERR_IO, "%.*s: no folder can be made there: %s", dir_len, dir,
                            strerror(errno));
    if (realpath(folder, work->folder) == NULL) { /* absolute: the working directory will change */
        rmdir(folder);
        return sl_error_set(error, SL_ERR_IO, "%.*s: %s", dir_len, dir, strerror(errno));
    }
    return SL_OK;
}

/* ---- the steps; the working directory is the folder ---- */

static void file_name(const struct sl_training *work, const char *ending, char out[SL_TRAIN_NAME])
{
    snprintf(out, SL_TRAIN_NAME, "%s%s", work->name, ending);
}

static enum sl_err quantize(const struct sl_training *work, struct sl_error *error)
{
    char model[SL_TRAIN_NAME];
    file_name(work, ".gguf", model);
    fprintf(stderr, "quantizing to %s\n", work->type);
    return sl_quantize_file("f32.gguf", model, work->type, NULL, NULL, error);
}

/* Fits confidence and gate. A refusal to certify a risk leaves a calibration that works; it says by
 * itself how many rows are missing. */
static enum sl_err calibrate(const struct sl_training *work, FILE *out, struct sl_error *error)
{
    char model[SL_TRAIN_NAME], calibration[SL_TRAIN_NAME];
    struct sl_calibrate_options options;
    file_name(work, ".gguf", model);
    file_name(work, ".calibration.json", calibration);
    sl_calibrate_defaults(&options);
    options.model_path = model;
    options.data_path = "rows.jsonl";
    options.train_gate = true;
    options.risk = CERTIFIED_RISK;
    options.oos_share = FOREIGN_SHARE;
    options.seed = work->seed;
    options.threads = ENGINE_THREADS;
    options.quiet = isatty(STDERR_FILENO) != 1;
    if (!options.quiet)
        fputs("calibrating\n", stderr);
    sl_calibrate_command(&options, out, stderr);
    if (access(calibration, R_OK) != 0)
        return sl_error_set(error, SL_ERR_INVALID, "the held-out rows give no calibration");
    return SL_OK;
}

static int evaluate(const struct sl_training *work, bool json, FILE *out)
{
    char model[SL_TRAIN_NAME];
    struct sl_eval_options options;
    file_name(work, ".gguf", model);
    sl_eval_defaults(&options);
    options.model_path = model;
    options.data_path = "report.jsonl";
    options.split = "";
    options.seed = work->seed;
    options.threads = ENGINE_THREADS;
    options.json = json;
    options.quiet = isatty(STDERR_FILENO) != 1;
    return sl_eval_command(&options, out, stderr);
}

/* ---- the result ---- */

/* Renames NAME+ending out of the folder; what was not made now must not stay from last time. */
static enum sl_err put(const struct sl_training *work, const char *ending, struct sl_error *error)
{
    char from[SL_TRAIN_NAME], to[SL_TRAIN_NAME + 3];
    file_name(work, ending, from);
    snprintf(to, sizeof to, "../%s", from);
    if (rename(from, to) == 0 || (errno == ENOENT && (unlink(to) == 0 || errno == ENOENT)))
        return SL_OK;
    return sl_error_set(error, SL_ERR_IO, "%s: cannot be put in place: %s", from, strerror(errno));
}

static enum sl_err put_all(const struct sl_training *work, struct sl_error *error)
{
    enum sl_err err = put(work, ".gate", error);
    if (err == SL_OK)
        err = put(work, ".calibration.json", error);
    return err == SL_OK ? put(work, ".gguf", error) : err;
}

static void print_json(const char *model, const char *report, size_t len)
{
    json_t *figures = json_loadb(report, len, 0, NULL);
    json_t *object = json_pack("{s:s, s:o?}", "model", model, "report", figures);
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(object);
}

/* Quantizing, calibration and report; the report of --json is kept back until all went well. */
static int finish(const struct sl_training *work, const char *out_path, bool json)
{
    struct sl_error error = {0};
    char *report = NULL, *fitted = NULL;
    size_t report_len = 0, fitted_len = 0;
    FILE *report_out = open_memstream(&report, &report_len);
    FILE *fitted_out = open_memstream(&fitted, &fitted_len);
    enum sl_err err = report_out == NULL || fitted_out == NULL
                          ? sl_error_set(&error, SL_ERR_MEMORY, NULL)
                          : quantize(work, &error);
    struct sl_error why = {0};
    bool is_calibrated = err == SL_OK && calibrate(work, fitted_out, &why) == SL_OK;
    int status = err == SL_OK ? evaluate(work, json, report_out) : SL_EXIT_FAILED;
    if (err == SL_OK && sl_training_was_stopped())
        err = sl_error_set(&error, SL_ERR_SHUTDOWN, "stopped; nothing was written");
    if (err == SL_OK && status == SL_EXIT_FINE)
        err = put_all(work, &error);
    if (report_out != NULL)
        fclose(report_out);
    if (fitted_out != NULL)
        fclose(fitted_out);
    if (err == SL_OK && status == SL_EXIT_FINE && json)
        print_json(out_path, report, report_len);
    else if (err == SL_OK && status == SL_EXIT_FINE)
        printf("%.*s\n%.*s\nWritten: %s with calibration and gate beside it. Try it:\n"
               "  sluice serve --model %s\n",
               (int)fitted_len, fitted, (int)report_len, report, out_path, out_path);
    free(report);
    free(fitted);
    if (err != SL_OK)
        return sl_commands_fail(&error);
    if (status == SL_EXIT_FINE && !is_calibrated) {
        fprintf(stderr, "sluice: %s: written, but not calibrated: %s\n", out_path, why.message);
        return SL_EXIT_FAILED;
    }
    return status;
}

int sl_command_train(struct sl_command_call *call)
{
    struct sl_training work = {.data = sl_commands_flag(call, "data"),
                               .start = sl_commands_flag(call, "start"),
                               .size = sl_commands_flag(call, "size"),
                               .minutes = sl_commands_flag(call, "minutes"),
                               .epochs = sl_commands_flag(call, "epochs"),
                               .from_scratch = sl_commands_flag(call, "from-scratch") != NULL,
                               .threads = (uint32_t)call->options->threads};
    struct sl_error error = {0};
    const char *out = sl_commands_flag(call, "out"), *type = sl_commands_flag(call, "type");
    const char *seed = sl_commands_flag(call, "seed"), *fault = flags_fault(call);
    work.type = type != NULL ? type : "Q8_0";
    work.seed = seed != NULL ? strtoull(seed, NULL, 10) : 1;
    if (fault != NULL)
        return sl_commands_misuse("%s", fault);
    if (!is_type(work.type))
        return sl_commands_misuse("--type: expected one of %s", sl_quantize_types());
    enum sl_err err = sl_training_find(&work, &error);
    if (err == SL_OK)
        err = make_folder(&work, out, &error);
    if (err != SL_OK)
        return sl_commands_fail(&error);
    err = sl_training_run(&work, &error);
    if (err == SL_OK && chdir(work.folder) != 0)
        err = sl_error_set(&error, SL_ERR_IO, "%s: %s", work.folder, strerror(errno));
    int status = err == SL_OK ? finish(&work, out, call->arguments.wants_json)
                              : sl_commands_fail(&error);
    sl_training_remove_folder(&work);
    return status;
}
