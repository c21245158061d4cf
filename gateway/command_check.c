/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice check`: opens everything that `serve` would open, without serving: options, data folder,
 * keys, policy, certificate, model with calibration. Every part is tried, also after one failed.
 */
#include "commands.h"

#include "http_server.h"
#include "keys.h"
#include "sluice/confidence.h"
#include "sluice/engine.h"
#include "sluice/policy.h"
#include "sluice/secret.h"

#include <stdio.h>

struct check_report {
    bool is_json;
    bool has_failed;
    json_t *rows;
};

static void report(struct check_report *out, const char *part, bool is_fine, const char *text)
{
    out->has_failed |= !is_fine;
    if (out->is_json)
        json_array_append_new(out->rows, json_pack("{s:s, s:b, s:s}", "part", part, "ok", is_fine,
                                                   "detail", text));
    else
        printf("%-7s %-12s %s\n", is_fine ? "ok" : "FAILED", part, text);
}

static void check_policy(const struct sl_options *options, struct check_report *out)
{
    const struct sl_policy *policy;
    struct sl_error error = {0};
    char text[SL_ERROR_MESSAGE_MAX];
    enum sl_err err = options->policy[0] != '\0' ? sl_policy_load(options->policy, &policy, &error)
                                                 : sl_policy_default(&policy, &error);
    if (err != SL_OK) {
        report(out, "policy", false, error.message);
        return;
    }
    snprintf(text, sizeof text, "%s: %zu routes, %zu providers, sha256:%.12s…",
             options->policy[0] != '\0' ? options->policy : "built in",
             sl_policy_route_count(policy), sl_policy_provider_count(policy),
             sl_policy_digest(policy));
    report(out, "policy", true, text);
    sl_policy_release(policy);
}

static void check_model(const struct sl_options *options, struct check_report *out)
{
    struct sl_engine *engine;
    struct sl_calibration *calibration = NULL;
    struct sl_error error = {0};
    char text[SL_ERROR_MESSAGE_MAX];
    if (options->model[0] == '\0') {
        report(out, "model", true, "none: answers come from cache and cloud");
        return;
    }
    struct sl_engine_config config = {.model_path = options->model, .threads = 1};
    if (sl_engine_open(&config, &engine, &error) != SL_OK) {
        report(out, "model", false, error.message);
        return;
    }
    const struct sl_model_info *info = sl_engine_info(engine);
    snprintf(text, sizeof text, "%s: %s, %s, %.1f M weights, context %u of %u", info->name,
             info->architecture, info->quantization, (double)info->parameters / 1e6,
             info->context_tokens, info->context_tokens_trained);
    report(out, "model", true, text);
    enum sl_err err =
        options->calibration[0] != '\0'
            ? sl_calibration_open(options->calibration, info->digest, &calibration, &error)
            : sl_calibration_open_beside(options->model, info->digest, &calibration, &error);
    if (err == SL_ERR_NOT_FOUND)
        report(out, "calibration", true, "none: confidence is the mean token probability");
    else
        report(out, "calibration", err == SL_OK,
               err == SL_OK ? "made for this model" : error.message);
    sl_calibration_free(calibration);
    sl_engine_close(engine);
}

static void check_keys(const struct sl_options *options, struct check_report *out)
{
    char folder[512], path[600], text[700];
    struct sl_keys *keys;
    struct sl_error error = {0};
    if (sl_options_data_dir(options, folder, sizeof folder, &error) != SL_OK) {
        report(out, "data_dir", false, error.message);
        return;
    }
    report(out, "data_dir", true, folder);
    snprintf(path, sizeof path, "%s/keys.json", folder);
    const char *keys_path = options->keys_file[0] != '\0' ? options->keys_file : path;
    if (sl_keys_open(keys_path, &keys, &error) != SL_OK) {
        report(out, "keys", false, error.message);
        return;
    }
    snprintf(text, sizeof text, "%zu in %s", sl_keys_count(keys), keys_path);
    report(out, "keys", true, text);
    sl_keys_close(keys);
}

static void check_secret_file(const char *part, const char *path, bool demand_private,
                              struct check_report *out)
{
    struct sl_secret *secret = NULL;
    struct sl_error error = {0};
    if (path[0] == '\0')
        return;
    bool is_fine = sl_secret_from_file(path, demand_private, &secret, &error) == SL_OK;
    report(out, part, is_fine, is_fine ? path : error.message);
    sl_secret_free(secret);
}

static void check_listen(const struct sl_options *options, struct check_report *out)
{
    bool is_public;
    struct sl_error error = {0};
    char text[SL_ERROR_MESSAGE_MAX];
    if (sl_http_listen_is_public(options->listen, &is_public, &error) != SL_OK) {
        report(out, "listen", false, error.message);
        return;
    }
    bool has_pair = (options->tls_cert[0] != '\0') == (options->tls_key[0] != '\0');
    snprintf(text, sizeof text, "%s%s%s", options->listen,
             is_public ? ", demands API keys" : ", this machine only",
             !has_pair                          ? "; tls_cert and tls_key go together"
             : options->tls_cert[0] != '\0'     ? ", HTTPS"
             : is_public                        ? ", plain HTTP: keys travel in the clear"
                                                : ", plain HTTP");
    report(out, "listen", has_pair, text);
}

int sl_command_check(struct sl_command_call *call)
{
    struct check_report out = {.is_json = call->arguments.wants_json, .rows = json_array()};
    if (call->arguments.word_count > 0) {
        json_decref(out.rows);
        return sl_commands_misuse("check takes no words");
    }
    check_listen(call->options, &out);
    check_secret_file("tls_cert", call->options->tls_cert, false, &out);
    check_secret_file("tls_key", call->options->tls_key, true, &out);
    check_secret_file("admin_token", call->options->admin_token_file, true, &out);
    check_keys(call->options, &out);
    check_policy(call->options, &out);
    check_model(call->options, &out);
    if (out.is_json) {
        json_dumpf(out.rows, stdout, JSON_COMPACT);
        putchar('\n');
    }
    json_decref(out.rows);
    return out.has_failed ? SL_EXIT_FAILED : SL_EXIT_FINE;
}
