/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of commands and what they share: finding the row, loading options, usage. Only what
 * works is in the table. One thread.
 */
#include "commands.h"

#include "sluice/gateway.h"
#include "sluice/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLAGS_MAX 12

struct command_row {
    const char *words; /* "keys add" */
    const char *usage; /* what follows the words */
    const char *help;
    sl_command_fn run;
    struct sl_command_flag flags[FLAGS_MAX];
};

static const struct command_row rows[] = {
    {"serve", "", "run the gateway", sl_command_serve, {{0}}},
    {"check", "", "check configuration, policy, certificates and model", sl_command_check, {{0}}},
    {"policy explain", "REQUEST.json", "what would happen to a request, and why; nothing is sent",
     sl_command_policy_explain,
     {{"mode", "MODE", "as if x-sluice-mode said so", NULL},
      {"app", "NAME", "as if a key of this app asked", NULL}}},
    {"policy show", "", "print the built-in policy", sl_command_policy_show, {{0}}},
    {"model list", "", "models in the data folder and the configured one", sl_command_model_list,
     {{0}}},
    {"model verify", "[FILE.gguf]", "check a model file as the gateway would", sl_command_model_verify,
     {{0}}},
    {"quantize", "IN OUT TYPE", "make a smaller model file of a GGUF with float weights", sl_command_quantize, {{0}}},
#ifdef SLUICE_HAS_CALIBRATE
    {"eval", "", "measure a model and its confidence on labelled rows", sl_command_eval,
     {{"data", "ROWS.jsonl", "labelled rows", NULL},
      {"split", "NAME", "part of the rows [val]", NULL},
      {"threshold", "X", "confidence that counts as an answer [0.6]", NULL},
      {"rows", "N", "at most so many, spread evenly", NULL},
      {"bootstrap", "N", "resamples for the intervals; 0: none [1000]", NULL},
      {"seed", "N", "of the resamples [0]", NULL}}},
    {"calibrate", "", "fit the confidence of a model on labelled rows", sl_command_calibrate,
     {{"data", "ROWS.jsonl", "labelled rows", NULL},
      {"out", "FILE.json", "default: beside the model", NULL},
      {"risk", "X", "share of wrong answers to certify [0.02]", NULL},
      {"delta", "X", "how often that promise may fail over draws of the rows [0.1]", NULL},
      {"oos-share", "X", "of foreign requests in real traffic [as in the rows]", NULL},
      {"train-gate", NULL, "train the gate anew", NULL},
      {"no-gate", NULL, "use none", NULL},
      {"add", NULL, "keep the calibration that is there; add the kinds of these rows", NULL},
      {"seed", "N", "of how the rows are halved [0]", NULL},
      {"cloud-usd", "X", "price of an escalated request, for the expected cost", NULL},
      {"rows", "N", "at most so many, spread evenly", NULL}}},
    {"train", "", "make a local model for your own requests from labelled rows", sl_command_train,
     {{"data", "ROWS.jsonl", "rows with \"text\" and \"label\"; several files: with commas", NULL},
      {"out", "MODEL.gguf", "the model; calibration and gate go beside it", NULL},
      {"minutes", "N", "most time for the training itself [8]", NULL},
      {"epochs", "N", "most passes over the rows [60]", NULL},
      {"type", "TYPE", "quantization [Q8_0]", NULL},
      {"seed", "N", "of everything drawn [1]", NULL},
      {"start", "FILE.gguf", "model to start from [the default model]", NULL},
      {"from-scratch", NULL, "start from nothing: for many thousand rows, or other languages", NULL},
      {"size", "WORD", "from scratch: small, medium or large [medium]", NULL}}},
#endif
    {"bench", "", "how fast the local model reads and writes on this machine", sl_command_bench,
     {{0}}},
    {"chat", "", "talk to the local model in the terminal", sl_command_chat,
     {{"system", "TEXT", "system prompt", NULL}}},
    {"cache stats", "", "what the answer cache holds and has saved", sl_command_cache_stats, {{0}}},
    {"cache purge", "", "remove stored answers", sl_command_cache_purge,
     {{"everything", NULL, "all of them", NULL},
      {"app", "NAME", "those of an app", NULL},
      {"of-model", "NAME", "those of a model", NULL}}},
    {"cache export", "", "stored cloud answers with their scrubbed requests, one a line",
     sl_command_cache_export, {{0}}},
    {"cache rotate-key", "", "seal every stored answer with a new key and forget the old one",
     sl_command_cache_rotate_key, {{0}}},
    {"pii scan", "[FILE]", "find personal data in a text; --json: rows in, spans out",
     sl_command_pii_scan, {{"route", "NAME", "whose rules; default: the first route's", NULL}}},
    {"ledger", "", "what left the box: when, how much, of which kinds; never text",
     sl_command_ledger,
     {{"since", "DATE", "from then on", NULL},
      {"until", "DATE", "up to then", NULL},
      {"app", "NAME", "of one app", NULL},
      {"provider", "NAME", "to one provider", NULL}}},
    {"certs init", "[NAME|IP ...]", "make a local authority and a server certificate",
     sl_command_certs_init, {{"out", "DIR", "default: certs in the data folder", NULL}}},
    {"keys add", "NAME", "make an API key and show it once", sl_command_keys_add,
     {{"requests-per-minute", "N", "rate limit; 0: none", NULL},
      {"tokens-per-minute", "N", "limit of model tokens; 0: none", NULL}}},
    {"keys list", "", "the API keys: names and limits", sl_command_keys_list, {{0}}},
    {"keys revoke", "ID|NAME", "end an API key; a running gateway sees it within a second",
     sl_command_keys_revoke, {{0}}},
    {"version", "", "the version", sl_command_version, {{0}}},
};
#define ROW_COUNT (sizeof rows / sizeof *rows)

const char *sl_commands_flag(const struct sl_command_call *call, const char *name)
{
    for (const struct sl_command_flag *flag = call->flags; flag->name != NULL; flag++)
        if (strcmp(flag->name, name) == 0)
            return flag->set_to;
    return NULL;
}

int sl_commands_fail(const struct sl_error *error)
{
    fprintf(stderr, "sluice: %s\n", error->message);
    return SL_EXIT_FAILED;
}

int sl_commands_misuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("sluice: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\nsluice: try `sluice --help`\n", stderr);
    va_end(args);
    return SL_EXIT_MISUSED;
}

int sl_command_version(struct sl_command_call *call)
{
    if (call->arguments.wants_json)
        printf("{\"version\":\"%s\"}\n", SLUICE_VERSION);
    else
        printf("sluice %s\n", SLUICE_VERSION);
    return SL_EXIT_FINE;
}

/* ---- usage ---- */

static void print_row(const struct command_row *row)
{
    char head[80];
    snprintf(head, sizeof head, "%s %s", row->words, row->usage);
    printf("  sluice %-30s %s\n", head, row->help);
}

static void print_usage(void)
{
    puts("Sluice: a hybrid gateway for language models. It answers on the box where it can, and\n"
         "asks a cloud, scrubbed of personal data, where it must.\n\nCommands:");
    for (size_t i = 0; i < ROW_COUNT; i++)
        print_row(&rows[i]);
    puts("\n`sluice COMMAND --help` shows a command's options. Exit status: 0 fine, 1 failed,\n"
         "2 used wrongly.");
}

static void print_row_help(const struct command_row *row)
{
    printf("Usage: sluice %s %s\n%s\n", row->words, row->usage, row->help);
    for (const struct sl_command_flag *flag = row->flags; flag->name != NULL; flag++) {
        char head[64];
        snprintf(head, sizeof head, "--%s %s", flag->name, flag->value != NULL ? flag->value : "");
        printf("%s  %-32s %s\n", flag == row->flags ? "\n" : "", head, flag->help);
    }
    struct sl_buf text;
    sl_buf_init(&text, 64 << 10);
    if (sl_options_help(&text) == SL_OK)
        printf("\nOptions (also as SLUICE_NAME in the environment and as keys of the --config "
               "file):\n%s"
               "  %-32s %s\n  %-32s %s\n",
               text.data, "--print-config", "print every option, its value and where it is from",
               "--json", "print JSON where a program would read it");
    sl_buf_clear(&text);
}

/* ---- running ---- */

/* The row whose words come first; *word_count gets how many they are. */
static const struct command_row *find_row(const struct sl_arguments *arguments,
                                          size_t *word_count)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const char *at = rows[i].words;
        size_t count = 0;
        while (*at != '\0' && count < arguments->word_count) {
            size_t len = strcspn(at, " ");
            if (strlen(arguments->words[count]) != len ||
                memcmp(arguments->words[count], at, len) != 0)
                break;
            count++;
            at += len + (at[len] == ' ');
        }
        if (*at == '\0') {
            *word_count = count;
            return &rows[i];
        }
    }
    return NULL;
}

static int print_config(const struct sl_options *options)
{
    struct sl_buf text;
    sl_buf_init(&text, 64 << 10);
    int status = sl_options_print(options, &text) == SL_OK ? SL_EXIT_FINE : SL_EXIT_FAILED;
    if (status == SL_EXIT_FINE)
        fwrite(text.data, 1, text.len, stdout);
    sl_buf_clear(&text);
    return status;
}

static void configure_log(const struct sl_options *options)
{
    enum sl_log_level level = SL_LOG_LEVEL_INFO;
    if (strcmp(options->log_level, "debug") == 0)
        level = SL_LOG_LEVEL_DEBUG;
    else if (strcmp(options->log_level, "warn") == 0)
        level = SL_LOG_LEVEL_WARN;
    else if (strcmp(options->log_level, "error") == 0)
        level = SL_LOG_LEVEL_ERROR;
    sl_log_configure(STDERR_FILENO, level, strcmp(options->log_format, "json") == 0);
}

static int run_row(const struct command_row *row, const struct sl_options *options,
                   const struct sl_arguments *arguments, size_t word_count,
                   struct sl_command_flag *flags)
{
    struct sl_command_call call = {.options = options, .arguments = *arguments, .flags = flags};
    call.arguments.word_count -= word_count;
    memmove(call.arguments.words, call.arguments.words + word_count,
            call.arguments.word_count * sizeof *call.arguments.words);
    if (arguments->wants_help) {
        print_row_help(row);
        return SL_EXIT_FINE;
    }
    if (arguments->wants_print_config)
        return print_config(options);
    configure_log(options);
    return row->run(&call);
}

/* Words before the first flag name the command, and with it the flags that it has. */
static const struct command_row *row_of_line(int argc, char **argv)
{
    struct sl_arguments words = {0};
    size_t ignored;
    for (int i = 1; i < argc && argv[i][0] != '-' && words.word_count < 2; i++)
        words.words[words.word_count++] = argv[i];
    return find_row(&words, &ignored);
}

int sl_command_run(int argc, char **argv)
{
    struct sl_options options;
    struct sl_arguments arguments;
    struct sl_error error = {0};
    const struct command_row *row = row_of_line(argc, argv);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_usage();
        return argc < 2 ? SL_EXIT_MISUSED : SL_EXIT_FINE;
    }
    if (strcmp(argv[1], "--version") == 0)
        row = find_row(&(struct sl_arguments){.words = {"version"}, .word_count = 1},
                       &(size_t){0});
    if (row == NULL)
        return sl_commands_misuse("no command \"%.40s\"", argv[1]);
    struct sl_command_flag flags[FLAGS_MAX + 1] = {{0}};
    memcpy(flags, row->flags, sizeof row->flags);
    sl_options_init(&options);
    int status = SL_EXIT_FINE;
    size_t word_count = 0;
    bool is_flag = argv[1][0] == '-';
    if (sl_options_load(&options, is_flag ? 0 : argc - 1, argv + 1, environ, flags, &arguments,
                        &error) != SL_OK)
        status = sl_commands_misuse("%s", error.message);
    else if (!is_flag && find_row(&arguments, &word_count) != row)
        status = sl_commands_misuse("put options behind the command's words");
    else
        status = run_row(row, &options, &arguments, word_count, flags);
    sl_options_clear(&options);
    return status;
}
