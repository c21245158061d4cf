/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates with GnuTLS's own API: the library is there for the HTTPS server anyway, and no
 * command-line tool is needed. ECDSA P-256; valid for a day, since the next start makes new ones.
 */
#include "certificates.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY_SECONDS 86400

static void must(int code, const char *what)
{
    if (code >= 0)
        return;
    fprintf(stderr, "sluice-mock-cloud: %s: %s\n", what, gnutls_strerror(code));
    exit(EXIT_FAILURE);
}

static gnutls_x509_privkey_t make_key(void)
{
    gnutls_x509_privkey_t key;
    must(gnutls_x509_privkey_init(&key), "key");
    must(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                      GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
         "key");
    return key;
}

static void set_common(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, const char *name,
                       time_t from, time_t until)
{
    unsigned char serial[16];
    must(gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial), "serial");
    serial[0] &= 0x7f; /* positive */
    must(gnutls_x509_crt_set_version(crt, 3), "version");
    must(gnutls_x509_crt_set_serial(crt, serial, sizeof serial), "serial");
    must(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                       (unsigned)strlen(name)),
         "name");
    must(gnutls_x509_crt_set_activation_time(crt, from), "activation");
    must(gnutls_x509_crt_set_expiration_time(crt, until), "expiration");
    must(gnutls_x509_crt_set_key(crt, key), "key");
}

static gnutls_x509_crt_t make_ca(gnutls_x509_privkey_t key)
{
    gnutls_x509_crt_t crt;
    time_t now = time(NULL);
    must(gnutls_x509_crt_init(&crt), "certificate");
    set_common(crt, key, "Sluice simulated cloud CA", now - 30 * DAY_SECONDS, now + DAY_SECONDS);
    must(gnutls_x509_crt_set_ca_status(crt, 1), "CA");
    must(gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN), "usage");
    must(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), "signature");
    return crt;
}

static void set_names(gnutls_x509_crt_t crt, bool is_wrong_host)
{
    static const unsigned char ipv4[4] = {127, 0, 0, 1};
    unsigned char ipv6[16] = {0};
    ipv6[15] = 1;
    if (is_wrong_host) {
        must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "wrong.example", 13,
                                                  GNUTLS_FSAN_SET),
             "name");
        return;
    }
    must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "localhost", 9,
                                              GNUTLS_FSAN_SET),
         "name");
    must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ipv4, sizeof ipv4,
                                              GNUTLS_FSAN_APPEND),
         "name");
    must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ipv6, sizeof ipv6,
                                              GNUTLS_FSAN_APPEND),
         "name");
}

static gnutls_x509_crt_t make_server(enum mock_cert_fault fault, gnutls_x509_privkey_t key,
                                     gnutls_x509_crt_t ca, gnutls_x509_privkey_t ca_key)
{
    gnutls_x509_crt_t crt;
    time_t now = time(NULL);
    bool is_expired = fault == MOCK_CERT_EXPIRED;
    must(gnutls_x509_crt_init(&crt), "certificate");
    set_common(crt, key, "localhost", now - 10 * DAY_SECONDS,
               is_expired ? now - DAY_SECONDS : now + DAY_SECONDS);
    set_names(crt, fault == MOCK_CERT_WRONG_HOST);
    must(gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE), "usage");
    must(gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0), "purpose");
    must(gnutls_x509_crt_sign2(crt, ca, ca_key, GNUTLS_DIG_SHA256, 0), "signature");
    return crt;
}

static char *text_of(gnutls_datum_t datum)
{
    char *text = malloc(datum.size + 1);
    if (text == NULL)
        abort();
    memcpy(text, datum.data, datum.size);
    text[datum.size] = '\0';
    gnutls_free(datum.data);
    return text;
}

static char *pem_of(gnutls_x509_crt_t crt)
{
    gnutls_datum_t datum;
    must(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &datum), "PEM");
    return text_of(datum);
}

/* SHA-256 of the DER SubjectPublicKeyInfo, as curl's CURLOPT_PINNEDPUBLICKEY counts it. */
static void write_pin(gnutls_x509_crt_t crt, char *out, size_t size)
{
    gnutls_pubkey_t pubkey;
    gnutls_datum_t der, base64;
    unsigned char digest[32];
    must(gnutls_pubkey_init(&pubkey), "public key");
    must(gnutls_pubkey_import_x509(pubkey, crt, 0), "public key");
    must(gnutls_pubkey_export2(pubkey, GNUTLS_X509_FMT_DER, &der), "public key");
    must(gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, digest), "pin");
    gnutls_datum_t raw = {digest, sizeof digest};
    must(gnutls_base64_encode2(&raw, &base64), "pin");
    snprintf(out, size, "sha256//%.*s", (int)base64.size, base64.data);
    gnutls_free(base64.data);
    gnutls_free(der.data);
    gnutls_pubkey_deinit(pubkey);
}

void mock_certificates_make(enum mock_cert_fault fault, struct mock_certificates *out)
{
    gnutls_datum_t datum;
    gnutls_x509_privkey_t ca_key = make_key();
    gnutls_x509_privkey_t other_key = make_key();
    gnutls_x509_privkey_t key = make_key();
    gnutls_x509_crt_t ca = make_ca(ca_key);
    gnutls_x509_crt_t other = make_ca(other_key);
    bool is_untrusted = fault == MOCK_CERT_UNTRUSTED;
    gnutls_x509_crt_t server =
        make_server(fault, key, is_untrusted ? other : ca, is_untrusted ? other_key : ca_key);
    out->ca_pem = pem_of(ca);
    out->cert_pem = pem_of(server);
    must(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &datum), "PEM");
    out->key_pem = text_of(datum);
    write_pin(server, out->pin, sizeof out->pin);
    gnutls_x509_crt_deinit(server);
    gnutls_x509_crt_deinit(other);
    gnutls_x509_crt_deinit(ca);
    gnutls_x509_privkey_deinit(key);
    gnutls_x509_privkey_deinit(other_key);
    gnutls_x509_privkey_deinit(ca_key);
}

void mock_certificates_clear(struct mock_certificates *certificates)
{
    free(certificates->ca_pem);
    free(certificates->cert_pem);
    free(certificates->key_pem);
}
