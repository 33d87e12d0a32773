/* server.rs with the C library: the custom commands `echo TEXT` and `sleep MILLISECONDS`, one worker, lines from the start.
 * Its argument is the port on 127.0.0.1. SIGTERM ends it. To build and start it, in the root of the repository:
 *
 *     cargo clib
 *     cc -O2 -Iinclude tests/bench/commands/server.c -o target/bench-commands-c target/release/libdaytime.a \
 *         -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
 *     target/bench-commands-c 9990
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daytime.h"

static int echo(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)user_data;
    return daytime_reply_set(reply, daytime_request_argument(request));
}

static int sleep_for(const daytime_request *request, daytime_reply *reply, void *user_data) {
    const char *argument = daytime_request_argument(request);
    char *end;
    long ms = strtol(argument, &end, 10);
    (void)user_data;
    if (end == argument || *end || ms < 0) {
        daytime_reply_set(reply, "the argument is not a number of milliseconds");
        return 1;
    }
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
    return daytime_reply_set(reply, "slept");
}

int main(int argc, char **argv) {
    char address[64];
    daytime_server *server = daytime_server_new();
    daytime_error err;

    if (argc != 2) {
        fprintf(stderr, "expected a port\n");
        return 2;
    }
    snprintf(address, sizeof address, "127.0.0.1:%s", argv[1]);
    if (daytime_server_listen(server, address) || daytime_server_set_workers(server, 1)
        || daytime_server_set_framing(server, DAYTIME_FRAMING_LINE)
        || daytime_server_add_command(server, "echo", echo, NULL, NULL)
        || daytime_server_add_command(server, "sleep", sleep_for, NULL, NULL)) {
        fprintf(stderr, "the settings are invalid\n");
        return 1;
    }
    if (daytime_server_start(server, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    daytime_server_wait(server, -1);
    daytime_server_free(server);
    return 0;
}
