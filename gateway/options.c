/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads options from their four sources into the members that options.def lists. One function sets
 * a value from text, whatever the source, so a flag and a file cannot disagree about what is valid.
 *
 * Start-up only, one thread. Invariants: 1. every text member is owned and not NULL. 2. sources[i]
 * says who set option i last; a source never overwrites a stronger one.
 */
#include "options.h"

#include "sluice/secret.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum option_kind { KIND_TEXT, KIND_SECRET, KIND_CHOICE, KIND_NUMBER, KIND_BYTES, KIND_SWITCH };

struct option_row {
    const char *name;
    enum option_kind kind;
    size_t offset;
    const char *fallback;
    const char *value; /* placeholder, or the words of a choice */
    uint64_t min, max;
    const char *help;
};

#define AT(field) offsetof(struct sl_options, field)
static const struct option_row rows[SL_OPTION_COUNT] = {
#define TEXT(f, fallback, value, help) {#f, KIND_TEXT, AT(f), fallback, value, 0, 0, help},
#define SECRET(f, fallback, value, help) {#f, KIND_SECRET, AT(f), fallback, value, 0, 0, help},
#define CHOICE(f, fallback, words, help) {#f, KIND_CHOICE, AT(f), fallback, words, 0, 0, help},
#define NUMBER(f, fallback, min, max, help) {#f, KIND_NUMBER, AT(f), #fallback, "N", min, max, help},
#define BYTES(f, fallback, min, max, help) {#f, KIND_BYTES, AT(f), fallback, "BYTES", min, max, help},
#define SWITCH(f, fallback, help) {#f, KIND_SWITCH, AT(f), #fallback, NULL, 0, 1, help},
#include "options.def"
};
#undef AT

#define OPTION_TEXT_MAX 4096 /* PATH_MAX, and longer than any sensible URL */

static char **text_member(struct sl_options *options, const struct option_row *row)
{
    return (char **)((char *)options + row->offset);
}

static uint64_t *number_member(struct sl_options *options, const struct option_row *row)
{
    return (uint64_t *)((char *)options + row->offset);
}

static bool *switch_member(struct sl_options *options, const struct option_row *row)
{
    return (bool *)((char *)options + row->offset);
}

static bool is_text(const struct option_row *row)
{
    return row->kind == KIND_TEXT || row->kind == KIND_SECRET || row->kind == KIND_CHOICE;
}

/* Compares "data-dir" with "data_dir". */
static bool name_equal(const char *given, size_t len, const char *name)
{
    size_t i = 0;
    for (; i < len && name[i] != '\0'; i++)
        if (given[i] != name[i] && !(given[i] == '-' && name[i] == '_'))
            return false;
    return i == len && name[i] == '\0';
}

static const struct option_row *row_find(const char *name, size_t len)
{
    for (size_t i = 0; i < SL_OPTION_COUNT; i++)
        if (name_equal(name, len, rows[i].name))
            return &rows[i];
    return NULL;
}

/* ---- values ---- */

static bool parse_number(const char *text, bool has_suffix, uint64_t *out)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    unsigned shift = 0;
    if (has_suffix && *end != '\0') {
        const char *place = strchr("KMG", toupper((unsigned char)*end));
        if (place == NULL)
            return false;
        shift = 10u * (unsigned)(place - "KMG" + 1);
        end++;
        if (strcmp(end, "iB") == 0 || strcmp(end, "B") == 0)
            end += strlen(end);
    }
    if (*end != '\0' || (shift > 0 && number > UINT64_MAX >> shift))
        return false;
    *out = (uint64_t)number << shift;
    return true;
}

static bool parse_switch(const char *text, bool *out)
{
    static const char *const yes[] = {"true", "1", "yes", "on"};
    static const char *const no[] = {"false", "0", "no", "off"};
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *out = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static bool is_choice(const char *words, const char *text)
{
    size_t len = strlen(text);
    for (const char *word = words; len > 0; word = strchr(word, '|') + 1) {
        size_t word_len = strcspn(word, "|");
        if (word_len == len && memcmp(word, text, len) == 0)
            return true;
        if (word[word_len] == '\0')
            break;
    }
    return false;
}

static enum sl_err set_text(struct sl_options *options, const struct option_row *row,
                            const char *text, const char *where, struct sl_error *error)
{
    if (strlen(text) > OPTION_TEXT_MAX)
        return sl_error_set_param(error, SL_ERR_INVALID, row->name, "%s: longer than %d bytes",
                                  where, OPTION_TEXT_MAX);
    if (row->kind == KIND_CHOICE && !is_choice(row->value, text))
        return sl_error_set_param(error, SL_ERR_INVALID, row->name, "%s: expected one of %s",
                                  where, row->value);
    char *copy = strdup(text);
    if (copy == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    char **member = text_member(options, row);
    if (row->kind == KIND_SECRET && *member != NULL)
        sl_wipe(*member, strlen(*member));
    free(*member);
    *member = copy;
    return SL_OK;
}

static enum sl_err set_number(struct sl_options *options, const struct option_row *row,
                              const char *text, const char *where, struct sl_error *error)
{
    uint64_t number;
    if (!parse_number(text, row->kind == KIND_BYTES, &number) || number < row->min ||
        number > row->max)
        return sl_error_set_param(error, SL_ERR_INVALID, row->name,
                                  "%s: expected a %s from %llu to %llu, found \"%.40s\"", where,
                                  row->kind == KIND_BYTES ? "size (K, M, G allowed)" : "number",
                                  (unsigned long long)row->min, (unsigned long long)row->max, text);
    *number_member(options, row) = number;
    return SL_OK;
}

/* Sets a value where `source` is at least as strong as the one that set it. `where` starts the
 * sentence of an error: "--listen", "SLUICE_LISTEN", "sluice.json: listen". */
static enum sl_err option_set(struct sl_options *options, const struct option_row *row,
                              const char *text, enum sl_option_source source, const char *where,
                              struct sl_error *error)
{
    enum sl_option_source *set_by = &options->sources[row - rows];
    if (source < *set_by)
        return SL_OK;
    enum sl_err err = SL_OK;
    if (is_text(row)) {
        err = set_text(options, row, text, where, error);
    } else if (row->kind == KIND_SWITCH) {
        if (!parse_switch(text, switch_member(options, row)))
            err = sl_error_set_param(error, SL_ERR_INVALID, row->name,
                                     "%s: expected true or false, found \"%.40s\"", where, text);
    } else {
        err = set_number(options, row, text, where, error);
    }
    if (err == SL_OK)
        *set_by = source;
    return err;
}

void sl_options_init(struct sl_options *options)
{
    memset(options, 0, sizeof *options);
    for (size_t i = 0; i < SL_OPTION_COUNT; i++) {
        struct sl_error error = {0};
        if (option_set(options, &rows[i], rows[i].fallback, SL_SOURCE_DEFAULT, rows[i].name,
                       &error) != SL_OK) {
            fprintf(stderr, "sluice: default of an option: %s\n", error.message);
            abort();
        }
    }
}

void sl_options_clear(struct sl_options *options)
{
    if (options == NULL)
        return;
    for (size_t i = 0; i < SL_OPTION_COUNT; i++) {
        if (!is_text(&rows[i]))
            continue;
        char **member = text_member(options, &rows[i]);
        if (*member != NULL)
            sl_wipe(*member, strlen(*member));
        free(*member);
        *member = NULL;
    }
}

enum sl_err sl_options_set(struct sl_options *options, const char *name, const char *text,
                           struct sl_error *error)
{
    const struct option_row *row = row_find(name, strlen(name));
    if (row == NULL)
        return sl_error_set_param(error, SL_ERR_INVALID, name, "%.64s: no such option", name);
    return option_set(options, row, text, SL_SOURCE_FLAG, name, error);
}

/* ---- the file ---- */

/* The text of a JSON value, so that files and flags share one parser. NULL: wrong type. */
static const char *json_text(const json_t *value, char *into, size_t size)
{
    switch (json_typeof(value)) {
    case JSON_STRING: return json_string_value(value);
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    case JSON_INTEGER:
        snprintf(into, size, "%lld", (long long)json_integer_value(value));
        return into;
    default: return NULL;
    }
}

enum sl_err sl_options_load_file(struct sl_options *options, const char *path,
                                 struct sl_error *error)
{
    json_error_t at;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &at);
    if (root == NULL && at.line < 0)
        return sl_error_set(error, SL_ERR_IO, "%s: %s", path, at.text);
    if (root == NULL)
        return sl_error_set(error, SL_ERR_INVALID, "%s:%d:%d: %s", path, at.line, at.column,
                            at.text);
    enum sl_err err = SL_OK;
    if (!json_is_object(root))
        err = sl_error_set(error, SL_ERR_INVALID, "%s: expected an object", path);
    const char *key;
    json_t *value;
    if (err == SL_OK) {
        json_object_foreach(root, key, value) {
            char where[SL_ERROR_MESSAGE_MAX / 2];
            char number[32];
            snprintf(where, sizeof where, "%.160s: %.60s", path, key);
            const struct option_row *row = row_find(key, strlen(key));
            const char *text = json_text(value, number, sizeof number);
            if (row == NULL)
                err = sl_error_set_param(error, SL_ERR_INVALID, key, "%s: no such option", where);
            else if (text == NULL)
                err = sl_error_set_param(error, SL_ERR_INVALID, key,
                                         "%s: expected a text, a number, true or false", where);
            else
                err = option_set(options, row, text, SL_SOURCE_FILE, where, error);
            if (err != SL_OK)
                break;
        }
    }
    json_decref(root);
    return err;
}

/* ---- the environment ---- */

/* SLUICE_ and the name in capitals. */
static void variable_name(const struct option_row *row, char *out, size_t size)
{
    size_t len = (size_t)snprintf(out, size, "SLUICE_%s", row->name);
    for (size_t i = 0; i < len && i < size; i++)
        out[i] = (char)toupper((unsigned char)out[i]);
}

/* The value of `name` in an environment block, or NULL. */
static const char *environment_find(char *const *environment, const char *name)
{
    size_t len = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++)
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
            return *environment + len + 1;
    return NULL;
}

enum sl_err sl_options_load_environment(struct sl_options *options, char *const *environment,
                                        struct sl_error *error)
{
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < SL_OPTION_COUNT && err == SL_OK; i++) {
        char name[64];
        variable_name(&rows[i], name, sizeof name);
        const char *text = environment_find(environment, name);
        /* An empty variable counts as absent: `SLUICE_MODEL= sluice serve` unsets. */
        if (text != NULL && text[0] != '\0')
            err = option_set(options, &rows[i], text, SL_SOURCE_ENVIRONMENT, name, error);
    }
    return err;
}

/* ---- the command line ---- */

/* Whether the word at argv[i] is the flag `name`; *value gets "--name=VALUE"'s value or the next
 * word, and *i moves past it. *value NULL: the value is missing. */
static bool flag_match(const char *name, bool has_value, int argc, char **argv, int *i,
                       const char **value)
{
    const char *word = argv[*i] + 2;
    size_t len = strcspn(word, "=");
    if (!name_equal(word, len, name))
        return false;
    if (word[len] == '=')
        *value = word + len + 1;
    else if (!has_value)
        *value = "";
    else
        *value = *i + 1 < argc ? argv[++*i] : NULL;
    return true;
}

static enum sl_err flag_missing(const char *name, struct sl_error *error)
{
    return sl_error_set(error, SL_ERR_INVALID, "--%s: expected a value", name);
}

/* One word that starts with "--" and is an option of the table. *is_known false: it is none. */
static enum sl_err take_option(struct sl_options *options, int argc, char **argv, int *i,
                               bool *is_known, struct sl_error *error)
{
    const char *word = argv[*i] + 2;
    char where[80];
    snprintf(where, sizeof where, "--%.*s", (int)strcspn(word, "="), word);
    if (strncmp(word, "no-", 3) == 0) {
        const struct option_row *row = row_find(word + 3, strlen(word + 3));
        *is_known = row != NULL && row->kind == KIND_SWITCH;
        return *is_known ? option_set(options, row, "false", SL_SOURCE_FLAG, where, error) : SL_OK;
    }
    const struct option_row *row = row_find(word, strcspn(word, "="));
    *is_known = row != NULL;
    if (row == NULL)
        return SL_OK;
    const char *value = NULL;
    flag_match(row->name, row->kind != KIND_SWITCH, argc, argv, i, &value);
    if (value == NULL)
        return flag_missing(row->name, error);
    if (row->kind == KIND_SWITCH && value[0] == '\0')
        value = "true";
    return option_set(options, row, value, SL_SOURCE_FLAG, where, error);
}

static bool take_command_flag(struct sl_command_flag *flags, int argc, char **argv, int *i,
                              enum sl_err *err, struct sl_error *error)
{
    for (struct sl_command_flag *flag = flags; flag != NULL && flag->name != NULL; flag++) {
        const char *value = NULL;
        if (!flag_match(flag->name, flag->value != NULL, argc, argv, i, &value))
            continue;
        flag->set_to = value;
        *err = value == NULL ? flag_missing(flag->name, error) : SL_OK;
        return true;
    }
    return false;
}

/* --config is looked for before everything else, since it is the weaker source. */
static const char *config_path(int argc, char **argv, char *const *environment)
{
    const char *path = environment_find(environment, "SLUICE_CONFIG");
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            path = argv[i + 1];
        else if (strncmp(argv[i], "--config=", 9) == 0)
            path = argv[i] + 9;
    }
    return path;
}

static enum sl_err take_word(struct sl_options *options, int argc, char **argv, int *i,
                             struct sl_command_flag *flags, struct sl_arguments *arguments,
                             struct sl_error *error)
{
    const char *word = argv[*i];
    enum sl_err err = SL_OK;
    const char *ignored;
    bool is_known = true;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        arguments->wants_help = true;
    } else if (strcmp(word, "--print-config") == 0) {
        arguments->wants_print_config = true;
    } else if (strcmp(word, "--json") == 0) {
        arguments->wants_json = true;
    } else if (strncmp(word, "--", 2) == 0 && word[2] != '\0') {
        if (flag_match("config", true, argc, argv, i, &ignored))
            return ignored != NULL ? SL_OK : flag_missing("config", error);
        if (take_command_flag(flags, argc, argv, i, &err, error))
            return err;
        err = take_option(options, argc, argv, i, &is_known, error);
        if (!is_known)
            err = sl_error_set(error, SL_ERR_INVALID, "%.80s: no such option (see --help)", word);
    } else if (arguments->word_count < sizeof arguments->words / sizeof *arguments->words) {
        arguments->words[arguments->word_count++] = word;
    } else {
        err = sl_error_set(error, SL_ERR_INVALID, "too many arguments");
    }
    return err;
}

enum sl_err sl_options_load(struct sl_options *options, int argc, char **argv,
                            char *const *environment, struct sl_command_flag *flags,
                            struct sl_arguments *arguments, struct sl_error *error)
{
    memset(arguments, 0, sizeof *arguments);
    const char *path = config_path(argc, argv, environment);
    enum sl_err err = SL_OK;
    if (path != NULL && path[0] != '\0')
        err = sl_options_load_file(options, path, error);
    if (err == SL_OK)
        err = sl_options_load_environment(options, environment, error);
    for (int i = 0; i < argc && err == SL_OK; i++)
        err = take_word(options, argc, argv, &i, flags, arguments, error);
    return err;
}

/* ---- for people ---- */

enum sl_err sl_options_help(struct sl_buf *out)
{
    enum sl_err err = sl_buf_printf(out, "  %-32s %s\n", "--config FILE.json",
                                    "options as a JSON object; flags and variables come before it");
    for (size_t i = 0; i < SL_OPTION_COUNT && err == SL_OK; i++) {
        const struct option_row *row = &rows[i];
        char flag[96];
        snprintf(flag, sizeof flag, "--%s%s%s%s", row->kind == KIND_SWITCH ? "[no-]" : "",
                 row->name, row->value != NULL ? " " : "", row->value != NULL ? row->value : "");
        for (char *c = flag; *c != '\0' && *c != ' '; c++)
            if (*c == '_')
                *c = '-';
        err = sl_buf_printf(out, "  %-32s %s", flag, row->help);
        if (err == SL_OK && row->fallback[0] != '\0')
            err = sl_buf_printf(out, " [%s]", row->fallback);
        if (err == SL_OK)
            err = sl_buf_append_char(out, '\n');
    }
    return err;
}

static json_t *option_json(const struct sl_options *options, const struct option_row *row)
{
    struct sl_options *readable = (struct sl_options *)(uintptr_t)options;
    if (row->kind == KIND_SWITCH)
        return json_boolean(*switch_member(readable, row));
    if (!is_text(row))
        return json_integer((json_int_t)*number_member(readable, row));
    const char *text = *text_member(readable, row);
    return json_string(row->kind == KIND_SECRET && text[0] != '\0' ? "(set)" : text);
}

enum sl_err sl_options_print(const struct sl_options *options, struct sl_buf *out)
{
    static const char *const source_words[] = {"default", "file", "environment", "flag"};
    json_t *root = json_object();
    for (size_t i = 0; i < SL_OPTION_COUNT; i++)
        json_object_set_new(root, rows[i].name,
                            json_pack("{s:o*, s:s}", "value", option_json(options, &rows[i]),
                                      "from", source_words[options->sources[i]]));
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    if (text == NULL)
        return SL_ERR_MEMORY;
    enum sl_err err = sl_buf_printf(out, "%s\n", text);
    free(text);
    return err;
}

/* mkdir -p with 0700 for what is made. */
static enum sl_err make_folders(char *path, struct sl_error *error)
{
    for (char *slash = path + 1;; slash++) {
        slash += strcspn(slash, "/");
        char was = *slash;
        *slash = '\0';
        int failed = mkdir(path, 0700) != 0 && errno != EEXIST;
        *slash = was;
        if (failed)
            return sl_error_set(error, SL_ERR_IO, "%s: %s", path, strerror(errno));
        if (was == '\0')
            return SL_OK;
    }
}

enum sl_err sl_options_data_dir(const struct sl_options *options, char *out, size_t size,
                                struct sl_error *error)
{
    const char *state = getenv("STATE_DIRECTORY");
    const char *xdg = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    int len;
    if (options->data_dir[0] != '\0')
        len = snprintf(out, size, "%s", options->data_dir);
    else if (state != NULL && state[0] != '\0')
        len = snprintf(out, size, "%s", state);
    else if (xdg != NULL && xdg[0] == '/')
        len = snprintf(out, size, "%s/sluice", xdg);
    else
        len = snprintf(out, size, "%s/.local/share/sluice", home != NULL ? home : "");
    if (len < 0 || (size_t)len >= size)
        return sl_error_set(error, SL_ERR_LIMIT, "data_dir: path is too long");
    return make_folders(out, error);
}
