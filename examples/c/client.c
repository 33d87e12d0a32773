/* An interactive client: ./client [ADDRESS], by default localhost:9990. */
#include <stdio.h>
#include <string.h>

#include "daytime.h"

int main(int argc, char **argv) {
    char line[1024], reply[DAYTIME_REPLY_MAX];
    daytime_client *client;
    daytime_error err;

    if (daytime_client_connect(argc > 1 ? argv[1] : "localhost:9990", 0, &client, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    daytime_client_greeting(client, reply, sizeof reply, NULL);
    puts(reply);
    for (;;) {
        printf("Enter the command for Day -> day |Date -> date |Time -> time and Exit -> quit or exit: ");
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin)) break;
        line[strcspn(line, "\r\n")] = 0;
        if (!strcmp(line, "quit") || !strcmp(line, "exit")) break;
        daytime_status status = daytime_client_request(client, line, reply, sizeof reply, &err);
        puts(status ? err.message : reply);
        /* After an error line, or after a command that cannot be sent, the client is still usable. */
        if (status && status != DAYTIME_ERR_REFUSED && status != DAYTIME_ERR_INVALID) break;
    }
    daytime_client_quit(client, NULL);
    daytime_client_free(client);
    return 0;
}
