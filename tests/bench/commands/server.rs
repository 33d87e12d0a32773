//! A server with the custom commands `echo TEXT` and `sleep MILLISECONDS`, for benchmarks: one worker, lines from the
//! start. Its argument is the port on 127.0.0.1.

use std::{env, thread::sleep, time::Duration};

use daytime::{Framing, HandlerResult, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = env::args().nth(1).ok_or("expected a port")?;
    let server = Server::builder()
        .listen(format!("127.0.0.1:{port}"))
        .workers(1)
        .framing(Framing::Line)
        .command("echo", |request| request.argument.to_owned())
        .command("sleep", |request| -> HandlerResult {
            sleep(Duration::from_millis(request.argument.parse()?));
            Ok("slept".into())
        })
        .start()?;
    server.wait(None);
    Ok(())
}
