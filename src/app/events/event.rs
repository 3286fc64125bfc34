//! One server-sent event, and its encoding.

use std::time::Duration;

/// A server-sent event. Fields that are not set are not sent.
///
/// Not to be confused with [`observe::Event`](crate::observe::Event), which tells an observer what a server does.
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
    /// An event with this data, which may have several lines. A line may end in LF, CR or CRLF. The client sees LF for all of
    /// them, because the format has no other line end.
    #[must_use]
    pub fn new(data: &str) -> Event {
        Event { data: Some(data.to_owned()), ..Event::default() }
    }

    /// An event that the page does not see. The client still heeds `id` and `retry`.
    #[must_use]
    pub fn without_data() -> Event {
        Event::default()
    }

    /// The kind of the event, for `addEventListener`. Without a name the kind is `message`.
    ///
    /// # Panics
    ///
    /// If the name has a line break, because the rest would be a field of its own.
    #[must_use]
    #[track_caller]
    pub fn name(self, name: &str) -> Event {
        assert!(!name.contains(['\r', '\n']), "the name of an event is one line: {name:?}");
        Event { name: Some(name.to_owned()), ..self }
    }

    /// The id that the client sends back when it connects again. A [`Hub`](super::Hub) gives an id to events without one.
    ///
    /// # Panics
    ///
    /// If the id has anything but visible ASCII characters. Clients ignore ids with NUL or line breaks, and other characters
    /// cannot stand in a request's field.
    #[must_use]
    #[track_caller]
    pub fn id(self, id: &str) -> Event {
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "an id is visible ASCII: {id:?}");
        Event { id: Some(id.to_owned()), ..self }
    }

    /// How long the client waits before it connects again, if the connection ends. Sent in whole milliseconds.
    #[must_use]
    pub fn retry(self, after: Duration) -> Event {
        Event { retry: Some(after), ..self }
    }

    /// Text that the client ignores. It may have several lines.
    #[must_use]
    pub fn comment(self, text: &str) -> Event {
        Event { comment: Some(text.to_owned()), ..self }
    }

    /// The bytes of the event, with the empty line that ends it.
    #[must_use]
    pub fn encode(&self) -> String {
        self.encode_with_id(self.id.as_deref())
    }

    pub(super) fn own_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn encode_with_id(&self, id: Option<&str>) -> String {
        let mut out = String::new();
        // A space before each value: the client removes one space, so it removes none that belongs to the value.
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

/// The lines of a text. An empty text has one line.
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
