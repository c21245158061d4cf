/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns operators' own kinds. A pattern is compiled when the policy is loaded, so a bad one is
 * refused with its name and the offset, and matched with limits on steps, depth and heap: a pattern
 * that backtracks without end on some text fails the scan, which closes the way out for it. Passing
 * the text on unscanned would be a leak.
 *
 * pcre2.h stays in this file. Compiled patterns are immutable; match data is made per scan, so any
 * number of threads may scan.
 */
#include "pii/custom.h"

#include "pii/aho.h"

#include <ctype.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* 1 M steps are some 10 ms: far more than an honest pattern needs on 16 MiB in pieces, little
 * enough that a bad one cannot hold a worker. */
#define MATCH_LIMIT 1000000u
#define DEPTH_LIMIT 10000u
#define HEAP_LIMIT_KIB 16384u
#define WORD_BYTES_MAX 32u
#define PATTERN_BYTES_MAX 8192u

struct pii_custom {
    char word[WORD_BYTES_MAX + 1];
    enum sl_pii_action action;
    pcre2_code *code; /* NULL: a word list */
    uint32_t value_group;
};

static bool is_good_word(const char *word)
{
    enum sl_pii_type type;
    size_t len = word != NULL ? strlen(word) : 0;
    if (len == 0 || len > WORD_BYTES_MAX || word[0] < 'A' || word[0] > 'Z')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!((word[i] >= 'A' && word[i] <= 'Z') || (word[i] >= '0' && word[i] <= '9') ||
              word[i] == '_'))
            return false;
    }
    /* A word that ends in _7 would make placeholders of one kind look like those of another. */
    if (strrchr(word, '_') != NULL &&
        strspn(strrchr(word, '_') + 1, "0123456789") == strlen(strrchr(word, '_') + 1))
        return false;
    return !sl_pii_type_parse(sl_slice_of(word), &type);
}

static enum sl_err add_name(struct sl_pii_detector *detector, const char *word,
                            enum sl_pii_action action, const char *field, size_t idx,
                            struct sl_error *error)
{
    char param[64];
    snprintf(param, sizeof param, "pii.%s[%zu].name", field, idx);
    if (!is_good_word(word))
        return sl_error_set_param(error, SL_ERR_INVALID, param,
                                  "the name of a kind is made of A-Z, 0-9 and _, starts with a "
                                  "letter, does not end in a number, has at most %u characters and "
                                  "is not a built-in one",
                                  WORD_BYTES_MAX);
    for (size_t i = 0; i < detector->custom_count; i++) {
        if (strcmp(detector->customs[i].word, word) == 0)
            return sl_error_set_param(error, SL_ERR_INVALID, param, "%s is named twice", word);
    }
    struct pii_custom *custom = &detector->customs[detector->custom_count++];
    memcpy(custom->word, word, strlen(word) + 1);
    custom->action = action;
    return SL_OK;
}

static enum sl_err compile(struct pii_custom *custom, const struct sl_pii_pattern *pattern,
                           size_t idx, struct sl_error *error)
{
    char param[64];
    int code = 0;
    PCRE2_SIZE offset = 0;
    uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C |
                       (pattern->is_caseless ? PCRE2_CASELESS : 0);

    snprintf(param, sizeof param, "pii.patterns[%zu].regex", idx);
    if (pattern->regex == NULL || pattern->regex[0] == '\0' ||
        strlen(pattern->regex) > PATTERN_BYTES_MAX)
        return sl_error_set_param(error, SL_ERR_INVALID, param,
                                  "the pattern of %s must have 1 to %u bytes", pattern->name,
                                  PATTERN_BYTES_MAX);
    custom->code = pcre2_compile((PCRE2_SPTR)pattern->regex, PCRE2_ZERO_TERMINATED, options, &code,
                                 &offset, NULL);
    if (custom->code == NULL) {
        PCRE2_UCHAR message[160] = "";
        pcre2_get_error_message(code, message, sizeof message);
        return sl_error_set_param(error, SL_ERR_INVALID, param, "pattern %s: %s at offset %zu",
                                  pattern->name, (const char *)message, (size_t)offset);
    }
    /* Without JIT on this machine the interpreter does the same, slower. */
    (void)pcre2_jit_compile(custom->code, PCRE2_JIT_COMPLETE);
    int group = pcre2_substring_number_from_name(custom->code, (PCRE2_SPTR) "value");
    custom->value_group = group > 0 ? (uint32_t)group : 0;
    return SL_OK;
}

static enum sl_err build_lists(struct sl_pii_detector *detector, const struct sl_pii_rules *rules,
                               struct sl_error *error)
{
    size_t total = 0;
    for (size_t i = 0; i < rules->word_list_count; i++)
        total += rules->word_lists[i].word_count;
    if (total == 0)
        return SL_OK;
    struct sl_slice *words = malloc(total * sizeof *words);
    detector->word_kinds = malloc(total * sizeof *detector->word_kinds);
    enum sl_err err = words != NULL && detector->word_kinds != NULL ? SL_OK : SL_ERR_MEMORY;
    size_t count = 0;
    for (size_t i = 0; err == SL_OK && i < rules->word_list_count; i++) {
        for (size_t j = 0; j < rules->word_lists[i].word_count; j++) {
            detector->word_kinds[count] = (uint16_t)(SL_PII_TYPE_COUNT + rules->pattern_count + i);
            words[count++] = sl_slice_of(rules->word_lists[i].words[j]);
        }
    }
    if (err == SL_OK)
        err = pii_aho_create(words, count, &detector->words);
    free(words);
    return err == SL_OK ? SL_OK
                        : sl_error_set_param(error, err, "pii.word_lists",
                                             "the word lists could not be built");
}

enum sl_err pii_customs_create(struct sl_pii_detector *detector, const struct sl_pii_rules *rules,
                               struct sl_error *error)
{
    enum sl_err err = SL_OK;
    size_t count = rules->pattern_count + rules->word_list_count;

    if (count == 0)
        return SL_OK;
    if (count > SL_PII_CUSTOM_MAX)
        return sl_error_set_param(error, SL_ERR_INVALID, "pii",
                                  "at most %d own patterns and word lists", SL_PII_CUSTOM_MAX);
    detector->customs = calloc(count, sizeof *detector->customs);
    if (detector->customs == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    for (size_t i = 0; err == SL_OK && i < rules->pattern_count; i++) {
        err = add_name(detector, rules->patterns[i].name, rules->patterns[i].action, "patterns", i,
                       error);
        if (err == SL_OK)
            err = compile(&detector->customs[i], &rules->patterns[i], i, error);
    }
    for (size_t i = 0; err == SL_OK && i < rules->word_list_count; i++)
        err = add_name(detector, rules->word_lists[i].name, rules->word_lists[i].action,
                       "word_lists", i, error);
    return err == SL_OK ? build_lists(detector, rules, error) : err;
}

void pii_customs_free(struct sl_pii_detector *detector)
{
    for (size_t i = 0; i < detector->custom_count; i++)
        pcre2_code_free(detector->customs[i].code);
    free(detector->customs);
    free(detector->word_kinds);
    pii_aho_free(detector->words);
}

const char *pii_custom_word(const struct sl_pii_detector *detector, size_t custom)
{
    return detector->customs[custom].word;
}

enum sl_pii_action pii_custom_action(const struct sl_pii_detector *detector, size_t custom)
{
    return detector->customs[custom].action;
}

static enum sl_err match_pattern(struct pii_scan *scan, const struct pii_custom *custom,
                                 unsigned kind, pcre2_match_data *data, pcre2_match_context *limits,
                                 struct sl_error *error)
{
    PCRE2_SIZE at = 0;
    while (at <= scan->len) {
        int found = pcre2_match(custom->code, (PCRE2_SPTR)scan->text, scan->len, at, PCRE2_NOTEMPTY,
                                data, limits);
        if (found == PCRE2_ERROR_NOMATCH)
            return SL_OK;
        if (found < 0)
            return sl_error_set(error, SL_ERR_PII_DETECTOR,
                                "the pattern %s ran into its limits (PCRE2 error %d), so the text "
                                "was not sent",
                                custom->word, found);
        const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(data);
        size_t group = custom->value_group;
        if (group != 0 && bounds[2 * group] != PCRE2_UNSET &&
            bounds[2 * group] < bounds[2 * group + 1])
            pii_add_custom(scan, bounds[2 * group], bounds[2 * group + 1], kind);
        else if (bounds[0] < bounds[1])
            pii_add_custom(scan, bounds[0], bounds[1], kind);
        at = bounds[1] > at ? bounds[1] : at + 1; /* \K may move the start past the end */
    }
    return SL_OK;
}

static bool add_word(void *context, size_t word, size_t start, size_t end)
{
    struct pii_scan *scan = context;
    bool is_whole = !(pii_is(pii_before(scan, start), PII_ALNUM | PII_HIGH) &&
                      pii_is(scan->text[start], PII_ALNUM | PII_HIGH)) &&
                    !(pii_is(pii_at(scan, end), PII_ALNUM | PII_HIGH) &&
                      pii_is(scan->text[end - 1], PII_ALNUM | PII_HIGH));
    if (is_whole)
        pii_add_custom(scan, start, end, scan->detector->word_kinds[word]);
    return !scan->is_out_of_memory && !scan->is_over_limit;
}

enum sl_err pii_customs_scan(struct pii_scan *scan, struct sl_error *error)
{
    const struct sl_pii_detector *detector = scan->detector;
    pcre2_match_context *limits = NULL;
    enum sl_err err = SL_OK;

    for (size_t i = 0; err == SL_OK && i < detector->custom_count; i++) {
        if (detector->customs[i].code == NULL)
            continue;
        pcre2_match_data *data =
            pcre2_match_data_create_from_pattern(detector->customs[i].code, NULL);
        if (limits == NULL)
            limits = pcre2_match_context_create(NULL);
        if (data == NULL || limits == NULL) {
            err = sl_error_set(error, SL_ERR_MEMORY, NULL);
        } else {
            pcre2_set_match_limit(limits, MATCH_LIMIT);
            pcre2_set_depth_limit(limits, DEPTH_LIMIT);
            pcre2_set_heap_limit(limits, HEAP_LIMIT_KIB);
            err = match_pattern(scan, &detector->customs[i], (unsigned)(SL_PII_TYPE_COUNT + i),
                                data, limits, error);
        }
        pcre2_match_data_free(data);
    }
    pcre2_match_context_free(limits);
    if (err == SL_OK && detector->words != NULL)
        pii_aho_search(detector->words, (struct sl_slice){(const char *)scan->text, scan->len},
                       add_word, scan);
    return err;
}
