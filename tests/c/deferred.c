/* Replies that come later: from another thread, after the client or the server is gone, never, and twice. */
#include "check.h"

#include <stdatomic.h>

/* The responders of a server's handlers, for this test's threads. */
struct desk {
    pthread_mutex_t lock;
    daytime_responder *waiting[8];
    int count;
};

static void put(struct desk *desk, daytime_responder *responder) {
    CHECK(responder);
    pthread_mutex_lock(&desk->lock);
    desk->waiting[desk->count++] = responder;
    pthread_mutex_unlock(&desk->lock);
}

static daytime_responder *take(struct desk *desk) {
    daytime_responder *responder = NULL;
    for (int i = 0; !responder && i < 10000; i++) {
        pthread_mutex_lock(&desk->lock);
        if (desk->count > 0) responder = desk->waiting[--desk->count];
        pthread_mutex_unlock(&desk->lock);
        if (!responder) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    }
    CHECK(responder);
    return responder;
}

static int later(const daytime_request *request, daytime_reply *reply, void *user_data) {
    put(user_data, daytime_request_defer(request));
    CHECK(!daytime_request_defer(request));
    daytime_reply_close(reply);
    CHECK(daytime_reply_set(reply, "ignored") == DAYTIME_OK);
    return 7;
}

static int at_once(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)reply, (void)user_data;
    daytime_responder *responder = daytime_request_defer(request);
    OK(daytime_responder_reply(responder, daytime_request_argument(request)));
    daytime_responder_free(responder);
    return 0;
}

static int drop(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)user_data;
    daytime_responder_free(daytime_request_defer(request));
    return daytime_reply_set(reply, "too late");
}

static daytime_server *new_desk(struct desk *desk) {
    daytime_server *server = new_server();
    memset(desk, 0, sizeof *desk);
    pthread_mutex_init(&desk->lock, NULL);
    OK(daytime_server_set_framing(server, DAYTIME_FRAMING_LINE));
    OK(daytime_server_enable_events(server, 100, 0));
    OK(daytime_server_add_command(server, "later", later, desk, NULL));
    OK(daytime_server_add_command(server, "at_once", at_once, NULL, NULL));
    OK(daytime_server_add_command(server, "drop", drop, NULL, NULL));
    start(server);
    return server;
}

/* A client that has asked, and was greeted. */
static int asked(const daytime_server *server, const char *command) {
    char greeting[32];
    int fd = connect_socket(server);
    CHECK(recv(fd, greeting, 22, MSG_WAITALL) == 22);
    CHECK(send(fd, command, strlen(command), MSG_NOSIGNAL) == (ssize_t)strlen(command));
    return fd;
}

/* What a client receives until the connection ends, or a line. */
static const char *received(int fd, int whole) {
    static char text[256];
    size_t size = 0;
    while (size < sizeof text - 1 && (whole || !size || text[size - 1] != '\n')) {
        ssize_t got = recv(fd, text + size, whole ? sizeof text - 1 - size : 1, 0);
        CHECK(got >= 0);
        if (got == 0) break;
        size += (size_t)got;
    }
    text[size] = 0;
    return text;
}

static void *reply_with_id(void *desk) {
    char text[64];
    daytime_responder *responder = take(desk);
    CHECK(!daytime_responder_is_cancelled(responder));
    snprintf(text, sizeof text, "client %d", (int)daytime_responder_client(responder));
    OK(daytime_responder_reply(responder, text));
    CHECK(daytime_responder_is_cancelled(responder));
    daytime_responder_free(responder);
    return NULL;
}

static void by_other_threads(void) {
    struct desk desk;
    daytime_server *server = new_desk(&desk);
    pthread_t threads[3];
    int fds[3];
    for (int i = 0; i < 3; i++) fds[i] = asked(server, "later\nday\n");
    for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, reply_with_id, &desk) == 0);
    for (int i = 0; i < 3; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "client %d\n", i + 1);
        CHECK(!strcmp(received(fds[i], 0), expected) && !strcmp(received(fds[i], 0), "Sunday\n"));
        close(fds[i]);
    }
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);

    daytime_client *client = connect_client(server);
    CHECK(!strcmp(ask(client, "at_once said it"), "said it") && !strcmp(ask(client, "at_once again"), "again"));
    daytime_client_free(client);
    daytime_server_free(server);
}

static void every_answer(void) {
    struct desk desk;
    daytime_server *server = new_desk(&desk);
    daytime_responder *responder;
    int fd = asked(server, "later\n");
    responder = take(&desk);
    OK(daytime_responder_error(responder, "out of tea"));
    daytime_responder_free(responder);
    CHECK(!strcmp(received(fd, 0), "The command failed: out of tea\n"));

    CHECK(send(fd, "later\n", 6, MSG_NOSIGNAL) == 6);
    responder = take(&desk);
    OK(daytime_responder_fail(responder, "the kettle broke"));
    daytime_responder_free(responder);
    CHECK(!strcmp(received(fd, 0), "The command failed\n") && !strcmp(next_error(server), "the kettle broke"));

    CHECK(send(fd, "drop\nlater\n", 11, MSG_NOSIGNAL) == 11);
    CHECK(!strcmp(received(fd, 0), "The command failed\n"));
    CHECK(!strcmp(next_error(server), "the responder was dropped without a reply"));
    daytime_responder_free(take(&desk));
    CHECK(!strcmp(received(fd, 0), "The command failed\n"));

    CHECK(send(fd, "later\nday\n", 10, MSG_NOSIGNAL) == 10);
    responder = take(&desk);
    CHECK(daytime_responder_reply(responder, "a\nb") == DAYTIME_ERR_INVALID); /* it stays usable */
    OK(daytime_responder_close(responder, "bye"));
    CHECK(daytime_responder_reply(responder, "twice") == DAYTIME_ERR_STATE);
    daytime_responder_free(responder);
    CHECK(!strcmp(received(fd, 1), "bye\n"));
    close(fd);

    fd = asked(server, "later\n");
    responder = take(&desk);
    OK(daytime_responder_close(responder, ""));
    daytime_responder_free(responder);
    CHECK(!strcmp(received(fd, 1), ""));
    close(fd);
    daytime_server_free(server);
}

static void after_the_client(void) {
    struct desk desk;
    daytime_server *server = new_desk(&desk);
    int fd = asked(server, "later\n");
    daytime_responder *responder = take(&desk);
    CHECK(!daytime_responder_is_cancelled(responder));
    OK(daytime_server_disconnect(server, 1));
    WAIT_UNTIL(daytime_responder_is_cancelled(responder));
    CHECK(!strcmp(received(fd, 1), ""));
    OK(daytime_responder_reply(responder, "unheard"));
    daytime_responder_free(responder);
    close(fd);
    fd = asked(server, "at_once yes\n");
    CHECK(!strcmp(received(fd, 0), "yes\n"));
    close(fd);
    daytime_server_free(server);
}

static void after_the_server(void) {
    struct desk desk;
    daytime_server *server = new_desk(&desk);
    daytime_responder *responders[4];
    int fds[4];
    for (int i = 0; i < 4; i++) fds[i] = asked(server, "later\n");
    for (int i = 0; i < 4; i++) responders[i] = take(&desk);
    daytime_server_stop(server);
    CHECK(daytime_responder_is_cancelled(responders[0]));
    OK(daytime_responder_reply(responders[0], "unheard"));
    OK(daytime_server_wait(server, 10000)); /* which does not wait for responders */
    OK(daytime_responder_reply(responders[1], "unheard"));
    daytime_server_free(server);
    CHECK(daytime_responder_is_cancelled(responders[2]) && daytime_responder_client(responders[2]) > 0);
    OK(daytime_responder_fail(responders[2], "unheard"));
    CHECK(daytime_responder_reply(responders[2], "twice") == DAYTIME_ERR_STATE);
    for (int i = 0; i < 4; i++) {
        daytime_responder_free(responders[i]);
        close(fds[i]);
    }
}

struct last {
    daytime_server *server;
    atomic_int freed;
};

static void count(void *user_data) {
    ((struct last *)user_data)->freed++;
}

/* Frees its server, then answers. */
static int free_and_answer(const daytime_request *request, daytime_reply *reply, void *user_data) {
    daytime_responder *responder = daytime_request_defer(request);
    (void)reply;
    CHECK(!daytime_request_is_cancelled(request));
    daytime_server_free(((struct last *)user_data)->server);
    CHECK(daytime_request_is_cancelled(request) && daytime_responder_is_cancelled(responder));
    CHECK(daytime_request_client(request) == 1 && !strncmp(daytime_request_peer(request), "127.0.0.1:", 10));
    OK(daytime_responder_reply(responder, "never sent"));
    daytime_responder_free(responder);
    return 0;
}

static void after_its_own_server(void) {
    struct last last = { new_server(), 0 };
    OK(daytime_server_set_framing(last.server, DAYTIME_FRAMING_LINE));
    OK(daytime_server_add_command(last.server, "end", free_and_answer, &last, count));
    start(last.server);
    int fd = asked(last.server, "end\n");
    CHECK(!strcmp(received(fd, 1), ""));
    close(fd);
    WAIT_UNTIL(last.freed == 1);
    nanosleep(&(struct timespec){ 0, 50000000 }, NULL); /* the last thread of the freed server ends */
}

static void drained(void) {
    struct desk desk;
    daytime_server *server = new_desk(&desk);
    int fd = asked(server, "later\n");
    daytime_responder *responder = take(&desk);
    OK(daytime_server_drain(server, 20000));
    CHECK(daytime_server_wait(server, 50) == DAYTIME_ERR_TIMEOUT && !daytime_responder_is_cancelled(responder));
    OK(daytime_responder_reply(responder, "in time"));
    daytime_responder_free(responder);
    CHECK(!strcmp(received(fd, 1), "in time\n"));
    OK(daytime_server_wait(server, 10000));
    close(fd);
    daytime_server_free(server);
}

struct race {
    daytime_responder *responder;
    atomic_int answers;
};

static void *answer(void *argument) {
    struct race *race = argument;
    daytime_status status = daytime_responder_reply(race->responder, "first");
    CHECK(status == DAYTIME_OK || status == DAYTIME_ERR_STATE);
    race->answers += status == DAYTIME_OK;
    return NULL;
}

static void one_answer(void) {
    struct desk desk;
    daytime_server *server = new_desk(&desk);
    pthread_t threads[4];
    for (int round = 0; round < 20; round++) {
        int fd = asked(server, "later\n");
        struct race race = { take(&desk), 0 };
        for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, answer, &race) == 0);
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
        CHECK(race.answers == 1 && !strcmp(received(fd, 0), "first\n"));
        daytime_responder_free(race.responder);
        close(fd);
    }
    daytime_server_free(server);
}

int main(void) {
    by_other_threads();
    every_answer();
    after_the_client();
    after_the_server();
    after_its_own_server();
    drained();
    one_answer();
    return 0;
}
