/* SPDX-License-Identifier: Apache-2.0
 *
 * Unicode properties for tokenizers. Owns the mapping of utf8proc categories to one bit set; the
 * decision what a category means for splitting is the pattern (tokenizer_pattern.c), which keeps
 * a table for ASCII, most of what is asked.
 */
#include "unicode.h"

#include <stdbool.h>
#include <stddef.h>
#include <utf8proc.h>

struct range {
    uint32_t first;
    uint32_t last;
};

static const struct range han_ranges[] = {
    {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},   {0x20000, 0x2A6DF},
    {0x2A700, 0x2EBEF}, {0x2F800, 0x2FA1F},
};

static uint32_t category_flags(utf8proc_category_t category)
{
    switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return SL_UNICODE_LETTER;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return SL_UNICODE_MARK;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return SL_UNICODE_NUMBER;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return SL_UNICODE_PUNCTUATION;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
        return SL_UNICODE_SYMBOL;
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
        return SL_UNICODE_CONTROL;
    default: /* Cn, and separators, which are white space or nothing */
        return 0;
    }
}

static uint32_t space_flag(uint32_t cp)
{
    bool is_space = (cp >= 0x09 && cp <= 0x0D) || cp == 0x20 || cp == 0x85 || cp == 0xA0 ||
                    cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 ||
                    cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
    return is_space ? SL_UNICODE_SPACE : 0;
}

static uint32_t han_flag(uint32_t cp)
{
    for (size_t i = 0; i < sizeof han_ranges / sizeof han_ranges[0]; i++)
        if (cp >= han_ranges[i].first && cp <= han_ranges[i].last)
            return SL_UNICODE_HAN;
    return 0;
}

uint32_t sl_unicode_flags(uint32_t codepoint)
{
    if (codepoint > 0x10FFFF)
        return 0;
    uint32_t flags = category_flags(utf8proc_category((utf8proc_int32_t)codepoint));
    flags |= space_flag(codepoint);
    if (codepoint >= han_ranges[0].first)
        flags |= han_flag(codepoint);
    return flags;
}

uint32_t sl_unicode_lower(uint32_t codepoint)
{
    if (codepoint < 0x80)
        return codepoint >= 'A' && codepoint <= 'Z' ? codepoint + 32 : codepoint;
    if (codepoint > 0x10FFFF)
        return codepoint;
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)codepoint);
}

uint32_t sl_unicode_base(uint32_t codepoint)
{
    if (codepoint < 0xC0 || codepoint > 0x10FFFF)
        return codepoint;
    utf8proc_int32_t parts[32];
    int last_class = 0;
    utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)codepoint, parts, 32,
                                                     UTF8PROC_DECOMPOSE, &last_class);
    return count > 0 && count <= 32 ? (uint32_t)parts[0] : codepoint;
}
