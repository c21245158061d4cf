/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: from a chat, a text or ids to a prompt: the template's rendering, its tokens, and which of
 * them are the last user message.
 * Leaves to others: the template language (chat_template.c), tokenization (tokenizer.c).
 *
 * The user's tokens are found through the text: the template gives the place of the last user
 * message in the rendered prompt, and the lengths of the tokens' pieces give the tokens there. A
 * tokenizer that adds or folds a space shifts that by a byte, which may move a border by a token;
 * for a mean over tokens that does not matter.
 *
 * Threads: any; an engine is immutable here.
 */
#include "engine_internal.h"

#include <stdlib.h>
#include <string.h>

/* A rendered chat: far more than any context holds, and a bound on what one request costs. */
#define RENDERED_BYTES_MAX (16u << 20)

enum sl_err sl_prompt_create(const struct sl_engine *engine, const int32_t *ids, size_t count,
                             size_t scored_begin, size_t scored_end, struct sl_prompt **out,
                             struct sl_error *error)
{
    const uint32_t vocab = engine->model->hparams.vocab_size;
    if (count > UINT32_MAX / 2)
        return sl_error_set(error, SL_ERR_LIMIT, "the prompt has too many tokens");
    for (size_t idx = 0; idx < count; idx++)
        if (ids[idx] < 0 || (uint32_t)ids[idx] >= vocab)
            return sl_error_set(error, SL_ERR_INVALID,
                                "token %d at %zu is outside the vocabulary of %u", ids[idx], idx,
                                vocab);
    struct sl_prompt *prompt = malloc(sizeof *prompt + count * sizeof *prompt->ids);
    if (prompt == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (scored_end > count)
        scored_end = count;
    if (scored_end > SL_SCORED_TOKENS_MAX && scored_begin < scored_end - SL_SCORED_TOKENS_MAX)
        scored_begin = scored_end - SL_SCORED_TOKENS_MAX;
    if (scored_begin == 0) /* the first token follows nothing */
        scored_begin = 1;
    if (scored_begin >= scored_end)
        scored_begin = scored_end = 1;
    prompt->count = (uint32_t)count;
    prompt->scored_begin = (uint32_t)scored_begin;
    prompt->scored_end = (uint32_t)scored_end;
    if (count > 0)
        memcpy(prompt->ids, ids, count * sizeof *ids);
    *out = prompt;
    return SL_OK;
}

void sl_prompt_free(struct sl_prompt *prompt)
{
    free(prompt);
}

uint32_t sl_prompt_tokens(const struct sl_prompt *prompt)
{
    return prompt->count;
}

const int32_t *sl_prompt_ids(const struct sl_prompt *prompt)
{
    return prompt->ids;
}

enum sl_err sl_engine_prepare_ids(struct sl_engine *engine, const int32_t *ids, size_t count,
                                  struct sl_prompt **out, struct sl_error *error)
{
    return sl_prompt_create(engine, ids, count, 0, count, out, error);
}

enum sl_err sl_engine_prepare_text(struct sl_engine *engine, struct sl_slice text, bool add_special,
                                   bool parse_special, struct sl_prompt **out,
                                   struct sl_error *error)
{
    struct sl_tokens tokens = {0};
    enum sl_err err =
        sl_tokenizer_encode(engine->tokenizer, text, add_special, parse_special, &tokens, error);
    if (err == SL_OK)
        err = sl_prompt_create(engine, tokens.ids, tokens.count, 0, tokens.count, out, error);
    sl_tokens_clear(&tokens);
    return err;
}

/* ---- chats ---- */

/* The text of an OpenAI content array; SL_ERR_UNSUPPORTED where a part is no text. */
static enum sl_err join_parts(const json_t *parts, struct sl_buf *out, struct sl_error *error)
{
    size_t idx;
    const json_t *part;
    json_array_foreach((json_t *)(uintptr_t)parts, idx, part)
    {
        const json_t *text = json_object_get(part, "text");
        if (!json_is_string(text))
            return sl_error_set_param(error, SL_ERR_UNSUPPORTED, "messages.content",
                                      "this model reads text only");
        enum sl_err err = sl_buf_append(out, json_string_value(text), json_string_length(text));
        if (err != SL_OK)
            return sl_error_set(error, err, "a message is too long");
    }
    return SL_OK;
}

/* A copy of the message with its content parts joined to one string. */
static enum sl_err flatten_message(json_t *message, struct sl_error *error)
{
    json_t *content = json_object_get(message, "content");
    if (!json_is_array(content))
        return SL_OK;
    struct sl_buf text;
    sl_buf_init(&text, RENDERED_BYTES_MAX);
    enum sl_err err = join_parts(content, &text, error);
    if (err == SL_OK) {
        json_t *joined = json_stringn(text.data != NULL ? text.data : "", text.len);
        if (joined == NULL || json_object_set_new(message, "content", joined) != 0)
            err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    sl_buf_wipe(&text);
    return err;
}

/* Templates expect content as one string; content arrays are joined in a copy. *out is a reference
 * to free in any case. */
static enum sl_err flatten_messages(const json_t *messages, json_t **out, struct sl_error *error)
{
    bool has_parts = false;
    size_t idx;
    json_t *message;
    json_array_foreach((json_t *)(uintptr_t)messages, idx, message)
    {
        has_parts |= json_is_array(json_object_get(message, "content"));
    }
    *out = has_parts ? json_array() : json_incref((json_t *)(uintptr_t)messages);
    if (!has_parts)
        return SL_OK;
    enum sl_err err = SL_OK;
    json_array_foreach((json_t *)(uintptr_t)messages, idx, message)
    {
        json_t *copy = json_copy(message);
        if (copy == NULL || json_array_append_new(*out, copy) != 0)
            return sl_error_set(error, SL_ERR_MEMORY, NULL);
        if ((err = flatten_message(copy, error)) != SL_OK)
            return err;
    }
    return SL_OK;
}

/* The tokens whose text lies in [begin, end) of the text that was tokenized. */
static void locate_tokens(const struct sl_engine *engine, const struct sl_tokens *tokens,
                          bool has_bos, size_t begin, size_t end, size_t *first, size_t *last)
{
    size_t at = 0;
    size_t idx = has_bos ? 1 : 0; /* a BOS that the tokenizer added is not in the text */
    *first = tokens->count;
    *last = tokens->count;
    for (; idx < tokens->count; idx++) {
        if (at >= begin && *first == tokens->count)
            *first = idx;
        if (at >= end) {
            *last = idx;
            return;
        }
        at += sl_tokenizer_piece(engine->tokenizer, tokens->ids[idx]).len;
    }
}

static struct sl_slice piece_or_none(const struct sl_engine *engine, int32_t id)
{
    return id != SL_TOKEN_NONE ? sl_tokenizer_piece(engine->tokenizer, id) : (struct sl_slice){0};
}

static enum sl_err tokenize_rendered(struct sl_engine *engine, struct sl_slice text,
                                     const json_t *messages, struct sl_prompt **out,
                                     struct sl_error *error)
{
    /* Templates write the BOS themselves or rely on the tokenizer; never twice. */
    const struct sl_slice bos = piece_or_none(engine, sl_tokenizer_bos(engine->tokenizer));
    const bool adds_bos = sl_tokenizer_adds_bos(engine->tokenizer) &&
                          !(bos.len > 0 && sl_slice_starts_with(text, bos));
    struct sl_tokens tokens = {0};
    enum sl_err err = SL_OK;
    if (adds_bos)
        err = sl_tokens_append(&tokens, sl_tokenizer_bos(engine->tokenizer));
    if (err == SL_OK)
        err = sl_tokenizer_encode(engine->tokenizer, text, false, true, &tokens, error);
    size_t begin = 0;
    size_t end = text.len;
    size_t first = 0;
    size_t last = tokens.count;
    if (err == SL_OK && sl_chat_find_last_user(text, messages, &begin, &end))
        locate_tokens(engine, &tokens, adds_bos, begin, end, &first, &last);
    if (err == SL_OK)
        err = sl_prompt_create(engine, tokens.ids, tokens.count, first, last, out, error);
    sl_tokens_clear(&tokens);
    return err;
}

static enum sl_err check_chat(const struct sl_engine *engine, const struct sl_chat *chat,
                              struct sl_error *error)
{
    if (engine->chat_template == NULL)
        return sl_error_set(error, SL_ERR_UNSUPPORTED, "%s is an encoder: it has no chat form",
                            engine->info.name);
    if (!json_is_array(chat->messages) || json_array_size(chat->messages) == 0)
        return sl_error_set_param(error, SL_ERR_INVALID, "messages", "expected a list of messages");
    if (json_array_size(chat->tools) > 0 && !engine->info.has_tools)
        return sl_error_set_param(error, SL_ERR_UNSUPPORTED, "tools",
                                  "the chat template of this model has no tools");
    return SL_OK;
}

enum sl_err sl_engine_prepare(struct sl_engine *engine, const struct sl_chat *chat,
                              struct sl_prompt **out, struct sl_error *error)
{
    enum sl_err err = check_chat(engine, chat, error);
    if (err != SL_OK)
        return err;
    json_t *messages = NULL;
    struct sl_buf rendered;
    sl_buf_init(&rendered, RENDERED_BYTES_MAX);
    err = flatten_messages(chat->messages, &messages, error);
    if (err == SL_OK) {
        const struct sl_chat_input input = {
            .messages = messages,
            .tools = json_array_size(chat->tools) > 0 ? chat->tools : NULL,
            .extra = chat->template_extra,
            .bos_token = piece_or_none(engine, sl_tokenizer_bos(engine->tokenizer)),
            .eos_token = piece_or_none(engine, sl_tokenizer_eos(engine->tokenizer)),
            .add_generation_prompt = true,
        };
        err = sl_chat_template_render(engine->chat_template, &input, &rendered, error);
    }
    if (err == SL_OK)
        err = tokenize_rendered(engine, sl_buf_slice(&rendered), messages, out, error);
    json_decref(messages);
    sl_buf_wipe(&rendered);
    return err;
}
