/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of the box that decisions may depend on: load, memory, pressure, temperature, battery
 * and network. Read from /proc and /sys a few times a minute, published as one small value, and
 * handed to the decision as a parameter.
 *
 *     struct sl_device_reader *reader = sl_device_reader_create(NULL);
 *     struct sl_device_state state;
 *     sl_device_reader_read(reader, now_ms, &state);      // the control thread
 *     sl_device_reader_network(reader, true, now_ms);     // the cloud client, after each outcome
 *     sl_device_reader_state(reader, &state);             // any thread: the last reading
 *
 * A value that the machine does not have is absent: `has_…` is false, and no condition on it holds.
 */
#ifndef SLUICE_DEVICE_H
#define SLUICE_DEVICE_H

#include "sluice/err.h"

#include <jansson.h>
#include <stdint.h>

enum sl_network { SL_NETWORK_UNKNOWN, SL_NETWORK_ONLINE, SL_NETWORK_DEGRADED, SL_NETWORK_OFFLINE };
const char *sl_network_word(enum sl_network network); /* "unknown", "online", … */

struct sl_device_state {
    uint64_t read_ms; /* monotonic time of the reading; 0: never read */
    uint32_t cores;
    bool has_load, has_memory, has_pressure, has_temperature, has_battery;
    double load_1m;                 /* runnable threads, mean of a minute */
    double load_share;              /* load_1m / cores */
    double memory_available_bytes;
    double memory_available_share;  /* of the total, 0 to 1 */
    double cpu_pressure;            /* PSI `some avg10` of /proc/pressure, per cent */
    double memory_pressure;
    double temperature_c;           /* the hottest thermal zone */
    bool is_on_battery;
    double battery_share;           /* 0 to 1 */
    enum sl_network network;
};

struct sl_device_reader;

/* `root` is put before /proc and /sys (tests); NULL: "". NULL when out of memory. */
struct sl_device_reader *sl_device_reader_create(const char *root);
void sl_device_reader_free(struct sl_device_reader *reader);
/* Reads everything again, publishes it, sets the `sluice_device_*` metrics; *out may be NULL. */
void sl_device_reader_read(struct sl_device_reader *reader, uint64_t now_ms,
                           struct sl_device_state *out);
/* The last reading with the network state of now. Any thread; a short lock. */
void sl_device_reader_state(struct sl_device_reader *reader, struct sl_device_state *out);
/* One outcome of a real cloud call or of a probe: did the network carry it (an HTTP error answer
 * did)? The state follows the last 8 outcomes: all failed, and at least 2: offline; some: degraded. */
void sl_device_reader_network(struct sl_device_reader *reader, bool reached, uint64_t now_ms);
/* True where no outcome came for `idle_ms`, or the state is offline and the last is older than the
 * back-off: the control thread then makes a cheap probe (a TCP connection to the first provider). */
bool sl_device_reader_wants_probe(struct sl_device_reader *reader, uint64_t now_ms,
                                  uint64_t idle_ms);
/* {"load":…,"memory_available_share":…,…,"network":"online"}; absent values are left out.
 * NULL when out of memory. */
json_t *sl_device_state_json(const struct sl_device_state *state);

#endif
