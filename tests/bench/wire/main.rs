//! The server beside others that do the same, side by side: `cargo bench --bench wire`. What is measured, and how to
//! read it, is in tests/bench/README.md.
//!
//! `cargo test --all-targets` runs it too: shortly, with few clients, to see that it works; whatever is measured then
//! means nothing.

mod bench;
mod contenders;
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
    /// How often everything is measured; what is reported are medians
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each measurement takes, after a quarter of a second that does not count
    #[arg(long, value_name = "S", default_value = "0.8", value_parser = seconds)]
    seconds: Duration,
    /// What is measured, instead of everything
    #[arg(long, value_name = "W,...", value_delimiter = ',', value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,
    /// Cargo says this
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
    let words: Vec<String> = env::args().skip(1).collect();
    let has = |option: &str| words.iter().any(|word| word == option);
    let result = match words.split_first() {
        Some((first, rest)) if first == serve::SERVE => serve::serve(rest),
        _ if has("--list") => Ok(()), // a runner of tests asks for the names of those in here
        _ if has("--bench") => Bench::new(Some(Args::parse())).and_then(|bench| bench.run(&words)),
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
