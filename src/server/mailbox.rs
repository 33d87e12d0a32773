//! How other threads reach a worker: a channel, and a waker that ends the wait of its poller.
//!
//! A wake-up costs the sender a system call and the worker a turn of its loop. So the worker says how deep it sleeps, and
//! a sender of many messages rings once, at their end.
//!
//! | the worker | a message that can wait | any other message |
//! |---|---|---|
//! | is awake, and reads its messages before it sleeps | nothing | nothing |
//! | dozes: it reads its messages within a millisecond | the sender rings soon | the sender rings |
//! | sleeps | the sender rings | the sender rings |
//!
//! `sleep.rs` has the protocol of both sides.

use std::sync::OnceLock;

use crossbeam_channel::Sender;
use mio::{Waker, net::TcpStream};

use super::{
    conversation::Conversation,
    events::ClientId,
    listen::{Peer, Service},
    sleep::{Sleep, SleepState},
    stats::ClientInfo,
};
use crate::channel;

/// A request to a worker.
pub(super) enum Message {
    /// Serve a connection that the first worker accepted.
    NewConnection(TcpStream, Peer, Service, ClientId),
    /// Count these commands of a client whose session is away, and send these replies. It had this slot when it left.
    Executed { slot: usize, client: ClientId, commands: u64, out: Vec<u8> },
    /// Take a session back, and send its replies.
    Return(Box<Conversation>),
    /// Disconnect a client, and answer whether it was connected.
    Disconnect(ClientId, channel::Sender<bool>),
    /// Send this worker's part of the client list.
    ListClients(channel::Sender<Vec<ClientInfo>>),
}

/// The sending side of a worker's mailbox.
pub(super) struct Mailbox {
    sender: Sender<Message>,
    waker: Waker,
    sleep: SleepState,
    /// Called when the worker cannot be woken.
    on_failure: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Mailbox {
    pub(super) fn new(sender: Sender<Message>, waker: Waker) -> Self {
        Mailbox { sender, waker, sleep: SleepState::new(), on_failure: OnceLock::new() }
    }

    /// Sets what to do when the worker cannot be woken: half of a server serves half of its clients.
    pub(super) fn on_failure(&self, act: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_failure.set(Box::new(act));
    }

    /// Sends a message and wakes the worker. The message is dropped if the worker has ended.
    pub(super) fn send(&self, message: Message) {
        if self.sender.send(message).is_ok() {
            self.ring();
        }
    }

    /// Sends a message that can wait for a moment. Returns true if the sender must [`ring`](Self::ring) soon.
    pub(super) fn send_lazily(&self, message: Message) -> bool {
        if self.sender.send(message).is_err() {
            return false;
        }
        let sleep = self.sleep.look();
        if sleep == Sleep::Asleep {
            self.ring();
        }
        sleep == Sleep::Dozing
    }

    /// Wakes the worker, unless it is awake and reads its messages before it sleeps.
    pub(super) fn ring(&self) {
        if self.sleep.ring() {
            self.wake();
        }
    }

    /// Wakes the worker even if it is awake: a change of state must reach a worker that is about to sleep.
    ///
    /// The system has no reason to refuse a write to an eventfd. If it refuses one nevertheless, a second one may succeed.
    /// If not, the server fails, and the next message rings again.
    pub(super) fn wake(&self) {
        if self.waker.wake().is_ok() || self.waker.wake().is_ok() {
            return;
        }
        self.sleep.fall_asleep(Sleep::Asleep);
        if let Some(act) = self.on_failure.get() {
            act();
        }
    }

    /// The worker calls this before it looks for messages for the last time before it sleeps.
    pub(super) fn fall_asleep(&self, sleep: Sleep) {
        self.sleep.fall_asleep(sleep);
    }

    /// The worker calls this when it is awake.
    pub(super) fn wake_up(&self) {
        self.sleep.wake_up();
    }
}
