//! The configuration file of `daytime-server`.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, process::Command};

use nix::sys::signal::Signal;

use crate::common::{
    Folder,
    process::{Program, SERVER, local, replies_to, run},
};

#[test]
fn a_file_has_the_settings_of_flags_and_a_flag_overrides_it() {
    let folder = Folder::new();
    let socket = folder.name("socket");
    let file = folder.write(
        "daytime.toml",
        &format!(
            r#"
            listen = ["127.0.0.1:0", "unix:{socket}"]
            listen-rfc867 = ["127.0.0.1:0"]
            unix-mode = "600"
            deny = ["192.0.2.0/24"]
            workers = 1
            framing = "line"
            timezone = "+05:30"
            date-format = "%Y"
            greeting = "Hi"
            idle-timeout = 60
            write-timeout = 2.5
            busy-poll = 10
            drain = 0.5
            quiet = true
            "#
        ),
    );
    let (mut server, port) = Program::listening(Command::new(SERVER).args(["--config", &file, "--greeting=Ahoy"]));
    assert_eq!(server.out.line(), format!("Server is listening on unix:{socket}"));
    assert!(server.out.line().ends_with(" for RFC 867"));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let replies = replies_to(port, "datetime\ndate\nquit\n");
    let lines: Vec<&str> = replies.lines().collect();
    let ["Ahoy", datetime, date] = lines[..] else { panic!("{replies:?}") };
    assert!(datetime.ends_with("+05:30") && datetime.starts_with(date), "{replies:?}");
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
    assert!(!Path::new(&socket).exists());

    // A flag replaces a list of the file. It does not extend the list.
    let mut server = Program::start(Command::new(SERVER).args(["--config", &file, "--listen=127.0.0.1:0"]));
    server.out.line();
    assert!(server.out.line().ends_with(" for RFC 867"), "the Unix socket of the file is replaced");
    server.signal(Signal::SIGTERM);
    server.finish();
}

#[test]
fn an_error_in_a_file_names_the_line() {
    let folder = Folder::new();
    for (text, line, error) in [
        ("quiet = true\nlisen = []\n", 2, "unknown field `lisen`, expected one of `listen`,"),
        ("\n\nworkers = \"two\"\n", 3, "invalid type: string \"two\", expected usize"),
        ("workers = -1", 1, "invalid value: integer `-1`, expected usize"),
        ("listen = \"localhost\"\n", 1, "invalid type: string \"localhost\", expected a sequence"),
        ("greeting = \"a\"\nframing = \"words\"\n", 2, "\"words\" is not a framing; expected `auto` or `line`"),
        ("idle-timeout = -1\n", 1, ""),
        ("idle-timeout = true\n", 1, "invalid type: boolean `true`, expected f64"),
        ("unix-mode = 0o660\n", 1, "invalid type: integer `432`, expected a string"),
        ("log-format = \"xml\"\n", 1, "unknown variant `xml`, expected `text` or `json`"),
        ("unix-mode = \"999\"\n", 1, "\"999\" is not an octal file mode such as 660"),
        ("quiet = true\nquiet = false\n", 2, "duplicate key"),
        ("quiet = true\n[more]\n", 2, "unknown field `more`"),
        ("quiet: true\n", 1, ""),
        ("config = \"other\"\n", 1, "unknown field `config`"),
    ] {
        let file = folder.write("wrong.toml", text);
        let outcome = run(SERVER, &["--config", &file], "");
        let expected = format!("daytime-server: {file}:{line}: {error}");
        assert_eq!((outcome.code, &*outcome.out), (Some(2), ""), "{text:?}: {outcome:?}");
        assert!(outcome.err.starts_with(&expected) && outcome.err.lines().count() == 1, "{text:?}: {}", outcome.err);
    }
    // A value of the right type that the server rejects gets the same error as the flag.
    for (text, error) in [
        ("listen = [\"localhost:\"]", "the address \"localhost:\" does not have a port number after its colon"),
        ("allow = [\"10.0.0.0/33\"]", "\"10.0.0.0/33\" is not a network; expected CIDR notation such as 192.0.2.0/24"),
        ("workers = 0", "workers must be between 1 and 1,024, got 0"),
        (
            "timezone = \"Mars/Olympus\"",
            "the time zone \"Mars/Olympus\" is unknown; expected a name such as Europe/Berlin, UTC, or an offset such as +05:30",
        ),
    ] {
        let file = folder.write("refused.toml", text);
        run(SERVER, &["--config", &file], "").assert(2, "", &format!("daytime-server: {error}\n"));
    }
    let missing = folder.name("missing.toml");
    let error = format!("daytime-server: read {missing}: No such file or directory (os error 2)\n");
    run(SERVER, &["--config", &missing], "").assert(1, "", &error);
}

#[test]
fn a_file_is_text_of_at_most_1_mib() {
    let folder = Folder::new();
    let text = format!("#{}\n", "x".repeat((1 << 20) - 2));
    for (file, error) in [
        (folder.write("longest", &text), ""),
        (folder.write("longer", &format!("{text}#")), "a configuration file must be at most 1 MiB long"),
        ("/dev/zero".into(), "a configuration file must be at most 1 MiB long"),
        (SERVER.into(), "a configuration file must be at most 1 MiB long"),
    ] {
        let outcome = run(SERVER, &["--config", &file, "--print-config"], "");
        match error {
            "" => assert_eq!((outcome.code, &*outcome.err), (Some(0), "")),
            _ => outcome.assert(1, "", &format!("daytime-server: read {file}: {error}\n")),
        }
    }
    fs::write(folder.at("latin"), b"greeting = \"gr\xfc\xdfe\"\n").unwrap();
    let error = format!("daytime-server: read {}: a configuration file must be UTF-8\n", folder.name("latin"));
    run(SERVER, &["--config", &folder.name("latin")], "").assert(1, "", &error);
    // A shell's <(...) is a pipe.
    let line = format!("'{SERVER}' --print-config --config <(echo workers = 3)");
    let outcome = run("bash", &["-c", &line], "");
    assert!(outcome.code == Some(0) && outcome.out.contains("workers = 3\n"), "{outcome:?}");
}

#[test]
fn printed_settings_are_a_valid_file() {
    let folder = Folder::new();
    let arguments = [
        "--listen=localhost:9",
        "--listen=unix:@name",
        "--listen-rfc867=[::1]:13",
        "--listen-rfc868=127.0.0.1",
        "--listen-metrics=127.0.0.1:0",
        "--listen-proxied=127.0.0.1:9991",
        "--proxy=10.0.0.1",
        "--unix-mode=640",
        "--reuse-port",
        "--allow=10.0.0.0/8",
        "--deny=10.1.0.0/16",
        "--workers=3",
        "--framing=line",
        "--timezone=Europe/Berlin",
        "--day-format=%a",
        "--greeting=\"quoted\" \\ größe",
        "--max-clients=7",
        "--max-clients-per-source=6",
        "--idle-timeout=1.5",
        "--first-command-timeout=2",
        "--write-timeout=0.25",
        "--proxy-timeout=3.5",
        "--busy-poll=50",
        "--drain=0",
        "--bind-timeout=1",
        "--log-format=json",
        "--quiet",
        "--print-config",
    ];
    let printed = run(SERVER, &arguments, "");
    assert_eq!((printed.code, &*printed.err), (Some(0), ""));
    assert!(printed.out.contains("idle-timeout = 1.5\n"), "{}", printed.out);
    let file = folder.write("daytime.toml", &printed.out);
    run(SERVER, &["--config", &file, "--print-config"], "").assert(0, &printed.out, "");
    // The same holds for the defaults. `--print-config` also rejects invalid settings.
    let printed = run(SERVER, &["--print-config"], "");
    assert!(printed.out.contains("greeting = \"Welcome to the server\"\n"), "{}", printed.out);
    let file = folder.write("defaults.toml", &printed.out);
    run(SERVER, &["--config", &file, "--print-config"], "").assert(0, &printed.out, "");
    assert_eq!(run(SERVER, &["--print-config", "--workers=0"], "").code, Some(2));
}

#[test]
fn check_prints_the_addresses_and_does_not_bind_them() {
    let folder = Folder::new();
    let socket = folder.name("socket");
    let taken = TcpListener::bind(local(0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (listen, unix) = (format!("--listen={address}"), format!("--listen=unix:{socket}"));
    let arguments = [
        &*listen,
        &unix,
        "--listen-rfc867=127.0.0.1",
        "--listen-rfc868=[::1]",
        "--listen-metrics=127.0.0.1",
        "--deny=10.0.0.0/8",
    ];
    let limits = ["--workers=3", "--max-clients=100", "--max-clients-per-source=9", "--idle-timeout=2.5", "--check"];
    let expected = format!(
        "listen: {address}\nlisten: unix:{socket}\nlisten-rfc867: 127.0.0.1:13\nlisten-rfc868: [::1]:37\n\
         listen-metrics: 127.0.0.1:9991\nnetworks: 0 allowed, 1 denied, others allowed\nworkers: 3\nmax-clients: 100\nmax-clients-per-source: 9\n\
         idle-timeout: 2.5 s\nfirst-command-timeout: never\nwrite-timeout: 10 s\n"
    );
    run(SERVER, &[&arguments[..], &limits].concat(), "").assert(0, &expected, "");
    assert!(!Path::new(&socket).exists());
    for metrics in [&[][..], &["--listen-metrics=127.0.0.1"]] {
        let outcome = run(SERVER, &[&["--check"], metrics].concat(), "");
        assert!(outcome.out.starts_with("listen: ") && outcome.out.contains(":9990"), "{outcome:?}");
    }
    let outcome = run(SERVER, &["--check"], "");
    assert!(
        outcome.out.contains("networks: all allowed\n") && outcome.out.contains("max-clients-per-source: no limit\n")
    );
    let behind = ["--listen-proxied=127.0.0.1", "--proxy=10.0.0.0/8", "--proxy=::1", "--proxy-timeout=3", "--check"];
    let outcome = run(SERVER, &behind, "");
    let expected = "listen-proxied: 127.0.0.1:9990\nproxies: 2 networks\nproxy-timeout: 3 s\nnetworks: all allowed\n";
    assert!(outcome.code == Some(0) && outcome.out.starts_with(expected), "{outcome:?}");
    run(SERVER, &behind[..1], "").assert(
        2,
        "",
        "daytime-server: a TCP listener behind a proxy needs the proxy's network, got none; expected a network such as \
         192.0.2.0/24\n",
    );
    run(SERVER, &["--check", "--deny=x"], "").assert(
        2,
        "",
        "daytime-server: \"x\" is not a network; expected CIDR notation such as 192.0.2.0/24\n",
    );
}
