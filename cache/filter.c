/* SPDX-License-Identifier: Apache-2.0
 *
 * A purge filter over labels: the same meaning as db_purge's SQL, for what is in memory and in the
 * second level. Pure; any thread.
 */
#include "writer.h"

void filter_tags_init(struct filter_tags *tags, const struct keyring *keyring,
                      const struct sl_cache_filter *filter)
{
    tags->filter = filter;
    keyring_tag(keyring, "app", filter->app, tags->app_tag);
    keyring_tag(keyring, "model", filter->model, tags->model_tag);
    if (filter->made_from != NULL)
        record_digest_tag(keyring, filter->made_from, tags->made_from);
    if (filter->not_made_from == NULL)
        return;
    record_digest_tag(keyring, &filter->not_made_from->model, tags->not_made_from[0]);
    record_digest_tag(keyring, &filter->not_made_from->chat_template, tags->not_made_from[1]);
    record_digest_tag(keyring, &filter->not_made_from->policy, tags->not_made_from[2]);
}

static bool tag_equal(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, KEYRING_TAG_BYTES) == 0;
}

bool filter_tag_is_set(const uint8_t tag[KEYRING_TAG_BYTES])
{
    static const uint8_t none[KEYRING_TAG_BYTES];
    return !tag_equal(tag, none);
}

/* Both name a model (a template, a policy), and not the same one. */
static bool is_of_another(const struct filter_tags *tags, const struct record_label *label)
{
    for (size_t i = 0; i < 3; i++)
        if (filter_tag_is_set(tags->not_made_from[i]) && filter_tag_is_set(label->made_from[i]) &&
            !tag_equal(tags->not_made_from[i], label->made_from[i]))
            return true;
    return false;
}

bool filter_matches(const struct filter_tags *tags, const struct record_label *label)
{
    const struct sl_cache_filter *filter = tags->filter;
    if (filter->everything)
        return true;
    if (filter->key == NULL && filter->app.len == 0 && filter->model.len == 0 &&
        filter->made_from == NULL && filter->not_made_from == NULL && filter->created_before_s == 0)
        return false;
    if (filter->key != NULL && memcmp(filter->key, &label->key, sizeof label->key) != 0)
        return false;
    if (filter->app.len > 0 && !tag_equal(tags->app_tag, label->app_tag))
        return false;
    if (filter->model.len > 0 && !tag_equal(tags->model_tag, label->model_tag))
        return false;
    if (filter->made_from != NULL && !tag_equal(tags->made_from, label->made_from[0]) &&
        !tag_equal(tags->made_from, label->made_from[1]) &&
        !tag_equal(tags->made_from, label->made_from[2]))
        return false;
    if (filter->not_made_from != NULL && !is_of_another(tags, label))
        return false;
    return filter->created_before_s == 0 || label->created_s < filter->created_before_s;
}
