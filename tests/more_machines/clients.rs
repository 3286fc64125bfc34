//! Clients of the replicas, as patient as a client must be: they repeat what was not answered, and come back with the id
//! of the last event.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{parser::EventSource, support::HUNG};

/// A response that came whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) content: String,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        });
        line.map(str::trim)
    }

    /// The number of the job in `Location`.
    #[track_caller]
    pub(crate) fn job(&self) -> u64 {
        assert_eq!(self.status, 202, "{self:?}");
        let location = self.field("Location").unwrap_or_else(|| panic!("no Location: {self:?}"));
        location.strip_prefix("/jobs/").unwrap().parse().unwrap()
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, HUNG)?;
    stream.set_read_timeout(Some(HUNG))?;
    stream.set_write_timeout(Some(HUNG))?;
    Ok(stream)
}

/// One request on a connection of its own. `None` if no whole response came.
fn request(address: SocketAddr, request: &str) -> Option<Answer> {
    let mut stream = connect(address).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let text = io::read_to_string(stream).ok()?;
    let (head, content) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let answer = Answer { status, head: head.to_owned(), content: content.to_owned() };
    let length = answer.field("Content-Length").map(|length| length.parse());
    (length.is_none_or(|length| length == Ok(content.len()))).then_some(answer)
}

pub(crate) fn get(address: SocketAddr, target: &str) -> Option<Answer> {
    request(address, &format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
}

/// Hands a job in, once.
pub(crate) fn post(address: SocketAddr, key: &str, milliseconds: u64) -> Option<Answer> {
    let content = milliseconds.to_string();
    let length = content.len();
    let head =
        format!("POST /jobs HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nIdempotency-Key: {key}");
    request(address, &format!("{head}\r\nContent-Length: {length}\r\n\r\n{content}"))
}

/// A client of the events, as a browser: it parses by the standard, and knows the id of the last event.
#[derive(Default)]
pub(crate) struct Listener {
    source: EventSource,
    connection: Option<TcpStream>,
    /// The id that the server said first, with an event that has no data.
    pub(crate) began: Option<u64>,
    /// The events, with the ids that the page sees.
    pub(crate) events: Vec<(u64, String)>,
    pub(crate) connects: u32,
}

impl Listener {
    /// A client that has seen this event.
    pub(crate) fn after(id: u64) -> Listener {
        let mut listener = Listener { began: Some(id), ..Listener::default() };
        listener.source.feed(format!("id: {id}\n\n").as_bytes());
        listener
    }

    /// The last event that the client has seen.
    pub(crate) fn last(&self) -> Option<u64> {
        self.source.last_id.parse().ok()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
        // An event that was not complete is not dispatched.
        let EventSource { last_id, .. } = std::mem::take(&mut self.source);
        self.source.feed(format!("id: {last_id}\n\n").as_bytes());
    }

    /// Connects (again). HTTP/1.0, so that the content comes without chunks. False if the answer was not 200.
    pub(crate) fn connect(&mut self, address: SocketAddr) -> bool {
        self.connects += 1;
        let last = &self.source.last_id;
        let last = if last.is_empty() { String::new() } else { format!("Last-Event-ID: {last}\r\n") };
        let request = format!("GET /events HTTP/1.0\r\nHost: {address}\r\n{last}\r\n");
        let connected = (|| {
            let mut stream = connect(address)?;
            stream.write_all(request.as_bytes())?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                head.push(byte[0]);
            }
            Ok::<_, io::Error>((stream, String::from_utf8_lossy(&head).contains(" 200 ")))
        })();
        let Ok((stream, true)) = connected else { return false };
        self.connection = Some(stream);
        true
    }

    /// Reads what comes within this time. False if the response has ended, in whatever way.
    pub(crate) fn read(&mut self, within: Duration) -> bool {
        let Some(stream) = &mut self.connection else { return false };
        stream.set_read_timeout(Some(within)).unwrap();
        let mut piece = [0; 64 * 1024];
        match stream.read(&mut piece) {
            Ok(0) => self.disconnect(),
            Ok(count) => self.feed(&piece[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => self.disconnect(),
        }
        self.is_connected()
    }

    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.source.feed(&[*byte]);
            // The first id is where the client begins. The first events may come together with it.
            if self.began.is_none() {
                self.began = self.source.last_id.parse().ok();
            }
        }
        for event in self.source.dispatched.drain(..) {
            self.events.push((event.last_id.parse().unwrap(), event.data));
        }
    }

    /// Reads until the client has seen this event. Comes back as often as the response ends.
    #[track_caller]
    pub(crate) fn read_up_to(&mut self, address: SocketAddr, id: u64) {
        let began = std::time::Instant::now();
        while self.last().is_none_or(|last| last < id) {
            assert!(began.elapsed() < HUNG, "the client is at {:?}, and not at {id}", self.last());
            if !self.is_connected() {
                self.connect(address);
            }
            self.read(Duration::from_millis(100));
        }
    }

    /// Fails unless the client has seen each event from where it began to the last one, once and in order.
    #[track_caller]
    pub(crate) fn has_no_gap_and_no_double(&self) {
        let began = self.began.expect("the server has said where the client begins");
        for (expected, (id, text)) in (began + 1..).zip(&self.events) {
            assert_eq!(*id, expected, "{text:?}, in the events after {began}");
        }
    }
}
