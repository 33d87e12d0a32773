/* Texts in buffers: always NUL-terminated, and cut between characters. The connection stays in step. */
#include "check.h"

static int umlauts(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)request, (void)user_data;
    return daytime_reply_set(reply, "aä"); /* three bytes */
}

static void buffers(daytime_client *client) {
    static const struct { size_t cap; daytime_status status; const char *text; } lines[] = {
        { 1, DAYTIME_ERR_TRUNCATED, "" }, { 2, DAYTIME_ERR_TRUNCATED, "a" }, { 3, DAYTIME_ERR_TRUNCATED, "a" },
        { 4, DAYTIME_OK, "aä" }, { 5, DAYTIME_OK, "aä" },
    };
    daytime_error err;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char buf[8];
        memset(buf, '#', sizeof buf);
        CHECK(daytime_client_request(client, "umlauts", buf, lines[i].cap, &err) == lines[i].status);
        CHECK(!strcmp(buf, lines[i].text) && buf[lines[i].cap] == '#');
        CHECK(!strcmp(ask(client, "time"), "15:44:57"));
    }
    CHECK(err.status == DAYTIME_ERR_TRUNCATED && err.os_error == 0 && strstr(err.message, "3"));
}

static void refusals(daytime_client *client) {
    char buf[8] = "before", longest[1025];
    daytime_error err;
    CHECK(daytime_client_request(client, "day\n", buf, sizeof buf, &err) == DAYTIME_ERR_INVALID);
    CHECK(daytime_client_request(client, "day\r", buf, sizeof buf, &err) == DAYTIME_ERR_INVALID);
    CHECK(daytime_client_request(client, "day\t\x01", buf, sizeof buf, &err) == DAYTIME_ERR_INVALID);
    CHECK(daytime_client_request(client, "\xc3(", buf, sizeof buf, &err) == DAYTIME_ERR_INVALID);
    CHECK(daytime_client_request(client, "nonsense", buf, sizeof buf, &err) == DAYTIME_ERR_REFUSED);
    CHECK(!strcmp(err.message, "You entered an invalid command") && !strcmp(buf, "before"));
    memset(longest, 'x', 1024);
    longest[1024] = 0;
    CHECK(daytime_client_request(client, longest, buf, sizeof buf, &err) == DAYTIME_ERR_REFUSED);
    CHECK(!strcmp(ask(client, "day"), "Sunday"));
}

static void typed(daytime_client *client) {
    char buf[64];
    int64_t timestamp = 0;
    OK(daytime_client_timestamp(client, &timestamp, NULL));
    CHECK(timestamp == SUNDAY);
    OK(daytime_client_day(client, buf, sizeof buf, NULL));
    CHECK(!strcmp(buf, "Sunday"));
    OK(daytime_client_date(client, buf, sizeof buf, NULL));
    CHECK(!strcmp(buf, "2026-11-22"));
    OK(daytime_client_time(client, buf, sizeof buf, NULL));
    CHECK(!strcmp(buf, "15:44:57"));
    OK(daytime_client_datetime(client, buf, sizeof buf, NULL));
    CHECK(!strcmp(buf, "2026-11-22T15:44:57+00:00"));

    int64_t next = 0;
    int utc_offset = 1;
    OK(daytime_client_tz(client, "", buf, sizeof buf, NULL));
    CHECK(!strcmp(buf, "UTC0"));
    OK(daytime_client_next_transition(client, "", &next, &utc_offset, NULL));
    CHECK(next == INT64_MAX && utc_offset == 0);
    OK(daytime_client_tz(client, "+05:30", buf, sizeof buf, NULL));
    CHECK(!strcmp(buf, "<+0530>-5:30"));
    CHECK(daytime_client_tz(client, "+05:30", buf, 4, NULL) == DAYTIME_ERR_TRUNCATED && !strcmp(buf, "<+0"));
    daytime_error err;
    CHECK(daytime_client_tz(client, "Mars/Olympus", buf, sizeof buf, &err) == DAYTIME_ERR_REFUSED);
    next = 7;
    CHECK(daytime_client_next_transition(client, "Mars/Olympus", &next, &utc_offset, &err) == DAYTIME_ERR_REFUSED && next == 7);
    CHECK(!strcmp(err.message, "You entered an unknown time zone"));
    /* Without a zone database there are only UTC and offsets. */
    if (!daytime_client_next_transition(client, "America/New_York", &next, &utc_offset, NULL)) {
        CHECK(next == 1805007600 && utc_offset == -4 * 3600);
    }
}

/* A message that does not fit into daytime_error is cut. */
static void long_message(void) {
    char name[254 + 9];
    daytime_client *client = (void *)name;
    daytime_error err;
    memset(name, 'x', sizeof name);
    memcpy(name + 200, ":99999", 7);
    CHECK(daytime_client_connect(name, 0, &client, &err) == DAYTIME_ERR_INVALID && client == NULL);
    memset(err.message, '#', sizeof err.message);
    memset(name, '%', 250);
    name[250] = 0;
    CHECK(daytime_client_connect(name, 0, &client, &err) != DAYTIME_OK);
    CHECK(strnlen(err.message, sizeof err.message) < sizeof err.message);
}

/* A peer that does not speak the protocol. */
static void *speak(void *fd) {
    int peer = accept(*(int *)fd, NULL, NULL);
    char byte;
    CHECK(write(peer, "\xff\xfe\x01\n", 4) == 4);
    while (read(peer, &byte, 1) > 0) {}
    close(peer);
    return NULL;
}

static void strangers(void) {
    uint16_t port;
    int fd = listening_socket(&port);
    char address[64];
    daytime_client *client;
    daytime_error err;
    pthread_t thread;
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    CHECK(pthread_create(&thread, NULL, speak, &fd) == 0);
    CHECK(daytime_client_connect(address, 10000, &client, &err) == DAYTIME_ERR_PROTOCOL && err.message[0] && !client);
    pthread_join(thread, NULL);
    CHECK(daytime_client_connect(address, 50, &client, &err) == DAYTIME_ERR_TIMEOUT && !client);
    close(fd);
}

int main(void) {
    daytime_server *server = new_server();
    OK(daytime_server_add_command(server, "umlauts", umlauts, NULL, NULL));
    start(server);
    daytime_client *client = connect_client(server);
    buffers(client);
    refusals(client);
    typed(client);
    long_message();
    strangers();
    daytime_client_free(client);
    daytime_server_free(server);
    return 0;
}
