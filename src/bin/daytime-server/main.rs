//! `daytime-server`: arguments in, library, exit code out. `args.rs` has the settings, `check.rs` prints them, and
//! `systemd.rs` talks to systemd.

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
use daytime::{Address, Bound, Error, Event, Handle, Server, ServerBuilder, Service, cli::print_error};
use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error("daytime-server", &error);
            ExitCode::from(1 + u8::from(matches!(error, Error::Invalid(_))))
        }
    }
}

fn run() -> Result<(), Error> {
    let args = Args::load()?;
    if let Ok((_, hard)) = getrlimit(RLIMIT_NOFILE) {
        // If this fails, the soft limit allows fewer clients.
        let _ = setrlimit(RLIMIT_NOFILE, hard, hard);
    }
    let builder = args.builder()?;
    if args.print_config || args.check {
        builder.check()?;
        let text = if args.check { check::plan(&args, &builder)? } else { check::config(args, &builder)? };
        return write!(io::stdout(), "{text}").map_err(|error| Error::Io(error, "print".into()));
    }
    let bound = bind(systemd::sockets(builder)?, args.bind_timeout())?;
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(|error| Error::Io(error, "catch signals".into()))?;
    let events = (!args.quiet).then(|| bound.events_with(1024, false));
    let server = bound.start()?;
    for warning in server.warnings() {
        print_error("daytime-server", warning);
    }
    let listening = listening(&server);
    // A separate thread: a slow reader of standard output blocks only this thread.
    spawn(move || print(listening, events.into_iter().flatten()))?;
    let requested = Arc::new(AtomicBool::new(false));
    let (handle, flag) = (server.handle(), requested.clone());
    spawn(move || handle_signals(signals, &handle, args.drain(), &flag))?;
    systemd::ready(server.handle())?;
    server.wait(None);
    match requested.load(Relaxed) {
        true => Ok(()),
        false => Err(Error::State("the server ended by itself; this is a bug or a failure of the system".into())),
    }
}

/// Handles signals. A second SIGINT or SIGTERM ends the program at once.
fn handle_signals(mut signals: Signals, server: &Handle, grace: Duration, requested: &AtomicBool) {
    for signal in signals.forever() {
        if signal == SIGHUP {
            server.reload_zones();
            match Args::load().and_then(|args| args.networks()) {
                Ok(networks) => server.set_networks(networks),
                Err(error) => print_error("daytime-server", format!("the networks are unchanged: {error}")),
            }
        } else if requested.swap(true, Relaxed) {
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

/// Binds, and retries while an address is taken, with the message of the original classroom program.
fn bind(builder: ServerBuilder, timeout: Duration) -> Result<Bound, Error> {
    let began = Instant::now();
    loop {
        match builder.clone().bind() {
            Err(Error::Io(error, context)) if error.kind() == AddrInUse && began.elapsed() < timeout => {
                let _ =
                    writeln!(io::stderr(), "Server socket binding threw an error: {context}: {error}\nRetrying ....");
                thread::sleep(Duration::from_secs(1).min(timeout.saturating_sub(began.elapsed())));
            }
            result => return result,
        }
    }
}

/// A line for each address, for TCP with the words of the original.
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

/// Prints lines. A line that cannot be printed is lost, since the server does not depend on its standard output.
fn print(listening: Vec<String>, events: impl Iterator<Item = Event>) {
    let mut out = io::stdout();
    let lines = events.filter(|event| !matches!(event, Event::Disconnected { .. })).map(|event| event.to_string());
    for line in listening.into_iter().chain(lines) {
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}
