//! `softstop check -- COMMAND`: judges how any HTTP/1.1 server stops, from its clients' side alone.
//!
//! ```text
//!   arguments, config   the command to start, and the known routes
//!   server/             the process: start, ready, stop, end, processes that are left behind
//!   ../client/          one HTTP client, its outcomes and its stories; ../load.rs: many of them
//!   checks/             each check in a file
//!   trial               the tools of every check
//!   verdict, report/    the results, and their output formats
//! ```
//!
//! One server runs at a time, and every process below this one belongs to it: see [`server::tree`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub(crate) mod arguments;

mod checks;
mod config;
mod interrupt;
mod interval;
mod machine;
mod remedies;
mod report;
mod selection;
mod server;
mod trial;
mod verdict;

use std::{
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use indicatif::{ProgressBar, ProgressStyle};
use softstop::Context;

use self::{
    arguments::Check as Arguments,
    config::Plan,
    selection::Selection,
    trial::{Judged, Trial, Unjudged},
    verdict::{Outcome, Results, Verdict},
};
use super::{client, load};

/// A check failed.
const FAILED: u8 = 2;
/// The server could not be judged.
const UNJUDGED: u8 = 1;
/// The command line makes no sense.
const USAGE: u8 = 64;
const REDRAW: Duration = Duration::from_millis(250);
/// Attempts of a check that misses its moment, because other processes keep this one from running.
const ATTEMPTS: usize = 5;

/// Judges a server, and reports the result.
pub(crate) fn check(arguments: &Arguments) -> ExitCode {
    if arguments.example_config {
        return report::print(config::EXAMPLE);
    }
    if arguments.list {
        return report::print(&report::table::list());
    }
    let prepared = config::plan(arguments)
        .and_then(|plan| Ok((plan, Selection::new(&arguments.only, &arguments.skip)?)))
        .and_then(|(plan, selection)| Ok((plan, selection, report::baseline::read(arguments)?)));
    let (plan, selection, baseline) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return fail(&error, USAGE),
    };
    let started = server::tree::become_subreaper().and_then(|()| interrupt::until_interrupted());
    let context = match started {
        Ok(context) => context,
        Err(error) => return fail(&error.to_string(), UNJUDGED),
    };
    let mut results = judge(&plan, &selection, &context);
    if let Some(baseline) = baseline {
        baseline.apply(&mut results);
    }
    if let Err(error) = report::write(arguments, &results) {
        return fail(&error, UNJUDGED);
    }
    if results.failure.is_some() || results.is_interrupted {
        ExitCode::from(UNJUDGED)
    } else if results.failures() > 0 {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    }
}

/// Runs the selected checks, one after another.
fn judge(plan: &Plan, selection: &Selection, context: &Context) -> Results {
    let (began, since) = (SystemTime::now(), Instant::now());
    let trial = Trial::new(plan, context);
    let bar = bar(selection.count());
    let mut outcomes: Vec<Outcome> = Vec::new();
    for check in checks::ALL {
        if context.is_cancelled() {
            break;
        }
        let Some(reason) = selection.wants(check) else { continue };
        if let Some(reason) = reason {
            outcomes.push(Outcome::skipped(check, reason));
            continue;
        }
        bar.set_message(check.id);
        let broken = check.after.iter().find_map(|id| {
            let before = outcomes.iter().find(|outcome| outcome.check.id == *id)?;
            (!matches!(before.verdict, Verdict::Pass | Verdict::Warn)).then_some(before)
        });
        let outcome = match broken {
            Some(before) => Outcome::skipped(
                check,
                format!("its precondition, {}, is not met: {}", before.check.id, first_line(&before.seen)),
            ),
            None => {
                let began = Instant::now();
                let found = run(check, &trial);
                if matches!(found, Err(Unjudged::Interrupted)) {
                    break;
                }
                Outcome::of(check, found, began.elapsed())
            }
        };
        outcomes.push(outcome);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let failure = failure(&outcomes);
    Results {
        command: plan.command.clone(),
        began,
        took: since.elapsed(),
        outcomes,
        is_interrupted: context.is_cancelled(),
        failure,
    }
}

/// Runs one check. Runs the check again if it misses its moment, and once more if a stop was not over in time on a busy
/// machine.
fn run(check: &checks::Check, trial: &Trial<'_>) -> Judged {
    let mut was_late = false;
    for _ in 1..ATTEMPTS {
        let watch = machine::Watch::begin();
        match (check.run)(trial) {
            Err(Unjudged::Missed(_)) => {}
            Ok(finding) if finding.is_late() && watch.was_busy() && !was_late => was_late = true,
            found => return found,
        }
    }
    (check.run)(trial)
}

/// The reason why the server could not be judged: the server did not start.
fn failure(outcomes: &[Outcome]) -> Option<String> {
    let first = outcomes.first().filter(|outcome| outcome.check.id == "starts")?;
    (first.verdict == Verdict::Fail && outcomes.iter().all(|outcome| outcome.verdict != Verdict::Pass))
        .then(|| first.seen.clone())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_end_matches([':', ';'])
}

/// A bar on the standard error, if that is a terminal.
fn bar(count: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    let bar =
        ProgressBar::new(count as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    if !bar.is_hidden() {
        bar.enable_steady_tick(REDRAW);
    }
    bar
}

fn fail(error: &str, status: u8) -> ExitCode {
    eprintln!("softstop: {error}");
    ExitCode::from(status)
}
