//! How other threads reach a worker: a channel, and a waker that ends the wait of its poller.

use std::sync::atomic::{AtomicBool, Ordering::AcqRel};

use crossbeam_channel::Sender;
use mio::{Waker, net::TcpStream};

use super::{
    events::ClientId,
    listen::{Peer, Service},
    stats::ClientInfo,
};
use crate::{channel, protocol::Reply};

/// A request to a worker.
pub(super) enum Message {
    /// Serve a client that the first worker accepted.
    NewConnection(TcpStream, Peer, Service, ClientId),
    /// Send the reply of a handler, `None` if it failed, to the client that had this slot when it asked.
    Reply { slot: usize, client: ClientId, command: usize, reply: Option<Reply> },
    /// Disconnect a client, and answer whether it was connected.
    Disconnect(ClientId, channel::Sender<bool>),
    /// Send this worker's part of the client list.
    ListClients(channel::Sender<Vec<ClientInfo>>),
}

/// The sending side of a worker's mailbox.
pub(super) struct Mailbox {
    sender: Sender<Message>,
    waker: Waker,
    /// The worker was woken and has not read its messages since.
    wake_pending: AtomicBool,
}

impl Mailbox {
    pub(super) fn new(sender: Sender<Message>, waker: Waker) -> Self {
        Mailbox { sender, waker, wake_pending: AtomicBool::new(false) }
    }

    /// Sends a message and wakes the worker. The message is dropped if the worker has ended.
    pub(super) fn send(&self, message: Message) {
        if self.sender.send(message).is_ok() && !self.wake_pending.swap(true, AcqRel) {
            let _ = self.waker.wake();
        }
    }

    /// Wakes the worker even if a wake-up is pending: a change of state must reach a worker that is about to sleep.
    pub(super) fn wake(&self) {
        let _ = self.waker.wake();
    }

    /// The worker calls this before it reads its messages, so that a message sent after the last read wakes it again.
    pub(super) fn clear_wakeup(&self) {
        self.wake_pending.swap(false, AcqRel);
    }
}
