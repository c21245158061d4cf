/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of `sluice`. Each is one function in a file of its own and one row of the table in
 * commands.c, which makes the usage text. A command gets options that are loaded and words that are
 * left; it returns the exit status.
 */
#ifndef SLUICE_GATEWAY_COMMANDS_H
#define SLUICE_GATEWAY_COMMANDS_H

#include "options.h"

enum sl_exit { SL_EXIT_FINE = 0, SL_EXIT_FAILED = 1, SL_EXIT_MISUSED = 2 };

struct sl_command_call {
    const struct sl_options *options;
    struct sl_arguments arguments;   /* without the command's own words */
    struct sl_command_flag *flags;   /* as in the row, with `set_to` filled */
};
typedef int (*sl_command_fn)(struct sl_command_call *call);

/* The value of one of the command's own flags, or NULL. */
const char *sl_commands_flag(const struct sl_command_call *call, const char *name);
/* Prints "sluice: …" on standard error and returns SL_EXIT_FAILED. */
int sl_commands_fail(const struct sl_error *error);
/* Prints what was wrong with the words and returns SL_EXIT_MISUSED. */
int sl_commands_misuse(const char *format, ...) SL_PRINTF(1, 2);

int sl_command_serve(struct sl_command_call *call);
int sl_command_check(struct sl_command_call *call);
int sl_command_version(struct sl_command_call *call);
int sl_command_keys_add(struct sl_command_call *call);
int sl_command_keys_list(struct sl_command_call *call);
int sl_command_keys_revoke(struct sl_command_call *call);
int sl_command_policy_explain(struct sl_command_call *call);
int sl_command_policy_show(struct sl_command_call *call);
int sl_command_cache_stats(struct sl_command_call *call);
int sl_command_cache_purge(struct sl_command_call *call);
int sl_command_cache_export(struct sl_command_call *call);
int sl_command_cache_rotate_key(struct sl_command_call *call);
int sl_command_model_list(struct sl_command_call *call);
int sl_command_model_verify(struct sl_command_call *call);
int sl_command_quantize(struct sl_command_call *call);
int sl_command_calibrate(struct sl_command_call *call);
int sl_command_eval(struct sl_command_call *call);
int sl_command_train(struct sl_command_call *call);
int sl_command_chat(struct sl_command_call *call);
int sl_command_bench(struct sl_command_call *call);
int sl_command_pii_scan(struct sl_command_call *call);
int sl_command_ledger(struct sl_command_call *call);
int sl_command_certs_init(struct sl_command_call *call);

#endif
