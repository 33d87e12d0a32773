//! Many clients at once, each with one command: `cargo run --release --example many_clients -- 1000`

use std::time::Instant;

use daytime::{Client, Error, Server};

fn main() -> Result<(), Error> {
    let n = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1000);
    let server = Server::builder().listen("127.0.0.1:0").start()?;

    let began = Instant::now();
    let mut clients = (0..n).map(|_| Client::connect(&server.addresses()[0])).collect::<Result<Vec<_>, _>>()?;
    println!("{n} clients connected in {:?}", began.elapsed());

    let began = Instant::now();
    for client in &mut clients {
        client.time()?;
    }
    println!("{n} clients answered in {:?}", began.elapsed());

    // `pipeline` sends commands without a wait for each reply.
    let began = Instant::now();
    let replies = clients[0].pipeline((0..100_000).map(|_| "time"))?;
    println!("{} pipelined questions answered in {:?}", replies.len(), began.elapsed());
    println!("{} clients in the list, {} commands", server.clients().len(), server.stats().commands);
    Ok(())
}
