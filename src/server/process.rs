//! The metrics of the process, for a program that is nothing but a server. An embedder's process has its own.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage},
    time::TimeValLike,
};

use super::metrics::Text;

/// The metrics of the process, which started when this was made.
#[derive(Clone, Debug)]
pub(super) struct ProcessMetrics {
    started: SystemTime,
}

impl ProcessMetrics {
    #[cfg(feature = "cli")]
    pub(super) fn new() -> Self {
        ProcessMetrics { started: SystemTime::now() }
    }

    /// The text for Prometheus, with the names of its client libraries. What this system does not tell is left out.
    pub(super) fn text(&self) -> String {
        let mut text = Text::default();
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        text.gauge("process_start_time_seconds", "When the process started, in seconds since 1970-01-01 UTC.");
        text.sample("process_start_time_seconds", started.as_secs_f64());
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let used = usage.user_time() + usage.system_time();
            let used = Duration::from_micros(used.num_microseconds().unsigned_abs());
            text.counter("process_cpu_seconds_total", "User and system time of the process.");
            text.sample("process_cpu_seconds_total", used.as_secs_f64());
        }
        if let Some(open) = open_fds() {
            text.gauge("process_open_fds", "The open file descriptors of the process.");
            text.sample("process_open_fds", open);
        }
        if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            text.gauge("process_max_fds", "The most file descriptors of the process.");
            text.sample("process_max_fds", soft);
        }
        if let Some(resident) = resident_bytes() {
            text.gauge("process_resident_memory_bytes", "The resident memory of the process.");
            text.sample("process_resident_memory_bytes", resident);
        }
        text.0
    }
}

/// Since Linux 6.2 the size of the folder is the number of descriptors (proc_pid_fd(5)). Before that it is 0, and the
/// entries are counted, less the one for this reading.
fn open_fds() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    match fs::metadata(FOLDER).ok()?.len() {
        0 => Some(fs::read_dir(FOLDER).ok()?.count().saturating_sub(1) as u64),
        open => Some(open),
    }
}

/// The line `VmRSS` of proc_pid_status(5).
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_a_plausible_value() {
        let text = ProcessMetrics::new().text();
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples.len(), if cfg!(target_os = "linux") { 5 } else { samples.len() }, "{text}");
        for sample in samples {
            let (name, value) = sample.split_once(' ').unwrap();
            let value: f64 = value.parse().unwrap();
            assert!(value > 0.0, "{name} {value}");
        }
    }
}
