//! The results as Markdown tables.

use std::fmt;

use crate::meter::Measured;

/// Medians over all rounds. A ratio compares two numbers of one round, so a disturbance affects both alike.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) rate_ratio: f64,
    pub(crate) cost_ratio: f64,
    middle: Measured,
}

impl Row {
    /// The rounds of one contender, compared with those of another.
    pub(crate) fn new(name: &'static str, rounds: &[Measured], base: &[Measured]) -> Row {
        let (rate_ratio, cost_ratio) = ratios(rounds, base);
        Row { name, rate_ratio, cost_ratio, middle: middle(rounds) }
    }
}

/// The medians of each number by itself.
pub(crate) fn middle(rounds: &[Measured]) -> Measured {
    let of = |number: fn(&Measured) -> f64| median(rounds.iter().map(number));
    Measured {
        rate: of(|m| m.rate),
        cost: of(|m| m.cost),
        p50: of(|m| m.p50),
        p99: of(|m| m.p99),
        p999: of(|m| m.p999),
        max: of(|m| m.max),
    }
}

/// The medians of the ratios of rates, and of costs, in the same rounds.
pub(crate) fn ratios(ours: &[Measured], theirs: &[Measured]) -> (f64, f64) {
    let of = |number: fn(&Measured) -> f64| median(ours.iter().zip(theirs).map(|(a, b)| number(a) / number(b)));
    (of(|m| m.rate), of(|m| m.cost))
}

pub(crate) fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => f64::NAN,
        n => (numbers[(n - 1) / 2] + numbers[n / 2]) / 2.0,
    }
}

/// The table of one workload. `base` names what the ratios compare with.
pub(crate) fn workload(base: &str, rows: &[Row]) -> Table {
    let [rate, cost] = ["rate", "CPU"].map(|number| format!("{number}/{base}"));
    let mut table = Table::new(&["", &rate, &cost, "a second", "CPU µs", "p50 µs", "p99 µs"]);
    for Row { name, rate_ratio, cost_ratio, middle } in rows {
        let [rate, p50, p99] = [middle.rate, middle.p50, middle.p99].map(short);
        table.row([
            (*name).into(),
            format!("{rate_ratio:.3}"),
            format!("{cost_ratio:.3}"),
            rate,
            format!("{:.3}", middle.cost),
            p50,
            p99,
        ]);
    }
    table
}

/// A number with one decimal if it is below a thousand, otherwise without decimals.
pub(crate) fn short(number: f64) -> String {
    if number < 1000.0 { format!("{number:.1}") } else { whole(number) }
}

/// A number without decimals, its digits in groups of three.
pub(crate) fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// A Markdown table with aligned columns: the first to the left, the others to the right.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new(head: &[&str]) -> Table {
        Table(vec![head.iter().map(|&cell| cell.into()).collect()])
    }

    pub(crate) fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.0.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = |at: usize| self.0.iter().map(move |row| row[at].chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<usize> = (0..self.0[0].len()).map(column).collect();
        for (number, row) in self.0.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            for (at, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                match at {
                    0 => write!(f, "| {cell:width$} |")?,
                    _ => write!(f, " {cell:>width$} |")?,
                }
            }
            if number == 0 {
                let rules = widths.iter().enumerate().map(|(at, &width)| match at {
                    0 => "-".repeat(width + 2),
                    _ => "-".repeat(width + 1) + ":",
                });
                write!(f, "\n|{}|", rules.collect::<Vec<_>>().join("|"))?;
            }
        }
        Ok(())
    }
}
