//! `daytime-server`: arguments in, library, exit code out. `args.rs` has the settings, `check.rs` prints them, `manual.rs`
//! has the manual page, `log.rs` makes the lines of the log, `output.rs` writes them, and `systemd.rs` talks to systemd.
//!
//! The thread that hears signals does nothing that may block. A reader of an output that does not read, a service manager
//! that does not listen, or a configuration file that cannot be read must not make SIGTERM unheard.

mod args;
mod check;
mod log;
mod manual;
mod output;
mod systemd;

use std::{
    io::{self, ErrorKind::AddrInUse, Write},
    process::{self, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use args::{Args, LogFormat};
use daytime::{Bound, Error, Event, Handle, Server, ServerBuilder, Service, cli::generate};
use nix::{
    errno::Errno,
    sys::{
        resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit},
        signal::{SigSet, Signal},
    },
};
use output::Output;

/// How long the end of the program waits for lines that are not written yet.
const OUTPUT_GRACE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let mut format = LogFormat::default();
    match run(&mut format) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Otherwise a standard error that nobody reads would make the program deaf to them now.
            let _ = signals().thread_unblock();
            let _ = writeln!(io::stderr(), "{}", format.error(&error.to_string()));
            ExitCode::from(1 + u8::from(matches!(error, Error::Invalid(_))))
        }
    }
}

/// Runs the server. Once the format of the log is known, it is set.
fn run(format: &mut LogFormat) -> Result<(), Error> {
    let args = Args::load()?;
    let print = |text: &[u8]| io::stdout().write_all(text).map_err(|error| Error::Io(error, "print".into()));
    if let Some(what) = args.generate {
        let text = generate(what, Args::command(), &manual::PAGE);
        return print(&text.map_err(|error| Error::Io(error, "generate".into()))?);
    }
    *format = args.log_format();
    let format = *format;
    if let Ok((_, hard)) = getrlimit(RLIMIT_NOFILE) {
        // If this fails, the soft limit allows fewer clients.
        let _ = setrlimit(RLIMIT_NOFILE, hard, hard);
    }
    let builder = args.builder()?;
    if args.print_config || args.check {
        builder.check()?;
        let text = if args.check { check::plan(&args, &builder)? } else { check::config(args, &builder)? };
        return print(text.as_bytes());
    }
    let bound = bind(systemd::sockets(builder)?, args.bind_timeout(), format)?;
    // Before the first thread, so that every thread inherits the mask. Until here, a signal ends the program at once.
    signals().thread_block().map_err(|error| Error::Io(error.into(), "block signals".into()))?;
    let (out, err) = (Output::start(&io::stdout(), format)?, Output::start(&io::stderr(), format)?);
    let events = (!args.quiet).then(|| bound.events());
    let server = bound.start()?;
    let requested = Arc::new(AtomicBool::new(false));
    let (reloads, requests) = sync_channel(1);
    let (done, tasks) = channel();
    spawn({
        let (server, grace, requested) = (server.handle(), args.drain(), requested.clone());
        let (done, err) = (done.clone(), err.clone());
        move || handle_signals(&server, grace, &requested, &reloads, &done, &err)
    })?;
    spawn({
        let (server, err) = (server.handle(), err.clone());
        move || reload_networks(&requests, &server, &err)
    })?;
    server.warnings().iter().for_each(|warning| err.warning(warning));
    let listening = listening(&server, format);
    spawn({
        let (server, out) = (server.handle(), out.clone());
        move || {
            log(listening, events.into_iter().flatten(), format, &server, &out);
            let _ = done.send(());
        }
    })?;
    systemd::ready(server.handle(), err.clone())?;
    server.wait(None);
    // The thread that prints has the last event, and the service manager knows that the program stops.
    let deadline = Instant::now() + OUTPUT_GRACE;
    for _ in 0..1 + usize::from(requested.load(Relaxed)) {
        let _ = tasks.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
    out.flush(deadline);
    err.flush(deadline);
    match requested.load(Relaxed) {
        true => Ok(()),
        false => Err(Error::State("the server ended by itself; this is a bug or a failure of the system".into())),
    }
}

/// The signals that the program waits for. It has no signal handler.
fn signals() -> SigSet {
    SigSet::from_iter([Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM])
}

/// Handles signals. A second SIGINT or SIGTERM ends the program at once.
fn handle_signals(
    server: &Handle,
    grace: Duration,
    requested: &AtomicBool,
    reloads: &SyncSender<()>,
    done: &Sender<()>,
    err: &Output,
) {
    loop {
        match signals().wait() {
            Ok(Signal::SIGHUP) => {
                server.reload_zones();
                // A reload that waits reads the file as it will be then.
                let _ = reloads.try_send(());
            }
            Ok(_) if requested.swap(true, Relaxed) => process::exit(1),
            Ok(_) => {
                server.drain(grace);
                systemd::stopping(err);
                let _ = done.send(());
            }
            Err(Errno::EINTR) => {}
            // A server that no signal can end is worse than none.
            Err(_) => return server.stop(),
        }
    }
}

/// Reloads the networks of clients and of proxies in the configuration file for each request. The file may be on a file system that hangs.
fn reload_networks(requests: &Receiver<()>, server: &Handle, err: &Output) {
    for () in requests {
        match Args::reload().and_then(|args| Ok((args.networks()?, args.proxies()?))) {
            Ok((networks, proxies)) => {
                server.set_networks(networks);
                server.set_proxies(proxies);
            }
            Err(error) => err.error(format!("the networks are unchanged: {error}")),
        }
    }
}

fn spawn(body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = thread::Builder::new().spawn(body).map(drop);
    started.map_err(|error| Error::Io(error, "start the thread for output, signals or systemd".into()))
}

/// Binds, and retries while an address is taken, with the message of the original classroom program.
fn bind(builder: ServerBuilder, timeout: Duration, format: LogFormat) -> Result<Bound, Error> {
    let began = Instant::now();
    loop {
        match builder.clone().bind() {
            Err(Error::Io(error, context)) if error.kind() == AddrInUse && began.elapsed() < timeout => {
                let _ = writeln!(io::stderr(), "{}", format.retry(&format!("{context}: {error}")));
                thread::sleep(Duration::from_secs(1).min(timeout.saturating_sub(began.elapsed())));
            }
            result => return result,
        }
    }
}

/// A line for each address.
fn listening(server: &Server, format: LogFormat) -> Vec<String> {
    let text = server.addresses().iter().map(|address| format.listening(address, Service::Text));
    let others = Service::ALL.iter().copied().filter(|service| *service != Service::Text);
    let others = others
        .flat_map(|service| server.addresses_of(service).iter().map(move |address| format.listening(address, service)));
    text.chain(others).collect()
}

/// Logs the addresses of a server that has started, and its events.
fn log(listening: Vec<String>, events: impl Iterator<Item = Event>, format: LogFormat, server: &Handle, out: &Output) {
    listening.into_iter().for_each(|line| out.line(line));
    let mut dropped = 0;
    for event in events {
        // In text, each of them may have been the end of a connection.
        let before = std::mem::replace(&mut dropped, server.stats().events_dropped);
        out.drop(dropped - before);
        if let Some(line) = format.event(&event) {
            out.line(line);
        }
    }
}
