/* SPDX-License-Identifier: Apache-2.0
 *
 * Forms of chat for files that bring no template, chosen by the control tokens that the vocabulary
 * has, and where the last user's words stand in what was rendered.
 */
#include "chat_template.h"

#define CHATML                                                                                     \
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"      \
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"

#define LLAMA3                                                                                     \
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}"          \
    "<|end_header_id|>\n\n{{ message['content'] | trim }}<|eot_id|>{% endfor %}"                    \
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"

/* Gemma has no system role: its text goes before the first user's. */
#define GEMMA                                                                                      \
    "{{ bos_token }}{% set ns = namespace(prefix='') %}{% for message in messages %}"               \
    "{% if message['role'] == 'system' %}"                                                          \
    "{% set ns.prefix = (message['content'] | trim) ~ '\n\n' %}{% else %}<start_of_turn>"           \
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"                        \
    "{{ ns.prefix }}{{ message['content'] | trim }}<end_of_turn>\n{% set ns.prefix = '' %}"         \
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"

#define PHI3                                                                                       \
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n"     \
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"

#define LLAMA2                                                                                     \
    "{% set ns = namespace(system='') %}{% for message in messages %}"                              \
    "{% if message['role'] == 'system' %}"                                                          \
    "{% set ns.system = '<<SYS>>\n' ~ message['content'] ~ '\n<</SYS>>\n\n' %}"                     \
    "{% elif message['role'] == 'assistant' %} {{ message['content'] | trim }} {{ eos_token }}"     \
    "{% else %}{{ bos_token }}[INST] {{ ns.system }}{{ message['content'] | trim }} [/INST]"        \
    "{% set ns.system = '' %}{% endif %}{% endfor %}"

struct sl_slice sl_chat_template_fallback(sl_has_token_fn *has_token, void *user)
{
    if (has_token("<|im_start|>", user))
        return SL_SLICE(CHATML);
    if (has_token("<|start_header_id|>", user))
        return SL_SLICE(LLAMA3);
    if (has_token("<start_of_turn>", user))
        return SL_SLICE(GEMMA);
    if (has_token("<|assistant|>", user) && has_token("<|end|>", user))
        return SL_SLICE(PHI3);
    return SL_SLICE(LLAMA2);
}

/* ---- the last user's words ---- */

/* The content of the last user message, as one text: a string, or the last text part of a list. */
static struct sl_slice last_user_text(const json_t *messages)
{
    for (size_t i = json_array_size(messages); i-- > 0;) {
        const json_t *message = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(message, "role"));
        const json_t *content = json_object_get(message, "content");
        if (role == NULL || strcmp(role, "user") != 0)
            continue;
        for (size_t part = json_array_size(content); json_is_array(content) && part-- > 0;) {
            const json_t *text = json_object_get(json_array_get(content, part), "text");
            if (json_is_string(text))
                return (struct sl_slice){json_string_value(text), json_string_length(text)};
        }
        return (struct sl_slice){json_string_value(content), json_string_length(content)};
    }
    return (struct sl_slice){NULL, 0};
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct sl_slice trimmed(struct sl_slice text)
{
    while (text.len > 0 && is_space(text.data[0]))
        text = (struct sl_slice){text.data + 1, text.len - 1};
    while (text.len > 0 && is_space(text.data[text.len - 1]))
        text.len--;
    return text;
}

static bool find_last(struct sl_slice prompt, struct sl_slice text, size_t *begin, size_t *end)
{
    if (text.len == 0 || text.len > prompt.len)
        return false;
    for (size_t at = prompt.len - text.len + 1; at-- > 0;) {
        if (prompt.data[at] != text.data[0] || memcmp(prompt.data + at, text.data, text.len) != 0)
            continue;
        *begin = at;
        *end = at + text.len;
        return true;
    }
    return false;
}

bool sl_chat_find_last_user(struct sl_slice prompt, const json_t *messages, size_t *begin,
                            size_t *end)
{
    struct sl_slice text = last_user_text(messages);
    return find_last(prompt, text, begin, end) || find_last(prompt, trimmed(text), begin, end);
}
