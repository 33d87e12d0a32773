//! The server of the soak, which tests/torture also uses: custom commands of every kind, and every kind of subscriber.
//!
//! It is a separate process, so that its memory and its descriptors are not those of the load.

use std::{
    io::{self, Read, Write},
    net::Ipv4Addr,
    panic,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use daytime::{Address, Clock, EventOptions, HandlerResult, Reply, Responder, Server};

use crate::Result;

/// The address of clients that are never kicked.
pub(crate) const POLITE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Sunday, 2026-11-22 15:44:57 UTC.
const MOMENT: i64 = 1_795_362_297;
/// The text before the port in the line that tells that the server serves.
pub(crate) const PORT: &str = "Port: ";

/// Serves these addresses until the standard input ends, which it also does when the parent process ends. Then it drains.
///
/// The first argument is the time between two kicked clients in milliseconds, 0 for never. In that time the server lists
/// its clients ten times.
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    let [kicks, addresses @ ..] = arguments else { return Err("expected milliseconds and addresses".into()) };
    let kicks = Duration::from_millis(kicks.parse()?);
    // A panic of a handler is a part of the load. Other panics are printed.
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref() != Some(&"on purpose") {
            print(panic);
        }
    }));
    let (later, delayed) = mpsc::channel::<(Option<String>, Responder)>();
    let lost = later.clone();
    let server = addresses.iter().fold(Server::builder(), |builder, address| builder.listen(address.as_str()));
    let server = server
        .workers(2)
        .clock(Clock::fixed_unix(MOMENT))
        .timezone("UTC")
        .on_connect(|_| AtomicU64::new(0))
        .on_disconnect(|client, _| {
            if let Some(count) = client.state::<AtomicU64>() {
                count.store(0, Relaxed);
            }
        })
        .command("count", |request| -> HandlerResult {
            let count = request.state::<AtomicU64>().ok_or("on_connect was not called")?;
            Ok((count.fetch_add(1, Relaxed) + 1).to_string().into())
        })
        .command("echo", |request| request.argument.to_owned())
        .command("slow", |request| {
            thread::sleep(Duration::from_millis(20));
            request.argument.to_owned()
        })
        .command("fail", |_| -> HandlerResult { Err("on purpose".into()) })
        .command("panic", |_| -> HandlerResult { panic!("on purpose") })
        .command("close", |_| Reply::closing("closed"))
        .command("kick", |request| {
            request.server().disconnect(request.client);
            "kicked"
        })
        .command("stats", |request| {
            let stats = request.server().stats();
            format!("{} connections, {} commands, {} lost events", stats.accepted, stats.commands, stats.events_dropped)
        })
        .command_deferred("later", move |request, responder| {
            let _ = later.send((Some(request.argument.to_owned()), responder));
        })
        .command_deferred("lost", move |_, responder| drop(lost.send((None, responder))))
        .start()?;
    // Never read, so that it is full soon.
    let _stalled = server.events_with(EventOptions::new().commands(true));
    let events = server.events();
    thread::Builder::new().spawn(move || events.iter().for_each(drop))?;
    thread::Builder::new().spawn(move || {
        for (reply, responder) in delayed {
            match reply {
                Some(reply) => responder.reply(reply),
                None => drop(responder),
            }
        }
    })?;
    if !kicks.is_zero() {
        let handle = server.handle();
        thread::Builder::new().spawn(move || {
            for turn in 0_usize.. {
                thread::sleep(kicks / 10);
                let mut clients = handle.clients();
                clients.retain(|client| !matches!(&client.peer, Address::Tcp(peer) if peer.ip() == POLITE));
                if turn.is_multiple_of(10) && !clients.is_empty() {
                    handle.disconnect(clients[turn * 7919 % clients.len()].id);
                }
            }
        })?;
    }
    // A line that cannot be printed does not matter to tests/torture.
    let _ = writeln!(io::stdout(), "{PORT}{}", server.port());
    io::stdin().read_to_end(&mut Vec::new())?;
    server.drain(Duration::from_secs(2));
    server.wait(None);
    Ok(())
}
