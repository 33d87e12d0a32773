//! A comparison of the server with other servers: `cargo bench --bench wire`. tests/bench/README.md describes the
//! workloads and the numbers of the report.
//!
//! `cargo test --all-targets` also runs the benchmark, for a moment and with few clients, to check that it works. The
//! numbers of such a run mean nothing.

mod bench;
mod contenders;
mod custom;
mod load;
mod machine;
mod meter;
mod picture;
mod report;
mod serve;

use std::{env, process::ExitCode, time::Duration};

use bench::{Bench, names};
use clap::{Parser, builder::PossibleValuesParser};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Measures daytime-server beside other servers.
#[derive(Parser)]
#[command(name = "cargo bench --bench wire --")]
struct Args {
    /// Number of rounds; the report prints the medians over them
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of each measurement, after a warm-up of a quarter of a second
    #[arg(long, value_name = "S", default_value = "0.8", value_parser = seconds)]
    seconds: Duration,
    /// Workloads to measure, instead of all
    #[arg(long, value_name = "W,...", value_delimiter = ',', value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,
    /// Cargo passes this flag
    #[arg(long, hide = true)]
    bench: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().map_err(|_| "not a number")?;
    match Duration::try_from_secs_f64(number) {
        Ok(seconds) if (0.001..=60.0).contains(&number) => Ok(seconds),
        _ => Err("not between 0.001 and 60".into()),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let result = match arguments.split_first() {
        Some((first, rest)) if first == serve::SERVE => serve::serve(rest),
        _ if has("--list") => Ok(()), // a test runner asks for the names of the tests
        _ if has("--bench") => Bench::new(Some(Args::parse())).and_then(|bench| bench.run(&arguments)),
        _ => Bench::new(None).and_then(|bench| bench.run(&[])),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wire: {error}");
            ExitCode::FAILURE
        }
    }
}
