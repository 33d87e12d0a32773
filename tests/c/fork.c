/* A child of fork(): every handle is dead there. Freeing a handle neither waits nor affects the parent. */
#include "check.h"

static int freed;
static void count(void *user_data) {
    ++*(int *)user_data;
}

static int never(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)request, (void)reply, (void)user_data;
    return 1;
}

static daytime_responder *_Atomic deferred;

static int defer(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)reply, (void)user_data;
    deferred = daytime_request_defer(request);
    return 0;
}

/* Calls fork(). The child may read the request, and has nothing else of the server. */
static int forks(const daytime_request *request, daytime_reply *reply, void *user_data) {
    daytime_server *server = *(daytime_server **)user_data;
    char buf[DAYTIME_ADDR_MAX];
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(20);
        CHECK(!strcmp(daytime_request_argument(request), "now") && daytime_request_client(request) == 1);
        CHECK(!strcmp(daytime_request_command(request), "forks") && !daytime_request_state(request));
        CHECK(!daytime_request_defer(request) && !daytime_request_is_cancelled(request));
        daytime_request_stop(request);
        daytime_request_drain(request, 0);
        CHECK(daytime_server_wait(server, -1) == DAYTIME_ERR_STATE);
        CHECK(daytime_server_local_addr(server, buf, sizeof buf) == DAYTIME_ERR_STATE);
        _exit(0); /* it must not return */
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return daytime_reply_set(reply, "forked");
}

static void child(daytime_server *server, daytime_client *client, daytime_server *fresh) {
    char buf[DAYTIME_REPLY_MAX];
    size_t n;
    daytime_error err;
    union { daytime_stats stats; daytime_event event; daytime_client_info info; } out;
    alarm(20);
    const int states[] = {
        daytime_server_listen(fresh, "localhost"), daytime_server_set_workers(fresh, 1), daytime_server_start(fresh, &err),
        daytime_server_add_command(fresh, "x", never, &freed, count), daytime_server_set_clock(fresh, 0),
        daytime_server_allow(fresh, "::1"), daytime_server_set_networks(fresh, NULL, 0, NULL, 0),
        daytime_server_set_networks(server, NULL, 0, NULL, 0), daytime_server_reload_zones(server),
        daytime_server_start(server, &err), daytime_server_wait(server, -1), daytime_server_drain(server, 0),
        daytime_server_metrics(server, buf, sizeof buf, &n),
        daytime_server_local_addr(server, buf, sizeof buf), daytime_server_stats(server, &out.stats, sizeof out.stats),
        daytime_server_next_event(server, &out.event, sizeof out.event, -1), daytime_server_disconnect(server, 1),
        daytime_server_clients(server, &out.info, sizeof out.info, 1, &n), daytime_server_set_clock(server, 0),
        daytime_client_day(client, buf, sizeof buf, &err), daytime_client_request(client, "day", buf, sizeof buf, &err),
        daytime_client_quit(client, &err), daytime_server_set_usage(fresh, "never NAME"),
        daytime_responder_reply(deferred, "x"), daytime_responder_error(deferred, "x"),
        daytime_responder_fail(deferred, "x"), daytime_responder_close(deferred, ""),
    };
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) CHECK(states[i] == DAYTIME_ERR_STATE);
    CHECK(freed == 1); /* the user data of the registration that has just failed */
    CHECK(daytime_server_port(server) == 0);
    CHECK(daytime_responder_client(deferred) == 0 && daytime_responder_is_cancelled(deferred) == 0);
    daytime_responder_free(deferred);
    daytime_server_stop(server);
    daytime_client_free(client);
    daytime_server_free(server);
    daytime_server_free(fresh);
    CHECK(freed == 2);
    for (int fd = 3; fd < 256; fd++) { /* the child's copies of the listeners are closed, those for metrics too */
        int listens = 0;
        socklen_t size = sizeof listens;
        CHECK(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || !listens);
    }

    server = new_server(); /* a server that the child makes works */
    start(server);
    client = connect_client(server);
    CHECK(!strcmp(ask(client, "day"), "Sunday"));
    daytime_client_free(client);
    daytime_server_free(server);
    _exit(0);
}

/* A server that shares this port of 127.0.0.1. */
static daytime_server *sharing(uint16_t port) {
    char address[DAYTIME_ADDR_MAX];
    daytime_server *server = daytime_server_new();
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    OK(daytime_server_set_reuse_port(server, 1));
    CHECK(daytime_server_listen(server, "127.0.0.1:0") == DAYTIME_ERR_INVALID);
    OK(daytime_server_listen(server, address));
    OK(daytime_server_set_timezone(server, "UTC"));
    OK(daytime_server_set_clock(server, SUNDAY));
    start(server);
    return server;
}

/* Otherwise the system would go on to give clients to a listener that only the child has, where they wait for ever. */
static void a_child_leaves_a_shared_port(void) {
    struct sockaddr_in loopback = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof loopback;
    int reserved = socket(AF_INET, SOCK_STREAM, 0), pipes[2], status, on = 1; /* it does not listen */
    CHECK(setsockopt(reserved, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
    CHECK(bind(reserved, (struct sockaddr *)&loopback, size) == 0);
    CHECK(getsockname(reserved, (struct sockaddr *)&loopback, &size) == 0 && pipe(pipes) == 0);
    daytime_server *ends = sharing(ntohs(loopback.sin_port)), *stays = sharing(ntohs(loopback.sin_port));
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        daytime_server_free(ends);
        daytime_server_free(stays);
        CHECK(write(pipes[1], "", 1) == 1);
        for (;;) pause(); /* until it is killed */
    }
    char byte;
    CHECK(pid > 0 && read(pipes[0], &byte, 1) == 1); /* the child has closed its listeners */
    daytime_server_free(ends);
    for (int i = 0; i < 40; i++) {
        daytime_client *client = connect_client(stays);
        CHECK(!strcmp(ask(client, "day"), "Sunday"));
        daytime_client_free(client);
    }
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    daytime_server_free(stays);
    close(pipes[0]), close(pipes[1]), close(reserved);
}

int main(void) {
    a_child_leaves_a_shared_port();
    daytime_server *server = new_server(), *fresh = new_server();
    int status;
    char directory[64], address[80];
    scratch(directory);
    snprintf(address, sizeof address, "unix:%s/socket", directory);
    OK(daytime_server_listen(server, address));
    OK(daytime_server_listen_as(server, DAYTIME_SERVICE_METRICS, "127.0.0.1:0"));
    OK(daytime_server_add_command(server, "never", never, &freed, count));
    OK(daytime_server_add_command(server, "defer", defer, NULL, NULL));
    OK(daytime_server_add_command(server, "forks", forks, &server, NULL));
    OK(daytime_server_add_command(fresh, "never", never, &freed, count));
    OK(daytime_server_enable_events(server, 10, 0));
    start(server);
    daytime_client *client = connect_client(server);
    int waiting = connect_socket(server);
    CHECK(send(waiting, "defer\n", 6, MSG_NOSIGNAL) == 6);
    WAIT_UNTIL(deferred);
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        if (pid == 0) child(server, client, fresh);
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        CHECK(!strcmp(ask(client, "day"), "Sunday"));
    }
    CHECK(!strcmp(ask(client, "forks now"), "forked") && !strcmp(ask(client, "forks now"), "forked"));
    char reply[40] = "";
    OK(daytime_responder_reply(deferred, "at last")); /* no child has answered */
    daytime_responder_free(deferred);
    CHECK(recv(waiting, reply, 30, MSG_WAITALL) == 30 && !strcmp(reply, "Welcome to the server\nat last\n"));
    close(waiting);
    daytime_client *second = connect_client(server), *third; /* the listeners still work */
    OK(daytime_client_connect(address, 10000, &third, NULL)); /* no child has removed the file */
    daytime_client_free(third);
    daytime_client_free(second);
    daytime_client_free(client);
    daytime_server_free(server);
    daytime_server_free(fresh);
    CHECK(freed == 2 && rmdir(directory) == 0);
    return 0;
}
