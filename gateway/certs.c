/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes X.509 certificates (RFC 5280) with mbedTLS. mbedTLS 2.28 has no call for subject
 * alternative names, so that extension is put together here: a SEQUENCE of dNSName [2] and
 * iPAddress [7].
 *
 * Used by one command, once; one thread.
 */
#include "certs.h"

#include "sluice/clock.h"
#include "sluice/secret.h"
#include "sluice/slice.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CA_DAYS 3650     /* trusted by hand: rarely renewed */
#define SERVER_DAYS 397  /* what browsers accept at most */
#define PEM_BYTES_MAX 8192
#define SAN_BYTES_MAX 4096
#define BACKDATE_SECONDS 3600 /* clocks on a LAN differ */

struct certs {
    const struct sl_certs_request *request;
    struct sl_error *error;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_pk_context ca_key, server_key;
    mbedtls_x509_crt ca;
};

static enum sl_err crypto_failed(struct certs *certs, const char *what, int code)
{
    char text[128];
    mbedtls_strerror(code, text, sizeof text);
    return sl_error_set(certs->error, SL_ERR_CRYPTO, "%s: %s", what, text);
}

static void path_of(const struct certs *certs, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", certs->request->folder, name);
}

static enum sl_err write_file(struct certs *certs, const char *name, const char *text, mode_t mode)
{
    char path[1024];
    path_of(certs, name, path, sizeof path);
    unlink(path); /* so that the new mode holds */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    size_t len = strlen(text);
    bool is_written = fd >= 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    enum sl_err err = SL_OK;
    if (!is_written)
        err = sl_error_set(certs->error, SL_ERR_IO, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return err;
}

static enum sl_err make_key(struct certs *certs, mbedtls_pk_context *key, const char *name)
{
    char pem[PEM_BYTES_MAX];
    int code = mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (code == 0)
        code = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key),
                                   mbedtls_ctr_drbg_random, &certs->random);
    if (code == 0)
        code = mbedtls_pk_write_key_pem(key, (unsigned char *)pem, sizeof pem);
    enum sl_err err = code == 0 ? write_file(certs, name, pem, 0600)
                                : crypto_failed(certs, name, code);
    sl_wipe(pem, sizeof pem);
    return err;
}

/* ---- what a certificate says ---- */

/* One GeneralName behind *at. False where it is neither an address nor a host name, or too long. */
static bool append_name(const char *name, uint8_t *san, size_t *len)
{
    uint8_t address[16];
    const uint8_t *bytes = address;
    size_t size = 0;
    uint8_t tag = 0x87; /* context 7: iPAddress */
    if (inet_pton(AF_INET, name, address) == 1) {
        size = 4;
    } else if (inet_pton(AF_INET6, name, address) == 1) {
        size = 16;
    } else {
        static const char letters[] =
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.*";
        tag = 0x82; /* context 2: dNSName */
        bytes = (const uint8_t *)name;
        size = strlen(name);
        if (size == 0 || size > 127 || strspn(name, letters) != size)
            return false;
    }
    if (*len + 2 + size > SAN_BYTES_MAX)
        return false;
    san[(*len)++] = tag;
    san[(*len)++] = (uint8_t)size;
    memcpy(san + *len, bytes, size);
    *len += size;
    return true;
}

static enum sl_err set_names(struct certs *certs, mbedtls_x509write_cert *cert)
{
    uint8_t names[SAN_BYTES_MAX], san[SAN_BYTES_MAX + 4];
    size_t len = 0, head = 0;
    for (size_t i = 0; i < certs->request->name_count; i++)
        if (!append_name(certs->request->names[i], names, &len))
            return sl_error_set(certs->error, SL_ERR_INVALID,
                                "\"%.80s\" is neither a host name nor an IP address",
                                certs->request->names[i]);
    san[head++] = 0x30; /* SEQUENCE, with its length in DER */
    if (len >= 256) {
        san[head++] = 0x82;
        san[head++] = (uint8_t)(len >> 8);
    } else if (len >= 128) {
        san[head++] = 0x81;
    }
    san[head++] = (uint8_t)len;
    memcpy(san + head, names, len);
    int code = mbedtls_x509write_crt_set_extension(
        cert, MBEDTLS_OID_SUBJECT_ALT_NAME, MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0, san,
        head + len);
    return code == 0 ? SL_OK : crypto_failed(certs, "subject alternative names", code);
}

/* extendedKeyUsage: serverAuth. Some clients refuse a server certificate without it. */
static int set_server_usage(mbedtls_x509write_cert *cert)
{
    static const unsigned char usage[] = {0x30, 0x0A, 0x06, 0x08, 0x2B, 0x06,
                                          0x01, 0x05, 0x05, 0x07, 0x03, 0x01};
    return mbedtls_x509write_crt_set_extension(cert, MBEDTLS_OID_EXTENDED_KEY_USAGE,
                                               MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), 0,
                                               usage, sizeof usage);
}

static void format_time(int64_t seconds, char out[16])
{
    struct tm tm;
    time_t time = (time_t)seconds;
    gmtime_r(&time, &tm);
    strftime(out, 16, "%Y%m%d%H%M%S", &tm);
}

static int set_serial_and_time(struct certs *certs, mbedtls_x509write_cert *cert, uint32_t days)
{
    uint8_t bytes[16];
    char from[16], until[16];
    mbedtls_mpi serial;
    mbedtls_mpi_init(&serial);
    int code = mbedtls_ctr_drbg_random(&certs->random, bytes, sizeof bytes);
    bytes[0] = (uint8_t)((bytes[0] & 0x7F) | 0x40); /* positive, and of fixed length */
    if (code == 0)
        code = mbedtls_mpi_read_binary(&serial, bytes, sizeof bytes);
    if (code == 0)
        code = mbedtls_x509write_crt_set_serial(cert, &serial);
    mbedtls_mpi_free(&serial);
    format_time(certs->request->now_s - BACKDATE_SECONDS, from);
    format_time(certs->request->now_s + (int64_t)days * 86400, until);
    return code == 0 ? mbedtls_x509write_crt_set_validity(cert, from, until) : code;
}

static int finish(struct certs *certs, mbedtls_x509write_cert *cert, char pem[PEM_BYTES_MAX])
{
    int code = mbedtls_x509write_crt_set_subject_key_identifier(cert);
    if (code == 0)
        code = mbedtls_x509write_crt_set_authority_key_identifier(cert);
    if (code == 0)
        code = mbedtls_x509write_crt_pem(cert, (unsigned char *)pem, PEM_BYTES_MAX,
                                         mbedtls_ctr_drbg_random, &certs->random);
    return code;
}

static enum sl_err make_ca(struct certs *certs)
{
    static const char name[] = "CN=Sluice local CA";
    char pem[PEM_BYTES_MAX];
    mbedtls_x509write_cert cert;
    uint32_t days = certs->request->ca_days != 0 ? certs->request->ca_days : CA_DAYS;
    enum sl_err err = make_key(certs, &certs->ca_key, "ca.key");
    if (err != SL_OK)
        return err;
    mbedtls_x509write_crt_init(&cert);
    mbedtls_x509write_crt_set_version(&cert, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&cert, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&cert, &certs->ca_key);
    mbedtls_x509write_crt_set_issuer_key(&cert, &certs->ca_key);
    int code = mbedtls_x509write_crt_set_subject_name(&cert, name);
    if (code == 0)
        code = mbedtls_x509write_crt_set_issuer_name(&cert, name);
    if (code == 0)
        code = set_serial_and_time(certs, &cert, days);
    if (code == 0)
        code = mbedtls_x509write_crt_set_basic_constraints(&cert, 1, 0);
    if (code == 0)
        code = mbedtls_x509write_crt_set_key_usage(
            &cert, MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN);
    if (code == 0)
        code = finish(certs, &cert, pem);
    mbedtls_x509write_crt_free(&cert);
    if (code == 0)
        code = mbedtls_x509_crt_parse(&certs->ca, (unsigned char *)pem, strlen(pem) + 1);
    return code == 0 ? write_file(certs, "ca.pem", pem, 0644)
                     : crypto_failed(certs, "certificate authority", code);
}

/* Loads the authority that is there, or makes one. */
static enum sl_err have_ca(struct certs *certs)
{
    char path[1024], key_path[1024];
    path_of(certs, "ca.pem", path, sizeof path);
    path_of(certs, "ca.key", key_path, sizeof key_path);
    if (access(path, F_OK) != 0 || access(key_path, F_OK) != 0)
        return make_ca(certs);
    int code = mbedtls_x509_crt_parse_file(&certs->ca, path);
    if (code == 0)
        code = mbedtls_pk_parse_keyfile(&certs->ca_key, key_path, NULL);
    if (code == 0)
        code = mbedtls_pk_check_pair(&certs->ca.pk, &certs->ca_key);
    return code == 0 ? SL_OK : crypto_failed(certs, path, code);
}

static enum sl_err make_server(struct certs *certs)
{
    char pem[2 * PEM_BYTES_MAX], ca_pem[PEM_BYTES_MAX], subject[160], issuer[256];
    mbedtls_x509write_cert cert;
    size_t ca_len = 0;
    uint32_t days = certs->request->server_days != 0 ? certs->request->server_days : SERVER_DAYS;
    enum sl_err err = make_key(certs, &certs->server_key, "server.key");
    if (err != SL_OK)
        return err;
    snprintf(subject, sizeof subject, "CN=%.64s", certs->request->names[0]);
    mbedtls_x509write_crt_init(&cert);
    mbedtls_x509write_crt_set_version(&cert, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&cert, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&cert, &certs->server_key);
    mbedtls_x509write_crt_set_issuer_key(&cert, &certs->ca_key);
    err = set_names(certs, &cert);
    int code = mbedtls_x509_dn_gets(issuer, sizeof issuer, &certs->ca.subject);
    code = code > 0 ? mbedtls_x509write_crt_set_issuer_name(&cert, issuer) : code;
    if (code == 0)
        code = mbedtls_x509write_crt_set_subject_name(&cert, subject);
    if (code == 0)
        code = set_serial_and_time(certs, &cert, days);
    if (code == 0)
        code = mbedtls_x509write_crt_set_basic_constraints(&cert, 0, -1);
    if (code == 0)
        code = mbedtls_x509write_crt_set_key_usage(&cert, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    if (code == 0)
        code = set_server_usage(&cert);
    if (code == 0)
        code = finish(certs, &cert, pem);
    mbedtls_x509write_crt_free(&cert);
    if (code == 0) /* the chain: what a server sends */
        code = mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n",
                                        "-----END CERTIFICATE-----\n", certs->ca.raw.p,
                                        certs->ca.raw.len, (unsigned char *)ca_pem, sizeof ca_pem,
                                        &ca_len);
    if (err == SL_OK && code != 0)
        err = crypto_failed(certs, "server certificate", code);
    if (err != SL_OK)
        return err;
    strncat(pem, ca_pem, sizeof pem - strlen(pem) - 1);
    return write_file(certs, "server.pem", pem, 0644);
}

enum sl_err sl_certs_init(const struct sl_certs_request *request, struct sl_error *error)
{
    struct certs certs = {.request = request, .error = error};
    if (request->name_count == 0 || request->name_count > SL_CERT_NAMES_MAX)
        return sl_error_set(error, SL_ERR_INVALID, "expected 1 to %d names", SL_CERT_NAMES_MAX);
    mbedtls_entropy_init(&certs.entropy);
    mbedtls_ctr_drbg_init(&certs.random);
    mbedtls_pk_init(&certs.ca_key);
    mbedtls_pk_init(&certs.server_key);
    mbedtls_x509_crt_init(&certs.ca);
    int code = mbedtls_ctr_drbg_seed(&certs.random, mbedtls_entropy_func, &certs.entropy, NULL, 0);
    enum sl_err err = code == 0 ? have_ca(&certs) : crypto_failed(&certs, "random numbers", code);
    if (err == SL_OK)
        err = make_server(&certs);
    mbedtls_x509_crt_free(&certs.ca);
    mbedtls_pk_free(&certs.server_key);
    mbedtls_pk_free(&certs.ca_key);
    mbedtls_ctr_drbg_free(&certs.random);
    mbedtls_entropy_free(&certs.entropy);
    return err;
}
