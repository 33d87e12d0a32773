#![deny(unused_must_use)]

use daytime::{Client, Clock, Server};

fn main() -> Result<(), daytime::Error> {
    Server::builder().listen("127.0.0.1:0");
    Server::builder().listen("127.0.0.1:0").start()?;
    let server = Server::builder().listen("127.0.0.1:0").start()?;
    server.addresses();
    server.events();
    server.metrics();
    server.stats();
    Client::connect("127.0.0.1:1")?;
    Clock::offset(60);
    // Whether the client was connected need not matter.
    server.disconnect(1.into());
    Ok(())
}
