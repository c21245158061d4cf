/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of pre-tokenizers. Names and patterns are those of the models' tokenizer.json as the
 * reference implementation (llama.cpp, llama-vocab.cpp) applies them, where it deviates from the
 * publisher too: files are converted and tested against it. Case-insensitive groups are written
 * out; classes that it collapses (any letter for \p{Lu}, \p{Ll}, ...) are written collapsed.
 */
#include "tokenizer_pre.h"

#include <stddef.h>

#define CONTRACTION "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
#define LLAMA3_BUT_SPACES                                                                          \
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
#define LLAMA3 LLAMA3_BUT_SPACES SPACES
#define QWEN2_BUT_CONTRACTION                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES
#define QWEN2 CONTRACTION "|" QWEN2_BUT_CONTRACTION

/* Upper then lower case, as far as ASCII tells them apart; other letters are both. */
#define UPPER "[\\p{L}--a-z]"
#define LOWER "[\\p{L}--A-Z]"
#define UPPER_MARK "[\\p{L}\\p{M}--a-z]"
#define LOWER_MARK "[\\p{L}\\p{M}--A-Z]"
#define CASED(upper, lower, suffix)                                                                \
    "[^\\r\\n\\p{L}\\p{N}]?" upper "*" lower "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" upper "+" lower  \
    "*" suffix "|"
#define GPT4O_REST "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES

#define ASCII_PUNCTUATION "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"
#define DEEPSEEK3_WORDS                                                                            \
    ASCII_PUNCTUATION "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "                      \
                      "?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES
#define CJK "[一-龥぀-ゟ゠-ヿ]+"
#define BLOOM " ?[^(\\s|.,!?…。，、।۔،)]+"

/* Letters that have case, by DeepSeek's own list. */
#define DEEPSEEK_LETTERS                                                                           \
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-"   \
    "Ὅὐ-ὗὙὛὝὟ-\u1F7Dᾀ-ᾴᾶ-ᾼ\u1FBEῂ-ῄῆ-ῌῐ-\u1FD3ῖ-\u1FDBῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212A-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-"      \
    "ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"

static const struct sl_pre table[] = {
    {" default ", SL_PRE_CLEAN_SPACES,
     {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {" llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ",
     SL_PRE_IGNORE_MERGES | SL_PRE_ADD_BOS | SL_PRE_CLEAN_SPACES, {LLAMA3}},
    {" dbrx smaug-bpe ", SL_PRE_CLEAN_SPACES, {LLAMA3}},
    {" glm4 chatglm-bpe ", SL_PRE_CLEAN_SPACES | SL_PRE_NO_BOS, {LLAMA3}},
    {" jais-2 ", SL_PRE_CLEAN_SPACES,
     {LLAMA3_BUT_SPACES "\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|"
                        "\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|"
                        "\\s{1,2}(?!\\S)|\\s{1}"}},
    {" gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert mpt "
     "olmo jais exaone4 ", SL_PRE_CLEAN_SPACES, {GPT2}},
    {" trillion granite-docling ", 0, {GPT2}},
    {" jina-v1-en jina-v2-code roberta-bpe ", SL_PRE_CLEAN_SPACES | SL_PRE_ADD_SEP, {GPT2}},
    {" starcoder refact codeshell exaone minerva-7b mellum2 ", SL_PRE_CLEAN_SPACES,
     {"\\p{N}", GPT2}},
    {" smollm command-r ", 0, {"\\p{N}", GPT2}},
    {" falcon ", SL_PRE_CLEAN_SPACES,
     {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {" qwen2 deepseek-r1-qwen kormo f2llmv2 hunyuan solar-open grok-2 ", 0, {QWEN2}},
    {" stablelm2 megrez ", SL_PRE_CLEAN_SPACES, {QWEN2}},
    {" qwen35 ", 0,
     {CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
                  "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES}},
    {" ufakzeka ", 0, {QWEN2_BUT_CONTRACTION}},
    {" laguna ", 0, {"[^\\n]+|[\\n]+", QWEN2}},
    {" minicpm5 ", SL_PRE_IGNORE_MERGES | SL_PRE_CLEAN_SPACES,
     {"\\p{N}{1,3}", CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+| "
                                 "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES}},
    {" bailingmoe bailingmoe2 llada-moe ", 0,
     {"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
      "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {" seed-coder ", 0,
     {CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES}},
    {" exaone-moe ", SL_PRE_CLEAN_SPACES,
     {CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}(?: ?\\p{L}|\\p{M})*|\\p{N}| "
                  "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {" tekken ", SL_PRE_IGNORE_MERGES | SL_PRE_ADD_BOS,
     {CASED(UPPER, LOWER, "") "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES}},
    {" gpt-4o llama4 kanana2 talkie minimax-m2 ", 0,
     {CASED(UPPER, LOWER, CONTRACTION "?") GPT4O_REST}},
    {" granite-embed-multi-97m ", SL_PRE_IGNORE_MERGES,
     {CASED(UPPER_MARK, LOWER_MARK, CONTRACTION "?") GPT4O_REST}},
    {" tiny_aya cohere2moe ", 0,
     {"\\d{1,3}(?=(?:\\d{3})*\\b)",
      CASED("[\\p{L}\\p{M}]", "[\\p{L}\\p{M}]", CONTRACTION "?") GPT4O_REST}},
    {" youtu ", SL_PRE_IGNORE_MERGES,
     {"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" CJK,
      CASED("[\\p{L}\\p{M}]", "[\\p{L}\\p{M}]",
            CONTRACTION "?") "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES}},
    {" kimi-k2 ", 0,
     {"\\p{Han}+|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}--\\p{Han}]+" CONTRACTION "?|\\p{N}{1,3}| "
      "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES}},
    {" superbpe ", 0, {"\\p{N}+", "(?=(?:\\d{3})+(?!\\d))"}},
    {" deepseek-llm ", 0,
     {"[\\r\\n]", DEEPSEEK_LETTERS, "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$",
      "[一-龥ࠀ-一가-퟿]+", "\\p{N}+"}},
    {" deepseek-coder ", 0,
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"}},
    {" deepseek-v3 hunyuan-dense joyai-llm hy_v4 ", 0, {"\\p{N}{1,3}", CJK, DEEPSEEK3_WORDS}},
    {" spark2_5 ", 0,
     {"\\p{N}{1,3}", CJK,
      ASCII_PUNCTUATION "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
                        "?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+", "\\p{N}"}},
    /* The first group of a number keeps what stands before it, as the reference's own splitter. */
    {" afmoe ", 0,
     {"[^\\p{N}]*\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))",
      "[一-鿿㐀-䶿\uF900-﫿぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-힯ᄀ-ᇿ]+", DEEPSEEK3_WORDS}},
    {" poro-chat ", 0, {BLOOM}},
    {" bloom gpt3-finnish ", SL_PRE_CLEAN_SPACES, {BLOOM}},
    {" viking ", 0, {BLOOM, "\\p{N}"}},
    {" chameleon ", SL_PRE_ADD_BOS,
     {"<sentinel:[0-9]+>", "IMGIMG[A-I]{1,4}Z", "[\\t\\n]|    |  ", "\\p{N}",
      "[\\p{P}!-/:-@\\[-`{-~]", GPT2}},
    {" gemma4 granite-embed-multi-311m ",
     SL_PRE_RAW_UTF8 | SL_PRE_NEWLINES | SL_PRE_ADD_BOS | SL_PRE_CLEAN_SPACES,
     {"[^\\n]+|[\\n]+"}},
    {" sarvam-moe ", SL_PRE_RAW_UTF8, {"[^\\n]+|[\\n]+"}},
};

/* Is `name` one of the words of `names`? Names hold no space. */
static bool names_have(const char *names, struct sl_slice name)
{
    for (const char *at = strchr(names, ' '); at != NULL && at[1] != '\0'; at = strchr(at + 1, ' '))
        if (strncmp(at + 1, name.data, name.len) == 0 && at[1 + name.len] == ' ')
            return true;
    return false;
}

const struct sl_pre *sl_pre_find(struct sl_slice name)
{
    if (name.len == 0)
        return &table[0];
    if (memchr(name.data, ' ', name.len) != NULL || memchr(name.data, '\0', name.len) != NULL)
        return NULL;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (names_have(table[i].names, name))
            return &table[i];
    return NULL;
}
