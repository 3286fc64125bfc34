//! A badge: one line of SVG for a README.

use crate::cli::check::verdict::{Results, Verdict};

/// The width of a letter of 11 px, on the average.
const LETTER: usize = 7;
const PADDING: usize = 10;

pub(super) fn svg(results: &Results) -> String {
    let (value, colour) = match (results.count(Verdict::Fail), results.count(Verdict::Pass)) {
        _ if results.failure.is_some() => ("not judged".to_owned(), "#6e7781"),
        (0, passed) => (format!("{passed} passed"), "#1a7f37"),
        (failed, _) => (format!("{failed} failed"), "#cf222e"),
    };
    let label = "graceful stop";
    let width = |text: &str| text.len() * LETTER + PADDING;
    let (left, right) = (width(label), width(&value));
    let (whole, middle_left, middle_right) = (left + right, left / 2, left + right / 2);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="20" role="img" aria-label="{label}: {value}">
<title>{label}: {value}</title>
<clipPath id="r"><rect width="{whole}" height="20" rx="3"/></clipPath>
<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#555"/><rect x="{left}" width="{right}" height="20" fill="{colour}"/></g>
<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="{middle_left}" y="14">{label}</text><text x="{middle_right}" y="14">{value}</text></g></svg>
"##
    )
}
