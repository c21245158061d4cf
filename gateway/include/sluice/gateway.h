/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway: everything between the sockets and the router. It listens, speaks the wire APIs,
 * knows API keys and limits, and shows operators what happens. `sluice` the program is
 * sl_command_run() and nothing else.
 *
 *     int main(int argc, char **argv) { return sl_command_run(argc, argv); }
 *
 * For embedding and tests, the server without the command line:
 *
 *     struct sl_options options;
 *     sl_options_init(&options);
 *     sl_options_set(&options, "listen", "127.0.0.1:0", &error);
 *     struct sl_gateway *gateway;
 *     if (sl_gateway_start(&options, &gateway, &error) != SL_OK) ...
 *     puts(sl_gateway_url(gateway));                 // http://127.0.0.1:43211
 *     sl_gateway_stop(gateway);                      // drains, then closes
 *     sl_options_clear(&options);
 *
 * Threads: start and stop belong to one thread; everything else may be called from any.
 */
#ifndef SLUICE_GATEWAY_H
#define SLUICE_GATEWAY_H

#include "sluice/err.h"
#include "sluice/slice.h"

#include <stdint.h>

struct sl_options;
struct sl_gateway;

/* Runs the command line: argv[1] names a command of the table in commands.c. Returns the exit
 * status: 0 fine, 1 failed, 2 used wrongly. */
int sl_command_run(int argc, char **argv);

/* Opens model, cache, policy and cloud, binds the address, and serves. A running gateway keeps no
 * pointer into *options. Errors: SL_ERR_INVALID (an option, named), SL_ERR_IO (address, file), and
 * what opening the parts gives. */
enum sl_err sl_gateway_start(const struct sl_options *options, struct sl_gateway **out,
                             struct sl_error *error) SL_MUST_CHECK;
/* "http://ADDR:PORT" or "https://…", with the port that was really bound. */
const char *sl_gateway_url(const struct sl_gateway *gateway);
/* Reads policy, keys and admin token again (SIGHUP). What does not load is logged and stays. */
void sl_gateway_reload(struct sl_gateway *gateway);
/* Stops accepting, lets what runs finish within the drain time, cancels the rest, closes all. */
void sl_gateway_stop(struct sl_gateway *gateway);

#endif
