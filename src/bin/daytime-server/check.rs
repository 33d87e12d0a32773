//! The output of `--check` and `--print-config`.

use std::{fmt::Write, time::Duration};

use daytime::{Address, Error, ServerBuilder, Service};

use crate::args::{Args, Seconds};

/// The settings as a configuration file, defaults included.
pub(crate) fn config(args: Args, builder: &ServerBuilder) -> Result<String, Error> {
    toml::to_string(&args.with_defaults(builder))
        .map_err(|error| Error::Invalid(format!("cannot print the settings: {error}")))
}

/// The addresses to bind, and the limits. Nothing is bound, so that a port can be taken later.
pub(crate) fn plan(args: &Args, builder: &ServerBuilder) -> Result<String, Error> {
    let default = ["localhost".to_owned()];
    let text = match (&args.listen[..], &args.listen_rfc867[..], &args.listen_rfc868[..], &args.listen_proxied[..]) {
        ([], [], [], []) => &default[..],
        (listen, ..) => listen,
    };
    let mut out = String::new();
    let lists = [
        ("listen", text, Service::Text),
        ("listen-rfc867", &args.listen_rfc867, Service::Rfc867),
        ("listen-rfc868", &args.listen_rfc868, Service::Rfc868),
        ("listen-metrics", &args.listen_metrics, Service::Metrics),
        ("listen-proxied", &args.listen_proxied, Service::Proxied),
    ];
    for (name, addresses, service) in lists {
        for address in addresses {
            let address = Address::from(&**address);
            let resolved = address.resolve(service.port())?;
            let each = match resolved.is_empty() {
                true => address.to_string(),
                false => resolved.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            };
            let _ = writeln!(out, "{name}: {each}");
        }
    }
    if !args.listen_proxied.is_empty() {
        let timeout = builder.effective_proxy_timeout().as_secs_f64();
        let _ = writeln!(out, "proxies: {} networks\nproxy-timeout: {timeout} s", args.proxy.len());
    }
    if args.reuse_port {
        let _ = writeln!(out, "reuse-port: yes");
    }
    let networks = match (args.allow.len(), args.deny.len()) {
        (0, 0) => "all allowed".to_owned(),
        (allow, deny) => {
            format!("{allow} allowed, {deny} denied, others {}", if allow == 0 { "allowed" } else { "denied" })
        }
    };
    let limit = |limit: Option<usize>| limit.map_or("no limit".to_owned(), |limit| limit.to_string());
    let time = |limit: Option<Seconds>| {
        limit.map_or("never".to_owned(), |limit| format!("{} s", Duration::from(limit).as_secs_f64()))
    };
    let rows = [
        ("networks", networks),
        ("workers", builder.effective_workers().to_string()),
        ("max-clients", builder.effective_max_clients().to_string()),
        ("max-clients-per-source", limit(args.max_clients_per_source)),
        ("idle-timeout", time(args.idle_timeout)),
        ("first-command-timeout", time(args.first_command_timeout)),
        ("write-timeout", format!("{} s", builder.effective_write_timeout().as_secs_f64())),
    ];
    for (name, value) in rows {
        let _ = writeln!(out, "{name}: {value}");
    }
    Ok(out)
}
