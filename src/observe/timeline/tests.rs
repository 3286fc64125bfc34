//! Pictures are read again: they are well-formed and not too large, everything lies inside, and texts of clients are escaped.

use proptest::prelude::*;
use roxmltree::{Document, Node};

use super::*;
use crate::{
    http::StatusCode,
    observe::{
        recorder::Note,
        script::{Script, id, milliseconds},
    },
    stop::{CloseReason, ListenerEnd, Phase},
};

/// Draws a picture, reads it again, and checks what holds for every picture.
#[track_caller]
fn check(recording: &Recording, test: impl FnOnce(&Document<'_>)) {
    let svg = recording.to_svg();
    assert!(svg.len() < 1_000_000, "{} bytes", svg.len());
    let document = Document::parse(&svg).expect("it is well-formed");
    let root = document.root_element();
    let (width, height) = (number(root, "width"), number(root, "height"));
    assert_eq!(width, WIDTH);
    for node in document.descendants().filter(Node::is_element) {
        let known = ["svg", "title", "desc", "style", "g", "rect", "line", "text", "path"];
        assert!(known.contains(&node.tag_name().name()), "{node:?}");
        assert!(node.attributes().all(|attribute| !attribute.value().contains("NaN")), "{node:?}");
        match node.tag_name().name() {
            "rect" => {
                let (x, y) = (number(node, "x"), number(node, "y"));
                let (right, bottom) = (x + number(node, "width"), y + number(node, "height"));
                assert!(x >= 0.0 && y >= 0.0 && right <= width + 0.1 && bottom <= height + 0.1, "{node:?}");
                assert!(right >= x && bottom >= y, "{node:?}");
            }
            "line" => {
                assert!(
                    (0.0..=width).contains(&number(node, "x1"))
                        && (0.0..=width).contains(&number(node, "x2"))
                );
                assert!((0.0..=height).contains(&number(node, "y1")) && number(node, "y2") <= height);
            }
            "text" => {
                assert!((0.0..=width).contains(&number(node, "x")), "{node:?}");
                assert!((0.0..=height).contains(&number(node, "y")), "{node:?}");
            }
            _ => {}
        }
    }
    test(&document);
}

#[track_caller]
fn number(node: Node<'_, '_>, attribute: &str) -> f64 {
    let value = node.attribute(attribute).and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("{node:?} has no number {attribute}"))
}

fn texts(document: &Document<'_>) -> Vec<String> {
    let nodes = document.descendants().filter(|node| node.has_tag_name("text"));
    nodes.map(|node| node.text().unwrap_or_default().to_owned()).collect()
}

#[track_caller]
fn assert_says(document: &Document<'_>, what: &str) {
    let texts = texts(document);
    assert!(texts.iter().any(|text| text.contains(what)), "nothing says {what:?}: {texts:#?}");
}

fn number_of(document: &Document<'_>, class: &str) -> usize {
    document.descendants().filter(|node| node.attribute("class") == Some(class)).count()
}

/// Requests one after the other on `connections` connections, and a stop among the last of them.
fn served(requests: usize, connections: usize) -> Script {
    let mut script = Script::of(&["hello"]);
    script.at(0, Note::Started);
    (0..connections).for_each(|connection| _ = script.open(1, connection));
    for request in 0..requests {
        let (connection, number) = (request % connections, (request / connections) as u64);
        let at = 2 + number * 50 + (connection as u64 * 7) % 40;
        script.read(at, connection, number, "GET /");
        script.handle(connection, number, &[at + 1, at + 4, at + 30, at + 31]);
    }
    let end = 2 + (requests / connections) as u64 * 50 + 100;
    script.stop(end - 120);
    (0..connections).for_each(|connection| _ = script.close(end, connection, CloseReason::Drained));
    script.at(end, Note::Stopped);
    script
}

#[test]
fn a_few_requests_have_a_lane_a_connection() {
    for (requests, connections) in [(3, 1), (30, 10)] {
        check(&served(requests, connections).recording(10_000), |document| {
            // A bar for each request, and the colours of the legend, with and without parts.
            let bars = number_of(document, "completed");
            assert!(bars > requests && bars <= requests + 5, "{bars} for {requests}");
            assert_says(document, "hello stopped cleanly in 120 ms");
            assert_says(
                document,
                &format!("{requests} requests (all completed) on {connections} connection"),
            );
            assert_says(document, "127.0.0.1:10000");
            assert_says(document, "draining 120 ms");
            assert_says(document, "stop asked for");
            assert_says(document, "GET /");
        });
    }
}

#[test]
fn many_connections_share_lanes() {
    let mut script = Script::of(&["hello"]);
    script.at(0, Note::Started);
    for connection in 0..200 {
        let at = connection as u64 * 10;
        script.open(at, connection).read(at, connection, 0, "GET /");
        script.handle(connection, 0, &[at, at, at + 20, at + 21]).close(
            at + 25,
            connection,
            CloseReason::Completed,
        );
    }
    script.stop(1500).at(2030, Note::Stopped);
    check(&script.recording(3000), |document| {
        assert_eq!(number_of(document, "area"), 0, "there is no need for a band");
        assert!(number_of(document, "completed") > 150);
        let height = number(document.root_element(), "height");
        assert!(height < 400.0, "{height}");
    });
}

#[test]
fn thousands_become_a_band_and_stragglers_stand_out() {
    let mut script = served(3000, 100);
    let last = 2 + 30 * 50 - 20;
    for stuck in 0..50 {
        let connection = 200 + stuck;
        script.open(last - 40, connection).read(last - 30, connection, 0, &format!("GET /stuck?{stuck}"));
        script.handle(connection, 0, &[last - 30, last - 30]).close(
            last + 100,
            connection,
            CloseReason::Aborted,
        );
    }
    check(&script.recording(10_000), |document| {
        assert_says(document, "hello stopped in 120 ms, NOT cleanly");
        assert_says(document, "50 handlers left behind; 3,050 requests (3,000 completed, 50 cut off)");
        assert_says(document, "still in its handler, left behind");
        assert!(number_of(document, "area") >= 3, "requests of two colours, and connections");
        let aborted = number_of(document, "aborted");
        assert!((20..=30).contains(&aborted), "{aborted}");
        assert_says(document, "more were cut off");
    });
}

#[test]
fn a_stop_after_hours_fills_a_good_part() {
    let mut script = Script::of(&["hello"]);
    script.at(0, Note::Started);
    for connection in 0..1000 {
        let at = connection as u64 * 7200;
        script.open(at, connection).read(at, connection, 0, "GET /").handle(
            connection,
            0,
            &[at, at, at + 5, at + 6],
        );
        script.close(at + 7, connection, CloseReason::Completed);
    }
    let now = 7_200_000;
    script.open(now, 2000).read(now, 2000, 0, "GET /slow").handle(2000, 0, &[now, now, now + 400, now + 401]);
    script.stop(now + 101).close(now + 401, 2000, CloseReason::Drained).at(now + 401, Note::Stopped);
    let recording = script.recording(now + 500);
    let window = Window::of(&recording);
    assert_eq!(window.stop, Some(milliseconds(now + 101)));
    assert_eq!((window.from, window.until), (milliseconds(now + 101 - 600), milliseconds(now + 401)));
    check(&recording, |document| {
        assert_says(document, "shown: 900 ms of 2 h 0 min; 1,000 requests before it not shown");
        assert_says(document, "GET /slow");
    });
}

#[test]
fn an_idle_stop_shows_what_was_last() {
    let mut script = served(3, 1);
    let recording = script.recording(300);
    let window = Window::of(&recording);
    assert_eq!(window.from, recording.from, "two seconds, or what there is");
    assert!(window.ticks().len() > 2 && window.ticks().len() < 12, "{:?}", window.ticks());
}

#[test]
fn the_stops_of_several_servers_are_one() {
    let mut script = Script::of(&["a", "b"]);
    script.at(0, Note::Started).on(1, 0, Note::Started);
    script.stop(100).at(200, Note::Stopped).at(5000, Note::Started).stop(6000).at(6100, Note::Stopped);
    script.on(1, 5900, Note::StopAsked { policy: Box::default() }).on(1, 6050, Note::Stopped);
    let recording = script.recording(7000);
    let window = Window::of(&recording);
    assert_eq!((window.stop, window.until), (Some(milliseconds(5900)), milliseconds(6100)));
    check(&recording, |document| assert_says(document, "a and b stopped cleanly in 200 ms"));
}

#[test]
fn servers_that_are_asked_one_after_the_other_stop_together() {
    let mut script = Script::of(&["a", "b", "c"]);
    (0..3).for_each(|server| _ = script.on(server, 0, Note::Started));
    for (server, asked) in [(0, 100), (1, 1000), (2, 1090)] {
        script.on(server, asked, Note::StopAsked { policy: Box::default() });
        script.on(server, asked + 1, Note::Stopped);
    }
    let recording = script.recording(2000);
    assert_eq!(Window::of(&recording).stop, Some(milliseconds(1000)));
    check(&recording, |document| assert_says(document, "b and c stopped cleanly in 91.0 ms"));
}

#[test]
fn nothing_at_all_and_no_stop_are_pictures_too() {
    check(&Script::of(&[]).recording(0), |document| assert_says(document, "nothing was recorded"));
    check(&Script::of(&["a"]).at(1, Note::Started).recording(1), |document| {
        assert_says(document, "a: not stopped")
    });
    let mut script = Script::of(&["a"]);
    script.at(1, Note::Started).stop(5);
    check(&script.recording(9), |document| assert_says(document, "the stop is not over after 4.00 ms"));
}

#[test]
fn what_clients_send_stays_text() {
    let lines = [
        "GET /</text><script>alert(1)</script>",
        "GET /\"onload='x'&lt;&#0;]]>",
        "G\u{0}\u{1b}[31m \u{202e}/gnp.\u{ffff}",
        &("GET /".to_owned() + &"\u{1f600}".repeat(2000)),
    ];
    let mut script = Script::of(&["<hello> & \u{7}"]);
    script.at(0, Note::Started);
    for (connection, line) in lines.iter().enumerate() {
        script.open(1, connection).read(2, connection, 0, line).handle(connection, 0, &[3, 4]);
        script.close(90, connection, CloseReason::Aborted);
    }
    script.stop(50).at(90, Note::Stopped);
    check(&script.recording(100), |document| {
        assert_says(document, "GET /</text><script>alert(1)</script>");
        assert_says(document, "GET /\"onload='x'&lt;&#0;]]>");
        assert_says(document, "G\u{fffd}\u{fffd}[31m \u{fffd}/gnp.\u{fffd}");
        assert_says(document, "<hello> & \u{fffd}");
        let longest = texts(document).iter().map(|text| text.chars().count()).max();
        assert!(longest < Some(160), "{longest:?}");
    });
}

#[test]
fn a_hundred_thousand_requests_stay_below_a_megabyte() {
    let names: Vec<String> = (0..20).map(|number| format!("server {number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut script = Script::of(&names);
    for request in 0..100_000_usize {
        let server = u32::try_from(request % 20).expect("it is below 20");
        let (connection, request, at) = (id(request), 0, 1 + (request as u64 * 7919) % 4000);
        // Widths, heights and outcomes change from piece to piece, so the picture can leave nothing out.
        let long = 1 + at * at % 97;
        let line = "GET /".to_owned() + &"<".repeat(200);
        script.on(server, at, Note::ConnectionOpened { connection, peer: ([127, 0, 0, 1], 80).into() });
        script.on(server, at, Note::RequestRead { connection, request, line: line.into() });
        script.on(server, at, Note::HandlerStarted { connection, request });
        let status = if at % 3 == 0 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        script.on(server, at + long, Note::ResponseMade { connection, request, status });
        if at % 5 > 0 {
            script.on(server, at + long, Note::ResponsesWritten { connection, through: 0 });
        }
        let reason = if at % 2 == 0 { CloseReason::ClientGone } else { CloseReason::Aborted };
        script.on(server, at + long, Note::ConnectionClosed { connection, reason });
    }
    for server in 0..20 {
        for again in 0..1000 {
            script.on(server, 2000 + again, Note::StopAsked { policy: Box::default() });
        }
        script.on(server, 2000, Note::PhaseEntered { phase: Phase::Draining });
        script.on(server, 4200, Note::Stopped);
    }
    check(&script.recording(5000), |document| {
        assert_says(document, "100,000 requests");
        assert_says(document, "8 servers more not shown");
    });
}

#[test]
fn a_thousand_lives_are_no_larger() {
    let names: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    let mut script = Script::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for life in 0..12_000 {
        let (server, at) = (life % 12, u64::from(life / 12) * 4);
        let closed = Note::ListenerClosed { rescued: 1, end: ListenerEnd::Refused };
        script.on(server, at, Note::Started).on(server, at + 1, Note::StopAsked { policy: Box::default() });
        script.on(server, at + 1, Note::PhaseEntered { phase: Phase::Draining }).on(server, at + 1, closed);
        script.on(server, at + 2, Note::Stopped);
    }
    check(&script.recording(4000), |document| assert_says(document, "501 runs (501 stopped cleanly)"));
}

fn any_note() -> impl Strategy<Value = Note> {
    let line = prop::sample::select(vec![
        "",
        "GET /",
        "G\u{0}T </text>&",
        "GET /a-target-that-is-rather-long?and=more",
    ]);
    let phases = [Phase::LameDuck, Phase::Draining, Phase::Cancelling].to_vec();
    let reasons = prop::sample::select(CloseReason::ALL);
    let statuses = prop::sample::select(vec![StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE]);
    let peer = ([127, 0, 0, 1], 80).into();
    (0..4_usize, 0..4_u64, line, prop::sample::select(phases), reasons, statuses, 0..13_u8).prop_map(
        move |(connection, request, line, phase, reason, status, kind)| {
            let connection = id(connection);
            match kind {
                0 => Note::Started,
                1 => Note::StopAsked { policy: Box::default() },
                2 => Note::PhaseEntered { phase },
                3 => Note::ListenerClosed { rescued: request, end: ListenerEnd::Refused },
                4 => Note::ConnectionOpened { connection, peer },
                5 => Note::HandlerQueued { connection, request },
                6 => Note::RequestRead { connection, request, line: line.into() },
                7 => Note::HandlerStarted { connection, request },
                8 => Note::HandlerFinished { connection, request },
                9 => Note::ResponseMade { connection, request, status },
                10 => Note::ResponsesWritten { connection, through: request },
                11 => Note::ConnectionClosed { connection, reason },
                _ => Note::Stopped,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() })]

    /// Even events that no server can have make a picture, at any rate.
    #[test]
    fn every_order_of_events_can_be_drawn(
        notes in prop::collection::vec((0..3_u64, 0..2_u32, any_note()), 0..120),
        pace in prop::sample::select(vec![0_u64, 1, 10, 100_000]),
    ) {
        let mut script = Script::of(&["a", "b"]);
        let mut at = 0;
        for (step, server, note) in notes {
            at += step * pace;
            script.on(server, at, note);
        }
        check(&script.recording_from(0, at), |_| {});
    }
}
