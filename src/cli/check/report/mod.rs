//! The results, for people and for machines.

mod badge;
pub(crate) mod baseline;
mod html;
mod json;
mod junit;
mod markdown;
pub(crate) mod table;
mod timeline;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use super::{arguments::Check, verdict::Results};

/// Writes everything that was asked for, and the table.
pub(super) fn write(arguments: &Check, results: &Results) -> Result<(), String> {
    let to_stdout = arguments.json.as_deref() == Some(Path::new("-"));
    if let Some(path) = &arguments.json {
        let text = json::text(results).map_err(|error| error.to_string())?;
        if to_stdout {
            tell(&text)?;
        } else {
            save(path, &text)?;
        }
    }
    if let Some(path) = &arguments.junit {
        save(path, &junit::text(results).map_err(|error| error.to_string())?)?;
    }
    if let Some(path) = &arguments.markdown {
        save(path, &markdown::text(results))?;
    }
    if let Some(path) = &arguments.html {
        save(path, &html::text(results))?;
    }
    if let Some(path) = &arguments.badge {
        save(path, &badge::svg(results))?;
    }
    if !to_stdout {
        tell(&table::text(results))?;
    }
    Ok(())
}

fn save(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Prints with colours, if the output is a terminal and `NO_COLOR` is not set.
fn tell(text: &str) -> Result<(), String> {
    let mut out = anstream::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        // A broken pipe means that the reader has closed the output on purpose.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("cannot print: {error}")),
        _ => Ok(()),
    }
}

pub(super) fn print(text: &str) -> ExitCode {
    match tell(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
