//! The counters as text for Prometheus.
//!
//! The format is the text format 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>). Every value of a
//! label is present from the start with 0, since a rate needs the value before the first increase. There is not a label
//! for a client, whose values nobody bounds, nor for a built-in command, which the fast path counts in bulk.

use std::fmt::{self, Display, Write};

use super::{
    events::Reason,
    listen::Service,
    stats::{HandlerStats, Stats},
};

/// The counters of a server, and of its custom commands.
pub(super) fn text(stats: &Stats, handlers: &[HandlerStats]) -> String {
    let mut text = Text::default();
    text.gauge("daytime_build_info", "The version of the server; the value is always 1.");
    text.labelled("daytime_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.gauge("daytime_uptime_seconds", "The time since the start.");
    text.sample("daytime_uptime_seconds", stats.uptime.as_secs_f64());
    text.gauge("daytime_clients", "Connections of clients open now, including those that are being closed.");
    text.sample("daytime_clients", stats.clients);
    text.gauge("daytime_max_clients", "The most clients at a time.");
    text.sample("daytime_max_clients", stats.max_clients);
    text.counter("daytime_clients_accepted_total", "Clients accepted, by service.");
    for service in Service::ALL.iter().filter(|service| service.has_clients()) {
        let labels = [("service", service.name())];
        text.labelled("daytime_clients_accepted_total", &labels, stats.by_service(*service));
    }
    text.counter("daytime_clients_refused_total", "Connections refused, by reason.");
    for reason in Reason::ALL.iter().filter(|reason| reason.is_refusal()) {
        text.labelled("daytime_clients_refused_total", &[("reason", reason.name())], stats.by_reason(*reason));
    }
    text.counter("daytime_clients_closed_total", "Connections of clients closed, by reason.");
    for reason in Reason::ALL.iter().filter(|reason| !reason.is_refusal()) {
        text.labelled("daytime_clients_closed_total", &[("reason", reason.name())], stats.by_reason(*reason));
    }
    for (name, help, value) in [
        ("daytime_commands_total", "Commands executed, invalid ones included.", stats.commands),
        ("daytime_commands_invalid_total", "Commands answered with an error line.", stats.invalid),
        ("daytime_receive_bytes_total", "Bytes received from clients.", stats.bytes_in),
        ("daytime_transmit_bytes_total", "Bytes that the system took for clients.", stats.bytes_out),
        ("daytime_events_dropped_total", "Events lost by full subscriptions.", stats.events_dropped),
        (
            "daytime_accept_pauses_total",
            "Pauses of accepting, because the system lacked file descriptors or memory.",
            stats.accept_pauses,
        ),
        ("daytime_hook_failures_total", "Hooks that panicked.", stats.hook_failures),
    ] {
        text.counter(name, help);
        text.sample(name, value);
    }
    text.gauge("daytime_handlers_waiting", "Custom commands and hooks that wait for a handler thread now.");
    text.sample("daytime_handlers_waiting", stats.handlers_waiting);
    text.handlers(handlers);
    text.0
}

/// A text in the format of Prometheus.
#[derive(Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    pub(super) fn counter(&mut self, name: &str, help: &str) {
        self.family(name, "counter", help);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str) {
        self.family(name, "gauge", help);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string never fails.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn sample(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn labelled(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "{name}{{");
        for (i, (label, text)) in labels.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(self.0, "{comma}{label}=\"{}\"", Escaped(text));
        }
        let _ = writeln!(self.0, "}} {value}");
    }

    /// The families of custom commands. A server without custom commands does not have them.
    fn handlers(&mut self, handlers: &[HandlerStats]) {
        if handlers.is_empty() {
            return;
        }
        self.counter("daytime_handler_failures_total", "Custom commands that failed, by command.");
        for handler in handlers {
            self.labelled("daytime_handler_failures_total", &[("command", &handler.name)], handler.failures);
        }
        let name = "daytime_handler_duration_seconds";
        self.family(name, "histogram", "The time from the call of a custom command's handler to its reply.");
        for HandlerStats { name: command, sum, buckets, .. } in handlers {
            for (bound, calls) in buckets {
                let le = bound.map_or("+Inf".into(), |bound| bound.as_secs_f64().to_string());
                self.labelled(&format!("{name}_bucket"), &[("command", command), ("le", &le)], calls);
            }
            let labels = [("command", &**command)];
            self.labelled(&format!("{name}_sum"), &labels, sum.as_secs_f64());
            self.labelled(&format!("{name}_count"), &labels, buckets.last().map_or(0, |(_, calls)| *calls));
        }
    }
}

/// The value of a label.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_label_is_escaped() {
        let mut text = Text::default();
        text.labelled("x", &[("a", "\"\\\nä"), ("b", "")], 0.5);
        assert_eq!(text.0, "x{a=\"\\\"\\\\\\nä\",b=\"\"} 0.5\n");
    }
}
