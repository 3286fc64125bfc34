//! The part of SVG that the picture needs. Every text and every number of the picture goes through this module. Texts are
//! escaped, because clients make them. Numbers are rounded, because a hundredth of a pixel cannot be seen.

use std::fmt::{self, Display, Write};

/// Elements, one after the other.
pub(super) struct Svg(String);

/// The position and the size of a rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The part of a text that stands at its position.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
}

impl Svg {
    pub(super) fn new() -> Svg {
        Svg(String::new())
    }

    /// The elements so far, as the content of an element.
    pub(super) fn into_content(self) -> String {
        self.0
    }

    /// Adds a group. All elements that `content` adds have the class, and the tooltip if there is one.
    pub(super) fn group(&mut self, class: &str, tooltip: Option<&str>, content: impl FnOnce(&mut Svg)) {
        self.add(format_args!("<g class=\"{class}\">"));
        if let Some(tooltip) = tooltip {
            self.add(format_args!("<title>{}</title>", Escaped(tooltip)));
        }
        content(self);
        self.add(format_args!("</g>\n"));
    }

    pub(super) fn rectangle(&mut self, class: &str, area: Area) {
        let Area { x, y, width, height } = area;
        let (x, y, width, height) = (Pixels(x), Pixels(y), Pixels(width), Pixels(height));
        self.add(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>"
        ));
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let (x1, y1, x2, y2) = (Pixels(from.0), Pixels(from.1), Pixels(to.0), Pixels(to.1));
        self.add(format_args!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"));
    }

    pub(super) fn text(&mut self, class: &str, position: (f64, f64), anchor: Anchor, text: &str) {
        let (x, y) = (Pixels(position.0), Pixels(position.1));
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
        };
        let text = Escaped(text);
        self.add(format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{text}</text>\n"));
    }

    /// `data` is path data of SVG, made of [`Pixels`].
    pub(super) fn path(&mut self, class: &str, data: &str) {
        self.add(format_args!("<path class=\"{class}\" d=\"{data}\"/>"));
    }

    fn add(&mut self, what: fmt::Arguments<'_>) {
        self.0.write_fmt(what).expect("a string takes everything");
    }
}

/// A length or a position, to a tenth of a pixel.
#[derive(Clone, Copy)]
pub(super) struct Pixels(pub(super) f64);

impl Display for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Adding zero turns a negative zero into a positive one.
        let tenths = (self.0 * 10.0).round() + 0.0;
        if tenths % 10.0 == 0.0 { write!(f, "{}", tenths / 10.0) } else { write!(f, "{:.1}", tenths / 10.0) }
    }
}

/// A text escaped for XML, without the characters that XML forbids, and without those that change the direction of text.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            // The picture makes the line breaks of tooltips itself.
            '\n' => f.write_char('\n'),
            _ if is_unprintable(character) => f.write_char(char::REPLACEMENT_CHARACTER),
            _ => f.write_char(character),
        })
    }
}

fn is_unprintable(character: char) -> bool {
    let turns_around = matches!(character,
        '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let not_a_character = matches!(character, '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}');
    character.is_control() || turns_around || not_a_character
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_stable() {
        let numbers = [0.0, -0.01, 1.0, 1.04, 1.05, 12.34, -3.96, 100.0, 0.3 - 0.1];
        let texts = numbers.map(|number| Pixels(number).to_string());
        assert_eq!(texts, ["0", "0", "1", "1", "1.1", "12.3", "-4", "100", "0.2"]);
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        let text = "a<b>&\"'\u{0}\u{1b}\u{7f}\u{85}\u{202e}\u{ffff}\u{e9}\u{1f600}";
        let expected =
            "a&lt;b&gt;&amp;&quot;&#39;\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{e9}\u{1f600}";
        assert_eq!(Escaped(text).to_string(), expected);
    }
}
