/* A server: ./server [ADDRESS [WORKERS]], by default on localhost:9990. SIGINT or SIGTERM stops it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "daytime.h"

static daytime_server *server;

static void on_signal(int number) {
    (void)number;
    daytime_server_stop(server); /* the one function that a signal handler may call */
}

int main(int argc, char **argv) {
    const char *address = argc > 1 ? argv[1] : "localhost:9990";
    uint32_t workers = argc > 2 ? (uint32_t)atoi(argv[2]) : 0; /* 0: one for each core */
    char bound[DAYTIME_ADDR_MAX];
    daytime_error err;

    server = daytime_server_new();
    if (daytime_server_listen(server, address) || daytime_server_set_workers(server, workers)) {
        fprintf(stderr, "usage: server [ADDRESS [WORKERS]]\n");
        return 2;
    }
    if (daytime_server_start(server, &err)) {
        fprintf(stderr, "Server socket binding threw an error: %s\n", err.message);
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    for (size_t i = 0; !daytime_server_address(server, DAYTIME_SERVICE_TEXT, i, bound, sizeof bound); i++) {
        printf("Server is listening on %s\n", bound);
    }
    fflush(stdout);
    daytime_server_wait(server, -1);
    daytime_server_free(server);
    return 0;
}
