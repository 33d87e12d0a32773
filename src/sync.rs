//! The primitives of the code that has models: those of std, or those of loom, which runs a model in every order.
//!
//! Only `--cfg loom` changes anything. CONTRIBUTING.md says how to run the models.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicI64, AtomicU8},
};

#[cfg(loom)]
pub(crate) use self::model::Condvar;
#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicI64, AtomicU8},
};

#[cfg(loom)]
mod model {
    use std::{
        sync::{LockResult, PoisonError},
        time::Duration,
    };

    use loom::sync::{
        MutexGuard,
        atomic::{AtomicBool, Ordering::SeqCst},
    };

    /// loom's condition variable, whose waits time out when a model says so. loom's own never do.
    pub(crate) struct Condvar {
        condvar: loom::sync::Condvar,
        expired: AtomicBool,
    }

    pub(crate) struct WaitTimeoutResult(bool);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Condvar { condvar: loom::sync::Condvar::new(), expired: AtomicBool::new(false) }
        }

        pub(crate) fn notify_one(&self) {
            self.condvar.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.condvar.notify_all();
        }

        pub(crate) fn wait_timeout<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            _: Duration,
        ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
            let guard = match self.expired.load(SeqCst) {
                true => guard,
                false => self.condvar.wait(guard).unwrap_or_else(PoisonError::into_inner),
            };
            Ok((guard, WaitTimeoutResult(self.expired.load(SeqCst))))
        }

        /// Ends every wait of now, and every later one, by a timeout. The caller holds the lock.
        pub(crate) fn expire(&self) {
            self.expired.store(true, SeqCst);
            self.condvar.notify_all();
        }
    }

    impl WaitTimeoutResult {
        pub(crate) fn timed_out(&self) -> bool {
            self.0
        }
    }
}
