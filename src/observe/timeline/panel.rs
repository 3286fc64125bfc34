//! One server in the picture: its name and verdict, the phases of its stops, and its connections.
//!
//! ```text
//!   hello  stopped cleanly in 1.70 s; 3 requests (all completed) on 2 connections
//!   phase        |  running            |v draining 1.70 s           |
//!   :55704       |   ▁▁██████──|       |                            |
//!   :55706       |          ▁██████████████████████████─|           |
//! ```
//!
//! A few connections have a lane each, or share lanes. More connections than an eye can follow become a band, and only the
//! striking requests have lanes of their own.

use std::{cmp::Reverse, time::Duration};

use super::{
    LEFT, RIGHT, band,
    lanes::{Lane, end, is_connection_shown, is_shown},
    style::Look,
    summary,
    svg::{Anchor, Area, Pixels, Svg},
    window::Window,
    words,
};
use crate::{
    observe::recording::{Connection, Request, Run, Server},
    rounded::Rounded,
    stop::{self, ListenerEnd},
};

/// How many lanes fit on a screen, of all servers together.
const LANES: usize = 40;
/// With more lanes than these, the requests have no labels.
const LABELLED_LANES: usize = 24;
/// How many bars a reader can tell apart, of all servers together.
const REQUESTS: usize = 400;
/// How many requests beside a band have a lane of their own, of all servers together.
const SINGLES: usize = 24;
/// How many of them may be there because they took long, and for no other reason.
const LONGEST: usize = 5;
/// How many phases are drawn, of all servers together. A server that starts and stops all the time has many, and more of
/// them would be a blur.
const PHASES: usize = 240;
/// The distance from the top to the strip of phases, and from there to the lanes.
const STRIP: f64 = 24.0;
const STRIP_HEIGHT: f64 = 16.0;
const BODY: f64 = STRIP + STRIP_HEIGHT + 6.0;
/// The width of a character of `.small`, rounded up.
const CHARACTER: f64 = 5.9;

pub(super) struct Panel<'a> {
    name: &'a str,
    summary: String,
    runs: Vec<&'a Run>,
    /// How many are drawn at most. These are the last ones.
    phases: usize,
    band: Option<Band<'a>>,
    lanes: Vec<Lane<'a>>,
    /// The text under the lanes, about the requests that have none.
    remark: Option<String>,
}

struct Band<'a> {
    requests: Vec<&'a Request>,
    connections: Vec<&'a Connection>,
}

impl<'a> Panel<'a> {
    /// `sharing` is how many servers share the picture.
    pub(super) fn of(server: &'a Server, sharing: usize, window: &Window) -> Panel<'a> {
        let is_run_shown = |run: &&Run| {
            let until = run.ended.unwrap_or(window.until);
            window.shows(Duration::ZERO, until)
        };
        let runs: Vec<&Run> = server.runs.iter().filter(is_run_shown).collect();
        let all = || runs.iter().flat_map(|run| &run.connections);
        let connections: Vec<_> =
            all().filter(|connection| is_connection_shown(connection, window)).collect();
        let mut requests: Vec<(&Connection, &Request)> = Vec::new();
        for &connection in &connections {
            let shown = connection.requests.iter().filter(|request| is_shown(request, window));
            requests.extend(shown.map(|request| (connection, request)));
        }
        // The verdict of a single server stands at the head of the picture already.
        let is_said = sharing == 1 && runs.len() == 1;
        let summary = if is_said { String::new() } else { summary::of_server(&runs, window) };
        let most = LANES / sharing;
        let mut panel = Panel {
            name: &server.name,
            summary,
            runs,
            phases: PHASES / sharing,
            band: None,
            lanes: Vec::new(),
            remark: None,
        };
        if requests.len() <= REQUESTS / sharing {
            let packed = connections.len() > most;
            panel.lanes = Lane::of(&connections, window, packed);
        }
        if panel.lanes.len() > most || requests.len() > REQUESTS / sharing {
            panel.single_out(&requests, (SINGLES / sharing).max(1), window);
            let requests = requests.into_iter().map(|(_, request)| request).collect();
            panel.band = Some(Band { requests, connections });
        } else {
            let labelled = panel.lanes.len() <= LABELLED_LANES.div_ceil(sharing);
            for lane in &mut panel.lanes {
                lane.labelled = labelled && lane.requests().next().is_some()
                    || lane.requests().any(Request::is_straggler);
            }
        }
        panel
    }

    /// Lanes for the striking requests: first those that were cut off, then those with another bad outcome, then the longest.
    fn single_out(&mut self, requests: &[(&'a Connection, &'a Request)], most: usize, window: &Window) {
        let rank = |request: &Request| match Look::of(request) {
            _ if request.left_behind => 0,
            Look::Aborted => 1,
            Look::Gone | Look::Unfinished => 2,
            Look::Refused | Look::Completed => 3,
        };
        let age =
            |request: &Request| end(request, window).saturating_sub(request.began().unwrap_or_default());
        let mut order: Vec<&(&Connection, &Request)> = requests.iter().collect();
        order.sort_by_key(|(_, request)| (rank(request), Reverse(age(request))));
        let stragglers = order.iter().filter(|(_, request)| request.is_straggler()).count();
        let worth: usize = order.iter().filter(|(_, request)| rank(request) < 3).count();
        let chosen = most.min(worth.min(most.saturating_sub(LONGEST).max(stragglers)) + LONGEST);
        order.truncate(chosen);
        let shown = order.iter().filter(|(_, request)| request.is_straggler()).count();
        order.sort_by_key(|(_, request)| (rank(request), request.began()));
        self.lanes =
            order.into_iter().map(|(connection, request)| Lane::single(connection, request)).collect();
        let all = words::count(requests.len(), "request");
        let bars = format!("bars for {} of {all}", self.lanes.len());
        self.remark = Some(match stragglers - shown {
            0 => format!("{bars}: what was not answered, and the longest"),
            more => format!("{bars}; {} more were cut off", words::thousands(more)),
        });
    }

    pub(super) fn looks(&self) -> impl Iterator<Item = Look> {
        let of_band = self.band.iter().flat_map(|band| &band.requests).map(|request| Look::of(request));
        let of_lanes = self.lanes.iter().flat_map(Lane::requests).map(Look::of);
        of_band.chain(of_lanes)
    }

    pub(super) fn height(&self) -> f64 {
        let lanes: f64 = self.lanes.iter().map(Lane::height).sum();
        let band = if self.band.is_some() { band::HEIGHT } else { 0.0 };
        let remark = if self.remark.is_some() { 18.0 } else { 0.0 };
        BODY + band + lanes + remark + 4.0
    }

    pub(super) fn draw(&self, svg: &mut Svg, top: f64, window: &Window) {
        let name = words::shortened(self.name, 40);
        svg.text("name", (24.0, top + 14.0), Anchor::Start, &name);
        // The name is bold, so its characters are wider.
        let beside = LEFT.max(24.0 + name.chars().count() as f64 * 9.0 + 10.0);
        svg.text("quiet beside", (beside, top + 14.0), Anchor::Start, &words::shortened(&self.summary, 132));
        self.draw_phases(svg, top, window);
        let mut y = top + BODY;
        if let Some(band) = &self.band {
            band::draw(svg, y, &band.requests, &band.connections, window);
            y += band::HEIGHT;
        }
        for lane in &self.lanes {
            lane.draw(svg, y, window);
            y += lane.height();
        }
        if let Some(remark) = &self.remark {
            svg.text("small quiet", (LEFT, y + 12.0), Anchor::Start, remark);
        }
    }

    /// Draws the strip with the phases, their tints behind the lanes, and the marks of closed listeners.
    fn draw_phases(&self, svg: &mut Svg, top: f64, window: &Window) {
        svg.text("small quiet", (24.0, top + STRIP + 11.5), Anchor::Start, "phase");
        let mut phases: Vec<Span> = self.runs.iter().flat_map(|run| spans(run, window)).collect();
        phases.drain(..phases.len().saturating_sub(self.phases));
        // The end of the last label.
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for phase in &phases {
            let (x, until) = (window.x(phase.from), window.x(phase.until));
            // A very short phase is drawn too.
            let width = (until - x).max(1.0);
            let class = class(phase.phase);
            let strip = Area { x, y: top + STRIP, width, height: STRIP_HEIGHT };
            let took = Rounded(phase.until.saturating_sub(phase.from));
            svg.group("phase", Some(&format!("{} {took}", phase.phase)), |svg| svg.rectangle(class, strip));
            if phase.phase != stop::Phase::Running {
                let height = self.height() - STRIP - STRIP_HEIGHT;
                let tint = Area { x, y: top + STRIP + STRIP_HEIGHT, width, height };
                svg.rectangle(&format!("{class} tint"), tint);
            }
            let name = phase.phase.to_string();
            let text = match phase.phase {
                stop::Phase::Running => name.clone(),
                _ => format!("{name} {took}"),
            };
            let measured = |text: String| {
                let width = text.chars().count() as f64 * CHARACTER + 8.0;
                (text, width)
            };
            // The label stands in the strip, whole or shortened. Otherwise it stands after it if nothing follows, or before it.
            let is_last = phases.last().is_some_and(|last| std::ptr::eq(last, phase));
            let inside = [text.clone(), name].map(|text| (measured(text), x));
            let inside = inside.into_iter().filter(|((_, needed), _)| *needed <= width);
            let after = is_last.then(|| (measured(text.clone()), until));
            let before = measured(format!("{text} \u{2192}"));
            let before = (before.clone(), x - before.1);
            let places = inside.chain(after).chain([before]);
            let is_free = |(from, until): (f64, f64)| {
                let in_strip = from >= LEFT && until <= RIGHT + 8.0;
                in_strip && taken.iter().all(|&(other, other_until)| until <= other || from >= other_until)
            };
            let mut free = places.filter(|((_, needed), from)| is_free((*from, from + needed)));
            if let Some(((text, needed), from)) = free.next() {
                svg.text("small", (from + 4.0, top + STRIP + 11.5), Anchor::Start, &text);
                taken.push((from, from + needed));
            }
        }
        for closed in self.runs.iter().rev().take(self.phases).filter_map(|run| run.listener_closed) {
            if window.shows(closed.at, closed.at) {
                let rescued = match closed.rescued {
                    0 => String::new(),
                    rescued => format!(", {rescued} rescued from its queue"),
                };
                let what = if closed.end == ListenerEnd::Kept { "kept" } else { "closed" };
                let mark = listener_mark(window.x(closed.at), top + STRIP);
                svg.group("mark", Some(&format!("listener {what}{rescued}")), |svg| svg.path("full", &mark));
            }
        }
    }
}

/// The part of a phase that is shown.
struct Span {
    phase: stop::Phase,
    from: Duration,
    until: Duration,
}

fn spans(run: &Run, window: &Window) -> Vec<Span> {
    let first = run.phases.first().map(|phase| phase.from);
    let running = Span {
        phase: stop::Phase::Running,
        from: run.started.unwrap_or(Duration::ZERO),
        until: first.or(run.ended).unwrap_or(window.until),
    };
    let phases = run.phases.iter().map(|phase| Span {
        phase: phase.phase,
        from: phase.from,
        until: phase.until.unwrap_or(window.until),
    });
    let shown = |span: &Span| window.shows(span.from, span.until);
    std::iter::once(running).chain(phases).filter(shown).collect()
}

fn class(phase: stop::Phase) -> &'static str {
    match phase {
        stop::Phase::Running | stop::Phase::Stopped => "running",
        stop::Phase::LameDuck => "lameduck",
        stop::Phase::Draining => "draining",
        stop::Phase::Cancelling => "cancelling",
    }
}

/// A small triangle that points at the strip from above.
pub(super) fn listener_mark(x: f64, y: f64) -> String {
    format!("M{} {}h9l-4.5 7z", Pixels(x - 4.5), Pixels(y - 6.0))
}
