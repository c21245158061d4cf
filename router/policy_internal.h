/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a policy, shared by the files policy*.c: what `struct sl_policy` owns, the compiled
 * matches and conditions, and the reader that turns fields of JSON into fields of structs.
 *
 *   policy.c         life, matching, resolving, model names
 *   policy_read.c    the table-driven reader: types, ranges, words, unknown fields
 *   policy_route.c   the tables of a route, its match and its `when` blocks
 *   policy_cloud.c   the tables of a provider, targets, model aliases
 *   policy_pii.c     rules of personal data and their compiled detector
 *   policy_store.c   the current policy and its watcher
 *
 * Strings are borrowed from the parsed JSON, which the policy keeps, or live in its arena.
 */
#ifndef SLUICE_POLICY_INTERNAL_H
#define SLUICE_POLICY_INTERNAL_H

#include "json_source.h"

#include "sluice/arena.h"
#include "sluice/policy.h"

#include <stdatomic.h>

/* Any of these; `*` stands for any run of characters, `?` for one. Count 0: everything fits. */
struct sl_patterns {
    const char **items;
    size_t count;
};
bool sl_pattern_fits(const char *pattern, struct sl_slice text);
bool sl_patterns_fit(const struct sl_patterns *patterns, struct sl_slice text);

struct sl_header_match {
    const char *name; /* lower case */
    struct sl_patterns values;
};

struct sl_route_match {
    struct sl_patterns apps, models, paths;
    struct sl_header_match *headers;
    size_t header_count;
};

/* Conditions on the device, all of which must hold. NaN and 0 bits: not asked. */
struct sl_condition {
    unsigned networks; /* bits 1 << enum sl_network; 0: any */
    bool asks_on_battery, on_battery;
    double battery_below, temperature_above, memory_available_below;
    double load_above, cpu_pressure_above, memory_pressure_above;
};

/* One scalar of `struct sl_route` that a `when` block sets. */
struct sl_patch {
    uint16_t offset, size;
    unsigned char bytes[8];
};

struct sl_route_when {
    struct sl_condition condition;
    struct sl_patch *patches;
    size_t patch_count;
};

struct sl_alias {
    const char *pattern;
    const char *target;
    enum sl_model_kind kind;
    struct sl_cloud_target cloud; /* kind SL_MODEL_TARGET */
};

struct sl_policy {
    atomic_uint references;
    char digest[65];
    struct sl_json_source *source;
    struct sl_arena *arena;
    bool cloud_is_enabled;
    struct sl_cloud_provider_config *providers;
    size_t provider_count;
    struct sl_alias *aliases;
    size_t alias_count;
    struct sl_route *routes;
    size_t route_count;
    double global_daily_usd, global_monthly_usd;
    /* Compiled detectors, each owned once; routes without rules of their own share the first. */
    struct sl_pii_detector **detectors;
    size_t detector_count;
};

/* ---- the reader ---- */

struct sl_policy_reader {
    struct sl_policy *policy;
    const struct sl_json_source *source;
    struct sl_arena *arena;
    struct sl_error *error;
    /* While a `when` block is read: every scalar written is noted here too. */
    struct sl_patch *patches;
    size_t patch_count, patch_max;
    const void *patch_base; /* the route that is written to; NULL: not in a `when` block */
};

enum sl_field_kind {
    SL_FIELD_IGNORED,  /* "$schema", "comment" */
    SL_FIELD_BOOL,
    SL_FIELD_U32,
    SL_FIELD_U64,
    SL_FIELD_DOUBLE,
    SL_FIELD_FLOAT,
    SL_FIELD_WORD,     /* an enum, by the words of `words` */
    SL_FIELD_STRING,   /* const char * */
    SL_FIELD_EXPANDED, /* const char *, with ${NAME} and ${NAME:-default} from the environment */
    SL_FIELD_TOKENS,   /* uint32_t, or "all" */
    SL_FIELD_SECTION,  /* an object with a table of its own, same struct */
    SL_FIELD_CUSTOM    /* `read` */
};

struct sl_word {
    const char *word; /* NULL ends the list */
    int value;
};

struct sl_field;
typedef enum sl_err (*sl_field_fn)(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                   void *target);

struct sl_field {
    const char *name; /* NULL ends the table */
    enum sl_field_kind kind;
    size_t offset;
    double min, max; /* of numbers */
    const struct sl_word *words;
    const struct sl_field *section;
    sl_field_fn read;
    bool is_fixed; /* not to be changed by a `when` block */
};

/* Reads the members of an object into `target` by the table; unknown members are refused with the
 * nearest known name. What is absent keeps its value. */
enum sl_err sl_policy_read(struct sl_policy_reader *reader, const struct sl_json_node *node,
                           const struct sl_field *fields, void *target);
/* Reads one value by the first row of `field`, whatever its name. */
enum sl_err sl_policy_read_one(struct sl_policy_reader *reader, const struct sl_json_node *node,
                               const struct sl_field *field, void *target);
/* After a scalar of the route was written: inside a `when` block, notes it as a patch. */
enum sl_err sl_policy_note(struct sl_policy_reader *reader, const struct sl_json_node *node,
                           const void *place, size_t size);
/* Fails unless the node is of this kind: "expected an object, found …". */
enum sl_err sl_policy_expect(struct sl_policy_reader *reader, const struct sl_json_node *node,
                             json_type type);
/* One string or an array of them. */
enum sl_err sl_policy_read_patterns(struct sl_policy_reader *reader,
                                    const struct sl_json_node *node, struct sl_patterns *out);
enum sl_err sl_policy_read_strings(struct sl_policy_reader *reader,
                                   const struct sl_json_node *node, const char *const **items,
                                   size_t *count);
enum sl_err sl_policy_expand(struct sl_policy_reader *reader, const struct sl_json_node *node,
                             const char **out);
/* SL_ERR_MEMORY, said. */
enum sl_err sl_policy_no_memory(struct sl_policy_reader *reader);
/* `; did you mean "x"?`, or "" where nothing is near. */
void sl_policy_suggest(const char *word, const char *const *known, size_t count, char *out,
                       size_t size);

/* ---- the parts ---- */

void sl_policy_route_defaults(struct sl_route *route);
/* Reads `defaults` and `routes`, and adds the catch-all where the last route has a match. */
enum sl_err sl_policy_read_routes(struct sl_policy_reader *reader, const struct sl_json_node *root);
bool sl_condition_holds(const struct sl_condition *condition, const struct sl_device_state *device);

enum sl_err sl_policy_read_providers(struct sl_policy_reader *reader,
                                     const struct sl_json_node *root);
enum sl_err sl_policy_read_aliases(struct sl_policy_reader *reader,
                                   const struct sl_json_node *root);
enum sl_err sl_policy_read_targets(struct sl_policy_reader *reader,
                                   const struct sl_json_node *node, void *route_cloud);
/* Every provider in order, where a route names no targets. */
void sl_policy_default_targets(const struct sl_policy *policy, struct sl_route_cloud *cloud);
/* "provider", "provider/model" or a listed model's name. */
bool sl_policy_find_target(const struct sl_policy *policy, const char *name,
                           struct sl_cloud_target *out);

/* Reads a `pii` section over `base` (NULL: the detector's defaults) and compiles it; sets the
 * route's rules and detector. `node` NULL: compiles the base. */
enum sl_err sl_policy_read_pii(struct sl_policy_reader *reader, const struct sl_json_node *node,
                               struct sl_route *route);

#endif
