//! The sweep as a heat map: the lame duck over the removal delay, and the number of failed requests in each cell.
//!
//! The background is transparent, text outside the cells has a medium lightness, and the cells have their own colours. So the
//! picture is readable on light and on dark pages.

use std::{error::Error, time::Duration};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{Cell, Seen};

const CELL: i32 = 42;
const LEFT: i32 = 78;
const TOP: i32 = 58;
/// Room for the labels of the horizontal axis and for the notes below it.
const BELOW: i32 = 64;
const LINE: i32 = 18;
/// Room at the right for the end of a long note.
const RIGHT: i32 = 22;
/// The narrowest picture, so that its title fits.
const NARROWEST: i32 = 760;

/// The colour of text and axes. Its contrast is about 4 to 1 with white and 5 to 1 with black.
const INK: RGBColor = RGBColor(0x80, 0x80, 0x80);
/// Text in a cell, whose colour is light.
const DARK: RGBColor = RGBColor(0x20, 0x20, 0x20);
const NONE_FAILED: RGBColor = RGBColor(0x9F, 0xD8, 0xC4);
const FEW_FAILED: RGBColor = RGBColor(0xFB, 0xE3, 0xC0);
const MOST_FAILED: RGBColor = RGBColor(0xE0, 0x6A, 0x3C);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws the cells as SVG. `notes` are lines below the picture.
///
/// # Errors
///
/// If the drawing library fails.
pub fn draw(values: &[Duration], cells: &[(Cell, Seen)], notes: &[String]) -> Result<String, Box<dyn Error>> {
    let side = values.len() as i32 * CELL;
    let size = (
        (LEFT + side + RIGHT).max(NARROWEST) as u32,
        (TOP + side + BELOW + notes.len() as i32 * LINE) as u32,
    );
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    let most = cells.iter().map(|(_, seen)| seen.failures()).max().unwrap_or(0);
    write(
        &root,
        "Failed requests of one stop, by lame duck and removal delay",
        (LEFT, 20),
        18,
        HPos::Left,
        INK,
    )?;
    write(&root, "Lame duck of the replica", (LEFT, 42), 13, HPos::Left, INK)?;
    let index = |value: Duration| values.iter().position(|&other| other == value).unwrap_or(0) as i32;
    for (cell, seen) in cells {
        // Longer lame ducks are higher.
        let (left, top) =
            (LEFT + index(cell.removal) * CELL, TOP + side - (index(cell.lame_duck) + 1) * CELL);
        let shape = [(left + 1, top + 1), (left + CELL - 1, top + CELL - 1)];
        root.draw(&Rectangle::new(shape, colour(seen.failures(), most).filled()))?;
        let middle = (left + CELL / 2, top + CELL / 2);
        write(&root, &seen.failures().to_string(), middle, 13, HPos::Center, DARK)?;
    }
    for &value in values {
        let along = index(value) * CELL + CELL / 2;
        let label = format!("{} s", value.as_secs_f64());
        write(&root, &label, (LEFT + along, TOP + side + 14), 12, HPos::Center, INK)?;
        write(&root, &label, (LEFT - 8, TOP + side - along), 12, HPos::Right, INK)?;
    }
    let axis = "Removal delay: from the signal until the balancer sends no new connections";
    write(&root, axis, (LEFT, TOP + side + 36), 13, HPos::Left, INK)?;
    for (note, top) in notes.iter().zip((TOP + side + BELOW..).step_by(LINE as usize)) {
        write(&root, note, (LEFT, top), 12, HPos::Left, INK)?;
    }
    root.present()?;
    drop(root);
    Ok(svg)
}

/// Green for none; from light to dark for more.
fn colour(failures: u64, most: u64) -> RGBColor {
    if failures == 0 {
        return NONE_FAILED;
    }
    let share = failures as f64 / most.max(1) as f64;
    let mix = |few: u8, many: u8| (f64::from(few) + (f64::from(many) - f64::from(few)) * share) as u8;
    RGBColor(
        mix(FEW_FAILED.0, MOST_FAILED.0),
        mix(FEW_FAILED.1, MOST_FAILED.1),
        mix(FEW_FAILED.2, MOST_FAILED.2),
    )
}

fn write(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: u32,
    anchor: HPos,
    colour: RGBColor,
) -> Result<(), Box<dyn Error>> {
    let style = ("sans-serif", size).into_font().color(&colour).pos(Pos::new(anchor, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_shows_its_failures() {
        let values = [Duration::ZERO, Duration::from_secs(1)];
        let seen = |failures| Seen { requests: 100, failed: [("refused".to_owned(), failures)].into() };
        let cell = |lame_duck, removal| Cell { lame_duck, removal };
        let cells = [(cell(values[0], values[1]), seen(4711)), (cell(values[1], values[0]), Seen::default())];
        let svg = draw(&values, &cells, &["a note".to_owned()]).expect("the picture has a size");
        for text in ["\n4711\n", "\n0\n", "\na note\n", "\n1 s\n"] {
            assert!(svg.contains(text), "no {text:?} in {svg}");
        }
        assert_ne!(colour(1, 2), colour(2, 2));
        assert_eq!(colour(2, 2), MOST_FAILED);
    }
}
