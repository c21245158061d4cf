/* SPDX-License-Identifier: Apache-2.0
 *
 * The transfer thread below the cloud client: handing bytes over, holding a peer back, giving up,
 * stopping.
 */
#include "transfer.h"

#include "mock_cloud_support.h"
#include "sluice/clock.h"
#include "test_support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ENOUGH_MS 20000

static struct mock_cloud mock;
static struct sl_transfer_hub *hub;
static struct sl_transfer_inbox *inbox;

static void setup(void)
{
    struct sl_error error = {0};
    mock_cloud_start(&mock, NULL);
    ck_assert_int_eq(sl_transfer_hub_create(8, &hub, &error), SL_OK);
    inbox = sl_transfer_inbox_create();
    ck_assert_ptr_nonnull(inbox);
}

static void teardown(void)
{
    sl_transfer_inbox_release(inbox);
    sl_transfer_hub_free(hub);
    mock_cloud_stop(&mock);
}

/* An exchange whose answer is `text_len` bytes of text in a stream. */
static struct sl_transfer *start(const char *model, size_t text_len)
{
    struct sl_transfer *transfer;
    struct sl_error error = {0};
    struct sl_transfer_request request = {.ca_file = mock.ca_file, .connect_timeout_ms = 5000};
    char url[128];
    char *text = malloc(text_len + 1);
    memset(text, 'x', text_len);
    text[text_len] = '\0';
    snprintf(url, sizeof url, "%s/chat/completions", mock.base_url);
    request.url = url;
    sl_buf_init(&request.body, 64u << 20);
    ck_assert_int_eq(sl_buf_printf(&request.body,
                                   "{\"model\":\"%s\",\"stream\":true,\"messages\":[{\"role\":"
                                   "\"user\",\"content\":\"%s\"}]}",
                                   model, text),
                     SL_OK);
    ck_assert_int_eq(sl_transfer_start(hub, &request, inbox, &transfer, &error), SL_OK);
    ck_assert_ptr_null(request.body.data); /* taken */
    free(text);
    return transfer;
}

/* Reads to the end; returns how many bytes came. */
static size_t drain(struct sl_transfer *transfer, struct sl_transfer_status *status)
{
    size_t total = 0;
    struct sl_buf bytes = {0};
    uint64_t until_ms = sl_monotonic_ms() + ENOUGH_MS;
    do {
        ck_assert_uint_lt(sl_monotonic_ms(), until_ms);
        sl_transfer_status(transfer, status);
        sl_buf_reset(&bytes);
        sl_transfer_take(transfer, &bytes);
        total += bytes.len;
        if (!status->is_done && bytes.len == 0)
            sl_transfer_inbox_wait(inbox, sl_monotonic_ms() + 50);
    } while (!status->is_done || bytes.len > 0);
    sl_buf_wipe(&bytes);
    return total;
}

START_TEST(an_exchange_gives_its_status_and_all_its_bytes)
{
    struct sl_transfer_status status;
    struct sl_transfer *transfer = start("mock-split-100", 10000);
    ck_assert_uint_gt(drain(transfer, &status), 10000);
    ck_assert_int_eq(status.failure, SL_TRANSFER_OK);
    ck_assert_int_eq(status.http_status, 200);
    ck_assert(status.is_event_stream);
    ck_assert_uint_gt(status.bytes_sent, 10000);
    sl_transfer_release(transfer);
}
END_TEST

START_TEST(a_reader_that_does_not_read_holds_the_peer_back)
{
    struct sl_transfer_status status;
    struct sl_buf first = {0};
    size_t text_len = 3u << 20;
    struct sl_transfer *transfer = start("mock-split-8000", text_len);
    uint64_t last_byte_at_ms = 0;
    do { /* until nothing more comes for a while */
        sl_transfer_status(transfer, &status);
        last_byte_at_ms = status.last_byte_at_ms;
        poll(NULL, 0, 300);
        sl_transfer_status(transfer, &status);
    } while (last_byte_at_ms == 0 || status.last_byte_at_ms != last_byte_at_ms);
    ck_assert(!status.is_done);
    sl_transfer_take(transfer, &first);
    ck_assert_uint_le(first.len, 256u * 1024);
    ck_assert_uint_gt(first.len, 128u * 1024);
    size_t rest = drain(transfer, &status);
    ck_assert_int_eq(status.failure, SL_TRANSFER_OK);
    ck_assert_uint_gt(first.len + rest, text_len);
    sl_buf_clear(&first);
    sl_transfer_release(transfer);
}
END_TEST

START_TEST(an_exchange_that_is_given_up_ends_at_the_peer)
{
    struct sl_transfer_status status;
    json_int_t left = 0;
    struct sl_transfer *transfer = start("mock-stall-1", 10);
    do {
        sl_transfer_inbox_wait(inbox, sl_monotonic_ms() + 50);
        sl_transfer_status(transfer, &status);
    } while (!status.has_head);
    sl_transfer_release(transfer);
    for (int i = 0; i < 100 && left == 0; i++) {
        json_t *log = mock_cloud_requests(&mock);
        left = json_integer_value(json_object_get(log, "left_early"));
        json_decref(log);
        poll(NULL, 0, 20);
    }
    ck_assert_int_eq(left, 1);
}
END_TEST

START_TEST(an_exchange_given_up_before_it_began_is_no_leak)
{
    for (int i = 0; i < 50; i++)
        sl_transfer_release(start("mock-echo", 100));
}
END_TEST

START_TEST(stopping_ends_what_runs_and_refuses_what_comes)
{
    struct sl_error error = {0};
    struct sl_transfer_status status;
    struct sl_transfer *late;
    struct sl_transfer_request request = {.url = mock.base_url};
    struct sl_transfer *transfer = start("mock-silent", 10);
    sl_transfer_hub_stop(hub);
    drain(transfer, &status);
    ck_assert_int_eq(status.failure, SL_TRANSFER_SHUTDOWN);
    sl_transfer_release(transfer);
    ck_assert_int_eq(sl_transfer_start(hub, &request, inbox, &late, &error), SL_ERR_SHUTDOWN);
    ck_assert_ptr_null(late);
}
END_TEST

/* Listens and hangs up on whoever comes. */
static void *hang_up(void *ctx)
{
    int client = accept(*(int *)ctx, NULL, NULL);
    char byte;
    ck_assert_int_ge(read(client, &byte, 1), 0);
    close(client);
    return NULL;
}

START_TEST(a_peer_that_hangs_up_in_the_handshake_is_a_reset)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_len = sizeof address;
    struct sl_transfer_status status;
    pthread_t thread;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&address, &address_len);
    pthread_create(&thread, NULL, hang_up, &listener);
    snprintf(mock.base_url, sizeof mock.base_url, "https://127.0.0.1:%u", ntohs(address.sin_port));
    struct sl_transfer *transfer = start("mock-echo", 10);
    drain(transfer, &status);
    ck_assert_int_eq(status.failure, SL_TRANSFER_RESET);
    ck_assert_uint_eq(status.bytes_sent, 0);
    sl_transfer_release(transfer);
    pthread_join(thread, NULL);
    close(listener);
}
END_TEST

START_TEST(failures_are_told_apart)
{
    struct sl_transfer_status status;
    struct sl_transfer *transfer = start("mock-reset", 10);
    drain(transfer, &status);
    ck_assert_int_eq(status.failure, SL_TRANSFER_RESET);
    sl_transfer_release(transfer);

    transfer = start("mock-cut-3", 10);
    drain(transfer, &status);
    ck_assert_int_eq(status.failure, SL_TRANSFER_RESET);
    ck_assert_int_eq(status.http_status, 200);
    sl_transfer_release(transfer);

    mock_cloud_kill(&mock);
    transfer = start("mock-echo", 10);
    drain(transfer, &status);
    ck_assert_int_eq(status.failure, SL_TRANSFER_CONNECT);
    ck_assert_uint_eq(status.bytes_sent, 0);
    sl_transfer_release(transfer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transfer");
    TCase *tcase = tcase_create("transfer");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, an_exchange_gives_its_status_and_all_its_bytes);
    tcase_add_test(tcase, a_reader_that_does_not_read_holds_the_peer_back);
    tcase_add_test(tcase, an_exchange_that_is_given_up_ends_at_the_peer);
    tcase_add_test(tcase, an_exchange_given_up_before_it_began_is_no_leak);
    tcase_add_test(tcase, stopping_ends_what_runs_and_refuses_what_comes);
    tcase_add_test(tcase, a_peer_that_hangs_up_in_the_handshake_is_a_reset);
    tcase_add_test(tcase, failures_are_told_apart);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
