/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2: many streams over one connection, through an nginx in front of the simulator (which
 * speaks HTTP/1.1 only). Skipped where there is no nginx. Also a proxy that must be tunnelled
 * through: a few lines of CONNECT.
 */
#include "cloud_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define STREAMS 40

static struct {
    char folder[128];
    char base_url[64];
    pid_t pid;
} nginx;

static unsigned free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static const char *find_nginx(void)
{
    static const char *const paths[] = {"/usr/sbin/nginx", "/usr/local/sbin/nginx"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    sl_test_skip("no nginx on this machine");
}

static void write_configuration(unsigned port)
{
    char path[192];
    snprintf(path, sizeof path, "%s/nginx.conf", nginx.folder);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file,
            "daemon off; master_process off; pid %s/pid; error_log %s/error.log;\n"
            "events { worker_connections 1024; }\n"
            "http { log_format one '$connection $server_protocol $status';\n"
            "access_log %s/access.log one;\n"
            "client_body_temp_path %s/a; proxy_temp_path %s/b; fastcgi_temp_path %s/c;\n"
            "uwsgi_temp_path %s/d; scgi_temp_path %s/e;\n"
            "server { listen 127.0.0.1:%u ssl http2;\n"
            "ssl_certificate %s/cert.pem; ssl_certificate_key %s/key.pem;\n"
            "location / { proxy_pass https://127.0.0.1:%u; proxy_buffering off;\n"
            "proxy_http_version 1.1; proxy_set_header Connection ''; } } }\n",
            nginx.folder, nginx.folder, nginx.folder, nginx.folder, nginx.folder, nginx.folder,
            nginx.folder, nginx.folder, port, nginx.folder, nginx.folder, fixture.mock.port);
    fclose(file);
}

static void wait_for_port(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint64_t until_ms = sl_monotonic_ms() + 5000;
    int connected = -1;
    while (connected != 0) {
        ck_assert_msg(sl_monotonic_ms() < until_ms, "nginx did not start");
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        connected = connect(fd, (struct sockaddr *)&address, sizeof address);
        close(fd);
        poll(NULL, 0, connected == 0 ? 0 : 10);
    }
}

static void start_nginx(const char *program)
{
    unsigned port = free_port();
    write_configuration(port);
    nginx.pid = fork();
    if (nginx.pid == 0) {
        char path[192];
        snprintf(path, sizeof path, "%s/nginx.conf", nginx.folder);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        freopen("/dev/null", "w", stderr);
        execl(program, program, "-p", nginx.folder, "-c", path, (char *)NULL);
        _exit(127);
    }
    wait_for_port(port);
    snprintf(nginx.base_url, sizeof nginx.base_url, "https://127.0.0.1:%u/v1", port);
}

static void setup(void)
{
    const char *program = find_nginx();
    char cert[192], key[192];
    snprintf(nginx.folder, sizeof nginx.folder, "%s", sl_test_scratch());
    snprintf(cert, sizeof cert, "%s/cert.pem", nginx.folder);
    snprintf(key, sizeof key, "%s/key.pem", nginx.folder);
    fixture_start_with((const char *const[]){"--cert-out", cert, "--key-out", key, NULL});
    start_nginx(program);
    fixture.primary.base_url = nginx.base_url;
    fixture.primary.first_token_timeout_ms = fixture.primary.idle_timeout_ms = 10000;
    fixture.target_count = 1;
}

static void teardown(void)
{
    kill(nginx.pid, SIGKILL);
    waitpid(nginx.pid, NULL, 0);
    fixture_stop();
}

static enum sl_err count_text(void *ctx, const struct sl_delta *delta)
{
    *(size_t *)ctx += delta->kind == SL_DELTA_TEXT ? delta->text.len : 0;
    return SL_OK;
}

static size_t whole_len; /* set before the threads start */

static void *stream_words(void *ctx)
{
    bool *is_whole = ctx;
    size_t len = 0;
    struct sl_error error = {0};
    struct sl_cloud_result result;
    struct sl_cloud_target target = {.provider = &fixture.primary,
                                     .model = "mock-words-60+token-5ms"};
    struct sl_scrubbed *scrubbed = sl_scrubbed_create(
        json_pack("{s:[{s:s,s:s}]}", "messages", "role", "user", "content", "x"));
    struct sl_cloud_call call = {.body = scrubbed,
                                 .targets = &target,
                                 .target_count = 1,
                                 .is_streaming = true,
                                 .sink = count_text,
                                 .sink_ctx = &len,
                                 .deadline_ms = sl_monotonic_ms() + 20000};
    *is_whole = sl_cloud_call(fixture.cloud, &call, &result, &error) == SL_OK && len == whole_len;
    sl_cloud_result_clear(&result);
    sl_scrubbed_release(scrubbed);
    return NULL;
}

/* Distinct connections among the lines "connection protocol status" of the access log. */
static size_t read_log(size_t *lines, size_t *http2_lines)
{
    char path[192], protocol[32];
    unsigned long seen[256], connection;
    size_t count = 0;
    *lines = *http2_lines = 0;
    snprintf(path, sizeof path, "%s/access.log", nginx.folder);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fscanf(file, "%lu %31s %*d", &connection, protocol) == 2) {
        ++*lines;
        *http2_lines += strcmp(protocol, "HTTP/2.0") == 0;
        size_t i = 0;
        while (i < count && seen[i] != connection)
            i++;
        if (i == count && count < 256)
            seen[count++] = connection;
    }
    fclose(file);
    return count;
}

/* nginx writes a line a moment after the client has the answer. */
static size_t count_connections(size_t expected_lines, size_t *http2_lines)
{
    size_t lines;
    uint64_t until_ms = sl_monotonic_ms() + 2000;
    size_t connections = read_log(&lines, http2_lines);
    while (lines < expected_lines && sl_monotonic_ms() < until_ms) {
        poll(NULL, 0, 5);
        connections = read_log(&lines, http2_lines);
    }
    ck_assert_uint_eq(lines, expected_lines);
    return connections;
}

START_TEST(many_streams_share_one_http2_connection)
{
    pthread_t threads[STREAMS];
    bool is_whole[STREAMS] = {false};
    size_t http2_lines;
    whole_len = strlen(words(60));
    for (size_t i = 0; i < STREAMS; i++)
        pthread_create(&threads[i], NULL, stream_words, &is_whole[i]);
    for (size_t i = 0; i < STREAMS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(is_whole[i]);
    }
    size_t connections = count_connections(STREAMS, &http2_lines);
    ck_assert_uint_eq(http2_lines, STREAMS);
    ck_assert_uint_le(connections, 2);
}
END_TEST

START_TEST(a_cancelled_stream_leaves_its_connection_to_the_others)
{
    size_t http2_lines;
    fixture.asking = ASK_STREAMED;
    fixture.cancel_after_deltas = 5;
    ck_assert_int_eq(ask("mock-words-60+token-20ms"), SL_ERR_CANCELLED);
    fixture.cancel_after_deltas = 0;
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
    ck_assert_uint_eq(count_connections(3, &http2_lines), 1);
}
END_TEST

START_TEST(faults_are_seen_through_http2_too)
{
    fixture.target_count = 2;
    fixture.asking = (enum asking)_i;
    check_served(ask("mock-503"), "backup", words(60));
    check_served(ask("mock-500-once"), "primary", "the quick brown fox");
    fixture.stream_hold_tokens = SIZE_MAX;
    check_served(ask("mock-cut-40"), "backup", words(60));
    ck_assert_int_eq(outcome(0), SL_CLOUD_TRUNCATED);
}
END_TEST

START_TEST(http2_can_be_turned_off)
{
    size_t http2_lines;
    fixture.primary.http2 = false;
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
    count_connections(1, &http2_lines);
    ck_assert_uint_eq(http2_lines, 0);
}
END_TEST

/* ---- A proxy: one tunnel, one thread ---- */

struct tunnel {
    int listener;
    unsigned port;
    pthread_t thread;
    char request[512];
};

static void pump(int from, int to)
{
    struct pollfd fds[2] = {{.fd = from, .events = POLLIN}, {.fd = to, .events = POLLIN}};
    char bytes[16384];
    while (poll(fds, 2, 5000) > 0)
        for (int i = 0; i < 2; i++) {
            if (fds[i].revents == 0)
                continue;
            ssize_t len = read(fds[i].fd, bytes, sizeof bytes);
            if (len <= 0 || write(fds[1 - i].fd, bytes, (size_t)len) != len)
                return;
        }
}

static void *run_tunnel(void *ctx)
{
    struct tunnel *tunnel = ctx;
    int client = accept(tunnel->listener, NULL, NULL);
    ssize_t len = read(client, tunnel->request, sizeof tunnel->request - 1);
    tunnel->request[len > 0 ? len : 0] = '\0';
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)fixture.mock.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int server = socket(AF_INET, SOCK_STREAM, 0);
    static const char ready[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    if (connect(server, (struct sockaddr *)&address, sizeof address) == 0 &&
        write(client, ready, sizeof ready - 1) > 0)
        pump(client, server);
    close(server);
    close(client);
    return NULL;
}

START_TEST(a_proxy_is_tunnelled_through_and_sees_no_text)
{
    struct tunnel tunnel = {.listener = socket(AF_INET, SOCK_STREAM, 0)};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_len = sizeof address;
    char proxy[64];
    ck_assert_int_eq(bind(tunnel.listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(tunnel.listener, 4), 0);
    getsockname(tunnel.listener, (struct sockaddr *)&address, &address_len);
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", ntohs(address.sin_port));
    pthread_create(&tunnel.thread, NULL, run_tunnel, &tunnel);
    fixture.primary.proxy = proxy;
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
    sl_cloud_free(fixture.cloud); /* closes the connection, which ends the tunnel */
    fixture.cloud = NULL;
    pthread_join(tunnel.thread, NULL);
    close(tunnel.listener);
    ck_assert_int_eq(strncmp(tunnel.request, "CONNECT 127.0.0.1:", 18), 0);
    ck_assert_ptr_null(strstr(tunnel.request, "sk-mock"));
}
END_TEST

START_TEST(the_environment_names_no_proxy)
{
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    check_served(ask("mock-echo"), "primary", "the quick brown fox");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cloud http2");
    TCase *tcase = tcase_create("http2");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, many_streams_share_one_http2_connection);
    tcase_add_test(tcase, a_cancelled_stream_leaves_its_connection_to_the_others);
    tcase_add_loop_test(tcase, faults_are_seen_through_http2_too, 0, ASKING_COUNT);
    tcase_add_test(tcase, http2_can_be_turned_off);
    suite_add_tcase(suite, tcase);
    TCase *proxy = tcase_create("proxy");
    tcase_add_checked_fixture(proxy, fixture_start, fixture_stop);
    tcase_add_test(proxy, a_proxy_is_tunnelled_through_and_sees_no_text);
    tcase_add_test(proxy, the_environment_names_no_proxy);
    suite_add_tcase(suite, proxy);
    return sl_test_main(suite);
}
