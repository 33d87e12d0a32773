//! One worker: a thread with a poller, the connections it owns, their timers, and a mailbox for everybody else.
//!
//! # One turn of the loop
//!
//! Wait for the poller or the next deadline; give each socket that is ready a turn; read the mail; accept; give those
//! that wanted another turn one; look at the timers. A timer's connection is read before its timer counts.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, Release},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::Receiver;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use slab::Slab;

use super::{
    acceptor::Acceptor,
    callers::Callers,
    config::Setup,
    connection::{Connection, Desk, Turn},
    control::{Control, State},
    event::{ClientId, Event, Reason},
    listen::Service,
    mailbox::Mail,
    peer::Peer,
    stats::{add, sub},
    texts::Texts,
    tick::{NEVER, Tick, ticks},
};
use crate::protocol::errors;

/// The poller's name for the mailbox.
pub(super) const MAIL: Token = Token(usize::MAX);
/// Its names for listeners begin here; those below are slots of connections.
pub(super) const LISTENERS: usize = usize::MAX / 2;

/// How many that are turned away are given time to read why; more are closed at once. They, and what the process opens
/// otherwise, come out of the descriptors that `max_clients` leaves free by default.
const REFUSED_MAX: usize = 32;

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
    /// How many of the connections are being turned away.
    refused: usize,
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
        callers: Arc<Callers>,
        poll: Poll,
        mail: Receiver<Mail>,
        acceptor: Option<Acceptor>,
    ) -> Self {
        let texts = Texts::new(control.clone(), setup.clone(), index);
        let desk = Desk::new(control.clone(), callers, index, setup.limits, texts);
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
            refused: 0,
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
            if let Err(error) = self.wait(&mut events, drain_until)
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
                        let turn = match event.is_error() && connection.ticket().is_some() {
                            // Nobody is there to read what the handler will answer.
                            true => Turn::Gone(Reason::Error),
                            false => connection.turn(&mut self.desk),
                        };
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
        self.stop_listening();
        for slot in self.slots() {
            // Who is on the way out goes for a reason of his own.
            let connection = &self.clients[slot];
            connection.hang_up();
            let reason = connection.closing().unwrap_or(Reason::Shutdown);
            self.remove(slot, reason);
        }
    }

    /// Waits for the poller or the next deadline; spins for a while before it sleeps, where that was asked for.
    fn wait(&mut self, events: &mut Events, drain_until: Tick) -> io::Result<()> {
        if let Some(spin) = self.setup.busy_poll {
            let began = Instant::now();
            while self.timeout(drain_until) != Some(Duration::ZERO) && began.elapsed() < spin {
                self.poll.poll(events, Some(Duration::ZERO))?;
                if !events.is_empty() {
                    return Ok(());
                }
            }
        }
        self.poll.poll(events, self.timeout(drain_until))
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
                Mail::Adopt(stream, peer, service, id) => self.adopt(stream, peer, service, id),
                Mail::Reply { slot, client, command, reply } => {
                    let Some(connection) = self.clients.get_mut(slot).filter(|there| there.id == client) else {
                        continue;
                    };
                    let turn = connection.reply(&self.setup.handlers[command].0, reply, &mut self.desk);
                    self.settle(slot, turn);
                }
                Mail::Kick(client, kicked) => {
                    let there =
                        |(_, connection): &(usize, &Connection)| connection.id == client && connection.is_open();
                    let slot = self.clients.iter().find(there).map(|(slot, _)| slot);
                    if let Some(slot) = slot {
                        self.remove(slot, Reason::Kicked);
                    }
                    let _ = kicked.send(slot.is_some());
                }
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
            acceptor.accept(self.desk.now, &control, |stream, peer, service, admitted| match admitted {
                // In turn: the number alone says whose client it is.
                Ok(id) if id.worker(control.doors.len()) == self.index => self.adopt(stream, peer, service, id),
                Ok(id) => control.door_of(id).post(Mail::Adopt(stream, peer, service, id)),
                Err(reason) => self.refuse(stream, peer, service, reason),
            });
        }
        self.acceptor = Some(acceptor);
    }

    fn adopt(&mut self, stream: TcpStream, peer: Peer, service: Service, id: ClientId) {
        let counters = &self.control.counters[self.index];
        add(&counters.accepted, 1);
        add(&counters.clients, 1);
        self.control.events.tell(|| Event::Connected { client: id, peer: peer.address() });
        let draining = self.draining;
        self.begin(stream, peer, id, |connection, setup, desk| {
            let turn = match service {
                Service::Text => connection.greet(&setup.greeting, desk),
                _ => connection.answer(service, desk),
            };
            match turn {
                // It was accepted before the others were told to leave.
                Turn::Wait if draining => connection.leave(desk),
                turn => turn,
            }
        });
    }

    /// Only who would have been greeted is told why, and nobody who is denied: there it seems that nobody serves.
    fn refuse(&mut self, stream: TcpStream, peer: Peer, service: Service, reason: Reason) {
        self.control.refused.fetch_add(1, Relaxed);
        self.control.events.tell(|| Event::Refused { peer: peer.address(), reason });
        let line = match reason {
            Reason::Full => errors::FULL,
            Reason::PerSource => errors::PER_SOURCE,
            _ => return,
        };
        if service == Service::Text && self.refused < REFUSED_MAX {
            self.refused += 1;
            let line = format!("{line}\n");
            self.begin(stream, peer, ClientId::default(), |connection, _, desk| {
                connection.tell(line.as_bytes(), reason, desk)
            });
        }
    }

    /// Gives a connection its place, lets it say its first words, and watches it.
    fn begin(
        &mut self,
        stream: TcpStream,
        peer: Peer,
        id: ClientId,
        speak: impl FnOnce(&mut Connection, &Setup, &mut Desk) -> Turn,
    ) {
        let entry = self.clients.vacant_entry();
        let slot = entry.key();
        let connection = entry.insert(Connection::new(stream, slot, id, peer, self.setup.framing, self.desk.now));
        let turn = speak(connection, &self.setup, &mut self.desk);
        let watched = self.poll.registry().register(&mut connection.stream, Token(slot), Interest::READABLE);
        self.settle(slot, if watched.is_ok() { turn } else { Turn::Gone(Reason::Error) });
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
        self.stop_listening();
        for slot in self.slots() {
            let turn = self.clients[slot].leave(&mut self.desk);
            self.settle(slot, turn);
        }
    }

    fn stop_listening(&mut self) {
        if self.acceptor.is_some() {
            self.control.listening.store(false, Release);
            self.acceptor = None;
        }
    }

    fn remove(&mut self, slot: usize, reason: Reason) {
        let connection = self.clients.remove(slot);
        self.timers.remove(&(connection.wake, slot));
        if let Some(ticket) = connection.ticket() {
            self.desk.callers.take_back(ticket);
        }
        if !connection.is_client() {
            self.refused -= 1;
            return;
        }
        let (id, peer, commands) = (connection.id, connection.peer.clone(), connection.commands);
        if reason == Reason::Kicked {
            connection.hang_up();
        }
        drop(connection);
        self.control.admission.leave(&peer);
        sub(&self.control.counters[self.index].clients, 1);
        self.control.events.tell(|| Event::Disconnected { client: id, peer: peer.address(), reason, commands });
    }

    fn slots(&self) -> Vec<usize> {
        self.clients.iter().map(|(slot, _)| slot).collect()
    }
}
