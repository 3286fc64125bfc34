//! Plays a case and gives a verdict. A case runs on one connection or on many, once or at every split.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::case::{After, Case, Expect, Split, Step};
use super::expect::Verdict;
use super::wire::{Cut, Wire};
use crate::Servers;

/// How long an exchange without a budget of its own may take after its last byte went out.
const BUDGET: Duration = Duration::from_millis(2500);
/// The quiet time after which an exchange that looks finished counts as finished.
const SETTLE: Duration = Duration::from_millis(120);
/// The same quiet time for an exchange without any response yet.
const SETTLE_EMPTY: Duration = Duration::from_millis(450);
/// How long the probe waits for a close that is due.
const CLOSE_GRACE: Duration = Duration::from_millis(900);
/// The longest wait between two checks of an exchange.
const LOOK: Duration = Duration::from_millis(15);

/// A verdict, and the text of what the probe saw.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    pub(crate) seen: String,
}

impl Case {
    /// Plays the case and, unless the case failed, the exchange that comes after it.
    pub(crate) fn run(&self, servers: &Servers) -> Report {
        self.exchanges(servers).unwrap_or_else(|error| Report {
            verdict: Verdict::Miss,
            seen: format!("the connection failed: {error}"),
        })
    }

    fn exchanges(&self, servers: &Servers) -> io::Result<Report> {
        let report = self.exchange(servers.address(self.role))?;
        let Some(after) = self.after.as_ref().filter(|_| report.verdict != Verdict::Miss) else {
            return Ok(report);
        };
        let later = after.run(servers.address(after.role))?;
        Ok(if later.verdict == Verdict::Pass {
            report
        } else {
            later.within("a fresh connection afterwards")
        })
    }

    fn exchange(&self, address: SocketAddr) -> io::Result<Report> {
        let mut held = Vec::new();
        if let Some(hold) = &self.hold {
            for _ in 0..hold.count {
                let mut idle = Wire::connect(address, &[])?;
                idle.send(&hold.send.0);
                held.push(idle);
            }
        }
        let script = Script {
            address,
            steps: &self.send,
            expect: self.expect.as_ref(),
            heads: &self.heads,
            budget: Duration::from_millis(self.budget_ms),
            settle: self.settle_ms.map(Duration::from_millis),
        };
        if let Some(Split::EveryByte) = self.split {
            self.at_every_split(&script)
        } else if let Some(count) = self.parallel {
            script.side_by_side(count)
        } else {
            script.in_turn(self.times)
        }
    }

    fn at_every_split(&self, script: &Script<'_>) -> io::Result<Report> {
        let length =
            script.steps.iter().map(|step| if let Step::Write(bytes) = step { bytes.0.len() } else { 0 });
        for at in (1..length.sum()).step_by(self.stride) {
            let report = script.once(Some(Cut { at, gap: Duration::from_millis(self.gap_ms) }))?;
            if report.verdict != Verdict::Pass {
                return Ok(report.within(&format!("split after byte {at}")));
            }
        }
        Ok(Report::pass("every split answered"))
    }
}

impl After {
    pub(crate) fn run(&self, address: SocketAddr) -> io::Result<Report> {
        let (steps, expect) = (&self.send, Some(&self.expect));
        Script { address, steps, expect, heads: &[], budget: BUDGET, settle: None }.once(None)
    }
}

impl Report {
    fn pass(seen: &str) -> Self {
        Self { verdict: Verdict::Pass, seen: seen.to_owned() }
    }

    fn within(self, context: &str) -> Self {
        Self { seen: format!("{context}: {}", self.seen), ..self }
    }
}

/// The script of one connection.
struct Script<'a> {
    address: SocketAddr,
    steps: &'a [Step],
    expect: Option<&'a Expect>,
    heads: &'a [usize],
    budget: Duration,
    settle: Option<Duration>,
}

impl Script<'_> {
    fn once(&self, cut: Option<Cut>) -> io::Result<Report> {
        let mut wire = self.connect()?;
        wire.play(self.steps, cut);
        Ok(self.finish(wire))
    }

    /// Plays the script on one connection after the other, until a connection does not pass.
    fn in_turn(&self, times: usize) -> io::Result<Report> {
        for _ in 1..times {
            let report = self.once(None)?;
            if report.verdict != Verdict::Pass {
                return Ok(report);
            }
        }
        self.once(None)
    }

    /// Opens all connections before it sends the first byte on any of them.
    fn side_by_side(&self, count: usize) -> io::Result<Report> {
        let mut wires = (0..count).map(|_| self.connect()).collect::<io::Result<Vec<_>>>()?;
        for wire in &mut wires {
            wire.play(self.steps, None);
        }
        let reports: Vec<Report> = wires.into_iter().map(|wire| self.finish(wire)).collect();
        let bad = reports.into_iter().enumerate().find(|(_, report)| report.verdict != Verdict::Pass);
        Ok(match bad {
            Some((number, report)) => report.within(&format!("connection {number}")),
            None => Report::pass("all answered"),
        })
    }

    fn connect(&self) -> io::Result<Wire> {
        Wire::connect(self.address, self.heads)
    }

    /// Reads on until the outcome is clear.
    fn finish(&self, mut wire: Wire) -> Report {
        let Some(expect) = self.expect else { return Report::pass("no answer expected") };
        let begin = Instant::now();
        loop {
            // Take the time before the read. Then a connection without a byte to read was quiet until that time.
            let now = Instant::now();
            wire.read();
            if wire.is_over() || self.is_clear(expect, &wire, now) || now - begin > self.budget {
                break;
            }
            wire.wait(LOOK);
        }
        Report { verdict: expect.verdict(&wire), seen: wire.to_string() }
    }

    /// Whether more waiting cannot improve the verdict.
    fn is_clear(&self, expect: &Expect, wire: &Wire, now: Instant) -> bool {
        let reader = &wire.reader;
        let quiet = now.saturating_duration_since(wire.last_activity());
        let spoke = reader.has_final() || reader.fault.is_some();
        let settle = self.settle.unwrap_or(if spoke { SETTLE } else { SETTLE_EMPTY });
        let settled = quiet >= settle && (expect.passes(wire) || !expect.is_reachable(wire));
        // Only the close is missing, and the close is overdue.
        settled || (quiet >= CLOSE_GRACE && !reader.done.is_empty() && expect.passes_but_for_the_end(wire))
    }
}
