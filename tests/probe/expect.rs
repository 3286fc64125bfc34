//! The matcher: whether an exchange has one of the outcomes that a case lists, and whether the exchange can still get
//! one.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use super::case::{Answered, Bytes, Check, End, Expect, Outcome, Set, Wanted};
use super::response::{Brief, Fault, Response};
use super::wire::{Row, State, Wire};

/// The largest difference between the server's clock and ours.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// The verdict on an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// One of the right outcomes.
    Pass,
    /// One of the tolerable outcomes.
    Warn,
    /// An outcome that the case does not list.
    Miss,
}

/// Whether the end of the connection must match too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Counts,
    /// The end is still to come.
    Ignored,
}

impl Expect {
    pub(crate) fn verdict(&self, wire: &Wire) -> Verdict {
        if self.passes(wire) {
            Verdict::Pass
        } else if self.warn.iter().any(|outcome| outcome.matches(wire, Ending::Counts)) {
            Verdict::Warn
        } else {
            Verdict::Miss
        }
    }

    pub(crate) fn passes(&self, wire: &Wire) -> bool {
        self.pass.iter().any(|outcome| outcome.matches(wire, Ending::Counts))
    }

    /// Whether only the right end of the connection is missing.
    pub(crate) fn passes_but_for_the_end(&self, wire: &Wire) -> bool {
        self.pass.iter().any(|outcome| outcome.matches(wire, Ending::Ignored))
    }

    /// Whether more bytes can still turn the exchange into a listed outcome.
    pub(crate) fn is_reachable(&self, wire: &Wire) -> bool {
        self.pass.iter().chain(&self.warn).any(|outcome| outcome.is_reachable(wire))
    }
}

impl Outcome {
    fn matches(&self, wire: &Wire, ending: Ending) -> bool {
        match self {
            Self::Truncated { truncated: Set } => {
                let cut_head = matches!(wire.reader.fault, Some(Fault::CutHead));
                wire.is_over() && (cut_head || wire.reader.partial.is_some())
            }
            Self::Answered(answered) => answered.matches(wire, ending),
        }
    }

    fn is_reachable(&self, wire: &Wire) -> bool {
        match self {
            Self::Truncated { truncated: Set } => {
                !wire.is_over() && wire.reader.fault.is_none() && wire.reader.done.is_empty()
            }
            Self::Answered(answered) => answered.is_reachable(wire),
        }
    }
}

impl Answered {
    fn matches(&self, wire: &Wire, ending: Ending) -> bool {
        let reader = &wire.reader;
        let end = match (ending, self.end) {
            (Ending::Ignored, _) | (_, End::Any) => true,
            (Ending::Counts, End::Open) => !wire.is_over(),
            (Ending::Counts, End::Closed) => wire.is_over(),
        };
        end && reader.fault.is_none()
            && reader.partial.is_none()
            && reader.done.len() == self.row().count()
            && self.row().zip(&reader.done).all(|((wanted, place), got)| wanted.matches(place, got))
            && !(self.no_reset && wire.state == State::Reset)
            && (self.notes_ok || wire.notes.is_empty())
            && self.differ.iter().all(|name| all_differ(name, &reader.done))
    }

    fn is_reachable(&self, wire: &Wire) -> bool {
        let reader = &wire.reader;
        let mut row = self.row();
        reader.fault.is_none()
            && !(self.end == End::Open && wire.is_over())
            && reader
                .done
                .iter()
                .all(|got| row.next().is_some_and(|(wanted, place)| wanted.matches(place, got)))
            && reader.partial.iter().all(|got| row.next().is_some_and(|(wanted, _)| wanted.matches_head(got)))
    }

    /// Each wanted response, and its place among the responses that are described together.
    fn row(&self) -> impl Iterator<Item = (&Wanted, usize)> {
        self.responses.iter().flat_map(|wanted| (0..wanted.count()).map(move |place| (wanted, place)))
    }
}

impl Wanted {
    fn matches(&self, place: usize, got: &Response) -> bool {
        let is = |body: &Bytes| got.body == body.0;
        self.matches_head(got)
            && self.body(place).is_none_or(is)
            && self.body_any.as_ref().is_none_or(|bodies| bodies.iter().any(is))
            && self.body_has_not.as_ref().is_none_or(|part| !contains(&got.body, &part.0))
    }

    fn matches_head(&self, got: &Response) -> bool {
        self.status.contains(&got.status)
            && self.version.as_ref().is_none_or(|version| got.version == *version)
            && self.interim.as_ref().is_none_or(|interim| got.interim == *interim)
            && self.headers.iter().all(|(name, check)| check.holds(name, got))
    }
}

impl Check {
    fn holds(&self, name: &str, response: &Response) -> bool {
        let values: Vec<&str> = response.values(name).collect();
        match self {
            Self::Present => !values.is_empty(),
            Self::Absent => values.is_empty(),
            Self::Exactly(value) => values == [value],
            Self::Lists(token) => response.tokens(name).contains(token),
            Self::ListsNot(token) => !response.tokens(name).contains(token),
            Self::Date => date(&values).is_some(),
            Self::Now => date(&values).is_some_and(|date| {
                let distance = date.elapsed().unwrap_or_else(|future| future.duration());
                distance <= CLOCK_TOLERANCE
            }),
        }
    }
}

/// The date in a field with one value in the preferred form. Formatting the date again must give the same value, so
/// that an obsolete form is refused.
fn date(values: &[&str]) -> Option<SystemTime> {
    let [value] = values else { return None };
    httpdate::parse_http_date(value).ok().filter(|&date| httpdate::fmt_http_date(date) == **value)
}

fn all_differ(name: &str, responses: &[Response]) -> bool {
    let mut seen = HashSet::new();
    responses.iter().all(|response| seen.insert(response.values(name).collect::<Vec<_>>()))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcomes: Vec<String> = self.pass.iter().map(Outcome::to_string).collect();
        f.write_str(&outcomes.join(" | "))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered = match self {
            Self::Truncated { truncated: Set } => return f.write_str("a response that is cut off"),
            Self::Answered(answered) => answered,
        };
        let responses: Vec<String> = answered.responses.iter().map(Wanted::to_string).collect();
        write!(f, "{}", Row(&responses))?;
        match answered.end {
            End::Any => {}
            End::Open => f.write_str("; open")?,
            End::Closed => f.write_str("; closed")?,
        }
        if answered.no_reset {
            f.write_str("; no reset")?;
        }
        answered.differ.iter().try_for_each(|name| write!(f, "; {name} differs"))
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count() != 1 {
            write!(f, "{} x ", self.count())?;
        }
        self.interim.iter().flatten().try_for_each(|status| write!(f, "{status}+"))?;
        let statuses: Vec<String> = self.status.iter().map(u16::to_string).collect();
        f.write_str(&statuses.join("/"))?;
        self.body(0).iter().try_for_each(|body| write!(f, " {}", Brief(&body.0, 36)))?;
        if !self.headers.is_empty() {
            write!(f, " {:?}", self.headers)?;
        }
        Ok(())
    }
}
