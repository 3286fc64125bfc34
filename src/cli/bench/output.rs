//! How a bench is told: a bar while it runs, then a table or JSON, and a picture.

use std::{
    error::Error,
    fs::OpenOptions,
    io::{self, Write},
    time::Duration,
};

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{
    arguments::Output,
    chart::{self, Panel},
    distribution::Summary,
};

const REDRAW: Duration = Duration::from_millis(250);

/// A bar on standard error, if that is a terminal, for a load of that length.
pub(crate) fn bar_of_time(length: Duration, what: &str) -> ProgressBar {
    bar(u64::try_from(length.as_millis()).unwrap_or(u64::MAX), "{msg} {bar:40} {percent}% ({eta} left)", what)
}

/// The same for a number of things.
pub(crate) fn bar_of_count(count: u64, what: &str) -> ProgressBar {
    bar(count, "{msg} {bar:40} {pos}/{len} ({eta} left)", what)
}

fn bar(length: u64, template: &str, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(length).with_style(style).with_message(what.to_owned());
    if !bar.is_hidden() {
        // Drawn by a thread of its own: drawing takes longer than what is measured where the bar is moved.
        bar.enable_steady_tick(REDRAW);
    }
    bar
}

/// A table whose first column is words and whose others are figures; Markdown, so that it can be pasted into a report.
pub(crate) fn table<'a>(titles: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(titles);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// A table of distributions.
pub(crate) fn table_of(what: &str, rows: &[(&str, Summary)]) -> Table {
    let mut table = table([what].into_iter().chain(Summary::TITLES));
    for (name, summary) in rows {
        table.add_row([(*name).to_owned()].into_iter().chain(summary.cells()));
    }
    table
}

/// Finds out whether the picture can be written before anything is measured, rather than after it.
pub(crate) fn prepare(output: &Output) -> Result<(), Box<dyn Error>> {
    let Some(path) = &output.svg else { return Ok(()) };
    // What is there stays until there is something to replace it.
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

/// Prints one of the two, and draws the panels.
pub(crate) fn tell(
    output: &Output,
    report: &impl Serialize,
    text: &str,
    panels: &[Panel<'_>],
) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    if output.json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", text.trim_end())?;
    }
    if let Some(path) = &output.svg {
        chart::draw(path, panels)?;
    }
    Ok(())
}
