//! A deferred handler replies with its responder, and returns nothing.

fn main() {
    let _ = daytime::Server::builder().command_deferred("late", |_, _| "reply");
    let _ = daytime::Server::builder().command_deferred("late", |_, responder| responder.reply(7));
}
