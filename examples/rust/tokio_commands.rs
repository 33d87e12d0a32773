//! An application with a tokio runtime: its tasks answer commands, and a client that leaves cancels its tasks.
//!
//! `cargo run --example tokio_commands` serves until a client sends `stop`. Another crate also needs
//! `cargo add tokio --features full`.

use std::{sync::Arc, time::Duration};

use daytime::{HandlerResult, Reply, Server};
use tokio::{
    runtime::Handle,
    select,
    sync::{Notify, watch},
    task,
    time::sleep,
};

/// The state of a client. The server drops it after the client has left, which ends the wait of its receivers. A client
/// that only closes its sending side has not left, and gets its replies.
type Presence = watch::Sender<()>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Handlers run on threads of the server. They use this handle to start tasks of the runtime.
    let runtime = Handle::current();
    let stop = Arc::new(Notify::new());
    let stopper = stop.clone();
    let server = Server::builder()
        .listen("localhost:0")
        .on_connect(|_| Presence::new(()))
        // The handler returns at once. While the task waits, it occupies no thread.
        .command_deferred("timer", move |request, responder| {
            let Some(mut presence) = request.state::<Presence>().map(Presence::subscribe) else { return };
            let argument = request.argument.to_owned();
            runtime.spawn(async move {
                println!("timer {argument} starts");
                select! {
                    result = timer(&argument) => responder.reply(result),
                    // `select!` drops the future of the work. Other tasks can ask `responder.is_cancelled()`.
                    _ = presence.changed() => println!("timer {argument} is cancelled"),
                }
            });
        })
        .usage("timer MILLISECONDS")
        .command("stop", move |_| {
            stopper.notify_one();
            Reply::closing("goodbye")
        })
        .start()?;
    println!("port {}", server.port());

    stop.notified().await;
    // Tasks have five seconds to reply. `wait` blocks, so that it runs on a thread for such calls.
    server.drain(Duration::from_secs(5));
    task::spawn_blocking(move || server.wait(None)).await?;
    println!("the server has stopped");
    Ok(())
}

/// The work of a command: an `async fn`. Its client does not get the text of an error, unless it is a `Reply::error`.
async fn timer(milliseconds: &str) -> HandlerResult {
    let Ok(milliseconds) = milliseconds.parse() else { return Ok(Reply::error("expected milliseconds")) };
    sleep(Duration::from_millis(milliseconds)).await;
    Ok(format!("{milliseconds} ms have passed").into())
}
