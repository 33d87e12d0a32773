//! The machine: its cores, its limits, and its counters for a process.

use std::{fs, thread, time::Duration};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit},
    time::clock_getcpuclockid,
    unistd::Pid,
};

use crate::Result;

/// The cores that this process may use.
pub(crate) fn cores() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false)).collect())
}

/// Pins this thread, and the threads and processes that it starts, to these cores.
pub(crate) fn pin(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Raises the soft limit of descriptors to the hard one, for this process and its children. Returns the limit.
pub(crate) fn descriptors() -> Result<usize> {
    let (_, hard) = getrlimit(RLIMIT_NOFILE)?;
    setrlimit(RLIMIT_NOFILE, hard, hard)?;
    Ok(usize::try_from(hard)?)
}

/// A line that describes the machine.
pub(crate) fn describe() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("a processor without a name", |(_, model)| model);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, kernel {}", kernel.trim())
}

/// The name of an application's thread. Its time does not count as time of the server.
pub(crate) const APPLICATION: &str = "application";

/// The processor time of a process, without its threads named [`APPLICATION`], in nanoseconds. Threads that have ended
/// count too.
pub(crate) fn processor_time(pid: u32) -> Result<u64> {
    let process = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))?.now()?;
    let mut sum = u64::try_from(Duration::from(process).as_nanos())?;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == APPLICATION) {
            let text = fs::read_to_string(task.join("schedstat"))?;
            sum = sum.saturating_sub(text.split(' ').next().unwrap_or_default().parse()?);
        }
    }
    Ok(sum)
}

/// The resident memory of a process, in bytes.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    kilobytes(&format!("/proc/{pid}/smaps_rollup"), "Rss:")
}

/// The memory that the kernel uses for its objects, such as sockets, in bytes.
pub(crate) fn kernel_memory() -> Result<u64> {
    kilobytes("/proc/meminfo", "Slab:")
}

fn kilobytes(file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(file)?;
    let number = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
    Ok(number.ok_or_else(|| format!("{file} has no {name}"))?.parse::<u64>()? * 1024)
}
