//! Connecting, from a name to a socket, within one deadline for all steps.

use std::{
    io,
    net::TcpStream,
    os::fd::{AsFd, OwnedFd},
    thread::sleep,
    time::{Duration, Instant},
};

use crossbeam_channel::RecvTimeoutError;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use socket2::{SockAddr, Socket, Type};

use super::transport::Deadline;
use crate::{Address, Error, address, channel::channel, thread};

/// How long to wait while the queue of a Unix socket is full: nothing signals that it has room.
const QUEUE: Duration = Duration::from_millis(10);

/// The address of one socket, and its text.
pub(super) struct Target(pub(super) SockAddr, pub(super) Address);

/// Resolves an address; `port` is the default port. A name is resolved on a separate thread, since that can take long. A
/// thread that exceeds the deadline ends by itself.
pub(super) fn resolve(address: Address, port: u16, deadline: &Deadline<'_>) -> Result<Vec<Target>, Error> {
    let name = match &address {
        Address::Tcp(tcp) => return Ok(vec![Target((*tcp).into(), address)]),
        Address::Unix(path) => return Ok(vec![Target(address::unix(path)?, address)]),
        Address::Name(_) => address,
    };
    let (sender, resolved) = channel(1);
    let resolver = thread::spawn("daytime-resolve".into(), move || {
        let _ = sender.send(name.resolve(port));
    })?;
    loop {
        match resolved.receive(Some(Instant::now() + deadline.next_wait()?)) {
            Ok(resolved) => {
                // The thread has sent its result and ends now.
                let _ = resolver.join();
                return Ok(resolved?.into_iter().map(|address| Target(address.into(), address.into())).collect());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Error::State("the resolver thread panicked".into())),
        }
    }
}

/// Connects to the first address that answers. Each address gets an equal part of the remaining time, so that a dead one
/// does not use up the time of a live one. If none answers, the first error is returned.
pub(super) fn connect_any(targets: &[Target], deadline: &Deadline<'_>) -> Result<TcpStream, Error> {
    let mut first = None;
    for (i, target) in targets.iter().enumerate() {
        match connect(target, &deadline.split(targets.len() - i)) {
            Ok(stream) => return Ok(stream),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(Error::Timeout))
}

/// Connects. `TcpStream` also carries the connection of a Unix socket: reads and writes with a timeout are the same for
/// both, and it writes with MSG_NOSIGNAL.
fn connect(Target(address, text): &Target, deadline: &Deadline<'_>) -> Result<TcpStream, Error> {
    let context = || Error::io(format!("connect {text}"));
    let socket = Socket::new(address.domain(), Type::STREAM, None).map_err(context())?;
    socket.set_nonblocking(true).map_err(context())?;
    while let Err(error) = socket.connect(address) {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EINPROGRESS) => {
                finish(&socket, context, deadline)?;
                break;
            }
            Some(Errno::EAGAIN) if address.is_unix() => sleep(deadline.next_wait()?.min(QUEUE)),
            _ => return Err(context()(error)),
        }
    }
    socket.set_nonblocking(false).map_err(context())?;
    if !address.is_unix() {
        socket.set_tcp_nodelay(true).map_err(context())?;
    }
    Ok(OwnedFd::from(socket).into())
}

/// Waits until a connection is established or refused.
fn finish<F>(socket: &Socket, context: impl Fn() -> F, deadline: &Deadline<'_>) -> Result<(), Error>
where
    F: FnOnce(io::Error) -> Error,
{
    loop {
        let wait = PollTimeout::try_from(deadline.next_wait()?).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], wait) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return socket.take_error().map_err(context())?.map_or(Ok(()), |error| Err(context()(error))),
            Err(error) => return Err(context()(error.into())),
        }
    }
}
