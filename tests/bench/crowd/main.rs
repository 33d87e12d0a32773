//! 100,000 idle clients of one port: `cargo bench --bench crowd`. tests/bench/README.md describes it.
//!
//! A process has fewer descriptors than that, so several processes of `daytime-server` share the port, and several
//! processes have the clients. Every process that is started here is killed by its id, whatever happens.

mod clients;
#[path = "../wire/machine.rs"]
mod machine;
mod picture;

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use clients::{HOLD, Measured};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use socket2::{Domain, Socket, Type};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The time after which a wait fails.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The active clients beside the idle ones.
const ACTIVE: usize = 64;
/// How often the active clients are measured, in turn with and without idle ones.
const ROUNDS: usize = 15;
/// The memory that a client needs, mostly in the kernel, for both ends. Measured, and rounded up.
const CLIENT_BYTES: u64 = 16 * 1024;

/// Connects many idle clients to one port that several servers share, and measures active clients beside them.
#[derive(Parser)]
#[command(name = "crowd")]
struct Args {
    /// Number of idle clients
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(60..))]
    clients: u64,
    /// Number of servers, and of processes that have the clients
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u64).range(2..=200))]
    processes: u64,
    /// Length of each measurement of the active clients: 15 without and 15 with idle ones, in turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Accepted and ignored, because `cargo bench` passes it
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match &arguments[..] {
        [first, rest @ ..] if first == HOLD => clients::hold(rest),
        all if all.iter().any(|argument| argument == "--bench") => {
            let args = Args::parse();
            run(args.clients as usize, args.processes as usize, Duration::from_secs(args.seconds))
        }
        // `cargo test` runs it for a moment.
        _ => run(240, 3, Duration::from_millis(50)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crowd: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A process of this benchmark. It is killed when this is dropped.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(command: &mut Command) -> Result<Process> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().ok_or("the output is not a pipe")?);
        Ok(Process { child, input, output: BufReader::new(output) })
    }

    /// The next line. A process ends by itself if it waits too long for something, and its output with it.
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err(format!("the process {} has ended early", self.child.id()).into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    fn number(&mut self) -> Result<usize> {
        Ok(self.line()?.parse()?)
    }

    fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The servers of a port.
struct Servers {
    /// It reserves the port, and does not listen.
    _reserved: Socket,
    port: u16,
    processes: Vec<Process>,
    /// The descriptors of each server without clients.
    before: Vec<usize>,
}

impl Servers {
    fn start(count: usize) -> Result<Servers> {
        let reserved = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        reserved.set_reuse_port(true)?;
        reserved.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let port = reserved.local_addr()?.as_socket().ok_or("the socket is not bound")?.port();
        let server = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_daytime-server"));
            command.args(["--quiet", "--reuse-port", "--workers=1", "--framing=line"]);
            let mut process = Process::start(command.arg(format!("--listen=127.0.0.1:{port}")))?;
            process.line()?;
            Ok(process)
        };
        let processes = (0..count).map(|_| server()).collect::<Result<Vec<_>>>()?;
        let before = processes.iter().map(Process::descriptors).collect::<Result<_>>()?;
        Ok(Servers { _reserved: reserved, port, processes, before })
    }

    /// The number of clients of each server.
    fn clients(&self) -> Result<Vec<usize>> {
        let each = self.processes.iter().zip(&self.before);
        each.map(|(process, before)| Ok(process.descriptors()?.saturating_sub(*before))).collect()
    }

    fn memory(&self) -> Result<Vec<u64>> {
        self.processes.iter().map(|process| machine::memory(process.child.id())).collect()
    }

    /// The processor time of all servers, in nanoseconds.
    fn processor_time(&self) -> Result<u64> {
        self.processes.iter().map(|process| machine::processor_time(process.child.id())).sum()
    }

    /// Waits until the servers have so many clients together.
    fn settle(&self, clients: usize) -> Result<Vec<usize>> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let each = self.clients()?;
            match each.iter().sum::<usize>() {
                sum if sum == clients => return Ok(each),
                sum if Instant::now() > deadline => {
                    return Err(format!("the servers have {sum} clients, not {clients}").into());
                }
                _ => thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

/// What the servers and the kernel use while the clients come.
struct Sample {
    clients: usize,
    servers: u64,
    kernel: u64,
}

fn run(clients: usize, processes: usize, length: Duration) -> Result<()> {
    if let Some(reason) = obstacle(clients, processes)? {
        println!("SKIPPED: crowd: {reason}");
        return Ok(());
    }
    let (cores, description) = (machine::cores()?, machine::describe());
    let server_core = *cores.get(1).or(cores.first()).ok_or("this process may not use any core")?;

    machine::pin(&[server_core])?;
    let mut servers = Servers::start(processes)?;
    // They have no idle clients.
    let others = Servers::start(processes)?;
    machine::pin(&cores[..1])?;
    let (memory_before, kernel_before) = (servers.memory()?, machine::kernel_memory()?);

    let (began, mut samples) = (Instant::now(), Vec::new());
    let mut holders = (0..processes)
        .map(|n| {
            let count = clients / processes + usize::from(n < clients % processes);
            let mut command = Command::new(env::current_exe()?);
            Process::start(command.args([HOLD, &servers.port.to_string(), &n.to_string(), &count.to_string()]))
        })
        .collect::<Result<Vec<_>>>()?;
    let refused = thread::scope(|scope| -> Result<usize> {
        let coming = scope.spawn(|| holders.iter_mut().map(Process::number).sum::<Result<usize>>());
        while !coming.is_finished() {
            thread::sleep(Duration::from_millis(if clients < 1000 { 5 } else { 250 }));
            samples.push(Sample {
                clients: servers.clients()?.iter().sum(),
                servers: servers.memory()?.iter().sum(),
                kernel: machine::kernel_memory()?.saturating_sub(kernel_before),
            });
        }
        coming.join().map_err(|_| "the thread that reads the processes panicked")?
    })?;
    let took = began.elapsed();
    let each = servers.settle(clients - refused)?;
    let (memory, kernel) = (servers.memory()?, machine::kernel_memory()?.saturating_sub(kernel_before));
    // New connections each time, since it is chance how many of them a server has.
    let talk = |servers: &Servers| clients::talk(servers.port, ACTIVE, length, || servers.processor_time());
    let rounds = (0..ROUNDS).map(|_| Ok([talk(&others)?, talk(&servers)?])).collect::<Result<Vec<_>>>()?;
    servers.settle(clients - refused)?;

    // The first server ends, and its clients with it.
    let mut first = servers.processes.remove(0);
    servers.before.remove(0);
    let ending = Instant::now();
    kill(Pid::from_raw(first.child.id().cast_signed()), Signal::SIGTERM)?;
    while first.child.try_wait()?.is_none() {
        if ending.elapsed() > TIMEOUT {
            return Err("the server does not end after SIGTERM".into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    let ended_after = ending.elapsed();
    for holder in &mut holders {
        holder.input.as_mut().ok_or("the input is not a pipe")?.write_all(b"\n")?;
    }
    let ended = holders.iter_mut().map(Process::number).sum::<Result<usize>>()?;
    let stay: usize = servers.settle(clients - refused - each[0])?.iter().sum();

    println!("# crowd: {} idle clients of one port, {processes} processes", thousands(clients));
    println!("\n{description}\n");
    println!("| | |\n|---|---:|");
    let row = |name: &str, value: String| println!("| {name} | {value} |");
    row("clients, refused", format!("{}, {refused}", thousands(clients - refused)));
    row("connections a second", thousands((clients as f64 / took.as_secs_f64()) as usize));
    row("clients of each process", each.iter().map(|n| thousands(*n)).collect::<Vec<_>>().join(", "));
    let span = |memory: &[u64]| {
        let mega = |bytes: Option<&u64>| bytes.copied().unwrap_or_default() as f64 / 1e6;
        format!("{:.1} to {:.1} MB", mega(memory.iter().min()), mega(memory.iter().max()))
    };
    row("memory of a server before", span(&memory_before));
    row("memory of a server with its clients", span(&memory));
    let a_client = |bytes: u64| thousands(bytes as usize / clients);
    let grown = memory.iter().sum::<u64>().saturating_sub(memory_before.iter().sum());
    row("bytes of the servers a client", a_client(grown));
    row("memory of the kernel, both ends", format!("{:.2} GB", kernel as f64 / 1e9));
    row("bytes of the kernel a client, both ends", a_client(kernel));
    let end = format!("{}, after {:.1} s", thousands(ended), ended_after.as_secs_f64());
    row(&format!("clients that ended with one of the {processes} servers, which had {}", thousands(each[0])), end);
    row("clients that stayed", thousands(stay));
    println!("\n| {ACTIVE} active clients | requests a second | CPU µs a request | p50 µs | p99 µs |");
    println!("|---|---:|---:|---:|---:|");
    for (n, name) in ["without idle ones", "beside the idle ones"].into_iter().enumerate() {
        let of = |figure: fn(&Measured) -> f64| median(rounds.iter().map(|round| figure(&round[n])));
        let (rate, cost) = (thousands(of(|it| it.rate) as usize), of(|it| it.cost));
        println!("| {name} | {rate} | {cost:.2} | {:.0} | {:.0} |", of(|it| it.p50), of(|it| it.p99));
    }
    let ratio =
        |figure: fn(&Measured) -> f64| median(rounds.iter().map(|[without, beside]| figure(beside) / figure(without)));
    println!(
        "| ratio in the same round | {:.2} | {:.2} | {:.2} | {:.2} |",
        ratio(|it| it.rate),
        ratio(|it| it.cost),
        ratio(|it| it.p50),
        ratio(|it| it.p99)
    );
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench").join("crowd.svg");
    picture::draw(&path, &each, &samples)?;
    println!("\nThe picture is {}", path.display());

    if refused > 0 || ended != each[0] {
        return Err(format!("{refused} clients are refused, and {ended} ended with a server of {}", each[0]).into());
    }
    Ok(())
}

/// Why this machine cannot hold the clients, if it cannot.
fn obstacle(clients: usize, processes: usize) -> Result<Option<String>> {
    let limit = machine::descriptors()?;
    // The distribution is binomial. Six standard deviations above its mean do not happen.
    let mean = clients as f64 / processes as f64;
    let most = (mean + 6.0 * (mean * (1.0 - 1.0 / processes as f64)).sqrt()) as usize + ACTIVE;
    if most + 64 > limit {
        return Ok(Some(format!(
            "a process needs {} descriptors, and ulimit -Hn is {limit}; --processes N sets their number",
            most + 64
        )));
    }
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let numbers = |text: &str| text.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).collect::<Vec<_>>();
    if let [first, last] = numbers(&read("/proc/sys/net/ipv4/ip_local_port_range"))[..]
        && (last.saturating_sub(first) as usize) < clients.div_ceil(processes)
    {
        return Ok(Some(format!("an address needs {} ports of ip_local_port_range", clients.div_ceil(processes))));
    }
    if let [open, _, most] = numbers(&read("/proc/sys/fs/file-nr"))[..]
        && open + 2 * clients as u64 + 1000 > most
    {
        return Ok(Some(format!("{} files would be open, and fs.file-max is {most}", open + 2 * clients as u64)));
    }
    let available = read("/proc/meminfo");
    let available = available.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    if let Some([kilobytes]) = available.map(numbers).as_deref()
        && kilobytes * 1024 < clients as u64 * CLIENT_BYTES
    {
        let gigabytes = clients as u64 * CLIENT_BYTES / 1_000_000_000;
        return Ok(Some(format!("{gigabytes} GB of memory are needed, and {kilobytes} kB are available")));
    }
    Ok(None)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// With a comma before each group of three digits.
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}
