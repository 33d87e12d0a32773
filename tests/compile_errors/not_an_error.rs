//! The error of a handler must be an error type, or text.

struct Failure;

fn main() {
    let _ = daytime::Server::builder().command("fail", |_| Err::<String, Failure>(Failure));
}
