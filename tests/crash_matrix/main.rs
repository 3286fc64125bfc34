//! The crash matrix of a handover: at each moment, old or new is killed, hangs or says garbage, under load. Always somebody
//! serves, as far as one process can see to it, and only the requests of a killed process are lost. `matrix.txt` has what is
//! expected, and the test prints what it has seen.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cell;
#[allow(dead_code, unused_imports, reason = "the program uses more of the client")]
#[path = "../../src/cli/client/mod.rs"]
mod client;
mod load;
mod process;
mod relay;
#[path = "../support/mod.rs"]
mod support;
mod wire;

use std::{
    env,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use cell::{Cell, Seen, What};
use relay::{Moment, Side};

/// Cells that run at the same time. Most of them wait most of the time.
const AT_ONCE: usize = 8;

/// The program that stands in the file of the real one. `cargo test` has built it beside the tests.
fn interposed() -> PathBuf {
    let tests = env::current_exe().unwrap();
    let profile = tests.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples/interposed");
    assert!(program.exists(), "{} is built by `cargo build --examples`", program.display());
    program
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Side::Old => "old",
            Side::New => "new",
        }
    }
}

impl What {
    const ALL: [What; 3] = [What::Killed, What::Hangs, What::Garbage];

    fn word(self) -> &'static str {
        match self {
            What::Killed => "killed",
            What::Hangs => "hangs",
            What::Garbage => "garbage",
        }
    }
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for moment in Moment::ALL {
        for who in [Side::New, Side::Old] {
            cells.extend(What::ALL.map(|what| Cell { moment, who, what }));
        }
    }
    cells
}

/// What is expected, or what was seen, in the words of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Words {
    cell: [String; 3],
    /// Whether `softstop reload` says that new serves; who serves; which requests were refused, and lost.
    result: [String; 4],
}

impl Words {
    fn of(cell: Cell, seen: &Seen) -> Words {
        let reload = if seen.reload.0 { "replaced" } else { "failed" };
        Words {
            cell: [cell.moment.word(), cell.who.word(), cell.what.word()].map(str::to_owned),
            result: [reload.to_owned(), seen.serves.clone(), seen.refused.clone(), seen.lost.clone()],
        }
    }

    /// Parses a line of `matrix.txt`. At least two spaces separate the columns.
    fn parse(line: &str) -> Words {
        let cells: Vec<String> =
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
        let [moment, who, what, reload, serves, refused, lost] =
            cells.try_into().unwrap_or_else(|cells| panic!("{cells:?}"));
        Words { cell: [moment, who, what], result: [reload, serves, refused, lost] }
    }

    fn line(&self) -> String {
        let [moment, who, what] = &self.cell;
        let [reload, serves, refused, lost] = &self.result;
        format!("{moment:<13}{who:<5}{what:<9}{reload:<10}{serves:<9}{refused:<17}{lost}")
    }

    /// Whether this is as good as expected. A request that may be refused or lost need not be: whether one is under way at that
    /// moment is chance. So is the survivor in a cell with two of them.
    fn is_as(&self, expected: &Words) -> bool {
        let [reload, serves, refused, lost] = &self.result;
        let [expected_reload, expected_serves, expected_refused, expected_lost] = &expected.result;
        self.cell == expected.cell
            && reload == expected_reload
            && expected_serves.split('/').any(|expected| serves == expected)
            && (refused == expected_refused || refused == "none")
            && (lost == expected_lost || lost == "none")
    }
}

fn expected() -> Vec<Words> {
    let lines = include_str!("matrix.txt").lines();
    lines.filter(|line| !line.starts_with('#') && !line.is_empty()).map(Words::parse).collect()
}

#[test]
fn at_each_moment_each_failure_ends_as_designed() {
    process::adopt_orphans();
    // For one cell alone: moment, who, what.
    let only = env::var("CRASH_MATRIX").unwrap_or_default();
    let cells: Vec<Cell> = cells()
        .into_iter()
        .filter(|cell| {
            let name = format!("{} {} {}", cell.moment.word(), cell.who.word(), cell.what.word());
            name.contains(&only)
        })
        .collect();
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Words, Seen)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(&cell) = cells.get(number)
                {
                    let seen = cell.run();
                    results.lock().unwrap().push((number, Words::of(cell, &seen), seen));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(number, ..)| *number);
    let expected = expected();
    let mut wrong = Vec::new();
    for (_, words, seen) in &results {
        println!("{:<72} {}", words.line(), seen.reload.1);
        let expected = expected.iter().find(|expected| expected.cell == words.cell);
        if !expected.is_some_and(|expected| words.is_as(expected)) {
            let expected = expected.map_or("nothing".to_owned(), Words::line);
            wrong.push(format!("expected: {expected}\nseen:     {}\n{}", words.line(), seen.story));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), results.len(), wrong.join("\n\n"));
}

#[test]
fn the_matrix_has_each_cell_once() {
    let expected: Vec<[String; 3]> = expected().into_iter().map(|words| words.cell).collect();
    let cells: Vec<[String; 3]> = cells()
        .into_iter()
        .map(|cell| [cell.moment.word(), cell.who.word(), cell.what.word()].map(str::to_owned))
        .collect();
    assert_eq!(expected, cells);
}
