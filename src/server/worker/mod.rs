//! A worker: the loop of one thread over its poller, its messages, its connections and their timers.
//!
//! Each round of the loop waits for the poller, drives the connections that it reports, reads the messages, accepts
//! clients, drives the connections that yielded, and checks the timers. A connection is read before its timer counts.

mod acceptor;
mod connection;
mod context;
mod http;

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc,
        atomic::Ordering::{Acquire, Release},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::Receiver;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use slab::Slab;

use super::{
    config::Config,
    conversation::Conversation,
    datagrams::Datagrams,
    events::{ClientId, Event, Reason},
    handler_pool::{Departure, HandlerPool, Job, JobId},
    listen::{Peer, Service},
    mailbox::{Mailbox, Message},
    shared::{Shared, State},
    sleep::Sleep,
    stats::{add, sub},
    tick::{NEVER, Tick, ticks},
};
pub(super) use acceptor::Acceptor;
use acceptor::Arrival;
use connection::{Connection, Progress};
use context::Context;
pub(super) use http::HttpServer;

/// The poller's token of the waker.
pub(super) const WAKER: Token = Token(usize::MAX);
/// The poller's tokens of listeners start here. Smaller ones are slots of connections.
pub(super) const LISTENERS: usize = usize::MAX / 2;
/// Those of sockets of UDP start here.
pub(super) const DATAGRAMS: usize = usize::MAX / 8 * 5;
/// Those of listeners for metrics, and of their connections, are larger.
const _: () = assert!(LISTENERS < DATAGRAMS && DATAGRAMS < http::LISTENERS && http::LISTENERS < http::CONNECTIONS);

/// What the poller reports for each connection: input, EOF, and urgent data, at which a read ends early.
#[cfg(target_os = "linux")]
const READS: Interest = Interest::READABLE.add(Interest::PRIORITY);
#[cfg(not(target_os = "linux"))]
const READS: Interest = Interest::READABLE;

/// How often a worker looks for replies and for stuck handlers, while sessions are away and nothing wakes it. The poller
/// counts in milliseconds.
const DOZE: Duration = Duration::from_millis(1);

pub(super) struct Worker {
    index: usize,
    shared: Arc<Shared>,
    config: Arc<Config>,
    poll: Poll,
    messages: Receiver<Message>,
    acceptor: Option<Acceptor>,
    /// The sockets of UDP, if this is the first worker and the server has them.
    datagrams: Option<Datagrams>,
    /// When to accept even if the poller reports no listener.
    accept_at: Tick,
    /// The listeners for metrics, if this is the first worker and the server has them.
    http: Option<HttpServer>,
    connections: Slab<Connection>,
    /// At most one entry for each connection, never later than its deadline. An early entry is checked in vain.
    timers: BTreeSet<(Tick, usize)>,
    /// The slots of connections to drive again.
    yielded: Vec<usize>,
    cx: Context,
    draining: bool,
    /// When to look after the handler pool next.
    nudge_at: Tick,
    /// Sessions are away, and the last turn found work or jobs that wait: the next sleep is a doze.
    dozes: bool,
}

impl Worker {
    pub(super) fn new(
        index: usize,
        shared: Arc<Shared>,
        config: Arc<Config>,
        pool: Arc<HandlerPool>,
        poll: Poll,
        messages: Receiver<Message>,
        acceptors: Option<(Acceptor, Option<Datagrams>)>,
    ) -> Self {
        let (acceptor, datagrams) = acceptors.unzip();
        Worker {
            index,
            cx: Context::new(shared.clone(), config.clone(), pool, index),
            shared,
            config,
            poll,
            messages,
            accept_at: acceptor.as_ref().map_or(NEVER, Acceptor::deadline),
            acceptor,
            datagrams: datagrams.flatten(),
            http: None,
            connections: Slab::new(),
            timers: BTreeSet::new(),
            yielded: Vec::new(),
            draining: false,
            nudge_at: 0,
            dozes: false,
        }
    }

    /// Adds the listeners for metrics to the first worker.
    pub(super) fn serve_http(&mut self, http: HttpServer) {
        self.http = Some(http);
    }

    /// Serves until the server is stopped or drained.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut drain_until = NEVER;
        loop {
            if let Err(error) = self.wait(&mut events, drain_until)
                && error.kind() != io::ErrorKind::Interrupted
            {
                self.shared.stop();
            }
            self.cx.now = self.shared.now();
            if self.shared.ending.load(Acquire) {
                match self.shared.state() {
                    State::Stopped => break,
                    State::Draining(until) if !self.draining => {
                        drain_until = ticks(until.saturating_duration_since(self.shared.started));
                        self.drain();
                    }
                    State::Running | State::Draining(_) => {}
                }
            }
            let mut worked = !events.is_empty();
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(token @ LISTENERS..) => self.listener_ready(token),
                    Token(slot) => {
                        let Some(connection) = self.connections.get_mut(slot) else { continue };
                        let reads_on = event.is_read_closed() || event.is_error() || event.is_priority();
                        if event.is_readable() || reads_on {
                            connection.readable(reads_on);
                        }
                        let progress = match event.is_error() && connection.job().is_some() {
                            // It is closed after the messages, which may have a last reply.
                            true => {
                                connection.fail();
                                Progress::Yield
                            }
                            false => connection.drive(&mut self.cx),
                        };
                        self.after_drive(slot, progress);
                    }
                }
            }
            // After the events: they refer to slots, which messages and new clients may reuse.
            worked |= self.read_messages();
            if self.accept_at <= self.cx.now {
                self.accept();
            }
            self.answer_datagrams();
            self.drive_yielded();
            self.expire();
            if let Some(http) = &mut self.http
                && http.deadline() <= self.cx.now
            {
                http.expire(self.poll.registry(), self.cx.now);
            }
            self.cx.submit_jobs();
            // A quick handler has replied already if its thread ran at once.
            if self.cx.away > 0 && self.read_messages() {
                worked = true;
                self.cx.submit_jobs();
            }
            self.dozes = self.cx.away > 0 && self.watch(worked);
            if self.draining && (self.is_drained() || drain_until <= self.cx.now) {
                break;
            }
        }
        self.stop_listening();
        if let Some(http) = self.http.take() {
            self.shared.metrics_listening.store(false, Release);
            drop(http);
        }
        for slot in self.slots() {
            // A connection that is being closed keeps its own reason.
            let connection = &self.connections[slot];
            connection.hang_up();
            let reason = connection.closing().unwrap_or(Reason::Shutdown);
            self.remove(slot, reason);
        }
        self.cx.submit_jobs();
        self.shared.end_worker();
    }

    /// Whether no client is left, and none can come from the first worker. Metrics are served until the other workers have
    /// ended.
    fn is_drained(&self) -> bool {
        // In this order: the first worker sends its last client before it stops listening.
        self.connections.is_empty()
            && !self.shared.listening.load(Acquire)
            && self.messages.is_empty()
            && (self.http.is_none() || self.shared.serving.load(Acquire) == 1)
    }

    /// Looks after the handler pool each millisecond, as long as this worker works or jobs wait for a thread. Returns
    /// whether to look again.
    fn watch(&mut self, worked: bool) -> bool {
        let was_due = self.cx.now >= self.nudge_at;
        if was_due || !self.dozes {
            self.nudge_at = self.cx.now.saturating_add(ticks(DOZE));
        }
        match self.dozes {
            true if was_due => self.cx.pool.nudge() || worked,
            true => true,
            false => worked,
        }
    }

    /// Waits for the poller, a message or the next deadline. With `busy_poll` it polls without sleeping first.
    fn wait(&mut self, events: &mut Events, drain_until: Tick) -> io::Result<()> {
        if let Some(spin) = self.config.settings.busy_poll {
            let began = Instant::now();
            while self.timeout(drain_until) != Some(Duration::ZERO) && began.elapsed() < spin {
                self.poll.poll(events, Some(Duration::ZERO))?;
                if !events.is_empty() || !self.messages.is_empty() {
                    return Ok(());
                }
            }
        }
        let mailbox = &self.shared.mailboxes[self.index];
        mailbox.fall_asleep(if self.dozes { Sleep::Dozing } else { Sleep::Asleep });
        // After that, a message rings. One that came before is seen here.
        let timeout = match self.messages.is_empty() {
            true => self.timeout(drain_until),
            false => Some(Duration::ZERO),
        };
        let polled = self.poll.poll(events, timeout);
        mailbox.wake_up();
        polled
    }

    fn timeout(&self, drain_until: Tick) -> Option<Duration> {
        if !self.yielded.is_empty() || self.datagrams.as_ref().is_some_and(Datagrams::is_ready) {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.first().map_or(NEVER, |(tick, _)| *tick);
        let http = self.http.as_ref().map_or(NEVER, HttpServer::deadline);
        let timeout = match timer.min(self.accept_at).min(http).min(drain_until) {
            NEVER => None,
            tick => Some(Duration::from_nanos(tick.saturating_sub(self.shared.now()))),
        };
        if self.dozes { Some(timeout.map_or(DOZE, |timeout| timeout.min(DOZE))) } else { timeout }
    }

    /// Returns whether there were messages.
    fn read_messages(&mut self) -> bool {
        let mut any = false;
        while let Ok(message) = self.messages.try_recv() {
            any = true;
            match message {
                Message::NewConnection(stream, peer, service, id) => self.connect(stream, peer, service, id),
                Message::Executed { slot, client, commands, out } => {
                    let connection = self.connections.get_mut(slot).filter(|connection| connection.id == client);
                    let Some(connection) = connection else { continue };
                    let progress = connection.executed(commands, out, &mut self.cx);
                    self.after_drive(slot, progress);
                }
                Message::Return(conversation) => self.resume(conversation),
                Message::Disconnect(client, result) => {
                    let found =
                        |(_, connection): &(usize, &Connection)| connection.id == client && connection.is_open();
                    let slot = self.connections.iter().find(found).map(|(slot, _)| slot);
                    if let Some(slot) = slot {
                        self.remove(slot, Reason::Kicked);
                    }
                    let _ = result.send(slot.is_some());
                }
                Message::ListClients(result) => {
                    let started = self.shared.started_at;
                    let infos = self.connections.iter().filter_map(|(_, connection)| connection.info(started));
                    let _ = result.send(infos.collect());
                }
            }
        }
        any
    }

    /// Takes the session of a client back from the handler threads.
    fn resume(&mut self, conversation: Box<Conversation>) {
        let (slot, client) = (conversation.slot, conversation.client);
        match self.connections.get_mut(slot).filter(|connection| connection.id == client) {
            Some(connection) => {
                let connect = self.cx.pool.connect_queue();
                if connection.job().is_some_and(|job| job.queue as usize == connect)
                    && let Some(state) = self.cx.pool.take_state(client)
                {
                    self.cx.states.insert(client, state);
                }
                let progress = connection.resume(conversation, &mut self.cx);
                self.after_drive(slot, progress);
            }
            None => self.shared.forget(client),
        }
    }

    /// Has a handler thread call the hook for a client that left, and drop its state.
    fn depart(&mut self, departure: Departure) {
        let id = JobId { queue: self.cx.pool.disconnect_queue() as u32, submitted: self.cx.now };
        self.cx.submit(id, departure.client, Job::Depart(Box::new(departure)));
    }

    /// The poller reports a listener, or a connection of a listener for metrics.
    fn listener_ready(&mut self, token: usize) {
        if token >= http::LISTENERS {
            let Some(http) = &mut self.http else { return };
            return match token {
                http::CONNECTIONS.. => http.drive(token - http::CONNECTIONS, self.cx.now),
                _ => http.accept(self.poll.registry(), self.cx.now),
            };
        }
        if token >= DATAGRAMS {
            if let Some(datagrams) = &mut self.datagrams {
                datagrams.ready(token - DATAGRAMS);
            }
            return;
        }
        let listener = token - LISTENERS;
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.ready(listener);
            self.accept_at = acceptor.deadline();
        }
    }

    fn accept(&mut self) {
        let Some(mut acceptor) = self.acceptor.take() else { return };
        let shared = self.shared.clone();
        acceptor.accept(self.cx.now, &shared, |arrival| self.welcome(arrival));
        self.accept_at = acceptor.deadline();
        self.acceptor = Some(acceptor);
    }

    fn answer_datagrams(&mut self) {
        if let Some(datagrams) = self.datagrams.as_mut().filter(|datagrams| datagrams.is_ready()) {
            datagrams.serve(self.cx.now, &mut self.cx.time_cache, &self.shared);
        }
    }

    fn welcome(&mut self, (stream, peer, service, admitted): Arrival) {
        match admitted {
            // The id alone determines the worker, so that clients are distributed evenly.
            Ok(id) if id.worker(self.shared.mailboxes.len()) == self.index => self.connect(stream, peer, service, id),
            Ok(id) => self.shared.mailbox_of(id).send(Message::NewConnection(stream, peer, service, id)),
            Err(reason) => self.refuse(stream, peer, service, reason),
        }
    }

    /// Starts to serve an accepted connection.
    fn connect(&mut self, stream: TcpStream, peer: Peer, service: Service, id: ClientId) {
        let draining = self.draining;
        if service != Service::Proxied {
            self.cx.admit(id, &peer, service);
        }
        self.insert(stream, peer, id, |connection, cx| {
            let progress = match service {
                Service::Text => connection.greet(cx),
                // The acceptor does not have listeners for metrics and for UDP.
                Service::Rfc867 | Service::Rfc868 | Service::Metrics | Service::Rfc867Udp | Service::Rfc868Udp => {
                    connection.answer(service, cx)
                }
                // The proxy names the client first.
                Service::Proxied => {
                    connection.await_header();
                    Progress::Pending
                }
            };
            match progress {
                // It was accepted before the listeners were closed.
                Progress::Pending if draining => connection.leave(cx),
                progress => progress,
            }
        });
    }

    /// Closes a connection that is not admitted. A client of the text protocol may get an error line before.
    fn refuse(&mut self, stream: TcpStream, peer: Peer, service: Service, reason: Reason) {
        let line = self.cx.refuse(&peer, reason);
        if let Some(line) = line.filter(|_| matches!(service, Service::Text | Service::Proxied)) {
            self.cx.refused += 1;
            self.insert(stream, peer, ClientId::default(), |connection, cx| {
                connection.refuse(line.as_bytes(), reason, cx)
            });
        }
    }

    /// Adds a connection, lets it send its first bytes, and registers it with the poller.
    fn insert(
        &mut self,
        stream: TcpStream,
        peer: Peer,
        id: ClientId,
        start: impl FnOnce(&mut Connection, &mut Context) -> Progress,
    ) {
        let entry = self.connections.vacant_entry();
        let slot = entry.key();
        let framing = self.config.settings.framing;
        let connection = entry.insert(Connection::new(stream, slot, id, peer, framing, self.cx.now));
        let progress = start(connection, &mut self.cx);
        let registered = self.poll.registry().register(&mut connection.stream, Token(slot), READS);
        self.after_drive(slot, if registered.is_ok() { progress } else { Progress::Close(Reason::Error) });
    }

    /// Does what a connection needs after it was driven.
    fn after_drive(&mut self, slot: usize, progress: Progress) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        match progress {
            Progress::Close(reason) => return self.remove(slot, reason),
            Progress::Yield if !connection.queued => {
                connection.queued = true;
                self.yielded.push(slot);
            }
            Progress::Yield | Progress::Pending => {}
        }
        if connection.blocked() && !connection.watches_writes {
            // For the rest of its life: few connections are ever blocked, and those are blocked again and again.
            connection.watches_writes = true;
            let interests = READS | Interest::WRITABLE;
            if self.poll.registry().reregister(&mut connection.stream, Token(slot), interests).is_err() {
                return self.remove(slot, Reason::Error);
            }
        }
        let deadline = connection.deadline(&self.cx);
        if deadline < connection.wake {
            self.timers.remove(&(connection.wake, slot));
            self.timers.insert((deadline, slot));
            connection.wake = deadline;
        }
    }

    fn drive_yielded(&mut self) {
        for slot in std::mem::take(&mut self.yielded) {
            // A slot that was reused in the meantime is driven in vain.
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            connection.queued = false;
            let progress = connection.drive(&mut self.cx);
            self.after_drive(slot, progress);
        }
    }

    fn expire(&mut self) {
        while let Some(&(tick, slot)) = self.timers.first()
            && tick <= self.cx.now
        {
            self.timers.pop_first();
            let connection = &mut self.connections[slot];
            connection.wake = NEVER;
            let progress = match connection.deadline(&self.cx) <= self.cx.now {
                true => connection.expire(&mut self.cx),
                false => Progress::Pending,
            };
            self.after_drive(slot, progress);
        }
    }

    /// Accepts the clients that wait, and stops listening. Each connection leaves once its replies are sent.
    fn drain(&mut self) {
        self.draining = true;
        if let Some(acceptor) = &self.acceptor {
            acceptor.close_queues();
        }
        for slot in self.slots() {
            let progress = self.connections[slot].leave(&mut self.cx);
            self.after_drive(slot, progress);
        }
        if let Some(mut acceptor) = self.acceptor.take() {
            let (shared, backlog) = (self.shared.clone(), self.config.settings.backlog);
            acceptor.accept_queued(backlog, &shared, |arrival| self.welcome(arrival));
            self.acceptor = Some(acceptor);
            self.stop_listening();
            // No further client comes, and the other workers wait for that.
            shared.mailboxes.iter().for_each(Mailbox::wake);
        }
    }

    fn stop_listening(&mut self) {
        if self.acceptor.is_some() {
            self.shared.listening.store(false, Release);
            self.acceptor = None;
            self.datagrams = None;
            self.accept_at = NEVER;
        }
    }

    fn remove(&mut self, slot: usize, reason: Reason) {
        let connection = self.connections.remove(slot);
        self.timers.remove(&(connection.wake, slot));
        if let Some(header) = connection.awaited_header() {
            self.shared.admission.leave_seat();
            // A check of the port that sends nothing is not worth a line.
            if reason == Reason::ProxyHeader || (reason == Reason::Error && !header.is_empty()) {
                self.cx.refuse(&connection.peer, Reason::ProxyHeader);
            }
            return;
        }
        if !connection.is_client() {
            self.cx.refused -= 1;
            return;
        }
        let (id, peer, commands) = (connection.id, connection.peer.clone(), connection.commands);
        if reason == Reason::Kicked {
            connection.hang_up();
        }
        let stays = self.release(connection, reason);
        if !stays {
            self.shared.admission.leave(&peer);
        }
        let counters = &self.shared.counters[self.index];
        sub(&counters.clients, 1);
        add(&counters.ended[reason as usize], 1);
        self.shared.events.emit(|| Event::Disconnected { client: id, peer: peer.address(), reason, commands });
    }

    /// Takes the job of a client back, and has the hook called and the state dropped. Returns whether the client stays
    /// admitted until then.
    fn release(&mut self, connection: Connection, reason: Reason) -> bool {
        let client = connection.id;
        let hooks = &self.config.hooks;
        // A client of RFC 867 or RFC 868 does not have hooks.
        let stays = !hooks.are_none() && connection.greeted;
        let mut departure = Departure::new(client, reason);
        if stays {
            departure.hook = hooks.on_disconnect.is_some();
            departure.address = connection.peer.address();
            departure.peer = Some(connection.peer.clone());
            departure.state = self.cx.states.remove(&client);
        }
        let Some(job) = connection.job() else {
            if stays {
                self.depart(departure);
            }
            return stays;
        };
        self.cx.away -= 1;
        if !connection.holds_conversation() {
            // It may be a job of this turn.
            self.cx.submit_jobs();
            // The socket stays open as long as a handler thread may send on it, but the peer sees its end now.
            connection.hang_up();
            let mut stream = connection.stream;
            let _ = self.poll.registry().deregister(&mut stream);
            departure.stream = Some(stream);
            self.shared.note_left(client);
            match self.cx.pool.leave(job, Box::new(departure)) {
                None => return stays,
                Some(left) => departure = *left,
            }
            departure.stream = None;
            if departure.queued.is_some() {
                self.shared.forget(client);
            }
            if departure.queued.is_some() && job.queue as usize == self.cx.pool.connect_queue() {
                // Its hook was not called yet.
                return false;
            }
        }
        if stays {
            self.depart(departure);
        }
        stays
    }

    fn slots(&self) -> Vec<usize> {
        self.connections.iter().map(|(slot, _)| slot).collect()
    }
}
