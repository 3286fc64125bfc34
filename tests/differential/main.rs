//! Another parser beside this one: hyper's, over the same bytes. Whatever both accept, both frame alike: the same
//! requests with the same methods, targets, fields and content. Two servers in a row that disagree on this are what
//! request smuggling is made of.
//!
//! ```text
//!                      +--> softstop::http --> requests, end --+
//!   bytes of a stream -+                                       +--> the first difference, if any
//!                      +--> hyper -----------> requests, end --+
//! ```
//!
//! Up to the first request that one of them does not accept, the requests have to be equal. That request must have been
//! refused by the other one: were it only waiting for more, or taking the connection for closed, the two would frame
//! the same bytes differently. What only hyper accepts is to be found in [`only_hyper`], by the rule that it breaks
//! here and with the reason why that rule is kept; what only softstop accepts, in [`only_softstop`]. Each has a
//! witness, so that neither list outlives its reasons.
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to panic")]

mod framers;
mod streams;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use framers::{End, hyper, softstop};

/// A difference that is meant to be.
struct Difference {
    /// How the refusal begins.
    refusal: &'static str,
    why: &'static str,
    /// The shortest stream that shows it.
    witness: Vec<u8>,
}

fn difference(refusal: &'static str, why: &'static str, witness: impl AsRef<[u8]>) -> Difference {
    Difference { refusal, why, witness: witness.as_ref().to_vec() }
}

/// What softstop refuses and hyper does not.
fn only_hyper() -> Vec<Difference> {
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n";
    let large = softstop::http::Limits::default().get_body_bytes() + 1;
    vec![
        difference(
            "At most two empty lines",
            "One is for an old client that ends its content with a line of its own; hyper skips any number, and bare \
             LFs among them, which lets a client keep a parser busy for nothing.",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        difference(
            "The method is longer",
            "No method has more than 17 letters; a bound on each part of the line is what bounds the line.",
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(33)),
        ),
        difference(
            "The request target holds a character",
            "RFC 3986 knows neither bytes above 127 nor fragments in a target, nor braces and the like in a path. The \
             next reader may decode, cut or normalise them in another way.",
            "GET /|# HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        difference(
            "The request target is too long",
            "Ours is the default that RFC 9112 recommends; hyper admits 64 KiB.",
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000)),
        ),
        difference(
            "The request target has none of the forms",
            "hyper takes any URI with any method and leaves it to the service: `GET *`, `GET a:80`, `CONNECT /`.",
            "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        difference(
            "An https target",
            "This server has no secured connections, so the target is another server's (RFC 9110, section 7.4).",
            "GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        difference(
            "A request line ends in one space",
            "hyper takes a bare LF for its end, which RFC 9112 allows and smugglers use.",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
        ),
        difference(
            "Lines end in a CR and an LF",
            "The same, in the fields.",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
        ),
        difference(
            "The field section is too large",
            "32 KiB are enough; hyper admits some 400.",
            format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "a".repeat(40_000)),
        ),
        difference(
            "An HTTP/1.1 request has a Host field",
            "A server has to answer 400 (RFC 9112, section 3.2). hyper leaves everything about Host to the service.",
            "GET / HTTP/1.1\r\n\r\n",
        ),
        difference(
            "A request has no more than one Host field",
            "The same; the two readers of such a request may choose another one each.",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ),
        difference("A host is a name or an address", "The same.", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        difference(
            "A request has no more than one Content-Length field",
            "RFC 9110 lets a server accept equal ones, as hyper does. No client sends them, but a broken proxy may, and \
             then it is not known to the other readers which one counts.",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        ),
        difference(
            "Content-Length and Transfer-Encoding",
            "RFC 9112, section 6.3: it ought to be handled as an error. hyper removes the length.",
            format!("{chunked}Content-Length: 5\r\n\r\n0\r\n\r\n"),
        ),
        difference(
            "Transfer-Encoding is a list",
            "hyper looks at nothing but whether the last one is chunked: empty members, parameters, quotes and doubled \
             codings pass.",
            format!("{chunked}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        difference(
            "The only transfer coding",
            "hyper hands on content that is still coded. A server that does not know a coding ought to say so (RFC \
             9112, section 6.1).",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        difference(
            "The only expectation",
            "RFC 9110, section 10.1.1, allows 417; hyper passes over it.",
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n",
        ),
        difference(
            "The content is larger",
            "hyper leaves the bound to the service.",
            [
                format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {large}\r\n\r\n").as_bytes(),
                &vec![0; usize::try_from(large).unwrap()],
            ]
            .concat(),
        ),
        difference(
            "A chunk begins with its size",
            "Leading zeros without end are a way to send for ever and say nothing; 32 digits are twice what 64 bits need.",
            format!("{chunked}\r\n{}\r\n\r\n", "0".repeat(33)),
        ),
        difference(
            "A chunk extension is a semicolon",
            "hyper skips whatever stands between the size and the CR. Where it ends is then a matter of opinion, which \
             is what the smuggling by extensions lives on.",
            format!("{chunked}\r\n0 \r\n\r\n"),
        ),
    ]
}

/// What hyper refuses and softstop does not.
fn only_softstop() -> Vec<Difference> {
    vec![
        difference(
            "invalid HTTP version",
            "RFC 9110, section 6.2, has a later minor version treated as the highest known one.",
            "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        ),
        difference(
            "invalid URI",
            "In a query softstop takes what browsers do not encode; hyper misses some of it. Nothing of that can end \
             the line.",
            "GET /?<> HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        difference(
            "message head is too large",
            "hyper stops at 100 field lines, softstop at 128.",
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(110)),
        ),
    ]
}

/// How the two differ.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// They do not: they framed so many requests alike.
    Alike(usize),
    /// Only hyper accepts the next one; the refusal.
    OnlyHyper(String),
    OnlySoftstop(String),
}

/// Panics if they frame the same bytes differently.
fn compare(name: &str, stream: &[u8]) -> Verdict {
    let ((ours, our_end), (theirs, their_end)) = (softstop(stream), hyper(stream));
    let alike = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
    match (ours.get(alike), theirs.get(alike), our_end, their_end) {
        (None, None, ..) => Verdict::Alike(alike),
        (None, Some(_), End::Refused(refusal), _) => Verdict::OnlyHyper(refusal.reason().to_owned()),
        (Some(_), None, _, End::Refused(error)) => Verdict::OnlySoftstop(error),
        (ours, theirs, our_end, their_end) => panic!(
            "{name}, request {alike}: {}\nsoftstop frames {ours:?} and ends {our_end:?}\n\
             hyper frames {theirs:?} and ends {their_end:?}",
            stream.escape_ascii()
        ),
    }
}

/// Holds every stream to the lists. Returns how many requests were framed alike.
fn compare_all(streams: impl Iterator<Item = (String, Vec<u8>)>) -> usize {
    let lists = [only_hyper(), only_softstop()];
    let mut alike = 0;
    for (name, stream) in streams {
        let (list, refusal) = match compare(&name, &stream) {
            Verdict::Alike(count) => {
                alike += count;
                continue;
            }
            Verdict::OnlyHyper(refusal) => (&lists[0], refusal),
            Verdict::OnlySoftstop(refusal) => (&lists[1], refusal),
        };
        let listed = list.iter().any(|difference| refusal.starts_with(difference.refusal));
        assert!(listed, "{name}: only one refuses this: {refusal}\n{}", stream.escape_ascii());
    }
    alike
}

#[test]
fn the_probes_streams_are_framed_alike() {
    let alike = compare_all(streams::of_the_probe().into_iter());
    assert!(alike > 300, "only {alike} requests are accepted by both");
}

#[test]
fn made_up_streams_are_framed_alike() {
    const STREAMS: usize = 6000;
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = streams::made_up();
    let stream = |number| (format!("stream {number}"), strategy.new_tree(&mut runner).unwrap().current());
    let alike = compare_all((0..STREAMS).map(stream));
    assert!(alike > STREAMS / 2, "only {alike} requests are accepted by both");
}

#[test]
fn each_difference_has_a_witness() {
    for Difference { refusal, why, witness } in only_hyper() {
        let found = compare(why, &witness);
        assert!(
            matches!(&found, Verdict::OnlyHyper(rule) if rule.starts_with(refusal)),
            "{refusal}: {found:?}"
        );
    }
    for Difference { refusal, why, witness } in only_softstop() {
        let found = compare(why, &witness);
        assert!(
            matches!(&found, Verdict::OnlySoftstop(rule) if rule.starts_with(refusal)),
            "{refusal}: {found:?}"
        );
    }
}
