//! What a contender's process does before it serves, and the two servers that live in this executable.
//!
//! Every contender is started as this executable with `--serve CORES WHAT…`. So its cores are set before its first
//! thread is there, and it is killed by the system when the benchmark ends, however that ends.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::Ipv4Addr,
    os::unix::process::CommandExt,
    process::Command,
    thread,
    time::Duration,
};

use daytime::{Framing, Server, protocol::GREETING};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use nix::sys::{prctl, signal::Signal};
use slab::Slab;
use socket2::SockRef;

use crate::{Result, machine};

/// What the first argument is in a process that serves.
pub(crate) const SERVE: &str = "--serve";
/// What stands before the port in the line that says where a contender listens: `daytime-server` says it like this.
pub(crate) const PORT: &str = "Port: ";

/// Serves, or becomes the program that does, until it is killed.
pub(crate) fn serve(words: &[String]) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let [cores, what, rest @ ..] = words else { return Err("cores and a server are wanted".into()) };
    machine::pin(&cores.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?)?;
    match (what.as_str(), rest) {
        ("floor", []) => floor()?,
        ("embedded", []) => embedded()?,
        ("program", [program, arguments @ ..]) => return Err(Command::new(program).args(arguments).exec().into()),
        _ => return Err(format!("there is no server {what:?}").into()),
    }
    Ok(())
}

/// The library with everything on that an application may want: limits, timeouts that are never reached, custom commands,
/// and a thread that reads its events.
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

const LISTENER: Token = Token(usize::MAX);

/// The least that a server in Rust does: it waits for sockets as ours does, reads, and writes a constant line for each
/// five bytes, whatever they are. Nobody who answers one request with one send is faster by much.
fn floor() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    SockRef::from(&listener).set_tcp_nodelay(true)?; // what it accepts inherits that
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

/// Reads all that has come and answers it; false at the end. `rest` are the bytes of a line that is not whole.
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

/// `None` where there is nothing yet.
pub(crate) fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}
