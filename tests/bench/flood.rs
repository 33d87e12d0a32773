//! A flood: `cargo run --release --example flood -- --clients 256`. tests/bench/README.md describes it.
//!
//! Many clients pipeline expensive commands without end, and one polite client asks for the time beside them. The server
//! has one worker, in a process of its own. The report says how long the polite client waits for its replies.

use std::{
    env,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use daytime::{Clock, Server};
use hdrhistogram::Histogram;
use memchr::memchr_iter;
use mio::{Events, Interest, Poll, Token};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::SockRef;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The time after which a wait fails.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The time before the measurement, in which the flood fills every buffer.
const WARM_UP: Duration = Duration::from_millis(500);
/// The pause of the polite client before each request.
const PAUSE: Duration = Duration::from_millis(1);
/// The input that waits at the server's side of the flood: more than the server reads at once, so that it never runs dry,
/// and little enough that a thousand clients fill it during the warm-up.
const BUFFER: usize = 128 * 1024;
/// The first argument of the server's process.
const SERVE: &str = "serve";
/// Sunday, 2026-11-22 15:44:57 UTC.
const MOMENT: i64 = 1_795_362_297;

/// The request of the polite client, and its reply.
const POLITE: (&[u8], &[u8]) = (b"time\n", b"15:44:57\n");

/// The most that the polite client should wait for 99 of 100 replies, beside at most this many clients.
const GOALS: [(usize, Duration); 2] = [(256, Duration::from_millis(15)), (1000, Duration::from_millis(50))];

/// Floods a server of one worker, and measures how long a polite client waits
#[derive(Parser)]
#[command(name = "flood")]
struct Args {
    /// Numbers of clients that flood, one measurement each
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "16,64,256,1000",
          value_parser = clap::value_parser!(u16).range(1..))]
    clients: Vec<u16>,

    /// A command of the flood; may be repeated. `+HH:MM` stands for each of 2,880 offsets, `#` for a number
    #[arg(long, value_name = "COMMAND", default_values = ["datetime +HH:MM", "time No/Zone#", "help", "day"])]
    request: Vec<String>,

    /// Length of each measurement
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

fn main() -> ExitCode {
    let result = match env::args().nth(1).as_deref() {
        Some(SERVE) => serve(),
        _ => run(&Args::parse()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flood: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Raises the limit of file descriptors as far as this process may.
fn allow_descriptors() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// Serves until the standard input ends, which it also does when the parent process ends.
fn serve() -> Result<()> {
    allow_descriptors()?;
    let builder = Server::builder().listen("127.0.0.1:0").workers(1).clock(Clock::fixed_unix(MOMENT));
    let server = builder.timezone("UTC").greeting("").start()?;
    println!("{}", server.port());
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn run(args: &Args) -> Result<()> {
    allow_descriptors()?;
    println!(
        "{:<18} {:>7} {:>14} {:>10} {:>10} {:>10}   goal for p99",
        "command", "clients", "replies/s", "p50 ms", "p99 ms", "max ms"
    );
    for request in &args.request {
        for &clients in &args.clients {
            let clients = usize::from(clients);
            let (rate, latencies) = with_server(|server| flood(server, request, clients, args.seconds))?;
            let ms = |micros: u64| micros as f64 / 1000.0;
            let (p50, p99, max) =
                (latencies.value_at_quantile(0.5), latencies.value_at_quantile(0.99), latencies.max());
            let goal = match GOALS.iter().find(|(most, _)| clients <= *most) {
                None => "none".into(),
                Some((_, goal)) if Duration::from_micros(p99) <= *goal => format!("{goal:?} met"),
                Some((_, goal)) => format!("{goal:?} MISSED"),
            };
            println!(
                "{request:<18} {clients:>7} {rate:>14.0} {:>10.1} {:>10.1} {:>10.1}   {goal}",
                ms(p50),
                ms(p99),
                ms(max)
            );
        }
    }
    Ok(())
}

/// Starts a server, and ends it after `measure`.
fn with_server<T>(measure: impl FnOnce(SocketAddr) -> Result<T>) -> Result<T> {
    /// Ends the server also after an error.
    struct Process(Child);

    impl Drop for Process {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    let command = &mut Command::new(env::current_exe()?);
    let mut server = Process(command.arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().expect("the output is a pipe")).read_line(&mut line)?;
    measure(([127, 0, 0, 1], line.trim_end().parse()?).into())
}

/// Returns the replies a second that the flood got, and the latencies of the polite client in microseconds.
fn flood(server: SocketAddr, request: &str, clients: usize, seconds: u64) -> Result<(f64, Histogram<u64>)> {
    let input = input(request);
    let mut poll = Poll::new()?;
    let mut flood = Vec::new();
    for n in 0..clients {
        let stream = connect(server)?;
        stream.set_nonblocking(true)?;
        SockRef::from(&stream).set_send_buffer_size(BUFFER)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(n), Interest::READABLE | Interest::WRITABLE)?;
        // No two of them are at the same command.
        flood.push((stream, n * 7919 % input.lines.len(), 0));
    }
    let begin = Instant::now() + WARM_UP;
    let end = begin + Duration::from_secs(seconds);
    let polite = thread::spawn(move || polite(server, begin, end));
    let mut events = Events::with_capacity(1024);
    let (mut buffer, mut replies) = (vec![0; 64 * 1024], 0);
    while !polite.is_finished() {
        poll.poll(&mut events, Some(PAUSE))?;
        let counts = Instant::now() >= begin;
        for event in &events {
            let (stream, line, sent) = &mut flood[event.token().0];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => return Err("the server closed a connection of the flood".into()),
                    Ok(n) if counts => replies += memchr_iter(b'\n', &buffer[..n]).count(),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
            loop {
                // From the line to the end, and then from the begin again.
                let begin = input.lines[*line] + *sent;
                match stream.write(&input.bytes[begin..]) {
                    Ok(n) if begin + n == input.bytes.len() => (*line, *sent) = (0, 0),
                    Ok(n) => *sent += n,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    let latencies = polite.join().expect("the polite client does not panic")?;
    match replies {
        0 => Err("the flood got no reply".into()),
        _ => Ok((replies as f64 / seconds as f64, latencies)),
    }
}

/// What a client of the flood sends again and again.
struct Input {
    bytes: Vec<u8>,
    /// Where each line begins.
    lines: Vec<usize>,
}

fn input(request: &str) -> Input {
    let (mut bytes, mut lines) = (Vec::new(), Vec::new());
    for n in 0..2880 {
        let (sign, minutes) = if n < 1440 { ('+', n) } else { ('-', n - 1440) };
        let offset = format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        lines.push(bytes.len());
        bytes.extend(request.replace("+HH:MM", &offset).replace('#', &n.to_string()).into_bytes());
        bytes.push(b'\n');
    }
    Input { bytes, lines }
}

fn connect(server: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks for the time again and again until `end`, and records what begins after `begin`.
fn polite(server: SocketAddr, begin: Instant, end: Instant) -> Result<Histogram<u64>> {
    let mut stream = connect(server)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut latencies = Histogram::new(3)?;
    // The first reply comes after the end of the greeting's line.
    stream.write_all(POLITE.0)?;
    let mut greeting = Vec::new();
    while !greeting.ends_with(POLITE.1) {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        greeting.extend(byte);
    }
    let mut reply = POLITE.1.to_vec();
    loop {
        thread::sleep(PAUSE);
        let asked = Instant::now();
        if asked >= end {
            return Ok(latencies);
        }
        stream.write_all(POLITE.0)?;
        stream.read_exact(&mut reply)?;
        if reply != POLITE.1 {
            return Err(format!("wrong reply to the polite client: {:?}", String::from_utf8_lossy(&reply)).into());
        }
        if asked >= begin {
            latencies.record(asked.elapsed().as_micros() as u64)?;
        }
    }
}
