//! Decides the outcome of every request that reaches a connection: the only place that knows what "lost" means.
//!
//! ```text
//!   look --(a FIN, a reset, or bytes that nobody asked for)--> late; dropped on a new connection
//!    | nothing
//!   write --(an error at the first byte)---------------------> late; dropped on a new connection
//!    | all, or a part
//!   read --(a whole response)--> answered; what is behind `Connection: close` was told
//!        --(the end, a reset, no HTTP)-----------------------> lost
//!        --(nothing in time)---------------------------------> timed out
//! ```
//!
//! Some microseconds pass between the look and the write. A FIN that arrives then makes the request lost, not late. So does a
//! FIN that is still on its way: over a network this takes the whole delay. Servers lose requests on kept-alive connections in
//! this race, so the client has to see it.

use std::time::Duration;

use super::{Broken, Connection, Look, Outcome, Step, response::Ended};

/// Whether a connection may carry another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Open,
    Over,
}

impl Outcome {
    /// The outcome of a request that was written.
    pub(crate) fn of(response: &Result<Ended, Broken>) -> Outcome {
        match response {
            Ok(ended) => Outcome::Answered(ended.status),
            Err(Broken::TimedOut) => Outcome::TimedOut,
            Err(Broken::Ours) => Outcome::Ours,
            Err(Broken::Closed | Broken::Reset | Broken::Malformed(_)) => Outcome::Lost,
        }
    }
}

impl Connection {
    /// Looks at the connection, then writes a request.
    ///
    /// # Errors
    ///
    /// The outcome, if not one byte was written.
    pub(crate) fn write(&mut self, request: &[u8]) -> Result<(), Outcome> {
        let unsent = if self.answered > 0 { Outcome::Late } else { Outcome::Dropped };
        if self.look() == Look::Closed {
            self.story.add(Step::Saw("found the connection closed before it wrote"));
            return Err(unsent);
        }
        match self.send(request) {
            Ok(()) => Ok(()),
            Err(Broken::Ours) => Err(Outcome::Ours),
            // A part was written, so the request may have been processed, and a response may have come.
            Err(_) if self.story.sent().is_some() => Ok(()),
            Err(_) => Err(unsent),
        }
    }

    /// Reads the responses to requests that were written together. `note` is told each outcome, and how many requests have it.
    pub(crate) fn responses(
        &mut self,
        requests: usize,
        within: Duration,
        mut note: impl FnMut(Outcome, usize, &Connection),
    ) -> Next {
        for left in (0..requests).rev() {
            let response = self.response(within);
            let outcome = Outcome::of(&response);
            match response {
                Ok(ended) => {
                    note(outcome, 1, self);
                    if !ended.keeps_alive {
                        if left > 0 {
                            note(Outcome::Told, left, self);
                        }
                        return Next::Over;
                    }
                }
                Err(_) => {
                    note(outcome, left + 1, self);
                    return Next::Over;
                }
            }
        }
        Next::Open
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{Shutdown, TcpListener, TcpStream},
        time::Instant,
    };

    use super::{
        super::{ANSWER, get},
        *,
    };

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const LAST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

    /// A client, and its connection on the server's side.
    fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Connection::open(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// Waits until the client's kernel knows what the server has done.
    fn until_seen(client: &Connection) {
        let until = Instant::now() + ANSWER;
        while client.look() == Look::Open && Instant::now() < until {
            std::thread::yield_now();
        }
    }

    fn request(_: &Connection) -> Vec<u8> {
        get(([127, 0, 0, 1], 80).into(), "/", "")
    }

    /// Sends so many requests at once to a server that answers with these bytes and closes.
    fn outcomes(requests: usize, answer: &str, within: Duration) -> (Vec<(Outcome, usize)>, Next) {
        let (mut client, mut server) = pair();
        let request = request(&client).repeat(requests);
        client.write(&request).unwrap();
        server.read_exact(&mut vec![0; request.len()]).unwrap();
        server.write_all(answer.as_bytes()).unwrap();
        if within == ANSWER {
            server.shutdown(Shutdown::Write).unwrap();
        }
        let mut seen = Vec::new();
        let next = client.responses(requests, within, |outcome, count, _| seen.push((outcome, count)));
        (seen, next)
    }

    #[test]
    fn every_request_of_a_batch_has_one_outcome() {
        let answered = (Outcome::Answered(200), 1);
        for (requests, answer, expected, next) in [
            (1, OK.to_owned(), vec![answered], Next::Open),
            (1, LAST.to_owned(), vec![answered], Next::Over),
            (4, [OK, LAST].concat(), vec![answered, answered, (Outcome::Told, 2)], Next::Over),
            (4, [OK, OK].concat(), vec![answered, answered, (Outcome::Lost, 2)], Next::Over),
            (2, [OK, &OK[..OK.len() - 1]].concat(), vec![answered, (Outcome::Lost, 1)], Next::Over),
            (1, String::new(), vec![(Outcome::Lost, 1)], Next::Over),
            (1, "SSH-2.0-x\r\n\r\n".to_owned(), vec![(Outcome::Lost, 1)], Next::Over),
        ] {
            assert_eq!(outcomes(requests, &answer, ANSWER), (expected, next), "{requests} of {answer:?}");
        }
        let seen = outcomes(3, OK, Duration::from_millis(20)).0;
        assert_eq!(seen, [answered, (Outcome::TimedOut, 2)], "the server has not closed");
    }

    #[test]
    fn what_was_not_written_is_dropped_on_a_new_connection_and_late_on_a_used_one() {
        for (before, then, expected) in [
            (0, "", Outcome::Dropped),
            (1, "", Outcome::Late),
            // Nobody has asked: the server means the time in which nothing came (RFC 9110 section 15.5.9).
            (1, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", Outcome::Late),
        ] {
            let (mut client, mut server) = pair();
            let request = request(&client);
            for _ in 0..before {
                client.write(&request).unwrap();
                server.read_exact(&mut vec![0; request.len()]).unwrap();
                server.write_all(OK.as_bytes()).unwrap();
                assert_eq!(client.responses(1, ANSWER, |_, _, _| ()), Next::Open);
            }
            server.write_all(then.as_bytes()).unwrap();
            drop(server);
            until_seen(&client);
            client.next_story();
            assert_eq!(client.write(&request), Err(expected), "{before} {then:?}");
        }
    }
}
