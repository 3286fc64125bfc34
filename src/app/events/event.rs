//! One event, and how it is written down.

use std::time::Duration;

/// An event as it is sent. What is not set is not sent.
///
/// ```
/// use softstop::events::Event;
/// use std::time::Duration;
///
/// let event = Event::new("two\nlines").name("update").id("7").retry(Duration::from_secs(3));
/// assert_eq!(event.encode(), "event: update\nid: 7\nretry: 3000\ndata: two\ndata: lines\n\n");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    comment: Option<String>,
    name: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
    data: Option<String>,
}

impl Event {
    /// An event with that data, which may have several lines. A line may end in LF, CR or CRLF; the client sees LF for all
    /// of them, as the format has no other.
    #[must_use]
    pub fn new(data: &str) -> Event {
        Event { data: Some(data.to_owned()), ..Event::default() }
    }

    /// No event for the page: only for the client, which heeds `id` and `retry`, or for the connection.
    #[must_use]
    pub fn without_data() -> Event {
        Event::default()
    }

    /// What kind of event it is, for `addEventListener`; `message` without it.
    ///
    /// # Panics
    ///
    /// If there is a line break in it: what follows would be a field of its own.
    #[must_use]
    #[track_caller]
    pub fn name(self, name: &str) -> Event {
        assert!(!name.contains(['\r', '\n']), "the name of an event is one line: {name:?}");
        Event { name: Some(name.to_owned()), ..self }
    }

    /// What the client says it saw last when it connects again. A [`Hub`](super::Hub) gives an id to those who have none.
    ///
    /// # Panics
    ///
    /// If there is a line break or a NUL in it, which clients ignore, or anything else that cannot stand in a request's
    /// field: use visible ASCII characters.
    #[must_use]
    #[track_caller]
    pub fn id(self, id: &str) -> Event {
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "an id is visible ASCII: {id:?}");
        Event { id: Some(id.to_owned()), ..self }
    }

    /// After what time the client is to connect again, should the connection end; in whole milliseconds.
    #[must_use]
    pub fn retry(self, after: Duration) -> Event {
        Event { retry: Some(after), ..self }
    }

    /// Text that the client ignores. It may have several lines.
    #[must_use]
    pub fn comment(self, text: &str) -> Event {
        Event { comment: Some(text.to_owned()), ..self }
    }

    /// The event as it is sent, with the empty line that ends it.
    #[must_use]
    pub fn encode(&self) -> String {
        self.encode_with_id(self.id.as_deref())
    }

    pub(super) fn own_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn encode_with_id(&self, id: Option<&str>) -> String {
        let mut out = String::new();
        // Each value behind a space: the client takes one away, and so none that is the value's own.
        let mut field = |name: &str, value: &str| out.extend([name, ": ", value, "\n"]);
        lines(self.comment.as_deref()).for_each(|line| field("", line));
        self.name.iter().for_each(|name| field("event", name));
        id.iter().for_each(|id| field("id", id));
        if let Some(retry) = self.retry {
            field("retry", &retry.as_millis().to_string());
        }
        lines(self.data.as_deref()).for_each(|line| field("data", line));
        out.push('\n');
        out
    }
}

/// The lines of a text, of which an empty one has one, too.
fn lines(text: Option<&str>) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else { return rest.take() };
        let width = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + width..]);
        Some(&text[..end])
    })
}
