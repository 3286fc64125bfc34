//! The form of a line: a verb, then fields `key=value` in a fixed order. A value may hold any bytes, percent-encoded, so that a
//! path or an error text cannot end the line.

use std::{ffi::OsStr, fmt::Write, os::unix::ffi::OsStrExt, time::Duration};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};

use super::Garbage;

/// What a value must not hold as it is. Bytes beyond ASCII are always encoded.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'=');

/// The longest text for people, before it is encoded. It fits into a line, even if each byte is encoded.
const LONGEST_TEXT: usize = 1200;

/// Puts a line together.
pub(super) struct Writer(String);

impl Writer {
    pub(super) fn new(verb: &str) -> Writer {
        Writer(verb.to_owned())
    }

    pub(super) fn word(mut self, word: &str) -> Writer {
        self.0.push(' ');
        self.0.push_str(word);
        self
    }

    /// A list of [`list`], which needs no encoding.
    pub(super) fn list(mut self, key: &str, numbers: &str) -> Writer {
        // A `String` takes everything.
        _ = write!(self.0, " {key}={numbers}");
        self
    }

    /// A value that the other side needs whole. The sender checks the length of the line.
    pub(super) fn field(mut self, key: &str, value: impl AsRef<OsStr>) -> Writer {
        // A `String` takes everything.
        _ = write!(self.0, " {key}={}", percent_encode(value.as_ref().as_bytes(), ENCODED));
        self
    }

    /// A text for people, the last field of its line. A long text is cut.
    pub(super) fn text(self, text: &str) -> Writer {
        self.field("text", cut(text))
    }

    pub(super) fn line(mut self) -> String {
        self.0.push('\n');
        self.0
    }
}

/// A value that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value(Vec<u8>);

impl Value {
    pub(super) fn bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn text(self) -> Result<String, Garbage> {
        String::from_utf8(self.0).map_err(|_| Garbage::new("a text in UTF-8"))
    }

    pub(super) fn number<N: std::str::FromStr>(self) -> Result<N, Garbage> {
        let text = self.text()?;
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if is_plain { text.parse().ok() } else { None };
        number.ok_or_else(|| Garbage::new("a number"))
    }
}

/// The verb of a line, and the rest.
pub(super) fn split(line: &str) -> (&str, &str) {
    match line.split_once(' ') {
        Some((verb, rest)) if !rest.is_empty() => (verb, rest),
        // A space at the end belongs to the verb, which is then unknown.
        _ => (line, ""),
    }
}

/// The values of exactly these keys, in this order.
pub(super) fn fields<const N: usize>(rest: &str, keys: [&str; N]) -> Result<[Value; N], Garbage> {
    let expected = || Garbage::new(format!("the fields {}", keys.join("=, ")));
    let words: Vec<&str> = rest.split(' ').filter(|_| !rest.is_empty()).collect();
    if words.len() != N {
        return Err(expected());
    }
    let mut values = Vec::with_capacity(N);
    for (word, key) in words.into_iter().zip(keys) {
        let value = word.strip_prefix(key).and_then(|rest| rest.strip_prefix('=')).ok_or_else(expected)?;
        values.push(Value(percent_decode(value.as_bytes()).collect()));
    }
    values.try_into().map_err(|_| expected())
}

/// A time in milliseconds, as a `u64` holds them: 585 million years for a longer one.
pub(super) fn milliseconds(time: Duration) -> String {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).to_string()
}

/// Texts with spaces between them. A space in a text is percent-encoded.
pub(super) fn join(texts: &[String]) -> String {
    let encoded = texts.iter().map(|text| percent_encode(text.as_bytes(), ENCODED).to_string());
    encoded.collect::<Vec<_>>().join(" ")
}

/// The texts of [`join`].
pub(super) fn parse_texts(value: Value) -> Result<Vec<String>, Garbage> {
    let joined = value.text()?;
    let texts = joined.split(' ').filter(|text| !text.is_empty());
    texts.map(|text| Value(percent_decode(text.as_bytes()).collect()).text()).collect()
}

/// The beginning of a text for people.
pub(super) fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A list of numbers, as in `0,2,3`. Empty for none.
pub(super) fn list(numbers: &[usize]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

pub(super) fn parse_list(value: Value) -> Result<Vec<usize>, Garbage> {
    let text = value.text()?;
    let numbers = text.split(',').filter(|_| !text.is_empty());
    numbers.map(|number| Value(number.as_bytes().to_vec()).number()).collect()
}
