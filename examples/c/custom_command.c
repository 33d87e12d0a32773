/* Custom commands: one with user data that the server frees, one with an error line and a usage, one with a state for each
 * client, and one that stops the server. */
#include <stdio.h>
#include <stdlib.h>

#include "daytime.h"

static int double_it(const daytime_request *request, daytime_reply *reply, void *user_data) {
    char text[32], *end;
    const char *argument = daytime_request_argument(request);
    long number = strtol(argument, &end, 10);
    (void)user_data;
    if (end == argument || *end) {
        /* An error line for the client. To fail without a reason for the client, return 1. */
        return daytime_reply_error(reply, "expected double NUMBER");
    }
    snprintf(text, sizeof text, "%ld", 2 * number);
    return daytime_reply_set(reply, text);
}

static int greet(const daytime_request *request, daytime_reply *reply, void *user_data) {
    char text[DAYTIME_REPLY_MAX];
    snprintf(text, sizeof text, "%s, client %d", (const char *)user_data, (int)daytime_request_client(request));
    return daytime_reply_set(reply, text);
}

/* The state of a client that connects. The server calls free() for it once the client has left. */
static void *new_count(const daytime_client_context *client, void *user_data) {
    (void)client, (void)user_data;
    return calloc(1, sizeof(int));
}

static int count(const daytime_request *request, daytime_reply *reply, void *user_data) {
    char text[32];
    int *state = daytime_request_state(request);
    (void)user_data;
    if (!state) return 1;
    snprintf(text, sizeof text, "%d", ++*state);
    return daytime_reply_set(reply, text);
}

static int shut_down(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)user_data;
    daytime_request_drain(request, 5000); /* the server still sends this reply */
    return daytime_reply_set(reply, "until next time");
}

static void ask(daytime_client *client, const char *command) {
    char reply[DAYTIME_REPLY_MAX];
    daytime_error err;
    daytime_status status = daytime_client_request(client, command, reply, sizeof reply, &err);
    printf("%s: %s\n", command, status ? err.message : reply);
}

int main(void) {
    char address[DAYTIME_ADDR_MAX], *salute = malloc(16);
    daytime_server *server = daytime_server_new();
    daytime_client *client;
    daytime_error err;

    if (!salute) return 1;
    snprintf(salute, 16, "Good day");
    daytime_server_set_handler_threads(server, 4); /* at most four handlers run at once */
    /* From add_command() on, the server owns `salute`, and calls free() for it exactly once, even if a call fails. */
    if (daytime_server_listen(server, "127.0.0.1:0") || daytime_server_add_command(server, "greet", greet, salute, free)
        || daytime_server_add_command(server, "double", double_it, NULL, NULL)
        || daytime_server_set_usage(server, "double NUMBER") /* for "help" */
        || daytime_server_on_connect(server, new_count, free, NULL, NULL)
        || daytime_server_add_command(server, "count", count, NULL, NULL)
        || daytime_server_add_command(server, "shutdown", shut_down, NULL, NULL) || daytime_server_start(server, &err)
        || daytime_server_local_addr(server, address, sizeof address) || daytime_client_connect(address, 0, &client, &err)) {
        daytime_server_free(server);
        return 1;
    }
    ask(client, "greet");
    ask(client, "double 21");
    ask(client, "double it");
    ask(client, "help double");
    ask(client, "count");
    ask(client, "count");
    ask(client, "shutdown");
    daytime_client_free(client);
    daytime_server_wait(server, -1);
    daytime_server_free(server);
    return 0;
}
