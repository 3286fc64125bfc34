//! The resources that a process has used, read from /proc. Children count too, because nginx serves in child processes.

use std::{fs, io};

/// Clock ticks a second in /proc. The value is constant on every architecture that Linux runs on today.
const TICKS: f64 = 100.0;

/// Processor time in seconds, of user and kernel.
pub(super) fn processor_seconds(process: u32) -> io::Result<f64> {
    let mut ticks = 0.0;
    for process in with_children(process)? {
        let fields = stat(process)?;
        // utime and stime are the fields 14 and 15 of proc(5). `stat` removes the first two fields, and positions count
        // from zero.
        ticks += number(&fields, 11)? + number(&fields, 12)?;
    }
    Ok(ticks / TICKS)
}

/// Resident memory in bytes.
pub(super) fn resident_bytes(process: u32) -> io::Result<f64> {
    let mut bytes = 0.0;
    for process in with_children(process)? {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: Option<f64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        bytes += kib.ok_or_else(|| io::Error::other("no VmRSS"))? * 1024.0;
    }
    Ok(bytes)
}

fn with_children(process: u32) -> io::Result<Vec<u32>> {
    let mut family = vec![process];
    for entry in fs::read_dir("/proc")? {
        let Some(other) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // An error means that the process has just ended.
        let Ok(fields) = stat(other) else { continue };
        if number(&fields, 1)? == f64::from(process) {
            family.push(other);
        }
    }
    Ok(family)
}

/// The fields of /proc/PID/stat after the process name. The name may contain any character.
fn stat(process: u32) -> io::Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

fn number(fields: &[String], position: usize) -> io::Result<f64> {
    let field = fields.get(position).and_then(|field| field.parse().ok());
    field.ok_or_else(|| io::Error::other("not the /proc/PID/stat of proc(5)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let me = std::process::id();
        assert!(resident_bytes(me).unwrap() > 100_000.0);
        assert!(with_children(me).unwrap().contains(&me));
        assert!(processor_seconds(me).unwrap() >= 0.0);
    }
}
