/* Events: polled by whichever thread of yours has time, never by a callback. */
#include <stdio.h>

#include "daytime.h"

int main(void) {
    char address[DAYTIME_ADDR_MAX], reply[DAYTIME_REPLY_MAX];
    daytime_server *server = daytime_server_new();
    daytime_client *client;
    daytime_event event;
    daytime_stats stats;
    daytime_error err;

    if (daytime_server_listen(server, "127.0.0.1:0") || daytime_server_enable_events(server, 1000, 1)
        || daytime_server_start(server, &err) || daytime_server_local_addr(server, address, sizeof address)
        || daytime_client_connect(address, 0, &client, &err)) {
        daytime_server_free(server);
        return 1;
    }
    daytime_client_day(client, reply, sizeof reply, NULL);
    daytime_client_request(client, "tea", reply, sizeof reply, NULL);
    daytime_client_quit(client, NULL);
    daytime_client_free(client);

    do {
        /* sizeof: the program goes on to work with a library whose struct has grown. */
        if (daytime_server_next_event(server, &event, sizeof event, 5000)) break;
        puts(event.text);
    } while (event.kind != DAYTIME_EVENT_DISCONNECTED);
    if (!daytime_server_stats(server, &stats, sizeof stats)) printf("%d commands\n", (int)stats.commands);
    daytime_server_free(server); /* stops it, and waits for its threads */
    return 0;
}
