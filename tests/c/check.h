/* What the C tests share: one macro, a server on a free port, a peer on a plain socket. */
#ifndef CHECK_H
#define CHECK_H
#define _GNU_SOURCE
#include "daytime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
            abort(); \
        } \
    } while (0)
#define OK(call) CHECK((call) == DAYTIME_OK)
#define SUNDAY 1795362297 /* 2026-11-22T15:44:57Z */

#ifndef CHECK_ALONE /* without the library at link time */

/* Each test uses a part of these. */
#define SHARED __attribute__((unused)) static

SHARED daytime_server *new_server(void) {
    daytime_server *server = daytime_server_new();
    CHECK(server);
    OK(daytime_server_listen(server, "127.0.0.1:0"));
    OK(daytime_server_set_timezone(server, "UTC"));
    OK(daytime_server_set_clock(server, SUNDAY));
    return server;
}

SHARED void start(daytime_server *server) {
    daytime_error err;
    if (daytime_server_start(server, &err)) {
        fprintf(stderr, "start: %s\n", err.message);
        abort();
    }
}

SHARED daytime_client *connect_client(const daytime_server *server) {
    char address[DAYTIME_ADDR_MAX];
    daytime_client *client;
    OK(daytime_server_local_addr(server, address, sizeof address));
    OK(daytime_client_connect(address, 10000, &client, NULL));
    return client;
}

/* What the server answers, in a buffer of this thread. */
SHARED const char *ask(daytime_client *client, const char *command) {
    static _Thread_local char reply[DAYTIME_REPLY_MAX];
    daytime_error err;
    if (daytime_client_request(client, command, reply, sizeof reply, &err)) {
        memcpy(reply, err.message, sizeof err.message);
    }
    return reply;
}

SHARED int connect_socket(const daytime_server *server) {
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(daytime_server_port(server)) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

SHARED int listening_socket(uint16_t *port) {
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 8) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &size) == 0);
    *port = ntohs(at.sin_port);
    return fd;
}

#endif
#endif
