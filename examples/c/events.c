/* Events: the library never calls back. Any thread of your program may poll for the next one. */
#include <stdio.h>

#include "daytime.h"

int main(void) {
    char address[DAYTIME_ADDR_MAX], reply[DAYTIME_REPLY_MAX];
    daytime_server *server = daytime_server_new();
    daytime_client *client;
    daytime_event event;
    daytime_stats stats;
    daytime_error err;

    /* Up to 1,000 events wait in the queue; the 1 asks for DAYTIME_EVENT_COMMAND_SERVED too. */
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
        /* Pass sizeof: a later library may have a larger struct, and this program still works with it. */
        if (daytime_server_next_event(server, &event, sizeof event, 5000)) break;
        puts(event.text);
    } while (event.kind != DAYTIME_EVENT_DISCONNECTED);
    if (!daytime_server_stats(server, &stats, sizeof stats)) printf("%d commands\n", (int)stats.commands);
    daytime_server_free(server); /* stops the server, and waits for its threads */
    return 0;
}
