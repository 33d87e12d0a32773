/* One handle from new to free: every order, every setting, many threads. */
#include "check.h"

static daytime_server *signalled;

static void on_alarm(int number) {
    (void)number;
    daytime_server_stop(signalled);
}

static void settings(void) {
    daytime_server *server = new_server();
    char text[DAYTIME_REPLY_MAX];
    OK(daytime_server_set_workers(server, 2));
    OK(daytime_server_set_handler_threads(server, 3));
    OK(daytime_server_set_backlog(server, 7));
    OK(daytime_server_set_max_clients(server, 1));
    OK(daytime_server_set_max_clients_per_source(server, 1));
    OK(daytime_server_set_idle_timeout(server, 60000));
    OK(daytime_server_set_first_command_timeout(server, 60000));
    OK(daytime_server_set_write_timeout(server, 60000));
    OK(daytime_server_set_framing(server, DAYTIME_FRAMING_LINE));
    OK(daytime_server_set_greeting(server, "Hello"));
    OK(daytime_server_set_day_format(server, "%a"));
    OK(daytime_server_set_date_format(server, "%d.%m."));
    OK(daytime_server_set_time_format(server, "%Hh"));
    OK(daytime_server_set_timezone(server, "+01:00"));
    start(server);

    daytime_client *client = connect_client(server);
    daytime_client *second;
    daytime_error err;
    OK(daytime_client_greeting(client, text, sizeof text, NULL));
    CHECK(!strcmp(text, "Hello"));
    CHECK(!strcmp(ask(client, "day"), "Sun") && !strcmp(ask(client, "date"), "22.11.") && !strcmp(ask(client, "time"), "16h"));
    OK(daytime_client_day(client, text, sizeof text, NULL));
    CHECK(!strcmp(text, "Sunday"));
    OK(daytime_client_date(client, text, sizeof text, NULL));
    CHECK(!strcmp(text, "2026-11-22"));
    OK(daytime_client_time(client, text, sizeof text, NULL));
    CHECK(!strcmp(text, "16:44:57"));
    OK(daytime_client_datetime(client, text, sizeof text, NULL));
    CHECK(!strcmp(text, "2026-11-22T16:44:57+01:00"));
    OK(daytime_client_peer(client, text, sizeof text, NULL));
    CHECK(!strncmp(text, "127.0.0.1:", 10) && atoi(text + 10) == daytime_server_port(server));

    OK(daytime_server_local_addr(server, text, sizeof text));
    CHECK(daytime_client_connect(text, 0, &second, &err) == DAYTIME_ERR_REFUSED && !second);
    CHECK(err.status == DAYTIME_ERR_REFUSED && !strcmp(err.message, "The server is full"));

    OK(daytime_server_set_clock(server, 0));
    CHECK(!strcmp(ask(client, "timestamp"), "0"));
    OK(daytime_server_set_clock_system(server));
    CHECK(labs(atol(ask(client, "timestamp")) - time(NULL)) <= 1);
    OK(daytime_server_set_clock_offset(server, -1000));
    CHECK(labs(atol(ask(client, "timestamp")) - time(NULL) + 1000) <= 1);
    OK(daytime_client_quit(client, NULL));
    daytime_client_free(client);
    daytime_server_free(server);
}

static void orders(void) {
    daytime_error err = { 0 };
    uint16_t port;
    int taken = listening_socket(&port);
    char address[64];

    daytime_server_free(daytime_server_new()); /* a server may be freed unused */
    daytime_server *server = new_server();
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    OK(daytime_server_listen(server, address));
    CHECK(daytime_server_start(server, &err) == DAYTIME_ERR_IO && err.os_error == EADDRINUSE && strstr(err.message, address));
    close(taken);
    OK(daytime_server_start(server, &err)); /* a second start succeeds */
    CHECK(daytime_server_start(server, &err) == DAYTIME_ERR_STATE && err.status == DAYTIME_ERR_STATE);
    OK(daytime_server_address(server, DAYTIME_SERVICE_TEXT, 1, address, sizeof address));
    CHECK(atoi(strchr(address, ':') + 1) == port);
    CHECK(daytime_server_wait(server, 0) == DAYTIME_ERR_TIMEOUT && daytime_server_wait(server, 20) == DAYTIME_ERR_TIMEOUT);
    daytime_server_stop(server);
    daytime_server_stop(server);
    OK(daytime_server_wait(server, -1));
    OK(daytime_server_wait(server, 0));
    OK(daytime_server_set_clock(server, 0));
    daytime_server_stop(server);
    daytime_server_free(server);

    server = new_server(); /* a server that is stopped before its start ends at once */
    daytime_server_stop(server);
    start(server);
    OK(daytime_server_wait(server, 10000));
    daytime_server_free(server);

    server = new_server();
    int fd = listening_socket(&port);
    OK(daytime_server_listen_fd(server, fd));
    start(server);
    daytime_client *client = connect_client(server);
    CHECK(!strcmp(ask(client, "time"), "15:44:57"));
    OK(daytime_server_drain(server, 10000));
    OK(daytime_server_wait(server, 10000));
    CHECK(daytime_client_request(client, "day", address, sizeof address, &err) == DAYTIME_ERR_CLOSED);
    CHECK(daytime_client_request(client, "day", address, sizeof address, &err) == DAYTIME_ERR_CLOSED);
    daytime_client_free(client);
    daytime_server_free(server);
    CHECK(close(fd) == -1 && errno == EBADF); /* the server has closed it */
}

static void stop_in_a_signal_handler(void) {
    struct sigaction act = { .sa_handler = on_alarm }, before;
    signalled = new_server();
    start(signalled);
    CHECK(sigaction(SIGALRM, &act, &before) == 0);
    CHECK(raise(SIGALRM) == 0);
    OK(daytime_server_wait(signalled, 10000));
    CHECK(sigaction(SIGALRM, &before, NULL) == 0);
    daytime_server_free(signalled);
}

struct shared {
    daytime_server *server;
    daytime_client *client;
};

static void *use(void *argument) {
    struct shared *shared = argument;
    daytime_client *client = connect_client(shared->server);
    for (int i = 0; i < 50; i++) {
        daytime_stats stats;
        char text[64];
        size_t count;
        OK(daytime_client_time(shared->client, text, sizeof text, NULL));
        CHECK(!strcmp(text, "15:44:57") && !strcmp(ask(client, "day"), "Sunday"));
        OK(daytime_server_stats(shared->server, &stats, sizeof stats));
        OK(daytime_server_clients(shared->server, NULL, sizeof(daytime_client_info), 0, &count));
        OK(daytime_server_set_clock(shared->server, SUNDAY));
        OK(daytime_server_set_networks(shared->server, NULL, 0, NULL, 0));
        OK(daytime_server_reload_zones(shared->server));
        CHECK(daytime_server_listen(shared->server, "127.0.0.1:0") == DAYTIME_ERR_STATE);
    }
    daytime_client_free(client);
    return NULL;
}

static void *stop_and_wait(void *server) {
    daytime_server_stop(server);
    OK(daytime_server_wait(server, 10000));
    return NULL;
}

static void *stop(void *server) {
    daytime_server_stop(server);
    return NULL;
}

/* Before, during or after the start: the server ends. */
static void stop_during_the_start(void) {
    for (int i = 0; i < 20; i++) {
        daytime_server *server = new_server();
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, stop, server) == 0);
        if (i % 2) usleep(100 * (unsigned)i);
        OK(daytime_server_start(server, NULL));
        OK(daytime_server_wait(server, 10000));
        pthread_join(thread, NULL);
        daytime_server_free(server);
    }
}

static void many_threads(void) {
    struct shared shared = { new_server(), NULL };
    pthread_t threads[8];
    start(shared.server);
    shared.client = connect_client(shared.server);
    for (int i = 0; i < 8; i++) CHECK(pthread_create(&threads[i], NULL, use, &shared) == 0);
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 8; i++) CHECK(pthread_create(&threads[i], NULL, stop_and_wait, shared.server) == 0);
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    daytime_client_free(shared.client);
    daytime_server_free(shared.server);
}

int main(void) {
    CHECK(daytime_version_number() == DAYTIME_VERSION_NUMBER);
    settings();
    orders();
    stop_in_a_signal_handler();
    stop_during_the_start();
    many_threads();
    return 0;
}
