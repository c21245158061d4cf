/* SPDX-License-Identifier: Apache-2.0
 *
 * The one thread that writes the store.
 */
#ifndef SLUICE_CACHE_WRITER_H
#define SLUICE_CACHE_WRITER_H

#include "cache_state.h"
#include "record.h"

struct writer;
struct similar_features;

/* Opens the store on the calling thread (so that a start says at once what is wrong), then starts
 * the writer. NULL when out of memory or threads; a store that can't be used is not a failure. */
struct writer *writer_start(struct sl_cache *cache);
/* Writes what is queued and ends the thread. NULL is fine. */
void writer_stop(struct writer *writer);

/* Never blocks. Takes the reference and the features when it returns true. */
bool writer_put(struct writer *writer, struct record *record, struct similar_features *features);
/* Counts a hit of the record; may be lost under load. Keeps a reference of its own. */
void writer_touch(struct writer *writer, struct record *record);

/* Blocking: each runs on the writer thread after everything queued before it. */
enum sl_err writer_flush(struct writer *writer, struct sl_error *error) SL_MUST_CHECK;
enum sl_err writer_purge(struct writer *writer, const struct sl_cache_filter *filter,
                         uint64_t *purged, struct sl_error *error) SL_MUST_CHECK;
enum sl_err writer_rotate(struct writer *writer, struct sl_error *error) SL_MUST_CHECK;

/* Whether a record falls under a filter, for the front and the second level. */
struct filter_tags {
    const struct sl_cache_filter *filter;
    uint8_t app_tag[KEYRING_TAG_BYTES];
    uint8_t model_tag[KEYRING_TAG_BYTES];
    uint8_t made_from[KEYRING_TAG_BYTES];
    uint8_t not_made_from[3][KEYRING_TAG_BYTES]; /* zero: not a condition */
};
void filter_tags_init(struct filter_tags *tags, const struct keyring *keyring,
                      const struct sl_cache_filter *filter);
/* A tag that is not all zero. */
bool filter_tag_is_set(const uint8_t tag[KEYRING_TAG_BYTES]);
bool filter_matches(const struct filter_tags *tags, const struct record_label *label);

#endif
