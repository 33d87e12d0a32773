//! The server: one handle, from its settings to its end.

use std::{
    ffi::{c_char, c_int, c_void},
    mem, process,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::RecvTimeoutError;
use nix::errno::Errno;

use super::{
    Failure, Opaque,
    command::{CustomCommand, UserData, daytime_command_fn},
    daytime_error, daytime_free_fn, daytime_status,
    daytime_status::*,
    entry,
    events::{daytime_client_info, daytime_event, daytime_stats},
    null,
};
use daytime_framing::*;

use crate::{Clock, Error, Event, Framing, Networks, Server, ServerBuilder};

/// The largest capacity of the event buffer.
const EVENTS_MAX: usize = 1 << 20;

/// A server. Call new, then listen, set_*, on_* and add_command in any order, then start, later stop or drain, wait, and free.
/// free alone is always correct, and a wrong order is DAYTIME_ERR_STATE.
pub struct daytime_server {
    process: u32,
    /// `None` once it was started.
    settings: Mutex<Option<Settings>>,
    running: OnceLock<Running>,
    /// A stop was requested, perhaps during the start. A stop sets this first and checks `running` then; the start does the
    /// reverse.
    stopped: AtomicBool,
}

pub(super) struct Settings {
    pub(super) builder: ServerBuilder,
    /// Both are kept outside of the builder, which each setter copies: there may be 100,000 networks.
    pub(super) networks: Networks,
    pub(super) proxies: Networks,
    /// The capacity, and whether commands are included.
    events: Option<(usize, bool)>,
}

/// Waits for the next event until a deadline.
type Events = Box<dyn Fn(Option<Instant>) -> Result<Event, RecvTimeoutError> + Send + Sync>;

pub(super) struct Running {
    pub(super) server: Server,
    events: Option<Events>,
}

/// How the server finds the end of a command: daytime_server_set_framing().
#[repr(C)]
pub enum daytime_framing {
    /// Detected for each connection: lines, or the commands of the original classroom program, which end nothing.
    DAYTIME_FRAMING_AUTO = 0,
    /// Lines from the start, for deployments without clients of the original.
    DAYTIME_FRAMING_LINE = 1,
}

/// Creates a server with default settings. It does nothing before the start.
/// Ownership: yours, for daytime_server_free(). Lifetime: until then. Threads: any. Errors: NULL only for a bug of the library.
#[unsafe(no_mangle)]
pub extern "C" fn daytime_server_new() -> *mut daytime_server {
    entry!(=> Ok(Box::into_raw(Box::new(daytime_server {
        process: process::id(),
        settings: Mutex::new(Some(Settings {
            // The start replaces this proxy. Until then, a listener for proxies is valid without one.
            builder: Server::builder().proxy("::/0"),
            networks: Networks::new(),
            proxies: Networks::new(),
            events: None,
        })),
        running: OnceLock::new(),
        stopped: AtomicBool::new(false),
    }))))
}

/// Stops the server as daytime_server_stop() does, waits for its threads, and frees the server and the user data. Inside
/// one of its handlers it does not wait: the threads end by themselves. In a forked child it only closes the child's copies
/// of the listeners; the parent's server continues.
/// Ownership: ends yours. Lifetime: the last call on this server, after every other call has returned. A handler that
/// makes it may still use its request and reply. Threads: any. Errors: does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_free(server: *mut daytime_server) {
    entry!(=> {
        if !server.is_null() {
            // SAFETY: `daytime_server_new` made it, and this is the last call on it.
            let server = unsafe { Box::from_raw(server) };
            server.end();
        }
        Ok(())
    })
}

/// The number of worker threads, 1 to 1,024. 0 is the default: one for each core.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID above that; DAYTIME_ERR_STATE
/// once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_workers(server: *mut daytime_server, n: u32) -> daytime_status {
    entry!(server => server.set(|builder| builder.workers(or_default(n as usize))))
}

/// The most handlers of custom commands that run at a time, 1 to 1,024. Each has its own thread. Default: 16.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID outside that; DAYTIME_ERR_STATE
/// once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_handler_threads(server: *mut daytime_server, n: u32) -> daytime_status {
    entry!(server => server.set(|builder| builder.handler_threads(n as usize)))
}

/// The most connections that wait to be accepted, at least 1. The system can lower it (listen(2)). Default: 4,096.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for 0 and above INT_MAX;
/// DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_backlog(server: *mut daytime_server, n: u32) -> daytime_status {
    entry!(server => server.set(|builder| builder.backlog(n)))
}

/// The most clients at a time. Further clients get "The server is full". 0 is the default: the process's limit of file
/// descriptors (RLIMIT_NOFILE) less 64.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_max_clients(server: *mut daytime_server, n: usize) -> daytime_status {
    entry!(server => server.set(|builder| builder.max_clients(or_default(n))))
}

/// The most clients at a time from one IPv4 address, or from one IPv6 network of 64 bits. Further clients get
/// "Too many connections from your address". 0 is the default: unlimited.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_max_clients_per_source(
    server: *mut daytime_server,
    n: usize,
) -> daytime_status {
    entry!(server => server.set(|builder| builder.max_clients_per_source(or_default(n))))
}

/// Disconnects a client that sends nothing, and is owed nothing, for this long, in milliseconds. 0 is the default: never.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_idle_timeout(server: *mut daytime_server, ms: u32) -> daytime_status {
    entry!(server => server.set(|builder| builder.idle_timeout(or_default(ms).map(millis))))
}

/// Disconnects a client that has not sent a complete command this long after it connected, in milliseconds. 0 is the
/// default: never.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_first_command_timeout(
    server: *mut daytime_server,
    ms: u32,
) -> daytime_status {
    entry!(server => server.set(|builder| builder.first_command_timeout(or_default(ms).map(millis))))
}

/// Disconnects a client that takes none of the replies owed to it for this long, in milliseconds. Default: 10,000.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for 0; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_write_timeout(server: *mut daytime_server, ms: u32) -> daytime_status {
    entry!(server => server.set(|builder| builder.write_timeout(millis(ms))))
}

/// How long a proxy may take to send its header after it has connected, in milliseconds, at least 3,000: the time of a TCP
/// retransmission. Default: 5,000.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID below 3,000; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_proxy_timeout(server: *mut daytime_server, ms: u32) -> daytime_status {
    entry!(server => server.set(|builder| builder.proxy_timeout(millis(ms))))
}

/// How long each worker polls without sleeping when it has nothing to do, in microseconds. Replies come some tens of
/// microseconds sooner, and a core is busy in the meantime. 0 is the default: not at all.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_busy_poll(server: *mut daytime_server, us: u32) -> daytime_status {
    entry!(server => server.set(|builder| builder.busy_poll(or_default(us).map(|us| Duration::from_micros(us.into())))))
}

/// The greeting: up to 1,023 bytes of UTF-8 without control characters, or "". Default: "Welcome to the server".
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for other texts;
/// DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_greeting(
    server: *mut daytime_server,
    text: *const c_char,
) -> daytime_status {
    entry!(server, text => server.set(|builder| builder.greeting(text)))
}

/// How the server finds the end of a command, a daytime_framing. Default: DAYTIME_FRAMING_AUTO.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for any other; DAYTIME_ERR_STATE
/// once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_framing(server: *mut daytime_server, framing: c_int) -> daytime_status {
    entry!(server => {
        let framing = match framing {
            _ if framing == DAYTIME_FRAMING_AUTO as c_int => Framing::Auto,
            _ if framing == DAYTIME_FRAMING_LINE as c_int => Framing::Line,
            _ => return Err(Failure::invalid(format!("{framing} is not a daytime_framing; expected 0 or 1"))),
        };
        server.set(|builder| builder.framing(framing))
    })
}

/// The strftime format of the reply to "day", without conversions that depend on a locale. Default: "%A".
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a
/// format, or gives an invalid reply; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_day_format(
    server: *mut daytime_server,
    format: *const c_char,
) -> daytime_status {
    entry!(server, format => server.set(|builder| builder.day_format(format)))
}

/// The strftime format of the reply to "date", without conversions that depend on a locale. Default: "%y-%m-%d".
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a
/// format, or gives an invalid reply; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_date_format(
    server: *mut daytime_server,
    format: *const c_char,
) -> daytime_status {
    entry!(server, format => server.set(|builder| builder.date_format(format)))
}

/// The strftime format of the reply to "time", without conversions that depend on a locale. Default: "%H:%M:%S".
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a
/// format, or gives an invalid reply; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_time_format(
    server: *mut daytime_server,
    format: *const c_char,
) -> daytime_status {
    entry!(server, format => server.set(|builder| builder.time_format(format)))
}

/// The zone of replies to commands without a zone: a name of the system's time zone database, "UTC", or an offset such as
/// "+05:30". Default: the system's zone.
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is
/// unknown; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_timezone(
    server: *mut daytime_server,
    zone: *const c_char,
) -> daytime_status {
    entry!(server, zone => server.set(|builder| builder.timezone(zone)))
}

/// Stops the clock of the replies at this second since the Unix epoch. On a running server this holds from the next command
/// on. Timeouts do not depend on it.
/// Ownership: none. Lifetime: before start and while it runs. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_clock(server: *mut daytime_server, unix_seconds: i64) -> daytime_status {
    entry!(server => server.set_clock(Clock::fixed_unix(unix_seconds)))
}

/// Uses the system's clock, shifted by this many seconds, see daytime_server_set_clock().
/// Ownership: none. Lifetime: before start and while it runs. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_clock_offset(server: *mut daytime_server, seconds: i64) -> daytime_status {
    entry!(server => server.set_clock(Clock::offset(seconds)))
}

/// Uses the system's clock, which is the default, see daytime_server_set_clock().
/// Ownership: none. Lifetime: before start and while it runs. Threads: any. Errors: DAYTIME_ERR_INVALID for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_clock_system(server: *mut daytime_server) -> daytime_status {
    entry!(server => server.set_clock(Clock::system()))
}

/// Reads the files of the time zones again, for each client from its next command on. The server also does that every five
/// minutes.
/// Ownership: none. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_reload_zones(server: *mut daytime_server) -> daytime_status {
    entry!(server => {
        server.running()?.server.reload_zones();
        Ok(())
    })
}

/// Adds a custom command, which "help" lists. Its name is one word without blanks or control characters, unique in any
/// letter case.
/// Ownership: the name is copied. The server owns the user data from this call on, even if it fails: user_free, if not
/// NULL, is called with it exactly once, see daytime_free_fn. Lifetime: before start. Threads: any. Errors:
/// DAYTIME_ERR_INVALID for the name, and if the handler is NULL; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_add_command(
    server: *mut daytime_server,
    name: *const c_char,
    handler: daytime_command_fn,
    user_data: *mut c_void,
    user_free: daytime_free_fn,
) -> daytime_status {
    let data = UserData::new(user_data, user_free);
    entry!(server, name => {
        let command = CustomCommand::new(name, handler, data)?;
        server.set(|builder| builder.command(name, move |request| command.call(request)))
    })
}

/// Sets how "help" shows a custom command that was added before: its name, then its arguments, such as "score NAME". Default:
/// the name. The last call for a command has effect.
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if the first word is not
/// the name of a custom command, if the text has a control character, and if the reply to "help" becomes too long;
/// DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_usage(server: *mut daytime_server, usage: *const c_char) -> daytime_status {
    entry!(server, usage => server.set(|builder| builder.usage(usage)))
}

/// Buffers events for daytime_server_next_event(), up to capacity (1 to 1,048,576). Further events are dropped and counted; a
/// slow reader never slows the server down. If commands is not 0, each command is an event too, which costs an allocation a
/// command. The last call has effect.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for the capacity;
/// DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_enable_events(
    server: *mut daytime_server,
    capacity: usize,
    commands: c_int,
) -> daytime_status {
    entry!(server => {
        if !(1..=EVENTS_MAX).contains(&capacity) {
            return Err(Failure::invalid(format!("capacity must be between 1 and 1,048,576, got {capacity}")));
        }
        server.change(|settings| {
            settings.events = Some((capacity, commands != 0));
            Ok(())
        })
    })
}

/// Binds every address, and starts the server's threads, which block all signals. After a failure nothing is bound, and the
/// call may be repeated. A server that was stopped before ends at once.
/// Ownership: none. Lifetime: once. Threads: any. Errors: DAYTIME_ERR_IO, with EADDRINUSE if an address is taken;
/// DAYTIME_ERR_INVALID if a name does not resolve, or the path of a Unix socket is another file; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_start(server: *mut daytime_server, err: *mut daytime_error) -> daytime_status {
    entry!(err; server => server.start())
}

/// Stops the server: every connection is closed at once, without the replies still owed. Returns before that is done, see
/// daytime_server_wait(). Further calls do nothing. It takes no lock and allocates no memory.
/// Ownership: none. Lifetime: any time before free. Threads: any, and handlers of commands and of signals.
/// Errors: does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_stop(server: *mut daytime_server) {
    // Without `entry!`, which records a failure: its text is allocated, which a signal handler must not do.
    let errno = Errno::last_raw();
    // SAFETY: NULL, or a server that is not freed yet.
    if let Some(server) = unsafe { server.as_ref() }
        && server.process == process::id()
    {
        server.stopped.store(true, SeqCst);
        if let Some(running) = server.running.get() {
            running.server.stop();
        }
    }
    Errno::set_raw(errno);
}

/// Starts to shut down, and returns at once. The server accepts no more clients, closes idle ones, and sends the replies
/// that it owes. It stops when the last client is gone, or after grace_ms. Only the first call has an effect.
/// Ownership: none. Lifetime: once started. Threads: any, and handlers of commands, not of signals.
/// Errors: DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_drain(server: *mut daytime_server, grace_ms: u32) -> daytime_status {
    entry!(server => {
        server.running()?.server.drain(millis(grace_ms));
        Ok(())
    })
}

/// Waits until every thread of the server has ended, running handlers included. A negative timeout_ms means unlimited, and 0
/// only checks.
/// Ownership: the server stays yours. Lifetime: once started. Threads: any but the server's own. Errors:
/// DAYTIME_ERR_TIMEOUT while it runs; DAYTIME_ERR_STATE before start, and inside its handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_wait(server: *mut daytime_server, timeout_ms: c_int) -> daytime_status {
    entry!(server => {
        let running = server.running_elsewhere()?;
        if running.server.wait(timeout(timeout_ms)) { Ok(()) } else { Err(Error::Timeout.into()) }
    })
}

/// A problem that the start survived, such as a missing time zone database, by its index, from 0. Most often there are none.
/// Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_INVALID past the last one;
/// DAYTIME_ERR_TRUNCATED; DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_warning(
    server: *const daytime_server,
    index: usize,
    buf: *mut c_char,
    cap: usize,
) -> daytime_status {
    entry!(server, out = (buf, cap) => out.write(nth(server.running()?.server.warnings(), index)?))
}

/// The counters of the server. Fields that the library does not know become 0.
/// Ownership: the struct is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_INVALID for a size of 0;
/// DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_stats(
    server: *const daytime_server,
    out: *mut daytime_stats,
    size: usize,
) -> daytime_status {
    entry!(server, out = (out, size) => {
        out.write(&server.running()?.server.stats().into());
        Ok(())
    })
}

/// The counters as text for Prometheus, in its text format 0.0.4: a few kilobytes. An embedder with an HTTP server of its own
/// appends it to its "/metrics". *needed becomes the size of the text with its NUL. The text grows with its numbers and with
/// custom commands, so that a later call may need more.
/// Ownership: the buffer is yours; it may be NULL if cap is 0, which only asks for the size. Lifetime: once started. Threads:
/// any. Errors: DAYTIME_ERR_TRUNCATED; DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_metrics(
    server: *const daytime_server,
    buf: *mut c_char,
    cap: usize,
    needed: *mut usize,
) -> daytime_status {
    entry!(server => {
        if needed.is_null() || (buf.is_null() && cap > 0) {
            return Err(null());
        }
        let text = server.running()?.server.metrics();
        // SAFETY: it is not NULL, so it may be written.
        unsafe { needed.write(text.len() + 1) };
        if cap == 0 {
            return Ok(());
        }
        // SAFETY: the buffer has `cap` bytes.
        let out = unsafe { super::FromC::convert((buf, cap)) }?;
        super::Buffer::write(out, text)
    })
}

/// Waits for the next event. A negative timeout_ms means unlimited, and 0 only checks. Each event is returned once.
/// Ownership: the struct is yours; size is its sizeof. Lifetime: once started. Threads: any but the server's own. Errors:
/// DAYTIME_ERR_TIMEOUT; DAYTIME_ERR_CLOSED when the server has ended and the last event was read; DAYTIME_ERR_STATE
/// before start, without daytime_server_enable_events(), and inside the server's handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_next_event(
    server: *mut daytime_server,
    out: *mut daytime_event,
    size: usize,
    timeout_ms: c_int,
) -> daytime_status {
    entry!(server, out = (out, size) => {
        let running = server.running_elsewhere()?;
        let events = running.events.as_ref().ok_or_else(|| Failure::state("events were not enabled before start"))?;
        let deadline = timeout(timeout_ms).map(|timeout| Instant::now() + timeout);
        out.write(&events(deadline).map_err(no_event)?.into());
        Ok(())
    })
}

/// The connected clients, in the order of their ids. Up to cap of them are written to the array out, whose elements have
/// size bytes (sizeof *out). *count becomes the number of all clients, which can exceed cap.
/// Ownership: the array is yours; it may be NULL if cap is 0. Lifetime: once started. Threads: any. Errors:
/// DAYTIME_ERR_INVALID for a size of 0; DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_clients(
    server: *const daytime_server,
    out: *mut daytime_client_info,
    size: usize,
    cap: usize,
    count: *mut usize,
) -> daytime_status {
    entry!(server => {
        if count.is_null() || size == 0 || (out.is_null() && cap > 0) {
            return Err(null());
        }
        let clients = server.running()?.server.clients();
        // SAFETY: it is not NULL, so it may be written.
        unsafe { count.write(clients.len()) };
        for (i, client) in clients.into_iter().take(cap).enumerate() {
            // SAFETY: the array has `cap` elements of `size` bytes each.
            let place = unsafe { out.byte_add(i * size) };
            // SAFETY: as above.
            let place = unsafe { super::FromC::convert((place, size)) }?;
            super::OutStruct::write(place, &client.into());
        }
        Ok(())
    })
}

/// Closes a client's connection at once, without the replies still owed. Ids are not reused.
/// Ownership: none. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_CLOSED if the client is not connected;
/// DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_disconnect(server: *mut daytime_server, client: u64) -> daytime_status {
    entry!(server => match server.running()?.server.disconnect(client.into()) {
        true => Ok(()),
        false => Err(Failure::new(DAYTIME_ERR_CLOSED, "the client is not connected")),
    })
}

impl daytime_server {
    /// Changes the settings. A change that fails must leave them unchanged.
    pub(super) fn change(&self, change: impl FnOnce(&mut Settings) -> Result<(), Failure>) -> Result<(), Failure> {
        change(self.settings().as_mut().ok_or_else(started)?)
    }

    /// Changes a setting if all settings are valid then.
    pub(super) fn set(&self, change: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Result<(), Failure> {
        // Both are dropped after the lock is released: a rejected command, or a replaced hook, frees its user data by a
        // function of the embedder.
        let (changed, _replaced);
        let mut settings = self.settings();
        let settings = settings.as_mut().ok_or_else(started)?;
        changed = change(settings.builder.clone());
        changed.check()?;
        _replaced = mem::replace(&mut settings.builder, changed.clone());
        Ok(())
    }

    fn set_clock(&self, clock: Clock) -> Result<(), Failure> {
        match self.settings().as_mut() {
            Some(settings) => settings.builder = settings.builder.clone().clock(clock),
            None => self.running()?.server.set_clock(clock),
        }
        Ok(())
    }

    pub(super) fn set_networks(&self, networks: Networks) -> Result<(), Failure> {
        match self.settings().as_mut() {
            Some(settings) => settings.networks = networks,
            None => self.running()?.server.set_networks(networks),
        }
        Ok(())
    }

    pub(super) fn set_proxies(&self, proxies: Networks) -> Result<(), Failure> {
        match self.settings().as_mut() {
            Some(settings) => settings.proxies = proxies,
            None => self.running()?.server.set_proxies(proxies),
        }
        Ok(())
    }

    fn start(&self) -> Result<(), Failure> {
        // Dropped after the lock is released: if the server has ended already, this frees the user data.
        let spent;
        let mut settings = self.settings();
        let Settings { builder, networks, proxies, events } = settings.as_ref().ok_or_else(started)?;
        let bound = builder.clone().networks(networks.clone()).proxies(proxies.clone()).bind()?;
        let events = events.map(|(capacity, commands)| -> Events { Box::new(bound.queue(capacity, commands)) });
        let server = bound.start()?;
        let running = self.running.get_or_init(|| Running { server, events });
        if self.stopped.load(SeqCst) {
            running.server.stop();
        }
        spent = settings.take();
        drop(settings);
        drop(spent);
        Ok(())
    }

    pub(super) fn running(&self) -> Result<&Running, Failure> {
        self.running.get().ok_or_else(|| Failure::state("the server is not started"))
    }

    /// For calls that wait.
    fn running_elsewhere(&self) -> Result<&Running, Failure> {
        match self.running()? {
            running if running.server.is_own_thread() => {
                Err(Failure::state("a handler cannot wait for its own server"))
            }
            running => Ok(running),
        }
    }

    fn end(mut self: Box<Self>) {
        if self.process != process::id()
            && let Some(Running { server, events }) = self.running.take()
        {
            // Threads of the parent may have held the locks of these values during the fork.
            mem::forget(events);
            drop(server);
        }
    }

    fn settings(&self) -> MutexGuard<'_, Option<Settings>> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opaque for daytime_server {
    fn process(&self) -> Option<u32> {
        Some(self.process)
    }
}

fn started() -> Failure {
    Failure::state("the server was started already")
}

pub(super) fn nth<T>(all: &[T], index: usize) -> Result<&T, Failure> {
    all.get(index)
        .ok_or_else(|| Failure::invalid(format!("the index {index} is out of range; expected less than {}", all.len())))
}

fn no_event(error: RecvTimeoutError) -> Failure {
    match error {
        RecvTimeoutError::Timeout => Error::Timeout.into(),
        RecvTimeoutError::Disconnected => Failure::new(DAYTIME_ERR_CLOSED, "the server has ended"),
    }
}

/// A setting whose default is 0.
fn or_default<T: Default + PartialEq>(n: T) -> Option<T> {
    (n != T::default()).then_some(n)
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

/// `None` means unlimited.
fn timeout(timeout_ms: c_int) -> Option<Duration> {
    u64::try_from(timeout_ms).ok().map(Duration::from_millis)
}
