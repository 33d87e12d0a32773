/*
 * daytime.h: day, date and time over TCP, a server to embed and its client.
 *
 * Made by cbindgen from src/capi/; do not edit. These rules hold for every function:
 *
 * Ownership  What daytime_server_new() or daytime_client_connect() made, the matching *_free() releases. Nothing else is
 *            ever freed by you.
 * Errors     Functions that can fail return DAYTIME_OK, which is 0, or a negative daytime_status. Out-parameters are
 *            written only on success, but for DAYTIME_ERR_TRUNCATED; a handle out-parameter is NULL on failure. err may
 *            be NULL, and is written only on failure. errno is left alone. Without memory the process is aborted.
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
 * The version of this header; see daytime_version_number() for the library's.
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
 * A buffer of this size holds every reply with its NUL.
 */
#define DAYTIME_REPLY_MAX 1024

/**
 * A buffer of this size holds every address of a listener or a peer with its NUL, but that of a Unix socket whose path
 * has control characters: escapes stand for them.
 */
#define DAYTIME_ADDR_MAX 128

/**
 * What a function returns. It is never taken: parameters are int, of which any value is safe. A number once given keeps
 * its meaning.
 */
typedef enum {
    /**
     * Done.
     */
    DAYTIME_OK = 0,
    /**
     * An argument is refused: NULL, not UTF-8, out of range. Nothing has changed.
     */
    DAYTIME_ERR_INVALID = -1,
    /**
     * The wrong time or place: a setting after start, a wait inside a handler, any call in a forked child.
     */
    DAYTIME_ERR_STATE = -2,
    /**
     * The system refused; daytime_error.os_error holds errno, or 0 where there is none (a name that does not resolve).
     */
    DAYTIME_ERR_IO = -3,
    /**
     * Not in time. A client that waited for a reply is broken.
     */
    DAYTIME_ERR_TIMEOUT = -4,
    /**
     * The peer closed, or the client is broken by an earlier error, or what was asked for is gone.
     */
    DAYTIME_ERR_CLOSED = -5,
    /**
     * The peer does not speak this protocol.
     */
    DAYTIME_ERR_PROTOCOL = -6,
    /**
     * The server answered with an error line; its words are in daytime_error.message. The client lives.
     */
    DAYTIME_ERR_REFUSED = -7,
    /**
     * The buffer is too small: it holds the beginning, NUL-terminated. The conversation stays in step.
     */
    DAYTIME_ERR_TRUNCATED = -8,
    /**
     * A bug in the library, caught. Free the handle.
     */
    DAYTIME_ERR_PANIC = -9,
} daytime_status;

/**
 * What happened: daytime_event.kind. Later versions may have more kinds.
 */
typedef enum {
    /**
     * A client was accepted: client, peer.
     */
    DAYTIME_EVENT_CONNECTED = 1,
    /**
     * A command was executed, told where that was asked for: client, command, ok.
     */
    DAYTIME_EVENT_COMMAND = 2,
    /**
     * An own command's handler failed, or gave what no reply can be: client, command, why.
     */
    DAYTIME_EVENT_COMMAND_FAILED = 3,
    /**
     * A client's connection is closed: client, peer, reason, commands.
     */
    DAYTIME_EVENT_DISCONNECTED = 4,
    /**
     * A client was turned away: peer, reason.
     */
    DAYTIME_EVENT_REFUSED = 5,
    /**
     * No client can be accepted for want of descriptors or memory; that is tried again: why.
     */
    DAYTIME_EVENT_ACCEPT_PAUSED = 6,
} daytime_event_kind;

/**
 * Why a connection was closed or refused: daytime_event.reason. Later versions may have more.
 */
typedef enum {
    /**
     * The client said "quit" or "exit", or an own command closed after its reply.
     */
    DAYTIME_REASON_QUIT = 1,
    /**
     * The client closed its side.
     */
    DAYTIME_REASON_END_OF_FILE = 2,
    /**
     * Nothing came from the client for the idle timeout.
     */
    DAYTIME_REASON_IDLE = 3,
    /**
     * The client said no whole command within the first-command timeout.
     */
    DAYTIME_REASON_NO_COMMAND = 4,
    /**
     * The client took none of its replies for the write timeout.
     */
    DAYTIME_REASON_WRITE_TIMEOUT = 5,
    /**
     * The connection broke.
     */
    DAYTIME_REASON_ERROR = 6,
    /**
     * daytime_server_disconnect()
     */
    DAYTIME_REASON_KICKED = 7,
    /**
     * The server has as many clients as it may have.
     */
    DAYTIME_REASON_FULL = 8,
    /**
     * The client's address has as many clients as one address may have.
     */
    DAYTIME_REASON_PER_SOURCE = 9,
    /**
     * The server stops.
     */
    DAYTIME_REASON_SHUTDOWN = 10,
    /**
     * The client's network is not let in.
     */
    DAYTIME_REASON_DENIED = 11,
    /**
     * It has the answer of a protocol that has no questions: RFC 867 or RFC 868.
     */
    DAYTIME_REASON_ANSWERED = 12,
} daytime_reason;

/**
 * How ends of commands are found: daytime_server_set_framing().
 */
typedef enum {
    /**
     * Found out for each connection: lines, or the original's commands without an end.
     */
    DAYTIME_FRAMING_AUTO = 0,
    /**
     * Lines, for deployments without clients of the original.
     */
    DAYTIME_FRAMING_LINE = 1,
} daytime_framing;

/**
 * A conversation with a server, this library's or the original. Errors other than DAYTIME_ERR_INVALID,
 * DAYTIME_ERR_REFUSED and DAYTIME_ERR_TRUNCATED break it: every later call is DAYTIME_ERR_CLOSED.
 */
typedef struct daytime_client daytime_client;

/**
 * What a handler answers: the library's, valid only inside that handler.
 */
typedef struct daytime_reply daytime_reply;

/**
 * An own command as a client asked it: the library's, valid only inside its handler.
 */
typedef struct daytime_request daytime_request;

/**
 * A server: settings first, then threads that serve. new, then listen, set_* and add_command in any order, then start,
 * perhaps stop, wait, and free; free alone is always right, and a wrong order is DAYTIME_ERR_STATE.
 */
typedef struct daytime_server daytime_server;

/**
 * The handler of an own command. It runs on a thread of the library of its own, several at a time (see
 * daytime_server_set_callers()), while its client waits and nobody else. 0 sends the reply; any other value, or no text,
 * sends the client "The command failed", and makes an event that has the text, if there is one, as the reason why.
 * It may call every function but those that wait: daytime_server_wait() and daytime_server_next_event() are
 * DAYTIME_ERR_STATE there. An exception that leaves it ends the process; it must not longjmp() out.
 */
typedef int (*daytime_command_fn)(const daytime_request *request, daytime_reply *reply, void *user_data);

/**
 * Called with the user data of a registration exactly once, also where the registration fails: then by that very call,
 * else when no handler can run any more, by daytime_server_free() or on a thread of the server before
 * daytime_server_wait() tells of its end. It must not use the server. In a forked child it is not called for a server
 * that was started.
 */
typedef void (*daytime_free_fn)(void *user_data);

/**
 * Why a call failed: yours, on your stack. Written only on failure; this struct never grows.
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
     * Words, NUL-terminated UTF-8, cut where they do not fit.
     */
    char message[248];
} daytime_error;

/**
 * What a server has done since its start. Pass sizeof: this struct may grow at its end.
 */
typedef struct {
    /**
     * Connections open now, those that are being closed too.
     */
    uint64_t clients;
    /**
     * Clients accepted.
     */
    uint64_t accepted;
    /**
     * Clients turned away because the server, or their address, had too many, or their network is not let in.
     */
    uint64_t refused;
    /**
     * Commands executed, invalid ones too.
     */
    uint64_t commands;
    /**
     * Of them, those answered by an error line.
     */
    uint64_t invalid;
    /**
     * Bytes received from clients.
     */
    uint64_t bytes_in;
    /**
     * Bytes handed to the system for clients.
     */
    uint64_t bytes_out;
    /**
     * Events lost because the queue was full.
     */
    uint64_t events_dropped;
    /**
     * Milliseconds since the start.
     */
    uint64_t uptime_ms;
} daytime_stats;

/**
 * Something that happened. What its kind does not name is 0 or "". Texts are NUL-terminated UTF-8 and cut where they do
 * not fit. Pass sizeof: this struct may grow at its end.
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
     * The client's number.
     */
    uint64_t client;
    /**
     * The commands executed for the client.
     */
    uint64_t commands;
    /**
     * 1 where the reply was no error line.
     */
    int ok;
    /**
     * 0.
     */
    int reserved;
    /**
     * Where the client connects from.
     */
    char peer[DAYTIME_ADDR_MAX];
    /**
     * The command's name in lower case, without control characters.
     */
    char command[128];
    /**
     * What the handler gave as its reason, or what the system said.
     */
    char why[256];
    /**
     * All of it as a line for a log, without control characters.
     */
    char text[512];
} daytime_event;

/**
 * A client that is connected. Pass sizeof: this struct may grow at its end.
 */
typedef struct {
    /**
     * Its number.
     */
    uint64_t client;
    /**
     * The commands executed for it, invalid ones too.
     */
    uint64_t commands;
    /**
     * When it was accepted, in seconds since the Unix epoch.
     */
    int64_t connected_at;
    /**
     * Where it connects from.
     */
    char peer[DAYTIME_ADDR_MAX];
} daytime_client_info;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library, such as "0.1.0".
 * Ownership: the library's. Lifetime: for ever. Threads: any. Errors: none.
 */
const char *daytime_version(void);

/**
 * The version of the library, to be compared with DAYTIME_VERSION_NUMBER.
 * Ownership: none. Lifetime: none. Threads: any. Errors: none.
 */
uint32_t daytime_version_number(void);

/**
 * A status in words; any int has some.
 * Ownership: the library's. Lifetime: for ever. Threads: any. Errors: none, never NULL.
 */
const char *daytime_strerror(int status);

/**
 * A server with every setting at its default, which are the bundled program's. It does nothing yet.
 * Ownership: yours, for daytime_server_free(). Lifetime: until then. Threads: any. Errors: NULL only after a bug.
 */
daytime_server *daytime_server_new(void);

/**
 * Stops the server as daytime_server_stop() does, waits for its threads, and frees it, and user data with it. Inside one
 * of its own handlers it does not wait: the threads end by themselves. In a forked child it closes the child's copies of
 * the listeners, and that is all; the parent's server runs on.
 * Ownership: ends yours. Lifetime: the last call on this server, after every other one has returned; the handler that
 * makes it may go on with its request and reply. Threads: any. Errors: does nothing with NULL.
 */
void daytime_server_free(daytime_server *server);

/**
 * The number of threads that serve, 1 to 1,024; 0 is the default, one a core.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID above that; DAYTIME_ERR_STATE
 * once started.
 */
daytime_status daytime_server_set_workers(daytime_server *server, uint32_t n);

/**
 * The number of threads on which handlers may run at a time, 1 to 1,024. Default: 16.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID outside that; DAYTIME_ERR_STATE
 * once started.
 */
daytime_status daytime_server_set_callers(daytime_server *server, uint32_t n);

/**
 * The connections that may wait to be accepted, at least 1; the system may allow fewer. Default: 4,096.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for 0 and above INT_MAX;
 * DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_backlog(daytime_server *server, uint32_t n);

/**
 * The clients that may be connected at a time; more are told "The server is full". 0 is the default: the limit of
 * descriptors (RLIMIT_NOFILE) less 64.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_max_clients(daytime_server *server, size_t n);

/**
 * The clients that may be connected from one IPv4 address, or one IPv6 network of 64 bits; more are told
 * "Too many connections from your address". 0 is the default: no limit.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_max_clients_per_source(daytime_server *server, size_t n);

/**
 * How long a client may say nothing while nothing is owed to it, in milliseconds. 0 is the default: for ever.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_idle_timeout(daytime_server *server, uint32_t ms);

/**
 * How long a client may take for its first whole command, in milliseconds. 0 is the default: for ever.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_first_command_timeout(daytime_server *server, uint32_t ms);

/**
 * How long a client may take none of the replies owed to it, in milliseconds. Default: 10,000.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for 0; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_write_timeout(daytime_server *server, uint32_t ms);

/**
 * What a client reads first: up to 1,023 bytes without control characters, or "". Default: "Welcome to the server".
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for any other;
 * DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_greeting(daytime_server *server, const char *text);

/**
 * How ends of commands are found, a daytime_framing. Default: DAYTIME_FRAMING_AUTO.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for any other; DAYTIME_ERR_STATE
 * once started.
 */
daytime_status daytime_server_set_framing(daytime_server *server, int framing);

/**
 * The reply to "day" as strftime(3) writes it, without what depends on a locale. Default: "%A".
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is no
 * format or makes no reply; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_day_format(daytime_server *server, const char *format);

/**
 * The reply to "date" as strftime(3) writes it, without what depends on a locale. Default: "%y-%m-%d".
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is no
 * format or makes no reply; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_date_format(daytime_server *server, const char *format);

/**
 * The reply to "time" as strftime(3) writes it, without what depends on a locale. Default: "%H:%M:%S".
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is no
 * format or makes no reply; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_time_format(daytime_server *server, const char *format);

/**
 * The zone of replies to commands that name none: a name of the system's zone database, "UTC", or an offset such as
 * "+05:30". Default: the system's.
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is
 * unknown; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_set_timezone(daytime_server *server, const char *zone);

/**
 * A clock that stands still at this second since the Unix epoch; while the server runs, from the next question on.
 * Timeouts do not depend on it.
 * Ownership: none. Lifetime: before start and while it runs. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL.
 */
daytime_status daytime_server_set_clock(daytime_server *server, int64_t unix_seconds);

/**
 * The system's clock, shifted by so many seconds; as daytime_server_set_clock().
 * Ownership: none. Lifetime: before start and while it runs. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL.
 */
daytime_status daytime_server_set_clock_offset(daytime_server *server, int64_t seconds);

/**
 * The system's clock, which is the default; as daytime_server_set_clock().
 * Ownership: none. Lifetime: before start and while it runs. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL.
 */
daytime_status daytime_server_set_clock_system(daytime_server *server);

/**
 * Reads the files of time zones anew, for each client from its next command on. That is done every five minutes
 * without being asked.
 * Ownership: none. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_reload_zones(daytime_server *server);

/**
 * Adds an own command, which "help" lists: one word without blanks or control characters, no built-in command's name in
 * any letter case, and no other's.
 * Ownership: the name is copied. The user data is the server's from this call on, also where it fails: user_free, if not
 * NULL, is called with it exactly once, see daytime_free_fn. Lifetime: before start. Threads: any. Errors:
 * DAYTIME_ERR_INVALID for the name, and for a handler of NULL; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_add_command(daytime_server *server,
                                          const char *name,
                                          daytime_command_fn handler,
                                          void *user_data,
                                          daytime_free_fn user_free);

/**
 * Keeps events for daytime_server_next_event(), up to capacity (1 to 1,048,576); those for which there is no room are
 * lost and counted, and never slow the server down. With commands other than 0 each command is an event, too, which
 * costs an allocation a command. The last call counts.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for the capacity;
 * DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_enable_events(daytime_server *server, size_t capacity, int commands);

/**
 * Binds every address and serves, on threads of its own that block all signals. After a failure nothing is bound, and it
 * may be tried again. A server that was told to stop before ends at once.
 * Ownership: none. Lifetime: once. Threads: any. Errors: DAYTIME_ERR_IO, where an address is taken with EADDRINUSE;
 * DAYTIME_ERR_INVALID where a name has no address, or a file that is no socket has the place of a Unix socket's;
 * DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_start(daytime_server *server,
                                    daytime_error *err);

/**
 * Asks it to end: every connection is closed at once, without replies still owed. Returns before that is done, see
 * daytime_server_wait(); once it was called, calling it again does nothing. Takes no lock and no memory.
 * Ownership: none. Lifetime: any time before free. Threads: any, and handlers of commands and of signals.
 * Errors: does nothing with NULL.
 */
void daytime_server_stop(daytime_server *server);

/**
 * Begins to end, and returns at once: no new clients; idle ones are closed, replies owed are sent. The server ends when
 * its last client is gone, or after grace_ms. The first call counts.
 * Ownership: none. Lifetime: once started. Threads: any, and handlers of commands, not of signals.
 * Errors: DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_drain(daytime_server *server, uint32_t grace_ms);

/**
 * Waits until the server has ended and its threads with it, a handler that still runs included; a negative timeout_ms is
 * for ever, 0 only looks.
 * Ownership: the server stays yours. Lifetime: once started. Threads: any but the server's own. Errors:
 * DAYTIME_ERR_TIMEOUT while it runs; DAYTIME_ERR_STATE before start, and inside its own handlers.
 */
daytime_status daytime_server_wait(daytime_server *server,
                                   int timeout_ms);

/**
 * What start had to put up with, such as a machine without time zones, by its number, from 0; most often there is none.
 * Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_INVALID past the last one;
 * DAYTIME_ERR_TRUNCATED; DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_warning(const daytime_server *server, size_t index, char *buf, size_t cap);

/**
 * What the server has done so far; of a larger struct than the library knows, the rest becomes 0.
 * Ownership: the struct is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_INVALID for a size of 0;
 * DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_stats(const daytime_server *server, daytime_stats *out, size_t size);

/**
 * The next event, once it has come; a negative timeout_ms is for ever, 0 only looks. An event goes to one caller.
 * Ownership: the struct is yours; size is its sizeof. Lifetime: once started. Threads: any but the server's own. Errors:
 * DAYTIME_ERR_TIMEOUT; DAYTIME_ERR_CLOSED when the server has ended and the last event was read; DAYTIME_ERR_STATE
 * before start, without daytime_server_enable_events(), and inside the server's handlers.
 */
daytime_status daytime_server_next_event(daytime_server *server,
                                         daytime_event *out,
                                         size_t size,
                                         int timeout_ms);

/**
 * The clients that are connected, in the order of their numbers: up to cap of them are written to the array out, each
 * size bytes (sizeof *out) after the one before, and *count becomes the number of all, which may be above cap.
 * Ownership: the array is yours; it may be NULL where cap is 0. Lifetime: once started. Threads: any. Errors:
 * DAYTIME_ERR_INVALID for a size of 0; DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_clients(const daytime_server *server,
                                      daytime_client_info *out,
                                      size_t size,
                                      size_t cap,
                                      size_t *count);

/**
 * Closes a client's connection at once, without replies still owed. No number is used for a second client.
 * Ownership: none. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_CLOSED where there is no such client;
 * DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_disconnect(daytime_server *server, uint64_t client);

/**
 * Adds an address to listen on: "localhost:9990", "0.0.0.0" (with port 9990), "[::]:0". A name stands for all of its
 * addresses that this machine has, port 0 for any free one. Where nothing at all was added it is "localhost:9990".
 * Nothing is bound before start.
 *
 * "unix:/run/daytime.sock" is a Unix socket with that path, "unix:@daytime" one in Linux's abstract namespace; at most
 * 107 bytes follow "unix:". Start replaces a socket's file on which nobody answers, such as that of a server that was
 * killed, and no other file. The file is removed when the server ends, if it is still the same one.
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is no
 * address; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_listen(daytime_server *server, const char *address);

/**
 * Adds an address where the daytime protocol (RFC 867) is spoken, without a port in it on 13: who connects is sent date
 * and time in the server's zone, "Sunday, November 22, 2026 15:44:57-UTC", and asked nothing.
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: as daytime_server_listen().
 */
daytime_status daytime_server_listen_rfc867(daytime_server *server, const char *address);

/**
 * Adds an address where the time protocol (RFC 868) is spoken, without a port in it on 37: who connects is sent four
 * bytes, and asked nothing.
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: as daytime_server_listen().
 */
daytime_status daytime_server_listen_rfc868(daytime_server *server, const char *address);

/**
 * Adds a TCP or Unix socket that listens already: from whoever started the process, or bound by other means. The file of
 * such a Unix socket is left alone.
 * Ownership: of the descriptor the server's on success, which closes it; yours on failure. Lifetime: before start.
 * Threads: any. Errors: DAYTIME_ERR_INVALID where it is no TCP or Unix stream socket that listens; DAYTIME_ERR_STATE
 * once started.
 */
daytime_status daytime_server_listen_fd(daytime_server *server,
                                        int fd);

/**
 * As daytime_server_listen_fd(), for the protocol of daytime_server_listen_rfc867().
 * Ownership: as daytime_server_listen_fd(). Lifetime: before start. Threads: any. Errors: as daytime_server_listen_fd().
 */
daytime_status daytime_server_listen_rfc867_fd(daytime_server *server,
                                               int fd);

/**
 * As daytime_server_listen_fd(), for the protocol of daytime_server_listen_rfc868().
 * Ownership: as daytime_server_listen_fd(). Lifetime: before start. Threads: any. Errors: as daytime_server_listen_fd().
 */
daytime_status daytime_server_listen_rfc868_fd(daytime_server *server,
                                               int fd);

/**
 * The permissions of the files of Unix sockets, such as 0660: who may write there may connect. Default, without this
 * call: what the process's umask leaves of 0777.
 * Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID above 0777; DAYTIME_ERR_STATE once
 * started.
 */
daytime_status daytime_server_set_unix_mode(daytime_server *server, uint32_t mode);

/**
 * Lets the clients of a network in, and nobody who is in no network; one more with each call. A network is
 * "192.0.2.0/24", "2001:db8::/32", or one address without a slash; IPv4 mapped into IPv6 is IPv4.
 *
 * Of the networks that have a client's address the longest prefix decides; where the same one is allowed and denied, it
 * is denied. Without any network everybody is let in. Clients of Unix sockets have no network, and are let in always.
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is no
 * network; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_allow(daytime_server *server, const char *network);

/**
 * Turns the clients of a network away without a word, see daytime_server_allow(); one more with each call.
 * Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is no
 * network; DAYTIME_ERR_STATE once started.
 */
daytime_status daytime_server_deny(daytime_server *server, const char *network);

/**
 * The networks whose clients are let in and turned away, see daytime_server_allow(), in place of all there were; while
 * the server runs, from the next client on: those that are connected stay. 100,000 take a fraction of a second.
 * Ownership: the texts are copied; an array may be NULL where its number is 0. Lifetime: before start and while it runs.
 * Threads: any. Errors: DAYTIME_ERR_INVALID where one of the texts is NULL or no network; nothing has changed then.
 */
daytime_status daytime_server_set_networks(daytime_server *server,
                                           const char *const *allow,
                                           size_t n_allow,
                                           const char *const *deny,
                                           size_t n_deny);

/**
 * The first bound address, with the port that the system chose; DAYTIME_ADDR_MAX holds it.
 * Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_TRUNCATED;
 * DAYTIME_ERR_INVALID where only RFC 867 or RFC 868 is spoken; DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_local_addr(const daytime_server *server, char *buf, size_t cap);

/**
 * A bound address by its number, from 0.
 * Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_INVALID past the last one;
 * DAYTIME_ERR_TRUNCATED; DAYTIME_ERR_STATE before start.
 */
daytime_status daytime_server_address(const daytime_server *server, size_t index, char *buf, size_t cap);

/**
 * A bound address of daytime_server_listen_rfc867() by its number, from 0.
 * Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: as daytime_server_address().
 */
daytime_status daytime_server_rfc867_address(const daytime_server *server, size_t index, char *buf, size_t cap);

/**
 * A bound address of daytime_server_listen_rfc868() by its number, from 0.
 * Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: as daytime_server_address().
 */
daytime_status daytime_server_rfc868_address(const daytime_server *server, size_t index, char *buf, size_t cap);

/**
 * The port of the first TCP address among those of daytime_server_address().
 * Ownership: none. Lifetime: once started. Threads: any. Errors: 0 before start, of NULL, and where there is none.
 */
uint16_t daytime_server_port(const daytime_server *server);

/**
 * The command's name in lower case.
 * Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL of NULL.
 */
const char *daytime_request_command(const daytime_request *request);

/**
 * What stands behind the command's name, without blanks around it: "" if nothing does.
 * Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL of NULL.
 */
const char *daytime_request_argument(const daytime_request *request);

/**
 * The address of the client that asks, such as "192.0.2.1:40000", most often "unix:" where that is a Unix socket's.
 * Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL of NULL.
 */
const char *daytime_request_peer(const daytime_request *request);

/**
 * The number of the client that asks, as events, daytime_server_clients() and daytime_server_disconnect() have it.
 * Ownership: none. Lifetime: the handler's call. Threads: any. Errors: 0 of NULL; no client has that number.
 */
uint64_t daytime_request_client(const daytime_request *request);

/**
 * daytime_server_stop() for the server that was asked, which may have been freed already.
 * Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
 */
void daytime_request_stop(const daytime_request *request);

/**
 * daytime_server_drain() for the server that was asked, which may have been freed already.
 * Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
 */
void daytime_request_drain(const daytime_request *request, uint32_t grace_ms);

/**
 * Sets the reply's text, or, in a handler that fails, the reason why; the last call counts.
 * Ownership: the text is copied. Lifetime: the handler's call. Threads: any. Errors: DAYTIME_ERR_INVALID where the text
 * has not 1 to 1,023 bytes or has a control character; the reply is as it was.
 */
daytime_status daytime_reply_set(daytime_reply *reply, const char *text);

/**
 * Closes the client's connection after this reply; where no text was set, without one.
 * Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
 */
void daytime_reply_close(daytime_reply *reply);

/**
 * Connects and reads the greeting. An address is "localhost:9990", "192.0.2.1" (with port 9990), "[::1]:9990", or that
 * of a Unix socket, see daytime_server_listen(); of a name's addresses each is tried. No later call takes longer than
 * timeout_ms either; 0 is the default, 5 seconds, and a negative one is for ever.
 * Ownership: *out is yours, for daytime_client_free(); it is NULL on failure. Lifetime: until then. Threads: any.
 * Errors: DAYTIME_ERR_INVALID for the address, DAYTIME_ERR_IO, DAYTIME_ERR_TIMEOUT, DAYTIME_ERR_CLOSED;
 * DAYTIME_ERR_REFUSED with the words of a full server; DAYTIME_ERR_PROTOCOL where somebody else listens there.
 */
daytime_status daytime_client_connect(const char *address, int timeout_ms, daytime_client **out, daytime_error *err);

/**
 * Closes the connection and frees the client. In a forked child the parent's connection stays open.
 * Ownership: ends yours. Lifetime: the last call on this client, after every other one has returned. Threads: any.
 * Errors: does nothing with NULL.
 */
void daytime_client_free(daytime_client *client);

/**
 * What the server said first, without its line end.
 * Ownership: the buffer is yours. Lifetime: none. Threads: any, after calls under way. Errors: DAYTIME_ERR_TRUNCATED;
 * DAYTIME_ERR_CLOSED after daytime_client_quit().
 */
daytime_status daytime_client_greeting(const daytime_client *client, char *buf, size_t cap, daytime_error *err);

/**
 * The address that this client is connected to; a buffer of DAYTIME_ADDR_MAX holds it.
 * Ownership: the buffer is yours. Lifetime: none. Threads: any, after calls under way. Errors: DAYTIME_ERR_TRUNCATED;
 * DAYTIME_ERR_IO once the connection is broken; DAYTIME_ERR_CLOSED after daytime_client_quit().
 */
daytime_status daytime_client_peer(const daytime_client *client, char *buf, size_t cap, daytime_error *err);

/**
 * The English name of the weekday in the server's zone.
 * Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: those of
 * daytime_client_request(), and DAYTIME_ERR_PROTOCOL where the reply is no such thing.
 */
daytime_status daytime_client_day(daytime_client *client, char *buf, size_t cap, daytime_error *err);

/**
 * The date in the server's zone, as "2026-11-22" whatever the server's format is.
 * Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: as daytime_client_day().
 */
daytime_status daytime_client_date(daytime_client *client,
                                   char *buf,
                                   size_t cap,
                                   daytime_error *err);

/**
 * The time of day in the server's zone, as "15:44:57" whatever the server's format is.
 * Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: as daytime_client_day().
 */
daytime_status daytime_client_time(daytime_client *client,
                                   char *buf,
                                   size_t cap,
                                   daytime_error *err);

/**
 * Date and time of one moment in the server's zone, as "2026-11-22T15:44:57+00:00"; from the original server, which does
 * not tell its zone, without the offset.
 * Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: as daytime_client_day().
 */
daytime_status daytime_client_datetime(daytime_client *client,
                                       char *buf,
                                       size_t cap,
                                       daytime_error *err);

/**
 * Sends a command, such as "time Asia/Tokyo", and gives the reply without its line end; DAYTIME_REPLY_MAX holds every one.
 * Ownership: the command is copied, the buffer is yours. Lifetime: none. Threads: any, one call after another.
 * Errors: DAYTIME_ERR_REFUSED with the server's error line; DAYTIME_ERR_INVALID where the command is blank, over 1,024
 * bytes, has a control character, or is "quit", which daytime_client_quit() says; DAYTIME_ERR_TRUNCATED;
 * DAYTIME_ERR_TIMEOUT, DAYTIME_ERR_CLOSED, DAYTIME_ERR_IO and DAYTIME_ERR_PROTOCOL, which break the client.
 */
daytime_status daytime_client_request(daytime_client *client,
                                      const char *command,
                                      char *buf,
                                      size_t cap,
                                      daytime_error *err);

/**
 * Says "quit" and waits until the server has closed, so that everything said before has been done. daytime_client_free()
 * alone hangs up without a word.
 * Ownership: the client stays yours. Lifetime: only daytime_client_free() does anything after it. Threads: any, one call
 * after another. Errors: DAYTIME_ERR_TIMEOUT, DAYTIME_ERR_IO; DAYTIME_ERR_CLOSED of a client that was broken or has quit.
 */
daytime_status daytime_client_quit(daytime_client *client,
                                   daytime_error *err);

/**
 * What a server of the daytime protocol (RFC 867) says, without the line end; it has no prescribed syntax. Without a port
 * in the address it is 13. Addresses and timeout_ms are those of daytime_client_connect().
 * Ownership: the buffer is yours; DAYTIME_REPLY_MAX holds what this library's servers say, and 4,097 bytes what any may.
 * Lifetime: none. Threads: any. Errors: DAYTIME_ERR_INVALID for the address, DAYTIME_ERR_IO, DAYTIME_ERR_TIMEOUT;
 * DAYTIME_ERR_CLOSED where nothing was said; DAYTIME_ERR_PROTOCOL for over 4 KiB or no text; DAYTIME_ERR_TRUNCATED.
 */
daytime_status daytime_rfc867(const char *address,
                              int timeout_ms,
                              char *buf,
                              size_t cap,
                              daytime_error *err);

/**
 * The second since the Unix epoch that a server of the time protocol (RFC 868) tells, from 1968-01-20 03:14:08 UTC to
 * 2104-02-26 09:42:23 UTC. Without a port in the address it is 37. Addresses and timeout_ms are those of
 * daytime_client_connect().
 * Ownership: *unix_seconds is yours. Lifetime: none. Threads: any. Errors: DAYTIME_ERR_INVALID for the address,
 * DAYTIME_ERR_IO, DAYTIME_ERR_TIMEOUT; DAYTIME_ERR_CLOSED where nothing was said; DAYTIME_ERR_PROTOCOL where that is not
 * four bytes.
 */
daytime_status daytime_rfc868(const char *address,
                              int timeout_ms,
                              int64_t *unix_seconds,
                              daytime_error *err);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DAYTIME_H */
