/* SPDX-License-Identifier: Apache-2.0
 *
 * Chat templates from nowhere, rendered with one of a few chats (the first byte chooses). Limits
 * are small, so that a slow template shows as a time-out of the fuzzer only when the bounds fail.
 */
#include "chat_template.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const chats[] = {
    "[]",
    "[{\"role\":\"user\",\"content\":\"Hi\"}]",
    "[{\"role\":\"system\",\"content\":\"Be\\u00e9 \"},{\"role\":\"user\",\"content\":\" a\\nb \"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"function\":{\"name\":"
    "\"f\",\"arguments\":{\"x\":1.5,\"y\":[true,null]}}}]},{\"role\":\"tool\",\"content\":\"2\"}]",
    "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"part\"},{\"type\":\"image\"}]}]",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_chat_template *template = NULL;
    struct sl_error error = {0};
    if (size < 1)
        return 0;
    struct sl_slice text = {(const char *)data + 1, size - 1};
    if (sl_chat_template_compile(text, &template, &error) != SL_OK) {
        if (error.message[0] == '\0')
            abort();
        return 0;
    }
    struct tm now = {.tm_year = 126, .tm_mday = 1};
    json_t *messages = json_loads(chats[data[0] % 4], 0, NULL);
    json_t *tools = data[0] & 4 ? json_loads("[{\"function\":{\"name\":\"f\"}}]", 0, NULL) : NULL;
    struct sl_chat_input input = {
        .messages = messages, .tools = tools, .bos_token = SL_SLICE("<s>"),
        .eos_token = SL_SLICE("</s>"), .add_generation_prompt = (data[0] & 8) != 0, .now = &now,
        .limits = {.steps_max = 20000, .memory_bytes = 1 << 20},
    };
    struct sl_buf out;
    sl_buf_init(&out, 1 << 18);
    enum sl_err err = sl_chat_template_render(template, &input, &out, &error);
    if (err != SL_OK && error.code != err)
        abort();
    (void)sl_chat_template_tool_form(template);
    size_t begin;
    size_t end;
    if (sl_chat_find_last_user(sl_buf_slice(&out), messages, &begin, &end) &&
        (begin > end || end > out.len))
        abort();
    sl_buf_clear(&out);
    json_decref(messages);
    json_decref(tools);
    sl_chat_template_free(template);
    return 0;
}
