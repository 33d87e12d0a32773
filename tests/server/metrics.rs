//! Metrics for Prometheus, and the listener that sends them. `promtool` and `prometheus` judge them where they are
//! installed.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use daytime::{Client, Reason, Server, ServerBuilder, Service, protocol::errors::INVALID};

use crate::common::{
    Folder, TIMEOUT, builder, eventually, installed, next_disconnect, peer::Peer, process::Program, tcp, timed,
};
use crate::helpers::{assert_refused, blocking_command, connect_unix, unix_address};

/// A server with a listener for metrics.
fn monitored(builder: ServerBuilder) -> Server {
    builder.listen_as(Service::Metrics, "127.0.0.1:0").start().unwrap()
}

fn port(server: &Server) -> u16 {
    tcp(&server.addresses_of(Service::Metrics)[0]).port()
}

/// The response to a request, up to the end of the connection.
#[track_caller]
fn exchange(port: u16, request: &str) -> String {
    let mut peer = Peer::connect(port);
    peer.send(request);
    String::from_utf8(peer.rest()).unwrap()
}

/// The status and the body of a page.
#[track_caller]
fn page(port: u16, path: &str) -> (u16, String) {
    let response = exchange(port, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{response:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The samples of a text: from `name{labels}` to the value.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.into(), value.parse().unwrap()))
        .collect()
}

/// What a program prints on both outputs, if it accepts the input.
#[track_caller]
fn assert_accepts(program: &str, arguments: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {printed}\n{input}");
}

// ---- The text

#[test]
fn the_text_has_every_counter_from_the_start() {
    let server = builder().max_clients(7).command("One", |_| "1").start().unwrap();
    let text = server.metrics();
    let samples = samples(&text);
    for reason in Reason::ALL {
        let family = if reason.is_refusal() { "refused" } else { "closed" };
        assert_eq!(samples[&format!("daytime_clients_{family}_total{{reason=\"{}\"}}", reason.name())], 0.0);
    }
    for service in ["text", "rfc867", "rfc868", "proxied"] {
        assert_eq!(samples[&format!("daytime_clients_accepted_total{{service=\"{service}\"}}")], 0.0);
    }
    for name in [
        "daytime_clients",
        "daytime_commands_total",
        "daytime_commands_invalid_total",
        "daytime_receive_bytes_total",
        "daytime_transmit_bytes_total",
        "daytime_events_dropped_total",
        "daytime_accept_pauses_total",
        "daytime_hook_failures_total",
        "daytime_handlers_waiting",
        "daytime_handler_failures_total{command=\"one\"}",
        "daytime_handler_duration_seconds_bucket{command=\"one\",le=\"0.001\"}",
        "daytime_handler_duration_seconds_bucket{command=\"one\",le=\"10\"}",
        "daytime_handler_duration_seconds_bucket{command=\"one\",le=\"+Inf\"}",
        "daytime_handler_duration_seconds_sum{command=\"one\"}",
        "daytime_handler_duration_seconds_count{command=\"one\"}",
    ] {
        assert_eq!(samples.get(name), Some(&0.0), "{name}");
    }
    assert_eq!(samples["daytime_max_clients"], 7.0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(samples[&format!("daytime_build_info{{version=\"{version}\"}}")], 1.0);
    assert!(samples["daytime_uptime_seconds"] > 0.0);
    // A host has the metrics of its process already.
    assert!(!text.contains("process_"), "{text}");
    // A server without custom commands has no family without samples.
    assert!(!builder().start().unwrap().metrics().contains("daytime_handler_"));
}

#[test]
fn promtool_accepts_the_text() {
    if !installed(&["promtool"]) {
        return;
    }
    let names = ["one", "\"quoted\"", "back\\slash", "größe"];
    let builder = names.iter().fold(builder(), |builder, name| builder.command(*name, |_| "1"));
    let server = builder.start().unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.ask("\n", "\n");
    for name in names {
        peer.ask(format!("{name}\n"), "1\n");
    }
    let text = server.metrics();
    assert_accepts("promtool", &["check", "metrics"], &text);
    let samples = samples(&text);
    for label in ["one", "\\\"quoted\\\"", "back\\\\slash", "größe"] {
        assert_eq!(samples[&format!("daytime_handler_duration_seconds_count{{command=\"{label}\"}}")], 1.0, "{label}");
    }
}

#[test]
fn the_text_equals_the_counters_after_a_known_load() {
    let server = monitored(
        builder()
            .listen_as(Service::Rfc868, "127.0.0.1:0")
            .max_clients(3)
            .command("fine", |_| "fine")
            .command("bad", |_| -> Result<&str, &str> { Err("bad") })
            .on_connect(|_| panic!("on purpose")),
    );
    let events = server.events();
    Peer::connect(tcp(&server.addresses_of(Service::Rfc868)[0]).port()).rest();
    next_disconnect(&events);
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::greeted(server.port())).collect();
    for _ in 0..2 {
        Peer::connect(server.port()).rest();
    }
    for peer in &mut peers {
        peer.ask("\n", "\n");
        peer.ask("day\nfine\ndya\nbad\nfine\n", format!("Sunday\nfine\n{INVALID}\nThe command failed\nfine\n"));
    }
    peers.pop().unwrap().finish();
    next_disconnect(&events);
    eventually("the seat of a hook is free", || page(port(&server), "/readyz").0 == 200);
    let stats = server.stats();
    let samples = samples(&page(port(&server), "/metrics").1);
    let of = |name: &str| samples[name] as u64;
    for (name, counted, expected) in [
        ("daytime_clients", stats.clients, 2),
        ("daytime_max_clients", stats.max_clients, 3),
        ("daytime_clients_accepted_total{service=\"text\"}", stats.by_service(Service::Text), 3),
        ("daytime_clients_accepted_total{service=\"rfc868\"}", stats.by_service(Service::Rfc868), 1),
        ("daytime_clients_refused_total{reason=\"full\"}", stats.by_reason(Reason::Full), 2),
        ("daytime_clients_closed_total{reason=\"eof\"}", stats.by_reason(Reason::Eof), 1),
        ("daytime_clients_closed_total{reason=\"answered\"}", stats.by_reason(Reason::Answered), 1),
        ("daytime_commands_total", stats.commands, 15),
        ("daytime_commands_invalid_total", stats.invalid, 6),
        ("daytime_receive_bytes_total", stats.bytes_in, 3 * 23),
        ("daytime_transmit_bytes_total", stats.bytes_out, stats.bytes_out),
        ("daytime_hook_failures_total", stats.hook_failures, 3),
        ("daytime_handlers_waiting", stats.handlers_waiting, 0),
        ("daytime_handler_failures_total{command=\"bad\"}", stats.handler_failures, 3),
        ("daytime_handler_failures_total{command=\"fine\"}", 0, 0),
        ("daytime_handler_duration_seconds_count{command=\"bad\"}", 3, 3),
        ("daytime_handler_duration_seconds_count{command=\"fine\"}", 6, 6),
    ] {
        assert_eq!((of(name), counted), (expected, expected), "{name}");
    }
    // Scrapes are not clients, and not load.
    assert_eq!(stats.accepted, 4);
}

#[test]
fn durations_are_those_until_the_reply() {
    const SLOW: Duration = Duration::from_millis(30);
    let server = builder()
        .command("slow", |_| {
            thread::sleep(SLOW);
            "slow"
        })
        .command_deferred("later", |_, responder| {
            thread::spawn(move || {
                thread::sleep(SLOW);
                responder.reply("later");
            });
        })
        .start()
        .unwrap();
    let mut client = Client::connect(&server.addresses()[0]).unwrap();
    for command in ["slow", "later"] {
        let (_, took) = timed(|| assert_eq!(client.request(command).unwrap(), command));
        let samples = samples(&server.metrics());
        let of = |part: &str| samples[&format!("daytime_handler_duration_seconds_{part}")];
        let sum = of(&format!("sum{{command=\"{command}\"}}"));
        assert!((SLOW.as_secs_f64()..=took.as_secs_f64()).contains(&sum), "{command}: {sum}");
        let bucket = |le: &str| of(&format!("bucket{{command=\"{command}\",le=\"{le}\"}}"));
        assert_eq!((bucket("0.025"), bucket("+Inf")), (0.0, 1.0));
        assert_eq!(of(&format!("count{{command=\"{command}\"}}")), 1.0);
    }
}

#[test]
fn calls_that_wait_for_a_thread_are_counted() {
    let (builder, entries, release) = blocking_command(builder().handler_threads(1));
    let server = builder.start().unwrap();
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::greeted(server.port())).collect();
    for peer in &mut peers {
        peer.send("wait\n");
    }
    entries.recv_timeout(TIMEOUT).unwrap();
    eventually("two of three calls wait", || server.stats().handlers_waiting == 2);
    // A client that leaves takes its call along.
    peers.pop().unwrap().reset();
    eventually("the call is gone", || {
        let waiting = server.stats().handlers_waiting;
        waiting < 2 || server.stats().clients == 2
    });
    drop(release);
    eventually("nothing waits", || server.stats().handlers_waiting == 0);
    server.stop();
    assert!(server.wait(Some(TIMEOUT)));
    assert_eq!(server.stats().handlers_waiting, 0);
}

// ---- The listener

#[test]
fn each_page_has_its_response() {
    let server = monitored(builder());
    let port = port(&server);
    assert_eq!(page(port, "/healthz"), (200, "ok\n".into()));
    assert_eq!(page(port, "/readyz"), (200, "ready\n".into()));
    assert_eq!(page(port, "/"), (404, "Not Found\n".into()));
    let (status, text) = page(port, "/metrics?a=b");
    assert!(status == 200 && text.contains("\ndaytime_clients 0\n") && !text.contains("process_"), "{text}");
    let head = exchange(port, "HEAD /metrics HTTP/1.0\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("Connection: close\r\n\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    let post = exchange(port, "POST /metrics HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("\r\nAllow: GET, HEAD\r\n"), "{post}");
    // A client of the text protocol.
    assert!(exchange(port, "day\n").starts_with("HTTP/1.1 400 "));
    let large = format!("GET /metrics HTTP/1.0\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    assert!(
        exchange(port, &large).starts_with("HTTP/1.1 431 "),
        "input that is not read does not destroy the response"
    );
    // A second request is ignored.
    let twice = exchange(port, &"GET /healthz HTTP/1.0\r\n\r\n".repeat(2));
    assert_eq!(twice.matches("HTTP/1.1").count(), 1, "{twice}");
    // One byte at a time.
    let mut peer = Peer::connect(port);
    peer.trickle("GET /healthz HTTP/1.0\r\n\r\n", Duration::from_millis(1));
    assert!(peer.rest().ends_with(b"\r\n\r\nok\n"));
    // A client that says nothing, and one that leaves in the middle.
    let mut silent = Peer::connect(port);
    silent.finish();
    assert_eq!(silent.rest(), b"");
    let mut leaving = Peer::connect(port);
    leaving.send("GET /met");
    leaving.reset();
    // HTTP on the text port is a wrong command, as ever.
    let mut peer = Peer::greeted(server.port());
    peer.send("GET /metrics HTTP/1.0\r\n\r\n");
    peer.finish();
    assert!(String::from_utf8(peer.rest()).unwrap().contains(INVALID));
    assert_eq!(server.stats().accepted, 1, "scrapers are not clients");
}

#[test]
fn a_large_text_reaches_a_slow_reader() {
    let builder = (0..170).fold(builder(), |builder, n| builder.command(format!("c{n}"), |_| "1"));
    let server = monitored(builder);
    let mut peer = Peer::narrow(port(&server));
    peer.send("GET /metrics HTTP/1.0\r\n\r\n");
    let response = String::from_utf8(peer.rest()).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(body.len() > 150_000, "more than the kernel buffers: {}", body.len());
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    assert!(body.ends_with("duration_seconds_count{command=\"c169\"} 0\n"));
}

#[test]
fn metrics_are_served_where_no_client_is_accepted() {
    let server = monitored(builder().max_clients(1).max_clients_per_source(1).allow("192.0.2.0/24").deny("127.0.0.1"));
    Peer::connect(server.port()).expect_nothing();
    assert_eq!(page(port(&server), "/readyz"), (200, "ready\n".into()));
    let server = monitored(builder().max_clients(1));
    let client = Peer::greeted(server.port());
    assert_eq!(page(port(&server), "/readyz"), (503, "full\n".into()));
    assert_eq!(page(port(&server), "/healthz"), (200, "ok\n".into()));
    assert!(page(port(&server), "/metrics").1.contains("\ndaytime_clients 1\n"));
    drop(client);
    eventually("it has room again", || page(port(&server), "/readyz") == (200, "ready\n".into()));
}

#[test]
fn at_most_32_scrapers_are_served_at_a_time() {
    let server = monitored(builder());
    let mut open: Vec<Peer> = (0..32).map(|_| Peer::connect(port(&server))).collect();
    // The poller reports them in the order of their arrival, and the next one is closed without a response.
    Peer::connect(port(&server)).expect_nothing();
    // A scraper that leaves makes room.
    let mut served = open.pop().unwrap();
    served.send("GET /healthz HTTP/1.0\r\n\r\n");
    assert!(served.rest().ends_with(b"\nok\n"));
    drop(served);
    eventually("there is room", || {
        let mut peer = Peer::connect(port(&server));
        let mut response = Vec::new();
        peer.try_send(b"GET /healthz HTTP/1.0\r\n\r\n")
            && peer.0.read_to_end(&mut response).is_ok()
            && response.ends_with(b"\nok\n")
    });
    // Clients have seats of their own.
    Peer::greeted(server.port()).ask("day", "Sunday");
}

#[test]
fn a_trickled_request_ends_after_five_seconds() {
    let server = monitored(builder());
    let began = Instant::now();
    let mut peer = Peer::connect(port(&server));
    while peer.try_send(b"x") {
        thread::sleep(Duration::from_millis(50));
        assert!(began.elapsed() < TIMEOUT);
    }
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn metrics_are_served_until_the_last_client_is_gone() {
    for workers in [1, 2, 3] {
        let (builder, entries, release) = blocking_command(builder().workers(workers));
        let server = monitored(builder);
        let (text, metrics) = (server.addresses()[0].clone(), port(&server));
        // A client of each worker, and the last one to leave is on any of them.
        let mut peers: Vec<Peer> = (0..workers).map(|_| Peer::greeted(server.port())).collect();
        for (n, peer) in peers.iter_mut().enumerate() {
            peer.send(format!("wait {n}\n"));
            entries.recv_timeout(TIMEOUT).unwrap();
        }
        server.drain(TIMEOUT);
        eventually("it drains", || page(metrics, "/readyz") == (503, "draining\n".into()));
        eventually("it does not listen", || std::net::TcpStream::connect(tcp(&text)).is_err());
        for left in (0..workers).rev() {
            assert!(page(metrics, "/metrics").1.contains("\ndaytime_clients "));
            assert_eq!(page(metrics, "/healthz").0, 200);
            release.send(()).unwrap();
            if left > 0 {
                eventually("a client is gone", || server.stats().clients <= left as u64);
            }
        }
        assert!(server.wait(Some(TIMEOUT)));
        assert_refused(([127, 0, 0, 1], metrics).into());
    }
}

#[test]
fn a_drain_without_clients_ends_at_once() {
    let server = monitored(builder().workers(3));
    let open = Peer::connect(port(&server));
    let (ended, took) = timed(|| {
        server.drain(TIMEOUT);
        server.wait(Some(TIMEOUT))
    });
    assert!(ended && took < TIMEOUT / 2, "a scraper holds nothing up: {took:?}");
    drop(open);
}

#[test]
fn the_listener_may_be_a_unix_socket_or_an_inherited_one() {
    let folder = Folder::new();
    let path = folder.at("metrics");
    let inherited = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = inherited.local_addr().unwrap().port();
    let server = builder()
        .listen_as(Service::Metrics, unix_address(&path))
        .listener_as(Service::Metrics, inherited)
        .start()
        .unwrap();
    assert_eq!(server.addresses_of(Service::Metrics).len(), 2);
    let mut peer = connect_unix(&path);
    peer.send("GET /healthz HTTP/1.0\r\n\r\n");
    assert!(peer.rest().ends_with(b"\nok\n"));
    assert_eq!(page(port, "/healthz").0, 200);
    server.stop();
    assert!(server.wait(Some(TIMEOUT)));
    assert!(!path.exists());
}

#[test]
fn requests_may_come_before_the_start() {
    let bound = builder().listen_as(Service::Metrics, "127.0.0.1:0").bind().unwrap();
    let mut peer = Peer::connect(tcp(&bound.addresses_of(Service::Metrics)[0]).port());
    peer.send("GET /healthz HTTP/1.0\r\n\r\n");
    let _server = bound.start().unwrap();
    assert!(peer.rest().ends_with(b"\nok\n"));
}

// ---- The examples for Prometheus and Grafana

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/prometheus").join(name)).unwrap()
}

#[test]
fn promtool_accepts_the_examples() {
    if !installed(&["promtool"]) {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/prometheus");
    for (check, file) in [("config", "prometheus.yml"), ("rules", "alerts.yml")] {
        assert_accepts("promtool", &["check", check, folder.join(file).to_str().unwrap()], "");
    }
    let folder = Folder::new();
    folder.write("alerts.yml", &example("alerts.yml"));
    let tests = folder.write("test.yml", include_str!("../../tests/server/alerts_test.yml"));
    assert_accepts("promtool", &["test", "rules", &tests], "");
}

#[test]
fn the_examples_use_metrics_that_exist() {
    let server = builder().command("one", |_| "1").start().unwrap();
    let text = server.metrics();
    let exists = |name: &str| text.lines().any(|line| line.split(['{', ' ']).next() == Some(name));
    for file in ["alerts.yml", "dashboard.json", "README.md"] {
        let example = example(file);
        let words = example.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let names: Vec<_> = words.filter(|word| word.starts_with("daytime_")).collect();
        assert!(!names.is_empty(), "{file}");
        for name in names {
            assert!(exists(name), "{file} has {name}");
        }
    }
    let readme = example("README.md");
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(readme.contains(&format!("`{family}")), "README.md does not have {family}");
    }
}

#[test]
fn prometheus_scrapes_the_server() {
    if !installed(&["prometheus", "promtool"]) {
        return;
    }
    let folder = Folder::new();
    let server = monitored(builder().command("one", |_| "1"));
    Peer::greeted(server.port()).ask("day", "Sunday");
    let config = example("prometheus.yml")
        .replace("localhost:9991", &format!("127.0.0.1:{}", port(&server)))
        .replace("scrape_interval: 15s", "scrape_interval: 1s");
    let config = folder.write("prometheus.yml", &config);
    folder.write("alerts.yml", &example("alerts.yml"));
    let mut prometheus = Program::start(Command::new("prometheus").args([
        &format!("--config.file={config}"),
        "--web.listen-address=127.0.0.1:0",
        &format!("--storage.tsdb.path={}", folder.name("data")),
    ]));
    // Its log tells the port.
    let address = loop {
        let line = prometheus.err.line();
        if let Some((_, address)) = line.split_once("Listening on").and_then(|(_, rest)| rest.split_once(" address=")) {
            break address.split(' ').next().unwrap().to_owned();
        }
    };
    let query = |query: &str| {
        let output = Command::new("promtool").args(["query", "instant", &format!("http://{address}"), query]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    eventually("Prometheus has scraped the server", || {
        thread::sleep(Duration::from_millis(200));
        query("up{job=\"daytime\"} == 1").contains("=> 1 @")
    });
    let accepted = query("daytime_clients_accepted_total{service=\"text\"}");
    assert!(accepted.contains("=> 1 @"), "{accepted}");
    for expression in panels() {
        // A rate needs two scrapes.
        eventually(&format!("{expression} has a value"), || query(&expression).contains("} => "));
    }
    drop(prometheus);
}

/// The expressions of the dashboard's panels, with values in place of Grafana's variables.
fn panels() -> Vec<String> {
    let dashboard = example("dashboard.json");
    let expressions =
        dashboard.lines().filter_map(|line| line.trim().strip_prefix("\"expr\": \"")?.strip_suffix("\","));
    let expressions = expressions.map(|text| text.replace("\\\"", "\""));
    let expressions: Vec<String> =
        expressions.map(|text| text.replace("$__rate_interval", "1m").replace("$instance", ".*")).collect();
    assert_eq!(expressions.len(), dashboard.matches("\"expr\"").count());
    assert!(expressions.len() > 10 && !expressions.concat().contains('$'), "{expressions:?}");
    expressions
}
