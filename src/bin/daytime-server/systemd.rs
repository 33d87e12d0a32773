//! Socket activation, and the notifications READY, STOPPING and WATCHDOG.

use std::{env, os::fd::OwnedFd, thread};

use daytime::{Error, Handle, ServerBuilder, Service, cli::print_error};
use listenfd::ListenFd;
use nix::libc::{AF_INET, AF_UNIX, SOCK_STREAM};
use sd_notify::NotifyState;

/// Adopts the sockets that systemd passes (sd_listen_fds(3)). A socket named `rfc867` or `rfc868`
/// (`FileDescriptorName=` in systemd.socket(5)) serves that protocol, the others the text protocol.
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
            _ => builder.listener(socket),
        };
    }
    Ok(builder)
}

/// Reports READY. If the unit has a watchdog (systemd.service(5)), it also pings the watchdog, each time only after every
/// worker has responded.
pub(crate) fn ready(server: Handle) -> Result<(), Error> {
    notify(NotifyState::Ready);
    if let Some(interval) = sd_notify::watchdog_enabled() {
        crate::spawn(move || {
            loop {
                thread::sleep(interval / 2);
                let _ = server.clients();
                notify(NotifyState::Watchdog);
            }
        })?;
    }
    Ok(())
}

pub(crate) fn stopping() {
    notify(NotifyState::Stopping);
}

/// Notifies systemd. A failure is only printed, since it does not affect clients. Without systemd it does nothing.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        print_error("daytime-server", format!("cannot notify systemd: {error}"));
    }
}
