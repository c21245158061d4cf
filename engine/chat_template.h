/* SPDX-License-Identifier: Apache-2.0
 *
 * Chat templates: the Jinja that models carry in `tokenizer.chat_template`, as the transformers
 * library configures it (trim_blocks, lstrip_blocks, loop controls, `tojson` without ASCII escapes,
 * `raise_exception`, `strftime_now`, `generation` blocks). Compiled once, rendered for each request.
 *
 *     struct sl_chat_template *template;
 *     if (sl_chat_template_compile(text, &template, &error) != SL_OK) ...
 *     struct sl_chat_input input = {.messages = messages, .add_generation_prompt = true,
 *                                   .bos_token = SL_SLICE("<s>"), .eos_token = SL_SLICE("</s>")};
 *     struct sl_buf prompt;
 *     sl_buf_init(&prompt, 1 << 20);
 *     if (sl_chat_template_render(template, &input, &prompt, &error) != SL_OK) ...
 *     sl_chat_template_free(template);
 *
 * Threads: a compiled template is immutable; any number of threads render it at once.
 * Templates come with model files, so they are not trusted: steps, memory, nesting and output are
 * bounded, and there is no way out of the interpreter (no attributes but data, no calls but ours).
 * Source: https://jinja.palletsprojects.com/en/stable/templates/ and transformers'
 * chat_template_utils.
 */
#ifndef SLUICE_ENGINE_CHAT_TEMPLATE_H
#define SLUICE_ENGINE_CHAT_TEMPLATE_H

#include "sluice/buf.h"
#include "sluice/err.h"
#include "sluice/slice.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct sl_chat_template;

/* Bounds of one rendering; a zero field takes the default. */
struct sl_chat_limits {
    uint64_t steps_max;  /* statements and expressions evaluated, items made; 4 million */
    size_t memory_bytes; /* values made while rendering; 64 MiB */
};

/* All borrowed for the duration of the call. */
struct sl_chat_input {
    const json_t *messages;     /* array of {role, content, ...} */
    const json_t *tools;        /* array, or NULL: the template sees none */
    const json_t *extra;        /* object of further variables (enable_thinking, ...), or NULL */
    struct sl_slice bos_token;  /* data NULL: undefined */
    struct sl_slice eos_token;
    bool add_generation_prompt;
    const struct tm *now;       /* what strftime_now sees; NULL: local time now */
    struct sl_chat_limits limits;
};

/* Errors: SL_ERR_FORMAT (line and what was expected), SL_ERR_UNSUPPORTED (a known tag that is not
 * implemented: include, import, extends), SL_ERR_LIMIT (over 1 MiB, nested too deep),
 * SL_ERR_MEMORY. The text is copied. */
enum sl_err sl_chat_template_compile(struct sl_slice text, struct sl_chat_template **out,
                                     struct sl_error *error) SL_MUST_CHECK;
/* NULL is fine. */
void sl_chat_template_free(struct sl_chat_template *template);

/* Appends the rendered prompt to *out.
 * Errors: SL_ERR_INVALID (raise_exception: its message; or a value of a wrong type, with the line),
 * SL_ERR_LIMIT (steps, memory, depth, or the cap of *out), SL_ERR_MEMORY. On an error *out may hold
 * a part. */
enum sl_err sl_chat_template_render(const struct sl_chat_template *template,
                                    const struct sl_chat_input *input, struct sl_buf *out,
                                    struct sl_error *error) SL_MUST_CHECK;

/* Does the template read the global variable `name` ("tools", "enable_thinking") anywhere? */
bool sl_chat_template_reads(const struct sl_chat_template *template, const char *name);

/* How the model was taught to write a call, judged by what its template writes. */
enum sl_tool_form {
    SL_TOOL_FORM_NONE,    /* the template does not read `tools` */
    SL_TOOL_FORM_HERMES,  /* <tool_call>\n{"name": …, "arguments": …}\n</tool_call> (Qwen, SmolLM3) */
    SL_TOOL_FORM_LLAMA3,  /* {"name": …, "parameters": …} */
    SL_TOOL_FORM_MISTRAL, /* [TOOL_CALLS][{"name": …, "arguments": …}] */
    SL_TOOL_FORM_PLAIN    /* reads tools, form not known: {"name": …, "arguments": …} */
};
enum sl_tool_form sl_chat_template_tool_form(const struct sl_chat_template *template);

/* The text of a built-in form for a file that has no template, by which special tokens exist:
 * `has_token(name, user)` answers whether the vocabulary has the control token `name`. ChatML where
 * <|im_start|> exists, Llama 3 where <|start_header_id|> does, Gemma where <start_of_turn> does,
 * Phi-3 where <|assistant|> and <|end|> do, else the Llama 2 [INST] form. Static text. */
typedef bool sl_has_token_fn(const char *name, void *user);
struct sl_slice sl_chat_template_fallback(sl_has_token_fn *has_token, void *user);

/* Where the text of the last user message stands in a rendered prompt: the last occurrence of its
 * content (as given, else trimmed). False where there is no user message, its content is no text,
 * or it does not occur verbatim. */
bool sl_chat_find_last_user(struct sl_slice prompt, const json_t *messages, size_t *begin,
                            size_t *end);

#endif
