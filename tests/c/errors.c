/* daytime_last_error(): each call that fails says why, for its thread. */
#include "check.h"

/* The last call of this thread failed for this reason. */
static int because(int status, const char *message) {
    const daytime_error *error = daytime_last_error();
    if (error->status == status && strcmp(error->message, message) == 0) return 1;
    fprintf(stderr, "status %d: %s\nexpected %d: %s\n", error->status, error->message, status, message);
    return 0;
}

static void *another_thread(void *server) {
    CHECK(because(DAYTIME_OK, ""));
    CHECK(daytime_server_set_workers(server, 4000) == DAYTIME_ERR_INVALID);
    CHECK(because(DAYTIME_ERR_INVALID, "workers must be between 1 and 1,024, got 4,000"));
    return NULL;
}

static int echo(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)user_data;
    return daytime_reply_set(reply, daytime_request_argument(request));
}

int main(void) {
    CHECK(because(DAYTIME_OK, ""));
    daytime_server *server = daytime_server_new();

    /* Setters. */
    CHECK(daytime_server_set_workers(server, 2000) == DAYTIME_ERR_INVALID);
    CHECK(because(DAYTIME_ERR_INVALID, "workers must be between 1 and 1,024, got 2,000"));
    CHECK(daytime_server_listen(server, "x:y:z") == DAYTIME_ERR_INVALID);
    CHECK(because(DAYTIME_ERR_INVALID, "the address \"x:y:z\" does not have a port number after its colon"));
    CHECK(daytime_server_add_command(server, "two words", echo, NULL, NULL) == DAYTIME_ERR_INVALID);
    CHECK(strstr(daytime_last_error()->message, "two words"));
    CHECK(daytime_server_allow(server, "127.0.0.0/33") == DAYTIME_ERR_INVALID);
    CHECK(strstr(daytime_last_error()->message, "127.0.0.0/33"));
    CHECK(daytime_server_set_timezone(server, NULL) == DAYTIME_ERR_INVALID);
    CHECK(because(DAYTIME_ERR_INVALID, "a required argument is NULL"));

    /* A call that succeeds keeps it, and each thread has its own. */
    OK(daytime_server_listen(server, "127.0.0.1:0"));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, another_thread, server) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(because(DAYTIME_ERR_INVALID, "a required argument is NULL"));

    /* A function with `err` writes the same to both. */
    OK(daytime_server_add_command(server, "echo", echo, NULL, NULL));
    OK(daytime_server_start(server, NULL));
    daytime_error err;
    CHECK(daytime_server_start(server, &err) == DAYTIME_ERR_STATE);
    CHECK(because(err.status, err.message) && because(DAYTIME_ERR_STATE, "the server was started already"));
    CHECK(daytime_server_set_greeting(server, "Hello") == DAYTIME_ERR_STATE);
    CHECK(because(DAYTIME_ERR_STATE, "the server was started already"));

    /* No error names a function of another language. */
    char address[DAYTIME_ADDR_MAX], reply[DAYTIME_REPLY_MAX];
    daytime_client *client;
    OK(daytime_server_local_addr(server, address, sizeof address));
    OK(daytime_client_connect(address, 10000, &client, NULL));
    CHECK(daytime_client_request(client, "quit", reply, sizeof reply, NULL) == DAYTIME_ERR_INVALID);
    CHECK(because(DAYTIME_ERR_INVALID, "the command \"quit\" does not have a reply; close the client instead"));
    daytime_client_free(client);

    /* The system's error has its number. */
    daytime_server *second = daytime_server_new();
    char addr[DAYTIME_ADDR_MAX];
    OK(daytime_server_local_addr(server, addr, sizeof addr));
    OK(daytime_server_listen(second, addr));
    CHECK(daytime_server_start(second, NULL) == DAYTIME_ERR_IO);
    CHECK(daytime_last_error()->os_error == EADDRINUSE && strstr(daytime_last_error()->message, addr));
    daytime_server_free(second);

    /* A signal handler may stop a server that it does not have; nothing is recorded. */
    daytime_server_stop(NULL);
    CHECK(daytime_last_error()->os_error == EADDRINUSE);
    daytime_server_free(server);
    return 0;
}
