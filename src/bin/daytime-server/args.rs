//! The settings of `daytime-server`: flags override the configuration file, which overrides the defaults.
//!
//! A row of `settings` below is the only place of a new setting of the engine here: its `--help`, its type and its value
//! for the builder's setter of the same name. A setting that is left out is not passed on, so that its default stays in the
//! engine.

use std::{
    env,
    fs::File,
    io::{
        self,
        ErrorKind::{InvalidData, InvalidInput},
        Read,
    },
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::{CommandFactory, Parser, ValueEnum};
use daytime::{
    Address, Error, Networks, Server, ServerBuilder, Service,
    cli::{Generate, seconds},
    protocol::{Formats, GREETING},
};
use nix::libc::O_NONBLOCK;
use serde::{Deserialize, Serialize};

/// The most bytes of a configuration file: about 50,000 networks.
const CONFIG_MAX: u64 = 1 << 20;

macro_rules! args {
    (
        $(#[$attribute:meta])*
        program { $($field:tt)* }
        settings { $($(#[$help:meta])* $name:ident($value_name:literal): $type:ty => $value:expr;)* }
    ) => {
        $(#[$attribute])*
        #[derive(Default, Parser, Serialize, Deserialize)]
        #[command(name = "daytime-server", version)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub(crate) struct Args {
            $($field)*
            $(
                $(#[$help])*
                #[arg(long, value_name = $value_name, allow_hyphen_values = true)]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub(crate) $name: Option<$type>,
            )*
        }

        impl Args {
            fn apply(&self, mut builder: ServerBuilder) -> ServerBuilder {
                $(if let Some($name) = &self.$name {
                    builder = builder.$name($value);
                })*
                builder
            }
        }
    };
}

args! {
    /// Serves the day, the date and the time over TCP and Unix sockets.
    ///
    /// SIGINT and SIGTERM close idle clients, send the replies owed to the others, and end the program. A second one ends it at
    /// once. SIGHUP reads the time zones again, and the networks of clients and proxies in the configuration file.
    program {
        /// Configuration file in TOML, with the names of these flags, such as `idle-timeout = 60`; flags override it
        #[arg(long, value_name = "FILE")]
        #[serde(skip)]
        config: Option<PathBuf>,
        /// Print the settings as a configuration file, and exit
        #[arg(long)]
        #[serde(skip)]
        pub(crate) print_config: bool,
        /// Print the addresses to bind and the limits, and exit
        #[arg(long)]
        #[serde(skip)]
        pub(crate) check: bool,
        /// Address to listen on, HOST:PORT, unix:PATH or unix:@NAME; repeatable. A name stands for all its addresses, port 0
        /// for any free port [default: localhost:9990, if nothing else serves clients]
        #[arg(long, value_name = "ADDR", value_parser = address)]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub(crate) listen: Vec<String>,
        /// Address for the daytime protocol of RFC 867; repeatable. The default port is 13
        #[arg(long, value_name = "ADDR", value_parser = address)]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub(crate) listen_rfc867: Vec<String>,
        /// Address for the time protocol of RFC 868; repeatable. The default port is 37
        #[arg(long, value_name = "ADDR", value_parser = address)]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub(crate) listen_rfc868: Vec<String>,
        /// Address for metrics and health checks over HTTP, /metrics, /healthz and /readyz; repeatable. The default port is 9991
        #[arg(long, value_name = "ADDR", value_parser = address)]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub(crate) listen_metrics: Vec<String>,
        /// Address for the clients of a proxy: each connection begins with a PROXY header, version 1 or 2; repeatable. The
        /// default port is 9990
        #[arg(long, value_name = "ADDR", value_parser = address)]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub(crate) listen_proxied: Vec<String>,
        /// Network of the proxies that may connect to a TCP address of --listen-proxied; repeatable
        #[arg(long, value_name = "NETWORK")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub(crate) proxy: Vec<String>,
        /// Share the TCP ports with other servers of the same user that have this flag; each has limits of its own
        #[arg(long)]
        pub(crate) reuse_port: bool,
        /// Network whose clients are accepted, such as 192.0.2.0/24, and others rejected; repeatable. The longest prefix decides
        #[arg(long, value_name = "NETWORK")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub(crate) allow: Vec<String>,
        /// Network whose clients are closed silently; repeatable
        #[arg(long, value_name = "NETWORK")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub(crate) deny: Vec<String>,
        /// Time to send the replies owed when the program is asked to end [default: 5]
        #[arg(long, value_name = "SECONDS")]
        #[serde(skip_serializing_if = "Option::is_none")]
        drain: Option<Seconds>,
        /// How long to retry, once a second, while an address is taken [default: 10]
        #[arg(long, value_name = "SECONDS")]
        #[serde(skip_serializing_if = "Option::is_none")]
        bind_timeout: Option<Seconds>,
        /// Format of the log: `text`, or `json` with an object on each line [default: text]
        #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
        #[serde(skip_serializing_if = "Option::is_none")]
        log_format: Option<LogFormat>,
        /// Print the manual page or the completions of a shell, and exit
        #[arg(long, value_name = "WHAT")]
        #[serde(skip)]
        pub(crate) generate: Option<Generate>,
        /// Do not print a line for each client
        #[arg(long)]
        pub(crate) quiet: bool,
    }
    settings {
        /// Permissions of the files of Unix sockets, such as 660 [default: 777 less the umask]
        unix_mode("MODE"): Mode => unix_mode.0;
        /// Worker threads [default: one for each core]
        workers("N"): usize => *workers;
        /// How the server finds the end of a command: `auto` also serves clients of the original classroom program, `line`
        /// frames lines from the start [default: auto]
        framing("FRAMING"): Framing => framing.0;
        /// Time zone of replies: an IANA name, UTC, or an offset such as +05:30 [default: the system's zone]
        timezone("ZONE"): String => timezone;
        /// strftime format of the reply to `day` [default: %A]
        day_format("F"): String => day_format;
        /// strftime format of the reply to `date` [default: %y-%m-%d]
        date_format("F"): String => date_format;
        /// strftime format of the reply to `time` [default: %H:%M:%S]
        time_format("F"): String => time_format;
        /// Greeting of a client [default: "Welcome to the server"]
        greeting("TEXT"): String => greeting;
        /// Most clients at a time; further ones are refused [default: the limit of file descriptors less 64]
        max_clients("N"): usize => *max_clients;
        /// Most clients at a time from one IPv4 address, or one IPv6 network of 64 bits [default: unlimited]
        max_clients_per_source("N"): usize => *max_clients_per_source;
        /// Disconnect a client that sends nothing for this long [default: never]
        idle_timeout("SECONDS"): Seconds => idle_timeout.0;
        /// Disconnect a client that has not sent a complete command this long after it connected [default: never]
        first_command_timeout("SECONDS"): Seconds => first_command_timeout.0;
        /// Disconnect a client that takes none of its replies for this long [default: 10]
        write_timeout("SECONDS"): Seconds => write_timeout.0;
        /// Disconnect a proxy that has not sent its PROXY header this long after it connected; at least 3 [default: 5]
        proxy_timeout("SECONDS"): Seconds => proxy_timeout.0;
        /// How long each worker polls without sleeping, for sooner replies and a busy core [default: not at all]
        busy_poll("MICROSECONDS"): u64 => Duration::from_micros(*busy_poll);
    }
}

impl Args {
    /// The command line over its configuration file. Ends the program for `--help`, `--version` and invalid flags.
    pub(crate) fn load() -> Result<Self, Error> {
        Self::over(|path| read(File::open(path)?))
    }

    /// The same, from the configuration file as it is now. A pipe has no contents any more, and is an error.
    pub(crate) fn reload() -> Result<Self, Error> {
        Self::over(|path| {
            // Otherwise opening a FIFO waits for a writer.
            let file = File::options().read(true).custom_flags(O_NONBLOCK).open(path)?;
            match file.metadata()?.is_file() {
                true => read(file),
                false => Err(io::Error::new(InvalidInput, "it is not a regular file, and is read only once")),
            }
        })
    }

    fn over(read: impl FnOnce(&Path) -> io::Result<String>) -> Result<Self, Error> {
        let mut args = Args::default();
        args.update_from(env::args_os());
        let Some(path) = args.config.take() else { return Ok(args) };
        let text = read(&path).map_err(|error| Error::Io(error, format!("read {}", path.display())))?;
        let mut args = Args::parse_file(&text)
            .map_err(|(line, error)| Error::Invalid(format!("{}:{line}: {error}", path.display())))?;
        let (quiet, reuse_port) = (args.quiet, args.reuse_port);
        args.update_from(env::args_os());
        args.quiet |= quiet;
        args.reuse_port |= reuse_port;
        Ok(args)
    }

    /// The settings of a configuration file. An error has its line, counted from 1.
    pub(crate) fn parse_file(text: &str) -> Result<Self, (usize, String)> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            (line, error.message().to_owned())
        })
    }

    /// The builder with these settings, which it checks when it binds.
    pub(crate) fn builder(&self) -> Result<ServerBuilder, Error> {
        let builder = Server::builder().process_metrics().reuse_port(self.reuse_port);
        let mut builder = self.apply(builder.networks(self.networks()?).proxies(self.proxies()?));
        let services = [
            (Service::Text, &self.listen),
            (Service::Rfc867, &self.listen_rfc867),
            (Service::Rfc868, &self.listen_rfc868),
            (Service::Metrics, &self.listen_metrics),
            (Service::Proxied, &self.listen_proxied),
        ];
        for (service, addresses) in services {
            for address in addresses {
                builder = builder.listen_as(service, &**address);
            }
        }
        Ok(builder)
    }

    pub(crate) fn networks(&self) -> Result<Networks, Error> {
        let mut networks = Networks::new();
        self.allow.iter().try_for_each(|network| networks.allow(network))?;
        self.deny.iter().try_for_each(|network| networks.deny(network))?;
        Ok(networks)
    }

    pub(crate) fn proxies(&self) -> Result<Networks, Error> {
        let mut proxies = Networks::new();
        self.proxy.iter().try_for_each(|network| proxies.allow(network))?;
        Ok(proxies)
    }

    /// These settings, with the defaults of the others that have a fixed one.
    pub(crate) fn with_defaults(mut self, builder: &ServerBuilder) -> Self {
        self.drain = Some(Seconds(self.drain()));
        self.bind_timeout = Some(Seconds(self.bind_timeout()));
        self.log_format.get_or_insert_default();
        self.framing.get_or_insert(Framing(daytime::Framing::default()));
        self.day_format.get_or_insert(Formats::DAY.into());
        self.date_format.get_or_insert(Formats::DATE.into());
        self.time_format.get_or_insert(Formats::TIME.into());
        self.greeting.get_or_insert(GREETING.into());
        self.write_timeout = Some(Seconds(builder.effective_write_timeout()));
        self.proxy_timeout = Some(Seconds(builder.effective_proxy_timeout()));
        self
    }

    pub(crate) fn drain(&self) -> Duration {
        self.drain.map_or(Duration::from_secs(5), Duration::from)
    }

    pub(crate) fn log_format(&self) -> LogFormat {
        self.log_format.unwrap_or_default()
    }

    /// For `--generate`.
    pub(crate) fn command() -> clap::Command {
        <Args as CommandFactory>::command()
    }

    pub(crate) fn bind_timeout(&self) -> Duration {
        self.bind_timeout.map_or(Duration::from_secs(10), Duration::from)
    }
}

/// Reads a configuration file. A device such as /dev/zero does not end.
fn read(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(CONFIG_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > CONFIG_MAX {
        return Err(io::Error::new(InvalidData, "a configuration file must be at most 1 MiB long"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(InvalidData, "a configuration file must be UTF-8"))
}

fn address(text: &str) -> Result<String, Error> {
    Address::from_str(text).map(|_| text.to_owned())
}

/// A duration in flags and files: a number of seconds, such as `5` or `0.25`.
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

/// File permissions in octal, as chmod(1) has them; a string in a configuration file.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Mode(u32);

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = |_| format!("{text:?} is not an octal file mode such as 660");
        u32::from_str_radix(text, 8).map(Mode).map_err(invalid)
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

/// The format of the log. `log.rs` makes the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// The words of the original classroom program
    #[default]
    Text,
    /// One object on a line
    Json,
}

/// The framing; a string in a configuration file.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Framing(daytime::Framing);

impl FromStr for Framing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Framing)
    }
}

impl TryFrom<String> for Framing {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Framing> for String {
    fn from(framing: Framing) -> Self {
        framing.0.to_string()
    }
}
