//! One connection of the generator: its output, its outstanding requests, and the reader of its responses.
//!
//! ```text
//!   Connecting --> Open --(an answer says that the server closes)--> Leaving --> gone
//! ```

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    time::Instant,
};

use mio::net::TcpStream;

use super::outcome::{Failure, Outcome};
use crate::cli::client::response::{Ended, Reader};

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    state: State,
    output: Vec<u8>,
    written: usize,
    /// When each unanswered request was due. There are at most as many as the plan pipelines.
    outstanding: VecDeque<Instant>,
    reader: Reader,
    /// How many requests the slot may send when this connection is gone.
    pub(super) freed: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Open,
    /// The server has said that it closes. The generator waits for the close, because the side that closes first cannot use
    /// the port for a minute.
    Leaving,
}

/// The result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// More may be sent.
    Open,
    /// Nothing more may be sent, because the server is about to close.
    Leaving,
    /// The connection has ended, and its outstanding requests failed for this reason.
    Ended(Failure),
}

impl Connection {
    pub(super) fn new(stream: TcpStream, is_head: bool) -> Connection {
        // Requests are written whole, and waiting to fill a segment would only delay them. If the call fails, the connection
        // has failed, and the next event says so. (A Unix-domain socket has no such option.)
        _ = stream.set_nodelay(true);
        // A TCP handshake may be under way. A Unix-domain socket, which has no TCP address, is connected at once or not at all.
        let is_tcp = stream.local_addr().is_ok();
        Connection {
            stream,
            state: if is_tcp { State::Connecting } else { State::Open },
            output: Vec::new(),
            written: 0,
            outstanding: VecDeque::new(),
            reader: Reader::new(is_head),
            freed: 0,
        }
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.state == State::Connecting
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.state == State::Leaving
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Gives up the outstanding requests, and returns how many there were.
    pub(super) fn forget(&mut self) -> usize {
        self.outstanding.drain(..).count()
    }

    /// Adds a request to the output. Returns `true` if the output was empty before.
    pub(super) fn push(&mut self, request: &[u8], due: Instant) -> bool {
        let was_empty = self.output.is_empty();
        self.output.extend_from_slice(request);
        self.outstanding.push_back(due);
        was_empty
    }

    /// Writes as much as the socket takes, once the connection is established.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        if self.state == State::Connecting {
            if let Some(error) = self.stream.take_error().map_err(|_| Failure::NotConnected)? {
                return Err(Failure::of_connect(&error).unwrap_or(Failure::NotConnected));
            }
            if self.stream.peer_addr().is_err() {
                return Ok(()); // not yet
            }
            self.state = State::Open;
        }
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // An answer may have come before the server closed. The next read finds the answer or the end.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                Err(_) => return Err(Failure::Reset),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads all available bytes, and records the answers.
    pub(super) fn read(&mut self, scratch: &mut [u8], is_read_closed: bool, outcome: &mut Outcome) -> Step {
        loop {
            let count = match self.stream.read(scratch) {
                Ok(0) => return self.end(outcome),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error)
                    if self.state == State::Connecting && error.kind() == io::ErrorKind::NotConnected =>
                {
                    break;
                }
                Err(_) => return Step::Ended(Failure::Reset),
            };
            outcome.bytes_received += count as u64;
            if let Err(failure) = self.take(&scratch[..count], outcome) {
                return Step::Ended(failure);
            }
            // A short read has emptied the socket. Only the end can follow, and the event has told whether it does.
            if count < scratch.len() && !is_read_closed {
                break;
            }
        }
        if self.state == State::Leaving { Step::Leaving } else { Step::Open }
    }

    fn take(&mut self, mut bytes: &[u8], outcome: &mut Outcome) -> Result<(), Failure> {
        // Bytes behind the last answer are ignored.
        while self.state != State::Leaving {
            match self.reader.read(&mut bytes) {
                Ok(None) => break,
                Ok(Some(ended)) => self.answer(ended, outcome)?,
                Err(malformed) => {
                    outcome.malformed.get_or_insert(malformed);
                    return Err(Failure::Malformed);
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self, ended: Ended, outcome: &mut Outcome) -> Result<(), Failure> {
        // An answer without a request, such as the 408 of a time-out, ends the connection.
        let Some(due) = self.outstanding.pop_front() else { return Err(Failure::Malformed) };
        outcome.answer(ended.status, due, Instant::now());
        if !ended.keeps_alive {
            self.state = State::Leaving;
        }
        Ok(())
    }

    /// The server has closed its side.
    fn end(&mut self, outcome: &mut Outcome) -> Step {
        if self.state != State::Leaving
            && let Some(ended) = self.reader.end()
            && let Err(failure) = self.answer(ended, outcome)
        {
            return Step::Ended(failure);
        }
        Step::Ended(Failure::Closed)
    }
}
