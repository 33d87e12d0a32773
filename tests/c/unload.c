/* The library as a plug-in: loaded twice in a process, closed while its server runs, and running at the exit. */
#define CHECK_ALONE
#include "check.h"

#include <dlfcn.h>

/* ISO C does not allow a cast from an object pointer to a function pointer. */
#define LOOK_UP(handle, name) \
    do { \
        void *found = dlsym(handle, #name); \
        CHECK(found); \
        memcpy(&name, &found, sizeof found); \
    } while (0)

static uint16_t serve(const char *path, void **handle) {
    daytime_server *(*daytime_server_new)(void);
    daytime_status (*daytime_server_listen)(daytime_server *, const char *);
    daytime_status (*daytime_server_start)(daytime_server *, daytime_error *);
    uint16_t (*daytime_server_port)(const daytime_server *);
    *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!*handle) fprintf(stderr, "%s\n", dlerror());
    CHECK(*handle);
    LOOK_UP(*handle, daytime_server_new);
    LOOK_UP(*handle, daytime_server_listen);
    LOOK_UP(*handle, daytime_server_start);
    LOOK_UP(*handle, daytime_server_port);
    daytime_server *server = daytime_server_new();
    OK(daytime_server_listen(server, "127.0.0.1:0"));
    OK(daytime_server_start(server, NULL));
    return daytime_server_port(server);
}

static void check_greeting(uint16_t port) {
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    char greeting[22] = "";
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && recv(fd, greeting, 21, MSG_WAITALL) == 21);
    CHECK(!strcmp(greeting, "Welcome to the server"));
    close(fd);
}

int main(int argc, char **argv) {
    void *first, *second;
    CHECK(argc == 3);
    uint16_t one = serve(argv[1], &first), two = serve(argv[2], &second);
    CHECK(one != two && first != second);
    check_greeting(one);
    CHECK(dlclose(first) == 0);
    check_greeting(one);
    check_greeting(two);
    return 0; /* two servers still run */
}
