//! The settings of `daytime-server`: flags, over a file, over defaults.

use std::{env, fmt, fs, path::PathBuf, str::FromStr, time::Duration};

use clap::Parser;
use daytime::{Address, Error, Framing, Networks, Server, ServerBuilder, Service, protocol::GREETING};
use serde::{Deserialize, Serialize};

use crate::common::seconds;

/// Tells the day, the date and the time to whoever asks over TCP.
///
/// SIGINT and SIGTERM close idle clients, send the replies owed to others, and end it; a second one ends it at once. SIGHUP
/// reads time zones anew, and networks from the file.
// Defaults are in `Default` alone: to clap and to serde everything is optional, so that each changes only what it is told.
#[derive(Parser, Serialize, Deserialize)]
#[command(name = "daytime-server", version)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Args {
    /// TOML file of settings by the names of these flags, such as `idle-timeout = 60`; a flag counts for more
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Print the settings as such a file, and exit
    #[arg(long)]
    #[serde(skip)]
    pub(crate) print_config: bool,
    /// Say what would be bound and with which limits, and exit
    #[arg(long)]
    #[serde(skip)]
    pub(crate) check: bool,
    /// Address to listen on, HOST:PORT, unix:PATH or unix:@NAME; may be repeated. A name stands for all its addresses; port 0
    /// is any free one [default: localhost:9990, if there is nothing else to listen on]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) listen: Vec<String>,
    /// Address to speak the daytime protocol of RFC 867 on; may be repeated. The port is 13 where none is given
    #[arg(long, value_name = "ADDR", value_parser = address)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) listen_rfc867: Vec<String>,
    /// Address to speak the time protocol of RFC 868 on; may be repeated. The port is 37 where none is given
    #[arg(long, value_name = "ADDR", value_parser = address)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) listen_rfc868: Vec<String>,
    /// Permissions of Unix sockets' files, such as 660 [default: what the umask leaves of 777]
    #[arg(long, value_name = "MODE")]
    unix_mode: Option<Mode>,
    /// Network whose clients are let in, such as 192.0.2.0/24, and nobody else; may be repeated. The longest prefix decides
    #[arg(long, value_name = "NETWORK")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) allow: Vec<String>,
    /// Network whose clients are turned away without a word; may be repeated
    #[arg(long, value_name = "NETWORK")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) deny: Vec<String>,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// How ends of commands are found: `auto` serves the original's clients too, `line` is for deployments without
    /// [default: auto]
    #[arg(long)]
    #[serde(with = "text")]
    framing: Framing,
    /// Time zone of replies: an IANA name, UTC, or an offset such as +05:30 [default: the system's]
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    timezone: Option<String>,
    /// strftime format of the reply to `day` [default: %A]
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    day_format: String,
    /// strftime format of the reply to `date` [default: %y-%m-%d]
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    date_format: String,
    /// strftime format of the reply to `time` [default: %H:%M:%S]
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    time_format: String,
    /// What a client reads first [default: "Welcome to the server"]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    greeting: String,
    /// Clients at a time; more are turned away [default: the limit of descriptors less 64]
    #[arg(long, value_name = "N")]
    max_clients: Option<usize>,
    /// Clients at a time from one IPv4 address, or one IPv6 network of 64 bits [default: no limit]
    #[arg(long, value_name = "N")]
    pub(crate) max_clients_per_source: Option<usize>,
    /// A client that says nothing for so long is disconnected [default: never]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) idle_timeout: Option<Seconds>,
    /// A client that has said no whole command so long after connecting is disconnected [default: never]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) first_command_timeout: Option<Seconds>,
    /// A client that takes none of its replies for so long is disconnected [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) write_timeout: Seconds,
    /// How long each worker spins before it sleeps: sooner replies, for a core that is busy meanwhile [default: not at all]
    #[arg(long, value_name = "MICROSECONDS")]
    busy_poll: Option<u64>,
    /// Time for replies owed when the program is asked to end [default: 5]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) drain: Seconds,
    /// How long to retry, once a second, while an address is taken [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) bind_timeout: Seconds,
    /// No line for each client
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl Default for Args {
    fn default() -> Self {
        Args {
            config: None,
            print_config: false,
            check: false,
            listen: Vec::new(),
            listen_rfc867: Vec::new(),
            listen_rfc868: Vec::new(),
            unix_mode: None,
            allow: Vec::new(),
            deny: Vec::new(),
            workers: None,
            framing: Framing::Auto,
            timezone: None,
            day_format: "%A".into(),
            date_format: "%y-%m-%d".into(),
            time_format: "%H:%M:%S".into(),
            greeting: GREETING.into(),
            max_clients: None,
            max_clients_per_source: None,
            idle_timeout: None,
            first_command_timeout: None,
            write_timeout: Seconds(Duration::from_secs(10)),
            busy_poll: None,
            drain: Seconds(Duration::from_secs(5)),
            bind_timeout: Seconds(Duration::from_secs(10)),
            quiet: false,
        }
    }
}

impl Args {
    /// The command line, over the file that it names. Ends the program where that is what a flag asks for, or where one is
    /// wrong.
    pub(crate) fn load() -> Result<Self, Error> {
        let mut args = Args::default();
        args.update_from(env::args_os());
        let Some(path) = args.config.take() else { return Ok(args) };
        let text = fs::read_to_string(&path).map_err(|error| Error::Io(error, format!("read {}", path.display())))?;
        let mut args: Args = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            Error::Invalid(format!("{}:{line}: {}", path.display(), error.message()))
        })?;
        let quiet = args.quiet;
        args.update_from(env::args_os());
        args.quiet |= quiet;
        Ok(args)
    }

    /// The server that was asked for; its settings are checked when it is bound.
    pub(crate) fn builder(&self) -> Result<ServerBuilder, Error> {
        let mut builder = Server::builder()
            .networks(self.networks()?)
            .unix_mode(self.unix_mode.map(|mode| mode.0))
            .workers(self.workers)
            .framing(self.framing)
            .day_format(&self.day_format)
            .date_format(&self.date_format)
            .time_format(&self.time_format)
            .greeting(&self.greeting)
            .max_clients(self.max_clients)
            .max_clients_per_source(self.max_clients_per_source)
            .idle_timeout(self.idle_timeout.map(Duration::from))
            .first_command_timeout(self.first_command_timeout.map(Duration::from))
            .write_timeout(self.write_timeout.into())
            .busy_poll(self.busy_poll.map(Duration::from_micros));
        builder = self.timezone.iter().fold(builder, ServerBuilder::timezone);
        builder = self.listen.iter().fold(builder, |builder, address| builder.listen(&**address));
        builder =
            self.listen_rfc867.iter().fold(builder, |builder, address| builder.listen_as(Service::Rfc867, &**address));
        builder =
            self.listen_rfc868.iter().fold(builder, |builder, address| builder.listen_as(Service::Rfc868, &**address));
        Ok(builder)
    }

    pub(crate) fn networks(&self) -> Result<Networks, Error> {
        let mut networks = Networks::new();
        self.allow.iter().try_for_each(|network| networks.allow(network))?;
        self.deny.iter().try_for_each(|network| networks.deny(network))?;
        Ok(networks)
    }
}

fn address(text: &str) -> Result<String, Error> {
    Address::from_str(text).map(|_| text.to_owned())
}

/// A duration as flags and files have it: a number of seconds, such as `5` or `0.25`.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub(crate) struct Seconds(Duration);

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

impl From<Seconds> for f64 {
    fn from(seconds: Seconds) -> Self {
        seconds.0.as_secs_f64()
    }
}

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        seconds(&number.to_string()).map(Seconds)
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        seconds(text).map(Seconds)
    }
}

/// The permissions of a file as chmod(1) has them in octal; quoted in a file of settings.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Mode(u32);

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        u32::from_str_radix(text, 8).map(Mode).map_err(|_| format!("{text:?} is no mode, such as 660"))
    }
}

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Mode> for String {
    fn from(mode: Mode) -> Self {
        format!("{:o}", mode.0)
    }
}

/// What a file has as text.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{FromStr, fmt};

    pub(super) fn serialize<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: fmt::Display>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
