/* SPDX-License-Identifier: Apache-2.0
 *
 * A local certificate authority and a server certificate under it, ECDSA P-256, for a box on a LAN
 * that no public authority can name. mbedTLS stays behind this header.
 */
#ifndef SLUICE_GATEWAY_CERTS_H
#define SLUICE_GATEWAY_CERTS_H

#include "sluice/err.h"

#include <stddef.h>
#include <stdint.h>

#define SL_CERT_NAMES_MAX 16

struct sl_certs_request {
    const char *folder;                     /* must exist */
    const char *names[SL_CERT_NAMES_MAX];   /* host names and IP addresses the server is called by */
    size_t name_count;                      /* at least 1; the first is the subject's common name */
    uint32_t ca_days, server_days;          /* 0: 3650 and 397 */
    int64_t now_s;                          /* wall time */
};

/* Writes ca.pem, ca.key, server.pem (the server's certificate and the CA's), server.key; keys with
 * mode 0600. An authority that is there already is kept and used, so that clients which trust it
 * need no change. Errors: SL_ERR_INVALID (names), SL_ERR_IO, SL_ERR_CRYPTO. */
enum sl_err sl_certs_init(const struct sl_certs_request *request,
                          struct sl_error *error) SL_MUST_CHECK;

#endif
