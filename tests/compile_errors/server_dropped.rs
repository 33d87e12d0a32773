#![deny(unused_must_use)]

use daytime::{Clock, Server};

fn main() -> Result<(), daytime::Error> {
    Server::builder().listen("127.0.0.1:0").start()?;
    let server = Server::builder().listen("127.0.0.1:0").start()?;
    server.events();
    server.stats();
    Clock::offset(60);
    Ok(())
}
