//! The clients: idle ones in processes of their own, and a few active ones in the event loop of the benchmark.

use std::{
    io::{self, ErrorKind, Read, Write, stdin},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Socket, Type};

use crate::{Result, TIMEOUT, machine};

/// The first argument of a process with idle clients.
pub(crate) const HOLD: &str = "hold";

const GREETING: &[u8] = b"Welcome to the server\n";
const COMMAND: &[u8] = b"time\n";
/// The length of the reply, such as `15:44:57`.
const REPLY: usize = 9;

/// Holds idle clients: each has asked once. Writes the number of those that were refused. Then, for each line of the
/// input, it writes the number of connections that the servers have closed. It ends with its input.
pub(crate) fn hold(arguments: &[String]) -> Result<()> {
    let [port, number, count] = arguments else { return Err("expected a port, a number and a count".into()) };
    let (port, number, count): (u16, u8, usize) = (port.parse()?, number.parse()?, count.parse()?);
    machine::descriptors()?;
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        // Each process has an address, and with it as many ports as the system has for one address.
        let mut client = connect(Ipv4Addr::new(127, 1, 0, number + 1), port)?;
        let mut greeting = [0; GREETING.len()];
        if client.read_exact(&mut greeting).is_err() || greeting != GREETING {
            continue;
        }
        client.write_all(COMMAND)?;
        client.read_exact(&mut [0; REPLY])?;
        client.set_nonblocking(true)?;
        clients.push(client);
    }
    println!("{}", count - clients.len());
    for _ in stdin().lines() {
        let closed = clients.iter().filter(|client| !is_open(client));
        println!("{}", closed.count());
    }
    Ok(())
}

/// Whether a client is connected, and nothing has arrived that it has not asked for.
fn is_open(mut client: &TcpStream) -> bool {
    matches!(client.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn connect(source: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // The port is chosen at the connect, when it is known that only the pair of addresses must be unique.
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?; // also the timeout of connecting on Linux
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(socket.into())
}

/// The numbers of one measurement.
pub(crate) struct Measured {
    /// Requests a second.
    pub(crate) rate: f64,
    /// The processor time of all servers for a request, in microseconds.
    pub(crate) cost: f64,
    /// From a request to its reply, in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Clients that send one request at a time, for this long, after a tenth of it to warm up. `processor_time` is that of
/// the servers, in nanoseconds.
pub(crate) fn talk(
    port: u16,
    count: usize,
    length: Duration,
    processor_time: impl Fn() -> Result<u64>,
) -> Result<Measured> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    let mut clients = Vec::with_capacity(count);
    for number in 0..count {
        let mut client = connect(Ipv4Addr::LOCALHOST, port)?;
        client.read_exact(&mut [0; GREETING.len()])?;
        client.set_nonblocking(true)?;
        let mut client = mio::net::TcpStream::from_std(client);
        poll.registry().register(&mut client, Token(number), Interest::READABLE)?;
        client.write_all(COMMAND)?;
        clients.push((client, Instant::now()));
    }
    let mut latencies = Histogram::<u64>::new_with_bounds(10, 60_000_000_000, 3)?;
    let (warm, mut began, mut spent) = (Instant::now() + length / 10, None, 0);
    loop {
        poll.poll(&mut events, Some(TIMEOUT))?;
        let now = Instant::now();
        if events.is_empty() {
            return Err("the servers have stalled".into());
        }
        match began {
            None if now >= warm => (began, spent) = (Some(now), processor_time()?),
            Some(began) if now >= began + length => {
                let (requests, spent) = (latencies.len() as f64, processor_time()? - spent);
                return Ok(Measured {
                    rate: requests / (now - began).as_secs_f64(),
                    cost: spent as f64 / 1e3 / requests,
                    p50: latencies.value_at_quantile(0.5) as f64 / 1e3,
                    p99: latencies.value_at_quantile(0.99) as f64 / 1e3,
                });
            }
            _ => {}
        }
        for event in &events {
            let (client, sent_at) = &mut clients[event.token().0];
            // A reply fits into a segment, and arrives at once.
            let mut reply = [0; 64];
            let n = client.read(&mut reply)?;
            if n != REPLY || reply[n - 1] != b'\n' {
                return Err(format!("a server sent {:?}", reply[..n].escape_ascii().to_string()).into());
            }
            let now = Instant::now();
            if began.is_some() {
                latencies.saturating_record((now - *sent_at).as_nanos() as u64);
            }
            *sent_at = now;
            client.write_all(COMMAND)?;
        }
    }
}
