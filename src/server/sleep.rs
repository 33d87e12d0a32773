//! How deep a worker sleeps, and who rings it: the protocol between a worker and the senders of its messages.
//!
//! Both sides change the depth by a swap. If the sender's swap comes later, it sees the sleep and rings. If the worker's
//! comes later, it sees the message, which it looks for once more before it sleeps. The model below checks every order of
//! these steps.

use std::sync::atomic::Ordering;

use crate::sync::AtomicU8;

/// How deep a worker sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Sleep {
    /// It looks for messages before it sleeps.
    Awake,
    /// It wakes up within a millisecond.
    Dozing,
    Asleep,
}

/// The depth, as both sides see it.
pub(super) struct SleepState(AtomicU8);

impl SleepState {
    /// The order of the swaps. A weaker one loses messages.
    const ORDER: Ordering = Ordering::AcqRel;

    pub(super) fn new() -> Self {
        SleepState(AtomicU8::new(Sleep::Awake as u8))
    }

    /// The worker calls this, then looks for messages once more, then sleeps.
    pub(super) fn fall_asleep(&self, sleep: Sleep) {
        self.0.swap(sleep as u8, Self::ORDER);
    }

    /// The worker calls this when it has slept. A store in place of the swap would lose a message: the worker would not see
    /// what a sender did before its swap, if that comes before the store.
    pub(super) fn wake_up(&self) {
        self.0.swap(Sleep::Awake as u8, Self::ORDER);
    }

    /// A sender calls this after a message. Returns whether it must wake the worker.
    pub(super) fn ring(&self) -> bool {
        self.0.swap(Sleep::Awake as u8, Self::ORDER) != Sleep::Awake as u8
    }

    /// A sender calls this after a message that can wait. It must call [`ring`](Self::ring) at once if the worker is
    /// asleep, and soon if it dozes.
    pub(super) fn look(&self) -> Sleep {
        // A read that takes part in the order of the swaps.
        match self.0.fetch_or(0, Self::ORDER) {
            0 => Sleep::Awake,
            1 => Sleep::Dozing,
            _ => Sleep::Asleep,
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    use loom::{
        sync::{Arc, Condvar, Mutex, atomic::AtomicUsize},
        thread,
    };

    use super::*;

    /// A worker's mailbox: the number of messages, and a waker.
    struct Model {
        state: SleepState,
        messages: AtomicUsize,
        woken: Mutex<bool>,
        changed: Condvar,
    }

    impl Model {
        fn new() -> Arc<Self> {
            Arc::new(Model {
                state: SleepState::new(),
                // Relaxed: only the swaps order the messages.
                messages: AtomicUsize::new(0),
                woken: Mutex::new(false),
                changed: Condvar::new(),
            })
        }

        fn wake(&self) {
            *self.woken.lock().unwrap() = true;
            self.changed.notify_one();
        }

        fn send(&self) {
            self.messages.fetch_add(1, Ordering::Relaxed);
            if self.state.ring() {
                self.wake();
            }
        }

        /// A message that can wait, and the ring at the end of the messages.
        fn send_lazily(&self) {
            self.messages.fetch_add(1, Ordering::Relaxed);
            let sleep = self.state.look();
            if sleep != Sleep::Awake && self.state.ring() {
                self.wake();
            }
        }

        /// Takes messages until `expected` have come. Loom fails if the worker sleeps forever.
        fn serve(&self, sleep: Sleep, expected: usize) {
            loop {
                self.state.fall_asleep(sleep);
                if self.messages.load(Ordering::Relaxed) >= expected {
                    return;
                }
                let mut woken = self.woken.lock().unwrap();
                while !*woken {
                    woken = self.changed.wait(woken).unwrap();
                }
                *woken = false;
                drop(woken);
                self.state.wake_up();
            }
        }
    }

    #[test]
    fn no_message_is_lost() {
        for sleep in [Sleep::Asleep, Sleep::Dozing] {
            for lazily in [false, true] {
                let mut builder = loom::model::Builder::new();
                // More switches of threads find nothing more, and take hours.
                builder.preemption_bound = Some(3);
                builder.check(move || {
                    let model = Model::new();
                    let senders: Vec<_> = (0..2)
                        .map(|n| {
                            let model = model.clone();
                            thread::spawn(move || if lazily || n == 1 { model.send_lazily() } else { model.send() })
                        })
                        .collect();
                    model.serve(sleep, 2);
                    for sender in senders {
                        sender.join().unwrap();
                    }
                });
            }
        }
    }
}
