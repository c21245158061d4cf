/* SPDX-License-Identifier: Apache-2.0
 *
 * The words of kinds and actions, and the defaults of the rules. The kinds themselves are rows of
 * sluice/pii_types.def. Immutable; any thread.
 */
#include "sluice/pii.h"

static const char *const type_words[SL_PII_TYPE_COUNT] = {
#define X(symbol, word, is_on, threshold) word,
#include "sluice/pii_types.def"
#undef X
};

static const char *const action_words[SL_PII_ACTION_COUNT] = {
    [SL_PII_MASK] = "mask",
    [SL_PII_KEEP_LOCAL] = "keep_local",
    [SL_PII_BLOCK] = "block",
    [SL_PII_ALLOW] = "allow",
    [SL_PII_NEVER_RESTORE] = "never_restore",
    [SL_PII_REDACT] = "redact",
    [SL_PII_KEEP_LAST] = "keep_last",
};

/* What other tools call our kinds; a policy may be carried over from one of them. */
static const struct {
    const char *word;
    enum sl_pii_type type;
} type_aliases[] = {
    {"EMAIL_ADDRESS", SL_PII_EMAIL},
    {"PHONE_NUMBER", SL_PII_PHONE},
    {"TR_PHONE_NUMBER", SL_PII_PHONE},
    {"PH_MOBILE_NUMBER", SL_PII_PHONE},
    {"CREDIT_CARD", SL_PII_CARD},
    {"IBAN_CODE", SL_PII_IBAN},
    {"IP_ADDRESS", SL_PII_IP},
    {"MAC_ADDRESS", SL_PII_MAC},
    {"DOMAIN_NAME", SL_PII_URL},
    {"US_SSN", SL_PII_SSN},
    {"DATE_TIME", SL_PII_DATE},
    {"DATE_OF_BIRTH", SL_PII_BIRTHDATE},
    {"GPE", SL_PII_LOCATION},
    {"STREET_ADDRESS", SL_PII_LOCATION},
    {"ADDRESS", SL_PII_LOCATION},
    {"ZIP_CODE", SL_PII_LOCATION},
    {"ORGANIZATION", SL_PII_ORG},
    {"PREFIX", SL_PII_TITLE},
    {"API_KEY", SL_PII_SECRET},
};

const char *sl_pii_type_word(enum sl_pii_type type)
{
    return (unsigned)type < SL_PII_TYPE_COUNT ? type_words[type] : "";
}

bool sl_pii_type_parse(struct sl_slice word, enum sl_pii_type *out)
{
    for (size_t i = 0; i < SL_PII_TYPE_COUNT; i++) {
        if (sl_slice_equal_text(word, type_words[i])) {
            *out = (enum sl_pii_type)i;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof type_aliases / sizeof *type_aliases; i++) {
        if (sl_slice_equal_text(word, type_aliases[i].word)) {
            *out = type_aliases[i].type;
            return true;
        }
    }
    return false;
}

const char *sl_pii_action_word(enum sl_pii_action action)
{
    return (unsigned)action < SL_PII_ACTION_COUNT ? action_words[action] : "";
}

bool sl_pii_action_parse(struct sl_slice word, enum sl_pii_action *out)
{
    for (size_t i = 0; i < SL_PII_ACTION_COUNT; i++) {
        if (sl_slice_equal_text(word, action_words[i])) {
            *out = (enum sl_pii_action)i;
            return true;
        }
    }
    return false;
}

void sl_pii_rules_init(struct sl_pii_rules *rules)
{
    /* The eight regions that the anchors of the reference data read by default, plus none. */
    static const char *const regions[] = {"US", "GB", "DE", "FR", "IL", "IN", "CA", "BR"};
    static const struct sl_pii_type_rule types[SL_PII_TYPE_COUNT] = {
#define X(symbol, word, is_on, threshold)                                                          \
    {is_on, SL_PII_##symbol == SL_PII_SECRET ? SL_PII_NEVER_RESTORE : SL_PII_MASK,                 \
     (threshold) / 100.0, 4},
#include "sluice/pii_types.def"
#undef X
    };

    *rules = (struct sl_pii_rules){
        .phone_regions = regions,
        .phone_region_count = sizeof regions / sizeof *regions,
        .text_bytes_max = 16u << 20,
        .spans_max = 100000,
    };
    memcpy(rules->types, types, sizeof types);
}

void sl_pii_rules_disable_all(struct sl_pii_rules *rules)
{
    for (size_t i = 0; i < SL_PII_TYPE_COUNT; i++)
        rules->types[i].is_on = false;
}
