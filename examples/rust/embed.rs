//! A server inside an application: custom commands, events on the application's thread, and a clean stop.
//!
//! `cargo run --example embed` serves until a client sends `shutdown`. It also builds with `--no-default-features`.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use daytime::{Error, Event, Reply, Server};

fn main() -> Result<(), Error> {
    let visits = AtomicU64::new(0);
    let server = Server::builder()
        .listen("localhost:0")
        .max_clients(1000)
        // A handler gets the text behind the command's name, and returns one line.
        .command("echo", |request| request.argument.to_owned())
        // An error goes to the application as an event. The client gets `The command failed`.
        .command("sum", |request| {
            let numbers = request.argument.split(' ').map(str::parse::<i64>).collect::<Result<Vec<_>, _>>();
            numbers.map(|numbers| numbers.iter().sum::<i64>().to_string())
        })
        .usage("sum NUMBER...")
        .command("visits", move |_| (visits.fetch_add(1, Relaxed) + 1).to_string())
        // A handler may call every method of the server's `Handle`.
        .command("shutdown", |request| {
            request.server().drain(Duration::from_secs(5));
            Reply::closing("until next time")
        })
        .bind()?;
    // Subscribed before `start`, so that no event is missed.
    let events = server.events();
    let server = server.start()?;
    println!("port {}", server.port());

    let log = thread::spawn(move || {
        // The subscription ends when the server has stopped.
        for event in events {
            match event {
                Event::CommandFailed { command, error, .. } => println!("{command} failed: {error}"),
                other => println!("{other}"),
            }
        }
    });
    server.wait(None);
    log.join().expect("the log thread does not panic");
    println!("{} commands for {} clients", server.stats().commands, server.stats().accepted);
    Ok(())
}
