//! The table for people, the stories of failed checks, and the list of all checks.

use std::{collections::HashMap, fmt::Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets::NOTHING};

use crate::cli::check::{
    checks::{ALL, Severity},
    client::Story,
    remedies,
    server::{Ended, process::Status},
    verdict::{Outcome, Results, Verdict},
};

/// Columns where the width of the terminal is not known.
const WIDTH: u16 = 100;
/// The narrowest and the widest readable table.
const NARROWEST: u16 = 60;
const WIDEST: u16 = 160;
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Pass => AnsiColor::Green.on_default(),
        Verdict::Warn => AnsiColor::Yellow.on_default(),
        Verdict::Fail => AnsiColor::Red.on_default().bold(),
        Verdict::Skip => DIM,
    }
}

/// The table, followed by an explanation of each failure and warning.
pub(crate) fn text(results: &Results) -> String {
    let width = width();
    let mut text = format!("{BOLD}softstop check{BOLD:#}  {}\n\n", results.command.join(" "));
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    for outcome in &results.outcomes {
        let verdict = format!("{} {}", outcome.verdict.mark(), outcome.verdict.word());
        table.add_row([verdict, outcome.check.id.to_owned(), first_line(outcome)]);
    }
    for column in 0..2 {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    if let Some(column) = table.column_mut(2) {
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(30)));
    }
    for line in table.lines() {
        text += &coloured(line.trim_end());
        text.push('\n');
    }
    if let Some(hint) = hint(results) {
        text.push('\n');
        text += &paragraph("first of all", hint, usize::from(width));
    }
    let stack = remedies::stack(&results.command);
    let mut told: HashMap<&str, &str> = HashMap::new();
    for outcome in results.outcomes.iter().filter(|outcome| outcome.verdict >= Verdict::Warn) {
        let before = told.get(outcome.check.remedy).copied();
        text += &story(outcome, usize::from(width), stack, before);
        told.entry(outcome.check.remedy).or_insert(outcome.check.id);
    }
    let seconds = results.took.as_secs_f64();
    let worst = results.outcomes.iter().map(|outcome| outcome.verdict).max().unwrap_or(Verdict::Skip);
    let style = style(worst);
    _ = writeln!(text, "\n{style}{}{style:#} in {seconds:.0} s", results.summary());
    if results.is_interrupted {
        text += "(interrupted: the checks that follow were not run)\n";
    }
    text
}

/// Colours the verdict at the beginning of a line.
fn coloured(line: &str) -> String {
    for verdict in [Verdict::Pass, Verdict::Warn, Verdict::Fail, Verdict::Skip] {
        let word = format!("{} {}", verdict.mark(), verdict.word());
        if let Some((before, after)) = line.split_once(&word).filter(|(before, _)| before.trim().is_empty()) {
            let style = style(verdict);
            return format!("{before}{style}{word}{style:#}{after}");
        }
    }
    line.to_owned()
}

fn first_line(outcome: &Outcome) -> String {
    let seen = outcome.seen.lines().next().unwrap_or_default();
    if outcome.is_known { format!("{seen} (known from the baseline)") } else { seen.to_owned() }
}

/// One cause of many failures, if there is one.
fn hint(results: &Results) -> Option<&'static str> {
    let find = |id: &str| results.outcomes.iter().find(|outcome| outcome.check.id == id);
    let how = find("exit-status")?.finding.as_ref()?.record.as_ref()?.how;
    let is_killed_by_signal = matches!(how, Ended::ByItself(Status::Signal(_)));
    // A server that stops gracefully may raise the signal again at the end, and passes these two.
    let has_failed = |id| find(id).is_some_and(|outcome| outcome.verdict == Verdict::Fail);
    (is_killed_by_signal && (has_failed("in-flight") || has_failed("pid-1"))).then_some(
        "The server has no handler for the signal that asks it to stop, so the signal ends the process at once. \
         Give the signal a handler that begins a graceful stop; most of what follows comes from that.",
    )
}

/// Everything that helps with a failure or a warning. `before` is an earlier check with the same remedy, and `stack` names
/// the language of the server, if the command tells.
fn story(outcome: &Outcome, width: usize, stack: Option<&str>, before: Option<&str>) -> String {
    let check = outcome.check;
    let style = style(outcome.verdict);
    let mut text = format!("\n{style}{} {}{style:#}  {}\n", outcome.verdict.mark(), check.id, check.title);
    let mut line = |name: &str, value: &str| text += &paragraph(name, value, width);
    line("rule", &format!("{} [{}]", check.rule, check.source));
    line("seen", &outcome.seen);
    line("where", check.place.words());
    line("users see", check.users);
    line("why", check.why);
    match before {
        Some(before) => line("remedy", &format!("as for {before} above")),
        None => {
            let remedy = remedies::of(check.remedy);
            line("remedy", &remedy.general);
            for (name, fix) in &remedy.stacks {
                if stack.is_none_or(|stack| name.starts_with(stack)) {
                    line(&format!("  {name}"), fix);
                }
            }
        }
    }
    if let Some((story, lines)) = first_story(outcome) {
        let what = story.outcome.map_or("", |outcome| outcome.word());
        line("story", &format!("the first request that was {what} (times relative to the signal)"));
        for told in lines {
            line("", &told);
        }
    }
    text
}

/// The first story of a request that is missing.
pub(super) fn first_story(outcome: &Outcome) -> Option<(&Story, Vec<String>)> {
    let record = outcome.finding.as_ref()?.record.as_ref()?;
    let bad = record.stories.iter().filter(|story| story.outcome.is_some_and(|outcome| outcome.is_bad()));
    let first = bad.min_by_key(|story| story.steps.last().map(|(at, _)| *at))?;
    Some((first, first.tell(record.asked)))
}

/// A name and a text, wrapped with a hanging indent.
fn paragraph(name: &str, value: &str, width: usize) -> String {
    const INDENT: usize = 20;
    let room = width.saturating_sub(INDENT + 2).max(30);
    let mut text = String::new();
    let mut name = name;
    for line in value.lines() {
        let mut current = String::new();
        for word in line.split(' ') {
            if !current.is_empty() && current.chars().count() + 1 + word.chars().count() > room {
                _ = writeln!(text, "  {DIM}{name:<18}{DIM:#}{current}");
                (name, current) = ("", String::new());
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current += word;
        }
        _ = writeln!(text, "  {DIM}{name:<18}{DIM:#}{current}");
        name = "";
    }
    text
}

/// All checks with their rules.
pub(crate) fn list() -> String {
    let width = usize::from(width());
    let mut text = String::new();
    for check in ALL {
        _ = writeln!(text, "{BOLD}{}{BOLD:#}  {}", check.id, check.title);
        text += &paragraph("rule", check.rule, width);
        text += &paragraph("source", check.source, width);
        if check.severity == Severity::Warning {
            text += &paragraph("", "a warning at most", width);
        }
    }
    text
}

fn width() -> u16 {
    let of_terminal = || rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| size.ws_col);
    let given = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let width: Option<u16> = of_terminal().or(given);
    width.filter(|width| *width > 0).unwrap_or(WIDTH).clamp(NARROWEST, WIDEST)
}
