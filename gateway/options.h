/* SPDX-License-Identifier: Apache-2.0
 *
 * The option table in memory: one row of options.def makes a member here, a flag, an environment
 * variable, a key of the configuration file and a line of --help and --print-config.
 *
 *     struct sl_options options;
 *     sl_options_init(&options);
 *     if (sl_options_load(&options, argc, argv, &rest, &error) != SL_OK) ...
 *     listen_on(options.listen);
 *     sl_options_clear(&options);
 *
 * Precedence: flag > environment > file > default. Threads: one owner; read-only once loaded.
 */
#ifndef SLUICE_GATEWAY_OPTIONS_H
#define SLUICE_GATEWAY_OPTIONS_H

#include "sluice/buf.h"
#include "sluice/err.h"

#include <stdint.h>

enum sl_option_source {
    SL_SOURCE_DEFAULT,
    SL_SOURCE_FILE,
    SL_SOURCE_ENVIRONMENT,
    SL_SOURCE_FLAG
};

enum sl_option_id {
#define TEXT(field, fallback, value, help) SL_OPTION_##field,
#define SECRET(field, fallback, value, help) SL_OPTION_##field,
#define CHOICE(field, fallback, words, help) SL_OPTION_##field,
#define NUMBER(field, fallback, min, max, help) SL_OPTION_##field,
#define BYTES(field, fallback, min, max, help) SL_OPTION_##field,
#define SWITCH(field, fallback, help) SL_OPTION_##field,
#include "options.def"
    SL_OPTION_COUNT
};

/* Texts are owned by the options and never NULL; "" means not set. */
struct sl_options {
#define TEXT(field, fallback, value, help) char *field;
#define SECRET(field, fallback, value, help) char *field;
#define CHOICE(field, fallback, words, help) char *field;
#define NUMBER(field, fallback, min, max, help) uint64_t field;
#define BYTES(field, fallback, min, max, help) uint64_t field;
#define SWITCH(field, fallback, help) bool field;
#include "options.def"
    enum sl_option_source sources[SL_OPTION_COUNT];
};

/* Defaults. Aborts when out of memory: nothing runs yet that could be saved. */
void sl_options_init(struct sl_options *options);
void sl_options_clear(struct sl_options *options);

/* One option by its name ("data-dir" or "data_dir"), as if given as a flag. Errors:
 * SL_ERR_INVALID with the name and what was expected. */
enum sl_err sl_options_set(struct sl_options *options, const char *name, const char *text,
                           struct sl_error *error) SL_MUST_CHECK;

/* The file's JSON object. Errors name file, line, column or key. */
enum sl_err sl_options_load_file(struct sl_options *options, const char *path,
                                 struct sl_error *error) SL_MUST_CHECK;
/* SLUICE_… of `environment` (as `environ`); variables that are no option are left alone. */
enum sl_err sl_options_load_environment(struct sl_options *options, char *const *environment,
                                        struct sl_error *error) SL_MUST_CHECK;

/* What is left on the command line after the options were taken out. */
struct sl_arguments {
    const char *words[16]; /* borrowed from argv */
    size_t word_count;
    bool wants_help;
    bool wants_print_config;
    bool wants_json;
};

/* A flag that only one command has: `--name VALUE`, or `--name` where `value` is NULL. */
struct sl_command_flag {
    const char *name;    /* without the dashes */
    const char *value;   /* placeholder for --help; NULL: a switch */
    const char *help;
    const char *set_to;  /* out: the value given, "" for a switch, NULL where absent */
};

/* The whole of it: --config FILE (or SLUICE_CONFIG) first, then the environment, then the flags of
 * argv[0..argc). `flags` (NULL or ended by a NULL name) are the command's own. */
enum sl_err sl_options_load(struct sl_options *options, int argc, char **argv,
                            char *const *environment, struct sl_command_flag *flags,
                            struct sl_arguments *arguments, struct sl_error *error) SL_MUST_CHECK;

/* The lines of --help, one an option. */
enum sl_err sl_options_help(struct sl_buf *out) SL_MUST_CHECK;
/* A JSON object {"listen": {"value": …, "from": "flag"}, …}; secrets read "(set)". */
enum sl_err sl_options_print(const struct sl_options *options, struct sl_buf *out) SL_MUST_CHECK;

/* The folder for keys, cache and ledger: the option, else $STATE_DIRECTORY (systemd), else
 * $XDG_DATA_HOME/sluice, else ~/.local/share/sluice. Made (0700) where absent. `out` gets the
 * path; SL_ERR_IO, SL_ERR_LIMIT. */
enum sl_err sl_options_data_dir(const struct sl_options *options, char *out, size_t size,
                                struct sl_error *error) SL_MUST_CHECK;

#endif
