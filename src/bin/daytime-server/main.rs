//! `daytime-server`: arguments in, library, exit code out. What the arguments are is in `args.rs`.

#[path = "../common/mod.rs"]
mod common;

mod args;

use std::{
    io::{self, ErrorKind::AddrInUse, Write},
    process::{self, ExitCode},
    thread,
    time::{Duration, Instant},
};

use args::Args;
use clap::Parser;
use common::complain;
use daytime::{Address, Bound, Error, Event};
use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain("daytime-server", &error);
            ExitCode::from(1 + u8::from(matches!(error, Error::Invalid(_))))
        }
    }
}

fn run(args: &Args) -> Result<(), Error> {
    if let Ok((_, hard)) = getrlimit(RLIMIT_NOFILE) {
        // Where that is refused, the soft limit serves fewer clients.
        let _ = setrlimit(RLIMIT_NOFILE, hard, hard);
    }
    let bound = bind(args)?;
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| Error::Io(error, "catch signals".into()))?;
    let events = (!args.quiet).then(|| bound.events_with(1024, false));
    let server = bound.start()?;
    for warning in server.warnings() {
        complain("daytime-server", warning);
    }
    let addresses = server.addresses().to_vec();
    // A thread of its own: whoever reads standard output slowly, or not at all, stops nothing but this.
    spawn(move || print(&addresses, events.into_iter().flatten()))?;
    let (handle, grace) = (server.handle(), args.drain);
    spawn(move || {
        for (earlier, _) in signals.forever().enumerate() {
            match earlier {
                0 => handle.drain(grace),
                _ => process::exit(1),
            }
        }
    })?;
    server.wait(None);
    Ok(())
}

fn spawn(body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = thread::Builder::new().spawn(body).map(drop);
    started.map_err(|error| Error::Io(error, "start the thread for output or for signals".into()))
}

/// Binds, and while an address is taken tries again, saying so in the original's words.
fn bind(args: &Args) -> Result<Bound, Error> {
    let builder = args.builder();
    let began = Instant::now();
    loop {
        match builder.clone().bind() {
            Err(Error::Io(error, doing)) if error.kind() == AddrInUse && began.elapsed() < args.bind_timeout => {
                let _ = writeln!(io::stderr(), "Server socket binding threw an error: {doing}: {error}\nRetrying ....");
                thread::sleep(Duration::from_secs(1).min(args.bind_timeout.saturating_sub(began.elapsed())));
            }
            result => return result,
        }
    }
}

/// A closed or full standard output is no reason to stop: what cannot be printed is not printed.
fn print(addresses: &[Address], events: impl Iterator<Item = Event>) {
    let mut out = io::stdout();
    let listening = addresses.iter().filter_map(|address| match address {
        Address::Tcp(tcp) => Some(format!("Server is listening on IP: {} and Port: {}", tcp.ip(), tcp.port())),
        _ => None,
    });
    let told = events.filter(|event| !matches!(event, Event::Disconnected { .. })).map(|event| event.to_string());
    for line in listening.chain(told) {
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}
