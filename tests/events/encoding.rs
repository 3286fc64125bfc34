//! A client reads exactly the values that an event holds.

use std::time::Duration;

use proptest::prelude::*;
use softstop::events::Event;

use crate::parser::{Dispatched, EventSource};

/// Texts with line breaks of every kind, with parts that look like syntax, and with other characters.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("\r".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just(": ".to_owned()),
        Just(" ".to_owned()),
        Just("data:".to_owned()),
        Just("id: 5".to_owned()),
        Just("\0".to_owned()),
        Just("\u{feff}".to_owned()),
        "[a-z]{1,4}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

fn one_line() -> impl Strategy<Value = String> {
    text().prop_map(|text| text.replace(['\r', '\n'], ""))
}

/// Turns every line break into an LF, because the format has only one kind of line break.
fn unified(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

proptest! {
    #[test]
    fn what_is_sent_is_what_is_read_at_every_split(
        data in prop::option::of(text()),
        name in prop::option::of(one_line()),
        id in prop::option::of("[!-~]{1,6}"),
        retry in prop::option::of(0_u64..100_000),
        comment in prop::option::of(text()),
    ) {
        let mut event = data.as_deref().map_or_else(Event::without_data, Event::new);
        if let Some(name) = &name { event = event.name(name); }
        if let Some(id) = &id { event = event.id(id); }
        if let Some(retry) = retry { event = event.retry(Duration::from_millis(retry)); }
        if let Some(comment) = &comment { event = event.comment(comment); }
        let encoded = event.encode();
        // Two copies show that nothing is left over from the first one.
        let bytes = encoded.repeat(2).into_bytes();
        let last_id = id.clone().unwrap_or_default();
        let kind = name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| "message".to_owned());
        let expected: Vec<_> = data
            .iter()
            .flat_map(|data| {
                let one = Dispatched { kind: kind.clone(), data: unified(data), last_id: last_id.clone() };
                [one.clone(), one]
            })
            .collect();
        for split in 0..=bytes.len() {
            let mut source = EventSource::default();
            source.feed(&bytes[..split]);
            source.feed(&bytes[split..]);
            prop_assert_eq!(&source.dispatched, &expected, "split at {}", split);
            prop_assert_eq!(&source.last_id, &last_id);
            prop_assert_eq!(source.reconnection_ms, retry);
            let lines = comment.as_ref().map_or(0, |comment| unified(comment).split('\n').count());
            prop_assert_eq!(source.comments, 2 * lines);
        }
    }
}

#[test]
fn the_bytes_are_these() {
    let rows = [
        (Event::new(""), "data: \n\n"),
        (Event::new(" a\n"), "data:  a\ndata: \n\n"),
        (Event::new("a\rb\r\nc\n\nd"), "data: a\ndata: b\ndata: c\ndata: \ndata: d\n\n"),
        (Event::new("x").name("n").id("1"), "event: n\nid: 1\ndata: x\n\n"),
        (Event::without_data().retry(Duration::from_millis(1500)), "retry: 1500\n\n"),
        (Event::without_data().comment("one\ntwo"), ": one\n: two\n\n"),
        (Event::without_data(), "\n"),
    ];
    for (event, expected) in rows {
        assert_eq!(event.encode(), expected);
    }
}

#[test]
fn what_would_be_another_field_is_refused() {
    for bad in ["a\nb", "a\rb"] {
        assert!(std::panic::catch_unwind(|| Event::new("").name(bad)).is_err(), "{bad:?}");
    }
    for bad in ["a\nb", "a\rb", "a\0", "ü", "a b"] {
        assert!(std::panic::catch_unwind(|| Event::new("").id(bad)).is_err(), "{bad:?}");
    }
}
