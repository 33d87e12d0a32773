/* Custom commands: the calls that a handler may make, and user data that is freed exactly once. */
#include "check.h"

#include <stdatomic.h>

#define COMMANDS 10
struct world {
    daytime_server *server;
    atomic_int freed, calls, cancelled;
    daytime_status waited, next;
};

static void count(void *user_data) {
    ((struct world *)user_data)->freed++;
}

static int describe(const daytime_request *request, daytime_reply *reply, void *user_data) {
    struct world *world = user_data;
    char text[DAYTIME_REPLY_MAX];
    world->calls++;
    snprintf(text, sizeof text, "%s(%s) %.10s %d", daytime_request_command(request), daytime_request_argument(request),
             daytime_request_peer(request), (int)daytime_request_client(request));
    return daytime_reply_set(reply, "first") || daytime_reply_set(reply, text);
}

static int bye(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)request, (void)user_data;
    daytime_reply_close(reply);
    return daytime_reply_set(reply, "bye");
}

static int fail(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)user_data;
    if (*daytime_request_argument(request)) OK(daytime_reply_set(reply, daytime_request_argument(request)));
    return 7;
}

static int silent(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)request, (void)reply, (void)user_data;
    return 0;
}

static int refuse(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)user_data;
    const char *argument = daytime_request_argument(request);
    if (!strcmp(argument, "not")) return daytime_reply_error(reply, "first") || daytime_reply_set(reply, "not refused");
    if (!strcmp(argument, "twice")) OK(daytime_reply_error(reply, "first"));
    if (!strcmp(argument, "and fail")) return daytime_reply_error(reply, "it failed") || 1;
    daytime_reply_close(reply); /* no effect on an error line */
    OK(daytime_reply_set(reply, "never sent"));
    return daytime_reply_error(reply, argument);
}

/* Sends what a client would take for an error. */
static int imitate(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)request, (void)user_data;
    return daytime_reply_set(reply, "The command failed: of its own");
}

/* Runs until nobody waits for the reply. */
static int endless(const daytime_request *request, daytime_reply *reply, void *user_data) {
    struct world *world = user_data;
    CHECK(!daytime_request_is_cancelled(request));
    world->calls++;
    WAIT_UNTIL(daytime_request_is_cancelled(request));
    world->cancelled++;
    return daytime_reply_set(reply, "never sent");
}

/* Sends a custom command to the server of the handler, which has no thread left for it. */
static int recursive(const daytime_request *request, daytime_reply *reply, void *user_data) {
    struct world *world = user_data;
    char address[DAYTIME_ADDR_MAX], text[DAYTIME_REPLY_MAX];
    daytime_client *client;
    if (*daytime_request_argument(request)) return daytime_reply_set(reply, "the end");
    OK(daytime_server_local_addr(world->server, address, sizeof address));
    OK(daytime_client_connect(address, 1000, &client, NULL));
    CHECK(daytime_client_request(client, "recursive end", text, sizeof text, NULL) == DAYTIME_ERR_TIMEOUT);
    daytime_client_free(client);
    return daytime_reply_set(reply, "timed out");
}

/* Connects to the server of the handler, fails to wait for it, and stops or frees it. */
static int inside(const daytime_request *request, daytime_reply *reply, void *user_data) {
    struct world *world = user_data;
    daytime_event event;
    daytime_client *client = connect_client(world->server);
    CHECK(!strcmp(ask(client, "day"), "Sunday") && !strncmp(ask(client, "describe it"), "describe(it) 127.0.0.1", 22));
    daytime_client_free(client);
    world->waited = daytime_server_wait(world->server, -1);
    world->next = daytime_server_next_event(world->server, &event, sizeof event, -1);
    if (!strcmp(daytime_request_argument(request), "free")) {
        daytime_server_free(world->server);
        daytime_request_stop(request);
    } else {
        daytime_server_stop(world->server);
        daytime_server_stop(world->server);
    }
    return daytime_reply_set(reply, "unheard");
}

static int drain(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)user_data;
    daytime_request_drain(request, 10000);
    return daytime_reply_set(reply, "drained");
}

static daytime_server *new_world(struct world *world) {
    static const struct { const char *name; daytime_command_fn handler; } commands[] = {
        { "Describe", describe }, { "bye", bye },     { "fail", fail },
        { "silent", silent },     { "drain", drain }, { "inside", inside },
        { "refuse", refuse },     { "imitate", imitate }, { "endless", endless },
        { "recursive", recursive },
    };
    memset(world, 0, sizeof *world);
    world->server = new_server();
    OK(daytime_server_enable_events(world->server, 100, 0));
    for (size_t i = 0; i < COMMANDS; i++) {
        OK(daytime_server_add_command(world->server, commands[i].name, commands[i].handler, world, count));
    }
    CHECK(daytime_server_add_command(world->server, "BYE", bye, world, count) == DAYTIME_ERR_INVALID);
    CHECK(world->freed == 1); /* a rejected registration frees its user data at once */
    return world->server;
}

static void answers(void) {
    struct world world;
    daytime_server *server = new_world(&world);
    start(server);
    daytime_client *client = connect_client(server);
    CHECK(strstr(ask(client, "help"), ", describe, bye, fail, silent, drain, inside, refuse, imitate"));
    CHECK(!strcmp(ask(client, "DESCRIBE  two words "), "describe(two words) 127.0.0.1: 1"));
    CHECK(!strcmp(ask(client, "fail"), "The command failed") && !strcmp(next_error(server), "the handler returned 7"));
    CHECK(!strcmp(ask(client, "fail no luck"), "The command failed") && !strcmp(next_error(server), "no luck"));
    CHECK(!strcmp(ask(client, "silent"), "The command failed") && strstr(next_error(server), "empty"));
    CHECK(!strcmp(ask(client, "bye"), "bye") && !strcmp(ask(client, "day"), "the connection is closed"));
    daytime_client_free(client);
    client = connect_client(server);
    CHECK(!strcmp(ask(client, "drain"), "drained"));
    OK(daytime_server_wait(server, 10000));
    CHECK(world.freed == COMMANDS + 1 && world.calls == 1);
    daytime_client_free(client);
    daytime_server_free(server);
    CHECK(world.freed == COMMANDS + 1);
}

static void from_inside(const char *command) {
    struct world world;
    daytime_server *server = new_world(&world);
    start(server);
    daytime_client *client = connect_client(server);
    CHECK(!strcmp(ask(client, command), "the connection is closed"));
    daytime_client_free(client);
    if (strcmp(command, "inside free")) {
        OK(daytime_server_wait(server, 10000));
        daytime_server_free(server);
    }
    /* A server that was freed by its handler ends by itself. */
    WAIT_UNTIL(world.freed == COMMANDS + 1);
    CHECK(world.waited == DAYTIME_ERR_STATE && world.next == DAYTIME_ERR_STATE);
}

static void error_lines(void) {
    struct world world;
    daytime_server *server = new_world(&world);
    char text[DAYTIME_REPLY_MAX], command[DAYTIME_REPLY_MAX + 8] = "refuse ", line[64] = "";
    daytime_error err;
    daytime_stats stats;
    OK(daytime_server_set_framing(server, DAYTIME_FRAMING_LINE));
    start(server);
    daytime_client *client = connect_client(server);
    CHECK(daytime_client_request(client, "refuse the tea", text, sizeof text, &err) == DAYTIME_ERR_REFUSED);
    CHECK(err.status == DAYTIME_ERR_REFUSED && !strcmp(err.message, "the tea"));
    CHECK(!strcmp(ask(client, "refuse twice"), "twice")); /* and the connection is not closed */
    CHECK(!strcmp(ask(client, "refuse not"), "not refused"));
    CHECK(!strcmp(ask(client, "refuse and fail"), "The command failed") && !strcmp(next_error(server), "it failed"));
    CHECK(!strcmp(ask(client, "imitate"), "The command failed") && strstr(next_error(server), "it is an error line"));
    memset(command + 7, 'x', 1003);
    CHECK(daytime_client_request(client, command, text, sizeof text, &err) == DAYTIME_ERR_REFUSED);
    CHECK(strlen(err.message) == sizeof err.message - 1); /* cut, as every message */
    OK(daytime_server_stats(server, &stats, sizeof stats));
    CHECK(stats.commands == 6 && stats.invalid == 5);
    daytime_client_free(client);

    int fd = connect_socket(server);
    const char expected[] = "Welcome to the server\nThe command failed: no\n";
    CHECK(send(fd, "refuse no\n", 10, MSG_NOSIGNAL) == 10);
    CHECK(recv(fd, line, sizeof expected - 1, MSG_WAITALL) == sizeof expected - 1 && !strcmp(line, expected));
    close(fd);
    daytime_server_free(server);
}

static void usages(void) {
    struct world world;
    daytime_server *server = new_world(&world);
    OK(daytime_server_set_usage(server, "bye [NAME]"));
    OK(daytime_server_set_usage(server, "BYE NAME"));
    CHECK(daytime_server_set_usage(server, "welcome NAME") == DAYTIME_ERR_INVALID);
    start(server);
    daytime_client *client = connect_client(server);
    CHECK(strstr(ask(client, "help"), ", describe, BYE NAME, fail, "));
    CHECK(!strcmp(ask(client, "help bye"), "BYE NAME") && !strcmp(ask(client, "help fail"), "fail"));
    daytime_client_free(client);
    daytime_server_free(server);
}

static void cancelled(void) {
    struct world world;
    daytime_server *server = new_world(&world);
    start(server);
    int fd = connect_socket(server), other = connect_socket(server);
    CHECK(send(fd, "endless\n", 8, MSG_NOSIGNAL) == 8 && send(other, "endless\n", 8, MSG_NOSIGNAL) == 8);
    WAIT_UNTIL(world.calls == 2);
    CHECK(world.cancelled == 0);
    OK(daytime_server_disconnect(server, 1));
    WAIT_UNTIL(world.cancelled == 1);
    daytime_server_stop(server);
    OK(daytime_server_wait(server, 10000));
    CHECK(world.cancelled == 2);
    close(fd), close(other);
    daytime_server_free(server);
}

static void asks_itself(void) {
    struct world world;
    daytime_server *server = new_world(&world);
    OK(daytime_server_set_handler_threads(server, 1));
    start(server);
    daytime_client *client = connect_client(server);
    CHECK(!strcmp(ask(client, "recursive"), "timed out"));
    CHECK(!strcmp(ask(client, "recursive end"), "the end"));
    daytime_client_free(client);
    daytime_server_free(server);
}

static void never_started(void) {
    struct world world;
    daytime_server_free(new_world(&world));
    CHECK(world.freed == COMMANDS + 1);

    uint16_t port;
    char address[64];
    int taken = listening_socket(&port);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    daytime_server *server = new_world(&world);
    OK(daytime_server_listen(server, address));
    CHECK(daytime_server_start(server, NULL) == DAYTIME_ERR_IO && world.freed == 1);
    daytime_server_free(server);
    CHECK(world.freed == COMMANDS + 1);
    close(taken);
}

int main(void) {
    answers();
    from_inside("inside stop");
    from_inside("inside free");
    error_lines();
    usages();
    cancelled();
    asks_itself();
    never_started();
    nanosleep(&(struct timespec){ 0, 50000000 }, NULL); /* time for the last thread of the freed server to end */
    return 0;
}
