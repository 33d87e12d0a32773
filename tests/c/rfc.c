/* The daytime protocol of RFC 867 and the time protocol of RFC 868, served and read. */
#include "check.h"

#define LINE "Sunday, November 22, 2026 15:44:57-UTC"

static char daytime[DAYTIME_ADDR_MAX], seconds[DAYTIME_ADDR_MAX];

static daytime_server *rfc_server(void) {
    daytime_server *server = daytime_server_new();
    OK(daytime_server_listen_as(server, DAYTIME_SERVICE_RFC867, "127.0.0.1:0"));
    OK(daytime_server_listen_as(server, DAYTIME_SERVICE_RFC868, "127.0.0.1:0"));
    OK(daytime_server_set_timezone(server, "UTC"));
    OK(daytime_server_set_clock(server, SUNDAY));
    OK(daytime_server_enable_events(server, 100, 1));
    return server;
}

static void begin(daytime_server *server) {
    start(server);
    OK(daytime_server_address(server, DAYTIME_SERVICE_RFC867, 0, daytime, sizeof daytime));
    OK(daytime_server_address(server, DAYTIME_SERVICE_RFC868, 0, seconds, sizeof seconds));
}

/* Reads a plain socket to its end. */
static size_t read_all(const char *at, char *buf, size_t cap) {
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(strchr(at, ':') + 1)) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t size = 0;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    for (ssize_t n; (n = read(fd, buf + size, cap - size)) != 0; size += (size_t)n) CHECK(n > 0);
    close(fd);
    return size;
}

static void answered(daytime_server *server, uint64_t client) {
    daytime_event event = next_event(server, DAYTIME_EVENT_CONNECTED);
    CHECK(event.client == client && !strncmp(event.peer, "127.0.0.1:", 10));
    event = next_event(server, DAYTIME_EVENT_DISCONNECTED);
    CHECK(event.client == client && event.reason == DAYTIME_REASON_ANSWERED && event.commands == 0);
}

/* Both protocols over UDP, on a socket of ours and on an address. */
static void datagrams(void) {
    struct sockaddr_in at = { .sin_family = AF_INET };
    daytime_server *server = daytime_server_new();
    char text[DAYTIME_REPLY_MAX], daytime_udp[DAYTIME_ADDR_MAX], seconds_udp[DAYTIME_ADDR_MAX];
    int64_t second;
    daytime_stats stats;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(daytime_server_listen_fd_as(server, DAYTIME_SERVICE_RFC868_UDP, fd) == DAYTIME_ERR_INVALID); /* not bound */
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(daytime_server_listen_fd(server, fd) == DAYTIME_ERR_INVALID);
    OK(daytime_server_listen_fd_as(server, DAYTIME_SERVICE_RFC868_UDP, fd));
    OK(daytime_server_listen_as(server, DAYTIME_SERVICE_RFC867_UDP, "127.0.0.80:0")); /* an address that no other test uses */
    OK(daytime_server_set_udp_rate(server, 1));
    CHECK(daytime_server_set_udp_rate(server, 0) == DAYTIME_ERR_INVALID);
    CHECK(daytime_server_set_udp_rate(server, 10001) == DAYTIME_ERR_INVALID);
    OK(daytime_server_set_udp_rate(server, 100));
    OK(daytime_server_set_timezone(server, "UTC"));
    OK(daytime_server_set_clock(server, SUNDAY));
    start(server);
    OK(daytime_server_address(server, DAYTIME_SERVICE_RFC867_UDP, 0, daytime_udp, sizeof daytime_udp));
    OK(daytime_server_address(server, DAYTIME_SERVICE_RFC868_UDP, 0, seconds_udp, sizeof seconds_udp));
    OK(daytime_rfc867_udp(daytime_udp, 10000, text, sizeof text, NULL));
    CHECK(!strcmp(text, LINE));
    OK(daytime_rfc868_udp(seconds_udp, 10000, &second, NULL));
    CHECK(second == SUNDAY);
    CHECK(daytime_rfc868_udp(daytime_udp, 10000, &second, NULL) == DAYTIME_ERR_PROTOCOL);
    WAIT_UNTIL(daytime_server_stats(server, &stats, sizeof stats) == DAYTIME_OK && stats.datagrams_answered >= 3); /* a late answer makes the client repeat its question */
    CHECK(stats.datagrams_dropped == 0 && stats.accepted == 0);
    CHECK(daytime_server_port(server) == 0); /* not the default address */
    daytime_server_free(server);
    CHECK(daytime_rfc867_udp(daytime_udp, 10000, text, sizeof text, NULL) == DAYTIME_ERR_IO);
    CHECK(daytime_last_error()->os_error == ECONNREFUSED);
    CHECK(daytime_rfc867_udp("unix:/tmp/socket", 0, text, sizeof text, NULL) == DAYTIME_ERR_INVALID);
}

static void answers(void) {
    daytime_server *server = rfc_server();
    char text[DAYTIME_REPLY_MAX];
    int64_t second;
    daytime_stats stats;
    begin(server);
    CHECK(daytime_server_local_addr(server, text, sizeof text) == DAYTIME_ERR_INVALID); /* not the default address */
    CHECK(daytime_server_port(server) == 0);
    CHECK(daytime_server_address(server, DAYTIME_SERVICE_RFC867, 1, text, sizeof text) == DAYTIME_ERR_INVALID);
    CHECK(daytime_server_address(server, DAYTIME_SERVICE_RFC868, 1, text, sizeof text) == DAYTIME_ERR_INVALID);
    CHECK(daytime_server_address(server, DAYTIME_SERVICE_RFC868, 0, text, 4) == DAYTIME_ERR_TRUNCATED && !strcmp(text, "127"));

    CHECK(read_all(daytime, text, sizeof text) == strlen(LINE "\r\n") && !memcmp(text, LINE "\r\n", strlen(LINE "\r\n")));
    answered(server, 1);
    CHECK(read_all(seconds, text, sizeof text) == 4 && !memcmp(text, "\xee\xad\x8c\x79", 4));
    answered(server, 2);

    OK(daytime_rfc867(daytime, 10000, text, sizeof text, NULL));
    CHECK(!strcmp(text, LINE));
    OK(daytime_rfc868(seconds, 0, &second, NULL));
    CHECK(second == SUNDAY);
    OK(daytime_server_set_clock(server, -1));
    OK(daytime_rfc867(daytime, -1, text, sizeof text, NULL));
    CHECK(!strcmp(text, "Wednesday, December 31, 1969 23:59:59-UTC"));
    OK(daytime_rfc868(seconds, -1, &second, NULL));
    CHECK(second == -1);
    OK(daytime_server_stats(server, &stats, sizeof stats));
    CHECK(stats.accepted == 6 && stats.refused == 0 && stats.commands == 0);
    daytime_server_free(server);
}

static void buffers(void) {
    daytime_server *server = rfc_server();
    daytime_error err;
    size_t size = sizeof LINE;
    begin(server);
    for (size_t cap = 1; cap <= size; cap += size - 1) {
        char text[sizeof LINE + 1];
        memset(text, '#', sizeof text);
        CHECK(daytime_rfc867(daytime, 10000, text, cap, &err) == (cap < size ? DAYTIME_ERR_TRUNCATED : DAYTIME_OK));
        CHECK(strlen(text) == cap - 1 && !strncmp(text, LINE, cap - 1) && text[cap] == '#');
    }
    CHECK(err.status == DAYTIME_ERR_TRUNCATED && strstr(err.message, "39"));
    daytime_server_free(server);
}

/* Peers of another protocol, and silent ones. A call that fails writes no result. */
static void strangers(void) {
    daytime_server *server = new_server();
    char text[8] = "before";
    int64_t second = 4711;
    daytime_error err;
    uint16_t port;
    OK(daytime_server_listen_as(server, DAYTIME_SERVICE_RFC867, "127.0.0.1:0"));
    start(server);
    OK(daytime_server_local_addr(server, daytime, sizeof daytime));
    OK(daytime_server_address(server, DAYTIME_SERVICE_RFC867, 0, seconds, sizeof seconds));
    CHECK(daytime_rfc867(daytime, 50, text, sizeof text, &err) == DAYTIME_ERR_TIMEOUT); /* a text server */
    CHECK(daytime_rfc868(daytime, 10000, &second, &err) == DAYTIME_ERR_PROTOCOL && err.message[0]);
    CHECK(daytime_rfc868(seconds, 10000, &second, &err) == DAYTIME_ERR_PROTOCOL);
    daytime_server_free(server);

    int fd = listening_socket(&port);
    snprintf(daytime, sizeof daytime, "127.0.0.1:%d", port);
    CHECK(daytime_rfc868(daytime, 50, &second, &err) == DAYTIME_ERR_TIMEOUT && err.status == DAYTIME_ERR_TIMEOUT);
    close(fd);
    CHECK(second == 4711 && !strcmp(text, "before"));
}

/* Both protocols on Unix sockets, by name and as descriptors. */
static void unix_sockets(void) {
    daytime_server *server = rfc_server();
    char directory[64], file[80], address[96], name[64], text[DAYTIME_REPLY_MAX];
    int64_t second;
    scratch(directory);
    snprintf(file, sizeof file, "%s/daytime", directory);
    snprintf(address, sizeof address, "unix:%s", file);
    snprintf(name, sizeof name, "unix:@daytime-rfc-%d", (int)getpid());
    int fd = bound_unix_socket(name + strlen("unix:"));
    CHECK(listen(fd, 8) == 0);
    OK(daytime_server_listen_as(server, DAYTIME_SERVICE_RFC867, address));
    OK(daytime_server_listen_fd_as(server, DAYTIME_SERVICE_RFC868, fd));
    uint16_t port;
    fd = listening_socket(&port);
    OK(daytime_server_listen_fd_as(server, DAYTIME_SERVICE_RFC867, fd));
    begin(server);
    OK(daytime_server_address(server, DAYTIME_SERVICE_RFC867, 1, text, sizeof text));
    CHECK(!strcmp(text, address));
    OK(daytime_server_address(server, DAYTIME_SERVICE_RFC868, 1, text, sizeof text));
    CHECK(!strcmp(text, name));
    OK(daytime_rfc867(address, 10000, text, sizeof text, NULL));
    CHECK(!strcmp(text, LINE));
    OK(daytime_rfc868(name, 10000, &second, NULL));
    CHECK(second == SUNDAY);
    OK(daytime_server_address(server, DAYTIME_SERVICE_RFC867, 2, daytime, sizeof daytime));
    CHECK(atoi(strchr(daytime, ':') + 1) == port);
    OK(daytime_rfc867(daytime, 10000, text, sizeof text, NULL));
    CHECK(!strcmp(text, LINE));
    daytime_server_free(server);
    CHECK(rmdir(directory) == 0);
}

/* A denied client gets no bytes, so it does not get the time. */
static void denied(void) {
    daytime_server *server = rfc_server();
    char text[64];
    int64_t second;
    OK(daytime_server_allow(server, "192.0.2.0/24"));
    begin(server);
    CHECK(daytime_rfc867(daytime, 10000, text, sizeof text, NULL) == DAYTIME_ERR_CLOSED);
    CHECK(daytime_rfc868(seconds, 10000, &second, NULL) == DAYTIME_ERR_CLOSED);
    for (int i = 0; i < 2; i++) CHECK(next_event(server, DAYTIME_EVENT_REFUSED).reason == DAYTIME_REASON_DENIED);
    daytime_server_free(server);
}

int main(void) {
    answers();
    datagrams();
    buffers();
    strangers();
    unix_sockets();
    denied();
    return 0;
}
