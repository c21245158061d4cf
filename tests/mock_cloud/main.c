/* SPDX-License-Identifier: Apache-2.0
 *
 * sluice-mock-cloud: a cloud provider that is not one. Speaks OpenAI's chat completions and
 * Anthropic's messages over HTTPS, misbehaves where the model's name says so (scenario.h), and
 * records every byte it is sent (record.h). A simulator for tests and demonstrations: it has no
 * model and says only what it was told.
 *
 *   POST  any path ending in /chat/completions or /messages
 *   GET   any path ending in /models
 *   GET   /mock/requests                    what came so far, and how many clients left early
 *   POST  /mock/fault {"model":"gpt-x" or "*","as":"mock-503","times":5}    times absent: for ever
 *   POST  /mock/reset                       forgets faults, counts and the log of requests
 *
 * One thread a connection: a script may sleep.
 */
#include "certificates.h"
#include "faults.h"
#include "record.h"
#include "scenario.h"
#include "wire.h"

#include "sluice/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_BYTES_MAX (128u << 20)
#define CONNECTIONS_MAX 4096
#define SLEEP_STEP_MS 50 /* how soon a client that left is noticed */

struct options {
    const char *listen;
    const char *record;
    const char *ca_out;
    const char *cert_out;
    const char *key_out;
    const char *cert_file;
    const char *key_file;
    enum mock_cert_fault cert_fault;
    enum mock_answer style;
    bool is_plain;
};

static struct {
    struct options options;
    struct mock_record *record;
    atomic_int left_early; /* responses that the client did not wait for */
    atomic_bool is_stopping;
} server;

/* One request, from its first line to the end of its response. */
struct exchange {
    struct sl_buf body;
    struct mock_script script;
    size_t step;
    size_t step_offset;
    int fd;
    bool has_left;
};

static void forget_all(void)
{
    mock_faults_reset();
    atomic_store(&server.left_early, 0);
    mock_record_reset(server.record);
}

/* ---- Playing ---- */

/* Sleeps; false where the client left or the server stops. */
static bool doze(int fd, int ms)
{
    uint64_t until_ms = sl_monotonic_ms() + (uint64_t)ms;
    while (sl_monotonic_ms() < until_ms) {
        uint64_t left = until_ms - sl_monotonic_ms();
        struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};
        int ready = poll(&poll_fd, 1, left < SLEEP_STEP_MS ? (int)left : SLEEP_STEP_MS);
        if (ready > 0 || atomic_load(&server.is_stopping))
            return false;
    }
    return true;
}

static void note_left(struct exchange *exchange)
{
    if (!exchange->has_left && !atomic_load(&server.is_stopping))
        atomic_fetch_add(&server.left_early, 1);
    exchange->has_left = true;
}

static void write_clock(const struct mock_step *step)
{
    char digits[MOCK_CLOCK_DIGITS + 1];
    snprintf(digits, sizeof digits, "%0*llu", MOCK_CLOCK_DIGITS,
             (unsigned long long)sl_monotonic_ns());
    memcpy(step->bytes + step->clock_at, digits, MOCK_CLOCK_DIGITS);
}

static ssize_t play(void *ctx, uint64_t position, char *out, size_t max)
{
    (void)position;
    struct exchange *exchange = ctx;
    while (exchange->step < exchange->script.step_count) {
        const struct mock_step *step = &exchange->script.steps[exchange->step];
        if (step->kind == MOCK_CUT)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        if (step->kind == MOCK_SLEEP) {
            if (!doze(exchange->fd, step->ms)) {
                note_left(exchange);
                return MHD_CONTENT_READER_END_WITH_ERROR;
            }
            exchange->step++;
            continue;
        }
        if (step->clock_at > 0 && exchange->step_offset == 0)
            write_clock(step);
        size_t left = step->len - exchange->step_offset;
        size_t len = left < max ? left : max;
        memcpy(out, step->bytes + exchange->step_offset, len);
        exchange->step_offset += len;
        if (exchange->step_offset == step->len) {
            exchange->step++;
            exchange->step_offset = 0;
        }
        if (len > 0)
            return (ssize_t)len;
    }
    return MHD_CONTENT_READER_END_OF_STREAM;
}

static uint64_t declared_size(const struct mock_script *script)
{
    uint64_t size = 0;
    bool breaks = false;
    if (script->is_streamed)
        return MHD_SIZE_UNKNOWN;
    for (size_t i = 0; i < script->step_count; i++) {
        size += script->steps[i].len;
        breaks |= script->steps[i].kind == MOCK_CUT || script->steps[i].ms == MOCK_FOREVER_MS;
    }
    return breaks ? size + 1000 : size; /* more is promised than will come */
}

static enum MHD_Result reset_connection(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    /* Disconnecting the socket sends the RST now, before TLS could say goodbye. */
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    connect(fd, &none, sizeof none);
    return MHD_NO;
}

static enum MHD_Result send_script(struct MHD_Connection *connection, struct exchange *exchange)
{
    struct mock_script *script = &exchange->script;
    if (script->is_reset)
        return reset_connection(exchange->fd);
    if (script->head_ms > 0 && !doze(exchange->fd, script->head_ms)) {
        note_left(exchange);
        return MHD_NO;
    }
    struct MHD_Response *response =
        MHD_create_response_from_callback(declared_size(script), 32768, play, exchange, NULL);
    if (response == NULL)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", script->content_type);
    if (script->is_streamed)
        MHD_add_response_header(response, "Cache-Control", "no-cache");
    if (script->retry_after[0] != '\0')
        MHD_add_response_header(response, "Retry-After", script->retry_after);
    if (script->retry_after_ms[0] != '\0')
        MHD_add_response_header(response, "retry-after-ms", script->retry_after_ms);
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)script->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_json(struct MHD_Connection *connection, unsigned status, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- Requests ---- */

static bool ends_with(const char *text, const char *tail)
{
    size_t len = strlen(text);
    size_t tail_len = strlen(tail);
    return len >= tail_len && strcmp(text + len - tail_len, tail) == 0;
}

static enum MHD_Result append_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    (void)kind;
    return sl_buf_printf(ctx, "%s: %s\n", name, value != NULL ? value : "") == SL_OK ? MHD_YES
                                                                                     : MHD_NO;
}

static void record_request(struct MHD_Connection *connection, const char *method, const char *url,
                           const struct sl_buf *body, const char *model)
{
    struct sl_buf head;
    sl_buf_init(&head, 1u << 20);
    if (sl_buf_printf(&head, "%s %s\n", method, url) == SL_OK)
        MHD_get_connection_values(connection, MHD_HEADER_KIND, append_header, &head);
    mock_record_add(server.record, sl_buf_slice(&head), sl_buf_slice(body), model);
    sl_buf_clear(&head);
}

static void write_answer(enum mock_api api, const json_t *request, const char *model,
                         struct mock_script *script)
{
    char as[MOCK_NAME_BYTES];
    struct mock_scenario scenario;
    mock_faults_apply(model, as);
    int before = mock_faults_count(as);
    if (!json_is_object(request)) {
        mock_wire_error(api, 400, NULL, "invalid_json", "The body is not JSON.", script);
    } else if (!mock_scenario_parse(as, server.options.style, &scenario)) {
        mock_wire_error(api, 404, NULL, "model_not_found", "There is no such model.", script);
    } else {
        if (scenario.times >= 0 && before >= scenario.times)
            mock_scenario_parse("mock-echo", MOCK_ECHO, &scenario);
        mock_wire_answer(api, &scenario, request, script);
    }
}

static enum MHD_Result answer_completion(struct MHD_Connection *connection, const char *method,
                                         const char *url, enum mock_api api,
                                         struct exchange *exchange)
{
    json_t *request = exchange->body.len > 0
                          ? json_loadb(exchange->body.data, exchange->body.len, 0, NULL)
                          : NULL;
    const char *model = json_string_value(json_object_get(request, "model"));
    record_request(connection, method, url, &exchange->body, model != NULL ? model : "");
    write_answer(api, request, model != NULL ? model : "", &exchange->script);
    json_decref(request);
    return send_script(connection, exchange);
}

static enum MHD_Result answer_admin(struct MHD_Connection *connection, const char *url,
                                    const struct exchange *exchange)
{
    if (strcmp(url, "/mock/requests") == 0) {
        json_t *log = mock_record_json(server.record);
        json_object_set_new(log, "left_early", json_integer(atomic_load(&server.left_early)));
        return send_json(connection, 200, log);
    }
    if (strcmp(url, "/mock/reset") == 0) {
        forget_all();
        return send_json(connection, 200, json_pack("{s:b}", "ok", 1));
    }
    json_t *request = exchange->body.len > 0
                          ? json_loadb(exchange->body.data, exchange->body.len, 0, NULL)
                          : NULL;
    bool is_added = strcmp(url, "/mock/fault") == 0 && mock_faults_add(request);
    json_decref(request);
    return send_json(connection, is_added ? 200 : 400, json_pack("{s:b}", "ok", is_added));
}

static enum MHD_Result answer(struct MHD_Connection *connection, const char *method,
                              const char *url, struct exchange *exchange)
{
    if (strncmp(url, "/mock/", 6) == 0)
        return answer_admin(connection, url, exchange);
    if (strcmp(method, "POST") == 0 && ends_with(url, "/chat/completions"))
        return answer_completion(connection, method, url, MOCK_OPENAI, exchange);
    if (strcmp(method, "POST") == 0 && ends_with(url, "/messages"))
        return answer_completion(connection, method, url, MOCK_ANTHROPIC, exchange);
    record_request(connection, method, url, &exchange->body, "");
    if (ends_with(url, "/models"))
        return send_json(connection, 200,
                         json_pack("{s:s,s:[{s:s,s:s,s:s}]}", "object", "list", "data", "id",
                                   "mock-echo", "object", "model", "owned_by", "simulator"));
    return send_json(connection, 404, json_pack("{s:{s:s}}", "error", "message", "no such path"));
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **state)
{
    (void)ctx;
    (void)version;
    struct exchange *exchange = *state;
    if (exchange == NULL) {
        exchange = calloc(1, sizeof *exchange);
        if (exchange == NULL)
            return MHD_NO;
        sl_buf_init(&exchange->body, BODY_BYTES_MAX);
        exchange->fd =
            (int)MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        int yes = 1;
        setsockopt(exchange->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        *state = exchange;
        return MHD_YES;
    }
    if (*upload_len > 0) {
        if (sl_buf_append(&exchange->body, upload, *upload_len) != SL_OK)
            return MHD_NO;
        *upload_len = 0;
        return MHD_YES;
    }
    return answer(connection, method, url, exchange);
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)ctx;
    (void)connection;
    struct exchange *exchange = *state;
    if (exchange == NULL)
        return;
    bool is_cut_by_us = exchange->step < exchange->script.step_count &&
                        exchange->script.steps[exchange->step].kind == MOCK_CUT;
    if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK && !is_cut_by_us && !exchange->script.is_reset)
        note_left(exchange);
    sl_buf_clear(&exchange->body);
    mock_script_clear(&exchange->script);
    free(exchange);
    *state = NULL;
}

/* ---- Start ---- */

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "sluice-mock-cloud: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void usage(FILE *out)
{
    fputs("usage: sluice-mock-cloud [options]\n"
          "  --listen ADDRESS:PORT   default 127.0.0.1:0; the port is printed\n"
          "  --record FILE           every request is appended to it\n"
          "  --ca-out FILE           the CA certificate that clients shall trust\n"
          "  --cert-out FILE         the server's certificate\n"
          "  --key-out FILE          and its key, for a proxy in front\n"
          "  --cert FILE --key FILE  use these instead of making certificates\n"
          "  --cert-fault FAULT      wrong-host, expired, untrusted\n"
          "  --style STYLE           answers of models that are no scenario: echo, canned\n"
          "  --plain                 HTTP instead of HTTPS\n",
          out);
}

static enum mock_cert_fault parse_cert_fault(const char *word)
{
    if (strcmp(word, "wrong-host") == 0)
        return MOCK_CERT_WRONG_HOST;
    if (strcmp(word, "expired") == 0)
        return MOCK_CERT_EXPIRED;
    if (strcmp(word, "untrusted") == 0)
        return MOCK_CERT_UNTRUSTED;
    fail("--cert-fault", "expected wrong-host, expired or untrusted");
    return MOCK_CERT_GOOD;
}

static void parse_options(int argc, char **argv, struct options *out)
{
    static const struct option table[] = {
        {"listen", required_argument, NULL, 'l'},   {"record", required_argument, NULL, 'r'},
        {"ca-out", required_argument, NULL, 'c'},   {"cert", required_argument, NULL, 'C'},
        {"key", required_argument, NULL, 'K'},      {"cert-fault", required_argument, NULL, 'f'},
        {"cert-out", required_argument, NULL, 'O'}, {"key-out", required_argument, NULL, 'P'},
        {"style", required_argument, NULL, 's'},    {"plain", no_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
    *out = (struct options){.listen = "127.0.0.1:0", .style = MOCK_ECHO};
    int option;
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        switch (option) {
        case 'l':
            out->listen = optarg;
            break;
        case 'r':
            out->record = optarg;
            break;
        case 'c':
            out->ca_out = optarg;
            break;
        case 'O':
            out->cert_out = optarg;
            break;
        case 'P':
            out->key_out = optarg;
            break;
        case 'C':
            out->cert_file = optarg;
            break;
        case 'K':
            out->key_file = optarg;
            break;
        case 'f':
            out->cert_fault = parse_cert_fault(optarg);
            break;
        case 's':
            out->style = strcmp(optarg, "canned") == 0 ? MOCK_CANNED : MOCK_ECHO;
            break;
        case 'p':
            out->is_plain = true;
            break;
        case 'h':
            usage(stdout);
            exit(EXIT_SUCCESS);
        default:
            usage(stderr);
            exit(2);
        }
    }
    if ((out->cert_file == NULL) != (out->key_file == NULL))
        fail("--cert", "expected together with --key");
}

static struct sockaddr_in parse_listen(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64];
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    long port = colon != NULL ? strtol(colon + 1, &end, 10) : -1;
    if (colon == NULL || *end != '\0' || port < 0 || port > 65535 ||
        (size_t)(colon - text) >= sizeof host)
        fail("--listen", "expected ADDRESS:PORT");
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        fail("--listen", "expected an IPv4 address");
    address.sin_port = htons((uint16_t)port);
    return address;
}

static char *read_file(const char *path)
{
    struct sl_buf text;
    char chunk[4096];
    size_t len;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail(path, strerror(errno));
    sl_buf_init(&text, 1u << 20);
    while ((len = fread(chunk, 1, sizeof chunk, file)) > 0)
        if (sl_buf_append(&text, chunk, len) != SL_OK)
            fail(path, "too large");
    fclose(file);
    return sl_buf_take(&text, NULL);
}

/* `path` NULL: not wanted. */
static void write_file(const char *path, const char *text)
{
    if (path == NULL)
        return;
    FILE *file = fopen(path, "wb");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
        fail(path, strerror(errno));
}

static void get_certificates(const struct options *options, struct mock_certificates *out)
{
    if (options->cert_file != NULL) {
        *out = (struct mock_certificates){.ca_pem = read_file(options->cert_file),
                                          .cert_pem = read_file(options->cert_file),
                                          .key_pem = read_file(options->key_file)};
    } else {
        mock_certificates_make(options->cert_fault, out);
    }
    write_file(options->ca_out, out->ca_pem);
    write_file(options->cert_out, out->cert_pem);
    write_file(options->key_out, out->key_pem);
}

static struct MHD_Daemon *start(const struct options *options,
                                const struct mock_certificates *certificates)
{
    struct sockaddr_in address = parse_listen(options->listen);
    unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL;
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_KEY, 0, certificates->key_pem},
                                   {MHD_OPTION_HTTPS_MEM_CERT, 0, certificates->cert_pem},
                                   {MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    if (!options->is_plain)
        flags |= MHD_USE_TLS;
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, NULL, MHD_OPTION_SOCK_ADDR, &address,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                            MHD_OPTION_THREAD_STACK_SIZE, (size_t)256 * 1024, MHD_OPTION_ARRAY,
                            options->is_plain ? none : tls, MHD_OPTION_END);
}

int main(int argc, char **argv)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* before threads: they inherit it */
    signal(SIGPIPE, SIG_IGN);

    struct mock_certificates certificates = {0};
    parse_options(argc, argv, &server.options);
    if (!server.options.is_plain)
        get_certificates(&server.options, &certificates);
    server.record = mock_record_open(server.options.record);
    if (server.record == NULL)
        fail(server.options.record, strerror(errno));
    struct MHD_Daemon *daemon = start(&server.options, &certificates);
    if (daemon == NULL)
        fail(server.options.listen, "cannot listen there");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
    if (certificates.pin[0] != '\0')
        printf("pin %s\n", certificates.pin);
    printf("listening %u\n", (unsigned)info->port);
    fflush(stdout);

    int received;
    sigwait(&signals, &received);
    atomic_store(&server.is_stopping, true);
    MHD_stop_daemon(daemon);
    mock_record_close(server.record);
    mock_certificates_clear(&certificates);
    return EXIT_SUCCESS;
}
