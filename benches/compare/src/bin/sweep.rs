//! The picture of the lame duck: `cargo run --profile harness --bin sweep -- --svg ../../docs/sweep.svg`.

use std::{
    error::Error,
    fs,
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use clap::Parser;
use compare::{
    measure::describe_machine,
    process::Place,
    servers::{built, named},
    sweep::{Seen, draw, run, values},
};

/// Stops one of two replicas while a balancer still sends to it, for many lame ducks and removal delays, and counts the
/// requests that fail.
///
/// The exit status is 1 if a request failed although the lame duck was longer than the removal delay, or if none failed
/// although the lame duck was a second shorter.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The longest lame duck and removal delay.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = humantime::parse_duration)]
    longest: Duration,
    /// The steps between them.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = step)]
    step: Duration,
    /// Stops at the same time.
    #[arg(long, value_name = "N", default_value = "32")]
    parallel: NonZeroUsize,
    /// Draw the picture into this file.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    /// The program of softstop, instead of a release build of this source.
    #[arg(long, value_name = "PROGRAM")]
    softstop: Option<PathBuf>,
}

fn step(text: &str) -> Result<Duration, String> {
    let step = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if step.is_zero() { Err("must be more than zero".to_owned()) } else { Ok(step) }
}

/// A lame duck that is so much shorter than the removal delay must fail requests, because the clients send in that time.
const SURE: Duration = Duration::from_secs(1);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::parse();
    let softstop = named("softstop")?;
    if arguments.softstop.is_none() && built(&[softstop]).is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    let place = Place { softstop: arguments.softstop.as_deref(), ..Place::HERE };
    let values = values(arguments.step, arguments.longest);
    let (began, done) = (Instant::now(), AtomicUsize::new(0));
    let cells = run(&values, arguments.parallel, place, |_| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        eprint!("\r{done} of {} stops", values.len() * values.len());
    })?;
    eprintln!();
    let took = began.elapsed();

    let mut sums = [(); 3].map(|()| Seen::default());
    let mut is_good = true;
    for (cell, seen) in &cells {
        let region = match cell.lame_duck.cmp(&cell.removal) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => 1,
            std::cmp::Ordering::Greater => 2,
        };
        sums[region].add(seen);
        let is_as_expected = match region {
            0 => seen.failures() > 0 || cell.removal - cell.lame_duck < SURE,
            1 => true,
            _ => seen.failures() == 0,
        };
        if !is_as_expected {
            println!("not as expected: {cell:?}: {seen:?}");
            is_good = false;
        }
    }
    let machine = describe_machine(&[]);
    let machine =
        machine.lines().filter_map(|line| line.strip_prefix("- Machine: ")).next().unwrap_or("unknown");
    let mut notes = vec![format!(
        "{} stops of softstop in {:.0} s, {} at a time; 43 requests a second each, half of them to the stopped replica.",
        cells.len(),
        took.as_secs_f64(),
        arguments.parallel
    )];
    let names = ["shorter than", "equal to", "longer than"];
    for (name, sum) in names.iter().zip(&sums) {
        let kinds: Vec<String> = sum.failed.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let kinds = if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
        notes
            .push(format!("Lame duck {name} the removal delay: {} requests, failed: {kinds}.", sum.requests));
    }
    notes.push(format!("Machine: {machine}."));
    notes.iter().for_each(|note| println!("{note}"));
    if let Some(path) = &arguments.svg {
        fs::write(path, draw(&values, &cells, &notes)?)?;
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
