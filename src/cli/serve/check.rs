//! `serve --check`: everything that can be known to be wrong without binding anything.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use softstop::Group;

use crate::cli::arguments::Serve;

/// What is wrong. Notes about what cannot be known go to standard error.
pub(super) fn check(options: &Serve, group: &Group) -> Result<(), String> {
    group.check().map_err(|error| error.to_string())?;
    let addresses = [
        ("hello", Some(&options.hello)),
        ("name", Some(&options.name)),
        ("echo", Some(&options.echo)),
        ("admin", options.orchestration.admin.as_ref()),
    ];
    let addresses: Vec<(&str, &str)> =
        addresses.into_iter().filter_map(|(server, address)| Some((server, address?.as_str()))).collect();
    each_is_bound_once(&addresses)?;
    has_folder("the control socket", options.control.control.as_deref())?;
    has_folder("the pid file", options.control.pid_file.as_deref())?;
    let has_inherited = env::var_os("LISTEN_FDS").is_some();
    for (server, address) in addresses.iter().filter(|(_, address)| is_inherited(address) && !has_inherited) {
        // If standard error cannot be written, the program has no other way to tell.
        _ = writeln!(
            io::stderr(),
            "softstop: {server}: {address} was not checked, because only its supervisor gives the process this listener"
        );
    }
    Ok(())
}

/// Two servers cannot bind one address. Only equal texts are found.
fn each_is_bound_once(addresses: &[(&str, &str)]) -> Result<(), String> {
    for (number, (server, address)) in addresses.iter().enumerate() {
        let is_chosen_by_the_system = address.ends_with(":0");
        let before = addresses[..number].iter().find(|(_, other)| other == address);
        if let (Some((other, _)), false, false) = (before, is_chosen_by_the_system, is_inherited(address)) {
            return Err(format!("{server}: cannot listen on {address}: {other} listens there"));
        }
    }
    Ok(())
}

fn is_inherited(address: &str) -> bool {
    address == "systemd" || address.starts_with("fd:")
}

/// A file can only be made in a folder.
fn has_folder(what: &str, path: Option<&Path>) -> Result<(), String> {
    let Some(path) = path else { return Ok(()) };
    let cannot = |error: io::Error| format!("cannot make {what} {}: {error}", path.display());
    let path: PathBuf = std::path::absolute(path).map_err(cannot)?;
    // The dot is found in a folder alone.
    path.parent().map_or(Ok(()), |folder| fs::metadata(folder.join(".")).map(drop).map_err(cannot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_can_be_bound_once() {
        let check = |first, second| each_is_bound_once(&[("hello", first), ("name", second)]);
        let text = "name: cannot listen on :7000: hello listens there";
        assert_eq!(check(":7000", ":7000"), Err(text.to_owned()));
        assert!(check("unix:/run/a", "unix:/run/a").is_err());
        for (first, second) in [(":7000", ":7001"), (":0", ":0"), ("fd:web", "fd:web")] {
            assert_eq!(check(first, second), Ok(()));
        }
    }
}
