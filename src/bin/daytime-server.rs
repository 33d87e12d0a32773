//! `daytime-server`: arguments in, library, exit code out.

use std::io::{self, ErrorKind::AddrInUse, Write};
use std::process::{self, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

mod common;

use clap::Parser;
use common::{complain, seconds};
use daytime::{Address, Bound, Error, Event, Framing, Server, ServerBuilder};
use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Tells the day, the date and the time to whoever asks over TCP.
///
/// SIGINT and SIGTERM close idle clients, send the replies owed to others, and end it; a second one ends it at once.
#[derive(Clone, Parser)]
#[command(version)]
struct Args {
    /// Address to listen on, HOST:PORT; may be repeated. A name stands for all its addresses; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value = "localhost:9990")]
    listen: Vec<Address>,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// How ends of commands are found: `auto` serves the original's clients too, `line` is for deployments without
    #[arg(long, default_value = "auto")]
    framing: Framing,
    /// Time zone of replies: an IANA name, UTC, or an offset such as +05:30 [default: the system's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// strftime format of the reply to `day`
    #[arg(long, value_name = "F", default_value = "%A")]
    day_format: String,
    /// strftime format of the reply to `date`
    #[arg(long, value_name = "F", default_value = "%y-%m-%d")]
    date_format: String,
    /// strftime format of the reply to `time`
    #[arg(long, value_name = "F", default_value = "%H:%M:%S")]
    time_format: String,
    /// What a client reads first
    #[arg(long, value_name = "TEXT", default_value = daytime::protocol::GREETING)]
    greeting: String,
    /// Clients at a time; more are turned away [default: the limit of descriptors less 64]
    #[arg(long, value_name = "N")]
    max_clients: Option<usize>,
    /// Clients at a time from one IPv4 address, or one IPv6 network of 64 bits [default: no limit]
    #[arg(long, value_name = "N")]
    max_clients_per_source: Option<usize>,
    /// A client that says nothing for so long is disconnected [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    idle_timeout: Option<Duration>,
    /// A client that has said no whole command so long after connecting is disconnected [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    first_command_timeout: Option<Duration>,
    /// A client that takes none of its replies for so long is disconnected
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    write_timeout: Duration,
    /// Time for replies owed when the program is asked to end
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    drain: Duration,
    /// How long to retry, once a second, while an address is taken
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    bind_timeout: Duration,
    /// No line for each client
    #[arg(long)]
    quiet: bool,
}

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
    let server = bound.start()?;
    for warning in server.warnings() {
        complain("daytime-server", warning);
    }
    let events = (!args.quiet).then(|| server.events());
    let addresses = server.addresses().to_vec();
    // A thread of its own: whoever reads standard output slowly, or not at all, stops nothing but this.
    thread::spawn(move || print(&addresses, events.into_iter().flatten()));
    let (handle, grace) = (server.handle(), args.drain);
    thread::spawn(move || {
        for (earlier, _) in signals.forever().enumerate() {
            match earlier {
                0 => handle.drain(grace),
                _ => process::exit(1),
            }
        }
    });
    server.wait(None);
    Ok(())
}

/// Binds, and while an address is taken tries again, saying so in the original's words.
fn bind(args: &Args) -> Result<Bound, Error> {
    let builder = Server::builder()
        .workers(args.workers)
        .framing(args.framing)
        .day_format(&args.day_format)
        .date_format(&args.date_format)
        .time_format(&args.time_format)
        .greeting(&args.greeting)
        .max_clients(args.max_clients)
        .max_clients_per_source(args.max_clients_per_source)
        .idle_timeout(args.idle_timeout)
        .first_command_timeout(args.first_command_timeout)
        .write_timeout(args.write_timeout);
    let builder = args.timezone.iter().fold(builder, ServerBuilder::timezone);
    let builder = args.listen.iter().fold(builder, ServerBuilder::listen);
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
