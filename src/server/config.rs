//! The settings of a server, one row each, and the configuration that workers read.
//!
//! A row of [`with_settings!`] is the only place of a new setting in the engine: its documentation, its name, the
//! argument of its setter, its type, its default and its check. `builder.rs` makes the setters from the same rows.

use std::{fmt, time::Duration};

use super::handler::{Handler, Hooks};
use crate::{
    Error,
    clock::Zones,
    protocol::{Commands, Formats, Framing, GREETING, check_reply},
};

/// Calls a macro with the rows of all settings. A check returns the rest of a sentence that begins with the name.
macro_rules! with_settings {
    ($callback:ident) => {
        $callback! {
            /// The number of worker threads, 1 to 1,024. Default: one for each core.
            workers(impl Into<Option<usize>>): Option<usize> = None, |n| n.map_or(Ok(()), |n| within(n, 1, 1024));

            /// The most handlers of custom commands that run at a time, 1 to 1,024. Each has its own thread. The
            /// threads start on demand and end when they are idle. While there are several custom commands, one alone
            /// gets at most three quarters of them. Default: 16.
            handler_threads(usize): usize = 16, |n| within(*n, 1, 1024);

            /// The most connections that wait to be accepted, at least 1. The system can lower it (listen(2)).
            /// Default: 4,096.
            backlog(u32): u32 = 4096, |n| within(*n as usize, 1, i32::MAX as usize);

            /// Shares the ports of TCP and UDP with other servers that set this too (SO_REUSEPORT in socket(7)): the
            /// system distributes new clients among them at random. Linux asks for processes of the same user. Each
            /// server has its own limits, counters and client ids. It has no effect on Unix sockets, on sockets that
            /// listen already, and on listeners for metrics. Port 0 is an error with it. Default: false.
            reuse_port(bool): bool = false, |_| Ok(());

            /// The most clients at a time, at least 1. Of further clients, 32 at a time get `The server is full`, and the
            /// others are closed without a line. Default: the process's limit of file descriptors (RLIMIT_NOFILE) less 64.
            max_clients(impl Into<Option<usize>>): Option<usize> = None, |n| at_least_one(*n);

            /// The most clients at a time from one IPv4 address, or from one IPv6 network of 64 bits, at least 1.
            /// Further clients get `Too many connections from your address`, as with `max_clients`. Default: unlimited.
            max_clients_per_source(impl Into<Option<usize>>): Option<usize> = None, |n| at_least_one(*n);

            /// The most answers over UDP in a second for one IPv4 address, or one IPv6 network of 64 bits, and the most at
            /// once, 1 to 10,000. All sources together get at most 10,000 a second. Default: 10.
            udp_rate(u32): u32 = 10, |n| within(*n as usize, 1, 10_000);

            /// Disconnects a client that sends nothing, and is owed nothing, for this long. Default: never.
            idle_timeout(impl Into<Option<Duration>>): Option<Duration> = None, |time| positive(*time);

            /// Disconnects a client that has not sent a complete command this long after it connected. An empty line is
            /// not a command. Default: never.
            first_command_timeout(impl Into<Option<Duration>>): Option<Duration> = None, |time| positive(*time);

            /// Disconnects a client that takes none of the replies owed to it for this long. Default: 10 s.
            write_timeout(Duration): Duration = Duration::from_secs(10), |time| positive(Some(*time));

            /// How long a proxy may take to send its header after it has connected, at least 3 s: the time of a TCP
            /// retransmission. Default: 5 s.
            proxy_timeout(Duration): Duration = Duration::from_secs(5), |time| retransmission(*time);

            /// How long each worker polls without sleeping when it has nothing to do. Replies come some tens of
            /// microseconds sooner, and a core is busy in the meantime. A server without traffic sleeps all the same.
            /// Default: not at all.
            busy_poll(impl Into<Option<Duration>>): Option<Duration> = None, |_| Ok(());

            /// The greeting: up to 1,023 bytes of UTF-8 without control characters; may be empty. Default:
            /// [`GREETING`](crate::protocol::GREETING).
            greeting(impl Into<String>): String = GREETING.into(), |text| greeting(text);

            /// How the server finds the end of a command. Default: [`Framing::Auto`].
            framing(Framing): Framing = Framing::Auto, |_| Ok(());

            /// The strftime format of the reply to `day`, see [`Formats::new`](crate::protocol::Formats::new).
            /// Default: `%A`.
            day_format(impl Into<String>): String = Formats::DAY.into(), |_| Ok(());

            /// The strftime format of the reply to `date`, see [`Formats::new`](crate::protocol::Formats::new).
            /// Default: `%y-%m-%d`.
            date_format(impl Into<String>): String = Formats::DATE.into(), |_| Ok(());

            /// The strftime format of the reply to `time`, see [`Formats::new`](crate::protocol::Formats::new).
            /// Default: `%H:%M:%S`.
            time_format(impl Into<String>): String = Formats::TIME.into(), |_| Ok(());

            /// The permissions of the files of Unix sockets, at most `0o777`. A client needs write permission to
            /// connect. Default: 0o777 less the process's umask.
            unix_mode(impl Into<Option<u32>>): Option<u32> = None, |mode| permissions(*mode);
        }
    };
}
pub(super) use with_settings;

macro_rules! define_settings {
    ($($(#[$doc:meta])* $name:ident($argument:ty): $type:ty = $default:expr, $check:expr;)*) => {
        /// The settings, as the builder has them.
        #[derive(Clone, Debug)]
        pub(super) struct Settings {
            $(pub(super) $name: $type,)*
        }

        impl Default for Settings {
            fn default() -> Self {
                Settings { $($name: $default,)* }
            }
        }

        impl Settings {
            /// Checks every setting by itself.
            pub(super) fn check(&self) -> Result<(), Error> {
                $({
                    let check: fn(&$type) -> Result<(), String> = $check;
                    let invalid = |error| Error::Invalid(format!("{} {error}", stringify!($name)));
                    check(&self.$name).map_err(invalid)?;
                })*
                Ok(())
            }
        }
    };
}
with_settings!(define_settings);

fn within(n: usize, min: usize, max: usize) -> Result<(), String> {
    match (min..=max).contains(&n) {
        true => Ok(()),
        false => Err(format!("must be between {} and {}, got {}", thousands(min), thousands(max), thousands(n))),
    }
}

fn at_least_one(n: Option<usize>) -> Result<(), String> {
    if n == Some(0) { Err("must be at least 1, got 0".into()) } else { Ok(()) }
}

fn positive(time: Option<Duration>) -> Result<(), String> {
    if time == Some(Duration::ZERO) { Err("must be longer than zero, got 0 s".into()) } else { Ok(()) }
}

fn retransmission(time: Duration) -> Result<(), String> {
    match time < Duration::from_secs(3) {
        true => Err(format!("must be at least 3 s, got {} s", time.as_secs_f64())),
        false => Ok(()),
    }
}

fn greeting(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let invalid = |error| format!("must be empty or a line of at most 1,023 bytes, got {text:?}: {error}");
    check_reply(text).map_err(invalid)
}

fn permissions(mode: Option<u32>) -> Result<(), String> {
    match mode {
        Some(mode) if mode > 0o777 => Err(format!("must be at most 0o777, got {mode:#o}")),
        _ => Ok(()),
    }
}

/// With a comma before each group of three digits.
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Everything that workers and handler threads read, and that does not change after the start.
pub(super) struct Config {
    pub(super) settings: Settings,
    pub(super) formats: Formats,
    pub(super) zones: Zones,
    pub(super) commands: Commands,
    /// The custom commands, by the indices of the command table.
    pub(super) handlers: Vec<CustomCommand>,
    pub(super) hooks: Hooks,
}

/// A custom command.
#[derive(Clone)]
pub(super) struct CustomCommand {
    /// In lower case.
    pub(super) name: String,
    pub(super) handler: Handler,
}

impl CustomCommand {
    pub(super) fn new(name: &str, handler: Handler) -> Self {
        CustomCommand { name: name.to_ascii_lowercase(), handler }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("settings", &self.settings).finish_non_exhaustive()
    }
}
