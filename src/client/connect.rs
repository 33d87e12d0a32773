//! Connecting, from a name to a socket, within the patience that there is for all of it.

use std::{
    net::{SocketAddr, TcpStream},
    os::fd::AsFd,
    time::Instant,
};

use crossbeam_channel::RecvTimeoutError;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use socket2::{Domain, Protocol, Socket, Type};

use super::wire::Patience;
use crate::{Address, Error, thread, waiting::channel};

/// The IP addresses of an address, resolved on a thread of its own where that may take long; one that outlasts the
/// patience ends by itself.
pub(super) fn resolve(address: Address, patience: &Patience<'_>) -> Result<Vec<SocketAddr>, Error> {
    if let Address::Tcp(address) = address {
        return Ok(vec![address]);
    }
    let (sender, resolved) = channel(1);
    let resolver = thread::spawn("daytime-resolve".into(), move || {
        let _ = sender.send(address.resolve());
    })?;
    loop {
        match resolved.receive(Some(Instant::now() + patience.slice()?)) {
            Ok(resolved) => {
                // That was its last act; nothing of it is left behind.
                let _ = resolver.join();
                return resolved;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Error::State("the resolver's thread has died".into())),
        }
    }
}

/// Connects to the first address that answers. Each has an equal share of the time that is left, so that a dead one
/// before a live one does not use it up. The first error is given where none answers.
pub(super) fn connect_any(addresses: &[SocketAddr], patience: &Patience<'_>) -> Result<TcpStream, Error> {
    let mut first = None;
    for (i, address) in addresses.iter().enumerate() {
        match connect(*address, &patience.share(addresses.len() - i)) {
            Ok(stream) => return Ok(stream),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or(Error::Timeout))
}

fn connect(address: SocketAddr, patience: &Patience<'_>) -> Result<TcpStream, Error> {
    let doing = || Error::io(format!("connect {address}"));
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(doing())?;
    socket.set_nonblocking(true).map_err(doing())?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => loop {
            let slice = PollTimeout::try_from(patience.slice()?).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], slice) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => match socket.take_error().map_err(doing())? {
                    Some(error) => return Err(doing()(error)),
                    None => break,
                },
                Err(error) => return Err(doing()(error.into())),
            }
        },
        Err(error) => return Err(doing()(error)),
    }
    let ready = socket.set_nonblocking(false).and_then(|()| socket.set_tcp_nodelay(true));
    ready.map_err(doing())?;
    Ok(socket.into())
}
