//! A handler gets a request, not its text.

fn echo(argument: &str) -> String {
    argument.to_owned()
}

fn main() {
    let _ = daytime::Server::builder().command("echo", echo);
    let _ = daytime::Server::builder().command("echo", |argument: &str| argument.to_owned());
}
