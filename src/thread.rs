//! The threads of this crate. They have names and block all signals, so that the embedder's signal handlers run on the
//! embedder's threads only.

use std::thread::{Builder, JoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

use crate::Error;

/// Starts a thread. A thread inherits its signal mask, so the mask is set here and restored before this returns.
pub(crate) fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let mut before = SigSet::empty();
    let masked = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before));
    let context = format!("start the thread {name}");
    let thread = Builder::new().name(name).spawn(body).map_err(Error::io(context));
    if masked.is_ok() {
        // This cannot fail: it restores a mask that was just read.
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    }
    thread
}
