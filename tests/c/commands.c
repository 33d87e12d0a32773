/* Custom commands: the calls that a handler may make, and user data that is freed exactly once. */
#include "check.h"

#include <stdatomic.h>

struct world {
    daytime_server *server;
    atomic_int freed, calls;
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

/* Connects to the server of the handler, fails to wait for it, and stops or frees it. */
static int inside(const daytime_request *request, daytime_reply *reply, void *user_data) {
    struct world *world = user_data;
    daytime_event event;
    daytime_client *client = connect_client(world->server);
    CHECK(!strcmp(ask(client, "day"), "Sunday"));
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
    };
    memset(world, 0, sizeof *world);
    world->server = new_server();
    OK(daytime_server_enable_events(world->server, 100, 0));
    for (size_t i = 0; i < 6; i++) {
        OK(daytime_server_add_command(world->server, commands[i].name, commands[i].handler, world, count));
    }
    CHECK(daytime_server_add_command(world->server, "BYE", bye, world, count) == DAYTIME_ERR_INVALID);
    CHECK(world->freed == 1); /* a rejected registration frees its user data at once */
    return world->server;
}

static const char *next_error(daytime_server *server) {
    static daytime_event event;
    do OK(daytime_server_next_event(server, &event, sizeof event, 10000));
    while (event.kind != DAYTIME_EVENT_COMMAND_FAILED);
    return event.error;
}

static void answers(void) {
    struct world world;
    daytime_server *server = new_world(&world);
    start(server);
    daytime_client *client = connect_client(server);
    CHECK(strstr(ask(client, "help"), ", describe, bye, fail, silent, drain, inside"));
    CHECK(!strcmp(ask(client, "DESCRIBE  two words "), "describe(two words) 127.0.0.1: 1"));
    CHECK(!strcmp(ask(client, "fail"), "The command failed") && !strcmp(next_error(server), "the handler returned 7"));
    CHECK(!strcmp(ask(client, "fail no luck"), "The command failed") && !strcmp(next_error(server), "no luck"));
    CHECK(!strcmp(ask(client, "silent"), "The command failed") && strstr(next_error(server), "empty"));
    CHECK(!strcmp(ask(client, "bye"), "bye") && !strcmp(ask(client, "day"), "the connection is closed"));
    daytime_client_free(client);
    client = connect_client(server);
    CHECK(!strcmp(ask(client, "drain"), "drained"));
    OK(daytime_server_wait(server, 10000));
    CHECK(world.freed == 7 && world.calls == 1);
    daytime_client_free(client);
    daytime_server_free(server);
    CHECK(world.freed == 7);
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
    for (int i = 0; world.freed < 7 && i < 1000; i++) nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
    CHECK(world.freed == 7);
    CHECK(world.waited == DAYTIME_ERR_STATE && world.next == DAYTIME_ERR_STATE);
}

static void never_started(void) {
    struct world world;
    daytime_server_free(new_world(&world));
    CHECK(world.freed == 7);

    uint16_t port;
    char address[64];
    int taken = listening_socket(&port);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    daytime_server *server = new_world(&world);
    OK(daytime_server_listen(server, address));
    CHECK(daytime_server_start(server, NULL) == DAYTIME_ERR_IO && world.freed == 1);
    daytime_server_free(server);
    CHECK(world.freed == 7);
    close(taken);
}

int main(void) {
    answers();
    from_inside("inside stop");
    from_inside("inside free");
    never_started();
    nanosleep(&(struct timespec){ 0, 50000000 }, NULL); /* time for the last thread of the freed server to end */
    return 0;
}
