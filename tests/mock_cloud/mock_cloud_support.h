/* SPDX-License-Identifier: Apache-2.0
 *
 * Starts the cloud simulator as a child of a test or benchmark and talks to its admin calls.
 *
 *     struct mock_cloud cloud;
 *     mock_cloud_start(&cloud, NULL);              // or an argument list, NULL-terminated
 *     ... cloud.base_url, cloud.ca_file ...
 *     mock_cloud_stop(&cloud);
 *
 * Failures end the program with a message. The child dies with its parent, however that ends.
 */
#ifndef MOCK_CLOUD_SUPPORT_H
#define MOCK_CLOUD_SUPPORT_H

#include <jansson.h>
#include <sys/types.h>

struct mock_cloud {
    pid_t pid;
    unsigned port;
    char folder[64];   /* removed at stop */
    char base_url[64]; /* https://127.0.0.1:PORT/v1 */
    char ca_file[96];
    char record_file[96]; /* every byte it received */
    char pin[80];         /* of its key, as curl writes pins; "" with --plain or --cert */
};

void mock_cloud_start(struct mock_cloud *cloud, const char *const *arguments);
/* Starts it again on the port it had: a provider that comes back. The certificates are new. */
void mock_cloud_restart(struct mock_cloud *cloud);
void mock_cloud_kill(struct mock_cloud *cloud); /* the provider is down; the files stay */
void mock_cloud_stop(struct mock_cloud *cloud); /* NULL pid is fine */

/* GET /mock/requests; the caller owns it. */
json_t *mock_cloud_requests(const struct mock_cloud *cloud);
/* How many requests named this model; NULL: all. */
size_t mock_cloud_count(const struct mock_cloud *cloud, const char *model);
/* POST /mock/fault: requests for `model` ("*": all) are treated as `as`; times < 0: for ever. */
void mock_cloud_fault(const struct mock_cloud *cloud, const char *model, const char *as, int times);
void mock_cloud_reset(const struct mock_cloud *cloud);

#endif
