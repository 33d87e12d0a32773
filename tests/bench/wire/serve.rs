//! The start of a contender's process, and the servers that are part of this executable.
//!
//! Every contender starts as this executable with `--serve CORES SERVER…`. So the process pins itself before it has a
//! second thread, and the system kills it when the benchmark ends for any reason.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::Ipv4Addr,
    os::unix::process::CommandExt,
    process::Command,
    thread,
    time::Duration,
};

use daytime::{Framing, HandlerResult, Server, protocol::GREETING};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use nix::sys::{prctl, signal::Signal};
use slab::Slab;
use socket2::SockRef;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    runtime,
};

use crate::{Result, machine};

/// The first argument of a process that serves.
pub(crate) const SERVE: &str = "--serve";
/// The text before the port in the line that a contender prints, as `daytime-server` prints it.
pub(crate) const PORT: &str = "Port: ";

/// Serves until the process is killed. A contender that is a separate program replaces this process.
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let [cores, server, rest @ ..] = arguments else { return Err("expected cores and a server".into()) };
    machine::pin(&cores.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?)?;
    match (server.as_str(), rest) {
        ("floor", []) => floor()?,
        ("embedded", []) => embedded()?,
        ("custom", []) => custom()?,
        ("tokio", []) => tokio(false)?,
        ("tokio", [option]) if option == "buffered" => tokio(true)?,
        ("program", [program, arguments @ ..]) => return Err(Command::new(program).args(arguments).exec().into()),
        _ => return Err(format!("{server:?} with {rest:?} is not a server of this benchmark").into()),
    }
    Ok(())
}

/// The library with most of its settings: limits, timeouts that never expire, custom commands, and a thread that reads
/// its events.
fn embedded() -> Result<()> {
    const MANY: usize = 100_000;
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .workers(1)
        .framing(Framing::Line)
        .max_clients(MANY)
        .max_clients_per_source(MANY)
        .idle_timeout(Duration::from_secs(600))
        .first_command_timeout(Duration::from_secs(60))
        .write_timeout(Duration::from_secs(5))
        .command("echo", |request| request.argument.to_owned())
        .command("double", |request| request.argument.parse::<i64>().map(|n| (2 * n).to_string()))
        .start()?;
    let events = server.events();
    thread::Builder::new().name(machine::APPLICATION.into()).spawn(move || events.iter().for_each(drop))?;
    println!("{PORT}{}", server.port());
    server.wait(None);
    Ok(())
}

/// The library with custom commands: one whose handler returns the reply, one whose reply comes from a task of tokio, and
/// one whose handler sleeps.
fn custom() -> Result<()> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    let tasks = runtime.handle().clone();
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .workers(1)
        .framing(Framing::Line)
        .command("echo", |request| request.argument.to_owned())
        .command_deferred("defer", move |request, responder| {
            let text = request.argument.to_owned();
            tasks.spawn(async move { responder.reply(text) });
        })
        .command("sleep", |request| -> HandlerResult {
            thread::sleep(Duration::from_millis(request.argument.parse()?));
            Ok("slept".into())
        })
        .start()?;
    println!("{PORT}{}", server.port());
    server.wait(None);
    Ok(())
}

/// A server with the command `echo` alone, as a program with tokio would have it: a task for each client, on one thread.
/// It sends each reply by itself, or, if `buffered`, the replies to all commands that have arrived.
fn tokio(buffered: bool) -> io::Result<()> {
    runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{PORT}{}", listener.local_addr()?.port());
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(echo(stream, buffered));
        }
    })
}

async fn echo(mut stream: tokio::net::TcpStream, buffered: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (input, mut output) = stream.split();
    let (mut input, mut line) = (BufReader::new(input), String::new());
    let mut replies = format!("{GREETING}\n");
    loop {
        if !buffered || input.buffer().is_empty() {
            output.write_all(replies.as_bytes()).await?;
            replies.clear();
        }
        line.clear();
        if input.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        replies.push_str(line.get("echo ".len()..).unwrap_or("\n"));
    }
}

const LISTENER: Token = Token(usize::MAX);

/// The minimum of a server in Rust: it waits for sockets, reads, and writes a constant line for each five bytes.
///
/// It waits as the server of this crate does, and does not look at the bytes. A server that answers each request with
/// one send can hardly be faster.
fn floor() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    SockRef::from(&listener).set_tcp_nodelay(true)?; // accepted sockets inherit the option
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{PORT}{}", listener.local_addr()?.port());
    let greeting = format!("{GREETING}\n");
    let mut clients = Slab::new();
    let mut buffer = vec![0; 64 * 1024];
    let lines = b"15:44:57\n".repeat(buffer.len() / 5 + 1);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Some((mut stream, _)) = unless_blocked(listener.accept())? {
                    let slot = clients.vacant_entry();
                    poll.registry().register(&mut stream, Token(slot.key()), Interest::READABLE)?;
                    stream.write_all(greeting.as_bytes())?;
                    slot.insert((stream, 0));
                }
            } else if let Some((stream, rest)) = clients.get_mut(event.token().0)
                && !answer(stream, rest, &mut buffer, &lines).unwrap_or(false)
            {
                clients.remove(event.token().0);
            }
        }
    }
}

/// Reads and answers all bytes that have arrived. Returns false at the end of the stream. `rest` is the length of an
/// incomplete line.
fn answer(stream: &mut TcpStream, rest: &mut usize, buffer: &mut [u8], lines: &[u8]) -> io::Result<bool> {
    while let Some(n) = unless_blocked(stream.read(buffer))? {
        if n == 0 {
            return Ok(false);
        }
        stream.write_all(&lines[..(*rest + n) / 5 * 9])?;
        *rest = (*rest + n) % 5;
        if n < buffer.len() {
            break;
        }
    }
    Ok(true)
}

/// The result, or `None` if the call would block.
pub(crate) fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}
