//! The server inside an application: own commands, events read by the application's own thread, a clean stop.
//!
//! `cargo run --example embed` serves until a client says `shutdown`; `--no-default-features` builds it as well.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

use daytime::{Error, Event, Reply, Server};

fn main() -> Result<(), Error> {
    let served = AtomicU64::new(0);
    let server = Server::builder()
        .listen("localhost:0")
        .max_clients(1000)
        // A handler gets what stands behind the command's name, and answers with a line.
        .command("echo", |request| Ok(request.argument.into()))
        // What it returns as an error is told to the application, not to the peer.
        .command("sum", |request| {
            let numbers: Vec<i64> = request.argument.split(' ').map(str::parse).collect::<Result<_, _>>()?;
            Ok(numbers.iter().sum::<i64>().to_string().into())
        })
        .command("visits", move |_| Ok((served.fetch_add(1, Relaxed) + 1).to_string().into()))
        // It may do with the server whatever a handle can.
        .command("shutdown", |request| {
            request.server().drain(std::time::Duration::from_secs(5));
            Ok(Reply::closing("until next time"))
        })
        .bind()?;
    // Before anybody is served: this one misses nothing.
    let events = server.events_with(1024, false);
    let server = server.start()?;
    println!("port {}", server.port());

    let log = thread::spawn(move || {
        // The subscription ends when the server has ended.
        for event in events {
            match event {
                Event::CommandFailed { command, error: why, .. } => println!("{command} failed: {why}"),
                other => println!("{other}"),
            }
        }
    });
    server.wait(None);
    log.join().expect("the log thread does not panic");
    println!("{} commands for {} clients", server.stats().commands, server.stats().accepted);
    Ok(())
}
