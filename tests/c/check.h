/* Helpers of the C tests: macros for checks, a server on a free port, a peer on a plain socket. */
#ifndef CHECK_H
#define CHECK_H
#define _GNU_SOURCE
#include "daytime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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
/* Waits until a thread of the library has done something. */
#define WAIT_UNTIL(what) \
    for (int turn_ = 0; !(what); turn_++) { \
        CHECK(turn_ < 30000); \
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL); \
    }
#define SUNDAY 1795362297 /* 2026-11-22T15:44:57Z */

#ifndef CHECK_ALONE /* for a test that does not link the library */

/* Each test uses some of these functions. */
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

/* The reply of the server, or the message of the error, in a buffer of this thread. */
SHARED const char *ask(daytime_client *client, const char *command) {
    static _Thread_local char reply[DAYTIME_REPLY_MAX];
    daytime_error err;
    if (daytime_client_request(client, command, reply, sizeof reply, &err)) {
        memcpy(reply, err.message, sizeof err.message);
    }
    return reply;
}

SHARED daytime_event next_event(daytime_server *server, int kind) {
    daytime_event event;
    memset(&event, '#', sizeof event);
    OK(daytime_server_next_event(server, &event, sizeof event, 10000));
    CHECK(event.kind == kind && event.reserved == 0 && event.text[0]);
    return event;
}

/* The error of the next command that failed. */
SHARED const char *next_error(daytime_server *server) {
    static daytime_event event;
    do OK(daytime_server_next_event(server, &event, sizeof event, 10000));
    while (event.kind != DAYTIME_EVENT_COMMAND_FAILED);
    return event.error;
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

/* The system's structure for a path, or for '@' and an abstract name. */
SHARED socklen_t unix_address(const char *path, struct sockaddr_un *at) {
    size_t size = strlen(path);
    CHECK(size <= sizeof at->sun_path);
    memset(at, 0, sizeof *at);
    at->sun_family = AF_UNIX;
    memcpy(at->sun_path, path, size);
    if (path[0] == '@') at->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
}

SHARED int bound_unix_socket(const char *path) {
    struct sockaddr_un at[2] = { { 0 } }; /* valgrind looks for a NUL, which 108 bytes do not have */
    socklen_t size = unix_address(path, at);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)at, size) == 0);
    return fd;
}

SHARED void connect_to_unix(int fd, const char *path) {
    struct sockaddr_un to;
    socklen_t size = unix_address(path, &to);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, size) == 0);
}

/* A new directory, short enough for Unix sockets. */
SHARED void scratch(char directory[64]) {
    const char *place = getenv("TMPDIR");
    snprintf(directory, 64, "%s/daytime-XXXXXX", place && strlen(place) < 40 ? place : "/tmp");
    CHECK(mkdtemp(directory));
}

#endif
#endif
