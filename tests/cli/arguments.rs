//! The arguments of both programs.

use crate::common::process::{CLIENT, SERVER, run};

#[test]
fn errors_name_the_bad_argument() {
    let long = format!("--greeting={}", "x".repeat(1024));
    for (program, argument, named) in [
        (SERVER, "--nonsense", "--nonsense"),
        (SERVER, "extra", "extra"),
        (SERVER, "--listen", "--listen"),
        (SERVER, "--listen=", "address \"\""),
        (SERVER, "--listen=localhost:", "address \"localhost:\""),
        (SERVER, "--listen=localhost:99999", "address \"localhost:99999\""),
        (SERVER, "--listen=two words:1", "address \"two words:1\""),
        (SERVER, "--listen=[::1", "address \"[::1\""),
        (SERVER, "--listen=unix:", "address \"unix:\""),
        (SERVER, "--listen-rfc867=localhost:", "address \"localhost:\""),
        (SERVER, "--listen-rfc868=unix:@", "address \"unix:@\""),
        (SERVER, "--unix-mode=rw", "not an octal file mode"),
        (SERVER, "--unix-mode=1777", "unix_mode must be at most 0o777, got 0o1777"),
        (SERVER, "--allow=localhost", "\"localhost\" is not a network"),
        (SERVER, "--deny=192.0.2.0/33", "\"192.0.2.0/33\" is not a network"),
        (SERVER, "--check=x", "--check"),
        (SERVER, "--workers=x", "--workers"),
        (SERVER, "--workers=-1", "--workers"),
        (SERVER, "--workers=0", "workers must be between 1 and 1,024, got 0"),
        (SERVER, "--workers=1025", "workers must be between 1 and 1,024, got 1,025"),
        (SERVER, "--framing=x", "--framing"),
        (SERVER, "--framing=", "--framing"),
        (SERVER, "--timezone=Mars/Olympus", "time zone \"Mars/Olympus\""),
        (SERVER, "--timezone=../../etc/passwd", "time zone \"../../etc/passwd\""),
        (SERVER, "--timezone=+24:00", "time zone \"+24:00\""),
        (SERVER, "--timezone=", "time zone \"\""),
        (SERVER, "--day-format=%Q", "format \"%Q\""),
        (SERVER, "--day-format=", "format \"\""),
        (SERVER, "--date-format=%", "format \"%\""),
        (SERVER, "--date-format=%9999Y", "format \"%9999Y\""),
        (SERVER, "--time-format=%n", "format \"%n\""),
        (SERVER, "--time-format=\x1b", "format \"\\u{1b}\""),
        (SERVER, "--greeting=a\nb", "got \"a\\nb\""),
        (SERVER, &long, "got \"xxx"),
        (SERVER, "--max-clients=x", "--max-clients"),
        (SERVER, "--max-clients=0", "max_clients must be at least 1"),
        (SERVER, "--max-clients-per-source=-1", "--max-clients-per-source"),
        (SERVER, "--max-clients-per-source=0", "max_clients_per_source must be at least 1"),
        (SERVER, "--idle-timeout=x", "--idle-timeout"),
        (SERVER, "--idle-timeout=0", "idle_timeout must be longer than zero"),
        (SERVER, "--first-command-timeout=nan", "--first-command-timeout"),
        (SERVER, "--first-command-timeout=0", "first_command_timeout must be longer than zero"),
        (SERVER, "--busy-poll=0.5", "--busy-poll"),
        (SERVER, "--listen-proxied=localhost:", "address \"localhost:\""),
        (SERVER, "--proxy=localhost", "\"localhost\" is not a network"),
        (SERVER, "--proxy-timeout=2.5", "proxy_timeout must be at least 3 s, got 2.5 s"),
        (SERVER, "--write-timeout=x", "--write-timeout"),
        (SERVER, "--write-timeout=-1", "--write-timeout"),
        (SERVER, "--write-timeout=nan", "--write-timeout"),
        (SERVER, "--write-timeout=1e300", "--write-timeout"),
        (SERVER, "--write-timeout=0", "write_timeout must be longer than zero"),
        (SERVER, "--drain=x", "--drain"),
        (SERVER, "--drain=inf", "--drain"),
        (SERVER, "--bind-timeout=", "--bind-timeout"),
        (SERVER, "--bind-timeout=-0.5", "--bind-timeout"),
        (SERVER, "--quiet=x", "--quiet"),
        (CLIENT, "--nonsense", "--nonsense"),
        (CLIENT, "--connect", "--connect"),
        (CLIENT, "--connect=", "address \"\""),
        (CLIENT, "--connect=localhost:", "address \"localhost:\""),
        (CLIENT, "--connect=localhost:99999", "address \"localhost:99999\""),
        (CLIENT, "--connect=two words", "address \"two words\""),
        (CLIENT, "--timeout=x", "--timeout"),
        (CLIENT, "--timeout=-1", "--timeout"),
        (CLIENT, "--timeout=NaN", "--timeout"),
        (CLIENT, "--timeout=1e300", "--timeout"),
        (CLIENT, "--timeout=0", "the time must be longer than zero"),
        (CLIENT, "--timeout=1e-300", "the time must be longer than zero"),
        (CLIENT, "--watch", "COMMAND"),
        (CLIENT, "--watch=0", "the time must be longer than zero"),
        (CLIENT, "--watch=x", "--watch"),
        (CLIENT, "--count=3", "--watch"),
        (CLIENT, "--count=0", "--count"),
        (CLIENT, "--generate=x", "complete-fish"),
        (SERVER, "--generate=x", "complete-fish"),
        (SERVER, "--log-format=x", "--log-format"),
    ] {
        let outcome = run(program, &[argument], "");
        assert_eq!((outcome.code, &*outcome.out), (Some(2), ""), "{argument:?}");
        assert!(outcome.err.contains(named) && !outcome.err.contains("panic"), "{argument:?}: {}", outcome.err);
        assert!(!outcome.err.contains('\x1b'), "{argument:?}");
    }
}

#[test]
fn help_and_version_are_printed() {
    let server: &[&str] = &[
        "--config",
        "--print-config",
        "--check",
        "--listen",
        "--listen-rfc867",
        "--listen-rfc868",
        "--listen-metrics",
        "--listen-proxied",
        "--proxy",
        "--unix-mode",
        "--reuse-port",
        "--allow",
        "--deny",
        "--workers",
        "--framing",
        "--timezone",
        "--day-format",
        "--date-format",
        "--time-format",
        "--greeting",
        "--max-clients",
        "--max-clients-per-source",
        "--idle-timeout",
        "--first-command-timeout",
        "--write-timeout",
        "--proxy-timeout",
        "--busy-poll",
        "--drain",
        "--bind-timeout",
        "--log-format",
        "--generate",
        "--quiet",
        "--help",
        "--version",
    ];
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/systemd/README.md");
    let guide = std::fs::read_to_string(root).expect("the operator's guide is in the repository");
    let client: &[&str] =
        &["--connect", "--timeout", "--watch", "--count", "--json", "--generate", "COMMAND", "--help", "--version"];
    for (program, name, flags) in [(SERVER, "daytime-server", server), (CLIENT, "daytime-client", client)] {
        let help = run(program, &["--help"], "");
        assert_eq!((help.code, &*help.err), (Some(0), ""));
        for flag in flags {
            assert!(help.out.contains(flag), "{name} --help does not list {flag}");
            let is_general = ["--help", "--version", "COMMAND"].contains(flag);
            assert!(is_general || guide.contains(&format!("`{flag}")), "the operator's guide does not list {flag}");
        }
        let printed = help.out.split_whitespace().filter(|word| word.starts_with("--"));
        let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '-';
        for flag in printed.map(|word| word.split(is_end).next().unwrap_or_default()) {
            assert!(flags.contains(&flag), "{name} --help lists {flag}, which this test does not list");
        }
        run(program, &["--version"], "").assert(0, &format!("{name} {}\n", env!("CARGO_PKG_VERSION")), "");
    }
}
