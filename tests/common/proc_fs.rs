//! The state of a process as `/proc` shows it; see proc(5).

use std::fs;

/// A field of `/proc/PID/status`, or of a thread's; `PID` may be `self`.
pub(crate) fn status(pid: &str, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {field} in {text}")).trim().to_owned()
}

/// The memory of a process, in bytes.
pub(crate) fn memory(pid: &str) -> u64 {
    let text = status(pid, "VmRSS");
    text.trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The number of descriptors that a process has open.
pub(crate) fn descriptors(pid: &str) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// The processor time that a process has used, in hundredths of a second.
pub(crate) fn processor_time(pid: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name, in parentheses, may have blanks. 11 other fields follow it.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}

/// The threads of a server in this process: the number of each and its name.
pub(crate) fn server_threads() -> Vec<(String, String)> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().file_name().into_string().unwrap());
    // A thread that ends meanwhile does not have a file.
    let named = tasks.filter_map(|task| {
        let name = fs::read_to_string(format!("/proc/self/task/{task}/comm")).ok()?;
        Some((task, name.trim_end().to_owned()))
    });
    named.filter(|(_, name)| name.starts_with("daytime-")).collect()
}
