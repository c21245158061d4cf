/* SPDX-License-Identifier: Apache-2.0
 *
 * The device state of device.h, read from /proc and /sys of Linux. A file that is missing, or does
 * not read as expected, leaves its value absent: containers and virtual machines lack most of them.
 *
 * The network state is not read but heard: from the outcomes of real cloud calls, and of probes
 * where there were none for a while. Failures move it slowly (a provider's bad minute is no lost
 * network), one success brings it back.
 *
 * Threads: `read` belongs to the control thread; the lock guards `state` and the outcomes.
 */
#include "sluice/device.h"

#include "sluice/metric.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTCOMES 8            /* remembered; two failures of two are offline, one of eight degraded */
#define PROBE_OFFLINE_MS 5000 /* a lost network is asked for again this often */
#define ROOT_MAX 512
#define PATH_BYTES 1024

struct sl_device_reader {
    char root[ROOT_MAX];
    pthread_mutex_t lock; /* guards all below */
    struct sl_device_state state;
    uint8_t outcomes; /* bit 0 the latest: 1 reached */
    unsigned outcome_count;
    uint64_t outcome_ms;
    bool has_outcome;
};

const char *sl_network_word(enum sl_network network)
{
    static const char *const words[] = {"unknown", "online", "degraded", "offline"};
    return words[network];
}

struct sl_device_reader *sl_device_reader_create(const char *root)
{
    struct sl_device_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return NULL;
    snprintf(reader->root, sizeof reader->root, "%s", root == NULL ? "" : root);
    pthread_mutex_init(&reader->lock, NULL);
    return reader;
}

void sl_device_reader_free(struct sl_device_reader *reader)
{
    if (reader == NULL)
        return;
    pthread_mutex_destroy(&reader->lock);
    free(reader);
}

/* ---- files ---- */

/* Reads the start of a small file; false where there is none or it is empty. */
static bool read_small(const char *root, const char *path, char *out, size_t size)
{
    char full[PATH_BYTES];
    int len = snprintf(full, sizeof full, "%s%s", root, path);
    if (len < 0 || (size_t)len >= sizeof full)
        return false;
    FILE *file = fopen(full, "re");
    if (file == NULL)
        return false;
    size_t got = fread(out, 1, size - 1, file);
    fclose(file);
    out[got] = '\0';
    return got != 0;
}

static bool read_long(const char *root, const char *path, long *out)
{
    char text[64], *end;
    if (!read_small(root, path, text, sizeof text))
        return false;
    *out = strtol(text, &end, 10);
    return end != text;
}

static void read_load(const char *root, struct sl_device_state *state)
{
    char text[128];
    state->has_load = read_small(root, "/proc/loadavg", text, sizeof text) &&
                      sscanf(text, "%lf", &state->load_1m) == 1;
    if (state->has_load && state->cores != 0)
        state->load_share = state->load_1m / state->cores;
}

static bool meminfo_value(const char *text, const char *name, double *bytes)
{
    const char *line = strstr(text, name);
    unsigned long long kib;
    if (line == NULL || sscanf(line + strlen(name), " %llu", &kib) != 1)
        return false;
    *bytes = (double)kib * 1024;
    return true;
}

static void read_memory(const char *root, struct sl_device_state *state)
{
    char text[4096];
    double total;
    if (!read_small(root, "/proc/meminfo", text, sizeof text) ||
        !meminfo_value(text, "MemTotal:", &total) || total <= 0 ||
        !meminfo_value(text, "MemAvailable:", &state->memory_available_bytes))
        return;
    state->memory_available_share = state->memory_available_bytes / total;
    state->has_memory = true;
}

/* "some avg10=0.12 avg60=…": the share of the last 10 s in which something waited. */
static bool read_pressure(const char *root, const char *path, double *out)
{
    char text[256];
    return read_small(root, path, text, sizeof text) && sscanf(text, "some avg10=%lf", out) == 1;
}

/* Calls `each` for every entry of a folder that starts with `prefix`; hidden ones are left out. */
static void for_entries(const char *root, const char *folder, const char *prefix,
                        void (*each)(const char *root, const char *entry_path,
                                     struct sl_device_state *state),
                        struct sl_device_state *state)
{
    char full[PATH_BYTES], path[PATH_BYTES];
    int len = snprintf(full, sizeof full, "%s%s", root, folder);
    DIR *dir = len > 0 && (size_t)len < sizeof full ? opendir(full) : NULL;
    if (dir == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        len = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (len > 0 && (size_t)len < sizeof path)
            each(root, path, state);
    }
    closedir(dir);
}

static void add_zone(const char *root, const char *zone, struct sl_device_state *state)
{
    char path[PATH_BYTES + 16];
    long millidegrees;
    snprintf(path, sizeof path, "%s/temp", zone);
    /* Sensors that are not wired report nonsense; no box runs above 150 degrees. */
    if (!read_long(root, path, &millidegrees) || millidegrees < -50000 || millidegrees > 150000)
        return;
    double degrees = (double)millidegrees / 1000;
    if (!state->has_temperature || degrees > state->temperature_c)
        state->temperature_c = degrees;
    state->has_temperature = true;
}

static void add_supply(const char *root, const char *supply, struct sl_device_state *state)
{
    char path[PATH_BYTES + 16], text[64];
    long capacity;
    snprintf(path, sizeof path, "%s/type", supply);
    if (!read_small(root, path, text, sizeof text) || strncmp(text, "Battery", 7) != 0)
        return;
    snprintf(path, sizeof path, "%s/scope", supply);
    if (read_small(root, path, text, sizeof text) && strncmp(text, "Device", 6) == 0)
        return; /* the battery of a mouse */
    snprintf(path, sizeof path, "%s/capacity", supply);
    if (!read_long(root, path, &capacity) || capacity < 0 || capacity > 100)
        return;
    snprintf(path, sizeof path, "%s/status", supply);
    bool discharges =
        read_small(root, path, text, sizeof text) && strncmp(text, "Discharging", 11) == 0;
    double share = (double)capacity / 100;
    if (!state->has_battery || share < state->battery_share)
        state->battery_share = share;
    state->is_on_battery = state->is_on_battery || discharges;
    state->has_battery = true;
}

/* ---- network ---- */

static enum sl_network network_of(const struct sl_device_reader *reader)
{
    if (!reader->has_outcome)
        return SL_NETWORK_UNKNOWN;
    unsigned known = reader->outcome_count;
    unsigned reached = (unsigned)__builtin_popcount(reader->outcomes & ((1u << known) - 1));
    if (reached == 0 && known >= 2)
        return SL_NETWORK_OFFLINE;
    /* The last two decide when things got better: a recovered network is not punished for long. */
    bool is_fine_now = known >= 2 && (reader->outcomes & 3) == 3;
    return reached == known || is_fine_now ? SL_NETWORK_ONLINE : SL_NETWORK_DEGRADED;
}

void sl_device_reader_network(struct sl_device_reader *reader, bool reached, uint64_t now_ms)
{
    pthread_mutex_lock(&reader->lock);
    reader->outcomes = (uint8_t)(reader->outcomes << 1 | reached);
    if (reader->outcome_count < OUTCOMES)
        reader->outcome_count++;
    reader->has_outcome = true;
    reader->outcome_ms = now_ms;
    reader->state.network = network_of(reader);
    pthread_mutex_unlock(&reader->lock);
}

bool sl_device_reader_wants_probe(struct sl_device_reader *reader, uint64_t now_ms,
                                  uint64_t idle_ms)
{
    pthread_mutex_lock(&reader->lock);
    uint64_t age_ms = now_ms - reader->outcome_ms;
    uint64_t wait_ms = network_of(reader) == SL_NETWORK_ONLINE || idle_ms < PROBE_OFFLINE_MS
                           ? idle_ms
                           : PROBE_OFFLINE_MS;
    bool wants = !reader->has_outcome || age_ms >= wait_ms;
    pthread_mutex_unlock(&reader->lock);
    return wants;
}

/* ---- the reading ---- */

static void set_gauge(const char *name, const char *help, bool is_known, double value)
{
    if (is_known)
        sl_metric_set(sl_metric_gauge(name, help, NULL), value, NULL);
}

static void publish_metrics(const struct sl_device_state *state)
{
    set_gauge("sluice_device_load", "Runnable threads, mean of a minute.", state->has_load,
              state->load_1m);
    set_gauge("sluice_device_memory_available_bytes", "Memory that programs may still take.",
              state->has_memory, state->memory_available_bytes);
    set_gauge("sluice_device_cpu_pressure", "PSI: per cent of 10 s in which work waited for a CPU.",
              state->has_pressure, state->cpu_pressure);
    set_gauge("sluice_device_memory_pressure", "PSI: per cent of 10 s in which work waited for "
              "memory.", state->has_pressure, state->memory_pressure);
    set_gauge("sluice_device_temperature_celsius", "The hottest thermal zone.",
              state->has_temperature, state->temperature_c);
    set_gauge("sluice_device_battery_ratio", "Charge of the emptiest battery.", state->has_battery,
              state->battery_share);
    set_gauge("sluice_device_on_battery", "1 while the box runs on battery.", state->has_battery,
              state->is_on_battery);
    set_gauge("sluice_device_network", "0 unknown, 1 online, 2 degraded, 3 offline.", true,
              state->network);
}

void sl_device_reader_read(struct sl_device_reader *reader, uint64_t now_ms,
                           struct sl_device_state *out)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct sl_device_state state = {.read_ms = now_ms, .cores = cores > 0 ? (uint32_t)cores : 1};
    const char *root = reader->root;
    read_load(root, &state);
    read_memory(root, &state);
    bool has_cpu = read_pressure(root, "/proc/pressure/cpu", &state.cpu_pressure);
    state.has_pressure =
        read_pressure(root, "/proc/pressure/memory", &state.memory_pressure) && has_cpu;
    for_entries(root, "/sys/class/thermal", "thermal_zone", add_zone, &state);
    for_entries(root, "/sys/class/power_supply", "", add_supply, &state);
    pthread_mutex_lock(&reader->lock);
    state.network = network_of(reader);
    reader->state = state;
    pthread_mutex_unlock(&reader->lock);
    publish_metrics(&state);
    if (out != NULL)
        *out = state;
}

void sl_device_reader_state(struct sl_device_reader *reader, struct sl_device_state *out)
{
    pthread_mutex_lock(&reader->lock);
    *out = reader->state;
    pthread_mutex_unlock(&reader->lock);
}

json_t *sl_device_state_json(const struct sl_device_state *state)
{
    json_t *object =
        json_pack("{s:i, s:s}", "cores", (int)state->cores, "network",
                  sl_network_word(state->network));
    if (object == NULL)
        return NULL;
    if (state->has_load)
        json_object_set_new(object, "load_1m", json_real(state->load_1m));
    if (state->has_memory)
        json_object_set_new(object, "memory_available_share",
                            json_real(state->memory_available_share));
    if (state->has_pressure) {
        json_object_set_new(object, "cpu_pressure", json_real(state->cpu_pressure));
        json_object_set_new(object, "memory_pressure", json_real(state->memory_pressure));
    }
    if (state->has_temperature)
        json_object_set_new(object, "temperature_c", json_real(state->temperature_c));
    if (state->has_battery) {
        json_object_set_new(object, "battery_share", json_real(state->battery_share));
        json_object_set_new(object, "on_battery", json_boolean(state->is_on_battery));
    }
    return object;
}
