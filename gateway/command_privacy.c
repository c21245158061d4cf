/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice pii scan`: what the policy's detector finds in a text. `sluice ledger`: what left the box.
 */
#include "commands.h"

#include "sluice/pii.h"
#include "sluice/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The route by name, or the first. */
static const struct sl_route *find_route(const struct sl_policy *policy, const char *name)
{
    for (size_t i = 0; i < sl_policy_route_count(policy); i++)
        if (name == NULL || strcmp(sl_policy_route(policy, i)->name, name) == 0)
            return sl_policy_route(policy, i);
    return NULL;
}

static int scan_file(const struct sl_command_call *call, const struct sl_route *route)
{
    const char *path = call->arguments.word_count == 1 ? call->arguments.words[0] : "-";
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (in == NULL) {
        fprintf(stderr, "sluice: %s: %s\n", path, strerror(errno));
        return SL_EXIT_FAILED;
    }
    int status = sl_pii_scan_command(
        route->pii_detector,
        call->arguments.wants_json ? SL_PII_SCAN_JSONL : SL_PII_SCAN_TEXT, in, stdout, stderr);
    if (in != stdin)
        fclose(in);
    return status;
}

int sl_command_pii_scan(struct sl_command_call *call)
{
    struct sl_error error = {0};
    const struct sl_policy *policy;
    const char *name = sl_commands_flag(call, "route");
    if (call->arguments.word_count > 1)
        return sl_commands_misuse("pii scan takes one FILE, or reads standard input");
    enum sl_err err = call->options->policy[0] != '\0'
                          ? sl_policy_load(call->options->policy, &policy, &error)
                          : sl_policy_default(&policy, &error);
    if (err != SL_OK)
        return sl_commands_fail(&error);
    const struct sl_route *route = find_route(policy, name);
    int status = route != NULL ? scan_file(call, route)
                               : sl_commands_misuse("the policy has no route \"%.60s\"", name);
    sl_policy_release(policy);
    return status;
}

/* "2026-11-21" or "2026-11-21T05:00:00Z" in milliseconds since 1970. */
static bool read_time(const struct sl_command_call *call, const char *name, int64_t *out)
{
    const char *text = sl_commands_flag(call, name);
    struct tm tm = {0};
    *out = 0;
    if (text == NULL)
        return true;
    const char *rest = strptime(text, "%Y-%m-%d", &tm);
    if (rest != NULL && *rest == 'T')
        rest = strptime(rest, "T%H:%M:%SZ", &tm);
    if (rest == NULL || *rest != '\0')
        return false;
    *out = (int64_t)timegm(&tm) * 1000;
    return true;
}

int sl_command_ledger(struct sl_command_call *call)
{
    struct sl_error error = {0};
    struct sl_pii_ledger_query query = {.app = sl_commands_flag(call, "app"),
                                        .provider = sl_commands_flag(call, "provider"),
                                        .as_json = call->arguments.wants_json};
    char folder[512], path[600];
    if (call->arguments.word_count > 0)
        return sl_commands_misuse("ledger takes no words");
    if (!read_time(call, "since", &query.since_ms) || !read_time(call, "until", &query.until_ms))
        return sl_commands_misuse("a time is YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ");
    if (sl_options_data_dir(call->options, folder, sizeof folder, &error) != SL_OK)
        return sl_commands_fail(&error);
    snprintf(path, sizeof path, "%s/egress.jsonl", folder);
    return sl_pii_ledger_print(path, &query, stdout, &error) == SL_OK ? SL_EXIT_FINE
                                                                     : sl_commands_fail(&error);
}
