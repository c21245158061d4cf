/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice cache stats|purge|export|rotate-key`: the answer cache of the data folder. A gateway that
 * runs on the same folder takes up what changed here within a second. How large the cache may be is
 * that gateway's to know: whoever opens a store evicts what is over its own bounds, so here there
 * are none.
 */
#include "commands.h"

#include "response_text.h"
#include "sluice/cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum sl_err open_cache(const struct sl_command_call *call, struct sl_cache **out,
                              struct sl_error *error)
{
    char folder[512], path[600], key_path[600];
    struct sl_cache_config config;
    enum sl_err err = sl_options_data_dir(call->options, folder, sizeof folder, error);
    if (err != SL_OK)
        return err;
    snprintf(path, sizeof path, "%s/cache.db", folder);
    snprintf(key_path, sizeof key_path, "%s/cache.key", folder);
    sl_cache_config_init(&config);
    config.path = path;
    config.key_path = key_path;
    config.bytes_max = UINT64_MAX;
    config.entries_max = UINT64_MAX;
    config.memory_bytes_max = 0;
    err = sl_cache_open(&config, out, error);
    if (err != SL_OK || sl_cache_state(*out) == SL_CACHE_ON)
        return err;
    enum sl_cache_state state = sl_cache_state(*out);
    sl_cache_close(*out);
    return sl_error_set(error, SL_ERR_IO, "%s: %s%s", path, sl_cache_state_name(state),
                        state == SL_CACHE_OFF_LOCKED
                            ? ": a gateway uses it; ask that one (POST /admin/v1/cache:purge, GET "
                              "/admin/v1/status)"
                            : "");
}

int sl_command_cache_stats(struct sl_command_call *call)
{
    struct sl_error error = {0};
    struct sl_cache *cache;
    struct sl_cache_stats stats;
    if (call->arguments.word_count > 0)
        return sl_commands_misuse("cache stats takes no words");
    if (open_cache(call, &cache, &error) != SL_OK)
        return sl_commands_fail(&error);
    enum sl_err err = sl_cache_stats(cache, &stats, &error);
    sl_cache_close(cache);
    if (err != SL_OK)
        return sl_commands_fail(&error);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {{"entries", stats.entries},
                {"entries_local", stats.entries_local},
                {"entries_cloud", stats.entries_cloud},
                {"bytes", stats.bytes},
                {"hits", stats.hits},
                {"similar_hits", stats.similar_hits},
                {"misses", stats.misses},
                {"saved_prompt_tokens", stats.saved_prompt_tokens},
                {"saved_completion_tokens", stats.saved_completion_tokens},
                {"saved_microusd", stats.saved_microusd},
                {"evicted", stats.evicted},
                {"expired", stats.expired}};
    size_t count = sizeof rows / sizeof *rows;
    for (size_t i = 0; i < count; i++) {
        if (call->arguments.wants_json)
            printf("%s\"%s\":%" PRIu64 "%s", i == 0 ? "{" : ",", rows[i].name, rows[i].value,
                   i + 1 == count ? "}\n" : "");
        else
            printf("%-26s %" PRIu64 "\n", rows[i].name, rows[i].value);
    }
    return SL_EXIT_FINE;
}

int sl_command_cache_purge(struct sl_command_call *call)
{
    struct sl_error error = {0};
    struct sl_cache *cache;
    uint64_t purged = 0;
    struct sl_cache_filter filter = {
        .everything = sl_commands_flag(call, "everything") != NULL,
        .app = sl_slice_of(sl_commands_flag(call, "app")),
        .model = sl_slice_of(sl_commands_flag(call, "of-model"))};
    if (call->arguments.word_count > 0 ||
        !(filter.everything || filter.app.len > 0 || filter.model.len > 0))
        return sl_commands_misuse("cache purge takes --everything, --app NAME or --of-model NAME");
    if (open_cache(call, &cache, &error) != SL_OK)
        return sl_commands_fail(&error);
    enum sl_err err = sl_cache_purge(cache, &filter, &purged, &error);
    sl_cache_close(cache);
    if (err != SL_OK)
        return sl_commands_fail(&error);
    printf(call->arguments.wants_json ? "{\"purged\":%" PRIu64 "}\n" : "%" PRIu64 " purged\n",
           purged);
    return SL_EXIT_FINE;
}

/* The key file is replaced first, then every answer is sealed anew, then the old key leaves the
 * file. Wherever that is cut off, every answer opens, and the next start (of this or of a gateway)
 * goes on. */
int sl_command_cache_rotate_key(struct sl_command_call *call)
{
    struct sl_error error = {0};
    struct sl_cache *cache;
    struct sl_cache_stats stats;
    if (call->arguments.word_count > 0)
        return sl_commands_misuse("cache rotate-key takes no words");
    if (open_cache(call, &cache, &error) != SL_OK)
        return sl_commands_fail(&error);
    enum sl_err err = sl_cache_rotate_key(cache, &error);
    if (err == SL_OK)
        err = sl_cache_stats(cache, &stats, &error);
    sl_cache_close(cache);
    if (err != SL_OK)
        return sl_commands_fail(&error);
    if (call->arguments.wants_json)
        printf("{\"entries\":%" PRIu64 "}\n", stats.entries);
    else
        printf("a new key seals all %" PRIu64 " answers; the old one is gone\n", stats.entries);
    return SL_EXIT_FINE;
}

/* One line an entry. Cloud answers are stored scrubbed, so an export holds no personal data. */
static bool print_entry(const struct sl_cache_entry *entry, void *ctx)
{
    struct sl_buf line;
    enum sl_err *err = ctx;
    sl_buf_init(&line, 64u << 20);
    *err = sl_buf_printf(&line, "{\"created\":%lld,\"expires\":%lld,\"prompt\":",
                         (long long)entry->created_s, (long long)entry->expires_s);
    if (*err == SL_OK)
        *err = sl_buf_append_json(&line, entry->meta.prompt);
    if (*err == SL_OK)
        *err = sl_buf_append_text(&line, ",\"answer\":");
    if (*err == SL_OK)
        *err = entry->body.len > 0 ? sl_buf_append_slice(&line, entry->body)
                                   : sl_buf_append_text(&line, "null");
    if (*err == SL_OK)
        *err = sl_buf_append_text(&line, "}\n");
    if (*err == SL_OK && fwrite(line.data, 1, line.len, stdout) != line.len)
        *err = SL_ERR_IO;
    sl_buf_wipe(&line);
    return *err == SL_OK;
}

int sl_command_cache_export(struct sl_command_call *call)
{
    struct sl_error error = {0};
    struct sl_cache *cache;
    enum sl_err printed = SL_OK;
    if (call->arguments.word_count > 0)
        return sl_commands_misuse("cache export takes no words; it prints to standard output");
    if (open_cache(call, &cache, &error) != SL_OK)
        return sl_commands_fail(&error);
    enum sl_err err = sl_cache_export(cache, SL_CACHE_CLOUD, print_entry, &printed, &error);
    sl_cache_close(cache);
    if (err == SL_OK && printed != SL_OK)
        err = sl_error_set(&error, printed, NULL);
    return err == SL_OK ? SL_EXIT_FINE : sl_commands_fail(&error);
}
