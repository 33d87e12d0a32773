//! Connecting, from a name to a socket, within the patience that there is for all of it.

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

use super::wire::Patience;
use crate::{Address, Error, address, thread, waiting::channel};

/// How long to wait where a Unix socket's queue is full: nothing tells when it is not.
const QUEUE: Duration = Duration::from_millis(10);

/// One socket's address, and how it is written.
pub(super) struct Target(SockAddr, Address);

/// What an address stands for, `port` where it names none. A name is resolved on a thread of its own, as that may take
/// long; one that outlasts the patience ends by itself.
pub(super) fn resolve(address: Address, port: u16, patience: &Patience<'_>) -> Result<Vec<Target>, Error> {
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
        match resolved.receive(Some(Instant::now() + patience.slice()?)) {
            Ok(resolved) => {
                // That was its last act; nothing of it is left behind.
                let _ = resolver.join();
                return Ok(resolved?.into_iter().map(|address| Target(address.into(), address.into())).collect());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Error::State("the resolver's thread has died".into())),
        }
    }
}

/// Connects to the first address that answers. Each has an equal share of the time that is left, so that a dead one
/// before a live one does not use it up. The first error is given where none answers.
pub(super) fn connect_any(targets: &[Target], patience: &Patience<'_>) -> Result<TcpStream, Error> {
    let mut first = None;
    for (i, target) in targets.iter().enumerate() {
        match connect(target, &patience.share(targets.len() - i)) {
            Ok(stream) => return Ok(stream),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(Error::Timeout))
}

/// The type for TCP carries the connection of a Unix socket, too: what it does, read and write with a time-out, is the
/// same for both, and it writes with MSG_NOSIGNAL.
fn connect(Target(address, shown): &Target, patience: &Patience<'_>) -> Result<TcpStream, Error> {
    let doing = || Error::io(format!("connect {shown}"));
    let socket = Socket::new(address.domain(), Type::STREAM, None).map_err(doing())?;
    socket.set_nonblocking(true).map_err(doing())?;
    while let Err(error) = socket.connect(address) {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EINPROGRESS) => {
                finish(&socket, doing, patience)?;
                break;
            }
            Some(Errno::EAGAIN) if address.is_unix() => sleep(patience.slice()?.min(QUEUE)),
            _ => return Err(doing()(error)),
        }
    }
    socket.set_nonblocking(false).map_err(doing())?;
    if !address.is_unix() {
        socket.set_tcp_nodelay(true).map_err(doing())?;
    }
    Ok(OwnedFd::from(socket).into())
}

/// Waits until a connection is made, or refused.
fn finish<F>(socket: &Socket, doing: impl Fn() -> F, patience: &Patience<'_>) -> Result<(), Error>
where
    F: FnOnce(io::Error) -> Error,
{
    loop {
        let slice = PollTimeout::try_from(patience.slice()?).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], slice) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return socket.take_error().map_err(doing())?.map_or(Ok(()), |error| Err(doing()(error))),
            Err(error) => return Err(doing()(error.into())),
        }
    }
}
