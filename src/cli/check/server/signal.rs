//! Signals by name.

use rustix::process::Signal;

const NAMES: [(&str, Signal); 9] = [
    ("TERM", Signal::TERM),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("HUP", Signal::HUP),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("WINCH", Signal::WINCH),
    ("KILL", Signal::KILL),
    ("PIPE", Signal::PIPE),
];

/// The signal of a name such as `TERM` or `SIGTERM`.
pub(crate) fn parse(text: &str) -> Result<Signal, String> {
    let wanted = text.to_ascii_uppercase();
    let wanted = wanted.strip_prefix("SIG").unwrap_or(&wanted);
    let found = NAMES.iter().find(|(name, _)| *name == wanted);
    found.map(|(_, signal)| *signal).ok_or_else(|| {
        let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        format!("no such signal; these are known: {}", known.join(", "))
    })
}

/// The name of a signal, or its number if it has no name here.
pub(crate) fn name_of(raw: i32) -> String {
    let found = NAMES.iter().find(|(_, signal)| signal.as_raw() == raw);
    found.map_or_else(|| format!("signal {raw}"), |(name, _)| format!("SIG{name}"))
}
