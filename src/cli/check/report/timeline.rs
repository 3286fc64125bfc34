//! The clients' timeline of one stop: a lane for each client, a bar for each request, as SVG.
//!
//! ```text
//!   client 0  ▬▬▬ ▬▬▬ | ▬▬▬✗          answered, answered, the signal, lost
//!   client 1   ▬▬▬ ▬▬▬|▬▬▬ ▬▬▬ ▬▬▬
//! ```

use std::{collections::BTreeMap, fmt::Write, time::Instant};

use crate::cli::check::{
    client::{
        Outcome, Step, Story,
        story::{milliseconds, since},
    },
    trial::Record,
};

const WIDTH: f64 = 960.0;
/// Where the lanes begin.
const LEFT: f64 = 70.0;
const TOP: f64 = 28.0;
const LANE: f64 = 16.0;
/// A bar that is narrower cannot be seen.
const THINNEST: f64 = 1.5;
/// The most lanes of a readable picture.
const LANES: usize = 40;
/// Milliseconds that are shown before the signal and after the end.
const BEFORE: f64 = 60.0;
const AFTER: f64 = 20.0;
const MARGIN: f64 = 4.0;
/// Marks of the time axis.
const MARKS: usize = 8;

/// The picture. Returns `None` if no request has more than one step.
pub(super) fn svg(record: &Record) -> Option<String> {
    let mut lanes: BTreeMap<usize, Vec<&Story>> = BTreeMap::new();
    for story in record.stories.iter().filter(|story| story.steps.len() > 1) {
        lanes.entry(story.client).or_default().push(story);
    }
    if lanes.is_empty() {
        return None;
    }
    // If there are too many lanes, keep the lanes with losses.
    let mut lanes: Vec<(usize, Vec<&Story>)> = lanes.into_iter().collect();
    lanes.sort_by_key(|(client, stories)| (!stories.iter().any(|story| is_bad(story)), *client));
    lanes.truncate(LANES);
    lanes.sort_by_key(|(client, _)| *client);
    let signal = record.asked;
    let last = lanes.iter().flat_map(|(_, stories)| stories.iter().filter_map(|story| story.steps.last()));
    let last =
        last.map(|(at, _)| milliseconds(*at, signal)).fold(milliseconds(record.ended, signal), f64::max);
    let first = lanes.iter().flat_map(|(_, stories)| stories.iter().filter_map(|story| story.steps.first()));
    let first = first.map(|(at, _)| milliseconds(*at, signal)).fold(0.0, f64::min);
    let scale = Scale { begin: first.max(-BEFORE) - MARGIN, end: last + AFTER };
    let height = TOP + LANE * lanes.len() as f64 + 24.0;
    let mut svg = format!(
        "<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"The requests of each client around the signal\">\n"
    );
    axis(&mut svg, &scale, height);
    for (row, (client, stories)) in lanes.iter().enumerate() {
        let y = TOP + LANE * row as f64;
        _ = writeln!(svg, "<text class=\"lane\" x=\"4\" y=\"{:.0}\">client {client}</text>", y + 11.0);
        for story in stories {
            bar(&mut svg, &scale, story, signal, y);
        }
    }
    for (at, name) in [(signal, "signal"), (record.ended, "end")] {
        let x = scale.x(milliseconds(at, signal));
        _ = writeln!(
            svg,
            "<line class=\"{name}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"18\" y2=\"{:.0}\"/><text class=\"{name}\" x=\"{x:.1}\" y=\"13\">{name}</text>",
            height - 20.0
        );
    }
    svg += "</svg>\n";
    Some(svg)
}

fn is_bad(story: &Story) -> bool {
    story.outcome.is_some_and(Outcome::is_bad)
}

struct Scale {
    begin: f64,
    end: f64,
}

impl Scale {
    fn x(&self, ms: f64) -> f64 {
        let share = (ms - self.begin) / (self.end - self.begin);
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - 12.0)
    }
}

fn axis(svg: &mut String, scale: &Scale, height: f64) {
    let length = scale.end - scale.begin;
    // The next of 1, 2, 5, 10, ... that leaves no more than so many marks.
    let power = 10_f64.powf((length / MARKS as f64).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = step.into_iter().find(|step| length / step <= MARKS as f64).unwrap_or(length);
    let mut mark = (scale.begin / step).ceil() * step;
    while mark <= scale.end {
        let x = scale.x(mark);
        _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.0}\"/><text class=\"mark\" x=\"{x:.1}\" y=\"{:.0}\">{mark:.0} ms</text>",
            height - 20.0,
            height - 6.0
        );
        mark += step;
    }
}

fn bar(svg: &mut String, scale: &Scale, story: &Story, signal: Instant, y: f64) {
    let (Some((first, _)), Some((last, _))) = (story.steps.first(), story.steps.last()) else { return };
    let (begin, end) = (milliseconds(*first, signal), milliseconds(*last, signal));
    if end < scale.begin {
        return;
    }
    let (x, right) = (scale.x(begin), scale.x(end));
    let class = match story.outcome {
        Some(Outcome::Answered(..500)) => "answered",
        Some(Outcome::Answered(_)) => "error",
        Some(Outcome::Lost | Outcome::TimedOut | Outcome::Dropped) => "lost",
        _ => "other",
    };
    let word = story.outcome.map_or("no outcome", Outcome::word);
    let title = format!("{word}: {} to {}", since(*first, signal), since(*last, signal));
    let width = (right - x).max(THINNEST);
    _ = writeln!(
        svg,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"9\"><title>{title}</title></rect>",
        y + 3.0
    );
    if let Some((at, _)) = story.steps.iter().find(|(_, step)| matches!(step, Step::Sent(_))) {
        let x = scale.x(milliseconds(*at, signal));
        _ = writeln!(
            svg,
            "<line class=\"sent\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
            y + 1.0,
            y + 14.0
        );
    }
    if class == "lost" {
        _ = writeln!(
            svg,
            "<text class=\"cross\" x=\"{:.1}\" y=\"{:.1}\">✗</text>",
            x + width + 1.0,
            y + 12.0
        );
    }
}
