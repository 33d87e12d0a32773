//! A bounded channel on which the embedder's threads wait for ours.
//!
//! The channels of std and of crossbeam call `std::thread::current()`. It leaks 48 bytes on the main thread
//! (rust-lang/rust#135608), which the embedder sees in Valgrind. This channel waits on a condition variable instead.
//! Drop it once that issue is fixed.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crossbeam_channel::{RecvTimeoutError, TrySendError};

/// A channel that buffers at most `capacity` messages.
pub(crate) fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let state = State { queue: VecDeque::new(), capacity, senders: 1, received: true, waiting: 0 };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    (Sender(shared.clone()), Receiver(shared))
}

/// The sending side. The receiver is disconnected once the last sender is dropped.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// The receiving side.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<T>,
    capacity: usize,
    senders: usize,
    /// The receiver has not been dropped.
    received: bool,
    /// The number of threads that wait. A sender wakes one only if there is one.
    waiting: usize,
}

impl<T> Sender<T> {
    /// Sends without waiting. Fails if the buffer is full, or the receiver was dropped.
    pub(crate) fn send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut state = self.0.state();
        if !state.received {
            return Err(TrySendError::Disconnected(message));
        }
        if state.queue.len() >= state.capacity {
            return Err(TrySendError::Full(message));
        }
        state.queue.push_back(message);
        if state.waiting > 0 {
            self.0.changed.notify_one();
        }
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state().senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.senders -= 1;
        if state.senders == 0 {
            self.0.changed.notify_all();
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for the next message until the deadline, or without a deadline as long as a sender exists.
    pub(crate) fn receive(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        let mut state = self.0.state();
        loop {
            if let Some(message) = state.queue.pop_front() {
                return Ok(message);
            }
            if state.senders == 0 {
                return Err(RecvTimeoutError::Disconnected);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(RecvTimeoutError::Timeout);
            }
            state.waiting += 1;
            state = match left {
                None => self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
            state.waiting -= 1;
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.state().received = false;
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
