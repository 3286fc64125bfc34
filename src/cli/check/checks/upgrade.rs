//! An upgraded connection: WebSocket.

use std::time::{Duration, Instant};

use super::{Check, Place, Severity};
use crate::cli::check::{
    client::{ANSWER, Broken, Connection, get},
    server::Ended,
    trial::{Finding, Judged, Trial, Unjudged},
    verdict::Level,
};

const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// A masked Close frame without content (RFC 6455 section 5.5.1).
const CLOSE: [u8; 6] = [0x88, 0x80, 0, 0, 0, 0];
const OPCODE: u8 = 0x0f;
const OPCODE_CLOSE: u8 = 0x08;
/// Frames whose length takes more than the second byte.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

pub(crate) const CHECK: Check = Check {
    id: "upgrade",
    title: "An upgraded connection gets its closing handshake",
    rule: "A WebSocket endpoint that goes away sends a Close frame (1001) before it closes the connection.",
    source: "RFC 6455 sections 5.5.1, 7.1.2, 7.4.1",
    severity: Severity::Error,
    place: Place::Upgraded,
    users: "Clients see a broken connection (code 1006), and reconnect as after a failure, all at once.",
    why: "The HTTP server does not know of upgraded connections; nobody tells their handlers of the stop.",
    remedy: "upgrade",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let path = trial.route(&trial.plan.routes.upgrade, "upgrade", "route that upgrades")?;
    let server = trial.start()?;
    let mut connection = trial.connect(&server)?;
    let failed = |broken| Unjudged::Skip(format!("the upgrade failed: {broken:?}"));
    connection.send(&get(server.address, path, HANDSHAKE)).map_err(failed)?;
    let mut bytes = Vec::new();
    let frames = loop {
        bytes.extend(connection.read(Instant::now() + ANSWER).map_err(failed)?);
        if !bytes.starts_with(b"HTTP/1.1 101") {
            return Err(Unjudged::Skip(format!("{path} does not upgrade to WebSocket")));
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break bytes.split_off(end + 4);
        }
    };
    let asked = server.ask()?;
    let patience = trial.plan.patience;
    let (end, (close, story)) = trial.finish(server, asked, move || {
        let close = wait_for_close(&mut connection, frames, patience);
        if close.is_ok() {
            _ = connection.send(&CLOSE);
            connection.wait_for_end(patience);
        }
        (close, connection.story)
    })?;
    let took = end.took.as_secs_f64();
    let (level, seen) = match (close, end.how) {
        (Ok(code), Ended::ByItself(_)) => {
            (Level::Pass, format!("a Close frame came ({code}); the stop took {took:.2} s"))
        }
        (Ok(_), Ended::Killed) => {
            (Level::Fail, "a Close frame came, but then the stop did not end".to_owned())
        }
        (Err(_), Ended::Killed) => {
            (Level::Fail, "the connection held the stop until the server was killed".to_owned())
        }
        (Err(broken), _) => (Level::Fail, format!("no Close frame came before the end ({broken:?})")),
    };
    Ok(Finding::new(level, seen).with(&end, asked, vec![story]))
}

/// Reads frames until one is a Close frame: its status code in words.
fn wait_for_close(
    connection: &mut Connection,
    mut bytes: Vec<u8>,
    patience: Duration,
) -> Result<String, Broken> {
    let until = Instant::now() + patience;
    loop {
        while let Some((opcode, content, length)) = frame(&bytes) {
            if opcode == OPCODE_CLOSE {
                let code = content.first_chunk().map(|code| u16::from_be_bytes(*code));
                return Ok(code.map_or_else(|| "without a code".to_owned(), |code| format!("code {code}")));
            }
            bytes.drain(..length);
        }
        bytes.extend(connection.read(until)?);
    }
}

/// Opcode, content and length of the first frame, if it is whole. A server does not mask (RFC 6455 section 5.1).
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (head, length) = match second {
        LENGTH_16 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
        LENGTH_64 => (10, usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?),
        length => (2, usize::from(length)),
    };
    let end = length.checked_add(head)?;
    Some((first & OPCODE, bytes.get(head..end)?, end))
}

#[cfg(test)]
mod tests {
    use super::frame;

    #[test]
    fn frames_are_found_whole() {
        assert_eq!(frame(&[0x88, 2, 3, 233, 1]), Some((8, &[3, 233][..], 4)));
        assert_eq!(frame(&[0x88, 2, 3]), None);
        assert_eq!(frame(&[0x81, 126, 0, 1, 7]), Some((1, &[7][..], 5)));
        assert_eq!(frame(&[0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
