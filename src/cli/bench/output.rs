//! The output of a bench: a progress bar while it runs, then a table or JSON, and a picture.

use std::{
    error::Error,
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
use crate::cli::destination::Destination;

const REDRAW: Duration = Duration::from_millis(250);

/// A progress bar for a load of this length. The bar is drawn on standard error if that is a terminal.
pub(crate) fn bar_of_time(length: Duration, what: &str) -> ProgressBar {
    bar(u64::try_from(length.as_millis()).unwrap_or(u64::MAX), "{msg} {bar:40} {percent}% ({eta} left)", what)
}

/// A progress bar for this number of steps, drawn in the same place.
pub(crate) fn bar_of_count(count: u64, what: &str) -> ProgressBar {
    bar(count, "{msg} {bar:40} {pos}/{len} ({eta} left)", what)
}

fn bar(length: u64, template: &str, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(length).with_style(style).with_message(what.to_owned());
    if !bar.is_hidden() {
        // A thread of its own draws the bar, because drawing takes longer than the steps that are measured.
        bar.enable_steady_tick(REDRAW);
    }
    bar
}

/// A Markdown table, so that it can be pasted into a report. The first column has words, and the others have numbers.
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

/// Where the results of a bench go.
pub(crate) struct Results {
    form: Form,
    picture: Option<Destination>,
}

#[derive(Clone, Copy)]
enum Form {
    Json,
    Tables,
}

impl Results {
    /// Opens the file of the picture, so that a path that cannot be written fails before anything is measured.
    pub(crate) fn prepare(output: &Output) -> Result<Results, Box<dyn Error>> {
        let form = if output.json { Form::Json } else { Form::Tables };
        let picture = output.svg.as_deref().map(Destination::open).transpose()?;
        Ok(Results { form, picture })
    }

    /// Prints the report or the text, and draws the panels. If one of the two fails, the other is tried all the same.
    pub(crate) fn tell(
        self,
        report: &impl Serialize,
        text: &str,
        panels: &[Panel<'_>],
    ) -> Result<(), Box<dyn Error>> {
        let printed = match self.form {
            Form::Json => {
                serde_json::to_string_pretty(report).map_err(io::Error::from).and_then(|json| print(&json))
            }
            Form::Tables => print(text.trim_end()),
        };
        if let Some(picture) = self.picture {
            picture.write(chart::draw(panels)?.into_bytes())?;
        }
        printed.map_err(|error| format!("cannot write to standard output: {error}").into())
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}
