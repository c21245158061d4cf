/* SPDX-License-Identifier: Apache-2.0
 *
 * The helper of mock_cloud_support.h. Uses libcurl for the admin calls, as any test program would.
 */
#include "mock_cloud_support.h"

#include "sluice/buf.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 24

static void fail(const char *what)
{
    perror(what);
    abort();
}

static void run_child(const struct mock_cloud *cloud, const char *listen_at,
                      const char *const *arguments, int out_fd)
{
    const char *argv[ARGUMENTS_MAX] = {SLUICE_MOCK_CLOUD, "--listen", listen_at,         "--ca-out",
                                       cloud->ca_file,    "--record", cloud->record_file};
    size_t count = 7;
    for (size_t i = 0; arguments != NULL && arguments[i] != NULL && count < ARGUMENTS_MAX - 1; i++)
        argv[count++] = arguments[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out_fd, STDOUT_FILENO);
    execv(SLUICE_MOCK_CLOUD, (char *const *)argv);
    _exit(127);
}

static void read_announcement(struct mock_cloud *cloud, int fd)
{
    char line[160];
    FILE *out = fdopen(fd, "r");
    if (out == NULL)
        fail("fdopen");
    while (cloud->port == 0 && fgets(line, sizeof line, out) != NULL) {
        if (sscanf(line, "pin %79s", cloud->pin) != 1)
            sscanf(line, "listening %u", &cloud->port);
    }
    fclose(out);
    if (cloud->port == 0) {
        fprintf(stderr, "%s did not start\n", SLUICE_MOCK_CLOUD);
        abort();
    }
}

static void spawn(struct mock_cloud *cloud, const char *listen_at, const char *const *arguments)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        fail("pipe");
    cloud->port = 0;
    cloud->pid = fork();
    if (cloud->pid < 0)
        fail("fork");
    if (cloud->pid == 0)
        run_child(cloud, listen_at, arguments, pipe_fds[1]);
    close(pipe_fds[1]);
    read_announcement(cloud, pipe_fds[0]);
}

void mock_cloud_start(struct mock_cloud *cloud, const char *const *arguments)
{
    memset(cloud, 0, sizeof *cloud);
    snprintf(cloud->folder, sizeof cloud->folder, "/tmp/sluice-mock-XXXXXX");
    if (mkdtemp(cloud->folder) == NULL)
        fail("mkdtemp");
    snprintf(cloud->ca_file, sizeof cloud->ca_file, "%s/ca.pem", cloud->folder);
    snprintf(cloud->record_file, sizeof cloud->record_file, "%s/record", cloud->folder);
    spawn(cloud, "127.0.0.1:0", arguments);
    bool is_plain = cloud->pin[0] == '\0';
    snprintf(cloud->base_url, sizeof cloud->base_url, "http%s://127.0.0.1:%u/v1",
             is_plain ? "" : "s", cloud->port);
}

void mock_cloud_restart(struct mock_cloud *cloud)
{
    char listen_at[32];
    snprintf(listen_at, sizeof listen_at, "127.0.0.1:%u", cloud->port);
    spawn(cloud, listen_at, NULL);
}

void mock_cloud_kill(struct mock_cloud *cloud)
{
    if (cloud->pid <= 0)
        return;
    kill(cloud->pid, SIGKILL);
    waitpid(cloud->pid, NULL, 0);
    cloud->pid = 0;
}

void mock_cloud_stop(struct mock_cloud *cloud)
{
    mock_cloud_kill(cloud);
    if (cloud->folder[0] == '\0')
        return;
    unlink(cloud->ca_file);
    unlink(cloud->record_file);
    rmdir(cloud->folder);
    cloud->folder[0] = '\0';
}

/* ---- Admin calls ---- */

static size_t on_write(char *data, size_t size, size_t count, void *ctx)
{
    return sl_buf_append(ctx, data, size * count) == SL_OK ? size * count : 0;
}

/* `body` NULL: GET. The caller clears *out. */
static void admin_call(const struct mock_cloud *cloud, const char *path, const char *body,
                       struct sl_buf *out)
{
    char url[128];
    CURL *easy = curl_easy_init();
    size_t root_len = strlen(cloud->base_url) - strlen("/v1");
    snprintf(url, sizeof url, "%.*s%s", (int)root_len, cloud->base_url, path);
    sl_buf_init(out, 256u << 20);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_CAINFO, cloud->ca_file);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, out);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (body != NULL)
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_cleanup(easy);
    if (code != CURLE_OK) {
        fprintf(stderr, "mock cloud: %s: %s\n", path, curl_easy_strerror(code));
        abort();
    }
}

json_t *mock_cloud_requests(const struct mock_cloud *cloud)
{
    struct sl_buf out;
    admin_call(cloud, "/mock/requests", NULL, &out);
    json_t *log = json_loadb(out.data, out.len, 0, NULL);
    sl_buf_clear(&out);
    if (log == NULL)
        abort();
    return log;
}

size_t mock_cloud_count(const struct mock_cloud *cloud, const char *model)
{
    json_t *log = mock_cloud_requests(cloud);
    json_t *requests = json_object_get(log, "requests");
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(requests); i++) {
        const char *is = json_string_value(json_object_get(json_array_get(requests, i), "model"));
        count += model == NULL || (is != NULL && strcmp(is, model) == 0);
    }
    json_decref(log);
    return count;
}

void mock_cloud_fault(const struct mock_cloud *cloud, const char *model, const char *as, int times)
{
    struct sl_buf out;
    json_t *fault = json_pack("{s:s,s:s}", "model", model, "as", as);
    if (times >= 0)
        json_object_set_new(fault, "times", json_integer(times));
    char *text = json_dumps(fault, JSON_COMPACT);
    admin_call(cloud, "/mock/fault", text, &out);
    bool is_set = out.len > 0 && strstr(out.data, "true") != NULL;
    sl_buf_clear(&out);
    free(text);
    json_decref(fault);
    if (!is_set) {
        fprintf(stderr, "mock cloud: no such scenario: %s\n", as);
        abort();
    }
}

void mock_cloud_reset(const struct mock_cloud *cloud)
{
    struct sl_buf out;
    admin_call(cloud, "/mock/reset", "{}", &out);
    sl_buf_clear(&out);
}
