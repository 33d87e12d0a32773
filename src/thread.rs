//! Threads of this crate: named, with every signal blocked, so that a host's handlers run on the host's threads alone.

use std::thread::{Builder, JoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

use crate::Error;

/// Starts a thread. It inherits its signal mask, so the mask is set here and restored before this returns.
pub(crate) fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let mut before = SigSet::empty();
    let masked = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before));
    let doing = format!("start the thread {name}");
    let thread = Builder::new().name(name).spawn(body).map_err(Error::io(doing));
    if masked.is_ok() {
        // Cannot fail: it restores what it read.
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    }
    thread
}
