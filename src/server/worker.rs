//! One worker: a thread with a poller, the connections it owns, their timers, and a mailbox for everybody else.
//!
//! # One turn of the loop
//!
//! Wait for the poller or the next deadline; give each socket that is ready a turn; read the mail; accept; give those
//! that wanted another turn one; look at the timers. A timer's connection is read before its timer counts.

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use slab::Slab;

use super::{
    Control, Setup, State,
    acceptor::Acceptor,
    connection::{Connection, Desk, NEVER, Tick, Turn, ticks},
    event::{ClientId, Event, Reason},
    stats::{ClientInfo, add},
    texts::Texts,
};

/// The poller's name for the mailbox.
pub(super) const MAIL: Token = Token(usize::MAX);
/// Its names for listeners begin here; those below are slots of connections.
pub(super) const LISTENERS: usize = usize::MAX / 2;

/// What others ask of a worker.
pub(super) enum Mail {
    /// A client that was accepted for it.
    Adopt(TcpStream, SocketAddr, ClientId),
    /// Its part of the client list.
    Clients(Sender<Vec<ClientInfo>>),
}

pub(super) struct Worker {
    index: usize,
    control: Arc<Control>,
    setup: Arc<Setup>,
    poll: Poll,
    mail: Receiver<Mail>,
    acceptor: Option<Acceptor>,
    clients: Slab<Connection>,
    /// At most one entry a connection, never later than its deadline; an early one is looked at in vain.
    timers: BTreeSet<(Tick, usize)>,
    /// Slots that want another turn.
    again: Vec<usize>,
    desk: Desk,
    began: Instant,
    draining: bool,
}

impl Worker {
    pub(super) fn new(
        index: usize,
        control: Arc<Control>,
        setup: Arc<Setup>,
        poll: Poll,
        mail: Receiver<Mail>,
        acceptor: Option<Acceptor>,
    ) -> Self {
        let texts = Texts::new(control.clone(), setup.clone(), index);
        let desk = Desk::new(control.clone(), index, setup.write_timeout, texts);
        let began = control.began;
        Worker {
            index,
            control,
            setup,
            poll,
            mail,
            acceptor,
            clients: Slab::new(),
            timers: BTreeSet::new(),
            again: Vec::new(),
            desk,
            began,
            draining: false,
        }
    }

    /// Serves until the server is stopped, or drained.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut drain_until = NEVER;
        loop {
            let timeout = self.timeout(drain_until);
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                self.control.stop();
            }
            self.desk.now = ticks(self.began.elapsed());
            match self.control.state() {
                State::Running => {}
                State::Draining(_) if self.draining => {}
                State::Draining(until) => {
                    drain_until = ticks(until.saturating_duration_since(self.began));
                    self.drain();
                }
                State::Stopped => break,
            }
            let mut mail = false;
            for event in &events {
                match event.token() {
                    MAIL => mail = true,
                    Token(listener @ LISTENERS..) => {
                        if let Some(acceptor) = &mut self.acceptor {
                            acceptor.ready(listener - LISTENERS);
                        }
                    }
                    Token(slot) => {
                        let Some(connection) = self.clients.get_mut(slot) else { continue };
                        if event.is_readable() || event.is_read_closed() || event.is_error() {
                            connection.readable(event.is_read_closed() || event.is_error());
                        }
                        let turn = connection.turn(&mut self.desk);
                        self.settle(slot, turn);
                    }
                }
            }
            // After the events: they name slots, which mail and new clients may take anew.
            if mail {
                self.read_mail();
            }
            self.accept();
            self.turn_again();
            self.expire();
            if self.draining && (self.clients.is_empty() || drain_until <= self.desk.now) {
                break;
            }
        }
        for connection in self.clients.drain() {
            gone(&self.control, &connection, Reason::Shutdown);
        }
        self.control.counters[self.index].clients.store(0, std::sync::atomic::Ordering::Relaxed);
    }

    fn timeout(&self, drain_until: Tick) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.first().map_or(NEVER, |(tick, _)| *tick);
        let accept = self.acceptor.as_ref().map_or(NEVER, Acceptor::deadline);
        match timer.min(accept).min(drain_until) {
            NEVER => None,
            tick => Some(Duration::from_nanos(tick).saturating_sub(self.began.elapsed())),
        }
    }

    fn read_mail(&mut self) {
        // Cleared first: who posts after the last look at the mailbox rings again.
        self.control.doors[self.index].open();
        while let Ok(mail) = self.mail.try_recv() {
            match mail {
                Mail::Adopt(stream, peer, id) => self.adopt(stream, peer, id),
                Mail::Clients(reply) => {
                    let started = self.control.started;
                    let infos = self.clients.iter().filter_map(|(_, connection)| connection.info(started));
                    let _ = reply.send(infos.collect());
                }
            }
        }
    }

    fn accept(&mut self) {
        let Some(mut acceptor) = self.acceptor.take() else { return };
        if acceptor.deadline() <= self.desk.now {
            let control = self.control.clone();
            acceptor.accept(self.desk.now, &control, |stream, peer, id| {
                // In turn: the number alone says whose client it is.
                match (id.0 % control.doors.len() as u64) as usize {
                    own if own == self.index => self.adopt(stream, peer, id),
                    other => control.doors[other].post(Mail::Adopt(stream, peer, id)),
                }
            });
        }
        self.acceptor = Some(acceptor);
    }

    fn adopt(&mut self, stream: TcpStream, peer: SocketAddr, id: ClientId) {
        let slot = self.clients.vacant_entry();
        let token = slot.key();
        let mut connection = Connection::new(stream, id, peer, self.setup.framing, self.desk.now);
        let turn = connection.greet(&self.setup.greeting, &mut self.desk);
        let watched = self.poll.registry().register(&mut connection.stream, Token(token), Interest::READABLE);
        slot.insert(connection);
        let counters = &self.control.counters[self.index];
        add(&counters.accepted, 1);
        add(&counters.clients, 1);
        self.control.events.tell(|| Event::Connected { client: id, peer: peer.into() });
        self.settle(token, if watched.is_ok() { turn } else { Turn::Gone(Reason::Error) });
    }

    /// What a turn has left to be done.
    fn settle(&mut self, slot: usize, turn: Turn) {
        let Some(connection) = self.clients.get_mut(slot) else { return };
        match turn {
            Turn::Gone(reason) => return self.remove(slot, reason),
            Turn::Again if !connection.queued => {
                connection.queued = true;
                self.again.push(slot);
            }
            _ => {}
        }
        if connection.blocked() && !connection.watches_writes {
            // Watched for the rest of its life: few are ever blocked, and those are so again and again.
            connection.watches_writes = true;
            let interests = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().reregister(&mut connection.stream, Token(slot), interests).is_err() {
                return self.remove(slot, Reason::Error);
            }
        }
        let deadline = connection.deadline(&self.desk);
        if deadline < connection.wake {
            self.timers.remove(&(connection.wake, slot));
            self.timers.insert((deadline, slot));
            connection.wake = deadline;
        }
    }

    fn turn_again(&mut self) {
        for slot in std::mem::take(&mut self.again) {
            // A slot that was freed and taken anew meanwhile is given a turn in vain.
            let Some(connection) = self.clients.get_mut(slot) else { continue };
            connection.queued = false;
            let turn = connection.turn(&mut self.desk);
            self.settle(slot, turn);
        }
    }

    fn expire(&mut self) {
        while let Some(&(tick, slot)) = self.timers.first()
            && tick <= self.desk.now
        {
            self.timers.pop_first();
            let connection = &mut self.clients[slot];
            connection.wake = NEVER;
            let turn = match connection.deadline(&self.desk) <= self.desk.now {
                true => connection.expire(&mut self.desk),
                false => Turn::Wait,
            };
            self.settle(slot, turn);
        }
    }

    /// No new clients; each one leaves when it has its replies.
    fn drain(&mut self) {
        self.draining = true;
        self.acceptor = None;
        let slots: Vec<usize> = self.clients.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let turn = self.clients[slot].leave(&mut self.desk);
            self.settle(slot, turn);
        }
    }

    fn remove(&mut self, slot: usize, reason: Reason) {
        let connection = self.clients.remove(slot);
        self.timers.remove(&(connection.wake, slot));
        let counters = &self.control.counters[self.index];
        counters.clients.store(self.clients.len() as u64, std::sync::atomic::Ordering::Relaxed);
        gone(&self.control, &connection, reason);
    }
}

fn gone(control: &Control, connection: &Connection, reason: Reason) {
    control.events.tell(|| Event::Disconnected {
        client: connection.id,
        peer: connection.peer.into(),
        reason,
        commands: connection.commands,
    });
}
