//! The cases as data: what a line of `cases.json` may say, parsed once and as strictly as it can be, so that
//! a misspelt key stops the run and never weakens a case in silence.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// One case: a script of bytes for the server and the outcomes that are accepted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) group: String,
    /// The RFC and its section, such as `9112 6.3`.
    pub(crate) rfc: String,
    pub(crate) level: Level,
    pub(crate) role: Role,
    pub(crate) about: String,
    #[serde(deserialize_with = "joined")]
    pub(crate) send: Vec<Step>,
    /// Absent where the client leaves without waiting for anything.
    pub(crate) expect: Option<Expect>,
    /// Which final responses, counted from 0, answer a HEAD request.
    #[serde(default)]
    pub(crate) heads: Vec<usize>,
    /// Cut the bytes in two, at each place in turn, on a fresh connection each time.
    pub(crate) split: Option<Split>,
    /// The distance between two places of the split, in bytes.
    #[serde(default = "one")]
    pub(crate) stride: usize,
    /// The pause between the two parts of a split, in milliseconds.
    #[serde(default = "default_gap")]
    pub(crate) gap_ms: u64,
    /// Play the script on that many connections side by side.
    pub(crate) parallel: Option<usize>,
    /// Play the script that many times, one after the other.
    #[serde(default = "one")]
    pub(crate) times: usize,
    /// Connections that are open meanwhile.
    pub(crate) hold: Option<Hold>,
    /// How long the exchange may take after its last byte went out, in milliseconds.
    #[serde(default = "default_budget")]
    pub(crate) budget_ms: u64,
    /// The quiet time after which the exchange is believed to be over, in milliseconds.
    pub(crate) settle_ms: Option<u64>,
    /// What a fresh connection must find afterwards.
    pub(crate) after: Option<After>,
    /// Roughly how many seconds the case needs: the slow ones go first.
    #[serde(default)]
    pub(crate) cost: u32,
}

/// The word of the RFC that stands behind a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Level {
    Must,
    Should,
}

/// What the server under test does on one of its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// `GET /` is answered `Hello, world!`.
    Hello,
    /// `GET /?name=X` is answered `Hello, X!`.
    Name,
    /// `POST /` is answered with the content of the request.
    Echo,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) enum Split {
    #[serde(rename = "every-byte")]
    EveryByte,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hold {
    pub(crate) count: usize,
    #[serde(default)]
    pub(crate) send: Bytes,
}

/// A plain exchange on one fresh connection.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct After {
    pub(crate) role: Role,
    #[serde(deserialize_with = "joined")]
    pub(crate) send: Vec<Step>,
    pub(crate) expect: Expect,
}

/// One thing that the client does.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Step {
    /// Bytes that go out in one write.
    Write(Bytes),
    /// Wait, and read whatever comes.
    Delay { delay_ms: u64 },
    /// Wait without reading.
    Deaf { deaf_ms: u64 },
    /// Wait; nothing may come.
    Hush { hush_ms: u64 },
    /// Write so many bytes at a time, with a pause after each.
    Drip {
        drip: Bytes,
        #[serde(default = "one")]
        size: usize,
        #[serde(default)]
        gap_ms: u64,
    },
    /// Wait until the server has spoken.
    Await {
        r#await: Goal,
        #[serde(default = "default_await")]
        timeout_ms: u64,
        #[serde(default)]
        optional: bool,
    },
    /// End the client's side.
    Fin { fin: Set },
    /// Leave with a reset.
    Reset { rst: Set },
    /// Leave.
    Close { close: Set },
}

/// What an await step waits for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(crate) enum Goal {
    /// That many final responses.
    Finals(usize),
    Interim(Interim),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Interim {
    Interim,
}

/// The value `true`, the only one that a key such as `fin` may have.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "bool")]
pub(crate) struct Set;

impl TryFrom<bool> for Set {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, Self::Error> {
        if value { Ok(Self) } else { Err("only true can be said here") }
    }
}

/// The outcomes that are right, and those that are merely tolerable.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) pass: Vec<Outcome>,
    #[serde(default)]
    pub(crate) warn: Vec<Outcome>,
}

/// One way an exchange may turn out.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Outcome {
    /// A response that was begun and then cut off with the connection.
    Truncated {
        truncated: Set,
    },
    Answered(Answered),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answered {
    pub(crate) responses: Vec<Wanted>,
    #[serde(default)]
    pub(crate) end: End,
    /// The connection may not end with a reset.
    #[serde(default)]
    pub(crate) no_reset: bool,
    /// A step that did not go as planned is no matter.
    #[serde(default)]
    pub(crate) notes_ok: bool,
    /// Fields that no two responses may have alike.
    #[serde(default)]
    pub(crate) differ: Vec<String>,
}

/// The connection when the exchange is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    #[default]
    Any,
    Open,
    Closed,
}

/// One final response, or a row of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) status: Vec<u16>,
    pub(crate) version: Option<String>,
    /// The statuses of the interim responses before it.
    pub(crate) interim: Option<Vec<u16>>,
    pub(crate) body: Option<Bytes>,
    pub(crate) body_any: Option<Vec<Bytes>>,
    pub(crate) body_has_not: Option<Bytes>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Check>,
    /// As many responses as there are bodies here.
    #[serde(default)]
    pub(crate) each: Vec<Bytes>,
    /// That many responses alike, where `each` says nothing.
    #[serde(default = "one")]
    pub(crate) times: usize,
}

impl Wanted {
    /// How many responses this describes.
    pub(crate) fn count(&self) -> usize {
        if self.each.is_empty() { self.times } else { self.each.len() }
    }

    /// The body of the response at that place of the row.
    pub(crate) fn body(&self, place: usize) -> Option<&Bytes> {
        self.each.get(place).or(self.body.as_ref())
    }
}

/// What a response field is held to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Check {
    Present,
    Absent,
    /// One field line with exactly this value.
    Exactly(String),
    /// A list that holds this token.
    Lists(String),
    /// No list that holds this token.
    ListsNot(String),
    /// One date in the preferred form (RFC 9110 section 5.6.7).
    Date,
    /// The same, not more than five seconds from now.
    Now,
}

impl TryFrom<String> for Check {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(match text.as_str() {
            "present" => Self::Present,
            "absent" => Self::Absent,
            "imf" => Self::Date,
            "now" => Self::Now,
            other => {
                if let Some(token) = other.strip_prefix("!~") {
                    Self::ListsNot(token.to_owned())
                } else if let Some(token) = other.strip_prefix('~') {
                    Self::Lists(token.to_owned())
                } else if let Some(value) = other.strip_prefix('=') {
                    Self::Exactly(value.to_owned())
                } else {
                    return Err(format!("{other:?} is no check of a field"));
                }
            }
        })
    }
}

/// Bytes, written as text whose characters stand for one byte each, as a repetition, or as a list of these.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Piece")]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Piece {
    Text(String),
    Repeat { repeat: String, times: usize },
    List(Vec<Bytes>),
}

impl TryFrom<Piece> for Bytes {
    type Error = &'static str;

    fn try_from(piece: Piece) -> Result<Self, Self::Error> {
        let octets = |text: String| -> Result<Vec<u8>, Self::Error> {
            text.chars().map(|c| u8::try_from(c).map_err(|_| "a character that is no byte")).collect()
        };
        Ok(Self(match piece {
            Piece::Text(text) => octets(text)?,
            Piece::Repeat { repeat, times } => octets(repeat)?.repeat(times),
            Piece::List(list) => list.into_iter().flat_map(|bytes| bytes.0).collect(),
        }))
    }
}

/// The steps of a script, with bytes that stand next to each other made one write.
fn joined<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Step>, D::Error> {
    let mut steps: Vec<Step> = Vec::new();
    for step in Vec::<Step>::deserialize(deserializer)? {
        match (steps.last_mut(), step) {
            (Some(Step::Write(before)), Step::Write(more)) => before.0.extend(more.0),
            (_, step) => steps.push(step),
        }
    }
    Ok(steps)
}

fn one() -> usize {
    1
}

fn default_gap() -> u64 {
    4
}

fn default_await() -> u64 {
    2000
}

fn default_budget() -> u64 {
    2500
}
