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
}

static bool tag_equal(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, KEYRING_TAG_BYTES) == 0;
}

bool filter_matches(const struct filter_tags *tags, const struct record_label *label)
{
    const struct sl_cache_filter *filter = tags->filter;
    if (filter->everything)
        return true;
    if (filter->key == NULL && filter->app.len == 0 && filter->model.len == 0 &&
        filter->made_from == NULL && filter->created_before_s == 0)
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
    return filter->created_before_s == 0 || label->created_s < filter->created_before_s;
}
