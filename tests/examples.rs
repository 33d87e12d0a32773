//! The examples, run as a reader would run them, a crate that uses the library alone, and the links of the documents.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Once,
};

use common::{Folder, peer::Peer, process::Program};
use daytime::{Clock, chrono::DateTime};

/// An example, built as `cargo run --example` builds it.
fn example(name: &str) -> Command {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        output_of(
            Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--examples"])
                .current_dir(env!("CARGO_MANIFEST_DIR")),
        );
    });
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    Command::new(target.join("debug/examples").join(name))
}

/// Runs a command to its end: its standard output.
fn output_of(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?} {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `embed` until a client shuts it down: the replies, and the program's output.
fn embed(mut command: Command) -> (String, String) {
    let mut program = Program::start(&mut command);
    let port = program.out.line().strip_prefix("port ").unwrap().parse().unwrap();
    let mut peer = Peer::connect(port);
    peer.send("echo hello  there\nsum 1 2 39\nsum up\nvisits\nvisits\nshutdown\n");
    let replies = String::from_utf8(peer.rest()).unwrap();
    drop(peer);
    let ended = program.finish();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    (replies, ended.out)
}

fn check_embed((replies, log): (String, String)) {
    assert_eq!(replies, "Welcome to the server\nhello  there\n42\nThe command failed\n1\n2\nuntil next time\n");
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].starts_with("Connection has been established with client IP 127.0.0.1 and port is "), "{log}");
    assert_eq!(lines[1], "sum failed: invalid digit found in string");
    assert!(lines[2].ends_with("has been closed after 6 commands: the client quit"), "{log}");
    assert_eq!(lines[3], "6 commands for 1 clients");
}

#[test]
fn embed_runs() {
    check_embed(embed(example("embed")));
}

#[test]
fn tokio_commands_runs() {
    let mut program = Program::start(&mut example("tokio_commands"));
    let port = program.out.line().strip_prefix("port ").unwrap().parse().unwrap();
    let mut peer = Peer::connect(port);
    peer.send("timer 5\ntimer soon\n");
    for line in ["Welcome to the server", "5 ms have passed", "The command failed: expected milliseconds"] {
        assert_eq!(peer.line(), line);
    }
    let [mut leaving, mut staying] = [(); 2].map(|()| Peer::greeted(port));
    leaving.send("timer 3600000\n");
    for line in ["timer 5 starts", "timer soon starts", "timer 3600000 starts"] {
        assert_eq!(program.out.line(), line);
    }
    leaving.reset();
    assert_eq!(program.out.line(), "timer 3600000 is cancelled");
    // A task that runs while the server stops still replies.
    staying.send("timer 500\n");
    assert_eq!(program.out.line(), "timer 500 starts");
    peer.ask("stop\n", "goodbye\n");
    peer.expect_eof();
    staying.expect("\n500 ms have passed\n");
    staying.expect_eof();
    program.finish().assert(0, "the server has stopped\n", "");
}

#[test]
fn select_loop_runs() {
    let mut program = Program::start(&mut example("select_loop"));
    let port = program.out.line().strip_prefix("port ").unwrap().parse().unwrap();
    let mut first = Peer::connect(port);
    first.send("point Ada\npoint Ada\npoint\nquit\n");
    let replies = "Welcome to the server\n1\n2\nThe command failed: a name is missing\n";
    assert_eq!(String::from_utf8(first.rest()).unwrap(), replies);
    assert!(program.out.line().starts_with("Connection has been established with client IP "));
    assert_eq!(program.out.line(), "client 1 has left after 4 commands: the client quit");
    let mut second = Peer::connect(port);
    second.send("point Bob\nhelp point\nstop\n");
    assert_eq!(String::from_utf8(second.rest()).unwrap(), "Welcome to the server\n1\npoint NAME\ngoodbye\n");
    program.out.line();
    let printed = "client 2 has left after 3 commands: the client quit\nAda: 2\nBob: 1\n";
    program.finish().assert(0, printed, "");
}

#[test]
fn fake_clock_runs() {
    assert_eq!(output_of(&mut example("fake_clock")), "midnight has passed\n");
}

#[test]
fn many_clients_runs() {
    let printed = output_of(example("many_clients").arg("200"));
    assert!(printed.starts_with("200 clients connected in "), "{printed}");
    assert!(printed.contains("200 clients answered in "), "{printed}");
    assert!(printed.contains("100000 pipelined questions answered in "), "{printed}");
    assert!(printed.ends_with("200 clients in the list, 100200 commands\n"), "{printed}");
}

/// The student's client frames nothing: it sends a bare command, and the bytes of one read are the reply.
#[test]
fn the_classroom_client_runs() {
    if !common::installed(&["python3"]) {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let server = common::builder().timezone("UTC").start().unwrap();
    let mut python = Command::new("python3");
    let port = server.port().to_string();
    python.arg(root.join("examples/python/classroom_client.py")).args(["127.0.0.1", port.as_str()]);
    let mut client = Program::start(&mut python);
    client.send("day\nDATE\n\nnonsense\nquit\n");
    let ended = client.finish();
    let prompt = "Enter the command for Day -> day |Date -> date |Time -> time and Exit -> quit or exit: ";
    let printed = format!(
        "Welcome to the server\n{prompt}Sunday\n{prompt}26-11-22\n{prompt}{prompt}You entered an invalid command\n{prompt}"
    );
    assert_eq!((ended.code, ended.out.trim_end_matches('\n')), (Some(0), printed.as_str()), "{ended:?}");
    let programs = fs::read_to_string(root.join("src/bin/daytime-client/prompt.rs")).unwrap();
    assert!(programs.contains(prompt), "daytime-client has the same prompt");
}

/// The programs of `examples/device`, in a folder.
fn device_programs() -> Option<Folder> {
    if !common::installed(&["make", "cc"]) {
        return None;
    }
    let folder = Folder::new();
    let mut make = Command::new("make");
    make.arg("-C").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/device"));
    output_of(make.arg(format!("OUT={}", folder.path().display())));
    Some(folder)
}

#[test]
fn a_device_prints_the_local_time_of_a_zone() {
    let Some(folder) = device_programs() else { return };
    if !Path::new("/usr/share/zoneinfo/Africa/Casablanca").exists() {
        return common::skip("this machine does not have a zone database");
    }
    let server = common::builder().timezone("Europe/Berlin").start().unwrap();
    let port = server.port().to_string();
    let run = |zone: &[&str]| {
        let mut program = Command::new(folder.at("local_time"));
        Program::start(program.args(["127.0.0.1", &port]).args(zone)).finish()
    };
    for (moment, zone, time, tz, next) in [
        (
            "2026-11-22T15:44:57Z",
            "Europe/Berlin",
            "2026-11-22 16:44:57 CET (UTC+0100)",
            BERLIN,
            "2027-03-28T01:00:00Z +02:00",
        ),
        (
            "2027-03-28T01:00:00Z",
            "Europe/Berlin",
            "2027-03-28 03:00:00 CEST (UTC+0200)",
            BERLIN,
            "2027-10-31T01:00:00Z +01:00",
        ),
        (
            "2027-02-15T00:00:00Z",
            "Africa/Casablanca",
            "2027-02-15 00:00:00 +00 (UTC+0000)",
            "<+00>0",
            "2027-03-14T02:00:00Z +01:00",
        ),
        ("2027-02-15T00:00:00Z", "asia/kathmandu", "2027-02-15 05:45:00 +0545 (UTC+0545)", "<+0545>-5:45", "none"),
        ("2027-02-15T00:00:00Z", "-03:30", "2027-02-14 20:30:00 -0330 (UTC-0330)", "<-0330>3:30", "none"),
        ("2027-02-15T00:00:00Z", "", "2027-02-15 01:00:00 CET (UTC+0100)", BERLIN, "2027-03-28T01:00:00Z +02:00"),
    ] {
        server.set_clock(Clock::fixed(DateTime::parse_from_rfc3339(moment).unwrap()));
        run(&[zone]).assert(0, &format!("{time}\nTZ={tz}\nnext change: {next}\n"), "");
    }
    run(&[]).assert(
        0,
        &format!("2027-02-15 01:00:00 CET (UTC+0100)\nTZ={BERLIN}\nnext change: 2027-03-28T01:00:00Z +02:00\n"),
        "",
    );
    run(&["Mars/Olympus"]).assert(1, "", "local_time: the server does not know the zone\n");
    run(&["UTC\nquit"]).assert(1, "", "local_time: the zone is not a name\n");
    run(&[&"x".repeat(2000)]).assert(1, "", "local_time: the zone is not a name\n");
    run(&["UTC", "UTC"]).assert(2, "", "usage: local_time HOST PORT [ZONE]\n");
    drop(server);
    run(&[]).assert(1, "", "local_time: the server does not answer\n");
}

const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

/// The program ends with an error if the server's clock is not within the bounds that it has found.
#[test]
fn a_device_finds_the_bounds_of_the_clock() {
    let Some(folder) = device_programs() else { return };
    let server = common::builder().clock(Clock::system()).start().unwrap();
    let run = |port: u16| {
        let mut program = Command::new(folder.at("accuracy"));
        Program::start(program.args(["127.0.0.1", &port.to_string(), "1"])).finish()
    };
    let ended = run(server.port());
    assert_eq!((ended.code, ended.out.lines().count()), (Some(0), 6), "{ended:?}");
    assert!(ended.out.contains("\nafter 4 seconds of search "), "{ended:?}");
    for clock in [Clock::offset(2), Clock::offset(-2), Clock::fixed_unix(common::MOMENT)] {
        server.set_clock(clock);
        run(server.port()).assert(1, "", "accuracy: the server's clock is not this machine's\n");
    }
}

/// Where docs.rs shows the files of a published package. The README is shown by package indexes, which have no other file.
const SOURCES: &str = "https://docs.rs/crate/daytime/latest/source/";

/// Every relative link of a document leads to a file of the repository, and every link to the published sources to a file
/// of the package.
#[test]
fn the_links_of_the_documents_have_targets() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = output_of(Command::new(env!("CARGO")).current_dir(root).args(["package", "--list", "--allow-dirty"]));
    let packaged: Vec<&str> = listed.lines().collect();
    let documents = [
        "README.md",
        ".github/CONTRIBUTING.md",
        "examples/README.md",
        "examples/c/README.md",
        "examples/container/README.md",
        "examples/debian/README.md",
        "examples/haproxy/README.md",
        "examples/kubernetes/README.md",
        "examples/nginx/README.md",
        "examples/device/README.md",
        "examples/systemd/README.md",
        "examples/prometheus/README.md",
        "python/README.md",
        "src/protocol/protocol.md",
        "tests/bench/README.md",
    ];
    for document in documents {
        let text = fs::read_to_string(root.join(document)).unwrap_or_else(|error| panic!("{document}: {error}"));
        let folder = root.join(document).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if !target.is_empty() && !target.starts_with("http") {
                let is_shown_by_an_index = ["README.md", "python/README.md"].contains(&document);
                assert!(!is_shown_by_an_index, "{document}: a package index does not have {link}; link to {SOURCES}");
                assert!(folder.join(target).exists(), "{document} links to {link}");
            }
        }
        for rest in text.split(SOURCES).skip(1) {
            let target = rest.split(['\n', ')', '"']).next().unwrap();
            assert!(packaged.contains(&target), "{document} links to {target}, which the package lacks");
        }
        // `[text][target]` and the definition of the target.
        for target in text.split("][").skip(1).filter_map(|rest| rest.split(']').next()) {
            assert!(text.contains(&format!("\n[{target}]: ")), "{document} does not define {target}");
        }
    }
}

/// The files that a registry takes and its warnings: a field that is missing, or a test that is left out.
#[test]
fn cargo_packages_this_crate_without_a_warning() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["package", "--no-verify", "--offline", "--allow-dirty"]);
    // A folder of its own, since another cargo may build in the target directory.
    let folder = Folder::new();
    let output = cargo.env("CARGO_TARGET_DIR", folder.path()).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !printed.contains("warning"), "{printed}");
}

#[test]
fn an_external_crate_builds_without_the_programs_dependencies() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    // The target directory stays, so that the next build is quicker.
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("outside");
    fs::create_dir_all(place.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"outside\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n\n\
         [dependencies]\ndaytime = {{ path = {root:?}, default-features = false }}\n"
    );
    fs::write(place.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), place.join("Cargo.lock")).unwrap();
    fs::copy(root.join("examples/rust/embed.rs"), place.join("src/main.rs")).unwrap();
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(arguments).current_dir(&place).env("CARGO_TARGET_DIR", place.join("target"));
        cargo
    };
    let tree = output_of(&mut cargo(&["tree", "--edges", "normal", "--prefix", "none"]));
    for unwanted in ["clap", "rustyline", "signal-hook", "pyo3", "proptest", "tokio"] {
        assert!(!tree.contains(unwanted), "{tree}");
    }
    assert!(tree.contains("mio v"), "{tree}");
    output_of(&mut cargo(&["build", "--quiet"]));
    check_embed(embed(Command::new(place.join("target/debug/outside"))));
}
