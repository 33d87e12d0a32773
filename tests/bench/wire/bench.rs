//! The workloads, and the rounds that measure them.

use std::{
    path::Path,
    thread,
    time::{Duration, SystemTime},
};

use crate::{
    Args, Result,
    contenders::{self, Contender, Part, Running},
    custom, load, machine,
    meter::{Measured, Window},
    picture,
    report::{self, Row, Table, median, short, whole},
};

pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) clients: usize,
    /// Requests at a time, or `None` if each client sends one request and closes.
    pub(crate) pipelined: Option<usize>,
}

pub(crate) const fn workload(
    name: &'static str,
    about: &'static str,
    clients: usize,
    pipelined: Option<usize>,
) -> Workload {
    Workload { name, about, clients, pipelined }
}

const WORKLOADS: [Workload; 6] = [
    workload("W1-1", "one client, one request at a time", 1, Some(1)),
    workload("W1-64", "64 clients, one request at a time each", 64, Some(1)),
    workload("W1-1000", "1,000 clients, one request at a time each", 1000, Some(1)),
    workload("W2", "16 clients, 100 requests at a time each", 16, Some(100)),
    workload("W2k", "16 clients, 1,000 requests at a time each", 16, Some(1000)),
    workload("W3", "16 clients at a time that connect, read the greeting, send one request and close", 16, None),
];
/// The workload with idle clients.
const CROWD: &str = "W4";
const IDLE: usize = 10_000;
const MORE_IDLE: usize = 18_000;
/// The workload that shows the cost of more clients and more workers.
const SCALING: &str = "scaling";
const SCALES: [usize; 4] = [1, 100, 1000, 10_000];

/// The names that `--only` accepts.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    WORKLOADS.iter().map(|workload| workload.name).chain([CROWD, SCALING]).chain(custom::names())
}

/// The settings of a run, and the limits of the machine.
pub(crate) struct Bench {
    pub(crate) rounds: usize,
    pub(crate) window: Window,
    only: Vec<String>,
    /// Whether the run only shows that everything works.
    pub(crate) smoke: bool,
    cores: Vec<usize>,
    /// The cores of a server with one worker.
    server: Vec<usize>,
    descriptors: usize,
}

impl Bench {
    /// The run that these arguments ask for. Without arguments, the shortest run of everything.
    pub(crate) fn new(args: Option<Args>) -> Result<Bench> {
        let cores = machine::cores()?;
        let millis = Duration::from_millis;
        let smoke = args.is_none();
        let (rounds, window, only) = match args {
            Some(args) => (args.rounds, Window { warm_up: millis(250), length: args.seconds }, args.only),
            None => (1, Window { warm_up: millis(5), length: millis(20) }, Vec::new()),
        };
        let server = vec![*cores.get(1).or(cores.first()).ok_or("this process may not use any core")?];
        Ok(Bench { rounds: rounds as usize, window, only, smoke, cores, server, descriptors: machine::descriptors()? })
    }

    /// Measures and prints the report. `arguments` are those of the command line.
    pub(crate) fn run(&self, arguments: &[String]) -> Result<()> {
        let command: String =
            arguments.iter().filter(|argument| *argument != "--bench").map(|argument| format!(" {argument}")).collect();
        match self.smoke {
            true => println!("# wire: a smoke run, whose numbers mean nothing"),
            false => println!("# cargo bench --bench wire --{command}"),
        }
        println!("\n{}\n{}", machine::describe(), jiff::Timestamp::try_from(SystemTime::now())?.strftime("%F %R UTC"));
        match &self.cores[..] {
            [load, server, ..] => println!("The load runs on core {load}, each server on core {server}."),
            _ => println!("There is one core. The load and the servers share it."),
        }
        machine::pin(&self.cores[..1])?;
        let mut contenders = vec![contenders::floor(), contenders::program(), contenders::embedded()];
        if !self.smoke {
            contenders.extend(contenders::peers(self.clients(15_000) + 200));
        }
        contenders.push(contenders::spinning());
        self.workloads(&contenders)?;
        if self.selects(CROWD) {
            contenders.retain(|contender| contender.part != Part::Alone);
            self.crowds(&contenders)?;
        }
        if self.selects(SCALING) {
            self.scaling()?;
        }
        self.custom_commands()?;
        if self.selects(custom::STALL) {
            self.stall()?;
        }
        Ok(())
    }

    pub(crate) fn selects(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// The number of clients that a run has: fewer in a smoke run, or if descriptors are too few.
    pub(crate) fn clients(&self, clients: usize) -> usize {
        clients.min(if self.smoke { 20 } else { self.descriptors.saturating_sub(500).max(1) })
    }

    /// The contenders of a round. Every second round reverses them, so that the first one has no advantage.
    pub(crate) fn order<'a, T>(&self, round: usize, all: &'a [T]) -> Vec<(usize, &'a T)> {
        let mut order: Vec<_> = all.iter().enumerate().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        if !self.smoke {
            eprintln!("round {} of {}", round + 1, self.rounds);
        }
        order
    }

    fn workloads(&self, contenders: &[Contender]) -> Result<()> {
        let workloads: Vec<&Workload> = WORKLOADS.iter().filter(|workload| self.selects(workload.name)).collect();
        if workloads.is_empty() {
            return Ok(());
        }
        let mut measured = vec![vec![Vec::new(); contenders.len()]; workloads.len()];
        for round in 0..self.rounds {
            let order = self.order(round, contenders);
            // All servers run at the same time: a server without clients takes no processor time.
            let servers = order.iter().map(|(_, contender)| self.start(contender)).collect::<Result<Vec<_>>>()?;
            for (&workload, measured) in workloads.iter().zip(&mut measured) {
                for ((number, contender), server) in order.iter().zip(&servers) {
                    match (contender.part, workload.name) {
                        (Part::Peer, "W2k") => continue,
                        (Part::Alone, name) if name != "W1-1" => continue,
                        _ => measured[*number].push(self.load(contender, server, workload)?),
                    }
                }
            }
        }
        let mut results = Vec::new();
        for (Workload { name, about, .. }, measured) in workloads.iter().zip(&measured) {
            let present = contenders.iter().zip(measured).filter(|(_, rounds)| !rounds.is_empty());
            let rows: Vec<Row> =
                present.map(|(contender, rounds)| Row::new(contender.name, rounds, &measured[0])).collect();
            println!("\n## {name}: {about}\n\n{}", report::workload("floor", &rows));
            results.push((*name, rows));
        }
        let mut table = Table::new(&["embedded / program", "rate", "CPU"]);
        for (workload, measured) in workloads.iter().zip(&measured) {
            let (rate, cost) = report::ratios(&measured[2], &measured[1]);
            table.row([workload.name.into(), format!("{rate:.3}"), format!("{cost:.3}")]);
        }
        println!("\n## The library with everything on, compared with the program\n\n{table}");
        if !self.smoke {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench").join("wire.svg");
            picture::draw(&path, &results)?;
            println!("\nThe same as a picture: {}", path.display());
        }
        Ok(())
    }

    pub(crate) fn start(&self, contender: &Contender) -> Result<Running> {
        contender.start(&self.server).map_err(|error| format!("{}: {error}", contender.name).into())
    }

    fn load(&self, contender: &Contender, server: &Running, workload: &Workload) -> Result<Measured> {
        let clients = self.clients(workload.clients);
        let measured = match workload.pipelined {
            Some(requests) => load::talk(server, &server.exchange, clients, requests, self.window),
            None => load::churn(server, clients, self.window),
        };
        measured.map_err(|error| format!("{}: {}: {error}", contender.name, workload.name).into())
    }

    fn crowds(&self, contenders: &[Contender]) -> Result<()> {
        let mut measured: Vec<Vec<Crowd>> = contenders.iter().map(|_| Vec::new()).collect();
        for round in 0..self.rounds {
            for (number, contender) in self.order(round, contenders) {
                let crowd = self.crowd(contender);
                measured[number].push(crowd.map_err(|error| format!("{}: {CROWD}: {error}", contender.name))?);
            }
        }
        if self.clients(MORE_IDLE) < MORE_IDLE && !self.smoke {
            println!("\n{} descriptors a process are too few for {MORE_IDLE} clients.", self.descriptors);
        }
        let [idle, more] = [IDLE, MORE_IDLE].map(|n| whole(self.clients(n) as f64));
        let [rate, cost] = ["rate", "CPU"].map(|name| format!("W1-64 {name}, {more} idle / none"));
        let mut table =
            Table::new(&["", "bytes a client", "kernel, both ends", &rate, &cost, "CPU µs of an idle second"]);
        for (contender, rounds) in contenders.iter().zip(&measured) {
            let of = |number: fn(&Crowd) -> Option<f64>| median(rounds.iter().filter_map(number));
            let cell = |number: f64, text: String| if number.is_nan() { String::new() } else { text };
            let (rate, cost) = (of(|crowd| Some(crowd.beside?.0)), of(|crowd| Some(crowd.beside?.1)));
            let idle_time = of(|crowd| crowd.idle_time);
            table.row([
                contender.name.into(),
                whole(of(|crowd| Some(crowd.memory))),
                whole(of(|crowd| Some(crowd.kernel))),
                cell(rate, format!("{rate:.3}")),
                cell(cost, format!("{cost:.3}")),
                cell(idle_time, whole(idle_time)),
            ]);
        }
        println!(
            "\n## {CROWD}: memory of {idle} idle clients; {more} of them beside others; an idle second\n\n{table}"
        );
        Ok(())
    }

    fn crowd(&self, contender: &Contender) -> Result<Crowd> {
        let server = self.start(contender)?;
        let w1_64 = WORKLOADS.iter().find(|workload| workload.name == "W1-64").ok_or("W1-64 is not a workload")?;
        // The first clients make the server allocate buffers that it keeps. They are not a cost of the idle clients.
        let alone = self.load(contender, &server, w1_64)?;
        let before = [server.memory()?, machine::kernel_memory()?];
        let idle = self.clients(IDLE);
        let mut clients = load::crowd(&server, 0..idle)?;
        let after = [server.memory()?, machine::kernel_memory()?];
        let [memory, kernel] = [0, 1].map(|at| after[at].saturating_sub(before[at]) as f64 / idle as f64);
        if contender.part == Part::Peer {
            return Ok(Crowd { memory, kernel, beside: None, idle_time: None });
        }
        clients.extend(load::crowd(&server, idle..self.clients(MORE_IDLE))?);
        let beside = Some(report::ratios(&[self.load(contender, &server, w1_64)?], &[alone]));
        let second = Duration::from_millis(if self.smoke { 20 } else { 1000 });
        thread::sleep(second / 4); // the server notices that the other clients have left
        let before = server.processor_time()?;
        thread::sleep(second);
        let idle_time = Some((server.processor_time()? - before) as f64 / 1e3);
        Ok(Crowd { memory, kernel, beside, idle_time })
    }

    fn scaling(&self) -> Result<()> {
        let contenders = [contenders::workers("1 worker", 1), contenders::workers("2 workers", 2)];
        let cores = [&self.server, &self.cores];
        let mut measured = vec![vec![Vec::new(); contenders.len()]; SCALES.len()];
        for round in 0..self.rounds {
            for (number, contender) in self.order(round, &contenders) {
                let server = contender.start(cores[number])?;
                for (measured, clients) in measured.iter_mut().zip(SCALES) {
                    let workload = workload(SCALING, "", clients, Some(1));
                    measured[number].push(self.load(contender, &server, &workload)?);
                }
            }
        }
        let head = ["1 worker: a second", "CPU µs", "p99 µs", "2 workers: a second", "CPU µs", "p99 µs"];
        let mut table = Table::new(&[&["clients"], &head[..]].concat());
        for (clients, measured) in SCALES.iter().zip(&measured) {
            let mut row = vec![whole(self.clients(*clients) as f64)];
            for Measured { rate, cost, p99, .. } in measured.iter().map(|rounds| report::middle(rounds)) {
                row.extend([short(rate), format!("{cost:.2}"), short(p99)]);
            }
            table.row(row);
        }
        println!("\n## {SCALING}: clients with one request at a time each\n\n{table}");
        println!("\nOne worker runs alone on its core. Two workers share all cores with the load.");
        Ok(())
    }
}

/// The measurements of a server with many idle clients.
struct Crowd {
    /// The memory of the server's process, in bytes a client.
    memory: f64,
    /// The memory of the kernel for both ends of a connection, in bytes.
    kernel: f64,
    /// The ratios of rate and of cost of W1-64, with and without the idle clients.
    beside: Option<(f64, f64)>,
    /// The processor time of a second in which every client is idle, in microseconds.
    idle_time: Option<f64>,
}
