/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice calibrate` and `sluice eval`: words and flags; the work is the router's (calibrate.h).
 */
#include "commands.h"

#include "sluice/calibrate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Reads a number flag; false, after saying so, where it is none. */
static bool read_double(const struct sl_command_call *call, const char *name, double *out)
{
    const char *text = sl_commands_flag(call, name);
    char *end;
    if (text == NULL)
        return true;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(number)) {
        sl_commands_misuse("--%s: expected a number, found \"%.40s\"", name, text);
        return false;
    }
    *out = number;
    return true;
}

static bool read_count(const struct sl_command_call *call, const char *name, uint32_t *out)
{
    double number = *out;
    if (!read_double(call, name, &number))
        return false;
    if (number < 0 || number > UINT32_MAX || number != floor(number)) {
        sl_commands_misuse("--%s: expected a whole number from 0", name);
        return false;
    }
    *out = (uint32_t)number;
    return true;
}

int sl_command_calibrate(struct sl_command_call *call)
{
    struct sl_calibrate_options options;
    sl_calibrate_defaults(&options);
    options.model_path = call->options->model;
    options.data_path = sl_commands_flag(call, "data");
    options.out_path = sl_commands_flag(call, "out");
    options.threads = (uint32_t)call->options->threads;
    options.train_gate = sl_commands_flag(call, "train-gate") != NULL;
    options.json = call->arguments.wants_json;
    options.quiet = call->arguments.wants_json || isatty(STDERR_FILENO) != 1;
    if (call->arguments.word_count > 0 || options.model_path[0] == '\0' ||
        options.data_path == NULL)
        return sl_commands_misuse("calibrate takes --model FILE.gguf --data ROWS.jsonl");
    options.no_gate = sl_commands_flag(call, "no-gate") != NULL;
    options.add = sl_commands_flag(call, "add") != NULL;
    if (options.add && (options.no_gate || options.train_gate))
        return sl_commands_misuse("--add keeps the gate that is there");
    uint32_t seed = (uint32_t)options.seed;
    if (!read_double(call, "risk", &options.risk) ||
        !read_double(call, "delta", &options.delta) ||
        !read_double(call, "oos-share", &options.oos_share) || !read_count(call, "seed", &seed) ||
        !read_double(call, "cloud-usd", &options.cloud_usd) ||
        !read_count(call, "rows", &options.rows_max))
        return SL_EXIT_MISUSED;
    options.seed = seed;
    return sl_calibrate_command(&options, stdout, stderr);
}

int sl_command_eval(struct sl_command_call *call)
{
    struct sl_eval_options options;
    sl_eval_defaults(&options);
    options.model_path = call->options->model;
    options.calibration_path =
        call->options->calibration[0] != '\0' ? call->options->calibration : NULL;
    options.data_path = sl_commands_flag(call, "data");
    options.threads = (uint32_t)call->options->threads;
    options.json = call->arguments.wants_json;
    options.quiet = call->arguments.wants_json || isatty(STDERR_FILENO) != 1;
    if (sl_commands_flag(call, "split") != NULL)
        options.split = sl_commands_flag(call, "split");
    if (call->arguments.word_count > 0 || options.model_path[0] == '\0' ||
        options.data_path == NULL)
        return sl_commands_misuse("eval takes --model FILE.gguf --data ROWS.jsonl");
    uint32_t seed = (uint32_t)options.seed;
    if (!read_double(call, "threshold", &options.threshold) ||
        !read_count(call, "bootstrap", &options.bootstrap) || !read_count(call, "seed", &seed) ||
        !read_count(call, "rows", &options.rows_max))
        return SL_EXIT_MISUSED;
    options.seed = seed;
    return sl_eval_command(&options, stdout, stderr);
}
