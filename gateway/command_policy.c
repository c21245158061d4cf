/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice policy explain REQUEST.json`: what would happen to a request and why, without sending
 * anything. The same stages run as in the gateway, the local model included. `sluice policy show`
 * prints the built-in policy, to start an own one from.
 */
#include "commands.h"

#include "gateway_parts.h"

#include <stdio.h>
#include <stdlib.h>

#define REQUEST_BYTES_MAX (16u << 20)

static enum sl_err read_all(const char *path, struct sl_buf *out, struct sl_error *error)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char piece[8192];
    size_t len;
    if (file == NULL)
        return sl_error_set(error, SL_ERR_IO, "%s: cannot be opened", path);
    enum sl_err err = SL_OK;
    while (err == SL_OK && (len = fread(piece, 1, sizeof piece, file)) > 0)
        err = sl_buf_append(out, piece, len);
    if (err == SL_OK && ferror(file))
        err = SL_ERR_IO;
    if (file != stdin)
        fclose(file);
    return err == SL_OK ? SL_OK : sl_error_set(error, err, "%s: %s", path, sl_err_sentence(err));
}

/* The few lines that a person reads first. */
static void print_summary(const json_t *explained)
{
    static const char *const members[] = {"side", "reason", "meaning", "would_change"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const char *text = json_string_value(json_object_get(explained, members[i]));
        if (text != NULL && text[0] != '\0')
            printf("%-13s %s\n", members[i], text);
    }
    putchar('\n');
}

int sl_command_policy_explain(struct sl_command_call *call)
{
    struct sl_error error = {0};
    struct sl_gateway *gateway;
    struct sl_header headers[2];
    struct sl_request_input input = {.remote_address = "127.0.0.1",
                                     .is_loopback = true,
                                     .headers = headers};
    const char *mode = sl_commands_flag(call, "mode"), *app = sl_commands_flag(call, "app");
    json_t *explained = NULL;
    struct sl_options options = *call->options;
    options.cache_bytes_max = UINT64_MAX; /* nothing is evicted here; see command_cache.c */
    struct sl_buf body;
    if (call->arguments.word_count != 1)
        return sl_commands_misuse("policy explain takes one REQUEST.json (- is standard input)");
    if (mode != NULL)
        headers[input.header_count++] =
            (struct sl_header){SL_SLICE("x-sluice-mode"), sl_slice_of(mode)};
    if (app != NULL)
        headers[input.header_count++] =
            (struct sl_header){SL_SLICE("x-sluice-app"), sl_slice_of(app)};
    sl_buf_init(&body, REQUEST_BYTES_MAX);
    enum sl_err err = read_all(call->arguments.words[0], &body, &error);
    if (err == SL_OK)
        err = sl_gateway_open_parts(&options, &gateway, &error);
    if (err == SL_OK) {
        input.body = sl_buf_slice(&body);
        err = sl_edge_explain(sl_gateway_edge(gateway), &input, &explained, &error);
        sl_gateway_stop(gateway);
    }
    sl_buf_wipe(&body);
    if (err != SL_OK)
        return sl_commands_fail(&error);
    if (!call->arguments.wants_json)
        print_summary(explained);
    json_dumpf(explained, stdout, call->arguments.wants_json ? JSON_COMPACT : JSON_INDENT(2));
    putchar('\n');
    json_decref(explained);
    return SL_EXIT_FINE;
}

int sl_command_policy_show(struct sl_command_call *call)
{
    struct sl_slice text = sl_policy_default_text();
    if (call->arguments.word_count > 0)
        return sl_commands_misuse("policy show takes no words");
    fwrite(text.data, 1, text.len, stdout);
    return SL_EXIT_FINE;
}
