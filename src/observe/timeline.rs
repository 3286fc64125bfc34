//! A recording as a picture, which shows at a glance how a stop went. The SVG stands alone: it has no scripts and no fonts,
//! and follows the light or dark colours that its reader prefers.
//!
//! ```text
//!   title     the verdict, the counts, what is left out; the legend
//!   axis      time, counted from when the stop was asked for
//!   panels    one for each server: its phases, and its requests on the lanes of their connections, or as a band
//! ```
//!
//! This module writes the SVG by hand, because it is a few rectangles, lines and texts, and the library has few dependencies.

mod band;
mod lanes;
mod panel;
mod style;
mod summary;
mod svg;
#[cfg(test)]
mod tests;
mod window;
mod words;

use std::collections::BTreeSet;

use self::{
    lanes::Part,
    panel::Panel,
    style::{Look, STYLE},
    summary::Summary,
    svg::{Anchor, Area, Escaped, Pixels, Svg},
    window::Window,
};
use super::recording::Recording;

const WIDTH: f64 = 1000.0;
/// The positions at which the shown time begins and ends, from left to right.
const LEFT: f64 = 128.0;
const RIGHT: f64 = 980.0;
/// The position at which the panels begin.
const TOP: f64 = 168.0;
const GAP: f64 = 14.0;
/// How many servers have a panel: as many as fit on a page. This also bounds the size of the picture.
const SERVERS: usize = 12;

impl Recording {
    /// Draws the last stop of all servers, and the moments before it, as an SVG of less than a megabyte. Without a stop,
    /// the picture shows the last ten seconds.
    ///
    /// Up to some hundred requests have a bar each. More are drawn as a band, with bars for the requests that were cut off
    /// and for the longest ones. Texts of clients are escaped and shortened.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let window = Window::of(self);
        let summary = Summary::of(self, &window);
        let shown = self.servers.len().min(SERVERS);
        let panels = self.servers[..shown].iter().map(|server| Panel::of(server, shown, &window));
        let panels: Vec<Panel<'_>> = panels.collect();
        let left_out = self.servers.len() - shown;
        let content: f64 = panels.iter().map(|panel| panel.height() + GAP).sum();
        let bottom = TOP + content;
        let height = bottom + 28.0;

        let mut svg = Svg::new();
        svg.rectangle("paper", Area { x: 0.0, y: 0.0, width: WIDTH, height });
        draw_head(&mut svg, &summary, left_out);
        draw_legend(&mut svg, &panels);
        draw_axis(&mut svg, &window, bottom);
        // Drawn before the panels, so that no line crosses a text.
        draw_stops(&mut svg, self, &window, bottom);
        let mut y = TOP;
        for panel in &panels {
            panel.draw(&mut svg, y, &window);
            y += panel.height() + GAP;
        }

        let content = svg.into_content();
        let (width, height) = (Pixels(WIDTH), Pixels(height));
        let (title, description) = (Escaped(&summary.verdict), Escaped(&summary.counts));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-labelledby=\"softstop-title softstop-description\">\n\
             <title id=\"softstop-title\">{title}</title>\n\
             <desc id=\"softstop-description\">{description}</desc>\n\
             <style>{STYLE}</style>\n{content}</svg>\n"
        )
    }
}

fn draw_head(svg: &mut Svg, summary: &Summary, left_out: usize) {
    let sign = match summary.is_clean {
        Some(true) => Some(("good", "M27.5 26l3.5 3.5l6 -6.5")),
        Some(false) => Some(("bad", "M28 22l8 8M28 30l8 -8")),
        None => None,
    };
    if let Some((class, sign)) = sign {
        svg.path(class, "M23 26a9 9 0 1 0 18 0a9 9 0 1 0 -18 0z");
        svg.path("sign", sign);
    }
    let left = if sign.is_some() { 50.0 } else { 24.0 };
    svg.text("heading", (left, 32.0), Anchor::Start, &words::shortened(&summary.verdict, 100));
    svg.text("body", (24.0, 56.0), Anchor::Start, &words::shortened(&summary.counts, 150));
    let mut shown = summary.shown.clone();
    if left_out > 0 {
        shown = format!("{shown}; {} more not shown", words::count(left_out, "server"));
    }
    svg.text("quiet", (24.0, 74.0), Anchor::Start, &words::shortened(&shown, 150));
}

/// Explains the colours that occur, the parts of a bar, and the mark of the listener.
fn draw_legend(svg: &mut Svg, panels: &[Panel<'_>]) {
    /// The heights of two lines, because the outcomes and the rest do not fit side by side.
    const OUTCOMES: f64 = 96.0;
    const PARTS: f64 = 115.0;
    /// The width of a character, rounded up.
    const CHARACTER: f64 = 5.9;
    let looks: BTreeSet<Look> = panels.iter().flat_map(Panel::looks).collect();
    let mut x = 24.0;
    let beside = |svg: &mut Svg, x: &mut f64, y: f64, text: &str| {
        svg.text("small", (*x, y + 3.5), Anchor::Start, text);
        *x += text.chars().count() as f64 * CHARACTER + 14.0;
    };
    for look in looks.iter().rev() {
        svg.group(look.class(), None, |svg| {
            svg.rectangle("full", Area { x, y: OUTCOMES - 5.0, width: 14.0, height: 10.0 });
            match look {
                Look::Aborted => svg.path("cut", &lanes::cross(x + 14.0, OUTCOMES)),
                Look::Gone => svg.path("open", &lanes::circle(x + 14.0, OUTCOMES)),
                Look::Refused | Look::Unfinished | Look::Completed => {}
            }
        });
        x += 23.0;
        beside(svg, &mut x, OUTCOMES, look.words());
    }
    x = 24.0;
    if let Some(look) = looks.last() {
        let parts = [
            (Part::Arriving, "arriving"),
            (Part::Waiting, "waiting for a worker"),
            (Part::Handled, "in its handler"),
            (Part::Written, "being written"),
        ];
        for (part, words) in parts {
            svg.group(look.class(), None, |svg| lanes::draw_part(svg, part, x, 18.0, PARTS));
            x += 24.0;
            beside(svg, &mut x, PARTS, words);
        }
    }
    svg.group("mark", None, |svg| svg.path("full", &panel::listener_mark(x + 5.0, PARTS)));
    x += 15.0;
    beside(svg, &mut x, PARTS, "listener closed");
}

fn draw_axis(svg: &mut Svg, window: &Window, bottom: f64) {
    for (at, text) in window.ticks() {
        let x = window.x(at);
        svg.line("grid", (x, TOP - 8.0), (x, bottom));
        svg.text("small quiet", (x, TOP - 12.0), Anchor::Middle, &text);
        svg.text("small quiet", (x, bottom + 13.0), Anchor::Middle, &text);
    }
    svg.line("base", (LEFT, TOP - 8.0), (RIGHT, TOP - 8.0));
    svg.line("base", (LEFT, bottom), (RIGHT, bottom));
}

/// Draws a line for each stop that was asked for. Lines that lie too close together are one.
fn draw_stops(svg: &mut Svg, recording: &Recording, window: &Window, bottom: f64) {
    const FLAG: &str = "stop asked for";
    const FLAG_WIDTH: f64 = 90.0;
    let runs = recording.servers.iter().flat_map(|server| &server.runs);
    let stops = runs.flat_map(|run| &run.stops).map(|stop| stop.at);
    let mut lines: Vec<f64> = stops.filter(|&at| window.shows(at, at)).map(|at| window.x(at)).collect();
    lines.sort_unstable_by(f64::total_cmp);
    lines.dedup_by(|next, line| *next - *line < 2.0);
    let mut free_from = LEFT;
    for x in lines {
        svg.line("stop", (x, TOP - 8.0), (x, bottom));
        let from = (x - FLAG_WIDTH / 2.0).clamp(LEFT, RIGHT - FLAG_WIDTH);
        if from >= free_from {
            svg.text("small flag", (from + FLAG_WIDTH / 2.0, TOP - 26.0), Anchor::Middle, FLAG);
            free_from = from + FLAG_WIDTH;
        }
    }
}
