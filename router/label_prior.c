/* SPDX-License-Identifier: Apache-2.0
 *
 * The gate's labels as a prior over tokens, as label_prior.h has it.
 *
 * Tokens compete where they stand at the same place of the answer, that is, where the same text
 * comes before the label (`"` or `{"sentiment":"`). Within such a group the prior is taken against
 * the best label's, which gets 0: so it orders the labels, and does not speak for or against
 * answering with a label at all.
 *
 * Invariants: 1. Entries are sorted by token. 2. A choice has at most SL_LABEL_TOKENS_MAX entries.
 */
#include "label_prior.h"

#include "calibration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX 16
#define PROBABILITY_MIN 1e-6F /* the gate is never surer than this that a label is wrong */

struct entry {
    int32_t token;
    uint32_t label, group;
};

struct sl_label_prior {
    const struct sl_calibration *calibration;
    const struct sl_gate *gate;
    struct entry entries[SL_LABEL_TOKENS_MAX];
    size_t count;
    char *groups[GROUPS_MAX]; /* owned: the text before the label */
    uint32_t group_count;
};

/* The group of a prefix, made where it is new; GROUPS_MAX where there are too many. */
static uint32_t group_of(struct sl_label_prior *prior, struct sl_slice prefix)
{
    for (uint32_t i = 0; i < prior->group_count; i++)
        if (sl_slice_equal_text(prefix, prior->groups[i]))
            return i;
    if (prior->group_count == GROUPS_MAX)
        return GROUPS_MAX;
    char *copy = strndup(prefix.data, prefix.len);
    if (copy == NULL)
        return GROUPS_MAX;
    prior->groups[prior->group_count] = copy;
    return prior->group_count++;
}

/* Notes the first label in quotes that the token's text holds. A name that a colon follows is no
 * label: the token `"date":"` opens a slot, also where a label is called date. */
static void read_token(struct sl_label_prior *prior, int32_t token, struct sl_slice text)
{
    size_t open = 0;
    while (open < text.len && prior->count < SL_LABEL_TOKENS_MAX) {
        const char *from = memchr(text.data + open, '"', text.len - open);
        if (from == NULL)
            return;
        size_t begin = (size_t)(from - text.data) + 1;
        const char *to = memchr(text.data + begin, '"', text.len - begin);
        if (to == NULL)
            return;
        size_t end = (size_t)(to - text.data);
        uint32_t label = sl_gate_find_label(
            prior->gate, (struct sl_slice){text.data + begin, end - begin});
        bool is_name = end + 1 < text.len && text.data[end + 1] == ':';
        uint32_t group = label == UINT32_MAX || is_name
                             ? GROUPS_MAX
                             : group_of(prior, (struct sl_slice){text.data, begin});
        if (group != GROUPS_MAX) {
            prior->entries[prior->count++] = (struct entry){token, label, group};
            return;
        }
        open = end; /* a closing quote may open the next word */
    }
}

enum sl_err sl_label_prior_create(struct sl_engine *engine, const struct sl_calibration *calibration,
                                  struct sl_label_prior **out)
{
    *out = NULL;
    if (calibration == NULL)
        return SL_OK;
    struct sl_label_prior *prior = calloc(1, sizeof *prior);
    if (prior == NULL)
        return SL_ERR_MEMORY;
    prior->calibration = calibration;
    prior->gate = sl_calibration_gate(calibration);
    *out = prior;
    if (prior->gate == NULL)
        return SL_OK; /* kinds of request, but no labels to choose among */
    uint32_t vocab = sl_engine_info(engine)->vocab_size;
    struct sl_buf text;
    sl_buf_init(&text, 4096);
    for (uint32_t token = 0; token < vocab; token++) {
        sl_buf_reset(&text);
        if (sl_engine_token_text(engine, (int32_t)token, &text) == SL_OK && text.len >= 3)
            read_token(prior, (int32_t)token, sl_buf_slice(&text));
    }
    sl_buf_clear(&text);
    return SL_OK;
}

void sl_label_prior_free(struct sl_label_prior *prior)
{
    if (prior == NULL)
        return;
    for (uint32_t i = 0; i < prior->group_count; i++)
        free(prior->groups[i]);
    free(prior);
}

/* The log-probability of each token's label against the best one of its group, times the weight. */
static void weigh_tokens(const struct sl_label_prior *prior, const struct sl_gate_scope *scope,
                         const float *probabilities, struct sl_label_choice *out)
{
    float weight = (float)prior->calibration->prior_weight;
    float best[GROUPS_MAX];
    for (uint32_t i = 0; i < GROUPS_MAX; i++)
        best[i] = PROBABILITY_MIN;
    for (size_t i = 0; i < prior->count; i++) {
        const struct entry *entry = &prior->entries[i];
        best[entry->group] = fmaxf(best[entry->group], probabilities[entry->label]);
    }
    for (size_t i = 0; i < prior->count; i++) {
        const struct entry *entry = &prior->entries[i];
        if (!sl_gate_scope_has(scope, entry->label))
            continue;
        float own = fmaxf(probabilities[entry->label], PROBABILITY_MIN);
        out->prior[out->count++] =
            (struct sl_logit_bias){entry->token, weight * logf(own / best[entry->group])};
    }
    out->is_weighted = weight > 0 && out->count > 1;
}

void sl_label_choice_make(const struct sl_label_prior *prior, struct sl_slice user_text,
                          const json_t *schema, struct sl_features *features,
                          struct sl_label_choice *out)
{
    out->count = 0;
    out->is_weighted = false;
    if (prior == NULL)
        return;
    sl_features_kind(features, sl_kinds_of(&prior->calibration->kinds, schema));
    if (prior->gate == NULL)
        return;
    struct sl_gate_scope scope;
    struct sl_gate_result result;
    float probabilities[SL_GATE_LABELS_MAX];
    sl_gate_scope_schema(prior->gate, schema, &scope);
    sl_gate_score_in(prior->gate, user_text, &scope, probabilities, &result);
    sl_features_gate(features, result.label, result.probability, result.margin, result.entropy,
                     result.labels);
    weigh_tokens(prior, &scope, probabilities, out);
}

bool sl_label_choice_has(const struct sl_label_choice *choice, int32_t token)
{
    size_t low = 0, high = choice->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (choice->prior[middle].token == token)
            return true;
        if (choice->prior[middle].token < token)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}
