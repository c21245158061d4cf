/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates for the simulator, made fresh in memory at each start: a CA that clients are told to
 * trust, and a server certificate with the fault that a test asks for.
 */
#ifndef MOCK_CERTIFICATES_H
#define MOCK_CERTIFICATES_H

#include <stdbool.h>

enum mock_cert_fault {
    MOCK_CERT_GOOD,
    MOCK_CERT_WRONG_HOST, /* for another name */
    MOCK_CERT_EXPIRED,    /* since a day */
    MOCK_CERT_UNTRUSTED   /* signed by a CA that nobody was told of */
};

struct mock_certificates {
    char *ca_pem;   /* what clients shall trust */
    char *cert_pem; /* the server's, for 127.0.0.1, ::1 and localhost */
    char *key_pem;
    char pin[80]; /* of the server's public key, in curl's form: sha256//base64 */
};

/* Ends the program with a message on failure. */
void mock_certificates_make(enum mock_cert_fault fault, struct mock_certificates *out);
void mock_certificates_clear(struct mock_certificates *certificates);

#endif
