/* SPDX-License-Identifier: Apache-2.0
 *
 * Tells systemd what state the service is in: the datagram protocol of sd_notify(3), which is a few
 * lines and no reason for a library.
 */
#ifndef SLUICE_GATEWAY_NOTIFY_H
#define SLUICE_GATEWAY_NOTIFY_H

/* Sends e.g. "READY=1" to $NOTIFY_SOCKET; nothing happens where there is none. */
void sl_notify(const char *state);

#endif
