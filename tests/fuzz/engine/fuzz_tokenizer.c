/* SPDX-License-Identifier: Apache-2.0
 *
 * Vocabularies and texts that nobody meant. The input is: one byte for the kind, one for the
 * pre-tokenizer, lines of the vocabulary (a type digit, then the text; "m" for a merge) up to an
 * empty line, and the text. Kind 0xFF: all the rest is a GGUF file.
 *
 * Besides not crashing: every id is of the vocabulary, a stream gives valid UTF-8 whatever the ids
 * are, and where no token is special the text comes back.
 */
#include "fuzz_vocabulary.h"
#include "sluice/utf8.h"
#include "tokenizer.h"
#include "tokenizer_pre.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const models[] = {"llama", "gpt2", "bert", "gemma4"};
static const char *const pres[] = {
    "default", "llama-bpe", "gpt-2", "qwen2", "smollm", "starcoder", "deepseek-llm",
    "deepseek-coder", "deepseek-v3", "falcon", "mpt", "command-r", "gpt-4o", "tekken", "viking",
    "bloom", "chameleon", "superbpe", "tiny_aya", "afmoe", "kimi-k2", "exaone-moe", "youtu",
    "jais-2", "bailingmoe", "spark2_5", "laguna", "poro-chat", "minicpm5", "qwen35",
};

static void check_stream(const struct sl_tokenizer *tokenizer, const struct sl_tokens *tokens)
{
    static struct sl_detokenizer detokenizer;
    sl_detokenizer_init(&detokenizer, tokenizer);
    detokenizer.show_control = true;
    for (size_t i = 0; i < tokens->count; i++) {
        struct sl_slice text = sl_detokenizer_feed(&detokenizer, tokens->ids[i]);
        if (!sl_utf8_is_valid(text.data, text.len))
            abort();
    }
    struct sl_slice rest = sl_detokenizer_flush(&detokenizer);
    if (!sl_utf8_is_valid(rest.data, rest.len))
        abort();
}

static void encode(const struct sl_tokenizer *tokenizer, struct sl_slice text, bool special)
{
    struct sl_tokens tokens = {0};
    struct sl_error error = {0};
    if (sl_tokenizer_encode(tokenizer, text, special, special, &tokens, &error) != SL_OK)
        abort();
    for (size_t i = 0; i < tokens.count; i++)
        if (tokens.ids[i] < 0 || (uint32_t)tokens.ids[i] >= sl_tokenizer_vocab_size(tokenizer))
            abort();
    check_stream(tokenizer, &tokens);
    struct sl_buf decoded;
    sl_buf_init(&decoded, 64 << 20);
    if (sl_tokenizer_decode(tokenizer, tokens.ids, tokens.count, true, &decoded) == SL_ERR_MEMORY)
        abort();
    sl_buf_clear(&decoded);
    sl_tokens_clear(&tokens);
}

static void try_file(const void *data, size_t size, struct sl_slice text)
{
    struct sl_gguf *gguf = NULL;
    struct sl_tokenizer *tokenizer = NULL;
    struct sl_error error = {0};
    if (sl_gguf_open_memory(data, size, &gguf, &error) != SL_OK)
        return;
    if (sl_tokenizer_create(gguf, &tokenizer, &error) == SL_OK) {
        encode(tokenizer, text, false);
        encode(tokenizer, text, true);
    }
    sl_tokenizer_free(tokenizer);
    sl_gguf_close(gguf);
}

/* Reads one line of the vocabulary; false at the empty one that ends it. */
static bool read_line(struct fuzz_vocabulary *vocabulary, struct sl_slice *rest)
{
    const char *newline = rest->len > 0 ? memchr(rest->data, '\n', rest->len) : NULL;
    size_t len = newline != NULL ? (size_t)(newline - rest->data) : rest->len;
    struct sl_slice line = {rest->data, len};
    *rest = (struct sl_slice){rest->data + len + (newline != NULL),
                              rest->len - len - (newline != NULL)};
    if (len == 0)
        return false;
    struct sl_slice text = {line.data + 1, line.len - 1};
    if (line.data[0] == 'm')
        fuzz_merge(vocabulary, text);
    else
        fuzz_token(vocabulary, text, (uint32_t)(uint8_t)line.data[0] % 8);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct sl_slice rest = {(const char *)data + 2, size - 2};
    if (data[0] == 0xFF) {
        try_file(rest.data, rest.len, SL_SLICE("Hello <s>World 123  \xC3\xA9\n\xFF"));
        return 0;
    }
    struct fuzz_vocabulary vocabulary;
    fuzz_vocabulary_init(&vocabulary);
    while (read_line(&vocabulary, &rest))
        ;
    fuzz_vocabulary_encode(&vocabulary, models[data[0] % 4],
                           pres[data[1] % (sizeof pres / sizeof pres[0])]);
    try_file(vocabulary.file.data, vocabulary.file.len, rest);
    fuzz_vocabulary_clear(&vocabulary);
    return 0;
}
