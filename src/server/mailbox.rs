//! How other threads reach a worker: a channel, and a waker that ends its wait.

use std::sync::atomic::{AtomicBool, Ordering::AcqRel};

use crossbeam_channel::Sender;
use mio::{Waker, net::TcpStream};

use super::{event::ClientId, listen::Service, peer::Peer, stats::ClientInfo};
use crate::{protocol::Reply, waiting};

/// What others ask of a worker.
pub(super) enum Mail {
    /// A client that was accepted for it.
    Adopt(TcpStream, Peer, Service, ClientId),
    /// What a handler answered, `None` if it failed, to the client that had this slot then.
    Reply { slot: usize, client: ClientId, command: usize, reply: Option<Reply> },
    /// A client to be disconnected; whether it was there.
    Kick(ClientId, waiting::Sender<bool>),
    /// Its part of the client list.
    Clients(waiting::Sender<Vec<ClientInfo>>),
}

/// A worker's mailbox from outside.
pub(super) struct Door {
    mail: Sender<Mail>,
    waker: Waker,
    /// The worker was woken and has not looked yet.
    rung: AtomicBool,
}

impl Door {
    pub(super) fn new(mail: Sender<Mail>, waker: Waker) -> Self {
        Door { mail, waker, rung: AtomicBool::new(false) }
    }

    /// Leaves mail and wakes the worker; dropped if that has ended.
    pub(super) fn post(&self, mail: Mail) {
        if self.mail.send(mail).is_ok() && !self.rung.swap(true, AcqRel) {
            let _ = self.waker.wake();
        }
    }

    /// Without regard to whether it was rung: this must reach a worker that is just going to sleep.
    pub(super) fn wake(&self) {
        let _ = self.waker.wake();
    }

    /// The worker is about to read its mail.
    pub(super) fn open(&self) {
        self.rung.swap(false, AcqRel);
    }
}
