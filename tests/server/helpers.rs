//! Helpers of the server's tests.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use daytime::{Error, Event, Reason, Server, ServerBuilder, protocol::GREETING};

use crate::common::{TIMEOUT, next_event, peer::Peer, tcp, unbound_builder};

/// A subscription to a server's events.
pub(crate) struct EventWatcher {
    events: Receiver<Event>,
    disconnects: RefCell<HashMap<SocketAddr, (Reason, u64)>>,
}

impl EventWatcher {
    pub(crate) fn new(server: &Server) -> Self {
        EventWatcher { events: server.events(), disconnects: RefCell::default() }
    }

    /// Waits until this client has left. Returns the reason, and the number of its commands.
    #[track_caller]
    pub(crate) fn disconnect_of(&self, client: SocketAddr) -> (Reason, u64) {
        let mut disconnects = self.disconnects.borrow_mut();
        while !disconnects.contains_key(&client) {
            if let Event::Disconnected { peer, reason, commands, .. } = next_event(&self.events) {
                disconnects.insert(tcp(&peer), (reason, commands));
            }
        }
        disconnects[&client]
    }
}

/// Adds the command `wait`. Its handler sends its argument to the receiver, then blocks until the sender releases it.
pub(crate) fn blocking_command(builder: ServerBuilder) -> (ServerBuilder, Receiver<String>, Sender<()>) {
    let (entered, entries) = unbounded();
    let (release, released) = bounded::<()>(0);
    let builder = builder.command("wait", move |request| -> daytime::HandlerResult {
        entered.send(request.argument.to_owned())?;
        released.recv_timeout(TIMEOUT)?;
        Ok(format!("waited {}", request.argument).into())
    });
    (builder, entries, release)
}

/// Asserts that the system refuses connections to this address.
#[track_caller]
pub(crate) fn assert_refused(address: SocketAddr) {
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// Asserts that binding fails with this error of the system, and that the error names the address.
#[track_caller]
pub(crate) fn assert_bind_fails(address: &str, kind: ErrorKind) {
    match unbound_builder().listen(address).bind() {
        Err(Error::Io(error, context)) => {
            assert_eq!((error.kind(), context), (kind, format!("bind {address}")), "{error}");
        }
        other => panic!("{address}: {other:?}"),
    }
}

/// Asserts that the result is [`Error::Invalid`] and that its message contains `expected`.
#[track_caller]
pub(crate) fn assert_invalid<T: fmt::Debug>(result: Result<T, Error>, expected: &str) {
    match result {
        Err(Error::Invalid(message)) => assert!(message.contains(expected), "{expected:?} is not in {message:?}"),
        other => panic!("{expected:?}: {other:?}"),
    }
}

/// The address of a Unix socket, as an embedder writes it.
pub(crate) fn unix_address(path: &Path) -> String {
    format!("unix:{}", path.display())
}

pub(crate) fn connect_unix(path: &Path) -> Peer {
    unix_peer(UnixStream::connect(path).unwrap())
}

/// A peer over a Unix socket. Its type is that of a TCP socket: reads, writes and a half-close are the same calls.
pub(crate) fn unix_peer(stream: UnixStream) -> Peer {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    Peer(TcpStream::from(OwnedFd::from(stream)))
}

/// Asserts that a server answers at this Unix socket.
#[track_caller]
pub(crate) fn assert_serves_unix(path: &Path) {
    connect_unix(path).ask("day\n", format!("{GREETING}\nSunday\n"));
}
