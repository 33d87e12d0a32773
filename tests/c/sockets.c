/* Unix sockets: requests, files that exist as long as their server, and adopted descriptors. */
#include "check.h"

static char directory[64], path[80], address[96];

static daytime_server *unix_server(void) {
    daytime_server *server = daytime_server_new();
    OK(daytime_server_listen(server, address));
    OK(daytime_server_set_timezone(server, "UTC"));
    OK(daytime_server_set_clock(server, SUNDAY));
    OK(daytime_server_enable_events(server, 100, 0));
    return server;
}

static mode_t file_mode(void) {
    struct stat file;
    CHECK(stat(path, &file) == 0 && S_ISSOCK(file.st_mode));
    return file.st_mode & 0777;
}

static int is_gone(void) {
    return access(path, F_OK) == -1 && errno == ENOENT;
}

static void served(const char *at) {
    daytime_client *client;
    OK(daytime_client_connect(at, 10000, &client, NULL));
    CHECK(!strcmp(ask(client, "day"), "Sunday"));
    OK(daytime_client_quit(client, NULL));
    daytime_client_free(client);
}

static int peer(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)user_data;
    return daytime_reply_set(reply, daytime_request_peer(request));
}

/* Clients that have bound a name: a path, an abstract name, and a path of 108 bytes, the maximum. */
static void bound_names(daytime_server *server) {
    char names[3][sizeof ((struct sockaddr_un *)0)->sun_path + 1] = { "" };
    snprintf(names[0], sizeof names[0], "%s/client", directory);
    snprintf(names[1], sizeof names[1], "@daytime-client-%d", (int)getpid());
    memset(names[2], 'x', sizeof names[2] - 1);
    memcpy(names[2], names[0], strlen(names[0]));
    for (int i = 0; i < 3; i++) {
        int fd = bound_unix_socket(names[i]);
        connect_to_unix(fd, path);
        daytime_event event = next_event(server, DAYTIME_EVENT_CONNECTED);
        CHECK(!strncmp(event.peer, "unix:", 5) && !strcmp(event.peer + 5, names[i]));
        CHECK(close(fd) == 0 && (i == 1 || unlink(names[i]) == 0));
        CHECK(next_event(server, DAYTIME_EVENT_DISCONNECTED).client == event.client);
    }
}

static void one_life(void) {
    char text[DAYTIME_REPLY_MAX];
    daytime_client *client;
    daytime_client_info info;
    daytime_event event;
    size_t count;
    mode_t mask = umask(027);
    daytime_server *server = unix_server();
    OK(daytime_server_add_command(server, "peer", peer, NULL, NULL));
    CHECK(is_gone()); /* nothing is bound before start */
    start(server);
    umask(mask);
    CHECK(file_mode() == 0750 && daytime_server_port(server) == 0);
    OK(daytime_server_local_addr(server, text, sizeof text));
    CHECK(!strcmp(text, address));

    OK(daytime_client_connect(address, 10000, &client, NULL));
    OK(daytime_client_peer(client, text, sizeof text, NULL));
    CHECK(!strcmp(text, address) && !strcmp(ask(client, "time"), "15:44:57") && !strcmp(ask(client, "peer"), "unix:"));
    OK(daytime_server_clients(server, &info, sizeof info, 1, &count));
    CHECK(count == 1 && info.client == 1 && !strcmp(info.peer, "unix:"));
    event = next_event(server, DAYTIME_EVENT_CONNECTED);
    CHECK(event.client == 1 && !strcmp(event.peer, "unix:"));
    OK(daytime_client_quit(client, NULL));
    event = next_event(server, DAYTIME_EVENT_DISCONNECTED);
    CHECK(event.reason == DAYTIME_REASON_QUIT && !strcmp(event.peer, "unix:") && event.commands == 3);
    daytime_client_free(client);

    bound_names(server);
    daytime_server_stop(server);
    OK(daytime_server_wait(server, 10000));
    CHECK(is_gone());
    daytime_server_free(server);
}

static void modes(void) {
    static const uint32_t all[] = { 0600, 0666, 0777 };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        daytime_server *server = unix_server();
        OK(daytime_server_set_unix_mode(server, all[i]));
        CHECK(daytime_server_set_unix_mode(server, 01777) == DAYTIME_ERR_INVALID);
        start(server);
        CHECK(file_mode() == all[i]);
        daytime_server_free(server);
        CHECK(is_gone());
    }
}

/* Files that already exist at the path. */
static void files(void) {
    daytime_error err;
    daytime_client *client;
    close(bound_unix_socket(path)); /* a killed server leaves this file */
    CHECK(daytime_client_connect(address, 10000, &client, &err) == DAYTIME_ERR_IO && err.os_error == ECONNREFUSED);
    daytime_server *server = unix_server(), *second = unix_server();
    start(server);
    served(address);
    CHECK(daytime_server_start(second, &err) == DAYTIME_ERR_IO && err.os_error == EADDRINUSE && strstr(err.message, address));
    served(address);
    daytime_server_free(server);
    CHECK(is_gone());
    OK(daytime_server_start(second, &err)); /* a second start succeeds */
    CHECK(unlink(path) == 0);
    FILE *file = fopen(path, "w"); /* a file of another owner, which the server does not touch */
    CHECK(file && fputs("precious", file) >= 0 && fclose(file) == 0);
    daytime_server_free(second);
    server = unix_server();
    CHECK(daytime_server_start(server, &err) == DAYTIME_ERR_INVALID && strstr(err.message, "not a socket"));
    daytime_server_free(server);
    struct stat precious;
    CHECK(stat(path, &precious) == 0 && S_ISREG(precious.st_mode) && precious.st_size == 8 && unlink(path) == 0);
}

/* A path may have 107 bytes, which fit into DAYTIME_ADDR_MAX. A path of 108 bytes is invalid. */
static void longest_path(void) {
    char longest[5 + 108 + 1], text[DAYTIME_ADDR_MAX];
    daytime_server *server = daytime_server_new();
    daytime_client *client = (void *)text;
    daytime_error err;
    int n = snprintf(longest, sizeof longest, "unix:%s/", directory);
    memset(longest + n, 'x', sizeof longest - 1 - (size_t)n);
    longest[sizeof longest - 1] = 0;
    CHECK(daytime_server_listen(server, longest) == DAYTIME_ERR_INVALID);
    CHECK(daytime_client_connect(longest, 0, &client, &err) == DAYTIME_ERR_INVALID && !client && strstr(err.message, "too long"));
    longest[sizeof longest - 2] = 0;
    OK(daytime_server_listen(server, longest));
    OK(daytime_server_set_clock(server, SUNDAY));
    OK(daytime_server_set_timezone(server, "UTC"));
    start(server);
    OK(daytime_server_local_addr(server, text, sizeof text));
    CHECK(!strcmp(text, longest));
    served(text);
    OK(daytime_server_address(server, DAYTIME_SERVICE_TEXT, 0, text, sizeof text));
    daytime_server_free(server);
    CHECK(access(longest + strlen("unix:"), F_OK) == -1);
}

static void abstract_name(void) {
    char name[64], text[DAYTIME_ADDR_MAX];
    daytime_server *server = new_server(); /* with a TCP address too */
    snprintf(name, sizeof name, "unix:@daytime-sockets-%d", (int)getpid());
    OK(daytime_server_listen(server, name));
    OK(daytime_server_set_unix_mode(server, 0600)); /* the mode has no file to apply to */
    start(server);
    CHECK(daytime_server_port(server) != 0);
    OK(daytime_server_address(server, DAYTIME_SERVICE_TEXT, 1, text, sizeof text));
    CHECK(!strcmp(text, name));
    served(name);
    OK(daytime_server_address(server, DAYTIME_SERVICE_TEXT, 0, text, sizeof text));
    served(text);
    daytime_server_free(server);
}

/* A listener that the host has made: the server closes it, and its file stays. */
static void handed_over(void) {
    daytime_server *server = daytime_server_new();
    char text[DAYTIME_ADDR_MAX];
    int fd = bound_unix_socket(path), late;
    CHECK(daytime_server_listen_fd(server, fd) == DAYTIME_ERR_INVALID); /* not listening yet, so not adopted */
    CHECK(listen(fd, 8) == 0);
    OK(daytime_server_listen_fd(server, fd));
    OK(daytime_server_set_clock(server, SUNDAY));
    OK(daytime_server_set_timezone(server, "UTC"));
    start(server);
    OK(daytime_server_local_addr(server, text, sizeof text));
    CHECK(!strcmp(text, address));
    served(address);
    uint16_t port;
    late = listening_socket(&port);
    CHECK(daytime_server_listen_fd(server, late) == DAYTIME_ERR_STATE && close(late) == 0);
    daytime_server_free(server);
    CHECK(close(fd) == -1 && errno == EBADF);
    CHECK(!is_gone() && unlink(path) == 0);
}

int main(void) {
    scratch(directory);
    snprintf(path, sizeof path, "%s/socket", directory);
    snprintf(address, sizeof address, "unix:%s", path);
    one_life();
    modes();
    files();
    longest_path();
    abstract_name();
    handed_over();
    CHECK(rmdir(directory) == 0); /* the directory is empty */
    return 0;
}
