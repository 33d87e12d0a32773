/* Every function with every NULL and in every wrong state, as a table. A rejected call changes nothing. */
#include "check.h"

#define INVALID DAYTIME_ERR_INVALID
#define STATE DAYTIME_ERR_STATE
#define CLOSED DAYTIME_ERR_CLOSED

/* A line for each call, in order: the actual and the expected result. */
#define GIVES(expected, call) { #call, (long long)(call), (expected) }
#define NOTHING(call) { #call, ((call), 0), 0 }
struct line {
    const char *call;
    long long actual, expected;
};

#define VERIFY(table) verify(table, sizeof(table) / sizeof *(table))
static void verify(const struct line *line, size_t n) {
    for (; n--; line++) {
        if (line->actual != line->expected) {
            fprintf(stderr, "%s returned %lld, expected %lld\n", line->call, line->actual, line->expected);
            abort();
        }
    }
}

static int freed;

static int never(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)request, (void)reply, (void)user_data;
    return 1;
}

static int nulls_inside(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)user_data;
    char long_text[1025];
    memset(long_text, 'x', 1004);
    long_text[1004] = 0;
    struct line lines[] = {
        GIVES(0, daytime_request_command(NULL) != NULL), GIVES(0, daytime_request_argument(NULL) != NULL),
        GIVES(0, daytime_request_peer(NULL) != NULL),    GIVES(0, daytime_request_client(NULL)),
        GIVES(0, daytime_request_state(NULL) != NULL),   GIVES(0, daytime_request_state(request) != NULL),
        GIVES(0, daytime_request_is_cancelled(NULL)),    GIVES(0, daytime_request_is_cancelled(request)),
        GIVES(0, daytime_request_defer(NULL) != NULL),
        NOTHING(daytime_request_stop(NULL)),             NOTHING(daytime_request_drain(NULL, 0)),
        NOTHING(daytime_reply_close(NULL)),              GIVES(INVALID, daytime_reply_set(NULL, "x")),
        GIVES(INVALID, daytime_reply_set(reply, NULL)),  GIVES(INVALID, daytime_reply_set(reply, "")),
        GIVES(INVALID, daytime_reply_set(reply, "a\nb")), GIVES(INVALID, daytime_reply_set(reply, "a\tb")),
        GIVES(INVALID, daytime_reply_set(reply, "\xff")), GIVES(1, daytime_request_client(request)),
        GIVES(INVALID, daytime_reply_error(NULL, "x")),    GIVES(INVALID, daytime_reply_error(reply, NULL)),
        GIVES(INVALID, daytime_reply_error(reply, "")),    GIVES(INVALID, daytime_reply_error(reply, "a\nb")),
        GIVES(INVALID, daytime_reply_error(reply, "a\tb")), GIVES(INVALID, daytime_reply_error(reply, "\xff")),
        GIVES(INVALID, daytime_reply_error(reply, long_text)), GIVES(DAYTIME_OK, daytime_reply_set(reply, long_text)),
    };
    VERIFY(lines);
    return daytime_reply_set(reply, "fine");
}

/* What an answer refuses does not use the responder up. */
static int nulls_later(const daytime_request *request, daytime_reply *reply, void *user_data) {
    (void)reply, (void)user_data;
    char long_text[1025];
    memset(long_text, 'x', 1024);
    long_text[1024] = 0;
    daytime_responder *r = daytime_request_defer(request);
    struct line open[] = {
        GIVES(0, daytime_request_defer(request) != NULL),
        GIVES(INVALID, daytime_responder_reply(NULL, "x")), GIVES(INVALID, daytime_responder_reply(r, NULL)),
        GIVES(INVALID, daytime_responder_error(NULL, "x")), GIVES(INVALID, daytime_responder_error(r, NULL)),
        GIVES(INVALID, daytime_responder_fail(NULL, "x")),  GIVES(INVALID, daytime_responder_fail(r, NULL)),
        GIVES(INVALID, daytime_responder_close(NULL, "x")), GIVES(INVALID, daytime_responder_close(r, NULL)),
        GIVES(INVALID, daytime_responder_reply(r, "")),     GIVES(INVALID, daytime_responder_reply(r, "a\tb")),
        GIVES(INVALID, daytime_responder_reply(r, "a\nb")), GIVES(INVALID, daytime_responder_reply(r, "\xff")),
        GIVES(INVALID, daytime_responder_reply(r, long_text)), GIVES(INVALID, daytime_responder_reply(r, "The command failed")),
        GIVES(INVALID, daytime_responder_error(r, "")),     GIVES(INVALID, daytime_responder_error(r, "a\tb")),
        GIVES(INVALID, daytime_responder_error(r, long_text + 20)), GIVES(INVALID, daytime_responder_fail(r, "")),
        GIVES(INVALID, daytime_responder_fail(r, long_text)), GIVES(INVALID, daytime_responder_close(r, "a\rb")),
        GIVES(INVALID, daytime_responder_close(r, long_text)), GIVES(0, daytime_responder_client(NULL)),
        GIVES(1, daytime_responder_client(r)),              GIVES(0, daytime_responder_is_cancelled(NULL)),
        GIVES(0, daytime_responder_is_cancelled(r)),        NOTHING(daytime_responder_free(NULL)),
        GIVES(DAYTIME_OK, daytime_responder_reply(r, "fine later")),
        GIVES(STATE, daytime_responder_reply(r, "x")),      GIVES(STATE, daytime_responder_error(r, "x")),
        GIVES(STATE, daytime_responder_fail(r, "x")),       GIVES(STATE, daytime_responder_close(r, "")),
        GIVES(INVALID, daytime_responder_reply(r, "")),     GIVES(1, daytime_responder_is_cancelled(r)),
        GIVES(1, daytime_responder_client(r)),              GIVES(0, daytime_request_defer(request) != NULL),
    };
    VERIFY(open);
    daytime_responder_free(r);
    return 1;
}

static void *connected(const daytime_client_context *client, void *user_data) {
    (void)user_data;
    struct line lines[] = {
        GIVES(0, daytime_client_context_client(NULL)), GIVES(0, daytime_client_context_peer(NULL) != NULL),
        GIVES(0, daytime_client_context_state(NULL) != NULL), GIVES(0, daytime_client_context_state(client) != NULL),
        GIVES(1, daytime_client_context_client(client)),
    };
    VERIFY(lines);
    return NULL;
}

static void left(const daytime_client_context *client, int reason, void *user_data) {
    (void)reason, (void)user_data;
    CHECK(!daytime_client_context_state(client));
}

static void count(void *user_data) {
    CHECK(user_data == &freed);
    freed++;
}

int main(void) {
    daytime_server *s = daytime_server_new();
    daytime_client *c;
    daytime_error err;
    daytime_stats stats;
    daytime_event event;
    daytime_client_info info[2];
    char buf[DAYTIME_REPLY_MAX], long_name[2000];
    size_t n;
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    int no_socket = dup(0), no_listener = socket(AF_INET, SOCK_STREAM, 0);
    int no_unix_listener = socket(AF_UNIX, SOCK_STREAM, 0), datagrams = socket(AF_UNIX, SOCK_DGRAM, 0);
    const char *const network[] = { "192.0.2.0/24" }, *const hole[] = { "192.0.2.0/24", NULL };
    const char *const no_network[] = { "192.0.2.0/24", "localhost" }, *const no_text[] = { "192.0.2.0/24\n" };
    int64_t second = 4711;
    int offset = 4711;
    daytime_command_fn no_handler = NULL;
    daytime_connect_fn no_connect_hook = NULL;
    daytime_disconnect_fn no_disconnect_hook = NULL;

    struct line nulls[] = {
        GIVES(0, daytime_version() == NULL), GIVES(DAYTIME_VERSION_NUMBER, daytime_version_number()),
        GIVES(0, daytime_last_error() == NULL),
        GIVES(0, daytime_strerror(INVALID) == NULL), GIVES(0, daytime_strerror(12345) == NULL),
        GIVES(0, daytime_strerror(-2147483647 - 1) == NULL),
        NOTHING(daytime_server_free(NULL)), NOTHING(daytime_server_stop(NULL)), NOTHING(daytime_client_free(NULL)),
        GIVES(INVALID, daytime_server_listen(NULL, "x")), GIVES(INVALID, daytime_server_listen(s, NULL)),
        GIVES(INVALID, daytime_server_listen_as(NULL, DAYTIME_SERVICE_RFC867, "x")), GIVES(INVALID, daytime_server_listen_as(s, DAYTIME_SERVICE_RFC867, NULL)),
        GIVES(INVALID, daytime_server_listen_as(NULL, DAYTIME_SERVICE_RFC868, "x")), GIVES(INVALID, daytime_server_listen_as(s, DAYTIME_SERVICE_RFC868, NULL)),
        GIVES(INVALID, daytime_server_listen_fd(NULL, 0)), GIVES(INVALID, daytime_server_listen_fd_as(NULL, DAYTIME_SERVICE_RFC867, 0)),
        GIVES(INVALID, daytime_server_listen_fd_as(NULL, DAYTIME_SERVICE_RFC868, 0)), GIVES(INVALID, daytime_server_set_unix_mode(NULL, 0600)),
        GIVES(INVALID, daytime_server_set_reuse_port(NULL, 1)),
        GIVES(INVALID, daytime_server_allow(NULL, "::1")), GIVES(INVALID, daytime_server_allow(s, NULL)),
        GIVES(INVALID, daytime_server_deny(NULL, "::1")), GIVES(INVALID, daytime_server_deny(s, NULL)),
        GIVES(INVALID, daytime_server_set_networks(NULL, NULL, 0, NULL, 0)),
        GIVES(INVALID, daytime_server_set_networks(s, NULL, 1, NULL, 0)),
        GIVES(INVALID, daytime_server_set_networks(s, NULL, 0, NULL, 1)),
        GIVES(INVALID, daytime_server_set_networks(s, NULL, (size_t)-1, NULL, (size_t)-1)),
        GIVES(INVALID, daytime_server_set_networks(s, hole, 2, NULL, 0)),
        GIVES(INVALID, daytime_server_set_networks(s, network, 1, hole, 2)),
        GIVES(DAYTIME_OK, daytime_server_set_networks(s, hole, 1, NULL, 0)),
        GIVES(DAYTIME_OK, daytime_server_set_networks(s, NULL, 0, NULL, 0)),
        GIVES(INVALID, daytime_server_proxy(NULL, "::1")), GIVES(INVALID, daytime_server_proxy(s, NULL)),
        GIVES(INVALID, daytime_server_set_proxies(NULL, NULL, 0)), GIVES(INVALID, daytime_server_set_proxies(s, NULL, 1)),
        GIVES(INVALID, daytime_server_set_proxies(s, NULL, (size_t)-1)), GIVES(INVALID, daytime_server_set_proxies(s, hole, 2)),
        GIVES(DAYTIME_OK, daytime_server_set_proxies(s, NULL, 0)), GIVES(INVALID, daytime_server_set_proxy_timeout(NULL, 3000)),
        GIVES(INVALID, daytime_server_reload_zones(NULL)),
        GIVES(INVALID, daytime_server_set_workers(NULL, 1)), GIVES(INVALID, daytime_server_set_handler_threads(NULL, 1)),
        GIVES(INVALID, daytime_server_set_busy_poll(NULL, 1)),
        GIVES(INVALID, daytime_server_listen_as(s, 7, "localhost:0")), GIVES(INVALID, daytime_server_listen_as(s, -1, "localhost:0")),
        GIVES(INVALID, daytime_server_listen_fd_as(s, 7, 0)), GIVES(INVALID, daytime_server_set_backlog(NULL, 1)), GIVES(INVALID, daytime_server_set_max_clients(NULL, 1)),
        GIVES(INVALID, daytime_server_set_max_clients_per_source(NULL, 1)),
        GIVES(INVALID, daytime_server_set_idle_timeout(NULL, 1)),
        GIVES(INVALID, daytime_server_set_first_command_timeout(NULL, 1)),
        GIVES(INVALID, daytime_server_set_write_timeout(NULL, 1)),
        GIVES(INVALID, daytime_server_set_greeting(NULL, "x")), GIVES(INVALID, daytime_server_set_greeting(s, NULL)),
        GIVES(INVALID, daytime_server_set_framing(NULL, 0)),
        GIVES(INVALID, daytime_server_set_day_format(NULL, "x")), GIVES(INVALID, daytime_server_set_day_format(s, NULL)),
        GIVES(INVALID, daytime_server_set_date_format(NULL, "x")), GIVES(INVALID, daytime_server_set_date_format(s, NULL)),
        GIVES(INVALID, daytime_server_set_time_format(NULL, "x")), GIVES(INVALID, daytime_server_set_time_format(s, NULL)),
        GIVES(INVALID, daytime_server_set_timezone(NULL, "UTC")), GIVES(INVALID, daytime_server_set_timezone(s, NULL)),
        GIVES(INVALID, daytime_server_set_clock(NULL, 0)), GIVES(INVALID, daytime_server_set_clock_offset(NULL, 0)),
        GIVES(INVALID, daytime_server_set_clock_system(NULL)),
        GIVES(INVALID, daytime_server_add_command(NULL, "x", never, &freed, count)), GIVES(1, freed),
        GIVES(INVALID, daytime_server_add_command(s, NULL, never, &freed, count)), GIVES(2, freed),
        GIVES(INVALID, daytime_server_add_command(s, "x", no_handler, &freed, count)), GIVES(3, freed),
        GIVES(INVALID, daytime_server_on_connect(NULL, connected, NULL, &freed, count)), GIVES(4, freed),
        GIVES(INVALID, daytime_server_on_connect(s, no_connect_hook, free, &freed, count)), GIVES(5, freed),
        GIVES(INVALID, daytime_server_on_disconnect(NULL, left, &freed, count)), GIVES(6, freed),
        GIVES(INVALID, daytime_server_on_disconnect(s, no_disconnect_hook, &freed, count)), GIVES(7, freed),
        GIVES(INVALID, daytime_server_set_usage(NULL, "x")), GIVES(INVALID, daytime_server_set_usage(s, NULL)),
        GIVES(INVALID, daytime_server_enable_events(NULL, 1, 0)),
        GIVES(INVALID, daytime_server_start(NULL, NULL)), GIVES(INVALID, daytime_server_start(NULL, &err)),
        GIVES(INVALID, err.status), GIVES(INVALID, daytime_server_drain(NULL, 0)),
        GIVES(INVALID, daytime_server_wait(NULL, 0)), GIVES(0, daytime_server_port(NULL)),
        GIVES(INVALID, daytime_server_local_addr(NULL, buf, 9)), GIVES(INVALID, daytime_server_local_addr(s, NULL, 9)),
        GIVES(INVALID, daytime_server_local_addr(s, buf, 0)),
        GIVES(INVALID, daytime_server_address(NULL, DAYTIME_SERVICE_TEXT, 0, buf, 9)), GIVES(INVALID, daytime_server_address(s, DAYTIME_SERVICE_TEXT, 0, NULL, 9)),
        GIVES(INVALID, daytime_server_address(NULL, DAYTIME_SERVICE_RFC867, 0, buf, 9)), GIVES(INVALID, daytime_server_address(s, DAYTIME_SERVICE_RFC867, 0, NULL, 9)),
        GIVES(INVALID, daytime_server_address(NULL, DAYTIME_SERVICE_RFC868, 0, buf, 9)), GIVES(INVALID, daytime_server_address(s, DAYTIME_SERVICE_RFC868, 0, NULL, 9)),
        GIVES(INVALID, daytime_server_warning(NULL, 0, buf, 9)), GIVES(INVALID, daytime_server_warning(s, 0, NULL, 9)),
        GIVES(INVALID, daytime_server_stats(NULL, &stats, sizeof stats)),
        GIVES(INVALID, daytime_server_metrics(NULL, buf, 9, &n)), GIVES(INVALID, daytime_server_metrics(s, NULL, 9, &n)),
        GIVES(INVALID, daytime_server_metrics(s, buf, 9, NULL)),
        GIVES(INVALID, daytime_server_stats(s, NULL, sizeof stats)), GIVES(INVALID, daytime_server_stats(s, &stats, 0)),
        GIVES(INVALID, daytime_server_next_event(NULL, &event, sizeof event, 0)),
        GIVES(INVALID, daytime_server_next_event(s, NULL, sizeof event, 0)),
        GIVES(INVALID, daytime_server_next_event(s, &event, 0, 0)),
        GIVES(INVALID, daytime_server_clients(NULL, info, sizeof *info, 2, &n)),
        GIVES(INVALID, daytime_server_clients(s, NULL, sizeof *info, 2, &n)),
        GIVES(INVALID, daytime_server_clients(s, info, 0, 2, &n)),
        GIVES(INVALID, daytime_server_clients(s, info, sizeof *info, 2, NULL)),
        GIVES(INVALID, daytime_server_disconnect(NULL, 1)),
        GIVES(INVALID, daytime_client_connect(NULL, 0, &c, &err)), GIVES(0, c != NULL),
        GIVES(INVALID, daytime_client_connect("127.0.0.1:1", 0, NULL, &err)),
        GIVES(INVALID, daytime_client_greeting(NULL, buf, 9, NULL)), GIVES(INVALID, daytime_client_peer(NULL, buf, 9, NULL)),
        GIVES(INVALID, daytime_client_timestamp(NULL, NULL, NULL)), GIVES(INVALID, daytime_client_day(NULL, buf, 9, NULL)), GIVES(INVALID, daytime_client_date(NULL, buf, 9, NULL)),
        GIVES(INVALID, daytime_client_tz(NULL, "", buf, 9, NULL)), GIVES(INVALID, daytime_client_next_transition(NULL, "", &second, &offset, NULL)),
        GIVES(INVALID, daytime_client_time(NULL, buf, 9, NULL)), GIVES(INVALID, daytime_client_datetime(NULL, buf, 9, NULL)),
        GIVES(INVALID, daytime_client_request(NULL, "day", buf, 9, NULL)), GIVES(INVALID, daytime_client_quit(NULL, NULL)),
        GIVES(INVALID, daytime_rfc867(NULL, 0, buf, 9, NULL)), GIVES(INVALID, daytime_rfc867("127.0.0.1:1", 0, NULL, 9, &err)),
        GIVES(INVALID, daytime_rfc867("127.0.0.1:1", 0, buf, 0, &err)), GIVES(INVALID, daytime_rfc868(NULL, 0, &second, NULL)),
        GIVES(INVALID, daytime_rfc868("127.0.0.1:1", 0, NULL, &err)), GIVES(INVALID, err.status),
    };
    VERIFY(nulls);

    struct line refused[] = {
        GIVES(INVALID, daytime_server_listen(s, "")), GIVES(INVALID, daytime_server_listen(s, "localhost:99999")),
        GIVES(INVALID, daytime_server_listen(s, "a b:1")), GIVES(INVALID, daytime_server_listen(s, "\xff:1")),
        GIVES(INVALID, daytime_server_listen(s, "localhost:1\n")), GIVES(INVALID, daytime_server_listen_fd(s, -1)),
        GIVES(INVALID, daytime_server_listen_fd(s, 12345)), GIVES(INVALID, daytime_server_listen_fd(s, no_socket)),
        GIVES(INVALID, daytime_server_listen_fd(s, no_listener)), GIVES(INVALID, daytime_server_listen_fd(s, no_unix_listener)),
        GIVES(INVALID, daytime_server_listen_fd(s, datagrams)), GIVES(INVALID, daytime_server_listen_fd_as(s, DAYTIME_SERVICE_RFC867, datagrams)),
        GIVES(INVALID, daytime_server_listen_fd_as(s, DAYTIME_SERVICE_RFC868, -1)),
        GIVES(INVALID, daytime_server_listen(s, "unix:")), GIVES(INVALID, daytime_server_listen(s, "unix:@")),
        GIVES(INVALID, daytime_server_listen(s, "unix:a\nb")), GIVES(INVALID, daytime_server_listen(s, "unix:\xff")),
        GIVES(INVALID, daytime_server_listen_as(s, DAYTIME_SERVICE_RFC867, "localhost:")), GIVES(INVALID, daytime_server_listen_as(s, DAYTIME_SERVICE_RFC868, "")),
        GIVES(INVALID, daytime_server_set_unix_mode(s, 01000)), GIVES(INVALID, daytime_server_set_unix_mode(s, UINT32_MAX)),
        GIVES(INVALID, daytime_server_allow(s, "")), GIVES(INVALID, daytime_server_allow(s, "192.0.2.0/33")),
        GIVES(INVALID, daytime_server_allow(s, "::1\n")), GIVES(INVALID, daytime_server_allow(s, "\xff")),
        GIVES(INVALID, daytime_server_deny(s, "localhost")), GIVES(INVALID, daytime_server_deny(s, long_name)),
        GIVES(INVALID, daytime_server_set_networks(s, no_network, 2, NULL, 0)),
        GIVES(INVALID, daytime_server_set_networks(s, network, 1, no_text, 1)),
        GIVES(INVALID, daytime_server_proxy(s, "")), GIVES(INVALID, daytime_server_proxy(s, "localhost")),
        GIVES(INVALID, daytime_server_set_proxies(s, no_network, 2)), GIVES(INVALID, daytime_server_set_proxies(s, no_text, 1)),
        GIVES(INVALID, daytime_server_set_proxy_timeout(s, 0)), GIVES(INVALID, daytime_server_set_proxy_timeout(s, 2999)),
        GIVES(INVALID, daytime_server_set_workers(s, 1025)), GIVES(INVALID, daytime_server_set_handler_threads(s, 0)),
        GIVES(INVALID, daytime_server_set_handler_threads(s, 1025)), GIVES(INVALID, daytime_server_set_backlog(s, 0)),
        GIVES(INVALID, daytime_server_set_backlog(s, 4294967295u)), GIVES(INVALID, daytime_server_set_write_timeout(s, 0)),
        GIVES(INVALID, daytime_server_set_greeting(s, "a\nb")), GIVES(INVALID, daytime_server_set_greeting(s, long_name)),
        GIVES(INVALID, daytime_server_set_framing(s, 2)), GIVES(INVALID, daytime_server_set_framing(s, -1)),
        GIVES(INVALID, daytime_server_set_day_format(s, "%")), GIVES(INVALID, daytime_server_set_date_format(s, "")),
        GIVES(INVALID, daytime_server_set_time_format(s, "%Q%")), GIVES(INVALID, daytime_server_set_timezone(s, "Mars/Olympus")),
        GIVES(INVALID, daytime_server_enable_events(s, 0, 0)), GIVES(INVALID, daytime_server_enable_events(s, (size_t)-1, 0)),
        GIVES(INVALID, daytime_server_add_command(s, "Day", never, &freed, count)),
        GIVES(INVALID, daytime_server_add_command(s, "a b", never, &freed, count)),
        GIVES(INVALID, daytime_server_add_command(s, "", never, &freed, count)),
        GIVES(INVALID, daytime_server_add_command(s, long_name, never, &freed, count)), GIVES(11, freed),
        GIVES(INVALID, daytime_server_set_usage(s, "")), GIVES(INVALID, daytime_server_set_usage(s, "never NAME")),
        GIVES(INVALID, daytime_server_set_usage(s, "day")), GIVES(INVALID, daytime_server_set_usage(s, "\xff")),
        GIVES(STATE, daytime_server_drain(s, 0)), GIVES(STATE, daytime_server_wait(s, 0)), GIVES(0, daytime_server_port(s)),
        GIVES(STATE, daytime_server_local_addr(s, buf, 9)), GIVES(STATE, daytime_server_address(s, DAYTIME_SERVICE_TEXT, 0, buf, 9)),
        GIVES(STATE, daytime_server_address(s, DAYTIME_SERVICE_RFC867, 0, buf, 9)), GIVES(STATE, daytime_server_address(s, DAYTIME_SERVICE_RFC868, 0, buf, 9)),
        GIVES(STATE, daytime_server_reload_zones(s)),
        GIVES(STATE, daytime_server_metrics(s, buf, 9, &n)), GIVES(STATE, daytime_server_metrics(s, NULL, 0, &n)),
        GIVES(STATE, daytime_server_warning(s, 0, buf, 9)), GIVES(STATE, daytime_server_stats(s, &stats, sizeof stats)),
        GIVES(STATE, daytime_server_next_event(s, &event, sizeof event, 0)), GIVES(STATE, daytime_server_disconnect(s, 1)),
        GIVES(STATE, daytime_server_clients(s, info, sizeof *info, 2, &n)),
        GIVES(INVALID, daytime_client_connect("", 0, &c, &err)), GIVES(0, c != NULL),
        GIVES(DAYTIME_ERR_IO, daytime_client_connect("127.0.0.1:1", 0, &c, &err)), GIVES(ECONNREFUSED, err.os_error),
        GIVES(INVALID, daytime_client_connect("unix:", 0, &c, &err)), GIVES(0, c != NULL),
        GIVES(DAYTIME_ERR_IO, daytime_client_connect("unix:/nowhere/at/all", 0, &c, &err)), GIVES(ENOENT, err.os_error),
        GIVES(INVALID, daytime_rfc867("a b", 0, buf, 9, &err)), GIVES(DAYTIME_ERR_IO, daytime_rfc867("127.0.0.1:1", 0, buf, 9, &err)),
        GIVES(INVALID, daytime_rfc868("localhost\n", 0, &second, &err)),
        GIVES(INVALID, daytime_rfc867_udp(NULL, 0, buf, 9, NULL)), GIVES(INVALID, daytime_rfc867_udp("127.0.0.1:1", 0, NULL, 9, &err)),
        GIVES(INVALID, daytime_rfc868_udp(NULL, 0, &second, NULL)), GIVES(INVALID, daytime_rfc868_udp("127.0.0.1:1", 0, NULL, &err)),
        GIVES(INVALID, daytime_server_set_udp_rate(NULL, 1)),
        GIVES(DAYTIME_ERR_IO, daytime_rfc868("127.0.0.1:1", -1, &second, &err)), GIVES(ECONNREFUSED, err.os_error), GIVES(4711, second),
    };
    VERIFY(refused);
    close(no_socket), close(no_listener), close(no_unix_listener), close(datagrams);
    daytime_server_free(s);

    s = new_server(); /* a new server, because its start shows whether a rejected call has changed it */
    CHECK(daytime_server_set_networks(s, network, 1, no_network, 2) == INVALID); /* otherwise the server would deny its client below */
    CHECK(daytime_server_deny(s, "127.0.0.1/") == INVALID);
    OK(daytime_server_add_command(s, "fine", nulls_inside, &freed, count));
    OK(daytime_server_add_command(s, "later", nulls_later, &freed, count));
    CHECK(daytime_server_add_command(s, "FINE", never, &freed, count) == INVALID && freed == 12);
    OK(daytime_server_set_usage(s, "fine [NAME]"));
    memcpy(long_name, "fine ", 5);
    CHECK(daytime_server_set_usage(s, long_name) == INVALID && daytime_server_set_usage(s, "fine\tNAME") == INVALID);
    CHECK(daytime_server_set_usage(s, "fine\n") == INVALID && daytime_server_set_usage(s, "finer NAME") == INVALID);
    OK(daytime_server_on_connect(s, connected, NULL, &freed, count));
    OK(daytime_server_on_connect(s, connected, free, &freed, count)); /* replaces the one before */
    CHECK(freed == 13);
    OK(daytime_server_on_disconnect(s, left, &freed, count));
    OK(daytime_server_on_disconnect(s, left, &freed, count));
    CHECK(freed == 14);
    start(s);
    c = connect_client(s);
    CHECK(!strcmp(ask(c, "fine"), "fine") && !strcmp(ask(c, "later"), "fine later"));
    CHECK(!strcmp(ask(c, "help fine"), "fine [NAME]"));
    struct line started[] = {
        GIVES(STATE, daytime_server_start(s, &err)), GIVES(STATE, daytime_server_listen(s, "localhost:0")),
        GIVES(STATE, daytime_server_listen_as(s, DAYTIME_SERVICE_RFC867, "localhost:0")), GIVES(STATE, daytime_server_listen_as(s, DAYTIME_SERVICE_RFC868, "localhost:0")),
        GIVES(STATE, daytime_server_set_unix_mode(s, 0600)), GIVES(STATE, daytime_server_set_reuse_port(s, 1)),
        GIVES(STATE, daytime_server_allow(s, "::1")), GIVES(STATE, daytime_server_deny(s, "::1")),
        GIVES(STATE, daytime_server_proxy(s, "::1")), GIVES(STATE, daytime_server_set_proxy_timeout(s, 3000)),
        GIVES(INVALID, daytime_server_set_proxies(s, no_network, 2)), GIVES(DAYTIME_OK, daytime_server_set_proxies(s, network, 1)),
        GIVES(INVALID, daytime_server_set_networks(s, no_network, 2, NULL, 0)),
        GIVES(INVALID, daytime_server_set_networks(s, NULL, 0, hole, 2)),
        GIVES(INVALID, daytime_server_set_networks(s, NULL, 0, NULL, 1)),
        GIVES(DAYTIME_OK, daytime_server_set_networks(s, network, 1, NULL, 0)), GIVES(DAYTIME_OK, daytime_server_reload_zones(s)),
        GIVES(INVALID, daytime_server_address(s, DAYTIME_SERVICE_RFC867, 0, buf, 9)), GIVES(INVALID, daytime_server_address(s, DAYTIME_SERVICE_RFC868, 0, buf, 9)),
        GIVES(STATE, daytime_server_set_workers(s, 1)), GIVES(STATE, daytime_server_set_handler_threads(s, 1)),
        GIVES(STATE, daytime_server_set_busy_poll(s, 1)), GIVES(STATE, daytime_server_set_backlog(s, 1)), GIVES(STATE, daytime_server_set_max_clients(s, 1)),
        GIVES(STATE, daytime_server_set_max_clients_per_source(s, 1)), GIVES(STATE, daytime_server_set_idle_timeout(s, 1)),
        GIVES(STATE, daytime_server_set_first_command_timeout(s, 1)), GIVES(STATE, daytime_server_set_write_timeout(s, 1)),
        GIVES(STATE, daytime_server_set_greeting(s, "x")), GIVES(STATE, daytime_server_set_framing(s, 0)),
        GIVES(STATE, daytime_server_set_day_format(s, "x")), GIVES(STATE, daytime_server_set_date_format(s, "x")),
        GIVES(STATE, daytime_server_set_time_format(s, "x")), GIVES(STATE, daytime_server_set_timezone(s, "UTC")),
        GIVES(STATE, daytime_server_enable_events(s, 1, 0)),
        GIVES(STATE, daytime_server_add_command(s, "more", never, &freed, count)), GIVES(15, freed),
        GIVES(STATE, daytime_server_on_connect(s, connected, free, &freed, count)), GIVES(16, freed),
        GIVES(STATE, daytime_server_on_disconnect(s, left, &freed, count)), GIVES(17, freed),
        GIVES(STATE, daytime_server_set_usage(s, "fine NAME")),
        GIVES(STATE, daytime_server_next_event(s, &event, sizeof event, 0)),
        GIVES(INVALID, daytime_server_address(s, DAYTIME_SERVICE_TEXT, 1, buf, sizeof buf)), GIVES(INVALID, daytime_server_address(s, 4, 0, buf, sizeof buf)), GIVES(INVALID, daytime_server_warning(s, 9, buf, 9)),
        GIVES(CLOSED, daytime_server_disconnect(s, 99)), GIVES(DAYTIME_OK, daytime_server_set_clock(s, 0)),
        GIVES(INVALID, daytime_client_greeting(c, NULL, 9, NULL)), GIVES(INVALID, daytime_client_peer(c, NULL, 9, NULL)),
        GIVES(INVALID, daytime_client_timestamp(c, NULL, NULL)), GIVES(INVALID, daytime_client_day(c, NULL, 9, NULL)), GIVES(INVALID, daytime_client_date(c, buf, 0, NULL)),
        GIVES(INVALID, daytime_client_time(c, NULL, 9, NULL)), GIVES(INVALID, daytime_client_datetime(c, buf, 0, NULL)),
        GIVES(INVALID, daytime_client_tz(c, NULL, buf, 9, NULL)), GIVES(INVALID, daytime_client_tz(c, "", NULL, 9, NULL)),
        GIVES(INVALID, daytime_client_tz(c, "a\nb", buf, 9, &err)), GIVES(INVALID, daytime_client_next_transition(c, NULL, &second, &offset, NULL)),
        GIVES(INVALID, daytime_client_next_transition(c, "", NULL, &offset, NULL)), GIVES(INVALID, daytime_client_next_transition(c, "", &second, NULL, &err)),
        GIVES(INVALID, daytime_client_request(c, NULL, buf, 9, NULL)), GIVES(INVALID, daytime_client_request(c, "day", NULL, 9, &err)),
        GIVES(INVALID, daytime_client_request(c, " ", buf, 9, &err)), GIVES(INVALID, daytime_client_request(c, "quit", buf, 9, &err)),
        GIVES(INVALID, daytime_client_request(c, long_name, buf, 9, &err)), GIVES(DAYTIME_OK, daytime_client_quit(c, &err)),
        GIVES(CLOSED, daytime_client_quit(c, &err)), GIVES(CLOSED, daytime_client_greeting(c, buf, 9, NULL)),
        GIVES(CLOSED, daytime_client_peer(c, buf, 9, NULL)), GIVES(CLOSED, daytime_client_day(c, buf, 9, NULL)),
        GIVES(CLOSED, daytime_client_date(c, buf, 9, NULL)), GIVES(CLOSED, daytime_client_time(c, buf, 9, NULL)),
        GIVES(CLOSED, daytime_client_tz(c, "", buf, 9, NULL)), GIVES(CLOSED, daytime_client_next_transition(c, "", &second, &offset, NULL)),
        GIVES(CLOSED, daytime_client_datetime(c, buf, 9, NULL)), GIVES(CLOSED, daytime_client_request(c, "day", buf, 9, NULL)),
    };
    VERIFY(started);
    daytime_client_free(c);
    daytime_server_free(s);
    CHECK(freed == 21);
    return 0;
}
