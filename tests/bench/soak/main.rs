//! A soak: `cargo run --release --example soak -- --seconds 180`. tests/bench/README.md describes it.
//!
//! A polite client is asked all the time, while other clients do what clients do: they come and go, send pipelines, read
//! slowly, reset, stay half-open, and use custom commands that fail, panic, or never reply. Some of them are kicked. Every
//! reply is checked. At the end, what the server uses must be what it used at the start.

mod load;
mod server;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
    sync::{atomic::Ordering::Relaxed, mpsc},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use hdrhistogram::Histogram;
use load::{KINDS, Load, Random, polite};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The time after which a wait fails.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The time between two looks at the server's process.
const SAMPLE: Duration = Duration::from_millis(250);
/// The first argument of the server's process.
const SERVE: &str = "serve";

/// Runs a mixed load on a server, and checks that what the server uses stays the same.
#[derive(Parser)]
#[command(name = "soak")]
struct Args {
    /// Length of the load
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(4..))]
    seconds: u64,
}

/// What the process of the server uses.
#[derive(Clone, Copy)]
struct Usage {
    memory: u64,
    descriptors: u64,
    threads: u64,
}

/// A quarter of the time.
struct Quarter {
    usages: Vec<Usage>,
    /// Latencies of the polite client, in microseconds.
    latencies: Histogram<u64>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((first, rest)) if first == SERVE => server::serve(rest).map(|()| true),
        _ => run(Duration::from_secs(Args::parse().seconds)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the load, prints the report, and returns whether the usage stayed flat.
fn run(length: Duration) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let unix = folder.path().join("socket");
    let mut child = Command::new(env::current_exe()?)
        .args([SERVE, "100", "127.0.0.1:0", &format!("unix:{}", unix.display())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("the output is a pipe")).read_line(&mut line)?;
    let port = line.trim_end().strip_prefix(server::PORT).ok_or("the server does not serve")?.parse()?;
    let result = soak(&Load::new(port, unix), child.id(), length);
    // The server drains when its input ends.
    drop(child.stdin.take());
    let deadline = Instant::now() + TIMEOUT;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                child.kill()?;
                break child.wait()?;
            }
            None => thread::sleep(Duration::from_millis(2)),
        }
    };
    let flat = result?;
    if !status.success() {
        return Err(format!("the server ended with {status}").into());
    }
    Ok(flat)
}

fn soak(load: &Load, pid: u32, length: Duration) -> Result<bool> {
    let before = Usage::of(pid)?;
    let (began, mut quarters) = (Instant::now(), Vec::new());
    let result = thread::scope(|scope| {
        let (failed, failure) = mpsc::channel();
        for (seed, kind) in KINDS.iter().enumerate() {
            let failed = failed.clone();
            scope.spawn(move || {
                let mut random = Random(seed as u64 + 1);
                while !load.stop.load(Relaxed) {
                    if let Err(error) = (kind.run)(load, &mut random) {
                        load.stop.store(true, Relaxed);
                        let _ = failed.send(format!("{}: {error}", kind.name));
                    }
                }
            });
        }
        let result: Result<()> = (1..=4).try_for_each(|n| {
            let mut quarter = Quarter { usages: Vec::new(), latencies: Histogram::new(3)? };
            let end = began + length * n / 4;
            thread::scope(|scope| -> Result<()> {
                let polite = scope.spawn(|| polite(load, end, &mut quarter.latencies));
                while Instant::now() < end && !polite.is_finished() {
                    match failure.recv_timeout(SAMPLE.min(end - Instant::now())) {
                        Ok(failure) => return Err(failure.into()),
                        Err(_) => quarter.usages.push(Usage::of(pid)?),
                    }
                }
                polite.join().expect("the polite client does not panic")
            })?;
            quarters.push(quarter);
            Ok(())
        });
        load.stop.store(true, Relaxed);
        result
    });
    result?;
    let after = settled(pid, before)?;
    let [first, _, third, last] = &quarters[..] else { unreachable!("there are four quarters") };
    let mut checks = Checks::default();
    let kib = |usage: &Usage| usage.memory / 1024;
    // When other programs run, replies wait in buffers, whose memory the allocator keeps: a few steps. A leak goes on: in
    // half an hour this finds one of 8 bytes for each hundredth connection.
    checks.flat("memory, second half, KiB", third.median(kib), last.median(kib), 256);
    checks.flat("memory, KiB", first.median(kib), last.median(kib), 8 * 1024);
    checks.flat("threads", first.median(|usage| usage.threads), last.median(|usage| usage.threads), 4);
    let descriptors = |usage: &Usage| usage.descriptors;
    checks.flat("descriptors", first.median(descriptors), last.median(descriptors), first.median(descriptors) / 4 + 32);
    let slowest = |quarter: &Quarter| quarter.latencies.value_at_quantile(0.999);
    checks.flat("p99.9 of the polite client, us", slowest(first), slowest(last), slowest(first) + 50_000);
    println!();
    checks.flat("descriptors without clients", before.descriptors, after.descriptors, 0);
    checks.flat("threads without clients", before.threads, after.threads, 0);
    let [connections, replies, cut] = [&load.connections, &load.replies, &load.cut].map(|count| count.load(Relaxed));
    let asked: u64 = quarters.iter().map(|quarter| quarter.latencies.len()).sum();
    println!(
        "\nThe load: {connections} connections, {replies} replies, {cut} connections cut; polite: {asked} replies"
    );
    println!("The server: {}", load.stats()?);
    println!("{}", if checks.failed { "NOT FLAT" } else { "flat; no wrong byte" });
    Ok(!checks.failed)
}

/// What the server uses when its clients have left: as much as before they came, or what is left after a while.
fn settled(pid: u32, before: Usage) -> Result<Usage> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let usage = Usage::of(pid)?;
        let is_settled = usage.descriptors <= before.descriptors && usage.threads <= before.threads;
        if is_settled || Instant::now() > deadline {
            return Ok(usage);
        }
        thread::sleep(SAMPLE);
    }
}

impl Usage {
    /// The usage of a process; see proc(5).
    fn of(pid: u32) -> Result<Usage> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> Result<u64> {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let value = value.ok_or_else(|| format!("the process {pid} has no {name}: it has ended"))?;
            Ok(value.trim().trim_end_matches(" kB").parse()?)
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
        Ok(Usage { memory: field("VmRSS")? * 1024, descriptors, threads: field("Threads")? })
    }
}

impl Quarter {
    fn median(&self, value: impl Fn(&Usage) -> u64) -> u64 {
        let mut values: Vec<u64> = self.usages.iter().map(value).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    }
}

/// The comparisons of the report.
#[derive(Default)]
struct Checks {
    failed: bool,
}

impl Checks {
    /// Prints a row, and notes a growth of more than `slack`.
    fn flat(&mut self, what: &str, before: u64, after: u64, slack: u64) {
        let grew = after > before + slack;
        self.failed |= grew;
        let verdict = if grew { "GREW" } else { "flat" };
        println!("{what:<32} {before:>9} -> {after:>9}   at most +{slack:<9} {verdict}");
    }
}
