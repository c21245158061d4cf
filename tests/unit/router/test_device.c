/* SPDX-License-Identifier: Apache-2.0
 *
 * Device state, read from a /proc and /sys that the test makes.
 */
#include "sluice/device.h"

#include "test_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void put(const char *root, const char *path, const char *text)
{
    char full[1024];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *at = full + strlen(root) + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        mkdir(full, 0700);
        *at = '/';
    }
    FILE *file = fopen(full, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

START_TEST(a_full_machine_is_read)
{
    const char *root = sl_test_scratch();
    struct sl_device_state state;
    put(root, "/proc/loadavg", "1.50 1.00 0.50 2/300 12345\n");
    put(root, "/proc/meminfo", "MemTotal:  1000 kB\nMemFree: 10 kB\nMemAvailable:  250 kB\n");
    put(root, "/proc/pressure/cpu", "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\n");
    put(root, "/proc/pressure/memory", "some avg10=0.25 avg60=0.00 avg300=0.00 total=1\n");
    put(root, "/sys/class/thermal/thermal_zone0/temp", "45000\n");
    put(root, "/sys/class/thermal/thermal_zone1/temp", "71500\n");
    put(root, "/sys/class/thermal/thermal_zone2/temp", "-274000\n"); /* not wired */
    put(root, "/sys/class/thermal/cooling_device0/temp", "99000\n");
    put(root, "/sys/class/power_supply/AC/type", "Mains\n");
    put(root, "/sys/class/power_supply/BAT0/type", "Battery\n");
    put(root, "/sys/class/power_supply/BAT0/capacity", "62\n");
    put(root, "/sys/class/power_supply/BAT0/status", "Discharging\n");
    put(root, "/sys/class/power_supply/mouse/type", "Battery\n");
    put(root, "/sys/class/power_supply/mouse/scope", "Device\n");
    put(root, "/sys/class/power_supply/mouse/capacity", "3\n");
    struct sl_device_reader *reader = sl_device_reader_create(root);
    sl_device_reader_read(reader, 1000, &state);
    ck_assert(state.has_load && state.has_memory && state.has_pressure && state.has_temperature &&
              state.has_battery && state.is_on_battery);
    ck_assert_double_eq(state.load_1m, 1.5);
    ck_assert_double_eq_tol(state.load_share, 1.5 / state.cores, 1e-12);
    ck_assert_double_eq(state.memory_available_share, 0.25);
    ck_assert_double_eq(state.memory_available_bytes, 250 * 1024.0);
    ck_assert_double_eq(state.cpu_pressure, 12.5);
    ck_assert_double_eq(state.temperature_c, 71.5);
    ck_assert_double_eq(state.battery_share, 0.62);
    json_t *json = sl_device_state_json(&state);
    ck_assert_double_eq(json_real_value(json_object_get(json, "temperature_c")), 71.5);
    ck_assert_str_eq(json_string_value(json_object_get(json, "network")), "unknown");
    json_decref(json);
    sl_device_reader_free(reader);
}
END_TEST

START_TEST(what_a_machine_lacks_is_absent)
{
    const char *root = sl_test_scratch();
    struct sl_device_state state;
    put(root, "/proc/meminfo", "MemTotal: 0 kB\n");
    put(root, "/proc/loadavg", "garbage");
    put(root, "/sys/class/thermal/thermal_zone0/temp", "");
    struct sl_device_reader *reader = sl_device_reader_create(root);
    sl_device_reader_read(reader, 1, &state);
    ck_assert(!state.has_load && !state.has_memory && !state.has_pressure &&
              !state.has_temperature && !state.has_battery);
    ck_assert_uint_ge(state.cores, 1);
    sl_device_reader_free(reader);
}
END_TEST

START_TEST(the_network_follows_outcomes)
{
    struct sl_device_reader *reader = sl_device_reader_create("/nonexistent");
    struct sl_device_state state;
    static const struct {
        bool reached;
        enum sl_network wanted;
    } steps[] = {
        {true, SL_NETWORK_ONLINE},    {false, SL_NETWORK_DEGRADED}, {true, SL_NETWORK_DEGRADED},
        {true, SL_NETWORK_ONLINE},    {false, SL_NETWORK_DEGRADED}, {false, SL_NETWORK_DEGRADED},
        {false, SL_NETWORK_DEGRADED}, {false, SL_NETWORK_DEGRADED}, {false, SL_NETWORK_DEGRADED},
        {false, SL_NETWORK_DEGRADED}, {false, SL_NETWORK_DEGRADED}, {false, SL_NETWORK_OFFLINE},
        {true, SL_NETWORK_DEGRADED},  {true, SL_NETWORK_ONLINE},
    };
    sl_device_reader_state(reader, &state);
    ck_assert_int_eq(state.network, SL_NETWORK_UNKNOWN);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        sl_device_reader_network(reader, steps[i].reached, i);
        sl_device_reader_state(reader, &state);
        ck_assert_msg(state.network == steps[i].wanted, "step %zu: %s", i,
                      sl_network_word(state.network));
    }
    sl_device_reader_free(reader);
}
END_TEST

START_TEST(a_box_that_starts_without_a_network_is_offline_after_two_failures)
{
    struct sl_device_reader *reader = sl_device_reader_create("/nonexistent");
    struct sl_device_state state;
    sl_device_reader_network(reader, false, 1);
    sl_device_reader_state(reader, &state);
    ck_assert_int_eq(state.network, SL_NETWORK_DEGRADED);
    sl_device_reader_network(reader, false, 2);
    sl_device_reader_read(reader, 3, &state); /* a reading keeps what was heard */
    ck_assert_int_eq(state.network, SL_NETWORK_OFFLINE);
    sl_device_reader_free(reader);
}
END_TEST

START_TEST(probes_are_wanted_when_nothing_was_heard)
{
    struct sl_device_reader *reader = sl_device_reader_create("/nonexistent");
    ck_assert(sl_device_reader_wants_probe(reader, 0, 60000));
    sl_device_reader_network(reader, true, 1000);
    ck_assert(!sl_device_reader_wants_probe(reader, 60999, 60000));
    ck_assert(sl_device_reader_wants_probe(reader, 61000, 60000));
    sl_device_reader_network(reader, false, 61000); /* not well: asked more often */
    ck_assert(!sl_device_reader_wants_probe(reader, 65999, 60000));
    ck_assert(sl_device_reader_wants_probe(reader, 66000, 60000));
    sl_device_reader_free(reader);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device");
    TCase *tcase = tcase_create("device");
    tcase_add_test(tcase, a_full_machine_is_read);
    tcase_add_test(tcase, what_a_machine_lacks_is_absent);
    tcase_add_test(tcase, the_network_follows_outcomes);
    tcase_add_test(tcase, a_box_that_starts_without_a_network_is_offline_after_two_failures);
    tcase_add_test(tcase, probes_are_wanted_when_nothing_was_heard);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
