/* SPDX-License-Identifier: Apache-2.0
 *
 * Which tokens have a role: beginning, end, unknown, separator, and all those that end an answer.
 * By the file's keys; where converters left keys out, by the names that published models use (the
 * same list as the reference implementation, llama-vocab.cpp).
 */
#include "tokenizer_internal.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Names that end an answer wherever a vocabulary has them. */
static const char *const end_names[] = {
    "<|eot_id|>",       "<|im_end|>",      "<|end|>",          "<|return|>",
    "<|call|>",         "<|flush|>",       "<|calls|>",        "<end_of_turn>",
    "<|endoftext|>",    "</s>",            "<|eom_id|>",       "<EOT>",
    "_<EOT>",           "[EOT]",           "[EOS]",            "<|end_of_text|>",
    "<end_of_utterance>", "<eos>",         "<turn|>",          "<|tool_response>",
    "<｜end▁of▁sentence｜>", "[e~[",
};

/* Names that stop a fill-in-the-middle answer. */
static const char *const file_end_names[] = {
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>",     "[PAD]",      "<|fim_repo|>",
    "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>",
};

/* Names of control tokens that end nothing, given another type by some converters. */
static const char *const control_names[] = {
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>",
    "<|code_prefix|>", "<|prefix|>", "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>",
    "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>", "<|suffix|>", "<|fim_middle|>",
    "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
    "<|middle|>",
};

static int32_t find_name(const struct sl_tokenizer *tokenizer, const char *name)
{
    return sl_vocab_find(tokenizer, name, strlen(name));
}

static void mark_end(struct sl_tokenizer *tokenizer, int32_t id, bool is_end)
{
    uint8_t bit = (uint8_t)(1u << (id % 8));
    if (is_end)
        tokenizer->ends[id / 8] |= bit;
    else
        tokenizer->ends[id / 8] &= (uint8_t)~bit;
}

/* The id under `key`; `otherwise` where the key is absent or no id of this vocabulary. */
static int32_t id_or(const struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf,
                     const char *key, int32_t otherwise)
{
    if (otherwise >= 0 && (uint32_t)otherwise >= tokenizer->vocab_size)
        otherwise = SL_TOKEN_NONE;
    uint32_t id = sl_gguf_u32_or(gguf, key, UINT32_MAX);
    return id < tokenizer->vocab_size ? (int32_t)id : otherwise;
}

/* What the model families agree on where the file is silent. */
static void load_ids(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf)
{
    static const struct {
        int32_t bos, eos, unknown, separator;
    } defaults[] = {
        [SL_TOKENIZER_SPM] = {1, 2, 0, SL_TOKEN_NONE},
        [SL_TOKENIZER_BPE] = {11, 11, SL_TOKEN_NONE, SL_TOKEN_NONE},
        [SL_TOKENIZER_WORDPIECE] = {101, SL_TOKEN_NONE, 100, 102},
    };
    enum sl_tokenizer_kind kind = tokenizer->kind;
    bool has_no_bos = tokenizer->pre != NULL &&
                      (tokenizer->pre->flags & (SL_PRE_NO_BOS | SL_PRE_RAW_UTF8)) != 0;
    int32_t bos = has_no_bos ? SL_TOKEN_NONE : defaults[kind].bos;
    tokenizer->bos = id_or(tokenizer, gguf, "tokenizer.ggml.bos_token_id", bos);
    tokenizer->eos = id_or(tokenizer, gguf, "tokenizer.ggml.eos_token_id", defaults[kind].eos);
    tokenizer->unknown =
        id_or(tokenizer, gguf, "tokenizer.ggml.unknown_token_id", defaults[kind].unknown);
    int32_t separator =
        id_or(tokenizer, gguf, "tokenizer.ggml.seperator_token_id", defaults[kind].separator);
    tokenizer->separator =
        id_or(tokenizer, gguf, "tokenizer.ggml.separator_token_id", separator);
}

static void load_flags(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf)
{
    unsigned pre = tokenizer->pre != NULL ? tokenizer->pre->flags : 0;
    bool is_bpe = tokenizer->kind == SL_TOKENIZER_BPE;
    bool is_spm = tokenizer->kind == SL_TOKENIZER_SPM;
    bool adds_bos = !is_bpe || (pre & SL_PRE_ADD_BOS) != 0;
    tokenizer->adds_bos = sl_gguf_bool_or(gguf, "tokenizer.ggml.add_bos_token", adds_bos) &&
                          tokenizer->bos != SL_TOKEN_NONE;
    if ((pre & SL_PRE_NEWLINES) != 0) /* files of this family were converted with it off */
        tokenizer->adds_bos = tokenizer->bos != SL_TOKEN_NONE;
    tokenizer->adds_eos = sl_gguf_bool_or(gguf, "tokenizer.ggml.add_eos_token", false) &&
                          tokenizer->eos != SL_TOKEN_NONE;
    tokenizer->adds_space_prefix =
        sl_gguf_bool_or(gguf, "tokenizer.ggml.add_space_prefix", is_spm);
    tokenizer->escapes_spaces = !is_bpe || (pre & SL_PRE_RAW_UTF8) != 0;
    tokenizer->cleans_spaces = is_bpe ? (pre & SL_PRE_CLEAN_SPACES) != 0 : !is_spm;
    tokenizer->lowers_case =
        sl_gguf_bool_or(gguf, "tokenizer.ggml.normalizer.lowercase", true);
    tokenizer->strips_accents = sl_gguf_bool_or(gguf, "tokenizer.ggml.normalizer.strip_accents",
                                                tokenizer->lowers_case);
}

/* A name in the list is control whatever type the converter gave it. */
static void mark_names(struct sl_tokenizer *tokenizer, const char *const *names, size_t count,
                       bool is_end)
{
    for (size_t i = 0; i < count; i++) {
        int32_t id = find_name(tokenizer, names[i]);
        if (id == SL_TOKEN_NONE)
            continue;
        tokenizer->types[id] = SL_TOKEN_CONTROL;
        if (is_end)
            mark_end(tokenizer, id, true);
    }
}

static bool is_named_end(const struct sl_tokenizer *tokenizer, const char *name)
{
    return sl_tokenizer_is_end(tokenizer, find_name(tokenizer, name));
}

/* Two families use a common end name inside their answers. */
static void undo_ends(struct sl_tokenizer *tokenizer)
{
    bool has_call = is_named_end(tokenizer, "<|call|>") || is_named_end(tokenizer, "<|calls|>");
    bool ends_otherwise = is_named_end(tokenizer, "<|return|>") ||
                          is_named_end(tokenizer, "<|flush|>");
    if (has_call && ends_otherwise && is_named_end(tokenizer, "<|end|>")) {
        int32_t id = find_name(tokenizer, "<|end|>");
        mark_end(tokenizer, id, false);
        tokenizer->types[id] = SL_TOKEN_USER_DEFINED;
    }
    if (is_named_end(tokenizer, "<|tool_response>") && is_named_end(tokenizer, "</s>")) {
        int32_t id = find_name(tokenizer, "</s>");
        mark_end(tokenizer, id, false);
        tokenizer->types[id] = SL_TOKEN_NORMAL;
    }
}

/* The separators of the gpt-oss answer format are shown, whatever the file says. */
static void show_channel_names(struct sl_tokenizer *tokenizer)
{
    static const char *const names[] = {"<|channel|>", "<|message|>", "<|start|>",
                                        "<|constrain|>"};
    for (size_t i = 0; i < COUNT(names); i++) {
        int32_t id = find_name(tokenizer, names[i]);
        if (id != SL_TOKEN_NONE)
            tokenizer->types[id] = SL_TOKEN_USER_DEFINED;
    }
}

static void load_ends(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf)
{
    static const char *const keys[] = {
        "tokenizer.ggml.eot_token_id",     "tokenizer.ggml.eom_token_id",
        "tokenizer.ggml.fim_pad_token_id", "tokenizer.ggml.fim_rep_token_id",
        "tokenizer.ggml.fim_sep_token_id",
    };
    mark_names(tokenizer, control_names, COUNT(control_names), false);
    mark_names(tokenizer, file_end_names, COUNT(file_end_names), true);
    mark_names(tokenizer, end_names, COUNT(end_names), true);
    show_channel_names(tokenizer);
    for (size_t i = 0; i < COUNT(keys); i++) {
        int32_t id = id_or(tokenizer, gguf, keys[i], SL_TOKEN_NONE);
        if (id != SL_TOKEN_NONE)
            mark_end(tokenizer, id, true);
    }
    if (tokenizer->eos != SL_TOKEN_NONE)
        mark_end(tokenizer, tokenizer->eos, true);
    undo_ends(tokenizer);
}

static bool contains_nocase(struct sl_slice text, const char *part)
{
    size_t len = strlen(part);
    for (size_t i = 0; i + len <= text.len; i++)
        if (strncasecmp(text.data + i, part, len) == 0)
            return true;
    return false;
}

static enum sl_err allocate_strips(struct sl_tokenizer *tokenizer, struct sl_error *error)
{
    tokenizer->strips = calloc(tokenizer->vocab_size, 1);
    return tokenizer->strips != NULL ? SL_OK : sl_error_set(error, SL_ERR_MEMORY, NULL);
}

/* White space around special tokens: GGUF has no key for it, so it goes by the model's name, as in
 * the reference implementation. */
static enum sl_err load_strips(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf,
                               struct sl_error *error)
{
    struct sl_slice name = sl_gguf_string_or(gguf, "general.name", SL_SLICE(""));
    struct sl_slice pre = sl_gguf_string_or(gguf, "tokenizer.ggml.pre", SL_SLICE(""));
    struct sl_slice arch = sl_gguf_string_or(gguf, "general.architecture", SL_SLICE(""));
    bool is_jina = contains_nocase(pre, "jina-v2-") || contains_nocase(arch, "nomic-bert-moe") ||
                   contains_nocase(arch, "jina-bert-v3");
    bool is_phi3 = !is_jina && (contains_nocase(name, "phi-3") || contains_nocase(name, "phi3"));
    bool is_modern_bert = !is_jina && !is_phi3 && contains_nocase(name, "modern-bert");
    int32_t mask = SL_TOKEN_NONE;
    if (is_jina || is_modern_bert)
        mask = find_name(tokenizer, is_jina ? "<mask>" : "[MASK]");
    if (mask == SL_TOKEN_NONE && !is_phi3)
        return SL_OK;
    if (allocate_strips(tokenizer, error) != SL_OK)
        return SL_ERR_MEMORY;
    if (mask != SL_TOKEN_NONE)
        tokenizer->strips[mask] = SL_TOKEN_STRIP_LEFT;
    if (!is_phi3)
        return SL_OK;
    for (uint32_t id = 0; id < tokenizer->vocab_size; id++)
        if (tokenizer->types[id] >= SL_TOKEN_UNKNOWN &&
            tokenizer->types[id] <= SL_TOKEN_USER_DEFINED)
            tokenizer->strips[id] = SL_TOKEN_STRIP_RIGHT;
    static const char *const keep[] = {"<unk>", "<s>", "<|endoftext|>"};
    for (size_t i = 0; i < COUNT(keep); i++) {
        int32_t id = find_name(tokenizer, keep[i]);
        if (id != SL_TOKEN_NONE)
            tokenizer->strips[id] = 0;
    }
    return SL_OK;
}

enum sl_err sl_roles_load(struct sl_tokenizer *tokenizer, const struct sl_gguf *gguf,
                          struct sl_error *error)
{
    tokenizer->ends = calloc(tokenizer->vocab_size / 8 + 1, 1);
    if (tokenizer->ends == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    load_ids(tokenizer, gguf);
    load_flags(tokenizer, gguf);
    load_ends(tokenizer, gguf);
    return load_strips(tokenizer, gguf, error);
}
