/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole gateway on a free port, without a model and without a cloud, asked over real sockets.
 */
#include "certs.h"
#include "options.h"
#include "sluice/clock.h"
#include "sluice/gateway.h"

#include "test_support.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct sl_gateway *gateway;
static struct sl_error error;
static const char *folder; /* of the running test */

struct reply {
    long status;
    char head[8192];
    char body[65536];
};

static void append(char *into, size_t size, const char *data, size_t len)
{
    size_t used = strlen(into);
    if (used + len < size) {
        memcpy(into + used, data, len);
        into[used + len] = '\0';
    }
}

static size_t take_head(char *data, size_t size, size_t count, void *ctx)
{
    append(((struct reply *)ctx)->head, sizeof((struct reply *)ctx)->head, data, size * count);
    return size * count;
}

static size_t take_body(char *data, size_t size, size_t count, void *ctx)
{
    append(((struct reply *)ctx)->body, sizeof((struct reply *)ctx)->body, data, size * count);
    return size * count;
}

/* Starts with `pairs` of option and value, ended by NULL. */
static void start(const char *const *pairs)
{
    struct sl_options options;
    sl_options_init(&options);
    ck_assert_int_eq(sl_options_set(&options, "listen", "127.0.0.1:0", &error), SL_OK);
    ck_assert_int_eq(sl_options_set(&options, "cloud", "false", &error), SL_OK);
    ck_assert_int_eq(sl_options_set(&options, "access_log", "off", &error), SL_OK);
    ck_assert_int_eq(sl_options_set(&options, "data_dir", folder, &error), SL_OK);
    for (; *pairs != NULL; pairs += 2)
        ck_assert_msg(sl_options_set(&options, pairs[0], pairs[1], &error) == SL_OK, "%s",
                      error.message);
    ck_assert_msg(sl_gateway_start(&options, &gateway, &error) == SL_OK, "%s", error.message);
    sl_options_clear(&options);
}

static const char *const plain[] = {NULL};

static void setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    folder = sl_test_scratch();
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void teardown(void)
{
    sl_gateway_stop(gateway);
    gateway = NULL;
    curl_global_cleanup();
}

/* `headers`: lines separated by "|", or NULL. `body` NULL: no body. */
static struct reply *ask(const char *method, const char *path, const char *headers,
                         const char *body)
{
    static struct reply reply;
    char url[256], lines[1024] = "", *rest = lines;
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    memset(&reply, 0, sizeof reply);
    snprintf(url, sizeof url, "%s%s", sl_gateway_url(gateway), path);
    snprintf(lines, sizeof lines, "%s", headers != NULL ? headers : "");
    for (char *line; (line = strsep(&rest, "|")) != NULL;)
        if (line[0] != '\0')
            list = curl_slist_append(list, line);
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_NOBODY, (long)(strcmp(method, "HEAD") == 0));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    if (body != NULL)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_head);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &reply);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply);
    CURLcode code = curl_easy_perform(curl);
    ck_assert_msg(code == CURLE_OK, "%s", curl_easy_strerror(code));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);
    return &reply;
}

#define JSON "content-type: application/json"
#define CHAT "/v1/chat/completions"
#define HI "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"

static const char *error_code(const struct reply *reply, char out[64])
{
    json_t *root = json_loads(reply->body, 0, NULL);
    const char *code = json_string_value(json_object_get(json_object_get(root, "error"), "code"));
    snprintf(out, 64, "%s", code != NULL ? code : "?");
    json_decref(root);
    return out;
}

/* A raw connection, for what libcurl would not send. */
static int connect_raw(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_port = htons((uint16_t)atoi(strrchr(sl_gateway_url(gateway), ':') + 1));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_raw(int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* The status of the answer, or 0 where the connection was closed without one. */
static int read_status(int fd)
{
    char line[64] = "";
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ck_assert_int_eq(poll(&ready, 1, 10000), 1);
    ssize_t len = recv(fd, line, sizeof line - 1, 0);
    return len > 12 ? atoi(line + 9) : 0;
}

/* ---- paths, methods, types ---- */

START_TEST(health_ready_and_models_answer_without_a_model)
{
    char code[64];
    start(plain);
    ck_assert_int_eq(ask("GET", "/health", NULL, NULL)->status, 200);
    ck_assert_int_eq(ask("GET", "/ready", NULL, NULL)->status, 503);
    ck_assert_int_eq(ask("HEAD", "/health", NULL, NULL)->status, 200);
    struct reply *models = ask("GET", "/v1/models", NULL, NULL);
    ck_assert_int_eq(models->status, 200);
    ck_assert_ptr_nonnull(strstr(models->body, "\"id\":\"auto\""));
    ck_assert_int_eq(ask("GET", "/v1/models/auto", NULL, NULL)->status, 200);
    struct reply *unknown = ask("GET", "/v1/models/none", NULL, NULL);
    ck_assert_int_eq(unknown->status, 404);
    ck_assert_str_eq(error_code(unknown, code), "model_not_found");
}
END_TEST

START_TEST(what_does_not_exist_is_said_as_json_with_the_right_status)
{
    char code[64];
    start(plain);
    struct reply *reply = ask("POST", "/v1/nothing", JSON, "{}");
    ck_assert_int_eq(reply->status, 404);
    ck_assert_str_eq(error_code(reply, code), "not_found");
    ck_assert_ptr_nonnull(strcasestr(reply->head, "x-request-id: req_"));
    reply = ask("GET", CHAT, NULL, NULL);
    ck_assert_int_eq(reply->status, 405);
    ck_assert_ptr_nonnull(strcasestr(reply->head, "allow: POST, OPTIONS"));
    ck_assert_int_eq(ask("OPTIONS", CHAT, NULL, NULL)->status, 204);
    ck_assert_int_eq(ask("POST", CHAT, "content-type: text/plain", HI)->status, 415);
    ck_assert_int_eq(ask("POST", CHAT, "content-type: application/jsonx", HI)->status, 415);
    reply = ask("POST", CHAT, "content-type: application/json; charset=utf-8", "{");
    ck_assert_int_eq(reply->status, 400);
    ck_assert_str_eq(error_code(reply, code), "invalid_json");
}
END_TEST

START_TEST(a_request_id_is_echoed_when_it_is_harmless)
{
    start(plain);
    ck_assert_ptr_nonnull(
        strcasestr(ask("GET", "/health", "x-request-id: abc-1", NULL)->head, "x-request-id: abc-1"));
    ck_assert_ptr_null(
        strcasestr(ask("GET", "/health", "x-request-id: a b", NULL)->head, "x-request-id: a b"));
    ck_assert_ptr_nonnull(
        strcasestr(ask("POST", CHAT, JSON "|x-request-id: abc-2", HI)->head, "x-request-id: abc-2"));
}
END_TEST

START_TEST(no_side_that_can_answer_is_a_503_that_says_when_to_try_again)
{
    char code[64];
    start(plain);
    struct reply *reply = ask("POST", CHAT, JSON, HI);
    ck_assert_int_eq(reply->status, 503);
    ck_assert_str_eq(error_code(reply, code), "route_unavailable");
    ck_assert_ptr_nonnull(strcasestr(reply->head, "retry-after: "));
    ck_assert_ptr_nonnull(strcasestr(reply->head, "retry-after-ms: "));
    ck_assert_ptr_nonnull(strcasestr(reply->head, "x-sluice-reason: "));
    reply = ask("POST", CHAT, JSON, "{\"model\":\"nobody\"," "\"messages\":[{\"role\":\"user\","
                                    "\"content\":\"hi\"}]}");
    ck_assert_int_eq(reply->status, 404);
    ck_assert_str_eq(error_code(reply, code), "model_not_found");
}
END_TEST

/* ---- limits ---- */

START_TEST(a_body_over_the_cap_is_refused_by_its_length_and_by_counting)
{
    char code[64];
    start((const char *const[]){"body_bytes_max", "2K", NULL});
    char *body = calloc(1, 4001);
    memset(body, ' ', 4000);
    struct reply *reply = ask("POST", CHAT, JSON, body);
    ck_assert_int_eq(reply->status, 413);
    ck_assert_str_eq(error_code(reply, code), "request_too_large");
    reply = ask("POST", CHAT, JSON "|transfer-encoding: chunked", body);
    ck_assert_int_eq(reply->status, 413);
    body[2000] = '\0';
    ck_assert_int_eq(ask("POST", CHAT, JSON, body)->status, 400);
    ck_assert_int_eq(ask("POST", CHAT, JSON "|transfer-encoding: chunked", body)->status, 400);
    free(body);
}
END_TEST

START_TEST(ambiguous_framing_is_refused)
{
    static const char *const requests[] = {
        "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
        "Content-Length: 3\r\n\r\n{}x",
        "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: -2\r\n\r\n{}",
        "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x2\r\n\r\n{}",
        "POST " CHAT " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        "GET /health HTTP/1.1\r\n\r\n",
    };
    start(plain);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        int fd = connect_raw();
        send_raw(fd, requests[i]);
        int status = read_status(fd);
        ck_assert_msg(status == 400 || status == 0, "request %zu: %d", i, status);
        close(fd);
    }
    ck_assert_int_eq(ask("GET", "/health", NULL, NULL)->status, 200);
}
END_TEST

START_TEST(a_client_that_trickles_its_head_is_cut_off)
{
    start((const char *const[]){"header_seconds", "1", NULL});
    int fd = connect_raw();
    uint64_t begun_ms = sl_monotonic_ms();
    send_raw(fd, "GET /health HTTP/1.1\r\nHost: localhost\r\n");
    struct pollfd gone = {.fd = fd, .events = POLLIN};
    while (poll(&gone, 1, 100) == 0 && sl_monotonic_ms() - begun_ms < 10000)
        send(fd, "X: y\r\n", 6, MSG_NOSIGNAL); /* never silent for long */
    ck_assert_uint_lt(sl_monotonic_ms() - begun_ms, 5000);
    ck_assert_int_eq(read_status(fd), 0);
    close(fd);
}
END_TEST

/* ---- who may ask ---- */

START_TEST(an_address_that_demands_keys_takes_only_the_key)
{
    char code[64], header[128], key[64] = "";
    FILE *printed = tmpfile();
    int saved = dup(STDERR_FILENO);
    fflush(stderr);
    dup2(fileno(printed), STDERR_FILENO);
    start((const char *const[]){"require_keys", "true", NULL});
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(printed);
    for (char line[256]; fgets(line, sizeof line, printed) != NULL;)
        sscanf(line, " sk-sluice-%40s", key);
    fclose(printed);
    ck_assert_uint_eq(strlen(key), 32);
    struct reply *reply = ask("POST", CHAT, JSON, HI);
    ck_assert_int_eq(reply->status, 401);
    ck_assert_str_eq(error_code(reply, code), "invalid_api_key");
    ck_assert_ptr_nonnull(strcasestr(reply->head, "www-authenticate: Bearer"));
    ck_assert_int_eq(ask("POST", CHAT, JSON "|authorization: Bearer sk-sluice-no", HI)->status,
                     401);
    snprintf(header, sizeof header, JSON "|authorization: Bearer sk-sluice-%s", key);
    ck_assert_int_eq(ask("POST", CHAT, header, HI)->status, 503);
    snprintf(header, sizeof header, JSON "|x-api-key: sk-sluice-%s", key);
    ck_assert_int_eq(ask("POST", CHAT, header, HI)->status, 503);
    ck_assert_int_eq(ask("GET", "/v1/models", NULL, NULL)->status, 401);
    ck_assert_int_eq(ask("GET", "/health", NULL, NULL)->status, 200);
}
END_TEST

START_TEST(without_keys_web_pages_and_proxied_strangers_are_turned_away)
{
    start(plain);
    ck_assert_int_eq(ask("POST", CHAT, JSON "|origin: https://evil.example", HI)->status, 403);
    ck_assert_int_eq(ask("POST", CHAT, JSON "|host: evil.example", HI)->status, 403);
    ck_assert_int_eq(ask("POST", CHAT, JSON "|host: 127.0.0.1.evil.example", HI)->status, 403);
    ck_assert_int_eq(ask("POST", CHAT, JSON "|x-forwarded-for: 203.0.113.9", HI)->status, 401);
    ck_assert_int_eq(ask("POST", CHAT, JSON "|origin: http://localhost:3000", HI)->status, 503);
}
END_TEST

START_TEST(the_admin_calls_need_a_token_and_are_off_without_one)
{
    char path[512];
    start(plain);
    ck_assert_int_eq(ask("GET", "/admin/v1/status", NULL, NULL)->status, 403);
    sl_gateway_stop(gateway);
    snprintf(path, sizeof path, "%s/token", folder);
    FILE *file = fopen(path, "w");
    fputs("let-me-in\n", file);
    fclose(file);
    chmod(path, 0600);
    start((const char *const[]){"admin_token_file", path, NULL});
    ck_assert_int_eq(ask("GET", "/admin/v1/status", NULL, NULL)->status, 401);
    ck_assert_int_eq(ask("GET", "/admin/v1/status", "authorization: Bearer let-me", NULL)->status,
                     401);
    const char *token = JSON "|authorization: Bearer let-me-in";
    struct reply *reply = ask("GET", "/admin/v1/status", token, NULL);
    ck_assert_int_eq(reply->status, 200);
    ck_assert_ptr_nonnull(strstr(reply->body, "\"inflight\""));
    reply = ask("POST", "/admin/v1/route:explain", token, HI);
    ck_assert_int_eq(reply->status, 200);
    ck_assert_ptr_nonnull(strstr(reply->body, "\"reason\""));
    ck_assert_int_eq(ask("POST", "/admin/v1/cache:purge", token, "{}")->status, 400);
    ck_assert_int_eq(ask("POST", "/admin/v1/cache:purge", token, "{\"everything\":true}")->status,
                     200);
}
END_TEST

START_TEST(a_rate_limit_is_a_429_with_its_headers)
{
    char path[512], code[64];
    start(plain);
    sl_gateway_stop(gateway);
    snprintf(path, sizeof path, "%s/keys.json", folder);
    FILE *file = fopen(path, "w");
    /* SHA-256 of "k" */
    fputs("{\"keys\":[{\"id\":\"k1\",\"name\":\"app\",\"requests_per_minute\":1,\"sha256\":"
          "\"8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a\"}]}",
          file);
    fclose(file);
    chmod(path, 0600);
    start(plain);
    const char *headers = JSON "|authorization: Bearer k";
    struct reply *reply = ask("POST", CHAT, headers, HI);
    ck_assert_int_eq(reply->status, 503);
    ck_assert_ptr_nonnull(strcasestr(reply->head, "x-ratelimit-remaining-requests: 0"));
    reply = ask("POST", CHAT, headers, HI);
    ck_assert_int_eq(reply->status, 429);
    ck_assert_str_eq(error_code(reply, code), "rate_limit_exceeded");
    ck_assert_ptr_nonnull(strcasestr(reply->head, "retry-after: "));
    ck_assert_ptr_nonnull(strcasestr(reply->head, "x-ratelimit-limit-requests: 1"));
}
END_TEST

/* ---- life ---- */

START_TEST(metrics_count_requests_by_outcome)
{
    start(plain);
    ask("POST", CHAT, JSON, "{");
    /* A request is counted at its death, which is a moment after its client has the answer. */
    static const char counted[] = "sluice_requests_total{api=\"openai\",route=\"none\",reason=\"\","
                                  "status=\"400\"} ";
    uint64_t deadline_ms = sl_monotonic_ms() + 10000;
    struct reply *reply;
    do
        reply = ask("GET", "/metrics", NULL, NULL);
    while (strstr(reply->body, counted) == NULL && sl_monotonic_ms() < deadline_ms);
    ck_assert_int_eq(reply->status, 200);
    ck_assert_ptr_nonnull(strstr(reply->body, counted));
    ck_assert_ptr_nonnull(strstr(reply->body, "process_resident_memory_bytes "));
    ck_assert_ptr_nonnull(strstr(reply->body, "sluice_build_info{version="));
}
END_TEST

START_TEST(https_is_served_with_a_certificate_of_our_own_making)
{
    char cert[512], key[512];
    struct stat stamp;
    struct sl_certs_request request = {.folder = folder,
                                       .names = {"localhost", "127.0.0.1", "::1"},
                                       .name_count = 3,
                                       .now_s = sl_wall_seconds()};
    ck_assert_msg(sl_certs_init(&request, &error) == SL_OK, "%s", error.message);
    snprintf(cert, sizeof cert, "%s/server.pem", request.folder);
    snprintf(key, sizeof key, "%s/server.key", request.folder);
    ck_assert_int_eq(stat(key, &stamp), 0);
    ck_assert_uint_eq(stamp.st_mode & 0777, 0600);
    start((const char *const[]){"tls_cert", cert, "tls_key", key, NULL});
    ck_assert_int_eq(strncmp(sl_gateway_url(gateway), "https://", 8), 0);
    char url[256], ca[512];
    snprintf(ca, sizeof ca, "%s/ca.pem", request.folder);
    snprintf(url, sizeof url, "%s/health", sl_gateway_url(gateway));
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    ck_assert_int_eq(curl_easy_perform(curl), CURLE_OK);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION,
                     (long)(CURL_SSLVERSION_TLSv1_0 | CURL_SSLVERSION_MAX_TLSv1_1));
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
    ck_assert_int_ne(curl_easy_perform(curl), CURLE_OK);
    curl_easy_cleanup(curl);
    request.names[0] = "not a name";
    ck_assert_int_eq(sl_certs_init(&request, &error), SL_ERR_INVALID);
}
END_TEST

START_TEST(a_taken_port_and_a_bad_address_are_told_apart)
{
    struct sl_options options;
    struct sl_gateway *second;
    start(plain);
    sl_options_init(&options);
    ck_assert_int_eq(sl_options_set(&options, "data_dir", folder, &error), SL_OK);
    ck_assert_int_eq(sl_options_set(&options, "listen", strstr(sl_gateway_url(gateway), "127"),
                                    &error),
                     SL_OK);
    ck_assert_int_eq(sl_gateway_start(&options, &second, &error), SL_ERR_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "listen: 127.0.0.1:"));
    ck_assert_int_eq(sl_options_set(&options, "listen", "nonsense", &error), SL_OK);
    ck_assert_int_eq(sl_gateway_start(&options, &second, &error), SL_ERR_INVALID);
    sl_options_clear(&options);
}
END_TEST

START_TEST(stopping_closes_idle_connections_and_refuses_new_ones)
{
    start(plain);
    int idle = connect_raw();
    send_raw(idle, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    ck_assert_int_eq(read_status(idle), 200);
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    getpeername(idle, (struct sockaddr *)&address, &size);
    sl_gateway_stop(gateway);
    gateway = NULL;
    char rest[512];
    while (recv(idle, rest, sizeof rest, 0) > 0)
        ;
    close(idle);
    int fresh = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ne(connect(fresh, (struct sockaddr *)&address, sizeof address), 0);
    close(fresh);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_server");
    TCase *tcase = tcase_create("http_server");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, health_ready_and_models_answer_without_a_model);
    tcase_add_test(tcase, what_does_not_exist_is_said_as_json_with_the_right_status);
    tcase_add_test(tcase, a_request_id_is_echoed_when_it_is_harmless);
    tcase_add_test(tcase, no_side_that_can_answer_is_a_503_that_says_when_to_try_again);
    tcase_add_test(tcase, a_body_over_the_cap_is_refused_by_its_length_and_by_counting);
    tcase_add_test(tcase, ambiguous_framing_is_refused);
    tcase_add_test(tcase, a_client_that_trickles_its_head_is_cut_off);
    tcase_add_test(tcase, an_address_that_demands_keys_takes_only_the_key);
    tcase_add_test(tcase, without_keys_web_pages_and_proxied_strangers_are_turned_away);
    tcase_add_test(tcase, the_admin_calls_need_a_token_and_are_off_without_one);
    tcase_add_test(tcase, a_rate_limit_is_a_429_with_its_headers);
    tcase_add_test(tcase, metrics_count_requests_by_outcome);
    tcase_add_test(tcase, https_is_served_with_a_certificate_of_our_own_making);
    tcase_add_test(tcase, a_taken_port_and_a_bad_address_are_told_apart);
    tcase_add_test(tcase, stopping_closes_idle_connections_and_refuses_new_ones);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
