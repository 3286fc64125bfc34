//! Processor time per request as bars: a panel for each workload, a bar for each server.

use std::{error::Error, path::Path};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{Measured, is_softstop, statistics::short, workload::Workload};

const COLUMNS: usize = 3;
const PANEL: (u32, u32) = (400, 270);
const TITLE: i32 = 40;
const ROW: i32 = 20;
/// The left edge of the bars, and the width of the longest bar.
const LEFT: i32 = 120;
const WIDEST: f64 = 220.0;

const INK: RGBColor = RGBColor(34, 34, 34);
const OURS: RGBColor = RGBColor(200, 80, 30);
const THEIRS: RGBColor = RGBColor(150, 165, 180);

/// Draws the bars as SVG.
///
/// # Errors
///
/// If the file cannot be written.
pub fn draw(path: &Path, results: &[(&Workload, Vec<Measured>)]) -> Result<(), Box<dyn Error>> {
    let rows = results.len().div_ceil(COLUMNS).max(1);
    let size = (PANEL.0 * COLUMNS as u32, PANEL.1 * rows as u32 + TITLE as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    // The picture has its own background, so that it is readable on a dark page too.
    root.fill(&WHITE)?;
    let (head, panels) = root.split_vertically(TITLE);
    write(&head, "Processor time per request, in microseconds: shorter is better", (20, 26), 20, HPos::Left)?;
    for (panel, (workload, measured)) in panels.split_evenly((rows, COLUMNS)).iter().zip(results) {
        draw_panel(panel, workload.title, measured)?;
    }
    drop(panels);
    root.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw_panel(area: &Area<'_>, title: &str, results: &[Measured]) -> Result<(), Box<dyn Error>> {
    write(area, title, (20, 20), 15, HPos::Left)?;
    let longest =
        results.iter().map(|measured| measured.processor.median()).fold(f64::MIN_POSITIVE, f64::max);
    for (measured, top) in results.iter().zip((36..).step_by(ROW as usize)) {
        let time = measured.processor.median();
        let right = LEFT + (time / longest * WIDEST).round() as i32;
        let colour = if is_softstop(measured.server) { OURS } else { THEIRS };
        area.draw(&Rectangle::new([(LEFT, top + 3), (right.max(LEFT + 1), top + ROW - 3)], colour.filled()))?;
        let middle = top + ROW / 2;
        write(area, measured.server, (LEFT - 8, middle), 13, HPos::Right)?;
        write(area, &short(time), (right + 6, middle), 13, HPos::Left)?;
    }
    Ok(())
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: u32, anchor: HPos) -> Result<(), Box<dyn Error>> {
    let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(anchor, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}
