//! Stops under a load, and the judgement of their losses.

use std::time::Duration;

use crate::cli::check::{
    client::{Outcome, Step, Story, Tally},
    interval::interval,
    load::{Kind, Load, Seen},
    server::{Ended, process::Status},
    trial::{Finding, Judged, Record, Trial, Unjudged, stops_in_words},
    verdict::Level,
};

/// The longest time until every client has had an answer.
const WARM: Duration = Duration::from_secs(5);
/// The time of the signal after that, in microseconds. The moment is random.
const MOMENT: std::ops::Range<u64> = 30_000..150_000;
/// A loss is a crossing if the client wrote within this time before the end, because the FIN was on its way already.
const CROSSING: Duration = Duration::from_millis(1);

/// The least number of further stops that decide whether a loss was a crossing.
const DECIDING: u32 = 5;

/// The sum of several stops.
struct Sum {
    tally: Tally,
    stops: u32,
    killed: u32,
    /// The stop with most losses, or the last one.
    worst: Option<(u64, Record)>,
    crossings: u64,
}

/// Stops the server under a load, as often as is needed.
pub(super) fn stop_under_load(trial: &Trial<'_>, kind: Kind) -> Judged {
    let mut sum = Sum { tally: Tally::default(), stops: 0, killed: 0, worst: None, crossings: 0 };
    while !trial.is_enough(sum.stops, &sum.tally) {
        stop_once(trial, kind, &mut sum)?;
        if sum.killed > 0 {
            break;
        }
    }
    // There are few losses, and all may be crossings. As many stops again decide.
    let few = u64::from(sum.stops.div_ceil(5));
    let is_close =
        sum.tally.missing() > 0 && sum.tally.missing() <= few && sum.crossings == sum.tally.missing();
    let mut is_crossing = false;
    if is_close && kind != Kind::New {
        let before = sum.tally.missing();
        for _ in 0..sum.stops.max(DECIDING) {
            stop_once(trial, kind, &mut sum)?;
        }
        is_crossing = sum.tally.missing() == before;
    }
    Ok(sum.judge(is_crossing))
}

fn stop_once(trial: &Trial<'_>, kind: Kind, sum: &mut Sum) -> Result<(), Unjudged> {
    let server = trial.start()?;
    let count = usize::from(trial.plan.clients);
    let load = Load::new(server.address, &trial.plan.routes.plain, kind, trial.context, count)
        .balanced(trial.plan.balanced);
    let (stopped, seen) = load.during(|| {
        if !load.warm_up(WARM) {
            return Err(Unjudged::Skip("the server answers nobody".to_owned()));
        }
        trial.sleep(Duration::from_micros(fastrand::u64(MOMENT)))?;
        let asked = server.ask()?;
        load.ask(asked);
        Ok((server.wait(asked, || load.end()), asked))
    })?;
    let (end, asked) = stopped?;
    trial.check()?;
    sum.add(end.how, seen, |stories| Record::new(&end, asked, stories), end.at);
    Ok(())
}

impl Sum {
    fn add(
        &mut self,
        how: Ended,
        mut seen: Seen,
        record: impl FnOnce(Vec<Story>) -> Record,
        ended: std::time::Instant,
    ) {
        if how == Ended::Killed {
            self.killed += 1;
            // The server has not lost the requests that the kill has cut.
            seen.stories.retain(|story| {
                let is_ours = story.outcome.is_some_and(Outcome::is_bad)
                    && story.steps.last().is_some_and(|(at, _)| *at >= ended);
                if is_ours {
                    let tally = &mut seen.tally;
                    let count = match story.outcome {
                        Some(Outcome::Lost) => &mut tally.lost,
                        Some(Outcome::Dropped) => &mut tally.dropped,
                        _ => &mut tally.timed_out,
                    };
                    *count = count.saturating_sub(1);
                    tally.not_counted += 1;
                }
                !is_ours
            });
        }
        self.stops += 1;
        self.tally += seen.tally;
        // A process that died from a signal has not closed its connections itself, so there was no crossing.
        if !matches!(how, Ended::ByItself(Status::Signal(_))) {
            self.crossings += seen.stories.iter().filter(|story| is_crossing(story)).count() as u64;
        }
        let missing = seen.tally.missing();
        if self.worst.as_ref().is_none_or(|(worst, _)| missing >= *worst) {
            self.worst = Some((missing, record(seen.stories)));
        }
    }

    fn judge(self, is_crossing: bool) -> Finding {
        let Sum { tally, stops, killed, worst, .. } = self;
        let (missing, of, times) = (tally.missing(), tally.let_in(), stops_in_words(stops));
        let (low, high) = interval(missing, of);
        let percent = |rate: f64| format!("{:.2}", rate * 100.0);
        let (level, seen) = if killed > 0 {
            (Level::Fail, format!("the stop did not end while clients went on sending; {}", tally.words()))
        } else if missing > 0 && is_crossing {
            let seen =
                format!("{missing} of {of} requests crossed the server's FIN in {times}; {}", tally.words());
            (Level::Warn, seen)
        } else if missing > 0 {
            let rate = percent(missing as f64 / of as f64);
            let range = format!("{} to {} %", percent(low), percent(high));
            let seen = format!(
                "{missing} of {of} requests lost in {times} ({rate} %; 95 %: {range}); {}",
                tally.words()
            );
            (Level::Fail, seen)
        } else if tally.dropped > 0 {
            let seen = format!(
                "{} new connections were closed before their first request; {}",
                tally.dropped,
                tally.words()
            );
            (Level::Warn, seen)
        } else if tally.server_errors > 0 {
            let seen = format!("{} requests were answered 5xx; {}", tally.server_errors, tally.words());
            (Level::Warn, seen)
        } else {
            let certainty = percent(high);
            (Level::Pass, format!("nothing lost in {times} (95 %: at most {certainty} %); {}", tally.words()))
        };
        Finding { level, seen, tally, stops, record: worst.map(|(_, record)| record) }
    }
}

/// Whether the client wrote the request so shortly before the end of the connection that the request and the FIN
/// crossed.
fn is_crossing(story: &Story) -> bool {
    let end = story.steps.last().filter(|(_, step)| matches!(step, Step::Saw(_)));
    story.outcome == Some(Outcome::Lost)
        && story.answered_before > 0
        && story.sent().zip(end).is_some_and(|(sent, (end, _))| *end - sent < CROSSING)
}
