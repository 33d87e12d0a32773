/*
 * daytime.h: day, date and time over TCP, a server to embed and its client.
 *
 * Made by cbindgen from src/capi/; do not edit. These rules hold for every function:
 *
 * Ownership  What daytime_server_new(), daytime_client_connect() or daytime_request_defer() made, the matching *_free()
 *            releases. Nothing else is ever freed by you.
 * Errors     Functions that can fail return DAYTIME_OK, which is 0, or a negative daytime_status. After a failure
 *            daytime_last_error() has the words. A parameter err gets the same; it may be NULL. Out-parameters are
 *            written only on success, but for DAYTIME_ERR_TRUNCATED; a handle out-parameter is NULL on failure.
 *            errno is left alone. Without memory the process is aborted.
 * NULL       A function without a result does nothing with NULL, one that returns a pointer or a number gives NULL or 0,
 *            any other DAYTIME_ERR_INVALID.
 * Strings    In: NUL-terminated UTF-8 without CR and LF, copied. Out: your buffer of cap bytes, always NUL-terminated.
 * Threads    Any function from any thread. *_free() is the last call on its handle. Calls on one client are serialised.
 * Signals    Server threads block all signals, no call raises SIGPIPE, no handler is installed. Of all functions only
 *            daytime_server_stop() may be called by a signal handler.
 * fork       Handles do not survive fork(): in the child every call returns DAYTIME_ERR_STATE, NULL or 0; only *_free()
 *            does its part, without waiting. fork() and exec() are fine: every descriptor is closed by exec().
 * exit       A process may end while a server runs. dlclose() while one runs does no harm: the library stays.
 */


#ifndef DAYTIME_H
#define DAYTIME_H



#include <stddef.h>
#include <stdint.h>

/**
 * The version of this header. daytime_version_number() returns that of the library.
 */
#define DAYTIME_VERSION_MAJOR 0

/**
 * See DAYTIME_VERSION_MAJOR.
 */
#define DAYTIME_VERSION_MINOR 1

/**
 * See DAYTIME_VERSION_MAJOR.
 */
#define DAYTIME_VERSION_PATCH 0

/**
 * The version as one number that grows, for #if: MAJOR * 1000000 + MINOR * 1000 + PATCH.
 */
#define DAYTIME_VERSION_NUMBER 1000

/**
 * The size of a buffer that holds every reply with its NUL.
 */
#define DAYTIME_REPLY_MAX 1024

/**
 * The size of a buffer that holds every address of a listener or a peer with its NUL. Only the path of a Unix socket with
 * control characters can exceed it, since they are escaped.
 */
#define DAYTIME_ADDR_MAX 128

/**
 * The size of daytime_stats.by_service, which has places for services of later versions.
 */
#define DAYTIME_SERVICES_MAX 8

/**
 * The size of daytime_stats.by_reason, which has places for reasons of later versions.
 */
#define DAYTIME_REASONS_MAX 32

/**
 * Status codes. Functions that take one accept any int. Values are stable across versions.
 */
typedef enum {
    /**
     * Success.
     */
    DAYTIME_OK = 0,
    /**
     * An argument is invalid: NULL, not UTF-8, or out of range. Nothing has changed.
     */
    DAYTIME_ERR_INVALID = -1,
    /**
     * The call came at the wrong time or place: a setting after start, a wait inside a handler, a call in a forked child.
     */
    DAYTIME_ERR_STATE = -2,
    /**
     * The operating system reported an error. daytime_error.os_error has errno, or 0 for a name that does not resolve.
     */
    DAYTIME_ERR_IO = -3,
    /**
     * The timeout passed. A client that waited for a reply is broken.
     */
    DAYTIME_ERR_TIMEOUT = -4,
    /**
     * The peer closed the connection, or an earlier error broke the client, or the requested client or event is gone.
     */
    DAYTIME_ERR_CLOSED = -5,
    /**
     * The peer does not speak this protocol.
     */
    DAYTIME_ERR_PROTOCOL = -6,
    /**
     * The server answered with an error line, which is in daytime_error.message. The client stays usable.
     */
    DAYTIME_ERR_REFUSED = -7,
    /**
     * The buffer is too small. It holds the start of the text, NUL-terminated. The client stays usable.
     */
    DAYTIME_ERR_TRUNCATED = -8,
    /**
     * A bug of the library, which was caught. Free the handle.
     */
    DAYTIME_ERR_PANIC = -9
} daytime_status;

/**
 * The kind of an event: daytime_event.kind. Later versions may have more kinds.
 */
typedef enum {
    /**
     * A client was accepted: client, peer.
     */
    DAYTIME_EVENT_CONNECTED = 1,
    /**
     * A command was executed, if commands were asked for: client, command, ok.
     */
    DAYTIME_EVENT_COMMAND_SERVED = 2,
    /**
     * The handler of a custom command failed, or returned an invalid reply: client, command, error.
     */
    DAYTIME_EVENT_COMMAND_FAILED = 3,
    /**
     * The connection of a client is closed: client, peer, reason, commands.
     */
    DAYTIME_EVENT_DISCONNECTED = 4,
    /**
     * A connection was refused: peer, reason.
     */
    DAYTIME_EVENT_REFUSED = 5,
    /**
     * The system lacks file descriptors or memory to accept clients; the server retries: error.
     */
    DAYTIME_EVENT_ACCEPT_PAUSED = 6
} daytime_event_kind;

/**
 * Why a connection was closed or refused: daytime_event.reason. Later versions may have more reasons.
 */
typedef enum {
    /**
     * The client sent "quit" or "exit", or a custom command closed the connection.
     */
    DAYTIME_REASON_QUIT = 1,
    /**
     * The client closed its side.
     */
    DAYTIME_REASON_EOF = 2,
    /**
     * The idle timeout passed.
     */
    DAYTIME_REASON_IDLE = 3,
    /**
     * The first-command timeout passed.
     */
    DAYTIME_REASON_NO_COMMAND = 4,
    /**
     * The write timeout passed: the client took none of the replies owed to it.
     */
    DAYTIME_REASON_WRITE_TIMEOUT = 5,
    /**
     * The connection failed.
     */
    DAYTIME_REASON_ERROR = 6,
    /**
     * daytime_server_disconnect() closed it.
     */
    DAYTIME_REASON_KICKED = 7,
    /**
     * The server has the maximum of clients.
     */
    DAYTIME_REASON_FULL = 8,
    /**
     * The client's address has the maximum of clients for one address.
     */
    DAYTIME_REASON_PER_SOURCE = 9,
    /**
     * The server stopped.
     */
    DAYTIME_REASON_SHUTDOWN = 10,
    /**
     * The client's network is denied.
     */
    DAYTIME_REASON_DENIED = 11,
    /**
     * The reply of RFC 867 or RFC 868 was sent.
     */
    DAYTIME_REASON_ANSWERED = 12,
    /**
     * The header of the PROXY protocol is invalid, or did not arrive in time.
     */
    DAYTIME_REASON_PROXY_HEADER = 13
} daytime_reason;

/**
 * How the server finds the end of a command: daytime_server_set_framing().
 */
typedef enum {
    /**
     * Detected for each connection: lines, or the commands of the original classroom program, which end nothing.
     */
    DAYTIME_FRAMING_AUTO = 0,
    /**
     * Lines from the start, for deployments without clients of the original.
     */
    DAYTIME_FRAMING_LINE = 1
} daytime_framing;

/**
 * The protocol of a listener: daytime_server_listen_as().
 */
typedef enum {
    /**
     * Commands and replies, by default on port 9990.
     */
    DAYTIME_SERVICE_TEXT = 0,
    /**
     * The daytime protocol (RFC 867), by default on port 13. Each client gets the date and the time in the server's
     * zone, such as "Sunday, November 22, 2026 15:44:57-UTC", and is closed.
     */
    DAYTIME_SERVICE_RFC867 = 1,
    /**
     * The time protocol (RFC 868), by default on port 37. Each client gets the seconds since 1900 in four bytes, and is
     * closed.
     */
    DAYTIME_SERVICE_RFC868 = 2,
    /**
     * HTTP for Prometheus and for health checks, by default on port 9991. "/metrics" has the text of
     * daytime_server_metrics(); "/healthz" answers 200 while the first worker works; "/readyz" answers 200, or 503 while the
     * server drains or is full. Its connections are not clients, and at most 32 are open at a time. Anyone who reaches the
     * port reads the counters. While the server drains, it answers until the last client is gone.
     */
    DAYTIME_SERVICE_METRICS = 3,
    /**
     * Commands and replies for the clients of a proxy, by default on port 9990. Each connection must begin with a header
     * of the PROXY protocol, version 1 or 2, which names the client's address: daytime_server_proxy().
     */
    DAYTIME_SERVICE_PROXIED = 4,
    /**
     * The daytime protocol over UDP (RFC 867), by default on port 13. Each datagram of at most 3 bytes gets the line of
     * DAYTIME_SERVICE_RFC867, from the address to which it was sent. Others are dropped: longer ones, those of a port below
     * 1,024, those to a broadcast or multicast address, those of a denied network, and those of a source that asks too
     * often, see daytime_server_set_udp_rate(). The answer has at most 3 times the bytes of the question, counted in IP.
     */
    DAYTIME_SERVICE_RFC867_UDP = 5,
    /**
     * The time protocol over UDP (RFC 868), by default on port 37. As DAYTIME_SERVICE_RFC867_UDP, with the four bytes of
     * DAYTIME_SERVICE_RFC868, at most 1.15 times the bytes of the question.
     */
    DAYTIME_SERVICE_RFC868_UDP = 6
} daytime_service;

/**
 * One connection to a server of this library, or to the original classroom program. Errors other than
 * DAYTIME_ERR_INVALID, DAYTIME_ERR_REFUSED and DAYTIME_ERR_TRUNCATED break it: every later call returns
 * DAYTIME_ERR_CLOSED.
 */
typedef struct daytime_client daytime_client;

/**
 * A client, for a hook. The library owns it, and it is valid only inside that hook.
 */
typedef struct daytime_client_context daytime_client_context;

/**
 * The reply of a handler. The library owns it, and it is valid only inside that handler.
 */
typedef struct daytime_reply daytime_reply;

/**
 * A custom command of a client. The library owns it, and it is valid only inside its handler.
 */
typedef struct daytime_request daytime_request;

/**
 * The deferred reply to one custom command, from daytime_request_defer(). Its client waits until it is answered once: by a
 * reply, an error line, a failure or a close. A server that drains waits for that too. After the client has left, or the
 * server has stopped or was freed, an answer goes nowhere and is not an error.
 */
typedef struct daytime_responder daytime_responder;

/**
 * A server. Call new, then listen, set_*, on_* and add_command in any order, then start, later stop or drain, wait, and free.
 * free alone is always correct, and a wrong order is DAYTIME_ERR_STATE.
 */
typedef struct daytime_server daytime_server;

/**
 * The error of a call. Every call that fails writes it for its thread, see daytime_last_error(), and to its parameter err if it
 * has one that is not NULL. This struct never grows.
 */
typedef struct {
    /**
     * The daytime_status that was returned.
     */
    int status;
    /**
     * errno of DAYTIME_ERR_IO, else 0.
     */
    int os_error;
    /**
     * The message, NUL-terminated UTF-8, cut if it does not fit.
     */
    char message[248];
} daytime_error;

/**
 * The handler of a custom command. It runs on a thread of the library, several at a time (see
 * daytime_server_set_handler_threads()). Its client waits for the reply, and other clients are not delayed.
 *
 * A return value of 0 sends the reply: the last text of daytime_reply_set() or daytime_reply_error(). For any other value,
 * or without a text, the client gets "The command failed", and the event DAYTIME_EVENT_COMMAND_FAILED has the text as its
 * error. After daytime_request_defer() the reply and the return value are ignored.
 *
 * A handler may call every function that does not wait for its server, and may stop or free it. daytime_server_wait() and
 * daytime_server_next_event() return DAYTIME_ERR_STATE there. A handler may be a client of its own server; a custom
 * command that it sends needs another handler thread. A handler that calls fork() must not return in the child, which ends
 * by _exit() or exec(). An exception that leaves the handler ends the process, and it must not longjmp() out.
 */
typedef int (*daytime_command_fn)(const daytime_request *request, daytime_reply *reply, void *user_data);

/**
 * Frees the user data of a command or a hook. Called exactly once: by daytime_server_add_command() itself if it fails, or by
 * the call that replaces the hook; otherwise after the last handler has returned, either in daytime_server_free() or on a
 * server thread before daytime_server_wait() returns. It must not use the server. In a forked child it is not called for a
 * server that was started. The same type of function frees the state of a client, see daytime_server_on_connect().
 */
typedef void (*daytime_free_fn)(void *user_data);

/**
 * The counters of a server since its start. Pass its sizeof: this struct may grow at its end.
 */
typedef struct {
    /**
     * Connections open now, including those that are being closed.
     */
    uint64_t clients;
    /**
     * Clients accepted.
     */
    uint64_t accepted;
    /**
     * Connections refused, because of a limit, a denied network, or the header of a proxy.
     */
    uint64_t refused;
    /**
     * Commands executed, invalid ones included.
     */
    uint64_t commands;
    /**
     * Commands answered with an error line.
     */
    uint64_t invalid;
    /**
     * Bytes received from clients, and from proxies for them.
     */
    uint64_t bytes_in;
    /**
     * Bytes that the system took for clients.
     */
    uint64_t bytes_out;
    /**
     * Events dropped because the queue was full.
     */
    uint64_t events_dropped;
    /**
     * Milliseconds since the start.
     */
    uint64_t uptime_ms;
    /**
     * The most clients at a time, see daytime_server_set_max_clients().
     */
    uint64_t max_clients;
    /**
     * Pauses of accepting, because the system lacked file descriptors or memory. Each pause of an episode counts.
     */
    uint64_t accept_pauses;
    /**
     * Custom commands that failed: the handler returned a failure or an invalid reply.
     */
    uint64_t handler_failures;
    /**
     * Hooks that failed. A hook in C cannot.
     */
    uint64_t hook_failures;
    /**
     * Custom commands and hooks that wait for a handler thread now.
     */
    uint64_t handlers_waiting;
    /**
     * Questions over UDP that were answered.
     */
    uint64_t datagrams_answered;
    /**
     * Datagrams that were dropped: no questions, or those of sources that are denied or ask too often.
     */
    uint64_t datagrams_dropped;
    /**
     * Clients accepted, by daytime_service. They add up to accepted.
     */
    uint64_t by_service[DAYTIME_SERVICES_MAX];
    /**
     * Clients refused, or whose connection was closed, by daytime_reason. Index 0 is unused.
     */
    uint64_t by_reason[DAYTIME_REASONS_MAX];
} daytime_stats;

/**
 * An event. Fields that its kind does not list are 0 or "". Texts are NUL-terminated UTF-8, cut if they do not fit.
 * Pass its sizeof: this struct may grow at its end.
 */
typedef struct {
    /**
     * A daytime_event_kind.
     */
    int kind;
    /**
     * A daytime_reason.
     */
    int reason;
    /**
     * The id of the client.
     */
    uint64_t client;
    /**
     * The number of commands executed for the client.
     */
    uint64_t commands;
    /**
     * 1 if the reply was not an error line.
     */
    int ok;
    /**
     * 0.
     */
    int reserved;
    /**
     * The address of the client.
     */
    char peer[DAYTIME_ADDR_MAX];
    /**
     * The command's name in lower case, without control characters.
     */
    char command[128];
    /**
     * The error of the handler or of the system.
     */
    char error[256];
    /**
     * The event as one line for a log, without control characters.
     */
    char text[512];
} daytime_event;

/**
 * A connected client. Pass its sizeof: this struct may grow at its end.
 */
typedef struct {
    /**
     * Its id.
     */
    uint64_t client;
    /**
     * The number of commands executed for it, invalid ones included.
     */
    uint64_t commands;
    /**
     * When it was accepted, in seconds since the Unix epoch.
     */
    int64_t connected_at;
    /**
     * Its address.
     */
    char peer[DAYTIME_ADDR_MAX];
} daytime_client_info;

/**
 * The hook of daytime_server_on_connect(). It returns the client's state, which may be NULL.
 *
 * Hooks run on the same threads as handlers, several at a time, and may call the same functions. What is said of
 * exceptions, longjmp() and fork() in daytime_command_fn holds for hooks too.
 */
typedef void *(*daytime_connect_fn)(const daytime_client_context *client, void *user_data);

/**
 * The hook of daytime_server_on_disconnect(). reason is a daytime_reason. See daytime_connect_fn.
 */
typedef void (*daytime_disconnect_fn)(const daytime_client_context *client, int reason, void *user_data);

#ifdef __cplusplus
extern "C" {
#endif /* __cplusplus */

/**
 * The version of the library, such as "0.1.0".
 * Ownership: the library's. Lifetime: the process. Threads: any. Errors: none.
 */
const char *daytime_version(void);

/**
 * The version of the library as one number. Compare it with DAYTIME_VERSION_NUMBER.
 * Ownership: none. Lifetime: none. Threads: any. Errors: none.
 */
uint32_t daytime_version_number(void);

/**
 * A description of a status. Any int has one.
 * Ownership: the library's. Lifetime: the process. Threads: any. Errors: none, never NULL.
 */
const char *daytime_strerror(int status);

/**
 * The error of the last call of this thread that failed: which setting or argument is invalid, what was given, and what was
 * expected. A call that succeeds does not change it. Before the first failure, its status is DAYTIME_OK and its message "".
 * Ownership: the library's. Lifetime: until the next call of this thread that fails, or the end of the thread. Threads: any;
 * each has its own. Errors: none, never NULL.
 */
const daytime_error *daytime_last_error(void);

/**
 * Creates a server with default settings. It does nothing before the start.
 * Ownership: yours, for daytime_server_free(). Lifetime: until then. Threads: any. Errors: NULL only for a bug of the library.
 */
daytime_server *daytime_server_new(void);

/**
 * Stops the server as daytime_server_stop() does, waits for its threads, and frees the server and the user data. Inside
 * one of its handlers it does not wait: the threads end by themselves. In a forked child it only closes the child's copies
 * of the listeners; the parent's server continues.
 * Ownership: ends yours. Lifetime: the last call on this server, after every other call has returned. A handler that
 * makes it may still use its request and reply. Threads: any. Errors: does nothing with NULL.
 */
void daytime_server_free(daytime_server *server);

/**
 * The number of worker threads, 1 to 1,024. 0 is the default: one for each core.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID above that; DAYTIME_ERR_STATE
 * once started.
 */
daytime_status daytime_server_set_workers(daytime_server *server, uint32_t n);

/**
 * The most handlers of custom commands that run at a time, 1 to 1,024. Each has its own thread. Default: 16.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID outside that; DAYTIME_ERR_STATE
 * once started.
 */
daytime_status daytime_server_set_handler_threads(daytime_server *server, uint32_t n);

/**
 * The most connections that wait to be accepted, at least 1. The system can lower it (listen(2)). Default: 4,096.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for 0 and above INT_MAX;
 * DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_backlog(daytime_server *server, uint32_t n);

/**
 * The most clients at a time. Further clients get "The server is full". 0 is the default: the process's limit of file
 * descriptors (RLIMIT_NOFILE) less 64.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_max_clients(daytime_server *server, size_t n);

/**
 * The most clients at a time from one IPv4 address, or from one IPv6 network of 64 bits. Further clients get
 * "Too many connections from your address". 0 is the default: unlimited.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_max_clients_per_source(daytime_server *server, size_t n);

/**
 * Disconnects a client that sends nothing, and is owed nothing, for this long, in milliseconds. 0 is the default: never.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_idle_timeout(daytime_server *server,
                                               uint32_t ms);

/**
 * Disconnects a client that has not sent a complete command this long after it connected, in milliseconds. 0 is the
 * default: never.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_first_command_timeout(daytime_server *server, uint32_t ms);

/**
 * Disconnects a client that takes none of the replies owed to it for this long, in milliseconds. Default: 10,000.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for 0; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_write_timeout(daytime_server *server, uint32_t ms);

/**
 * How long a proxy may take to send its header after it has connected, in milliseconds, at least 3,000: the time of a TCP
 * retransmission. Default: 5,000.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID below 3,000; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_proxy_timeout(daytime_server *server,
                                                uint32_t ms);

/**
 * The most answers over UDP in a second for one IPv4 address, or one IPv6 network of 64 bits, and the most at once, 1 to
 * 10,000. All sources together get at most 10,000 a second. Default: 10.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID outside that; DAYTIME_ERR_STATE
 * once started.
 */
daytime_status daytime_server_set_udp_rate(daytime_server *server,
                                           uint32_t n);

/**
 * How long each worker polls without sleeping when it has nothing to do, in microseconds. Replies come some tens of
 * microseconds sooner, and a core is busy in the meantime. 0 is the default: not at all.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_busy_poll(daytime_server *server, uint32_t us);

/**
 * The greeting: up to 1,023 bytes of UTF-8 without control characters, or "". Default: "Welcome to the server".
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for other texts;
 * DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_greeting(daytime_server *server, const char *text);

/**
 * How the server finds the end of a command, a daytime_framing. Default: DAYTIME_FRAMING_AUTO.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for any other; DAYTIME_ERR_STATE
 * once started.
 */
daytime_status daytime_server_set_framing(daytime_server *server, int framing);

/**
 * The strftime format of the reply to "day", without conversions that depend on a locale. Default: "%A".
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a
 * format, or gives an invalid reply; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_day_format(daytime_server *server, const char *format);

/**
 * The strftime format of the reply to "date", without conversions that depend on a locale. Default: "%y-%m-%d".
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a
 * format, or gives an invalid reply; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_date_format(daytime_server *server, const char *format);

/**
 * The strftime format of the reply to "time", without conversions that depend on a locale. Default: "%H:%M:%S".
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a
 * format, or gives an invalid reply; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_time_format(daytime_server *server, const char *format);

/**
 * The zone of replies to commands without a zone: a name of the system's time zone database, "UTC", or an offset such as
 * "+05:30". Default: the system's zone.
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is
 * unknown; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_timezone(daytime_server *server,
                                           const char *zone);

/**
 * Stops the clock of the replies at this second since the Unix epoch. On a running server this holds from the next command
 * on. Timeouts do not depend on it.
 * Ownership: none. Lifetime: before start and while it runs. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL.
 */
daytime_status daytime_server_set_clock(daytime_server *server,
                                        int64_t unix_seconds);

/**
 * Uses the system's clock, shifted by this many seconds, see daytime_server_set_clock().
 * Ownership: none. Lifetime: before start and while it runs. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL.
 */
daytime_status daytime_server_set_clock_offset(daytime_server *server, int64_t seconds);

/**
 * Uses the system's clock, which is the default, see daytime_server_set_clock().
 * Ownership: none. Lifetime: before start and while it runs. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL.
 */
daytime_status daytime_server_set_clock_system(daytime_server *server);

/**
 * Reads the files of the time zones again, for each client from its next command on. The server also does that every five
 * minutes.
 * Ownership: none. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_reload_zones(daytime_server *server);

/**
 * Adds a custom command, which "help" lists. Its name is one word without blanks or control characters, unique in any
 * letter case.
 * Ownership: the name is copied. The server owns the user data from this call on, even if it fails: user_free, if not
 * NULL, is called with it exactly once, see daytime_free_fn. Lifetime: before start. Threads: any. Errors:
 * DAYTIME_ERR_INVALID for the name, and if the handler is NULL; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_add_command(daytime_server *server,
                                          const char *name,
                                          daytime_command_fn handler,
                                          void *user_data,
                                          daytime_free_fn user_free);

/**
 * Sets how "help" shows a custom command that was added before: its name, then its arguments, such as "score NAME". Default:
 * the name. The last call for a command has effect.
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if the first word is not
 * the name of a custom command, if the text has a control character, and if the reply to "help" becomes too long;
 * DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_usage(daytime_server *server,
                                        const char *usage);

/**
 * Buffers events for daytime_server_next_event(), up to capacity (1 to 1,048,576). Further events are dropped and counted; a
 * slow reader never slows the server down. If commands is not 0, each command is an event too, which costs an allocation a
 * command. The last call has effect.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for the capacity;
 * DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_enable_events(daytime_server *server,
                                            size_t capacity,
                                            int commands);

/**
 * Binds every address, and starts the server's threads, which block all signals. After a failure nothing is bound, and the
 * call may be repeated. A server that was stopped before ends at once.
 * Ownership: none. Lifetime: once. Threads: any. Errors: DAYTIME_ERR_IO, with EADDRINUSE if an address is taken;
 * DAYTIME_ERR_INVALID if a name does not resolve, or the path of a Unix socket is another file; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_start(daytime_server *server,
                                    daytime_error *err);

/**
 * Stops the server: every connection is closed at once, without the replies still owed. Returns before that is done, see
 * daytime_server_wait(). Further calls do nothing. It takes no lock and allocates no memory.
 * Ownership: none. Lifetime: any time before free. Threads: any, and handlers of commands and of signals.
 * Errors: does nothing with NULL.
 */
void daytime_server_stop(daytime_server *server);

/**
 * Starts to shut down, and returns at once. The server accepts no more clients, closes idle ones, and sends the replies
 * that it owes. It stops when the last client is gone, or after grace_ms. Only the first call has an effect.
 * Ownership: none. Lifetime: once started. Threads: any, and handlers of commands, not of signals.
 * Errors: DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_drain(daytime_server *server, uint32_t grace_ms);

/**
 * Waits until every thread of the server has ended, running handlers included. A negative timeout_ms means unlimited, and 0
 * only checks.
 * Ownership: the server stays yours. Lifetime: once started. Threads: any but the server's own. Errors:
 * DAYTIME_ERR_TIMEOUT while it runs; DAYTIME_ERR_STATE before start, and inside its handlers.
 */
daytime_status daytime_server_wait(daytime_server *server,
                                   int timeout_ms);

/**
 * A problem that the start survived, such as a missing time zone database, by its index, from 0. Most often there are none.
 * Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_INVALID past the last one;
 * DAYTIME_ERR_TRUNCATED; DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_warning(const daytime_server *server,
                                      size_t index,
                                      char *buf,
                                      size_t cap);

/**
 * The counters of the server. Fields that the library does not know become 0.
 * Ownership: the struct is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_INVALID for a size of 0;
 * DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_stats(const daytime_server *server, daytime_stats *out, size_t size);

/**
 * The counters as text for Prometheus, in its text format 0.0.4: a few kilobytes. An embedder with an HTTP server of its own
 * appends it to its "/metrics". *needed becomes the size of the text with its NUL. The text grows with its numbers and with
 * custom commands, so that a later call may need more.
 * Ownership: the buffer is yours; it may be NULL if cap is 0, which only asks for the size. Lifetime: once started. Threads:
 * any. Errors: DAYTIME_ERR_TRUNCATED; DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_metrics(const daytime_server *server,
                                      char *buf,
                                      size_t cap,
                                      size_t *needed);

/**
 * Waits for the next event. A negative timeout_ms means unlimited, and 0 only checks. Each event is returned once.
 * Ownership: the struct is yours; size is its sizeof. Lifetime: once started. Threads: any but the server's own. Errors:
 * DAYTIME_ERR_TIMEOUT; DAYTIME_ERR_CLOSED when the server has ended and the last event was read; DAYTIME_ERR_STATE
 * before start, without daytime_server_enable_events(), and inside the server's handlers.
 */
daytime_status daytime_server_next_event(daytime_server *server,
                                         daytime_event *out,
                                         size_t size,
                                         int timeout_ms);

/**
 * The connected clients, in the order of their ids. Up to cap of them are written to the array out, whose elements have
 * size bytes (sizeof *out). *count becomes the number of all clients, which can exceed cap.
 * Ownership: the array is yours; it may be NULL if cap is 0. Lifetime: once started. Threads: any. Errors:
 * DAYTIME_ERR_INVALID for a size of 0; DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_clients(const daytime_server *server,
                                      daytime_client_info *out,
                                      size_t size,
                                      size_t cap,
                                      size_t *count);

/**
 * Closes a client's connection at once, without the replies still owed. Ids are not reused.
 * Ownership: none. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_CLOSED if the client is not connected;
 * DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_disconnect(daytime_server *server, uint64_t client);

/**
 * Adds an address to listen on: "localhost:9990", "0.0.0.0" (with port 9990), "[::]:0". A name stands for all of its
 * addresses that this machine has. Port 0 stands for any free port. Default, if nothing but listeners for metrics is added:
 * "localhost:9990". Nothing is bound before the start.
 *
 * "unix:/run/daytime.sock" is a Unix socket, and "unix:@daytime" one in Linux's abstract namespace. At most 107 bytes
 * follow "unix:". The start replaces the file of a socket on which no server answers, and no other file. The file is
 * removed when the server ends, if it is still the same one.
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not an
 * address; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_listen(daytime_server *server,
                                     const char *address);

/**
 * As daytime_server_listen(), for a daytime_service. The service determines the default port.
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: as daytime_server_listen(), and
 * DAYTIME_ERR_INVALID for an unknown service.
 */
daytime_status daytime_server_listen_as(daytime_server *server, int service, const char *address);

/**
 * Adds a TCP or Unix socket that listens already, such as one that the process inherited. The file of such a Unix socket
 * is not removed.
 * Ownership: on success the server owns the descriptor and closes it; on failure it stays yours. Lifetime: before start.
 * Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a listening TCP or Unix stream socket; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_listen_fd(daytime_server *server,
                                        int fd);

/**
 * As daytime_server_listen_fd(), for a daytime_service. That of a service over UDP is a socket of UDP that has a port.
 * Ownership: as daytime_server_listen_fd(). Lifetime: before start. Threads: any. Errors: as daytime_server_listen_fd(),
 * and DAYTIME_ERR_INVALID for an unknown service.
 */
daytime_status daytime_server_listen_fd_as(daytime_server *server,
                                           int service,
                                           int fd);

/**
 * The permissions of the files of Unix sockets, such as 0660. A client needs write permission to connect. Default,
 * without this call: 0777 less the process's umask.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID above 0777; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_unix_mode(daytime_server *server, uint32_t mode);

/**
 * Shares the ports of TCP listeners with other servers that set this too (SO_REUSEPORT in socket(7)), if `on` is not 0:
 * the system distributes new clients among them at random. Linux asks for processes of the same user. Each server has its
 * own limits, counters and client ids. It has no effect on Unix sockets, on
 * daytime_server_listen_fd(), and on listeners for metrics. Default: 0.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID with an address that has port 0,
 * for this call or for the address, whichever comes later; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_reuse_port(daytime_server *server,
                                             int on);

/**
 * Accepts the clients of a network, and rejects addresses that no network contains. Each call adds a network in CIDR
 * notation, "192.0.2.0/24" or "2001:db8::/32", or one address. IPv4 mapped into IPv6 is IPv4.
 *
 * The longest prefix that contains a client's address decides. A network that is both allowed and denied is denied. A
 * server without networks accepts every client. Clients of Unix sockets have no network, and are always accepted.
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a
 * network; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_allow(daytime_server *server, const char *network);

/**
 * Rejects the clients of a network: their connections are closed silently. Each call adds a network, see
 * daytime_server_allow().
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a
 * network; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_deny(daytime_server *server, const char *network);

/**
 * Replaces all allowed and denied networks, see daytime_server_allow(). On a running server this holds for later
 * clients; connected clients stay. 100,000 networks take a fraction of a second.
 * Ownership: the texts are copied; an array may be NULL if its size is 0. Lifetime: before start and while it runs.
 * Threads: any. Errors: DAYTIME_ERR_INVALID if a text is NULL or not a network; the networks are unchanged then.
 */
daytime_status daytime_server_set_networks(daytime_server *server,
                                           const char *const *allow,
                                           size_t n_allow,
                                           const char *const *deny,
                                           size_t n_deny);

/**
 * Trusts the proxies of a network: on a TCP listener for DAYTIME_SERVICE_PROXIED, each connection from there begins with a
 * header of the PROXY protocol, version 1 or 2, as HAProxy, nginx and cloud load balancers send it. The client's address
 * in it counts for events, limits and networks. Connections from elsewhere are closed silently. Each call adds a network,
 * as daytime_server_allow(). A Unix listener accepts each proxy that may connect to its file.
 *
 * A header that is missing, invalid or late closes the connection: DAYTIME_REASON_PROXY_HEADER. If the header names no TCP
 * client, the proxy is the client, as for its health check, and allowed and denied networks do not apply. A named host
 * can claim any address, so that clients must reach the listener through the proxy only.
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a
 * network; DAYTIME_ERR_STATE once started. The start fails with DAYTIME_ERR_INVALID if a TCP listener for
 * DAYTIME_SERVICE_PROXIED has no named proxy.
 */
daytime_status daytime_server_proxy(daytime_server *server,
                                    const char *network);

/**
 * Replaces all networks of proxies, see daytime_server_proxy(). On a running server this holds for later connections. With
 * an empty array each later TCP connection of a proxy is refused.
 * Ownership: the texts are copied; the array may be NULL if its size is 0. Lifetime: before start and while it runs.
 * Threads: any. Errors: DAYTIME_ERR_INVALID if a text is NULL or not a network; the proxies are unchanged then.
 */
daytime_status daytime_server_set_proxies(daytime_server *server,
                                          const char *const *networks,
                                          size_t n);

/**
 * The first bound address of the text protocol, with the port that the system chose. DAYTIME_ADDR_MAX bytes hold it.
 * Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_TRUNCATED;
 * DAYTIME_ERR_INVALID if the server has no listener for it; DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_local_addr(const daytime_server *server, char *buf, size_t cap);

/**
 * A bound address of a daytime_service by its index, from 0.
 * Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_INVALID past the last
 * address, and for an unknown service; DAYTIME_ERR_TRUNCATED; DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_address(const daytime_server *server, int service, size_t index, char *buf, size_t cap);

/**
 * The port of the first TCP address of the text protocol.
 * Ownership: none. Lifetime: once started. Threads: any. Errors: 0 before start, for NULL, and if there is no such address.
 */
uint16_t daytime_server_port(const daytime_server *server);

/**
 * The command's name in lower case.
 * Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL for NULL.
 */
const char *daytime_request_command(const daytime_request *request);

/**
 * The rest of the line after the command's name, without the blanks around it; may be "".
 * Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL for NULL.
 */
const char *daytime_request_argument(const daytime_request *request);

/**
 * The address of the client, such as "192.0.2.1:40000". Most clients of a Unix socket have "unix:".
 * Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL for NULL.
 */
const char *daytime_request_peer(const daytime_request *request);

/**
 * The id of the client, as in events, daytime_server_clients() and daytime_server_disconnect().
 * Ownership: none. Lifetime: the handler's call. Threads: any. Errors: 0 for NULL; no client has that id.
 */
uint64_t daytime_request_client(const daytime_request *request);

/**
 * The state of the client, which the hook of daytime_server_on_connect() returned. It is not freed before this handler has
 * returned. Handlers of one client run one after another, except that a handler which has answered by its responder may
 * overlap with the next one.
 * Ownership: the server's. Lifetime: the handler's call. Threads: any. Errors: NULL for NULL, and without a state.
 */
void *daytime_request_state(const daytime_request *request);

/**
 * Whether nobody waits for the reply any more, 1 or 0: the client has left, or the server has stopped. A long handler can
 * ask from time to time, and give up.
 * Ownership: none. Lifetime: the handler's call. Threads: any. Errors: 0 for NULL.
 */
int daytime_request_is_cancelled(const daytime_request *request);

/**
 * Defers the reply: the responder gives it, from any thread, during the handler or later. The handler's reply and return
 * value are ignored from now on. Its client waits and occupies no thread.
 * Ownership: the responder is yours, for daytime_responder_free(). Lifetime: the handler's call; that of the responder does
 * not end with the handler, the client or the server. Threads: any. Errors: NULL for NULL, and if the reply was deferred
 * before.
 */
daytime_responder *daytime_request_defer(const daytime_request *request);

/**
 * daytime_server_stop() for the server of this handler, even if the server was freed.
 * Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
 */
void daytime_request_stop(const daytime_request *request);

/**
 * daytime_server_drain() for the server of this handler, even if the server was freed.
 * Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
 */
void daytime_request_drain(const daytime_request *request, uint32_t grace_ms);

/**
 * Sets the text of the reply, or the error of a handler that fails. The last call has effect, of this function and of
 * daytime_reply_error().
 * Ownership: the text is copied. Lifetime: the handler's call. Threads: any. Errors: DAYTIME_ERR_INVALID if the text does
 * not have 1 to 1,023 bytes or has a control character; the reply is unchanged then. A reply that is an error line, such as
 * "The command failed", fails when it is sent.
 */
daytime_status daytime_reply_set(daytime_reply *reply,
                                 const char *text);

/**
 * Makes the reply an error line: "The command failed: ", then the text. daytime_client_request() returns
 * DAYTIME_ERR_REFUSED for it, with the text as its message. The handler returns 0 to send it, and
 * daytime_reply_close() does not affect it. The last call has effect, of this function and of daytime_reply_set().
 * Ownership: the text is copied. Lifetime: the handler's call. Threads: any. Errors: DAYTIME_ERR_INVALID if the text does
 * not have 1 to 1,003 bytes or has a control character; the reply is unchanged then.
 */
daytime_status daytime_reply_error(daytime_reply *reply,
                                   const char *text);

/**
 * Closes the client's connection after this reply, or without a reply if no text was set.
 * Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
 */
void daytime_reply_close(daytime_reply *reply);

/**
 * Answers with a text.
 * Ownership: the text is copied; the responder stays yours. Lifetime: once, before daytime_responder_free(). Threads: any.
 * Errors: DAYTIME_ERR_INVALID if the text does not have 1 to 1,023 bytes, has a control character, or is itself an error
 * line: the responder can still answer then. DAYTIME_ERR_STATE if it has answered.
 */
daytime_status daytime_responder_reply(daytime_responder *responder,
                                       const char *text);

/**
 * Answers with an error line, see daytime_reply_error().
 * Ownership: the text is copied; the responder stays yours. Lifetime: once, before daytime_responder_free(). Threads: any.
 * Errors: DAYTIME_ERR_INVALID if the text does not have 1 to 1,003 bytes or has a control character: the responder can
 * still answer then. DAYTIME_ERR_STATE if it has answered.
 */
daytime_status daytime_responder_error(daytime_responder *responder,
                                       const char *text);

/**
 * Fails: the client gets "The command failed", and the event DAYTIME_EVENT_COMMAND_FAILED has the text as its error.
 * Ownership: the text is copied; the responder stays yours. Lifetime: once, before daytime_responder_free(). Threads: any.
 * Errors: as daytime_responder_reply(), but the text may be an error line.
 */
daytime_status daytime_responder_fail(daytime_responder *responder,
                                      const char *text);

/**
 * Answers with a text and closes the client's connection after it. With "" it closes without a reply.
 * Ownership: the text is copied; the responder stays yours. Lifetime: once, before daytime_responder_free(). Threads: any.
 * Errors: as daytime_responder_reply(), but the text may be "".
 */
daytime_status daytime_responder_close(daytime_responder *responder,
                                       const char *text);

/**
 * The id of the client, as daytime_request_client().
 * Ownership: none. Lifetime: before daytime_responder_free(). Threads: any. Errors: 0 for NULL; no client has that id.
 */
uint64_t daytime_responder_client(const daytime_responder *responder);

/**
 * Whether nobody waits for the answer, 1 or 0: the client has left, the server has stopped, or the responder has answered.
 * Ownership: none. Lifetime: before daytime_responder_free(). Threads: any. Errors: 0 for NULL.
 */
int daytime_responder_is_cancelled(const daytime_responder *responder);

/**
 * Frees the responder. If it has not answered, the client gets "The command failed". In a forked child it frees the child's
 * copy alone.
 * Ownership: ends yours. Lifetime: the last call on this responder, after every other one has returned; the server may be
 * freed before. Threads: any. Errors: does nothing with NULL.
 */
void daytime_responder_free(daytime_responder *responder);

/**
 * Calls hook for each client that connects, on a handler thread, before its first command. What it returns is the client's
 * state: see daytime_request_state(). If state_free is not NULL, it is called exactly once with each state that is not
 * NULL: on a handler thread, after the client has left, its last handler has returned, and the hook of
 * daytime_server_on_disconnect() has returned. That is before daytime_server_wait() returns. The last call has effect.
 * Clients of RFC 867 and RFC 868 have no hooks.
 * Ownership: the server owns each state, and the user data from this call on, even if it fails: user_free, if not NULL, is
 * called with it exactly once, see daytime_free_fn. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if
 * the hook is NULL; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_on_connect(daytime_server *server,
                                         daytime_connect_fn hook,
                                         daytime_free_fn state_free,
                                         void *user_data,
                                         daytime_free_fn user_free);

/**
 * Calls hook for each client that has left, on a handler thread, after its last handler has returned and before its state
 * is freed. Unlike an event, a call is never dropped. It is called for every client for which the hook of
 * daytime_server_on_connect() was called (or, without that hook, for every client), also when the server stops. Until it
 * has returned, the client counts for daytime_server_set_max_clients(). The last call has effect.
 * Ownership: the server owns the user data from this call on, even if it fails, as in daytime_server_on_connect().
 * Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if the hook is NULL; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_on_disconnect(daytime_server *server,
                                            daytime_disconnect_fn hook,
                                            void *user_data,
                                            daytime_free_fn user_free);

/**
 * The id of the client, as daytime_request_client().
 * Ownership: none. Lifetime: the hook's call. Threads: any. Errors: 0 for NULL; no client has that id.
 */
uint64_t daytime_client_context_client(const daytime_client_context *client);

/**
 * The address of the client, as daytime_request_peer().
 * Ownership: the library's. Lifetime: the hook's call. Threads: any. Errors: NULL for NULL.
 */
const char *daytime_client_context_peer(const daytime_client_context *client);

/**
 * The state of the client, as daytime_request_state(). A client that has just connected does not have one yet.
 * Ownership: the server's. Lifetime: the hook's call. Threads: any. Errors: NULL for NULL, and without a state.
 */
void *daytime_client_context_state(const daytime_client_context *client);

/**
 * Connects and reads the greeting. An address is "localhost:9990", "192.0.2.1" (with port 9990), "[::1]:9990", or a Unix
 * socket, see daytime_server_listen(). Every address of a name is tried. timeout_ms also limits each later call: 0 is the
 * default, 5 seconds, and a negative value means unlimited.
 * Ownership: *out is yours, for daytime_client_free(); it is NULL on failure. Lifetime: until then. Threads: any.
 * Errors: DAYTIME_ERR_INVALID for the address, DAYTIME_ERR_IO, DAYTIME_ERR_TIMEOUT, DAYTIME_ERR_CLOSED;
 * DAYTIME_ERR_REFUSED with the error line of a full server; DAYTIME_ERR_PROTOCOL if the peer is not such a server.
 */
daytime_status daytime_client_connect(const char *address,
                                      int timeout_ms,
                                      daytime_client **out,
                                      daytime_error *err);

/**
 * Closes the connection and frees the client. In a forked child the parent's connection stays open.
 * Ownership: ends yours. Lifetime: the last call on this client, after every other one has returned. Threads: any.
 * Errors: does nothing with NULL.
 */
void daytime_client_free(daytime_client *client);

/**
 * The greeting of the server, without its line end.
 * Ownership: the buffer is yours. Lifetime: none. Threads: any, after calls under way. Errors: DAYTIME_ERR_TRUNCATED;
 * DAYTIME_ERR_CLOSED after daytime_client_quit().
 */
daytime_status daytime_client_greeting(const daytime_client *client, char *buf, size_t cap, daytime_error *err);

/**
 * The address of the server. DAYTIME_ADDR_MAX bytes hold it.
 * Ownership: the buffer is yours. Lifetime: none. Threads: any, after calls under way. Errors: DAYTIME_ERR_TRUNCATED;
 * DAYTIME_ERR_IO once the connection is broken; DAYTIME_ERR_CLOSED after daytime_client_quit().
 */
daytime_status daytime_client_peer(const daytime_client *client, char *buf, size_t cap, daytime_error *err);

/**
 * The English name of the weekday in the server's zone.
 * Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: those of
 * daytime_client_request(), and DAYTIME_ERR_PROTOCOL if the reply is not a day.
 */
daytime_status daytime_client_day(daytime_client *client, char *buf, size_t cap, daytime_error *err);

/**
 * The date in the server's zone, as "2026-11-22" for every format of the server.
 * Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: as daytime_client_day().
 */
daytime_status daytime_client_date(daytime_client *client,
                                   char *buf,
                                   size_t cap,
                                   daytime_error *err);

/**
 * The time of day in the server's zone, as "15:44:57" for every format of the server.
 * Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: as daytime_client_day().
 */
daytime_status daytime_client_time(daytime_client *client,
                                   char *buf,
                                   size_t cap,
                                   daytime_error *err);

/**
 * The date, the time and the offset of one moment in the server's zone, as "2026-11-22T15:44:57+00:00" (RFC 3339). The
 * original classroom program does not send its offset: then the text ends after the seconds.
 * Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: as daytime_client_day().
 */
daytime_status daytime_client_datetime(daytime_client *client,
                                       char *buf,
                                       size_t cap,
                                       daytime_error *err);

/**
 * The seconds since the Unix epoch; negative before 1970.
 * Ownership: *unix_seconds is yours, and unchanged on failure. Lifetime: none. Threads: any, one call after another.
 * Errors: those of daytime_client_request(), and DAYTIME_ERR_PROTOCOL if the reply is not a number. The original
 * classroom program does not know the command: DAYTIME_ERR_REFUSED.
 */
daytime_status daytime_client_timestamp(daytime_client *client, int64_t *unix_seconds, daytime_error *err);

/**
 * The POSIX TZ string of a zone, "CET-1CEST,M3.5.0,M10.5.0/3", for setenv("TZ") and tzset(3): of a device that has no time
 * zone database. It is right for the two years after the server's time. If the rules of the zone do not fit into such a
 * string, it has the present offset alone, "<+00>0", until daytime_client_next_transition(). zone is an IANA name,
 * "UTC", an offset such as "+05:30", or "" for the server's zone.
 * Ownership: the zone is copied, the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: those
 * of daytime_client_request(), and DAYTIME_ERR_PROTOCOL if the reply is not such a string. DAYTIME_ERR_REFUSED if the
 * server does not know the zone, or the command, as the original classroom program.
 */
daytime_status daytime_client_tz(daytime_client *client,
                                 const char *zone,
                                 char *buf,
                                 size_t cap,
                                 daytime_error *err);

/**
 * The next change of the offset of a zone: its second since the Unix epoch, and the offset that begins then, in seconds
 * east of UTC. INT64_MAX and 0 if the offset does not change any more. The zone is that of daytime_client_tz().
 * Ownership: the zone is copied, *unix_seconds and *utc_offset are yours, and unchanged on failure. Lifetime: none.
 * Threads: any, one call after another. Errors: as daytime_client_tz().
 */
daytime_status daytime_client_next_transition(daytime_client *client,
                                              const char *zone,
                                              int64_t *unix_seconds,
                                              int *utc_offset,
                                              daytime_error *err);

/**
 * Sends a command, such as "time Asia/Tokyo", and writes the reply without its line end. DAYTIME_REPLY_MAX bytes hold
 * every reply.
 * Ownership: the command is copied, the buffer is yours. Lifetime: none. Threads: any, one call after another.
 * Errors: DAYTIME_ERR_REFUSED with the server's error line, or with the text of daytime_reply_error(); DAYTIME_ERR_INVALID
 * if the command is blank, exceeds 1,024 bytes, has a control character, or is "quit" (see daytime_client_quit());
 * DAYTIME_ERR_TRUNCATED;
 * DAYTIME_ERR_TIMEOUT, DAYTIME_ERR_CLOSED, DAYTIME_ERR_IO and DAYTIME_ERR_PROTOCOL, which break the client.
 */
daytime_status daytime_client_request(daytime_client *client,
                                      const char *command,
                                      char *buf,
                                      size_t cap,
                                      daytime_error *err);

/**
 * Sends "quit" and waits until the server has closed, so that every earlier command was executed. daytime_client_free()
 * alone closes the connection without "quit".
 * Ownership: the client stays yours. Lifetime: only daytime_client_free() does anything after it. Threads: any, one call
 * after another. Errors: DAYTIME_ERR_TIMEOUT, DAYTIME_ERR_IO; DAYTIME_ERR_CLOSED of a client that was broken or has quit.
 */
daytime_status daytime_client_quit(daytime_client *client,
                                   daytime_error *err);

/**
 * Asks a server of the daytime protocol (RFC 867), and writes its reply without the line end. The RFC does not prescribe a
 * syntax. The default port is 13. Addresses and timeout_ms are those of daytime_client_connect().
 * Ownership: the buffer is yours; DAYTIME_REPLY_MAX bytes hold the reply of this library's servers, 4,097 any reply.
 * Lifetime: none. Threads: any. Errors: DAYTIME_ERR_INVALID for the address, DAYTIME_ERR_IO, DAYTIME_ERR_TIMEOUT;
 * DAYTIME_ERR_CLOSED if the server sent nothing; DAYTIME_ERR_PROTOCOL if the reply exceeds 4 KiB, is blank or is not text;
 * DAYTIME_ERR_TRUNCATED.
 */
daytime_status daytime_rfc867(const char *address,
                              int timeout_ms,
                              char *buf,
                              size_t cap,
                              daytime_error *err);

/**
 * Asks a server of the time protocol (RFC 868), and writes its reply as seconds since the Unix epoch. The reply stands for
 * a time from 1968-01-20 03:14:08 UTC to 2104-02-26 09:42:23 UTC. The default port is 37. Addresses and timeout_ms are
 * those of daytime_client_connect().
 * Ownership: *unix_seconds is yours. Lifetime: none. Threads: any. Errors: DAYTIME_ERR_INVALID for the address,
 * DAYTIME_ERR_IO, DAYTIME_ERR_TIMEOUT; DAYTIME_ERR_CLOSED if the server sent nothing; DAYTIME_ERR_PROTOCOL if the
 * reply is not four bytes.
 */
daytime_status daytime_rfc868(const char *address,
                              int timeout_ms,
                              int64_t *unix_seconds,
                              daytime_error *err);

/**
 * Asks a server of the daytime protocol over UDP (RFC 867), as daytime_rfc867(). A datagram can be lost, so the question is
 * repeated after 0.5 s, then after twice as long each time, until the timeout.
 * Ownership: the buffer is yours, as for daytime_rfc867(). Lifetime: none. Threads: any. Errors: those of daytime_rfc867()
 * but DAYTIME_ERR_CLOSED. DAYTIME_ERR_INVALID for a Unix socket; DAYTIME_ERR_IO with ECONNREFUSED if nothing listens.
 */
daytime_status daytime_rfc867_udp(const char *address,
                                  int timeout_ms,
                                  char *buf,
                                  size_t cap,
                                  daytime_error *err);

/**
 * Asks a server of the time protocol over UDP (RFC 868), as daytime_rfc868(), with the repetitions of daytime_rfc867_udp().
 * Ownership: *unix_seconds is yours. Lifetime: none. Threads: any. Errors: those of daytime_rfc867_udp();
 * DAYTIME_ERR_PROTOCOL if the reply is not four bytes.
 */
daytime_status daytime_rfc868_udp(const char *address,
                                  int timeout_ms,
                                  int64_t *unix_seconds,
                                  daytime_error *err);

#ifdef __cplusplus
} /* extern "C" */
#endif  /* __cplusplus */

#endif  /* DAYTIME_H */
