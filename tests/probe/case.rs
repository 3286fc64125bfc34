//! The cases as data: what a line of `cases.json` may say. The parser is as strict as possible, so that a misspelt key
//! stops the run and never weakens a case silently.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// One case: the bytes for the server, and the outcomes that are accepted.
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
    /// Absent if the client leaves without waiting for an answer.
    pub(crate) expect: Option<Expect>,
    /// The numbers of the final responses, counted from 0, that answer a HEAD request.
    #[serde(default)]
    pub(crate) heads: Vec<usize>,
    /// Where to cut the bytes in two. Each place is played on a fresh connection.
    pub(crate) split: Option<Split>,
    /// The distance between two places of the split, in bytes.
    #[serde(default = "one")]
    pub(crate) stride: usize,
    /// The pause between the two parts of a split, in milliseconds.
    #[serde(default = "default_gap")]
    pub(crate) gap_ms: u64,
    /// The number of connections that play the script side by side.
    pub(crate) parallel: Option<usize>,
    /// How many times to play the script, one time after the other.
    #[serde(default = "one")]
    pub(crate) times: usize,
    /// Connections that are open during the case.
    pub(crate) hold: Option<Hold>,
    /// How long the exchange may take after its last byte went out, in milliseconds.
    #[serde(default = "default_budget")]
    pub(crate) budget_ms: u64,
    /// The quiet time after which the exchange counts as over, in milliseconds.
    pub(crate) settle_ms: Option<u64>,
    /// An exchange that must pass on a fresh connection afterwards.
    pub(crate) after: Option<After>,
    /// The rough duration of the case in seconds. Slow cases go first.
    #[serde(default)]
    pub(crate) cost: u32,
}

/// The requirement level that the RFC gives to the behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Level {
    Must,
    Should,
}

/// The service of the server under test on one of its ports.
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

/// One step of the client.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Step {
    /// Bytes that go out in one write.
    Write(Bytes),
    /// Waits, and reads all bytes that come.
    Delay { delay_ms: u64 },
    /// Waits without reading.
    Deaf { deaf_ms: u64 },
    /// Waits. No byte may come.
    Hush { hush_ms: u64 },
    /// Writes `size` bytes at a time, with a pause after each write.
    Drip {
        drip: Bytes,
        #[serde(default = "one")]
        size: usize,
        #[serde(default)]
        gap_ms: u64,
    },
    /// Waits until the server has sent a certain response.
    Await {
        r#await: Goal,
        #[serde(default = "default_await")]
        timeout_ms: u64,
        #[serde(default)]
        optional: bool,
    },
    /// Shuts the client's sending side down.
    Fin { fin: Set },
    /// Closes the connection with a reset.
    Reset { rst: Set },
    /// Closes the connection.
    Close { close: Set },
}

/// The response for which an await step waits.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(crate) enum Goal {
    /// This many final responses.
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
        if value { Ok(Self) } else { Err("the only possible value is true") }
    }
}

/// The outcomes that are right, and the outcomes that are only tolerable.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) pass: Vec<Outcome>,
    #[serde(default)]
    pub(crate) warn: Vec<Outcome>,
}

/// One possible outcome of an exchange.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Outcome {
    /// A response that was begun, and that the end of the connection cut off.
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
    /// A step may go otherwise than planned.
    #[serde(default)]
    pub(crate) notes_ok: bool,
    /// Fields whose values must differ from response to response.
    #[serde(default)]
    pub(crate) differ: Vec<String>,
}

/// The state of the connection when the exchange is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum End {
    #[default]
    Any,
    Open,
    Closed,
}

/// One final response, or a row of final responses.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) status: Vec<u16>,
    pub(crate) version: Option<String>,
    /// The statuses of the interim responses before the final one.
    pub(crate) interim: Option<Vec<u16>>,
    pub(crate) body: Option<Bytes>,
    pub(crate) body_any: Option<Vec<Bytes>>,
    pub(crate) body_has_not: Option<Bytes>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Check>,
    /// The bodies of a row. The row has one response for each body.
    #[serde(default)]
    pub(crate) each: Vec<Bytes>,
    /// The number of equal responses, if `each` is empty.
    #[serde(default = "one")]
    pub(crate) times: usize,
}

impl Wanted {
    /// The number of responses that this value describes.
    pub(crate) fn count(&self) -> usize {
        if self.each.is_empty() { self.times } else { self.each.len() }
    }

    /// The wanted body of the response at this place of the row.
    pub(crate) fn body(&self, place: usize) -> Option<&Bytes> {
        self.each.get(place).or(self.body.as_ref())
    }
}

/// The check of a response field.
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
    /// One such date, at most five seconds from now.
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

/// Bytes, written as a text with one character for each byte, as a repetition, or as a list of these.
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

/// The steps of a script. Adjacent bytes become one write.
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
