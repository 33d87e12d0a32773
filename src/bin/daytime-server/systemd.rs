//! What systemd and the program tell each other: sockets that are there before it is, and whether it serves.

use std::{env, os::fd::OwnedFd, thread};

use daytime::{Error, Handle, ServerBuilder, Service};
use listenfd::ListenFd;
use nix::libc::{AF_INET, AF_UNIX, SOCK_STREAM};
use sd_notify::NotifyState;

use crate::common::complain;

/// Takes over the listeners that were passed (sd_listen_fds(3)). One that is named `rfc867` or `rfc868`
/// (`FileDescriptorName=` in systemd.socket(5)) speaks that protocol, every other the text protocol.
pub(crate) fn sockets(mut builder: ServerBuilder) -> Result<ServerBuilder, Error> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = ListenFd::from_env();
    for i in 0..passed.len() {
        // IPv6 is of the family IPv4 there.
        let tcp = passed.take_custom::<OwnedFd>(i, AF_INET, SOCK_STREAM, "");
        let socket = tcp.or_else(|_| passed.take_custom(i, AF_UNIX, SOCK_STREAM, "stream socket of TCP or Unix"));
        let socket = socket.map_err(|error| Error::Io(error, "take over a socket from LISTEN_FDS".into()))?;
        let Some(socket) = socket else { continue };
        builder = match names.next().unwrap_or_default() {
            "rfc867" => builder.listener_as(Service::Rfc867, socket),
            "rfc868" => builder.listener_as(Service::Rfc868, socket),
            _ => builder.listener(socket),
        };
    }
    Ok(builder)
}

/// Says that the server serves, and goes on saying so where a watchdog wants to hear it (systemd.service(5)): each time
/// only after every worker has answered.
pub(crate) fn ready(server: Handle) -> Result<(), Error> {
    notify(NotifyState::Ready);
    if let Some(patience) = sd_notify::watchdog_enabled() {
        crate::spawn(move || {
            loop {
                thread::sleep(patience / 2);
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

/// Nothing of this matters to those who are served: where it fails it is only told. Without systemd it does nothing.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        complain("daytime-server", format!("cannot notify systemd: {error}"));
    }
}
