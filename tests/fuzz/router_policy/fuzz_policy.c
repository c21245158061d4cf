/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a policy: refused with a message, or loaded, and then every question that a request
 * asks of it is answered.
 */
#include "sluice/decision.h"
#include "sluice/policy.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore_name(void *ctx, const char *name, const char *owned_by)
{
    (void)ctx;
    if (name[0] == '\1' && owned_by[0] == '\1')
        abort();
}

static struct sl_slice a_header(void *ctx, const char *name)
{
    (void)ctx;
    return sl_slice_of(name);
}

static void ask(const struct sl_policy *policy)
{
    struct sl_route_query query = {.app = SL_SLICE("app"),
                                   .model = SL_SLICE("gpt-4o"),
                                   .path = SL_SLICE("/v1/chat/completions"),
                                   .header = a_header};
    struct sl_device_state device = {.network = SL_NETWORK_OFFLINE, .has_battery = true};
    struct sl_measurements m = {.prompt_tokens = 10, .local_is_ready = true,
                                .local_has_room = true, .cloud_is_possible = true};
    struct sl_model_choice choice;
    struct sl_route route;
    const struct sl_route *found = sl_policy_match(policy, &query);
    sl_route_resolve(found, &device, &route);
    sl_policy_model(policy, "gpt-4o", "local-model", &choice);
    sl_policy_model_names(policy, ignore_name, NULL);
    struct sl_decision decision = sl_decide_before(&m, &route);
    json_t *json;
    if (sl_decision_explain(&decision, &m, &route, &json) == SL_OK)
        json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sl_policy *policy;
    struct sl_error error = {0};
    struct sl_slice text = {(const char *)data, size};
    if (sl_policy_load_text("fuzz.json", text, &policy, &error) != SL_OK) {
        if (error.message[0] == '\0')
            abort(); /* a refusal without a reason helps nobody */
        return 0;
    }
    ask(policy);
    sl_policy_release(policy);
    return 0;
}
