//! Binding: from addresses to listening sockets.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use nix::errno::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::{Address, Error};

/// How often a free port is looked for that all addresses of a name have free.
const ATTEMPTS: usize = 64;

/// Binds every address and listens there.
pub(super) fn bind(addresses: &[Address], backlog: i32) -> Result<Vec<TcpListener>, Error> {
    let resolved = addresses.iter().map(Address::resolve).collect::<Result<Vec<_>, _>>()?;
    let v4_ports: Vec<u16> =
        resolved.iter().flatten().filter(|address| address.is_ipv4()).map(SocketAddr::port).collect();
    let mut listeners = Vec::new();
    for (address, candidates) in addresses.iter().zip(&resolved) {
        // `[::]` takes IPv4 too, unless that has a listener of its own on the same port.
        let v6_only = |candidate: &SocketAddr| candidate.port() != 0 && v4_ports.contains(&candidate.port());
        match candidates.as_slice() {
            [one] => listeners.push(listen(*one, v6_only(one), backlog)?),
            several => listeners.extend(bind_name(address, several, backlog)?),
        }
    }
    Ok(listeners)
}

/// A socket that listens already, made as the others are. The builder keeps the original, lest it be lost with a
/// failure.
pub(super) fn adopt(listener: &TcpListener) -> Result<TcpListener, Error> {
    let adopt = || {
        let listener = listener.try_clone()?;
        let socket = SockRef::from(&listener);
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&keepalive())?;
        Ok(listener)
    };
    adopt().map_err(Error::io("adopt a listener"))
}

fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(Duration::from_secs(60))
}

/// Binds the addresses of one name that this machine has; all have the same port.
fn bind_name(name: &Address, candidates: &[SocketAddr], backlog: i32) -> Result<Vec<TcpListener>, Error> {
    let mut taken = None;
    for _ in 0..ATTEMPTS {
        let mut listeners: Vec<TcpListener> = Vec::new();
        let mut missing = None;
        let mut collision = None;
        for candidate in candidates {
            let mut candidate = *candidate;
            if candidate.port() == 0
                && let Some(Ok(first)) = listeners.first().map(TcpListener::local_addr)
            {
                candidate.set_port(first.port());
            }
            match listen(candidate, true, backlog) {
                Ok(listener) => listeners.push(listener),
                Err(Error::Io(error, doing)) => match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT) => missing = Some(Error::Io(error, doing)),
                    // The port was free at another address of this name, not here.
                    Some(Errno::EADDRINUSE) if !listeners.is_empty() && candidates[0].port() == 0 => {
                        collision = Some(Error::Io(error, doing));
                        break;
                    }
                    _ => return Err(Error::Io(error, doing)),
                },
                Err(error) => return Err(error),
            }
        }
        match (collision, missing) {
            (Some(error), _) => taken = Some(error),
            (None, Some(error)) if listeners.is_empty() => return Err(error),
            (None, _) => return Ok(listeners),
        }
    }
    Err(taken.unwrap_or_else(|| Error::Invalid(format!("{name} has no free port"))))
}

fn listen(address: SocketAddr, v6_only: bool, backlog: i32) -> Result<TcpListener, Error> {
    let listener = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Lets a server start while connections of an earlier one are in TIME_WAIT.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(v6_only)?;
        }
        // Every accepted connection inherits these two.
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&keepalive())?;
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    listener().map_err(Error::io(format!("bind {address}")))
}
