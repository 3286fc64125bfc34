use super::*;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

fn frame(count: Option<usize>, out: &mut Vec<u8>) {
    out.extend_from_slice(count.map_or("]".to_owned(), |count| format!("{count}[")).as_bytes());
}

fn taken(feed: &Feed, limit: usize) -> (String, Rest) {
    let mut out = Vec::new();
    let (_, rest) = feed.take(limit, &mut out, frame);
    (String::from_utf8(out).unwrap(), rest)
}

fn try_push(feed: &Feed, text: &str) -> Result<(), Refused> {
    feed.push(Message::Bytes(text.as_bytes()), Patience::None)
}

#[test]
fn what_goes_in_comes_out_at_every_limit() {
    for limit in 1..12 {
        let feed = Feed::new(100);
        for text in ["ab", "", "cde"] {
            try_push(&feed, text).unwrap();
        }
        feed.push(Message::Shared(&Shared::from(&b"fghi"[..])), Patience::None).unwrap();
        try_push(&feed, "j").unwrap();
        feed.finish();
        let (mut out, mut rest) = (Vec::new(), Rest::More);
        while rest == Rest::More {
            let before = out.len();
            let (count, then) = feed.take(limit, &mut out, |_, _| ());
            assert_eq!(count, limit.min(10 - before));
            rest = then;
        }
        assert_eq!((&*out, rest), (&b"abcdefghij"[..], Rest::End));
    }
}

#[test]
fn a_message_fits_whole_or_not_at_all_and_a_large_one_fits_what_is_empty() {
    let feed = Feed::new(4);
    assert_eq!(try_push(&feed, "larger"), Ok(()));
    assert_eq!(try_push(&feed, "x"), Err(Refused::Full));
    assert_eq!(taken(&feed, 9), ("6[larger]".into(), Rest::Nothing));
    assert_eq!(try_push(&feed, "abc"), Ok(()));
    assert_eq!(try_push(&feed, "de"), Err(Refused::Full));
    assert_eq!(try_push(&feed, "d"), Ok(()));
    assert_eq!(taken(&feed, 9), ("4[abcd]".into(), Rest::Nothing));
}

#[test]
fn the_loop_is_told_once_for_each_time_it_found_nothing() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let feed = Feed::new(100);
    try_push(&feed, "early").unwrap();
    assert!(feed.attach(Arc::new(move || _ = count.fetch_add(1, Ordering::SeqCst))));
    assert!(!feed.attach(Arc::new(|| ())), "it has one already");
    assert_eq!(told.load(Ordering::SeqCst), 0, "whoever attaches looks");
    assert_eq!(taken(&feed, 2).1, Rest::More);
    try_push(&feed, "x").unwrap();
    assert_eq!(told.load(Ordering::SeqCst), 0, "it looks again by itself");
    assert_eq!(taken(&feed, 9), ("4[rlyx]".into(), Rest::Nothing));
    try_push(&feed, "y").unwrap();
    try_push(&feed, "z").unwrap();
    feed.finish();
    assert_eq!(told.load(Ordering::SeqCst), 1, "one wake for a batch");
    assert_eq!(taken(&feed, 9), ("2[yz]".into(), Rest::End));
}

#[test]
fn a_declared_length_is_kept_or_the_body_is_cut() {
    let rows: [(&[&str], Rest); 5] = [
        (&["abc"], Rest::End),
        (&["a", "bc"], Rest::End),
        (&["ab"], Rest::Cut),
        (&["ab", "cd"], Rest::Cut),
        (&["abcd"], Rest::Cut),
    ];
    for (texts, expected) in rows {
        for declared_late in [false, true] {
            let feed = Feed::new(100);
            if !declared_late {
                feed.declare(3);
            }
            let accepted = texts.iter().filter(|text| try_push(&feed, text).is_ok()).count();
            if declared_late {
                feed.declare(3);
            }
            assert!(declared_late || accepted == texts.len() || expected == Rest::Cut);
            feed.finish();
            assert_eq!(taken(&feed, 9).1, expected, "{texts:?}, late: {declared_late}");
        }
    }
    let empty = Feed::new(1);
    empty.declare(0);
    assert_eq!(taken(&empty, 9), (String::new(), Rest::End), "complete from the beginning");
}

#[test]
fn a_reader_is_lent_while_there_is_room_and_given_away_at_the_end() {
    let feed = Feed::of_reader(Box::new(io::empty()), 2);
    let Some(Loan { reader, most: 2 }) = feed.lend() else { panic!("there is room") };
    assert!(feed.lend().is_none(), "it is lent already");
    let Delivered::GoOn(Loan { reader, .. }) = feed.deliver(b"ab", reader, Afterwards::GoOn) else {
        panic!("there is room for another piece")
    };
    assert!(matches!(feed.deliver(b"cd", reader, Afterwards::GoOn), Delivered::Parked), "no more room");
    assert!(feed.lend().is_none());
    assert_eq!(taken(&feed, 1), ("1[a]".into(), Rest::More));
    assert!(feed.lend().is_none(), "not for half a piece");
    feed.declare(5);
    assert_eq!(taken(&feed, 1), ("1[b]".into(), Rest::More));
    let Some(Loan { reader, most: 1 }) = feed.lend() else { panic!("one byte is missing") };
    assert!(matches!(feed.deliver(b"e", reader, Afterwards::GoOn), Delivered::Over(_)), "that was the last");
    assert_eq!(taken(&feed, 9), ("3[cde]".into(), Rest::End));
    let feed = Feed::of_reader(Box::new(io::empty()), 2);
    feed.close(Cause::ClientGone);
    let Some(Loan { reader, .. }) = feed.lend() else { panic!("it is to be let go") };
    assert!(matches!(feed.deliver(b"x", reader, Afterwards::GoOn), Delivered::Over(_)));
    assert_eq!(taken(&feed, 9), (String::new(), Rest::End));
}

#[test]
fn what_was_sent_before_a_close_can_be_taken_and_after_an_abort_cannot() {
    let feed = Feed::new(9);
    try_push(&feed, "ab").unwrap();
    feed.close(Cause::Stopping);
    assert_eq!(try_push(&feed, "c"), Err(Refused::Closed(Cause::Stopping)));
    feed.abort();
    assert_eq!(taken(&feed, 9), ("2[ab]".into(), Rest::End), "the first end is the one that stays");
    let feed = Feed::new(9);
    try_push(&feed, "ab").unwrap();
    feed.abort();
    assert_eq!(taken(&feed, 9), (String::new(), Rest::Cut));
}
