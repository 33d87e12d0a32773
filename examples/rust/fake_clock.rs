//! A test that sets the clock of the network: a program at midnight, without the wait.
//!
//! `cargo run --example fake_clock`

use daytime::{
    Client, Clock, Server,
    chrono::{DateTime, TimeDelta, Weekday},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The midnight after Sunday, 22 November 2026.
    let midnight = DateTime::parse_from_rfc3339("2026-11-23T00:00:00Z")?;
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .timezone("UTC")
        .clock(Clock::fixed(midnight - TimeDelta::seconds(1)))
        .start()?;
    let mut client = Client::connect(&server.addresses()[0])?;

    assert_eq!(client.datetime()?.to_rfc3339(), "2026-11-22T23:59:59+00:00");
    assert_eq!(client.day()?, Weekday::Sun);

    server.set_clock(Clock::fixed(midnight));
    assert_eq!(client.datetime()?, midnight);
    assert_eq!(client.day()?, Weekday::Mon);

    println!("midnight has passed");
    Ok(client.quit()?)
}
