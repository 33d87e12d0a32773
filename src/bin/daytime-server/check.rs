//! What `--check` and `--print-config` print.

use std::{fmt::Write, time::Duration};

use daytime::{Address, DEFAULT_PORT, Error, ServerBuilder};

use crate::args::{Args, Seconds};

/// The settings as a file of settings.
pub(crate) fn config(args: &Args) -> Result<String, Error> {
    toml::to_string(args).map_err(|error| Error::Invalid(format!("cannot print the settings: {error}")))
}

/// What would be bound, and with which limits. Nothing is bound, so a port may turn out to be taken.
pub(crate) fn plan(args: &Args, builder: &ServerBuilder) -> Result<String, Error> {
    let default = ["localhost".to_owned()];
    let text = match (&args.listen[..], &args.listen_rfc867[..], &args.listen_rfc868[..]) {
        ([], [], []) => &default[..],
        (listen, ..) => listen,
    };
    let mut out = String::new();
    let lists = [
        ("listen", text, DEFAULT_PORT),
        ("listen-rfc867", &args.listen_rfc867, 13),
        ("listen-rfc868", &args.listen_rfc868, 37),
    ];
    for (name, addresses, port) in lists {
        for address in addresses {
            let address = Address::from(&**address);
            let resolved = address.resolve(port)?;
            let each = match resolved.is_empty() {
                true => address.to_string(),
                false => resolved.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            };
            let _ = writeln!(out, "{name}: {each}");
        }
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
        ("write-timeout", time(Some(args.write_timeout))),
    ];
    for (name, value) in rows {
        let _ = writeln!(out, "{name}: {value}");
    }
    Ok(out)
}
