/* Hooks, and the state of a client: made once, seen by its handlers, and freed exactly once in every way to leave. */
#include "check.h"

#include <stdatomic.h>

struct world {
    daytime_server *server;
    atomic_int connected, disconnected, running, may_return, user_freed;
    atomic_int reasons[16];
    daytime_responder *_Atomic responder;
    /* What on_connect is to do. */
    int kicks, stops;
};

/* Each state; the counter is that of all worlds, since a state does not know its own. */
struct state {
    unsigned long long client;
    int commands, running, left;
    struct world *world;
};
static atomic_int states_freed;

static void free_state(void *argument) {
    struct state *state = argument;
    CHECK(state && state->left == 1 && state->running == 0);
    CHECK(daytime_server_wait(state->world->server, -1) == DAYTIME_ERR_STATE);
    state->left = 2;
    free(state);
    states_freed++;
}

static void count_user_data(void *user_data) {
    ((struct world *)user_data)->user_freed++;
}

static void *on_connect(const daytime_client_context *client, void *user_data) {
    struct world *world = user_data;
    struct state *state = calloc(1, sizeof *state);
    CHECK(state && !daytime_client_context_state(client));
    CHECK(!strncmp(daytime_client_context_peer(client), "127.0.0.1:", 10));
    CHECK(daytime_client_context_peer(client) == daytime_client_context_peer(client));
    state->client = daytime_client_context_client(client);
    state->world = world;
    world->connected++;
    if (world->kicks) OK(daytime_server_disconnect(world->server, state->client));
    if (world->stops) daytime_server_stop(world->server);
    return state;
}

static void on_disconnect(const daytime_client_context *client, int reason, void *user_data) {
    struct world *world = user_data;
    struct state *state = daytime_client_context_state(client);
    CHECK(state && state->client == daytime_client_context_client(client) && state->left == 0 && state->running == 0);
    CHECK(!strncmp(daytime_client_context_peer(client), "127.0.0.1:", 10) && reason > 0 && reason < 16);
    CHECK(daytime_server_wait(world->server, -1) == DAYTIME_ERR_STATE);
    state->left = 1;
    world->reasons[reason]++;
    world->disconnected++;
}

static int count(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)user_data;
    struct state *state = daytime_request_state(request);
    char text[16];
    CHECK(state->client == daytime_request_client(request));
    snprintf(text, sizeof text, "%d", ++state->commands);
    return daytime_reply_set(reply, text);
}

/* Runs until it may return, in which time its client may leave and its server stop. */
static int run(const daytime_request *request, daytime_reply *reply, void *user_data) {
    struct world *world = user_data;
    struct state *state = daytime_request_state(request);
    state->running = 1;
    world->running++;
    WAIT_UNTIL(world->may_return);
    CHECK(state->left == 0 && daytime_request_state(request) == state);
    state->running = 0;
    return daytime_reply_set(reply, "ran");
}

static int defer(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)reply;
    ((struct world *)user_data)->responder = daytime_request_defer(request);
    return 0;
}

static daytime_server *new_world(struct world *world) {
    memset(world, 0, sizeof *world);
    states_freed = 0;
    daytime_server *server = world->server = new_server();
    OK(daytime_server_on_connect(server, on_connect, free_state, world, count_user_data));
    OK(daytime_server_on_disconnect(server, on_disconnect, world, count_user_data));
    OK(daytime_server_add_command(server, "count", count, NULL, NULL));
    OK(daytime_server_add_command(server, "run", run, world, NULL));
    OK(daytime_server_add_command(server, "defer", defer, world, NULL));
    return server;
}

/* A client that the hook has seen. */
static daytime_client *seen_client(struct world *world) {
    daytime_client *client = connect_client(world->server);
    CHECK(!strcmp(ask(client, "count"), "1"));
    return client;
}

static void send_line(int fd, const char *line) {
    CHECK(send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line));
}

static void states(void) {
    struct world world;
    daytime_server *server = new_world(&world);
    start(server);
    daytime_client *first = seen_client(&world), *second = seen_client(&world), *third = seen_client(&world);
    CHECK(!strcmp(ask(first, "count"), "2") && !strcmp(ask(second, "count"), "2") && !strcmp(ask(first, "COUNT"), "3"));
    CHECK(world.connected == 3 && world.disconnected == 0 && states_freed == 0);

    OK(daytime_client_quit(first, NULL));
    WAIT_UNTIL(states_freed == 1);
    CHECK(world.reasons[DAYTIME_REASON_QUIT] == 1);
    daytime_client_free(second);
    WAIT_UNTIL(states_freed == 2);
    CHECK(world.reasons[DAYTIME_REASON_EOF] == 1);
    OK(daytime_server_disconnect(server, 3));
    WAIT_UNTIL(states_freed == 3);
    CHECK(world.reasons[DAYTIME_REASON_KICKED] == 1);
    daytime_client *fourth = seen_client(&world);
    daytime_server_stop(server);
    OK(daytime_server_wait(server, 10000));
    CHECK(world.reasons[DAYTIME_REASON_SHUTDOWN] == 1 && states_freed == 4 && world.user_freed == 2);
    CHECK(world.connected == 4 && world.disconnected == 4);
    daytime_client_free(first);
    daytime_client_free(third);
    daytime_client_free(fourth);
    daytime_server_free(server);
    CHECK(states_freed == 4 && world.user_freed == 2);
}

/* Clients leave, and the server stops, while handlers run: no state is freed under a handler. */
static void while_a_handler_runs(void) {
    struct world world;
    daytime_server *server = new_world(&world);
    start(server);
    int left = connect_socket(server), kicked = connect_socket(server), stays = connect_socket(server);
    send_line(left, "run\n"), send_line(kicked, "run\n"), send_line(stays, "run\n");
    WAIT_UNTIL(world.running == 3);
    close(left);
    OK(daytime_server_disconnect(server, 2));
    daytime_server_stop(server);
    CHECK(daytime_server_wait(server, 50) == DAYTIME_ERR_TIMEOUT && states_freed == 0 && world.disconnected == 0);
    world.may_return = 1;
    OK(daytime_server_wait(server, 10000));
    CHECK(states_freed == 3 && world.disconnected == 3 && world.reasons[DAYTIME_REASON_KICKED] == 1);
    close(kicked), close(stays);
    daytime_server_free(server);
    CHECK(world.user_freed == 2);
}

/* A responder does not keep a state, nor the end of the server, from anybody. */
static void while_a_reply_is_deferred(void) {
    struct world world;
    for (int way = 0; way < 3; way++) {
        daytime_server *server = new_world(&world);
        start(server);
        int fd = connect_socket(server);
        send_line(fd, "defer\n");
        WAIT_UNTIL(world.responder);
        daytime_responder *responder = world.responder;
        if (way == 0) OK(daytime_server_disconnect(server, 1));
        if (way == 1) daytime_server_stop(server);
        if (way == 2) OK(daytime_server_drain(server, 1));
        WAIT_UNTIL(states_freed == 1);
        CHECK(world.disconnected == 1);
        if (way > 0) OK(daytime_server_wait(server, 10000));
        if (way == 2) daytime_server_free(server);
        OK(daytime_responder_reply(responder, "unheard"));
        daytime_responder_free(responder);
        if (way < 2) daytime_server_free(server);
        CHECK(states_freed == 1 && world.disconnected == 1 && world.user_freed == 2);
        close(fd);
    }
}

/* The commands after a deferred one have the state as well. */
static void after_a_deferred_reply(void) {
    struct world world;
    daytime_server *server = new_world(&world);
    start(server);
    int fd = connect_socket(server);
    char text[64] = "";
    const char expected[] = "Welcome to the server\n1\nlater\n2\n";
    send_line(fd, "count\ndefer\ncount\n");
    WAIT_UNTIL(world.responder);
    OK(daytime_responder_reply(world.responder, "later"));
    daytime_responder_free(world.responder);
    CHECK(recv(fd, text, sizeof expected - 1, MSG_WAITALL) == sizeof expected - 1 && !strcmp(text, expected));
    close(fd);
    daytime_server_free(server);
}

static void hooks_that_act(void) {
    struct world world;
    daytime_server *server = new_world(&world);
    world.kicks = 1;
    start(server);
    int fd = connect_socket(server); /* the hook disconnects it, perhaps before its greeting */
    WAIT_UNTIL(states_freed == 1);
    CHECK(world.reasons[DAYTIME_REASON_KICKED] == 1 && world.disconnected == 1);
    close(fd);
    daytime_server_free(server);

    server = new_world(&world);
    world.stops = 1;
    start(server);
    fd = connect_socket(server);
    OK(daytime_server_wait(server, 10000));
    CHECK(states_freed == 1 && world.connected == 1 && world.disconnected == 1);
    close(fd);
    daytime_server_free(server);
    CHECK(world.user_freed == 2);
}

/* A burst of clients that come and go: as many states are freed as were made. */
static void a_crowd(void) {
    struct world world;
    daytime_server *server = new_world(&world);
    OK(daytime_server_set_workers(server, 2));
    start(server);
    for (int i = 0; i < 100; i++) {
        int fd = connect_socket(server);
        if (i % 2) send_line(fd, "count\ncount\nquit\n");
        if (i % 3) shutdown(fd, SHUT_WR);
        close(fd);
    }
    daytime_client *client = seen_client(&world);
    daytime_server_free(server);
    CHECK(world.connected >= 1 && world.connected == world.disconnected && world.connected == states_freed);
    CHECK(world.user_freed == 2);
    daytime_client_free(client);
}

static void *no_state(const daytime_client_context *client, void *user_data) {
    (void)client, (void)user_data;
    return NULL;
}

static void must_not_be_called(void *state) {
    (void)state;
    CHECK(0);
}

static void on_disconnect_without_state(const daytime_client_context *client, int reason, void *user_data) {
    CHECK(!daytime_client_context_state(client) && reason == DAYTIME_REASON_QUIT);
    ++*(atomic_int *)user_data;
}

static int has_no_state(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)user_data;
    CHECK(!daytime_request_state(request));
    return daytime_reply_set(reply, "none");
}

static void without_states(void) {
    for (int with_hook = 0; with_hook < 2; with_hook++) {
        atomic_int disconnected = 0;
        daytime_server *server = new_server();
        if (with_hook) OK(daytime_server_on_connect(server, no_state, must_not_be_called, NULL, NULL));
        OK(daytime_server_on_disconnect(server, on_disconnect_without_state, &disconnected, NULL));
        OK(daytime_server_add_command(server, "state", has_no_state, NULL, NULL));
        start(server);
        daytime_client *client = connect_client(server);
        CHECK(!strcmp(ask(client, "state"), "none"));
        OK(daytime_client_quit(client, NULL));
        daytime_client_free(client);
        WAIT_UNTIL(disconnected == 1);
        daytime_server_free(server);
    }
}

static void never_started(void) {
    struct world world;
    daytime_server *server = new_world(&world);
    OK(daytime_server_on_connect(server, no_state, NULL, &world, count_user_data));
    CHECK(world.user_freed == 1); /* that of the hook that was replaced */
    daytime_server_free(server);
    CHECK(world.user_freed == 3);
}

int main(void) {
    states();
    while_a_handler_runs();
    while_a_reply_is_deferred();
    after_a_deferred_reply();
    hooks_that_act();
    a_crowd();
    without_states();
    never_started();
    return 0;
}
