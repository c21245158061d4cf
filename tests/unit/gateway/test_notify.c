/* SPDX-License-Identifier: Apache-2.0 */
#include "notify.h"

#include "test_support.h"

#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

START_TEST(the_manager_hears_the_state_on_its_socket)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[64] = "";
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", sl_test_scratch());
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    sl_notify("READY=1");
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ck_assert_int_eq(poll(&ready, 1, 5000), 1);
    ck_assert_int_eq(recv(fd, text, sizeof text - 1, 0), 7);
    ck_assert_str_eq(text, "READY=1");
    close(fd);
}
END_TEST

START_TEST(an_abstract_socket_works_as_well)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64], text[64] = "";
    int len = snprintf(name, sizeof name, "@sluice-test-%d", (int)getpid());
    memcpy(address.sun_path + 1, name + 1, (size_t)len - 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    sl_notify("STOPPING=1");
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ck_assert_int_eq(poll(&ready, 1, 5000), 1);
    ck_assert_int_eq(recv(fd, text, sizeof text - 1, 0), 10);
    close(fd);
}
END_TEST

START_TEST(without_a_manager_nothing_happens)
{
    unsetenv("NOTIFY_SOCKET");
    sl_notify("READY=1");
    setenv("NOTIFY_SOCKET", "relative", 1);
    sl_notify("READY=1");
    setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
    sl_notify("READY=1");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("notify");
    TCase *tcase = tcase_create("notify");
    tcase_add_test(tcase, the_manager_hears_the_state_on_its_socket);
    tcase_add_test(tcase, an_abstract_socket_works_as_well);
    tcase_add_test(tcase, without_a_manager_nothing_happens);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
