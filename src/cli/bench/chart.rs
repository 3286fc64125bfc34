//! Draws distributions, one line for each: the time over the quantile (as a number of nines), both axes logarithmic.
//!
//! The background is transparent and every colour has a medium lightness, so that the picture is readable on light and on dark
//! pages.

use std::{error::Error, time::Duration};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::distribution::Distribution;
use crate::rounded::Rounded;

const WIDTH: u32 = 900;
const PANEL_HEIGHT: u32 = 340;
/// The colour of text and axes. Its contrast is about 4 to 1 with white and 5 to 1 with black.
const INK: RGBColor = RGBColor(0x80, 0x80, 0x80);
/// Colours that colour-blind people can tell apart as well (after Okabe and Ito).
const LINES: [RGBColor; 5] = [
    RGBColor(0x2B, 0x8C, 0xD6),
    RGBColor(0xD8, 0x7A, 0x10),
    RGBColor(0x1F, 0x9E, 0x77),
    RGBColor(0xC8, 0x5F, 0xA0),
    RGBColor(0x8F, 0x7F, 0xE8),
];
/// Steps of a line for each nine.
const STEPS: u32 = 20;

/// One diagram of the picture: its title, and its lines by name.
pub(crate) struct Panel<'a> {
    pub(crate) title: String,
    pub(crate) lines: Vec<(&'a str, &'a Distribution)>,
}

/// Draws the panels below each other, as SVG.
pub(crate) fn draw(panels: &[Panel<'_>]) -> Result<String, Box<dyn Error>> {
    let count = u32::try_from(panels.len())?;
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (WIDTH, PANEL_HEIGHT * count)).into_drawing_area();
    for (area, panel) in root.split_evenly((panels.len(), 1)).iter().zip(panels) {
        draw_panel(area, panel).map_err(|error| error.to_string())?;
    }
    root.present().map_err(|error| error.to_string())?;
    drop(root);
    Ok(svg)
}

fn draw_panel(area: &DrawingArea<SVGBackend<'_>, Shift>, panel: &Panel<'_>) -> Result<(), Box<dyn Error>> {
    let lines: Vec<_> = panel.lines.iter().filter(|(_, times)| times.count() > 0).collect();
    let title = ("sans-serif", 17).into_font().color(&INK);
    let area = area.titled(&panel.title, title).map_err(|error| error.to_string())?;
    let points: Vec<Vec<(f64, f64)>> = lines.iter().map(|(_, times)| points(times)).collect();
    let all = || points.iter().flatten();
    if all().next().is_none() {
        return Ok(());
    }
    let nines = all().map(|&(nines, _)| nines).fold(1.0, f64::max);
    let shortest = all().map(|&(_, time)| time).fold(f64::MAX, f64::min);
    let longest = all().map(|&(_, time)| time).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .margin(10)
        .margin_right(190) // the names of the lines
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..nines, (shortest / 1.3..longest * 1.3).log_scale())?;
    chart
        .configure_mesh()
        .axis_style(INK)
        .label_style(("sans-serif", 12).into_font().color(&INK))
        .bold_line_style(INK.mix(0.35))
        .light_line_style(TRANSPARENT)
        .x_labels(nines as usize + 1) // whole nines
        .x_label_formatter(&|nines| percentile(*nines))
        .y_label_formatter(&|nanoseconds| Rounded(Duration::from_nanos(*nanoseconds as u64)).to_string())
        .draw()?;
    for (position, ((name, _), points)) in lines.iter().zip(points).enumerate() {
        let color = LINES[position % LINES.len()];
        chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
        let (x, y) = (WIDTH as i32 - 175, 30 + 22 * position as i32);
        area.draw(&PathElement::new([(x, y), (x + 22, y)], color.stroke_width(3)))?;
        let style = ("sans-serif", 13).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new((*name).to_owned(), (x + 28, y), style))?;
    }
    Ok(())
}

/// From the median's left to as many nines as there are samples for.
fn points(times: &Distribution) -> Vec<(f64, f64)> {
    // Of 1000 samples the last one is at three nines. A longer line would only repeat the last sample.
    let last = ((times.count() as f64).log10() * f64::from(STEPS)).ceil().max(1.0) as u32;
    let point = |step: u32| {
        let nines = f64::from(step) / f64::from(STEPS);
        (nines, times.quantile(1.0 - 10f64.powf(-nines)).as_nanos() as f64)
    };
    (0..=last).map(point).collect()
}

/// 0 is 0 %, 1 is 90 %, 2 is 99 %, ...
fn percentile(nines: f64) -> String {
    let decimals = (nines.ceil() as usize).saturating_sub(2);
    format!("{:.decimals$}%", 100.0 - 10f64.powf(2.0 - nines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_have_names() {
        let names: Vec<_> = [0.0, 1.0, 2.0, 3.0, 4.0].into_iter().map(percentile).collect();
        assert_eq!(names, ["0%", "90%", "99%", "99.9%", "99.99%"]);
    }

    #[test]
    fn a_line_ends_where_the_samples_do() {
        let mut times = Distribution::new();
        (1..=1000).for_each(|us| times.record(Duration::from_micros(us)));
        let points = points(&times);
        assert_eq!(points.last().map(|&(nines, _)| nines), Some(3.0));
        assert!(points.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
    }
}
