/* SPDX-License-Identifier: Apache-2.0
 *
 * Policies: what is read, what is refused and where, which route rules, and the store's reloading.
 */
#include "sluice/policy.h"

#include "sluice/clock.h"
#include "test_support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PROVIDER "\"providers\": {\"one\": {\"base_url\": \"https://one.example/v1\", \"model\": \"m1\"}}"
#define TWO_PROVIDERS                                                                              \
    "\"providers\": {\"one\": {\"base_url\": \"https://one.example/v1\", \"model\": \"m1\"},"      \
    "\"two\": {\"kind\": \"anthropic\", \"base_url\": \"https://two.example\","                    \
    " \"models\": {\"m2\": {\"prompt_usd_per_million\": 3}, \"m3\": {}}}}"

/* A file of the source tree: this one lies three folders below its root. */
static const char *in_tree(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s", __FILE__);
    for (int up = 0; up < 4; up++) {
        char *slash = strrchr(path, '/');
        ck_assert_ptr_nonnull(slash);
        *slash = '\0';
    }
    size_t len = strlen(path);
    snprintf(path + len, sizeof path - len, "/%s", name);
    return path;
}

static const struct sl_policy *load(const char *text)
{
    const struct sl_policy *policy;
    struct sl_error error = {0};
    ck_assert_msg(sl_policy_load_text("p.json", sl_slice_of(text), &policy, &error) == SL_OK, "%s",
                  error.message);
    return policy;
}

static void refuses(const char *text, const char *message)
{
    const struct sl_policy *policy;
    struct sl_error error = {0};
    ck_assert_int_eq(sl_policy_load_text("p.json", sl_slice_of(text), &policy, &error),
                     SL_ERR_INVALID);
    ck_assert_ptr_null(policy);
    ck_assert_msg(strstr(error.message, message) != NULL, "\"%s\" lacks \"%s\"", error.message,
                  message);
}

static struct sl_slice one_header(void *ctx, const char *name)
{
    const char *const *pair = ctx;
    return strcmp(name, pair[0]) == 0 ? sl_slice_of(pair[1]) : (struct sl_slice){NULL, 0};
}

static const char *matched(const struct sl_policy *policy, const char *app, const char *model,
                           const char *path, const char *const *header)
{
    struct sl_route_query query = {
        .app = sl_slice_of(app),
        .model = sl_slice_of(model),
        .path = sl_slice_of(path),
        .header = header == NULL ? NULL : one_header,
        .header_ctx = (void *)(size_t)(const void *)header,
    };
    return sl_policy_match(policy, &query)->name;
}

START_TEST(an_empty_policy_is_a_catch_all_with_the_defaults)
{
    const struct sl_policy *policy = load("{}");
    ck_assert_uint_eq(sl_policy_route_count(policy), 1);
    const struct sl_route *route = sl_policy_route(policy, 0);
    ck_assert_str_eq(route->name, "default");
    ck_assert_int_eq(route->mode, SL_MODE_AUTO);
    ck_assert_double_eq(route->threshold, 0.6);
    ck_assert_uint_eq(route->context_tokens_max, 512);
    ck_assert_uint_eq(route->stream.hold_tokens, 24);
    ck_assert_uint_eq(route->stream.hold_ms, 800);
    ck_assert_ptr_nonnull(route->pii_detector);
    sl_policy_release(policy);
}
END_TEST

START_TEST(the_built_in_policy_is_the_default_file_and_loads)
{
    const struct sl_policy *policy;
    struct sl_error error = {0};
    size_t len;
    setenv("SLUICE_CLOUD_URL", "https://mock.example:8443/v1", 1);
    ck_assert_msg(sl_policy_default(&policy, &error) == SL_OK, "%s", error.message);
    unsetenv("SLUICE_CLOUD_URL");
    char *file = sl_test_read_file(in_tree("policies/default.json"), &len);
    ck_assert(sl_slice_equal(sl_policy_default_text(), (struct sl_slice){file, len}));
    free(file);
    ck_assert_uint_eq(sl_policy_provider_count(policy), 1);
    const struct sl_cloud_provider_config *provider = sl_policy_providers(policy);
    ck_assert_str_eq(provider->base_url, "https://mock.example:8443/v1");
    ck_assert_str_eq(provider->key_env, "SLUICE_CLOUD_KEY");
    ck_assert_str_eq(provider->models[0].name, "gpt-4o-mini");
    const struct sl_route *route = sl_policy_route(policy, 0);
    ck_assert_uint_eq(route->cloud.target_count, 1);
    ck_assert_ptr_eq(route->cloud.targets[0].provider, provider);
    ck_assert_str_eq(route->cloud.targets[0].model, "gpt-4o-mini");
    sl_policy_release(policy);
}
END_TEST

START_TEST(mistakes_are_refused_with_place_and_expectation)
{
    refuses("{\n  \"routes\": [{},\n{}]}", "p.json:3:1: routes[1]: never reached");
    refuses("{\"routes\": [{\"threshold\": \"high\"}]}",
            "p.json:1:27: routes[0].threshold: expected a number between 0 and 1, found \"high\"");
    refuses("{\"routes\": [{\"threshold\": 1.5}]}", "between 0 and 1, found 1.5");
    refuses("{\"routes\": [{\"treshold\": 0.5}]}",
            "p.json:1:14: routes[0].treshold: unknown field; did you mean \"threshold\"?");
    refuses("{\"rutes\": []}", "p.json:1:2: rutes: unknown field; did you mean \"routes\"?");
    refuses("{\"routes\": {}}", "routes: expected an array, found an object");
    refuses("[]", "p.json:1:1: expected an object, found an array");
    refuses("{\"routes\": [{\"mode\": \"localonly\"}]}",
            "expected one of auto, prefer-local, prefer-cloud, local-only, cloud-only, found "
            "\"localonly\"; did you mean \"local-only\"?");
    refuses("{\"routes\": [{\"context_tokens_max\": 1.5}]}", "a whole number between 0");
    refuses("{\"routes\": [{\"context_tokens_max\": -1}]}", "found -1");
    refuses("{\"routes\": [{\"cache\": {\"enabled\": 1}}]}",
            "routes[0].cache.enabled: expected true or false, found 1");
    refuses("{\"routes\": [{\"risk\": 0.02, \"threshold\": 0.5}]}", "either a threshold or a risk");
    refuses("{\"routes\": [{\"match\": {\"app\": []}}]}", "a pattern or a list of patterns");
    refuses("{\"routes\": [{\"match\": {\"app\": [3]}}]}", "routes[0].match.app[0]: expected a text");
    refuses("{\"routes\": [{\"cloud\": {\"targets\": [\"nobody\"]}}]}", "found \"nobody\"");
    refuses("{" PROVIDER ", \"routes\": [{\"cloud\": {\"targets\": [\"ome\"]}}]}",
            "did you mean \"one\"?");
    refuses("{\"providers\": {\"x\": {\"base_url\": \"https://x.example\"}}}",
            "providers.x: expected \"model\" or \"models\"");
    refuses("{\"providers\": {\"x\": {\"model\": \"m\"}}}", "expected \"base_url\"");
    refuses("{\"providers\": {\"x\": {\"model\": \"m\", \"base_url\": \"ftp://x\"}}}",
            "providers.x.base_url: ");
    refuses("{\"models\": {\"gpt-4.1\": \"nowhere\"}}", "models[\"gpt-4.1\"]: ");
    refuses("{\"version\": 2}", "version: expected a whole number between 1 and 1");
    refuses("{\"routes\": [{\"threshold\": 0.5,}", "p.json:1:32: expected ',' or ']'");
}
END_TEST

START_TEST(mistakes_about_personal_data_are_refused)
{
    refuses("{\"defaults\": {\"pii\": {\"types\": {\"EMIAL\": \"mask\"}}}}",
            "defaults.pii.types.EMIAL: unknown kind of personal data; did you mean \"EMAIL\"?");
    refuses("{\"defaults\": {\"pii\": {\"types\": {\"EMAIL\": \"hide\"}}}}", "expected one of mask");
    refuses("{\"defaults\": {\"pii\": {\"default\": {}}}}", "defaults.pii.default: expected one of");
    refuses("{\"defaults\": {\"pii\": {\"patterns\": [{\"name\": \"A\"}]}}}",
            "defaults.pii.patterns[0]: expected \"regex\"");
    refuses("{\"routes\": [{\"pii\": {\"patterns\": [{\"name\": \"A\", \"regex\": \"x\"},\n"
            "{\"name\": \"B\",\n \"regex\": \"(\"}]}}]}",
            "p.json:3:11: routes[0].pii.patterns[1].regex: ");
    refuses("{\"defaults\": {\"pii\": {\"stable_key_env\": \"SLUICE_TEST_NO_SUCH\"}}}",
            "at least 16 bytes");
}
END_TEST

START_TEST(rules_of_personal_data_start_from_the_defaults_of_the_file)
{
    const struct sl_policy *policy =
        load("{\"defaults\": {\"pii\": {\"types\": {\"PHONE\": \"block\", \"URL\": \"mask\"}}},"
             "\"routes\": [{\"match\": {\"app\": \"a\"}, \"pii\": {\"types\": {\"EMAIL\":"
             " {\"action\": \"keep_last\", \"keep_last\": 3, \"threshold\": 0.7}, \"PHONE\": \"off\"}}},"
             "{\"match\": {\"app\": \"b\"}, \"pii\": {\"default\": \"keep_local\"}}, {}]}");
    const struct sl_pii_rules *a = sl_policy_route(policy, 0)->pii_rules;
    const struct sl_pii_rules *b = sl_policy_route(policy, 1)->pii_rules;
    const struct sl_pii_rules *rest = sl_policy_route(policy, 2)->pii_rules;
    ck_assert(a->types[SL_PII_URL].is_on && a->types[SL_PII_EMAIL].is_on);
    ck_assert(!a->types[SL_PII_PHONE].is_on);
    ck_assert_int_eq(a->types[SL_PII_EMAIL].action, SL_PII_KEEP_LAST);
    ck_assert_uint_eq(a->types[SL_PII_EMAIL].keep_last, 3);
    ck_assert_double_eq(a->types[SL_PII_EMAIL].threshold, 0.7);
    ck_assert_int_eq(b->types[SL_PII_IBAN].action, SL_PII_KEEP_LOCAL);
    ck_assert_int_eq(rest->types[SL_PII_PHONE].action, SL_PII_BLOCK);
    ck_assert_ptr_ne(sl_policy_route(policy, 0)->pii_detector,
                     sl_policy_route(policy, 2)->pii_detector);
    sl_policy_release(policy);
}
END_TEST

START_TEST(the_first_route_that_fits_rules)
{
    const struct sl_policy *policy = load(
        "{\"routes\": [{\"name\": \"r1\", \"match\": {\"app\": [\"web\", \"shop-*\"], \"model\":"
        " \"gpt-*\"}}, {\"name\": \"r2\", \"match\": {\"path\": \"/v1/emb*\"}},"
        " {\"name\": \"r3\", \"match\": {\"header\": {\"X-Team\": \"ops\"}}},"
        " {\"match\": {\"header\": {\"x-any\": \"*\"}}}]}");
    ck_assert_str_eq(matched(policy, "web", "gpt-4", "/", NULL), "r1");
    ck_assert_str_eq(matched(policy, "shop-7", "gpt-", "/", NULL), "r1");
    ck_assert_str_eq(matched(policy, "shop", "gpt-4", "/", NULL), "default");
    ck_assert_str_eq(matched(policy, "web", "auto", "/v1/embeddings", NULL), "r2");
    ck_assert_str_eq(matched(policy, "", "", "", (const char *[]){"x-team", "ops"}), "r3");
    ck_assert_str_eq(matched(policy, "", "", "", (const char *[]){"x-team", "ops2"}), "default");
    ck_assert_str_eq(matched(policy, "", "", "", (const char *[]){"x-any", ""}), "route-4");
    ck_assert_uint_eq(sl_policy_route_count(policy), 5); /* the catch-all was made */
    sl_policy_release(policy);
}
END_TEST

START_TEST(routes_inherit_the_terms_of_defaults)
{
    const struct sl_policy *policy =
        load("{" TWO_PROVIDERS ", \"defaults\": {\"risk\": 0.05, \"context_tokens_max\": 1000,"
             " \"cloud\": {\"targets\": [{\"provider\": \"two\", \"tier\": 1, \"weight\": 3}, \"m1\"]}},"
             " \"routes\": [{\"match\": {\"app\": \"a\"}, \"threshold\": 0.8},"
             " {\"cloud\": {\"targets\": [\"two/other\"]}}]}");
    const struct sl_route *a = sl_policy_route(policy, 0), *b = sl_policy_route(policy, 1);
    const struct sl_cloud_provider_config *providers = sl_policy_providers(policy);
    ck_assert_double_eq(a->risk, 0); /* its own threshold takes the place of the risk */
    ck_assert_double_eq(a->threshold, 0.8);
    ck_assert_uint_eq(a->context_tokens_max, 1000);
    ck_assert_uint_eq(a->cloud.target_count, 2);
    ck_assert_ptr_eq(a->cloud.targets[0].provider, &providers[1]);
    ck_assert_str_eq(a->cloud.targets[0].model, "m2");
    ck_assert_uint_eq(a->cloud.targets[0].tier, 1);
    ck_assert_uint_eq(a->cloud.targets[0].weight, 3);
    ck_assert_ptr_eq(a->cloud.targets[1].provider, &providers[0]);
    ck_assert_double_eq(b->risk, 0.05);
    ck_assert_str_eq(b->cloud.targets[0].model, "other");
    ck_assert_int_eq(providers[1].kind, SL_CLOUD_KIND_ANTHROPIC);
    ck_assert_double_eq_tol(providers[1].models[0].usd_per_1k_prompt_tokens, 0.003, 1e-12);
    sl_policy_release(policy);
}
END_TEST

START_TEST(the_environment_fills_in_and_a_missing_variable_is_refused)
{
    setenv("SLUICE_TEST_HOST", "h.example", 1);
    const struct sl_policy *policy =
        load("{\"providers\": {\"x\": {\"base_url\": \"https://${SLUICE_TEST_HOST}/v1\","
             " \"model\": \"${SLUICE_TEST_NONE:-a-b}\"}}}");
    ck_assert_str_eq(sl_policy_providers(policy)->base_url, "https://h.example/v1");
    ck_assert_str_eq(sl_policy_providers(policy)->models[0].name, "a-b");
    sl_policy_release(policy);
    refuses("{\"providers\": {\"x\": {\"base_url\": \"${SLUICE_TEST_NONE}\", \"model\": \"m\"}}}",
            "expected the environment variable SLUICE_TEST_NONE to be set");
    refuses("{\"providers\": {\"x\": {\"base_url\": \"${SLUICE\", \"model\": \"m\"}}}", "expected '}'");
}
END_TEST

START_TEST(when_blocks_apply_while_their_conditions_hold)
{
    const struct sl_policy *policy = load(
        "{\"routes\": [{\"threshold\": 0.6, \"when\": ["
        "{\"if\": {\"network\": [\"offline\", \"degraded\"]}, \"set\": {\"mode\": \"local-only\"}},"
        "{\"if\": {\"on_battery\": true, \"battery_below\": 0.3}, \"set\": {\"threshold\": 0.9,"
        " \"local\": {\"threads\": 1}}},"
        "{\"if\": {\"temperature_above\": 80}, \"set\": {\"risk\": 0.1}}]}]}");
    const struct sl_route *route = sl_policy_route(policy, 0);
    struct sl_route now;
    struct sl_device_state device = {0};
    ck_assert_uint_eq(sl_route_resolve(route, NULL, &now), 0);
    ck_assert_uint_eq(sl_route_resolve(route, &device, &now), 0);
    ck_assert_int_eq(now.mode, SL_MODE_AUTO);
    device.network = SL_NETWORK_DEGRADED;
    device.has_battery = device.is_on_battery = true;
    device.battery_share = 0.2;
    ck_assert_uint_eq(sl_route_resolve(route, &device, &now), 2);
    ck_assert_int_eq(now.mode, SL_MODE_LOCAL_ONLY);
    ck_assert_double_eq(now.threshold, 0.9);
    ck_assert_uint_eq(now.local.threads, 1);
    ck_assert_double_eq(route->threshold, 0.6); /* the policy itself does not change */
    device.battery_share = 0.5;
    ck_assert_uint_eq(sl_route_resolve(route, &device, &now), 1);
    device.has_temperature = true;
    device.temperature_c = 81;
    sl_route_resolve(route, &device, &now);
    ck_assert_double_eq(now.risk, 0.1);
    sl_policy_release(policy);
    refuses("{\"routes\": [{\"when\": [{\"if\": {}, \"set\": {}}]}]}", "at least one condition");
    refuses("{\"routes\": [{\"when\": [{\"set\": {}}]}]}", "routes[0].when[0]: expected \"if\"");
    refuses("{\"routes\": [{\"when\": [{\"if\": {\"network\": \"lost\"}, \"set\": {}}]}]}",
            "expected one of online, degraded, offline, unknown");
    refuses("{\"routes\": [{\"when\": [{\"if\": {\"load_above\": 1}, \"set\": {\"pii\": {}}}]}]}",
            "cannot depend on the device");
}
END_TEST

START_TEST(model_names_mean_a_side_a_target_or_nothing)
{
    const struct sl_policy *policy =
        load("{" TWO_PROVIDERS ", \"models\": {\"gpt-*\": \"auto\", \"smart\": \"two/m3\"}}");
    struct sl_model_choice choice;
    sl_policy_model(policy, "gpt-4o", "tiny", &choice);
    ck_assert_int_eq(choice.kind, SL_MODEL_AUTO);
    ck_assert_str_eq(choice.alias, "auto");
    sl_policy_model(policy, "smart", "tiny", &choice);
    ck_assert_int_eq(choice.kind, SL_MODEL_TARGET);
    ck_assert_str_eq(choice.target.model, "m3");
    ck_assert_str_eq(choice.target.provider->name, "two");
    sl_policy_model(policy, "m1", "tiny", &choice);
    ck_assert_str_eq(choice.target.provider->name, "one");
    sl_policy_model(policy, "tiny", "tiny", &choice);
    ck_assert_int_eq(choice.kind, SL_MODEL_LOCAL);
    sl_policy_model(policy, "cloud", "tiny", &choice);
    ck_assert_int_eq(choice.kind, SL_MODEL_CLOUD);
    sl_policy_model(policy, "", "tiny", &choice);
    ck_assert_int_eq(choice.kind, SL_MODEL_AUTO);
    sl_policy_model(policy, "m9", "tiny", &choice);
    ck_assert_int_eq(choice.kind, SL_MODEL_UNKNOWN);
    sl_policy_model(policy, "one/", "tiny", &choice);
    ck_assert_int_eq(choice.kind, SL_MODEL_UNKNOWN);
    sl_policy_release(policy);
}
END_TEST

START_TEST(modes_only_narrow)
{
    static const struct {
        enum sl_mode route, request, wanted;
        bool fits;
    } rows[] = {
        {SL_MODE_AUTO, SL_MODE_UNSET, SL_MODE_AUTO, true},
        {SL_MODE_AUTO, SL_MODE_CLOUD_ONLY, SL_MODE_CLOUD_ONLY, true},
        {SL_MODE_PREFER_LOCAL, SL_MODE_PREFER_CLOUD, SL_MODE_PREFER_CLOUD, true},
        {SL_MODE_LOCAL_ONLY, SL_MODE_AUTO, SL_MODE_LOCAL_ONLY, true},
        {SL_MODE_LOCAL_ONLY, SL_MODE_PREFER_CLOUD, SL_MODE_LOCAL_ONLY, true},
        {SL_MODE_LOCAL_ONLY, SL_MODE_CLOUD_ONLY, SL_MODE_LOCAL_ONLY, false},
        {SL_MODE_CLOUD_ONLY, SL_MODE_LOCAL_ONLY, SL_MODE_CLOUD_ONLY, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum sl_mode mode;
        ck_assert_int_eq(sl_mode_narrow(rows[i].route, rows[i].request, &mode), rows[i].fits);
        ck_assert_int_eq(mode, rows[i].wanted);
    }
}
END_TEST

START_TEST(a_disabled_cloud_closes_every_route)
{
    const struct sl_policy *policy = load("{\"cloud\": {\"enabled\": false}, " PROVIDER
                                          ", \"routes\": [{\"cloud\": {\"enabled\": true}}]}");
    ck_assert(!sl_policy_cloud_is_enabled(policy));
    ck_assert(!sl_policy_route(policy, 0)->cloud.is_enabled);
    sl_policy_release(policy);
}
END_TEST

START_TEST(the_shipped_examples_load)
{
    static const char *const names[] = {"default.json", "examples/certified_risk.json",
                                        "examples/two_providers.json", "examples/strict.json",
                                        "examples/on_the_road.json"};
    setenv("SLUICE_PII_KEY", "0123456789abcdef0123", 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[128];
        const struct sl_policy *policy;
        struct sl_error error = {0};
        snprintf(name, sizeof name, "policies/%s", names[i]);
        ck_assert_msg(sl_policy_load(in_tree(name), &policy, &error) == SL_OK, "%s", error.message);
        json_t *json = sl_route_json(sl_policy_route(policy, 0));
        ck_assert_ptr_nonnull(json);
        json_decref(json);
        sl_policy_release(policy);
    }
}
END_TEST

/* ---- the schema ---- */

static const json_t *schema_root;

static const json_t *resolved(const json_t *node)
{
    const char *reference = json_string_value(json_object_get(node, "$ref"));
    if (reference == NULL)
        return node;
    return json_object_get(json_object_get(schema_root, "$defs"), strrchr(reference, '/') + 1);
}

/* Gives each property of an object of the schema a value that no field takes, and recurses into
 * objects. The reader must complain about the value, never about the name. Returns how many. */
static size_t check_known(const json_t *node, const char *before, const char *after)
{
    size_t count = 0;
    const char *name;
    json_t *property;
    json_object_foreach((json_t *)(size_t)(const void *)json_object_get(node, "properties"), name,
                        property) {
        char text[1024], open[512], close[512];
        const struct sl_policy *policy;
        struct sl_error error = {0};
        if (strcmp(name, "comment") == 0 || strcmp(name, "$schema") == 0)
            continue;
        snprintf(text, sizeof text, "%s\"%s\": [[]]%s", before, name, after);
        enum sl_err err = sl_policy_load_text("p", sl_slice_of(text), &policy, &error);
        ck_assert_msg(err == SL_ERR_INVALID, "%s: %d %s", text, (int)err, error.message);
        ck_assert_msg(strstr(error.message, "unknown field") == NULL, "%s", error.message);
        ck_assert_msg(strstr(error.message, name) != NULL, "%s: %s", text, error.message);
        snprintf(open, sizeof open, "%s\"%s\": {", before, name);
        snprintf(close, sizeof close, "}%s", after);
        count += 1 + check_known(resolved(property), open, close);
    }
    return count;
}

START_TEST(every_field_of_the_schema_is_known_to_the_reader)
{
    size_t len;
    char *text = sl_test_read_file(in_tree("policies/policy.schema.json"), &len);
    json_t *root = json_loadb(text, len, 0, NULL);
    ck_assert_ptr_nonnull(root);
    schema_root = root;
    json_t *definitions = json_object_get(root, "$defs");
    json_t *route = json_object_get(definitions, "route");
    json_t *when = json_object_get(
        json_object_get(json_object_get(route, "properties"), "when"), "items");
    ck_assert_uint_gt(check_known(root, "{", "}"), 50);
    ck_assert_uint_gt(check_known(route, "{\"routes\": [{", "}]}"), 50);
    ck_assert_uint_gt(check_known(json_object_get(definitions, "provider"),
                                  "{\"providers\": {\"x\": {", "}}}"), 30);
    ck_assert_uint_gt(check_known(when, "{\"routes\": [{\"when\": [{", "}]}]}"), 40);
    json_decref(root);
    free(text);
}
END_TEST

/* ---- the store ---- */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void replace_file(const char *path, const char *text)
{
    char temporary[600];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    write_file(temporary, text);
    ck_assert_int_eq(rename(temporary, path), 0);
}

static double current_threshold(struct sl_policy_store *store)
{
    const struct sl_policy *policy = sl_policy_store_acquire(store);
    double threshold = sl_policy_route(policy, 0)->threshold;
    sl_policy_release(policy);
    return threshold;
}

struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count;
};

static void count_change(void *ctx, const struct sl_policy *policy)
{
    struct seen *seen = ctx;
    ck_assert_ptr_nonnull(policy);
    pthread_mutex_lock(&seen->lock);
    seen->count++;
    pthread_cond_signal(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static bool wait_for(struct seen *seen, unsigned count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10; /* far above the second that is promised: a slow machine is no failure */
    pthread_mutex_lock(&seen->lock);
    int rc = 0;
    while (seen->count < count && rc == 0)
        rc = pthread_cond_timedwait(&seen->changed, &seen->lock, &until);
    bool reached = seen->count >= count;
    pthread_mutex_unlock(&seen->lock);
    return reached;
}

START_TEST(a_broken_file_keeps_the_policy_in_force)
{
    char path[512];
    struct sl_policy_store *store;
    struct sl_error error = {0};
    snprintf(path, sizeof path, "%s/p.json", sl_test_scratch());
    write_file(path, "{\"routes\": [{\"threshold\": 0.25}]}");
    ck_assert_int_eq(sl_policy_store_open(path, &store, &error), SL_OK);
    write_file(path, "{\"routes\": [{\"threshold\": 7}]}");
    ck_assert_int_eq(sl_policy_store_reload(store, &error), SL_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "/p.json:1:27: routes[0].threshold: expected"));
    ck_assert_double_eq(current_threshold(store), 0.25);
    write_file(path, "{\"routes\": [{\"threshold\": 0.75}]}");
    ck_assert_int_eq(sl_policy_store_reload(store, &error), SL_OK);
    ck_assert_double_eq(current_threshold(store), 0.75);
    sl_policy_store_close(store);
}
END_TEST

START_TEST(an_edit_and_a_replaced_file_take_effect_by_themselves)
{
    char path[512];
    struct sl_policy_store *store;
    struct sl_error error = {0};
    struct seen seen = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    snprintf(path, sizeof path, "%s/p.json", sl_test_scratch());
    write_file(path, "{\"routes\": [{\"threshold\": 0.25}]}");
    ck_assert_int_eq(sl_policy_store_open(path, &store, &error), SL_OK);
    sl_policy_store_on_change(store, count_change, &seen);
    ck_assert_int_eq(sl_policy_store_start(store, &error), SL_OK);
    const struct sl_policy *held = sl_policy_store_acquire(store);
    write_file(path, "{\"routes\": [{\"threshold\": 0.5}]}");
    ck_assert(wait_for(&seen, 1));
    ck_assert_double_eq(current_threshold(store), 0.5);
    replace_file(path, "{\"routes\": [{\"threshold\": 0.75}]}");
    ck_assert(wait_for(&seen, 2));
    ck_assert_double_eq(current_threshold(store), 0.75);
    /* Who holds the old one keeps it. */
    ck_assert_double_eq(sl_policy_route(held, 0)->threshold, 0.25);
    sl_policy_release(held);
    sl_policy_store_close(store);
}
END_TEST

static void *acquire_often(void *arg)
{
    for (int i = 0; i < 2000; i++)
        ck_assert_double_le(current_threshold(arg), 1);
    return NULL;
}

START_TEST(readers_and_reloads_do_not_disturb_each_other)
{
    char path[512];
    struct sl_policy_store *store;
    struct sl_error error = {0};
    pthread_t threads[3];
    snprintf(path, sizeof path, "%s/p.json", sl_test_scratch());
    write_file(path, "{\"routes\": [{\"threshold\": 0.25}]}");
    ck_assert_int_eq(sl_policy_store_open(path, &store, &error), SL_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, acquire_often, store), 0);
    for (int i = 0; i < 5; i++) {
        write_file(path, i % 2 ? "{\"routes\": [{\"threshold\": 0.25}]}" : "{}");
        ck_assert_int_eq(sl_policy_store_reload(store, &error), SL_OK);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    sl_policy_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tcase = tcase_create("policy");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, an_empty_policy_is_a_catch_all_with_the_defaults);
    tcase_add_test(tcase, the_built_in_policy_is_the_default_file_and_loads);
    tcase_add_test(tcase, mistakes_are_refused_with_place_and_expectation);
    tcase_add_test(tcase, mistakes_about_personal_data_are_refused);
    tcase_add_test(tcase, rules_of_personal_data_start_from_the_defaults_of_the_file);
    tcase_add_test(tcase, the_first_route_that_fits_rules);
    tcase_add_test(tcase, routes_inherit_the_terms_of_defaults);
    tcase_add_test(tcase, the_environment_fills_in_and_a_missing_variable_is_refused);
    tcase_add_test(tcase, when_blocks_apply_while_their_conditions_hold);
    tcase_add_test(tcase, model_names_mean_a_side_a_target_or_nothing);
    tcase_add_test(tcase, modes_only_narrow);
    tcase_add_test(tcase, a_disabled_cloud_closes_every_route);
    tcase_add_test(tcase, the_shipped_examples_load);
    tcase_add_test(tcase, every_field_of_the_schema_is_known_to_the_reader);
    tcase_add_test(tcase, a_broken_file_keeps_the_policy_in_force);
    tcase_add_test(tcase, an_edit_and_a_replaced_file_take_effect_by_themselves);
    tcase_add_test(tcase, readers_and_reloads_do_not_disturb_each_other);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
