//! The processes below this one. `check` is a child subreaper: a process that loses its parent becomes a child of
//! `check`, so that neither `setsid` nor a double fork hides it.
//!
//! One server runs at a time, so every process below `check` belongs to that server.

use std::{collections::HashMap, fs, io};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};

/// Rounds of killing. Each round reaches a generation that the killed one had left; a fork bomb is given up.
const ROUNDS: usize = 64;

/// A process below this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descendant {
    pub(crate) id: Pid,
    pub(crate) parent: Pid,
    pub(crate) name: String,
}

/// Makes this process the parent of all orphans below it.
pub(crate) fn become_subreaper() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// The living processes below this one.
pub(crate) fn descendants() -> Vec<Descendant> {
    let mut children: HashMap<i32, Vec<(i32, String, bool)>> = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for entry in processes {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // The process may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some((name, state, parent)) = parse_stat(&stat) {
            children.entry(parent).or_default().push((id, name.to_owned(), matches!(state, "Z" | "X")));
        }
    }
    let mut found = Vec::new();
    let mut parents = vec![getpid().as_raw_nonzero().get()];
    while let Some(parent) = parents.pop() {
        for (id, name, is_dead) in children.remove(&parent).unwrap_or_default() {
            parents.push(id);
            if let Some((id, parent)) = Pid::from_raw(id).zip(Pid::from_raw(parent)).filter(|_| !is_dead) {
                found.push(Descendant { id, parent, name });
            }
        }
    }
    found
}

/// A living child of this process, which is one that has lost its own parent if the server itself has ended.
pub(crate) fn orphan() -> Option<Pid> {
    let own = getpid();
    descendants().into_iter().find(|process| process.parent == own).map(|process| process.id)
}

/// Name, state and parent of a process. The name may hold spaces and parentheses, so the last parenthesis ends it.
fn parse_stat(stat: &str) -> Option<(&str, &str, i32)> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let mut fields = after.split_ascii_whitespace();
    let state = fields.next()?;
    Some((name, state, fields.next()?.parse().ok()?))
}

/// Sends a signal to every process below this one.
pub(crate) fn signal_all(signal: Signal) {
    for descendant in descendants() {
        // The call fails if the process has just ended.
        _ = kill_process(descendant.id, signal);
    }
}

/// Kills every process below this one, generation by generation, without waiting for their ends.
pub(crate) fn kill_all() {
    let mut killed: Vec<Pid> = Vec::new();
    for _ in 0..ROUNDS {
        let alive = descendants();
        // A killed process stays alive for a moment.
        let fresh: Vec<Pid> =
            alive.iter().map(|descendant| descendant.id).filter(|id| !killed.contains(id)).collect();
        if fresh.is_empty() {
            return;
        }
        for id in fresh {
            _ = kill_process(id, Signal::KILL);
            killed.push(id);
        }
    }
}

/// Takes the exit statuses of all ended children, so that no child stays a zombie. No other code may wait for a child
/// meanwhile.
pub(crate) fn reap() {
    while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
}

#[cfg(test)]
mod tests {
    use super::parse_stat;

    #[test]
    fn a_name_may_hold_anything() {
        assert_eq!(parse_stat("12 (a b) c) S 7 1 1"), Some(("a b) c", "S", 7)));
        assert_eq!(parse_stat("12 (x"), None);
    }
}
