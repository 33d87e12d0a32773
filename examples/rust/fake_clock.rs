//! A test that sets the clock: what a program does at midnight, without waiting for it.
//!
//! `cargo run --example fake_clock`

use std::time::{Duration, SystemTime};

use daytime::{Client, Clock, Error, Server, Weekday};

fn main() -> Result<(), Error> {
    // Sunday, 22 November 2026, one second before midnight.
    let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_392_000);
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .timezone("UTC")
        .clock(Clock::fixed(midnight - Duration::from_secs(1)))
        .start()?;
    let mut client = Client::connect(&server.addresses()[0])?;

    assert_eq!(client.datetime()?.to_string(), "2026-11-22T23:59:59+00:00");
    assert_eq!(client.day()?, Weekday::Sunday);

    server.set_clock(Clock::fixed(midnight));
    assert_eq!(client.datetime()?.to_string(), "2026-11-23T00:00:00+00:00");
    assert_eq!(client.day()?, Weekday::Monday);

    println!("midnight has passed");
    client.quit()
}
