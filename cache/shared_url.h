/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_CACHE_SHARED_URL_H
#define SLUICE_CACHE_SHARED_URL_H

#include "sluice/err.h"

/* redis://[user:password@]host[:port][/db], redis://[::1]:6379, unix:///path/to/socket. */
struct shared_url {
    char host[256];     /* or the path of a socket */
    char user[64];      /* "" if none */
    char password[256]; /* "" if none; wiped by the owner */
    int port;           /* 0: a socket */
    int database;
};

/* SL_ERR_INVALID; the message never cites the URL, which may hold a password. */
enum sl_err shared_url_parse(const char *url, struct shared_url *out,
                             struct sl_error *error) SL_MUST_CHECK;

#endif
