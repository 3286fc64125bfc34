//! A comparison of this crate's parser with hyper's parser, over the same bytes. Both must frame alike every request
//! that both accept: the same method, target, fields and content. Request smuggling needs two servers in a row that
//! frame the same bytes differently.
//!
//! ```text
//!                      +--> softstop::http --> requests, end --+
//!   bytes of a stream -+                                       +--> the first difference, if any
//!                      +--> hyper -----------> requests, end --+
//! ```
//!
//! Up to the first request that one parser does not accept, the requests must be equal. The parser that does not accept
//! that request must refuse it. A parser that only waits for more bytes, or takes the connection for closed, would
//! frame the same bytes differently. [`only_hyper`] lists the requests that only hyper accepts: the rule of softstop
//! that refuses them, and the reason for this rule. [`only_softstop`] lists the requests that only softstop accepts.
//! Each entry has a witness, so that no entry outlives its reason.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod framers;
mod streams;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use framers::{End, hyper, softstop};

/// An intended difference.
struct Difference {
    /// The beginning of the refusal's text.
    refusal: &'static str,
    why: &'static str,
    /// The shortest stream that shows the difference.
    witness: Vec<u8>,
}

fn difference(refusal: &'static str, why: &'static str, witness: impl AsRef<[u8]>) -> Difference {
    Difference { refusal, why, witness: witness.as_ref().to_vec() }
}

/// Requests that softstop refuses and hyper accepts.
fn only_hyper() -> Vec<Difference> {
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n";
    let large = softstop::Limits::default().get_body_bytes() + 1;
    vec![
        difference(
            "At most two empty lines",
            "An old client may end its content with one empty line. hyper skips any number of empty lines, \
             bare LFs included, which lets a client keep a parser busy for nothing.",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        difference(
            "The method is longer",
            "No method has more than 17 letters. The bounds on the parts of the line bound the line.",
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(33)),
        ),
        difference(
            "The request target holds a character",
            "RFC 3986 allows neither bytes above 127 nor fragments in a target, nor braces and the like in \
             a path. The next reader may decode, cut or normalise them in another way.",
            "GET /|# HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        difference(
            "The request target is too long",
            "softstop's default is the one that RFC 9112 recommends. hyper accepts 64 KiB.",
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9000)),
        ),
        difference(
            "The request target has none of the forms",
            "hyper accepts any URI with any method and leaves the check to the service: `GET *`, `GET \
             a:80`, `CONNECT /`.",
            "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        difference(
            "An https target",
            "This server has no secured connections, so the target belongs to another server (RFC 9110, \
             section 7.4).",
            "GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        difference(
            "A request line ends in one space",
            "hyper accepts a bare LF at the end of the line. RFC 9112 allows a bare LF, and smugglers use \
             it.",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
        ),
        difference(
            "Lines end in a CR and an LF",
            "hyper accepts a bare LF at the end of a field line too.",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
        ),
        difference(
            "The field section is too large",
            "32 KiB are enough. hyper accepts about 400 KiB.",
            format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "a".repeat(40_000)),
        ),
        difference(
            "An HTTP/1.1 request has a Host field",
            "A server must answer 400 (RFC 9112, section 3.2). hyper leaves all checks of Host to the \
             service.",
            "GET / HTTP/1.1\r\n\r\n",
        ),
        difference(
            "A request has no more than one Host field",
            "A server must answer 400. Two readers of such a request may each choose another host.",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ),
        difference(
            "A host is a name or an address",
            "A server must answer 400 to an invalid host.",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        ),
        difference(
            "A request has no more than one Content-Length field",
            "RFC 9110 lets a server accept equal fields, as hyper does. Clients do not send such fields. A \
             broken proxy may, and then the other readers do not know which field counts.",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        ),
        difference(
            "Content-Length and Transfer-Encoding",
            "RFC 9112, section 6.3: a server ought to handle this request as an error. hyper removes the length.",
            format!("{chunked}Content-Length: 5\r\n\r\n0\r\n\r\n"),
        ),
        difference(
            "Transfer-Encoding is a list",
            "hyper checks only whether the last coding is chunked. Empty members, parameters, quotes and \
             doubled codings pass.",
            format!("{chunked}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        difference(
            "The only transfer coding",
            "hyper passes on content that is still coded. A server that does not know a coding ought to say \
             so (RFC 9112, section 6.1).",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        difference(
            "The only expectation",
            "RFC 9110, section 10.1.1, allows 417. hyper ignores the expectation.",
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
            "A client could send leading zeros for ever. 32 digits are twice as many as 64 bits need.",
            format!("{chunked}\r\n{}\r\n\r\n", "0".repeat(33)),
        ),
        difference(
            "A chunk extension is a semicolon",
            "hyper skips everything between the size and the CR. Readers may then disagree about the end of \
             the extension, and smuggling by extensions needs such a disagreement.",
            format!("{chunked}\r\n0 \r\n\r\n"),
        ),
    ]
}

/// Requests that hyper refuses and softstop accepts.
fn only_softstop() -> Vec<Difference> {
    vec![
        difference(
            "invalid HTTP version",
            "RFC 9110, section 6.2: a server treats a later minor version as the highest one that it knows.",
            "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        ),
        difference(
            "invalid URI",
            "In a query softstop accepts the characters that browsers do not encode. hyper refuses some of \
             these characters. None of them can end the line.",
            "GET /?<> HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        difference(
            "message head is too large",
            "hyper stops at 100 field lines, softstop at 128.",
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(110)),
        ),
    ]
}

/// The result of a comparison.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The parsers do not differ. Both framed this number of requests alike.
    Alike(usize),
    /// Only hyper accepts the next request. The text is softstop's refusal.
    OnlyHyper(String),
    OnlySoftstop(String),
}

/// Compares the two parsers. Panics if they frame the same bytes differently.
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

/// Compares every stream, and requires that the lists have each difference. Returns the number of requests that both
/// parsers framed alike.
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
