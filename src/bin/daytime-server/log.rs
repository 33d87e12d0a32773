//! The lines of the log: text, or an object of JSON each.

use std::time::SystemTime;

use daytime::{
    Address, Event, Service,
    chrono::{DateTime, SecondsFormat, Utc},
    cli::{escape, json},
};
use serde::Serialize;

use crate::args::LogFormat;

/// A line in JSON. A field that does not apply is left out.
#[derive(Default, Serialize)]
struct Line<'a> {
    /// RFC 3339 in UTC, with milliseconds.
    time: String,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commands: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
    /// The line of the text format, without the name of the program.
    message: String,
}

impl LogFormat {
    /// An address that the server listens on, for TCP with the words of the original.
    pub(crate) fn listening(self, address: &Address, service: Service) -> String {
        let protocol = service.name();
        let message = match (service, address) {
            (Service::Rfc867, _) => format!("Server is listening on {address} for RFC 867"),
            (Service::Rfc868, _) => format!("Server is listening on {address} for RFC 868"),
            (Service::Proxied, _) => format!("Server is listening on {address} behind a proxy"),
            (Service::Metrics, _) => format!("Server is listening on {address} for metrics"),
            (_, Address::Tcp(tcp)) => format!("Server is listening on IP: {} and Port: {}", tcp.ip(), tcp.port()),
            _ => format!("Server is listening on {address}"),
        };
        let line = Line { event: "listening", protocol: Some(protocol), message, ..Line::default() };
        self.line("", Line { address: Some(address.to_string()), ..line })
    }

    /// An event. `None` if the format does not have it: the text has no ends of connections.
    pub(crate) fn event(self, event: &Event) -> Option<String> {
        if self == LogFormat::Text && matches!(event, Event::Disconnected { .. }) {
            return None;
        }
        let mut line = Line { event: event.name(), message: event.to_string(), ..Line::default() };
        match event {
            Event::Connected { client, peer } => {
                (line.client, line.peer) = (Some((*client).into()), Some(peer.to_string()));
            }
            Event::Disconnected { client, peer, reason, commands } => {
                (line.client, line.peer) = (Some((*client).into()), Some(peer.to_string()));
                (line.reason, line.commands) = (Some(reason.name()), Some(*commands));
            }
            Event::Refused { peer, reason } => {
                (line.peer, line.reason) = (Some(peer.to_string()), Some(reason.name()));
            }
            Event::CommandServed { client, command, ok } => {
                (line.client, line.ok) = (Some((*client).into()), Some(*ok));
                line.command = Some(command);
            }
            Event::CommandFailed { client, command, error } => {
                line.client = Some((*client).into());
                (line.command, line.error) = (Some(&**command), Some(&**error));
            }
            Event::AcceptPaused { message, .. } => line.error = Some(message),
            // An event of a later version has its name and its text.
            _ => {}
        }
        Some(self.line("", line))
    }

    /// An error of the program.
    pub(crate) fn error(self, error: &str) -> String {
        self.message("error", error)
    }

    /// A warning of the program.
    pub(crate) fn warning(self, warning: &str) -> String {
        self.message("warning", warning)
    }

    /// An address is taken; the program tries again. The text has the words of the original.
    pub(crate) fn retry(self, error: &str) -> String {
        let message = format!("Server socket binding threw an error: {error}");
        match self {
            LogFormat::Text => message + "\nRetrying ....",
            LogFormat::Json => self.message("retry", &message),
        }
    }

    /// Lines of the log that were dropped.
    pub(crate) fn dropped(self, lines: u64) -> String {
        let message = format!("{lines} lines were dropped here, because they could not be written");
        self.line("daytime-server: ", Line { event: "dropped", dropped: Some(lines), message, ..Line::default() })
    }

    fn message(self, event: &str, text: &str) -> String {
        self.line("daytime-server: ", Line { event, message: escape(text), ..Line::default() })
    }

    /// A line in this format. In text, the prefix precedes the message.
    fn line(self, prefix: &str, line: Line<'_>) -> String {
        match self {
            LogFormat::Text => prefix.to_owned() + &line.message,
            LogFormat::Json => {
                let time = DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Millis, true);
                json(&Line { time, ..line })
            }
        }
    }
}
