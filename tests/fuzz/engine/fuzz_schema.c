/* SPDX-License-Identifier: Apache-2.0
 *
 * Schemas and answers. The input is one byte for the kind, a JSON text up to the first NUL, and
 * bytes that an answer might have. Besides not crashing: a byte is accepted exactly when the mask
 * allows its token, a refusal has a message, and a complete text is JSON.
 */
#include "constrain.h"
#include "fuzz_vocabulary.h"
#include "sluice/utf8.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MASKS_MAX 24 /* a mask costs more than a byte */

static struct sl_tokenizer *tokenizer;
static struct sl_constraint_vocab *vocab;

/* The bytes in the printable alphabet: token b is byte b. Lives as long as the process. */
static void prepare(void)
{
    static struct fuzz_vocabulary vocabulary;
    static struct sl_gguf *gguf;
    struct sl_error error = {0};
    unsigned next = 256;
    if (vocab != NULL)
        return;
    fuzz_vocabulary_init(&vocabulary);
    for (unsigned byte = 0; byte < 256; byte++) {
        bool prints = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) ||
                      byte >= 0xAE;
        char text[4];
        size_t len = sl_utf8_encode(prints ? byte : next++, text);
        fuzz_token(&vocabulary, (struct sl_slice){text, len}, 1);
    }
    fuzz_token(&vocabulary, SL_SLICE("\":"), 1);
    fuzz_token(&vocabulary, SL_SLICE("\"},"), 1);
    fuzz_token(&vocabulary, SL_SLICE("ab"), 1);
    fuzz_token(&vocabulary, SL_SLICE("</s>"), 3);
    fuzz_vocabulary_encode(&vocabulary, "gpt2", "gpt-2");
    if (sl_gguf_open_memory(vocabulary.file.data, vocabulary.file.len, &gguf, &error) != SL_OK ||
        sl_tokenizer_create(gguf, &tokenizer, &error) != SL_OK ||
        sl_constraint_vocab_create(tokenizer, &vocab, &error) != SL_OK)
        abort();
}

static void check_json(const uint8_t *text, size_t len)
{
    json_t *json = json_loadb((const char *)text, len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL,
                              NULL);
    if (json == NULL)
        abort();
    json_decref(json);
}

static void feed(struct sl_constraint *constraint, bool is_json, const uint8_t *text, size_t len)
{
    struct sl_constraint_state *state;
    struct sl_error error = {0};
    float logits[512];
    if (sl_constraint_state_create(constraint, vocab, &state, &error) != SL_OK)
        abort();
    for (size_t i = 0; i < len; i++) {
        bool is_masked = i < MASKS_MAX;
        memset(logits, 0, sizeof logits);
        if (is_masked)
            sl_constraint_mask(state, logits);
        bool is_taken = sl_constraint_accept(state, text[i]);
        if (is_masked && is_taken != !isinf(logits[text[i]]))
            abort();
        if (!is_taken)
            break;
        if (is_json && sl_constraint_is_complete(state))
            check_json(text, i + 1);
    }
    sl_constraint_state_free(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum sl_format_kind kinds[] = {SL_FORMAT_JSON_SCHEMA, SL_FORMAT_JSON_SCHEMA,
                                                SL_FORMAT_TOOL_CALL, SL_FORMAT_JSON_OBJECT};
    if (size < 1)
        return 0;
    prepare();
    const uint8_t *end = size > 1 ? memchr(data + 1, '\0', size - 1) : NULL;
    size_t schema_len = end != NULL ? (size_t)(end - data) - 1 : size - 1;
    size_t text_len = end != NULL ? size - schema_len - 2 : 0;
    enum sl_format_kind kind = kinds[data[0] % 4];
    json_t *schema = json_loadb((const char *)data + 1, schema_len, JSON_DECODE_ANY, NULL);
    if (schema == NULL && kind != SL_FORMAT_JSON_OBJECT)
        return 0;
    struct sl_constraint *constraint = NULL;
    struct sl_error error = {0};
    enum sl_err err = sl_constraint_compile(kind, schema, (enum sl_tool_form)(data[0] / 4 % 5),
                                            &constraint, &error);
    json_decref(schema);
    if (err != SL_OK) {
        if (error.code != err || error.message[0] == '\0')
            abort();
        return 0;
    }
    if (text_len > 0)
        feed(constraint, kind != SL_FORMAT_TOOL_CALL, end + 1, text_len);
    sl_constraint_release(constraint);
    return 0;
}
