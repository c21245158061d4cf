/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice serve`: starts the gateway, says so, and waits for signals. SIGTERM and SIGINT drain and
 * stop (a second one stops at once), SIGHUP reads files again. Signals are blocked in every thread
 * and taken here by sigwait, so no handler runs anywhere.
 */
#include "commands.h"

#include "notify.h"
#include "sluice/gateway.h"
#include "sluice/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN); /* a client that left is an error of write(), not of the process */
}

/* Ends the process when a second signal asks to, while the first one's drain runs. */
static void *watch_second_signal(void *arg)
{
    const sigset_t *signals = arg;
    int number;
    do {
        if (sigwait(signals, &number) != 0)
            return NULL;
    } while (number == SIGHUP);
    SL_LOG_WARN("serve", "stopped at once by a second signal");
    _exit(SL_EXIT_FAILED);
}

int sl_command_serve(struct sl_command_call *call)
{
    struct sl_error error = {0};
    struct sl_gateway *gateway;
    sigset_t signals;
    if (call->arguments.word_count > 0)
        return sl_commands_misuse("serve takes no words, found \"%.40s\"",
                                 call->arguments.words[0]);
    block_signals(&signals);
    if (sl_gateway_start(call->options, &gateway, &error) != SL_OK)
        return sl_commands_fail(&error);
    fprintf(stderr, "ready %s\n", sl_gateway_url(gateway));
    sl_notify("READY=1");
    int number = 0;
    while (sigwait(&signals, &number) == 0 && number == SIGHUP) {
        sl_notify("RELOADING=1");
        sl_gateway_reload(gateway);
        sl_notify("READY=1");
    }
    SL_LOG_INFO("serve", "stopping: no new connections, running requests get %llu s",
                (unsigned long long)call->options->drain_seconds);
    sl_notify("STOPPING=1");
    pthread_t second;
    bool has_second = pthread_create(&second, NULL, watch_second_signal, &signals) == 0;
    sl_gateway_stop(gateway);
    if (has_second) {
        pthread_cancel(second);
        pthread_join(second, NULL);
    }
    return SL_EXIT_FINE;
}
