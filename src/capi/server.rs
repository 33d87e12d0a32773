//! The server: one handle from its settings to its end.

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

use super::{
    Failure, Handle,
    command::{Own, UserData, daytime_command_fn},
    daytime_error, daytime_free_fn, daytime_status,
    daytime_status::*,
    entry, null,
    told::{daytime_client_info, daytime_event, daytime_stats},
};
use daytime_framing::*;

use crate::{Clock, Error, Event, Framing, Networks, Server, ServerBuilder};

/// The most events that may be asked to be kept.
const EVENTS_MAX: usize = 1 << 20;

/// A server: settings first, then threads that serve. new, then listen, set_* and add_command in any order, then start,
/// perhaps stop, wait, and free; free alone is always right, and a wrong order is DAYTIME_ERR_STATE.
pub struct daytime_server {
    process: u32,
    /// `None` once it was started.
    settings: Mutex<Option<Settings>>,
    running: OnceLock<Running>,
    /// Told to stop, perhaps while it starts. Whoever stops sets this first and looks for `running` then; whoever starts
    /// does the reverse.
    stopped: AtomicBool,
}

pub(super) struct Settings {
    pub(super) builder: ServerBuilder,
    /// Not in the builder, which each setter copies: there may be 100,000.
    pub(super) networks: Networks,
    /// The capacity, and whether commands are wanted.
    events: Option<(usize, bool)>,
}

/// Gives the next event, once it has come, until a deadline.
type Events = Box<dyn Fn(Option<Instant>) -> Result<Event, RecvTimeoutError> + Send + Sync>;

pub(super) struct Running {
    pub(super) server: Server,
    events: Option<Events>,
}

/// How ends of commands are found: daytime_server_set_framing().
#[repr(C)]
pub enum daytime_framing {
    /// Found out for each connection: lines, or the original's commands without an end.
    DAYTIME_FRAMING_AUTO = 0,
    /// Lines, for deployments without clients of the original.
    DAYTIME_FRAMING_LINE = 1,
}

/// A server with every setting at its default, which are the bundled program's. It does nothing yet.
/// Ownership: yours, for daytime_server_free(). Lifetime: until then. Threads: any. Errors: NULL only after a bug.
#[unsafe(no_mangle)]
pub extern "C" fn daytime_server_new() -> *mut daytime_server {
    entry!(=> Ok(Box::into_raw(Box::new(daytime_server {
        process: process::id(),
        settings: Mutex::new(Some(Settings { builder: Server::builder(), networks: Networks::new(), events: None })),
        running: OnceLock::new(),
        stopped: AtomicBool::new(false),
    }))))
}

/// Stops the server as daytime_server_stop() does, waits for its threads, and frees it, and user data with it. Inside one
/// of its own handlers it does not wait: the threads end by themselves. In a forked child it closes the child's copies of
/// the listeners, and that is all; the parent's server runs on.
/// Ownership: ends yours. Lifetime: the last call on this server, after every other one has returned; the handler that
/// makes it may go on with its request and reply. Threads: any. Errors: does nothing with NULL.
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

/// The number of threads that serve, 1 to 1,024; 0 is the default, one a core.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID above that; DAYTIME_ERR_STATE
/// once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_workers(server: *mut daytime_server, n: u32) -> daytime_status {
    entry!(server => server.set(|settings| settings.workers(or_default(n as usize))))
}

/// The number of threads on which handlers may run at a time, 1 to 1,024. Default: 16.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID outside that; DAYTIME_ERR_STATE
/// once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_callers(server: *mut daytime_server, n: u32) -> daytime_status {
    entry!(server => server.set(|settings| settings.handler_threads(n as usize)))
}

/// The connections that may wait to be accepted, at least 1; the system may allow fewer. Default: 4,096.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for 0 and above INT_MAX;
/// DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_backlog(server: *mut daytime_server, n: u32) -> daytime_status {
    entry!(server => server.set(|settings| settings.backlog(n)))
}

/// The clients that may be connected at a time; more are told "The server is full". 0 is the default: the limit of
/// descriptors (RLIMIT_NOFILE) less 64.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_max_clients(server: *mut daytime_server, n: usize) -> daytime_status {
    entry!(server => server.set(|settings| settings.max_clients(or_default(n))))
}

/// The clients that may be connected from one IPv4 address, or one IPv6 network of 64 bits; more are told
/// "Too many connections from your address". 0 is the default: no limit.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_max_clients_per_source(
    server: *mut daytime_server,
    n: usize,
) -> daytime_status {
    entry!(server => server.set(|settings| settings.max_clients_per_source(or_default(n))))
}

/// How long a client may say nothing while nothing is owed to it, in milliseconds. 0 is the default: for ever.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_idle_timeout(server: *mut daytime_server, ms: u32) -> daytime_status {
    entry!(server => server.set(|settings| settings.idle_timeout(or_default(ms).map(millis))))
}

/// How long a client may take for its first whole command, in milliseconds. 0 is the default: for ever.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_first_command_timeout(
    server: *mut daytime_server,
    ms: u32,
) -> daytime_status {
    entry!(server => server.set(|settings| settings.first_command_timeout(or_default(ms).map(millis))))
}

/// How long a client may take none of the replies owed to it, in milliseconds. Default: 10,000.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for 0; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_write_timeout(server: *mut daytime_server, ms: u32) -> daytime_status {
    entry!(server => server.set(|settings| settings.write_timeout(millis(ms))))
}

/// What a client reads first: up to 1,023 bytes without control characters, or "". Default: "Welcome to the server".
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for any other;
/// DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_greeting(
    server: *mut daytime_server,
    text: *const c_char,
) -> daytime_status {
    entry!(server, text => server.set(|settings| settings.greeting(text)))
}

/// How ends of commands are found, a daytime_framing. Default: DAYTIME_FRAMING_AUTO.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID for any other; DAYTIME_ERR_STATE
/// once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_framing(server: *mut daytime_server, framing: c_int) -> daytime_status {
    entry!(server => {
        let framing = match framing {
            _ if framing == DAYTIME_FRAMING_AUTO as c_int => Framing::Auto,
            _ if framing == DAYTIME_FRAMING_LINE as c_int => Framing::Line,
            _ => return Err(Failure::invalid(format!("there is no framing {framing}"))),
        };
        server.set(|settings| settings.framing(framing))
    })
}

/// The reply to "day" as strftime(3) writes it, without what depends on a locale. Default: "%A".
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is no
/// format or makes no reply; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_day_format(
    server: *mut daytime_server,
    format: *const c_char,
) -> daytime_status {
    entry!(server, format => server.set(|settings| settings.day_format(format)))
}

/// The reply to "date" as strftime(3) writes it, without what depends on a locale. Default: "%y-%m-%d".
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is no
/// format or makes no reply; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_date_format(
    server: *mut daytime_server,
    format: *const c_char,
) -> daytime_status {
    entry!(server, format => server.set(|settings| settings.date_format(format)))
}

/// The reply to "time" as strftime(3) writes it, without what depends on a locale. Default: "%H:%M:%S".
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is no
/// format or makes no reply; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_time_format(
    server: *mut daytime_server,
    format: *const c_char,
) -> daytime_status {
    entry!(server, format => server.set(|settings| settings.time_format(format)))
}

/// The zone of replies to commands that name none: a name of the system's zone database, "UTC", or an offset such as
/// "+05:30". Default: the system's.
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is
/// unknown; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_timezone(
    server: *mut daytime_server,
    zone: *const c_char,
) -> daytime_status {
    entry!(server, zone => server.set(|settings| settings.timezone(zone)))
}

/// A clock that stands still at this second since the Unix epoch; while the server runs, from the next question on.
/// Timeouts do not depend on it.
/// Ownership: none. Lifetime: before start and while it runs. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_clock(server: *mut daytime_server, unix_seconds: i64) -> daytime_status {
    entry!(server => server.set_clock(Clock::fixed_unix(unix_seconds)))
}

/// The system's clock, shifted by so many seconds; as daytime_server_set_clock().
/// Ownership: none. Lifetime: before start and while it runs. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_clock_offset(server: *mut daytime_server, seconds: i64) -> daytime_status {
    entry!(server => server.set_clock(Clock::offset(seconds)))
}

/// The system's clock, which is the default; as daytime_server_set_clock().
/// Ownership: none. Lifetime: before start and while it runs. Threads: any. Errors: DAYTIME_ERR_INVALID of NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_clock_system(server: *mut daytime_server) -> daytime_status {
    entry!(server => server.set_clock(Clock::system()))
}

/// Reads the files of time zones anew, for each client from its next command on. That is done every five minutes
/// without being asked.
/// Ownership: none. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_reload_zones(server: *mut daytime_server) -> daytime_status {
    entry!(server => {
        server.running()?.server.reload_zones();
        Ok(())
    })
}

/// Adds an own command, which "help" lists: one word without blanks or control characters, no built-in command's name in
/// any letter case, and no other's.
/// Ownership: the name is copied. The user data is the server's from this call on, also where it fails: user_free, if not
/// NULL, is called with it exactly once, see daytime_free_fn. Lifetime: before start. Threads: any. Errors:
/// DAYTIME_ERR_INVALID for the name, and for a handler of NULL; DAYTIME_ERR_STATE once started.
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
        let own = Own { handler: handler.ok_or_else(null)?, data };
        server.set(|settings| settings.command(name, move |request| own.call(request)))
    })
}

/// Keeps events for daytime_server_next_event(), up to capacity (1 to 1,048,576); those for which there is no room are
/// lost and counted, and never slow the server down. With commands other than 0 each command is an event, too, which
/// costs an allocation a command. The last call counts.
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
            return Err(Failure::invalid(format!("{capacity} events: there can be 1 to 1,048,576")));
        }
        server.change(|settings| {
            settings.events = Some((capacity, commands != 0));
            Ok(())
        })
    })
}

/// Binds every address and serves, on threads of its own that block all signals. After a failure nothing is bound, and it
/// may be tried again. A server that was told to stop before ends at once.
/// Ownership: none. Lifetime: once. Threads: any. Errors: DAYTIME_ERR_IO, where an address is taken with EADDRINUSE;
/// DAYTIME_ERR_INVALID where a name has no address, or a file that is no socket has the place of a Unix socket's;
/// DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_start(server: *mut daytime_server, err: *mut daytime_error) -> daytime_status {
    entry!(err; server => server.start())
}

/// Asks it to end: every connection is closed at once, without replies still owed. Returns before that is done, see
/// daytime_server_wait(); once it was called, calling it again does nothing. Takes no lock and no memory.
/// Ownership: none. Lifetime: any time before free. Threads: any, and handlers of commands and of signals.
/// Errors: does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_stop(server: *mut daytime_server) {
    entry!(server => {
        server.stopped.store(true, SeqCst);
        if let Some(running) = server.running.get() {
            running.server.stop();
        }
        Ok(())
    })
}

/// Begins to end, and returns at once: no new clients; idle ones are closed, replies owed are sent. The server ends when
/// its last client is gone, or after grace_ms. The first call counts.
/// Ownership: none. Lifetime: once started. Threads: any, and handlers of commands, not of signals.
/// Errors: DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_drain(server: *mut daytime_server, grace_ms: u32) -> daytime_status {
    entry!(server => {
        server.running()?.server.drain(millis(grace_ms));
        Ok(())
    })
}

/// Waits until the server has ended and its threads with it, a handler that still runs included; a negative timeout_ms is
/// for ever, 0 only looks.
/// Ownership: the server stays yours. Lifetime: once started. Threads: any but the server's own. Errors:
/// DAYTIME_ERR_TIMEOUT while it runs; DAYTIME_ERR_STATE before start, and inside its own handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_wait(server: *mut daytime_server, timeout_ms: c_int) -> daytime_status {
    entry!(server => {
        let running = server.running_elsewhere()?;
        if running.server.wait(patience(timeout_ms)) { Ok(()) } else { Err(Error::Timeout.into()) }
    })
}

/// What start had to put up with, such as a machine without time zones, by its number, from 0; most often there is none.
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

/// What the server has done so far; of a larger struct than the library knows, the rest becomes 0.
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

/// The next event, once it has come; a negative timeout_ms is for ever, 0 only looks. An event goes to one caller.
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
        let deadline = patience(timeout_ms).map(|timeout| Instant::now() + timeout);
        out.write(&events(deadline).map_err(no_event)?.into());
        Ok(())
    })
}

/// The clients that are connected, in the order of their numbers: up to cap of them are written to the array out, each
/// size bytes (sizeof *out) after the one before, and *count becomes the number of all, which may be above cap.
/// Ownership: the array is yours; it may be NULL where cap is 0. Lifetime: once started. Threads: any. Errors:
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
            // SAFETY: the array has `cap` places of `size` bytes each.
            let place = unsafe { out.byte_add(i * size) };
            // SAFETY: as above.
            let place = unsafe { super::Incoming::take((place, size)) }?;
            super::Room::write(place, &client.into());
        }
        Ok(())
    })
}

/// Closes a client's connection at once, without replies still owed. No number is used for a second client.
/// Ownership: none. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_CLOSED where there is no such client;
/// DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_disconnect(server: *mut daytime_server, client: u64) -> daytime_status {
    entry!(server => match server.running()?.server.disconnect(client.into()) {
        true => Ok(()),
        false => Err(Failure::new(DAYTIME_ERR_CLOSED, "there is no such client")),
    })
}

impl daytime_server {
    /// Changes the settings. What fails must leave them as they were.
    pub(super) fn change(&self, change: impl FnOnce(&mut Settings) -> Result<(), Failure>) -> Result<(), Failure> {
        change(self.settings().as_mut().ok_or_else(started)?)
    }

    /// Changes a setting if all of them are right then.
    pub(super) fn set(&self, change: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Result<(), Failure> {
        // Dropped after the lock: with a refused command goes its user data, by a function that is not ours.
        let changed;
        let mut settings = self.settings();
        let settings = settings.as_mut().ok_or_else(started)?;
        changed = change(settings.builder.clone());
        changed.check()?;
        settings.builder = changed.clone();
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

    fn start(&self) -> Result<(), Failure> {
        // Dropped after the lock: a server that has ended already leaves the user data to it.
        let spent;
        let mut settings = self.settings();
        let Settings { builder, networks, events } = settings.as_ref().ok_or_else(started)?;
        let bound = builder.clone().networks(networks.clone()).bind()?;
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
        self.running.get().ok_or_else(|| Failure::state("the server was not started"))
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
            // Threads that are not in this process may have held the locks of all this when it was forked off.
            mem::forget(events);
            drop(server);
        }
    }

    fn settings(&self) -> MutexGuard<'_, Option<Settings>> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handle for daytime_server {
    fn process(&self) -> Option<u32> {
        Some(self.process)
    }
}

fn started() -> Failure {
    Failure::state("the server was started")
}

pub(super) fn nth<T>(all: &[T], index: usize) -> Result<&T, Failure> {
    all.get(index).ok_or_else(|| Failure::invalid(format!("there is no number {index}, there are {}", all.len())))
}

fn no_event(error: RecvTimeoutError) -> Failure {
    match error {
        RecvTimeoutError::Timeout => Error::Timeout.into(),
        RecvTimeoutError::Disconnected => Failure::new(DAYTIME_ERR_CLOSED, "the server has ended"),
    }
}

/// A setting of which 0 is the default.
fn or_default<T: Default + PartialEq>(n: T) -> Option<T> {
    (n != T::default()).then_some(n)
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

/// `None` is for ever.
fn patience(timeout_ms: c_int) -> Option<Duration> {
    u64::try_from(timeout_ms).ok().map(Duration::from_millis)
}
