//! A number is not a reply.

fn main() {
    let _ = daytime::Server::builder().command("length", |request| request.argument.len() as u32);
}
