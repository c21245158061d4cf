/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice certs init [NAME…]`: a local authority and a certificate for this box.
 */
#include "commands.h"

#include "certs.h"
#include "sluice/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int sl_command_certs_init(struct sl_command_call *call)
{
    struct sl_error error = {0};
    char folder[512], certs[600], host[128] = "localhost";
    struct sl_certs_request request = {.now_s = sl_wall_seconds()};
    const char *out = sl_commands_flag(call, "out");
    if (out == NULL) {
        if (sl_options_data_dir(call->options, folder, sizeof folder, &error) != SL_OK)
            return sl_commands_fail(&error);
        snprintf(certs, sizeof certs, "%s/certs", folder);
    } else {
        snprintf(certs, sizeof certs, "%s", out);
    }
    if (mkdir(certs, 0700) != 0 && errno != EEXIST) {
        fprintf(stderr, "sluice: %s: %s\n", certs, strerror(errno));
        return SL_EXIT_FAILED;
    }
    request.folder = certs;
    for (size_t i = 0; i < call->arguments.word_count && i < SL_CERT_NAMES_MAX; i++)
        request.names[request.name_count++] = call->arguments.words[i];
    if (request.name_count == 0) { /* what this box is called anyway */
        if (gethostname(host, sizeof host - 1) == 0 && host[0] != '\0')
            request.names[request.name_count++] = host;
        request.names[request.name_count++] = "localhost";
        request.names[request.name_count++] = "127.0.0.1";
        request.names[request.name_count++] = "::1";
    }
    if (sl_certs_init(&request, &error) != SL_OK)
        return sl_commands_fail(&error);
    if (call->arguments.wants_json)
        printf("{\"ca\":\"%s/ca.pem\",\"cert\":\"%s/server.pem\",\"key\":\"%s/server.key\"}\n",
               certs, certs, certs);
    else
        printf("%s/ca.pem      give this one to clients\n"
               "%s/ca.key      keep this one secret: it can make certificates for any name\n"
               "%s/server.pem  --tls-cert\n"
               "%s/server.key  --tls-key\n",
               certs, certs, certs, certs);
    return SL_EXIT_FINE;
}
