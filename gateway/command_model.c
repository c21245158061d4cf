/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice model list|verify` and `sluice quantize`: what can be done with model files. They find
 * words and flags; the work is the engine's.
 */
#include "commands.h"

#include "sluice/crypto.h"
#include "sluice/engine.h"
#include "sluice/quantize.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- list and verify ---- */

/* Opens the file as the gateway would, which checks every header, offset and size. */
static json_t *model_json(const char *path, struct sl_error *error)
{
    struct sl_engine *engine;
    struct sl_engine_config config = {.model_path = path, .threads = 1};
    if (sl_engine_open(&config, &engine, error) != SL_OK)
        return NULL;
    const struct sl_model_info *info = sl_engine_info(engine);
    char digest[2 * sizeof info->digest + 1];
    sl_hex_encode(info->digest, sizeof info->digest, digest);
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:s}", "path", path, "name",
                            info->name, "architecture", info->architecture, "quantization",
                            info->quantization, "weights", (json_int_t)info->parameters, "bytes",
                            (json_int_t)info->file_bytes, "context_tokens",
                            (int)info->context_tokens_trained, "sha256", digest);
    sl_engine_close(engine);
    return row;
}

static void print_model(const json_t *row)
{
    printf("%-28s %-10s %-8s %8.1f M %9.1f MiB  %s\n",
           json_string_value(json_object_get(row, "name")),
           json_string_value(json_object_get(row, "architecture")),
           json_string_value(json_object_get(row, "quantization")),
           (double)json_integer_value(json_object_get(row, "weights")) / 1e6,
           (double)json_integer_value(json_object_get(row, "bytes")) / 1048576,
           json_string_value(json_object_get(row, "path")));
}

static int is_gguf(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 5 && strcmp(entry->d_name + len - 5, ".gguf") == 0;
}

static void list_folder(const char *folder, json_t *rows)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_gguf, alphasort);
    for (int i = 0; i < count; i++) {
        char path[1024];
        struct sl_error error = {0};
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        json_t *row = model_json(path, &error);
        if (row != NULL)
            json_array_append_new(rows, row);
        else
            fprintf(stderr, "sluice: %s\n", error.message);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

int sl_command_model_list(struct sl_command_call *call)
{
    struct sl_error error = {0};
    char folder[512], models[600];
    if (call->arguments.word_count > 0)
        return sl_commands_misuse("model list takes no words");
    if (sl_options_data_dir(call->options, folder, sizeof folder, &error) != SL_OK)
        return sl_commands_fail(&error);
    snprintf(models, sizeof models, "%s/models", folder);
    json_t *rows = json_array();
    if (call->options->model[0] != '\0') {
        json_t *row = model_json(call->options->model, &error);
        if (row != NULL)
            json_array_append_new(rows, row);
        else
            fprintf(stderr, "sluice: %s\n", error.message);
    }
    list_folder(models, rows);
    if (call->arguments.wants_json) {
        json_dumpf(rows, stdout, JSON_COMPACT);
        putchar('\n');
    }
    for (size_t i = 0; i < json_array_size(rows) && !call->arguments.wants_json; i++)
        print_model(json_array_get(rows, i));
    json_decref(rows);
    return SL_EXIT_FINE;
}

int sl_command_model_verify(struct sl_command_call *call)
{
    struct sl_error error = {0};
    const char *path = call->arguments.word_count == 1 ? call->arguments.words[0] : NULL;
    if (path == NULL && call->arguments.word_count == 0 && call->options->model[0] != '\0')
        path = call->options->model;
    if (path == NULL)
        return sl_commands_misuse("model verify takes one FILE.gguf");
    json_t *row = model_json(path, &error);
    if (row == NULL)
        return sl_commands_fail(&error);
    if (call->arguments.wants_json) {
        json_dumpf(row, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        print_model(row);
        printf("sha256 %s\n", json_string_value(json_object_get(row, "sha256")));
    }
    json_decref(row);
    return SL_EXIT_FINE;
}

/* ---- quantize ---- */

static void print_progress(void *ctx, const struct sl_quantize_progress *progress)
{
    const bool *is_terminal = ctx;
    fprintf(stderr, "%s[%llu/%llu] %.*s %s -> %s%s", *is_terminal ? "\r\033[K" : "",
            (unsigned long long)progress->idx + 1, (unsigned long long)progress->count,
            SL_SLICE_ARG(progress->name), progress->from, progress->to, *is_terminal ? "" : "\n");
}

int sl_command_quantize(struct sl_command_call *call)
{
    struct sl_error error = {0};
    bool is_terminal = isatty(STDERR_FILENO) == 1;
    if (call->arguments.word_count != 3)
        return sl_commands_misuse("quantize takes IN.gguf OUT.gguf TYPE; types: %s",
                                 sl_quantize_types());
    enum sl_err err = sl_quantize_file(
        call->arguments.words[0], call->arguments.words[1], call->arguments.words[2],
        call->arguments.wants_json ? NULL : print_progress, &is_terminal, &error);
    if (is_terminal && !call->arguments.wants_json)
        fputc('\n', stderr);
    if (err == SL_ERR_INVALID)
        return sl_commands_misuse("%s", error.message);
    if (err != SL_OK)
        return sl_commands_fail(&error);
    if (call->arguments.wants_json)
        puts("{\"ok\":true}");
    return SL_EXIT_FINE;
}
