//! A handler must return a reply.

fn main() {
    let _ = daytime::Server::builder().command("ping", |_| {
        println!("pong");
    });
}
