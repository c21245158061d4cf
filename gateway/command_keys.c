/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice keys add|list|revoke`: the key file of the data folder, edited while a gateway may run.
 */
#include "commands.h"

#include "keys.h"
#include "sluice/secret.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static enum sl_err open_keys(const struct sl_command_call *call, struct sl_keys **out,
                             struct sl_error *error)
{
    char folder[512], path[600];
    if (call->options->keys_file[0] != '\0')
        return sl_keys_open(call->options->keys_file, out, error);
    enum sl_err err = sl_options_data_dir(call->options, folder, sizeof folder, error);
    if (err != SL_OK)
        return err;
    snprintf(path, sizeof path, "%s/keys.json", folder);
    return sl_keys_open(path, out, error);
}

static bool read_limit(const struct sl_command_call *call, const char *name, uint32_t *out)
{
    const char *text = sl_commands_flag(call, name);
    char *end;
    *out = 0;
    if (text == NULL)
        return true;
    unsigned long number = strtoul(text, &end, 10);
    *out = (uint32_t)number;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && number <= UINT32_MAX;
}

int sl_command_keys_add(struct sl_command_call *call)
{
    struct sl_key_terms terms = {0};
    if (call->arguments.word_count != 1)
        return sl_commands_misuse("keys add takes one NAME");
    if (!read_limit(call, "requests-per-minute", &terms.requests_per_minute) ||
        !read_limit(call, "tokens-per-minute", &terms.tokens_per_minute))
        return sl_commands_misuse("a limit is a number from 0");
    struct sl_error error = {0};
    struct sl_keys *keys;
    if ((size_t)snprintf(terms.name, sizeof terms.name, "%s", call->arguments.words[0]) >=
        sizeof terms.name)
        return sl_commands_misuse("the name is longer than %d bytes", SL_KEY_NAME_MAX - 1);
    if (open_keys(call, &keys, &error) != SL_OK)
        return sl_commands_fail(&error);
    char text[SL_KEY_TEXT_BYTES];
    enum sl_err err = sl_keys_add(keys, &terms, text, &error);
    sl_keys_close(keys);
    if (err != SL_OK)
        return sl_commands_fail(&error);
    if (call->arguments.wants_json)
        printf("{\"id\":\"%s\",\"key\":\"%s\"}\n", terms.id, text);
    else
        printf("%s\n(id %s; shown only now, stored as a hash)\n", text, terms.id);
    sl_wipe(text, sizeof text);
    return SL_EXIT_FINE;
}

static void print_key(const struct sl_key_terms *terms)
{
    char created[32] = "?";
    struct tm tm;
    time_t seconds = (time_t)terms->created_s;
    if (seconds > 0 && gmtime_r(&seconds, &tm) != NULL)
        strftime(created, sizeof created, "%Y-%m-%d %H:%M", &tm);
    printf("%-12s %-24s %-18s %10u %10u\n", terms->id, terms->name, created,
           terms->requests_per_minute, terms->tokens_per_minute);
}

static json_t *key_json(const struct sl_key_terms *terms)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:I}", "id", terms->id, "name", terms->name, "created",
                     (json_int_t)terms->created_s, "requests_per_minute",
                     (json_int_t)terms->requests_per_minute, "tokens_per_minute",
                     (json_int_t)terms->tokens_per_minute);
}

int sl_command_keys_list(struct sl_command_call *call)
{
    struct sl_error error = {0};
    struct sl_keys *keys;
    if (call->arguments.word_count > 0)
        return sl_commands_misuse("keys list takes no words");
    if (open_keys(call, &keys, &error) != SL_OK)
        return sl_commands_fail(&error);
    json_t *rows = json_array();
    struct sl_key_terms terms;
    if (!call->arguments.wants_json)
        printf("%-12s %-24s %-18s %10s %10s\n", "ID", "NAME", "CREATED (UTC)", "REQ/MIN",
               "TOK/MIN");
    for (size_t i = 0; sl_keys_get(keys, i, &terms); i++) {
        if (call->arguments.wants_json)
            json_array_append_new(rows, key_json(&terms));
        else
            print_key(&terms);
    }
    if (call->arguments.wants_json) {
        json_dumpf(rows, stdout, JSON_COMPACT);
        putchar('\n');
    }
    json_decref(rows);
    sl_keys_close(keys);
    return SL_EXIT_FINE;
}

int sl_command_keys_revoke(struct sl_command_call *call)
{
    struct sl_error error = {0};
    struct sl_keys *keys;
    if (call->arguments.word_count != 1)
        return sl_commands_misuse("keys revoke takes one ID or NAME");
    if (open_keys(call, &keys, &error) != SL_OK)
        return sl_commands_fail(&error);
    enum sl_err err = sl_keys_revoke(keys, call->arguments.words[0], &error);
    sl_keys_close(keys);
    if (err != SL_OK)
        return sl_commands_fail(&error);
    puts("revoked");
    return SL_EXIT_FINE;
}
