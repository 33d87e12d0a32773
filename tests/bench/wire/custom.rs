//! Custom commands: their cost beside a built-in command and beside other servers, and their effect on other clients.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use crate::{
    Result,
    bench::{Bench, Workload, workload},
    contenders::{self, Exchange, Running},
    load,
    meter::Measured,
    report::{self, Row, Table, short},
};

const WORKLOADS: [Workload; 3] = [
    workload("C1", "one client, one custom command at a time", 1, Some(1)),
    workload("C64", "64 clients, one custom command at a time each", 64, Some(1)),
    workload("C16x100", "16 clients, 100 custom commands at a time each", 16, Some(100)),
];
/// The workload with handlers that sleep.
pub(crate) const STALL: &str = "stall";
const ASLEEP: [usize; 3] = [0, 1, 12];

/// The names that `--only` accepts.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    WORKLOADS.iter().map(|workload| workload.name).chain([STALL])
}

/// A row of a table: the index of a contender, and what its clients ask.
type Subject = (&'static str, usize, Exchange);

impl Bench {
    pub(crate) fn custom_commands(&self) -> Result<()> {
        let workloads: Vec<&Workload> = WORKLOADS.iter().filter(|workload| self.selects(workload.name)).collect();
        if workloads.is_empty() {
            return Ok(());
        }
        let mut contenders = vec![contenders::custom()];
        contenders.extend(contenders::tokio());
        if !self.smoke {
            contenders.extend(contenders::python());
        }
        let echo = || Exchange::new("echo hello", "hello");
        let mut subjects: Vec<Subject> = vec![
            ("built-in `time`", 0, Exchange::time()),
            ("handler", 0, echo()),
            ("deferred to a task", 0, Exchange::new("defer hello", "hello")),
        ];
        subjects.extend(contenders.iter().enumerate().skip(1).map(|(at, contender)| (contender.name, at, echo())));
        let mut measured = vec![vec![Vec::new(); subjects.len()]; workloads.len()];
        for round in 0..self.rounds {
            let servers = contenders.iter().map(|contender| self.start(contender)).collect::<Result<Vec<_>>>()?;
            let order = self.order(round, &subjects);
            for (&workload, measured) in workloads.iter().zip(&mut measured) {
                for (number, (name, server, exchange)) in &order {
                    let result = self.ask(&servers[*server], exchange, workload);
                    let result = result.map_err(|error| format!("{name}: {}: {error}", workload.name))?;
                    measured[*number].push(result);
                }
            }
        }
        for (Workload { name, about, .. }, measured) in workloads.iter().zip(&measured) {
            let rows = subjects.iter().zip(measured);
            let rows: Vec<Row> = rows.map(|((name, ..), rounds)| Row::new(name, rounds, &measured[0])).collect();
            println!("\n## {name}: {about}\n\n{}", report::workload("built-in", &rows));
        }
        Ok(())
    }

    fn ask(&self, server: &Running, exchange: &Exchange, workload: &Workload) -> Result<Measured> {
        load::talk(server, exchange, self.clients(workload.clients), workload.pipelined.unwrap_or(1), self.window)
    }

    /// Measures 64 clients with a built-in command while the handlers of others sleep.
    pub(crate) fn stall(&self) -> Result<()> {
        let contender = contenders::custom();
        let workload = workload(STALL, "", 64, Some(1));
        let sleep = Exchange::new(if self.smoke { "sleep 5" } else { "sleep 200" }, "slept");
        let mut measured = vec![Vec::new(); ASLEEP.len()];
        for round in 0..self.rounds {
            let server = self.start(&contender)?;
            for (number, asleep) in self.order(round, &ASLEEP) {
                let done = AtomicBool::new(false);
                let result = thread::scope(|scope| -> Result<Measured> {
                    let sleeper = || load::repeat(&server, &sleep, &done).map_err(|error| error.to_string());
                    let sleepers: Vec<_> = (0..*asleep).map(|_| scope.spawn(sleeper)).collect();
                    let result = self.ask(&server, &Exchange::time(), &workload);
                    done.store(true, Relaxed);
                    for sleeper in sleepers {
                        sleeper.join().map_err(|_| "a sleeper panicked")??;
                    }
                    result
                });
                measured[number].push(result.map_err(|error| format!("{STALL}: {asleep}: {error}"))?);
            }
        }
        let mut table = Table::new(&["handlers asleep", "a second", "p50 µs", "p99.9 µs", "max µs"]);
        for (asleep, rounds) in ASLEEP.iter().zip(&measured) {
            let Measured { rate, p50, p999, max, .. } = report::middle(rounds);
            table.row([vec![asleep.to_string()], [rate, p50, p999, max].map(short).into()].concat());
        }
        println!("\n## {STALL}: 64 clients that ask `time`, while handlers of others sleep 200 ms\n\n{table}");
        Ok(())
    }
}
