/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice chat`: the local model in the terminal, to try a model before apps use it. `sluice bench`:
 * how fast it reads and writes on this machine. Both use the engine alone: no policy, no cloud.
 */
#include "commands.h"

#include "sluice/clock.h"
#include "sluice/engine.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum sl_err open_engine(const struct sl_command_call *call, struct sl_engine **out,
                               struct sl_error *error)
{
    if (call->options->model[0] == '\0')
        return sl_error_set(error, SL_ERR_INVALID, "expected --model FILE.gguf");
    struct sl_engine_config config = {.model_path = call->options->model,
                                      .threads = (uint32_t)call->options->threads,
                                      .context_tokens_max = (uint32_t)call->options->context};
    return sl_engine_open(&config, out, error);
}

/* ---- chat ---- */

/* Prints the answer as it comes and collects it for the next turn. */
static enum sl_err print_answer(struct sl_generation *generation, struct sl_buf *answer)
{
    struct sl_event event = {0};
    enum sl_err err = SL_OK;
    while (err == SL_OK && !event.is_last) {
        err = sl_generation_next(generation, SL_DEADLINE_NEVER, &event);
        if (err != SL_OK || event.kind == SL_EVENT_PREFILL)
            continue;
        fwrite(event.text.data, 1, event.text.len, stdout);
        fflush(stdout);
        err = sl_buf_append_slice(answer, event.text);
    }
    putchar('\n');
    return err;
}

static enum sl_err answer_turn(struct sl_engine *engine, json_t *messages, struct sl_error *error)
{
    struct sl_chat chat = {.messages = messages};
    struct sl_generate_params params = {0};
    struct sl_prompt *prompt = NULL;
    struct sl_generation *generation = NULL;
    struct sl_buf answer;
    sl_buf_init(&answer, 1u << 20);
    enum sl_err err = sl_engine_prepare(engine, &chat, &prompt, error);
    if (err == SL_OK)
        err = sl_engine_generate(engine, prompt, &params, &generation, error);
    if (err == SL_OK)
        err = print_answer(generation, &answer);
    if (err == SL_OK)
        json_array_append_new(messages,
                              json_pack("{s:s, s:s%}", "role", "assistant", "content",
                                        answer.data != NULL ? answer.data : "", answer.len));
    sl_generation_free(generation);
    sl_prompt_free(prompt);
    sl_buf_wipe(&answer);
    return err;
}

int sl_command_chat(struct sl_command_call *call)
{
    struct sl_error error = {0};
    struct sl_engine *engine;
    char *line = NULL;
    size_t size = 0;
    if (call->arguments.word_count > 0)
        return sl_commands_misuse("chat takes no words; type behind the prompt");
    if (open_engine(call, &engine, &error) != SL_OK)
        return sl_commands_fail(&error);
    bool is_terminal = isatty(STDIN_FILENO) == 1;
    json_t *messages = json_array();
    const char *system = sl_commands_flag(call, "system");
    if (system != NULL)
        json_array_append_new(messages,
                              json_pack("{s:s, s:s}", "role", "system", "content", system));
    for (;;) {
        if (is_terminal)
            fputs("> ", stdout);
        fflush(stdout);
        ssize_t len = getline(&line, &size, stdin);
        if (len < 0)
            break;
        line[strcspn(line, "\r\n")] = '\0';
        json_t *message = json_pack("{s:s, s:s}", "role", "user", "content", line);
        if (line[0] == '\0' || message == NULL) {
            json_decref(message);
            continue;
        }
        json_array_append_new(messages, message);
        if (answer_turn(engine, messages, &error) != SL_OK) {
            fprintf(stderr, "sluice: %s\n", error.message);
            json_array_remove(messages, json_array_size(messages) - 1);
        }
    }
    free(line);
    json_decref(messages);
    sl_engine_close(engine);
    return SL_EXIT_FINE;
}

/* ---- bench ---- */

struct bench_result {
    double prefill_per_second, generate_per_second;
    uint32_t prompt_tokens, generated_tokens;
};

/* One prompt of `prompt_tokens` ids, `generated` tokens behind it. */
static enum sl_err bench_once(struct sl_engine *engine, uint32_t prompt_tokens, uint32_t generated,
                              struct bench_result *out, struct sl_error *error)
{
    struct sl_generate_params params = {.tokens_max = generated, .ignore_end = true};
    struct sl_prompt *prompt = NULL;
    struct sl_generation *generation = NULL;
    struct sl_event event = {0};
    int32_t *ids = calloc(prompt_tokens, sizeof *ids);
    if (ids == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    uint32_t vocab = sl_engine_info(engine)->vocab_size;
    for (uint32_t i = 0; i < prompt_tokens; i++) /* spread over the vocabulary, special ones too */
        ids[i] = (int32_t)((i * 2654435761u) % vocab);
    enum sl_err err = sl_engine_prepare_ids(engine, ids, prompt_tokens, &prompt, error);
    uint64_t start = sl_monotonic_ns(), first = 0;
    if (err == SL_OK)
        err = sl_engine_generate(engine, prompt, &params, &generation, error);
    while (err == SL_OK && !event.is_last) {
        err = sl_generation_next(generation, SL_DEADLINE_NEVER, &event);
        if (err == SL_OK && event.kind == SL_EVENT_TOKEN && first == 0)
            first = sl_monotonic_ns();
    }
    uint64_t end = sl_monotonic_ns();
    if (err == SL_OK) {
        out->prompt_tokens = prompt_tokens;
        out->generated_tokens = sl_generation_tokens(generation);
        out->prefill_per_second = prompt_tokens / ((double)(first - start) * 1e-9);
        out->generate_per_second =
            out->generated_tokens > 1
                ? (out->generated_tokens - 1) / ((double)(end - first) * 1e-9)
                : 0;
    }
    sl_generation_free(generation);
    sl_prompt_free(prompt);
    free(ids);
    return err;
}

int sl_command_bench(struct sl_command_call *call)
{
    static const uint32_t prompts[] = {32, 128, 512};
    struct sl_error error = {0};
    struct sl_engine *engine;
    if (call->arguments.word_count > 0)
        return sl_commands_misuse("bench takes no words");
    if (open_engine(call, &engine, &error) != SL_OK)
        return sl_commands_fail(&error);
    const struct sl_model_info *info = sl_engine_info(engine);
    json_t *rows = json_array();
    enum sl_err err = SL_OK;
    if (!call->arguments.wants_json)
        printf("%s, %s, %.1f M weights\n%8s %16s %18s\n", info->name, info->quantization,
               (double)info->parameters / 1e6, "prompt", "read (tokens/s)", "write (tokens/s)");
    for (size_t i = 0; i < sizeof prompts / sizeof *prompts && err == SL_OK; i++) {
        struct bench_result result = {0};
        if (prompts[i] + 64 > info->context_tokens)
            break;
        err = bench_once(engine, prompts[i], 64, &result, &error);
        if (err != SL_OK)
            break;
        json_array_append_new(rows, json_pack("{s:i, s:f, s:f}", "prompt_tokens",
                                              (int)result.prompt_tokens, "prefill_per_second",
                                              result.prefill_per_second, "generate_per_second",
                                              result.generate_per_second));
        if (!call->arguments.wants_json)
            printf("%8u %16.1f %18.1f\n", result.prompt_tokens, result.prefill_per_second,
                   result.generate_per_second);
    }
    if (err == SL_OK && call->arguments.wants_json) {
        json_dumpf(rows, stdout, JSON_COMPACT);
        putchar('\n');
    }
    json_decref(rows);
    sl_engine_close(engine);
    return err == SL_OK ? SL_EXIT_FINE : sl_commands_fail(&error);
}
