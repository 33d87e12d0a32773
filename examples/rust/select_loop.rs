//! A single-threaded application with a server: its loop waits for requests and events with crossbeam's `select!`.
//!
//! `cargo run --example select_loop` serves until a client sends `stop`. Another crate also needs
//! `cargo add crossbeam-channel`.

use std::{collections::BTreeMap, time::Duration};

use crossbeam_channel::{bounded, select};
use daytime::{Error, Event, Reply, Responder, Server};

/// What a handler sends to the loop.
enum Request {
    /// Adds a point to a name.
    Point(String, Responder),
    Stop(Responder),
}

fn main() -> Result<(), Error> {
    // A full channel blocks handlers, and so the clients that wait for them. `main` keeps a sender, so that the channel
    // stays open.
    let (sender, requests) = bounded(1024);
    let [point, stop] = [(); 2].map(|()| sender.clone());
    let server = Server::builder()
        .listen("localhost:0")
        // A handler passes its responder on and returns. A responder that is dropped answers `The command failed`.
        .command_deferred("point", move |request, responder| {
            let _ = point.send(Request::Point(request.argument.to_owned(), responder));
        })
        .usage("point NAME")
        .command_deferred("stop", move |_, responder| {
            let _ = stop.send(Request::Stop(responder));
        })
        .bind()?;
    let events = server.events();
    let server = server.start()?;
    println!("port {}", server.port());

    // The loop owns its data, so that the data needs no lock.
    let mut points: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        select! {
            recv(requests) -> request => match request.expect("`main` keeps a sender") {
                Request::Point(name, responder) if name.is_empty() => {
                    responder.reply(Reply::error("a name is missing"));
                }
                Request::Point(name, responder) => {
                    let sum = points.entry(name).or_default();
                    *sum += 1;
                    responder.reply(sum.to_string());
                }
                Request::Stop(responder) => {
                    responder.reply(Reply::closing("goodbye"));
                    // The loop goes on while the server sends the replies that it owes.
                    server.drain(Duration::from_secs(5));
                }
            },
            recv(events) -> event => match event {
                Ok(Event::Disconnected { client, reason, commands, .. }) => {
                    println!("client {} has left after {commands} commands: {reason}", u64::from(client));
                }
                Ok(other) => println!("{other}"),
                // The server has ended, and its last event was read.
                Err(_) => break,
            },
        }
    }
    for (name, sum) in points {
        println!("{name}: {sum}");
    }
    Ok(())
}
