//! `daytime-server`: arguments in, library, exit code out. What the arguments are is in `args.rs`, what systemd has to do
//! with it in `systemd.rs`.

#[path = "../common/mod.rs"]
mod common;

mod args;
mod check;
mod systemd;

use std::{
    io::{self, ErrorKind::AddrInUse, Write},
    process::{self, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use args::Args;
use common::complain;
use daytime::{Address, Bound, Error, Event, Handle, Server, ServerBuilder, Service};
use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain("daytime-server", &error);
            ExitCode::from(1 + u8::from(matches!(error, Error::Invalid(_))))
        }
    }
}

fn run() -> Result<(), Error> {
    let args = Args::load()?;
    if let Ok((_, hard)) = getrlimit(RLIMIT_NOFILE) {
        // Where that is refused, the soft limit serves fewer clients.
        let _ = setrlimit(RLIMIT_NOFILE, hard, hard);
    }
    let builder = args.builder()?;
    if args.print_config || args.check {
        builder.check()?;
        let told = if args.check { check::plan(&args, &builder)? } else { check::config(&args)? };
        return write!(io::stdout(), "{told}").map_err(|error| Error::Io(error, "print".into()));
    }
    let bound = bind(systemd::sockets(builder)?, args.bind_timeout.into())?;
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(|error| Error::Io(error, "catch signals".into()))?;
    let events = (!args.quiet).then(|| bound.events_with(1024, false));
    let server = bound.start()?;
    for warning in server.warnings() {
        complain("daytime-server", warning);
    }
    let listening = listening(&server);
    // A thread of its own: whoever reads standard output slowly, or not at all, stops nothing but this.
    spawn(move || print(listening, events.into_iter().flatten()))?;
    let asked = Arc::new(AtomicBool::new(false));
    let (handle, heard) = (server.handle(), asked.clone());
    spawn(move || obey(signals, &handle, args.drain.into(), &heard))?;
    systemd::ready(server.handle())?;
    server.wait(None);
    match asked.load(Relaxed) {
        true => Ok(()),
        false => Err(Error::State("the server has ended by itself, which is a bug or the system's failure".into())),
    }
}

/// Does what signals ask for. The second one that ends the program does not wait for anything.
fn obey(mut signals: Signals, server: &Handle, grace: Duration, asked: &AtomicBool) {
    for signal in signals.forever() {
        if signal == SIGHUP {
            server.reload_zones();
            match Args::load().and_then(|args| args.networks()) {
                Ok(networks) => server.set_networks(networks),
                Err(error) => complain("daytime-server", format!("networks stay as they were: {error}")),
            }
        } else if asked.swap(true, Relaxed) {
            process::exit(1);
        } else {
            systemd::stopping();
            server.drain(grace);
        }
    }
}

fn spawn(body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = thread::Builder::new().spawn(body).map(drop);
    started.map_err(|error| Error::Io(error, "start the thread for output, signals or systemd".into()))
}

/// Binds, and while an address is taken tries again, saying so in the original's words.
fn bind(builder: ServerBuilder, patience: Duration) -> Result<Bound, Error> {
    let began = Instant::now();
    loop {
        match builder.clone().bind() {
            Err(Error::Io(error, doing)) if error.kind() == AddrInUse && began.elapsed() < patience => {
                let _ = writeln!(io::stderr(), "Server socket binding threw an error: {doing}: {error}\nRetrying ....");
                thread::sleep(Duration::from_secs(1).min(patience.saturating_sub(began.elapsed())));
            }
            result => return result,
        }
    }
}

/// A line for each address.
fn listening(server: &Server) -> Vec<String> {
    let text = server.addresses().iter().map(|address| match address {
        Address::Tcp(tcp) => format!("Server is listening on IP: {} and Port: {}", tcp.ip(), tcp.port()),
        other => format!("Server is listening on {other}"),
    });
    let older = [("RFC 867", server.addresses_of(Service::Rfc867)), ("RFC 868", server.addresses_of(Service::Rfc868))];
    let older = older.into_iter().flat_map(|(rfc, addresses)| {
        addresses.iter().map(move |address| format!("Server is listening on {address} for {rfc}"))
    });
    text.chain(older).collect()
}

/// A closed or full standard output is no reason to stop: what cannot be printed is not printed.
fn print(listening: Vec<String>, events: impl Iterator<Item = Event>) {
    let mut out = io::stdout();
    let told = events.filter(|event| !matches!(event, Event::Disconnected { .. })).map(|event| event.to_string());
    for line in listening.into_iter().chain(told) {
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}
