//! Socket activation, and the notifications READY, STOPPING and WATCHDOG.

use std::{
    env,
    ffi::OsString,
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    process, thread,
    time::Duration,
};

use daytime::{Error, Handle, ServerBuilder, Service};
use listenfd::ListenFd;
use nix::libc::{AF_INET, AF_UNIX, SOCK_STREAM};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::output::Output;

/// The variable that names the socket of the service manager: a path, or `@` and a name of the abstract namespace.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Adopts the sockets that systemd passes (sd_listen_fds(3)). A socket named `rfc867`, `rfc868` or `metrics`
/// (`FileDescriptorName=` in systemd.socket(5)) is for that service, and one named `proxied` for the clients of a proxy. The
/// others are for the text protocol.
pub(crate) fn sockets(mut builder: ServerBuilder) -> Result<ServerBuilder, Error> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = ListenFd::from_env();
    for i in 0..passed.len() {
        // listenfd takes AF_INET for IPv6 too.
        let tcp = passed.take_custom::<OwnedFd>(i, AF_INET, SOCK_STREAM, "");
        let socket = tcp.or_else(|_| passed.take_custom(i, AF_UNIX, SOCK_STREAM, "stream socket of TCP or Unix"));
        let socket = socket.map_err(|error| Error::Io(error, "adopt a socket of LISTEN_FDS".into()))?;
        let Some(socket) = socket else { continue };
        builder = match names.next().unwrap_or_default() {
            "rfc867" => builder.listener_as(Service::Rfc867, socket),
            "rfc868" => builder.listener_as(Service::Rfc868, socket),
            "metrics" => builder.listener_as(Service::Metrics, socket),
            "proxied" => builder.listener_as(Service::Proxied, socket),
            _ => builder.listener(socket),
        };
    }
    Ok(builder)
}

/// Reports READY. If the unit has a watchdog (systemd.service(5)), it also pings the watchdog, each time only after every
/// worker has responded. A thread does that, since the service manager may let it wait.
pub(crate) fn ready(server: Handle, err: Output) -> Result<(), Error> {
    if env::var_os(SOCKET).is_none() {
        return Ok(());
    }
    let interval = watchdog();
    crate::spawn(move || {
        notify("READY=1", true, &err);
        let Some(interval) = interval else { return };
        loop {
            thread::sleep(interval / 2);
            let _ = server.clients();
            notify("WATCHDOG=1", true, &err);
        }
    })
}

/// Reports STOPPING, without waiting.
pub(crate) fn stopping(err: &Output) {
    notify("STOPPING=1", false, err);
}

/// The interval of the watchdog, if it is for this process (sd_watchdog_enabled(3)).
fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = env::var_os("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(process::id().into());
    number("WATCHDOG_USEC").filter(|microseconds| is_ours && *microseconds > 0).map(Duration::from_micros)
}

/// Notifies systemd (sd_notify(3)). A failure is only printed, since it does not affect clients. Without systemd it does
/// nothing.
fn notify(state: &str, may_wait: bool, err: &Output) {
    let Some(name) = env::var_os(SOCKET) else { return };
    let send = || {
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SockAddr::unix(OsString::from_vec([b"\0", name].concat()))?,
            None => SockAddr::unix(&name)?,
        };
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        socket.set_nonblocking(!may_wait)?;
        socket.send_to(state.as_bytes(), &address)
    };
    if let Err(error) = send() {
        err.error(format!("cannot notify systemd: {error}"));
    }
}
