/* SPDX-License-Identifier: Apache-2.0
 *
 * The program. Everything is in the library, where tests reach it.
 */
#include "sluice/gateway.h"

int main(int argc, char **argv) { return sl_command_run(argc, argv); }
