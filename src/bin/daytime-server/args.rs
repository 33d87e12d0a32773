//! The flags of `daytime-server`, and the settings that they stand for.

use std::{str::FromStr, time::Duration};

use clap::Parser;
use daytime::{Address, Framing, Server, ServerBuilder, protocol::GREETING};

use crate::common::seconds;

/// Tells the day, the date and the time to whoever asks over TCP.
///
/// SIGINT and SIGTERM close idle clients, send the replies owed to others, and end it; a second one ends it at once.
#[derive(Parser)]
#[command(name = "daytime-server", version)]
pub(crate) struct Args {
    /// Address to listen on, HOST:PORT; may be repeated. A name stands for all its addresses; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value = "localhost:9990", value_parser = Address::from_str)]
    listen: Vec<Address>,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// How ends of commands are found: `auto` serves the original's clients too, `line` is for deployments without
    #[arg(long, default_value = "auto")]
    framing: Framing,
    /// Time zone of replies: an IANA name, UTC, or an offset such as +05:30 [default: the system's]
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    timezone: Option<String>,
    /// strftime format of the reply to `day`
    #[arg(long, value_name = "F", allow_hyphen_values = true, default_value = "%A")]
    day_format: String,
    /// strftime format of the reply to `date`
    #[arg(long, value_name = "F", allow_hyphen_values = true, default_value = "%y-%m-%d")]
    date_format: String,
    /// strftime format of the reply to `time`
    #[arg(long, value_name = "F", allow_hyphen_values = true, default_value = "%H:%M:%S")]
    time_format: String,
    /// What a client reads first
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, default_value = GREETING)]
    greeting: String,
    /// Clients at a time; more are turned away [default: the limit of descriptors less 64]
    #[arg(long, value_name = "N")]
    max_clients: Option<usize>,
    /// Clients at a time from one IPv4 address, or one IPv6 network of 64 bits [default: no limit]
    #[arg(long, value_name = "N")]
    max_clients_per_source: Option<usize>,
    /// A client that says nothing for so long is disconnected [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    idle_timeout: Option<Duration>,
    /// A client that has said no whole command so long after connecting is disconnected [default: never]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    first_command_timeout: Option<Duration>,
    /// A client that takes none of its replies for so long is disconnected
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    write_timeout: Duration,
    /// How long each worker spins before it sleeps: sooner replies, for a core that is busy meanwhile [default: not at all]
    #[arg(long, value_name = "MICROSECONDS")]
    busy_poll: Option<u64>,
    /// Time for replies owed when the program is asked to end
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) drain: Duration,
    /// How long to retry, once a second, while an address is taken
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) bind_timeout: Duration,
    /// No line for each client
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl Args {
    /// The server that was asked for; its settings are checked when it is bound.
    pub(crate) fn builder(&self) -> ServerBuilder {
        let builder = Server::builder()
            .workers(self.workers)
            .framing(self.framing)
            .day_format(&self.day_format)
            .date_format(&self.date_format)
            .time_format(&self.time_format)
            .greeting(&self.greeting)
            .max_clients(self.max_clients)
            .max_clients_per_source(self.max_clients_per_source)
            .idle_timeout(self.idle_timeout)
            .first_command_timeout(self.first_command_timeout)
            .write_timeout(self.write_timeout)
            .busy_poll(self.busy_poll.map(Duration::from_micros));
        let builder = self.timezone.iter().fold(builder, ServerBuilder::timezone);
        self.listen.iter().fold(builder, ServerBuilder::listen)
    }
}
