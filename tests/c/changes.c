/* Changes while a server runs: the allowed networks, the proxies, and the files of time zones. */
#include "check.h"

#define MANY 100000

static daytime_status attempt(const daytime_server *server) {
    char address[DAYTIME_ADDR_MAX];
    daytime_client *client;
    OK(daytime_server_local_addr(server, address, sizeof address));
    daytime_status status = daytime_client_connect(address, 10000, &client, NULL);
    daytime_client_free(client);
    return status;
}

static void before_start(void) {
    static const char *const everybody[] = { "0.0.0.0/0", "::/0" };
    static const struct { const char *allow, *deny; daytime_status status; } lines[] = {
        { "192.0.2.0/24", NULL, DAYTIME_ERR_CLOSED }, /* all other networks are denied */
        { "127.0.0.1", NULL, DAYTIME_OK },
        { NULL, "127.0.0.0/8", DAYTIME_ERR_CLOSED },
        { NULL, "192.0.2.0/24", DAYTIME_OK },
        { "127.0.0.1", "127.0.0.0/8", DAYTIME_OK }, /* the longest prefix decides */
        { "127.0.0.0/8", "127.0.0.0/8", DAYTIME_ERR_CLOSED }, /* of equal prefixes, deny decides */
        { "::ffff:127.0.0.0/104", "0.0.0.0/0", DAYTIME_OK },
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        daytime_server *server = new_server();
        OK(daytime_server_set_networks(server, NULL, 0, everybody, 2)); /* the next call replaces these */
        OK(daytime_server_set_networks(server, NULL, 0, NULL, 0));
        if (lines[i].allow) OK(daytime_server_allow(server, lines[i].allow));
        if (lines[i].deny) OK(daytime_server_deny(server, lines[i].deny));
        OK(daytime_server_set_workers(server, 1)); /* another setting does not change the networks */
        start(server);
        CHECK(attempt(server) == lines[i].status);
        daytime_server_free(server);
    }
}

static void while_running(void) {
    static const char *const loopback[] = { "127.0.0.0/8" }, *const others[] = { "192.0.2.0/24", "2001:db8::/32" };
    static const char *const all[] = { "0.0.0.0/0", "::/0" }, *const wrong[] = { "127.0.0.0/8", "127.0.0.0/33" };
    daytime_server *server = new_server();
    daytime_event event;
    daytime_stats stats;
    daytime_client *local;
    char name[64];
    snprintf(name, sizeof name, "unix:@daytime-changes-%d", (int)getpid());
    OK(daytime_server_listen(server, name));
    OK(daytime_server_enable_events(server, 100, 0));
    start(server);
    daytime_client *client = connect_client(server);
    next_event(server, DAYTIME_EVENT_CONNECTED);

    OK(daytime_server_set_networks(server, NULL, 0, loopback, 1));
    CHECK(attempt(server) == DAYTIME_ERR_CLOSED);
    event = next_event(server, DAYTIME_EVENT_REFUSED);
    CHECK(event.reason == DAYTIME_REASON_DENIED && event.client == 0 && !strncmp(event.peer, "127.0.0.1:", 10));
    CHECK(strstr(event.text, "denied"));
    CHECK(!strcmp(ask(client, "day"), "Sunday")); /* a connected client stays */
    CHECK(daytime_server_set_networks(server, wrong, 2, NULL, 0) == DAYTIME_ERR_INVALID);
    CHECK(daytime_server_set_networks(server, all, 2, wrong, 2) == DAYTIME_ERR_INVALID);
    CHECK(attempt(server) == DAYTIME_ERR_CLOSED); /* the networks are unchanged */
    OK(daytime_server_set_networks(server, others, 2, NULL, 0));
    CHECK(attempt(server) == DAYTIME_ERR_CLOSED);
    OK(daytime_server_set_networks(server, loopback, 1, others, 2));
    OK(attempt(server));
    OK(daytime_server_set_networks(server, NULL, 0, all, 2));
    CHECK(attempt(server) == DAYTIME_ERR_CLOSED);
    OK(daytime_client_connect(name, 10000, &local, NULL)); /* a client of a Unix socket does not have a network */
    CHECK(!strcmp(ask(local, "day"), "Sunday"));
    daytime_client_free(local);
    OK(daytime_server_set_networks(server, NULL, 0, NULL, 0));
    OK(attempt(server));
    OK(daytime_server_stats(server, &stats, sizeof stats));
    CHECK(stats.refused == 4 && stats.accepted == 4);
    daytime_client_free(client);
    daytime_server_free(server);
}

/* Many networks in one call, and in one call each. Neither way copies all networks for each setting. */
static void many_networks(void) {
    static char texts[MANY][24];
    static const char *networks[MANY + 1];
    daytime_server *server = new_server();
    for (int i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof texts[i], "10.%d.%d.%d/31", i >> 15 & 255, i >> 7 & 255, i << 1 & 255);
        networks[i] = texts[i];
    }
    networks[MANY] = "127.0.0.1/32";
    for (int i = 0; i < MANY; i++) OK(daytime_server_deny(server, networks[i]));
    OK(daytime_server_deny(server, networks[MANY]));
    start(server);
    CHECK(attempt(server) == DAYTIME_ERR_CLOSED);
    OK(daytime_server_set_networks(server, NULL, 0, networks, MANY));
    OK(attempt(server));
    OK(daytime_server_set_networks(server, networks, MANY, NULL, 0));
    CHECK(attempt(server) == DAYTIME_ERR_CLOSED);
    OK(daytime_server_set_networks(server, networks, MANY + 1, NULL, 0));
    OK(attempt(server));
    daytime_server_free(server);
}

/* Writes a zone file (RFC 9636) with one constant offset. As with package managers, a new file replaces the old one. */
static void put_zone(const char *directory, unsigned char hours) {
    unsigned char file[44 + 6 + 4] = "TZif";
    char new[96], place[96];
    unsigned offset = hours * 3600u;
    file[39] = 1; /* one type of local time */
    file[43] = 4; /* the name of the type has three letters and a NUL */
    file[46] = (unsigned char)(offset >> 8), file[47] = (unsigned char)offset;
    memcpy(file + 50, "XYZ", 4);
    snprintf(new, sizeof new, "%s/new", directory);
    snprintf(place, sizeof place, "%s/Here", directory);
    FILE *stream = fopen(new, "wb");
    CHECK(stream && fwrite(file, sizeof file, 1, stream) == 1 && fclose(stream) == 0 && rename(new, place) == 0);
}

static void check_zone(const daytime_server *server, daytime_client *client, const char *time, const char *line) {
    char address[DAYTIME_ADDR_MAX], text[DAYTIME_REPLY_MAX];
    CHECK(!strcmp(ask(client, "time"), time) && !strcmp(ask(client, "time Here"), time));
    OK(daytime_server_address(server, DAYTIME_SERVICE_RFC867, 0, address, sizeof address));
    OK(daytime_rfc867(address, 10000, text, sizeof text, NULL));
    CHECK(!strcmp(text, line));
}

static void zones(void) {
    char directory[64], file[96];
    scratch(directory);
    put_zone(directory, 1);
    CHECK(setenv("TZDIR", directory, 1) == 0);
    daytime_server *server = new_server();
    OK(daytime_server_listen_as(server, DAYTIME_SERVICE_RFC867, "127.0.0.1:0"));
    OK(daytime_server_set_timezone(server, "Here"));
    OK(daytime_server_set_workers(server, 1));
    start(server);
    daytime_client *client = connect_client(server);
    check_zone(server, client, "16:44:57", "Sunday, November 22, 2026 16:44:57-XYZ");
    put_zone(directory, 2);
    check_zone(server, client, "16:44:57", "Sunday, November 22, 2026 16:44:57-XYZ");
    OK(daytime_server_reload_zones(server));
    OK(daytime_server_set_clock(server, SUNDAY + 1));
    check_zone(server, client, "17:44:58", "Sunday, November 22, 2026 17:44:58-XYZ");
    snprintf(file, sizeof file, "%s/Here", directory);
    CHECK(unlink(file) == 0 && rmdir(directory) == 0);
    OK(daytime_server_reload_zones(server)); /* a server keeps its zone if the file is missing */
    CHECK(!strcmp(ask(client, "time"), "17:44:58") && strcmp(ask(client, "time Here"), "17:44:58"));
    daytime_client_free(client);
    daytime_server_free(server);
    CHECK(unsetenv("TZDIR") == 0);
}

/* Connects as a proxy, and sends this text. */
static int proxy(const char *at, const char *text) {
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(strchr(at, ':') + 1)) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL); /* the server may have reset the connection */
    return fd;
}

static void proxies(void) {
    static const char *const elsewhere[] = { "192.0.2.0/24" }, *const wrong[] = { "127.0.0.1", "proxy" };
    static const char header[] = "PROXY TCP4 192.0.2.1 198.51.100.1 56324 9990\r\n";
    daytime_server *server = daytime_server_new();
    char address[DAYTIME_ADDR_MAX], greeting[21];
    daytime_error err;
    OK(daytime_server_listen_as(server, DAYTIME_SERVICE_PROXIED, "127.0.0.1:0"));
    OK(daytime_server_enable_events(server, 100, 0));
    OK(daytime_server_set_proxy_timeout(server, 3000));
    CHECK(daytime_server_start(server, &err) == DAYTIME_ERR_INVALID && strstr(err.message, "needs the proxy's network"));
    OK(daytime_server_set_proxies(server, elsewhere, 1));
    OK(daytime_server_proxy(server, "127.0.0.1"));
    start(server);
    OK(daytime_server_address(server, DAYTIME_SERVICE_PROXIED, 0, address, sizeof address));
    CHECK(daytime_server_port(server) == 0);

    int fd = proxy(address, header);
    daytime_event event = next_event(server, DAYTIME_EVENT_CONNECTED);
    CHECK(!strcmp(event.peer, "192.0.2.1:56324"));
    CHECK(recv(fd, greeting, sizeof greeting, MSG_WAITALL) == sizeof greeting && !memcmp(greeting, "Welcome to the server", 21));
    close(fd);
    CHECK(!strcmp(next_event(server, DAYTIME_EVENT_DISCONNECTED).peer, "192.0.2.1:56324"));
    close(proxy(address, "day\n"));
    event = next_event(server, DAYTIME_EVENT_REFUSED);
    CHECK(event.reason == DAYTIME_REASON_PROXY_HEADER && !strncmp(event.peer, "127.0.0.1:", 10));
    CHECK(daytime_server_set_proxies(server, wrong, 2) == DAYTIME_ERR_INVALID);
    for (size_t n = 0; n < 2; n++) { /* an empty list names no proxy, and the other one names others */
        OK(daytime_server_set_proxies(server, elsewhere, n));
        close(proxy(address, header));
        CHECK(next_event(server, DAYTIME_EVENT_REFUSED).reason == DAYTIME_REASON_DENIED);
    }
    daytime_server_free(server);
}

int main(void) {
    before_start();
    while_running();
    proxies();
    many_networks();
    zones();
    return 0;
}
