//! The content of a request, on its way from the loop to a handler that reads it while it arrives.
//!
//! ```text
//!               the loop pushes, and CAPACITY bytes wait
//!   flowing ───────────────────────────────────────────────> paused: the loop does not read from the socket
//!      ^                                                        │
//!      └──── the handler reads, and at most half of CAPACITY waits: `resume` tells the loop
//! ```
//!
//! So a handler that is slower than its client slows the client down (TCP flow control). An upload of any size takes the same
//! memory. The loop never waits for the handler: both hold the lock only to copy bytes.

use std::{collections::VecDeque, fmt, io};

use crate::sync::{Condvar, Mutex, lock, wait};

/// How many bytes may wait for the handler before the loop stops reading. One read of the loop (64 KiB) may be added.
const CAPACITY: usize = 64 * 1024;

pub(crate) struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
    /// Tells the loop that the pipe is not paused any more. Called without the lock.
    resume: Box<dyn Fn() + Send + Sync>,
}

struct State {
    bytes: VecDeque<u8>,
    end: PipeEnd,
    paused: bool,
}

/// The end of the content.
#[derive(Clone, Copy)]
enum PipeEnd {
    Open,
    Complete,
    Failed(io::ErrorKind, &'static str),
}

impl Pipe {
    /// Makes a pipe. If it is `paused`, it asks the loop for content only when the handler first reads.
    pub(crate) fn new(paused: bool, resume: impl Fn() + Send + Sync + 'static) -> Pipe {
        let state = State { bytes: VecDeque::new(), end: PipeEnd::Open, paused };
        Pipe { state: Mutex::new(state), changed: Condvar::new(), resume: Box::new(resume) }
    }

    pub(crate) fn is_paused(&self) -> bool {
        lock(&self.state).paused
    }

    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut state = lock(&self.state);
        state.bytes.extend(bytes);
        state.paused = state.bytes.len() >= CAPACITY;
        drop(state);
        self.changed.notify_one();
    }

    /// Ends the content as complete.
    pub(crate) fn complete(&self) {
        self.end(PipeEnd::Complete);
    }

    /// Ends the content with an error: the rest will not arrive.
    pub(crate) fn fail(&self, kind: io::ErrorKind, reason: &'static str) {
        self.end(PipeEnd::Failed(kind, reason));
    }

    fn end(&self, end: PipeEnd) {
        let mut state = lock(&self.state);
        if let PipeEnd::Open = state.end {
            state.end = end;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Reads bytes. Blocks until there are some, or the content has ended. Zero bytes are the end of a complete content.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut state = lock(&self.state);
        loop {
            if let PipeEnd::Failed(kind, reason) = state.end {
                return Err(io::Error::new(kind, reason));
            }
            let count = io::Read::read(&mut state.bytes, buffer)?;
            let resume = state.paused && state.bytes.len() <= CAPACITY / 2;
            if resume {
                state.paused = false;
                drop(state);
                (self.resume)();
                state = lock(&self.state);
            }
            match state.end {
                _ if count > 0 => return Ok(count),
                PipeEnd::Complete if state.bytes.is_empty() => return Ok(0),
                PipeEnd::Open if state.bytes.is_empty() => {
                    state = wait(&self.changed, state, None).unwrap_or_else(|state| state);
                }
                _ => {}
            }
        }
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("Pipe").field("bytes", &state.bytes.len()).field("paused", &state.paused).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    #[test]
    fn the_writer_is_held_back_and_told_when_to_go_on() {
        let resumed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&resumed);
        let pipe = Pipe::new(false, move || _ = count.fetch_add(1, Ordering::SeqCst));
        pipe.push(&vec![1; CAPACITY - 1]);
        assert!(!pipe.is_paused());
        pipe.push(&[2]);
        assert!(pipe.is_paused());
        let mut buffer = vec![0; CAPACITY / 2 - 1];
        pipe.read(&mut buffer).unwrap();
        assert!(pipe.is_paused(), "more than half is left");
        assert_eq!(pipe.read(&mut [0]).unwrap(), 1);
        assert!(!pipe.is_paused());
        assert_eq!(resumed.load(Ordering::SeqCst), 1, "told once");
        pipe.complete();
        let mut rest = Vec::new();
        while let Ok(1) = pipe.read(&mut buffer[..1]) {
            rest.push(buffer[0]);
        }
        assert_eq!((rest.len(), rest.last()), (CAPACITY / 2, Some(&2)));
        assert_eq!(resumed.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_reader_that_waits_gets_bytes_the_end_or_the_failure() {
        for failed in [false, true] {
            let pipe = Arc::new(Pipe::new(true, || ()));
            let reader = std::thread::spawn({
                let pipe = Arc::clone(&pipe);
                move || {
                    let mut buffer = [0; 8];
                    let first = pipe.read(&mut buffer).unwrap();
                    (first, pipe.read(&mut buffer).map_err(|error| error.kind()))
                }
            });
            pipe.push(b"abc");
            while !lock(&pipe.state).bytes.is_empty() {
                std::thread::yield_now();
            }
            let expected = if failed {
                pipe.fail(io::ErrorKind::ConnectionReset, "gone");
                Err(io::ErrorKind::ConnectionReset)
            } else {
                pipe.complete();
                Ok(0)
            };
            assert_eq!(reader.join().unwrap(), (3, expected));
        }
    }
}
