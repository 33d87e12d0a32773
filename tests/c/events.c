/* Events, counters and the client list, also in structs of an older and a newer header. */
#include "check.h"

/* Structs of other versions: shorter ones, and longer ones with fields that this version does not know. */
static void sizes(daytime_server *server) {
    union { daytime_stats known; unsigned char bytes[sizeof(daytime_stats) + 24]; } stats;
    union { daytime_event known; unsigned char bytes[sizeof(daytime_event) + 24]; } event;
    union { daytime_client_info known; unsigned char bytes[2 * (sizeof(daytime_client_info) + 24)]; } info;
    size_t count, i, wide = sizeof(daytime_client_info) + 24;

    memset(&stats, '#', sizeof stats);
    OK(daytime_server_stats(server, &stats.known, 16));
    CHECK(stats.known.clients == 2 && stats.known.accepted == 2 && stats.bytes[16] == '#');
    OK(daytime_server_stats(server, &stats.known, sizeof stats.known + 16));
    for (i = 0; i < 24; i++) CHECK(stats.bytes[sizeof stats.known + i] == (i < 16 ? 0 : '#'));

    memset(&event, '#', sizeof event);
    OK(daytime_server_next_event(server, &event.known, 8, 10000));
    CHECK(event.known.kind == DAYTIME_EVENT_CONNECTED && event.known.reason == 0 && event.bytes[8] == '#');
    OK(daytime_server_next_event(server, &event.known, sizeof event.known + 16, 10000));
    CHECK(event.known.kind == DAYTIME_EVENT_CONNECTED && event.known.client == 2);
    for (i = 0; i < 24; i++) CHECK(event.bytes[sizeof event.known + i] == (i < 16 ? 0 : '#'));

    memset(&info, '#', sizeof info);
    OK(daytime_server_clients(server, &info.known, 8, 1, &count));
    CHECK(count == 2 && info.known.client == 1 && info.bytes[8] == '#');
    OK(daytime_server_clients(server, &info.known, wide, 2, &count));
    const daytime_client_info *second = (const void *)(info.bytes + wide);
    CHECK(count == 2 && second->client == 2 && !strncmp(second->peer, "127.0.0.1:", 10));
    CHECK(labs((long)second->connected_at - time(NULL)) < 60);
    for (i = 0; i < 24; i++) CHECK(info.bytes[sizeof info.known + i] == 0 && info.bytes[wide + sizeof info.known + i] == 0);
}

/* The counters as text, and the listener that sends them. */
static void metrics(void) {
    daytime_server *server = new_server();
    char address[DAYTIME_ADDR_MAX], cut[20], *text;
    size_t needed = 0, again;
    OK(daytime_server_listen_as(server, DAYTIME_SERVICE_METRICS, "127.0.0.1:0"));
    start(server);
    OK(daytime_server_address(server, DAYTIME_SERVICE_METRICS, 0, address, sizeof address));
    CHECK(!strncmp(address, "127.0.0.1:", 10));
    OK(daytime_server_metrics(server, NULL, 0, &needed));
    CHECK(needed > 1000 && needed < 10000);
    CHECK(daytime_server_metrics(server, cut, sizeof cut, &again) == DAYTIME_ERR_TRUNCATED);
    CHECK(!strcmp(cut, "# HELP daytime_buil") && again > 1000);
    text = malloc(needed + 100); /* the uptime gets longer */
    CHECK(text);
    OK(daytime_server_metrics(server, text, needed + 100, &again));
    CHECK(strlen(text) + 1 == again && strstr(text, "\ndaytime_clients 0\n"));
    free(text);
    daytime_server_free(server);
}

int main(void) {
    metrics();
    daytime_server *server = new_server();
    daytime_event event;
    daytime_stats stats;
    OK(daytime_server_set_max_clients(server, 2));
    OK(daytime_server_enable_events(server, 5, 0));
    OK(daytime_server_enable_events(server, 6, 1)); /* the last call has the effect */
    start(server);
    CHECK(daytime_server_next_event(server, &event, sizeof event, 0) == DAYTIME_ERR_TIMEOUT);
    CHECK(daytime_server_next_event(server, &event, sizeof event, 20) == DAYTIME_ERR_TIMEOUT);
    daytime_client *first = connect_client(server), *second = connect_client(server), *third;
    char address[DAYTIME_ADDR_MAX];
    sizes(server);

    OK(daytime_server_local_addr(server, address, sizeof address));
    CHECK(daytime_client_connect(address, 0, &third, NULL) == DAYTIME_ERR_REFUSED);
    event = next_event(server, DAYTIME_EVENT_REFUSED);
    CHECK(event.reason == DAYTIME_REASON_FULL && event.client == 0 && event.peer[0]);

    CHECK(!strcmp(ask(first, "day"), "Sunday"));
    event = next_event(server, DAYTIME_EVENT_COMMAND_SERVED);
    CHECK(event.client == 1 && event.ok == 1 && !strcmp(event.command, "day"));
    CHECK(!strcmp(ask(first, "Nonsense now"), "You entered an invalid command"));
    event = next_event(server, DAYTIME_EVENT_COMMAND_SERVED);
    CHECK(event.client == 1 && event.ok == 0 && !strcmp(event.command, "nonsense"));

    OK(daytime_server_disconnect(server, 2));
    CHECK(daytime_server_disconnect(server, 2) == DAYTIME_ERR_CLOSED);
    event = next_event(server, DAYTIME_EVENT_DISCONNECTED);
    CHECK(event.client == 2 && event.reason == DAYTIME_REASON_KICKED && event.commands == 0);

    for (int i = 0; i < 9; i++) CHECK(!strcmp(ask(first, "day"), "Sunday"));
    OK(daytime_server_stats(server, &stats, sizeof stats));
    CHECK(stats.clients == 1 && stats.accepted == 2 && stats.refused == 1 && stats.commands == 11 && stats.invalid == 1);
    CHECK(stats.events_dropped == 3 && stats.bytes_in > 0 && stats.bytes_out > 0);
    CHECK(stats.max_clients == 2 && stats.accept_pauses == 0 && stats.handlers_waiting == 0);
    CHECK(stats.handler_failures == 0 && stats.hook_failures == 0);
    CHECK(stats.by_service[DAYTIME_SERVICE_TEXT] == 2 && stats.by_service[DAYTIME_SERVICE_RFC867] == 0);
    CHECK(stats.by_reason[DAYTIME_REASON_FULL] == 1 && stats.by_reason[DAYTIME_REASON_KICKED] == 1);
    CHECK(stats.by_reason[DAYTIME_REASON_EOF] == 0 && stats.by_reason[0] == 0);

    for (int i = 0; i < 6; i++) next_event(server, DAYTIME_EVENT_COMMAND_SERVED);
    daytime_server_stop(server);
    event = next_event(server, DAYTIME_EVENT_DISCONNECTED);
    CHECK(event.client == 1 && event.reason == DAYTIME_REASON_SHUTDOWN && event.commands == 11);
    CHECK(daytime_server_next_event(server, &event, sizeof event, -1) == DAYTIME_ERR_CLOSED);
    daytime_client_free(first);
    daytime_client_free(second);
    daytime_server_free(server);
    return 0;
}
