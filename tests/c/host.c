/* The host's state stays unchanged: signals, descriptors, errno, locale, floating point. A small stack is enough. */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <fenv.h>
#include <locale.h>

static void *life(void *unused) {
    daytime_server *server = new_server();
    char text[DAYTIME_REPLY_MAX];
    OK(daytime_server_set_timezone(server, "Europe/Berlin"));
    start(server);
    daytime_client *client = connect_client(server);
    OK(daytime_client_datetime(client, text, sizeof text, NULL));
    CHECK(!strcmp(text, "2026-11-22T16:44:57+01:00"));
    CHECK(!strcmp(ask(client, "time Asia/Tokyo"), "00:44:57"));
    daytime_client_free(client);
    daytime_server_free(server);
    return unused;
}

static void small_stack(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, 128 * 1024) == 0);
    CHECK(pthread_create(&thread, &attributes, life, NULL) == 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
}

/* Each thread of the library has a name, and blocks every signal that can be blocked. Returns how many there are. */
static int threads(void) {
    DIR *tasks = opendir("/proc/self/task");
    int found = 0;
    for (struct dirent *task; (task = readdir(tasks));) {
        char path[512], line[256], name[64] = "";
        unsigned long long blocked = 0;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        FILE *status = task->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (status && fgets(line, sizeof line, status)) {
            sscanf(line, "Name: %63s", name);
            sscanf(line, "SigBlk: %llx", &blocked);
        }
        if (status) fclose(status);
        if (strncmp(name, "daytime-", 8)) continue;
        found++;
        for (int n = 1; n <= 31; n++) CHECK(n == SIGKILL || n == SIGSTOP || (blocked >> (n - 1) & 1));
    }
    closedir(tasks);
    return found;
}

static void descriptors(void) {
    DIR *fds = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(fds));) {
        int fd = atoi(entry->d_name);
        char path[64], target[64] = "";
        if (fd <= 2 || entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        CHECK(readlink(path, target, sizeof target - 1) > 0);
        if (strstr(target, "socket") || strstr(target, "anon_inode")) CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    closedir(fds);
}

static int look(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)request, (void)user_data;
    WAIT_UNTIL(threads() == 3); /* two workers, which name themselves, and the handler thread that runs this check */
    descriptors();
    return daytime_reply_set(reply, "seen");
}

static void actions(struct sigaction *all) {
    for (int n = 1; n <= 31; n++) sigaction(n, NULL, &all[n]);
}

/* Adds a Unix socket with an abstract name that no other test uses. */
static void listen_on_unix(daytime_server *server, char address[64]) {
    snprintf(address, 64, "unix:@daytime-host-%d", (int)getpid());
    OK(daytime_server_listen(server, address));
}

static void signals_and_descriptors(void) {
    struct sigaction before[32], after[32];
    sigset_t mask_before, mask_after;
    char address[64];
    memset(before, 0, sizeof before), memset(after, 0, sizeof after);
    actions(before);
    sigprocmask(SIG_BLOCK, NULL, &mask_before);
    daytime_server *server = new_server();
    OK(daytime_server_set_workers(server, 2));
    OK(daytime_server_add_command(server, "look", look, NULL, NULL));
    listen_on_unix(server, address);
    OK(daytime_server_listen_as(server, DAYTIME_SERVICE_RFC867, "127.0.0.1:0"));
    start(server);
    daytime_client *client = connect_client(server), *local;
    OK(daytime_client_connect(address, 10000, &local, NULL));
    CHECK(!strcmp(ask(local, "look"), "seen"));
    daytime_client_free(local);
    daytime_client_free(client);
    daytime_server_free(server);
    actions(after);
    sigprocmask(SIG_BLOCK, NULL, &mask_after);
    for (int n = 1; n <= 31; n++) {
        CHECK(before[n].sa_handler == after[n].sa_handler && before[n].sa_flags == after[n].sa_flags);
        CHECK(sigismember(&mask_before, n) == sigismember(&mask_after, n));
    }
    CHECK(before[SIGPIPE].sa_handler == SIG_DFL);
}

/* SIGPIPE has its default action. A write to a peer that has vanished must not raise it, or this process ends. */
static void vanishing_peers(void) {
    daytime_server *server = new_server();
    char burst[6000], address[64];
    listen_on_unix(server, address);
    start(server);
    for (size_t i = 0; i < sizeof burst; i++) burst[i] = "time\n"[i % 5];
    for (int i = 0; i < 200; i++) {
        int fd = i % 4 < 2 ? connect_socket(server) : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (i % 4 >= 2) connect_to_unix(fd, address + strlen("unix:"));
        struct linger reset = { 1, 0 };
        CHECK(send(fd, burst, sizeof burst, MSG_NOSIGNAL) > 0);
        if (i % 2) setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
    }
    daytime_client *client = connect_client(server), *other = connect_client(server), *local, *quitting;
    OK(daytime_client_connect(address, 10000, &local, NULL));
    OK(daytime_client_connect(address, 10000, &quitting, NULL));
    CHECK(!strcmp(ask(client, "day"), "Sunday") && !strcmp(ask(local, "day"), "Sunday"));
    daytime_server_free(server); /* the same holds for clients whose server vanishes */
    CHECK(!strcmp(ask(client, "day"), "the connection is closed") && !strcmp(ask(local, "day"), "the connection is closed"));
    CHECK(daytime_client_quit(other, NULL) <= 0 && daytime_client_quit(quitting, NULL) <= 0);
    daytime_client_free(local);
    daytime_client_free(quitting);
    daytime_client_free(client);
    daytime_client_free(other);
}

static void mood(void) {
    char before[64];
    setlocale(LC_ALL, "C.UTF-8");
    snprintf(before, sizeof before, "%s", setlocale(LC_ALL, NULL));
    fesetround(FE_UPWARD);
    errno = 4711;
    life(NULL);
    daytime_server *server = daytime_server_new();
    daytime_client *client;
    CHECK(daytime_server_set_workers(server, 4711) == DAYTIME_ERR_INVALID);
    CHECK(daytime_client_connect("127.0.0.1:1", 0, &client, NULL) == DAYTIME_ERR_IO);
    daytime_server_free(server);
    CHECK(errno == 4711 && fegetround() == FE_UPWARD && !strcmp(before, setlocale(LC_ALL, NULL)));
    fesetround(FE_TONEAREST);
}

int main(void) {
    signals_and_descriptors();
    vanishing_peers();
    mood();
    small_stack();
    return 0;
}
