//! The listeners for metrics and health checks, in the loop of the first worker.
//!
//! A scraper sends one request and gets one response. Its connection is not a client: it has no session, no seat and no
//! events, so that an operator sees a server that is full. Every phase of a connection has a deadline, and every buffer
//! is bounded.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    sync::{Arc, atomic::Ordering::Acquire},
    time::Duration,
};

use mio::{Interest, Registry, Token, net::TcpStream};
use slab::Slab;

use super::{
    super::{
        listen::Listener,
        process::ProcessMetrics,
        shared::Shared,
        tick::{NEVER, Tick, ticks},
    },
    acceptor::{accept, concerns_one_connection},
};
use crate::protocol::http::{Page, REQUEST_MAX, Request, Status};

/// The poller's tokens of the listeners, and those of their connections, start here.
pub(super) const LISTENERS: usize = usize::MAX / 4 * 3;
pub(super) const CONNECTIONS: usize = usize::MAX / 8 * 7;

/// The most connections at a time. Further ones are closed at once.
const CONNECTIONS_MAX: usize = 32;
/// How long a peer may take for its request, and then for the response.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer may take to close after the response, and how much it may send until then. Closing a socket with
/// unread input would send a reset and destroy the response on its way.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_MAX: usize = 64 * 1024;
/// The most connections accepted from one listener before other sockets are served.
const BATCH: usize = 64;
/// How long to wait after a failure to accept, such as a lack of file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct HttpServer {
    shared: Arc<Shared>,
    /// Adds the metrics of the process, which belongs to the server alone.
    process: Option<ProcessMetrics>,
    listeners: Vec<Listener>,
    connections: Slab<Connection>,
    /// When to accept although the poller reports nothing, after a failure.
    accept_at: Tick,
}

/// A connection: it sends its request, gets the response, and closes.
struct Connection {
    stream: TcpStream,
    /// The request so far.
    input: Vec<u8>,
    /// The response and how much of it is sent. `None` before the request is complete.
    response: Option<(Vec<u8>, usize)>,
    /// The response is sent. The number of bytes that the peer may still send.
    lingers: Option<usize>,
    deadline: Tick,
}

impl HttpServer {
    pub(crate) fn new(shared: Arc<Shared>, process: Option<ProcessMetrics>, listeners: Vec<Listener>) -> Self {
        // A connection may wait already. The poller reports that too, but not to a loop that looks here first.
        HttpServer { shared, process, listeners, connections: Slab::new(), accept_at: 0 }
    }

    pub(crate) fn register(&mut self, registry: &Registry) -> io::Result<()> {
        let mut listeners = self.listeners.iter_mut().enumerate();
        listeners.try_for_each(|(i, listener)| listener.register(registry, Token(LISTENERS + i)))
    }

    /// When to call [`expire`](Self::expire).
    pub(super) fn deadline(&self) -> Tick {
        self.connections.iter().fold(self.accept_at, |earliest, (_, connection)| earliest.min(connection.deadline))
    }

    /// Accepts the connections that wait.
    pub(super) fn accept(&mut self, registry: &Registry, now: Tick) {
        self.accept_at = NEVER;
        for i in 0..self.listeners.len() {
            let mut left = BATCH;
            loop {
                match accept(&self.listeners[i].socket) {
                    Ok((stream, _)) => self.add(stream, registry, now),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if concerns_one_connection(&error) => {}
                    Err(_) => {
                        self.accept_at = self.accept_at.min(now.saturating_add(ticks(PAUSE)));
                        break;
                    }
                }
                left -= 1;
                if left == 0 {
                    // The poller does not report this listener again. Others are served before the next batch.
                    self.accept_at = now;
                    break;
                }
            }
        }
    }

    fn add(&mut self, stream: TcpStream, registry: &Registry, now: Tick) {
        if self.connections.len() == CONNECTIONS_MAX {
            return;
        }
        let entry = self.connections.vacant_entry();
        let slot = entry.key();
        let deadline = now.saturating_add(ticks(TIMEOUT));
        let connection =
            entry.insert(Connection { stream, input: Vec::new(), response: None, lingers: None, deadline });
        let interests = Interest::READABLE | Interest::WRITABLE;
        match registry.register(&mut connection.stream, Token(CONNECTIONS + slot), interests) {
            Ok(()) => self.drive(slot, now),
            Err(_) => drop(self.connections.remove(slot)),
        }
    }

    /// The poller reports a connection.
    pub(super) fn drive(&mut self, slot: usize, now: Tick) {
        let HttpServer { shared, process, connections, .. } = self;
        let Some(connection) = connections.get_mut(slot) else { return };
        // A connection that failed is closed like one that is done.
        if connection.drive(now, |page| answer(page, shared, process.as_ref())).unwrap_or(true) {
            connections.remove(slot);
        }
    }

    /// Closes the connections whose deadline has passed, and accepts if that is due.
    pub(super) fn expire(&mut self, registry: &Registry, now: Tick) {
        self.connections.retain(|_, connection| connection.deadline > now);
        if self.accept_at <= now {
            self.accept(registry, now);
        }
    }
}

impl Connection {
    /// Does what can be done without waiting. Returns whether the connection is done.
    fn drive(&mut self, now: Tick, answer: impl Fn(Page) -> (Status, String)) -> io::Result<bool> {
        let mut buffer = [0; REQUEST_MAX];
        loop {
            if let Some((response, sent)) = &mut self.response
                && self.lingers.is_none()
            {
                match self.stream.write(&response[*sent..]) {
                    Ok(n) => *sent += n,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return pending(error),
                }
                if *sent == response.len() {
                    self.stream.shutdown(Shutdown::Write)?;
                    self.deadline = now.saturating_add(ticks(LINGER));
                    self.lingers = Some(LINGER_MAX);
                }
                continue;
            }
            let room = REQUEST_MAX - self.input.len();
            let n = match self.stream.read(&mut buffer[..room]) {
                Ok(0) => return Ok(true),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return pending(error),
            };
            if let Some(left) = &mut self.lingers {
                match left.checked_sub(n) {
                    Some(less) => *left = less,
                    None => return Ok(true),
                }
                continue;
            }
            self.input.extend_from_slice(&buffer[..n]);
            if let Some(request) = Request::parse(&self.input) {
                self.input = Vec::new();
                self.response = Some((request.respond(&answer), 0));
                self.deadline = now.saturating_add(ticks(TIMEOUT));
            }
        }
    }
}

/// A socket that is not ready is not an error.
fn pending(error: io::Error) -> io::Result<bool> {
    if error.kind() == ErrorKind::WouldBlock { Ok(false) } else { Err(error) }
}

/// What a page shows.
fn answer(page: Page, shared: &Shared, process: Option<&ProcessMetrics>) -> (Status, String) {
    match page {
        Page::Metrics => (Status::Ok, shared.metrics() + &process.map_or(String::new(), ProcessMetrics::text)),
        Page::Healthz => (Status::Ok, "ok\n".into()),
        Page::Readyz if shared.ending.load(Acquire) => (Status::Unavailable, "draining\n".into()),
        Page::Readyz if shared.admission.is_full() => (Status::Unavailable, "full\n".into()),
        Page::Readyz => (Status::Ok, "ready\n".into()),
    }
}
